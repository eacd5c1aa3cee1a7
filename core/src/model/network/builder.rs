//! Builds a network layer by layer, and reports faulty layers.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::{Conv, Dense, ModelError, Node, Norm, Op, Pool, Shape, ValueId, values};
use crate::layout::{MAX_NAME, ParamLayout, TensorKind};
use crate::model::spec::{HeightWidth, LayerSpec, NamedPadding, Padding};

/// Maximum number of parameters: some indices are stored in 32 bits, and a gradient of this many takes 4 GiB.
const MAX_PARAMS: usize = 1 << 30;

/// Maximum number of values of one example in a layer.
const MAX_VALUES: usize = 1 << 28;

/// A fault, and the path to its layer: the outermost block last.
pub struct LayerFault {
    position: Vec<usize>,
    layer: String,
    text: String,
}

impl LayerFault {
    pub fn into_error(self, network: &str) -> ModelError {
        let position: Vec<_> = self.position.iter().rev().map(usize::to_string).collect();
        ModelError::Layer {
            network: network.to_owned(),
            position: position.join("."),
            layer: self.layer,
            fault: self.text,
        }
    }
}

/// Returns a layer's label in an error.
fn label(layer: &LayerSpec) -> &str {
    let (name, kind) = match layer {
        LayerSpec::Linear { name, .. } => (name.as_deref(), "linear"),
        LayerSpec::Conv { name, .. } => (name.as_deref(), "conv"),
        LayerSpec::BatchNorm { name } => (name.as_deref(), "batch-norm"),
        LayerSpec::Relu {} => (None, "relu"),
        LayerSpec::MaxPool { .. } => (None, "max-pool"),
        LayerSpec::AvgPool { .. } => (None, "avg-pool"),
        LayerSpec::GlobalAvgPool {} => (None, "global-avg-pool"),
        LayerSpec::Dropout { .. } => (None, "dropout"),
        LayerSpec::Flatten {} => (None, "flatten"),
        LayerSpec::Residual { name, .. } => (name.as_deref(), "residual"),
    };
    name.unwrap_or(kind)
}

pub struct NetworkBuilder {
    /// Input shape of the next layer.
    pub shape: Shape,
    value: ValueId,
    pub nodes: Vec<Node>,
    pub layout: ParamLayout,
    pub buffers: usize,
    names: HashSet<String>,
    /// Name of the enclosing residual block, followed by a dot; empty outside a block.
    block: String,
    /// Number of unnamed layers so far, by the stem of their names, such as `block2.conv`.
    counts: HashMap<String, usize>,
    /// Scale and shift of the next batch norm, if its tensors are part of the last layer.
    norm: Option<[Range<usize>; 2]>,
}

impl NetworkBuilder {
    pub fn new(input: Shape) -> Self {
        Self {
            shape: input,
            value: 0,
            nodes: Vec::new(),
            layout: ParamLayout::default(),
            buffers: 0,
            names: HashSet::new(),
            block: String::new(),
            counts: HashMap::new(),
            norm: None,
        }
    }

    pub fn push_all(&mut self, layers: &[LayerSpec]) -> Result<(), LayerFault> {
        for (index, layer) in layers.iter().enumerate() {
            let next = layers.get(index + 1);
            let joined = matches!(next, Some(LayerSpec::BatchNorm { name: None }));
            let done = match layer {
                LayerSpec::Residual {
                    name,
                    projection,
                    body,
                } => self.residual(name.as_deref(), *projection, body),
                layer => self.push(layer, joined).map_err(|text| LayerFault {
                    position: Vec::new(),
                    layer: label(layer).to_owned(),
                    text,
                }),
            };
            done.map_err(|mut fault| {
                fault.position.push(index + 1);
                fault
            })?;
        }
        Ok(())
    }

    fn push(&mut self, layer: &LayerSpec, joined: bool) -> Result<(), String> {
        let shape = self.shape;
        match layer {
            LayerSpec::Linear { name, units, bias } => {
                self.linear(name.as_deref(), *units, *bias, joined)
            }
            LayerSpec::Conv {
                name,
                channels,
                kernel,
                stride,
                padding,
                bias,
            } => {
                let window = SlidingWindow {
                    kernel: *kernel,
                    stride: *stride,
                    padding: *padding,
                };
                self.conv(name.as_deref(), "conv", *channels, &window, *bias, joined)
            }
            LayerSpec::BatchNorm { name } => self.batch_norm(name.as_deref()),
            LayerSpec::Relu {} => self.node(Op::Relu, shape),
            LayerSpec::MaxPool { size, stride } => {
                let (pool, shape) = self.pool(*size, *stride)?;
                self.node(Op::MaxPool(pool), shape)
            }
            LayerSpec::AvgPool { size, stride } => {
                let (pool, shape) = self.pool(*size, *stride)?;
                self.node(Op::AvgPool(pool), shape)
            }
            LayerSpec::GlobalAvgPool {} => {
                let [_, height, width] = shape;
                let (pool, shape) = self.pool(HeightWidth::Sides([height, width]), None)?;
                self.node(Op::AvgPool(pool), shape)
            }
            LayerSpec::Dropout { rate } => {
                if !(0.0..1.0).contains(rate) {
                    return Err(format!("`rate` {rate} must be from 0 to below 1"));
                }
                self.node(Op::Dropout { rate: *rate }, shape)
            }
            LayerSpec::Flatten {} => self.flatten(),
            LayerSpec::Residual { .. } => unreachable!("`push_all` builds blocks"),
        }
    }

    fn node(&mut self, op: Op, shape: Shape) -> Result<(), String> {
        let count = (shape.iter()).try_fold(1_usize, |product, &side| product.checked_mul(side));
        if count.is_none_or(|count| count > MAX_VALUES) {
            return Err(format!(
                "its output {shape:?} has more than {MAX_VALUES} values"
            ));
        }
        self.nodes.push(Node {
            op,
            input: self.value,
            shape,
        });
        self.value = self.nodes.len();
        self.shape = shape;
        Ok(())
    }

    fn linear(
        &mut self,
        name: Option<&str>,
        units: usize,
        bias: bool,
        joined: bool,
    ) -> Result<(), String> {
        if units == 0 {
            return Err("`units` must be at least 1".to_owned());
        }
        self.flatten()?;
        let [inputs, ..] = self.shape;
        let shape = vec![units, inputs];
        let [weight, bias] = self.layer(name, "fc", "linear", shape, bias, joined)?;
        let dense = Dense {
            inputs,
            outputs: units,
            weight: weight.expect("every layer has a weight"),
            bias,
        };
        self.node(Op::Dense(dense), [units, 1, 1])
    }

    /// Flattens an image; a vector stays as it is.
    fn flatten(&mut self) -> Result<(), String> {
        match self.shape {
            [_, 1, 1] => Ok(()),
            shape => self.node(Op::Flatten, [values(shape), 1, 1]),
        }
    }

    fn conv(
        &mut self,
        name: Option<&str>,
        stem: &str,
        channels: usize,
        window: &SlidingWindow,
        bias: bool,
        joined: bool,
    ) -> Result<(), String> {
        if channels == 0 {
            return Err("`channels` must be at least 1".to_owned());
        }
        let [inputs, height, width] = self.shape;
        let (before, out) = window.padding_and_output(self.shape)?;
        let kernel = window.kernel.sides();
        // A wider window would see nothing but padding at the edges.
        if kernel[0] > 2 * height + 1 || kernel[1] > 2 * width + 1 {
            return Err(format!(
                "kernel {} is more than twice as large as its input {:?}",
                window.kernel, self.shape
            ));
        }
        let shape = vec![channels, inputs, kernel[0], kernel[1]];
        let [weight, bias] = self.layer(name, stem, "conv", shape, bias, joined)?;
        let conv = Conv {
            inputs,
            outputs: channels,
            kernel,
            stride: window.stride.sides(),
            before,
            weight: weight.expect("every layer has a weight"),
            bias,
        };
        self.node(Op::Conv(conv), [channels, out[0], out[1]])
    }

    fn batch_norm(&mut self, name: Option<&str>) -> Result<(), String> {
        let [channels, ..] = self.shape;
        let [scale, shift] = match self.norm.take() {
            Some(ranges) => ranges,
            None => {
                let name = self.full_name(name, "bn")?;
                self.check_params(2 * channels)?;
                let shapes = [TensorKind::Scale, TensorKind::Shift].map(|k| (k, vec![channels]));
                let layer = (self.layout).push_layer(&name, "batch-norm", channels, &shapes);
                let first = self.layout.layers[layer].tensors.start;
                [first, first + 1].map(|t| self.layout.tensors[t].range.clone())
            }
        };
        let start = self.buffers;
        self.buffers += 2 * channels;
        let norm = Norm {
            channels,
            scale,
            shift,
            running: start..self.buffers,
        };
        self.node(Op::Norm(norm), self.shape)
    }

    /// Adds a layer with a weight and an optional bias: returns their ranges in the flat vector.
    fn layer(
        &mut self,
        name: Option<&str>,
        stem: &str,
        kind: &str,
        weight: Vec<usize>,
        bias: bool,
        joined: bool,
    ) -> Result<[Option<Range<usize>>; 2], String> {
        let units = weight[0];
        let count = (weight.iter())
            .try_fold(1_usize, |product, &side| product.checked_mul(side))
            .and_then(|count| count.checked_add(units.checked_mul(3)?));
        self.check_params(count.unwrap_or(usize::MAX))
            .map_err(|fault| format!("weights {weight:?} {fault}"))?;
        let name = self.full_name(name, stem)?;
        let mut tensors = vec![(TensorKind::Weight, weight)];
        if bias {
            tensors.push((TensorKind::Bias, vec![units]));
        }
        if joined {
            tensors.push((TensorKind::Scale, vec![units]));
            tensors.push((TensorKind::Shift, vec![units]));
        }
        let layer = self.layout.push_layer(&name, kind, units, &tensors);
        let tensors = &self.layout.tensors[self.layout.layers[layer].tensors.clone()];
        let of_kind = |kind| {
            let tensor = tensors.iter().find(|tensor| tensor.kind == kind);
            tensor.map(|tensor| tensor.range.clone())
        };
        self.norm = (of_kind(TensorKind::Scale).zip(of_kind(TensorKind::Shift)))
            .map(|(scale, shift)| [scale, shift]);
        Ok([of_kind(TensorKind::Weight), of_kind(TensorKind::Bias)])
    }

    /// Checks that this many more parameters stay within bounds.
    fn check_params(&self, more: usize) -> Result<(), String> {
        match more.checked_add(self.layout.params()) {
            Some(params) if params <= MAX_PARAMS => Ok(()),
            _ => Err(format!("bring the network above {MAX_PARAMS} parameters")),
        }
    }

    fn pool(
        &self,
        size: HeightWidth,
        stride: Option<HeightWidth>,
    ) -> Result<(Pool, Shape), String> {
        let window = SlidingWindow {
            kernel: size,
            stride: stride.unwrap_or(size),
            padding: Padding::Named(NamedPadding::Valid),
        };
        let (_, [height, width]) = window.padding_and_output(self.shape)?;
        let pool = Pool {
            size: size.sides(),
            stride: window.stride.sides(),
        };
        Ok((pool, [self.shape[0], height, width]))
    }

    fn residual(
        &mut self,
        name: Option<&str>,
        projection: bool,
        body: &[LayerSpec],
    ) -> Result<(), LayerFault> {
        let (shape, value) = (self.shape, self.value);
        let fault = |layer: &str, text: String| LayerFault {
            position: Vec::new(),
            layer: layer.to_owned(),
            text,
        };
        let name = (self.full_name(name, "block"))
            .map_err(|text| fault(name.unwrap_or("residual"), text))?;
        let outer = std::mem::replace(&mut self.block, format!("{name}."));
        self.push_all(body)?;
        let body = (self.shape, self.value);
        (self.shape, self.value) = (shape, value);
        if projection {
            self.project(body.0).map_err(|text| fault(&name, text))?;
        }
        if self.shape != body.0 {
            let advice = if projection {
                format!(
                    "the projection gives {:?}, which no stride can bring closer: let the body reduce its input \
                     as a stride does",
                    self.shape
                )
            } else {
                "give them the same shape, or set `projection = true`".to_owned()
            };
            let text = format!(
                "its body gives {:?} for the input {shape:?}, and the two cannot be added: {advice}",
                body.0
            );
            return Err(fault(&name, text));
        }
        let shortcut = self.value;
        self.value = body.1;
        self.node(Op::Add(shortcut), body.0)
            .map_err(|text| fault(&name, text))?;
        self.block = outer;
        Ok(())
    }

    /// Adds the 1×1 convolution that brings a block's input to the shape of its body's output.
    fn project(&mut self, target: Shape) -> Result<(), String> {
        let [_, height, width] = self.shape;
        let stride = [
            height.div_ceil(target[1].max(1)),
            width.div_ceil(target[2].max(1)),
        ];
        let window = SlidingWindow {
            kernel: HeightWidth::Square(1),
            stride: HeightWidth::Sides(stride),
            padding: Padding::Named(NamedPadding::Same),
        };
        self.conv(Some("shortcut"), "conv", target[0], &window, true, false)
    }

    /// Returns a layer's full name: the given one, or the next of its kind, prefixed with its block's.
    fn full_name(&mut self, given: Option<&str>, stem: &str) -> Result<String, String> {
        let name = if let Some(name) = given {
            format!("{}{name}", self.block)
        } else {
            let stem = format!("{}{stem}", self.block);
            let count = self.counts.entry(stem.clone()).or_insert(0);
            *count += 1;
            format!("{stem}{count}")
        };
        // Leaves room for the longest tensor suffix in the run file's fixed-length strings.
        let longest = MAX_NAME - ".weight".len();
        if given == Some("") || name.len() > longest {
            return Err(format!(
                "a name has 1 to {longest} bytes, not {}",
                if given == Some("") { 0 } else { name.len() }
            ));
        }
        if let Some(bad) = name
            .chars()
            .find(|c| !(c.is_alphanumeric() || "._-".contains(*c)))
        {
            return Err(format!(
                "the name `{}` contains {bad:?}: use letters, digits, `.`, `_` and `-`",
                name.escape_debug()
            ));
        }
        if !self.names.insert(name.clone()) {
            return Err(format!("the name `{name}` is used twice"));
        }
        Ok(name)
    }
}

/// A window sliding over an image.
struct SlidingWindow {
    kernel: HeightWidth,
    stride: HeightWidth,
    padding: Padding,
}

impl SlidingWindow {
    /// Returns the zeros above and to the left, and the height and width of the output.
    fn padding_and_output(&self, input: Shape) -> Result<([usize; 2], [usize; 2]), String> {
        let (kernel, stride) = (self.kernel.sides(), self.stride.sides());
        for (what, extent) in [("window", self.kernel), ("stride", self.stride)] {
            if extent.sides().contains(&0) {
                return Err(format!("{what} {extent} must be at least 1x1"));
            }
        }
        let mut before = [0; 2];
        let mut out = [0; 2];
        for axis in 0..2 {
            let (size, kernel, stride) = (input[axis + 1], kernel[axis], stride[axis]);
            (before[axis], out[axis]) = match self.padding {
                Padding::Named(NamedPadding::Same) => {
                    let out = size.div_ceil(stride);
                    let all = ((out - 1) * stride).saturating_add(kernel);
                    (all.saturating_sub(size) / 2, out)
                }
                Padding::Named(NamedPadding::Valid) => (
                    0,
                    span(size, kernel, stride).ok_or_else(|| self.too_wide(input))?,
                ),
                // With this many zeros, some outputs would see nothing else.
                Padding::Zeros(zeros) if zeros >= kernel => {
                    return Err(format!(
                        "padding {zeros} must be smaller than the kernel {}",
                        self.kernel
                    ));
                }
                Padding::Zeros(zeros) => {
                    let padded = size.saturating_add(zeros.saturating_mul(2));
                    let out = span(padded, kernel, stride).ok_or_else(|| self.too_wide(input))?;
                    (zeros, out)
                }
            };
        }
        Ok((before, out))
    }

    fn too_wide(&self, input: Shape) -> String {
        format!(
            "window {} does not fit into its input {input:?}",
            self.kernel
        )
    }
}

/// Number of positions of a window along an axis; `None` if it does not fit at all.
fn span(size: usize, kernel: usize, stride: usize) -> Option<usize> {
    size.checked_sub(kernel).map(|room| room / stride + 1)
}

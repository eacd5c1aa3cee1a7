//! A network whose shapes have been checked, ready for an engine.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::spec::{Extent, LayerSpec, NamedPadding, NetworkSpec, Padding};
use crate::layout::{MAX_NAME, ParamLayout, TensorKind};

/// Parameters a network may have: indices are stored in 32 bits in places, and a gradient of this
/// many would take 4 GiB.
const MAX_PARAMS: usize = 1 << 30;

/// Values of one example that a layer may have.
const MAX_VALUES: usize = 1 << 28;

/// Why a network cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("network `{network}` has no layer with parameters: add at least one linear layer")]
    NoParameters { network: String },
    /// `position` counts from 1, within each residual block anew: `3.1`.
    #[error("layer {position} (`{layer}`): {fault}")]
    Layer {
        position: String,
        layer: String,
        fault: String,
    },
    #[error(
        "network `{network}` ends with {} outputs, but the data set has {classes} classes: \
         make its last layer's `units` (or `channels`) {classes}",
        of_shape(.outputs)
    )]
    Outputs {
        network: String,
        outputs: Shape,
        classes: usize,
    },
}

/// Channels, height and width of the values of one example. A vector has height and width 1.
pub type Shape = [usize; 3];

/// One linear layer: `y = W x + b` on vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    pub inputs: usize,
    pub outputs: usize,
    /// `[outputs, inputs]`, in the flat parameter vector.
    pub weight: Range<usize>,
    /// `[outputs]`, in the flat parameter vector.
    pub bias: Option<Range<usize>>,
}

/// One convolution (cross-correlation):
/// `y[o, i, j] = b[o] + Σ_{c,u,v} W[o, c, u, v] · x[c, i·s₀ + u − p₀, j·s₁ + v − p₁]`, with zeros
/// where x has no such place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    pub inputs: usize,
    pub outputs: usize,
    /// Height and width.
    pub kernel: [usize; 2],
    /// s
    pub stride: [usize; 2],
    /// p: zeros above and to the left. Below and to the right there are as many as the output's
    /// size asks for.
    pub before: [usize; 2],
    /// `[outputs, inputs, kh, kw]`, in the flat parameter vector.
    pub weight: Range<usize>,
    /// `[outputs]`, in the flat parameter vector.
    pub bias: Option<Range<usize>>,
}

impl Conv {
    /// Weights that make one output value.
    #[must_use]
    pub fn fan_in(&self) -> usize {
        self.inputs * self.kernel[0] * self.kernel[1]
    }
}

/// A batch norm: `y = γ (x − mean) / √(var + ε) + β`, channel by channel, with the mean and the
/// (biased) variance over the examples of the slice and all places of the image (Ioffe and Szegedy,
/// *Batch Normalization*, ICML 2015, algorithm 1). ε is [`Norm::EPSILON`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Norm {
    pub channels: usize,
    /// γ, `[channels]`, in the flat parameter vector.
    pub scale: Range<usize>,
    /// β, `[channels]`, in the flat parameter vector.
    pub shift: Range<usize>,
    /// Running averages, in the vector of buffers: the means `[channels]`, then the (unbiased)
    /// variances `[channels]`.
    pub running: Range<usize>,
}

impl Norm {
    /// ε, as `PyTorch` has it.
    pub const EPSILON: f64 = 1e-5;
}

/// A pooling window that slides over each channel and stays inside the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Height and width.
    pub size: [usize; 2],
    pub stride: [usize; 2],
}

/// One operation, with its shapes resolved.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Dense(Dense),
    Conv(Conv),
    Norm(Norm),
    Relu,
    MaxPool(Pool),
    AvgPool(Pool),
    /// `[C, H, W]` to `[C·H·W, 1, 1]`, channel-major.
    Flatten,
    /// Keeps a value with probability `1 − rate`, and then divides it by that, in mini-batches
    /// alone.
    Dropout {
        rate: f64,
    },
    /// Adds another value of the same shape.
    Add(Value),
}

/// Names a value of the computation: 0 is the input, `i + 1` what node `i` puts out.
pub type Value = usize;

/// One operation on one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub op: Op,
    /// What it takes.
    pub input: Value,
    /// What it puts out.
    pub shape: Shape,
}

/// Operations from an example to its class scores, each after those that it needs, and the layout
/// of the parameters. The last node's output are the scores.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: String,
    /// Of an example.
    pub input: Shape,
    pub classes: usize,
    pub nodes: Vec<Node>,
    pub layout: ParamLayout,
    /// Entries of the vector of buffers: running averages of batch norms.
    pub buffers: usize,
}

impl Network {
    /// Resolves a specification for examples of shape `input` in `classes` classes.
    ///
    /// # Errors
    /// A layer whose shape is impossible, a name that is empty, too long or used twice, no
    /// parameters at all, or an output that is not one score a class.
    pub fn build(spec: &NetworkSpec, input: Shape, classes: usize) -> Result<Self, ModelError> {
        let mut builder = Builder {
            shape: input,
            value: 0,
            nodes: Vec::new(),
            layout: ParamLayout::default(),
            buffers: 0,
            names: HashSet::new(),
            block: String::new(),
            counts: HashMap::new(),
            norm: None,
        };
        builder.push_all(&spec.layers).map_err(|fault| fault.at())?;
        if builder.layout.layers.is_empty() {
            return Err(ModelError::NoParameters {
                network: spec.name.clone(),
            });
        }
        if values(builder.shape) != classes {
            return Err(ModelError::Outputs {
                network: spec.name.clone(),
                outputs: builder.shape,
                classes,
            });
        }
        Ok(Self {
            name: spec.name.clone(),
            input,
            classes,
            nodes: builder.nodes,
            layout: builder.layout,
            buffers: builder.buffers,
        })
    }

    /// Values in one example.
    #[must_use]
    pub fn features(&self) -> usize {
        values(self.input)
    }

    /// `P`, all trainable parameters.
    #[must_use]
    pub fn params(&self) -> usize {
        self.layout.params()
    }

    /// Shape of a value.
    #[must_use]
    pub fn shape(&self, value: Value) -> Shape {
        match value {
            0 => self.input,
            _ => self.nodes[value - 1].shape,
        }
    }

    /// Whether the loss of an example depends on the others of its slice.
    #[must_use]
    pub fn has_norm(&self) -> bool {
        self.buffers > 0
    }

    /// The running averages that a training begins with: means 0, variances 1.
    #[must_use]
    pub fn initial_buffers(&self) -> Vec<f32> {
        let mut buffers = vec![0.0; self.buffers];
        for node in &self.nodes {
            if let Op::Norm(norm) = &node.op {
                buffers[norm.running.clone()][norm.channels..].fill(1.0);
            }
        }
        buffers
    }
}

/// Values of one example.
#[must_use]
pub fn values(shape: Shape) -> usize {
    shape.iter().product()
}

/// A shape as people write it.
fn of_shape(shape: &Shape) -> String {
    match shape {
        [len, 1, 1] => len.to_string(),
        _ => format!("{} ({shape:?})", values(*shape)),
    }
}

/// What is wrong, and the way to the layer: the outermost block last.
struct Fault {
    position: Vec<usize>,
    layer: String,
    fault: String,
}

impl Fault {
    fn at(self) -> ModelError {
        let position: Vec<_> = self.position.iter().rev().map(usize::to_string).collect();
        ModelError::Layer {
            position: position.join("."),
            layer: self.layer,
            fault: self.fault,
        }
    }
}

/// What an error calls a layer.
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

struct Builder {
    /// What the next layer receives.
    shape: Shape,
    value: Value,
    nodes: Vec<Node>,
    layout: ParamLayout,
    buffers: usize,
    names: HashSet<String>,
    /// Of the residual block that is being built, with a dot behind; empty outside.
    block: String,
    /// Layers without a name so far, by the stem of theirs, such as `block2.conv`.
    counts: HashMap<String, usize>,
    /// Scale and shift of the batch norm that comes next, if its tensors are part of the last layer.
    norm: Option<[Range<usize>; 2]>,
}

impl Builder {
    fn push_all(&mut self, layers: &[LayerSpec]) -> Result<(), Fault> {
        for (index, layer) in layers.iter().enumerate() {
            let next = layers.get(index + 1);
            let joined = matches!(next, Some(LayerSpec::BatchNorm { name: None }));
            let done = match layer {
                LayerSpec::Residual {
                    name,
                    projection,
                    body,
                } => self.residual(name.as_deref(), *projection, body),
                layer => self.push(layer, joined).map_err(|fault| Fault {
                    position: Vec::new(),
                    layer: label(layer).to_owned(),
                    fault,
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
                let window = Window {
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
                let (pool, shape) = self.pool(Extent::Sides([height, width]), None)?;
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

    /// A vector stays as it is.
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
        window: &Window,
        bias: bool,
        joined: bool,
    ) -> Result<(), String> {
        if channels == 0 {
            return Err("`channels` must be at least 1".to_owned());
        }
        let [inputs, height, width] = self.shape;
        let (before, out) = window.place(self.shape)?;
        let kernel = window.kernel.sides();
        // A wider window sees nothing but padding at its ends.
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
                let name = self.name(name, "bn")?;
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

    /// A layer of a weight and what comes with it: its place in the flat vector, and its bias's.
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
        let name = self.name(name, stem)?;
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

    /// Whether so many parameters more are within bounds.
    fn check_params(&self, more: usize) -> Result<(), String> {
        match more.checked_add(self.layout.params()) {
            Some(params) if params <= MAX_PARAMS => Ok(()),
            _ => Err(format!("bring the network above {MAX_PARAMS} parameters")),
        }
    }

    fn pool(&self, size: Extent, stride: Option<Extent>) -> Result<(Pool, Shape), String> {
        let window = Window {
            kernel: size,
            stride: stride.unwrap_or(size),
            padding: Padding::Named(NamedPadding::Valid),
        };
        let (_, [height, width]) = window.place(self.shape)?;
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
    ) -> Result<(), Fault> {
        let (shape, value) = (self.shape, self.value);
        let fault = |layer: &str, fault: String| Fault {
            position: Vec::new(),
            layer: layer.to_owned(),
            fault,
        };
        let name =
            (self.name(name, "block")).map_err(|text| fault(name.unwrap_or("residual"), text))?;
        let outer = std::mem::replace(&mut self.block, format!("{name}."));
        self.push_all(body)?;
        let body = (self.shape, self.value);
        (self.shape, self.value) = (shape, value);
        if projection {
            self.project(body.0).map_err(|text| fault(&name, text))?;
        }
        if self.shape != body.0 {
            let text = format!(
                "its body makes {:?} of its input {shape:?}, and the two cannot be added: give \
                 them one shape, or set `projection = true`",
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

    /// The 1×1 convolution that brings a block's input to the shape of its body's output.
    fn project(&mut self, target: Shape) -> Result<(), String> {
        let [_, height, width] = self.shape;
        let stride = [
            height.div_ceil(target[1].max(1)),
            width.div_ceil(target[2].max(1)),
        ];
        let window = Window {
            kernel: Extent::Square(1),
            stride: Extent::Sides(stride),
            padding: Padding::Named(NamedPadding::Same),
        };
        self.conv(Some("shortcut"), "conv", target[0], &window, true, false)
    }

    /// A layer's full name: the one given or the next of its kind, behind its block's.
    fn name(&mut self, given: Option<&str>, stem: &str) -> Result<String, String> {
        let name = if let Some(name) = given {
            format!("{}{name}", self.block)
        } else {
            let stem = format!("{}{stem}", self.block);
            let count = self.counts.entry(stem.clone()).or_insert(0);
            *count += 1;
            format!("{stem}{count}")
        };
        // Room for the longest tensor suffix in the run file's fixed strings.
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
                "the name `{}` has {bad:?} in it: use letters, digits, `.`, `_` and `-`",
                name.escape_debug()
            ));
        }
        if !self.names.insert(name.clone()) {
            return Err(format!("the name `{name}` is used twice"));
        }
        Ok(name)
    }
}

/// A window that slides over an image.
struct Window {
    kernel: Extent,
    stride: Extent,
    padding: Padding,
}

impl Window {
    /// Zeros above and to the left, and height and width of the output.
    fn place(&self, input: Shape) -> Result<([usize; 2], [usize; 2]), String> {
        let (kernel, stride) = (self.kernel.sides(), self.stride.sides());
        if kernel.contains(&0) || stride.contains(&0) {
            return Err(format!(
                "window {} and stride {} must be at least 1",
                self.kernel, self.stride
            ));
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
                // More zeros than the window is wide would make outputs of nothing.
                Padding::Zeros(zeros) if zeros >= kernel => {
                    return Err(format!(
                        "padding {zeros} must be smaller than the kernel {}",
                        self.kernel
                    ));
                }
                Padding::Zeros(zeros) => {
                    let padded = size.saturating_add(2 * zeros);
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

/// Places of a window in a row; none if it does not fit at all.
fn span(size: usize, kernel: usize, stride: usize) -> Option<usize> {
    size.checked_sub(kernel).map(|room| room / stride + 1)
}

#[cfg(test)]
mod tests {
    use super::super::spec::preset;
    use super::*;

    fn build(layers: &str) -> Result<Network, ModelError> {
        let spec: NetworkSpec = toml::from_str(&format!("name = 'test'\n{layers}")).unwrap();
        Network::build(&spec, [3, 8, 6], 4)
    }

    /// Layers in one line each.
    fn layers(lines: &[&str]) -> String {
        lines
            .iter()
            .map(|line| format!("[[layer]]\n{line}\n"))
            .collect()
    }

    fn names(network: &Network) -> Vec<&str> {
        let layers = network.layout.layers.iter();
        layers.map(|layer| layer.name.as_str()).collect()
    }

    #[test]
    fn presets_have_the_papers_parameter_counts() {
        for (name, input, params, layers) in [
            ("mnist-fc", [1, 28, 28], 84_060, 3),
            ("mnist-lenet", [1, 28, 28], 808_970, 4),
            ("cifar-allcnn", [3, 32, 32], 1_371_658, 9),
            ("cifar-resnet20", [3, 32, 32], 273_066, 22),
            ("cifar-vgg", [3, 32, 32], 1_918_666, 9),
        ] {
            let network = Network::build(&preset(name).unwrap(), input, 10).unwrap();
            assert_eq!(network.params(), params, "{name}");
            assert_eq!(network.layout.layers.len(), layers, "{name}");
        }
    }

    #[test]
    fn layers_are_named_by_kind_and_place() {
        let built = |name, input| Network::build(&preset(name).unwrap(), input, 10).unwrap();
        assert_eq!(
            names(&built("mnist-fc", [1, 28, 28])),
            ["fc1", "fc2", "fc3"]
        );
        assert_eq!(
            names(&built("mnist-lenet", [1, 28, 28])),
            ["conv1", "conv2", "fc1", "fc2"]
        );
        let resnet = built("cifar-resnet20", [3, 32, 32]);
        let names = names(&resnet);
        assert_eq!(&names[..3], ["conv1", "block1.conv1", "block1.conv2"]);
        assert_eq!(
            &names[7..10],
            ["block4.conv1", "block4.conv2", "block4.shortcut"]
        );
        assert_eq!(names[21], "fc1");
        let tensors = &resnet.layout.tensors[resnet.layout.layers[0].tensors.clone()];
        let tensors: Vec<_> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(
            tensors,
            ["conv1.weight", "conv1.bias", "conv1.scale", "conv1.shift"]
        );
    }

    #[test]
    fn same_padding_halves_as_tensorflow_does() {
        let network = build(&layers(&[
            "kind = 'conv'\nchannels = 2\nkernel = 3\nstride = 2",
            "kind = 'conv'\nchannels = 2\nkernel = [3, 2]",
            "kind = 'linear'\nunits = 4",
        ]))
        .unwrap();
        let Op::Conv(first) = &network.nodes[0].op else {
            panic!()
        };
        let Op::Conv(second) = &network.nodes[1].op else {
            panic!()
        };
        assert_eq!((network.nodes[0].shape, first.before), ([2, 4, 3], [0, 0]));
        assert_eq!((network.nodes[1].shape, second.before), ([2, 4, 3], [1, 0]));
    }

    #[test]
    fn a_batch_norm_belongs_to_the_layer_before_it_unless_it_has_a_name() {
        let network = build(&layers(&[
            "kind = 'batch-norm'",
            "kind = 'conv'\nchannels = 2\nkernel = 3\nbias = false",
            "kind = 'batch-norm'",
            "kind = 'linear'\nunits = 4",
            "kind = 'batch-norm'\nname = 'last'",
        ]))
        .unwrap();
        assert_eq!(names(&network), ["bn1", "conv1", "fc1", "last"]);
        assert_eq!(network.buffers, 2 * (3 + 2 + 4));
        assert_eq!(
            network.initial_buffers()[..8],
            [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]
        );
        let Op::Norm(norm) = &network.nodes[2].op else {
            panic!()
        };
        assert_eq!(network.layout.layers[1].range.end, norm.shift.end);
    }

    #[test]
    fn a_projection_strides_as_its_body_does() {
        let network = build(&layers(&[
            "kind = 'residual'\nprojection = true\nbody = [{kind = 'conv', channels = 5, \
             kernel = 3, stride = 2}, {kind = 'relu'}]",
            "kind = 'linear'\nunits = 4",
        ]))
        .unwrap();
        assert_eq!(names(&network), ["block1.conv1", "block1.shortcut", "fc1"]);
        let Op::Conv(shortcut) = &network.nodes[2].op else {
            panic!()
        };
        assert_eq!((network.nodes[2].input, shortcut.stride), (0, [2, 2]));
        assert_eq!(network.nodes[3].op, Op::Add(3));
        assert_eq!(
            (network.nodes[3].input, network.nodes[3].shape),
            (2, [5, 4, 3])
        );
    }

    #[test]
    fn faults_name_the_layer_and_both_shapes() {
        let conv = "kind = 'conv'\nchannels = 2\nkernel = 3";
        let deep = format!(
            "kind = 'residual'\nbody = [{}{{kind = 'relu'}}{}]",
            "{kind = 'residual', body = [".repeat(20),
            "]}".repeat(20)
        );
        for (lines, needles) in [
            (&["kind = 'relu'"][..], &["no layer with parameters"][..]),
            (&["kind = 'linear'\nunits = 5"], &["5 outputs", "4 classes"]),
            (&["kind = 'linear'\nunits = 0"], &["layer 1 (`linear`)"]),
            (&["kind = 'linear'\nunits = 4000000000000"], &["parameters"]),
            (
                &["kind = 'linear'\nunits = 18446744073709551615"],
                &["parameters"],
            ),
            (
                &["kind = 'linear'\nname = 'a'\nunits = 4"; 2],
                &["layer 2 (`a`)", "used twice"],
            ),
            (
                &["kind = 'linear'\nname = ''\nunits = 4"],
                &["1 to 57 bytes, not 0"],
            ),
            (
                &["kind = 'linear'\nname = \"a\\u001b[2J\"\nunits = 4"],
                &["letters, digits"],
            ),
            (&[conv], &["96 ([2, 8, 6]) outputs"]),
            (
                &[conv, "kind = 'max-pool'\nsize = 7"],
                &["layer 2 (`max-pool`)", "7x7", "[2, 8, 6]"],
            ),
            (
                &["kind = 'conv'\nname = 'wide'\nchannels = 2\nkernel = 9\npadding = 'valid'"],
                &["layer 1 (`wide`)", "9x9", "[3, 8, 6]"],
            ),
            (
                &["kind = 'conv'\nchannels = 2\nkernel = 40"],
                &["40x40", "[3, 8, 6]"],
            ),
            (
                &["kind = 'conv'\nchannels = 2\nkernel = 3\npadding = 3"],
                &["padding 3"],
            ),
            (
                &["kind = 'conv'\nchannels = 2\nkernel = 0"],
                &["0x0", "at least 1"],
            ),
            (
                &["kind = 'conv'\nchannels = 2\nkernel = 3\nstride = 0"],
                &["stride 0x0", "at least 1"],
            ),
            (
                &["kind = 'conv'\nchannels = 0\nkernel = 3"],
                &["`channels`"],
            ),
            (&["kind = 'dropout'\nrate = 1.0"], &["`rate` 1", "below 1"]),
            (
                &[
                    "kind = 'residual'\nname = 'r'\nbody = [{kind = 'conv', channels = 5, kernel = 3}]",
                ],
                &[
                    "layer 1 (`r`)",
                    "[5, 8, 6]",
                    "[3, 8, 6]",
                    "projection = true",
                ],
            ),
            (
                &[
                    "kind = 'relu'",
                    "kind = 'residual'\nbody = [{kind = 'relu'}, {kind = 'max-pool', size = 9}]",
                ],
                &["layer 2.2 (`max-pool`)", "9x9"],
            ),
            (&[&deep], &["1 to 57 bytes"]),
        ] {
            let error = build(&layers(lines)).unwrap_err().to_string();
            for needle in needles {
                assert!(error.contains(needle), "{lines:?}: {error}");
            }
        }
    }
}

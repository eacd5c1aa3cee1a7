//! A network whose shapes have been checked, ready for an engine.

mod builder;

use std::ops::Range;

use self::builder::NetworkBuilder;
use super::spec::{HeightWidth, LayerSpec, NetworkSpec};
use crate::layout::ParamLayout;

/// A reason why a network cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("network `{network}` has no layer with parameters: add at least one linear layer")]
    NoParameters { network: String },
    /// `position` counts from 1, and again within each residual block: `3.1`.
    #[error("network `{network}`, layer {position} (`{layer}`): {fault}")]
    Layer {
        network: String,
        position: String,
        layer: String,
        fault: String,
    },
    #[error(
        "network `{network}`, `{layer}`: it needs images, but the data are rows of {features} values: save them \
         with height and width, {advice}"
    )]
    Flat {
        network: String,
        layer: &'static str,
        features: usize,
        advice: String,
    },
    #[error(
        "network `{network}` has {} outputs, but the data set has {classes} classes: set `units` (or \
         `channels`) of its last layer to {classes}",
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
/// `y[o, i, j] = b[o] + Σ_{c,u,v} W[o, c, u, v] · x[c, i·s₀ + u − p₀, j·s₁ + v − p₁]`, with zeros outside x.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv {
    pub inputs: usize,
    pub outputs: usize,
    /// Height and width.
    pub kernel: [usize; 2],
    /// Stride s.
    pub stride: [usize; 2],
    /// p: zeros above and to the left. Below and to the right there are as many as the output's size requires.
    pub before: [usize; 2],
    /// `[outputs, inputs, kh, kw]`, in the flat parameter vector.
    pub weight: Range<usize>,
    /// `[outputs]`, in the flat parameter vector.
    pub bias: Option<Range<usize>>,
}

impl Conv {
    /// Number of weights per output value.
    #[must_use]
    pub fn fan_in(&self) -> usize {
        self.inputs * self.kernel[0] * self.kernel[1]
    }
}

/// A batch norm: `y = γ (x − mean) / √(var + ε) + β`, per channel, with the mean and the (biased) variance over the
/// examples of the slice and all pixels (Ioffe and Szegedy, *Batch Normalization*, ICML 2015, algorithm 1). ε is
/// [`Norm::EPSILON`].
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
    /// ε, as in `PyTorch`.
    pub const EPSILON: f64 = 1e-5;
}

/// A pooling window that slides over each channel within the image.
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
    /// Keeps a value with probability `1 − rate` and divides it by that; in mini-batches only.
    Dropout {
        rate: f64,
    },
    /// Adds another value of the same shape.
    Add(ValueId),
}

/// Identifies a value of the computation: 0 is the input, `i + 1` the output of node `i`.
pub type ValueId = usize;

/// One operation on one value.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub op: Op,
    /// The input value.
    pub input: ValueId,
    /// Shape of the output.
    pub shape: Shape,
}

/// Operations from an example to its class scores, each after its inputs, and the layout of the parameters. The last
/// node's output is the scores.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: String,
    /// Shape of an example.
    pub input: Shape,
    pub classes: usize,
    pub nodes: Vec<Node>,
    pub layout: ParamLayout,
    /// Entries of the vector of buffers: running averages of batch norms.
    pub buffers: usize,
}

/// Number of one-pixel channels from which an input is taken for a row of values rather than an image.
const FLAT: usize = 5;

/// Returns the kind of the first layer with a window of more than one pixel, if one slides over the input.
fn first_window(layers: &[LayerSpec]) -> Option<&'static str> {
    let is_window = |size: &HeightWidth| size.sides() != [1, 1];
    for layer in layers {
        match layer {
            LayerSpec::Linear { .. } | LayerSpec::Flatten {} => return None,
            LayerSpec::Conv { kernel: size, .. } if is_window(size) => return Some("conv"),
            LayerSpec::MaxPool { size, .. } if is_window(size) => return Some("max-pool"),
            LayerSpec::AvgPool { size, .. } if is_window(size) => return Some("avg-pool"),
            LayerSpec::Residual { body, .. } if first_window(body).is_some() => {
                return first_window(body);
            }
            _ => {}
        }
    }
    None
}

/// Suggests how to reshape rows to images, as far as their length tells.
fn as_images(features: usize) -> String {
    let square = |pixels: usize| Some(pixels.isqrt()).filter(|side| side * side == pixels);
    match (
        square(features),
        features.checked_rem(3),
        square(features / 3),
    ) {
        (Some(side), ..) => format!("such as x.reshape(-1, {side}, {side})"),
        (None, Some(0), Some(side)) => format!("such as x.reshape(-1, 3, {side}, {side})"),
        _ => "as [N, height, width]".to_owned(),
    }
}

impl Network {
    /// Resolves a specification for examples of shape `input` in `classes` classes.
    ///
    /// # Errors
    /// A layer with an impossible shape; an empty, overlong or repeated name; no parameters at all; or an output that
    /// is not one score per class.
    pub fn build(spec: &NetworkSpec, input: Shape, classes: usize) -> Result<Self, ModelError> {
        if let [features, 1, 1] = input
            && features >= FLAT
            && let Some(layer) = first_window(&spec.layers)
        {
            return Err(ModelError::Flat {
                network: spec.name.clone(),
                layer,
                features,
                advice: as_images(features),
            });
        }
        let mut builder = NetworkBuilder::new(input);
        (builder.push_all(&spec.layers)).map_err(|fault| fault.into_error(&spec.name))?;
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

    /// Number of values in one example.
    #[must_use]
    pub fn features(&self) -> usize {
        values(self.input)
    }

    /// `P`: number of trainable parameters.
    #[must_use]
    pub fn params(&self) -> usize {
        self.layout.params()
    }

    /// Returns the shape of a value.
    #[must_use]
    pub fn shape(&self, value: ValueId) -> Shape {
        match value {
            0 => self.input,
            _ => self.nodes[value - 1].shape,
        }
    }

    /// Whether the loss of an example depends on the others in its slice.
    #[must_use]
    pub fn has_norm(&self) -> bool {
        self.buffers > 0
    }

    /// Returns the initial running averages: means 0, variances 1.
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

/// Returns the number of values in one example of this shape.
#[must_use]
pub fn values(shape: Shape) -> usize {
    shape.iter().product()
}

/// Formats a shape for display.
fn of_shape(shape: &Shape) -> String {
    match shape {
        [len, 1, 1] => len.to_string(),
        _ => format!("{} ({shape:?})", values(*shape)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::preset;
    use super::*;

    fn build(layers: &str) -> Result<Network, ModelError> {
        let spec: NetworkSpec = toml::from_str(&format!("name = 'test'\n{layers}")).unwrap();
        Network::build(&spec, [3, 8, 6], 4)
    }

    /// Formats layers given in one line each as TOML.
    fn layers(lines: &[&str]) -> String {
        format!("[[layer]]\n{}\n", lines.join("\n[[layer]]\n"))
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

//! Network specifications: the list of layers given by a preset or a TOML file.
//!
//! ```toml
//! name = "my-net"
//!
//! [[layer]]
//! kind = "conv"
//! channels = 16
//! kernel = 3         # or [height, width]
//!
//! [[layer]]
//! kind = "batch-norm"
//!
//! [[layer]]
//! kind = "relu"
//!
//! [[layer]]
//! kind = "linear"
//! name = "readout"   # optional; the default is kind and position: conv1, fc1, …
//! units = 10
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

/// A network: its name and its layers from input to output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    pub name: String,
    #[serde(rename = "layer")]
    pub layers: Vec<LayerSpec>,
}

/// One layer. Shapes are channels, height and width.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum LayerSpec {
    /// `y = W x + b`, `W: [units, inputs]`.
    Linear {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        units: usize,
        #[serde(default = "default_true")]
        bias: bool,
    },
    /// A two-dimensional convolution, `W: [channels, in, kh, kw]`, in the sense of deep-learning libraries: a
    /// cross-correlation.
    Conv {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        channels: usize,
        kernel: HeightWidth,
        #[serde(default)]
        stride: HeightWidth,
        #[serde(default)]
        padding: Padding,
        #[serde(default = "default_true")]
        bias: bool,
    },
    /// Normalises every channel by its mean and variance over the examples of a slice, then scales and shifts it. An
    /// unnamed one directly after a linear layer or a convolution has its two tensors in that layer; otherwise it is a
    /// layer of its own.
    BatchNorm {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// `y = max(x, 0)`, with gradient 0 at 0 as in `PyTorch`.
    Relu {},
    /// The largest value of each window; in a tie, the gradient goes to the first, as in `PyTorch`.
    MaxPool {
        size: HeightWidth,
        /// Defaults to the size of the window.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<HeightWidth>,
    },
    /// The mean of each window.
    AvgPool {
        size: HeightWidth,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<HeightWidth>,
    },
    /// The mean of each channel.
    GlobalAvgPool {},
    /// In training steps only: sets each value to 0 with probability `rate`, and divides the others by `1 − rate`.
    /// Inactive where the loss or its gradient is measured.
    Dropout { rate: f64 },
    /// `[C, H, W]` to one vector, channel-major. Linear layers flatten their input by themselves.
    Flatten {},
    /// `y = body(x) + x`, or `body(x) + projection(x)`.
    Residual {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Whether the shortcut is a 1×1 convolution with bias, strided as the body shrinks its input.
        #[serde(default)]
        projection: bool,
        body: Vec<LayerSpec>,
    },
}

fn default_true() -> bool {
    true
}

/// Height and width: two numbers, or one for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number or [height, width]")]
pub enum HeightWidth {
    Square(usize),
    Sides([usize; 2]),
}

impl HeightWidth {
    /// Height and width.
    #[must_use]
    pub fn sides(self) -> [usize; 2] {
        match self {
            Self::Square(side) => [side; 2],
            Self::Sides(sides) => sides,
        }
    }
}

impl Default for HeightWidth {
    fn default() -> Self {
        Self::Square(1)
    }
}

impl fmt::Display for HeightWidth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [height, width] = self.sides();
        write!(f, "{height}x{width}")
    }
}

/// Zeros around an image before it is convolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"same\", \"valid\" or a number of zeros on every side"
)]
pub enum Padding {
    Named(NamedPadding),
    Zeros(usize),
}

/// Padding by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedPadding {
    /// Zeros that make the output `⌈input / stride⌉`, an odd one at the end: `TensorFlow`'s rule. With stride 1 and an
    /// odd kernel, it equals `PyTorch`'s.
    Same,
    /// No padding.
    Valid,
}

impl Default for Padding {
    fn default() -> Self {
        Self::Named(NamedPadding::Same)
    }
}

/// Names of the built-in networks: those of the paper (docs/method.md).
pub const PRESETS: &[&str] = &[
    "mnist-fc",
    "mnist-lenet",
    "cifar-allcnn",
    "cifar-resnet20",
    "cifar-vgg",
];

/// Returns the preset called `name`, if there is one.
#[must_use]
pub fn preset(name: &str) -> Option<NetworkSpec> {
    let layers = match name {
        "mnist-fc" => fully_connected(&[100, 50, 10]),
        "mnist-lenet" => lenet(),
        "cifar-allcnn" => all_cnn(),
        "cifar-resnet20" => resnet20(),
        "cifar-vgg" => vgg(),
        _ => return None,
    };
    Some(NetworkSpec {
        name: name.to_owned(),
        layers,
    })
}

/// Returns linear layers with a `ReLU` between neighbours.
fn fully_connected(units: &[usize]) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for &units in units {
        if !layers.is_empty() {
            layers.push(RELU);
        }
        layers.push(linear(units));
    }
    layers
}

const RELU: LayerSpec = LayerSpec::Relu {};
const NORM: LayerSpec = LayerSpec::BatchNorm { name: None };
const HALVE: LayerSpec = LayerSpec::MaxPool {
    size: HeightWidth::Square(2),
    stride: None,
};

fn linear(units: usize) -> LayerSpec {
    LayerSpec::Linear {
        name: None,
        units,
        bias: true,
    }
}

fn conv(kernel: usize, channels: usize, stride: usize) -> LayerSpec {
    LayerSpec::Conv {
        name: None,
        channels,
        kernel: HeightWidth::Square(kernel),
        stride: HeightWidth::Square(stride),
        padding: Padding::default(),
        bias: true,
    }
}

/// `LeCun` et al., *Gradient-based learning applied to document recognition*, 1998, in the paper's version.
fn lenet() -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for channels in [20, 40] {
        layers.extend([conv(5, channels, 1), RELU, HALVE]);
    }
    layers.extend(fully_connected_behind(&[400, 10]));
    layers
}

fn fully_connected_behind(units: &[usize]) -> Vec<LayerSpec> {
    let mut layers = vec![LayerSpec::Flatten {}];
    layers.extend(fully_connected(units));
    layers
}

/// Springenberg et al., *Striving for Simplicity: The All Convolutional Net*, ICLR 2015, with batch
/// norm.
fn all_cnn() -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for (kernel, channels, stride) in [
        (3, 96, 1),
        (3, 96, 1),
        (3, 96, 2),
        (3, 192, 1),
        (3, 192, 1),
        (3, 192, 2),
        (3, 192, 1),
        (1, 192, 1),
    ] {
        layers.push(conv(kernel, channels, stride));
        if stride == 1 {
            layers.extend([NORM, RELU]);
        }
    }
    layers.extend([conv(1, 10, 1), LayerSpec::GlobalAvgPool {}]);
    layers
}

/// He et al., *Deep Residual Learning for Image Recognition*, CVPR 2016, section 4.2, with n = 3,
/// biases, and projections where the size changes.
fn resnet20() -> Vec<LayerSpec> {
    let mut layers = vec![conv(3, 16, 1), NORM, RELU];
    for (stage, channels) in [16, 32, 64].into_iter().enumerate() {
        for block in 0..3 {
            let shrinks = stage > 0 && block == 0;
            let stride = if shrinks { 2 } else { 1 };
            let body = vec![
                conv(3, channels, stride),
                NORM,
                RELU,
                conv(3, channels, 1),
                NORM,
            ];
            layers.push(LayerSpec::Residual {
                name: None,
                projection: shrinks,
                body,
            });
            layers.push(RELU);
        }
    }
    layers.extend([LayerSpec::GlobalAvgPool {}, linear(10)]);
    layers
}

/// After Simonyan and Zisserman, *Very Deep Convolutional Networks*, ICLR 2015: narrower, for CIFAR.
fn vgg() -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for group in [&[32][..], &[64], &[128, 128], &[256, 256]] {
        for &channels in group {
            layers.extend([conv(3, channels, 1), RELU]);
        }
        layers.push(HALVE);
    }
    layers.extend(fully_connected_behind(&[512, 512, 10]));
    layers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_reads_from_toml_and_writes_back() {
        let text = r#"
            name = "tiny"
            [[layer]]
            kind = "conv"
            channels = 4
            kernel = [3, 5]
            padding = 1
            [[layer]]
            kind = "residual"
            projection = true
            [[layer.body]]
            kind = "conv"
            channels = 8
            kernel = 3
            stride = 2
            [[layer.body]]
            kind = "dropout"
            rate = 0.25
            [[layer]]
            kind = "max-pool"
            size = 2
            [[layer]]
            kind = "flatten"
            [[layer]]
            kind = "linear"
            name = "readout"
            units = 3
        "#;
        let spec: NetworkSpec = toml::from_str(text).unwrap();
        assert_eq!(spec.layers.len(), 5);
        assert_eq!(
            spec.layers[0],
            LayerSpec::Conv {
                name: None,
                channels: 4,
                kernel: HeightWidth::Sides([3, 5]),
                stride: HeightWidth::Square(1),
                padding: Padding::Zeros(1),
                bias: true,
            }
        );
        let again: NetworkSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!(spec, again);
        for name in PRESETS {
            let spec = preset(name).unwrap();
            let again: NetworkSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
            assert_eq!(spec, again);
        }
    }

    #[test]
    fn unknown_kinds_and_keys_are_named() {
        let error = |text: &str| {
            let text = format!("name = 'x'\n[[layer]]\n{text}");
            toml::from_str::<NetworkSpec>(&text)
                .unwrap_err()
                .to_string()
        };
        for (text, needle) in [
            ("kind = 'liner'\nunits = 3", "liner"),
            ("kind = 'linear'\nunits = 3\nwidth = 2", "width"),
            ("kind = 'relu'\nunits = 3", "units"),
            ("kind = 'conv'\nkernel = 3", "channels"),
            (
                "kind = 'conv'\nchannels = 3\nkernel = 'x'",
                "[height, width]",
            ),
            (
                "kind = 'conv'\nchannels = 3\nkernel = [1, 2, 3]",
                "[height, width]",
            ),
            (
                "kind = 'conv'\nchannels = 3\nkernel = 3\npadding = 'full'",
                "\"valid\"",
            ),
        ] {
            let error = error(text);
            assert!(error.contains(needle), "{text}: {error}");
        }
    }

    #[test]
    fn every_preset_exists() {
        for name in PRESETS {
            assert_eq!(preset(name).unwrap().name, *name);
        }
        assert_eq!(preset("nope"), None);
    }
}

//! A network whose shapes have been checked, ready for an engine.

use std::collections::HashSet;
use std::ops::Range;

use super::spec::{LayerSpec, NetworkSpec};
use crate::layout::{MAX_NAME, ParamLayout, TensorKind};

/// Parameters a network may have: indices are stored in 32 bits in places, and a gradient of this
/// many would take 4 GiB.
const MAX_PARAMS: usize = 1 << 30;

/// Why a network cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("network `{network}` has no layer with parameters: add at least one linear layer")]
    NoParameters { network: String },
    #[error("layer {position} (`{layer}`): {fault}")]
    Layer {
        position: usize,
        layer: String,
        fault: String,
    },
    #[error(
        "network `{network}` ends with {outputs} outputs, but the data set has {classes} classes: \
         make its last layer's `units` {classes}"
    )]
    Outputs {
        network: String,
        outputs: usize,
        classes: usize,
    },
}

/// One linear layer: `y = W x + b` on vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    pub inputs: usize,
    pub outputs: usize,
    /// `[outputs, inputs]`, in the flat parameter vector.
    pub weight: Range<usize>,
    /// `[outputs]`, in the flat parameter vector.
    pub bias: Range<usize>,
}

/// One operation, with its shapes resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Dense(Dense),
    Relu { len: usize },
}

/// A list of operations from an example to its class scores, and the layout of the parameters.
#[derive(Clone, Debug)]
pub struct Network {
    pub name: String,
    /// Channels, height and width of an example.
    pub input: [usize; 3],
    pub classes: usize,
    pub ops: Vec<Op>,
    pub layout: ParamLayout,
}

impl Network {
    /// Resolves a specification for examples of shape `input` (channels, height, width) in
    /// `classes` classes.
    ///
    /// # Errors
    /// A layer whose shape is impossible, a name that is empty, too long or used twice, no
    /// parameters at all, or an output that is not one score a class.
    pub fn build(
        spec: &NetworkSpec,
        input: [usize; 3],
        classes: usize,
    ) -> Result<Self, ModelError> {
        let mut builder = Builder {
            len: input.iter().product(),
            ops: Vec::new(),
            layout: ParamLayout::default(),
            names: HashSet::new(),
        };
        for (index, layer) in spec.layers.iter().enumerate() {
            builder.push(layer).map_err(|fault| ModelError::Layer {
                position: index + 1,
                layer: label(layer),
                fault,
            })?;
        }
        if builder.layout.layers.is_empty() {
            return Err(ModelError::NoParameters {
                network: spec.name.clone(),
            });
        }
        if builder.len != classes {
            return Err(ModelError::Outputs {
                network: spec.name.clone(),
                outputs: builder.len,
                classes,
            });
        }
        Ok(Self {
            name: spec.name.clone(),
            input,
            classes,
            ops: builder.ops,
            layout: builder.layout,
        })
    }

    /// Values in one example.
    #[must_use]
    pub fn features(&self) -> usize {
        self.input.iter().product()
    }

    /// `P`, all trainable parameters.
    #[must_use]
    pub fn params(&self) -> usize {
        self.layout.params()
    }
}

/// What an error calls a layer.
fn label(layer: &LayerSpec) -> String {
    match layer {
        LayerSpec::Linear { name, .. } => name.clone().unwrap_or_else(|| "linear".to_owned()),
        LayerSpec::Relu {} => "relu".to_owned(),
        LayerSpec::Flatten {} => "flatten".to_owned(),
    }
}

struct Builder {
    /// Values that the next layer receives.
    len: usize,
    ops: Vec<Op>,
    layout: ParamLayout,
    names: HashSet<String>,
}

impl Builder {
    fn push(&mut self, layer: &LayerSpec) -> Result<(), String> {
        match layer {
            LayerSpec::Linear { name, units } => self.linear(name.as_deref(), *units),
            LayerSpec::Relu {} => {
                self.ops.push(Op::Relu { len: self.len });
                Ok(())
            }
            // Examples are stored channel-major, so a flat view needs no work.
            LayerSpec::Flatten {} => Ok(()),
        }
    }

    fn linear(&mut self, name: Option<&str>, units: usize) -> Result<(), String> {
        if units == 0 {
            return Err("`units` must be at least 1".to_owned());
        }
        let inputs = self.len;
        let params = inputs
            .checked_mul(units)
            .and_then(|weights| weights.checked_add(units))
            .and_then(|params| params.checked_add(self.layout.params()))
            .filter(|&params| params <= MAX_PARAMS);
        if params.is_none() {
            return Err(format!(
                "weights [{units}, {inputs}] bring the network above {MAX_PARAMS} parameters"
            ));
        }
        let name = match name {
            Some(name) => name.to_owned(),
            None => format!("fc{}", self.layout.layers.len() + 1),
        };
        self.check_name(&name)?;
        let layer = self.layout.push_layer(
            &name,
            "linear",
            units,
            &[
                (TensorKind::Weight, vec![units, inputs]),
                (TensorKind::Bias, vec![units]),
            ],
        );
        let tensors = &self.layout.tensors[self.layout.layers[layer].tensors.clone()];
        self.ops.push(Op::Dense(Dense {
            inputs,
            outputs: units,
            weight: tensors[0].range.clone(),
            bias: tensors[1].range.clone(),
        }));
        self.len = units;
        Ok(())
    }

    fn check_name(&mut self, name: &str) -> Result<(), String> {
        // Room for the longest tensor suffix in the run file's fixed strings.
        let longest = MAX_NAME - ".weight".len();
        if name.is_empty() || name.len() > longest {
            return Err(format!(
                "a name has 1 to {longest} bytes, not {}",
                name.len()
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
        if !self.names.insert(name.to_owned()) {
            return Err(format!("the name `{name}` is used twice"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::preset;
    use super::*;

    fn linear(name: Option<&str>, units: usize) -> LayerSpec {
        LayerSpec::Linear {
            name: name.map(str::to_owned),
            units,
        }
    }

    fn build(layers: Vec<LayerSpec>) -> Result<Network, ModelError> {
        let spec = NetworkSpec {
            name: "test".to_owned(),
            layers,
        };
        Network::build(&spec, [1, 2, 3], 4)
    }

    #[test]
    fn mnist_fc_has_the_papers_parameter_count() {
        let network = Network::build(&preset("mnist-fc").unwrap(), [1, 28, 28], 10).unwrap();
        assert_eq!(network.params(), 84_060);
        let names: Vec<_> = network.layout.layers.iter().map(|l| &l.name).collect();
        assert_eq!(names, ["fc1", "fc2", "fc3"]);
    }

    #[test]
    fn faults_name_the_layer() {
        let error = |layers| build(layers).unwrap_err().to_string();
        assert!(error(vec![LayerSpec::Relu {}]).contains("no layer with parameters"));
        assert!(error(vec![linear(None, 5)]).contains("5 outputs"));
        assert!(error(vec![linear(None, 0)]).contains("layer 1 (`linear`)"));
        assert!(error(vec![linear(Some("a"), 4), linear(Some("a"), 4)]).contains("used twice"));
        assert!(error(vec![linear(Some("a\u{1b}[2J"), 4)]).contains("letters, digits"));
        assert!(error(vec![linear(Some(&"x".repeat(58)), 4)]).contains("1 to 57 bytes"));
        assert!(error(vec![linear(None, usize::MAX)]).contains("parameters"));
    }
}

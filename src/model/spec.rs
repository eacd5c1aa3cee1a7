//! A network as data: the list of layers that a preset or a TOML file gives.
//!
//! ```toml
//! name = "my-net"
//!
//! [[layer]]
//! kind = "linear"
//! units = 100
//!
//! [[layer]]
//! kind = "relu"
//!
//! [[layer]]
//! kind = "linear"
//! name = "readout"   # optional; the default is kind and position: fc1, fc2, …
//! units = 10
//! ```

use serde::{Deserialize, Serialize};

/// A network: its name and its layers from input to output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    pub name: String,
    #[serde(rename = "layer")]
    pub layers: Vec<LayerSpec>,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    },
    /// `y = max(x, 0)`, with gradient 0 at 0 as in `PyTorch`.
    Relu {},
    /// `[C, H, W]` to one vector, channel-major. Linear layers do it by themselves.
    Flatten {},
}

/// The networks that are known by name.
pub const PRESETS: &[&str] = &["mnist-fc"];

/// The preset called `name`, if there is one.
#[must_use]
pub fn preset(name: &str) -> Option<NetworkSpec> {
    let layers = match name {
        "mnist-fc" => fully_connected(&[100, 50, 10]),
        _ => return None,
    };
    Some(NetworkSpec {
        name: name.to_owned(),
        layers,
    })
}

/// Linear layers with a `ReLU` between every two.
fn fully_connected(units: &[usize]) -> Vec<LayerSpec> {
    let mut layers = Vec::new();
    for &units in units {
        if !layers.is_empty() {
            layers.push(LayerSpec::Relu {});
        }
        layers.push(LayerSpec::Linear { name: None, units });
    }
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
            kind = "flatten"
            [[layer]]
            kind = "linear"
            name = "readout"
            units = 3
        "#;
        let spec: NetworkSpec = toml::from_str(text).unwrap();
        assert_eq!(spec.layers.len(), 2);
        let again: NetworkSpec = toml::from_str(&toml::to_string(&spec).unwrap()).unwrap();
        assert_eq!(spec, again);
    }

    #[test]
    fn unknown_kinds_and_keys_are_named() {
        let error = |text: &str| toml::from_str::<NetworkSpec>(text).unwrap_err().to_string();
        let text = error("name = 'x'\n[[layer]]\nkind = 'liner'\nunits = 3");
        assert!(text.contains("liner"), "{text}");
        let text = error("name = 'x'\n[[layer]]\nkind = 'linear'\nunits = 3\nwidth = 2");
        assert!(text.contains("width"), "{text}");
        let text = error("name = 'x'\n[[layer]]\nkind = 'relu'\nunits = 3");
        assert!(text.contains("units"), "{text}");
    }

    #[test]
    fn every_preset_exists() {
        for name in PRESETS {
            assert_eq!(preset(name).unwrap().name, *name);
        }
        assert_eq!(preset("nope"), None);
    }
}

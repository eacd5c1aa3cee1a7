//! The settings of a run against which its numbers are judged.
//!
//! They come from the TOML configuration in the file; a run of another program has none. Missing or unreadable settings
//! are unknown.

use crate::optim::{Freeze, LayerRule, Overrides, overrides_of};
use crate::record::RunHeader;

/// The settings of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunSettings {
    /// `[L]`: the optimizer's momentum in each layer; none for optimizers without momentum. Empty if unknown.
    momentum: Vec<Option<f64>>,
    /// `[L]`: each layer's overrides. Empty if unknown.
    layers: Vec<Overrides>,
    /// The most segments that the adaptive integrator may take; none for other integrators.
    pub max_segments: Option<u64>,
    /// Whether the training and the held-out examples are samples of a larger set.
    pub is_drawn: [bool; 2],
    /// Optimizer steps in a step.
    every: u64,
    /// Whether the weights were trained by another program.
    pub is_given: bool,
    /// Whether this program trained the network; its losses are then cross-entropies.
    pub is_known: bool,
}

impl RunSettings {
    #[must_use]
    pub fn of(header: &RunHeader) -> Self {
        let layers = &header.layout.layers;
        let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
        let Ok(config) = header.config.parse::<toml::Table>() else {
            return Self::default();
        };
        // An unreadable rule may concern any layer and any setting.
        let overrides = rules(&config).and_then(|rules| overrides_of(&rules, &names).ok());
        let momentum_of = |layer: &Overrides| match layer.momentum {
            Some(own) => Some(own),
            None => momentum(&config),
        };
        let adaptive = header.integrator == "adaptive";
        let recording = config.get("record").and_then(toml::Value::as_table);
        let segments = recording.unwrap_or(&config).get("max_segments");
        let segments = segments.and_then(toml::Value::as_integer);
        Self {
            momentum: overrides.iter().flatten().map(momentum_of).collect(),
            layers: overrides.unwrap_or_default(),
            max_segments: segments
                .filter(|_| adaptive)
                .and_then(|n| n.try_into().ok()),
            is_drawn: ["train_size", "test_size"].map(|key| config.contains_key(key)),
            every: header.lca_every.max(1),
            is_given: config.contains_key("course") || recording.is_some(),
            is_known: !config.is_empty() && recording.is_none(),
        }
    }

    /// The average delay of a layer due to momentum, in steps: m/(1−m), from the weights that a constant gradient has
    /// in the updates that follow it. None if the optimizer has no momentum, or if it is unknown.
    #[must_use]
    pub fn delay(&self, layer: usize) -> Option<f64> {
        let momentum = self.momentum.get(layer).copied().flatten()?;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let delay = momentum / (1.0 - momentum) / self.every as f64;
        Some(delay).filter(|delay| delay.is_finite())
    }

    /// `[L]`: whether each layer is meant to stand still in a step, because it is frozen or its first delayed gradient
    /// has not arrived yet. Empty if unknown.
    pub fn expected_still(&self, step: u64) -> impl Iterator<Item = bool> {
        let every = self.every.max(1);
        let first = step.saturating_mul(every);
        let last = first.saturating_add(every - 1);
        self.layers.iter().map(move |layer| {
            let frozen = layer.freeze.unwrap_or(Freeze::Never).holds(first);
            frozen || layer.delay.is_some_and(|delay| last < delay as u64)
        })
    }
}

/// The run's momentum.
fn momentum(config: &toml::Table) -> Option<f64> {
    let value = config.get("momentum")?;
    #[expect(clippy::cast_precision_loss, reason = "a momentum is below 1")]
    let whole = value.as_integer().map(|whole| whole as f64);
    value
        .as_float()
        .or(whole)
        .filter(|m| (0.0..1.0).contains(m))
}

/// The layer rules, as the program writes them into the file; none if any of them cannot be read.
fn rules(config: &toml::Table) -> Option<Vec<LayerRule>> {
    let Some(list) = config.get("layer") else {
        return Some(Vec::new());
    };
    let rule = |value: &toml::Value| value.as_str()?.parse().ok();
    list.as_array()?.iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{ParamLayout, TensorKind};

    fn settings_of(config: &str) -> RunSettings {
        let mut layout = ParamLayout::default();
        for name in ["fc1", "fc2"] {
            layout.push_layer(name, "linear", 1, &[(TensorKind::Bias, vec![1])]);
        }
        RunSettings::of(&RunHeader {
            config: config.to_owned(),
            integrator: "adaptive".to_owned(),
            layout,
            ..RunHeader::default()
        })
    }

    #[test]
    fn momentum_and_delay_are_known_per_layer() {
        let settings =
            settings_of("momentum = 0.9\nmax_segments = 32\nlayer = [\"fc2:momentum=0.5\"]");
        assert!((settings.delay(0).unwrap() - 9.0).abs() < 1e-9);
        assert!((settings.delay(1).unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(settings.delay(2), None);
        assert_eq!(settings.max_segments, Some(32));
        assert_eq!(settings_of("momentum = 0").delay(0), Some(0.0));
    }

    #[test]
    fn frozen_and_delayed_layers_are_not_expected_to_move() {
        let settings = settings_of("layer = [\"fc1:freeze-from=5\", \"fc2:delay=2\"]");
        let still = |step| settings.expected_still(step).collect::<Vec<_>>();
        assert_eq!(still(0), [false, true]);
        assert_eq!(still(2), [false, false]);
        assert_eq!(still(5), [true, false]);
    }

    #[test]
    fn an_unreadable_rule_may_concern_any_layer() {
        for rule in [
            "\"fc2:momentum=7\"",
            "\"fc2:speed=1\"",
            "3",
            "\"fc9:momentum=0.5\"",
        ] {
            let settings =
                settings_of(&format!("momentum = 0.9\nlayer = [\"fc1:freeze\", {rule}]"));
            assert_eq!(
                (settings.delay(0), settings.delay(1)),
                (None, None),
                "{rule}"
            );
            assert_eq!(settings.expected_still(9).count(), 0, "{rule}");
        }
        assert_eq!(
            settings_of("momentum = 0.9\nlayer = \"fc1:freeze\"").delay(0),
            None
        );
    }

    #[test]
    fn unreadable_settings_are_unknown() {
        for config in [
            "",
            "momentum = \"x\"",
            "momentum = 7",
            "= nonsense",
            "layer = 3",
        ] {
            let settings = settings_of(config);
            assert_eq!(settings.delay(0), None, "{config}");
            assert!(settings.expected_still(9).all(|still| !still), "{config}");
            assert_eq!(settings.max_segments, None);
        }
    }
}

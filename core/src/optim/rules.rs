//! User-defined training settings for single layers.

use std::fmt;
use std::str::FromStr;

/// Largest step number: a 64-bit float represents every whole number up to this one.
const MAX_STEP: u64 = 1 << 53;

/// Training settings for one or several layers, written `NAME:KEY=VALUE,…`.
///
/// NAME is a layer's name, or a prefix of names followed by `*`: `block3.*` are the layers of a block, `*` all. If
/// several rules for a layer set the same key, the last one applies.
///
/// - `learning-rate=X`: replaces the run's; the schedule's factor still applies
/// - `momentum=X`, `weight-decay=X`: replace the run's
/// - `freeze` or `freeze-from=N`: does not move at all, or from step N on; `freeze=false` cancels an earlier rule
/// - `delay=D`: moves by the gradient of D steps ago
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRule {
    /// A name, or a prefix with `*`.
    pattern: String,
    pub overrides: Overrides,
}

/// Settings of a layer; `None` keeps the run's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Overrides {
    pub learning_rate: Option<f64>,
    pub momentum: Option<f64>,
    pub weight_decay: Option<f64>,
    pub freeze: Option<Freeze>,
    /// Number of steps.
    pub delay: Option<usize>,
}

/// The step from which a layer no longer moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freeze {
    Never,
    /// Frozen from this step on; 0 is from the start.
    From(u64),
}

impl Freeze {
    /// Whether the layer is frozen in step `step`.
    #[must_use]
    pub fn holds(self, step: u64) -> bool {
        match self {
            Self::Never => false,
            Self::From(first) => step >= first,
        }
    }
}

/// A reason why a rule cannot be parsed.
#[derive(Debug, thiserror::Error)]
pub enum LayerRuleError {
    #[error(
        "invalid rule for a layer `{0}`: use NAME:KEY=VALUE, such as fc3:learning-rate=0.01, or NAME:freeze"
    )]
    Form(String),
    #[error("invalid layer name `{0}`: use a name, or the beginning of names followed by *")]
    Pattern(String),
    #[error(
        "layer {layer}: unknown key `{key}`: use learning-rate, momentum, weight-decay, freeze, \
         freeze-from or delay"
    )]
    Key { layer: String, key: String },
    #[error("layer {layer}: {key} given more than once")]
    Twice { layer: String, key: String },
    #[error("layer {layer}: {key} must be {range}, not `{value}`")]
    Value {
        layer: String,
        key: String,
        value: String,
        range: &'static str,
    },
}

/// A rule that matches no layer of the network.
#[derive(Debug, thiserror::Error)]
#[error("--layer {pattern}: no such layer in the network (layers: {})", .layers.join(", "))]
pub struct UnknownLayer {
    pattern: String,
    layers: Vec<String>,
}

/// Returns `[L]`: the overrides of each layer.
///
/// # Errors
/// A rule that matches none of them.
pub fn overrides_of(rules: &[LayerRule], layers: &[&str]) -> Result<Vec<Overrides>, UnknownLayer> {
    let mut overrides = vec![Overrides::default(); layers.len()];
    for rule in rules {
        let mut known = false;
        for (_, layer) in (layers.iter().zip(&mut overrides)).filter(|(name, _)| rule.names(name)) {
            layer.override_with(rule.overrides);
            known = true;
        }
        if !known {
            return Err(UnknownLayer {
                pattern: rule.pattern.clone(),
                layers: layers.iter().map(ToString::to_string).collect(),
            });
        }
    }
    Ok(overrides)
}

impl LayerRule {
    /// Creates a rule from its keys and values as text. Keys may have underscores for hyphens.
    ///
    /// # Errors
    /// A bad pattern, an unknown or repeated key, or a value out of range.
    pub fn new<'a>(
        pattern: &str,
        keys: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LayerRuleError> {
        let pattern = pattern.trim();
        let stem = pattern.strip_suffix('*').unwrap_or(pattern);
        if pattern.is_empty() || stem.contains(|c: char| c == '*' || c.is_whitespace()) {
            return Err(LayerRuleError::Pattern(pattern.to_owned()));
        }
        let mut overrides = Overrides::default();
        for (key, value) in keys {
            let key = key.trim().replace('_', "-");
            let layer = || pattern.to_owned();
            match overrides.set(&key, value.trim()) {
                Ok(()) => {}
                Err(RuleFault::Key) => {
                    return Err(LayerRuleError::Key {
                        layer: layer(),
                        key,
                    });
                }
                Err(RuleFault::Twice) => {
                    return Err(LayerRuleError::Twice {
                        layer: layer(),
                        key,
                    });
                }
                Err(RuleFault::Value(range)) => {
                    return Err(LayerRuleError::Value {
                        layer: layer(),
                        key,
                        value: value.to_owned(),
                        range,
                    });
                }
            }
        }
        Ok(Self {
            pattern: pattern.to_owned(),
            overrides,
        })
    }

    /// A name, or a prefix with `*`.
    #[must_use]
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Whether the rule matches the layer of this name.
    #[must_use]
    pub fn names(&self, layer: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(stem) => layer.starts_with(stem),
            None => layer == self.pattern,
        }
    }

    /// The specificity of the pattern; greater is more specific.
    #[must_use]
    pub fn specificity(&self) -> (bool, usize) {
        (!self.pattern.ends_with('*'), self.pattern.len())
    }
}

/// A fault in a key or its value.
enum RuleFault {
    Key,
    Twice,
    /// The value is not of this form.
    Value(&'static str),
}

impl Overrides {
    /// Replaces settings by those that `above` sets.
    fn override_with(&mut self, above: Self) {
        // Destructured without `..`, so that a new key cannot be forgotten.
        let Self {
            learning_rate,
            momentum,
            weight_decay,
            freeze,
            delay,
        } = above;
        self.learning_rate = learning_rate.or(self.learning_rate);
        self.momentum = momentum.or(self.momentum);
        self.weight_decay = weight_decay.or(self.weight_decay);
        self.freeze = freeze.or(self.freeze);
        self.delay = delay.or(self.delay);
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), RuleFault> {
        match key {
            "learning-rate" => {
                let good = |&x: &f64| x > 0.0 && x.is_finite();
                let range = "a positive number (use freeze to freeze a layer)";
                parse_into(&mut self.learning_rate, value, good, range)
            }
            "momentum" => {
                let good = |x: &f64| (0.0..1.0).contains(x);
                parse_into(&mut self.momentum, value, good, "from 0 to below 1")
            }
            "weight-decay" => {
                let good = |&x: &f64| x >= 0.0 && x.is_finite();
                parse_into(
                    &mut self.weight_decay,
                    value,
                    good,
                    "0 or a positive number",
                )
            }
            "delay" => {
                let good = |&steps: &usize| steps as u64 <= MAX_STEP;
                parse_into(&mut self.delay, value, good, "a number of steps up to 2^53")
            }
            "freeze" | "freeze-from" if self.freeze.is_some() => Err(RuleFault::Twice),
            "freeze" => {
                self.freeze = Some(match value {
                    "" | "true" => Freeze::From(0),
                    "false" => Freeze::Never,
                    _ => return Err(RuleFault::Value("true or false")),
                });
                Ok(())
            }
            "freeze-from" => {
                let step = value.parse().ok().filter(|&step| step <= MAX_STEP);
                let step = step.ok_or(RuleFault::Value("a step number up to 2^53"))?;
                self.freeze = Some(Freeze::From(step));
                Ok(())
            }
            _ => Err(RuleFault::Key),
        }
    }
}

/// Parses a value into its place, which must be empty.
fn parse_into<T: FromStr>(
    place: &mut Option<T>,
    value: &str,
    good: impl Fn(&T) -> bool,
    range: &'static str,
) -> Result<(), RuleFault> {
    if place.is_some() {
        return Err(RuleFault::Twice);
    }
    let value = value.parse().ok().filter(good);
    *place = Some(value.ok_or(RuleFault::Value(range))?);
    Ok(())
}

impl FromStr for LayerRule {
    type Err = LayerRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let form = || LayerRuleError::Form(text.to_owned());
        let (pattern, keys) = text.split_once(':').ok_or_else(form)?;
        if keys.trim().is_empty() {
            return Err(form());
        }
        let pairs = keys.split(',');
        Self::new(
            pattern,
            pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))),
        )
    }
}

impl fmt::Display for LayerRule {
    /// Writes text that parses back to the same rule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Overrides {
            learning_rate,
            momentum,
            weight_decay,
            freeze,
            delay,
        } = self.overrides;
        let key = |key, value: String| format!("{key}={value}");
        let said: Vec<String> = [
            learning_rate.map(|x| key("learning-rate", x.to_string())),
            momentum.map(|x| key("momentum", x.to_string())),
            weight_decay.map(|x| key("weight-decay", x.to_string())),
            freeze.map(|freeze| match freeze {
                Freeze::Never => key("freeze", "false".to_owned()),
                Freeze::From(0) => "freeze".to_owned(),
                Freeze::From(step) => key("freeze-from", step.to_string()),
            }),
            delay.map(|d| key("delay", d.to_string())),
        ]
        .into_iter()
        .flatten()
        .collect();
        write!(f, "{}:{}", self.pattern, said.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(texts: &[&str]) -> Vec<LayerRule> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_last_rule_that_names_a_key_decides_it() {
        let rules = rules(&[
            "*:delay=9,momentum=0.5",
            "block1.*:freeze,learning-rate=0.1",
            "block1.conv2:freeze=false,momentum=0",
            "fc1:delay=0",
        ]);
        let layers = ["conv1", "block1.conv1", "block1.conv2", "fc1"];
        let all = Overrides {
            delay: Some(9),
            momentum: Some(0.5),
            ..Overrides::default()
        };
        let block = Overrides {
            freeze: Some(Freeze::From(0)),
            learning_rate: Some(0.1),
            ..all
        };
        let want = [
            all,
            block,
            Overrides {
                freeze: Some(Freeze::Never),
                momentum: Some(0.0),
                ..block
            },
            Overrides {
                delay: Some(0),
                ..all
            },
        ];
        assert_eq!(overrides_of(&rules, &layers).unwrap(), want);
    }

    #[test]
    fn a_name_is_whole_and_a_pattern_is_a_prefix() {
        let [name, pattern, all] = &rules(&["fc1:freeze", "fc1*:freeze", "*:freeze"])[..] else {
            panic!("three rules")
        };
        assert!(name.names("fc1") && !name.names("fc10") && !name.names("fc"));
        assert!(pattern.names("fc1") && pattern.names("fc10") && !pattern.names("conv1"));
        assert!(all.names("fc1") && all.names("block1.shortcut"));
        assert!(
            name.specificity() > pattern.specificity() && pattern.specificity() > all.specificity()
        );
    }

    #[test]
    fn a_rule_for_no_layer_lists_the_layers() {
        for pattern in ["fc9", "block*", "fc"] {
            let rules = rules(&["fc1:delay=1", &format!("{pattern}:freeze")]);
            let error = overrides_of(&rules, &["fc1", "fc2"]).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("--layer {pattern}:")), "{text}");
            assert!(text.ends_with("(layers: fc1, fc2)"), "{text}");
        }
    }

    #[test]
    fn text_round_trips() {
        for text in [
            "fc3:learning-rate=0.01",
            "*:learning-rate=0.0000001,momentum=0.5,weight-decay=0.1,freeze-from=7,delay=9",
            "block1.*:freeze",
            "fc3:freeze=false,delay=0",
        ] {
            assert_eq!(text.parse::<LayerRule>().unwrap().to_string(), text);
        }
        let loose = "fc3 : learning_rate = 1e-2, freeze=true".parse::<LayerRule>();
        assert_eq!(
            loose.unwrap().to_string(),
            "fc3:learning-rate=0.01,freeze",
            "blanks and underscores do no harm"
        );
    }

    #[test]
    fn faults_name_layer_key_and_value() {
        for (text, needles) in [
            ("", &["invalid rule for a layer"][..]),
            ("fc3", &["`fc3`", "NAME:KEY=VALUE"]),
            ("fc3:", &["`fc3:`"]),
            (":freeze", &["invalid layer name"]),
            ("f*3:freeze", &["`f*3`", "*"]),
            ("**:freeze", &["`**`"]),
            ("fc 3:freeze", &["`fc 3`"]),
            ("fc3:rate=1", &["layer fc3", "`rate`", "learning-rate"]),
            ("fc3:freeze,", &["layer fc3", "unknown key ``"]),
            (
                "fc3:learning-rate=0",
                &["fc3: learning-rate", "positive", "`0`"],
            ),
            ("fc3:learning-rate", &["fc3: learning-rate", "``"]),
            ("fc3:learning-rate=inf", &["`inf`"]),
            ("fc3:learning-rate=nan", &["`nan`"]),
            ("fc3:momentum=1", &["fc3: momentum", "below 1", "`1`"]),
            ("fc3:weight-decay=-1", &["fc3: weight-decay", "`-1`"]),
            ("fc3:freeze=perhaps", &["fc3: freeze", "true or false"]),
            ("fc3:freeze-from", &["fc3: freeze-from", "step number"]),
            ("fc3:delay=-1", &["fc3: delay", "number of steps", "`-1`"]),
            ("fc3:delay=1.5", &["fc3: delay", "`1.5`"]),
            ("fc3:delay=1,delay=2", &["fc3: delay given more than once"]),
            (
                "fc3:freeze,freeze-from=2",
                &["fc3: freeze-from given more than once"],
            ),
        ] {
            let error = text.parse::<LayerRule>().unwrap_err().to_string();
            for needle in needles {
                assert!(error.contains(needle), "{text}: {error}");
            }
        }
    }
}

//! Per-layer rules in a TOML file.
//!
//! ```toml
//! layer = ["*:delay=9", "fc3:delay=0"]   # as with flags, the last one wins
//! ```
//!
//! or as tables, whose order is irrelevant: the more specific pattern wins.
//!
//! ```toml
//! [layer."*"]
//! delay = 9
//! [layer.fc3]
//! delay = 0
//! ```

use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};
use toml::Value;

use crate::optim::{LayerRule, Overrides};

/// Writes rules as a list, which preserves their order.
pub fn serialize<S: Serializer>(rules: &[LayerRule], serializer: S) -> Result<S::Ok, S::Error> {
    let texts: Vec<String> = rules.iter().map(LayerRule::to_string).collect();
    texts.serialize(serializer)
}

/// Reads a list or tables.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<LayerRule>, D::Error> {
    let form = || {
        D::Error::custom(
            "`layer` must be a list of rules, such as [\"fc3:freeze\"], or a table per layer, \
             such as [layer.fc3]",
        )
    };
    match Value::deserialize(deserializer)? {
        Value::Array(rules) => {
            let texts = rules.iter().map(|rule| rule.as_str().ok_or_else(form));
            texts
                .map(|text| text?.parse().map_err(D::Error::custom))
                .collect()
        }
        Value::Table(layers) => {
            let tables = layers.iter().map(|(name, keys)| {
                let keys = keys.as_table().ok_or_else(form)?;
                from_table(name, keys).map_err(D::Error::custom)
            });
            let mut rules = tables.collect::<Result<Vec<LayerRule>, _>>()?;
            rules.sort_by_key(LayerRule::specificity);
            Ok(rules)
        }
        _ => Err(form()),
    }
}

fn from_table(name: &str, keys: &toml::Table) -> Result<LayerRule, String> {
    // To TOML, `[layer.block3.conv1]` is a nested table.
    if let Some((inner, _)) = keys.iter().find(|(_, value)| value.is_table()) {
        return Err(format!(
            "layer {name}: a name with dots needs quotes: [layer.\"{name}.{inner}\"]"
        ));
    }
    let texts: Vec<(&str, String)> = keys
        .iter()
        .map(|(key, value)| {
            let text = value.as_str().map(str::to_owned);
            (key.as_str(), text.unwrap_or_else(|| value.to_string()))
        })
        .collect();
    let pairs = texts.iter().map(|(key, text)| (*key, text.as_str()));
    LayerRule::new(name, pairs).map_err(|error| error.to_string())
}

/// Appends `flags` to `base`. A change of optimizer drops the base's learning rates and momenta.
pub fn merge(base: &[LayerRule], flags: &[LayerRule], other_optimizer: bool) -> Vec<LayerRule> {
    let mut rules = base.to_vec();
    if other_optimizer {
        for rule in &mut rules {
            rule.overrides.learning_rate = None;
            rule.overrides.momentum = None;
        }
        rules.retain(|rule| rule.overrides != Overrides::default());
    }
    rules.extend_from_slice(flags);
    rules
}

#[cfg(test)]
mod tests {
    use crate::config::{Options, merge, parse};

    fn rules(text: &str) -> Vec<String> {
        let options = parse(text, "run.toml").unwrap();
        options.layer.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_keep_their_order_and_tables_apply_by_specificity() {
        assert_eq!(
            rules("layer = ['fc3:delay=0', '*:delay=9']"),
            ["fc3:delay=0", "*:delay=9"]
        );
        let tables = "[layer.fc3]\nfreeze_from = 5\nlearning_rate = 1\n[layer.'fc*']\nmomentum = 0.5\n\
            [layer.'*']\nfreeze = true\n[layer.'block1.conv1']\ndelay = 2";
        assert_eq!(
            rules(tables),
            [
                "*:freeze",
                "fc*:momentum=0.5",
                "fc3:learning-rate=1,freeze-from=5",
                "block1.conv1:delay=2"
            ]
        );
    }

    #[test]
    fn rules_round_trip_through_text() {
        let options = Options {
            layer: vec!["*:delay=9".parse().unwrap(), "fc1:freeze".parse().unwrap()],
            ..Options::default()
        };
        let text = toml::to_string(&options).unwrap();
        assert_eq!(parse(&text, "x").unwrap(), options, "{text}");
    }

    #[test]
    fn rules_from_flags_follow_those_from_the_file() {
        let file = parse(
            "layer = ['fc3:momentum=0.1,delay=3', 'fc1:momentum=0.2']",
            "x",
        )
        .unwrap();
        let flags = |text: &str| parse(text, "flags").unwrap();
        let merged = |text: &str| {
            let merged = merge(&file, &flags(text)).unwrap();
            let texts = merged.layer.iter().map(ToString::to_string);
            texts.collect::<Vec<_>>()
        };
        assert_eq!(
            merged("layer = ['*:delay=0']"),
            ["fc3:momentum=0.1,delay=3", "fc1:momentum=0.2", "*:delay=0"]
        );
        assert_eq!(merged("optimizer = 'adam'"), ["fc3:delay=3"]);
    }

    #[test]
    fn errors_state_their_location() {
        for (text, needles) in [
            ("layer = 'fc3:freeze'", &["list of rules"][..]),
            ("layer = [3]", &["list of rules"]),
            ("layer = ['fc3:rate=3']", &["layer fc3", "`rate`"]),
            ("[layer]\nfc3 = 3", &["[layer.fc3]"]),
            ("[layer.fc3]\nrate = 3", &["layer fc3", "`rate`"]),
            ("[layer.fc3]\ndelay = 1.5", &["layer fc3: delay", "`1.5`"]),
            (
                "[layer.block3.conv1]\ndelay = 1",
                &["quotes", "\"block3.conv1\""],
            ),
        ] {
            let error = parse(text, "run.toml").unwrap_err().to_string();
            for needle in needles {
                assert!(error.contains(needle), "{text}: {error}");
            }
            assert!(error.contains("run.toml"), "{error}");
        }
    }
}

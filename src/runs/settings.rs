//! The settings of a run, and those in which runs differ.

use std::collections::BTreeMap;

use toml::{Table as Toml, Value};

/// Configuration keys that do not affect a training's numbers.
const ASIDE: [&str; 11] = [
    "seed",
    // The path of the data; their content has a checksum.
    "data",
    "checkpoint_every",
    "record_weights",
    "record_params",
    "snapshots",
    "trace",
    "compression",
    "mantissa_bits",
    "threads",
    "test_every",
];

/// Keys that affect only what is measured.
const MEASURED: [&str; 10] = [
    "lca_size",
    "lca_every",
    "by_class",
    "class_every",
    "lca_test",
    "tolerance",
    "relative_tolerance",
    "min_segments",
    "max_segments",
    "device",
];

/// Keys of a configuration with their values, sorted by key.
pub type Settings = Vec<(String, String)>;

/// Returns a configuration as flat keys and values, without those that do not affect the numbers.
#[must_use]
pub fn settings(config: &str) -> Settings {
    let mut flat = Vec::new();
    match config.parse::<Toml>() {
        Ok(table) => {
            for (key, value) in &table {
                if !ASIDE.contains(&key.as_str()) {
                    flatten(&mut flat, key.clone(), value);
                }
            }
        }
        // A run of another program: its text as a whole.
        Err(_) => flat.push(("config".to_owned(), config.to_owned())),
    }
    flat.sort();
    flat
}

fn flatten(flat: &mut Vec<(String, String)>, key: String, value: &Value) {
    match value {
        Value::Table(table) => {
            for (inner, value) in table {
                flatten(flat, format!("{key}.{inner}"), value);
            }
        }
        value => flat.push((key, value.to_string())),
    }
}

/// Returns the rank of a setting among others: rules of single layers first, then other settings of the training, then
/// those of its measurement.
#[must_use]
pub fn rank(key: &str) -> u8 {
    match key {
        "layer" => 0,
        _ if MEASURED.contains(&key) => 2,
        _ => 1,
    }
}

/// Returns the keys in which runs differ, and the value of each run; `–` where a key is missing. In the order of their
/// [`rank`]s, then of the keys.
#[must_use]
pub fn differing<'a>(all: &[&'a Settings]) -> Vec<(&'a str, Vec<&'a str>)> {
    let mut values: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (run, settings) in all.iter().enumerate() {
        for (key, value) in *settings {
            values.entry(key).or_insert_with(|| vec!["–"; all.len()])[run] = value;
        }
    }
    let mut differing: Vec<(&str, Vec<&str>)> = (values.into_iter())
        .filter(|(_, values)| values.windows(2).any(|pair| pair[0] != pair[1]))
        .collect();
    differing.sort_by_key(|(key, _)| rank(key));
    differing
}

/// Short words for settings.
pub(super) const SHORT: [(&str, &str); 3] = [
    ("lr", "learning_rate"),
    ("wd", "weight_decay"),
    ("bs", "batch_size"),
];

/// Writes a setting in a few words: `lr=0.1`, or for rules of layers `fc3:freeze`.
#[must_use]
pub fn in_short(key: &str, value: &str) -> String {
    let value = value.replace(['"', '\''], "");
    if key == "layer" {
        let rules = value.trim_matches(['[', ']']).replace(", ", " ");
        match rules.as_str() {
            "" | "–" => "no layer rules".to_owned(),
            _ => rules,
        }
    } else {
        let short = SHORT.iter().find(|(_, long)| *long == key);
        format!("{}={value}", short.map_or(key, |(short, _)| short))
    }
}

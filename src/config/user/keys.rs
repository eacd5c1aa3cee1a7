//! The table `[keys]`: keys that replace an action's default ones.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::entries::{EntryReader, kind};
use super::{ActionKeys, suggestion};
use crate::key_name::KeyName;

/// Keys that cannot be reassigned.
const RESERVED: [&str; 2] = ["Ctrl-c", "Ctrl-z"];

/// Replaces the keys of the actions in the table, and takes those keys from the actions that have them by default.
pub fn apply(reader: &mut EntryReader, table: &DeTable, actions: &mut [ActionKeys]) {
    // In file order, so that the first of two actions that want the same key gets it.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    let mut chosen: Vec<(usize, KeyName)> = Vec::new();
    let mut named = Vec::new();
    for (name, value) in entries {
        let word = name.get_ref().as_ref();
        let Some(index) = actions.iter().position(|action| action.action == word) else {
            let near = suggestion(word, actions.iter().map(|action| action.action.as_str()));
            reader.problem(Some(name.span()), format!("unknown action `{word}`{near}"));
            continue;
        };
        let Some(keys) = keys(reader, word, value) else {
            continue;
        };
        named.push(index);
        for key in keys {
            match chosen.iter().find(|(_, other)| *other == key) {
                Some((other, _)) if *other == index => {}
                Some((other, _)) => {
                    let other = &actions[*other].action;
                    let what =
                        format!("`{key}` is already bound to `{other}`; not bound to `{word}`");
                    reader.problem(Some(value.span()), what);
                }
                None => chosen.push((index, key)),
            }
        }
    }
    for index in &named {
        actions[*index].keys.clear();
    }
    for (index, key) in chosen {
        let word = actions[index].action.clone();
        for other in actions.iter_mut().filter(|action| action.action != word) {
            // Only a default: actions named in the file have only the keys given there.
            if other.keys.contains(&key) {
                other.keys.retain(|had| *had != key);
                let line = table.iter().find(|(name, _)| name.get_ref() == &word);
                let what = format!(
                    "`{key}` is now bound to `{word}` instead of `{}`: bind that to another key, or to []",
                    other.action
                );
                reader.report_effect(line.map(|(name, _)| name.span()), what);
            }
        }
        actions[index].keys.push(key);
    }
}

/// Reads a key or a list of keys; invalid keys are reported and left out. `None` if the value is neither, or has only
/// invalid keys.
fn keys(reader: &mut EntryReader, action: &str, value: &Spanned<DeValue>) -> Option<Vec<KeyName>> {
    let one = |reader: &mut EntryReader, value: &Spanned<DeValue>| match value.get_ref() {
        DeValue::String(text) => match text.parse::<KeyName>() {
            Ok(key) if RESERVED.contains(&key.to_string().as_str()) => {
                let what = format!("`{key}` cannot be rebound; not bound to `{action}`");
                reader.problem(Some(value.span()), what);
                None
            }
            Ok(key) => Some(key),
            Err(error) => {
                reader.problem(Some(value.span()), format!("{action}: {error}"));
                None
            }
        },
        other => {
            let what = format!(
                "{action}: a key must be a string in quotes, not {}",
                kind(other)
            );
            reader.problem(Some(value.span()), what);
            None
        }
    };
    match value.get_ref() {
        DeValue::String(_) => one(reader, value).map(|key| vec![key]),
        DeValue::Array(list) => {
            let keys: Vec<KeyName> = list.iter().filter_map(|value| one(reader, value)).collect();
            // A list of only invalid keys changes nothing; an empty list removes all keys.
            (list.is_empty() || !keys.is_empty()).then_some(keys)
        }
        other => {
            let what = format!("{action} must be a list of keys, not {}", kind(other));
            reader.problem(Some(value.span()), what);
            None
        }
    }
}

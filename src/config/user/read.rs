//! Reads the file entry by entry.

use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::entries::{EntryReader, kind};
use super::{ActionKeys, Problem, UserConfig, keys, suggestion, whole_file_problem};
use crate::small_file::{self, LONGEST};

/// Reads the file at `path`. If there is none, the defaults are used.
#[must_use]
pub fn read(path: &Path, actions: &[ActionKeys]) -> (UserConfig, Vec<Problem>) {
    match text(path) {
        Ok(Some(text)) => parse(&text, path, actions),
        Ok(None) => (UserConfig::new(actions), Vec::new()),
        Err(what) => (
            UserConfig::new(actions),
            vec![whole_file_problem(path, what)],
        ),
    }
}

fn text(path: &Path) -> Result<Option<String>, String> {
    match small_file::text(path, LONGEST) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Parses the text of a file. `path` is for messages.
#[must_use]
pub fn parse(text: &str, path: &Path, actions: &[ActionKeys]) -> (UserConfig, Vec<Problem>) {
    let mut reader = EntryReader::new(text, path);
    let mut config = UserConfig::new(actions);
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        reader.problem(error.span(), error.message().to_owned());
    }
    for (key, value) in table.get_ref() {
        match key.get_ref().as_ref() {
            "color" => reader.word(key, value, &mut config.color),
            "glyphs" => reader.word(key, value, &mut config.glyphs),
            "fps" => reader.fps(value, &mut config.fps),
            "background" => reader.word(key, value, &mut config.background),
            "mouse" => match value.get_ref() {
                DeValue::Boolean(on) => config.mouse = *on,
                other => {
                    let what = format!("mouse must be true or false, not {}", kind(other));
                    reader.problem(Some(value.span()), what);
                }
            },
            "colors" => reader.colors(value, &mut config),
            "keys" => match value.get_ref() {
                DeValue::Table(table) => keys::apply(&mut reader, table, &mut config.keys),
                _ => reader.problem(Some(value.span()), "`keys` must be a table, [keys]".into()),
            },
            other => {
                let known = [
                    "color",
                    "glyphs",
                    "fps",
                    "background",
                    "mouse",
                    "colors",
                    "keys",
                ];
                let near = suggestion(other, known);
                reader.problem(Some(key.span()), format!("unknown key `{other}`{near}"));
            }
        }
    }
    reader.problems.sort_by_key(|problem| problem.line);
    (config, reader.problems)
}

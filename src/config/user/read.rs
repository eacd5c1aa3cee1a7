//! Reads the file entry by entry.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ActionKeys, FPS, Kind, Paint, Problem, UserConfig, keys, suggestion, whole};
use crate::small_file::{self, LONGEST};

/// Reads the file at `path`. If there is none, the defaults are used.
#[must_use]
pub fn read(path: &Path, actions: &[ActionKeys]) -> (UserConfig, Vec<Problem>) {
    match text(path) {
        Ok(Some(text)) => parse(&text, path, actions),
        Ok(None) => (UserConfig::new(actions), Vec::new()),
        Err(what) => (UserConfig::new(actions), vec![whole(path, what)]),
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
    let mut reader = Reader {
        text,
        path,
        problems: Vec::new(),
    };
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
                _ => reader.problem(
                    Some(value.span()),
                    "`keys` must be a table: write [keys]".into(),
                ),
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

/// Collects the problems of a text.
pub struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Reports an error at a position in the text.
    pub fn problem(&mut self, span: Option<Range<usize>>, what: String) {
        self.say(Kind::Unusable, span, what);
    }

    /// Reports a side effect of an entry that is used.
    pub fn effect(&mut self, span: Option<Range<usize>>, what: String) {
        self.say(Kind::Effect, span, what);
    }

    fn say(&mut self, kind: Kind, span: Option<Range<usize>>, what: String) {
        let line = span.map(|span| {
            let before = self.text.as_bytes().iter().take(span.start);
            1 + before.filter(|byte| **byte == b'\n').count()
        });
        self.problems.push(Problem {
            path: self.path.to_owned(),
            line,
            kind,
            what,
        });
    }

    /// Reads a choice written as a word.
    fn word<T>(
        &mut self,
        key: &Spanned<std::borrow::Cow<str>>,
        value: &Spanned<DeValue>,
        into: &mut T,
    ) where
        T: FromStr + std::fmt::Display,
        T::Err: std::fmt::Display,
    {
        let name = key.get_ref();
        let problem = match value.get_ref() {
            DeValue::String(word) => match word.parse() {
                Ok(choice) => {
                    *into = choice;
                    return;
                }
                Err(error) => format!("{error}; {name} stays {into}"),
            },
            other => format!(
                "{name} must be a word in quotes, not {}; it stays {into}",
                kind(other)
            ),
        };
        self.problem(Some(value.span()), problem);
    }

    fn fps(&mut self, value: &Spanned<DeValue>, into: &mut u32) {
        let (least, most) = (FPS.start(), FPS.end());
        let number = match value.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number.filter(|number| FPS.contains(number)) {
            Some(number) => *into = number,
            None => self.problem(
                Some(value.span()),
                format!("fps must be a whole number from {least} to {most}; it stays {into}"),
            ),
        }
    }

    fn colors(&mut self, value: &Spanned<DeValue>, config: &mut UserConfig) {
        let DeValue::Table(table) = value.get_ref() else {
            let what = "`colors` must be a table: write [colors]".to_owned();
            return self.problem(Some(value.span()), what);
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let paint = Paint::ALL.into_iter().find(|paint| paint.words().0 == name);
            let Some(paint) = paint else {
                let near = suggestion(name, Paint::ALL.map(|paint| paint.words().0));
                self.problem(
                    Some(key.span()),
                    format!("no color is called `{name}`{near}"),
                );
                continue;
            };
            let rgb = match value.get_ref() {
                DeValue::String(text) => rgb(text),
                _ => None,
            };
            match rgb {
                Some(rgb) => config.colors.push((paint, rgb)),
                None => self.problem(
                    Some(value.span()),
                    format!("{name} must be a color like \"#1f80d0\"; it stays the theme's"),
                ),
            }
        }
    }
}

/// Parses a colour, such as `#1f80d0`.
fn rgb(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#')?;
    if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let number = u32::from_str_radix(digits, 16).ok()?;
    let [_, red, green, blue] = number.to_be_bytes();
    Some([red, green, blue])
}

/// Returns a value's type in words.
pub fn kind(value: &DeValue) -> &'static str {
    match value {
        DeValue::String(_) => "a word",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

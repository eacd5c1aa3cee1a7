//! Reads single entries of the file, and collects their problems.

use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use toml::Spanned;
use toml::de::DeValue;

use super::{FPS, Paint, Problem, ProblemKind, UserConfig, suggestion};

/// Collects the problems of a text.
pub struct EntryReader<'a> {
    text: &'a str,
    path: &'a Path,
    pub problems: Vec<Problem>,
}

impl<'a> EntryReader<'a> {
    pub fn new(text: &'a str, path: &'a Path) -> Self {
        Self {
            text,
            path,
            problems: Vec::new(),
        }
    }

    /// Reports an error at a position in the text.
    pub fn problem(&mut self, span: Option<Range<usize>>, what: String) {
        self.report(ProblemKind::Unusable, span, what);
    }

    /// Reports a side effect of an entry that is used.
    pub fn report_effect(&mut self, span: Option<Range<usize>>, what: String) {
        self.report(ProblemKind::Effect, span, what);
    }

    fn report(&mut self, kind: ProblemKind, span: Option<Range<usize>>, what: String) {
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
    pub fn word<T>(
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
                Err(error) => format!("{name}: {error}; using {into}"),
            },
            other => format!(
                "{name} must be a string in quotes, not {}; using {into}",
                kind(other)
            ),
        };
        self.problem(Some(value.span()), problem);
    }

    pub fn fps(&mut self, value: &Spanned<DeValue>, into: &mut u32) {
        let (least, most) = (FPS.start(), FPS.end());
        let number = match value.get_ref() {
            DeValue::Integer(number) => u32::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        match number.filter(|number| FPS.contains(number)) {
            Some(number) => *into = number,
            None => self.problem(
                Some(value.span()),
                format!("fps must be a whole number from {least} to {most}; using {into}"),
            ),
        }
    }

    pub fn colors(&mut self, value: &Spanned<DeValue>, config: &mut UserConfig) {
        let DeValue::Table(table) = value.get_ref() else {
            let what = "`colors` must be a table, [colors]".to_owned();
            return self.problem(Some(value.span()), what);
        };
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let paint = Paint::ALL.into_iter().find(|paint| paint.words().0 == name);
            let Some(paint) = paint else {
                let near = suggestion(name, Paint::ALL.map(|paint| paint.words().0));
                self.problem(Some(key.span()), format!("unknown color `{name}`{near}"));
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
                    format!("{name} must be a color such as \"#1f80d0\"; using the theme's"),
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
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

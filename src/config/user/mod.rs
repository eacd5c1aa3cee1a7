//! The user's own configuration, `lcascope/config.toml` in `$XDG_CONFIG_HOME` (`~/.config`): how the
//! explorer looks and which keys it has. It never changes a number.
//!
//! ```toml
//! fps = 15
//! [colors]
//! help = "#1f80d0"
//! [keys]
//! zoom-in = ["+", "="]
//! ```
//!
//! Nothing in it stops the program. What cannot be used is a [`Problem`] that names file, line and reason,
//! and its default holds. Which actions there are is the business of the screen: it gives them as
//! [`ActionKeys`].

mod keys;
mod read;
mod template;

use std::fmt;
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};

use super::{ColorChoice, GlyphsChoice};
use crate::key_name::KeyName;
use crate::tui::{Background, Paint};

pub use read::{parse, read};
pub use template::template;

/// Frames a second at most.
pub const FPS: std::ops::RangeInclusive<u32> = 1..=120;

/// An action of the explorer and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionKeys {
    /// `zoom-in`
    pub action: String,
    /// What the help says of it.
    pub help: String,
    pub keys: Vec<KeyName>,
}

/// What the user has chosen, with defaults where nothing, or nothing usable, was said.
#[derive(Clone, Debug, PartialEq)]
pub struct UserConfig {
    pub color: ColorChoice,
    pub glyphs: GlyphsChoice,
    pub fps: u32,
    pub background: Background,
    /// Whether the terminal sends clicks and the wheel; its own selection needs Shift then.
    pub mouse: bool,
    /// Red, green and blue in place of the theme's own.
    pub colors: Vec<(Paint, [u8; 3])>,
    /// All actions; no key is in two of them unless the defaults have it so.
    pub keys: Vec<ActionKeys>,
}

impl UserConfig {
    /// The defaults.
    #[must_use]
    pub fn new(actions: &[ActionKeys]) -> Self {
        Self {
            color: ColorChoice::Auto,
            glyphs: GlyphsChoice::Auto,
            fps: 15,
            background: Background::Auto,
            mouse: false,
            colors: Vec::new(),
            keys: actions.to_vec(),
        }
    }
}

/// Something in the file that is worth a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    /// Counted from 1; none where it is about the file as a whole.
    pub line: Option<usize>,
    pub kind: Kind,
    pub what: String,
}

/// What a line about the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It could not be used: its default holds.
    Unusable,
    /// It is used, and changes more than what it names.
    Effect,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.what)
    }
}

/// Where the file is, or would be; none where the system does not say what a home is.
#[must_use]
pub fn path() -> Option<PathBuf> {
    let base = choose_base_strategy().ok()?;
    Some(base.config_dir().join("lcascope").join("config.toml"))
}

/// The user's configuration, from where it is kept.
#[must_use]
pub fn load(actions: &[ActionKeys]) -> (UserConfig, Vec<Problem>) {
    match path() {
        Some(path) => read(&path, actions),
        None => (UserConfig::new(actions), Vec::new()),
    }
}

/// The known word that somebody may have meant.
fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3));
    near.map_or_else(String::new, |(_, candidate)| {
        format!("; did you mean `{candidate}`?")
    })
}

/// A problem of the whole file.
fn whole(path: &Path, what: String) -> Problem {
    Problem {
        path: path.to_owned(),
        line: None,
        kind: Kind::Unusable,
        what,
    }
}

#[cfg(test)]
mod tests;

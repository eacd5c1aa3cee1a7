//! User configuration, `lcascope/config.toml` in `$XDG_CONFIG_HOME` (`~/.config`): the explorer's appearance and keys.
//! It never changes a number.
//!
//! ```toml
//! fps = 15
//! [colors]
//! help = "#1f80d0"
//! [keys]
//! zoom-in = ["+", "="]
//! ```
//!
//! Nothing in it stops the program. An unusable entry becomes a [`Problem`] with file, line and reason, and its default
//! is kept. The actions come from the screen, as [`ActionKeys`].

mod entries;
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

/// Allowed limits for the frames per second.
pub const FPS: std::ops::RangeInclusive<u32> = 1..=120;

/// An action of the explorer and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionKeys {
    /// Name in the file, such as `zoom-in`.
    pub action: String,
    /// Description in the help.
    pub help: String,
    pub keys: Vec<KeyName>,
}

/// The user's choices, with defaults where nothing usable was given.
#[derive(Clone, Debug, PartialEq)]
pub struct UserConfig {
    pub color: ColorChoice,
    pub glyphs: GlyphsChoice,
    pub fps: u32,
    pub background: Background,
    /// Whether the terminal sends clicks and the wheel; its own selection then needs Shift.
    pub mouse: bool,
    /// Red, green and blue that replace the theme's colours.
    pub colors: Vec<(Paint, [u8; 3])>,
    /// All actions; no key belongs to two of them unless it does by default.
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

/// A problem in the file, worth a line of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub path: PathBuf,
    /// Counted from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    pub kind: ProblemKind,
    pub what: String,
}

/// The kind of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// The entry cannot be used: its default is kept.
    Unusable,
    /// The entry is used, and also changes something that it does not name.
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

/// Returns the path of the file, whether it exists or not; `None` if the system has no home directory.
#[must_use]
pub fn path() -> Option<PathBuf> {
    let base = choose_base_strategy().ok()?;
    Some(base.config_dir().join("lcascope").join("config.toml"))
}

/// Loads the user's configuration from its path.
#[must_use]
pub fn load(actions: &[ActionKeys]) -> (UserConfig, Vec<Problem>) {
    match path() {
        Some(path) => read(&path, actions),
        None => (UserConfig::new(actions), Vec::new()),
    }
}

/// Returns a suggestion of the closest known word.
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

/// A problem with the whole file.
fn whole_file_problem(path: &Path, what: String) -> Problem {
    Problem {
        path: path.to_owned(),
        line: None,
        kind: ProblemKind::Unusable,
        what,
    }
}

#[cfg(test)]
mod tests;

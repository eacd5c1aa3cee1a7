//! A row of a list of runs.

use std::path::{Path, PathBuf};

use super::facts::RunFacts;
use crate::text::harmless;

/// The most characters kept of a file's error.
const LONGEST_ERROR: usize = 120;

/// The content of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Not read yet.
    Reading,
    Run(Box<RunFacts>),
    /// The reason why the file cannot be read.
    Unreadable(String),
}

/// A file in a list of runs.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEntry {
    pub path: PathBuf,
    /// The name shown.
    pub name: String,
    /// Last change of the file, in seconds since 1970; 0 if unknown.
    pub modified: f64,
    pub content: Content,
}

/// A change of a list of runs.
#[derive(Clone, Debug, PartialEq)]
pub enum ListUpdate {
    /// New files, and files with new content.
    Entries(Vec<RunEntry>),
    /// Files that no longer exist.
    Gone(Vec<PathBuf>),
    /// The folder cannot be listed: the reason.
    Failed(String),
}

impl RunEntry {
    /// Returns the facts, if the file is a run that has been read.
    #[must_use]
    pub fn facts(&self) -> Option<&RunFacts> {
        match &self.content {
            Content::Run(facts) => Some(facts),
            Content::Reading | Content::Unreadable(_) => None,
        }
    }

    /// Returns the time of the run's last sign of life or, if it is unknown, of the file's last change.
    #[must_use]
    pub fn updated(&self) -> f64 {
        self.facts()
            .map_or(self.modified, |facts| facts.status.updated)
    }
}

impl Content {
    /// The content of a file that cannot be read.
    #[must_use]
    pub fn unreadable(path: &Path, error: &str) -> Self {
        // Every message names the file, which the row does already.
        let path = path.display().to_string();
        let text = error.strip_prefix(&path).unwrap_or(error);
        let text = harmless(text.trim_start_matches([':', ' ']));
        Self::Unreadable(match text.char_indices().nth(LONGEST_ERROR) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        })
    }
}

//! Overlays: help, lists and questions over the screen; the prompt and the message below it.

use super::scroll::Scroll;

/// Most characters in a line.
const LONGEST: usize = 200;

/// Most commands kept in the history.
const REMEMBERED: usize = 100;

/// The open overlay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    Help,
    /// Events, lints and bookmarks.
    Events,
    /// The findings: sentences about what happened in the run.
    Findings,
    /// The commands that can be typed after `:`.
    Commands,
    /// Quit during a training: stop it or leave it running?
    AskQuit,
    /// Quit while following a training in another process that takes orders: stop it or not?
    AskLeave,
}

/// The line being typed below the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub kind: PromptKind,
    pub text: String,
    /// Position in the command history: 0 for a new line, 1 for the latest command.
    pub recalled: usize,
}

impl Prompt {
    /// Adds a letter, if there is room.
    pub(super) fn push(&mut self, letter: char) {
        if self.text.chars().count() < LONGEST {
            self.text.push(letter);
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptKind {
    /// `:`, a command.
    Command,
    /// `/`, part of the names of the layers and tensors to show.
    Filter,
}

impl PromptKind {
    #[must_use]
    pub fn sign(self) -> char {
        match self {
            Self::Command => ':',
            Self::Filter => '/',
        }
    }
}

/// The open overlay, the prompt, and the message in the last line.
#[derive(Debug, Default)]
pub struct Overlays {
    pub open: Option<Overlay>,
    /// The open prompt.
    pub prompt: Option<Prompt>,
    /// The selected row in the list of events.
    pub event_row: usize,
    /// The selected row in the list of findings.
    pub finding_row: usize,
    /// The scroll position of the help, from the top.
    pub help_scroll: Scroll,
    /// A message in the last line, until the next key.
    notice: String,
    /// Command history, the latest last.
    history: Vec<String>,
}

impl Overlays {
    /// Returns the message in the last line, such as why an order failed; empty after the next key.
    #[must_use]
    pub fn notice(&self) -> &str {
        &self.notice
    }

    /// Shows a message in the last line, until the next key.
    pub fn say(&mut self, notice: impl Into<String>) {
        self.notice = notice.into();
    }

    /// Opens an overlay, at its top.
    pub fn show(&mut self, overlay: Overlay) {
        self.open = Some(overlay);
        (self.event_row, self.finding_row) = (0, 0);
        self.help_scroll = Scroll::default();
    }

    /// Closes the findings: any action but those in their list is about the screen below.
    pub(super) fn close_findings(&mut self) {
        if self.open == Some(Overlay::Findings) {
            self.open = None;
        }
    }

    /// Closes the question whether the training should stop.
    pub(super) fn close_question(&mut self) {
        if matches!(self.open, Some(Overlay::AskQuit | Overlay::AskLeave)) {
            self.open = None;
        }
    }

    /// Opens a prompt with a line to edit.
    pub(super) fn ask_for(&mut self, kind: PromptKind, text: String) {
        self.prompt = Some(Prompt {
            kind,
            text,
            recalled: 0,
        });
    }

    /// Adds a command to the history.
    pub(super) fn remember(&mut self, line: &str) {
        if line.is_empty() {
            return;
        }
        self.history.retain(|before| before != line);
        self.history.push(line.to_owned());
        if self.history.len() > REMEMBERED {
            self.history.remove(0);
        }
    }

    /// Replaces the line being typed by a command this much earlier in the history.
    pub(super) fn recall(&mut self, by: isize) {
        let Some(prompt) = &mut self.prompt else {
            return;
        };
        let back = prompt.recalled.saturating_add_signed(by);
        prompt.recalled = back.min(self.history.len());
        let at = self.history.len() - prompt.recalled;
        prompt.text = self.history.get(at).cloned().unwrap_or_default();
    }
}

//! Texts that scroll where they do not fit.

/// A text that scrolls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LongText {
    Help,
    Configuration,
    Log,
}

/// The scroll position of a text.
#[derive(Clone, Copy, Debug)]
pub struct Scroll {
    pub rows: usize,
    /// The most rows by which it can scroll; no limit until it is drawn.
    most: usize,
}

impl Default for Scroll {
    fn default() -> Self {
        Self {
            rows: 0,
            most: usize::MAX,
        }
    }
}

impl Scroll {
    pub(super) fn scroll(&mut self, rows: isize) {
        self.rows = self.rows.saturating_add_signed(rows).min(self.most);
    }

    /// Takes in the most rows by which the text can scroll.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
        self.rows = self.rows.min(most);
    }

    /// Returns true if part of the text is out of view.
    pub(super) fn is_long(&self) -> bool {
        self.most > 0
    }
}

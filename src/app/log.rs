//! Log of unexpected output: what libraries print, warnings, why an order failed.
//!
//! Bounded: keeps the last lines, and the beginning of a long line.

use std::collections::VecDeque;

use crate::text::harmless;

/// Most lines that are kept.
const MOST: usize = 1000;

/// Most characters of a line that are kept.
const LONGEST: usize = 1000;

/// The kept lines, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    lines: VecDeque<String>,
    lost: u64,
}

impl Log {
    /// Adds a text of one or more lines.
    pub fn push(&mut self, text: &str) {
        for line in text.lines() {
            if self.lines.len() == MOST {
                self.lines.pop_front();
                self.lost = self.lost.saturating_add(1);
            }
            self.lines.push_back(shown(line));
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the number of lines that were dropped.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.lines.iter().map(String::as_str)
    }
}

/// Returns a line of bounded length, with control characters made harmless.
fn shown(line: &str) -> String {
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => harmless(&line[..end]) + " ...",
        None => harmless(line),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_removed() {
        let mut log = Log::default();
        log.push("\u{1b}[31mred\u{7}\n50%\r100%\ta\u{7f}\u{9b}\u{202e}é");
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(
            lines,
            [
                "\u{fffd}[31mred\u{fffd}",
                "50% 100% a\u{fffd}\u{fffd}\u{fffd}é"
            ]
        );
    }

    #[test]
    fn the_last_lines_are_kept_and_the_others_counted() {
        let mut log = Log::default();
        for line in 0..MOST + 5 {
            log.push(&line.to_string());
        }
        assert_eq!((log.len(), log.lost()), (MOST, 5));
        assert_eq!(log.lines().next(), Some("5"));
        log.push(&"x".repeat(5000));
        let last = log.lines().next_back().unwrap();
        assert!(last.len() == LONGEST + 4 && last.ends_with("x ..."));
    }

    proptest! {
        #[test]
        fn no_line_has_a_control_character(text in any::<String>()) {
            let mut log = Log::default();
            log.push(&text);
            prop_assert!(log.lines().all(|line| !line.chars().any(char::is_control)));
        }
    }
}

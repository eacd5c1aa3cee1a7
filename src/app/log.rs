//! Lines that nobody expected: what libraries print, warnings, why an order failed.
//!
//! Bounded: of many lines the last ones are kept, and of a long one its beginning. A control character
//! is kept as people write it, `^[` for Escape, so that no line can do anything to a terminal.

use std::collections::VecDeque;
use std::fmt::Write;

/// Lines that are kept.
const MOST: usize = 1000;

/// Letters of a line.
const LONGEST: usize = 1000;

/// The lines, the oldest first.
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
            self.lines.push_back(harmless(line));
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

    /// Lines that are not kept any more.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.lines.iter().map(String::as_str)
    }
}

/// A line without control characters, of bounded length.
fn harmless(line: &str) -> String {
    let mut shown = String::new();
    let mut letters = line.chars();
    for letter in letters.by_ref().take(LONGEST) {
        match letter {
            '\t' => shown.push_str("    "),
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                shown.push('^');
                shown.push(char::from(u8::try_from(letter).unwrap_or(0) ^ 0x40));
            }
            // The second set of control characters, and what turns the direction of writing.
            '\u{80}'..='\u{9f}'
            | '\u{200e}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                let _ = write!(shown, "<{:x}>", u32::from(letter));
            }
            letter => shown.push(letter),
        }
    }
    if letters.next().is_some() {
        shown.push_str(" ...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_seen_and_do_nothing() {
        let mut log = Log::default();
        log.push("\u{1b}[31mred\u{7}\n50%\r100%\ta\u{7f}\u{9b}\u{202e}é");
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines, ["^[[31mred^G", "50%^M100%    a^?<9b><202e>é"]);
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

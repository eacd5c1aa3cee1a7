//! Makes text from outside (files, configurations, arguments, other processes) harmless to terminals, pages and
//! editors, which would obey some of its characters.

use std::borrow::Cow;

/// Whether a character is invisible but has an effect: control characters, changes of writing direction, characters of
/// no width (two names that look alike may differ in them), line ends and non-characters.
#[must_use]
pub fn is_invisible_control(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Makes a text one harmless line: line ends and tabs become spaces, other obeyed characters a replacement character.
#[must_use]
pub fn harmless(text: &str) -> String {
    let shown = |c| match c {
        '\n' | '\t' | '\r' => ' ',
        c => replaced(c),
    };
    text.chars().map(shown).collect()
}

/// Makes a text harmless as [`harmless`] does, but keeps line feeds and tabs.
#[must_use]
pub fn harmless_lines(text: &str) -> String {
    let shown = |c| match c {
        '\n' | '\t' => c,
        c => replaced(c),
    };
    text.replace("\r\n", "\n").chars().map(shown).collect()
}

fn replaced(c: char) -> char {
    if is_invisible_control(c) {
        char::REPLACEMENT_CHARACTER
    } else {
        c
    }
}

/// Protects a cell of text from being taken for a formula by a spreadsheet: an apostrophe is put before one that begins
/// like a formula, as OWASP advises. In some languages, full-width signs begin formulas too.
#[must_use]
pub fn no_formula(cell: &str) -> Cow<'_, str> {
    let begins = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];
    if cell.starts_with(begins) {
        format!("'{cell}").into()
    } else {
        cell.into()
    }
}

/// Formats a duration in one or two units: `45 s`, `12 min`, `3 h 20 min`, `5 days`.
#[must_use]
pub fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round();
    let hours = (minutes / 60.0).floor();
    if seconds < 59.5 {
        format!("{:.0} s", seconds.max(0.0))
    } else if minutes < 60.0 {
        format!("{minutes:.0} min")
    } else if hours < 10.0 {
        format!("{hours:.0} h {:.0} min", minutes - 60.0 * hours)
    } else if hours < 48.0 {
        format!("{hours:.0} h")
    } else {
        format!("{:.0} days", hours / 24.0)
    }
}

/// Quotes a text as one shell word.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The number of steps done, and the number planned unless it is 0, which is unknown: `12 of 400 steps`.
#[must_use]
pub fn steps_of(done: u64, planned: u64) -> String {
    match planned {
        0 => format!("{done} steps"),
        _ => format!("{done} of {planned} steps"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_in_a_line_are_harmless() {
        for (text, shown) in [
            ("fc1 é 層 +1", "fc1 é 層 +1"),
            ("a\u{1b}[2J\nb\tc\r\u{7}", "a\u{fffd}[2J b c \u{fffd}"),
            ("a\u{9b}2Jb", "a\u{fffd}2Jb"),
            ("a\u{202e}b\u{2066}\u{61c}", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("a\u{200b}b\u{feff}\u{200d}", "a\u{fffd}b\u{fffd}\u{fffd}"),
            ("a\u{2028}b\u{85}", "a\u{fffd}b\u{fffd}"),
            ("\u{e0041}\u{ad}", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(harmless(text), shown, "{text:?}");
        }
    }

    #[test]
    fn line_breaks_are_kept_and_control_sequences_are_harmless() {
        assert_eq!(
            harmless_lines("a\r\n\tb\rc\u{1b}"),
            "a\n\tb\u{fffd}c\u{fffd}"
        );
    }

    #[test]
    fn no_cell_starts_like_a_formula() {
        for text in ["=1+1", "+1", "-a", "@SUM(A1)", "\t=1", "＝1"] {
            assert_eq!(no_formula(text), format!("'{text}"));
        }
        for text in ["", "fc1", "a=b", "1-2", "'=1"] {
            assert_eq!(no_formula(text), text);
        }
    }

    #[test]
    fn a_path_is_one_word_for_a_shell() {
        for (path, word) in [
            ("runs/a-1_b.h5", "runs/a-1_b.h5"),
            ("my run.h5", "'my run.h5'"),
            ("it's.h5", r"'it'\''s.h5'"),
            ("$(rm).h5", "'$(rm).h5'"),
        ] {
            assert_eq!(quoted(path), word);
        }
    }

    #[test]
    fn durations_have_one_or_two_units() {
        for (seconds, text) in [
            (0.2, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min"),
            (3569.0, "59 min"),
            (3590.0, "1 h 0 min"),
            (12_000.0, "3 h 20 min"),
            (86_400.0, "24 h"),
            (432_000.0, "5 days"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }
}

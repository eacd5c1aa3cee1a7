//! Keys by name, as people write them: `Ctrl-x`, `Shift-Left`, `F1`, `Space`, `g`.
//!
//! Key names ignore case, characters do not: `G` is Shift and `g`. Keys that a terminal cannot tell apart are one key
//! here, or refused: `Ctrl-X` is `Ctrl-x`, and `Ctrl-i` is `Tab`.

use std::fmt;
use std::str::FromStr;

/// A key without modifiers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// As typed, so Shift is already applied.
    Char(char),
    /// 1 to 24.
    F(u8),
    Left,
    Right,
    Up,
    Down,
    Home,
    End,
    PageUp,
    PageDown,
    Enter,
    Tab,
    Esc,
    Backspace,
    Delete,
    Insert,
}

/// A key with its modifiers. Only [`KeyName::new`] and parsing make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    ctrl: bool,
    alt: bool,
    /// Always false for characters.
    shift: bool,
    key: Key,
}

/// The modifiers held down with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub ctrl: bool,
    pub alt: bool,
    pub shift: bool,
}

impl Held {
    pub const NONE: Self = Self {
        ctrl: false,
        alt: false,
        shift: false,
    };
}

/// Why a name is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error(
        "unknown key `{0}`: use a character, F1 to F24, Left, Right, Up, Down, Home, End, PageUp, \
         PageDown, Enter, Tab, Esc, Space, Backspace, Delete or Insert, with Ctrl-, Alt- or Shift- before it"
    )]
    Unknown(String),
    #[error("`{0}`: use the character that it types, such as `G` for Shift and g")]
    ShiftedCharacter(String),
    #[error("terminals cannot distinguish `{given}` from {same}: use {same}")]
    Same { given: String, same: &'static str },
    #[error("terminals do not send `{0}`")]
    NotSent(String),
}

const NAMES: [(&str, Key); 22] = [
    ("Left", Key::Left),
    ("Right", Key::Right),
    ("Up", Key::Up),
    ("Down", Key::Down),
    ("Home", Key::Home),
    ("End", Key::End),
    ("PageUp", Key::PageUp),
    ("PageDown", Key::PageDown),
    ("Enter", Key::Enter),
    ("Tab", Key::Tab),
    ("Esc", Key::Esc),
    ("Space", Key::Char(' ')),
    ("Backspace", Key::Backspace),
    ("Delete", Key::Delete),
    ("Insert", Key::Insert),
    // Alternative spellings; the first spelling of a key is the one written.
    ("Return", Key::Enter),
    ("Escape", Key::Esc),
    ("PgUp", Key::PageUp),
    ("PgDn", Key::PageDown),
    ("PgDown", Key::PageDown),
    ("Del", Key::Delete),
    ("Ins", Key::Insert),
];

impl KeyName {
    /// A key as a terminal reports it. Shift is dropped for a character, which already includes it.
    #[must_use]
    pub const fn new(key: Key, held: Held) -> Self {
        let key = match key {
            Key::Char(c) if held.ctrl => Key::Char(c.to_ascii_lowercase()),
            key => key,
        };
        Self {
            ctrl: held.ctrl,
            alt: held.alt,
            shift: held.shift && !matches!(key, Key::Char(_)),
            key,
        }
    }

    /// A key without modifiers.
    #[must_use]
    pub const fn plain(key: Key) -> Self {
        Self::new(key, Held::NONE)
    }

    #[must_use]
    pub const fn key(self) -> Key {
        self.key
    }

    #[must_use]
    pub fn held(self) -> Held {
        Held {
            ctrl: self.ctrl,
            alt: self.alt,
            shift: self.shift,
        }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (held, name) in [
            (self.ctrl, "Ctrl-"),
            (self.alt, "Alt-"),
            (self.shift, "Shift-"),
        ] {
            if held {
                f.write_str(name)?;
            }
        }
        match (NAMES.iter().find(|(_, key)| *key == self.key), self.key) {
            (Some((name, _)), _) => f.write_str(name),
            (None, Key::Char(c)) => write!(f, "{c}"),
            (None, Key::F(n)) => write!(f, "F{n}"),
            (None, other) => write!(f, "{other:?}"),
        }
    }
}

impl FromStr for KeyName {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let mut held = Held::NONE;
        let mut rest = text;
        while let Some((name, after)) = modifier(rest) {
            let flag = match name {
                'c' => &mut held.ctrl,
                'a' => &mut held.alt,
                _ => &mut held.shift,
            };
            if std::mem::replace(flag, true) {
                return Err(BadKey::Unknown(text.to_owned()));
            }
            rest = after;
        }
        let key = key(rest).ok_or_else(|| BadKey::Unknown(text.to_owned()))?;
        if let Key::Char(c) = key {
            if held.shift {
                return Err(BadKey::ShiftedCharacter(text.to_owned()));
            }
            if held.ctrl {
                sent_with_ctrl(c, text)?;
            }
        }
        Ok(Self::new(key, held))
    }
}

/// Splits a modifier off the front of a text: its first letter, and the rest.
fn modifier(text: &str) -> Option<(char, &str)> {
    ["ctrl-", "alt-", "shift-"].into_iter().find_map(|prefix| {
        let (start, rest) = text.split_at_checked(prefix.len())?;
        let found = start.eq_ignore_ascii_case(prefix) && !rest.is_empty();
        found.then(|| Some((prefix.chars().next()?, rest)))?
    })
}

fn key(text: &str) -> Option<Key> {
    let mut characters = text.chars();
    if let (Some(only), None) = (characters.next(), characters.next()) {
        return (!only.is_control()).then_some(Key::Char(only));
    }
    let named = NAMES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    named.map(|(_, key)| *key).or_else(|| {
        let number = text.strip_prefix(['f', 'F'])?;
        let digits = number.chars().all(|c| c.is_ascii_digit());
        let number: u8 = number.parse().ok().filter(|_| digits)?;
        (1..=24).contains(&number).then_some(Key::F(number))
    })
}

/// Checks that Ctrl with a character is a key of its own: a terminal sends it as one of 32 control characters, some of
/// which are other keys.
fn sent_with_ctrl(c: char, text: &str) -> Result<(), BadKey> {
    let same = |same| {
        Err(BadKey::Same {
            given: text.to_owned(),
            same,
        })
    };
    match c.to_ascii_lowercase() {
        'i' => same("Tab"),
        'm' => same("Enter"),
        '[' => same("Esc"),
        'h' => same("Backspace"),
        'a'..='z' | ' ' | '\\' | ']' | '^' | '_' => Ok(()),
        _ => Err(BadKey::NotSent(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> KeyName {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn names_are_keys_and_keys_have_names() {
        for (text, shown) in [
            ("g", "g"),
            ("G", "G"),
            ("-", "-"),
            ("é", "é"),
            (" ", "Space"),
            ("space", "Space"),
            ("F1", "F1"),
            ("f24", "F24"),
            ("f", "f"),
            ("pgdn", "PageDown"),
            ("Return", "Enter"),
            ("Ctrl-x", "Ctrl-x"),
            ("CTRL-X", "Ctrl-x"),
            ("Ctrl-Space", "Ctrl-Space"),
            ("shift-left", "Shift-Left"),
            ("Shift-Ctrl-Alt-F5", "Ctrl-Alt-Shift-F5"),
            ("Alt--", "Alt--"),
            ("Alt-Enter", "Alt-Enter"),
            ("Shift-Tab", "Shift-Tab"),
        ] {
            let key = parsed(text);
            assert_eq!(key.to_string(), shown, "{text}");
            assert_eq!(parsed(shown), key, "{shown}");
        }
    }

    #[test]
    fn invalid_key_names_state_the_reason() {
        for (text, why) in [
            ("", "unknown key"),
            ("Ctrl-", "unknown key"),
            ("F0", "unknown key"),
            ("F25", "unknown key"),
            ("F+1", "unknown key"),
            ("\u{1b}", "unknown key"),
            ("Hyper-x", "unknown key"),
            ("Ctrl-Ctrl-x", "unknown key"),
            ("Shift-g", "`G` for Shift and g"),
            ("Ctrl-i", "from Tab"),
            ("Ctrl-M", "from Enter"),
            ("Ctrl-1", "do not send"),
        ] {
            let error = text.parse::<KeyName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn keys_of_a_terminal_are_the_same_as_written_ones() {
        let shift = Held {
            shift: true,
            ..Held::NONE
        };
        assert_eq!(KeyName::new(Key::Char('G'), shift), parsed("G"));
        assert_eq!(KeyName::new(Key::Left, shift), parsed("Shift-Left"));
        let ctrl = Held {
            ctrl: true,
            ..Held::NONE
        };
        assert_eq!(KeyName::new(Key::Char('X'), ctrl), parsed("Ctrl-x"));
        assert_eq!(parsed("Shift-Left").held(), shift);
    }

    proptest! {
        #[test]
        fn key_names_round_trip(text in any::<String>()) {
            if let Ok(key) = text.parse::<KeyName>() {
                prop_assert_eq!(key.to_string().parse::<KeyName>(), Ok(key));
            }
        }

        #[test]
        fn every_character_is_a_valid_key(c in any::<char>()) {
            prop_assume!(!c.is_control());
            let key = KeyName::plain(Key::Char(c));
            prop_assert_eq!(key.to_string().parse::<KeyName>(), Ok(key));
        }
    }
}

//! Conversion between the terminal's keys and their names, and the user's key bindings.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::keys::{GROUPS, Key, KeyMap};
use crate::key_name::{Held, Key as Plain, KeyName};

/// An action, its description in the help, and its keys.
pub struct ActionNames {
    pub action: &'static str,
    pub help: &'static str,
    pub keys: Vec<KeyName>,
}

/// Returns all actions of the table, in its order.
#[must_use]
pub fn actions() -> Vec<ActionNames> {
    let groups = GROUPS.iter().flat_map(|group| {
        let help = group.help;
        group.bindings.iter().map(move |binding| (help, binding))
    });
    groups
        .map(|(help, binding)| ActionNames {
            action: binding.name,
            help,
            keys: binding.keys.iter().filter_map(|key| key.name()).collect(),
        })
        .collect()
}

impl KeyMap {
    /// Creates the table with these keys for the named actions.
    #[must_use]
    pub fn of_names<'a>(actions: impl IntoIterator<Item = (&'a str, &'a [KeyName])>) -> Self {
        let mut map = Self::default();
        for (action, keys) in actions {
            map.set(action, keys.iter().map(|key| Key::of_name(*key)).collect());
        }
        map
    }
}

impl Key {
    /// The key of an event; `None` if it has no name.
    pub(super) fn of_event(event: KeyEvent) -> Option<Self> {
        let held = Held {
            ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
            alt: event.modifiers.contains(KeyModifiers::ALT),
            shift: event.modifiers.contains(KeyModifiers::SHIFT),
        };
        let (plain, shift) = match event.code {
            KeyCode::BackTab => (Plain::Tab, true),
            code => (plain(code)?, held.shift),
        };
        Some(Self::of_name(KeyName::new(plain, Held { shift, ..held })))
    }

    /// The key with this name.
    #[must_use]
    pub fn of_name(name: KeyName) -> Self {
        let held = name.held();
        match (name.key(), held.ctrl, held.alt, held.shift) {
            (Plain::Char(c), true, false, _) => Self::Ctrl(c),
            (Plain::Char(c), false, false, _) => Self::Char(c),
            (Plain::Tab, false, false, true) => Self::Code(KeyCode::BackTab),
            (key, false, false, true) => code(key).map_or(Self::Named(name), Self::Shift),
            (key, false, false, false) => code(key).map_or(Self::Named(name), Self::Code),
            _ => Self::Named(name),
        }
    }

    /// The name of a key; `None` if no configuration can name it.
    #[must_use]
    pub fn name(self) -> Option<KeyName> {
        let shift = Held {
            shift: true,
            ..Held::default()
        };
        let ctrl = Held {
            ctrl: true,
            ..Held::default()
        };
        Some(match self {
            Self::Char(c) => KeyName::plain(Plain::Char(c)),
            Self::Code(KeyCode::BackTab) => KeyName::new(Plain::Tab, shift),
            Self::Code(code) => KeyName::plain(plain(code)?),
            Self::Shift(code) => KeyName::new(plain(code)?, shift),
            Self::Ctrl(c) => KeyName::new(Plain::Char(c), ctrl),
            Self::Named(name) => name,
        })
    }
}

/// Keys that crossterm and [`KeyName`] name alike.
const ALIKE: [(KeyCode, Plain); 14] = [
    (KeyCode::Left, Plain::Left),
    (KeyCode::Right, Plain::Right),
    (KeyCode::Up, Plain::Up),
    (KeyCode::Down, Plain::Down),
    (KeyCode::Home, Plain::Home),
    (KeyCode::End, Plain::End),
    (KeyCode::PageUp, Plain::PageUp),
    (KeyCode::PageDown, Plain::PageDown),
    (KeyCode::Enter, Plain::Enter),
    (KeyCode::Tab, Plain::Tab),
    (KeyCode::Esc, Plain::Esc),
    (KeyCode::Backspace, Plain::Backspace),
    (KeyCode::Delete, Plain::Delete),
    (KeyCode::Insert, Plain::Insert),
];

fn plain(code: KeyCode) -> Option<Plain> {
    match code {
        KeyCode::Char(c) => Some(Plain::Char(c)),
        KeyCode::F(n) => Some(Plain::F(n)),
        code => ALIKE.iter().find(|pair| pair.0 == code).map(|pair| pair.1),
    }
}

fn code(plain: Plain) -> Option<KeyCode> {
    match plain {
        Plain::Char(c) => Some(KeyCode::Char(c)),
        Plain::F(n) => Some(KeyCode::F(n)),
        plain => ALIKE.iter().find(|pair| pair.1 == plain).map(|pair| pair.0),
    }
}

#[cfg(test)]
mod tests {
    use super::super::keys::{Request, pressed};
    use super::*;
    use crate::app::Action;

    #[test]
    fn every_key_of_the_table_has_a_name_that_is_the_key() {
        for binding in GROUPS.iter().flat_map(|group| group.bindings) {
            for key in binding.keys {
                let name = key.name().unwrap_or_else(|| panic!("{key} has no name"));
                assert_eq!(Key::of_name(name), *key, "{name}");
                assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
        let keys = actions();
        let names = keys.iter().map(|action| (action.action, &action.keys[..]));
        assert_eq!(KeyMap::of_names(names), KeyMap::default());
    }

    #[test]
    fn a_pressed_key_is_the_named_one() {
        let control = KeyModifiers::CONTROL;
        for (name, code, modifiers) in [
            ("g", KeyCode::Char('g'), KeyModifiers::NONE),
            ("G", KeyCode::Char('G'), KeyModifiers::SHIFT),
            ("Ctrl-f", KeyCode::Char('f'), control),
            ("Ctrl-Left", KeyCode::Left, control),
            (
                "Ctrl-Shift-Left",
                KeyCode::Left,
                control | KeyModifiers::SHIFT,
            ),
            ("Alt-x", KeyCode::Char('x'), KeyModifiers::ALT),
            ("Shift-F5", KeyCode::F(5), KeyModifiers::SHIFT),
            ("Shift-Tab", KeyCode::BackTab, KeyModifiers::SHIFT),
            ("Shift-Tab", KeyCode::BackTab, KeyModifiers::NONE),
            ("Space", KeyCode::Char(' '), KeyModifiers::NONE),
        ] {
            let parsed: KeyName = name.parse().unwrap();
            let others = actions().into_iter().map(|other| (other.action, &[][..]));
            let only = [("freeze", &[parsed][..])];
            let keys = KeyMap::of_names(others.chain(only));
            let event = KeyEvent::new(code, modifiers);
            let found = pressed(&keys, event, None, false);
            assert_eq!(found, Some(Request::Act(Action::Freeze)), "{name}");
        }
        // With Alt it is another key.
        let event = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT);
        assert_eq!(pressed(&KeyMap::default(), event, None, false), None);
    }
}

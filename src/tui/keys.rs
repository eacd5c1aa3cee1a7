//! The keys: one table, from which the help and the footer are made too.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::app::{Action, Overlay};

/// One row of the help.
pub struct Binding {
    /// What the help calls the keys.
    pub label: &'static str,
    /// The same in ASCII.
    pub ascii: &'static str,
    pub help: &'static str,
    /// Word in the footer; empty if the footer leaves it out.
    pub footer: &'static str,
    keys: &'static [(Key, Action)],
}

/// A key with or without Shift.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    Char(char),
    Code(KeyCode),
    Shift(KeyCode),
}

use Key::{Char, Code, Shift};

/// All keys, in the order of the help.
pub const BINDINGS: &[Binding] = &[
    Binding {
        label: "← →  h l",
        ascii: "left right, h l",
        help: "move the cursor a step",
        footer: "step",
        keys: &[
            (Code(KeyCode::Left), Action::Move(-1)),
            (Code(KeyCode::Right), Action::Move(1)),
            (Char('h'), Action::Move(-1)),
            (Char('l'), Action::Move(1)),
        ],
    },
    Binding {
        label: "Shift ← →  H L",
        ascii: "Shift left right, H L",
        help: "move the cursor ten steps",
        footer: "",
        keys: &[
            (Shift(KeyCode::Left), Action::Move(-10)),
            (Shift(KeyCode::Right), Action::Move(10)),
            (Char('H'), Action::Move(-10)),
            (Char('L'), Action::Move(10)),
        ],
    },
    Binding {
        label: "Home",
        ascii: "Home",
        help: "to the first step",
        footer: "",
        keys: &[(Code(KeyCode::Home), Action::Home)],
    },
    Binding {
        label: "End  G",
        ascii: "End, G",
        help: "to the newest step, and follow it",
        footer: "follow",
        keys: &[
            (Code(KeyCode::End), Action::Follow),
            (Char('G'), Action::Follow),
        ],
    },
    Binding {
        label: "+ -",
        ascii: "+ -",
        help: "zoom the window of steps around the cursor",
        footer: "zoom",
        keys: &[
            (Char('+'), Action::ZoomIn),
            (Char('='), Action::ZoomIn),
            (Char('-'), Action::ZoomOut),
        ],
    },
    Binding {
        label: "0",
        ascii: "0",
        help: "show the whole run",
        footer: "all",
        keys: &[(Char('0'), Action::ZoomAll)],
    },
    Binding {
        label: "Space",
        ascii: "Space",
        help: "freeze the view; in a replay, play and pause",
        footer: "freeze",
        keys: &[(Char(' '), Action::Freeze)],
    },
    Binding {
        label: "< >",
        ascii: "< >",
        help: "a replay's speed",
        footer: "",
        keys: &[(Char('<'), Action::Slower), (Char('>'), Action::Faster)],
    },
    Binding {
        label: "p",
        ascii: "p",
        help: "pause and resume the training",
        footer: "",
        keys: &[(Char('p'), Action::PauseTraining)],
    },
    Binding {
        label: "g",
        ascii: "g",
        help: "logarithmic or linear charts",
        footer: "scale",
        keys: &[(Char('g'), Action::ToggleScale)],
    },
    Binding {
        label: "↑ ↓  k j",
        ascii: "up down, k j",
        help: "scroll the layers",
        footer: "",
        keys: &[
            (Code(KeyCode::Up), Action::Scroll(-1)),
            (Code(KeyCode::Down), Action::Scroll(1)),
            (Char('k'), Action::Scroll(-1)),
            (Char('j'), Action::Scroll(1)),
            (Code(KeyCode::PageUp), Action::Scroll(-10)),
            (Code(KeyCode::PageDown), Action::Scroll(10)),
        ],
    },
    Binding {
        label: "?",
        ascii: "?",
        help: "this help",
        footer: "help",
        keys: &[
            (Char('?'), Action::Help),
            (Code(KeyCode::F(1)), Action::Help),
        ],
    },
    Binding {
        label: "q",
        ascii: "q",
        help: "quit; asks first while training goes on",
        footer: "quit",
        keys: &[(Char('q'), Action::Quit)],
    },
];

/// What a key event asks the draw loop to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Act(Action),
    /// Ctrl-Z: back to the shell until `fg`.
    Suspend,
}

/// What a key does, given what lies over the screen.
pub fn request(key: KeyEvent, overlay: Option<Overlay>) -> Option<Request> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Request::Act(Action::Quit)),
            KeyCode::Char('z') => Some(Request::Suspend),
            _ => None,
        };
    }
    let action = match overlay {
        Some(Overlay::Help) => Some(Action::Dismiss),
        Some(Overlay::AskQuit) => match key.code {
            KeyCode::Char('s' | 'S') => Some(Action::StopAndQuit),
            KeyCode::Char('l' | 'L') => Some(Action::LeaveRunning),
            KeyCode::Esc | KeyCode::Char('q' | 'n') => Some(Action::Dismiss),
            _ => None,
        },
        Some(Overlay::AskLeave) => match key.code {
            KeyCode::Char('l' | 'L' | 'q') => Some(Action::LeaveRunning),
            KeyCode::Char('s' | 'S') => Some(Action::StopAndQuit),
            KeyCode::Esc | KeyCode::Char('n') => Some(Action::Dismiss),
            _ => None,
        },
        None => lookup(key),
    };
    action.map(Request::Act)
}

fn lookup(key: KeyEvent) -> Option<Action> {
    let pressed = match key.code {
        KeyCode::Char(c) => Char(c),
        code if key.modifiers.contains(KeyModifiers::SHIFT) => Shift(code),
        code => Code(code),
    };
    let all = BINDINGS.iter().flat_map(|binding| binding.keys);
    all.into_iter()
        .find(|(key, _)| *key == pressed)
        .map(|(_, action)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
        KeyEvent::new(code, modifiers)
    }

    #[test]
    fn no_key_stands_twice_in_the_table() {
        let all: Vec<Key> = BINDINGS
            .iter()
            .flat_map(|b| b.keys)
            .map(|(key, _)| *key)
            .collect();
        for (i, key) in all.iter().enumerate() {
            assert!(!all[..i].contains(key), "key {i}");
        }
    }

    #[test]
    fn the_document_lists_every_key() {
        let document = include_str!("../../docs/explorer.md");
        for binding in BINDINGS {
            let row = format!("| {} | {} |", binding.label, binding.help);
            assert!(document.contains(&row), "docs/explorer.md lacks: {row}");
        }
    }

    #[test]
    fn shift_and_overlays_change_what_a_key_does() {
        let act = |action| Some(Request::Act(action));
        let left = press(KeyCode::Left, KeyModifiers::NONE);
        assert_eq!(request(left, None), act(Action::Move(-1)));
        let left = press(KeyCode::Left, KeyModifiers::SHIFT);
        assert_eq!(request(left, None), act(Action::Move(-10)));
        let capital = press(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(request(capital, None), act(Action::Follow));
        let s = press(KeyCode::Char('s'), KeyModifiers::NONE);
        assert_eq!(request(s, None), None);
        assert_eq!(request(s, Some(Overlay::AskQuit)), act(Action::StopAndQuit));
        assert_eq!(request(s, Some(Overlay::Help)), act(Action::Dismiss));
        let q = press(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(request(q, Some(Overlay::AskQuit)), act(Action::Dismiss));
        assert_eq!(
            request(q, Some(Overlay::AskLeave)),
            act(Action::LeaveRunning)
        );
        let interrupt = press(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(
            request(interrupt, Some(Overlay::AskQuit)),
            act(Action::Quit)
        );
    }
}

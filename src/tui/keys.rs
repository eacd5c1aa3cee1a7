//! The key bindings: one table, which also feeds the help, the footer and the configuration.

use std::fmt;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::app::{Action, App, Overlay, Overlays, Screen};
use crate::key_name::KeyName;

/// A row of the help: keys that belong together.
pub struct Group {
    pub help: &'static str,
    /// The word in the footer; empty if the footer leaves it out.
    pub footer: &'static str,
    pub bindings: &'static [Binding],
}

impl Group {
    /// Whether any of its keys does something where the explorer is now.
    #[must_use]
    pub fn is_offered(&self, app: &App) -> bool {
        (self.bindings.iter()).any(|binding| app.offers(binding.action))
    }
}

/// An action and its keys.
pub struct Binding {
    /// The name in the configuration.
    pub name: &'static str,
    pub action: Action,
    pub keys: &'static [Key],
}

/// A key, perhaps with Shift or Ctrl. A character already tells whether Shift was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Char(char),
    Code(KeyCode),
    Shift(KeyCode),
    Ctrl(char),
    /// Any other combination.
    Named(KeyName),
}

use Key::{Char, Code, Shift};

const fn bind(name: &'static str, action: Action, keys: &'static [Key]) -> Binding {
    Binding { name, action, keys }
}

const fn screen(screen: Screen, name: &'static str, keys: &'static [Key]) -> Binding {
    bind(name, Action::Screen(screen), keys)
}

/// All keys, in the order of the help.
pub const GROUPS: &[Group] = &[
    Group {
        help: "go to a screen",
        footer: "screen",
        bindings: &[
            screen(Screen::Overview, "overview", &[Char('1')]),
            screen(Screen::Decomposition, "decomposition", &[Char('2')]),
            screen(Screen::Oscillation, "oscillation", &[Char('3')]),
            screen(Screen::Synchronisation, "synchronisation", &[Char('4')]),
            screen(Screen::Classes, "classes", &[Char('5')]),
            screen(Screen::Distribution, "distribution", &[Char('6')]),
            screen(Screen::HeldOut, "held-out", &[Char('7')]),
            screen(Screen::Run, "run", &[Char('8')]),
        ],
    },
    Group {
        help: "next screen, previous screen",
        footer: "",
        bindings: &[
            bind("next-screen", Action::NextScreen, &[Code(KeyCode::Tab)]),
            bind(
                "previous-screen",
                Action::PreviousScreen,
                &[Code(KeyCode::BackTab)],
            ),
        ],
    },
    Group {
        help: "select a layer, unit, parameter or class",
        footer: "",
        bindings: &[
            bind(
                "select-up",
                Action::Select(-1),
                &[Code(KeyCode::Up), Char('k')],
            ),
            bind(
                "select-down",
                Action::Select(1),
                &[Code(KeyCode::Down), Char('j')],
            ),
            bind(
                "select-page-up",
                Action::Select(-10),
                &[Code(KeyCode::PageUp)],
            ),
            bind(
                "select-page-down",
                Action::Select(10),
                &[Code(KeyCode::PageDown)],
            ),
        ],
    },
    Group {
        help: "open the selected layer, unit or parameter",
        footer: "open",
        bindings: &[bind("into", Action::Enter, &[Code(KeyCode::Enter)])],
    },
    Group {
        help: "go back",
        footer: "back",
        bindings: &[bind(
            "back",
            Action::Back,
            &[Code(KeyCode::Esc), Code(KeyCode::Backspace)],
        )],
    },
    Group {
        help: "move the cursor by one step",
        footer: "step",
        bindings: &[
            bind(
                "step-back",
                Action::Move(-1),
                &[Code(KeyCode::Left), Char('h')],
            ),
            bind(
                "step-forward",
                Action::Move(1),
                &[Code(KeyCode::Right), Char('l')],
            ),
        ],
    },
    Group {
        help: "move the cursor by ten steps",
        footer: "",
        bindings: &[
            bind(
                "ten-steps-back",
                Action::Move(-10),
                &[Shift(KeyCode::Left), Char('H')],
            ),
            bind(
                "ten-steps-forward",
                Action::Move(10),
                &[Shift(KeyCode::Right), Char('L')],
            ),
        ],
    },
    Group {
        help: "go to the first step",
        footer: "",
        bindings: &[bind("first-step", Action::Home, &[Code(KeyCode::Home)])],
    },
    Group {
        help: "go to the newest step and follow the run",
        footer: "follow",
        bindings: &[bind(
            "follow",
            Action::Follow,
            &[Code(KeyCode::End), Char('G')],
        )],
    },
    Group {
        help: "previous event, next event",
        footer: "event",
        bindings: &[
            bind("previous-event", Action::PreviousEvent, &[Char('[')]),
            bind("next-event", Action::NextEvent, &[Char(']')]),
        ],
    },
    Group {
        help: "list events, warnings and bookmarks",
        footer: "",
        bindings: &[bind("events", Action::Events, &[Char('v')])],
    },
    Group {
        help: "moments of learning by class: next, previous",
        footer: "",
        bindings: &[
            bind("next-class", Action::NextClass, &[Char('n')]),
            bind("previous-class", Action::PreviousClass, &[Char('N')]),
        ],
    },
    Group {
        help: "set or remove a bookmark at the cursor",
        footer: "",
        bindings: &[bind("bookmark", Action::Bookmark, &[Char('m')])],
    },
    Group {
        help: "zoom in or out around the cursor; show the whole run",
        footer: "zoom",
        bindings: &[
            bind("zoom-in", Action::ZoomIn, &[Char('+'), Char('=')]),
            bind("zoom-out", Action::ZoomOut, &[Char('-')]),
            bind("zoom-all", Action::ZoomAll, &[Char('0')]),
        ],
    },
    Group {
        help: "freeze the view; in a replay: play or pause",
        footer: "freeze",
        bindings: &[bind("freeze", Action::Freeze, &[Char(' ')])],
    },
    Group {
        help: "replay slower, faster",
        footer: "speed",
        bindings: &[
            bind("slower", Action::Slower, &[Char('<')]),
            bind("faster", Action::Faster, &[Char('>')]),
        ],
    },
    Group {
        help: "logarithmic or linear charts",
        footer: "scale",
        bindings: &[bind("scale", Action::ToggleScale, &[Char('g')])],
    },
    Group {
        help: "enlarge a chart, then the next; show all again",
        footer: "chart",
        bindings: &[bind("focus", Action::Focus, &[Char('f')])],
    },
    Group {
        help: "distribution of all layers or of the selected one",
        footer: "",
        bindings: &[bind("pool", Action::Pool, &[Char('a')])],
    },
    Group {
        help: "sort the list",
        footer: "sort",
        bindings: &[bind("sort", Action::Sort, &[Char('s')])],
    },
    Group {
        help: "go to the next traced parameter",
        footer: "",
        bindings: &[bind("next-traced", Action::NextTraced, &[Char('t')])],
    },
    Group {
        help: "toggle comparison",
        footer: "compare",
        bindings: &[bind("compare", Action::Compare, &[Char('c')])],
    },
    Group {
        help: "copy table; export table and picture",
        footer: "copy, export",
        bindings: &[
            bind("copy", Action::Copy, &[Char('y')]),
            bind("export", Action::Export, &[Char('e')]),
        ],
    },
    Group {
        help: "filter layers and tensors by name",
        footer: "",
        bindings: &[bind("filter", Action::Filter, &[Char('/')])],
    },
    Group {
        help: "run a command, or go to a step by its number",
        footer: "",
        bindings: &[bind("command", Action::Command, &[Char(':')])],
    },
    Group {
        help: "pause or resume the training",
        footer: "pause",
        bindings: &[bind("pause-training", Action::PauseTraining, &[Char('p')])],
    },
    Group {
        help: "this help",
        footer: "help",
        bindings: &[bind(
            "help",
            Action::Help,
            &[Char('?'), Code(KeyCode::F(1))],
        )],
    },
    Group {
        help: "quit; asks first during training",
        footer: "quit",
        bindings: &[bind("quit", Action::Quit, &[Char('q')])],
    },
];

/// The keys of every action: the table's, or the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMap {
    /// The keys of every binding of [`GROUPS`], in order.
    groups: Vec<Vec<Vec<Key>>>,
}

impl Default for KeyMap {
    fn default() -> Self {
        let keys = |group: &Group| group.bindings.iter().map(|b| b.keys.to_vec()).collect();
        Self {
            groups: GROUPS.iter().map(keys).collect(),
        }
    }
}

impl KeyMap {
    /// Gives a binding other keys; returns false if no binding has this name.
    pub fn set(&mut self, name: &str, keys: Vec<Key>) -> bool {
        let bindings = GROUPS.iter().flat_map(|group| group.bindings);
        let there = self.groups.iter_mut().flatten();
        match bindings
            .zip(there)
            .find(|(binding, _)| binding.name == name)
        {
            Some((_, there)) => {
                *there = keys;
                true
            }
            None => false,
        }
    }

    fn lookup(&self, key: KeyEvent) -> Option<Action> {
        let pressed = Key::of_event(key)?;
        let bindings = GROUPS.iter().flat_map(|group| group.bindings);
        let keys = self.groups.iter().flatten();
        let found = bindings.zip(keys).find(|(_, keys)| keys.contains(&pressed));
        found.map(|(binding, _)| binding.action)
    }

    /// The keys of a group as the help shows them: `← →  h l`.
    #[must_use]
    pub fn label(&self, group: usize, ascii: bool) -> String {
        let all = &self.groups[group];
        let slots = all.iter().map(Vec::len).max().unwrap_or(0);
        let slot = |n: usize| {
            let keys: Vec<Key> = all.iter().filter_map(|keys| keys.get(n)).copied().collect();
            let shifted = keys.len() > 1 && keys.iter().all(|key| matches!(key, Shift(_)));
            let plain = |key: &Key| match *key {
                Shift(code) if shifted => Code(code).text(ascii),
                key => key.text(ascii),
            };
            let texts: Vec<String> = match keys.as_slice() {
                [first, .., last] if keys.len() > 4 => {
                    let between = if ascii { "..." } else { "…" };
                    vec![plain(first), between.to_owned(), plain(last)]
                }
                keys => keys.iter().map(plain).collect(),
            };
            let shift = if shifted { "Shift " } else { "" };
            format!("{shift}{}", texts.join(" "))
        };
        (0..slots).map(slot).collect::<Vec<_>>().join("  ")
    }

    /// The first alternative of [`KeyMap::label`].
    #[must_use]
    pub fn short_label(&self, group: usize, ascii: bool) -> String {
        let label = self.label(group, ascii);
        label.split("  ").next().unwrap_or_default().to_owned()
    }
}

impl Key {
    fn text(self, ascii: bool) -> String {
        match self {
            Char(' ') => "Space".to_owned(),
            Char(c) => c.to_string(),
            Self::Ctrl(c) => format!("Ctrl-{c}"),
            Self::Named(name) => name.to_string(),
            Shift(code) => format!("Shift {}", Code(code).text(ascii)),
            Code(code) => match (code, ascii) {
                (KeyCode::Left, false) => "←".to_owned(),
                (KeyCode::Right, false) => "→".to_owned(),
                (KeyCode::Up, false) => "↑".to_owned(),
                (KeyCode::Down, false) => "↓".to_owned(),
                (KeyCode::Left, true) => "left".to_owned(),
                (KeyCode::Right, true) => "right".to_owned(),
                (KeyCode::Up, true) => "up".to_owned(),
                (KeyCode::Down, true) => "down".to_owned(),
                (KeyCode::PageUp, _) => "PgUp".to_owned(),
                (KeyCode::PageDown, _) => "PgDn".to_owned(),
                (KeyCode::BackTab, _) => "Shift-Tab".to_owned(),
                (KeyCode::F(n), _) => format!("F{n}"),
                (code, _) => format!("{code:?}"),
            },
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text(false))
    }
}

/// A request from a key to the draw loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    Act(Action),
    /// Ctrl-Z: back to the shell until `fg`.
    Suspend,
}

/// Returns what a key requests, given the open overlay and the prompt.
#[must_use]
pub fn request(keys: &KeyMap, key: KeyEvent, overlays: &Overlays) -> Option<Request> {
    pressed(keys, key, overlays.open, overlays.prompt.is_some())
}

/// Returns what a key requests while there is no [`App`] yet.
pub fn pressed(
    keys: &KeyMap,
    key: KeyEvent,
    overlay: Option<Overlay>,
    typing: bool,
) -> Option<Request> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            // In a prompt, Ctrl-C cancels the prompt, as in a shell.
            KeyCode::Char('c') if typing => return Some(Request::Act(Action::Dismiss)),
            // After the question whether to quit, it is an answer.
            KeyCode::Char('c') if overlay == Some(Overlay::AskQuit) => {
                return Some(Request::Act(Action::StopAndQuit));
            }
            KeyCode::Char('c') => return Some(Request::Act(Action::Quit)),
            KeyCode::Char('z') => return Some(Request::Suspend),
            _ => {
                let bound = keys.lookup(key).filter(|_| !typing && overlay.is_none());
                return bound.map(Request::Act);
            }
        }
    }
    let action = match overlay {
        _ if typing => typed(key),
        Some(Overlay::Events) => Some(events(keys, key)),
        Some(Overlay::Help | Overlay::Commands) => Some(help(keys, key)),
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
        None => keys.lookup(key),
    };
    action.map(Request::Act)
}

/// The action of a key over the help: the selection keys scroll it, all others close it.
fn help(keys: &KeyMap, key: KeyEvent) -> Action {
    match keys.lookup(key) {
        Some(Action::Select(rows)) => Action::Select(rows),
        _ => Action::Dismiss,
    }
}

/// The action of a key over the list of events: selection keys and Enter work, all others close it.
fn events(keys: &KeyMap, key: KeyEvent) -> Action {
    match keys.lookup(key) {
        Some(action @ (Action::Select(_) | Action::Enter)) => action,
        _ => Action::Dismiss,
    }
}

/// The action of a key in the prompt.
fn typed(key: KeyEvent) -> Option<Action> {
    match key.code {
        KeyCode::Char(c) => Some(Action::Type(c)),
        KeyCode::Backspace => Some(Action::Erase),
        KeyCode::Enter => Some(Action::Submit),
        KeyCode::Esc => Some(Action::Dismiss),
        KeyCode::Tab => Some(Action::Complete),
        KeyCode::Up => Some(Action::Recall(1)),
        KeyCode::Down => Some(Action::Recall(-1)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode, modifiers: KeyModifiers) -> KeyEvent {
        KeyEvent::new(code, modifiers)
    }

    fn request(key: KeyEvent, overlay: Option<Overlay>) -> Option<Request> {
        pressed(&KeyMap::default(), key, overlay, false)
    }

    #[test]
    fn keys_and_names_in_the_table_are_unique() {
        let bindings = || GROUPS.iter().flat_map(|group| group.bindings);
        let keys: Vec<Key> = bindings().flat_map(|b| b.keys).copied().collect();
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{key}");
        }
        let names: Vec<&str> = bindings().map(|b| b.name).collect();
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name), "{name}");
        }
    }

    #[test]
    fn the_document_lists_every_key() {
        let document = include_str!("../../docs/explorer.md");
        let keys = KeyMap::default();
        for (at, group) in GROUPS.iter().enumerate() {
            let row = format!("| {} | {} |", keys.label(at, false), group.help);
            assert!(document.contains(&row), "docs/explorer.md lacks: {row}");
        }
    }

    #[test]
    fn labels_name_the_bound_keys() {
        let mut keys = KeyMap::default();
        let at = |name: &str| {
            let has = |group: &&Group| group.bindings.iter().any(|b| b.name == name);
            let found = GROUPS.iter().find(has).unwrap();
            GROUPS
                .iter()
                .position(|group| std::ptr::eq(group, found))
                .unwrap()
        };
        assert_eq!(keys.label(at("step-back"), false), "← →  h l");
        assert_eq!(keys.label(at("step-back"), true), "left right  h l");
        assert_eq!(keys.label(at("ten-steps-back"), false), "Shift ← →  H L");
        assert_eq!(keys.label(at("overview"), false), "1 … 8");
        assert_eq!(keys.short_label(at("zoom-in"), false), "+ - 0");
        assert!(keys.set("freeze", vec![Key::Ctrl('f')]));
        assert!(!keys.set("fly", Vec::new()));
        assert_eq!(keys.label(at("freeze"), false), "Ctrl-f");
        let key = press(KeyCode::Char('f'), KeyModifiers::CONTROL);
        assert_eq!(
            pressed(&keys, key, None, false),
            Some(Request::Act(Action::Freeze))
        );
    }

    #[test]
    fn typed_characters_go_into_the_prompt() {
        let typed = |code| {
            pressed(
                &KeyMap::default(),
                press(code, KeyModifiers::NONE),
                None,
                true,
            )
        };
        let act = |action| Some(Request::Act(action));
        assert_eq!(typed(KeyCode::Char('q')), act(Action::Type('q')));
        assert_eq!(typed(KeyCode::Backspace), act(Action::Erase));
        assert_eq!(typed(KeyCode::Enter), act(Action::Submit));
        assert_eq!(typed(KeyCode::Esc), act(Action::Dismiss));
        assert_eq!(typed(KeyCode::Left), None);
    }

    #[test]
    fn shift_and_overlays_change_what_a_key_does() {
        let act = |action| Some(Request::Act(action));
        let left = press(KeyCode::Left, KeyModifiers::NONE);
        assert_eq!(request(left, None), act(Action::Move(-1)));
        let left = press(KeyCode::Left, KeyModifiers::SHIFT);
        assert_eq!(request(left, None), act(Action::Move(-10)));
        let back = press(KeyCode::BackTab, KeyModifiers::SHIFT);
        assert_eq!(request(back, None), act(Action::PreviousScreen));
        let capital = press(KeyCode::Char('G'), KeyModifiers::SHIFT);
        assert_eq!(request(capital, None), act(Action::Follow));
        let s = press(KeyCode::Char('s'), KeyModifiers::NONE);
        assert_eq!(request(s, None), act(Action::Sort));
        assert_eq!(request(s, Some(Overlay::AskQuit)), act(Action::StopAndQuit));
        assert_eq!(request(s, Some(Overlay::Help)), act(Action::Dismiss));
        let down = press(KeyCode::Down, KeyModifiers::NONE);
        assert_eq!(request(down, Some(Overlay::Help)), act(Action::Select(1)));
        let q = press(KeyCode::Char('q'), KeyModifiers::NONE);
        assert_eq!(request(q, Some(Overlay::AskQuit)), act(Action::Dismiss));
        assert_eq!(
            request(q, Some(Overlay::AskLeave)),
            act(Action::LeaveRunning)
        );
        let interrupt = press(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(request(interrupt, None), act(Action::Quit));
        assert_eq!(
            request(interrupt, Some(Overlay::AskQuit)),
            act(Action::StopAndQuit)
        );
    }
}

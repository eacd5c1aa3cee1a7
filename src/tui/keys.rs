//! The key bindings: one table, which also feeds the help, the footer and the configuration.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::app::{Action, App, Overlay, Overlays, Screen};
use crate::key_name::{Held, Key, KeyName};

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
    pub keys: &'static [KeyName],
}

const fn plain(key: Key) -> KeyName {
    KeyName::plain(key)
}

const fn char(c: char) -> KeyName {
    plain(Key::Char(c))
}

const fn shift(key: Key) -> KeyName {
    KeyName::new(
        key,
        Held {
            shift: true,
            ..Held::NONE
        },
    )
}

const fn ctrl(key: Key) -> KeyName {
    KeyName::new(
        key,
        Held {
            ctrl: true,
            ..Held::NONE
        },
    )
}

const fn bind(name: &'static str, action: Action, keys: &'static [KeyName]) -> Binding {
    Binding { name, action, keys }
}

const fn screen(screen: Screen, name: &'static str, keys: &'static [KeyName]) -> Binding {
    bind(name, Action::Screen(screen), keys)
}

/// All keys, in the order of the help.
pub const GROUPS: &[Group] = &[
    Group {
        help: "go to a screen",
        footer: "screen",
        bindings: &[
            screen(Screen::Overview, "overview", &[char('1')]),
            screen(Screen::Decomposition, "decomposition", &[char('2')]),
            screen(Screen::Oscillation, "oscillation", &[char('3')]),
            screen(Screen::Synchronisation, "synchronisation", &[char('4')]),
            screen(Screen::Classes, "classes", &[char('5')]),
            screen(Screen::Distribution, "distribution", &[char('6')]),
            screen(Screen::HeldOut, "held-out", &[char('7')]),
            screen(Screen::Run, "run", &[char('8')]),
        ],
    },
    Group {
        help: "next screen, previous screen",
        footer: "",
        bindings: &[
            bind("next-screen", Action::NextScreen, &[plain(Key::Tab)]),
            bind(
                "previous-screen",
                Action::PreviousScreen,
                &[shift(Key::Tab)],
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
                &[plain(Key::Up), char('k')],
            ),
            bind(
                "select-down",
                Action::Select(1),
                &[plain(Key::Down), char('j')],
            ),
            bind("select-page-up", Action::Select(-10), &[plain(Key::PageUp)]),
            bind(
                "select-page-down",
                Action::Select(10),
                &[plain(Key::PageDown)],
            ),
        ],
    },
    Group {
        help: "select the first or the last",
        footer: "",
        bindings: &[
            bind("select-first", Action::Select(i64::MIN), &[ctrl(Key::Home)]),
            bind("select-last", Action::Select(i64::MAX), &[ctrl(Key::End)]),
        ],
    },
    Group {
        help: "open the selected layer, unit or parameter",
        footer: "open",
        bindings: &[bind("into", Action::Enter, &[plain(Key::Enter)])],
    },
    Group {
        help: "go back",
        footer: "back",
        bindings: &[bind(
            "back",
            Action::Back,
            &[plain(Key::Esc), plain(Key::Backspace)],
        )],
    },
    Group {
        help: "move the cursor by one step",
        footer: "step",
        bindings: &[
            bind(
                "step-back",
                Action::Move(-1),
                &[plain(Key::Left), char('h')],
            ),
            bind(
                "step-forward",
                Action::Move(1),
                &[plain(Key::Right), char('l')],
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
                &[shift(Key::Left), char('H')],
            ),
            bind(
                "ten-steps-forward",
                Action::Move(10),
                &[shift(Key::Right), char('L')],
            ),
        ],
    },
    Group {
        help: "go to the first step",
        footer: "",
        bindings: &[bind("first-step", Action::Home, &[plain(Key::Home)])],
    },
    Group {
        help: "go to the newest step and follow the run",
        footer: "follow",
        bindings: &[bind(
            "follow",
            Action::Follow,
            &[plain(Key::End), char('G')],
        )],
    },
    Group {
        help: "previous event, next event",
        footer: "event",
        bindings: &[
            bind("previous-event", Action::PreviousEvent, &[char('[')]),
            bind("next-event", Action::NextEvent, &[char(']')]),
        ],
    },
    Group {
        help: "the selected layer's worst steps: worse, milder",
        footer: "worst steps",
        bindings: &[
            bind("worse-step", Action::Worse, &[char('{')]),
            bind("milder-step", Action::Milder, &[char('}')]),
        ],
    },
    Group {
        help: "what happened in the run, in sentences",
        footer: "what happened",
        bindings: &[bind("what-happened", Action::Findings, &[char('w')])],
    },
    Group {
        help: "list events, warnings and bookmarks",
        footer: "",
        bindings: &[bind("events", Action::Events, &[char('v')])],
    },
    Group {
        help: "moments by class, compared runs: next, previous",
        footer: "",
        bindings: &[
            bind("next-class", Action::NextClass, &[char('n')]),
            bind("previous-class", Action::PreviousClass, &[char('N')]),
        ],
    },
    Group {
        help: "set or remove a bookmark at the cursor",
        footer: "",
        bindings: &[bind("bookmark", Action::Bookmark, &[char('m')])],
    },
    Group {
        help: "zoom in or out around the cursor; show the whole run",
        footer: "zoom",
        bindings: &[
            bind("zoom-in", Action::ZoomIn, &[char('+'), char('=')]),
            bind("zoom-out", Action::ZoomOut, &[char('-')]),
            bind("zoom-all", Action::ZoomAll, &[char('0')]),
        ],
    },
    Group {
        help: "freeze the view; in a replay: play or pause",
        footer: "freeze",
        bindings: &[bind("freeze", Action::Freeze, &[char(' ')])],
    },
    Group {
        help: "replay slower, faster",
        footer: "speed",
        bindings: &[
            bind("slower", Action::Slower, &[char('<')]),
            bind("faster", Action::Faster, &[char('>')]),
        ],
    },
    Group {
        help: "logarithmic or linear charts",
        footer: "scale",
        bindings: &[bind("scale", Action::ToggleScale, &[char('g')])],
    },
    Group {
        help: "enlarge a chart, then the next; show all again",
        footer: "chart",
        bindings: &[bind("focus", Action::Focus, &[char('f')])],
    },
    Group {
        help: "all layers or one, compared runs or their means",
        footer: "",
        bindings: &[bind("pool", Action::Pool, &[char('a')])],
    },
    Group {
        help: "sort the list",
        footer: "sort",
        bindings: &[bind("sort", Action::Sort, &[char('s')])],
    },
    Group {
        help: "go to the next traced parameter",
        footer: "",
        bindings: &[bind("next-traced", Action::NextTraced, &[char('t')])],
    },
    Group {
        help: "toggle comparison",
        footer: "compare",
        bindings: &[bind("compare", Action::Compare, &[char('c')])],
    },
    Group {
        help: "copy table; export table and picture",
        footer: "copy, export",
        bindings: &[
            bind("copy", Action::Copy, &[char('y')]),
            bind("export", Action::Export, &[char('e')]),
        ],
    },
    Group {
        help: "filter layers and tensors by name",
        footer: "",
        bindings: &[bind("filter", Action::Filter, &[char('/')])],
    },
    Group {
        help: "run a command, or go to a step by its number",
        footer: "",
        bindings: &[bind("command", Action::Command, &[char(':')])],
    },
    Group {
        help: "pause or resume the training",
        footer: "pause",
        bindings: &[bind("pause-training", Action::PauseTraining, &[char('p')])],
    },
    Group {
        help: "this help",
        footer: "help",
        bindings: &[bind("help", Action::Help, &[char('?'), plain(Key::F(1))])],
    },
    Group {
        help: "list the runs in this folder",
        footer: "runs",
        bindings: &[bind("runs", Action::Runs, &[char('r')])],
    },
    Group {
        help: "quit; asks first during training",
        footer: "quit",
        bindings: &[bind("quit", Action::Quit, &[char('q')])],
    },
];

/// The keys of every action: the table's, or the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyMap {
    /// The keys of every binding of [`GROUPS`], in order.
    groups: Vec<Vec<Vec<KeyName>>>,
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
    /// The table with these keys for the named actions.
    #[must_use]
    pub fn with<'a>(actions: impl IntoIterator<Item = (&'a str, &'a [KeyName])>) -> Self {
        let mut map = Self::default();
        let all = || GROUPS.iter().flat_map(|group| group.bindings);
        for (action, keys) in actions {
            let bound = all().zip(map.groups.iter_mut().flatten());
            for (_, bound) in bound.filter(|(binding, _)| binding.name == action) {
                *bound = keys.to_vec();
            }
        }
        map
    }

    fn lookup(&self, key: KeyEvent) -> Option<Action> {
        let pressed = key_name(key)?;
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
            let keys: Vec<KeyName> = all.iter().filter_map(|keys| keys.get(n)).copied().collect();
            let shifted = keys.len() > 1
                && keys
                    .iter()
                    .all(|key| key.held().shift && *key == shift(key.key()));
            let text = |key: &KeyName| {
                let key = if shifted { plain(key.key()) } else { *key };
                text(key, ascii)
            };
            let texts: Vec<String> = match keys.as_slice() {
                [first, .., last] if keys.len() > 4 => {
                    let between = if ascii { "..." } else { "…" };
                    vec![text(first), between.to_owned(), text(last)]
                }
                keys => keys.iter().map(text).collect(),
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

/// A key as the help and the footer show it.
fn text(key: KeyName, ascii: bool) -> String {
    if key == shift(Key::Tab) || (key != plain(key.key()) && key != shift(key.key())) {
        return key.to_string();
    }
    let name = match (key.key(), ascii) {
        (Key::Left, false) => "←".to_owned(),
        (Key::Right, false) => "→".to_owned(),
        (Key::Up, false) => "↑".to_owned(),
        (Key::Down, false) => "↓".to_owned(),
        (Key::Left, true) => "left".to_owned(),
        (Key::Right, true) => "right".to_owned(),
        (Key::Up, true) => "up".to_owned(),
        (Key::Down, true) => "down".to_owned(),
        (Key::PageUp, _) => "PgUp".to_owned(),
        (Key::PageDown, _) => "PgDn".to_owned(),
        (key, _) => plain(key).to_string(),
    };
    if key.held().shift {
        format!("Shift {name}")
    } else {
        name
    }
}

/// The name of a pressed key; `None` if it has none.
fn key_name(event: KeyEvent) -> Option<KeyName> {
    let key = match event.code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::F(n) => Key::F(n),
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Esc => Key::Esc,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Insert => Key::Insert,
        _ => return None,
    };
    let with = |modifier| event.modifiers.contains(modifier);
    let held = Held {
        ctrl: with(KeyModifiers::CONTROL),
        alt: with(KeyModifiers::ALT),
        shift: with(KeyModifiers::SHIFT) || event.code == KeyCode::BackTab,
    };
    Some(KeyName::new(key, held))
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
        Some(Overlay::Findings) => Some(findings(keys, key)),
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

/// The action of a key over the findings: Esc and keys without an action close them, others act on the screen below.
fn findings(keys: &KeyMap, key: KeyEvent) -> Action {
    match keys.lookup(key) {
        Some(Action::Back | Action::Findings) | None => Action::Dismiss,
        Some(action) => action,
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
        let keys: Vec<KeyName> = bindings().flat_map(|b| b.keys).copied().collect();
        for (i, key) in keys.iter().enumerate() {
            assert!(!keys[..i].contains(key), "{key}");
            assert_eq!(key.to_string().parse(), Ok(*key));
        }
        let table = bindings().map(|b| (b.name, b.keys));
        assert_eq!(KeyMap::with(table), KeyMap::default());
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
        let keys = KeyMap::default();
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
        let ctrl_f: KeyName = "Ctrl-f".parse().unwrap();
        let keys = KeyMap::with([("freeze", &[ctrl_f][..]), ("fly", &[])]);
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
            let others = GROUPS.iter().flat_map(|group| group.bindings);
            let others = others.map(|other| (other.name, &[][..]));
            let keys = KeyMap::with(others.chain([("freeze", &[parsed][..])]));
            let event = KeyEvent::new(code, modifiers);
            let found = pressed(&keys, event, None, false);
            assert_eq!(found, Some(Request::Act(Action::Freeze)), "{name}");
        }
        // With Alt it is another key.
        let event = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::ALT);
        assert_eq!(pressed(&KeyMap::default(), event, None, false), None);
    }
}

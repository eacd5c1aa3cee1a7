//! Decodes bytes from a terminal into key and mouse events.
//!
//! ```text
//! ESC [ 1 ; 2 C     a sequence: Shift →             may come in pieces, over a slow line
//! ESC               the key Esc, or the beginning of one: only time tells
//! ```
//!
//! A piece is kept until the rest arrives. A sequence that is none of our keys is read to its end and dropped, so that
//! none of its letters becomes a key.

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};

const ESC: u8 = 0x1b;

/// The longest sequence kept while incomplete; none that we know is longer.
const LONGEST: usize = 64;

/// The first event in a run of bytes, as far as it can be told.
enum Found {
    /// A complete sequence: its length in bytes, and its event, if it has one.
    Whole(usize, Option<Event>),
    /// The beginning of a sequence.
    Piece,
}

/// Decodes bytes into events.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes bytes in, and appends the events they complete to `events`.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) {
        self.pending.extend_from_slice(bytes);
        let mut at = 0;
        while at < self.pending.len() {
            match first(&self.pending[at..]) {
                Found::Whole(length, event) => {
                    events.extend(event);
                    at += length.max(1);
                }
                Found::Piece if self.pending.len() - at > LONGEST => at = self.pending.len(),
                Found::Piece => break,
            }
        }
        self.pending.drain(..at);
    }

    /// Whether an incomplete sequence is pending.
    pub fn waits(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Stops waiting for the rest of a sequence: an ESC alone was the key, any other piece is dropped.
    pub fn give_up(&mut self, events: &mut Vec<Event>) {
        if self.pending == [ESC] {
            events.push(key(KeyCode::Esc, KeyModifiers::NONE));
        }
        self.pending.clear();
    }
}

fn key(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of several that may find nothing"
)]
fn plain(code: KeyCode) -> Option<Event> {
    Some(key(code, KeyModifiers::NONE))
}

/// Decodes the first event of `bytes`, which must not be empty.
fn first(bytes: &[u8]) -> Found {
    match bytes {
        [ESC] => Found::Piece,
        // Esc, pressed before another key.
        [ESC, ESC, ..] => Found::Whole(1, plain(KeyCode::Esc)),
        [ESC, b'[', rest @ ..] => csi(rest),
        [ESC, b'O', rest @ ..] => match rest.first() {
            Some(&last) => Found::Whole(3, letter(last).and_then(plain)),
            None => Found::Piece,
        },
        [ESC, rest @ ..] => match first(rest) {
            Found::Whole(length, event) => Found::Whole(length + 1, event.map(with_alt)),
            Found::Piece => Found::Piece,
        },
        [byte, ..] if *byte < 0x20 || *byte == 0x7f => Found::Whole(1, control(*byte)),
        _ => letter_typed(bytes),
    }
}

fn with_alt(event: Event) -> Event {
    match event {
        Event::Key(mut key) => {
            key.modifiers |= KeyModifiers::ALT;
            Event::Key(key)
        }
        event => event,
    }
}

fn control(byte: u8) -> Option<Event> {
    let ctrl = |c: u8| Some(key(KeyCode::Char(char::from(c)), KeyModifiers::CONTROL));
    match byte {
        b'\r' => plain(KeyCode::Enter),
        b'\t' => plain(KeyCode::Tab),
        // The terminal's settings decide which of the two the key sends.
        0x08 | 0x7f => plain(KeyCode::Backspace),
        0 => ctrl(b' '),
        1..=0x1a => ctrl(byte - 1 + b'a'),
        byte => ctrl(byte - 0x1c + b'4'),
    }
}

/// Decodes a UTF-8 character; skips a byte that is not valid UTF-8.
fn letter_typed(bytes: &[u8]) -> Found {
    let length = match bytes.first() {
        Some(0x00..=0x7f) => 1,
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return Found::Whole(1, None),
    };
    let there = &bytes[..length.min(bytes.len())];
    if there[1..].iter().any(|byte| byte & 0xc0 != 0x80) {
        return Found::Whole(1, None);
    }
    if there.len() < length {
        return Found::Piece;
    }
    let typed = std::str::from_utf8(there)
        .ok()
        .and_then(|text| text.chars().next());
    let event = typed.map(|c| {
        let shift = if c.is_uppercase() {
            KeyModifiers::SHIFT
        } else {
            KeyModifiers::NONE
        };
        key(KeyCode::Char(c), shift)
    });
    Found::Whole(length, event)
}

/// Decodes what follows `ESC [`: parameters, then a letter.
fn csi(rest: &[u8]) -> Found {
    // The Linux console has its own F1 to F5: `ESC [ [ A`.
    if let [b'[', more @ ..] = rest {
        return match more.first() {
            Some(&byte @ b'A'..=b'E') => Found::Whole(4, plain(KeyCode::F(byte - b'A' + 1))),
            Some(_) => Found::Whole(3, None),
            None => Found::Piece,
        };
    }
    let Some(end) = rest.iter().position(|byte| !(0x20..=0x3f).contains(byte)) else {
        return Found::Piece;
    };
    let last = rest[end];
    if !(0x40..=0x7e).contains(&last) {
        // Another sequence has begun within this one: it is decoded on its own.
        return Found::Whole(2 + end, None);
    }
    let text = std::str::from_utf8(&rest[..end]).unwrap_or_default();
    let event = match text.strip_prefix('<') {
        Some(mouse) => mouse_event(mouse, last),
        None => key_of(text, last),
    };
    Found::Whole(3 + end, event)
}

/// The key whose sequence ends in this letter.
fn letter(last: u8) -> Option<KeyCode> {
    Some(match last {
        b'A' => KeyCode::Up,
        b'B' => KeyCode::Down,
        b'C' => KeyCode::Right,
        b'D' => KeyCode::Left,
        b'F' => KeyCode::End,
        b'H' => KeyCode::Home,
        b'M' => KeyCode::Enter,
        b'P'..=b'S' => KeyCode::F(last - b'P' + 1),
        b'Z' => KeyCode::BackTab,
        _ => return None,
    })
}

fn key_of(parameters: &str, last: u8) -> Option<Event> {
    let mut numbers = parameters.split(';').map(|number| {
        // Parts after a colon carry details that we do not need.
        let number = number.split(':').next().unwrap_or_default();
        number.parse::<u32>().unwrap_or(0)
    });
    let (number, modifiers) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(1));
    let modifiers = modifiers_of(modifiers);
    let code = match last {
        b'~' => match number {
            1 | 7 => KeyCode::Home,
            2 => KeyCode::Insert,
            3 => KeyCode::Delete,
            4 | 8 => KeyCode::End,
            5 => KeyCode::PageUp,
            6 => KeyCode::PageDown,
            11..=15 => KeyCode::F(u8::try_from(number - 10).ok()?),
            17..=21 => KeyCode::F(u8::try_from(number - 11).ok()?),
            23 | 24 => KeyCode::F(u8::try_from(number - 12).ok()?),
            _ => return None,
        },
        b'u' => match char::from_u32(number)? {
            '\r' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            '\u{7f}' => KeyCode::Backspace,
            c if c.is_control() => return None,
            c => KeyCode::Char(c),
        },
        // As a sequence with parameters this is not Enter.
        b'M' => return None,
        last => letter(last)?,
    };
    Some(key(code, modifiers))
}

/// The modifiers in a parameter: 1 plus a bit each for Shift, Alt and Ctrl.
fn modifiers_of(number: u32) -> KeyModifiers {
    let bits = number.saturating_sub(1);
    let mut modifiers = KeyModifiers::NONE;
    for (bit, modifier) in [
        (1, KeyModifiers::SHIFT),
        (2, KeyModifiers::ALT),
        (4, KeyModifiers::CONTROL),
    ] {
        if bits & bit != 0 {
            modifiers |= modifier;
        }
    }
    modifiers
}

/// Decodes a mouse event, `0;12;7M`: button, column and row, the last two from 1; a small letter for a release.
fn mouse_event(parameters: &str, last: u8) -> Option<Event> {
    let mut numbers = parameters.split(';').map(str::parse::<u16>);
    let mut next = || numbers.next()?.ok();
    let (button, column, row) = (next()?, next()?, next()?);
    let which = match button & 3 {
        0 => MouseButton::Left,
        1 => MouseButton::Middle,
        _ => MouseButton::Right,
    };
    let kind = match (button & 64 != 0, button & 3, last) {
        (true, 0, _) => MouseEventKind::ScrollUp,
        (true, 1, _) => MouseEventKind::ScrollDown,
        (true, ..) => return None,
        _ if button & 32 != 0 => MouseEventKind::Drag(which),
        (_, _, b'M') => MouseEventKind::Down(which),
        _ => MouseEventKind::Up(which),
    };
    Some(Event::Mouse(MouseEvent {
        kind,
        column: column.saturating_sub(1),
        row: row.saturating_sub(1),
        modifiers: KeyModifiers::NONE,
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(pieces: &[&[u8]]) -> Vec<Event> {
        let mut decoder = Decoder::default();
        let mut events = Vec::new();
        for piece in pieces {
            decoder.feed(piece, &mut events);
        }
        decoder.give_up(&mut events);
        events
    }

    fn keys(text: &str) -> Vec<(KeyCode, KeyModifiers)> {
        let keys = decoded(&[text.as_bytes()])
            .into_iter()
            .map(|event| match event {
                Event::Key(key) => (key.code, key.modifiers),
                other => panic!("{other:?}"),
            });
        keys.collect()
    }

    #[test]
    fn all_encodings_of_a_key_are_decoded() {
        let none = KeyModifiers::NONE;
        for (text, code, modifiers) in [
            ("\x1b[C", KeyCode::Right, none),
            ("\x1bOC", KeyCode::Right, none),
            ("\x1b[1;2C", KeyCode::Right, KeyModifiers::SHIFT),
            ("\x1b[1;5D", KeyCode::Left, KeyModifiers::CONTROL),
            ("\x1b[H", KeyCode::Home, none),
            ("\x1b[1~", KeyCode::Home, none),
            ("\x1b[4~", KeyCode::End, none),
            ("\x1b[5~", KeyCode::PageUp, none),
            ("\x1b[Z", KeyCode::BackTab, none),
            ("\x1bOP", KeyCode::F(1), none),
            ("\x1b[[A", KeyCode::F(1), none),
            ("\x1b[11~", KeyCode::F(1), none),
            ("\x1b[24~", KeyCode::F(12), none),
            ("\x1b[113;5u", KeyCode::Char('q'), KeyModifiers::CONTROL),
            ("\x1b", KeyCode::Esc, none),
            ("\x1bx", KeyCode::Char('x'), KeyModifiers::ALT),
            ("\r", KeyCode::Enter, none),
            ("\x7f", KeyCode::Backspace, none),
            ("\x03", KeyCode::Char('c'), KeyModifiers::CONTROL),
            ("\x1a", KeyCode::Char('z'), KeyModifiers::CONTROL),
            ("G", KeyCode::Char('G'), KeyModifiers::SHIFT),
            ("é", KeyCode::Char('é'), none),
            ("層", KeyCode::Char('層'), none),
        ] {
            assert_eq!(keys(text), [(code, modifiers)], "{text:?}");
        }
        let codes = |text| {
            keys(text)
                .into_iter()
                .map(|(code, _)| code)
                .collect::<Vec<_>>()
        };
        let esc = KeyCode::Esc;
        assert_eq!(codes("\x1b\x1b[C"), [esc, KeyCode::Right]);
        assert_eq!(codes("\x1b\x1b"), [esc, esc]);
    }

    #[test]
    fn unknown_sequences_type_nothing() {
        for text in [
            "\x1b[200~",
            "\x1b[?62;c",
            "\x1b[12;40R",
            "\x1b[I",
            "\x1b[",
            "\x1bO",
        ] {
            let keys = keys(text);
            assert!(
                keys.iter()
                    .all(|(code, _)| !matches!(code, KeyCode::Char(_) | KeyCode::Esc)),
                "{text:?} {keys:?}"
            );
        }
        assert_eq!(decoded(&[b"\xff\xc3", b"q"]).len(), 1);
    }

    #[test]
    fn wheel_and_clicks_have_positions() {
        let events = decoded(&[b"\x1b[<64;5;6M\x1b[<0;12;1M\x1b[<0;12;1m"]);
        let mice: Vec<(MouseEventKind, u16, u16)> = (events.iter())
            .filter_map(|event| match event {
                Event::Mouse(mouse) => Some((mouse.kind, mouse.column, mouse.row)),
                _ => None,
            })
            .collect();
        let left = MouseButton::Left;
        assert_eq!(
            mice,
            [
                (MouseEventKind::ScrollUp, 4, 5),
                (MouseEventKind::Down(left), 11, 0),
                (MouseEventKind::Up(left), 11, 0),
            ]
        );
    }

    fn typed() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop_oneof![
            prop::sample::select(vec![
                "\x1b[C",
                "\x1bOH",
                "\x1b[1;2D",
                "q",
                "é",
                "\x1b[<0;1;1M",
                "\r"
            ])
            .prop_map(|text| text.as_bytes().to_vec()),
        ];
        prop::collection::vec(pieces, 0..12).prop_map(|all| all.concat())
    }

    proptest! {
        /// Over a slow line any sequence may come in pieces.
        #[test]
        fn split_input_decodes_the_same(bytes in typed(), cut in any::<prop::sample::Index>()) {
            let at = cut.index(bytes.len() + 1);
            let (one, two) = bytes.split_at(at);
            prop_assert_eq!(decoded(&[&bytes]), decoded(&[one, two]));
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(decoded(&[&bytes]), decoded(&single));
        }

        #[test]
        fn no_bytes_panic_or_accumulate(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut decoder = Decoder::default();
            let mut events = Vec::new();
            for piece in bytes.chunks(7) {
                decoder.feed(piece, &mut events);
                prop_assert!(decoder.pending.len() <= LONGEST + 7);
            }
            decoder.give_up(&mut events);
            prop_assert!(!decoder.waits());
        }
    }
}

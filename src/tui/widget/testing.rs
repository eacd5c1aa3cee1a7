//! Helpers for the charts' tests: every glyph set and colour level, and the text of a buffer.

use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use crate::tui::theme::{ColorLevel, Glyphs};

pub const ALL: [Glyphs; 3] = [Glyphs::Braille, Glyphs::Blocks, Glyphs::Ascii];
pub const LEVELS: [ColorLevel; 4] = [
    ColorLevel::TrueColor,
    ColorLevel::Ansi256,
    ColorLevel::Ansi16,
    ColorLevel::None,
];

/// The rows of a buffer, without trailing blanks.
pub fn text(buf: &Buffer) -> Vec<String> {
    let row = |cells: &[Cell]| -> String { cells.iter().map(Cell::symbol).collect() };
    let rows = buf.content.chunks(usize::from(buf.area.width.max(1)));
    rows.map(|cells| row(cells).trim_end().to_owned()).collect()
}

/// Draws a widget in a buffer of this size.
pub fn drawn(widget: impl Widget, width: u16, height: u16) -> Buffer {
    let area = Rect::new(0, 0, width, height);
    let mut buf = Buffer::empty(area);
    widget.render(area, &mut buf);
    buf
}

/// Draws the widget at `area`, parts of which may lie outside a buffer of 300×100, and checks that no cell outside the
/// area has changed, only ASCII is drawn in ASCII, and no colour is used where there are none.
pub fn check(widget: impl Widget, area: Rect, glyphs: Glyphs, level: ColorLevel) {
    let all = Rect::new(2, 1, 300, 100);
    let blank = Buffer::empty(all);
    let mut buf = blank.clone();
    widget.render(area, &mut buf);
    for position in all.positions() {
        let cell = &buf[position];
        if !area.contains(position) {
            assert_eq!(cell, &blank[position], "{position} is outside {area}");
        }
        if glyphs == Glyphs::Ascii {
            assert!(
                cell.symbol().is_ascii(),
                "{:?} at {position}",
                cell.symbol()
            );
        }
        if level == ColorLevel::None {
            let colors = (cell.fg, cell.bg);
            assert_eq!(
                colors,
                (blank[position].fg, blank[position].bg),
                "{position}"
            );
        }
    }
}

/// Areas from empty to larger than any screen, anywhere on it or beyond.
pub fn any_area() -> impl proptest::strategy::Strategy<Value = Rect> {
    use proptest::prelude::*;
    let small = (0u16..6, 0u16..6, 0u16..40, 0u16..14);
    let large = (0u16..310, 0u16..110, 0u16..310, 0u16..110);
    prop_oneof![3 => small, 1 => large]
        .prop_map(|(x, y, width, height)| Rect::new(x, y, width, height))
}

/// Difficult numbers among ordinary ones.
pub fn any_value() -> impl proptest::strategy::Strategy<Value = f64> {
    use proptest::prelude::*;
    prop_oneof![
        4 => -2.0f64..2.0,
        1 => Just(0.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(f64::NEG_INFINITY),
        1 => prop::num::f64::ANY,
    ]
}

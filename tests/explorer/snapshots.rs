//! Snapshots of every screen of the recorded run, as last reviewed and approved.
//!
//! `docs/development.md` explains how to review changes and accept them.

use std::path::Path;

use crate::scenes::turned::turn;
use crate::scenes::{
    Look, SIZES, asked, compared, compared_many, draw, portrait, recorded, rich, scenes, symbols,
};
use lcascope::app::Action;
use lcascope::tui::{ColorLevel, Glyphs, Theme};
use ratatui::buffer::{Buffer, Cell};
use ratatui::style::Color;

/// Compares a screen with `tests/explorer/snapshots/NAME.snap`.
pub fn assert_looks(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// Draws every scene, the comparison and the question with a theme.
fn all(size: (u16, u16), theme: &Theme) -> Vec<(String, Buffer)> {
    let mut drawn = Vec::new();
    for scene in scenes() {
        let mut look = Look::at(&recorded());
        look.act(&scene.actions, size, theme);
        drawn.push((scene.name.to_lowercase(), draw(&look.app, size, theme)));
    }
    let mut look = compared();
    look.settle(size, theme);
    drawn.push(("compare".to_owned(), draw(&look.app, size, theme)));
    let mut look = compared_many();
    look.act(&[Action::NextClass, Action::Select(1)], size, theme);
    drawn.push(("compare-many".to_owned(), draw(&look.app, size, theme)));
    look.act(&[Action::Pool], size, theme);
    drawn.push(("compare-means".to_owned(), draw(&look.app, size, theme)));
    drawn.push(("question".to_owned(), draw(&asked(), size, theme)));
    drawn
}

#[test]
fn screens_look_as_they_did() {
    for size in SIZES {
        for (name, buffer) in all(size, &rich()) {
            assert_looks(&format!("{name}-{}", size.0), &portrait(&buffer));
        }
    }
}

#[test]
fn screens_of_sixteen_colours_look_as_they_did() {
    let theme = Theme::new(ColorLevel::Ansi16, Glyphs::Braille);
    for (name, buffer) in all(SIZES[0], &theme) {
        assert_looks(&format!("{name}-80-16-colours"), &portrait(&buffer));
    }
}

#[test]
fn screens_without_colours_look_as_they_did() {
    let theme = Theme::new(ColorLevel::None, Glyphs::Braille);
    for (name, buffer) in all(SIZES[0], &theme) {
        let colours = coloured(&buffer);
        assert!(colours.is_empty(), "{name} has colours: {colours:?}");
        assert_looks(&format!("{name}-80-no-colour"), &portrait(&buffer));
    }
}

#[test]
fn ascii_screens_look_as_they_did() {
    let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
    for (name, buffer) in all(SIZES[0], &theme) {
        let text = symbols(&buffer);
        assert!(text.is_ascii(), "{name}:\n{text}");
        assert_looks(&format!("{name}-80-ascii"), &portrait(&buffer));
    }
}

/// The cells that have a colour.
fn coloured(buffer: &Buffer) -> Vec<(u16, u16)> {
    let area = buffer.area;
    let cells = (0..area.height).flat_map(|y| (0..area.width).map(move |x| (x, y)));
    let set = |color| !matches!(color, None | Some(Color::Reset));
    cells
        .filter(|&at| set(buffer[at].style().fg) || set(buffer[at].style().bg))
        .collect()
}

/// The sign shown by a cell's colour: blue helps, orange hurts. Half blocks have two colours and are ignored, since
/// pictures use other cells without colours.
fn sign(cell: &Cell) -> i8 {
    if matches!(cell.symbol(), "▀" | "▄") {
        return 0;
    }
    let style = cell.style();
    let of = |color| match color {
        Some(Color::Rgb(red, _, blue)) if blue > red => -1,
        Some(Color::Rgb(red, _, blue)) if red > blue => 1,
        _ => 0,
    };
    match of(style.fg) {
        0 => of(style.bg),
        sign => sign,
    }
}

/// Wherever colours show that something helps, and in the turned run that it hurts (or the reverse), something other
/// than colour must show it too: without colours, runs of such cells still differ.
#[test]
fn without_colours_help_and_hurt_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turned.h5");
    turn(&recorded(), &path);
    let size = SIZES[0];
    for glyphs in [Glyphs::Braille, Glyphs::Ascii] {
        let mut runs = 0;
        for scene in scenes() {
            let draw_with = |path: &Path, level: ColorLevel| {
                let theme = Theme::new(level, glyphs);
                let mut look = Look::at(path);
                look.act(&scene.actions, size, &theme);
                draw(&look.app, size, &theme)
            };
            let pair = |level| (draw_with(&recorded(), level), draw_with(&path, level));
            let (one, two) = pair(ColorLevel::TrueColor);
            let (plain_one, plain_two) = pair(ColorLevel::None);
            for y in 0..size.1 {
                let opposed = |x: u16| sign(&one[(x, y)]) * sign(&two[(x, y)]) < 0;
                let mut x = 0;
                while x < size.0 {
                    let from = x;
                    while x < size.0 && opposed(x) {
                        x += 1;
                    }
                    let told = (from..x).any(|x| plain_one[(x, y)] != plain_two[(x, y)]);
                    assert!(
                        from == x || told,
                        "{} with {glyphs:?}: cells {from}..{x} of line {y}\n{}",
                        scene.name,
                        symbols(&plain_one)
                    );
                    runs += usize::from(from < x);
                    x += 1;
                }
            }
        }
        // Numbers alone account for more than that.
        assert!(runs > 100, "{runs} with {glyphs:?}");
    }
}

//! What the mouse does, where the configuration asks for it. Nothing needs it.
//!
//! A place means what is drawn there: a click on a screen's tab opens it, one on a layer's row selects
//! it; the wheel scrolls over rows and help, and zooms elsewhere.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;

use crate::app::{Action, App, Depth, Screen};

/// What the terminal is told to send clicks and the wheel, with places beyond column 223, and to stop it.
pub const ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
pub const OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// The row of tabs.
const TABS: usize = 1;

/// The lines that were drawn, a character for each cell.
#[must_use]
pub fn lines(buf: &Buffer) -> Vec<String> {
    let area = buf.area;
    let cell = |x, y| buf[(x, y)].symbol().chars().next().unwrap_or(' ');
    let line = |y| (area.left()..area.right()).map(|x| cell(x, y)).collect();
    (area.top()..area.bottom()).map(line).collect()
}

/// What to do about an event.
#[must_use]
pub fn action(lines: &[String], mouse: MouseEvent, app: &App) -> Option<Action> {
    let (x, y) = (usize::from(mouse.column), usize::from(mouse.row));
    let line = lines.get(y)?;
    let row = row_of(line, app);
    let wheel = |rows, zoom| match row.is_some() || app.overlay.is_some() {
        true => Some(Action::Select(rows)),
        false => Some(zoom),
    };
    match mouse.kind {
        _ if app.prompt.is_some() => None,
        MouseEventKind::ScrollUp => wheel(-1, Action::ZoomIn),
        MouseEventKind::ScrollDown => wheel(1, Action::ZoomOut),
        MouseEventKind::Down(MouseButton::Left) if app.overlay.is_none() => {
            if y == TABS && app.depth == Depth::Network && !app.comparing {
                return screen_at(line, x).map(Action::Screen);
            }
            row.map(Action::Select)
        }
        _ => None,
    }
}

/// The screen whose tab is at a place: `1 Overview  2 Decomposition`.
fn screen_at(line: &str, x: usize) -> Option<Screen> {
    let before: String = line.chars().take(x + 1).collect();
    // The blank behind the name belongs to it; the number is what its tab begins with.
    let number = before.split("  ").last()?.trim_start().chars().next()?;
    let found = |screen: &Screen| screen.number().to_string() == number.to_string();
    let rest: String = line.chars().skip(x).take(2).collect();
    let on_tab = !rest.trim().is_empty();
    Screen::ALL.into_iter().find(found).filter(|_| on_tab)
}

/// The layer that a line begins with, in rows from the selected one.
fn row_of(line: &str, app: &App) -> Option<i64> {
    if app.depth != Depth::Network {
        return None;
    }
    let word = line.split_whitespace().next()?;
    let listed = app.listed_layers();
    let named = |layer: &&usize| app.header.layout.layers[**layer].name == word;
    let at = |layer: usize| listed.iter().position(|other| *other == layer);
    let to = at(*listed.iter().find(named)?)?;
    let from = at(app.layer).unwrap_or(0);
    i64::try_from(to)
        .ok()?
        .checked_sub(i64::try_from(from).ok()?)
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;
    use ratatui::layout::Rect;

    use super::*;
    use crate::tui::keys::KeyMap;
    use crate::tui::theme::{ColorLevel, Glyphs, Theme};
    use crate::tui::view::{self, testing};

    fn at(kind: MouseEventKind, (column, row): (usize, usize)) -> MouseEvent {
        MouseEvent {
            kind,
            column: u16::try_from(column).unwrap(),
            row: u16::try_from(row).unwrap(),
            modifiers: KeyModifiers::NONE,
        }
    }

    fn drawn(app: &App) -> Vec<String> {
        let area = Rect::new(0, 0, 120, 40);
        let mut buf = Buffer::empty(area);
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        view::draw(area, &mut buf, app, &theme, &KeyMap::default());
        lines(&buf)
    }

    #[test]
    fn a_click_is_on_what_is_drawn_there() {
        let mut app = testing::app(3, &[-0.1, 0.2]);
        let lines = drawn(&app);
        let click = MouseEventKind::Down(MouseButton::Left);
        let column = |word: &str, y: usize| {
            let before = lines[y].split(word).next().unwrap();
            before.chars().count()
        };
        for screen in [Screen::Decomposition, Screen::Classes, Screen::Run] {
            let place = (column(screen.name(), 1) + 1, 1);
            assert_eq!(
                action(&lines, at(click, place), &app),
                Some(Action::Screen(screen))
            );
        }
        let name = "block0.conv2";
        let y = lines.iter().position(|l| l.contains(name)).unwrap();
        let select = action(&lines, at(click, (3, y)), &app).unwrap();
        app.act(select);
        assert_eq!(app.layer, 2);
        let up = MouseEventKind::ScrollUp;
        let over = |y| action(&lines, at(up, (20, y)), &app);
        assert_eq!(
            (over(y), over(4)),
            (Some(Action::Select(-1)), Some(Action::ZoomIn))
        );
        assert_eq!(action(&lines, at(click, (119, 39)), &app), None);
        assert_eq!(action(&lines, at(click, (500, 400)), &app), None);
    }
}

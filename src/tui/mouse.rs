//! Mouse actions, if the configuration turns them on. Everything can be done without a mouse.
//!
//! A click acts on what is drawn there: on a screen's tab it opens the screen, on a row of the list it selects the row.
//! The wheel scrolls over rows and help, and zooms elsewhere.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::theme::Theme;
use super::view;
use crate::app::{Action, App, Depth, Screen};

/// The sequences that make the terminal report clicks and the wheel, also beyond column 223, and stop it again.
pub const ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
pub const OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// The screen row that has the tabs.
const TABS: usize = 1;

/// The text drawn in the row of tabs, one character for each cell.
#[must_use]
pub fn tabs(buf: &Buffer) -> String {
    let area = buf.area;
    let y = area.y + u16::try_from(TABS).unwrap_or(0);
    let symbol = |x| buf.cell((x, y)).map_or(" ", ratatui::buffer::Cell::symbol);
    (area.left()..area.right())
        .map(|x| symbol(x).chars().next().unwrap_or(' '))
        .collect()
}

/// Returns the action of a mouse event on a screen of this area with these tabs.
#[must_use]
pub fn action(
    (area, tabs): (Rect, &str),
    mouse: MouseEvent,
    app: &App,
    theme: &Theme,
) -> Option<Action> {
    if app.prompt.is_some() {
        return None;
    }
    let place = (mouse.column, mouse.row);
    // An overlay hides the rows.
    let row = || view::row_at(area, place, app, theme).filter(|_| app.overlay.is_none());
    let wheel = |rows, zoom| match app.overlay.is_some() || row().is_some() {
        true => Some(Action::Select(rows)),
        false => Some(zoom),
    };
    match mouse.kind {
        MouseEventKind::ScrollUp => wheel(-1, Action::ZoomIn),
        MouseEventKind::ScrollDown => wheel(1, Action::ZoomOut),
        MouseEventKind::Down(MouseButton::Left) if app.overlay.is_none() => {
            let on_tabs = usize::from(mouse.row) == TABS;
            if on_tabs && app.depth == Depth::Network && !app.comparing {
                return screen_at(tabs, mouse.column.into()).map(Action::Screen);
            }
            row().map(Action::Select)
        }
        _ => None,
    }
}

/// The screen whose tab is at column `x` of `1 Overview  2 Decomposition`.
fn screen_at(line: &str, x: usize) -> Option<Screen> {
    let before: String = line.chars().take(x + 1).collect();
    // The blank after a name belongs to its tab; a tab begins with its number.
    let number = before.split("  ").last()?.trim_start().chars().next()?;
    let found = |screen: &Screen| screen.number().to_string() == number.to_string();
    let rest: String = line.chars().skip(x).take(2).collect();
    let on_tab = !rest.trim().is_empty();
    Screen::ALL.into_iter().find(found).filter(|_| on_tab)
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;

    use super::*;
    use crate::tui::keys::KeyMap;
    use crate::tui::theme::{ColorLevel, Glyphs};
    use crate::tui::view::testing::{self, Run, Shape};

    const AREA: Rect = Rect::new(0, 0, 120, 40);
    const CLICK: MouseEventKind = MouseEventKind::Down(MouseButton::Left);

    fn theme() -> Theme {
        Theme::new(ColorLevel::TrueColor, Glyphs::Braille)
    }

    fn at(kind: MouseEventKind, (column, row): (usize, usize)) -> MouseEvent {
        MouseEvent {
            kind,
            column: u16::try_from(column).unwrap(),
            row: u16::try_from(row).unwrap(),
            modifiers: KeyModifiers::NONE,
        }
    }

    fn drawn(app: &App) -> Buffer {
        let mut buf = Buffer::empty(AREA);
        view::draw(AREA, &mut buf, app, &theme(), &KeyMap::default());
        buf
    }

    fn done(app: &App, kind: MouseEventKind, place: (usize, usize)) -> Option<Action> {
        action((AREA, &tabs(&drawn(app))), at(kind, place), app, &theme())
    }

    #[test]
    fn a_click_on_a_tab_opens_its_screen() {
        let app = testing::app(3, &[-0.1, 0.2]);
        let tabs = tabs(&drawn(&app));
        for screen in [Screen::Decomposition, Screen::Classes, Screen::Run] {
            let before = tabs.split(screen.name()).next().unwrap();
            let place = (before.chars().count() + 1, 1);
            assert_eq!(done(&app, CLICK, place), Some(Action::Screen(screen)));
        }
        assert_eq!(done(&app, CLICK, (119, 39)), None);
        assert_eq!(done(&app, CLICK, (500, 400)), None);
    }

    /// The cell in which the row of this name begins, from the top of the screen.
    fn place_of(app: &App, name: &str) -> (usize, usize) {
        let buf = drawn(app);
        let line = |y| (0..AREA.width).map(move |x| (x, y));
        let found = (2..AREA.height).find_map(|y| {
            let text: String = line(y).map(|cell| buf[cell].symbol()).collect();
            let (before, behind) = text.rsplit_once(name)?;
            // Skip mentions in text and in chart titles.
            if behind.starts_with(':') {
                return None;
            }
            Some((before.chars().count(), usize::from(y)))
        });
        found.unwrap_or_else(|| panic!("no {name}"))
    }

    #[test]
    fn a_click_selects_the_row_that_is_drawn_there_on_every_screen() {
        let mut run = Run::new(Shape {
            layers: 5,
            ..Shape::default()
        });
        for screen in Screen::ALL {
            let (named, of): (&str, fn(&App) -> usize) = match screen {
                Screen::Classes => ("class 2", |app| app.class),
                Screen::Distribution | Screen::Run => continue,
                _ => ("fc3", |app| app.layer),
            };
            run.act(&[Action::Screen(screen)]);
            (run.app.layer, run.app.class) = (1, 0);
            run.settle(120, 40, &theme());
            let place = place_of(&run.app, named);
            let action = done(&run.app, CLICK, place);
            let action = action.unwrap_or_else(|| panic!("{screen:?}: no row at {place:?}"));
            run.act(&[action]);
            let wanted = usize::from(named.as_bytes()[named.len() - 1] - b'0');
            assert_eq!(of(&run.app), wanted, "{screen:?}");
            run.settle(120, 40, &theme());
            // The wheel scrolls on the selected row, which has a mark.
            let up = done(
                &run.app,
                MouseEventKind::ScrollUp,
                place_of(&run.app, named),
            );
            assert_eq!(up, Some(Action::Select(-1)), "{screen:?}");
        }
        run.act(&[Action::Screen(Screen::Overview), Action::Enter]);
        for (named, wanted) in [("unit 2", 2), ("w [3,2]", 2)] {
            run.settle(120, 40, &theme());
            let place = match named {
                "unit 2" => (5, place_of(&run.app, "unit 2│").1),
                _ => (5, place_of(&run.app, "weight [3, 2]").1),
            };
            let action = done(&run.app, CLICK, place).unwrap();
            run.act(&[action]);
            match named {
                "unit 2" => {
                    assert_eq!(run.app.unit, wanted);
                    run.app.unit = 3;
                    run.act(&[Action::Enter]);
                }
                _ => {
                    let layer = run.app.header.layout.layers[3].range.start;
                    assert_eq!(run.app.parameter, layer + 3 * 4 + wanted);
                }
            }
        }
    }

    #[test]
    fn the_wheel_zooms_beside_the_rows_and_scrolls_what_lies_over_them() {
        let mut app = testing::app(3, &[-0.1, 0.2]);
        let up = MouseEventKind::ScrollUp;
        assert_eq!(done(&app, up, (20, 4)), Some(Action::ZoomIn));
        // A layer's row is several lines high.
        let (_, y) = place_of(&app, "block0.conv2");
        for y in [y - 1, y, y + 1] {
            assert_eq!(done(&app, up, (20, y)), Some(Action::Select(-1)));
        }
        app.act(Action::Help);
        assert_eq!(done(&app, up, (20, 4)), Some(Action::Select(-1)));
        assert_eq!(done(&app, CLICK, (3, y)), None);
    }
}

//! Mouse actions, if the configuration turns them on. Everything can be done without a mouse.
//!
//! A click acts on what is drawn there: on a screen's tab it opens the screen, on a row of the list it selects the row.
//! The wheel scrolls over rows and help, and zooms elsewhere.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};

use super::frame::{Drawn, Hit};
use crate::app::{Action, Overlays};

/// The sequences that make the terminal report clicks and the wheel, also beyond column 223, and stop it again.
pub const ON: &[u8] = b"\x1b[?1000h\x1b[?1006h";
pub const OFF: &[u8] = b"\x1b[?1006l\x1b[?1000l";

/// Returns the action of a mouse event on the frame drawn last.
#[must_use]
pub fn action(drawn: &Drawn, mouse: MouseEvent, overlays: &Overlays) -> Option<Action> {
    if overlays.prompt.is_some() {
        return None;
    }
    let hit = drawn.hit((mouse.column, mouse.row));
    let wheel = |rows, zoom| match hit {
        Some(Hit::Row(_) | Hit::Overlay) => Some(Action::Select(rows)),
        Some(Hit::Click(_)) | None => Some(zoom),
    };
    match mouse.kind {
        MouseEventKind::ScrollUp => wheel(-1, Action::ZoomIn),
        MouseEventKind::ScrollDown => wheel(1, Action::ZoomOut),
        MouseEventKind::Down(MouseButton::Left) => match hit? {
            Hit::Click(action) => Some(action),
            Hit::Row(item) => Some(Action::Choose(item)),
            Hit::Overlay => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crossterm::event::KeyModifiers;
    use ratatui::buffer::Buffer;
    use ratatui::layout::Rect;

    use super::*;
    use crate::app::{App, Screen};
    use crate::tui::keys::KeyMap;
    use crate::tui::theme::{ColorLevel, Glyphs, Theme};
    use crate::tui::view;
    use crate::tui::view::testing::{self, Run, RunShape};

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

    fn drawn(app: &App) -> (Buffer, Drawn) {
        let mut buf = Buffer::empty(AREA);
        let drawn = view::draw(AREA, &mut buf, app, &theme(), &KeyMap::default());
        (buf, drawn)
    }

    fn done(app: &App, kind: MouseEventKind, place: (usize, usize)) -> Option<Action> {
        action(&drawn(app).1, at(kind, place), &app.overlays)
    }

    #[test]
    fn a_click_on_a_tab_opens_its_screen() {
        let app = testing::app(3, &[-0.1, 0.2]);
        let (buf, _) = drawn(&app);
        let tabs: String = (0..AREA.width).map(|x| buf[(x, 1)].symbol()).collect();
        for screen in [Screen::Decomposition, Screen::Classes, Screen::Run] {
            let before = tabs.split(screen.name()).next().unwrap();
            let name = before.chars().count();
            let number = name - 2;
            let last = name + screen.name().len() - 1;
            for x in [number, name - 1, name, last] {
                assert_eq!(done(&app, CLICK, (x, 1)), Some(Action::Screen(screen)));
            }
            for x in [number - 1, last + 1] {
                assert_eq!(done(&app, CLICK, (x, 1)), None, "between two tabs");
            }
        }
        assert_eq!(done(&app, CLICK, (119, 39)), None);
        assert_eq!(done(&app, CLICK, (500, 400)), None);
    }

    /// The cell in which the row of this name begins, from the top of the screen.
    fn place_of(app: &App, name: &str) -> (usize, usize) {
        let (buf, _) = drawn(app);
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
    fn a_click_selects_the_row_under_it_on_every_screen() {
        let mut run = Run::new(RunShape {
            layers: 5,
            ..RunShape::default()
        });
        for screen in Screen::ALL {
            let (named, of): (&str, fn(&App) -> usize) = match screen {
                Screen::Classes => ("class 2", |app| app.nav.class),
                Screen::Distribution | Screen::Run => continue,
                _ => ("fc3", |app| app.nav.layer),
            };
            run.act(&[Action::Screen(screen)]);
            (run.app.nav.layer, run.app.nav.class) = (1, 0);
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
                    assert_eq!(run.app.nav.unit, wanted);
                    run.app.nav.unit = 3;
                    run.act(&[Action::Enter]);
                }
                _ => {
                    let layer = run.app.model.header.layout.layers[3].range.start;
                    assert_eq!(run.app.nav.parameter, layer + 3 * 4 + wanted);
                }
            }
        }
    }

    #[test]
    fn the_wheel_zooms_charts_and_scrolls_lists_and_overlays() {
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

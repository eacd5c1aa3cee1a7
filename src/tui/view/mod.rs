//! One file a screen or panel; each has one function that draws it from the state.

mod footer;
mod help;
mod layers;
mod loss;
mod overview;
mod question;
mod title;
mod words;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::theme::Theme;
use crate::app::{App, Overlay};

/// The smallest screen that is drawn.
const SMALLEST: (u16, u16) = (60, 16);

/// Draws everything.
pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let (width, height) = SMALLEST;
    if area.width < width || area.height < height {
        let text = format!(
            "lcascope needs {width}x{height} cells; this terminal has {}x{}. Training goes on.",
            area.width, area.height
        );
        Paragraph::new(text)
            .wrap(Wrap { trim: true })
            .render(area, buf);
        return;
    }
    let title = Rect { height: 1, ..area };
    let footer = Rect {
        y: area.bottom() - 1,
        height: 1,
        ..area
    };
    let screen = Rect {
        y: area.y + 1,
        height: area.height - 2,
        ..area
    };
    title::draw(title, buf, app, theme);
    overview::draw(screen, buf, app, theme);
    footer::draw(footer, buf, app, theme);
    match app.overlay {
        Some(Overlay::Help) => help::draw(area, buf, theme),
        Some(Overlay::AskQuit) => question::draw(area, buf, app, theme),
        None => {}
    }
}

//! Quit while training: stop it, or leave it running?

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

use super::help::popup;
use crate::app::App;
use crate::tui::theme::Theme;

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let answer = |key: &'static str, what: String| {
        Line::from(vec![
            Span::styled(format!("{key:>4}"), theme.key),
            Span::raw(format!("  {what}")),
        ])
    };
    let left = app.header.planned_steps.saturating_sub(app.timeline.end());
    let text = Text::from(vec![
        Line::raw(format!("The training has {left} steps to go.")),
        Line::raw(""),
        answer(
            "s",
            "stop it after this step and quit; the run file is kept".to_owned(),
        ),
        answer(
            "l",
            "leave it running in this shell, without the screen".to_owned(),
        ),
        answer("Esc", "back".to_owned()),
    ]);
    popup(area, buf, theme, " Quit ", text);
}

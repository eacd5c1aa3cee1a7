//! The dialog on quitting during training: stop it, or leave it running, in this process or in another.

use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};

use super::help::popup;
use crate::app::Overlay;
use crate::tui::frame::Frame;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let answer = |key: &'static str, what: String| {
        Line::from(vec![
            Span::styled(format!("{key:>4}"), theme.key),
            Span::raw(format!("  {what}")),
        ])
    };
    let left = app.model.steps_left();
    let question = Line::raw(format!("The training has {left} steps left."));
    let stop = "stop after this step";
    let answers = match app.overlays.open {
        Some(Overlay::AskLeave) => [
            answer("l q", "leave it running".to_owned()),
            answer("s", format!("{stop}; this screen stays")),
        ],
        _ => [
            answer("s", format!("{stop} and quit; the run file is kept")),
            answer(
                "l",
                "leave it running in this shell, without the screen".to_owned(),
            ),
        ],
    };
    let back = answer("Esc", "back".to_owned());
    let lines = [question, Line::raw("")].into_iter();
    let text: Text = lines.chain(answers).chain([back]).collect();
    popup(area, frame, " Quit ", text);
}

//! The overlay that lists warnings, events and bookmarks.
//!
//! ```text
//! ┌ Events and warnings, steps 0-411 ───────────────────────────┐
//! │ ! residual above 0.001 nats in 3 of 412 steps: try …│   warnings, the worst first
//! │ ^ step 310: the loss rose by 0.214 nats                      │   events and bookmarks, the
//! │ s step 207: 9 layers share a moment of learning              │   newest first
//! │ 4 residual, 0 not finite, 1 loss spike, 12 synchronised      │
//! │ Enter goes to the step. Any other key closes the list.        │
//! └──────────────────────────────────────────────────────────────┘
//! ```

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};

use super::help::popup;
use super::marks::{severity_style, sign};
use super::words::{either, elided, scrolled};
use crate::analysis::events::EventKind;
use crate::app::{App, Listed};
use crate::query::RunEvents;
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;

pub fn draw(area: Rect, frame: &mut Frame) {
    let (app, theme) = (frame.app, frame.theme);
    let listed = app.listed_events();
    let rows = usize::from(area.height.saturating_sub(5)).max(1);
    let selected = app.overlays.event_row.min(listed.len().saturating_sub(1));
    let first = scrolled(selected, rows, listed.len());
    let room = usize::from(area.width.saturating_sub(8));
    let mut lines: Vec<Line> = (listed.iter().enumerate().skip(first).take(rows))
        .map(|(row, entry)| line(entry, row == selected, room, app, theme))
        .collect();
    if listed.is_empty() {
        let text = match app.happened() {
            Some(_) => "no events or warnings",
            None => either(theme, "reading …", "reading ..."),
        };
        lines.push(Line::styled(text, theme.dim));
    }
    let counts = app.happened().map(counted).unwrap_or_default();
    lines.push(Line::styled(elided(&counts, room, theme), theme.dim));
    lines.push(Line::styled(
        "Enter goes to the step. Any other key closes the list.",
        theme.dim,
    ));
    let steps = app.happened().map_or(0, |happened| happened.steps);
    let title = match steps.checked_sub(1) {
        Some(last) => format!(" Events and warnings, steps 0-{last} "),
        None => " Events and warnings ".to_owned(),
    };
    popup(area, frame, &title, Text::from(lines));
}

fn line(entry: &Listed, selected: bool, room: usize, app: &App, theme: &Theme) -> Line<'static> {
    let (sign, style, text) = match entry {
        Listed::Lint(lint) => ('!', severity_style(lint.severity, theme), lint.text.clone()),
        Listed::Mark(mark) => {
            let (sign, style, _) = sign(mark.kind, theme);
            (sign, style, mark.described(&app.model.header))
        }
    };
    let text = elided(&text, room, theme);
    let own = if selected {
        theme.selected
    } else {
        Style::default()
    };
    Line::from(vec![
        Span::styled(format!("{sign} "), style),
        Span::styled(text, own),
    ])
}

/// The number of events of each kind; if there are very many, the list has only the strongest.
fn counted(happened: &RunEvents) -> String {
    let name = |kind| match kind {
        EventKind::Residual => "residual",
        EventKind::NotFinite => "not finite",
        EventKind::LossSpike => "loss spike",
        EventKind::Synchronised => "synchronised",
    };
    let counts = happened.counts.iter();
    let counts: Vec<String> = counts
        .map(|(kind, n)| format!("{n} {}", name(*kind)))
        .collect();
    counts.join(", ")
}

#[cfg(test)]
mod tests {
    use crate::app::Action;
    use crate::tui::view::testing::{Run, RunShape, app, plain, text, theme};

    #[test]
    fn events_in_the_file_are_listed_at_any_size() {
        let mut run = Run::new(RunShape {
            steps: 120,
            layers: 6,
            ..RunShape::default()
        });
        run.act(&[Action::Bookmark, Action::Events]);
        let screen = run.text(120, 40, &plain());
        assert!(screen.is_ascii(), "{screen}");
        assert!(
            screen.contains("Events and warnings, steps 0-119"),
            "{screen}"
        );
        assert!(screen.contains("m step 119: bookmark"), "{screen}");
        assert!(screen.contains(" synchronised"), "{screen}");
        let count = run.app.marks().len();
        assert!(count > 1, "some layers learn together by chance");
        run.act(&[Action::Select(1000)]);
        let last = run.app.marks()[0];
        let screen = run.text(60, 16, &theme());
        assert!(screen.contains(&format!("step {}", last.step)), "{screen}");
    }

    #[test]
    fn before_any_answer_the_list_says_so() {
        let mut app = app(2, &[0.1]);
        app.act(Action::Events);
        assert!(text(&app, 80, 24, &plain()).contains("reading ..."));
    }
}

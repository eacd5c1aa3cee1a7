//! The last line: the keys that matter most, or what has gone wrong.
//!
//! ```text
//!  ? help  q quit  ← → step  End follow  + - zoom  0 all  Space freeze  g scale
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use crate::app::App;
use crate::feed::Origin;
use crate::tui::keys::{GROUPS, Group, KeyMap};
use crate::tui::theme::{Glyphs, Theme};

/// Rows that the footer needs: a run's failure is said in full.
pub fn height(app: &App, width: u16) -> u16 {
    // Wrapping between words leaves up to a long word of every line unused.
    let room = usize::from(width).saturating_sub(16).max(1);
    let lines = trouble(app).chars().count().div_ceil(room);
    u16::try_from(lines).unwrap_or(u16::MAX).clamp(1, TALLEST)
}

/// Why the run failed, or an order.
fn trouble(app: &App) -> &str {
    match app.message() {
        "" => app.notice(),
        message => message,
    }
}

/// Rows at most.
const TALLEST: u16 = 4;

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme, keys: &KeyMap) {
    if !trouble(app).is_empty() {
        let text = Text::styled(trouble(app), theme.error);
        let indented = Rect {
            x: area.x + 1,
            width: area.width - 1,
            ..area
        };
        let message = Paragraph::new(text).wrap(Wrap { trim: true });
        return message.render(indented, buf);
    }
    if let Some(prompt) = &app.prompt {
        let text = format!(" {}{}", prompt.kind.sign(), prompt.text);
        // The end of a long line is what is being typed.
        let room = usize::from(area.width.saturating_sub(1));
        let from = text.chars().count().saturating_sub(room);
        let shown: String = text.chars().skip(from).collect();
        let caret = Span::styled(" ", theme.cursor);
        return Line::from(vec![Span::raw(shown), caret]).render(area, buf);
    }
    let mut spans = vec![Span::raw(" ")];
    // Help and quit come first: a narrow terminal cuts the end.
    let first = |(_, group): &(usize, &Group)| matches!(group.footer, "help" | "quit");
    let rest = |it: &(usize, &Group)| !first(it) && !it.1.footer.is_empty();
    let replay = app.origin == Origin::Replay;
    let groups = || GROUPS.iter().enumerate();
    for (at, group) in groups().filter(first).chain(groups().filter(rest)) {
        let word = match group.footer {
            "freeze" if replay => "play",
            // Nobody is training.
            "pause" if replay => continue,
            word => word,
        };
        // The footer has room for the first way to say it.
        let label = keys.short_label(at, theme.glyphs == Glyphs::Ascii);
        spans.push(Span::styled(label, theme.key));
        spans.push(Span::styled(format!(" {word}  "), theme.dim));
    }
    Line::from(spans).render(area, buf);
}

//! The last line: the keys that matter most.
//!
//! ```text
//!  ← → step  End follow  + - zoom  0 all  Space freeze  g scale  ? help  q quit
//! ```

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use crate::app::App;
use crate::feed::Origin;
use crate::tui::keys::BINDINGS;
use crate::tui::theme::{Glyphs, Theme};

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    if !app.message().is_empty() {
        let text = format!(" {}", app.message());
        Line::styled(text, theme.error).render(area, buf);
        return;
    }
    let mut spans = vec![Span::raw(" ")];
    for binding in BINDINGS.iter().filter(|binding| !binding.footer.is_empty()) {
        let label = match theme.glyphs {
            Glyphs::Ascii => binding.ascii,
            Glyphs::Braille | Glyphs::Blocks => binding.label,
        };
        // The footer has room for the first way to say it.
        let label = label.split("  ").next().unwrap_or(label);
        let label = label.split(", ").next().unwrap_or(label);
        let replay = app.origin == Origin::Replay && binding.footer == "freeze";
        let word = if replay { "play" } else { binding.footer };
        spans.push(Span::styled(label, theme.key));
        spans.push(Span::styled(format!(" {word}  "), theme.dim));
    }
    Line::from(spans).render(area, buf);
}

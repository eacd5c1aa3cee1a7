//! The help overlay, made from the table of keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, Widget, Wrap};

use super::words::either;
use crate::app::{App, COMMANDS};
use crate::tui::keys::{GROUPS, KeyMap};
use crate::tui::theme::{Glyphs, Theme};

pub fn draw(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme, keys: &KeyMap) {
    let ascii = theme.glyphs == Glyphs::Ascii;
    let labels: Vec<String> = (0..GROUPS.len()).map(|at| keys.label(at, ascii)).collect();
    let widest = labels.iter().map(|label| label.chars().count()).max();
    let widest = widest.unwrap_or(0);
    let mut lines: Vec<Line> = (labels.iter().zip(GROUPS))
        .map(|(label, group)| {
            Line::from(vec![
                Span::styled(format!("{label:>widest$}"), theme.key),
                Span::raw(format!("  {}", group.help)),
            ])
        })
        .collect();
    lines.push(Line::raw(""));
    lines.push(Line::from(vec![
        Span::styled("LCA < 0 helps: it lowered the loss. ", theme.help),
        Span::styled("LCA > 0 hurts: it raised it.", theme.hurt),
    ]));
    lines.extend([
        Line::raw("share: of all LCA so far.  help: parameters with LCA < 0, in the window."),
        Line::raw("every, grad: steps from one change of sign to the next: movement, gradient."),
        Line::raw("Sums close: LCA of all layers + residual = change of the loss."),
    ]);
    lines.push(Line::styled("Any other key closes this.", theme.dim));
    scrolled(area, buf, app, theme, (" Keys ", lines));
}

/// What can be typed behind `:`.
pub fn draw_commands(area: Rect, buf: &mut Buffer, app: &App, theme: &Theme) {
    let row = |name: String, help: &str| {
        Line::from(vec![
            Span::styled(format!("{name:>16}"), theme.key),
            Span::raw(format!("  {help}")),
        ])
    };
    let mut lines = vec![
        row("1234".to_owned(), "go to a step"),
        row("oscillation".to_owned(), "a screen, by its name"),
    ];
    let commands = COMMANDS.iter();
    lines.extend(commands.map(|command| {
        let name = format!("{} {}", command.name, command.arguments);
        row(name.trim_end().to_owned(), command.help)
    }));
    lines.push(Line::raw(""));
    let keys = either(
        theme,
        "Tab completes, ↑ ↓ recall. Any other key closes this.",
        "Tab completes, up and down recall. Any other key closes this.",
    );
    lines.push(Line::styled(keys, theme.dim));
    scrolled(area, buf, app, theme, (" Commands ", lines));
}

/// A box that is scrolled where there is no room for all lines.
fn scrolled(
    area: Rect,
    buf: &mut Buffer,
    app: &App,
    theme: &Theme,
    (title, mut lines): (&str, Vec<Line>),
) {
    let rows = usize::from(area.height.saturating_sub(2));
    let above = app.help_scroll.min(lines.len().saturating_sub(rows));
    let below = lines.len().saturating_sub(above + rows);
    lines.drain(..above);
    if below > 0 {
        lines.truncate(rows.saturating_sub(1));
        let more = either(
            theme,
            "↑ ↓ scroll: more below",
            "up, down scroll: more below",
        );
        lines.push(Line::styled(more, theme.dim));
    }
    popup(area, buf, theme, title, Text::from(lines));
}

/// Draws text in a box in the middle of the screen.
pub fn popup(area: Rect, buf: &mut Buffer, theme: &Theme, title: &str, text: Text<'_>) {
    let width = u16::try_from(text.width())
        .unwrap_or(u16::MAX)
        .saturating_add(4);
    let height = u16::try_from(text.height())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let (width, height) = (width.min(area.width), height.min(area.height));
    let inside = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    Clear.render(inside, buf);
    let block = Block::bordered()
        .title(title)
        .title_style(theme.title)
        .padding(ratatui::widgets::Padding::horizontal(1));
    let block = match theme.glyphs {
        Glyphs::Ascii => block.border_set(ASCII_BORDER),
        Glyphs::Braille | Glyphs::Blocks => block.border_type(BorderType::Plain),
    };
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false });
    paragraph.block(block).render(inside, buf);
}

const ASCII_BORDER: ratatui::symbols::border::Set = ratatui::symbols::border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

//! The help overlay, made from the table of keys.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, Widget, Wrap};

use crate::tui::keys::BINDINGS;
use crate::tui::theme::{Glyphs, Theme};

pub fn draw(area: Rect, buf: &mut Buffer, theme: &Theme) {
    let ascii = theme.glyphs == Glyphs::Ascii;
    let label = |index: usize| {
        if ascii {
            BINDINGS[index].ascii
        } else {
            BINDINGS[index].label
        }
    };
    let widest = (0..BINDINGS.len())
        .map(|i| label(i).chars().count())
        .max()
        .unwrap_or(0);
    let mut lines: Vec<Line> = (0..BINDINGS.len())
        .map(|i| {
            Line::from(vec![
                Span::styled(format!("{:>widest$}", label(i)), theme.key),
                Span::raw(format!("  {}", BINDINGS[i].help)),
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
        Line::raw("every: a parameter's movement changes sign every so many steps."),
        Line::raw("Sums close: LCA of all layers + residual = change of the loss."),
    ]);
    lines.push(Line::styled("Any key closes this.", theme.dim));
    popup(area, buf, theme, " Keys ", Text::from(lines));
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

//! The help overlay, made from the key table: first the keys that work here, then the others.

use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph, Wrap};

use super::words::either;
use crate::app::{App, COMMANDS, LongText};
use crate::tui::frame::Frame;
use crate::tui::keys::{GROUPS, KeyMap};
use crate::tui::theme::{Glyphs, Theme};

pub fn draw(area: Rect, frame: &mut Frame) {
    let lines = lines(area.width, frame.app, frame.theme, frame.keys);
    scrolled(area, frame, " Keys ", lines);
}

/// The heading of the keys that do nothing here.
pub const ELSEWHERE: &str = "on other screens or in other runs";

/// Draws the list of commands for the `:` prompt.
pub fn draw_commands(area: Rect, frame: &mut Frame) {
    scrolled(area, frame, " Commands ", commands(area.width, frame.theme));
}

/// The keys that work here, the meaning of words in the tables, and the keys of other screens.
fn lines(width: u16, app: &App, theme: &Theme, keys: &KeyMap) -> Vec<Line<'static>> {
    let ascii = theme.glyphs == Glyphs::Ascii;
    let labels: Vec<String> = (0..GROUPS.len()).map(|at| keys.label(at, ascii)).collect();
    let widest = labels.iter().map(|label| label.chars().count()).max();
    let widest = widest.unwrap_or(0);
    let rows = |here: bool| {
        let groups = labels.iter().zip(GROUPS);
        let groups = groups.filter(move |(_, group)| group.is_offered(app) == here);
        groups.flat_map(move |(label, group)| {
            let style = if here { Style::default() } else { theme.dim };
            entry(width, (label, widest), (theme.key, style), group.help)
        })
    };
    let mut lines: Vec<Line> = rows(true).collect();
    lines.push(Line::raw(""));
    let plain = Style::default();
    for (text, style) in [
        (
            "Loss Change Allocation (LCA) < 0 helps: it lowered the loss.",
            theme.help,
        ),
        (
            "LCA > 0 hurts: it raised the loss. LCA = 0: idle.",
            theme.hurt,
        ),
        (
            "in view: over the steps on screen. whole: over the whole run.",
            plain,
        ),
        (
            "share: of the whole run's LCA. help, hurt: share of parameters, in view.",
            plain,
        ),
        (
            "flip N: sign flip of updates every N steps, in view. g flip: of gradients.",
            plain,
        ),
        (
            "Sums close: LCA of all layers + residual = change in loss.",
            plain,
        ),
        ("Any other key closes the help.", theme.dim),
    ] {
        let pieces = wrapped(text, room(width)).into_iter();
        lines.extend(pieces.map(|piece| Line::styled(piece, style)));
    }
    let elsewhere: Vec<Line> = rows(false).collect();
    if !elsewhere.is_empty() {
        lines.push(Line::raw(""));
        lines.push(Line::styled(ELSEWHERE, theme.header));
        lines.extend(elsewhere);
    }
    lines
}

fn commands(width: u16, theme: &Theme) -> Vec<Line<'static>> {
    let row =
        |name: &str, help: &str| entry(width, (name, 16), (theme.key, Style::default()), help);
    let mut lines = row("1234", "go to a step");
    lines.extend(row("oscillation", "go to a screen by its name"));
    for command in COMMANDS {
        let name = format!("{} {}", command.name, command.arguments);
        lines.extend(row(name.trim_end(), command.help));
    }
    lines.push(Line::raw(""));
    let keys = either(
        theme,
        "Tab completes, ↑ ↓ recall. Any other key closes the list.",
        "Tab completes, up and down recall. Any other key closes the list.",
    );
    let pieces = wrapped(keys, room(width)).into_iter();
    lines.extend(pieces.map(|piece| Line::styled(piece, theme.dim)));
    lines
}

/// A key and its description, in as many lines as needed.
fn entry(
    width: u16,
    (label, widest): (&str, usize),
    (key, style): (Style, Style),
    help: &str,
) -> Vec<Line<'static>> {
    let left = room(width).saturating_sub(widest + 2);
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    let pieces = labels.zip(wrapped(help, left));
    let line = |(label, piece): (&str, String)| {
        Line::from(vec![
            Span::styled(format!("{label:>widest$}"), key),
            Span::styled(format!("  {piece}"), style),
        ])
    };
    pieces.map(line).collect()
}

/// Width inside a box on a screen of this width, less the frame and a blank on either side.
fn room(width: u16) -> usize {
    usize::from(width.saturating_sub(4))
}

/// Wraps a text between words into lines of at most `room` cells; a longer word has a line of its own.
pub fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= room {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Draws a box that scrolls if the lines do not fit.
fn scrolled(area: Rect, frame: &mut Frame, title: &str, mut lines: Vec<Line>) {
    let theme = frame.theme;
    let rows = usize::from(area.height.saturating_sub(2));
    let last_top = lines.len().saturating_sub(rows);
    frame.scrollable(LongText::Help, last_top);
    let above = frame.app.overlays.help_scroll.rows.min(last_top);
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
    popup(area, frame, title, Text::from(lines));
}

/// Draws text in a box in the middle of the screen.
pub fn popup(area: Rect, frame: &mut Frame, title: &str, text: Text<'_>) {
    let theme = frame.theme;
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
    frame.render(Clear, inside);
    let block = Block::bordered()
        .title(title)
        .title_style(theme.title)
        .padding(ratatui::widgets::Padding::horizontal(1));
    let block = match theme.glyphs {
        Glyphs::Ascii => block.border_set(ASCII_BORDER),
        Glyphs::Braille | Glyphs::Blocks => block.border_type(BorderType::Plain),
    };
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false });
    frame.render(paragraph.block(block), inside);
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

#[cfg(test)]
mod tests {
    use super::super::testing::{app, lines_of, seen, theme};
    use super::*;
    use crate::app::{Action, Overlay};

    #[test]
    fn scrolling_beyond_the_end_has_no_hidden_offset() {
        for (width, height) in [(60, 16), (80, 24), (200, 20)] {
            for overlay in [Overlay::Help, Overlay::Commands] {
                let mut app = app(3, &[0.1]);
                app.overlays.open = Some(overlay);
                let mut press = |rows: i64| {
                    app.act(Action::Select(rows));
                    lines_of(&seen(&mut app, (width, height)))
                };
                let top = press(0);
                assert!(top.contains("more below"), "{top}");
                let end = press(1000);
                assert!(!end.contains("more below"), "{end}");
                assert_eq!(press(5), end);
                assert_ne!(press(-1), end, "the first key up is seen");
                assert_eq!(press(-1000), top);
            }
        }
    }

    #[test]
    fn no_line_of_the_help_is_cut_in_a_narrow_terminal() {
        let keys = KeyMap::default();
        let app = app(3, &[0.1]);
        for width in [60, 80, 120] {
            for line in lines(width, &app, &theme(), &keys) {
                assert!(line.width() <= room(width), "{line}");
            }
        }
        assert_eq!(wrapped("a bc d", 4), ["a bc", "d"]);
        assert_eq!(wrapped("toolong b", 3), ["toolong", "b"]);
    }
}

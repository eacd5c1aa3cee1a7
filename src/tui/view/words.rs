//! Words and numbers as the screens write them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Span, Text};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use crate::tui::theme::{Glyphs, Theme};
use crate::tui::widget;

/// The first where the terminal shows more than ASCII, else the second.
pub fn either(theme: &Theme, unicode: &'static str, ascii: &'static str) -> &'static str {
    match theme.glyphs {
        Glyphs::Ascii => ascii,
        Glyphs::Braille | Glyphs::Blocks => unicode,
    }
}

/// A loss in nats: five decimals, or three digits once it has exploded.
pub fn loss(nats: f64) -> String {
    if nats.abs() < 1e5 {
        format!("{nats:.5}")
    } else {
        format!("{nats:.2e}")
    }
}

/// A sentence where a screen has nothing else to show.
pub fn sentence(area: Rect, text: &str, theme: &Theme, buf: &mut Buffer) {
    let inside = Rect {
        x: area.x + 2.min(area.width),
        y: area.y + 1.min(area.height),
        width: area.width.saturating_sub(4),
        height: area.height.saturating_sub(1),
    };
    let text = match theme.glyphs {
        Glyphs::Ascii => text.replace('…', "..."),
        Glyphs::Braille | Glyphs::Blocks => text.to_owned(),
    };
    let text = Text::styled(text, theme.dim);
    Paragraph::new(text)
        .wrap(Wrap { trim: true })
        .render(inside, buf);
}

/// Parts joined by `between` that fit `room` cells: what there is no room for goes, the highest rank
/// first. The part of rank 0 stays.
pub fn fitting(mut parts: Vec<(u8, String)>, between: &str, room: usize) -> String {
    loop {
        let words: Vec<&str> = parts.iter().map(|(_, part)| part.as_str()).collect();
        let text = words.join(between);
        let least = parts.iter().map(|(rank, _)| *rank).max().unwrap_or(0);
        if Span::raw(&text).width() <= room || least == 0 {
            return text;
        }
        parts.retain(|(rank, _)| *rank != least);
    }
}

/// The first row of a list of `count` to show where `fit` have room, so that the selected one is seen,
/// in the middle as far as the ends allow.
pub fn scrolled(selected: usize, fit: usize, count: usize) -> usize {
    selected
        .saturating_sub(fit / 2)
        .min(count.saturating_sub(fit))
}

/// A name in at most `width` cells, cut behind the middle: numbers tend to stand before it, what the
/// layer does at the end.
pub fn elided(name: &str, width: usize, theme: &Theme) -> String {
    widget::elided(name, width, theme.glyphs)
}

/// The cells that a text takes.
pub fn width_of(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// A share as a percentage in six columns: ` 52.1%`; blank for NaN.
pub fn percent(share: f64) -> String {
    if !share.is_finite() {
        return " ".repeat(6);
    }
    let exact = format!("{:5.1}%", share * 100.0);
    match exact.len() {
        0..=6 => exact,
        _ if share.abs() < 99.99 => format!("{:5.0}%", share * 100.0),
        _ => format!("{:>6}", if share > 0.0 { ">9999%" } else { "<-999%" }),
    }
}

/// A number of steps in six columns: `  6.7`, ` never`; blank for NaN.
pub fn every(steps: f64) -> String {
    if steps.is_nan() {
        " ".repeat(6)
    } else if steps.is_infinite() {
        " never".to_owned()
    } else if steps < 1000.0 {
        format!("{steps:6.1}")
    } else if steps < 999_999.0 {
        format!("{steps:6.0}")
    } else {
        format!("{steps:6.0e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_columns() {
        for share in [0.0, 0.521, 1.0, -2.214, 12.5, -33.3, 1e9, -1e9, f64::NAN] {
            assert_eq!(percent(share).chars().count(), 6);
        }
        for steps in [1.0, 6.66, 999.9, 12345.0, 2.5e8, f64::INFINITY, f64::NAN] {
            assert_eq!(every(steps).chars().count(), 6);
        }
    }
}

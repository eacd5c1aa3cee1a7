//! Words and numbers as they appear on the screens.

use std::ops::Range;

use ratatui::layout::{Margin, Rect};
use ratatui::text::{Span, Text};
use ratatui::widgets::{Paragraph, Wrap};

use crate::analysis::numbers::format_signed;
pub use crate::analysis::numbers::loss;
use crate::analysis::scale::Scale;
use crate::app::{App, Navigation, Stretch};
use crate::tui::frame::Frame;
use crate::tui::theme::{Glyphs, Theme};
use crate::tui::widget;

/// Width of a column of numbers, including the blank before it.
pub const NUMBER: u16 = 9;

/// On a symmetric-logarithmic scale, values below this fraction of the largest magnitude are drawn linearly.
const LINEAR_PART: f64 = 1e-2;

/// The scale of signed values, as lengths and as colours, on all screens.
pub fn signed_scale(nav: &Navigation, max: f64) -> Scale {
    if nav.linear {
        Scale::Linear
    } else {
        Scale::SymLog {
            linear: max * LINEAR_PART,
        }
    }
}

/// Formats a signed number for a column; NaN is a hyphen.
pub fn number(value: f64) -> String {
    let width = usize::from(NUMBER) - 1;
    if value.is_nan() {
        format!("{:>width$}", "-")
    } else {
        format_signed(value, width)
    }
}

/// The integration residual of the cursor's step in nats, in words, for screens with LCA but without a status line.
/// `None` unless the step has an entry of its own.
pub fn residual_at(app: &App) -> Option<String> {
    let step = app.cursor()?;
    let entry = app
        .model
        .timeline
        .entry(step)
        .filter(|it| it.steps() == 1)?;
    Some(format!(
        "residual of the step {}",
        number(entry.residual).trim()
    ))
}

/// The title `32 st.` of a number that covers several steps although one was asked for.
pub fn several(steps: u64) -> String {
    match steps {
        0..10_000 => format!("{steps} st."),
        _ => ">9999 st".to_owned(),
    }
}

/// Adds a `+` to the title of a sum that covers more steps than were asked for: entries are never cut.
pub fn more(name: &str, steps: &Stretch<'_>, asked: &Range<u64>) -> String {
    let exact = steps.steps() == *asked || steps.is_empty();
    format!("{name}{}", if exact { "" } else { "+" })
}

/// The title of a column of numbers of one step, `at 412`, short enough for the column.
pub fn at(step: u64) -> String {
    let long = format!("at {step}");
    if long.len() < usize::from(NUMBER) {
        long
    } else {
        step.to_string()
    }
}

/// The first of these wordings that fits, ordered from the longest; if none does, the last one, cut.
pub fn worded(texts: &[impl AsRef<str>], room: usize, theme: &Theme) -> String {
    let mut texts = texts.iter().map(AsRef::as_ref);
    let fits = |text: &&str| usize::from(width_of(text)) <= room;
    let last = texts.clone().next_back().unwrap_or_default();
    let text = texts.find(fits).unwrap_or(last);
    elided(text, room, theme)
}

/// The first text if the terminal shows Unicode, otherwise the second.
pub fn either(theme: &Theme, unicode: &'static str, ascii: &'static str) -> &'static str {
    match theme.glyphs {
        Glyphs::Ascii => ascii,
        Glyphs::Braille | Glyphs::Blocks => unicode,
    }
}

/// Draws a sentence that says in full why there is nothing to see.
pub fn sentence(area: Rect, text: &str, frame: &mut Frame) {
    let theme = frame.theme;
    let inside = area.inner(Margin::new(1, 0));
    let text = match theme.glyphs {
        Glyphs::Ascii => text.replace('…', "..."),
        Glyphs::Braille | Glyphs::Blocks => text.to_owned(),
    };
    let text = Text::styled(text, theme.dim);
    frame.render(Paragraph::new(text).wrap(Wrap { trim: true }), inside);
}

/// Joins parts by `between` so that they fit `room` cells, dropping the highest ranks first. The part of rank 0 stays.
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

/// The first row to show of a list of `count` rows, of which `fit` are visible, so that the selected row is in view,
/// and in the middle except near the ends.
pub fn scrolled(selected: usize, fit: usize, count: usize) -> usize {
    selected
        .saturating_sub(fit / 2)
        .min(count.saturating_sub(fit))
}

/// A name in at most `width` cells, cut after the middle: numbers tend to come before it, and the layer's function at
/// the end.
pub fn elided(name: &str, width: usize, theme: &Theme) -> String {
    widget::elided(name, width, theme.glyphs)
}

/// The width of a text in cells.
pub fn width_of(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// Formats a share as a percentage in six columns: ` 52.1%`; blank if it is not finite.
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

/// Formats how often something happens: `sign flip every 6.7 steps`, `sign flip: never`.
pub fn often(what: &str, steps: f64) -> String {
    match every(steps).trim() {
        "" => format!("{what}: unknown"),
        "never" => format!("{what}: never"),
        steps => format!("{what} every {steps} steps"),
    }
}

/// Formats steps in words: `steps 0-99`, `step 7`.
pub fn steps(steps: &Range<u64>) -> String {
    match steps.end.saturating_sub(steps.start) {
        0 => "no steps".to_owned(),
        1 => format!("step {}", steps.start),
        _ => format!("steps {}-{}", steps.start, steps.end - 1),
    }
}

/// Formats a number with all digits of an `f32`.
pub fn exact(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value => format!("{value:+.6e}"),
    }
}

/// Formats a number of steps in six columns: `  6.7`, ` never`; blank for NaN.
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
    fn titles_of_columns_fit_and_the_longest_wording_with_room_is_taken() {
        for steps in [2, 32, 9_999, 10_000, u64::MAX] {
            assert!(several(steps).len() < usize::from(NUMBER), "{steps}");
        }
        assert_eq!(at(99_999), "at 99999");
        assert_eq!(at(1_234_567), "1234567");
        let theme = crate::tui::view::testing::plain();
        let texts = ["steps 0-411, all layers", "steps 0-411", "0-411"];
        let said = |room| worded(&texts, room, &theme);
        assert_eq!(
            [said(23), said(22), said(11)],
            ["steps 0-411, all layers", "steps 0-411", "steps 0-411"]
        );
        assert_eq!([said(10), said(4)], ["0-411", "0-~1"]);
    }

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

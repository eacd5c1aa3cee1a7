//! Marked steps: a row of marks below a chart, and a line with the most important lint.
//!
//! ```text
//!   events   s   ^ m        r    !      one mark a cell: the most important there
//!  residual above 0.001 nats in 3 of 412 steps: …      1 more: v
//! ```
//!
//! `!` not finite, `^` loss spike, `r` residual above the tolerance, `s` synchronised layers,
//! `m` bookmark.

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;
use ratatui::text::Span;

use super::words::{elided, width_of};
use crate::analysis::events::EventKind;
use crate::analysis::lints::Severity;
use crate::app::{Mark, MarkKind};
use crate::tui::frame::Frame;
use crate::tui::theme::Theme;
use crate::tui::widget::LineChart;

/// The character, the style and the rank of a mark; in a cell the highest rank is drawn.
pub fn sign(kind: MarkKind, theme: &Theme) -> (char, Style, u8) {
    match kind {
        MarkKind::Event(EventKind::NotFinite) => ('!', theme.error, 4),
        MarkKind::Event(EventKind::LossSpike) => ('^', theme.hurt, 3),
        MarkKind::Bookmark => ('m', theme.key, 2),
        MarkKind::Event(EventKind::Residual) => ('r', theme.warning, 1),
        MarkKind::Event(EventKind::Synchronised) => ('s', theme.accent, 0),
    }
}

/// Draws marks in one row below the plot of a chart at `chart`; `cell_of` returns the plot's cell for a step.
pub fn row(
    chart: Rect,
    marks: &[Mark],
    theme: &Theme,
    cell_of: impl Fn(u64) -> Option<usize>,
    buf: &mut Buffer,
) {
    let plot = LineChart::plot_area(chart);
    let y = chart.bottom();
    if !buf.area.contains((plot.x, y).into()) {
        return;
    }
    let gutter = usize::from(plot.x - chart.x).saturating_sub(1);
    let name = format!("{:>gutter$}", "events");
    buf.set_stringn(chart.x, y, name, gutter, theme.dim);
    let mut most = vec![None; usize::from(plot.width)];
    for mark in marks {
        let (sign, style, rank) = sign(mark.kind, theme);
        let Some(place) = cell_of(mark.step).and_then(|cell| most.get_mut(cell)) else {
            continue;
        };
        if place.is_none_or(|(_, _, other)| other < rank) {
            *place = Some((sign, style, rank));
        }
    }
    for (x, mark) in (plot.x..plot.right()).zip(most) {
        if let Some((sign, style, _)) = mark {
            buf[(x, y)].set_char(sign).set_style(style);
        }
    }
}

/// The style of a lint of this severity.
pub fn severity_style(severity: Severity, theme: &Theme) -> Style {
    match severity {
        Severity::Error => theme.error,
        Severity::Warning => theme.warning,
        Severity::Notice => theme.header,
    }
}

/// Draws the most important lint in one line, with the number of others.
pub fn lint_line(area: Rect, frame: &mut Frame) {
    let theme = frame.theme;
    let [first, more @ ..] = frame.app.lints() else {
        return;
    };
    let more = match more.len() {
        0 => "v: list".to_owned(),
        more => format!("{more} more: v"),
    };
    let right = width_of(&more) + 1;
    let room = usize::from(area.width).saturating_sub(usize::from(right) + 2);
    let text = elided(&first.text, room, theme);
    let style = severity_style(first.severity, theme);
    let columns = [Length(1), Fill(1), Length(right)];
    let [_, left, right] = Layout::horizontal(columns).areas(area);
    frame.render(Span::styled(text, style), left);
    frame.render(Span::styled(more, theme.dim), right);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::view::testing::theme;

    #[test]
    fn a_cell_has_the_mark_that_matters_most() {
        let mark = |step, kind| Mark {
            step,
            kind,
            value: 1.0,
        };
        let event = MarkKind::Event;
        let marks = [
            mark(0, event(EventKind::Synchronised)),
            mark(0, event(EventKind::NotFinite)),
            mark(1, MarkKind::Bookmark),
            mark(1, event(EventKind::Residual)),
            mark(9, event(EventKind::LossSpike)),
            mark(99, event(EventKind::LossSpike)),
        ];
        let chart = Rect::new(0, 0, 30, 4);
        let mut buf = Buffer::empty(Rect::new(0, 0, 30, 5));
        let cell = |step| usize::try_from(step).ok();
        row(chart, &marks, &theme(), cell, &mut buf);
        let line: String = (0..30).map(|x| buf[(x, 4)].symbol()).collect();
        assert_eq!(line.trim_end(), "  events !m       ^");
        // Nothing is drawn if there is no row for it.
        row(Rect::new(0, 0, 30, 5), &marks, &theme(), cell, &mut buf);
    }
}

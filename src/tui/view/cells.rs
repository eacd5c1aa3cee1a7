//! Texts and columns of numbers in cells, as the screens of layers, units and parameters need them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Scale, format_signed};
use crate::app::App;
use crate::query::Binned;
use crate::tui::theme::{Glyphs, Theme};

/// Cells of a number with the blank before it.
pub const NUMBER: u16 = 9;

/// A signed number in nats that fits its column.
pub fn nats(value: f64) -> String {
    format_signed(value, usize::from(NUMBER) - 1)
}

/// The style of an allocation.
pub fn signed(theme: &Theme, lca: f64) -> Style {
    match lca {
        lca if lca < 0.0 => theme.help,
        lca if lca > 0.0 => theme.hurt,
        _ => Style::default(),
    }
}

/// An allocation in the colour of its sign, without blanks around it.
pub fn lca(theme: &Theme, value: f64) -> Span<'static> {
    Span::styled(nats(value).trim().to_owned(), signed(theme, value))
}

/// One row of an area, if it has it.
pub fn row(area: Rect, y: u16) -> Rect {
    let height = u16::from(y < area.height);
    Rect {
        y: area.y + y.min(area.height),
        height,
        ..area
    }
}

/// A row of text, cut at the right.
pub fn put(area: Rect, buf: &mut Buffer, line: impl Into<Line<'static>>) {
    line.into().render(area.intersection(buf.area), buf);
}

/// A text at the right end of the `NUMBER` cells that end `from_right` columns of them before the
/// right edge of a row.
pub fn put_column(row: Rect, buf: &mut Buffer, from_right: u16, text: &str, style: Style) {
    let right = row.right().saturating_sub(from_right * NUMBER);
    let width = u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX);
    let x = right.saturating_sub(width).max(row.x);
    if right > x {
        let cell = Rect {
            x,
            width: right - x,
            ..row
        };
        Span::styled(text, style).render(cell, buf);
    }
}

/// Why there is nothing to see, in full.
pub fn sentence(area: Rect, buf: &mut Buffer, text: &str, theme: &Theme) {
    let inside = Rect {
        x: area.x + 1.min(area.width),
        width: area.width.saturating_sub(2),
        ..area
    };
    let text = match theme.glyphs {
        Glyphs::Ascii => text.replace('…', "..."),
        Glyphs::Braille | Glyphs::Blocks => text.to_owned(),
    };
    let line = Line::styled(text, theme.dim);
    Paragraph::new(line)
        .wrap(Wrap { trim: true })
        .render(inside, buf);
}

/// Steps in words: `steps 0-99`, `step 7`.
pub fn steps(steps: &std::ops::Range<u64>) -> String {
    match steps.end.saturating_sub(steps.start) {
        0 => "no steps".to_owned(),
        1 => format!("step {}", steps.start),
        _ => format!("steps {}-{}", steps.start, steps.end - 1),
    }
}

/// The index of each of `columns` columns of a chart among those of an answer: a chart may have more.
pub fn spread(binned: &Binned, columns: usize) -> impl Iterator<Item = Option<usize>> + use<> {
    let n = binned.columns();
    (0..columns).map(move |x| bins::index_at(x, n, columns))
}

/// A group's least and most of a step in each column of a chart.
pub fn extents(binned: &Binned, group: usize, columns: usize) -> Vec<Option<Extent>> {
    let start = group * binned.columns();
    let at = |index: usize| {
        let min = *binned.least.get(start + index)?;
        let max = *binned.most.get(start + index)?;
        (min.is_finite() && max.is_finite()).then_some(Extent { min, max })
    };
    spread(binned, columns)
        .map(|index| index.and_then(at))
        .collect()
}

/// The chart's column of the cursor, unless the newest step is followed.
pub fn cursor(app: &App, steps: &std::ops::Range<u64>, columns: usize) -> Option<usize> {
    let step = app.window.cursor(app.timeline.end())?;
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    if app.window.follows() || !steps.contains(&step) {
        return None;
    }
    let places = bins::column_of(
        size(step - steps.start),
        size(steps.end - steps.start),
        columns,
    );
    (!places.is_empty()).then_some(places.start)
}

/// How signed values become lengths and colours.
pub fn scale(app: &App, max: f64) -> Scale {
    match app.log_scale {
        true => Scale::SymLog {
            linear: max / 1000.0,
        },
        false => Scale::Linear,
    }
}

/// The largest magnitude among finite numbers.
pub fn largest(values: impl Iterator<Item = f64>) -> f64 {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(0.0, |max, value| value.abs().max(max))
}

//! Text and columns of numbers in cells, and answers mapped to the columns of a chart.

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::words::{NUMBER, number};
use crate::analysis::bins::{self, Extent};
use crate::app::App;
use crate::query::Binned;
use crate::tui::theme::Theme;

/// Joins parts into a line that fits `width` cells, dropping the highest ranks first. Parts of rank 0 always stay.
pub fn fitting(mut parts: Vec<(u8, Vec<Span<'static>>)>, width: u16) -> Line<'static> {
    loop {
        let own: usize = (parts.iter())
            .flat_map(|(_, spans)| spans)
            .map(Span::width)
            .sum();
        let least = parts.iter().map(|(rank, _)| *rank).max().unwrap_or(0);
        if own <= width.into() || least == 0 {
            return parts.into_iter().flat_map(|(_, spans)| spans).collect();
        }
        parts.retain(|(rank, _)| *rank != least);
    }
}

/// An LCA value in the colour of its sign, without padding.
pub fn lca(theme: &Theme, value: f64) -> Span<'static> {
    Span::styled(number(value).trim().to_owned(), theme.of_sign(value))
}

/// The row `y` of an area; empty if the area has no such row.
pub fn row(area: Rect, y: u16) -> Rect {
    let height = u16::from(y < area.height);
    Rect {
        y: area.y + y.min(area.height),
        height,
        ..area
    }
}

/// Splits an area in a left and a right half with a blank between them.
pub fn halves(area: Rect) -> [Rect; 2] {
    let left = (area.width / 2).saturating_sub(1);
    Layout::horizontal([Length(left), Fill(1)])
        .spacing(1)
        .areas(area)
}

/// Draws a line of text, cut off at the right edge.
pub fn put(area: Rect, buf: &mut Buffer, line: impl Into<Line<'static>>) {
    line.into().render(area.intersection(buf.area), buf);
}

/// Draws a text right-aligned in a column of [`NUMBER`] cells. `from_right` columns lie between it and the right edge
/// of the row.
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

/// For each of a chart's `columns` columns, the index of the answer's column shown there. The chart may have more
/// columns than the answer.
pub fn spread(binned: &Binned, columns: usize) -> impl Iterator<Item = Option<usize>> + use<> {
    let n = binned.columns();
    (0..columns).map(move |x| bins::index_at(x, n, columns))
}

/// The least and greatest value of a group in each column of a chart, which may have more or fewer columns than the
/// answer.
pub fn extents(binned: &Binned, group: usize, columns: usize) -> Vec<Option<Extent>> {
    let n = binned.columns();
    let start = group * n;
    let at = |index: usize| {
        let min = *binned.least.get(start + index)?;
        let max = *binned.most.get(start + index)?;
        (min.is_finite() && max.is_finite()).then_some(Extent { min, max })
    };
    (0..columns)
        .map(|x| {
            let own = bins::indices_at(x, n, columns);
            own.filter_map(at).reduce(Extent::merge)
        })
        .collect()
}

/// Like [`extents`], but on an axis that includes all steps of the answer and may have more.
pub fn extents_on(
    binned: &Binned,
    group: usize,
    axis: &Range<u64>,
    columns: usize,
) -> Vec<Option<Extent>> {
    let n = binned.columns();
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let count = size(axis.end.saturating_sub(axis.start));
    let at = |step: u64| bins::column_of(size(step.saturating_sub(axis.start)), count, columns);
    let mut out: Vec<Option<Extent>> = vec![None; columns];
    for (column, edges) in binned.edges.windows(2).enumerate() {
        let place = group * n + column;
        let ends = [&binned.least, &binned.most].map(|ends| ends.get(place).copied());
        let [Some(min), Some(max)] = ends else {
            continue;
        };
        if !(min.is_finite() && max.is_finite()) {
            continue;
        }
        let own = Extent { min, max };
        let cells = at(edges[0]).start..at(edges[1].saturating_sub(1)).end;
        for cell in out.get_mut(cells).unwrap_or_default() {
            *cell = Some(cell.map_or(own, |there| there.merge(own)));
        }
    }
    out
}

/// The mean per step of a group in each column of a chart; a gap if the sum is not finite. Requires that every step was
/// measured.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "charts need no more than f32"
)]
pub fn means(binned: &Binned, group: usize, columns: usize) -> Vec<Option<Extent>> {
    let sums = binned.row(group);
    let at = |index: Option<usize>| {
        let index = index?;
        let steps = binned.edges[index + 1].saturating_sub(binned.edges[index]);
        let mean = (sums.get(index)? / steps as f64) as f32;
        mean.is_finite().then_some(Extent {
            min: mean,
            max: mean,
        })
    };
    spread(binned, columns).map(at).collect()
}

/// The chart column of the cursor; `None` while the cursor follows the newest step.
pub fn cursor(app: &App, steps: &Range<u64>, columns: usize) -> Option<usize> {
    let step = app.cursor()?;
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    if app.nav.window.follows() || !steps.contains(&step) {
        return None;
    }
    let places = bins::column_of(
        size(step - steps.start),
        size(steps.end - steps.start),
        columns,
    );
    (!places.is_empty()).then_some(places.start)
}

/// The largest magnitude among the finite values; 0 if there are none.
pub fn largest(values: impl Iterator<Item = f64>) -> f64 {
    let finite = values.filter(|value| value.is_finite());
    finite.fold(0.0, |max, value| value.abs().max(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_extreme_of_an_answer_is_lost_in_a_chart_of_fewer_columns() {
        let binned = Binned {
            edges: vec![0, 2, 4, 6],
            sums: vec![2.0, f64::NAN, 6.0],
            least: vec![0.5, -4.0, 1.0],
            most: vec![1.5, 9.0, 5.0],
            groups: Vec::new(),
        };
        let extent = |min, max| Some(Extent { min, max });
        assert_eq!(extents(&binned, 0, 1), [extent(-4.0, 9.0)]);
        assert_eq!(extents(&binned, 0, 3)[1], extent(-4.0, 9.0));
        let wider = extents_on(&binned, 0, &(0..8), 4);
        assert_eq!(wider[1..], [extent(-4.0, 9.0), extent(1.0, 5.0), None]);
        let means = means(&binned, 0, 3);
        assert_eq!(means, [extent(1.0, 1.0), None, extent(3.0, 3.0)]);
    }
}

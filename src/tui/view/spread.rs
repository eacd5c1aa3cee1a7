//! A stretch of steps over the cells and dots of charts.
//!
//! ```text
//! 5 steps in 12 cells    |00|11|22|33|44|  .  .     columns with exact sums, equally wide
//! running sums, dots     ⡠⠔⠉⠉⠒⢄⣀⣀⣀⡠                 least and most of the sum up to each step
//! ```

use std::ops::Range;

use ratatui::layout::Rect;

use crate::analysis::bins::{self, Extent};
use crate::app::{App, Bars, Stretch};
use crate::tui::theme::Theme;
use crate::tui::widget::{LEFT_AXIS, LineChart};

/// The steps in view, and the cursor's.
pub struct View<'a> {
    pub window: Stretch<'a>,
    /// The cursor's step; none before there is one.
    pub cursor: Option<u64>,
    pub at: Stretch<'a>,
    /// All that may be shown.
    pub all: Stretch<'a>,
    /// Whether charts mark the cursor: not while it is the newest step anyway.
    marked: bool,
}

impl<'a> View<'a> {
    pub fn of(app: &'a App) -> Self {
        let (timeline, end) = (&app.timeline, app.timeline.end());
        let cursor = app.window.cursor(end);
        let at = cursor.map_or(0..0, |step| step..step + 1);
        Self {
            window: timeline.stretch(&app.window.visible(end)),
            cursor,
            at: timeline.stretch(&at),
            all: timeline.stretch(&(0..app.window.shown(end))),
            marked: !app.window.follows(),
        }
    }

    /// The step that charts mark.
    pub fn mark(&self) -> Option<u64> {
        self.cursor.filter(|_| self.marked)
    }

    /// The cursor's column of dots in a chart of the window.
    pub fn mark_dot(&self, dots: usize) -> Option<usize> {
        self.mark()
            .and_then(|step| self.window.column_of(step, dots))
    }
}

/// Columns of a chart with exact sums, each so many cells wide.
pub struct Spread<'a> {
    pub bars: Bars<'a>,
    pub each: usize,
}

impl<'a> Spread<'a> {
    /// As many columns as have room in a chart with a left axis.
    pub fn new(stretch: &Stretch<'a>, area: Rect) -> Self {
        let cells = usize::from(LineChart::plot_area(area).width);
        let bars = stretch.bars(cells);
        let each = cells.checked_div(bars.len()).unwrap_or(1).max(1);
        Self { bars, each }
    }

    /// The part of an area in which these columns fill the plot.
    pub fn fitted(&self, area: Rect) -> Rect {
        let left = if area.width < LEFT_AXIS + 15 {
            0
        } else {
            LEFT_AXIS
        };
        let cells = u16::try_from(self.bars.len() * self.each).unwrap_or(u16::MAX);
        Rect {
            width: cells.saturating_add(left).min(area.width),
            ..area
        }
    }

    /// Cells of all columns.
    pub fn cells(&self) -> usize {
        self.bars.len() * self.each
    }

    /// `[cells + 1]`: the steps at the edges of the cells, those of a column repeated.
    pub fn edges(&self) -> Vec<u64> {
        let edges = self.bars.edges();
        let (last, first) = match edges.split_last() {
            Some((last, first)) => (Some(*last), first),
            None => (None, &[][..]),
        };
        let cells = first
            .iter()
            .flat_map(|&edge| std::iter::repeat_n(edge, self.each));
        cells.chain(last).collect()
    }

    /// `[cells]`: a number of each column.
    pub fn values(&self, of: impl Fn(&Stretch<'a>) -> f64) -> Vec<f64> {
        let columns = self.bars.iter().map(of);
        columns
            .flat_map(|value| std::iter::repeat_n(value, self.each))
            .collect()
    }

    /// The middle cell of a step's column.
    pub fn cell_of(&self, step: u64) -> Option<usize> {
        Some(self.bars.column_of(step)? * self.each + self.each / 2)
    }

    /// The most steps in a column.
    pub fn widest(&self) -> u64 {
        let steps = self.bars.iter().map(Stretch::len);
        steps.max().unwrap_or(0)
    }
}

/// Sums from the first step of a stretch on, as a curve in `dots` columns. A column shows the least and
/// the most that the sum was after any of its steps, as far as these are known one by one.
pub struct Running<'a> {
    entries: Bars<'a>,
    places: Vec<Range<usize>>,
    dots: usize,
}

impl<'a> Running<'a> {
    pub fn new(stretch: &Stretch<'a>, dots: usize) -> Self {
        let all = stretch.steps();
        let size = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX);
        let count = size(all.end - all.start);
        let entries = stretch.bars(usize::MAX);
        let place = |entry: &Stretch<'a>| {
            let steps = entry.steps();
            let at = |step: u64| bins::column_of(size(step - all.start), count, dots);
            at(steps.start).start..at(steps.end - 1).end
        };
        let places = entries.iter().map(place).collect();
        Self {
            entries,
            places,
            dots,
        }
    }

    /// Of a number that adds up. Behind what is no number the sum is unknown: a gap.
    pub fn sums(&self, of: impl Fn(&Stretch<'a>) -> f64) -> Vec<Option<Extent>> {
        let mut sum = 0.0;
        let sums = self.entries.iter().map(|entry| {
            sum += of(entry);
            sum
        });
        spread(sums, &self.places, self.dots)
    }
}

/// Values at their columns of dots: the least and the most of each.
#[expect(
    clippy::cast_possible_truncation,
    reason = "charts need no more than f32"
)]
pub fn spread(
    values: impl Iterator<Item = f64>,
    places: &[Range<usize>],
    dots: usize,
) -> Vec<Option<Extent>> {
    let mut columns = vec![None; dots];
    for (value, place) in values.zip(places) {
        let value = value as f32;
        if !value.is_finite() {
            continue;
        }
        let point = Extent {
            min: value,
            max: value,
        };
        for column in columns.get_mut(place.clone()).unwrap_or_default() {
            *column = Some(column.map_or(point, |there: Extent| there.merge(point)));
        }
    }
    columns
}

/// The ends of curves, for their domain.
pub fn ends<'a>(
    curves: impl IntoIterator<Item = &'a Vec<Option<Extent>>>,
) -> impl Iterator<Item = f64> {
    let extents = curves.into_iter().flatten().flatten();
    extents
        .flat_map(|extent| [f64::from(extent.min), f64::from(extent.max)])
        .collect::<Vec<_>>()
        .into_iter()
}

/// Parts of an area one above the other for so many charts at least `least` rows high: as many as have
/// room, or the one that has the focus. Which chart each is for comes with it.
pub fn charts(area: Rect, count: usize, least: u16, focus: usize) -> Vec<(usize, Rect)> {
    let focus = focus % (count + 1);
    let fit = usize::from(area.height / least.max(1)).clamp(1, count.max(1));
    if let Some(only) = focus.checked_sub(1) {
        return vec![(only, area)];
    }
    let fit16 = u16::try_from(fit).unwrap_or(1);
    let (each, more) = (area.height / fit16, area.height % fit16);
    let mut y = area.y;
    let place = |(chart, index): (usize, u16)| {
        let height = each + u16::from(index < more);
        let part = Rect { y, height, ..area };
        y += height;
        (chart, part)
    };
    (0..fit).zip(0..).map(place).collect()
}

/// A line over a chart; the rest of the area is the chart's.
pub fn titled(area: Rect, text: &str, theme: &Theme, buf: &mut ratatui::buffer::Buffer) -> Rect {
    if area.is_empty() {
        return area;
    }
    let room = usize::from(area.width).saturating_sub(1);
    buf.set_stringn(area.x + 1, area.y, text, room, theme.header);
    Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::view::testing::app;

    #[test]
    fn columns_repeat_their_sums_and_edges() {
        let app = app(1, &[1.0, 2.0, 4.0]);
        let whole = app.timeline.whole();
        let spread = Spread::new(&whole, Rect::new(0, 0, 9 + 16, 5));
        assert_eq!((spread.cells(), spread.each), (15, 5));
        assert_eq!(spread.edges()[3..7], [0, 0, 1, 1]);
        assert_eq!(spread.edges().len(), 16);
        let sums = spread.values(|column| column.layer_sums(0).lca);
        assert_eq!(sums[4..6], [1.0, 2.0]);
        assert_eq!(spread.cell_of(2), Some(12));
        assert_eq!(spread.fitted(Rect::new(0, 0, 25, 5)).width, 24);
    }

    #[test]
    fn running_sums_keep_their_extremes() {
        let app = app(1, &[1.0, -3.0, 1.0, 2.0, -1.0, f64::NAN, 1.0]);
        let running = Running::new(&app.timeline.whole(), 3);
        let sums = running.sums(|entry| entry.layer_sums(0).lca);
        let extent = |min, max| Some(Extent { min, max });
        assert_eq!(
            sums,
            [extent(-2.0, 1.0), extent(-1.0, 1.0), extent(0.0, 0.0)]
        );
        let running = Running::new(&app.timeline.whole(), 7);
        let sums = running.sums(|entry| entry.layer_sums(0).lca);
        assert_eq!(sums[5..], [None; 2], "behind what is no number");
    }

    #[test]
    fn as_many_charts_as_have_room_or_the_one_in_focus() {
        let area = Rect::new(0, 3, 40, 20);
        let all = charts(area, 3, 8, 0);
        assert_eq!(
            all.iter().map(|(chart, _)| *chart).collect::<Vec<_>>(),
            [0, 1]
        );
        assert_eq!(all[1].1.bottom(), area.bottom());
        assert_eq!(charts(area, 3, 8, 3), [(2, area)]);
        assert_eq!(charts(area, 3, 8, 4).len(), 2);
        assert_eq!(charts(Rect::new(0, 0, 3, 1), 3, 8, 0).len(), 1);
    }
}

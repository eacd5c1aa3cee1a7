//! A stretch of steps over the cells and dots of charts.
//!
//! ```text
//! 5 steps in 12 cells    |000|11|222|33|44|         columns with exact sums
//! running sums, dots     ⡠⠔⠉⠉⠒⢄⣀⣀⣀⡠                 least and most of the sum up to each step
//! ```

use std::ops::Range;

use ratatui::layout::Rect;

use crate::analysis::bins::{self, Extent};
use crate::app::{App, Bars, Stretch};
use crate::tui::theme::Theme;
use crate::tui::widget::{LineChart, XAxis};

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

/// Columns with exact sums over the cells of a chart. Each has the cells that its steps have on the axis:
/// where there are fewer columns than cells, some have a cell more than others.
pub struct Spread<'a> {
    pub bars: Bars<'a>,
    steps: Range<u64>,
    cells: usize,
}

impl<'a> Spread<'a> {
    /// As many columns as have room in a chart with a left axis.
    pub fn new(stretch: &Stretch<'a>, area: Rect) -> Self {
        let cells = usize::from(LineChart::plot_area(area).width);
        Self {
            bars: stretch.bars(cells),
            steps: stretch.steps(),
            cells,
        }
    }

    pub fn cells(&self) -> usize {
        self.cells
    }

    pub fn axis(&self) -> XAxis<'static> {
        XAxis::Steps(self.steps.clone())
    }

    /// `[cells]`: a number of each cell's column.
    pub fn values(&self, of: impl Fn(&Stretch<'a>) -> f64) -> Vec<f64> {
        let columns: Vec<f64> = self.bars.iter().map(of).collect();
        let at = |cell: usize| {
            let index = bins::index_at(cell, size(&self.steps), self.cells)? as u64;
            let column = self.bars.column_of(self.steps.start + index)?;
            columns.get(column).copied()
        };
        (0..self.cells)
            .map(|cell| at(cell).unwrap_or(f64::NAN))
            .collect()
    }

    /// The cell of a step.
    pub fn cell_of(&self, step: u64) -> Option<usize> {
        let index = usize::try_from(step.checked_sub(self.steps.start)?).ok()?;
        let cells = bins::column_of(index, size(&self.steps), self.cells);
        (!cells.is_empty()).then(|| usize::midpoint(cells.start, cells.end - 1))
    }

    /// The most steps in a column.
    pub fn widest(&self) -> u64 {
        let steps = self.bars.iter().map(Stretch::len);
        steps.max().unwrap_or(0)
    }
}

fn size(steps: &Range<u64>) -> usize {
    usize::try_from(steps.end - steps.start).unwrap_or(usize::MAX)
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
        let count = size(&all);
        let entries = stretch.bars(usize::MAX);
        let place = |entry: &Stretch<'a>| {
            let steps = entry.steps();
            let at = |step: u64| bins::column_of(size(&(all.start..step)), count, dots);
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
    fn every_cell_has_the_sum_of_its_column() {
        let app = app(1, &[1.0, 2.0, 4.0, 8.0, 16.0]);
        let whole = app.timeline.whole();
        let lca = |column: &Stretch<'_>| column.layer_sums(0).lca;
        // Five steps in three cells: columns of two steps. In eight: some steps have two cells.
        let few = Spread::new(&whole, Rect::new(0, 0, 3, 5));
        assert_eq!(few.values(lca), [3.0, 3.0, 12.0]);
        assert_eq!((few.widest(), few.cell_of(4)), (2, Some(2)));
        let many = Spread::new(&whole, Rect::new(0, 0, 8, 5));
        assert_eq!(many.values(lca), [1.0, 1.0, 2.0, 2.0, 4.0, 8.0, 8.0, 16.0]);
        assert_eq!(
            (many.cells(), many.cell_of(2), many.cell_of(9)),
            (8, Some(4), None)
        );
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

//! A stretch of steps mapped to the cells and dots of charts.
//!
//! ```text
//! 5 steps in 12 cells    |000|11|222|33|44|         columns with exact sums
//! running sums, dots     ⡠⠔⠉⠉⠒⢄⣀⣀⣀⡠                 least and most of the sum up to each step
//! ```

use std::ops::Range;

use ratatui::layout::Constraint::{Fill, Length};
use ratatui::layout::{Layout, Rect};
use ratatui::widgets::Widget;

use super::words::{more, several, width_of, worded};
use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Domain, Scale};
use crate::app::{App, Bars, Stretch};
use crate::tui::frame::Frame;
use crate::tui::widget::{Details, Entry, Legend, LineChart, Series, XAxis};

/// The steps in view, and the cursor's.
pub struct View<'a> {
    pub window: Stretch<'a>,
    /// The cursor's step; `None` before the first step.
    pub cursor: Option<u64>,
    pub at: Stretch<'a>,
    /// All steps that may be shown.
    pub all: Stretch<'a>,
    /// Whether charts mark the cursor: not while it follows the newest step.
    marked: bool,
    /// The steps asked for: entries are never cut, so a stretch may have some more.
    asked: [Range<u64>; 2],
}

impl<'a> View<'a> {
    pub fn of(app: &'a App) -> Self {
        let (timeline, cursor) = (&app.model.timeline, app.cursor());
        let at = cursor.map_or(0..0, |step| step..step + 1);
        let asked = [app.visible(), app.shown_steps()];
        Self {
            window: timeline.stretch(&asked[0]),
            cursor,
            at: timeline.stretch(&at),
            all: timeline.stretch(&asked[1]),
            marked: !app.nav.window.follows(),
            asked,
        }
    }

    /// The title of numbers at the cursor. Until the step itself is loaded, they are those of several steps, as the
    /// title then says.
    pub fn cursor_title(&self) -> String {
        match self.at.len() {
            0 | 1 => "cursor".to_owned(),
            steps => several(steps),
        }
    }

    /// The title of numbers over the steps in view: `name`, with a `+` if they cover extra steps.
    pub fn window_title(&self, name: &str) -> String {
        more(name, &self.window, &self.asked[0])
    }

    /// The title of numbers over all steps: `name`, with a `+` if they cover extra steps.
    pub fn all_title(&self, name: &str) -> String {
        more(name, &self.all, &self.asked[1])
    }

    /// The step that charts mark.
    pub fn mark(&self) -> Option<u64> {
        self.cursor.filter(|_| self.marked)
    }

    /// The cursor's column of dots in a chart of the steps in view.
    pub fn mark_dot(&self, dots: usize) -> Option<usize> {
        self.mark()
            .and_then(|step| self.window.column_of(step, dots))
    }
}

/// Columns with exact sums over the cells of a chart. Each covers the cells of its steps on the axis: if there are
/// fewer columns than cells, some are a cell wider than others.
pub struct Spread<'a> {
    pub bars: Bars<'a>,
    steps: Range<u64>,
    /// The column of each cell, `[cells]`.
    columns: Vec<Option<usize>>,
}

impl<'a> Spread<'a> {
    /// Creates as many columns as fit in a chart with a left axis.
    pub fn new(stretch: &Stretch<'a>, area: Rect) -> Self {
        let cells = usize::from(LineChart::plot_area(area).width);
        Self::over(stretch, cells)
    }

    /// Creates at most `cells` columns.
    pub fn over(stretch: &Stretch<'a>, cells: usize) -> Self {
        let steps = stretch.steps();
        let bars = stretch.bars(cells);
        let column = |cell: usize| {
            let index = bins::index_at(cell, size(&steps), cells)? as u64;
            bars.column_of(steps.start + index)
        };
        Self {
            columns: (0..cells).map(column).collect(),
            bars,
            steps,
        }
    }

    pub fn cells(&self) -> usize {
        self.columns.len()
    }

    pub fn axis(&self) -> XAxis<'static> {
        XAxis::Steps(self.steps.clone())
    }

    /// A number of each cell's column, `[cells]`.
    pub fn values(&self, of: impl FnMut(&Stretch<'a>) -> f64) -> Vec<f64> {
        let columns: Vec<f64> = self.bars.iter().map(of).collect();
        let at = |column: &Option<usize>| columns.get((*column)?).copied();
        (self.columns.iter())
            .map(|column| at(column).unwrap_or(f64::NAN))
            .collect()
    }

    /// A number of each cell's column, as a curve with one value a cell.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "charts need no more than f32"
    )]
    pub fn curve(&self, of: impl FnMut(&Stretch<'a>) -> f64) -> Vec<Option<Extent>> {
        let point = |value: f64| {
            let value = value as f32;
            value.is_finite().then_some(Extent {
                min: value,
                max: value,
            })
        };
        self.values(of).into_iter().map(point).collect()
    }

    /// The cell in the middle of those of a step.
    pub fn cell_of(&self, step: u64) -> Option<usize> {
        let index = usize::try_from(step.checked_sub(self.steps.start)?).ok()?;
        let cells = bins::column_of(index, size(&self.steps), self.cells());
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

/// Running sums from the first step of a stretch, as curves over `dots` columns. A column shows the least and greatest
/// sum after any of its steps, as far as single steps are known.
pub struct Running {
    places: Vec<Range<usize>>,
    dots: usize,
}

impl Running {
    pub fn new(stretch: &Stretch<'_>, dots: usize) -> Self {
        let all = stretch.steps();
        let count = size(&all);
        let place = |steps: Range<u64>| {
            let at = |step: u64| bins::column_of(size(&(all.start..step)), count, dots);
            at(steps.start).start..at(steps.end - 1).end
        };
        Self {
            places: stretch.entries().map(place).collect(),
            dots,
        }
    }

    /// The curve of the sums after each entry. A sum that is not finite is a gap.
    pub fn curve(&self, sums: &[f64]) -> Vec<Option<Extent>> {
        spread(sums.iter().copied(), &self.places, self.dots)
    }
}

/// Maps values to their columns of dots: the least and the greatest in each.
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

/// The ends of all extents of some curves, to compute their domain.
pub fn ends<'a>(
    curves: impl IntoIterator<Item = &'a Vec<Option<Extent>>>,
) -> impl Iterator<Item = f64> {
    let extents = curves.into_iter().flatten().flatten();
    extents
        .flat_map(|extent| [f64::from(extent.min), f64::from(extent.max)])
        .collect::<Vec<_>>()
        .into_iter()
}

/// Divides an area into parts, one above the other, for `count` charts at least `least` rows high: as many as fit, or
/// the one with the focus. Returns each part with the index of its chart.
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

/// Draws the longest of these titles that fits above a chart; returns the rest of the area.
pub fn titled(area: Rect, texts: &[impl AsRef<str>], frame: &mut Frame) -> Rect {
    named(area, texts, &[], frame)
}

/// Draws curves of summed LCA, with a line at zero.
pub fn draw_sums(
    area: Rect,
    frame: &mut Frame,
    series: &[Series<'_>],
    domain: Domain,
    steps: Range<u64>,
    cursor: Option<usize>,
) {
    let chart = LineChart {
        theme: frame.theme,
        series,
        scale: Scale::Linear,
        domain,
        unit: "nats",
        steps,
        cursor,
    };
    let details = Details {
        zero_line: true,
        marks: frame.theme.needs_marks(series.len()),
        ..Details::default()
    };
    frame.render(chart.with(details), area);
}

/// Draws the longest of these titles that fits, with a legend of the series after or below it, where it never hides
/// data; returns the rest of the area.
pub fn named(
    area: Rect,
    texts: &[impl AsRef<str>],
    entries: &[Entry<'_>],
    frame: &mut Frame,
) -> Rect {
    let (theme, buf) = (frame.theme, &mut *frame.buffer);
    if area.is_empty() {
        return area;
    }
    let room = usize::from(area.width).saturating_sub(1);
    let widths = entries
        .iter()
        .map(|entry| 4 + usize::from(width_of(entry.name)));
    let legend = widths.sum::<usize>();
    let words = || texts.iter().map(AsRef::as_ref);
    let fits = |text: &&str| usize::from(width_of(text)) + legend <= room;
    // A tall chart has rows for names that do not fit after the title. In a low one the title is shortened, and names
    // are cut only if that does not suffice.
    let beside = words().next().is_some_and(|text| fits(&text));
    let below = if beside || area.height < TALL {
        0
    } else {
        let legend = Legend { theme, entries };
        legend.rows(area.width.saturating_sub(1)).min(2)
    };
    let text = match words().find(fits) {
        Some(text) if below == 0 => text.to_owned(),
        None if below == 0 && !entries.is_empty() => {
            let last = words().last().unwrap_or_default();
            worded(&[last], room, theme)
        }
        _ => worded(texts, room, theme),
    };
    let (x, _) = buf.set_stringn(area.x + 1, area.y, &text, room, theme.header);
    let x = if below > 0 { area.x + 1 } else { x + 2 };
    let names = Rect {
        x: x.min(area.right()),
        y: area.y + u16::from(below > 0),
        width: area.right().saturating_sub(x),
        height: below.max(1),
    };
    Legend { theme, entries }.render(names, buf);
    let [_, chart] = Layout::vertical([Length(1 + below), Fill(1)]).areas(area);
    chart
}

/// The least height of a chart that spends rows on the names of its series.
const TALL: u16 = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::view::testing::{app, framed, lines_of};

    #[test]
    fn every_cell_has_the_sum_of_its_column() {
        let app = app(1, &[1.0, 2.0, 4.0, 8.0, 16.0]);
        let whole = app.model.timeline.whole();
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
    fn a_title_is_worded_shorter_before_the_names_behind_it_are_cut() {
        let theme = crate::tui::view::testing::plain();
        let entry = |name, symbol| Entry {
            name,
            symbol,
            style: theme.dim,
        };
        let entries = [entry("help", '='), entry("hurt", '#')];
        let texts = ["parameters that help or hurt, %", "of parameters, %", "%"];
        let app = app(0, &[]);
        let drawn = |width| {
            let (buf, _) = framed(&app, (width, 2), &theme, |area, frame| {
                let rest = named(area, &texts, &entries, frame);
                assert_eq!(rest, Rect::new(0, 1, width, 1));
            });
            lines_of(&buf).lines().next().unwrap().to_owned()
        };
        framed(&app, (40, 12), &theme, |area, frame| {
            let rest = named(area, &texts, &entries, frame);
            assert_eq!(rest.y, 2, "names have a line of their own");
        });
        assert_eq!(
            drawn(50),
            " parameters that help or hurt, %  = help  # hurt"
        );
        assert_eq!(drawn(40), " of parameters, %  = help  # hurt");
        assert_eq!(drawn(20), " %  = help  # hurt");
        assert_eq!(drawn(16), " %  = he~  # hu~");
    }

    #[test]
    fn running_sums_keep_their_extremes() {
        let app = app(1, &[1.0, -3.0, 1.0, 2.0, -1.0, f64::NAN, 1.0]);
        let whole = app.model.timeline.whole();
        let running = Running::new(&whole, 3);
        let sums = running.curve(&whole.running_lca(&[0]));
        let extent = |min, max| Some(Extent { min, max });
        assert_eq!(
            sums,
            [extent(-2.0, 1.0), extent(-1.0, 1.0), extent(0.0, 0.0)]
        );
        let running = Running::new(&whole, 7);
        let sums = running.curve(&whole.running_lca(&[0]));
        assert_eq!(sums[5..], [None; 2], "after a value that is not finite");
    }

    #[test]
    fn charts_that_fit_are_shown_or_the_focused_one() {
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

//! The axes around a plot, the same for every chart.
//!
//! ```text
//!     nats│                        left axis: ticks of the values, or
//!     2.00┤
//!         │
//!   layer1│                        names of rows, with a pointer at the selected one
//!   layer2▸
//!    2-3/9└┴0─────┴500──── step    bottom axis: steps or other columns; the rows in view
//! ```

use std::ops::Range;

use ratatui::{buffer::Buffer, layout::Rect};

use super::names::{cells_of, elided, first_letters};
use crate::analysis::bins;
use crate::analysis::scale::{Domain, Scale};
use crate::analysis::ticks::{LabelSpace, Tick, step_ticks, ticks, whole_ticks};
use crate::tui::theme::{Glyphs, Theme};

/// Width of a label on the left axis; always the same, so that charts above each other line up.
pub(super) const LABEL: u16 = 8;
/// Width of the left axis, its labels and its line. [`super::heat_map`] and others use it as their gutter to line up
/// with a [`super::LineChart`].
pub const LEFT_AXIS: u16 = LABEL + 1;

/// The meaning of a chart's columns.
#[derive(Clone, Debug, PartialEq)]
pub enum XAxis<'a> {
    /// Steps, spread evenly as by [`bins::indices_at`].
    Steps(Range<u64>),
    /// `count` whole numbers from `first`, such as lags or periods, spread like steps.
    Whole {
        first: i64,
        count: u64,
        name: &'a str,
    },
    /// A name for each column, such as a class; all columns have the same width.
    Names(&'a [&'a str]),
}

/// Characters of the axes.
pub(super) struct Lines {
    pub vertical: &'static str,
    pub horizontal: &'static str,
    pub corner: &'static str,
    pub left_tick: &'static str,
    pub bottom_tick: &'static str,
    /// Marks of the selected row, and of the cursor's column from above.
    pub row: &'static str,
    pub column: &'static str,
}

const BOX: Lines = Lines {
    vertical: "│",
    horizontal: "─",
    corner: "└",
    left_tick: "┤",
    bottom_tick: "┴",
    row: "▸",
    column: "▾",
};
const ASCII: Lines = Lines {
    vertical: "|",
    horizontal: "-",
    corner: "+",
    left_tick: "+",
    bottom_tick: "|",
    row: ">",
    column: "v",
};

pub(super) fn lines(theme: &Theme) -> &'static Lines {
    match theme.glyphs {
        Glyphs::Ascii => &ASCII,
        Glyphs::Braille | Glyphs::Blocks => &BOX,
    }
}

/// The plot in `area`, beside a gutter for names of rows and above an axis, where these fit.
pub(super) fn plot_area(area: Rect, gutter: u16) -> Rect {
    let left = if area.width < gutter.saturating_add(15) {
        0
    } else {
        gutter
    };
    let bottom = u16::from(area.height >= 4);
    Rect {
        x: area.x.saturating_add(left),
        width: area.width - left,
        height: area.height - bottom,
        ..area
    }
}

/// The left axis of numbers, except for the rows of its values.
pub(super) struct Left<'a> {
    pub theme: &'a Theme,
    pub unit: &'a str,
    pub scale: Scale,
    pub domain: Domain,
}

impl Left<'_> {
    /// Draws the axis beside `plot`, which has [`LEFT_AXIS`] cells at its left. `row_of` returns the row of a value.
    pub fn draw(&self, plot: Rect, row_of: impl Fn(f64) -> Option<u16>, buf: &mut Buffer) {
        let (line, style) = (plot.x - 1, self.theme.dim);
        for y in plot.top()..plot.bottom() {
            buf.set_string(line, y, lines(self.theme).vertical, style);
        }
        let row_of = |tick: &Tick| row_of(tick.value);
        // The unit takes the top row, whose label is dropped; at least two should be left.
        let first = u16::from(!self.unit.is_empty());
        let cells = usize::from(plot.height);
        let [usual, crowded] = [LabelSpace::rows(cells), LabelSpace::Rows { cells, gap: 1 }]
            .map(|room| ticks(self.scale, self.domain, room));
        let labelled = usual.iter().filter_map(row_of).filter(|&row| row >= first);
        let ticks = if labelled.count() < 2 { crowded } else { usual };
        // Ticks ascend, rows descend.
        let mut above = plot.height;
        for tick in ticks {
            let Some(row) = row_of(&tick).filter(|&row| row < above) else {
                continue;
            };
            above = row;
            let y = plot.y + row;
            buf.set_string(line, y, lines(self.theme).left_tick, style);
            if row >= first && tick.label.len() <= usize::from(LABEL) {
                let label = format!("{:>width$}", tick.label, width = usize::from(LABEL));
                buf.set_string(line - LABEL, y, label, style);
            }
        }
        let unit = cells_of(self.unit, LABEL);
        buf.set_stringn(line - unit, plot.y, self.unit, unit.into(), style);
    }
}

/// The axes of a chart of rows: their names, one a line; if two rows share a line, that of the selected or else the upper one.
pub(super) struct Rows<'a> {
    pub theme: &'a Theme,
    /// The names of the rows from the first in view on.
    pub names: &'a [&'a str],
    /// The rows in view.
    pub shown: Range<usize>,
    /// The number of all rows.
    pub of: usize,
    pub per_line: usize,
    pub selected: Option<usize>,
}

impl Rows<'_> {
    /// Draws the names at the left of `plot`, and below it, if `area` has room, the axis of steps.
    pub fn draw(&self, area: Rect, plot: Rect, steps: (&XAxis, Option<u16>), buf: &mut Buffer) {
        self.names(area.x, plot, buf);
        if plot.bottom() < area.bottom() {
            let bottom = Bottom {
                theme: self.theme,
                axis: steps.0,
                across: 1,
                cursor: steps.1,
            };
            bottom.draw(plot, plot.x > area.x, buf);
            self.note(area.x, plot, buf);
        }
    }

    /// Draws the names in the cells between `left` and `plot`.
    fn names(&self, left: u16, plot: Rect, buf: &mut Buffer) {
        let Some(line) = plot.x.checked_sub(1).filter(|&line| line >= left) else {
            return;
        };
        let room = usize::from(line - left);
        let per_line = self.per_line.max(1);
        for (y, first) in (plot.top()..plot.bottom()).zip(self.shown.clone().step_by(per_line)) {
            let here = first..(first + per_line).min(self.shown.end);
            let selected = self.selected.filter(|row| here.contains(row));
            let (mark, style) = match selected {
                None => (lines(self.theme).vertical, self.theme.dim),
                Some(_) if per_line == 1 => (lines(self.theme).row, self.theme.accent),
                Some(row) if row == first => ("▀", self.theme.accent),
                Some(_) => ("▄", self.theme.accent),
            };
            buf.set_string(line, y, mark, style);
            let place = selected.unwrap_or(first) - self.shown.start;
            let name = self.names.get(place).unwrap_or(&"");
            let name = elided(name, room, self.theme.glyphs);
            let x = line - cells_of(&name, line - left);
            buf.set_stringn(x, y, name, room, style);
        }
    }

    /// Draws `2-3/9` below the names if not all rows are in view.
    fn note(&self, left: u16, plot: Rect, buf: &mut Buffer) {
        let all = self.shown.len() >= self.of;
        let Some(end) = plot.x.checked_sub(1).filter(|&end| end >= left && !all) else {
            return;
        };
        let long = format!("{}-{}/{}", self.shown.start + 1, self.shown.end, self.of);
        let short = format!("/{}", self.of);
        let room = end - left;
        let fits = |text: &String| text.len() <= usize::from(room);
        if let Some(text) = [long, short].into_iter().find(fits) {
            let x = end - cells_of(&text, room);
            buf.set_string(x, plot.bottom(), text, self.theme.warning);
        }
    }
}

/// The bottom axis.
pub(super) struct Bottom<'a> {
    pub theme: &'a Theme,
    pub axis: &'a XAxis<'a>,
    /// Columns of data in a cell.
    pub across: usize,
    /// The cell of the cursor.
    pub cursor: Option<u16>,
}

/// A labelled cell of the bottom axis.
pub(super) struct Place {
    pub cell: usize,
    pub label: String,
    /// Whether the label may be to the left of its mark if it does not fit to the right.
    pub either_side: bool,
}

impl Bottom<'_> {
    /// Draws the axis in the row below `plot`, with the corner of a left axis if there is one.
    pub fn draw(&self, plot: Rect, with_corner: bool, buf: &mut Buffer) {
        self.draw_at(plot, with_corner, self.places(plot.width.into()), buf);
    }

    /// Draws the axis with the given labels, in ascending order.
    pub fn draw_at(&self, plot: Rect, with_corner: bool, places: Vec<Place>, buf: &mut Buffer) {
        let (y, style) = (plot.bottom(), self.theme.dim);
        for x in plot.left()..plot.right() {
            buf.set_string(x, y, lines(self.theme).horizontal, style);
        }
        if with_corner {
            buf.set_string(plot.x - 1, y, lines(self.theme).corner, style);
        }
        let width = usize::from(plot.width);
        let tick = usize::from(!matches!(self.axis, XAxis::Names(_)));
        let mut taken = 0;
        for place in places {
            let Ok(offset) = u16::try_from(place.cell) else {
                continue;
            };
            if place.cell < taken || place.cell >= width {
                continue;
            }
            let x = plot.x + offset;
            let length = cells_of(&place.label, plot.width);
            let end = place.cell + tick + usize::from(length);
            if end <= width {
                buf.set_string(x + u16::from(tick > 0), y, &place.label, style);
                taken = end;
            } else {
                // Keep a blank between this label and the one before.
                if place.either_side && place.cell > taken + usize::from(length) {
                    buf.set_string(x - length, y, &place.label, style);
                }
                taken = place.cell + 1;
            }
            if tick > 0 {
                buf.set_string(x, y, lines(self.theme).bottom_tick, style);
            }
        }
        let name = format!(" {}", self.name());
        let room = width.saturating_sub(taken + 1);
        if name.len() > 1 && usize::from(cells_of(&name, u16::MAX)) <= room {
            let x = plot.right() - cells_of(&name, plot.width);
            buf.set_string(x, y, name, style);
        }
        if let Some(x) = self.cursor.filter(|&x| x < plot.width) {
            buf.set_style(Rect::new(plot.x + x, y, 1, 1), self.theme.cursor);
        }
    }

    fn name(&self) -> &str {
        match self.axis {
            XAxis::Steps(_) => "step",
            XAxis::Whole { name, .. } => name,
            XAxis::Names(_) => "",
        }
    }

    fn places(&self, width: usize) -> Vec<Place> {
        let across = self.across.max(1);
        let dots = |index: Option<usize>, count: u64| {
            let count = usize::try_from(count).ok()?;
            let dots = bins::column_of(index?, count, width * across);
            (!dots.is_empty()).then_some(dots.start / across)
        };
        match self.axis {
            XAxis::Steps(steps) => {
                let count = steps.end.saturating_sub(steps.start);
                placed(step_ticks(steps.start, steps.end, width), |tick| {
                    let index = whole(tick.value)?.checked_sub(steps.start)?;
                    dots(usize::try_from(index).ok(), count)
                })
            }
            XAxis::Whole { first, count, .. } => {
                placed(whole_ticks(*first, *count, width), |tick| {
                    #[expect(clippy::cast_precision_loss, reason = "lags are small")]
                    let index = whole(tick.value - *first as f64)?;
                    dots(usize::try_from(index).ok(), *count)
                })
            }
            XAxis::Names(names) => {
                let wide = (width / names.len().max(1)).max(1);
                let name = |(place, name): (usize, &&str)| Place {
                    cell: place * wide,
                    label: match wide {
                        // The first letter tells more than an ellipsis.
                        1 | 2 => first_letters(name, 1),
                        _ => elided(name, wide - 1, self.theme.glyphs),
                    },
                    either_side: false,
                };
                names.iter().enumerate().map(name).collect()
            }
        }
    }
}

fn placed(ticks: Vec<Tick>, cell: impl Fn(&Tick) -> Option<usize>) -> Vec<Place> {
    let place = |tick: Tick| {
        Some(Place {
            cell: cell(&tick)?,
            label: tick.label,
            either_side: false,
        })
    };
    ticks.into_iter().filter_map(place).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a step; the cast saturates"
)]
fn whole(value: f64) -> Option<u64> {
    (value >= 0.0).then_some(value as u64)
}

/// The width in cells of each of `columns` named columns in a plot of `width`.
pub(super) fn cells_each(width: u16, columns: usize) -> u16 {
    u16::try_from(usize::from(width) / columns.max(1))
        .unwrap_or(1)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::ColorLevel;
    use crate::tui::widget::testing::text;
    use proptest::prelude::*;

    fn bottom(axis: &XAxis<'_>, width: u16, across: usize) -> String {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let mut buf = Buffer::empty(Rect::new(0, 0, width, 2));
        let bottom = Bottom {
            theme: &theme,
            axis,
            across,
            cursor: None,
        };
        bottom.draw(Rect::new(0, 0, width, 1), false, &mut buf);
        text(&buf).pop().unwrap_or_default()
    }

    #[test]
    fn columns_match_the_axis_labels() {
        let steps = XAxis::Steps(0..1000);
        assert_eq!(
            bottom(&steps, 40, 2),
            "|0------|200----|400----|600----|800----"
        );
        let whole = |name| XAxis::Whole {
            first: -10,
            count: 21,
            name,
        };
        assert_eq!(
            bottom(&whole("lag"), 42, 1),
            "|-10------|-5-------|0--------|5--------|-"
        );
        let names = XAxis::Names(&["cat", "dog", "airplane"]);
        assert_eq!(bottom(&names, 21, 1), "cat----dog----airp~e-");
    }

    proptest! {
        #[test]
        fn no_axis_panics(
            (from, to) in (any::<u64>(), any::<u64>()),
            first in any::<i64>(),
            width in 0u16..99,
            across in 0usize..4,
        ) {
            for axis in [
                XAxis::Steps(from..to),
                XAxis::Whole { first, count: from, name: "lag" },
                XAxis::Names(&["one", "two"]),
            ] {
                bottom(&axis, width, across);
            }
        }
    }
}

//! Stacked signed bars: how the contributions of series add up, column by column.
//!
//! ```text
//!     nats│    ▂▂
//!    0.002┤  ▅▅██▃▃         hurt is stacked upwards from zero,
//!       0 ┤__██████████__
//!         │██████━━██████   help downwards from it;
//!   -0.002┤━━██━━  ━━████   ━ the column's actual change
//!         └┴0─────┴500─ step
//!
//!     ASCII, or too few colours: A B C, the letter of the series with most of the cell
//! ```
//!
//! The axis is always linear: a length in a stack is a part of a sum, and logarithmic lengths do not add up. Zero lies
//! between two rows of cells. Lengths are drawn to an eighth of a cell; a cell shows at most two series, those with
//! most of it. A value that is not finite has no length: its column has a `?` at zero, because its sum is unknown.

use std::ops::Range;

use ratatui::style::{Modifier, Style};
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};

use super::axis::{self, LEFT_AXIS, XAxis};
use super::legend::Entry;
use super::ruler::Ruler;
use crate::analysis::scale::Scale;
use crate::tui::theme::{Glyphs, Theme};

/// Blocks of 0 to 8 eighths of a cell, from below.
pub(super) const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Stacks of contributions by series.
#[derive(Clone, Debug)]
pub struct StackedBars<'a> {
    pub theme: &'a Theme,
    /// The values, series × columns, series by series; missing ones at the end are 0.
    pub values: &'a [f64],
    pub series: usize,
    /// The number of columns, at most the width of the plot.
    pub columns: usize,
    /// The category of the first series ([`Theme::category`]).
    pub first_category: usize,
    /// The actual change of each column, for comparison with its stack; NaN for none.
    pub totals: &'a [f64],
    /// The least and the largest sum of one side to show: [`StackedBars::extent`] of the values, or one that several
    /// charts share.
    pub extent: (f64, f64),
    /// The unit of the values, for the top left corner.
    pub unit: &'a str,
    pub x_axis: XAxis<'a>,
    pub cursor: Option<usize>,
}

/// The series that own the eighths of a cell, from its top; `None` is no series.
type Owners = [Option<usize>; 8];

impl<'a> StackedBars<'a> {
    /// The part of `area` with the bars.
    #[must_use]
    pub fn plot_area(area: Rect) -> Rect {
        axis::plot_area(area, LEFT_AXIS)
    }

    /// The least and the largest of the one-sided sums of all columns and of the totals: the range that must be in
    /// view.
    #[must_use]
    pub fn extent(values: &[f64], columns: usize, totals: &[f64]) -> (f64, f64) {
        let finite = |value: &&f64| value.is_finite();
        let sums = (0..columns).map(|column| {
            let own = values.iter().skip(column).step_by(columns).filter(finite);
            own.fold((0.0, 0.0), |(down, up): (f64, f64), &value| {
                (down + value.min(0.0), up + value.max(0.0))
            })
        });
        let totals = totals.iter().filter(finite).map(|&total| (total, total));
        sums.chain(totals)
            .fold((0.0, 0.0), |(least, largest), (down, up)| {
                (f64::min(least, down), f64::max(largest, up))
            })
    }

    /// Entries for a [`Legend`](super::Legend), with the look that the series have here.
    #[must_use]
    pub fn entries(&self, names: &[&'a str]) -> Vec<Entry<'a>> {
        let entry = |(index, name): (usize, &&'a str)| Entry {
            name,
            symbol: if self.letters() {
                self.letter(index)
            } else {
                '█'
            },
            style: self.style(index),
        };
        names
            .iter()
            .take(self.series)
            .enumerate()
            .map(entry)
            .collect()
    }

    /// Whether cells show letters, because there are too few colours or no block glyphs.
    fn letters(&self) -> bool {
        self.theme
            .needs_marks(self.first_category.saturating_add(self.series))
    }

    fn letter(&self, series: usize) -> char {
        let place = (self.first_category + series) % 26;
        char::from(b'A' + u8::try_from(place).unwrap_or(0))
    }

    fn style(&self, series: usize) -> Style {
        self.theme
            .category(self.first_category.wrapping_add(series))
            .style
    }

    fn value(&self, series: usize, column: usize) -> f64 {
        let index = series.checked_mul(self.columns).map(|start| start + column);
        index
            .and_then(|index| self.values.get(index))
            .copied()
            .unwrap_or(0.0)
    }

    /// The owners of a column's eighths, from the top of the plot, and whether all its values are finite.
    fn stack(&self, column: usize, ruler: Ruler) -> (Vec<Option<usize>>, bool) {
        let (up, down) = (usize::from(ruler.up) * 8, usize::from(ruler.down) * 8);
        let mut owners = vec![None; up + down];
        let mut whole = true;
        let (mut above, mut below) = (0.0, 0.0);
        let series = self
            .values
            .len()
            .div_ceil(self.columns.max(1))
            .min(self.series);
        for series in 0..series {
            let value = self.value(series, column);
            if !value.is_finite() {
                whole = false;
                continue;
            }
            let sum = if value > 0.0 { &mut above } else { &mut below };
            // Round both ends alike, so that the whole stack is as long as its sum.
            let from = ruler.eighths(*sum);
            *sum += value.abs();
            let to = ruler.eighths(*sum);
            let side = if value > 0.0 { up } else { down };
            for eighth in from.min(side)..to.min(side) {
                let place = if value > 0.0 {
                    up - 1 - eighth
                } else {
                    up + eighth
                };
                owners[place] = Some(series);
            }
        }
        (owners, whole)
    }

    /// The glyph and style of a cell.
    fn cell(&self, owners: Owners) -> Option<(char, Style)> {
        let count = |series: Option<usize>| owners.iter().filter(|&&own| own == series).count();
        let mut parts: Vec<Option<usize>> = owners.to_vec();
        parts.dedup();
        let most = parts
            .iter()
            .copied()
            .flatten()
            .max_by_key(|&series| count(Some(series)))?;
        if self.letters() {
            let filled = 8 - count(None);
            return (filled >= 4).then(|| (self.letter(most), self.style(most)));
        }
        if parts.len() > 2 {
            // Keep the two with most of the cell, in order.
            let mut two = parts.clone();
            two.sort_by_key(|&part| std::cmp::Reverse(count(part)));
            two.truncate(2);
            parts.retain(|part| two.contains(part));
            parts.dedup();
        }
        Some(match *parts.as_slice() {
            [upper, lower] => {
                // Eighths of the lower part, if the two parts filled the cell.
                let share = 8 * count(lower) / (count(lower) + count(upper));
                let glyph = EIGHTHS[share.clamp(1, 7)];
                match (upper, lower) {
                    (None, Some(lower)) => (glyph, self.style(lower)),
                    (Some(upper), None) => {
                        (glyph, self.style(upper).add_modifier(Modifier::REVERSED))
                    }
                    (Some(upper), Some(lower)) => {
                        let style = self.style(lower);
                        let paper = self.style(upper).fg;
                        (glyph, paper.map_or(style, |color| style.bg(color)))
                    }
                    (None, None) => return None,
                }
            }
            _ => ('█', self.style(most)),
        })
    }

    fn column(&self, column: usize, x: u16, plot: Rect, ruler: Ruler, buf: &mut Buffer) {
        let ascii = self.theme.glyphs == Glyphs::Ascii;
        let (owners, whole) = self.stack(column, ruler);
        let cursor = self.cursor == Some(column);
        for (y, eighths) in (plot.top()..plot.bottom()).zip(owners.as_chunks::<8>().0) {
            let zero = y + 1 == plot.y + ruler.up;
            if let Some((symbol, style)) = self.cell(*eighths) {
                buf[(x, y)].set_char(symbol).set_style(style);
            } else if cursor {
                let line = axis::lines(self.theme).vertical;
                buf.set_string(x, y, line, self.theme.dim);
            } else if zero {
                buf.set_string(x, y, "_", self.theme.dim);
            }
        }
        let zero = ruler.row(0.0).filter(|_| !whole);
        if let Some(row) = zero {
            buf.set_string(x, plot.y + row, "?", self.theme.warning);
        }
        let total = self.totals.get(column).copied().unwrap_or(f64::NAN);
        if let Some(row) = ruler.row(total) {
            let cell = &mut buf[(x, plot.y + row)];
            // On a full cell the mark has the cell's colour as its background.
            let paper = if cell.symbol() == "█" {
                cell.fg
            } else {
                cell.bg
            };
            cell.reset();
            cell.set_char(if ascii { '=' } else { '━' })
                .set_style(self.theme.train);
            if paper != ratatui::style::Color::Reset {
                cell.set_bg(paper).set_fg(crate::tui::ramp::ink(paper));
            }
        }
    }
}

impl Widget for StackedBars<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let plot = Self::plot_area(area);
        if plot.is_empty() {
            return;
        }
        let ruler = Ruler::new(self.extent, plot.height);
        let shown: Range<usize> = 0..self.columns.min(usize::from(plot.width));
        for (x, column) in (plot.left()..plot.right()).zip(shown) {
            self.column(column, x, plot, ruler, buf);
        }
        let with_left_axis = plot.x > area.x;
        if with_left_axis {
            let left = axis::Left {
                theme: self.theme,
                unit: self.unit,
                scale: Scale::Linear,
                domain: ruler.domain(),
            };
            left.draw(plot, |value| ruler.row(value), buf);
        }
        if plot.bottom() < area.bottom() {
            let bottom = axis::Bottom {
                theme: self.theme,
                axis: &self.x_axis,
                across: 1,
                cursor: self.cursor.and_then(|column| u16::try_from(column).ok()),
            };
            bottom.draw(plot, with_left_axis, buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::ColorLevel;
    use crate::tui::widget::testing::{ALL, LEVELS, any_area, any_value, check, drawn, text};
    use proptest::prelude::*;
    use ratatui::style::Color;

    const NAMES: [&str; 3] = ["conv1", "conv2", "dense"];

    /// Two layers that help with a rhythm, one that hurts half of the time, and their sums.
    fn sample(columns: u16) -> (Vec<f64>, Vec<f64>) {
        let x = |column: u16| f64::from(column) / 4.0;
        let one = (0..columns).map(|column| -0.004 - 0.003 * x(column).sin());
        let two = (0..columns).map(|column| -0.002 * x(column).cos().powi(2));
        let three = (0..columns).map(|column| 0.005 * (x(column) / 2.0).sin());
        let values: Vec<f64> = one.chain(two).chain(three).collect();
        let columns = usize::from(columns);
        let total = |column: usize| values.iter().skip(column).step_by(columns).sum();
        let totals = (0..columns).map(total).collect();
        (values, totals)
    }

    fn bars<'a>(theme: &'a Theme, values: &'a [f64], totals: &'a [f64]) -> StackedBars<'a> {
        let columns = totals.len();
        StackedBars {
            theme,
            values,
            series: 3,
            columns,
            first_category: 0,
            totals,
            extent: StackedBars::extent(values, columns, totals),
            unit: "nats",
            x_axis: XAxis::Steps(0..51),
            cursor: Some(30),
        }
    }

    #[test]
    fn stacks_are_drawn_in_ascii_and_in_blocks() {
        let (values, totals) = sample(51);
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let ascii = drawn(bars(&theme, &values, &totals), 60, 12);
        assert_eq!(
            text(&ascii),
            [
                "    nats|        CCCCCCCCCC            |",
                "        |    CCCCCCCCCCCC=====C        |",
                "   0.000+__CCCCCCCCCCCC==CCCCC=CC______|____________________",
                "        |AAAAAAAAAAAA==AAAAAAAA=AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "        |AAAAAAA=====AAABB     B=AAAAAAAAAAAAAAAABBCCCCCBBAA",
                "        |BAAA===AAAAAABB         =BAAAAAAAAAAAABBCCCC====CBB",
                "  -0.005+====AAAAAABBB            =BBAAAAAAABBBCCCC==    ===",
                "        |                          ==CCCCCCCCCCCCC=",
                "        |                            ===CCCCCCCC==",
                "  -0.010+                              |====CC==",
                "        |                              |    ==",
                "        +|0---|5---|10--|15--|20--|25--|30--|35--|40--|45--|",
            ]
        );
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        let blocks = drawn(bars(&theme, &values, &totals), 60, 12);
        assert_eq!(
            text(&blocks),
            [
                "    nats│       ▂▄▆▇████▇▆▄▃▁          │",
                "        │   ▁▄▆██████████━━━━━▄▁       │",
                "   0.000┤_▃▆███████████━━█████━█▆▃_____│____________________",
                "        │████████████━━███▂▂▃▂▁━███████████████████▁▂▃▂▁████",
                "        │███████━━━━━██▂▅▄    ▇▂━▁██████████████▁▅▃▇███▇▃▅▁█",
                "        │▅▁██━━━█████▃▆▁▇       ▅━▅▂██████████▂▆▁▆███━━━━▆▁▆",
                "  -0.005┤━━━━▁████▂▄▇▁▅           ━▁▆▃▁████▁▄▇▁▄███━━    ━━━",
                "        │  ▆▆▆▆▆▆▆▆▆▇              ━━▆▆▆▆▆▆▆▆▇████━",
                "        │                            ━━━████████━━",
                "  -0.010┤                              │━━━━██━━",
                "        │                              │    ━━",
                "        └┴0───┴5───┴10──┴15──┴20──┴25──┴30──┴35──┴40──┴45──┴",
            ]
        );
    }

    #[test]
    fn a_cell_shows_where_one_series_ends_and_the_next_begins() {
        let theme = Theme::new(ColorLevel::Ansi256, Glyphs::Braille);
        // In a cell worth 8: 4 + 2 up, 3 + 4 down.
        let values = [4.0, -3.0, 2.0, -4.0];
        let stacked = StackedBars {
            series: 2,
            columns: 2,
            extent: (-8.0, 8.0),
            totals: &[],
            cursor: None,
            ..bars(&theme, &values, &[])
        };
        let buf = drawn(stacked, 2, 2);
        let look = |x: u16, y: u16| {
            let cell = &buf[(x, y)];
            (cell.symbol(), cell.fg, cell.bg, cell.modifier)
        };
        let [one, two] = [93, 65].map(Color::Indexed);
        let none = Modifier::empty();
        // Up: blank, two, one; the two with most of the cell are one and the blank or two.
        assert_eq!(look(0, 0).1, one);
        // Down: one above two, and the last eighth of the cell is blank.
        assert_eq!(look(1, 1), ("▄", two, one, none));
        assert_eq!(look(0, 1), (" ", Color::Reset, Color::Reset, none));
        let reversed = StackedBars {
            values: &[0.0, -6.0],
            series: 1,
            columns: 2,
            extent: (-8.0, 8.0),
            totals: &[],
            cursor: None,
            ..bars(&theme, &[], &[])
        };
        let buf = drawn(reversed, 2, 2);
        let cell = &buf[(1, 1)];
        assert_eq!(
            (cell.symbol(), cell.fg, cell.modifier),
            ("▂", one, Modifier::REVERSED)
        );
    }

    #[test]
    fn an_unknown_part_is_marked() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let values = [1.0, 1.0, f64::NAN, 1.0];
        let stacked = StackedBars {
            series: 2,
            columns: 2,
            extent: (0.0, 2.0),
            totals: &[],
            cursor: None,
            ..bars(&theme, &values, &[])
        };
        assert_eq!(text(&drawn(stacked, 2, 3)), [" B", "AA", "?A"]);
    }

    #[test]
    fn entries_look_like_the_bars() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Braille);
        let letters = bars(&theme, &[], &[]).entries(&NAMES);
        assert_eq!(
            letters.iter().map(|entry| entry.symbol).collect::<String>(),
            "ABC"
        );
        let theme = Theme::new(ColorLevel::Ansi256, Glyphs::Braille);
        let colors = bars(&theme, &[], &[]).entries(&NAMES);
        assert_eq!(
            (colors[1].symbol, colors[1].style.fg),
            ('█', Some(Color::Indexed(65)))
        );
    }

    proptest! {
        #[test]
        fn the_whole_stack_is_as_long_as_its_sum(
            values in prop::collection::vec(-1.0f64..1.0, 1..9),
            rows in 2u16..30,
        ) {
            let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
            let extent = StackedBars::extent(&values, 1, &[]);
            let stacked = StackedBars {
                series: values.len(),
                columns: 1,
                extent,
                ..bars(&theme, &values, &[])
            };
            let ruler = Ruler::new(extent, rows);
            let (owners, whole) = stacked.stack(0, ruler);
            prop_assert!(whole);
            let up = usize::from(ruler.up) * 8;
            let filled = |owners: &[Option<usize>]| owners.iter().flatten().count();
            prop_assert_eq!(filled(&owners[..up]), ruler.eighths(extent.1));
            prop_assert_eq!(filled(&owners[up..]), ruler.eighths(-extent.0));
        }

        #[test]
        fn no_size_or_numbers_panic(
            values in prop::collection::vec(any_value(), 0..90),
            (series, columns) in (0usize..12, 0usize..40),
            area in any_area(),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            extent in (any_value(), any_value()),
            (cursor, first_category) in (any::<usize>(), any::<usize>()),
        ) {
            let theme = Theme::new(level, glyphs);
            for extent in [extent, StackedBars::extent(&values, columns, &values)] {
                for columns in [columns, usize::MAX] {
                    let stacked = StackedBars {
                        series,
                        columns,
                        first_category,
                        extent,
                        cursor: Some(cursor % 50),
                        ..bars(&theme, &values, &values)
                    };
                    check(stacked, area, glyphs, level);
                }
            }
        }
    }
}

//! Curves over the steps, with axes, a cursor and a legend.
//!
//! ```text
//!     nats│⢇             │       ─ train  ─ held-out
//!     2.00┤⠈⢢⡀           │
//!         │  ⠈⠢⣀         │
//!     1.00┤     ⠉⠒⢄⣀     │     a gap: no number
//!         │         ⠉⠒⠤⢄⣀⣀   ⢀⣀⣀⡠⠤⠤⠒
//!     0.00┤              │
//!         └┴0─────────────┴500──────────┴1000──── step
//! ```
//!
//! Every column of dots shows the minimum and the maximum of its steps, and is joined to its neighbours halfway. The
//! legend takes the first corner without data, from the top right, as a row or else as a list; if no corner is free, it
//! is left out. [`Details`](super::Details) has further options. Below 24 columns there is no left axis, below 4 rows no
//! bottom axis.

use std::ops::Range;

use ratatui::{buffer::Buffer, layout::Rect};

use super::axis::{self, LEFT_AXIS, XAxis};
use super::canvas::{Canvas, Pen};
use crate::analysis::bins::Extent;
use crate::analysis::scale::{Domain, Scale};
use crate::tui::theme::{Glyphs, Theme};

/// A curve.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// The name in the legend; empty for none.
    pub name: &'a str,
    pub pen: Pen,
    /// One entry for each of [`LineChart::plot_columns`]; `None` is a gap.
    pub extents: &'a [Option<Extent>],
}

/// Curves on common axes; later series are drawn over earlier ones.
#[derive(Clone, Debug)]
pub struct LineChart<'a> {
    pub theme: &'a Theme,
    pub series: &'a [Series<'a>],
    pub scale: Scale,
    /// The domain of the values; those outside are drawn at the edge.
    pub domain: Domain,
    /// The unit of the values, for the top left corner: `nats`.
    pub unit: &'a str,
    /// The steps from the first to the last column, including gaps.
    pub steps: Range<u64>,
    /// The cursor's column of dots ([`column_of`](crate::analysis::bins::column_of)).
    pub cursor: Option<usize>,
}

/// The rows of dots of one column, top and bottom included.
#[derive(Clone, Copy, Debug)]
struct Rows {
    top: usize,
    bottom: usize,
}

impl LineChart<'_> {
    /// The part of `area` in which curves are drawn.
    #[must_use]
    pub fn plot_area(area: Rect) -> Rect {
        axis::plot_area(area, LEFT_AXIS)
    }

    /// The number of columns of dots in [`LineChart::plot_area`]: a series has as many extents.
    #[must_use]
    pub fn plot_columns(area: Rect, glyphs: Glyphs) -> usize {
        usize::from(Self::plot_area(area).width) * usize::from(glyphs.dots_per_cell().0)
    }

    fn dots_across(&self) -> usize {
        self.theme.glyphs.dots_per_cell().0.into()
    }

    /// The row of dots of a value, out of `rows`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place of 0..=1 times some rows of dots"
    )]
    fn dot_row(&self, value: f64, rows: usize) -> Option<usize> {
        let place = self.scale.to_unit(self.domain, value)?;
        Some(((1.0 - place) * rows.saturating_sub(1) as f64).round() as usize)
    }

    /// The rows of dots of each column of a curve, joined to its neighbours, on a canvas of this many columns and rows.
    fn curve(&self, series: &Series<'_>, (columns, rows): (usize, usize)) -> Vec<Option<Rows>> {
        let own = |extent: &Option<Extent>| {
            let Extent { min, max } = (*extent)?;
            let top = self.dot_row(max.into(), rows)?;
            let bottom = self.dot_row(min.into(), rows)?;
            Some(Rows { top, bottom })
        };
        let own: Vec<Option<Rows>> = series.extents.iter().take(columns).map(own).collect();
        let mut joined = own.clone();
        for (left, pair) in own.windows(2).enumerate() {
            if let [Some(a), Some(b)] = *pair {
                let (a, b) = join(a, b);
                joined[left] = joined[left].map(|rows| rows.cover(a));
                joined[left + 1] = Some(b);
            }
        }
        joined
    }

    /// Draws all dots of these curves, later ones over earlier ones.
    pub(super) fn curves(&self, series: &[Series<'_>], canvas: &mut Canvas) {
        for series in series {
            let curve = self.curve(series, canvas.size());
            for (x, rows) in curve.into_iter().enumerate() {
                if let Some(Rows { top, bottom }) = rows {
                    canvas.set_column(x, top, bottom, series.pen);
                }
            }
        }
    }

    /// Draws the outermost dots of every column of these curves.
    pub(super) fn outlines(&self, series: &[Series<'_>], canvas: &mut Canvas) {
        for series in series {
            let curve = self.curve(series, canvas.size());
            for (x, rows) in curve.into_iter().enumerate() {
                if let Some(Rows { top, bottom }) = rows {
                    canvas.set(x, top, series.pen);
                    canvas.set(x, bottom, series.pen);
                }
            }
        }
    }

    /// The row of cells of a value, in a plot of this height.
    pub(super) fn cell_row(&self, value: f64, height: u16) -> Option<u16> {
        let down = usize::from(self.theme.glyphs.dots_per_cell().1);
        let row = self.dot_row(value, usize::from(height) * down)? / down;
        u16::try_from(row).ok()
    }

    /// The cell of the cursor, in a plot of this width.
    pub(super) fn cursor_cell(&self, width: u16) -> Option<u16> {
        let cell = u16::try_from(self.cursor? / self.dots_across()).ok()?;
        (cell < width).then_some(cell)
    }

    /// Draws the axes around `plot`, as far as `area` has room for them.
    pub(super) fn axes(&self, area: Rect, plot: Rect, x_axis: &XAxis<'_>, buf: &mut Buffer) {
        let with_left_axis = plot.x > area.x;
        if with_left_axis {
            let left = axis::Left {
                theme: self.theme,
                unit: self.unit,
                scale: self.scale,
                domain: self.domain,
            };
            left.draw(plot, |value| self.cell_row(value, plot.height), buf);
        }
        if plot.height < area.height {
            let bottom = axis::Bottom {
                theme: self.theme,
                axis: x_axis,
                across: self.dots_across(),
                cursor: self.cursor_cell(plot.width),
            };
            bottom.draw(plot, with_left_axis, buf);
        }
    }

    pub(super) fn cursor_line(&self, plot: Rect, canvas: &Canvas, legend: Rect, buf: &mut Buffer) {
        let Some(x) = self.cursor_cell(plot.width) else {
            return;
        };
        for row in (0..plot.height).filter(|&row| canvas.is_blank(x, row)) {
            let place = (plot.x + x, plot.y + row);
            if !legend.contains(place.into()) {
                let line = axis::lines(self.theme).vertical;
                buf.set_string(place.0, place.1, line, self.theme.dim);
            }
        }
    }
}

impl Rows {
    fn cover(self, other: Self) -> Self {
        Self {
            top: self.top.min(other.top),
            bottom: self.bottom.max(other.bottom),
        }
    }
}

/// Extends both, so that they meet halfway, if there would be a hole between them.
fn join(a: Rows, b: Rows) -> (Rows, Rows) {
    if a.bottom + 1 < b.top {
        let middle = usize::midpoint(a.bottom, b.top);
        (
            Rows {
                bottom: middle,
                ..a
            },
            Rows {
                top: middle + 1,
                ..b
            },
        )
    } else if b.bottom + 1 < a.top {
        let (b, a) = join(b, a);
        (a, b)
    } else {
        (a, b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::bins;
    use crate::tui::theme::ColorLevel;
    use crate::tui::widget::testing::text;
    use proptest::prelude::*;
    use ratatui::style::Modifier;
    use ratatui::widgets::Widget;

    const ALL: [Glyphs; 3] = [Glyphs::Braille, Glyphs::Blocks, Glyphs::Ascii];

    /// A falling curve with a gap, and a flat one.
    fn drawn(
        glyphs: Glyphs,
        (width, height): (u16, u16),
        steps: u16,
        cursor: Option<usize>,
    ) -> Buffer {
        let area = Rect::new(0, 0, width, height);
        let theme = Theme::new(ColorLevel::TrueColor, glyphs);
        let columns = LineChart::plot_columns(area, glyphs);
        let falling = |step: u16| match step {
            20..24 => f32::NAN,
            step => 2.4 * (-f32::from(step) / 12.0).exp(),
        };
        let train: Vec<f32> = (0..steps).map(falling).collect();
        let held_out: Vec<f32> = (0..steps).map(|_| 1.2).collect();
        let (train, held_out) = (
            bins::extents(&train, columns),
            bins::extents(&held_out, columns),
        );
        let series = |name, style, mark, extents| Series {
            name,
            pen: Pen { style, mark },
            extents,
        };
        let chart = LineChart {
            theme: &theme,
            series: &[
                series("held-out", theme.held_out, 'o', &held_out),
                series("train", theme.train, '*', &train),
            ],
            scale: Scale::Linear,
            domain: Domain::new(0.0, 2.5),
            unit: "nats",
            steps: 1000..1000 + u64::from(steps),
            cursor,
        };
        let mut buf = Buffer::empty(area);
        chart.render(area, &mut buf);
        buf
    }

    #[test]
    fn a_chart_draws_all_its_parts() {
        let buf = drawn(Glyphs::Braille, (60, 12), 64, Some(30));
        let expected = [
            "    nats┤⢤              │               ─ held-out  ─ train",
            "        │ ⠳⡀            │",
            "     2.0┤  ⢣⡀           │",
            "        │   ⠱⡀          │",
            "     1.5┤    ⠙⢤         │",
            "        │⠤⠤⠤⠤⠤⠤⠧⡤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤",
            "     1.0┤       ⠈⠒⢤     │",
            "        │          ⠑⠢⣀  │",
            "     0.5┤             ⠉⠢⢄",
            "        │               │   ⠐⠤⠤⣀⣀",
            "     0.0┤               │        ⠉⠉⠉⠑⠒⠒⠒⠒⠤⠤⠤⠤⠤⠤⠤⠤⠤⠤⢄⣀⣀⣀⣀⣀⣀⣀⣀",
            "        └┴1000───┴1010───┴1020───┴1030───┴1040───┴1050───┴──",
        ];
        assert_eq!(text(&buf), expected);
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        let style = |x, y| (Some(buf[(x, y)].fg), buf[(x, y)].modifier);
        assert_eq!(style(10, 5), (theme.held_out.fg, Modifier::empty()));
        assert_eq!(style(9, 0).1, Modifier::BOLD, "train");
        assert_eq!(
            style(24, 0),
            (theme.dim.fg, Modifier::empty()),
            "cursor line"
        );
        assert_eq!(style(24, 11).1, Modifier::REVERSED, "cursor on the axis");
    }

    #[test]
    fn few_steps_are_drawn_as_steps() {
        let expected = [
            "    nats|*************",
            "       2+             ************",
            "       1+ooooooooooooooooooooooooo",
            "       0+     o held-out  * train",
            "        +|1000--------|1002-- step",
        ];
        assert_eq!(text(&drawn(Glyphs::Ascii, (34, 5), 4, None)), expected);
    }

    #[test]
    fn small_charts_leave_things_out() {
        let no_bottom = [
            "    nats┤█",
            "       1┤▄▀▄▄▄▄▄▄▄▄▄▄▄▄▄",
            "       0┤   ▀▀▀█▄▄▄▄▄▄▄▄",
        ];
        assert_eq!(text(&drawn(Glyphs::Blocks, (24, 3), 64, None)), no_bottom);
        let no_left = [
            "*  o held-out  * train",
            " **         |",
            "ooo*****ooooooooooooooo",
            "        ***************",
            "|1000--|1020--|1040--|-",
        ];
        assert_eq!(text(&drawn(Glyphs::Ascii, (23, 5), 64, Some(12))), no_left);
        for (width, height) in [(0, 5), (5, 0), (0, 0)] {
            let area = Rect::new(0, 0, width, height);
            assert_eq!(
                drawn(Glyphs::Braille, (width, height), 9, None),
                Buffer::empty(area)
            );
        }
    }

    fn rows() -> impl Strategy<Value = Rows> {
        (0usize..40, 0usize..40).prop_map(|(a, b)| Rows {
            top: a.min(b),
            bottom: a.max(b),
        })
    }

    proptest! {
        #[test]
        fn joined_columns_touch_and_keep_their_extremes(a in rows(), b in rows()) {
            let (a2, b2) = join(a, b);
            for (before, after) in [(a, a2), (b, b2)] {
                prop_assert!(after.top <= before.top && after.bottom >= before.bottom);
            }
            prop_assert!(a2.bottom + 1 >= b2.top && b2.bottom + 1 >= a2.top);
        }

        #[test]
        fn no_input_panics(
            extents in prop::collection::vec(
                prop::option::of((prop::num::f32::ANY, prop::num::f32::ANY)), 0..60),
            (width, height) in (0u16..50, 0u16..9),
            (x, y) in (0u16..9, 0u16..9),
            glyphs in prop::sample::select(ALL.to_vec()),
            (min, max, linear) in (prop::num::f64::ANY, prop::num::f64::ANY, prop::num::f64::ANY),
            (from, to) in (any::<u64>(), any::<u64>()),
            cursor in prop::option::of(any::<usize>()),
            (unit, name) in (any::<String>(), any::<String>()),
        ) {
            let extents: Vec<Option<Extent>> =
                extents.into_iter().map(|e| e.map(|(min, max)| Extent { min, max })).collect();
            let theme = Theme::new(ColorLevel::Ansi16, glyphs);
            let pen = Pen { style: theme.train, mark: '*' };
            let series = [
                Series { name: &name, pen, extents: &extents },
                Series { name: "raw", pen, extents: &extents },
            ];
            for scale in [Scale::Linear, Scale::Log, Scale::SymLog { linear }] {
                for steps in [from..to, 0..100] {
                    let chart = LineChart {
                        theme: &theme,
                        series: &series,
                        scale,
                        domain: Domain::new(min, max),
                        unit: &unit,
                        steps,
                        cursor: cursor.map(|column| column % 120),
                    };
                    let area = Rect::new(0, 0, width, height);
                    chart.clone().render(area, &mut Buffer::empty(area));
                    let area = Rect::new(x, y, width, height);
                    chart.render(area, &mut Buffer::empty(Rect::new(3, 3, 30, 6)));
                }
            }
        }
    }
}

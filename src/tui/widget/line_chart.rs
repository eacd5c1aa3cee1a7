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
//! Every column of dots shows the minimum and the maximum of its steps, and is joined to its
//! neighbours halfway. The legend takes the first corner without data, from the top right; if every
//! corner has some, the data stay and the legend goes. Below 24 columns there is no left axis, below
//! 4 rows no bottom axis.

use std::ops::Range;

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Span, widgets::Widget};

use super::canvas::{Canvas, Pen};
use crate::analysis::bins::{self, Extent};
use crate::analysis::scale::{Domain, Room, Scale, Tick, step_ticks, ticks};
use crate::tui::theme::{Glyphs, Theme};

/// Cells for a label of the left axis; always the same, so that charts above each other line up.
const LABEL: u16 = 8;
/// The labels and the line of the left axis.
const LEFT_AXIS: u16 = LABEL + 1;

/// One curve.
#[derive(Clone, Copy, Debug)]
pub struct Series<'a> {
    /// For the legend; empty for none.
    pub name: &'a str,
    pub pen: Pen,
    /// One entry for each of [`LineChart::plot_columns`]; `None` is a gap.
    pub extents: &'a [Option<Extent>],
}

/// Curves in one pair of axes; later series are drawn over earlier ones.
#[derive(Clone, Debug)]
pub struct LineChart<'a> {
    pub theme: &'a Theme,
    pub series: &'a [Series<'a>],
    pub scale: Scale,
    /// Of the values; those outside are drawn at the edge.
    pub domain: Domain,
    /// Of the values, for the top left corner: `nats`.
    pub unit: &'a str,
    /// The steps from the first to the last column, as many as there were values to reduce.
    pub steps: Range<u64>,
    /// The cursor's column of dots ([`bins::column_of`]).
    pub cursor: Option<usize>,
}

/// The rows of dots of one column, top and bottom included.
#[derive(Clone, Copy, Debug)]
struct Rows {
    top: usize,
    bottom: usize,
}

/// Characters of the axes.
struct Lines {
    vertical: &'static str,
    horizontal: &'static str,
    corner: &'static str,
    left_tick: &'static str,
    bottom_tick: &'static str,
}

const BOX: Lines = Lines {
    vertical: "│",
    horizontal: "─",
    corner: "└",
    left_tick: "┤",
    bottom_tick: "┴",
};
const ASCII: Lines = Lines {
    vertical: "|",
    horizontal: "-",
    corner: "+",
    left_tick: "+",
    bottom_tick: "|",
};

impl LineChart<'_> {
    /// The part of `area` in which curves are drawn.
    #[must_use]
    pub fn plot_area(area: Rect) -> Rect {
        let left = if area.width < 24 { 0 } else { LEFT_AXIS };
        let bottom = u16::from(area.height >= 4);
        Rect {
            x: area.x.saturating_add(left),
            width: area.width - left,
            height: area.height - bottom,
            ..area
        }
    }

    /// How many columns of dots [`LineChart::plot_area`] has: as many extents has a series.
    #[must_use]
    pub fn plot_columns(area: Rect, glyphs: Glyphs) -> usize {
        usize::from(Self::plot_area(area).width) * usize::from(glyphs.dots_per_cell().0)
    }

    fn lines(&self) -> &'static Lines {
        match self.theme.glyphs {
            Glyphs::Ascii => &ASCII,
            Glyphs::Braille | Glyphs::Blocks => &BOX,
        }
    }

    fn dots_across(&self) -> usize {
        self.theme.glyphs.dots_per_cell().0.into()
    }

    /// The row of dots of a value, of so many rows.
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

    fn curve(&self, series: &Series<'_>, canvas: &mut Canvas) {
        let (columns, rows) = canvas.size();
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
        for (x, rows) in joined.into_iter().enumerate() {
            if let Some(Rows { top, bottom }) = rows {
                canvas.set_column(x, top, bottom, series.pen);
            }
        }
    }

    fn left_axis(&self, plot: Rect, buf: &mut Buffer) {
        let line = plot.x - 1;
        for y in plot.top()..plot.bottom() {
            buf.set_string(line, y, self.lines().vertical, self.theme.dim);
        }
        let (_, down) = self.theme.glyphs.dots_per_cell();
        let row_of = |tick: &Tick| {
            let rows = usize::from(plot.height) * usize::from(down);
            let row = self.dot_row(tick.value, rows)? / usize::from(down);
            u16::try_from(row).ok()
        };
        // The unit has the top row: its label yields, and should leave a scale behind.
        let first = u16::from(!self.unit.is_empty());
        let cells = usize::from(plot.height);
        let [usual, crowded] = [Room::rows(cells), Room::Rows { cells, gap: 1 }]
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
            buf.set_string(line, y, self.lines().left_tick, self.theme.dim);
            if row >= first && tick.label.len() <= usize::from(LABEL) {
                let label = format!("{:>width$}", tick.label, width = usize::from(LABEL));
                buf.set_string(line - LABEL, y, label, self.theme.dim);
            }
        }
        let unit = cells_of(self.unit, LABEL);
        buf.set_stringn(line - unit, plot.y, self.unit, unit.into(), self.theme.dim);
    }

    fn bottom_axis(&self, plot: Rect, with_corner: bool, buf: &mut Buffer) {
        let (y, style) = (plot.bottom(), self.theme.dim);
        for x in plot.left()..plot.right() {
            buf.set_string(x, y, self.lines().horizontal, style);
        }
        if with_corner {
            buf.set_string(plot.x - 1, y, self.lines().corner, style);
        }
        let width = usize::from(plot.width);
        let mut taken = 0;
        for tick in step_ticks(self.steps.start, self.steps.end, width) {
            let Some(x) = self.column_of_step(&tick, width).filter(|&x| x >= taken) else {
                continue;
            };
            let (Ok(offset), length) = (u16::try_from(x), tick.label.len()) else {
                continue;
            };
            buf.set_string(plot.x + offset, y, self.lines().bottom_tick, style);
            if x + 1 + length <= width {
                buf.set_string(plot.x + offset + 1, y, &tick.label, style);
                taken = x + 1 + length;
            } else {
                taken = x + 1;
            }
        }
        let name = " step";
        if taken + name.len() < width {
            let x = plot.right() - 5;
            buf.set_string(x, y, name, style);
        }
        if let Some(x) = self.cursor_cell(plot) {
            buf.set_style(Rect::new(x, y, 1, 1), self.theme.cursor);
        }
    }

    /// The cell of a tick of the bottom axis, of so many.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a step; the cast saturates"
    )]
    fn column_of_step(&self, tick: &Tick, width: usize) -> Option<usize> {
        let across = self.dots_across();
        let steps = usize::try_from(self.steps.end - self.steps.start).ok()?;
        let index = usize::try_from((tick.value as u64).checked_sub(self.steps.start)?).ok()?;
        let dots = bins::column_of(index, steps, width * across);
        (!dots.is_empty()).then_some(dots.start / across)
    }

    /// The screen column of the cursor.
    fn cursor_cell(&self, plot: Rect) -> Option<u16> {
        let cell = u16::try_from(self.cursor? / self.dots_across()).ok()?;
        (cell < plot.width).then(|| plot.x + cell)
    }

    fn cursor_line(&self, plot: Rect, canvas: &Canvas, legend: Rect, buf: &mut Buffer) {
        let Some(x) = self.cursor_cell(plot) else {
            return;
        };
        for row in (0..plot.height).filter(|&row| canvas.is_blank(x - plot.x, row)) {
            let y = plot.y + row;
            if !legend.contains((x, y).into()) {
                buf.set_string(x, y, self.lines().vertical, self.theme.dim);
            }
        }
    }

    fn named(&self) -> impl Iterator<Item = &Series<'_>> {
        self.series.iter().filter(|series| !series.name.is_empty())
    }

    /// Where the legend stands, with a blank on either side; empty if there is no room.
    fn legend_area(&self, plot: Rect, canvas: &Canvas) -> Rect {
        // Each entry is a mark, a blank, the name and two blanks, the last of which is the edge's.
        let widths = self
            .named()
            .map(|series| 4 + Span::raw(series.name).width());
        let width = u16::try_from(widths.sum::<usize>()).unwrap_or(u16::MAX);
        if width == 0 || width > plot.width || plot.height < 3 {
            return Rect::default();
        }
        let (right, bottom) = (plot.width - width, plot.height - 1);
        let free = |&(x, y): &(u16, u16)| (x..x + width).all(|x| canvas.is_blank(x, y));
        let corners = [(right, 0), (right, bottom), (0, 0), (0, bottom)];
        let corner = corners.into_iter().find(free);
        corner.map_or(Rect::default(), |(x, y)| {
            Rect::new(plot.x + x, plot.y + y, width, 1)
        })
    }

    fn legend(&self, area: Rect, buf: &mut Buffer) {
        let mut mark = [0; 4];
        let mut x = area.x + 1;
        for series in self.named() {
            let mark = match self.theme.glyphs {
                Glyphs::Ascii => series.pen.mark.encode_utf8(&mut mark),
                Glyphs::Braille | Glyphs::Blocks => "─",
            };
            buf.set_string(x, area.y, mark, series.pen.style);
            let room = usize::from(area.right().saturating_sub(x + 2));
            x = buf
                .set_stringn(x + 2, area.y, series.name, room, Style::new())
                .0
                + 2;
        }
    }
}

impl Widget for LineChart<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let plot = Self::plot_area(area);
        if plot.is_empty() {
            return;
        }
        let mut canvas = Canvas::new(plot, self.theme.glyphs);
        for series in self.series {
            self.curve(series, &mut canvas);
        }
        let with_left_axis = plot.x > area.x;
        if with_left_axis {
            self.left_axis(plot, buf);
        }
        if plot.height < area.height {
            self.bottom_axis(plot, with_left_axis, buf);
        }
        let legend = self.legend_area(plot, &canvas);
        self.cursor_line(plot, &canvas, legend, buf);
        if !legend.is_empty() {
            self.legend(legend, buf);
        }
        canvas.draw(buf);
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

/// Both, made longer so that they meet halfway if they would leave a hole.
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

/// The width of a text, at most so many cells.
fn cells_of(text: &str, width: u16) -> u16 {
    u16::try_from(Span::raw(text).width()).map_or(width, |own| own.min(width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::ColorLevel;
    use proptest::prelude::*;
    use ratatui::buffer::Cell;
    use ratatui::style::Modifier;

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

    /// The rows, without the blanks at their ends.
    fn text(buf: &Buffer) -> Vec<String> {
        let row = |cells: &[Cell]| -> String { cells.iter().map(Cell::symbol).collect() };
        let rows = buf.content.chunks(usize::from(buf.area.width.max(1)));
        rows.map(|cells| row(cells).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_chart_with_everything() {
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
    fn few_steps_are_stairs() {
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
        fn no_input_is_a_panic(
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

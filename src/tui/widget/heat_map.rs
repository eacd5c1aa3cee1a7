//! Rows of signed numbers over the steps as colours: layers × steps, units × steps, classes ×
//! layers.
//!
//! ```text
//!              ▾       -1e-3 ▓▓▒▒░░ 0 ''++## +1e-3 nats      ▾ the cursor's column
//!    conv1│ ▒▒▒▓▓▒░  ''░░░
//!    conv2│░░░░▒▒░░    ''░
//!    dense▸''++##++''  ░░▒░                                  ▸ the selected row
//!    2-4/9└┴0────┴500─── step                                rows 2 to 4 of 9 are in view
//! ```
//!
//! Negative values help and are blue, positive ones hurt and are orange ([`Theme::signed`]); NaN is grey or a dot.
//! Without colours a cell has the glyph of its sign and magnitude. A column is a cell wide; with names on the axis, all
//! columns are as wide as fits.
//!
//! With `dense`, Unicode and colours, a cell shows two rows: `▀` in the upper row's colour on the lower row's. Rows
//! that do not fit are scrolled to, never merged. Areas less than six rows high have no legend.

use ratatui::style::{Modifier, Style};
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};

use super::axis::{self, XAxis};
use super::legend::RampLegend;
use crate::analysis::scale::Scale;
use crate::tui::ramp::ink;
use crate::tui::theme::{ColorLevel, Glyphs, Theme};

/// A matrix as colours.
#[derive(Clone, Debug)]
pub struct HeatMap<'a, T> {
    pub theme: &'a Theme,
    /// The values from row `first` on, row by row, each `columns` long; missing ones at the end stay blank.
    pub values: &'a [T],
    /// The number of all rows.
    pub rows: usize,
    /// The number of columns, at most the width of [`plot_area`]; columns beyond it are not drawn, which an arrow
    /// indicates.
    pub columns: usize,
    /// Maps magnitudes to strengths, alike on both sides of zero.
    pub scale: Scale,
    /// The magnitude of full strength; larger ones are clamped.
    pub max: f64,
    /// The unit of the values, for the legend.
    pub unit: &'a str,
    /// The names of the rows from `first` on.
    pub names: &'a [&'a str],
    /// Width of the names and the line beside them.
    pub gutter: u16,
    /// The first row in view; `values` and `names` start with it.
    pub first: usize,
    pub selected: Option<usize>,
    /// The cursor's column.
    pub cursor: Option<usize>,
    /// Whether a cell shows two rows, where that can be drawn.
    pub dense: bool,
    pub x_axis: XAxis<'a>,
}

/// The part of `area` with the values.
#[must_use]
pub fn plot_area(area: Rect, gutter: u16) -> Rect {
    let top = u16::from(area.height >= 6);
    let below = Rect {
        y: area.y.saturating_add(top),
        height: area.height - top,
        ..area
    };
    axis::plot_area(below, gutter)
}

/// The number of rows of values that a cell shows.
#[must_use]
pub fn rows_per_cell(theme: &Theme, dense: bool) -> usize {
    let halves = dense && theme.colors != ColorLevel::None && theme.glyphs != Glyphs::Ascii;
    if halves { 2 } else { 1 }
}

impl<T: Copy + Into<f64>> HeatMap<'_, T> {
    /// A value scaled to -1..=1 for the ramp; NaN if it is not finite, `None` if it is missing.
    fn unit(&self, row: usize, column: usize) -> Option<f64> {
        let place = row.checked_sub(self.first)?;
        let index = place.checked_mul(self.columns)?.checked_add(column)?;
        let value = (*self.values.get(index)?).into();
        let unit = self.scale.to_signed_unit(self.max, value);
        (row < self.rows).then(|| unit.unwrap_or(f64::NAN))
    }

    /// The cells of a column, from the plot's left edge.
    fn cells(&self, column: usize, plot: Rect) -> std::ops::Range<u16> {
        let each = match self.x_axis {
            XAxis::Names(_) => axis::cells_each(plot.width, self.columns),
            _ => 1,
        };
        let start = u16::try_from(column).map_or(plot.width, |c| c.saturating_mul(each));
        start.min(plot.width)..start.saturating_add(each).min(plot.width)
    }

    fn cell(&self, column: usize, row: usize, per_cell: usize) -> Option<(char, Style)> {
        let upper = self.unit(row, column);
        if per_cell == 1 {
            let (symbol, style) = self.theme.signed_cell(upper?);
            if self.cursor != Some(column) {
                return Some((symbol, style));
            }
            // Reverse video of a plain colour would look like another value.
            return Some(match (symbol, style.bg) {
                (' ', Some(color)) if self.theme.glyphs == Glyphs::Ascii => {
                    ('|', style.fg(ink(color)))
                }
                (' ', Some(color)) => ('│', style.fg(ink(color))),
                _ => (symbol, style.add_modifier(Modifier::REVERSED)),
            });
        }
        let color = |unit: Option<f64>| unit.and_then(|unit| self.theme.signed_color(unit));
        let lower = color(self.unit(row + 1, column));
        match (color(upper), lower) {
            (Some(upper), Some(lower)) => Some(('▀', Style::new().fg(upper).bg(lower))),
            (Some(upper), None) => Some(('▀', Style::new().fg(upper))),
            (None, Some(lower)) => Some(('▄', Style::new().fg(lower))),
            (None, None) => None,
        }
    }

    /// Draws the row above the plot: the cursor's mark and the legend.
    fn head(&self, area: Rect, plot: Rect, cursor: Option<u16>, buf: &mut Buffer) {
        if plot.y == area.y {
            return;
        }
        let legend = RampLegend {
            theme: self.theme,
            scale: self.scale,
            max: self.max,
            unit: self.unit,
        };
        let mut line = legend.line(plot.width);
        let width = |line: &ratatui::text::Line<'_>| u16::try_from(line.width()).unwrap_or(0);
        let mut x = plot.width - width(&line);
        if let Some(cursor) = cursor {
            buf.set_string(
                plot.x + cursor,
                area.y,
                axis::lines(self.theme).column,
                self.theme.accent,
            );
            if cursor >= x.saturating_sub(1) {
                line = legend.line(cursor.saturating_sub(1).max(plot.width - cursor - 1));
                let at_left = width(&line) < cursor;
                x = if at_left {
                    0
                } else {
                    plot.width - width(&line)
                };
            }
        }
        buf.set_line(plot.x + x, area.y, &line, plot.width - x);
    }
}

impl<T: Copy + Into<f64>> Widget for HeatMap<'_, T> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let plot = plot_area(area, self.gutter);
        if plot.is_empty() {
            return;
        }
        let per_cell = rows_per_cell(self.theme, self.dense);
        let lines = usize::from(plot.height);
        let first = self.first.min(self.rows);
        let shown = first..self.rows.min(first + lines * per_cell);
        for (y, row) in (plot.top()..plot.bottom()).zip(shown.clone().step_by(per_cell)) {
            for column in 0..self.columns.min(usize::from(plot.width)) {
                let Some((symbol, style)) = self.cell(column, row, per_cell) else {
                    continue;
                };
                for x in self.cells(column, plot) {
                    buf[(plot.x + x, y)].set_char(symbol).set_style(style);
                }
            }
        }
        let at = self.cursor.filter(|&column| column < self.columns);
        let cursor = at.map(|column| {
            let cells = self.cells(column, plot);
            u16::midpoint(cells.start, cells.end)
        });
        let cursor = cursor.filter(|&cell| cell < plot.width);
        self.head(area, plot, cursor, buf);
        let rows = axis::Rows {
            theme: self.theme,
            names: self.names,
            shown,
            of: self.rows,
            per_line: per_cell,
            selected: self.selected,
        };
        rows.draw(area, plot, (&self.x_axis, cursor), buf);
        if plot.bottom() < area.bottom() && self.columns > usize::from(plot.width) {
            let arrow = if self.theme.glyphs == Glyphs::Ascii {
                ">"
            } else {
                "›"
            };
            buf.set_string(plot.right() - 1, plot.bottom(), arrow, self.theme.warning);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::widget::testing::{ALL, LEVELS, any_area, any_value, check, drawn, text};
    use proptest::prelude::*;
    use ratatui::style::Color;

    /// Six rows of a wave that grows, with a hole.
    fn wave(columns: usize) -> Vec<f64> {
        let value = |(row, column): (usize, usize)| {
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let (row, x) = (row as f64, column as f64 / columns as f64);
            if row == 2.0 && (0.4..0.5).contains(&x) {
                return f64::NAN;
            }
            (x * 12.0 + row).sin() * x * 1e-3
        };
        let places = (0..6).flat_map(|row| (0..columns).map(move |column| (row, column)));
        places.map(value).collect()
    }

    const NAMES: [&str; 6] = ["conv1", "conv2", "conv3", "block.4.conv", "fc1", "fc2"];

    fn map<'a>(theme: &'a Theme, values: &'a [f64], columns: usize) -> HeatMap<'a, f64> {
        HeatMap {
            theme,
            values,
            rows: 6,
            columns,
            scale: Scale::SymLog { linear: 1e-5 },
            max: 1e-3,
            unit: "nats",
            names: &NAMES,
            gutter: axis::LEFT_AXIS,
            first: 0,
            selected: Some(1),
            cursor: Some(20),
            dense: false,
            x_axis: XAxis::Steps(0..510),
        }
    }

    #[test]
    fn a_heat_map_is_drawn_in_ascii() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let values = wave(51);
        let buf = drawn(map(&theme, &values, 51), 60, 12);
        assert_eq!(
            text(&buf),
            [
                "                             v    -1e-3 =-_ 0 '+# +1e-3 nats",
                "   conv1| ''++++++++++'---========--++##########+'-=========",
                "   conv2> '+++++++'----=======--++##########+_-===========_+",
                "   conv3| ''''__----====---_++.....#####+-===========-'#####",
                "block~nv| ___----------'++#########++-===========-+#########",
                "     fc1| _-------_'+++#######++'-===========-+###########+-",
                "     fc2| _____'++++#####+++_--=========-_+###########+-====",
                "",
                "",
                "",
                "",
                "        +|0--------|100------|200------|300------|400------|",
            ]
        );
        assert!(buf[(29, 1)].modifier.contains(Modifier::REVERSED));
    }

    #[test]
    fn a_map_without_colours_has_glyphs_of_both_signs() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Braille);
        let values = wave(51);
        let map = HeatMap {
            values: &values[2 * 51..],
            names: &NAMES[2..],
            first: 2,
            cursor: Some(45),
            dense: true,
            ..map(&theme, &values, 51)
        };
        assert_eq!(
            text(&drawn(map, 60, 6)),
            [
                "         -1e-3 ▓▓▒▒░░ 0 ╵╵┼┼╬╬ +1e-3 nats             ▾",
                "   conv3│ ╵╵╵╵░░▒▒▒▒▓▓▓▓▒▒▒░┼┼·····╬╬╬╬╬┼▒▓▓▓▓▓▓▓▓▓▓▓▒╵╬╬╬╬╬",
                "block…nv│ ░░░▒▒▒▒▒▒▒▒▒▒╵┼┼╬╬╬╬╬╬╬╬╬┼┼▒▓▓▓▓▓▓▓▓▓▓▓▒┼╬╬╬╬╬╬╬╬╬",
                "     fc1│ ░▒▒▒▒▒▒▒░╵┼┼┼╬╬╬╬╬╬╬┼┼╵▒▓▓▓▓▓▓▓▓▓▓▓▒┼╬╬╬╬╬╬╬╬╬╬╬┼▒",
                "     fc2│ ░░░░░╵┼┼┼┼╬╬╬╬╬┼┼┼░▒▒▓▓▓▓▓▓▓▓▓▒░┼╬╬╬╬╬╬╬╬╬╬╬┼▒▓▓▓▓",
                "   3-6/6└┴0────────┴100──────┴200──────┴300──────┴400──────┴",
            ]
        );
    }

    #[test]
    fn a_cell_has_the_colour_of_its_value() {
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Blocks);
        let values = [1.0f32, -1.0, 0.5, 0.0, f32::NAN, -0.25];
        let one = HeatMap {
            values: &values,
            theme: &theme,
            rows: 3,
            columns: 2,
            scale: Scale::Linear,
            max: 1.0,
            unit: "nats",
            names: &[],
            gutter: 0,
            first: 0,
            selected: None,
            cursor: Some(1),
            dense: false,
            x_axis: XAxis::Steps(0..2),
        };
        let dense = HeatMap {
            dense: true,
            ..one.clone()
        };
        let color = |unit| theme.signed_color(unit).expect("true colour");
        let buf = drawn(one, 2, 3);
        let look = |x, y| (buf[(x, y)].symbol(), buf[(x, y)].bg);
        assert_eq!(look(0, 0), (" ", color(1.0)));
        assert_eq!(look(1, 0), ("│", color(-1.0)), "the cursor");
        assert_eq!(look(0, 1), (" ", color(0.5)));
        assert_eq!(look(0, 2), ("·", color(f64::NAN)));
        let buf = drawn(dense, 2, 2);
        let look = |x, y| (buf[(x, y)].symbol(), buf[(x, y)].fg, buf[(x, y)].bg);
        assert_eq!(look(0, 0), ("▀", color(1.0), color(0.5)));
        assert_eq!(look(1, 0), ("▀", color(-1.0), color(0.0)));
        assert_eq!(look(0, 1), ("▀", color(f64::NAN), Color::Reset));
    }

    #[test]
    fn rows_are_scrolled_to_and_classes_have_names() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let values: Vec<f64> = (0..40u8).map(|value| f64::from(value) - 20.0).collect();
        let map = HeatMap {
            values: &values[3 * 5..],
            rows: 8,
            columns: 5,
            scale: Scale::Linear,
            max: 20.0,
            names: &["d", "e", "f", "g", "h"],
            gutter: 8,
            first: 3,
            selected: Some(4),
            cursor: Some(2),
            x_axis: XAxis::Names(&["airplane", "car", "bird", "cat", "deer"]),
            ..map(&theme, &values, 5)
        };
        assert_eq!(
            text(&drawn(map.clone(), 48, 6)),
            [
                "        -20 =-_ 0 '+# +20   v",
                "      d|________________________________________",
                "      e>        ''''''''''''''''''''''''''''''''",
                "      f|''''''''''''''''++++++++++++++++++++++++",
                "      g|++++++++++++++++++++++++++++++++########",
                "  4-7/8+airp~ne-car-----bird----cat-----deer----",
            ]
        );
        assert_eq!(
            text(&drawn(map, 11, 4)),
            ["__________", "  ''''''''", "''''++++++", "a-c-b-c-d--",]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_size_or_numbers_panic(
            values in prop::collection::vec(any_value(), 0..90),
            (rows, columns) in (0usize..40, 0usize..40),
            area in any_area(),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            (max, linear) in (any_value(), any_value()),
            (first, cursor) in (any::<usize>(), any::<usize>()),
            dense in any::<bool>(),
            gutter in 0u16..20,
        ) {
            let theme = Theme::new(level, glyphs);
            for scale in [Scale::Linear, Scale::Log, Scale::SymLog { linear }] {
                for (x_axis, columns) in [
                    (XAxis::Steps(0..90), columns),
                    (XAxis::Names(&["a", "b"]), 2),
                    (XAxis::Steps(5..9), usize::MAX),
                ] {
                    let map = HeatMap {
                        values: &values,
                        rows,
                        columns,
                        scale,
                        max,
                        gutter,
                        first: first % 50,
                        selected: Some(first),
                        cursor: Some(cursor % 50),
                        dense,
                        x_axis,
                        ..map(&theme, &values, columns)
                    };
                    check(map, area, glyphs, level);
                }
            }
        }
    }
}

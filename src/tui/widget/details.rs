//! Optional parts of a [`LineChart`] besides its curves.
//!
//! ```text
//!    nats│⡇⡆ ⢀   │
//!    1e-3┤⣿⣧⣴⣸⡄  │                 a smoothed line over the raw band: the band's ends stay
//!       0┤⠿⠻⠟⠋⠙⠷⠤│───────────      zero line
//!   -1e-3┤      *│                 marks * o + distinguish the curves without colours
//!        └┴-10───┴0────────lag     an axis of lags, periods or any numbers
//! ```

use ratatui::{buffer::Buffer, layout::Rect, style::Style, text::Span, widgets::Widget};

use super::axis::{self, XAxis};
use super::canvas::Canvas;
use super::line_chart::{LineChart, Series};
use super::names::elided;
use crate::tui::theme::Glyphs;

/// Cells from one mark of a curve to the next.
const MARK_EVERY: usize = 12;

/// The optional parts of a chart; see the module's picture.
#[derive(Clone, Debug, Default)]
pub struct Details<'a> {
    /// Replaces [`LineChart::steps`] as the x axis.
    pub x_axis: Option<XAxis<'a>>,
    /// Whether to draw a line at zero where there are no curves, if zero lies within the domain.
    pub zero_line: bool,
    /// Smoothed curves: lines of one value a column over the bands of [`LineChart::series`].
    pub smoothed: &'a [Series<'a>],
    /// Whether each curve shows its pen's mark at intervals; in ASCII curves consist of marks anyway.
    pub marks: bool,
}

/// A [`LineChart`] with [`Details`]; both have the same plot area.
#[derive(Clone, Debug)]
pub struct DetailedChart<'a> {
    pub(super) chart: LineChart<'a>,
    pub(super) details: Details<'a>,
}

impl<'a> LineChart<'a> {
    /// Adds details to the chart.
    #[must_use]
    pub fn with(self, details: Details<'a>) -> DetailedChart<'a> {
        DetailedChart {
            chart: self,
            details,
        }
    }
}

impl Widget for LineChart<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        self.with(Details::default()).render(area, buf);
    }
}

impl DetailedChart<'_> {
    fn zero_line(&self, plot: Rect, buf: &mut Buffer) {
        let domain = self.chart.domain;
        if !self.details.zero_line || domain.min() >= 0.0 || domain.max() <= 0.0 {
            return;
        }
        if let Some(row) = self.chart.cell_row(0.0, plot.height) {
            let line = axis::lines(self.chart.theme).horizontal;
            for x in plot.left()..plot.right() {
                buf.set_string(x, plot.y + row, line, self.chart.theme.dim);
            }
        }
    }

    /// Draws each curve's mark at intervals, offset from those of neighbouring curves in the list.
    fn marks(&self, plot: Rect, buf: &mut Buffer) {
        let theme = self.chart.theme;
        if !self.details.marks || theme.glyphs == Glyphs::Ascii {
            return;
        }
        let across = usize::from(theme.glyphs.dots_per_cell().0);
        let all = self.chart.series.iter().chain(self.details.smoothed);
        for (number, series) in all.enumerate() {
            let first = (3 + 5 * number) % MARK_EVERY;
            for x in (first..usize::from(plot.width)).step_by(MARK_EVERY) {
                let extent = series.extents.get(x * across).copied().flatten();
                let row = extent.and_then(|extent| {
                    self.chart.cell_row(
                        f64::midpoint(extent.min.into(), extent.max.into()),
                        plot.height,
                    )
                });
                if let (Some(row), Ok(x)) = (row, u16::try_from(x)) {
                    let cell = &mut buf[(plot.x + x, plot.y + row)];
                    cell.reset();
                    cell.set_char(series.pen.mark).set_style(series.pen.style);
                }
            }
        }
    }

    fn named(&self) -> impl Iterator<Item = &Series<'_>> {
        let all = self.chart.series.iter().chain(self.details.smoothed);
        all.filter(|series| !series.name.is_empty())
    }

    /// The area of the legend, with a blank on either side, as a row or a list; empty if there is no room.
    fn legend_area(&self, plot: Rect, canvas: &Canvas) -> Rect {
        // Each entry is a mark, a blank, the name and two blanks, the last of which is the edge's.
        let widths = || {
            self.named()
                .map(|series| 4 + Span::raw(series.name).width())
        };
        let Ok(entries) = u16::try_from(self.named().count()) else {
            return Rect::default();
        };
        let row = (widths().sum::<usize>(), 1);
        let widest = widths().max().unwrap_or(0);
        let list = (widest, entries);
        let narrow = (widest.min(12), entries);
        for (width, height) in [row, list, narrow] {
            let width = u16::try_from(width).unwrap_or(u16::MAX);
            if width == 0 || width > plot.width || plot.height < 2 + height {
                continue;
            }
            let (right, bottom) = (plot.width - width, plot.height - height);
            let free = |&(x, y): &(u16, u16)| {
                (y..y + height).all(|y| (x..x + width).all(|x| canvas.is_blank(x, y)))
            };
            let corners = [(right, 0), (right, bottom), (0, 0), (0, bottom)];
            if let Some((x, y)) = corners.into_iter().find(free) {
                return Rect::new(plot.x + x, plot.y + y, width, height);
            }
        }
        Rect::default()
    }

    fn legend(&self, area: Rect, buf: &mut Buffer) {
        let glyphs = self.chart.theme.glyphs;
        let (mut x, mut y) = (area.x + 1, area.y);
        for series in self.named() {
            let mark = if glyphs == Glyphs::Ascii || self.details.marks {
                series.pen.mark
            } else {
                '─'
            };
            buf.set_string(x, y, mark.to_string(), series.pen.style);
            let room = usize::from(area.right().saturating_sub(x + 2));
            if area.height > 1 {
                let name = elided(series.name, room.saturating_sub(1), glyphs);
                buf.set_stringn(x + 2, y, name, room, Style::new());
                y += 1;
            } else {
                x = buf.set_stringn(x + 2, y, series.name, room, Style::new()).0 + 2;
            }
        }
    }
}

impl Widget for DetailedChart<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let chart = &self.chart;
        let area = area.intersection(buf.area);
        let plot = LineChart::plot_area(area);
        if plot.is_empty() {
            return;
        }
        let [mut canvas, mut line, mut outline] =
            [(); 3].map(|()| Canvas::new(plot, chart.theme.glyphs));
        chart.curves(chart.series, &mut canvas);
        if !self.details.smoothed.is_empty() {
            chart.curves(self.details.smoothed, &mut line);
            chart.outlines(chart.series, &mut outline);
            canvas.lay(&line, &outline);
        }
        let steps = XAxis::Steps(chart.steps.clone());
        let x_axis = self.details.x_axis.as_ref().unwrap_or(&steps);
        chart.axes(area, plot, x_axis, buf);
        self.zero_line(plot, buf);
        let legend = self.legend_area(plot, &canvas);
        for y in legend.top()..legend.bottom() {
            let blank = " ".repeat(legend.width.into());
            buf.set_string(legend.x, y, blank, Style::new());
        }
        chart.cursor_line(plot, &canvas, legend, buf);
        if !legend.is_empty() {
            self.legend(legend, buf);
        }
        canvas.draw(buf);
        self.marks(plot, buf);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::bins::{self, Extent};
    use crate::analysis::scale::{Domain, Scale};
    use crate::tui::theme::{ColorLevel, Theme};
    use crate::tui::widget::testing::{ALL, LEVELS, any_area, any_value, check, drawn, text};
    use proptest::prelude::*;

    /// A noisy fall below zero and its mean over 9 steps.
    fn noisy(columns: usize) -> [Vec<Option<Extent>>; 2] {
        let value = |step: u16| {
            let x = f32::from(step) / 100.0;
            let noise = f32::from(step * 29 % 101) / 101.0 - 0.5;
            2e-3 * (-x).exp() - 1e-3 + 6e-4 * noise
        };
        let raw: Vec<f32> = (0..400).map(value).collect();
        let smooth: Vec<f32> = (0..raw.len())
            .map(|at| &raw[at.saturating_sub(20)..(at + 21).min(raw.len())])
            .map(|near| {
                near.iter().sum::<f32>() / f32::from(u16::try_from(near.len()).unwrap_or(1))
            })
            .collect();
        [
            bins::extents(&raw, columns),
            bins::extents(&smooth, columns),
        ]
    }

    fn detailed(level: ColorLevel, glyphs: Glyphs, (width, height): (u16, u16)) -> Buffer {
        let theme = Theme::new(level, glyphs);
        let columns = LineChart::plot_columns(Rect::new(0, 0, width, height), glyphs);
        let [raw, smooth] = noisy(columns);
        let series = |name, pen, extents| Series { name, pen, extents };
        let pen = |style, mark| super::super::Pen { style, mark };
        let chart = LineChart {
            theme: &theme,
            series: &[series("conv1", pen(theme.dim, ':'), &raw)],
            scale: Scale::Linear,
            domain: Domain::new(-1.2e-3, 1.2e-3),
            unit: "nats",
            steps: 0..400,
            cursor: Some(columns / 2),
        };
        let details = Details {
            zero_line: true,
            smoothed: &[series("mean of 41", pen(theme.train, '*'), &smooth)],
            ..Details::default()
        };
        drawn(chart.with(details), width, height)
    }

    #[test]
    fn a_smoothed_line_over_its_band() {
        let buf = detailed(ColorLevel::Ansi256, Glyphs::Braille, (60, 12));
        assert_eq!(
            text(&buf),
            [
                "    nats│⣰⡀                       │   ─ conv1  ─ mean of 41",
                "  0.0010┤⣿⣷⣆⡀                     │",
                "        │⠛⡲⢤⡐⣦                    │",
                "  0.0005┤ ⠘⢻⡙⢦⡊⣴⢀                 │",
                "        │   ⠘⢻⠙⠢⣅⣾⣆⡄⡀             │",
                "  0.0000┤─────⠋⠟⣈⠑⠦⣌⣷⡇⡀───────────│─────────────────────────",
                "        │        ⠋⢿⠌⡓⠮⣔⣷⣧⣦⣠⢀⢀⢀    │",
                " -0.0005┤          ⠈⠘⠹⣿⡙⠒⠦⢤⣁⡁⣾⣧⣧⣧⣶⡀⡀⡀⣀",
                "        │             ⠙⠘⠹⢻⡿⡿⢈⢉⠛⠒⠲⠤⣌⣐⡐⣿⣾⣾⣾⣾⣧⣧⣧⣿⣼⣄⣄⣤⣠⣠⣠⣄⣄⣄⣄⣤⣠⣰",
                " -0.0010┤                  ⠁⠁⠁⠛⠹⠹⠻⢿⣿⡉⡉⢉⢉⠙⠛⠓⠒⠒⠒⠲⠤⠤⢤⣤⣤⣤⡤⠤⠤⠤⠤⠤⠤",
                "        │                         ⠈⠈⠈⠘⠃⠃⠋⠋⠛⠙⠙⠙⠋⢿⢿⢿⡿⡿⡟⡟⣿⢻⢻⢻⡟⡟",
                "        └┴0────┴50───┴100───┴150──┴200───┴250──┴300──┴350───",
            ]
        );
        let buf = detailed(ColorLevel::None, Glyphs::Ascii, (60, 12));
        assert_eq!(
            text(&buf),
            [
                "    nats|:                        |   : conv1  * mean of 41",
                "  0.0010+:::                      |",
                "        |***::                    |",
                "  0.0005+ :***:::                 |",
                "        |  :::***::::             |",
                "  0.0000+-----::****::::----------|-------------------------",
                "        |        ::*****:::::::   |",
                " -0.0005+          ::::********:::::::::::::::",
                "        |             ::::::::*************:::::::::::::::::",
                " -0.0010+                     ::::::::::********************",
                "        |                         |    :::::::::::::::::::::",
                "        +|0----|50---|100---|150--|200---|250--|300--|350---",
            ]
        );
        let buf = detailed(ColorLevel::None, Glyphs::Blocks, (30, 6));
        assert_eq!(
            text(&buf),
            [
                "    nats┤█▄      ─ conv1",
                "  0.0005┤███▄    ─ mean of 41",
                "  0.0000┤─▀███▄▄▄──│──────────",
                " -0.0005┤    ▀██████▄▄▄▄▄▄▄▄▄▄",
                " -0.0010┤       ▀▀▀▀██████████",
                "        └┴0────────┴200── step",
            ]
        );
    }

    #[test]
    fn many_curves_have_marks_and_a_list() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Braille);
        let names = [
            "conv1",
            "conv2",
            "conv3",
            "conv4",
            "conv5",
            "dense1",
            "dense2.long",
            "head",
        ];
        let curve = |number: u8| -> Vec<Option<Extent>> {
            let value = |lag: u8| (f32::from(lag) / 4.0 - f32::from(number) / 3.0).cos() * 0.6;
            let values: Vec<f32> = (0..21).map(value).collect();
            bins::extents(&values, 2 * 71)
        };
        let curves: Vec<_> = (0..4u8).map(curve).collect();
        let series: Vec<Series<'_>> = (0..8)
            .map(|number| Series {
                name: names[number],
                pen: theme.category(number),
                extents: curves.get(number).map_or(&[], Vec::as_slice),
            })
            .collect();
        let chart = LineChart {
            theme: &theme,
            series: &series,
            scale: Scale::Linear,
            domain: Domain::new(-1.0, 3.0),
            unit: "",
            steps: 0..0,
            cursor: None,
        };
        let details = Details {
            x_axis: Some(XAxis::Whole {
                first: -10,
                count: 21,
                name: "lag",
            }),
            marks: true,
            ..Details::default()
        };
        assert_eq!(
            text(&drawn(chart.with(details), 80, 20)),
            [
                "       3┤                                                         * conv1",
                "        │                                                         o conv2",
                "        │                                                         + conv3",
                "        │                                                         x conv4",
                "       2┤                                                         % conv5",
                "        │                                                         @ dense1",
                "        │                                                         & dense2.long",
                "        │                                                         ~ head",
                "        │",
                "       1┤",
                "        │",
                "        │⣶+⣶*⠶⠶⠶⡶o⠶⡶⠶⠶+⣶⣶⣶⣒x⣒⡢⠤⠤⢤",
                "        │⠤⠤⠤⠜⠉⠉x   ⠈⠉⠉⠙⠤*⢬⠒⠒⠒o⠒⠒⠲⣉+⣉⡣⠤⠤x",
                "        │                 ⠓⠒⠒⢎⣉⣉⣙⣄⣀⣀⡱⠤⠤⡜⠒⠒⠲⣀⣀⣀⡀                             ⢀⠖⠒⠒",
                "       0┤                       ⠈⠦⠤⠤*⠒⠒⢎⠉⠉⠙⣄⣀⣀+⠤⠤⢤                    ⣀⣀*⡜⠉⠉⢉o⠒⠒",
                "        │                           ⠘⠒⠒⢎⣉o⣙⣄⣀⣀⡱⠤⠤⢤⠓x⠲⣀⣀⣀⡀         ⡰⠒⠒⠒⡥⠤⠤⢜⣉⣉⣩⠋⠉⠉",
                "        │                                 ⠈⠒⠒⠒⢗⣒*⣒⣭⣭⣽o⣤⣤⣕⣒+⣲*⣒⣒x⣭o⣽⣭⣭⣭+⣒⣒⡺⠒x⠒⠉⠉⠉",
                "        │",
                "      -1┤",
                "        └┴-10───┴-8────┴-6───┴-4────┴-2────┴0─────┴2────┴4─────┴6─────┴8─────┴10",
            ]
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_size_or_numbers_panic(
            values in prop::collection::vec(any_value(), 0..90),
            area in any_area(),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            (min, max, at) in (any_value(), any_value(), any_value()),
            cursor in any::<usize>(),
            (marks, zero_line) in (any::<bool>(), any::<bool>()),
        ) {
            let theme = Theme::new(level, glyphs);
            #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
            let extents: Vec<Option<Extent>> = values
                .iter()
                .map(|&value| Some(Extent { min: value as f32, max: -value as f32 }))
                .collect();
            let all: Vec<Series<'_>> = (0..5)
                .map(|place| Series {
                    name: "series",
                    pen: theme.category(place),
                    extents: &extents[..extents.len() / (place + 1)],
                })
                .collect();
            for scale in [Scale::Linear, Scale::Log, Scale::SymLog { linear: at }] {
                let chart = LineChart {
                    theme: &theme,
                    series: &all[1..],
                    scale,
                    domain: Domain::new(min, max),
                    unit: "nats",
                    steps: 0..90,
                    cursor: Some(cursor % 200),
                };
                let details = Details {
                    x_axis: Some(XAxis::Whole { first: -3, count: 7, name: "x" }),
                    zero_line,
                    smoothed: &all[..1],
                    marks,
                };
                check(chart.with(details), area, glyphs, level);
            }
        }
    }
}

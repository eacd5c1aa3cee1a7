//! Signed values as horizontal bars around a zero line, a row each: classes, tensors, the difference
//! of two runs by layer.
//!
//! ```text
//!    conv1│      ▐█████████│                -0.0123     left helps, right hurts
//!    conv2│         ├──▐███┤   o            -0.0040     ├─┤ the error, o the other value
//!    dense▸                │██▌             +0.0021     ▸ the selected row
//!    1-3/9└┴-0.01──────────┴0────────┴0.01  nats        rows 1 to 3 of 9 are in view
//! ```
//!
//! The number is exact where a bar is cut or too short to be seen; every value that is not zero has
//! at least an eighth of a cell. ASCII: `=` helps and `#` hurts, with `-` and `+` for the rest of a
//! cell. What is no number has a dot on the zero line.

use ratatui::style::{Color, Modifier, Style};
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};

use super::axis::{self, XAxis};
use super::names;
use crate::analysis::scale::{Domain, Scale, format_signed};
use crate::tui::ramp::ink;
use crate::tui::theme::{ColorLevel, Glyphs, Theme};

/// Cells for a number and the blank before it.
const NUMBER: u16 = 9;
/// Eighths of a cell from the left.
const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// One row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bar<'a> {
    pub name: &'a str,
    pub value: f64,
    /// A value to compare with, as a mark: the other run's, the held-out set's.
    pub other: Option<f64>,
    /// The value may be off by so much either way.
    pub error: Option<f64>,
}

/// Rows of signed values with an axis.
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    pub theme: &'a Theme,
    pub bars: &'a [Bar<'a>],
    /// Cells for the names and the line beside them.
    pub gutter: u16,
    pub scale: Scale,
    /// The magnitude of a full bar; longer ones are cut.
    pub max: f64,
    pub unit: &'a str,
    /// The first row in view.
    pub first: usize,
    pub selected: Option<usize>,
}

/// The part of a row with the bar: as many cells on either side of the zero line.
#[derive(Clone, Copy)]
struct Track {
    x: u16,
    y: u16,
    half: u16,
}

impl Bars<'_> {
    /// Where the numbers begin; the plot ends there.
    fn numbers(plot: Rect) -> u16 {
        if plot.width < NUMBER + 7 {
            plot.right()
        } else {
            plot.right() - NUMBER
        }
    }

    /// Eighths of a cell for a value, and its sign; `None` for NaN.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0..=1 times a screen's width"
    )]
    fn length(&self, value: f64, half: u16) -> Option<(usize, bool)> {
        let unit = self.scale.to_signed_unit(self.max, value)?;
        let eighths = (unit.abs() * f64::from(half) * 8.0).round() as usize;
        Some((eighths.max(usize::from(value != 0.0)), value > 0.0))
    }

    /// The screen column that a value's bar ends in.
    fn end(&self, value: f64, track: Track) -> Option<u16> {
        let (eighths, hurts) = self.length(value, track.half)?;
        let cells = u16::try_from(eighths.div_ceil(8)).ok()?.min(track.half);
        let zero = track.x + track.half;
        Some(if hurts { zero + cells } else { zero - cells })
    }

    fn bar(&self, value: f64, track: Track, buf: &mut Buffer) {
        let zero = track.x + track.half;
        let ascii = self.theme.glyphs == Glyphs::Ascii;
        let Some((eighths, hurts)) = self.length(value, track.half) else {
            let dot = if ascii { "." } else { "·" };
            buf.set_string(zero, track.y, dot, self.theme.dim);
            return;
        };
        let mut left = eighths;
        for cell in 1..=track.half {
            let own = left.min(8);
            left -= own;
            if own == 0 {
                break;
            }
            let (symbol, style) = self.part(own, hurts);
            let x = if hurts { zero + cell } else { zero - cell };
            buf[(x, track.y)].set_char(symbol).set_style(style);
        }
    }

    /// A cell of a bar of which so many eighths are filled, from the side of zero.
    fn part(&self, eighths: usize, hurts: bool) -> (char, Style) {
        let style = if hurts {
            self.theme.hurt
        } else {
            self.theme.help
        };
        match (self.theme.glyphs, hurts, eighths) {
            (Glyphs::Ascii, true, 8) => ('#', style),
            (Glyphs::Ascii, true, _) => ('+', style),
            (Glyphs::Ascii, false, 8) => ('=', style),
            (Glyphs::Ascii, false, _) => ('-', style),
            (_, true, _) | (_, false, 8) => (EIGHTHS[eighths], style),
            // Blocks grow from the left alone: a bar to the left is what a block leaves over.
            (_, false, _) if self.theme.colors != ColorLevel::None => {
                (EIGHTHS[8 - eighths], style.add_modifier(Modifier::REVERSED))
            }
            (_, false, _) => ('▐', style),
        }
    }

    fn whisker(&self, bar: &Bar<'_>, track: Track, buf: &mut Buffer) {
        let error = bar.error.filter(|error| error.is_finite() && *error > 0.0);
        let (Some(error), true) = (error, bar.value.is_finite()) else {
            return;
        };
        let ends = [bar.value - error, bar.value + error].map(|end| self.end(end, track));
        let [Some(from), Some(to)] = ends else {
            return;
        };
        let [open, line, close] = match self.theme.glyphs {
            Glyphs::Ascii => ['[', '~', ']'],
            Glyphs::Braille | Glyphs::Blocks => ['├', '─', '┤'],
        };
        for x in from..=to {
            let symbol = match x {
                x if x == from => open,
                x if x == to => close,
                _ => line,
            };
            over(&mut buf[(x, track.y)], symbol, self.theme.train);
        }
    }

    fn row(&self, bar: &Bar<'_>, track: Track, buf: &mut Buffer) {
        let zero = track.x + track.half;
        buf.set_string(
            zero,
            track.y,
            axis::lines(self.theme).vertical,
            self.theme.dim,
        );
        self.bar(bar.value, track, buf);
        self.whisker(bar, track, buf);
        let other = bar.other.and_then(|other| self.end(other, track));
        if let Some(x) = other {
            over(&mut buf[(x, track.y)], 'o', self.theme.held_out);
        }
    }

    fn number(&self, value: f64) -> (String, Style) {
        let style = match value {
            value if value < 0.0 => self.theme.help,
            value if value > 0.0 => self.theme.hurt,
            _ => self.theme.neutral,
        };
        let width = usize::from(NUMBER - 1);
        let text = if value.is_nan() && self.theme.glyphs == Glyphs::Ascii {
            format!("{:>width$}", "nan")
        } else {
            format_signed(value, width)
        };
        (text, style)
    }
}

/// Puts a mark over what is in the cell, and leaves the colour of a bar behind it.
fn over(cell: &mut ratatui::buffer::Cell, symbol: char, style: Style) {
    let solid = cell.symbol() == "█" || cell.modifier.contains(Modifier::REVERSED);
    let paper = cell.fg;
    cell.reset();
    cell.set_char(symbol).set_style(style);
    if solid && paper != Color::Reset {
        cell.set_bg(paper).set_fg(ink(paper));
    }
}

impl Widget for Bars<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let plot = axis::plot_area(area, self.gutter);
        if plot.is_empty() {
            return;
        }
        let numbers = Self::numbers(plot);
        // An odd number of cells, so that the zero line has one of its own in the middle.
        let half = (numbers - plot.x).saturating_sub(1) / 2;
        let lines = usize::from(plot.height);
        let first = self.first.min(self.bars.len().saturating_sub(lines));
        let shown = first..self.bars.len().min(first + lines);
        for (y, bar) in (plot.top()..plot.bottom()).zip(&self.bars[shown.clone()]) {
            let track = Track { x: plot.x, y, half };
            self.row(bar, track, buf);
            if numbers < plot.right() {
                let (text, style) = self.number(bar.value);
                buf.set_string(numbers + 1, y, text, style);
            }
        }
        let names: Vec<&str> = self.bars.iter().map(|bar| bar.name).collect();
        let rows = axis::Rows {
            theme: self.theme,
            names: &names,
            shown,
            of: self.bars.len(),
            per_line: 1,
            selected: self.selected,
        };
        rows.draw(area.x, plot, buf);
        if plot.bottom() == area.bottom() {
            return;
        }
        let max = if self.max.is_finite() && self.max > 1e-270 {
            self.max
        } else {
            1.0
        };
        let x_axis = XAxis::Scaled {
            scale: match self.scale {
                Scale::Log => Scale::SymLog { linear: max * 1e-6 },
                other => other,
            },
            domain: Domain::symmetric(max),
            name: "",
        };
        let bottom = axis::Bottom {
            theme: self.theme,
            axis: &x_axis,
            across: 1,
            cursor: None,
        };
        let track = Rect {
            width: 2 * half + 1,
            ..plot
        };
        bottom.draw(track, plot.x > area.x, buf);
        rows.note(area.x, plot, buf);
        if numbers < plot.right() {
            let unit = names::cells_of(self.unit, NUMBER - 1);
            let x = plot.right() - unit;
            buf.set_stringn(x, plot.bottom(), self.unit, unit.into(), self.theme.dim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::widget::testing::{ALL, LEVELS, any_area, any_value, check, drawn, text};
    use proptest::prelude::*;

    fn sample() -> [Bar<'static>; 6] {
        let bar = |name, value| Bar {
            name,
            value,
            other: None,
            error: None,
        };
        [
            bar("conv1", -0.0123),
            Bar {
                other: Some(0.004),
                error: Some(0.002),
                ..bar("conv2", -0.004)
            },
            bar("conv3", 1e-7),
            Bar {
                other: Some(-0.001),
                ..bar("block.4.conv", 0.0071)
            },
            bar("fc1", f64::NAN),
            bar("fc2", 0.05),
        ]
    }

    fn bars<'a>(theme: &'a Theme, bars: &'a [Bar<'a>]) -> Bars<'a> {
        Bars {
            theme,
            bars,
            gutter: axis::LEFT_AXIS,
            scale: Scale::Linear,
            max: 0.0123,
            unit: "nats",
            first: 0,
            selected: Some(2),
        }
    }

    #[test]
    fn bars_around_zero() {
        let all = sample();
        let theme = Theme::new(ColorLevel::Ansi256, Glyphs::Braille);
        let buf = drawn(bars(&theme, &all), 60, 12);
        assert_eq!(
            text(&buf),
            [
                "   conv1│████████████████████│                       -0.0123",
                "   conv2│          ├─────┤███│      o               -4.00e-3",
                "   conv3▸                    │▏                     +1.00e-7",
                "block…nv│                  o │███████████▌          +7.10e-3",
                "     fc1│                    ·                             –",
                "     fc2│                    │████████████████████   +0.0500",
                "",
                "",
                "",
                "",
                "",
                "        └────┴-0.01──────────┴0.00───────────┴0.01      nats",
            ]
        );
        assert_eq!(Some(buf[(20, 0)].fg), theme.help.fg);
        assert_eq!(Some(buf[(36, 3)].fg), theme.hurt.fg);
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        assert_eq!(
            text(&drawn(bars(&theme, &all), 60, 12)),
            [
                "   conv1|====================|                       -0.0123",
                "   conv2|          [~~~~~]===|      o               -4.00e-3",
                "   conv3>                    |+                     +1.00e-7",
                "block~nv|                  o |###########+          +7.10e-3",
                "     fc1|                    .                           nan",
                "     fc2|                    |####################   +0.0500",
                "",
                "",
                "",
                "",
                "",
                "        +----|-0.01----------|0.00-----------|0.01      nats",
            ]
        );
    }

    #[test]
    fn rows_are_scrolled_to_and_small_ones_leave_things_out() {
        let all = sample();
        let theme = Theme::new(ColorLevel::None, Glyphs::Blocks);
        let scrolled = Bars {
            first: 99,
            scale: Scale::SymLog { linear: 1e-5 },
            ..bars(&theme, &all)
        };
        assert_eq!(
            text(&drawn(scrolled.clone(), 46, 4)),
            [
                "block…nv│    o        │████████████   +7.10e-3",
                "     fc1│             ·                      –",
                "     fc2│             │█████████████   +0.0500",
                "   4-6/6└┴-0.01───────┴0───────────┴      nats",
            ]
        );
        assert_eq!(
            text(&drawn(scrolled, 12, 3)),
            [" o   │████▋", "     ·", "     │█████",]
        );
    }

    #[test]
    fn a_bar_to_the_left_is_what_a_block_leaves_over() {
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
        let all = [Bar {
            value: -0.25 * 3.0 / 4.0,
            ..Bar::default()
        }];
        let one = Bars {
            max: 1.0,
            selected: None,
            ..bars(&theme, &all)
        };
        // Four cells on either side: three quarters of a cell.
        let buf = drawn(one, 9, 1);
        assert_eq!(text(&buf), ["   ▎│"]);
        assert_eq!(buf[(3, 0)].modifier, Modifier::REVERSED);
        assert_eq!(Some(buf[(3, 0)].fg), theme.help.fg);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_size_and_no_numbers_are_a_panic(
            values in prop::collection::vec((any_value(), any_value(), any_value()), 0..60),
            area in any_area(),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            (max, linear) in (any_value(), any_value()),
            first in any::<usize>(),
            gutter in 0u16..20,
        ) {
            let theme = Theme::new(level, glyphs);
            let bar = |(value, other, error)| Bar {
                name: "conv",
                value,
                other: Some(other),
                error: Some(error),
            };
            let all: Vec<Bar<'_>> = values.into_iter().map(bar).collect();
            for scale in [Scale::Linear, Scale::Log, Scale::SymLog { linear }] {
                let bars = Bars { gutter, scale, max, first, ..bars(&theme, &all) };
                check(bars, area, glyphs, level);
            }
        }
    }
}

//! Histograms: counts or shares by bins.
//!
//! ```text
//!  weights│         │50 %             a reference line, in front of the bars; its name above them
//!      200┤     ▂▅▇█│▆▃
//!      100┤   ▂▅████│███▅▂
//!        0┤▁▃▆██████│██████▅▂▁   ▁    a single count stays visible beside any larger one
//!         └┴0───────┴0.5───────1┴     reversed: the highlighted bins, even if empty
//! ```
//!
//! All bins have the same number of cells. With more bins than cells, a column is the sum of its bins, so that no count
//! is lost, in the style of the fullest. Counts are linear or logarithmic (of 1 + count, so that 1 is above 0).

use std::ops::Range;

use ratatui::style::Color;
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};

use super::axis::{self, LEFT_AXIS, Place, XAxis};
use super::canvas::Pen;
use super::names;
use super::stacked_bars::EIGHTHS;
use crate::analysis::bins;
use crate::analysis::scale::{Domain, Scale};
use crate::tui::ramp::ink;
use crate::tui::theme::{Glyphs, Theme};

/// One bin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bin {
    /// The count or share; negative values and NaN count as 0.
    pub count: f64,
    /// The pen of its bar; the mark fills it in ASCII.
    pub pen: Pen,
}

/// A histogram with axes.
#[derive(Clone, Debug)]
pub struct Histogram<'a> {
    pub theme: &'a Theme,
    pub bins: &'a [Bin],
    /// Whether counts are logarithmic.
    pub log: bool,
    /// The unit of the counts, for the top left corner.
    pub unit: &'a str,
    /// Labels at edges of bins, ascending: edge `k` is the left one of bin `k`; fractions lie between edges.
    pub edges: &'a [(f64, &'a str)],
    /// The name of the values, for the right end of the axis.
    pub name: &'a str,
    /// A line at an edge, and its label.
    pub reference: Option<(f64, &'a str)>,
    /// Highlighted bins, such as that of an observed value in its null distribution.
    pub highlight: Option<Range<usize>>,
}

impl Histogram<'_> {
    /// The part of `area` with the bars.
    #[must_use]
    pub fn plot_area(area: Rect) -> Rect {
        axis::plot_area(area, LEFT_AXIS)
    }

    /// The bins of a cell of the plot.
    fn bins_of(&self, cell: usize, width: usize) -> Range<usize> {
        let count = self.bins.len();
        match width.checked_div(count) {
            Some(0) => bins::indices_at(cell, count, width),
            Some(each) if cell / each < count => cell / each..cell / each + 1,
            Some(_) | None => 0..0,
        }
    }

    /// The cell of an edge of bins.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a screen's width; the cast saturates"
    )]
    fn cell_of(&self, edge: f64, width: usize) -> Option<usize> {
        let count = self.bins.len();
        let each = width.checked_div(count)? as f64;
        let cell = if each > 0.0 {
            edge * each
        } else {
            edge / count as f64 * width as f64
        };
        let inside = edge.is_finite() && edge >= 0.0 && edge <= count as f64;
        inside.then(|| (cell as usize).min(width.saturating_sub(1)))
    }

    /// The sum of a cell's bins, and the pen of the fullest.
    fn bar(&self, cell: usize, width: usize) -> Option<(f64, Pen)> {
        let own = self.bins.get(self.bins_of(cell, width))?;
        let count = |bin: &Bin| {
            if bin.count > 0.0 {
                bin.count.min(1e300)
            } else {
                0.0
            }
        };
        let fullest = own.iter().max_by(|a, b| count(a).total_cmp(&count(b)))?;
        Some((own.iter().map(count).sum::<f64>().min(1e300), fullest.pen))
    }

    fn scale(&self) -> Scale {
        if self.log {
            Scale::SymLog { linear: 1.0 }
        } else {
            Scale::Linear
        }
    }

    fn is_highlighted(&self, cell: usize, width: usize) -> bool {
        let own = self.bins_of(cell, width);
        let overlaps = |lit: &Range<usize>| own.start.max(lit.start) < own.end.min(lit.end);
        self.highlight.as_ref().is_some_and(overlaps)
    }

    /// Draws a bar `eighths` eighths of a cell high.
    fn column(&self, x: u16, plot: Rect, mut eighths: usize, pen: Pen, buf: &mut Buffer) {
        for y in (plot.top()..plot.bottom()).rev() {
            let own = eighths.min(8);
            eighths -= own;
            let symbol = match (self.theme.glyphs, own) {
                (_, 0) => return,
                (Glyphs::Ascii, 1..4) => '.',
                (Glyphs::Ascii, _) => pen.mark,
                (_, own) => EIGHTHS[own],
            };
            buf[(x, y)].set_char(symbol).set_style(pen.style);
        }
    }

    /// Whether a bar fills or continues beyond a cell with this symbol.
    fn is_full(&self, symbol: &str) -> bool {
        let mark = |bin: &Bin| symbol.chars().eq([bin.pen.mark]);
        match self.theme.glyphs {
            Glyphs::Ascii => symbol == "@" || self.bins.iter().any(mark),
            Glyphs::Braille | Glyphs::Blocks => symbol == "█",
        }
    }

    /// Draws the reference line over all but the ends of bars, and its label in the first row with room.
    fn reference(&self, plot: Rect, buf: &mut Buffer) {
        let Some((edge, name)) = self.reference else {
            return;
        };
        let cell = self.cell_of(edge, plot.width.into());
        let Some(x) = cell.and_then(|cell| u16::try_from(cell).ok()) else {
            return;
        };
        let x = plot.x + x;
        for y in plot.top()..plot.bottom() {
            let cell = &mut buf[(x, y)];
            let (free, full) = (cell.symbol() == " ", self.is_full(cell.symbol()));
            let paper = cell.fg;
            if free || full {
                cell.reset();
                cell.set_symbol(axis::lines(self.theme).vertical);
                cell.set_style(self.theme.accent);
            }
            if full && paper != Color::Reset {
                cell.set_bg(paper).set_fg(ink(paper));
            }
        }
        let width = names::cells_of(name, plot.width);
        let sides = [Some(x + 1), x.checked_sub(width)];
        for y in plot.top()..plot.bottom() {
            for start in sides.into_iter().flatten() {
                let inside = start >= plot.x && start + width <= plot.right();
                if inside && (start..start + width).all(|x| buf[(x, y)].symbol() == " ") {
                    buf.set_stringn(start, y, name, width.into(), self.theme.accent);
                    return;
                }
            }
        }
    }

    fn bottom(&self, plot: Rect, with_corner: bool, buf: &mut Buffer) {
        let axis = XAxis::Whole {
            first: 0,
            count: 0,
            name: self.name,
        };
        let bottom = axis::Bottom {
            theme: self.theme,
            axis: &axis,
            across: 1,
            cursor: None,
        };
        let width = usize::from(plot.width);
        let place = |&(edge, label): &(f64, &str)| {
            Some(Place {
                cell: self.cell_of(edge, width)?,
                label: label.to_owned(),
                either_side: true,
            })
        };
        bottom.draw_at(
            plot,
            with_corner,
            self.edges.iter().filter_map(place).collect(),
            buf,
        );
        for (cell, x) in (plot.left()..plot.right()).enumerate() {
            if self.is_highlighted(cell, width) {
                buf[(x, plot.bottom())].set_style(self.theme.cursor);
            }
        }
    }
}

impl Widget for Histogram<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let plot = Self::plot_area(area);
        if plot.is_empty() {
            return;
        }
        let width = usize::from(plot.width);
        // The reference's label is above the bars.
        let head = u16::from(self.reference.is_some() && plot.height >= 4);
        let bars = (0..width).filter_map(|cell| self.bar(cell, width));
        let max = bars.map(|(count, _)| count).fold(0.0, f64::max);
        let max = if max > 1e-270 { max } else { 1.0 };
        let (scale, domain) = (self.scale(), Domain::new(0.0, max));
        let place = |count: f64| scale.to_unit(domain, count).unwrap_or(0.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0..=1 times a screen's height"
        )]
        let eighths = |count: f64| {
            let full = 8.0 * f64::from(plot.height - head);
            let own = (place(count) * full).round() as usize;
            own.max(usize::from(count > 0.0))
        };
        for (cell, x) in (plot.left()..plot.right()).enumerate() {
            let Some((count, pen)) = self.bar(cell, width) else {
                continue;
            };
            let lit = Pen {
                style: self.theme.accent,
                mark: '@',
            };
            let pen = if self.is_highlighted(cell, width) {
                lit
            } else {
                pen
            };
            self.column(x, plot, eighths(count), pen, buf);
        }
        self.reference(plot, buf);
        let with_left_axis = plot.x > area.x;
        if with_left_axis {
            let left = axis::Left {
                theme: self.theme,
                unit: self.unit,
                scale,
                domain,
            };
            let row_of = |count: f64| {
                let rows = eighths(count.max(0.0)).div_ceil(8).max(1);
                u16::try_from(usize::from(plot.height) - rows.min(plot.height.into())).ok()
            };
            left.draw(plot, row_of, buf);
        }
        if plot.bottom() < area.bottom() {
            self.bottom(plot, with_left_axis, buf);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::ColorLevel;
    use crate::tui::widget::testing::{ALL, LEVELS, any_area, any_value, check, drawn, text};
    use proptest::prelude::*;
    use ratatui::style::Modifier;

    const EDGES: [(f64, &str); 3] = [(0.0, "0"), (12.5, "0.5"), (25.0, "1")];

    /// A bell that helps on the left and hurts on the right, with one lone count.
    fn bell(theme: &Theme) -> Vec<Bin> {
        let bin = |place: u8| {
            let x = (f64::from(place) - 12.0) / 4.0;
            let (style, mark) = if place < 12 {
                (theme.help, '=')
            } else {
                (theme.hurt, '#')
            };
            let count = if place == 24 {
                1.0
            } else {
                (400.0 * (-x * x).exp()).round()
            };
            Bin {
                count,
                pen: Pen { style, mark },
            }
        };
        (0..25).map(bin).collect()
    }

    fn histogram<'a>(theme: &'a Theme, bins: &'a [Bin]) -> Histogram<'a> {
        Histogram {
            theme,
            bins,
            log: false,
            unit: "weights",
            edges: &EDGES,
            name: "helped",
            reference: Some((12.5, "50 %")),
            highlight: None,
        }
    }

    #[test]
    fn counts_and_a_reference_line() {
        let theme = Theme::new(ColorLevel::Ansi256, Glyphs::Braille);
        let bins = bell(&theme);
        let buf = drawn(histogram(&theme, &bins), 60, 12);
        assert_eq!(
            text(&buf),
            [
                " weights│                         │50 %",
                "     400┤                      ▃▃█│▃▃",
                "        │                      ███│██",
                "     300┤                    ▆▆███│██▆▆",
                "        │                    █████│████",
                "        │                  ▆▆█████│████▆▆",
                "     200┤                  ███████│██████",
                "        │                ▅▅███████│██████▅▅",
                "     100┤              ▁▁█████████│████████▁▁",
                "        │              ███████████│██████████",
                "       0┤    ▁▁▁▁▁▁▄▄█████████████│████████████▄▄▁▁▁▁▁▁  ▁▁",
                "        └┴0───────────────────────┴0.5────────────────────1┴",
            ]
        );
        assert_eq!(Some(buf[(31, 9)].fg), theme.help.fg);
        assert_eq!(Some(buf[(36, 9)].fg), theme.hurt.fg);
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let bins = bell(&theme);
        let log = Histogram {
            log: true,
            highlight: Some(22..24),
            ..histogram(&theme, &bins)
        };
        let buf = drawn(log, 60, 12);
        assert_eq!(
            text(&buf),
            [
                " weights|                         |50 %",
                "        |                  ..====#|####..",
                "        |                ..======#|######..",
                "     100+              ..========#|########..",
                "        |            ..==========#|##########..",
                "        |            ============#|############",
                "        |          ==============#|##############",
                "      10+        ================#|################",
                "        |      ..================#|################..",
                "        |    ..==================#|##################..  ..",
                "       0+    ====================#|##################@@  ##",
                "        +|0-----------------------|0.5--------------------1|",
            ]
        );
        let lit = |x| buf[(x, 11)].modifier.contains(Modifier::REVERSED);
        assert_eq!([52, 53, 56, 57].map(lit), [false, true, true, false]);
    }

    #[test]
    fn many_bins_are_added_up() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let pen = Pen {
            style: theme.neutral,
            mark: '#',
        };
        let bins: Vec<Bin> = (0..40u8)
            .map(|count| Bin {
                count: count.into(),
                pen,
            })
            .collect();
        let whole = histogram(&theme, &bins);
        let sums: f64 = (0..15)
            .filter_map(|cell| whole.bar(cell, 15))
            .map(|(sum, _)| sum)
            .sum();
        assert_eq!(sums.to_bits(), 780.0f64.to_bits());
        assert_eq!(whole.cell_of(40.0, 15), Some(14));
        assert_eq!(whole.cell_of(41.0, 15), None);
        assert_eq!(
            text(&drawn(whole, 15, 3)),
            ["    |50 % .. ##", "    |. ##.#####", "..##|##########",]
        );
    }

    #[test]
    fn a_single_count_is_visible_beside_a_million() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Blocks);
        let pen = Pen {
            style: theme.neutral,
            mark: '#',
        };
        let bins = [0.0, 1.0, 1e6].map(|count| Bin { count, pen });
        let bars = Histogram {
            reference: None,
            ..histogram(&theme, &bins)
        };
        assert_eq!(text(&drawn(bars, 3, 1)), [" ▁█"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_size_or_numbers_panic(
            counts in prop::collection::vec(any_value(), 0..200),
            area in any_area(),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            (reference, edge) in (any_value(), any_value()),
            highlight in (0usize..99, 0usize..200),
        ) {
            let theme = Theme::new(level, glyphs);
            let pen = Pen { style: theme.neutral, mark: '#' };
            let bins: Vec<Bin> = counts.into_iter().map(|count| Bin { count, pen }).collect();
            for log in [false, true] {
                let bars = Histogram {
                    log,
                    edges: &[(0.0, "0"), (edge, "e")],
                    reference: Some((reference, "here")),
                    highlight: Some(highlight.0..highlight.1),
                    ..histogram(&theme, &bins)
                };
                check(bars, area, glyphs, level);
            }
        }
    }
}

//! Signed images: a unit's incoming weights, or a convolution's kernels side by side.
//!
//! ```text
//!     ▾              ▾ ▸ column and row of the selected pixel; × in its middle if enlarged
//!    ▓▓▒▒░░  ''++    kernels are side by side with a gap between them
//!   ▸▒▒░░    ++##
//!    [0,1,2]  shows [0:2,0:3,0:3] of [64,3,3]
//! ```
//!
//! With Unicode and colours a cell shows two pixels, `▀` in the upper one's colour on the lower one's; otherwise a
//! pixel is two cells wide, or one if that does not fit. Pixels are enlarged by whole numbers to fill the area. If the
//! image does not fit, the part around the selected pixel is shown, and the last row gives its range in the index
//! notation of tensors: from the first to one past the last, counting from 0.

use ratatui::style::{Color, Modifier, Style};
use ratatui::{buffer::Buffer, layout::Rect, widgets::Widget};

use super::axis;
use super::tiles::{Layout, Pixel, Tiles};
use crate::analysis::scale::Scale;
use crate::tui::ramp::ink;
use crate::tui::theme::{ColorLevel, Glyphs, Theme};

/// Images of one size.
#[derive(Clone, Debug)]
pub struct ImageMap<'a, T> {
    pub theme: &'a Theme,
    /// The pixels, tiles × rows × columns; missing ones at the end stay blank.
    pub values: &'a [T],
    /// The number of images: 1 for a single image, the input channels for a kernel.
    pub tiles: usize,
    pub rows: usize,
    pub columns: usize,
    pub scale: Scale,
    /// The magnitude of full strength.
    pub max: f64,
    /// The index of the selected pixel in `values`.
    pub selected: Option<usize>,
}

impl<T: Copy + Into<f64>> ImageMap<'_, T> {
    /// Whether a cell shows a glyph rather than the colours of two pixels.
    fn glyphs(&self) -> bool {
        self.theme.colors == ColorLevel::None || self.theme.glyphs == Glyphs::Ascii
    }

    fn tiles(&self) -> Tiles {
        Tiles {
            count: self.tiles,
            rows: self.rows,
            columns: self.columns,
            glyphs: self.glyphs(),
        }
    }

    fn selected(&self) -> Option<Pixel> {
        self.tiles().at(self.selected?)
    }

    /// The cell and half cell of the view in the middle of the selected pixel, unless it lies before the view.
    fn middle(&self, layout: Layout) -> Option<(usize, usize)> {
        self.tiles().middle(layout, self.selected()?)
    }

    /// A pixel scaled to -1..=1 for the ramp; NaN if it is not finite, `None` if it is missing.
    fn unit(&self, pixel: Pixel) -> Option<f64> {
        let index = self.tiles().index(pixel)?;
        let value = (*self.values.get(index)?).into();
        Some(
            self.scale
                .to_signed_unit(self.max, value)
                .unwrap_or(f64::NAN),
        )
    }

    /// The glyph and style of a cell of the view.
    fn cell(&self, layout: Layout, x: usize, y: usize) -> Option<(char, Style)> {
        let [upper, lower] = [2 * y, 2 * y + 1].map(|y| self.tiles().pixel(layout, x, y));
        if self.glyphs() {
            let (symbol, style) = self.theme.signed_cell(self.unit(upper?)?);
            let chosen = upper == self.selected();
            let reverse = Modifier::REVERSED;
            return Some((
                symbol,
                if chosen {
                    style.add_modifier(reverse)
                } else {
                    style
                },
            ));
        }
        let color = |pixel: Option<Pixel>| self.theme.signed_color(self.unit(pixel?)?);
        match (color(upper), color(lower)) {
            (Some(color), Some(_)) if upper == lower => {
                let style = Style::new().bg(color).fg(ink(color));
                let middle = self.middle(layout).map(|(x, y)| (x, y / 2));
                Some((if middle == Some((x, y)) { '×' } else { ' ' }, style))
            }
            (Some(upper), Some(lower)) => Some(('▀', Style::new().fg(upper).bg(lower))),
            (Some(upper), None) => Some(('▀', Style::new().fg(upper))),
            (None, Some(lower)) => Some(('▄', Style::new().fg(lower))),
            (None, None) => None,
        }
    }

    /// Marks the selected pixel's column above and its row at the left.
    fn rulers(&self, area: Rect, view: Rect, layout: Layout, buf: &mut Buffer) {
        let Some((x, y)) = self.middle(layout) else {
            return;
        };
        let (lines, style) = (axis::lines(self.theme), self.theme.accent);
        let place = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        let (column, row) = (place(x), place(y / 2));
        if view.y > area.y && column < view.width {
            buf.set_string(view.x + column, area.y, lines.column, style);
        }
        if view.x > area.x && row < view.height {
            let mark = match (layout.high, y % 2) {
                (1, 0) => "▀",
                (1, _) => "▄",
                _ => lines.row,
            };
            buf.set_string(area.x, view.y + row, mark, style);
        }
    }

    /// The note `[12,5]  shows [2:18,0:28] of [28,28]`: the selected pixel, and the range in view; whether anything is
    /// cut.
    fn note(&self, view: Rect, layout: Layout) -> (String, bool) {
        // A single image has no tile index.
        let axes = |list: [String; 3]| list[usize::from(self.tiles == 1)..].join(",");
        let at = self.selected().map_or_else(String::new, |pixel| {
            let place = [pixel.tile, pixel.row, pixel.column];
            format!("[{}]", axes(place.map(|place| place.to_string())))
        });
        let (whole, tall) = self.tiles().extent(layout);
        if whole <= view.width.into() && tall <= usize::from(view.height) * 2 {
            return (at, false);
        }
        let cells = (0..usize::from(view.height) * 2)
            .flat_map(|y| (0..usize::from(view.width)).map(move |x| (x, y)));
        let mut ends: [Option<(usize, usize)>; 3] = [None; 3];
        for (x, y) in cells {
            let Some(pixel) = self.tiles().pixel(layout, x, y) else {
                continue;
            };
            for (end, place) in ends.iter_mut().zip([pixel.tile, pixel.row, pixel.column]) {
                let (least, most) = end.unwrap_or((place, place));
                *end = Some((least.min(place), most.max(place)));
            }
        }
        let range = |end: Option<(usize, usize)>| {
            let (from, to) = end.map_or((0, 0), |(least, most)| (least, most + 1));
            format!("{from}:{to}")
        };
        let shown = axes(ends.map(range));
        let all = axes([self.tiles, self.rows, self.columns].map(|size| size.to_string()));
        let whole = format!("{at}  shows [{shown}] of [{all}]");
        let short = format!("[{shown}] of [{all}]");
        let room = usize::from(view.width);
        let fits = |text: &String| text.trim_start().len() <= room;
        let text = [whole, short].into_iter().find(fits);
        let text = text.unwrap_or_else(|| format!("of [{all}]"));
        (text.trim_start().to_owned(), true)
    }
}

impl<T: Copy + Into<f64>> Widget for ImageMap<'_, T> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        if area.is_empty() || self.rows == 0 || self.columns == 0 || self.tiles == 0 {
            return;
        }
        let left = u16::from(area.width >= 4);
        let (top, bottom) = (u16::from(area.height >= 5), u16::from(area.height >= 3));
        let view = Rect {
            x: area.x + left,
            y: area.y + top,
            width: area.width - left,
            height: area.height - top - bottom,
        };
        let (width, height) = (view.width.into(), usize::from(view.height) * 2);
        let layout = self.tiles().layout(width, height, self.selected());
        for (y, row) in (view.top()..view.bottom()).enumerate() {
            for (x, column) in (view.left()..view.right()).enumerate() {
                if let Some((symbol, style)) = self.cell(layout, x, y) {
                    let cell = &mut buf[(column, row)];
                    cell.set_char(symbol).set_style(style);
                    if style.bg.is_none() {
                        cell.set_bg(Color::Reset);
                    }
                }
            }
        }
        self.rulers(area, view, layout, buf);
        if bottom > 0 {
            let (text, cut) = self.note(view, layout);
            let style = if cut {
                self.theme.warning
            } else {
                self.theme.dim
            };
            let room = usize::from(area.width);
            buf.set_stringn(area.x, area.bottom() - 1, text, room, style);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::widget::testing::{ALL, LEVELS, any_area, any_value, check, drawn, text};
    use proptest::prelude::*;

    /// A ring that helps around a spot that hurts.
    fn ring(size: i16) -> Vec<f32> {
        let value = |place: i16| {
            let (row, column) = (place / size, place % size);
            let [x, y] = [row, column].map(|at| f32::from(2 * at + 1 - size) / f32::from(size));
            let radius = x.hypot(y);
            (1.0 - 3.0 * radius) * (1.0 - radius).max(0.0)
        };
        (0..size * size).map(value).collect()
    }

    fn image<'a>(theme: &'a Theme, values: &'a [f32], size: usize) -> ImageMap<'a, f32> {
        ImageMap {
            theme,
            values,
            tiles: 1,
            rows: size,
            columns: size,
            scale: Scale::Linear,
            max: 0.4,
            selected: None,
        }
    }

    #[test]
    fn an_image_is_drawn_in_ascii() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let values = ring(10);
        let whole = ImageMap {
            selected: Some(23),
            ..image(&theme, &values, 10)
        };
        let buf = drawn(whole, 60, 12);
        assert_eq!(
            text(&buf),
            [
                "        v",
                "       __----__",
                "   __--========--__",
                ">  --====----====--",
                " __====--''''--====__",
                " --==--''####''--==--",
                " --==--''####''--==--",
                " __====--''''--====__",
                "   --====----====--",
                "   __--========--__",
                "       __----__",
                "[2,3]",
            ]
        );
        assert!(buf[(7, 3)].modifier.contains(Modifier::REVERSED));
    }

    #[test]
    fn images_that_do_not_fit_scroll_and_say_so() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Ascii);
        let values = ring(28);
        let whole = ImageMap {
            selected: Some(28 * 20 + 5),
            ..image(&theme, &values, 28)
        };
        assert_eq!(
            text(&drawn(whole, 60, 12)),
            [
                "      v",
                " _--====-__+######+__-====--_",
                " _--====--_'+####+'_--====--_",
                " __-=====-__'++++'__-=====-__",
                "  _--====--___''___--====--_",
                "  _--=====---____---=====--_",
                ">  _--======------======--_",
                "   _--==================--_",
                "    _--================--_",
                "     _---============---_",
                "      _----========----_",
                "[20,5]  shows [15:25,0:28] of [28,28]",
            ]
        );
    }

    #[test]
    fn kernels_stand_side_by_side() {
        let theme = Theme::new(ColorLevel::None, Glyphs::Braille);
        let values = ring(3).repeat(20);
        let kernels = ImageMap {
            tiles: 20,
            selected: Some(9 + 4),
            ..image(&theme, &values, 3)
        };
        assert_eq!(
            text(&drawn(kernels.clone(), 60, 12)),
            [
                "      ▾",
                " ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░",
                "▸▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓",
                " ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░ ░▓░",
                "",
                " ░▓░ ░▓░ ░▓░ ░▓░ ░▓░",
                " ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓ ▓╬▓",
                " ░▓░ ░▓░ ░▓░ ░▓░ ░▓░",
                "",
                "",
                "",
                "[1,1,1]",
            ]
        );
        assert_eq!(
            text(&drawn(kernels, 14, 6)),
            [
                "      ▾",
                " ░▓░ ░▓░ ░▓░",
                "▸▓╬▓ ▓╬▓ ▓╬▓",
                " ░▓░ ░▓░ ░▓░",
                "",
                "of [20,3,3]",
            ]
        );
    }

    #[test]
    fn two_pixels_share_a_cell_where_there_are_colours() {
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Blocks);
        let values = [0.4, -0.4, 0.0, f32::NAN];
        let color = |unit| theme.signed_color(unit).expect("true colour");
        let one = drawn(image(&theme, &values, 2), 2, 1);
        let look = |x| (one[(x, 0)].symbol(), one[(x, 0)].fg, one[(x, 0)].bg);
        assert_eq!(look(0), ("▀", color(1.0), color(0.0)));
        assert_eq!(look(1), ("▀", color(-1.0), color(f64::NAN)));
        // Enlarged four times: a pixel is four cells across and two down.
        let large = ImageMap {
            selected: Some(1),
            ..image(&theme, &values, 2)
        };
        let large = drawn(large, 9, 6);
        assert_eq!(text(&large), ["       ▾", "", "▸      ×", "", "", "[0,1]",]);
        assert_eq!(
            (large[(1, 1)].bg, large[(5, 2)].bg),
            (color(1.0), color(-1.0))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_size_or_numbers_panic(
            values in prop::collection::vec(any_value(), 0..200),
            (tiles, rows, columns) in (0usize..40, 0usize..40, 0usize..40),
            area in any_area(),
            glyphs in prop::sample::select(ALL.to_vec()),
            level in prop::sample::select(LEVELS.to_vec()),
            (max, linear) in (any_value(), any_value()),
            selected in prop::option::of(0usize..3000),
        ) {
            let theme = Theme::new(level, glyphs);
            for scale in [Scale::Linear, Scale::Log, Scale::SymLog { linear }] {
                for rows in [rows, usize::MAX] {
                    let image = ImageMap {
                        theme: &theme,
                        values: &values,
                        tiles,
                        rows,
                        columns,
                        scale,
                        max,
                        selected,
                    };
                    check(image, area, glyphs, level);
                }
            }
        }
    }
}

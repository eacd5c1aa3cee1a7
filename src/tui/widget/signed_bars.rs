//! Help and hurt as bars around a zero line: the sparkline of a layer's LCA.
//!
//! ```text
//!       ⣶⡀⣠                 three rows, braille: two columns of values a cell
//!  ⢀⡀ ⠒⠒⠿⠿⠿⠶⠤⠤ · ⠤⠤⠶⠶⣶      hurt is above the zero line, help below it,
//!           ⠉⠉⠁      ⠈⠉      a column may have both
//!
//!  ⠒⠛⠿⣶⠤⣤⠤ · ⠤⠒             one row: two dots up, two dots down
//!  ▀▀██▄▄▄ · ▄▀             blocks: ▀ hurt ▄ help █ both
//!  +#xx-=- . -+             ASCII: + hurt # strong hurt - help = strong help x both
//! ```
//!
//! The zero line itself is not drawn: a column of zeros is blank, a column without a value is a dim `·` (`.` in ASCII).
//! Position or glyph shows the sign, with or without colours. A column shows both of its extremes, and every non-zero
//! value has at least one dot.

use ratatui::{buffer::Buffer, layout::Rect, style::Modifier, widgets::Widget};

use super::canvas;
use crate::analysis::bins::Extent;
use crate::analysis::scale::{Domain, Scale};
use crate::tui::theme::{Glyphs, Theme};

/// Bars over any number of rows; most useful with one to six.
#[derive(Clone, Copy, Debug)]
pub struct SignedBars<'a> {
    pub theme: &'a Theme,
    /// One entry for each of [`SignedBars::columns`]: the smallest value is drawn downwards if negative, the largest
    /// upwards if positive. `None` is a gap.
    pub extents: &'a [Option<Extent>],
    /// Maps magnitudes to lengths, alike upwards and downwards.
    pub scale: Scale,
    /// The magnitude of a full bar; longer ones are cut. Rows with the same `max` are comparable.
    pub max: f64,
    /// The cursor's column, shown in reverse video.
    pub cursor: Option<usize>,
}

/// Dots of one column above and below the zero line.
#[derive(Clone, Copy, Default)]
struct Bar {
    hurt: usize,
    help: usize,
}

impl SignedBars<'_> {
    /// The number of columns of values that fit into `width` cells.
    #[must_use]
    pub fn columns(width: u16, glyphs: Glyphs) -> usize {
        usize::from(width) * across(glyphs)
    }

    /// The number of dots for a magnitude, of which `half` make a full bar.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place of 0..=1 times a few rows of dots"
    )]
    fn dots(&self, magnitude: f32, half: usize) -> usize {
        let domain = Domain::new(0.0, self.max);
        let place = self.scale.to_unit(domain, f64::from(magnitude));
        match place.filter(|_| magnitude > 0.0) {
            Some(place) => ((place * half as f64).round() as usize).clamp(1, half.max(1)),
            None => 0,
        }
    }

    /// The symbol of the cell in `row` of `rows` with these columns' bars.
    fn symbol(&self, bars: &[Bar], row: usize, rows: usize) -> char {
        let down = down(self.theme.glyphs);
        let zero = rows * down / 2;
        let mut bits = 0;
        // In ASCII: dots of hurt and of help in this cell.
        let (mut hurt, mut help) = (0, 0);
        for (x, bar) in bars.iter().enumerate() {
            for y in 0..down {
                let dot = row * down + y;
                let stands = dot < zero && zero - dot <= bar.hurt;
                let hangs = dot >= zero && dot - zero < bar.help;
                hurt += usize::from(stands);
                help += usize::from(hangs);
                if stands || hangs {
                    bits |= canvas::bit(self.theme.glyphs, x, y);
                }
            }
        }
        // The cell with the zero line has half of its dots on either side.
        let shared = row * down < zero && zero < (row + 1) * down;
        let strong = if shared { down / 4 } else { down / 2 };
        match self.theme.glyphs {
            Glyphs::Braille | Glyphs::Blocks => canvas::glyph(self.theme.glyphs, bits),
            Glyphs::Ascii => match (hurt, help) {
                (0, 0) => ' ',
                (0, help) if help > strong => '=',
                (0, _) => '-',
                (hurt, 0) if hurt > strong => '#',
                (_, 0) => '+',
                _ => 'x',
            },
        }
    }
}

impl Widget for SignedBars<'_> {
    fn render(self, area: Rect, buf: &mut Buffer) {
        let area = area.intersection(buf.area);
        let (across, down) = (across(self.theme.glyphs), down(self.theme.glyphs));
        let rows = usize::from(area.height);
        let half = rows * down / 2;
        let bar = |extent: &Option<Extent>| {
            extent.map_or(Bar::default(), |extent| Bar {
                hurt: self.dots(extent.max, half),
                help: self.dots(-extent.min, half),
            })
        };
        for (x, chunk) in area.columns().zip(self.extents.chunks(across)) {
            let bars: Vec<Bar> = chunk.iter().map(bar).collect();
            // Two columns may share a cell: a gap beside a bar is not marked, a gap beside a zero is.
            let gap = chunk.iter().any(Option::is_none)
                && bars.iter().all(|bar| bar.hurt + bar.help == 0);
            let values = || chunk.iter().flatten();
            let hurt = values().map(|extent| extent.max).fold(0.0, f32::max);
            let help = values().map(|extent| -extent.min).fold(0.0, f32::max);
            let first = x.x.saturating_sub(area.x);
            let cursor = self
                .cursor
                .is_some_and(|column| column / across == usize::from(first));
            for (row, position) in x.positions().enumerate() {
                let Some(cell) = buf.cell_mut(position) else {
                    continue;
                };
                let above = row * down < half;
                let below = (row + 1) * down > half;
                if gap && row == (rows - 1) / 2 {
                    let ascii = self.theme.glyphs == Glyphs::Ascii;
                    let dot = if ascii { '.' } else { '·' };
                    cell.set_char(dot).set_style(self.theme.dim);
                } else {
                    let symbol = self.symbol(&bars, row, rows);
                    let style = match (above, below) {
                        (true, true) if help > hurt => self.theme.help,
                        (true, _) => self.theme.hurt,
                        _ => self.theme.help,
                    };
                    cell.set_char(symbol);
                    if symbol != ' ' {
                        cell.set_style(style);
                    }
                }
                if cursor && cell.modifier.contains(Modifier::REVERSED) {
                    // In a selected row, the cursor is the column that is not reversed.
                    cell.modifier.remove(Modifier::REVERSED);
                } else if cursor {
                    cell.set_style(self.theme.cursor);
                }
            }
        }
    }
}

/// Columns of values in a cell.
fn across(glyphs: Glyphs) -> usize {
    glyphs.dots_per_cell().0.into()
}

/// Units of length in a cell: its dots; in ASCII four, two for the strength on either side.
fn down(glyphs: Glyphs) -> usize {
    match glyphs {
        Glyphs::Ascii => 4,
        Glyphs::Braille | Glyphs::Blocks => glyphs.dots_per_cell().1.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::theme::ColorLevel;
    use proptest::prelude::*;
    use ratatui::buffer::Cell;
    use ratatui::style::{Color, Style};

    #[expect(clippy::unnecessary_wraps, reason = "columns are options")]
    fn extent(min: f32, max: f32) -> Option<Extent> {
        Some(Extent { min, max })
    }

    /// A gap, zero, and weak and strong help, hurt and both, with a maximum of 1.
    fn sample() -> [Option<Extent>; 8] {
        [
            None,
            extent(0.0, 0.0),
            extent(-1e-9, 0.0),
            extent(-1.0, -0.5),
            extent(0.1, 0.2),
            extent(0.5, 1.0),
            extent(-0.9, 0.1),
            extent(-0.1, 0.9),
        ]
    }

    fn drawn(
        level: ColorLevel,
        glyphs: Glyphs,
        extents: &[Option<Extent>],
        (width, height): (u16, u16),
        cursor: Option<usize>,
    ) -> Buffer {
        let area = Rect::new(0, 0, width, height);
        let mut buf = Buffer::empty(area);
        let theme = Theme::new(level, glyphs);
        let bars = SignedBars {
            theme: &theme,
            extents,
            scale: Scale::Linear,
            max: 1.0,
            cursor,
        };
        bars.render(area, &mut buf);
        buf
    }

    fn text(buf: &Buffer) -> Vec<String> {
        let row = |cells: &[Cell]| cells.iter().map(Cell::symbol).collect();
        let rows = buf.content.chunks(usize::from(buf.area.width.max(1)));
        rows.map(row).collect()
    }

    #[test]
    fn one_row_shows_the_sign_without_colours() {
        let row = |glyphs, width| {
            let buf = drawn(ColorLevel::None, glyphs, &sample(), (width, 1), None);
            for cell in &buf.content {
                assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset));
            }
            text(&buf).remove(0)
        };
        assert_eq!(row(Glyphs::Ascii, 8), ". -=+#xx");
        assert_eq!(row(Glyphs::Blocks, 8), "· ▄▄▀▀██");
        let pairs: Vec<_> = sample()
            .into_iter()
            .flat_map(|extent| [extent, extent])
            .collect();
        let buf = drawn(ColorLevel::None, Glyphs::Braille, &pairs, (8, 1), None);
        assert_eq!(text(&buf), ["· ⠤⣤⠒⠛⣶⠿"]);
        let beside = [None, extent(0.0, 0.0), None, extent(0.0, 1.0)];
        let buf = drawn(ColorLevel::None, Glyphs::Braille, &beside, (2, 1), None);
        assert_eq!(text(&buf), ["·⠘"]);
    }

    #[test]
    fn more_rows_show_more_of_the_length() {
        let three = |glyphs| text(&drawn(ColorLevel::None, glyphs, &sample(), (8, 3), None));
        assert_eq!(three(Glyphs::Blocks), ["     █ █", "· ▄▄▀▀██", "   █  █ "]);
        assert_eq!(three(Glyphs::Ascii), ["     # #", ". -=+#xx", "   =  = "]);
        let two = text(&drawn(
            ColorLevel::None,
            Glyphs::Ascii,
            &sample(),
            (8, 2),
            None,
        ));
        assert_eq!(two, [".   +#+#", "  -=  =-"]);
    }

    #[test]
    fn colour_is_that_of_the_larger_side() {
        let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Blocks);
        let buf = drawn(
            ColorLevel::TrueColor,
            Glyphs::Blocks,
            &sample(),
            (8, 1),
            None,
        );
        let colors: Vec<Option<Color>> = buf.content.iter().map(|cell| Some(cell.fg)).collect();
        let (help, hurt, none) = (theme.help.fg, theme.hurt.fg, Some(Color::Reset));
        assert_eq!(
            colors,
            [theme.dim.fg, none, help, help, hurt, hurt, help, hurt]
        );
    }

    #[test]
    fn the_cursor_is_visible_in_a_selected_row() {
        let buf = drawn(
            ColorLevel::None,
            Glyphs::Braille,
            &sample(),
            (4, 1),
            Some(5),
        );
        let reversed = |buf: &Buffer| -> Vec<bool> {
            let cells = buf.content.iter();
            cells
                .map(|cell| cell.modifier.contains(Modifier::REVERSED))
                .collect()
        };
        assert_eq!(reversed(&buf), [false, false, true, false]);

        let theme = Theme::new(ColorLevel::None, Glyphs::Braille);
        let area = Rect::new(0, 0, 4, 1);
        let mut buf = Buffer::empty(area);
        buf.set_style(area, Style::new().add_modifier(Modifier::REVERSED));
        let bars = SignedBars {
            theme: &theme,
            extents: &sample(),
            scale: Scale::SymLog { linear: 1e-3 },
            max: 1.0,
            cursor: Some(5),
        };
        bars.render(area, &mut buf);
        assert_eq!(reversed(&buf), [true, true, false, true]);
    }

    proptest! {
        #[test]
        fn no_input_panics_and_no_value_is_hidden(
            extents in prop::collection::vec(
                prop::option::of((prop::num::f32::ANY, prop::num::f32::ANY)), 0..20),
            (width, height) in (0u16..12, 0u16..7),
            (x, y) in (0u16..9, 0u16..9),
            glyphs in prop::sample::select(vec![Glyphs::Braille, Glyphs::Blocks, Glyphs::Ascii]),
            max in prop::num::f64::ANY,
            linear in prop::num::f64::ANY,
            cursor in prop::option::of(0usize..30),
        ) {
            let extents: Vec<Option<Extent>> =
                extents.into_iter().map(|e| e.map(|(min, max)| Extent { min, max })).collect();
            let theme = Theme::new(ColorLevel::Ansi256, glyphs);
            for scale in [Scale::Linear, Scale::Log, Scale::SymLog { linear }] {
                let bars = SignedBars { theme: &theme, extents: &extents, scale, max, cursor };
                let mut buf = Buffer::empty(Rect::new(3, 3, 8, 4));
                bars.render(Rect::new(x, y, width, height), &mut buf);

                let area = Rect::new(0, 0, width, height);
                let mut buf = Buffer::empty(area);
                bars.render(area, &mut buf);
                let across = across(glyphs);
                for (column, extent) in extents.iter().enumerate() {
                    let x = u16::try_from(column / across).expect("few columns");
                    let seen = (0..height).any(|y| {
                        x < width && !["·", ".", " "].contains(&buf[(x, y)].symbol())
                    });
                    let some = extent.is_some_and(|e| e.min < 0.0 || e.max > 0.0);
                    prop_assert!(seen || !some || x >= width || height == 0);
                }
            }
        }
    }
}

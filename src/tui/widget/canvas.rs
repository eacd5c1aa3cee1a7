//! A canvas of dots within cells, on which curves are drawn.
//!
//! ```text
//! braille  2×4      blocks  1×2      ascii  1×1
//!  ⠁ ⠈                ▀                each pen has
//!  ⠂ ⠐                ▄                its own mark:
//!  ⠄ ⠠                █ both           * o + x
//!  ⡀ ⢀
//! ```
//!
//! A cell has the style of the last dot set in it. With half blocks and colours, the upper and the lower dot may
//! differ: one colour becomes the cell's background.

use ratatui::{buffer::Buffer, layout::Rect, style::Style};

use crate::tui::theme::Glyphs;

/// The style and the mark of a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pen {
    pub style: Style,
    /// The dot in ASCII, where curves have no other shape to distinguish them.
    pub mark: char,
}

/// The dots of one cell and their look.
#[derive(Clone, Copy, Default)]
struct Dots {
    bits: u8,
    /// With blocks, the styles of the upper and the lower half; otherwise both are the last pen's.
    styles: [Style; 2],
    mark: char,
}

/// Dots over an area of cells; row 0 is at the top.
pub struct Canvas {
    area: Rect,
    glyphs: Glyphs,
    cells: Vec<Dots>,
}

impl Canvas {
    /// Creates an empty canvas over `area`.
    #[must_use]
    pub fn new(area: Rect, glyphs: Glyphs) -> Self {
        let size = usize::from(area.width) * usize::from(area.height);
        Self {
            area,
            glyphs,
            cells: vec![Dots::default(); size],
        }
    }

    /// The number of columns and rows of dots.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let (across, down) = dots_per_cell(self.glyphs);
        (
            usize::from(self.area.width) * across,
            usize::from(self.area.height) * down,
        )
    }

    /// Sets the dot in column `x`, row `y`; does nothing outside the canvas.
    pub fn set(&mut self, x: usize, y: usize, pen: Pen) {
        let (width, height) = self.size();
        if x >= width || y >= height {
            return;
        }
        let (across, down) = dots_per_cell(self.glyphs);
        let cell = y / down * usize::from(self.area.width) + x / across;
        let dots = &mut self.cells[cell];
        dots.bits |= bit(self.glyphs, x % across, y % down);
        dots.mark = pen.mark;
        match self.glyphs {
            Glyphs::Blocks => dots.styles[y % 2] = pen.style,
            Glyphs::Braille | Glyphs::Ascii => dots.styles = [pen.style; 2],
        }
    }

    /// Sets the dots of column `x` from row `top` to row `bottom`, both included.
    pub fn set_column(&mut self, x: usize, top: usize, bottom: usize, pen: Pen) {
        for y in top..=bottom.min(self.size().1) {
            self.set(x, y, pen);
        }
    }

    /// Lays `line` over this canvas: a cell in which it has dots keeps only the dots of `outline` beside them, so that
    /// both the line within a band and the band's ends stay visible. All three have the same size.
    pub fn lay(&mut self, line: &Self, outline: &Self) {
        for ((cell, line), outline) in self.cells.iter_mut().zip(&line.cells).zip(&outline.cells) {
            if line.bits == 0 {
                continue;
            }
            let mut merged = *line;
            merged.bits |= outline.bits;
            if self.glyphs == Glyphs::Blocks {
                for half in 0..2 {
                    if line.bits & bit(self.glyphs, 0, half) == 0 {
                        merged.styles[half] = outline.styles[half];
                    }
                }
            }
            *cell = merged;
        }
    }

    /// Whether no dot is set in the cell at `column`, `row` of the area.
    #[must_use]
    pub fn is_blank(&self, column: u16, row: u16) -> bool {
        let cell = usize::from(row) * usize::from(self.area.width) + usize::from(column);
        column >= self.area.width || self.cells.get(cell).is_none_or(|dots| dots.bits == 0)
    }

    /// Draws the cells that have dots; the others stay as they are.
    pub fn draw(&self, buf: &mut Buffer) {
        for (position, dots) in self.area.positions().zip(&self.cells) {
            if let Some(cell) = buf.cell_mut(position).filter(|_| dots.bits != 0) {
                let (symbol, style) = dots.look(self.glyphs);
                cell.set_char(symbol).set_style(style);
            }
        }
    }
}

impl Dots {
    fn look(self, glyphs: Glyphs) -> (char, Style) {
        let [upper, lower] = self.styles;
        match (glyphs, self.bits) {
            (Glyphs::Ascii, _) => (self.mark, upper),
            (Glyphs::Blocks, 1) => ('▀', upper),
            (Glyphs::Blocks, 2) => ('▄', lower),
            (Glyphs::Blocks, _) if upper == lower => ('█', upper),
            // The terminal's own text colour cannot be a background, so use the other colour.
            (Glyphs::Blocks, _) => match (upper.fg, lower.fg) {
                (_, Some(color)) => ('▀', upper.bg(color)),
                (Some(color), None) => ('▄', lower.bg(color)),
                (None, None) => ('█', lower),
            },
            (Glyphs::Braille, bits) => (glyph(glyphs, bits), upper),
        }
    }
}

/// The bit of a dot in a cell, as used by [`glyph`].
pub(super) fn bit(glyphs: Glyphs, x: usize, y: usize) -> u8 {
    // Unicode numbers the dots of braille in this order.
    const BRAILLE: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];
    match glyphs {
        Glyphs::Braille => BRAILLE[y % 4][x % 2],
        Glyphs::Blocks => [1, 2][y % 2],
        Glyphs::Ascii => 1,
    }
}

/// The character with these dots; a blank for none.
pub(super) fn glyph(glyphs: Glyphs, bits: u8) -> char {
    match (glyphs, bits) {
        (_, 0) => ' ',
        (Glyphs::Braille, bits) => char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' '),
        (Glyphs::Blocks, bits) => [' ', '▀', '▄', '█'][usize::from(bits & 3)],
        (Glyphs::Ascii, _) => '*',
    }
}

fn dots_per_cell(glyphs: Glyphs) -> (usize, usize) {
    let (across, down) = glyphs.dots_per_cell();
    (across.into(), down.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui::style::Color;

    fn pen(color: Color, mark: char) -> Pen {
        Pen {
            style: Style::new().fg(color),
            mark,
        }
    }

    fn drawn(glyphs: Glyphs, dots: &[(usize, usize, Pen)]) -> Buffer {
        let area = Rect::new(0, 0, 2, 1);
        let mut canvas = Canvas::new(area, glyphs);
        for &(x, y, pen) in dots {
            canvas.set(x, y, pen);
        }
        let mut buf = Buffer::empty(area);
        canvas.draw(&mut buf);
        buf
    }

    #[test]
    fn braille_dots_are_where_they_are_set() {
        let blue = pen(Color::Blue, '*');
        for (x, y, symbol) in [
            (0, 0, "⠁"),
            (1, 0, "⠈"),
            (0, 2, "⠄"),
            (0, 3, "⡀"),
            (1, 3, "⢀"),
        ] {
            assert_eq!(
                drawn(Glyphs::Braille, &[(x, y, blue)])[(0, 0)].symbol(),
                symbol
            );
        }
        let last = drawn(
            Glyphs::Braille,
            &[(2, 0, blue), (3, 3, pen(Color::Red, 'o'))],
        );
        assert_eq!((last[(1, 0)].symbol(), last[(1, 0)].fg), ("⢁", Color::Red));
        assert_eq!(last[(0, 0)].symbol(), " ");
    }

    #[test]
    fn halves_of_a_block_keep_their_colours() {
        let (blue, red) = (pen(Color::Blue, '*'), pen(Color::Red, 'o'));
        let plain = Pen {
            style: Style::new().bold(),
            mark: '.',
        };
        let look = |upper, lower| {
            let buf = drawn(Glyphs::Blocks, &[(0, 0, upper), (0, 1, lower)]);
            let cell = &buf[(0, 0)];
            (cell.symbol().to_owned(), cell.fg, cell.bg)
        };
        assert_eq!(look(blue, red), ("▀".to_owned(), Color::Blue, Color::Red));
        assert_eq!(
            look(blue, blue),
            ("█".to_owned(), Color::Blue, Color::Reset)
        );
        assert_eq!(
            look(blue, plain),
            ("▄".to_owned(), Color::Reset, Color::Blue)
        );
        assert_eq!(look(plain, red), ("▀".to_owned(), Color::Reset, Color::Red));
    }

    #[test]
    fn a_line_is_seen_in_a_band_whose_ends_stay() {
        let (band, line) = (pen(Color::Blue, ':'), pen(Color::Red, '*'));
        for (glyphs, symbol, fg) in [
            (Glyphs::Braille, "⠕", Color::Red),
            (Glyphs::Blocks, "▀", Color::Red),
            (Glyphs::Ascii, "*", Color::Red),
        ] {
            let area = Rect::new(0, 0, 1, 1);
            let [mut all, mut over, mut ends] = [(); 3].map(|()| Canvas::new(area, glyphs));
            all.set_column(0, 0, 3, band);
            all.set_column(1, 0, 3, band);
            ends.set(0, 2, band);
            over.set(0, 0, line);
            over.set(1, 1, line);
            all.lay(&over, &ends);
            let mut buf = Buffer::empty(area);
            all.draw(&mut buf);
            assert_eq!(
                (buf[(0, 0)].symbol(), buf[(0, 0)].fg),
                (symbol, fg),
                "{glyphs:?}"
            );
        }
    }

    #[test]
    fn ascii_shows_the_last_mark() {
        let buf = drawn(
            Glyphs::Ascii,
            &[(0, 0, pen(Color::Blue, '*')), (0, 0, pen(Color::Red, 'o'))],
        );
        assert_eq!((buf[(0, 0)].symbol(), buf[(0, 0)].fg), ("o", Color::Red));
    }

    proptest! {
        #[test]
        fn no_position_panics(
            (width, height) in (0u16..5, 0u16..5),
            (x, y) in (0u16..9, 0u16..9),
            dots in prop::collection::vec((any::<usize>(), 0usize..30, 0usize..30), 0..9),
            glyphs in prop::sample::select(vec![Glyphs::Braille, Glyphs::Blocks, Glyphs::Ascii]),
        ) {
            let mut canvas = Canvas::new(Rect::new(x, y, width, height), glyphs);
            for (far, x, y) in dots {
                canvas.set(far, y, pen(Color::Blue, '*'));
                canvas.set_column(x, y, far, pen(Color::Red, 'o'));
                let _ = canvas.is_blank(u16::MAX, 3);
            }
            canvas.draw(&mut Buffer::empty(Rect::new(2, 2, 4, 4)));
        }
    }
}

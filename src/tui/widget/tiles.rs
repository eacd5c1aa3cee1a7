//! The positions of pixels of images side by side: the geometry of [`ImageMap`](super::ImageMap).
//!
//! ```text
//! tile 0  tile 1  tile 2      as many across as fit, then the next row of them;
//! tile 3  tile 4              a gap of a cell across, and of half a cell or one down
//! ```

/// The largest enlargement: a larger one would show no more.
const LARGEST: usize = 8;

/// Images of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiles {
    pub count: usize,
    pub rows: usize,
    pub columns: usize,
    /// Whether a pixel is a glyph, which takes both halves of its cell.
    pub glyphs: bool,
}

/// A pixel by tile, row and column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pixel {
    pub tile: usize,
    pub row: usize,
    pub column: usize,
}

/// The positions of pixels, in cells across and in half cells down, and the corner in view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Size of a pixel.
    pub wide: usize,
    pub high: usize,
    /// Half cells between tiles.
    gap: usize,
    /// The number of tiles side by side.
    across: usize,
    /// The first cell and half cell in view.
    x: usize,
    y: usize,
}

impl Tiles {
    /// The possible sizes of a pixel, largest first.
    fn sizes(self) -> Vec<(usize, usize)> {
        if self.glyphs {
            let doubled = (1..=LARGEST / 2).rev().map(|size| (2 * size, 2 * size));
            doubled.chain([(1, 2)]).collect()
        } else {
            (1..=LARGEST).rev().map(|size| (size, size)).collect()
        }
    }

    /// The size of the whole image in cells and half cells.
    pub fn extent(self, layout: Layout) -> (usize, usize) {
        let down = self.count.div_ceil(layout.across.max(1));
        let along = |tiles: usize, pixels: usize, size: usize, gap: usize| {
            let tile = pixels.saturating_mul(size).saturating_add(gap);
            tiles.saturating_mul(tile).saturating_sub(gap)
        };
        (
            along(layout.across, self.columns, layout.wide, 1),
            along(down, self.rows, layout.high, layout.gap),
        )
    }

    /// The layout with the largest pixels that fit in this many cells and half cells, or else with the smallest,
    /// scrolled to the selected one.
    pub fn layout(self, width: usize, height: usize, selected: Option<Pixel>) -> Layout {
        let mut layout = Layout {
            wide: 1,
            high: 1,
            gap: if self.glyphs { 2 } else { 1 },
            across: 1,
            x: 0,
            y: 0,
        };
        for (wide, high) in self.sizes() {
            (layout.wide, layout.high) = (wide, high);
            let tile = self.columns.saturating_mul(wide).saturating_add(1);
            layout.across = ((width + 1) / tile).clamp(1, self.count.max(1));
            let own = self.extent(layout);
            if own.0 <= width && own.1 <= height {
                break;
            }
        }
        let (whole, tall) = self.extent(layout);
        if let Some(pixel) = selected.filter(|_| whole > width || tall > height) {
            let (x, y) = self.corner(layout, pixel);
            let around = |at: usize, all: usize, view: usize| {
                // An even number: a glyph takes both halves of its cell.
                at.saturating_sub(view / 4 * 2)
                    .min(all.saturating_sub(view))
            };
            layout.x = around(x, whole, width);
            layout.y = around(y, tall, height);
        }
        layout
    }

    /// The pixel at an index of the values.
    pub fn at(self, index: usize) -> Option<Pixel> {
        let size = self.rows.checked_mul(self.columns)?;
        let pixel = Pixel {
            tile: index.checked_div(size)?,
            row: index % size / self.columns,
            column: index % self.columns,
        };
        (pixel.tile < self.count).then_some(pixel)
    }

    /// The index of a pixel among the values.
    pub fn index(self, pixel: Pixel) -> Option<usize> {
        let row = pixel.tile.checked_mul(self.rows)?.checked_add(pixel.row)?;
        row.checked_mul(self.columns)?.checked_add(pixel.column)
    }

    /// The cell and half cell of a pixel's upper left corner, before scrolling.
    fn corner(self, layout: Layout, pixel: Pixel) -> (usize, usize) {
        let (across, down) = (pixel.tile % layout.across, pixel.tile / layout.across);
        let along = |tiles: usize, pixels: usize, size: usize, gap: usize, own: usize| {
            let tile = pixels.saturating_mul(size).saturating_add(gap);
            tiles
                .saturating_mul(tile)
                .saturating_add(own.saturating_mul(size))
        };
        (
            along(across, self.columns, layout.wide, 1, pixel.column),
            along(down, self.rows, layout.high, layout.gap, pixel.row),
        )
    }

    /// The cell and half cell of the view in the middle of a pixel, unless it lies before the view.
    pub fn middle(self, layout: Layout, pixel: Pixel) -> Option<(usize, usize)> {
        let (x, y) = self.corner(layout, pixel);
        let x = x.saturating_add(layout.wide / 2).checked_sub(layout.x)?;
        let y = y.saturating_add(layout.high / 2).checked_sub(layout.y)?;
        Some((x, y))
    }

    /// The pixel at a cell and half cell of the view.
    pub fn pixel(self, layout: Layout, x: usize, y: usize) -> Option<Pixel> {
        let (x, y) = (layout.x.checked_add(x)?, layout.y.checked_add(y)?);
        let wide = self.columns.checked_mul(layout.wide)?.checked_add(1)?;
        let high = self
            .rows
            .checked_mul(layout.high)?
            .checked_add(layout.gap)?;
        let pixel = Pixel {
            tile: (y / high)
                .checked_mul(layout.across)?
                .checked_add(x / wide)?,
            row: y % high / layout.high,
            column: x % wide / layout.wide,
        };
        let inside = x / wide < layout.across
            && pixel.tile < self.count
            && pixel.row < self.rows
            && pixel.column < self.columns;
        inside.then_some(pixel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pixels_fill_the_room_by_whole_numbers() {
        let size = |tiles, glyphs, width, height| {
            let all = Tiles {
                count: tiles,
                rows: 3,
                columns: 3,
                glyphs,
            };
            let Layout {
                wide, high, across, ..
            } = all.layout(width, height, None);
            (wide, high, across)
        };
        assert_eq!(size(1, false, 12, 12), (4, 4, 1));
        assert_eq!(size(1, false, 100, 100), (8, 8, 1));
        assert_eq!(size(1, true, 13, 13), (4, 4, 1));
        assert_eq!(size(1, true, 5, 6), (1, 2, 1));
        assert_eq!(size(4, false, 15, 7), (1, 1, 4), "a gap of a cell between");
        assert_eq!(size(4, false, 14, 7), (1, 1, 3), "two rows of them");
        assert_eq!(size(4, false, 14, 3), (1, 1, 3), "too many: the smallest");
    }

    proptest! {
        #[test]
        fn the_selected_pixel_is_in_view(
            (tiles, rows, columns) in (1usize..20, 1usize..40, 1usize..40),
            (width, height) in (1usize..60, 1usize..30),
            glyphs in any::<bool>(),
            place in any::<prop::sample::Index>(),
        ) {
            let all = Tiles { count: tiles, rows, columns, glyphs };
            let index = place.index(tiles * rows * columns);
            let selected = all.at(index);
            prop_assert_eq!(selected.and_then(|pixel| all.index(pixel)), Some(index));
            let layout = all.layout(width, 2 * height, selected);
            let mut halves = (0..2 * height).flat_map(|y| (0..width).map(move |x| (x, y)));
            let seen = halves.any(|(x, y)| all.pixel(layout, x, y) == selected);
            prop_assert!(seen);
        }
    }
}

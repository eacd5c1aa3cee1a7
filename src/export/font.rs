//! The charts' font: text widths and letter outlines.
//!
//! It is a subset of `DejaVu` Sans (`assets/fonts`, with its licence): Latin, Greek, Cyrillic, arrows and mathematical
//! signs. Any other character is a box in a PNG; an SVG is displayed in the viewer's font.

use ab_glyph::{Font as _, FontRef, InvalidFont, OutlineCurve};

const DATA: &[u8] = include_bytes!("../../assets/fonts/DejaVuSans-subset.ttf");

/// Font families that an SVG requests: this one, and others with similar widths.
pub const FAMILIES: &str = "DejaVu Sans, Verdana, sans-serif";

/// The parsed font.
pub struct Font(FontRef<'static>);

/// A positioned letter, in pixels, y downwards.
pub struct Letter {
    pub curves: Vec<OutlineCurve>,
    /// Position of its origin.
    pub x: f64,
    /// Pixels per unit of the curves, whose y points upwards.
    pub scale: f64,
}

impl Font {
    /// # Errors
    /// The font is damaged, that is, the build is broken.
    pub fn read() -> Result<Self, InvalidFont> {
        FontRef::try_from_slice(DATA).map(Self)
    }

    /// Returns the width of a line of text in pixels, without kerning.
    #[must_use]
    pub fn width(&self, text: &str, size: f64) -> f64 {
        let advances = text.chars().map(|c| self.advance(c));
        advances.sum::<f64>() * self.scale(size)
    }

    /// Shortens a text to the width `room`, with `…` in place of what is cut off.
    #[must_use]
    pub fn fit(&self, text: &str, size: f64, room: f64) -> String {
        if self.width(text, size) <= room {
            return text.to_owned();
        }
        let mut kept = String::new();
        let mut width = self.width("…", size);
        for c in text.chars() {
            width += self.advance(c) * self.scale(size);
            if width > room {
                break;
            }
            kept.push(c);
        }
        kept + "…"
    }

    /// Lays out the letters of a line that starts at 0.
    pub fn letters(&self, text: &str, size: f64) -> impl Iterator<Item = Letter> {
        let scale = self.scale(size);
        let mut x = 0.0;
        text.chars().map(move |c| {
            let outline = self.0.outline(self.0.glyph_id(c));
            let letter = Letter {
                curves: outline.map_or_else(Vec::new, |outline| outline.curves),
                x,
                scale,
            };
            x += self.advance(c) * scale;
            letter
        })
    }

    /// Advance width of a character, in the font's units.
    fn advance(&self, c: char) -> f64 {
        f64::from(self.0.h_advance_unscaled(self.0.glyph_id(c)))
    }

    /// Pixels per font unit.
    fn scale(&self, size: f64) -> f64 {
        size / f64::from(self.0.units_per_em().unwrap_or(1000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        let font = Font::read().unwrap();
        // From the font's table of widths (hmtx): 2048 units per em, M 1767, i 569.
        assert!((font.width("M", 2048.0) - 1767.0).abs() < 1e-9);
        assert!((font.width("iM", 1024.0) - 1168.0).abs() < 1e-9);
        assert_eq!(font.width("", 12.0), 0.0);
        let letters: Vec<Letter> = font.letters("i M", 2048.0).collect();
        assert!(letters[0].curves.len() > 4 && letters[1].curves.is_empty());
        assert!(letters[2].x > letters[1].x && letters[1].x > 568.0);
        assert!("→≤Σθ−…Δ".chars().all(|c| font.0.glyph_id(c).0 != 0));
    }

    #[test]
    fn text_that_does_not_fit_is_cut() {
        let font = Font::read().unwrap();
        let room = font.width("block1.c", 12.0);
        assert_eq!(font.fit("block1.c", 12.0, room), "block1.c");
        let cut = font.fit("block1.conv2", 12.0, room);
        assert!(cut.ends_with('…') && cut.starts_with("block"), "{cut}");
        assert!(font.width(&cut, 12.0) <= room);
        assert_eq!(font.fit("block", 12.0, 0.0), "…");
    }
}

//! Drawings as lists of shapes, which both [`svg`](super::svg) and [`png`](super::png) can write.
//!
//! Lengths are in pixels of an SVG at its natural size, y downwards.

use super::color::Rgb;

/// A point of the drawing.
pub type Point = (f64, f64);

/// A rectangle of the drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    #[must_use]
    pub fn right(self) -> f64 {
        self.x + self.width
    }

    #[must_use]
    pub fn bottom(self) -> f64 {
        self.y + self.height
    }
}

/// Part of a text that is aligned to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A line of text; `at` is on its baseline.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    pub at: Point,
    pub anchor: Anchor,
    /// Height of the letters, including line spacing.
    pub size: f64,
    pub color: Rgb,
    /// Rotated to read upwards.
    pub turned: bool,
    pub text: String,
}

/// Coloured cells over a rectangle, row by row from the top left.
#[derive(Clone, Debug, PartialEq)]
pub struct Raster {
    pub place: Rect,
    pub columns: usize,
    /// `columns` × rows cells.
    pub cells: Vec<Rgb>,
}

/// An element of a drawing.
#[derive(Clone, Debug, PartialEq)]
pub enum Element {
    Fill {
        rect: Rect,
        color: Rgb,
    },
    /// A line through the points of each part.
    Line {
        parts: Vec<Vec<Point>>,
        color: Rgb,
        width: f64,
        dashed: bool,
    },
    /// Dots of one radius and colour.
    Dots {
        at: Vec<Point>,
        radius: f64,
        color: Rgb,
    },
    /// A translucent polygon: `opacity` 0 is invisible, 1 is opaque.
    Area {
        corners: Vec<Point>,
        color: Rgb,
        opacity: f64,
    },
    Text(Text),
    Raster(Raster),
}

/// The whole drawing, on white.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    pub width: f64,
    pub height: f64,
    /// Title for readers who cannot see the drawing.
    pub title: String,
    pub shapes: Vec<Element>,
}

impl Scene {
    pub fn fill(&mut self, rect: Rect, color: Rgb) {
        self.shapes.push(Element::Fill { rect, color });
    }

    /// Adds a straight line.
    pub fn stroke(&mut self, from: Point, to: Point, color: Rgb, width: f64) {
        self.shapes.push(Element::Line {
            parts: vec![vec![from, to]],
            color,
            width,
            dashed: false,
        });
    }

    pub fn text(&mut self, text: Text) {
        self.shapes.push(Element::Text(text));
    }
}

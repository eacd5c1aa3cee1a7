//! Title, note, axes and legend around the data.

use super::span::{Span, count};
use crate::export::color::{GREY, GRID, INK, Rgb};
use crate::export::figure::Figure;
use crate::export::font::Font;
use crate::export::scene::{Anchor, Point, Rect, Scene, Shape, Text};

/// Width of every drawing.
const WIDTH: f64 = 960.0;
/// Above the data, for the title and the note.
const TOP: f64 = 62.0;
/// Below them, for the horizontal axis.
const BOTTOM: f64 = 54.0;
const EDGE: f64 = 16.0;
const TITLE: f64 = 17.0;
const SMALL: f64 = 12.0;
/// From one line of the legend to the next.
const LINE: f64 = 17.0;
/// The widest name beside an axis or in the legend.
const NAME: f64 = 150.0;

/// What a kind of chart needs around its data.
pub struct Room<'a> {
    /// Height of the data.
    pub height: f64,
    /// Labels on the left.
    pub left: &'a [String],
    /// Whether the vertical axis has a label.
    pub labelled: bool,
    /// Names in the legend.
    pub legend: &'a [String],
}

/// A drawing with room for the data, `plot`.
pub struct Frame<'a> {
    pub scene: Scene,
    pub plot: Rect,
    font: &'a Font,
}

impl<'a> Frame<'a> {
    /// A drawing with title and note.
    pub fn new(figure: &Figure, font: &'a Font, room: &Room) -> Self {
        let widest = |names: &[String]| {
            let widths = names.iter().map(|name| font.width(name, SMALL).min(NAME));
            widths.fold(0.0, f64::max)
        };
        let label = if room.labelled { SMALL + 10.0 } else { 0.0 };
        let left = EDGE + label + widest(room.left) + 10.0;
        let right = match room.legend {
            [] => EDGE + 14.0,
            names => EDGE + widest(names) + 44.0,
        };
        let height = room.height.max(LINE * count(room.legend.len()));
        let plot = Rect {
            x: left,
            y: TOP,
            width: WIDTH - left - right,
            height,
        };
        let mut frame = Self {
            scene: Scene {
                width: WIDTH,
                height: TOP + height + BOTTOM,
                title: figure.title.clone(),
                shapes: Vec::new(),
            },
            plot,
            font,
        };
        let lines = [
            (&figure.title, 26.0, TITLE, INK),
            (&figure.note, 46.0, SMALL, GREY),
        ];
        for (text, y, size, color) in lines {
            let text = font.fit(text, size, WIDTH - 2.0 * EDGE);
            frame.write((EDGE, y), Anchor::Start, &text, (size, color));
        }
        frame
    }

    /// Writes a line.
    pub fn write(&mut self, at: Point, anchor: Anchor, text: &str, (size, color): (f64, Rgb)) {
        self.scene.text(Text {
            at,
            anchor,
            size,
            color,
            turned: false,
            text: text.to_owned(),
        });
    }

    /// Writes a small line.
    pub fn note(&mut self, at: Point, anchor: Anchor, text: &str) {
        self.write(at, anchor, text, (SMALL, INK));
    }

    /// The horizontal axis: ticks, lines through the data, and a label.
    pub fn axis_along(&mut self, span: &Span, label: &str) {
        let plot = self.plot;
        for tick in span.ticks_along(plot.width) {
            let x = plot.x + tick.at * plot.width;
            self.scene
                .stroke((x, plot.y), (x, plot.bottom()), GRID, 1.0);
            let below = plot.bottom();
            self.scene.stroke((x, below), (x, below + 4.0), INK, 1.0);
            self.note((x, below + 18.0), Anchor::Middle, &tick.label);
        }
        let middle = plot.x + plot.width / 2.0;
        self.note((middle, plot.bottom() + 40.0), Anchor::Middle, label);
    }

    /// The vertical axis.
    pub fn axis_up(&mut self, span: &Span, label: &str) {
        let plot = self.plot;
        for tick in span.ticks_up(plot.height) {
            let y = plot.bottom() - tick.at * plot.height;
            self.scene.stroke((plot.x, y), (plot.right(), y), GRID, 1.0);
            self.scene.stroke((plot.x - 4.0, y), (plot.x, y), INK, 1.0);
            self.note((plot.x - 8.0, y + 4.0), Anchor::End, &tick.label);
        }
        self.label_up(label);
    }

    /// The label of the vertical axis.
    pub fn label_up(&mut self, label: &str) {
        let middle = self.plot.y + self.plot.height / 2.0;
        self.scene.text(Text {
            at: (EDGE + SMALL, middle),
            anchor: Anchor::Middle,
            size: SMALL,
            color: INK,
            turned: true,
            text: label.to_owned(),
        });
    }

    /// A vertical axis of names, the first on top. Where they would touch, some are left out.
    pub fn names_up(&mut self, names: &[String]) {
        let plot = self.plot;
        let row = plot.height / count(names.len().max(1));
        let every = (SMALL / row).ceil().max(1.0);
        let mut next = 0.0;
        for (index, name) in names.iter().enumerate() {
            let index = count(index);
            if index < next {
                continue;
            }
            next = index + every;
            let y = plot.y + (index + 0.5) * row + 4.0;
            let name = self.font.fit(name, SMALL, NAME);
            self.note((plot.x - 8.0, y), Anchor::End, &name);
        }
    }

    /// A line around the data, drawn after them.
    pub fn border(&mut self) {
        let Rect { x, y, .. } = self.plot;
        let (right, bottom) = (self.plot.right(), self.plot.bottom());
        let corners = vec![(x, y), (right, y), (right, bottom), (x, bottom), (x, y)];
        self.scene.shapes.push(Shape::Line {
            parts: vec![corners],
            color: INK,
            width: 1.0,
            dashed: false,
        });
    }

    /// A line where the vertical axis is zero.
    pub fn zero(&mut self, span: &Span) {
        if let Some(at) = span.place(0.0).filter(|at| (0.001..0.999).contains(at)) {
            let y = self.plot.bottom() - at * self.plot.height;
            let (left, right) = (self.plot.x, self.plot.right());
            self.scene.stroke((left, y), (right, y), INK, 1.0);
        }
    }

    /// Names and their colours, to the right of the data.
    pub fn legend(&mut self, entries: &[(String, Rgb)]) {
        let x = self.plot.right() + 14.0;
        for (index, (name, color)) in entries.iter().enumerate() {
            let y = self.plot.y + LINE * count(index) + 4.0;
            let swatch = Rect {
                x,
                y,
                width: 16.0,
                height: 8.0,
            };
            self.scene.fill(swatch, *color);
            let name = self.font.fit(name, SMALL, NAME);
            self.note((x + 22.0, y + 9.0), Anchor::Start, &name);
        }
    }

    /// Says in the middle that there is nothing.
    pub fn nothing(&mut self) {
        let middle = (
            self.plot.x + self.plot.width / 2.0,
            self.plot.y + self.plot.height / 2.0,
        );
        self.write(middle, Anchor::Middle, "no values", (SMALL, GREY));
    }
}

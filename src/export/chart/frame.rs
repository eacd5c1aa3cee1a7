//! Title, note, axes and legend around the data.

use super::span::{Span, count};
use crate::export::color::{GREY, GRID, INK, Rgb};
use crate::export::figure::Figure;
use crate::export::font::Font;
use crate::export::scene::{Anchor, Element, Point, Rect, Scene, Text};

/// Width of a drawing for a page; below, for a phone.
const WIDE: f64 = 960.0;
const NARROW: f64 = 400.0;
/// Space above the data, for the title and the note.
const TOP: f64 = 62.0;
/// Height of the data on a phone, unless a chart needs more.
const LOW: f64 = 280.0;
/// Space below the data, for the horizontal axis.
const BOTTOM: f64 = 54.0;
const EDGE: f64 = 16.0;
const TITLE: f64 = 17.0;
const SMALL: f64 = 12.0;
/// Distance between lines of the legend.
const LINE: f64 = 17.0;
/// Distance between lines of a title.
const TITLE_LINE: f64 = 21.0;
/// Maximum width of a name beside an axis or in the legend.
const NAME: f64 = 150.0;
/// Beside a name in the legend: its colour swatch, and the gap to the next entry.
const SWATCH: f64 = 22.0;
const APART: f64 = 14.0;

/// Width and font of a drawing.
pub struct Canvas {
    font: Font,
    width: f64,
}

impl Canvas {
    pub fn wide(font: Font) -> Self {
        Self { font, width: WIDE }
    }

    pub fn narrow(font: Font) -> Self {
        Self {
            font,
            width: NARROW,
        }
    }

    fn is_narrow(&self) -> bool {
        self.width < WIDE
    }

    /// Limits the wanted height on a phone, for data that look good at any height.
    pub fn height(&self, wanted: f64) -> f64 {
        if self.is_narrow() {
            wanted.min(LOW)
        } else {
            wanted
        }
    }

    fn name_width(&self) -> f64 {
        if self.is_narrow() { NAME * 0.7 } else { NAME }
    }

    /// Breaks a text into one line, shortened, in a wide drawing, or as many as needed in a narrow one.
    fn lines(&self, text: &str, size: f64, width: f64) -> Vec<String> {
        if !self.is_narrow() {
            return vec![self.font.fit(text, size, width)];
        }
        let mut lines: Vec<String> = Vec::new();
        for word in text.split(' ') {
            if let Some(line) = lines.last_mut() {
                let longer = format!("{line} {word}");
                if self.font.width(&longer, size) <= width {
                    *line = longer;
                    continue;
                }
            }
            lines.push(word.to_owned());
        }
        lines
            .iter()
            .map(|line| self.font.fit(line, size, width))
            .collect()
    }
}

/// Space that a kind of chart needs around its data.
pub struct Margins<'a> {
    /// Height of the data.
    pub height: f64,
    /// Labels on the left.
    pub left: &'a [String],
    /// Whether the vertical axis has a label.
    pub labelled: bool,
    /// Names in the legend.
    pub legend: &'a [String],
    /// Whether the legend shows names with colours, which may be placed below the data, rather than numbers.
    pub named: bool,
}

/// A drawing with an area for the data, `plot`.
pub struct ChartFrame<'a> {
    pub scene: Scene,
    pub plot: Rect,
    canvas: &'a Canvas,
    /// The label of the horizontal axis.
    below: Vec<String>,
    /// Positions of the legend's entries.
    entries: Vec<Point>,
}

impl<'a> ChartFrame<'a> {
    /// Creates a drawing with title and note.
    pub fn new(figure: &Figure, canvas: &'a Canvas, margins: &Margins) -> Self {
        let widest = |names: &[String]| {
            let widths = names
                .iter()
                .map(|name| canvas.font.width(name, SMALL).min(canvas.name_width()));
            widths.fold(0.0, f64::max)
        };
        let label = if margins.labelled { SMALL + 10.0 } else { 0.0 };
        let left = EDGE + label + widest(margins.left) + 10.0;
        let beneath = canvas.is_narrow() && margins.named;
        let right = match margins.legend {
            [] => EDGE + 14.0,
            _ if beneath => EDGE + 14.0,
            names => EDGE + widest(names) + 44.0,
        };
        let inside = canvas.width - 2.0 * EDGE;
        let titles = canvas.lines(&figure.title, TITLE, inside);
        let notes = canvas.lines(&figure.note, SMALL, inside);
        let more = |lines: &[String], line: f64| line * count(lines.len().saturating_sub(1));
        let (title, note) = (more(&titles, TITLE_LINE), more(&notes, LINE));
        let aside = if beneath { 0 } else { margins.legend.len() };
        let plot = Rect {
            x: left,
            y: TOP + title + note,
            width: canvas.width - left - right,
            height: margins.height.max(LINE * count(aside)),
        };
        let below = canvas.lines(&figure.x.title(), SMALL, canvas.width - left - EDGE);
        let under = plot.bottom() + BOTTOM + more(&below, LINE);
        let entries = if beneath {
            flow(canvas, margins.legend, (EDGE, under))
        } else {
            (0..margins.legend.len())
                .map(|index| (plot.right() + APART, plot.y + LINE * count(index) + 4.0))
                .collect()
        };
        let end = match entries.last().filter(|_| beneath) {
            Some(last) => last.1 + LINE,
            None => under,
        };
        let mut frame = Self {
            scene: Scene {
                width: canvas.width,
                height: end,
                title: figure.title.clone(),
                shapes: Vec::new(),
            },
            plot,
            canvas,
            below,
            entries,
        };
        for (index, line) in titles.iter().enumerate() {
            let at = (EDGE, 26.0 + TITLE_LINE * count(index));
            frame.write(at, Anchor::Start, line, (TITLE, INK));
        }
        for (index, line) in notes.iter().enumerate() {
            let at = (EDGE, 46.0 + title + LINE * count(index));
            frame.write(at, Anchor::Start, line, (SMALL, GREY));
        }
        frame
    }

    /// Writes a line of text.
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

    /// Writes a small line of text.
    pub fn note(&mut self, at: Point, anchor: Anchor, text: &str) {
        self.write(at, anchor, text, (SMALL, INK));
    }

    /// Draws the horizontal axis: ticks, grid lines and a label.
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
        let lines = if self.canvas.is_narrow() {
            std::mem::take(&mut self.below)
        } else {
            vec![label.to_owned()]
        };
        // The longest of several lines may be wider than the data.
        let widest = lines
            .iter()
            .map(|line| self.canvas.font.width(line, SMALL))
            .fold(0.0, f64::max);
        let middle = plot.x + plot.width / 2.0;
        let middle = middle.min(self.canvas.width - 4.0 - widest / 2.0);
        for (index, line) in lines.iter().enumerate() {
            let y = plot.bottom() + 40.0 + LINE * count(index);
            self.note((middle, y), Anchor::Middle, line);
        }
    }

    /// Draws the vertical axis.
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

    /// Writes the label of the vertical axis.
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

    /// Writes a vertical axis of names, the first on top. If they would overlap, some are left out.
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
            let name = self.canvas.font.fit(name, SMALL, self.canvas.name_width());
            self.note((plot.x - 8.0, y), Anchor::End, &name);
        }
    }

    /// Draws a border around the data, after them.
    pub fn border(&mut self) {
        let Rect { x, y, .. } = self.plot;
        let (right, bottom) = (self.plot.right(), self.plot.bottom());
        let corners = vec![(x, y), (right, y), (right, bottom), (x, bottom), (x, y)];
        self.scene.shapes.push(Element::Line {
            parts: vec![corners],
            color: INK,
            width: 1.0,
            dashed: false,
        });
    }

    /// Draws a line at zero of the vertical axis.
    pub fn zero_line(&mut self, span: &Span) {
        if let Some(at) = span.position(0.0).filter(|at| (0.001..0.999).contains(at)) {
            let y = self.plot.bottom() - at * self.plot.height;
            let (left, right) = (self.plot.x, self.plot.right());
            self.scene.stroke((left, y), (right, y), INK, 1.0);
        }
    }

    /// Draws names with their colours, to the right of the data or below them.
    pub fn legend(&mut self, entries: &[(String, Rgb)]) {
        let places = std::mem::take(&mut self.entries);
        for ((name, color), (x, y)) in entries.iter().zip(places) {
            let swatch = Rect {
                x,
                y,
                width: 16.0,
                height: 8.0,
            };
            self.scene.fill(swatch, *color);
            let name = self.canvas.font.fit(name, SMALL, legend_name(self.canvas));
            self.note((x + SWATCH, y + 9.0), Anchor::Start, &name);
        }
    }

    /// Writes in the middle that there are no values.
    pub fn no_values(&mut self) {
        let middle = (
            self.plot.x + self.plot.width / 2.0,
            self.plot.y + self.plot.height / 2.0,
        );
        self.write(middle, Anchor::Middle, "no values", (SMALL, GREY));
    }
}

/// Maximum width of a name in a legend.
fn legend_name(canvas: &Canvas) -> f64 {
    if canvas.is_narrow() {
        canvas.width - 2.0 * EDGE - SWATCH
    } else {
        NAME
    }
}

/// Positions a legend's entries one after another from `start`, on as many lines as needed.
fn flow(canvas: &Canvas, names: &[String], start: Point) -> Vec<Point> {
    let mut at = start;
    let place = |name: &String| {
        let width = SWATCH + canvas.font.width(name, SMALL).min(legend_name(canvas));
        if at.0 > start.0 && at.0 + width > canvas.width - EDGE {
            at = (start.0, at.1 + LINE);
        }
        let place = at;
        at.0 += width + APART;
        place
    };
    names.iter().map(place).collect()
}

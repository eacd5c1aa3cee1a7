//! Drawings as anti-aliased PNG, at twice the drawing's resolution.

use std::io::{self, Write};

use ab_glyph::{OutlineCurve, Point as Curve};
use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Rect as Area, Stroke,
    StrokeDash, Transform,
};

use super::color::Rgb;
use super::font::Font;
use super::scene::{Anchor, Element, Point, Raster, Rect, Scene, Text};

/// Pixels of the file per pixel of the drawing.
const SCALE: f64 = 2.0;

/// Largest width or height of a picture in pixels: a square one takes 1 GiB, more than anyone needs.
const LARGEST: f64 = 16_384.0;

/// Writes a drawing.
///
/// # Errors
/// The drawing is too large, or writing to `out` fails.
pub fn write(scene: &Scene, mut out: impl Write) -> io::Result<()> {
    let picture = draw(scene)?;
    out.write_all(&picture.encode_png().map_err(io::Error::other)?)?;
    out.flush()
}

fn draw(scene: &Scene) -> io::Result<Pixmap> {
    let font = Font::read().map_err(io::Error::other)?;
    let empty = pixmap(scene.width * SCALE, scene.height * SCALE);
    let mut canvas = PixelCanvas {
        pixmap: empty.ok_or_else(|| {
            let (width, height) = (scene.width, scene.height);
            io::Error::other(format!("the picture is too large ({width} × {height})"))
        })?,
        font,
    };
    canvas.pixmap.fill(Color::WHITE);
    for shape in &scene.shapes {
        canvas.shape(shape);
    }
    Ok(canvas.pixmap)
}

fn pixmap(width: f64, height: f64) -> Option<Pixmap> {
    Pixmap::new(pixel_count(width)?, pixel_count(height)?)
}

/// Rounds a length up to whole pixels; `None` if it is out of range.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "compared before"
)]
fn pixel_count(length: f64) -> Option<u32> {
    let length = length.ceil();
    (1.0..=LARGEST).contains(&length).then_some(length as u32)
}

/// Encodes a raster alone as PNG, each cell enlarged so that none is smaller than it is displayed. `None` for an empty
/// one.
#[must_use]
pub fn of_raster(raster: &Raster) -> Option<Vec<u8>> {
    enlarged(raster)?.encode_png().ok()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "pixmap bounds the size"
)]
fn enlarged(raster: &Raster) -> Option<Pixmap> {
    let rows = raster.cells.len().checked_div(raster.columns)?;
    let factor = |shown: f64, cells: usize| (shown * SCALE / cells.max(1) as f64).ceil().max(1.0);
    let across = factor(raster.place.width, raster.columns);
    let down = factor(raster.place.height, rows);
    let mut pixmap = pixmap(across * raster.columns as f64, down * rows as f64)?;
    let width = pixmap.width() as usize;
    for (index, pixel) in pixmap.pixels_mut().iter_mut().enumerate() {
        let column = (index % width) as u64 / pixel_count(across).map_or(1, u64::from);
        let row = (index / width) as u64 / pixel_count(down).map_or(1, u64::from);
        let cell = row as usize * raster.columns + column as usize;
        let [red, green, blue] = raster.cells.get(cell).copied()?;
        *pixel = tiny_skia::ColorU8::from_rgba(red, green, blue, 255).premultiply();
    }
    Some(pixmap)
}

/// The pixels to draw on.
struct PixelCanvas {
    pixmap: Pixmap,
    font: Font,
}

impl PixelCanvas {
    fn shape(&mut self, shape: &Element) {
        match shape {
            Element::Fill { rect, color } => {
                if let Some(area) = area(*rect) {
                    let paint = paint(*color);
                    self.pixmap.fill_rect(area, &paint, scaled(), None);
                }
            }
            Element::Line {
                parts,
                color,
                width,
                dashed,
            } => {
                let stroke = Stroke {
                    width: narrow(*width),
                    line_cap: LineCap::Butt,
                    line_join: LineJoin::Round,
                    dash: dashed
                        .then(|| StrokeDash::new(vec![6.0, 4.0], 0.0))
                        .flatten(),
                    ..Stroke::default()
                };
                if let Some(path) = polyline(parts) {
                    let paint = paint(*color);
                    self.pixmap
                        .stroke_path(&path, &paint, &stroke, scaled(), None);
                }
            }
            Element::Dots { at, radius, color } => {
                let mut builder = PathBuilder::new();
                for &(x, y) in at {
                    builder.push_circle(narrow(x), narrow(y), narrow(*radius));
                }
                self.fill(builder, *color, scaled());
            }
            Element::Area {
                corners,
                color,
                opacity,
            } => {
                let mut builder = PathBuilder::new();
                for (index, &(x, y)) in corners.iter().enumerate() {
                    match index {
                        0 => builder.move_to(narrow(x), narrow(y)),
                        _ => builder.line_to(narrow(x), narrow(y)),
                    }
                }
                builder.close();
                if let Some(path) = builder.finish() {
                    let mut paint = paint(*color);
                    paint.shader.apply_opacity(narrow(*opacity));
                    self.pixmap
                        .fill_path(&path, &paint, FillRule::Winding, scaled(), None);
                }
            }
            Element::Text(text) => self.text(text),
            Element::Raster(raster) => self.raster(raster),
        }
    }

    fn fill(&mut self, builder: PathBuilder, color: Rgb, transform: Transform) {
        if let Some(path) = builder.finish() {
            let rule = FillRule::Winding;
            self.pixmap
                .fill_path(&path, &paint(color), rule, transform, None);
        }
    }

    fn text(&mut self, text: &Text) {
        let width = self.font.width(&text.text, text.size);
        let start = match text.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        };
        let mut builder = PathBuilder::new();
        for letter in self.font.letters(&text.text, text.size) {
            let place = |point: Curve| {
                let x = start + letter.x + f64::from(point.x) * letter.scale;
                (narrow(x), narrow(-f64::from(point.y) * letter.scale))
            };
            outline(&mut builder, &letter.curves, place);
        }
        let (x, y): Point = text.at;
        let turned = if text.turned { -90.0 } else { 0.0 };
        let place = Transform::from_rotate(turned).post_translate(narrow(x), narrow(y));
        self.fill(builder, text.color, place.post_concat(scaled()));
    }

    fn raster(&mut self, raster: &Raster) {
        let Some(image) = enlarged(raster) else {
            return;
        };
        let place = raster.place;
        let across = place.width / f64::from(image.width());
        let down = place.height / f64::from(image.height());
        let transform = Transform::from_scale(narrow(across), narrow(down))
            .post_translate(narrow(place.x), narrow(place.y))
            .post_concat(scaled());
        let paint = tiny_skia::PixmapPaint::default();
        self.pixmap
            .draw_pixmap(0, 0, image.as_ref(), &paint, transform, None);
    }
}

/// Adds the closed curves of a letter.
fn outline(
    builder: &mut PathBuilder,
    curves: &[OutlineCurve],
    place: impl Fn(Curve) -> (f32, f32),
) {
    let mut end = None;
    for curve in curves {
        let start = match curve {
            OutlineCurve::Line(start, _)
            | OutlineCurve::Quad(start, ..)
            | OutlineCurve::Cubic(start, ..) => *start,
        };
        if end != Some(start) {
            if end.is_some() {
                builder.close();
            }
            let (x, y) = place(start);
            builder.move_to(x, y);
        }
        let stop = match curve {
            OutlineCurve::Line(_, stop) => {
                let (x, y) = place(*stop);
                builder.line_to(x, y);
                *stop
            }
            OutlineCurve::Quad(_, control, stop) => {
                let ((x1, y1), (x, y)) = (place(*control), place(*stop));
                builder.quad_to(x1, y1, x, y);
                *stop
            }
            OutlineCurve::Cubic(_, first, second, stop) => {
                let ((x1, y1), (x2, y2), (x, y)) = (place(*first), place(*second), place(*stop));
                builder.cubic_to(x1, y1, x2, y2, x, y);
                *stop
            }
        };
        end = Some(stop);
    }
    if end.is_some() {
        builder.close();
    }
}

fn polyline(parts: &[Vec<Point>]) -> Option<Path> {
    let mut builder = PathBuilder::new();
    for part in parts {
        for (index, &(x, y)) in part.iter().enumerate() {
            match index {
                0 => builder.move_to(narrow(x), narrow(y)),
                _ => builder.line_to(narrow(x), narrow(y)),
            }
        }
    }
    builder.finish()
}

fn area(rect: Rect) -> Option<Area> {
    let (width, height) = (narrow(rect.width), narrow(rect.height));
    Area::from_xywh(narrow(rect.x), narrow(rect.y), width, height)
}

fn paint([red, green, blue]: Rgb) -> Paint<'static> {
    let mut paint = Paint::default();
    paint.set_color_rgba8(red, green, blue, 255);
    paint
}

fn scaled() -> Transform {
    Transform::from_scale(narrow(SCALE), narrow(SCALE))
}

/// Converts a coordinate to the library's type.
#[expect(clippy::cast_possible_truncation, reason = "pixels")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene(shapes: Vec<Element>) -> Scene {
        Scene {
            width: 60.0,
            height: 40.0,
            title: String::new(),
            shapes,
        }
    }

    fn color_at(pixmap: &Pixmap, x: u32, y: u32) -> Rgb {
        let pixel = pixmap.pixel(x, y).unwrap();
        [pixel.red(), pixel.green(), pixel.blue()]
    }

    #[test]
    fn shapes_are_where_they_belong() {
        let blue = [0, 0, 255];
        let mut bytes = Vec::new();
        let place = |x, y, width, height| Rect {
            x,
            y,
            width,
            height,
        };
        let picture = scene(vec![
            Element::Fill {
                rect: place(10.0, 10.0, 20.0, 5.0),
                color: blue,
            },
            Element::Line {
                parts: vec![vec![(0.0, 30.0), (60.0, 30.0)]],
                color: [255, 0, 0],
                width: 2.0,
                dashed: false,
            },
            Element::Dots {
                at: vec![(50.0, 10.0)],
                radius: 3.0,
                color: [0, 128, 0],
            },
            Element::Raster(Raster {
                place: place(40.0, 20.0, 4.0, 2.0),
                columns: 2,
                cells: vec![[9, 9, 9], [200, 200, 200]],
            }),
        ]);
        write(&picture, &mut bytes).unwrap();
        let read = Pixmap::decode_png(&bytes).unwrap();
        assert_eq!((read.width(), read.height()), (120, 80));
        for (x, y, color) in [
            (0, 0, [255; 3]),
            (21, 21, blue),
            (58, 28, blue),
            (62, 28, [255; 3]),
            (60, 60, [255, 0, 0]),
            (100, 20, [0, 128, 0]),
            (82, 42, [9; 3]),
            (86, 42, [200; 3]),
        ] {
            assert_eq!(color_at(&read, x, y), color, "{x} {y}");
        }
    }

    #[test]
    fn text_is_drawn_at_its_point() {
        let text = |anchor, turned| {
            Element::Text(Text {
                at: (30.0, 20.0),
                anchor,
                size: 10.0,
                color: [0; 3],
                turned,
                text: "HH".to_owned(),
            })
        };
        // Bounding box of the dark pixels.
        let inked = |shape| {
            let pixmap = draw(&scene(vec![shape])).unwrap();
            let dark = (0..120 * 80).filter(|i| color_at(&pixmap, i % 120, i / 120)[0] < 128);
            dark.fold([999, 999, 0, 0], |[l, t, r, b], i| {
                [
                    l.min(i % 120),
                    t.min(i / 120),
                    r.max(i % 120),
                    b.max(i / 120),
                ]
            })
        };
        let [left, top, right, bottom] = inked(text(Anchor::Start, false));
        assert!(
            left >= 60 && right < 92 && top > 22 && bottom == 39,
            "{left} {top} {right} {bottom}"
        );
        let [left, _, right, _] = inked(text(Anchor::End, false));
        assert!(left > 28 && right < 60, "{left} {right}");
        let [left, _, right, _] = inked(text(Anchor::Middle, false));
        assert!((left + right).abs_diff(120) <= 2, "{left} {right}");
        let [left, top, right, bottom] = inked(text(Anchor::Start, true));
        assert!(
            left > 42 && right == 59 && bottom < 40 && top > 8,
            "{left} {top} {right} {bottom}"
        );
    }

    #[test]
    fn too_large_pictures_are_refused() {
        let mut large = scene(Vec::new());
        large.height = 1e6;
        let error = write(&large, Vec::new()).unwrap_err().to_string();
        assert!(error.contains("too large"), "{error}");
        large.height = f64::NAN;
        assert!(write(&large, Vec::new()).is_err());
    }
}

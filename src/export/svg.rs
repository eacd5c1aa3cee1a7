//! Drawings as SVG 1.1: shapes and text as such, rasters as embedded PNG.
//!
//! Texts may come from a file: markup in them is escaped, and characters that XML forbids are replaced.

use std::fmt::{self, Write};
use std::io;

use super::color::Rgb;
use super::font::FAMILIES;
use super::png;
use super::scene::{Anchor, Element, Point, Raster, Rect, Scene, Text};
use crate::text::is_invisible_control;

/// Writes a drawing.
///
/// # Errors
/// A raster is too large, or writing to `out` fails.
pub fn write(scene: &Scene, mut out: impl io::Write) -> io::Result<()> {
    out.write_all(text(scene)?.as_bytes())?;
    out.flush()
}

/// Returns the drawing as an element for another document, without the XML declaration.
///
/// # Errors
/// A raster is too large.
pub fn element(scene: &Scene) -> io::Result<String> {
    let text = text(scene)?;
    let element = text.split_once('\n').map(|(_, element)| element);
    Ok(element.unwrap_or_default().trim_end().to_owned())
}

fn text(scene: &Scene) -> io::Result<String> {
    let mut out = String::new();
    let (width, height) = (scene.width, scene.height);
    let written = write_scene(&mut out, scene, width, height);
    // A string grows without errors: only a raster can fail.
    written.map_err(|_| io::Error::other("the picture is too large"))?;
    Ok(out)
}

fn write_scene(out: &mut String, scene: &Scene, width: f64, height: f64) -> fmt::Result {
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="{FAMILIES}">"#
    )?;
    writeln!(out, "<title>{}</title>", escaped(&scene.title))?;
    writeln!(
        out,
        r##"<rect width="{width}" height="{height}" fill="#ffffff"/>"##
    )?;
    for shape in &scene.shapes {
        write_shape(out, shape)?;
    }
    writeln!(out, "</svg>")
}

fn write_shape(out: &mut String, shape: &Element) -> fmt::Result {
    match shape {
        Element::Fill { rect, color } => {
            write!(out, "<rect ")?;
            write_position(out, *rect)?;
            writeln!(out, r#" fill="{}"/>"#, hex(*color))
        }
        Element::Line {
            parts,
            color,
            width,
            dashed,
        } => {
            write!(out, r#"<path d=""#)?;
            for part in parts {
                for (index, &(x, y)) in part.iter().enumerate() {
                    let letter = if index == 0 { 'M' } else { 'L' };
                    write!(out, "{letter}{} {}", short(x), short(y))?;
                }
            }
            let dash = if *dashed {
                r#" stroke-dasharray="6 4""#
            } else {
                ""
            };
            writeln!(
                out,
                r#"" fill="none" stroke="{}" stroke-width="{}" stroke-linejoin="round"{dash}/>"#,
                hex(*color),
                short(*width)
            )
        }
        Element::Dots { at, radius, color } => {
            writeln!(out, r#"<g fill="{}">"#, hex(*color))?;
            for &(x, y) in at {
                let (x, y, r) = (short(x), short(y), short(*radius));
                writeln!(out, r#"<circle cx="{x}" cy="{y}" r="{r}"/>"#)?;
            }
            writeln!(out, "</g>")
        }
        Element::Area {
            corners,
            color,
            opacity,
        } => {
            write!(out, r#"<path d=""#)?;
            for (index, &(x, y)) in corners.iter().enumerate() {
                let letter = if index == 0 { 'M' } else { 'L' };
                write!(out, "{letter}{} {}", short(x), short(y))?;
            }
            let (color, opacity) = (hex(*color), short(*opacity));
            writeln!(out, r#"Z" fill="{color}" fill-opacity="{opacity}"/>"#)
        }
        Element::Text(text) => write_text(out, text),
        Element::Raster(raster) => write_raster(out, raster),
    }
}

fn write_text(out: &mut String, text: &Text) -> fmt::Result {
    let (x, y): Point = text.at;
    let (x, y) = (short(x), short(y));
    let anchor = match text.anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    };
    write!(
        out,
        r#"<text x="{x}" y="{y}" font-size="{}" text-anchor="{anchor}" fill="{}""#,
        short(text.size),
        hex(text.color)
    )?;
    if text.turned {
        write!(out, r#" transform="rotate(-90 {x} {y})""#)?;
    }
    writeln!(out, ">{}</text>", escaped(&text.text))
}

fn write_raster(out: &mut String, raster: &Raster) -> fmt::Result {
    if raster.cells.is_empty() {
        return Ok(());
    }
    let image = png::of_raster(raster).ok_or(fmt::Error)?;
    write!(out, "<image ")?;
    write_position(out, raster.place)?;
    let data = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, image);
    // Both names of the attribute: viewers support one or the other.
    writeln!(
        out,
        r#" preserveAspectRatio="none" style="image-rendering:pixelated" href="data:image/png;base64,{data}" xlink:href="data:image/png;base64,{data}"/>"#
    )
}

fn write_position(out: &mut String, rect: Rect) -> fmt::Result {
    write!(
        out,
        r#"x="{}" y="{}" width="{}" height="{}""#,
        short(rect.x),
        short(rect.y),
        short(rect.width.max(0.0)),
        short(rect.height.max(0.0))
    )
}

/// Formats a length to a hundredth of a pixel. A non-finite number would make the file invalid, so it becomes 0.
fn short(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn hex([red, green, blue]: Rgb) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// Escapes markup and replaces characters that XML 1.0 forbids.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' | '\r' => out.push(' '),
            c if is_invisible_control(c) => out.push(char::REPLACEMENT_CHARACTER),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn label(text: &str) -> Scene {
        let mut scene = Scene {
            width: 100.0,
            height: 50.0,
            title: text.to_owned(),
            shapes: Vec::new(),
        };
        scene.text(Text {
            at: (1.0, 2.0),
            anchor: Anchor::End,
            size: 12.0,
            color: [1, 2, 3],
            turned: true,
            text: text.to_owned(),
        });
        scene
    }

    #[test]
    fn names_from_a_file_are_escaped() {
        let name = "</text><script>alert(1)</script>&amp;\u{1b}[2J";
        let svg = text(&label(name)).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts = document.descendants().filter(|n| n.has_tag_name("text"));
        let texts: Vec<&str> = texts.filter_map(|n| n.text()).collect();
        assert_eq!(texts, ["</text><script>alert(1)</script>&amp;\u{fffd}[2J"]);
        assert!(!document.descendants().any(|n| n.has_tag_name("script")));
    }

    #[test]
    fn numbers_are_short_and_always_numbers() {
        for (value, text) in [
            (1.0, "1"),
            (0.126, "0.13"),
            (-0.001, "0"),
            (100.0, "100"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn a_raster_is_an_image_that_can_be_read() {
        let mut scene = label("x");
        scene.shapes.push(Element::Raster(Raster {
            place: Rect {
                x: 1.0,
                y: 2.0,
                width: 30.0,
                height: 20.0,
            },
            columns: 2,
            cells: vec![[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]],
        }));
        let svg = text(&scene).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let image = document
            .descendants()
            .find(|n| n.has_tag_name("image"))
            .unwrap();
        let data = image.attribute("href").unwrap();
        let data = data.strip_prefix("data:image/png;base64,").unwrap();
        let engine = base64::engine::general_purpose::STANDARD;
        let png = base64::Engine::decode(&engine, data).unwrap();
        let pixmap = tiny_skia::Pixmap::decode_png(&png).unwrap();
        // Whole cells, each at least as wide as displayed.
        assert_eq!((pixmap.width(), pixmap.height()), (60, 40));
        let corner = |x, y| {
            let c = pixmap.pixel(x, y).unwrap();
            [c.red(), c.green(), c.blue()]
        };
        assert_eq!(corner(0, 0), [1, 2, 3]);
        assert_eq!(corner(29, 19), [1, 2, 3]);
        assert_eq!(corner(30, 0), [4, 5, 6]);
        assert_eq!(corner(59, 39), [10, 11, 12]);
    }

    proptest! {
        #[test]
        fn any_text_makes_a_well_formed_file(name in any::<String>()) {
            let svg = text(&label(&name)).unwrap();
            prop_assert!(roxmltree::Document::parse(&svg).is_ok(), "{svg}");
        }
    }
}

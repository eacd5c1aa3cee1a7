//! Bar charts: a bar to the left or right for each name, with its number; several series side by side; whiskers for
//! standard errors.

use super::frame::{Canvas, ChartFrame, Margins};
use super::span::{Span, count};
use crate::analysis::numbers::format_signed;
use crate::export::color::{self, INK};
use crate::export::figure::{Figure, Series};
use crate::export::scene::{Anchor, Element, Rect, Scene};

/// Height of a bar.
const BAR: f64 = 14.0;
/// Space between the bars of one name and those of the next.
const GAP: f64 = 7.0;

/// Data of a bar chart.
pub struct BarRows<'a> {
    pub names: &'a [String],
    pub series: &'a [Series],
    pub errors: &'a [Vec<f64>],
}

/// A standard error on both sides of a bar's end.
struct Whisker {
    name: usize,
    series: usize,
    ends: [f64; 2],
}

fn whiskers(rows: &BarRows) -> Vec<Whisker> {
    let mut whiskers = Vec::new();
    for (at, (series, errors)) in rows.series.iter().zip(rows.errors).enumerate() {
        let pairs = series.values.iter().zip(errors).take(rows.names.len());
        let there = pairs.enumerate().filter(|(_, (_, error))| !error.is_nan());
        whiskers.extend(there.map(|(name, (value, error))| Whisker {
            name,
            series: at,
            ends: [value - error, value + error],
        }));
    }
    whiskers
}

pub fn draw(figure: &Figure, canvas: &Canvas, rows: &BarRows) -> Scene {
    let group = BAR * count(rows.series.len().max(1)) + GAP;
    let values = rows.series.iter().flat_map(|s| s.values.iter().copied());
    let whiskers = whiskers(rows);
    let ends = whiskers.iter().flat_map(|whisker| whisker.ends);
    let along = Span::covering(&figure.x, values.chain(ends).chain([0.0])).with_margin();
    let legend: Vec<String> = rows.series.iter().map(|s| s.name.clone()).collect();
    let several = legend.len() > 1;
    let numbers = ["-1.23e-4 ".to_owned()];
    let margins = Margins {
        height: (group * count(rows.names.len())).max(group),
        left: rows.names,
        labelled: false,
        // Without a legend, numbers take its place.
        legend: if several { &legend } else { &numbers },
        named: several,
    };
    let mut frame = ChartFrame::new(figure, canvas, &margins);
    let plot = frame.plot;
    let group = plot.height / count(rows.names.len().max(1));
    frame.axis_along(&along, &figure.x.title());
    let x = |value: f64| Some(plot.x + along.position(value)? * plot.width);
    let zero = x(0.0).unwrap_or(plot.x);
    for (s, series) in rows.series.iter().enumerate() {
        for (index, &value) in series.values.iter().enumerate().take(rows.names.len()) {
            let Some(end) = x(value) else { continue };
            let y = plot.y + group * count(index) + GAP / 2.0 + BAR * count(s);
            let rect = Rect {
                x: zero.min(end),
                y,
                width: (end - zero).abs(),
                height: BAR - 2.0,
            };
            let color = if several {
                color::series(s, rows.series.len())
            } else {
                color::of_sign(value)
            };
            frame.scene.fill(rect, color);
            if !several {
                let number = format_signed(value, 8);
                let at = (plot.right() + 14.0, y + BAR - 4.0);
                frame.note(at, Anchor::Start, number.trim_start());
            }
        }
    }
    for Whisker { name, series, ends } in &whiskers {
        let y =
            plot.y + group * count(*name) + f64::midpoint(GAP, BAR) + BAR * count(*series) - 1.0;
        if let (Some(left), Some(right)) = (x(ends[0]), x(ends[1])) {
            let cap = |at: f64| vec![(at, y - 3.0), (at, y + 3.0)];
            frame.scene.shapes.push(Element::Line {
                parts: vec![vec![(left, y), (right, y)], cap(left), cap(right)],
                color: INK,
                width: 1.2,
                dashed: false,
            });
        }
    }
    frame
        .scene
        .stroke((zero, plot.y), (zero, plot.bottom()), INK, 1.0);
    frame.names_up(rows.names);
    frame.border();
    if several {
        let entries: Vec<_> = (legend.into_iter().enumerate())
            .map(|(index, name)| (name, color::series(index, rows.series.len())))
            .collect();
        frame.legend(&entries);
    }
    frame.scene
}

//! Line charts over steps. Where several values share a column of pixels, the line goes through the first, the least,
//! the greatest and the last of them, so that it looks the same as with all of them. NaN is a gap; a value between two
//! gaps is a dot. Bands around lines show their errors.

use super::frame::{Canvas, ChartFrame, Margins};
use super::span::Span;
use crate::export::color;
use crate::export::figure::{AxisScale, Figure, Series};
use crate::export::scene::{Element, Point, Scene};

const HEIGHT: f64 = 420.0;

/// Opacity of a band.
const OPACITY: f64 = 0.2;

pub fn draw(
    figure: &Figure,
    canvas: &Canvas,
    x: &[f64],
    series: &[Series],
    errors: &[Vec<f64>],
) -> Scene {
    let drawn = |spread: AxisScale, value: f64| {
        value.is_finite() && (spread != AxisScale::Log || value > 0.0)
    };
    let values = || {
        series
            .iter()
            .flat_map(|series| series.values.iter().copied())
    };
    let edge = |(series, errors): (&Series, &Vec<f64>), sign: f64| -> Vec<f64> {
        let pairs = series.values.iter().zip(errors);
        pairs.map(|(value, error)| value + sign * error).collect()
    };
    let edges: Vec<[Vec<f64>; 2]> = (series.iter().zip(errors))
        .map(|pair| [edge(pair, -1.0), edge(pair, 1.0)])
        .collect();
    let all = values().chain(edges.iter().flatten().flatten().copied());
    let up = Span::covering(&figure.y, all.filter(|y| drawn(figure.y.spread, *y))).with_margin();
    let along = Span::covering(
        &figure.x,
        x.iter().copied().filter(|x| drawn(figure.x.spread, *x)),
    );
    let ticks = up.ticks_up(HEIGHT).into_iter().map(|tick| tick.label);
    let names: Vec<String> = series.iter().map(|series| series.name.clone()).collect();
    let margins = Margins {
        height: canvas.height(HEIGHT),
        left: &ticks.collect::<Vec<_>>(),
        labelled: true,
        legend: if names.len() > 1 { &names } else { &[] },
        named: true,
    };
    let mut frame = ChartFrame::new(figure, canvas, &margins);
    frame.axis_along(&along, &figure.x.title());
    frame.axis_up(&up, &figure.y.title());
    frame.zero_line(&up);
    let plot = frame.plot;
    let mut anything = false;
    let point = |(x, y): (&f64, &f64)| {
        let there = drawn(figure.x.spread, *x) && drawn(figure.y.spread, *y);
        let (x, y) = (along.position(*x)?, up.position(*y).filter(|_| there)?);
        Some((plot.x + x * plot.width, plot.bottom() - y * plot.height))
    };
    for (index, [low, high]) in edges.iter().enumerate() {
        let color = color::series(index, names.len());
        let corners = |edge: &[f64]| x.iter().zip(edge).map(point).collect::<Vec<_>>();
        let both: Vec<Option<(Point, Point)>> = (corners(low).into_iter().zip(corners(high)))
            .map(|(low, high)| low.zip(high))
            .collect();
        for part in both.split(Option::is_none) {
            let (mut low, high): (Vec<Point>, Vec<Point>) = part.iter().flatten().copied().unzip();
            if low.len() > 1 {
                low = thinned(&low);
                low.extend(thinned(&high).into_iter().rev());
                let area = Element::Area {
                    corners: low,
                    color,
                    opacity: OPACITY,
                };
                frame.scene.shapes.push(area);
            }
        }
    }
    for (index, series) in series.iter().enumerate() {
        let points: Vec<Option<Point>> = x.iter().zip(&series.values).map(point).collect();
        let (dots, parts): (Vec<_>, Vec<_>) =
            parts(&points).into_iter().partition(|part| part.len() == 1);
        anything |= !dots.is_empty() || !parts.is_empty();
        let color = color::series(index, names.len());
        frame.scene.shapes.push(Element::Line {
            parts: parts.iter().map(|part| thinned(part)).collect(),
            color,
            width: 1.3,
            dashed: false,
        });
        frame.scene.shapes.push(Element::Dots {
            at: dots.concat(),
            radius: 1.8,
            color,
        });
    }
    if !anything {
        frame.no_values();
    }
    frame.border();
    if names.len() > 1 {
        let entries = names.iter().cloned().enumerate();
        let entries: Vec<_> = entries
            .map(|(index, name)| (name, color::series(index, names.len())))
            .collect();
        frame.legend(&entries);
    }
    frame.scene
}

/// Splits points into stretches without a gap.
fn parts(points: &[Option<Point>]) -> Vec<Vec<Point>> {
    let gaps = points.split(Option::is_none);
    gaps.filter(|part| !part.is_empty())
        .map(|part| part.iter().flatten().copied().collect())
        .collect()
}

/// Keeps the first, the lowest, the highest and the last point of each column of pixels, in order.
pub fn thinned(points: &[Point]) -> Vec<Point> {
    let mut kept = Vec::new();
    for column in points.chunk_by(|a, b| a.0.floor() == b.0.floor()) {
        let mut least = 0;
        let mut most = 0;
        for (index, point) in column.iter().enumerate() {
            if point.1 < column[least].1 {
                least = index;
            }
            if point.1 > column[most].1 {
                most = index;
            }
        }
        let mut indices = [0, least, most, column.len() - 1];
        indices.sort_unstable();
        let mut last = None;
        for index in indices {
            if last != Some(index) {
                kept.push(column[index]);
            }
            last = Some(index);
        }
    }
    kept
}

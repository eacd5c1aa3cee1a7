//! Stacked bars of contributions that add up: negative ones below zero, positive ones above, and a black mark for their
//! sum. The vertical axis is linear, since lengths would not add up on another.

use super::frame::{Canvas, ChartFrame, Margins};
use super::span::{Span, step};
use crate::export::color::{self, INK};
use crate::export::figure::{Axis, Figure, Merge, Series, Steps};
use crate::export::scene::{Element, Point, Rect, Scene};

const HEIGHT: f64 = 420.0;
/// Maximum number of bars that can be told apart.
const BARS: usize = 240;

pub fn draw(figure: &Figure, canvas: &Canvas, steps: &Steps) -> Scene {
    let end = steps
        .first
        .saturating_add(steps.every.saturating_mul(steps.len() as u64));
    let merged = steps.merged(BARS, Merge::Sum);
    let stacks: Vec<Stack> = (0..merged.len())
        .map(|bar| stack(&merged.series, bar))
        .collect();
    let linear = Axis::new("", None);
    let ends = stacks.iter().flat_map(|stack| [stack.low, stack.high]);
    let up = Span::covering(&linear, ends.chain([0.0])).with_margin();
    let along = Span::covering(&figure.x, [step(steps.first), step(end)]);
    let names: Vec<String> = merged.series.iter().map(|s| s.name.clone()).collect();
    let ticks = up.ticks_up(HEIGHT).into_iter().map(|tick| tick.label);
    let mut legend = names.clone();
    legend.push("sum".to_owned());
    let margins = Margins {
        height: canvas.height(HEIGHT),
        left: &ticks.collect::<Vec<_>>(),
        labelled: true,
        legend: &legend,
        named: true,
    };
    let mut frame = ChartFrame::new(figure, canvas, &margins);
    frame.axis_along(&along, &figure.x.title());
    frame.axis_up(&up, &each(&figure.y, merged.every));
    frame.zero_line(&up);
    let plot = frame.plot;
    let x = |at: u64| plot.x + along.position(step(at.min(end))).unwrap_or(0.0) * plot.width;
    let y = |value: f64| plot.bottom() - up.position(value).unwrap_or(0.0) * plot.height;
    let mut sums: Vec<Vec<Point>> = Vec::new();
    let mut from = merged.first;
    for stack in &stacks {
        let (left, right) = (x(from), x(from.saturating_add(merged.every)));
        from = from.saturating_add(merged.every);
        for piece in &stack.pieces {
            let (top, bottom) = (y(piece.from.max(piece.to)), y(piece.from.min(piece.to)));
            let rect = Rect {
                x: left,
                y: top,
                width: right - left,
                height: bottom - top,
            };
            frame
                .scene
                .fill(rect, color::series(piece.series, names.len()));
        }
        if stack.sum.is_finite() {
            sums.push(vec![(left, y(stack.sum)), (right, y(stack.sum))]);
        }
    }
    if sums.is_empty() {
        frame.no_values();
    }
    frame.scene.shapes.push(Element::Line {
        parts: sums,
        color: INK,
        width: 1.5,
        dashed: false,
    });
    frame.border();
    let color = |index| {
        if index < names.len() {
            color::series(index, names.len())
        } else {
            INK
        }
    };
    let entries: Vec<_> = (legend.into_iter().enumerate())
        .map(|(index, name)| (name, color(index)))
        .collect();
    frame.legend(&entries);
    frame.scene
}

/// Returns an axis title such as `LCA (nats per 4 steps)`.
pub fn each(axis: &Axis, every: u64) -> String {
    let steps = match every {
        1 => "step".to_owned(),
        n => format!("{n} steps"),
    };
    match axis.unit {
        Some(unit) => format!("{} ({unit} per {steps})", axis.label),
        None => format!("{} per {steps}", axis.label),
    }
}

/// A part of a bar.
#[derive(Debug, PartialEq)]
struct Piece {
    series: usize,
    from: f64,
    to: f64,
}

/// A bar.
#[derive(Debug, PartialEq)]
struct Stack {
    pieces: Vec<Piece>,
    low: f64,
    high: f64,
    /// NaN if a part is NaN.
    sum: f64,
}

fn stack(series: &[Series], bar: usize) -> Stack {
    let mut stack = Stack {
        pieces: Vec::new(),
        low: 0.0,
        high: 0.0,
        sum: 0.0,
    };
    for (index, series) in series.iter().enumerate() {
        let value = series.values[bar];
        stack.sum += value;
        if !value.is_finite() || value == 0.0 {
            continue;
        }
        let end = if value < 0.0 {
            &mut stack.low
        } else {
            &mut stack.high
        };
        let from = *end;
        *end += value;
        stack.pieces.push(Piece {
            series: index,
            from,
            to: *end,
        });
    }
    stack
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_as_long_as_its_parts_and_marks_their_sum() {
        let series = [3.0, -1.0, 0.0, 2.0, -4.0].map(|value| Series {
            name: String::new(),
            values: vec![value],
        });
        let stack = stack(&series, 0);
        assert_eq!((stack.low, stack.high, stack.sum), (-5.0, 5.0, 0.0));
        let ends: Vec<(usize, f64, f64)> = (stack.pieces.iter())
            .map(|piece| (piece.series, piece.from, piece.to))
            .collect();
        let expected = [
            (0, 0.0, 3.0),
            (1, 0.0, -1.0),
            (3, 3.0, 5.0),
            (4, -1.0, -5.0),
        ];
        assert_eq!(ends, expected);
    }
}

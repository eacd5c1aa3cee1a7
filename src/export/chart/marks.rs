//! Moments on a grid of rows × steps. A step that several rows share has a line through the grid, a mark on top, and
//! larger dots.

use std::collections::HashSet;
use std::ops::Range;

use super::frame::{Canvas, ChartFrame, Margins};
use super::span::{Span, count, step};
use crate::export::color::{GREY, GRID, HELP, HURT};
use crate::export::figure::Figure;
use crate::export::scene::{Element, Point, Rect, Scene};

const ROW: f64 = 18.0;
const LEAST: f64 = 160.0;

/// Data of a chart of moments.
pub struct Grid<'a> {
    pub rows: &'a [String],
    pub steps: Range<u64>,
    pub marks: &'a [(usize, u64)],
    pub shared: &'a [u64],
}

pub fn draw(figure: &Figure, canvas: &Canvas, grid: &Grid) -> Scene {
    let rows = count(grid.rows.len().max(1));
    let along = Span::covering(&figure.x, [step(grid.steps.start), step(grid.steps.end)]);
    let margins = Margins {
        height: (rows * ROW).max(LEAST),
        left: grid.rows,
        labelled: !figure.y.label.is_empty(),
        legend: &[],
        named: false,
    };
    let mut frame = ChartFrame::new(figure, canvas, &margins);
    let plot = frame.plot;
    frame.axis_along(&along, &figure.x.title());
    let row = plot.height / rows;
    for index in 1..grid.rows.len() {
        let y = plot.y + count(index) * row;
        frame
            .scene
            .stroke((plot.x, y), (plot.right(), y), GRID, 1.0);
    }
    // A step takes up the space from its number to the next; its mark is in the middle.
    let x = |at: u64| plot.x + along.position(step(at) + 0.5).unwrap_or(0.0) * plot.width;
    let shared: HashSet<u64> = grid.shared.iter().copied().collect();
    for &at in grid.shared.iter().filter(|at| grid.steps.contains(at)) {
        frame
            .scene
            .stroke((x(at), plot.y), (x(at), plot.bottom()), GRID, 1.5);
        let mark = Rect {
            x: x(at) - 1.0,
            y: plot.y - 7.0,
            width: 2.0,
            height: 7.0,
        };
        frame.scene.fill(mark, HURT);
    }
    let inside = grid.marks.iter().copied();
    let inside = inside.filter(|(row, at)| *row < grid.rows.len() && grid.steps.contains(at));
    let place = |(index, at): (usize, u64)| (x(at), plot.y + (count(index) + 0.5) * row);
    let (together, alone): (Vec<_>, Vec<_>) = inside.partition(|(_, at)| shared.contains(at));
    let nothing = together.is_empty() && alone.is_empty();
    for (marks, radius, color) in [(alone, 2.0, GREY), (together, 3.0, HELP)] {
        let at: Vec<Point> = marks.into_iter().map(place).collect();
        frame.scene.shapes.push(Element::Dots { at, radius, color });
    }
    if nothing {
        frame.no_values();
    }
    frame.names_up(grid.rows);
    if margins.labelled {
        frame.label_up(&figure.y.label);
    }
    frame.border();
    frame.scene
}

//! Histograms: counts between edges. If there are negative values, their bins are blue and those of positive ones
//! orange. The outermost bins may extend to infinity: they are drawn up to twice their inner edge. A line may mark a
//! value for comparison.

use super::frame::{Canvas, ChartFrame, Margins};
use super::span::Span;
use crate::export::color::{self, INK};
use crate::export::figure::{AxisScale, Figure};
use crate::export::scene::{Anchor, Rect, Scene};

const HEIGHT: f64 = 380.0;

pub fn draw(
    figure: &Figure,
    canvas: &Canvas,
    (edges, counts): (&[f64], &[f64]),
    mark: Option<&(f64, String)>,
) -> Scene {
    let edges = finite(edges);
    let marked = mark.map(|(value, _)| *value);
    let along = Span::covering(&figure.x, edges.iter().copied().chain(marked));
    let along = if mark.is_some() {
        along.with_margin()
    } else {
        along
    };
    let along = match figure.x.spread {
        // Linear up to the innermost edges; from there on, edges are powers of two.
        AxisScale::SymLog => along.symlog(innermost(&edges)),
        _ => along,
    };
    let up = Span::covering(&figure.y, counts.iter().copied().chain([0.0]));
    let up = match figure.y.spread {
        // A single count must be visible.
        AxisScale::SymLog => up.symlog(1.0),
        _ => up,
    };
    let ticks = up.ticks_up(HEIGHT).into_iter().map(|tick| tick.label);
    let margins = Margins {
        height: canvas.height(HEIGHT),
        left: &ticks.collect::<Vec<_>>(),
        labelled: true,
        legend: &[],
        named: false,
    };
    let mut frame = ChartFrame::new(figure, canvas, &margins);
    frame.axis_along(&along, &figure.x.title());
    frame.axis_up(&up, &figure.y.title());
    let plot = frame.plot;
    let signed = edges.iter().any(|edge| *edge < 0.0);
    let mut anything = false;
    for (pair, &count) in edges.windows(2).zip(counts) {
        let ends = [
            along.position(pair[0]),
            along.position(pair[1]),
            up.position(count),
        ];
        let [Some(left), Some(right), Some(top)] = ends else {
            continue;
        };
        if count <= 0.0 {
            continue;
        }
        anything = true;
        let rect = Rect {
            x: plot.x + left * plot.width,
            y: plot.bottom() - top * plot.height,
            width: (right - left) * plot.width,
            height: top * plot.height,
        };
        let color = if signed {
            color::of_sign(f64::midpoint(pair[0], pair[1]))
        } else {
            color::series(0, 1)
        };
        frame.scene.fill(rect, color);
    }
    if !anything {
        frame.no_values();
    }
    if let Some((value, word)) = mark
        && let Some(at) = along.position(*value)
    {
        draw_mark(&mut frame, at, word);
    }
    frame.border();
    frame.scene
}

/// Draws the line of a marked value, at a fraction of the width.
fn draw_mark(frame: &mut ChartFrame, at: f64, word: &str) {
    let plot = frame.plot;
    let x = plot.x + at * plot.width;
    (frame.scene).stroke((x, plot.y), (x, plot.bottom()), INK, 1.5);
    let anchor = if at > 0.5 { Anchor::End } else { Anchor::Start };
    frame.note((x, plot.y - 3.0), anchor, word);
}

/// Replaces infinite edges by finite ones.
fn finite(edges: &[f64]) -> Vec<f64> {
    let inner: Vec<f64> = edges
        .iter()
        .copied()
        .filter(|edge| edge.is_finite())
        .collect();
    let (Some(&first), Some(&last)) = (inner.first(), inner.last()) else {
        return Vec::new();
    };
    let bounded = |&edge: &f64| match edge {
        f64::NEG_INFINITY => 2.0 * first.min(0.0),
        f64::INFINITY => 2.0 * last.max(0.0),
        edge => edge,
    };
    edges.iter().map(bounded).collect()
}

/// The edge nearest to 0 that is not 0.
fn innermost(edges: &[f64]) -> f64 {
    let sizes = edges
        .iter()
        .map(|edge| edge.abs())
        .filter(|size| *size > 0.0);
    sizes.fold(f64::INFINITY, f64::min).min(f64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_bins_are_drawn_with_a_finite_edge() {
        let edges = [f64::NEG_INFINITY, -2.0, -1.0, 0.0, 1.0, 2.0, f64::INFINITY];
        assert_eq!(finite(&edges), [-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0]);
        assert_eq!(innermost(&finite(&edges)), 1.0);
        assert!(finite(&[f64::INFINITY]).is_empty());
    }
}

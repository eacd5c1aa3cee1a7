//! Layout from a [`Figure`] to a [`Scene`]: the positions of title, axes, legend and data.
//!
//! ```text
//! title
//! note
//!   label ▲┌─────────────────────────┐  ── legend
//!    tick ─┤                         │  ── legend
//!    tick ─┤          data           │
//!          └────┬───────────┬────────┘
//!             tick         tick
//!                  label
//! ```
//!
//! Each kind of chart has one file, which first computes the `Room` that it needs and then draws into the resulting
//! `Frame`.

mod bars;
mod frame;
mod heat;
mod histogram;
mod lines;
mod marks;
mod span;
mod stacked;

use std::io;

use super::figure::{Chart, Figure};
use super::font::Font;
use super::scene::Scene;
use frame::Canvas;

/// Draws a figure.
///
/// # Errors
/// The font is damaged, that is, the build is broken.
pub fn draw(figure: &Figure) -> io::Result<Scene> {
    let font = Font::read().map_err(io::Error::other)?;
    Ok(draw_on(&Canvas::wide(font), figure))
}

/// Draws a figure for the width of a phone: its texts wrap, and its legend is below.
///
/// # Errors
/// As for [`draw`].
pub fn draw_narrow(figure: &Figure) -> io::Result<Scene> {
    let font = Font::read().map_err(io::Error::other)?;
    Ok(draw_on(&Canvas::narrow(font), figure))
}

fn draw_on(canvas: &Canvas, figure: &Figure) -> Scene {
    match &figure.chart {
        Chart::Lines { x, series } => lines::draw(figure, canvas, x, series, &[]),
        Chart::Bands { x, series, errors } => lines::draw(figure, canvas, x, series, errors),
        Chart::StackedBars(steps) => stacked::draw(figure, canvas, steps),
        Chart::HeatMap { steps, merge } => heat::draw(figure, canvas, steps, *merge),
        Chart::Histogram {
            edges,
            counts,
            mark,
        } => histogram::draw(figure, canvas, (edges, counts), mark.as_ref()),
        Chart::Marks {
            rows,
            steps,
            marks,
            shared,
        } => marks::draw(
            figure,
            canvas,
            &marks::Grid {
                rows,
                steps: steps.clone(),
                marks,
                shared,
            },
        ),
        Chart::Bars {
            names,
            series,
            errors,
        } => bars::draw(
            figure,
            canvas,
            &bars::BarRows {
                names,
                series,
                errors,
            },
        ),
    }
}

#[cfg(test)]
mod tests;

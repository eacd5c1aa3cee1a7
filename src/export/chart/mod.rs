//! From a [`Figure`] to a [`Scene`]: where the title, the axes, the legend and the data go.
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
//! The data have one file for each kind of chart, which first says how much `Room` it needs, and then
//! draws into the `Frame` that comes of it.

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

/// Draws a figure.
///
/// # Errors
/// The font is damaged: the program has been built wrong.
pub fn draw(figure: &Figure) -> io::Result<Scene> {
    let font = Font::read().map_err(io::Error::other)?;
    Ok(match &figure.chart {
        Chart::Lines { x, series } => lines::draw(figure, &font, x, series, &[]),
        Chart::Bands { x, series, errors } => lines::draw(figure, &font, x, series, errors),
        Chart::StackedBars(steps) => stacked::draw(figure, &font, steps),
        Chart::HeatMap { steps, merge } => heat::draw(figure, &font, steps, *merge),
        Chart::Histogram {
            edges,
            counts,
            mark,
        } => histogram::draw(figure, &font, (edges, counts), mark.as_ref()),
        Chart::Marks {
            rows,
            steps,
            marks,
            shared,
        } => marks::draw(
            figure,
            &font,
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
            &font,
            &bars::Rows {
                names,
                series,
                errors,
            },
        ),
    })
}

#[cfg(test)]
mod tests;

//! Charts, one a file. Each draws numbers already reduced to its columns ([`crate::analysis::bins`]), and knows nothing
//! of runs, steps in files or key presses.
//!
//! - [`canvas`]: dots within cells, for the three glyph sets
//! - [`axis`]: the axes around a plot, the same for all
//! - [`legend`]: names of series, the ends of a ramp
//! - [`line_chart`]: curves over the steps with axes, cursor and legend
//! - [`details`]: optional parts of a line chart
//! - [`signed_bars`]: help and hurt as bars around a zero line; the sparkline of a table row
//! - [`stacked_bars`]: how contributions add up, column by column
//! - [`heat_map`]: rows × steps as colours
//! - [`mark_grid`]: moments as marks, rows × steps
//! - [`histogram`]: counts by bins
//! - [`image_map`]: weights as an image or as kernels
//!
//! `names` cuts names to a width; `ruler` and `tiles` are the geometry of stacks and of images.

pub mod axis;
pub mod canvas;
pub mod details;
pub mod heat_map;
pub mod histogram;
pub mod image_map;
pub mod legend;
pub mod line_chart;
pub mod mark_grid;
mod names;
mod ruler;
pub mod signed_bars;
pub mod stacked_bars;
mod tiles;

pub use axis::{LEFT_AXIS, XAxis};
pub use canvas::{Canvas, Pen};
pub use details::{DetailedChart, Details};
pub use heat_map::HeatMap;
pub use histogram::{Bin, Histogram};
pub use image_map::ImageMap;
pub use legend::{Entry, Legend, RampLegend};
pub use line_chart::{LineChart, Series};
pub use mark_grid::{Mark, MarkGrid, Marks};
pub use names::elided;
pub use signed_bars::SignedBars;
pub use stacked_bars::StackedBars;

#[cfg(test)]
mod testing;

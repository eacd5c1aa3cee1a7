//! Charts, one a file: each draws numbers that are already reduced to its columns
//! ([`crate::analysis::bins`]) and knows nothing of runs, steps in files or key presses.
//!
//! - [`canvas`]: dots within cells, for the three glyph sets
//! - [`line_chart`]: curves over the steps with axes, cursor and legend
//! - [`signed_bars`]: help and hurt as bars around a zero line; the sparkline of a table row

pub mod canvas;
pub mod line_chart;
pub mod signed_bars;

pub use canvas::{Canvas, Pen};
pub use line_chart::{LineChart, Series};
pub use signed_bars::SignedBars;

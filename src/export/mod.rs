//! Export to files: tables as CSV, JSON and Parquet, charts as SVG and PNG.
//!
//! A [`Table`] is named columns with units; a [`Figure`] is the content of a chart, independent of its rendering. Both
//! come in full resolution from the caller: this module knows nothing of runs.
//!
//! ```text
//! Table  ─▶ csv · json · parquet
//! Figure ─▶ chart: Scene (shapes and texts) ─▶ svg · png
//! ```
//!
//! Axes, ticks and scales are those of the screen ([`analysis`](crate::analysis)), and so are the colours
//! of helping and hurting.

mod chart;
mod color;
pub mod csv;
pub mod figure;
mod font;
pub mod json;
pub mod parquet;
pub mod png;
pub mod scene;
pub mod svg;
pub mod table;

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use chart::{draw, draw_narrow};
pub use figure::{Axis, Chart, Figure, Merge, Series, Steps};
pub use table::{Column, Table, Uneven, Values};

/// File format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Format {
    Csv,
    Json,
    Parquet,
    Svg,
    Png,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::Csv, Self::Json, Self::Parquet, Self::Svg, Self::Png];

    /// Whether the format is text, fit for a terminal or a pipe of lines.
    #[must_use]
    pub fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Json | Self::Svg)
    }

    /// Whether the format is a picture rather than a table.
    #[must_use]
    pub fn is_picture(self) -> bool {
        matches!(self, Self::Svg | Self::Png)
    }
}

/// Writes the format's name, which is also its file extension.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Parquet => "parquet",
            Self::Svg => "svg",
            Self::Png => "png",
        })
    }
}

/// Error for an unknown format name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format `{0}` (csv, json, parquet, svg, png)")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL
            .into_iter()
            .find(|format| format.to_string() == word);
        found.ok_or_else(|| UnknownFormat(word.to_owned()))
    }
}

/// Numbers both as a table and as a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Exhibit {
    pub table: Table,
    pub figure: Figure,
}

impl Exhibit {
    /// Writes the table or the figure, depending on the format.
    ///
    /// # Errors
    /// The picture is too large, or writing to `out` fails.
    pub fn write(&self, format: Format, out: impl Write + Send) -> io::Result<()> {
        match format {
            Format::Csv => csv::write(&self.table, out),
            Format::Json => json::write(&self.table, out),
            Format::Parquet => parquet::write(&self.table, out),
            Format::Svg => svg::write(&draw(&self.figure)?, out),
            Format::Png => png::write(&draw(&self.figure)?, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_parsed_from_their_names() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        let error = "xlsx".parse::<Format>().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown format `xlsx` (csv, json, parquet, svg, png)"
        );
    }
}

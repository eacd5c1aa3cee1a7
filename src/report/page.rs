//! A document together with the group of runs that its next sections are about.

use super::ReportError;
use super::document::{CaptionedExhibit, Document};
use super::repeats::Means;
use super::runs::{ReportedRun, RunGroup};
use super::words;
use crate::analysis::ttest::Mean;
use crate::export::{Axis, Chart, Column, Exhibit, Figure, Series, Table};
use crate::record::StepSummary;

/// Unit of losses and allocations.
pub const NATS: Option<&str> = Some("nats");
/// Unit of shares.
pub const PERCENT: Option<&str> = Some("%");
pub const STEPS: Option<&str> = Some("steps");

/// Maximum number of rows of steps in a figure: more would not be visible.
const POINTS: u64 = 1500;

/// A document, and the group of runs being written about.
pub struct Page<'a> {
    pub document: &'a mut Document,
    pub group: &'a RunGroup<'a>,
    /// Prefix of the names of tables and figures; empty if there is only one group.
    pub prefix: String,
}

impl Page<'_> {
    /// Writes a section. If the runs lack its data, the section says so.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn section(
        &mut self,
        heading: &str,
        write: impl FnOnce(&mut Self) -> Result<(), ReportError>,
    ) -> Result<(), ReportError> {
        if self.prefix.is_empty() {
            self.document.section(heading);
        } else {
            self.document.part(heading);
        }
        match write(self) {
            Err(ReportError::Unknown(why)) => {
                let why = sentence(&why);
                self.document.text(format!("Not recorded: {why}"));
                Ok(())
            }
            result => result,
        }
    }

    pub fn text(&mut self, text: impl Into<String>) {
        self.document.text(text);
    }

    /// Adds a table, showing its first `rows` rows.
    ///
    /// # Errors
    /// The columns have different lengths.
    pub fn table(
        &mut self,
        name: &str,
        caption: &str,
        columns: Vec<Column>,
        rows: usize,
    ) -> Result<(), ReportError> {
        let table = Table::new(name, columns)?;
        let name = format!("{}{name}", self.prefix);
        self.document.table(&name, caption, table, rows);
        Ok(())
    }

    /// Adds a figure of these numbers.
    ///
    /// # Errors
    /// The columns have different lengths.
    pub fn figure(
        &mut self,
        name: &str,
        caption: &str,
        columns: Vec<Column>,
        figure: Figure,
    ) -> Result<(), ReportError> {
        let table = Table::new(figure.title.clone(), columns)?;
        let name = format!("{}{name}", self.prefix);
        self.document
            .figure(&name, caption, Exhibit { table, figure });
        Ok(())
    }

    /// Adds a figure and a table of the same numbers.
    ///
    /// # Errors
    /// The columns have different lengths.
    pub fn figure_and_table(
        &mut self,
        name: &str,
        caption: &str,
        columns: Vec<Column>,
        figure: Figure,
        rows: usize,
    ) -> Result<(), ReportError> {
        let table = Table::new(figure.title.clone(), columns)?;
        self.document.exhibit(CaptionedExhibit {
            name: format!("{}{name}", self.prefix),
            caption: caption.to_owned(),
            table,
            shown: rows,
            figure: Some(figure),
        });
        Ok(())
    }

    /// Returns the number of steps per row that keeps a figure to at most [`POINTS`] rows.
    pub fn every(&self) -> u64 {
        self.group.steps.div_ceil(POINTS).max(1)
    }

    pub fn has_repeats(&self) -> bool {
        self.group.runs.len() > 1
    }

    /// Returns the note under the title of every figure.
    pub fn note(&self) -> String {
        let runs = &self.group.runs;
        let (whose, colon) = match &runs[..] {
            [one] => return note_of(one),
            runs => (format!("{} runs", runs.len()), "; means:"),
        };
        note_text(&whose, self.group.steps, colon, runs)
    }

    /// Returns the end of a caption, which explains ± and bands.
    pub fn errors(&self) -> &'static str {
        if self.has_repeats() {
            " ± and bands: standard errors over the runs."
        } else {
            ""
        }
    }

    pub fn figure_of(&self, title: &str, x: Axis, y: Axis, chart: Chart) -> Figure {
        Figure {
            title: title.to_owned(),
            note: self.note(),
            x,
            y,
            chart,
        }
    }
}

/// Returns the note under the title of a figure of a single run.
pub fn note_of(run: &ReportedRun) -> String {
    note_text(&run.run.name, run.steps, ":", std::slice::from_ref(run))
}

fn note_text(whose: &str, steps: u64, colon: &str, runs: &[ReportedRun]) -> String {
    let sum = |of: fn(&StepSummary) -> f64| {
        let mean = Means::of_number(runs.iter().map(|run| of(&run.whole)));
        words::with_error(mean.mean, mean.error)
    };
    format!(
        "{whose}, steps 0 to {}{colon} ΣLCA {}, actual Δloss {}, residual {} nats",
        steps.saturating_sub(1),
        sum(|all| all.total),
        sum(|all| all.loss_after - all.loss_before),
        sum(|all| all.residual),
    )
}

/// Returns a chart of curves, with bands if there are several runs.
pub fn curves(x: Vec<f64>, curves: Vec<(String, Means)>) -> Chart {
    let errors = curves.iter().map(|(_, means)| means.errors()).collect();
    let series = (curves.into_iter())
        .map(|(name, means)| series(name, means.values()))
        .collect();
    Chart::Bands { x, series, errors }
}

/// Returns a chart of bars, with whiskers if there are several runs.
pub fn bars(names: Vec<String>, bars: Vec<(&str, Means)>) -> Chart {
    let errors = bars.iter().map(|(_, means)| means.errors()).collect();
    let series = (bars.into_iter())
        .map(|(name, means)| series(name, means.values()))
        .collect();
    Chart::Bars {
        names,
        series,
        errors,
    }
}

pub fn series(name: impl Into<String>, values: Vec<f64>) -> Series {
    Series {
        name: name.into(),
        values,
    }
}

/// Formats a mean with its error and unit: `−1.2 ± 0.1 nats`.
pub fn mean_with_error(mean: Mean, unit: &str) -> String {
    let number = words::with_error(mean.mean, mean.error);
    match unit {
        "" => number,
        unit => format!("{number}\u{a0}{unit}"),
    }
}

/// Ends a text with a full stop.
pub fn sentence(text: &str) -> String {
    let mut text = text.trim().to_owned();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}

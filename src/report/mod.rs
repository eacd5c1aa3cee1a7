//! Reports of one or several runs, for people who did not watch them.
//!
//! ```text
//! runs ─▶ groups of repeats ─▶ Document: sections of paragraphs, tables, figures
//!                                 ─▶ report.md, report.html, data/NAME.csv, figures/NAME.svg
//! ```
//!
//! [`document`] knows nothing of runs: other code builds a [`Document`] and [`save`](Document::save)s it. The sections
//! about runs are in `sections`, one file per topic. All numbers come from [`query`](crate::query),
//! [`sheet`](crate::sheet) and [`analysis`](crate::analysis); here they are averaged over repeats and put into words.

mod compare;
pub mod document;
mod html;
mod markdown;
mod page;
mod repeats;
mod runs;
mod save;
mod sections;
pub(crate) mod words;

pub use document::{Block, CaptionedExhibit, Document, Section};
pub use runs::{ReportedRun, RunFile, RunGroup, grouped};
pub use save::{SaveError, check};

use crate::export::Uneven;
use crate::sheet::SheetError;
use crate::store::StoreError;
use page::Page;

/// A reason why there is no report, or a part of it is missing.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Uneven(#[from] Uneven),
    /// The run does not contain the data: the reason, and what to do.
    #[error("{0}")]
    Unknown(String),
}

impl From<SheetError> for ReportError {
    fn from(error: SheetError) -> Self {
        match error {
            SheetError::Store(error) => Self::Store(error),
            SheetError::Uneven(error) => Self::Uneven(error),
            SheetError::Unknown(why) | SheetError::Request(why) => Self::Unknown(why),
        }
    }
}

/// Creates the report of these runs. Repeats of one configuration are averaged; configurations follow one another.
///
/// # Errors
/// A file cannot be read, or no run has a step.
pub fn report(runs: &[RunFile]) -> Result<Document, ReportError> {
    let (groups, empty) = grouped(runs)?;
    let mut document = Document::new(title(runs, &groups));
    if groups.is_empty() {
        let what = "no run has any steps yet: nothing to report".to_owned();
        return Err(ReportError::Unknown(what));
    }
    compare::preface(&mut document, &groups, &empty);
    if groups.len() > 1 {
        compare::differences(&mut document, &groups)?;
    }
    for (index, group) in groups.iter().enumerate() {
        let label = crate::runs::letter(index);
        let prefix = match groups.len() {
            1 => String::new(),
            _ => format!("{}-", label.to_ascii_lowercase()),
        };
        if groups.len() > 1 {
            let heading = compare::heading(&label, &groups, index);
            document.section(heading);
        }
        sections::write(&mut Page {
            document: &mut document,
            group,
            prefix,
        })?;
    }
    Ok(document)
}

/// Adds the results of runs of one configuration, as parts of the document's last section. Names of tables and figures
/// begin with `prefix`, which must not be empty.
///
/// # Errors
/// A file cannot be read.
pub fn add(document: &mut Document, runs: &[RunFile], prefix: &str) -> Result<(), ReportError> {
    for group in &grouped(runs)?.0 {
        sections::write(&mut Page {
            document,
            group,
            prefix: format!("{prefix}-"),
        })?;
    }
    Ok(())
}

fn title(runs: &[RunFile], groups: &[RunGroup]) -> String {
    match (runs, groups) {
        ([run], _) => format!("Loss Change Allocation of {}", run.name),
        (runs, [group]) => format!(
            "Loss Change Allocation of {} runs of {}",
            runs.len(),
            group.runs.first().map_or("", |run| &run.header().network)
        ),
        (runs, groups) => format!(
            "Loss Change Allocation of {} runs in {} configurations",
            runs.len(),
            groups.len()
        ),
    }
}

//! Sections of a report on a group of runs: one file per topic, in reading order.

mod allocations;
mod classes;
mod concentration;
mod cost;
mod findings;
mod held_out;
mod help;
mod layers;
mod loss;
mod oscillation;
mod summary;
mod synchronisation;
mod units;

use super::ReportError;
use super::page::Page;

/// Writes all sections.
///
/// # Errors
/// A file cannot be read.
pub fn write(page: &mut Page) -> Result<(), ReportError> {
    page.section("What happened", findings::write)?;
    page.section("Summary", summary::write)?;
    page.section("Loss and cumulative LCA", loss::write)?;
    page.section("LCA by layer and tensor", layers::write)?;
    page.section("How many parameters help", help::over_steps)?;
    page.section("How often parameters help", help::of_parameters)?;
    page.section("Sizes of allocations", allocations::write)?;
    page.section("Concentration", concentration::write)?;
    page.section("Oscillation", oscillation::write)?;
    page.section("Lag of updates", oscillation::lag)?;
    page.section("Synchronisation", synchronisation::write)?;
    page.section("Classes", classes::write)?;
    page.section("Units", units::write)?;
    page.section("Training and held-out LCA", held_out::write)?;
    page.section("Residuals and cost", cost::write)
}

/// Queries a run and unwraps the expected kind of answer.
macro_rules! asked {
    ($run:expr, $topic:expr, $columns:expr, $kind:ident) => {
        match $run.query_all_steps($topic, $columns)? {
            $crate::query::Answer::$kind(answer) => answer,
            other => {
                let what = format!("an answer to another question, a bug: {other:?}");
                return Err($crate::report::ReportError::Unknown(what));
            }
        }
    };
}
use asked;

/// Converts a layer's index to that of queries.
fn index(layer: usize) -> u32 {
    u32::try_from(layer).unwrap_or(u32::MAX)
}

//! `lcascope report`: what runs have shown, as a folder that can be handed on.

use std::process::ExitCode;

use super::Failure;
use super::standing::harmless;
use crate::cli::ReportArgs;
use crate::report::{self, Block, Run};

/// Writes the report, and says where it is.
///
/// # Errors
/// The folder holds something else, or a run cannot be read.
pub fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    report::check(&args.output, args.force)?;
    let runs = args.files.iter().map(|file| Run::open(file));
    let runs = runs.collect::<Result<Vec<_>, _>>()?;
    let document = report::report(&runs)?;
    document.save(&args.output, args.force)?;
    let blocks = document
        .sections()
        .iter()
        .flat_map(|section| &section.blocks);
    let pictured = |block: &&Block| match block {
        Block::Exhibit(exhibit) => exhibit.figure.is_some(),
        _ => false,
    };
    let figures = blocks.filter(pictured).count();
    let headed = document
        .sections()
        .iter()
        .filter(|section| !section.heading.is_empty());
    let (page, sections) = (args.output.join("report.html"), headed.count());
    let shown = harmless(&page.display().to_string());
    super::print(format!("{shown}: {sections} sections, {figures} figures\n").as_bytes())
}

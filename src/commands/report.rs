//! `lcascope report`: writes the results of runs into a folder that can be passed on.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::ReportArgs;
use crate::config::ConfigError;
use crate::report::{self, Block, RunFile};
use crate::supervise::{Failure, print};
use crate::text::harmless;

/// Writes the report, and prints where it is.
///
/// # Errors
/// The folder holds something else or one of the runs, or a run cannot be read.
pub fn report(args: &ReportArgs) -> Result<ExitCode, Failure> {
    report::check(&args.output, args.force)?;
    let folder = args.output.canonicalize();
    let inside = |file: &&PathBuf| {
        let file = file.canonicalize();
        file.is_ok_and(|file| folder.as_ref().is_ok_and(|folder| file.starts_with(folder)))
    };
    if let Some(file) = args.files.iter().find(inside) {
        let [file, folder] = [file, &args.output].map(|it| harmless(&it.display().to_string()));
        return Err(Failure::Usage(ConfigError(format!(
            "the run file {file} is in {folder}: choose another --output"
        ))));
    }
    let runs = args.files.iter().map(|file| RunFile::open(file));
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
    print(format!("{shown}: {sections} sections, {figures} figures\n").as_bytes())
}

//! `lcascope export`: writes a view of a run to a file.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::output::CommandInputs;
use crate::cli::{ExportArgs, StepRange, ViewChoice};
use crate::config::ConfigError;
use crate::export::Format;
use crate::record::RunHeader;
use crate::rename::{self, Identity};
use crate::sheet::{SheetRequest, View};
use crate::store;
use crate::supervise::export::{self, cannot_write};
use crate::supervise::export_jobs::stem;
use crate::supervise::{Failure, print};
use crate::text::harmless;

/// The most layer names listed in a message.
const NAMES: usize = 40;

/// Writes the requested view, and reports what was written.
///
/// # Errors
/// The request does not fit the run, the run cannot be read, or the file cannot be written.
pub fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let view = match args.view {
        ViewChoice::List => return print(views().as_bytes()),
        ViewChoice::View(view) => view,
    };
    let format = format(args)?;
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    if to_stdout && !format.is_text() {
        let what = format!("{format} is a binary format: give a file with --output");
        return Err(usage(what));
    }
    let output = match &args.output {
        Some(path) => path.clone(),
        None => default_output(&args.file, view, format),
    };
    let (target, old) = if to_stdout {
        (output.clone(), None)
    } else {
        // Check before the work: the file is written only at the end.
        check_output(&output, args)?
    };
    let range = args.steps.unwrap_or_default();
    let exhibit = export::make_exhibit(&args.file, range.to, |header, committed| {
        Ok(SheetRequest {
            view,
            steps: steps(range, committed)?,
            every: args.every,
            layer: layer(args.layer.as_deref(), header)?,
            unit: args.unit,
            parameter: args.parameter,
        })
    })?;
    if to_stdout {
        return print(&export::content(&exhibit, format)?);
    }
    export::save(&exhibit, format, &target, old)?;
    let shown = harmless(&output.display().to_string());
    let said = if format.is_picture() {
        format!("{shown}: {}\n", exhibit.figure.title)
    } else {
        let (rows, columns) = (exhibit.table.rows(), exhibit.table.columns().len());
        format!("{shown}: {rows} rows, {columns} columns\n")
    };
    print(said.as_bytes())
}

fn usage(what: String) -> Failure {
    Failure::Usage(ConfigError(what))
}

/// The views, one line each.
fn views() -> String {
    let mut out = String::new();
    for view in View::ALL {
        let (name, what) = view.words();
        let _ = writeln!(out, "{name:14} {what}");
    }
    out
}

fn format(args: &ExportArgs) -> Result<Format, Failure> {
    if let Some(format) = args.format {
        return Ok(format);
    }
    let end = args.output.as_deref().and_then(Path::extension);
    match end {
        None => Ok(Format::Csv),
        Some(end) => {
            let end = end.to_string_lossy().to_ascii_lowercase();
            end.parse().map_err(|_| {
                usage(format!(
                    "unknown extension `.{}`: give --format csv, json, parquet, svg or png",
                    harmless(&end)
                ))
            })
        }
    }
}

/// `RUN-VIEW.FORMAT` in the working directory.
fn default_output(run: &Path, view: View, format: Format) -> PathBuf {
    let mut name = stem(run).to_os_string();
    name.push(format!("-{view}.{format}"));
    PathBuf::from(name)
}

/// The requested steps, checked against those committed.
fn steps(range: StepRange, committed: u64) -> Result<Range<u64>, Failure> {
    let (from, to) = (range.from.unwrap_or(0), range.to.unwrap_or(committed));
    if to > committed || (from >= to && (from, to) != (0, 0)) {
        let from = range.from.map(|step| step.to_string()).unwrap_or_default();
        let to = range.to.map(|step| step.to_string()).unwrap_or_default();
        return Err(usage(format!(
            "--steps {from}..{to}: the run has {committed} steps, counted from 0"
        )));
    }
    Ok(from..to)
}

fn layer(name: Option<&str>, header: &RunHeader) -> Result<Option<usize>, Failure> {
    let Some(name) = name else { return Ok(None) };
    let layers = &header.layout.layers;
    if let Some(index) = layers.iter().position(|layer| layer.name == name) {
        return Ok(Some(index));
    }
    let mut names: Vec<&str> = layers.iter().take(NAMES).map(|l| l.name.as_str()).collect();
    if layers.len() > NAMES {
        names.push("…");
    }
    Err(usage(format!(
        "--layer {}: unknown layer ({})",
        harmless(name),
        names.join(", ")
    )))
}

/// Refuses outputs that must not be replaced. Returns the path to write to, which is the target of a link, as with `>`,
/// and the file there.
fn check_output(output: &Path, args: &ExportArgs) -> Result<(PathBuf, Option<Identity>), Failure> {
    let shown = harmless(&output.display().to_string());
    let Some(behind) = store::regular_at(output)? else {
        return Ok((output.to_owned(), None));
    };
    let there = rename::identity(&behind).map_err(|error| cannot_write(output, &error))?;
    if !args.force {
        return Err(usage(format!(
            "{shown} exists: choose another --output, or overwrite it with --force"
        )));
    }
    if CommandInputs::files(&[&args.file])
        .holding(&behind)
        .is_some()
    {
        return Err(usage(format!(
            "{shown} is the run file itself: choose another --output"
        )));
    }
    Ok((behind, Some(there)))
}

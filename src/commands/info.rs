//! `lcascope info`: summarises a run file and checks that its sums close.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use toml::{Table as Toml, Value};

use super::info_json;
use super::resume::how_to_resume;
use super::run_read::RunRead;
use crate::analysis::numbers;
use crate::app::RunModel;
use crate::config::RECORDING;
use crate::query::data_lints;
use crate::record::{RunHeader, Status};
use crate::store::{RunReader, RunState};
use crate::supervise::{Failure, print, summary};
use crate::text::harmless;

/// Prints the header, the state, the totals by layer and how well they close, as text or as one line of JSON.
///
/// # Errors
/// The file is not a run, or cannot be read.
pub fn info(path: &Path, json: bool) -> Result<ExitCode, Failure> {
    let run = RunRead::of(path)?;
    if json {
        let config = settings(run.reader.header());
        return print(format!("{}\n", info_json::described(&run, &config)).as_bytes());
    }
    let mut out = String::new();
    describe(&mut out, path, &run.reader, &run.state, &run.model);
    if run.state.committed > 0 {
        summary::layers(&mut out, &run.model);
    }
    what_happened(&mut out, &run);
    print(out.as_bytes())
}

/// Writes what happened, in sentences; before the first step, warnings about the data.
fn what_happened(out: &mut String, run: &RunRead) {
    if run.findings.is_empty() {
        for lint in data_lints(run.reader.header(), None) {
            let _ = writeln!(out, "{:<12} {}", lint.severity.name(), lint.text);
        }
        return;
    }
    let _ = writeln!(out, "\nwhat happened");
    for finding in &run.findings {
        let sign = if finding.is_trouble { '!' } else { '-' };
        let _ = writeln!(out, "{sign} {}", harmless(&finding.text));
    }
}

/// The settings of a run; of a recording, those under their own heading.
fn settings(header: &RunHeader) -> Toml {
    let mut config: Toml = header.config.parse().unwrap_or_default();
    match config.remove(RECORDING) {
        Some(Value::Table(recording)) => recording,
        _ => config,
    }
}

fn describe(out: &mut String, path: &Path, reader: &RunReader, state: &RunState, model: &RunModel) {
    let header = reader.header();
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<12} {value}");
    };
    line("file", format!("{} ({size} bytes)", path.display()));
    line(
        "written by",
        format!("{}, {}", header.producer, header.created),
    );
    line("status", status(state, header, path));
    line("steps", steps(state, header, model));
    line(
        "network",
        format!("{}, {} parameters", header.network, header.layout.params()),
    );
    let aside = match header.validation_index.len() {
        0 => String::new(),
        n => format!(", {n} for validation"),
    };
    let allocated =
        (header.allocated_examples()).map_or(String::new(), |n| format!(" ({n} of them for LCA)"));
    line(
        "data",
        format!(
            "{}: {} for training{allocated}, {} held out{aside}",
            header.dataset,
            header.train_index.len(),
            header.test_index.len()
        ),
    );
    if !header.dataset_sha256.is_empty() {
        line("sha256", header.dataset_sha256.clone());
    }
    let config = settings(header);
    for (name, value) in training(&config) {
        line(name, value);
    }
    if let Some(path) = path_taken(&config, &header.trajectory_files) {
        line("path", path);
    }
    line("device", header.device.clone());
    line(
        "integrator",
        format!(
            "{}, tolerance {} nats per step",
            header.integrator, header.tolerance
        ),
    );
    if header.slice_size > 0 {
        line("slices", format!("{} examples", header.slice_size));
    }
    line("seed", header.seed.to_string());
    line("recorded", recorded(header, &config));
    for (filters, built_in) in reader.filters() {
        let note = if built_in {
            ""
        } else {
            " (other programs need its HDF5 plug-in for per-parameter arrays; Python: import hdf5plugin)"
        };
        line("compression", format!("{filters}{note}"));
    }
}

fn status(state: &RunState, header: &RunHeader, path: &Path) -> String {
    let mut status = state.status.name().to_owned();
    if state.status == Status::Running {
        if state.writer_is_lost() {
            "crashed".clone_into(&mut status);
        } else if state.paused {
            status.push_str(", paused");
        }
        let _ = write!(status, ", updated {:.0} s ago", state.silent);
        if state.writer_is_lost() {
            let how = how_to_resume(&header.config, path);
            let _ = write!(status, "; resume it{how}");
        }
    }
    if !state.message.is_empty() {
        let _ = write!(status, ": {}", state.message);
    }
    status
}

/// The numbers of steps, and the speed.
fn steps(state: &RunState, header: &RunHeader, model: &RunModel) -> String {
    let mut steps = match header.planned_steps {
        0 => state.committed.to_string(),
        planned => format!("{} of {planned}", state.committed),
    };
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
    let speed = |seconds: f64| numbers::speed(state.committed as f64 / seconds);
    if let Some(seconds) = model
        .timeline
        .last()
        .map(|last| last.seconds)
        .filter(|s| *s > 0.0)
    {
        let _ = write!(steps, ", {}", speed(seconds));
    }
    if let Some(every) = header.chord() {
        let _ = write!(steps, ", each of {every} optimizer steps");
    }
    steps
}

/// The data recorded beyond sums and counts.
fn recorded(header: &RunHeader, config: &Toml) -> String {
    let mut extras = vec![format!("{} traced parameters", header.traced.len())];
    for (there, what) in [
        (header.held_out_lca, "held-out LCA".to_owned()),
        (
            config_value(config, "by_class").as_deref() == Some("true"),
            by_class(config),
        ),
        (header.record_params > 0, "LCA of all parameters".to_owned()),
        (header.record_weights > 0, "weights".to_owned()),
    ] {
        if there {
            extras.push(what);
        }
    }
    extras.join(", ")
}

/// The configuration's value for a key, on one line.
fn config_value(config: &Toml, key: &str) -> Option<String> {
    let text = match config.get(key)? {
        Value::String(text) => text.clone(),
        Value::Float(value) => numbers::chosen(*value),
        value => value.to_string(),
    };
    Some(harmless(&text))
}

/// The settings of the training, as far as the configuration says; empty for a run that followed a path.
fn training(config: &Toml) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(optimizer) = config_value(config, "optimizer") {
        let mut parts = vec![optimizer];
        for (key, name) in [
            ("learning_rate", "learning rate"),
            ("momentum", "momentum"),
            ("weight_decay", "weight decay"),
            ("schedule", "schedule"),
            ("batch_size", "batch size"),
        ] {
            parts.extend(config_value(config, key).map(|value| format!("{name} {value}")));
        }
        lines.push(("training", parts.join(", ")));
    }
    let rules = config.get("layer").and_then(Value::as_array);
    let rules: Vec<&str> = rules
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !rules.is_empty() {
        lines.push(("layers", harmless(&rules.join("; "))));
    }
    lines
}

fn by_class(config: &Toml) -> String {
    match config_value(config, "class_every") {
        Some(every) if every != "1" => format!("LCA by class every {every} steps"),
        _ => "LCA by class".to_owned(),
    }
}

/// The path that a run followed instead of training, and the files of its points in order; none for other runs.
fn path_taken(config: &Toml, files: &[String]) -> Option<String> {
    /// Names shown at either end of a long list.
    const SHOWN: usize = 6;
    let mut text = format!("weights of {}", config_value(config, "course")?);
    if let Some(steps) = config_value(config, "straight") {
        let _ = write!(text, ", on a straight line in {steps} steps");
    }
    let renames = config.get("rename").and_then(Value::as_array);
    let renames: Vec<&str> = (renames.into_iter().flatten().filter_map(Value::as_str)).collect();
    if !renames.is_empty() {
        let _ = write!(text, ", tensors renamed {}", harmless(&renames.join(", ")));
    }
    let names: Vec<String> = files.iter().map(|name| harmless(name)).collect();
    let (first, last) = if names.len() > 2 * SHOWN {
        (&names[..SHOWN], &names[names.len() - SHOWN..])
    } else {
        (&names[..], &names[..0])
    };
    if !first.is_empty() {
        let _ = write!(
            text,
            ", {} points in this order: {}",
            names.len(),
            first.join(", ")
        );
    }
    if !last.is_empty() {
        let _ = write!(
            text,
            ", … ({} more), {}",
            names.len() - 2 * SHOWN,
            last.join(", ")
        );
    }
    Some(text)
}

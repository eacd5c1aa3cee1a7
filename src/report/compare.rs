//! Introduction of a report: its purpose, the runs in it, and how their configurations differ.

use super::ReportError;
use super::document::Document;
use super::page::{NATS, PERCENT};
use super::repeats::Means;
use super::runs::{ReportedRun, RunFile, RunGroup};
use super::words::counted;
use crate::analysis::help::Help;
use crate::export::{Column, Table};
use crate::runs::{self, Settings};

/// A result of a run: its name, its unit, and how to read it.
type ComparedResult = (&'static str, Option<&'static str>, fn(&ReportedRun) -> f64);

/// Maximum number of differences named in a heading.
const NAMED: usize = 3;

/// Writes what a reader must know.
pub fn preface(document: &mut Document, groups: &[RunGroup], empty: &[&RunFile]) {
    let producer = groups.first().and_then(|group| group.runs.first());
    let producer = producer.map_or("", |run| &run.header().producer);
    document.note = format!(
        "Recorded by {producer}, reported by lcascope {}.",
        env!("CARGO_PKG_VERSION")
    );
    document.text(
        "Loss Change Allocation (LCA) divides the change in training loss of each step among all parameters. \
         Like the loss, it is measured in nats. Below zero, a parameter helped: it lowered the loss. Above \
         zero, it hurt. At zero, it was idle. Allocations add up over the parameters of a tensor, a layer or \
         the network, and over steps. The remainder, the residual, is the error of the integration along the step.",
    );
    for group in groups {
        for copy in &group.copies {
            document.text(format!(
                "{} has the same configuration and seed ({}) as another of these runs: it is a copy, not a \
                 repeat, and is left out.",
                copy.name,
                copy.header().seed
            ));
        }
        let longer = group
            .runs
            .iter()
            .map(|run| run.run)
            .filter(|run| run.state.committed > group.steps);
        for run in longer {
            document.text(format!(
                "{} has {}, but its repeats have fewer: only the first {} are reported.",
                run.name,
                counted(run.state.committed, "step"),
                group.steps
            ));
        }
    }
    for run in empty {
        document.text(format!("{} has no steps yet and is left out.", run.name));
    }
}

/// Returns the keys that differ between groups, and each group's values.
fn differing(groups: &[RunGroup]) -> Vec<(String, Vec<String>)> {
    let all: Vec<Settings> = (groups.iter())
        .map(|group| {
            let header = group.runs.first().map(ReportedRun::header);
            let Some(header) = header else {
                return Vec::new();
            };
            let mut said = runs::settings(&header.config);
            said.push(("data set".to_owned(), header.dataset.clone()));
            said.push((
                "training examples".to_owned(),
                header.train_index.len().to_string(),
            ));
            said.push(("slice size".to_owned(), header.slice_size.to_string()));
            said.push(("parameters".to_owned(), header.layout.params().to_string()));
            said
        })
        .collect();
    let all: Vec<&Settings> = all.iter().collect();
    let owned = |(key, values): (&str, Vec<&str>)| {
        let values = values.into_iter().map(str::to_owned);
        (key.to_owned(), values.collect())
    };
    runs::differing(&all).into_iter().map(owned).collect()
}

/// Returns a group's heading: `A: learning_rate = 0.1 (3 runs)`.
pub fn heading(label: &str, groups: &[RunGroup], index: usize) -> String {
    let group = &groups[index];
    let differing = differing(groups);
    let named: Vec<String> = (differing.iter().take(NAMED))
        .map(|(key, values)| format!("{key} = {}", shortened(&values[index])))
        .collect();
    let more = if differing.len() > NAMED { ", …" } else { "" };
    format!(
        "{label}: {}{more} ({})",
        named.join(", "),
        counted(group.runs.len() as u64, "run")
    )
}

/// Shortens a value: a network given inline may be long.
fn shortened(value: &str) -> String {
    match value.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

/// Writes the configurations side by side.
///
/// # Errors
/// Only on a bug: columns of different lengths.
pub fn differences(document: &mut Document, groups: &[RunGroup]) -> Result<(), ReportError> {
    document.section("Configurations");
    document.text(format!(
        "The runs have {} configurations, called A, B and so on. Means and standard errors are over runs of the \
         same configuration, which differ only in their seeds. The configurations differ in:",
        groups.len()
    ));
    let differing = differing(groups);
    let keys = differing.iter().map(|(key, _)| key.clone()).collect();
    let mut columns = vec![Column::text("setting", keys)];
    for index in 0..groups.len() {
        let values = differing
            .iter()
            .map(|(_, values)| shortened(&values[index]));
        columns.push(Column::text(runs::letter(index), values.collect()));
    }
    let shown = differing.len();
    document.table(
        "configurations",
        "",
        Table::new("configurations", columns)?,
        shown,
    );
    let of = |value: &dyn Fn(&ReportedRun) -> f64| -> Vec<crate::analysis::ttest::Mean> {
        let mean = |group: &RunGroup| Means::of_number(group.runs.iter().map(value));
        groups.iter().map(mean).collect()
    };
    let mut columns = vec![
        Column::text(
            "configuration",
            (0..groups.len()).map(runs::letter).collect(),
        ),
        Column::u64(
            "runs",
            None,
            groups.iter().map(|g| g.runs.len() as u64).collect(),
        ),
        Column::u64(
            "steps",
            None,
            groups.iter().map(|group| group.steps).collect(),
        ),
    ];
    let numbers: [ComparedResult; 6] = [
        ("training loss", NATS, |run| run.whole.loss_after),
        ("held-out loss", NATS, |run| run.whole.test_loss),
        ("held-out accuracy", PERCENT, |run| {
            100.0 * run.whole.test_accuracy
        }),
        ("ΣLCA", NATS, |run| run.whole.total),
        ("residual", NATS, |run| run.whole.residual),
        ("help", PERCENT, |run| {
            helped(run)
                .and_then(Help::percent)
                .map_or(f64::NAN, |p| p.helped)
        }),
    ];
    for (name, unit, value) in numbers {
        let means = of(&value);
        columns.push(Column::f64(
            name,
            unit,
            means.iter().map(|mean| mean.mean).collect(),
        ));
        let errors = means.iter().map(|mean| mean.error).collect();
        columns.push(Column::f64(super::document::error_of(name), unit, errors));
    }
    let caption = "At the end of the reported steps. help: share of parameters × steps with A < 0. ±: standard \
                   error over the runs.";
    document.table(
        "outcomes",
        caption,
        Table::new("outcomes", columns)?,
        groups.len(),
    );
    Ok(())
}

/// Returns the help counts over all of a run's parameters and steps.
pub fn helped(run: &ReportedRun) -> Option<Help> {
    let layers = run.header().layout.layers.iter().zip(&run.whole.layers);
    let mut all = Help::default();
    for (layer, counts) in layers {
        let chances = (layer.range.len() as u64).saturating_mul(run.steps);
        all = all.merge(Help::from_counts(counts.helped, counts.hurt, chances)?);
    }
    Some(all)
}

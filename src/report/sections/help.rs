//! Sections on how many parameters help in a step, and in how many steps a parameter helps.

use super::asked;
use crate::analysis::help::{BINS, Help};
use crate::export::{Axis, Chart, Column};
use crate::query::Topic;
use crate::report::ReportError;
use crate::report::compare::helped;
use crate::report::page::{PERCENT, Page, curves, mean_with_error};
use crate::report::repeats::{Means, column_named, numbers, real};
use crate::report::runs::ReportedRun;
use crate::report::words::with_error;
use crate::sheet::View;

pub fn over_steps(page: &mut Page) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let layers = &first.header().layout.layers;
    let layer = |run: &ReportedRun, at: usize| {
        let (layer, counts) = layers.get(at).zip(run.whole.layers.get(at))?;
        let chances = (layer.range.len() as u64).saturating_mul(run.steps);
        Help::from_counts(counts.helped, counts.hurt, chances)
    };
    // The network comes first, then its layers.
    let of = |value: &dyn Fn(Help) -> Option<f64>| {
        let number = |help: Option<Help>| help.and_then(value).unwrap_or(f64::NAN);
        let row = |run: &ReportedRun| -> Vec<f64> {
            let layers = (0..layers.len()).map(|at| number(layer(run, at)));
            std::iter::once(number(helped(run))).chain(layers).collect()
        };
        let runs: Vec<Vec<f64>> = page.group.runs.iter().map(row).collect();
        Means::of(&runs)
    };
    let help = of(&|help| help.percent().map(|p| p.helped));
    let share = of(&|help| help.helping_share().map(|share| 100.0 * share));
    let names = layers.iter().map(|layer| layer.name.clone());
    let names = std::iter::once("all layers".to_owned()).chain(names);
    let mut columns = vec![Column::text("layer", names.collect())];
    columns.extend(help.columns("help", PERCENT));
    columns.extend(of(&|help| help.percent().map(|p| p.zero)).columns("idle", PERCENT));
    columns.extend(of(&|help| help.percent().map(|p| p.hurt)).columns("hurt", PERCENT));
    columns.extend(share.columns("helping share of active", PERCENT));
    if let (Some(&help), Some(&share)) = (help.rows().first(), share.rows().first()) {
        page.text(format!(
            "On average over the steps, {} of the parameters helped. Of the active parameters, those that \
             helped or hurt, {} helped; by chance it would be half.",
            mean_with_error(help, "%"),
            mean_with_error(share, "%"),
        ));
    }
    let rows = layers.len() + 1;
    let caption = format!(
        "Shares of parameters × steps. Idle parameters did not move or had no gradient.{}",
        page.errors()
    );
    page.table("help", &caption, columns, rows)?;
    by_step(page)
}

fn by_step(page: &mut Page) -> Result<(), ReportError> {
    let every = page.every();
    let mut of = [const { Vec::new() }; 3];
    let mut x = Vec::new();
    for run in &page.group.runs {
        let table = run.table(View::Helping, every)?;
        x = column_named(&table, "step");
        for (at, of) in of.iter_mut().enumerate() {
            of.push(numbers(&table, 2 + at));
        }
    }
    let mut columns = vec![Column::f64("step", None, x.clone())];
    let mut lines = Vec::new();
    for (name, runs) in ["help", "hurt", "idle"].into_iter().zip(&of) {
        let means = Means::of(runs);
        columns.extend(means.columns(name, PERCENT));
        lines.push((name.to_owned(), means));
    }
    let half = vec![vec![50.0; x.len()]];
    lines.push(("50 %".to_owned(), Means::of(&half)));
    let axes = (Axis::steps(), Axis::new("parameters", PERCENT));
    let figure = page.figure_of(
        "Parameters that help, hurt and are idle",
        axes.0,
        axes.1,
        curves(x, lines),
    );
    let caption = format!("Share of all parameters in each step.{}", page.errors());
    page.figure("helping", &caption, columns, figure)
}

pub fn of_parameters(page: &mut Page) -> Result<(), ReportError> {
    let mut runs = Vec::new();
    let mut means = Vec::new();
    let mut after = Vec::new();
    for run in &page.group.runs {
        let snapshot = asked!(run, Topic::Snapshot { layer: None }, 1, Snapshot);
        let params = real(snapshot.params);
        runs.push(
            (snapshot.helped.iter().map(|n| 100.0 * real(*n) / params)).collect::<Vec<f64>>(),
        );
        means.push(100.0 * snapshot.mean_helped);
        after.push(snapshot.steps);
    }
    let (least, most) = (after.iter().min().copied(), after.iter().max().copied());
    let (least, most) = (least.unwrap_or(0), most.unwrap_or(0));
    let steps = if least == most {
        format!("the first {least} steps")
    } else {
        format!("the first {least} to {most} steps")
    };
    let mean = Means::of_number(means);
    page.text(format!(
        "On average, a parameter helped in {} % of {steps}.",
        with_error(mean.mean, mean.error)
    ));
    let shares = Means::of(&runs);
    let edges: Vec<f64> = (0..=BINS as u64).map(|edge| 2.0 * real(edge)).collect();
    let mut columns = vec![
        Column::f64("from", PERCENT, edges[..BINS].to_vec()),
        Column::f64("to", PERCENT, edges[1..].to_vec()),
    ];
    columns.extend(shares.columns("parameters", PERCENT));
    let chart = Chart::Histogram {
        edges,
        counts: shares.values(),
        mark: Some((mean.mean, "mean".to_owned())),
    };
    let x = Axis::new(
        format!("share of {steps} in which a parameter helped"),
        PERCENT,
    );
    let y = Axis::new("parameters", PERCENT);
    let figure = page.figure_of("How often parameters help", x, y, chart);
    let caption = "In bins of 2 %, lower edge included. Parameters that are always idle, such as weights of \
                   pixels that are always black, are at 0.";
    page.figure("iterations-helped", caption, columns, figure)
}

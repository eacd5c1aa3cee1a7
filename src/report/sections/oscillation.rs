//! Section on the sign flips of updates and gradients, and on the lag of updates.

use std::fmt::Write;

use super::{asked, index};
use crate::analysis::oscillation::every;
use crate::analysis::ttest::Mean;
use crate::export::{Axis, Column};
use crate::query::{BestLag, Oscillation, Topic};
use crate::report::ReportError;
use crate::report::page::{Page, STEPS, bars};
use crate::report::repeats::Means;
use crate::report::words::with_error;

/// Maximum number of layers that are described in a sentence each.
const SENTENCES: usize = 6;

/// Maximum number of layers in the table of lags between layers.
const GRID: usize = 12;

/// `[runs][layers]`
fn oscillations(page: &Page) -> Result<Vec<Vec<Oscillation>>, ReportError> {
    let mut runs = Vec::new();
    for run in &page.group.runs {
        let mut layers = Vec::new();
        for layer in 0..run.header().layout.layers.len() {
            let layer = index(layer);
            layers.push(*asked!(run, Topic::Oscillation { layer }, 1, Oscillation));
        }
        runs.push(layers);
    }
    Ok(runs)
}

fn names(page: &Page) -> Vec<String> {
    let first = page.group.runs.first();
    let layers = first.map_or(&[][..], |run| &run.header().layout.layers);
    layers.iter().map(|layer| layer.name.clone()).collect()
}

/// Takes the means of one number per layer.
fn means(runs: &[Vec<Oscillation>], value: impl Fn(&Oscillation) -> f64) -> Means {
    let runs: Vec<Vec<f64>> = runs
        .iter()
        .map(|run| run.iter().map(&value).collect())
        .collect();
    Means::of(&runs)
}

/// Returns the mean number of steps per occurrence, or NaN (left out of means) if nothing occurred or was recorded.
fn steps_per_occurrence(steps: u64, count: Option<u64>) -> f64 {
    match count {
        None | Some(0) => f64::NAN,
        Some(count) => every(steps, count),
    }
}

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let runs = oscillations(page)?;
    let names = names(page);
    let turn = means(&runs, |o| {
        steps_per_occurrence(o.param_steps, o.update_flips)
    });
    let cross = means(&runs, |o| {
        steps_per_occurrence(o.param_steps, o.gradient_flips)
    });
    sentences(page, &runs, &names, [&turn, &cross]);
    let mut columns = vec![Column::text("layer", names.clone())];
    columns.extend(turn.columns("sign flip of updates every", STEPS));
    columns.extend(cross.columns("sign flip of gradients every", STEPS));
    let gradient_turns = means(&runs, |o| {
        steps_per_occurrence(o.param_steps, o.gradient_turns)
    });
    columns.extend(gradient_turns.columns("turning point of gradients every", STEPS));
    let turns = means(&runs, |o| steps_per_occurrence(o.param_steps, o.lca_turns));
    columns.extend(turns.columns("turning point of LCA every", STEPS));
    let own = means(&runs, |o| steps_per_occurrence(o.measured, Some(o.turns)));
    columns.extend(own.columns("turning point of layer LCA every", STEPS));
    let period = means(&runs, |o| o.period.map_or(f64::NAN, |(steps, _)| steps));
    columns.extend(period.columns("period of layer LCA", STEPS));
    let strength = means(&runs, |o| {
        o.period.map_or(f64::NAN, |(_, strength)| strength)
    });
    columns.extend(strength.columns("autocorrelation at the period", None));
    let chart = bars(
        names,
        vec![
            ("sign flip of updates", turn),
            ("sign flip of gradients", cross),
        ],
    );
    let x = Axis::new("sign flip every", STEPS);
    let figure = page.figure_of("Oscillation", x, Axis::default(), chart);
    let rows = runs.first().map_or(0, Vec::len);
    let caption = format!(
        "Averages over the parameters of a layer: parameters × steps / sign flips. An update’s sign flips where \
         the parameter moves against its previous step; a full oscillation has two flips. At a turning point, a \
         rise becomes a fall, or the reverse. The period is that of the layer’s LCA, if it has one.{}",
        page.errors()
    );
    page.figure_and_table("oscillation", &caption, columns, figure, rows)
}

/// Writes sentences about the network, and about its layers if they are few.
fn sentences(page: &mut Page, runs: &[Vec<Oscillation>], names: &[String], of: [&Means; 2]) {
    let all = |count: fn(&Oscillation) -> Option<u64>| {
        Means::of_number(runs.iter().map(|layers| {
            let steps = layers.iter().map(|o| o.param_steps);
            let mut counts = layers.iter().map(count);
            let counts = counts.try_fold(0, |sum: u64, n| Some(sum.saturating_add(n?)));
            steps_per_occurrence(steps.fold(0, u64::saturating_add), counts)
        }))
    };
    // Distinguishes a count that was not recorded from a count of zero.
    let recorded = |count: fn(&Oscillation) -> Option<u64>| {
        let mut all = runs.iter().flatten();
        all.any(|o| count(o).is_some())
    };
    let said = |mean: &Mean, recorded: bool| match (mean.n, recorded) {
        (0, true) => "never".to_owned(),
        (0, false) => "not recorded".to_owned(),
        _ => format!("every {} steps", with_error(mean.mean, mean.error)),
    };
    let (turn, cross) = (all(|o| o.update_flips), all(|o| o.gradient_flips));
    let turns = recorded(|o| o.update_flips);
    let crosses = recorded(|o| o.gradient_flips);
    let mut text = format!(
        "On average over all parameters: sign flip of updates {}, of gradients {}.",
        said(&turn, turns),
        said(&cross, crosses)
    );
    if (2..=SENTENCES).contains(&names.len()) {
        let layers = names.iter().zip(of[0].rows()).zip(of[1].rows());
        for ((name, turn), cross) in layers {
            let _ = write!(
                text,
                " {name}: {} and {}.",
                said(turn, turns),
                said(cross, crosses)
            );
        }
    }
    page.text(text);
}

fn lag_of(lag: Option<BestLag>) -> f64 {
    lag.map_or(f64::NAN, |lag| f64::from(lag.steps))
}

fn strength_of(lag: Option<BestLag>) -> f64 {
    lag.map_or(f64::NAN, |lag| lag.correlation)
}

pub fn lag(page: &mut Page) -> Result<(), ReportError> {
    let runs = oscillations(page)?;
    let names = names(page);
    page.text(
        "How many steps the updates lag the negative gradient: the lag, from −10 to 10 steps, at which their \
         correlation is largest. Momentum m alone delays by m/(1 − m) steps on average. The hypothesis is that \
         layers that hurt lag in an oscillation.",
    );
    let traced = means(&runs, |o| lag_of(o.traced));
    let expected = means(&runs, |o| o.expected.unwrap_or(f64::NAN));
    let mut columns = vec![Column::text("layer", names.clone())];
    columns.extend(traced.columns("lag of traced parameters", STEPS));
    columns.extend(means(&runs, |o| strength_of(o.traced)).columns("correlation", None));
    columns.push(Column::f64(
        "traced parameters",
        None,
        means(&runs, |o| f64::from(o.traced_used)).values(),
    ));
    columns.extend(means(&runs, |o| lag_of(o.norms)).columns("lag of the norms", STEPS));
    columns
        .extend(means(&runs, |o| strength_of(o.norms)).columns("correlation of the norms", None));
    columns.push(Column::f64("by momentum alone", STEPS, expected.values()));
    let untraced = runs.iter().flatten().all(|o| o.traced.is_none());
    if untraced {
        page.text(
            "Not recorded: no traced parameters that move; train with --trace N to trace N parameters.",
        );
    }
    let chart = bars(
        names.clone(),
        vec![
            ("traced parameters", traced),
            ("by momentum alone", expected),
        ],
    );
    let x = Axis::new("lag", STEPS);
    let figure = page.figure_of(
        "Lag of updates behind the negative gradient",
        x,
        Axis::default(),
        chart,
    );
    let caption = format!(
        "For traced parameters, the lag of the mean of their correlations; for norms, that of the layer’s ‖Δ‖ \
         behind its ‖g‖. Over the last 4096 steps.{}",
        page.errors()
    );
    page.figure_and_table("lag", &caption, columns, figure, names.len())?;
    grid(page, &runs, &names)
}

/// Writes the lag of each layer's LCA behind every other's.
fn grid(page: &mut Page, runs: &[Vec<Oscillation>], names: &[String]) -> Result<(), ReportError> {
    if names.len() < 2 {
        return Ok(());
    }
    let other = |o: &Oscillation, other: usize| o.others.get(other).copied().flatten();
    let mut columns = vec![Column::text("LCA of", names.to_vec())];
    for (at, name) in names.iter().enumerate() {
        let lags = means(runs, |o| lag_of(other(o, at)));
        columns.extend(lags.columns(&format!("behind {name}"), STEPS));
    }
    let rows = if names.len() <= GRID { names.len() } else { 0 };
    let caption = format!(
        "How many steps a layer’s LCA (row) lags that of another (column), at the largest correlation; below 0, \
         it leads.{}",
        page.errors()
    );
    page.table("lags-between-layers", &caption, columns, rows)
}

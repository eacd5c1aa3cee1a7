//! The running totals of every parameter, from the latest snapshot in the steps that are wanted.

use super::overview::NATS;
use super::source::{Source, number};
use super::{MOST_NUMBERS, SheetError};
use crate::analysis::help::{BINS, iterations_helped};
use crate::export::{Axis, Chart, Column, Sheet};

/// A row a parameter; the figure shows in how many of the steps they helped.
pub fn parameters(source: &Source) -> Result<Sheet, SheetError> {
    let unknown = |what: String| Err(SheetError::Unknown(what));
    if source.request.steps.start > 0 || source.request.every > 1 {
        let what = "totals of parameters are over all steps from the first one on: leave --every and \
                    the A of --steps A..B out";
        return unknown(what.to_owned());
    }
    let layout = &source.header().layout;
    let params = match source.layers().first() {
        Some((_, layer)) if source.request.layer.is_some() => layer.range.clone(),
        _ => 0..layout.params(),
    };
    if params.len() as u64 * 6 > MOST_NUMBERS {
        return unknown(format!(
            "{} parameters are too many at once: give --layer NAME",
            params.len()
        ));
    }
    let there = source.reader.snapshot_steps()?;
    let end = source.request.steps.end;
    let latest = there.iter().rfind(|&&steps| steps <= end);
    let totals = match latest {
        Some(&steps) => source
            .reader
            .totals_snapshot(steps, &params)?
            .map(|sums| (steps, sums)),
        None => None,
    };
    let Some((steps, sums)) = totals else {
        return unknown(format!(
            "the parameters' totals are not recorded by step {end}; there are snapshots after {there:?} steps"
        ));
    };
    let mut tensors = Vec::with_capacity(params.len());
    for tensor in &layout.tensors {
        let inside = tensor.range.start.max(params.start)..tensor.range.end.min(params.end);
        tensors.extend(inside.map(|_| tensor.name.clone()));
    }
    let counts = |counts: &[u32]| counts.iter().copied().map(u64::from).collect();
    let helped = iterations_helped(&sums.helped, steps);
    let columns = vec![
        Column::u64(
            "parameter",
            None,
            params.map(|index| index as u64).collect(),
        ),
        Column::text("tensor", tensors),
        Column::u64("steps", None, vec![steps; sums.lca_sum.len()]),
        Column::f64("lca_sum", NATS, sums.lca_sum),
        Column::u64("helped", Some("steps"), counts(&sums.helped)),
    ];
    let chart = Chart::Histogram {
        edges: (0..=BINS as u64).map(|edge| 2.0 * number(edge)).collect(),
        counts: helped.iter().map(|count| number(*count)).collect(),
        mark: None,
    };
    let x = Axis::new(
        format!("share of the first {steps} steps in which it helped"),
        Some("%"),
    );
    let axes = (x, Axis::new("parameters in a bin", None), chart);
    source.sheet("How often a parameter helps", columns, axes)
}

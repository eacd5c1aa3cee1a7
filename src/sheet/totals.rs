//! The running totals of every parameter, from the latest snapshot in the steps that are wanted.

use super::overview::NATS;
use super::source::{Source, number};
use super::{MOST_NUMBERS, SheetError};
use crate::analysis::help::{BINS, iterations_helped};
use crate::export::{Axis, Chart, Column, Sheet};

/// A row a parameter; the figure shows in how many of the steps they helped.
pub fn parameters(source: &Source) -> Result<Sheet, SheetError> {
    let unknown = |what: String| Err(SheetError::Unknown(what));
    if source.request.steps.start > 0 {
        let what = "totals of parameters are over all steps from the first one on: leave the A of \
                    --steps A..B out";
        return Err(SheetError::Request(what.to_owned()));
    }
    let layout = &source.header().layout;
    // Of a unit's parameters some are in each of its layer's tensors: the layer's are read, and these taken.
    let params = match source.layer() {
        Some(layer) => layer.range.clone(),
        None => 0..layout.params(),
    };
    let wanted = match (source.request.layer, source.unit()?) {
        (Some(layer), Some(unit)) => layout.unit_rows(layer, unit),
        _ => vec![params.clone()],
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
    let mut tensors = Vec::new();
    for range in &wanted {
        for tensor in &layout.tensors {
            let inside = tensor.range.start.max(range.start)..tensor.range.end.min(range.end);
            tensors.extend(inside.map(|_| tensor.name.clone()));
        }
    }
    let wanted: Vec<usize> = wanted.into_iter().flatten().collect();
    let places = || wanted.iter().map(|index| index - params.start);
    let helped: Vec<u32> = places().map(|at| sums.helped[at]).collect();
    let lca_sum = places().map(|at| sums.lca_sum[at]).collect();
    let bins = iterations_helped(&helped, steps);
    let columns = vec![
        Column::u64(
            "parameter",
            None,
            wanted.iter().map(|&index| index as u64).collect(),
        ),
        Column::text("tensor", tensors),
        Column::u64("steps", None, vec![steps; wanted.len()]),
        Column::f64("lca_sum", NATS, lca_sum),
        Column::u64(
            "helped",
            Some("steps"),
            helped.into_iter().map(u64::from).collect(),
        ),
    ];
    let chart = Chart::Histogram {
        edges: (0..=BINS as u64).map(|edge| 2.0 * number(edge)).collect(),
        counts: bins.iter().map(|count| number(*count)).collect(),
        mark: None,
    };
    let x = Axis::new(
        format!("share of the first {steps} steps in which it helped"),
        Some("%"),
    );
    let axes = (x, Axis::new("parameters in a bin", None), chart);
    let title = source.of_layer("How often a parameter helps");
    source.sheet(title, columns, axes)
}

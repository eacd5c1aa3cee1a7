//! Running totals of every parameter, from the latest snapshot within the requested steps.

use std::ops::Range;

use super::input::{SheetInput, number};
use super::overview::NATS;
use super::{MOST_NUMBERS, SheetError};
use crate::analysis::help::{BINS, iterations_helped};
use crate::export::{Axis, Chart, Column, Exhibit};
use crate::query::latest_snapshot;

/// One row per parameter; the figure shows the share of steps in which parameters helped.
pub fn parameters(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let unknown = |what: String| Err(SheetError::Unknown(what));
    if input.request.steps.start > 0 {
        let what =
            "totals of parameters always start at the first step: omit the A of --steps A..B";
        return Err(SheetError::Request(what.to_owned()));
    }
    let layout = &input.header().layout;
    // A unit has one row in each tensor of its layer.
    let all = match input.layer() {
        Some(layer) => layer.range.clone(),
        None => 0..layout.params(),
    };
    let ranges = match (input.request.layer, input.unit()?) {
        (Some(layer), Some(unit)) => layout.unit_rows(layer, unit),
        _ => vec![all],
    };
    let count: usize = ranges.iter().map(Range::len).sum();
    if count as u64 * 6 > MOST_NUMBERS {
        let flag = match input.request.layer {
            None => "--layer NAME",
            Some(_) => "--unit INDEX",
        };
        let what = format!("{count} parameters are too many: give {flag}");
        return Err(SheetError::Request(what));
    }
    let steps = match latest_snapshot(input.reader, input.request.steps.end)? {
        Ok(steps) => steps,
        Err(why) => return unknown(why),
    };
    let (mut lca_sum, mut helped, mut tensors) = (Vec::new(), Vec::new(), Vec::new());
    for range in &ranges {
        let Some(part) = input.reader.totals_snapshot(steps, range)? else {
            return unknown(format!("no totals of the parameters after {steps} steps"));
        };
        lca_sum.extend(part.lca_sum);
        helped.extend(part.helped);
        for tensor in &layout.tensors {
            let inside = tensor.range.start.max(range.start)..tensor.range.end.min(range.end);
            tensors.extend(inside.map(|_| tensor.name.clone()));
        }
    }
    let bins = iterations_helped(&helped, steps);
    let columns = vec![
        Column::u64(
            "parameter",
            None,
            ranges
                .into_iter()
                .flatten()
                .map(|index| index as u64)
                .collect(),
        ),
        Column::text("tensor", tensors),
        Column::u64("steps", None, vec![steps; count]),
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
        format!("share of the first {steps} steps in which a parameter helped"),
        Some("%"),
    );
    let axes = (x, Axis::new("parameters per bin", None), chart);
    let title = input.of_layer("How often parameters help");
    input.exhibit(title, columns, axes)
}

//! The parameters of a unit: their running totals, their sums over the recorded steps, and their weights.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::QueryInput;
use crate::record::ParamTotals;
use crate::store::{ParamRows, RunReader, StoreError};

/// The most parameters of a unit that are read; a few thousand are usual.
const MOST: usize = 1 << 20;

/// Values in a block of rows read at once.
const BLOCK_VALUES: usize = 1 << 20;

/// The n parameters of a unit, tensor by tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UnitParams {
    /// The end of the steps searched.
    pub until: u64,
    /// Their indices in the flat vector, one range for each of the layer's tensors; n in all.
    pub rows: Vec<Range<usize>>,
    /// `[n]` each: running totals from the first step on, with the number of steps. None before the first snapshot, or
    /// if the query is about no particular step.
    pub totals: Option<ParamTotals>,
    /// Sums over the steps whose allocations were recorded (`--record-params`); none if there are none.
    pub recorded: Option<RecordedSums>,
    /// The weights (`--record-weights`), the latest before the end of the steps.
    pub weights: Option<Weights>,
}

impl UnitParams {
    /// The position of a parameter among the n.
    #[must_use]
    pub fn position_of(&self, parameter: usize) -> Option<usize> {
        let mut before = 0;
        for row in &self.rows {
            if row.contains(&parameter) {
                return Some(before + parameter - row.start);
            }
            before += row.len();
        }
        None
    }
}

/// Sums over the recorded steps, `[n]` each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RecordedSums {
    /// The steps asked for, and how many of them were recorded.
    pub steps: Range<u64>,
    pub count: u64,
    /// Σ A, in nats.
    pub lca_sum: Vec<f64>,
    /// Steps with A < 0; with A > 0.
    pub helped: Vec<u32>,
    pub hurt: Vec<u32>,
}

impl RecordedSums {
    /// Whether every step asked for was recorded.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.count == self.steps.end - self.steps.start
    }
}

/// Weights, `[n]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weights {
    /// The number of steps done when they were recorded.
    pub steps: u64,
    pub values: Vec<f32>,
}

/// Answers for one unit. `after`: the number of steps after which totals and weights are wanted.
pub(super) fn answer(
    input: &QueryInput,
    layer: u32,
    unit: u32,
    after: Option<u64>,
) -> Result<Answer, StoreError> {
    let reader = input.reader;
    let rows = reader
        .header()
        .layout
        .unit_rows(layer as usize, unit as usize);
    let count: usize = rows.iter().map(ExactSizeIterator::len).sum();
    if rows.is_empty() {
        let sentence = format!("this run has no unit {unit} in layer {layer}");
        return Ok(Answer::Unknown(sentence));
    }
    if count > MOST {
        let sentence = format!("this unit has {count} parameters; at most {MOST} are supported");
        return Ok(Answer::Unknown(sentence));
    }
    let (totals, weights) = match after {
        Some(after) => (
            totals(reader, &rows, after)?,
            weights(reader, &rows, after)?,
        ),
        None => (None, None),
    };
    let recorded = match reader.param_rows()? {
        Some(recorded) => sums(input, &recorded, &rows)?,
        None => Some(RecordedSums::default()),
    };
    let Some(recorded) = recorded else {
        return Ok(Answer::Cancelled);
    };
    Ok(Answer::Unit(UnitParams {
        until: input.steps.end,
        rows,
        totals,
        recorded: (recorded.count > 0).then_some(recorded),
        weights,
    }))
}

fn totals(
    reader: &RunReader,
    rows: &[Range<usize>],
    after: u64,
) -> Result<Option<ParamTotals>, StoreError> {
    let mut all: Option<ParamTotals> = None;
    for range in rows {
        let Some(part) = reader.totals_snapshot(after, range)? else {
            return Ok(None);
        };
        match &mut all {
            None => all = Some(part),
            // A new snapshot arrived in between: the next answer has it in all tensors.
            Some(all) if all.steps != part.steps => return Ok(None),
            Some(all) => {
                all.lca_sum.extend(part.lca_sum);
                all.helped.extend(part.helped);
                all.update_flips.extend(part.update_flips);
                all.gradient_flips.extend(part.gradient_flips);
            }
        }
    }
    Ok(all)
}

fn weights(
    reader: &RunReader,
    rows: &[Range<usize>],
    after: u64,
) -> Result<Option<Weights>, StoreError> {
    let Some(weights) = reader.weight_rows()? else {
        return Ok(None);
    };
    let until = weights.within(&(0..after.saturating_add(1)));
    let Some(row) = until.end.checked_sub(1) else {
        return Ok(None);
    };
    let mut values = Vec::new();
    for range in rows {
        values.extend(weights.read(row..row + 1, range)?);
    }
    let steps = weights.steps()[row];
    Ok(Some(Weights { steps, values }))
}

/// Sums over the recorded steps; none if interrupted.
fn sums(
    input: &QueryInput,
    recorded: &ParamRows,
    rows: &[Range<usize>],
) -> Result<Option<RecordedSums>, StoreError> {
    let there = recorded.within(&input.steps);
    let mut sums = RecordedSums {
        steps: input.steps.clone(),
        count: there.len() as u64,
        ..RecordedSums::default()
    };
    for range in rows.iter().filter(|range| !range.is_empty()) {
        let n = range.len();
        let (mut lca_sum, mut helped, mut hurt) = (vec![0.0; n], vec![0; n], vec![0; n]);
        let block = (BLOCK_VALUES / n).max(1);
        for start in there.clone().step_by(block) {
            if (input.cancelled)() {
                return Ok(None);
            }
            let steps = start..(start + block).min(there.end);
            for row in recorded.read(steps, range)?.chunks(n) {
                for (i, &a) in row.iter().enumerate() {
                    lca_sum[i] += f64::from(a);
                    helped[i] += u32::from(a < 0.0);
                    hurt[i] += u32::from(a > 0.0);
                }
            }
        }
        sums.lca_sum.extend(lca_sum);
        sums.helped.extend(helped);
        sums.hurt.extend(hurt);
    }
    Ok(Some(sums))
}

//! The history of one parameter.
//!
//! A traced parameter is known at every step: θ and the full gradient at the start of the step, and A in the step. For
//! the others, the file has only the steps that `--record-params` and `--record-weights` recorded.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::binned::Binned;
use super::input::QueryInput;
use crate::store::{ParamRows, StepDataset, StoreError};

/// Rows over all parameters read at once: so many chunks of such a dataset are decompressed for one parameter between
/// two checks for cancellation.
const PIECE: usize = 32 * 32;

/// A parameter over some steps, in columns as in [`Binned`], each curve with one group. The group's `steps` are those
/// in which the parameter is known, and sums are over these alone. None where the run does not record it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParameterHistory {
    /// The end of the steps searched.
    pub until: u64,
    /// Whether the parameter was traced at every step.
    pub traced: bool,
    /// θ at the start of the step.
    pub value: Option<Binned>,
    /// Full training gradient at the start of the step, in nats per unit of parameter.
    pub gradient: Option<Binned>,
    /// A, in nats.
    pub lca: Option<Binned>,
}

pub(super) fn answer(input: &QueryInput, index: u64) -> Result<Answer, StoreError> {
    let header = input.reader.header();
    let parameter = usize::try_from(index).unwrap_or(usize::MAX);
    if parameter >= header.layout.params() {
        return Ok(Answer::Unknown(format!(
            "this run has no parameter {index}"
        )));
    }
    let history = match header.traced.binary_search(&index) {
        Ok(column) => traced(input, column)?,
        Err(_) => recorded(input, parameter)?,
    };
    Ok(history.map_or(Answer::Cancelled, Answer::History))
}

fn traced(input: &QueryInput, column: usize) -> Result<Option<ParameterHistory>, StoreError> {
    let mut curves = [None, None, None];
    for (name, curve) in ["trace/value", "trace/gradient", "trace/lca"]
        .into_iter()
        .zip(&mut curves)
    {
        let Some(table) = input.reader.table(name)? else {
            continue;
        };
        match traced_curve(input, &table, column)? {
            Some(binned) => *curve = Some(binned),
            None => return Ok(None),
        }
    }
    let [value, gradient, lca] = curves;
    Ok(Some(ParameterHistory {
        until: input.steps.end,
        traced: true,
        value,
        gradient,
        lca,
    }))
}

/// Bins one column of a trace; none if interrupted.
fn traced_curve(
    input: &QueryInput,
    table: &StepDataset,
    column: usize,
) -> Result<Option<Binned>, StoreError> {
    let end = input.steps.end.min(table.rows());
    let steps = input.steps.start.min(end)..end;
    let mut binned = Binned::new(&steps, input.columns, 1);
    for rows in table.blocks_of(&steps, 1) {
        if (input.cancelled)() {
            return Ok(None);
        }
        for (step, value) in rows
            .clone()
            .zip(table.reals_of(rows, &single_index(column))?)
        {
            if let Some(column) = binned.column_of(step) {
                binned.push(column, 0, value);
            }
        }
    }
    Ok(Some(binned))
}

fn recorded(input: &QueryInput, parameter: usize) -> Result<Option<ParameterHistory>, StoreError> {
    let reader = input.reader;
    let mut curves = [None, None];
    for (rows, curve) in [reader.weight_rows()?, reader.param_rows()?]
        .into_iter()
        .zip(&mut curves)
    {
        if let Some(rows) = rows {
            match recorded_curve(input, &rows, parameter)? {
                RecordedCurve::Nothing => {}
                RecordedCurve::Curve(binned) => *curve = Some(binned),
                RecordedCurve::Cancelled => return Ok(None),
            }
        }
    }
    let [value, lca] = curves;
    Ok(Some(ParameterHistory {
        until: input.steps.end,
        traced: false,
        value,
        gradient: None,
        lca,
    }))
}

enum RecordedCurve {
    /// Recorded in no step of the run.
    Nothing,
    Curve(Binned),
    Cancelled,
}

fn recorded_curve(
    input: &QueryInput,
    rows: &ParamRows,
    parameter: usize,
) -> Result<RecordedCurve, StoreError> {
    if rows.steps().is_empty() {
        return Ok(RecordedCurve::Nothing);
    }
    let there = rows.within(&input.steps);
    let mut binned = Binned::new(&input.steps, input.columns, 1);
    for start in there.clone().step_by(PIECE) {
        if (input.cancelled)() {
            return Ok(RecordedCurve::Cancelled);
        }
        let piece = start..there.end.min(start + PIECE);
        let values = rows.read(piece.clone(), &single_index(parameter))?;
        for (&step, value) in rows.steps()[piece].iter().zip(values) {
            if let Some(column) = binned.column_of(step) {
                binned.push(column, 0, value.into());
            }
        }
    }
    Ok(RecordedCurve::Curve(binned))
}

fn single_index(index: usize) -> Range<usize> {
    index..index + 1
}

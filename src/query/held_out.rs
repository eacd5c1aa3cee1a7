//! The held-out loss: how well its allocations close, and in how many steps a layer helps one loss and hurts the other.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::{QueryInput, put_cached, take_cached};
use crate::store::{StepDataset, StoreError};

/// Sums over some steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HeldOutSums {
    pub steps: Range<u64>,
    /// Σ of the held-out loss's allocations, and of their residuals, in nats: together the change of that loss.
    pub total: f64,
    pub residual: f64,
    /// `[L]`: the counts of each layer.
    pub layers: Vec<SignConflicts>,
}

/// Steps in which a layer helped one loss and hurt the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignConflicts {
    /// Training loss A < 0, held-out loss A > 0.
    pub only_train: u64,
    /// Training loss A > 0, held-out loss A < 0.
    pub only_held_out: u64,
}

pub(super) fn answer(
    input: &QueryInput,
    kept: &mut Vec<HeldOutSums>,
) -> Result<Answer, StoreError> {
    let layers = input.reader.header().layout.layers.len();
    let table = |name| input.reader.table(name);
    let tables = (
        table("lca/layer")?,
        table("lca_test/layer")?,
        table("lca_test/total")?,
        table("lca_test/residual")?,
    );
    let (Some(train), Some(held_out), Some(total), Some(residual)) = tables else {
        let why = "this run has no held-out LCA; train with --lca-test to record it";
        return Ok(Answer::Unknown(why.to_owned()));
    };
    let rows = [&train, &held_out, &total, &residual].map(StepDataset::rows);
    let end = rows.into_iter().fold(input.steps.end, u64::min);
    let steps = input.steps.start.min(end)..end;
    let mut sums = take_cached(kept, &steps, |it: &HeldOutSums| &it.steps);
    if sums.steps.is_empty() {
        sums.steps = steps.start..steps.start;
        sums.layers = vec![SignConflicts::default(); layers];
    }
    for rows in train.blocks(&(sums.steps.end..steps.end)) {
        if (input.cancelled)() {
            put_cached(kept, sums, |it| &it.steps);
            return Ok(Answer::Cancelled);
        }
        let pairs = train
            .reals(rows.clone())?
            .into_iter()
            .zip(held_out.reals(rows.clone())?);
        for (at, (a, b)) in pairs.enumerate() {
            let split = &mut sums.layers[at % layers.max(1)];
            split.only_train += u64::from(a < 0.0 && b > 0.0);
            split.only_held_out += u64::from(a > 0.0 && b < 0.0);
        }
        // Step by step, so that the sum does not depend on where blocks end.
        for a in total.reals(rows.clone())? {
            sums.total += a;
        }
        for rest in residual.reals(rows.clone())? {
            sums.residual += rest;
        }
        sums.steps.end = rows.end;
    }
    put_cached(kept, sums.clone(), |it| &it.steps);
    Ok(Answer::HeldOut(sums))
}

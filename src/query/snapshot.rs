//! Statistics of the parameters' running totals: how often each helped, and how concentrated they are.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::{QueryInput, no_such_index};
use crate::analysis::concentration::{Side, concentration};
use crate::analysis::help::iterations_helped;
use crate::analysis::tails;
use crate::record::RunHeader;
use crate::store::{RunReader, StoreError};

/// Statistics of some parameters' totals after `steps` steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Steps done.
    pub steps: u64,
    /// The end of the steps searched.
    pub until: u64,
    pub params: u64,
    /// Parameters by the share of steps in which they helped, in bins of 2 %.
    pub helped: Vec<u64>,
    /// The mean share of steps in which a parameter helped, 0 to 1.
    pub mean_helped: f64,
    pub helping: Side,
    pub hurting: Side,
    /// Excess kurtosis of the totals (NaN if they are all equal), and the tail index if there is one.
    pub kurtosis: f64,
    pub tail_index: Option<f64>,
}

/// A cached snapshot.
#[derive(Clone, Debug)]
pub struct CachedSnapshot {
    layer: Option<u32>,
    snapshot: Snapshot,
}

/// The most snapshots cached.
const SEEN: usize = 32;

pub(super) fn answer(
    input: &QueryInput,
    layer: Option<u32>,
    seen: &mut Vec<CachedSnapshot>,
) -> Result<Answer, StoreError> {
    let layout = &input.reader.header().layout;
    let params = match layer {
        None => 0..layout.params(),
        Some(at) => match layout.layers.get(at as usize) {
            Some(layer) => layer.range.clone(),
            None => return Ok(no_such_index("layer", at)),
        },
    };
    let latest = match latest_snapshot(input.reader, input.steps.end)? {
        Ok(latest) => latest,
        Err(why) => return Ok(Answer::Unknown(why)),
    };
    let same = |it: &&CachedSnapshot| it.layer == layer && it.snapshot.steps == latest;
    if let Some(seen) = seen.iter().find(same) {
        return Ok(Answer::Snapshot(Snapshot {
            until: input.steps.end,
            ..seen.snapshot.clone()
        }));
    }
    // One after the other, and in place: there may be very many.
    let Some(helped) = input.reader.helped_snapshot(latest, &params)? else {
        return Ok(no_snapshot());
    };
    let all: u64 = helped.iter().copied().map(u64::from).sum();
    #[expect(clippy::cast_precision_loss, reason = "a share of counts")]
    let mean_helped = all as f64 / (helped.len() as f64 * latest as f64);
    let bins = iterations_helped(&helped, latest).to_vec();
    drop(helped);
    let Some(mut lca_sum) = input.reader.lca_snapshot(latest, &params)? else {
        return Ok(no_snapshot());
    };
    let kurtosis = tails::excess_kurtosis(&lca_sum);
    let sides = concentration(&mut lca_sum);
    let snapshot = Snapshot {
        steps: latest,
        until: input.steps.end,
        params: lca_sum.len() as u64,
        helped: bins,
        mean_helped,
        helping: sides.helping,
        hurting: sides.hurting,
        kurtosis,
        tail_index: tails::tail_index(&mut lca_sum),
    };
    seen.insert(
        0,
        CachedSnapshot {
            layer,
            snapshot: snapshot.clone(),
        },
    );
    seen.truncate(SEEN);
    Ok(Answer::Snapshot(snapshot))
}

fn no_snapshot() -> Answer {
    Answer::Unknown("the run file cannot be read at the moment".to_owned())
}

/// Returns the message that there are no totals of the parameters, short and with the reason.
#[must_use]
pub fn no_totals(header: &RunHeader) -> [&'static str; 2] {
    match header.snapshots {
        0 => ["no totals", "no totals (recorded with --snapshots 0)"],
        _ => [
            "no totals yet",
            "no totals yet (written at a few steps, and at the end)",
        ],
    }
}

/// Returns the number of steps after which the latest snapshot up to step `end` was written, or why there is none.
///
/// # Errors
/// The file cannot be read.
pub fn latest_snapshot(reader: &RunReader, end: u64) -> Result<Result<u64, String>, StoreError> {
    let steps = reader.snapshot_steps()?;
    Ok(match steps.iter().rfind(|&&steps| steps <= end) {
        Some(&latest) => Ok(latest),
        None => {
            let first = match steps.first() {
                Some(first) => format!("the first is after {first} steps"),
                None if reader.header().snapshots == 0 => "recorded with --snapshots 0".to_owned(),
                None => "they are written at a few steps of the run, and at its end".to_owned(),
            };
            Err(format!(
                "no totals of the parameters up to this step: {first}"
            ))
        }
    })
}

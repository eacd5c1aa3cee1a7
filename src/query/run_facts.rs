//! The state of a run's file, and the quality of its steps.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::QueryInput;
use super::quality::Quality;
use super::watch::{ReadOutcome, StepWatch};
use crate::store::StoreError;

/// The state of a run's file, and the quality of its steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub quality: Quality,
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Committed steps in the file.
    pub committed: u64,
    /// Steps done at the newest checkpoint in the file, and the run's seconds at that point.
    pub checkpoint: Option<(u64, f64)>,
}

/// Answers from the steps asked for.
pub(super) fn answer(input: &QueryInput, watch: &mut StepWatch) -> Result<Answer, StoreError> {
    if watch.catch_up(input)? == ReadOutcome::Cancelled {
        return Ok(Answer::Cancelled);
    }
    let reader = input.reader;
    let committed = reader.refresh()?.committed;
    let checkpoint = match reader.checkpoint_step(committed)? {
        Some(step) if step > 0 => {
            let seconds = match reader.table("step/seconds")? {
                Some(table) => table.reals(step - 1..step)?.first().copied(),
                None => None,
            };
            Some((step, seconds.unwrap_or(f64::NAN)))
        }
        _ => None,
    };
    Ok(Answer::Run(Box::new(RunFacts {
        quality: watch.quality.clone(),
        bytes: reader.bytes()?,
        committed,
        checkpoint,
    })))
}

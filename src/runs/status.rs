//! The status of the run in a file, in a few words and numbers.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::record::Status;
use crate::store::{RunReader, StoreError};
use crate::text::steps_of;

/// Steps over which the speed is measured.
const SPEED_STEPS: u64 = 50;

/// The status of a run, readable without reading the whole file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    pub status: Status,
    /// Whether the file is being written now.
    pub live: bool,
    pub paused: bool,
    /// Reason of a failure; empty if there was none.
    pub message: String,
    pub committed: u64,
    /// 0 if unknown.
    pub planned: u64,
    pub network: String,
    /// Training loss after the last committed step, in nats; NaN if nothing is committed.
    pub loss: f64,
    /// Time of the last sign of life, or of the end, in seconds since 1970.
    pub updated: f64,
    /// Mean over the last steps; NaN if there are too few.
    pub seconds_a_step: f64,
}

impl RunStatus {
    /// Reads the status of an open run.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(reader: &RunReader) -> Result<Self, StoreError> {
        let state = reader.refresh()?;
        let end = state.committed;
        let steps = match end {
            0 => Vec::new(),
            _ => reader.steps(end.saturating_sub(SPEED_STEPS + 1)..end)?,
        };
        let loss = match steps.last() {
            Some(last) => last.loss_after,
            None => reader.start()?.map_or(f64::NAN, |losses| losses.train),
        };
        #[expect(clippy::cast_precision_loss, reason = "at most a few dozen steps")]
        let seconds_a_step = match (steps.first(), steps.last()) {
            (Some(first), Some(last)) if last.end > first.end => {
                (last.seconds - first.seconds) / (last.end - first.end) as f64
            }
            _ => f64::NAN,
        };
        let header = reader.header();
        Ok(Self {
            status: state.status,
            live: state.is_live(),
            paused: state.paused,
            committed: end,
            planned: header.planned_steps,
            network: header.network.clone(),
            loss,
            updated: now() - state.silent,
            seconds_a_step,
            message: state.message,
        })
    }

    /// Returns the seconds since the last sign of life, or since the end.
    #[must_use]
    pub fn silent(&self) -> f64 {
        (now() - self.updated).max(0.0)
    }

    /// The status in a word: `running`, `paused`, `crashed`, `finished`, `stopped` or `failed`.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.status {
            Status::Running if !self.live => "crashed",
            Status::Running if self.paused => "paused",
            status => status.name(),
        }
    }

    /// The status as a sentence, such as `stopped after 123 of 400 steps`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (steps, planned) = (self.committed, self.planned);
        let text = format!("{} after {}", self.word(), steps_of(steps, planned));
        if self.message.is_empty() {
            text
        } else {
            format!("{text}: {}", self.message)
        }
    }

    /// Estimated seconds for the remaining steps, if the run is running and its speed is known.
    #[must_use]
    pub fn seconds_left(&self) -> Option<f64> {
        let runs = self.status == Status::Running && self.live && !self.paused && self.planned > 0;
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let left = self.planned.saturating_sub(self.committed) as f64 * self.seconds_a_step;
        (runs && left.is_finite()).then_some(left)
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

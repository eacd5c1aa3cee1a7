//! How a run in a file stands.

use serde::{Deserialize, Serialize};

use crate::record::Status;

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub status: Status,
    /// Why it failed; empty if it did not.
    pub message: String,
    /// Whole steps that may be read.
    pub committed: u64,
    /// Whether a running training waits for the order to go on.
    pub paused: bool,
    /// Seconds since the writer's last sign of life, as far as clocks tell.
    pub silent: f64,
    /// Whether a writer holds the file's lock; `None` where that says nothing.
    pub held: Option<bool>,
    /// The writer's host; empty in files of older versions.
    pub host: String,
    /// The writer's process there.
    pub process: u64,
}

/// A writer renews its heartbeat every few seconds; after this many seconds it is taken for lost, unless
/// it holds the file's lock: it may have been stopped, or its disk be slow.
const LOST_AFTER: f64 = 10.0;

impl RunState {
    /// Whether the writer of a running run has ended without a word. Where no lock tells, it has not
    /// been heard of for long.
    #[must_use]
    pub fn writer_is_lost(&self) -> bool {
        self.status == Status::Running && !self.is_live()
    }

    /// Whether the file is being written.
    #[must_use]
    pub fn is_live(&self) -> bool {
        let alive = self.held.unwrap_or(self.silent < LOST_AFTER);
        self.status == Status::Running && alive
    }
}

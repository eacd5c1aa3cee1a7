//! The state of the run in a file.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::record::Status;

/// The progress of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub status: Status,
    /// Reason of a failure; empty if there was none.
    pub message: String,
    /// Steps that are complete and readable.
    pub committed: u64,
    /// Whether a running training is paused.
    pub paused: bool,
    /// Seconds since the writer's last sign of life, as far as clocks tell.
    pub silent: f64,
    /// Whether a writer holds the file's lock; `None` if locks cannot tell.
    pub held: Option<bool>,
    /// True if a writer had the file open when it was opened for reading, or was killed before it had closed it.
    pub marked: bool,
    /// The writer's host; empty in files from older versions.
    pub host: String,
    /// The writer's process id on that host.
    pub process: u64,
}

/// Seconds of silence after which a writer is considered lost. It renews its heartbeat every few seconds, but while it
/// holds the file's lock it may only be stopped, or its disk slow.
const LOST_AFTER: f64 = 10.0;

impl RunState {
    /// Whether the writer of a running run is gone without ending the run. If locks cannot tell, it is considered gone
    /// after a long silence.
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

/// Seconds since 1970.
pub(super) fn unix_seconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0.0, |d| d.as_secs_f64())
}

//! Finer steps on request: what the screen wants to see closer, read from the run file.

use std::ops::Range;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use super::FeedEvent;
use crate::store::{RunReader, StoreError};

/// Requests that may wait. The screen asks for one thing at a time.
const QUEUE: usize = 4;

/// Rows that are read for an answer at most. A file without a pyramid has no others than single steps;
/// of a window that is wider than this the coarse steps are shown.
const MOST_ROWS: u64 = 65_536;

/// The steps that any summary of the answer should touch, and how many a summary should cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailRequest {
    pub steps: Range<u64>,
    /// A power of two.
    pub width: u64,
}

/// The screen's end: requests, and [`FeedEvent::Detail`] for each. Steps that are not committed yet
/// are left out of an answer.
pub struct Details {
    pub requests: Sender<DetailRequest>,
    pub answers: Receiver<FeedEvent>,
}

/// The reader's end.
pub(super) struct Desk {
    pub requests: Receiver<DetailRequest>,
    pub answers: Sender<FeedEvent>,
}

/// Both ends.
pub(super) fn channel() -> (Details, Desk) {
    let (requests, asked) = bounded(QUEUE);
    let (answers, answered) = bounded(QUEUE);
    let details = Details {
        requests,
        answers: answered,
    };
    let desk = Desk {
        requests: asked,
        answers,
    };
    (details, desk)
}

impl Desk {
    /// Answers a request. The screen takes answers whatever it does; when it is gone nobody minds.
    pub fn answer(&self, reader: &RunReader, request: DetailRequest) -> Result<(), StoreError> {
        self.send(read(reader, request)?);
        Ok(())
    }

    /// There are at most as many answers as requests, so none that matters finds the queue full.
    pub fn send(&self, event: FeedEvent) {
        let _ = self.answers.try_send(event);
    }
}

/// The answer to a request.
pub(super) fn read(reader: &RunReader, request: DetailRequest) -> Result<FeedEvent, StoreError> {
    let committed = reader.refresh()?.committed;
    let steps = reader.merged(&request.steps, request.width, committed, MOST_ROWS)?;
    Ok(FeedEvent::Detail { request, steps })
}

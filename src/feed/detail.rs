//! Finer steps on request: what the screen wants to see closer, read from the run file.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde::{Deserialize, Serialize};

use super::FeedEvent;
use super::file::FileFeed;
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
        let committed = reader.refresh()?.committed;
        let steps = reader.merged(&request.steps, request.width, committed, MOST_ROWS)?;
        self.send(FeedEvent::Detail { request, steps });
        Ok(())
    }

    /// There are at most as many answers as requests, so none that matters finds the queue full.
    pub fn send(&self, event: FeedEvent) {
        let _ = self.answers.try_send(event);
    }
}

/// Answers from the file of a training in this process. The file is opened at the first request, so
/// that a run that nobody looks at closely is not read at all. The thread ends when the handle is
/// dropped.
///
/// # Errors
/// The thread cannot be started.
pub fn details(path: &Path) -> io::Result<(Details, FileFeed)> {
    let (details, desk) = channel();
    let (quit, quitting) = bounded(0);
    let path = path.to_owned();
    let thread = thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || serve(&path, &desk, &quitting))?;
    Ok((details, FileFeed::new(quit, thread)))
}

fn serve(path: &Path, desk: &Desk, quit: &Receiver<()>) {
    let mut reader = None;
    loop {
        let request = select! {
            recv(desk.requests) -> request => request,
            recv(quit) -> _ => return,
        };
        let Ok(request) = request else { return };
        let answered = match &reader {
            Some(reader) => desk.answer(reader, request.clone()),
            None => RunReader::open(path)
                .and_then(|opened| desk.answer(reader.insert(opened), request.clone())),
        };
        if answered.is_err() {
            // The training itself says what is wrong with its file; the screen keeps what it has.
            reader = None;
            let steps = Vec::new();
            desk.send(FeedEvent::Detail { request, steps });
        }
    }
}

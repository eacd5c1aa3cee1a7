//! Queries from the screen, answered from the run file by its reader.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::FeedEvent;
use crate::query::{Analyst, Answer, Query, Topic};
use crate::store::{RunReader, StoreError};

/// Capacity of the query queue. The screen asks for one thing at a time, but may change its mind.
const QUEUE: usize = 4;

/// The screen's end: sends queries, and receives one [`FeedEvent::Answer`] for each. Answers leave out steps that are
/// not committed yet.
pub struct DetailClient {
    pub requests: Sender<Query>,
    pub answers: Receiver<FeedEvent>,
}

/// The reader's end.
pub(super) struct DetailServer {
    pub requests: Receiver<Query>,
    pub answers: Sender<FeedEvent>,
}

/// Creates both ends.
pub(super) fn channel() -> (DetailClient, DetailServer) {
    let (requests, asked) = bounded(QUEUE);
    let (answers, answered) = bounded(QUEUE + 1);
    let details = DetailClient {
        requests,
        answers: answered,
    };
    let server = DetailServer {
        requests: asked,
        answers,
    };
    (details, server)
}

impl DetailServer {
    /// Answers a query; abandons it when another arrives. The screen always drains its answers; once it is gone, they
    /// are dropped.
    pub fn answer(
        &self,
        analyst: &mut Analyst,
        reader: &RunReader,
        query: Query,
    ) -> Result<(), StoreError> {
        let answer = analyst.answer(reader, &query, &|| !self.requests.is_empty())?;
        self.send(event(query, answer));
        Ok(())
    }

    /// Sends without waiting. There are at most as many answers as queries, so the queue is never too full for one that
    /// matters.
    pub fn send(&self, event: FeedEvent) {
        let _ = self.answers.try_send(event);
    }
}

pub(super) fn event(query: Query, answer: Answer) -> FeedEvent {
    let answer = Box::new(answer);
    FeedEvent::Answer { query, answer }
}

/// Returns the answer to a query when the file cannot be read.
pub(super) fn no_answer(query: Query) -> FeedEvent {
    let answer = match query.topic {
        // The screen keeps what it has.
        Topic::Steps { .. } => Answer::Steps(Vec::new()),
        _ => Answer::Unknown("the run file cannot be read at the moment".to_owned()),
    };
    event(query, answer)
}

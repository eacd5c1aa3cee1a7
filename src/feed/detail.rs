//! Questions of the screen, answered from the run file by whoever owns it.

use crossbeam_channel::{Receiver, Sender, bounded};

use super::FeedEvent;
use crate::query::{Analyst, Answer, Query, Topic};
use crate::store::{RunReader, StoreError};

/// Questions that may wait. The screen asks for one thing at a time, but may change its mind.
const QUEUE: usize = 4;

/// The screen's end: questions, and [`FeedEvent::Answer`] for each. Steps that are not committed yet
/// are left out of an answer.
pub struct Details {
    pub requests: Sender<Query>,
    pub answers: Receiver<FeedEvent>,
}

/// The reader's end.
pub(super) struct Desk {
    pub requests: Receiver<Query>,
    pub answers: Sender<FeedEvent>,
}

/// Both ends.
pub(super) fn channel() -> (Details, Desk) {
    let (requests, asked) = bounded(QUEUE);
    let (answers, answered) = bounded(QUEUE + 1);
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
    /// Answers a question; gives it up when the next one comes. The screen takes answers whatever it
    /// does; when it is gone nobody minds.
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

    /// There are at most as many answers as questions, so none that matters finds the queue full.
    pub fn send(&self, event: FeedEvent) {
        let _ = self.answers.try_send(event);
    }
}

pub(super) fn event(query: Query, answer: Answer) -> FeedEvent {
    let answer = Box::new(answer);
    FeedEvent::Answer { query, answer }
}

/// What is said where nobody can answer.
pub(super) fn no_answer(query: Query) -> FeedEvent {
    let answer = match query.topic {
        // The screen keeps what it has.
        Topic::Steps { .. } => Answer::Steps(Vec::new()),
        _ => Answer::Unknown("the run file cannot be read just now".to_owned()),
    };
    event(query, answer)
}

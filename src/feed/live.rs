//! The feed of a training in this process.

use std::sync::Arc;

use crossbeam_channel::{Sender, unbounded};

use super::{Feed, FeedEvent, GpuUse, Origin, RecorderStats};
use crate::record::{RunEnd, RunHeader, StartRecord, StepSummary};
use crate::train::Controls;

/// Events that may wait for the screen. Beyond them steps are merged; what is not a step is rare, and
/// is queued all the same, so that no order ever waits for a screen either.
const QUEUE: usize = 256;

/// The training's end of a feed. It never waits for the screen: what does not fit the queue is
/// merged with what follows, and nobody listening is no fault.
pub struct FeedSender {
    events: Sender<FeedEvent>,
    /// Steps that did not fit, merged into one summary.
    waiting: Option<StepSummary>,
}

/// A feed and its sending end. `controls` passes the screen's orders on.
#[must_use]
pub fn live(header: Arc<RunHeader>, controls: Controls) -> (FeedSender, Feed) {
    let (events, receiver) = unbounded();
    let sender = FeedSender {
        events,
        waiting: None,
    };
    let feed = Feed {
        header,
        origin: Origin::Live,
        events: receiver,
        controls: Some(controls),
        details: None,
    };
    (sender, feed)
}

/// Says what a GPU does.
pub struct GpuSender(Sender<FeedEvent>);

impl GpuSender {
    pub fn send(&self, gpu: GpuUse) {
        let _ = self.0.send(FeedEvent::Gpu(gpu));
    }
}

impl FeedSender {
    pub fn start(&mut self, record: &StartRecord) {
        let _ = self.events.send(FeedEvent::Start(record.losses.clone()));
    }

    pub fn step(&mut self, summary: StepSummary) {
        let summary = match self.waiting.take() {
            Some(mut waiting) => {
                waiting.merge(&summary);
                waiting
            }
            None => summary,
        };
        if self.events.len() < QUEUE {
            let _ = self.events.send(FeedEvent::Steps(vec![summary]));
        } else {
            self.waiting = Some(summary);
        }
    }

    /// Says how the recording goes.
    pub fn recorder(&self, stats: RecorderStats) {
        let _ = self.events.send(FeedEvent::Recorder(stats));
    }

    /// Where another thread says what the GPU does. The feed ends when that is dropped too.
    #[must_use]
    pub fn gpu(&self) -> GpuSender {
        GpuSender(self.events.clone())
    }

    /// Says that the training waits, with every step before it, or goes on.
    pub fn paused(&mut self, paused: bool) {
        self.flush();
        let _ = self.events.send(FeedEvent::Paused(paused));
    }

    /// Says how the run ended, after everything that has happened.
    pub fn end(mut self, end: &RunEnd) {
        self.flush();
        let _ = self.events.send(FeedEvent::Status {
            status: end.status,
            message: end.message.clone(),
        });
    }

    fn flush(&mut self) {
        if let Some(waiting) = self.waiting.take() {
            let _ = self.events.send(FeedEvent::Steps(vec![waiting]));
        }
    }

    /// Says that the run ended in a way that its own record cannot tell.
    pub fn broken(self, why: String) {
        let _ = self.events.send(FeedEvent::Broken(why));
    }
}

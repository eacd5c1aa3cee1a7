//! The feed of a training in this process.

use std::sync::Arc;

use crossbeam_channel::{Sender, unbounded};

use super::{Feed, FeedEvent, GpuUse, Origin, RecorderStats};
use crate::record::{RunEnd, RunHeader, StartRecord, StepSummary};
use crate::train::Controls;

/// Maximum number of events that wait for the screen. Beyond that, steps are merged; other events are rare and queued
/// regardless, so that no order has to wait for a screen either.
const QUEUE: usize = 256;

/// The training's end of a feed. It never waits for the screen: steps that do not fit the queue are merged with later
/// ones, and a missing receiver is not an error.
pub struct FeedSender {
    events: Sender<FeedEvent>,
    /// Steps that did not fit, merged into one summary.
    waiting: Option<StepSummary>,
}

/// Creates a feed and its sending end. `controls` passes on the screen's orders.
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

/// Reports GPU usage.
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

    /// Reports the recorder's state.
    pub fn recorder(&self, stats: RecorderStats) {
        let _ = self.events.send(FeedEvent::Recorder(stats));
    }

    /// Returns a sender for another thread to report GPU usage. The feed ends only once that is dropped too.
    #[must_use]
    pub fn gpu(&self) -> GpuSender {
        GpuSender(self.events.clone())
    }

    /// Reports that the training has paused, after every step before it, or has resumed.
    pub fn paused(&mut self, paused: bool) {
        self.flush();
        let _ = self.events.send(FeedEvent::Paused(paused));
    }

    /// Reports how the run ended, after everything that happened before.
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

    /// Reports an end that the run's own record cannot describe.
    pub fn broken(self, why: String) {
        let _ = self.events.send(FeedEvent::Broken(why));
    }
}

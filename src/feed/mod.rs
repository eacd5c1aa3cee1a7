//! One stream of events about a run, whoever produces it.
//!
//! A [`Feed`] is a header, a receiver of events and a sender of orders. The screens read it and
//! cannot tell a training in this process ([`mod@live`]) from a file that another process writes or
//! that was finished long ago ([`mod@file`]), except by the [`Origin`] in its title. What they want to see closer they ask for, and take the
//! answer when it comes ([`Details`]).

mod detail;
mod file;
mod live;

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};

pub use detail::{DetailRequest, Details, details};
pub use file::{FileFeed, open};
pub use live::{FeedSender, live};

use crate::record::{Losses, RunHeader, Status, StepSummary};
use crate::train::Control;

/// Where the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A training in this process.
    Live,
    /// A file that another process is writing.
    Following,
    /// A file that nobody writes any more.
    Replay,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// The losses at `θ_0`.
    Start(Losses),
    /// Steps in order, following those sent before.
    Steps(Vec<StepSummary>),
    /// Finer steps that were asked for; none where the file has no more than is known.
    Detail {
        request: DetailRequest,
        steps: Vec<StepSummary>,
    },
    /// All committed steps of a file have been sent.
    CaughtUp,
    /// How the run stands. `message` says why it failed.
    Status { status: Status, message: String },
    /// The writer of a file gives no sign of life, or does so again.
    WriterLost(bool),
    /// Nothing more will come, and this is why.
    Broken(String),
}

/// A run as the screens see it.
pub struct Feed {
    pub header: Arc<RunHeader>,
    pub origin: Origin,
    pub events: Receiver<FeedEvent>,
    /// Orders to the training, where there is one to give orders to.
    pub controls: Option<Sender<Control>>,
    /// Where to ask for finer steps, if there is a file to read them from.
    pub details: Option<Details>,
}

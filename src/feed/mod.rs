//! One stream of events about a run, whoever produces it.
//!
//! A [`Feed`] is a header, a receiver of events and a sender of orders. The screens read it and
//! cannot tell a training in this process ([`mod@live`]) from a file that another process writes or
//! that was finished long ago ([`mod@file`]), except by the [`Origin`] in its title. The program reads
//! files in a process of their own ([`process`], [`own`]), which may crash on a damaged one; [`wire`] is
//! what the two say to each other.
//!
//! Of a long run the events bring coarse summaries, and of no run units, classes or parameters. What a
//! screen wants to see closer it asks for, and takes the answer when it comes ([`Details`]).

mod detail;
mod file;
mod live;
mod memory;
mod orders;
mod own;
mod process;
mod wire;

use std::sync::Arc;

use crossbeam_channel::Receiver;
use serde::{Deserialize, Serialize};

pub use detail::Details;
pub use file::{FileFeed, open};
pub use live::{FeedSender, GpuSender, live};
pub use own::{DetailReader, details, serve_details};
pub use process::{OpenError, Opening, ReaderProcess, answer, crash, peek, reply, serve, spawn};
pub use wire::Opened;

pub use crate::store::RecorderStats;

use crate::query::{Answer, Query};
use crate::record::{Losses, RunHeader, Status, StepSummary};
use crate::train::Controls;

/// Where the events come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A training in this process.
    Live,
    /// A file that another process is writing.
    Following,
    /// A file that nobody writes any more.
    Replay,
}

/// What a GPU does; `None` is what it does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuUse {
    pub name: String,
    /// Share of the time in which it computed, 0 to 1.
    pub busy: Option<f64>,
    /// Bytes of its memory that are in use, by anyone, and all that it has.
    pub memory: Option<(u64, u64)>,
    /// Degrees Celsius.
    pub celsius: Option<u32>,
    pub watts: Option<f64>,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FeedEvent {
    /// The losses at `θ_0`.
    Start(Losses),
    /// Steps in order, following those sent before.
    Steps(Vec<StepSummary>),
    /// What was asked for.
    Answer { query: Query, answer: Box<Answer> },
    /// All committed steps of a file have been sent.
    CaughtUp,
    /// How the run stands. `message` says why it failed.
    Status { status: Status, message: String },
    /// What waits to be written, of a training in this process, when it has changed.
    Recorder(RecorderStats),
    /// What the GPU does that a training in this process runs on.
    Gpu(GpuUse),
    /// The training waits between two steps, or goes on.
    Paused(bool),
    /// Whether a training in another process takes orders now. One in this process always does.
    Controllable(bool),
    /// An order could not be given, or was refused: why.
    OrderFailed(String),
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
    pub controls: Option<Controls>,
    /// Where to ask for more than the events say, if there is a file to read it from.
    pub details: Option<Details>,
}

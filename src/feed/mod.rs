//! A single stream of events about a run, whatever its source.
//!
//! A [`Feed`] is a header, a receiver of events and a sender of orders. To the screens, a training in this process
//! ([`mod@live`]) and a file that another process writes or has finished long ago ([`mod@file`]) differ only in the
//! [`Origin`] in the title. The program reads files in a separate process ([`server`]), which may crash on a
//! damaged one. [`client`] is our end of it, [`wire`] the protocol between the two, and [`process`] and
//! [`live_details`] pass on what it sends. [`remote`] does the same for a reader on another machine, and connects
//! again when it is lost. [`many`] has one process read many files, for lists of runs.
//!
//! For a long run, events carry coarse summaries only, and for no run do they carry units, classes or parameters. A
//! screen queries such details and receives the answers as they come ([`DetailClient`]).

mod client;
mod detail;
mod file;
mod live;
mod live_details;
mod live_totals;
mod many;
mod orders;
mod process;
mod remote;
mod server;
mod wire;

use std::sync::Arc;

use crossbeam_channel::Receiver;
use serde::{Deserialize, Serialize};

pub use client::{OpenError, ReaderProcess, ask_once, describe_crash, peek};
pub use detail::DetailClient;
pub use file::{FileFeed, open};
pub use live::{FeedSender, GpuSender, live};
pub use live_details::details;
pub use many::{FileAnswer, answer_each, read_each};
pub use process::{Opening, spawn};
pub use remote::{Remote, RemoteOpening, why_it_ended};
pub use server::{Service, serve};
pub use wire::{Greeting, OpenedRun, RemoteRequest, receive, refuse, send};

pub use crate::store::RecorderStats;

use crate::query::{Answer, Query};
use crate::record::{Losses, RunHeader, Status, StepSummary};
use crate::train::Controls;

/// Source of the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// A training in this process.
    Live,
    /// A file that another process is writing.
    Following,
    /// A file that is no longer being written.
    Replay,
}

/// Usage of a GPU; `None` for what the GPU does not report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GpuUse {
    pub name: String,
    /// Fraction of time spent computing, 0 to 1.
    pub busy: Option<f64>,
    /// Memory in use, by any process, and total memory, in bytes.
    pub memory: Option<(u64, u64)>,
    /// Degrees Celsius.
    pub celsius: Option<u32>,
    pub watts: Option<f64>,
}

/// An event of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FeedEvent {
    /// The losses at `θ_0`.
    Start(Losses),
    /// Steps in order, continuing those sent before.
    Steps(Vec<StepSummary>),
    /// The answer to a query.
    Answer {
        query: Query,
        answer: Box<Answer>,
    },
    /// All committed steps of a file have been sent.
    CaughtUp,
    /// The run's status. `message` gives the reason for a failure.
    Status {
        status: Status,
        message: String,
    },
    /// State of the write queue of a training in this process, when it has changed.
    Recorder(RecorderStats),
    /// Usage of the GPU that a training in this process runs on.
    Gpu(GpuUse),
    /// The training has paused between two steps, or has resumed.
    Paused(bool),
    /// Whether a training in another process currently takes orders. One in this process always does.
    Controllable(bool),
    /// An order could not be given, or was refused: the reason.
    OrderFailed(String),
    /// The writer of a file has gone silent, or has come back.
    WriterLost(bool),
    /// A remark on how the file is read.
    Notice(String),
    /// The connection to the machine with the file is lost, and is tried again: the reason.
    Disconnected(String),
    Reconnected,
    /// Nothing more will come: the reason.
    Broken(String),
}

/// A run as presented to the screens.
pub struct Feed {
    pub header: Arc<RunHeader>,
    pub origin: Origin,
    pub events: Receiver<FeedEvent>,
    /// Sends orders to the training, if there is one that takes them.
    pub controls: Option<Controls>,
    /// Queries for details beyond the events, if there is a file to read them from.
    pub details: Option<DetailClient>,
}

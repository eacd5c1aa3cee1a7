//! Orders to a training in another process: a Unix socket beside its run file.
//!
//! While a training runs, `RUN.h5.sock` takes lines and answers each with one line:
//!
//! ```text
//! $ nc -U runs/mnist-fc.h5.sock
//! status
//! ok running, 123 of 400 steps
//! pause
//! ok pausing, 123 of 400 steps
//! stop
//! ok stopping, 124 of 400 steps
//! ```
//!
//! An answer begins with `ok` or `error`. The connection is closed once the run has ended and its file is closed.
//! [`server`] is the training's end, [`client`] the other; [`mod@socket`] is what they share: sockets in the file
//! system.

mod client;
mod server;
mod socket;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use client::{AskError, Connection, steps_in};
pub use server::Server;

use crate::train::Control;

/// Longest line of either side in bytes, without its newline.
const MAX_LINE: usize = 200;

/// The lines that give orders.
const ORDERS: [(&str, Control); 3] = [
    ("pause", Control::Pause),
    ("resume", Control::Resume),
    ("stop", Control::Stop),
];

/// Returns the line that gives an order.
#[must_use]
pub fn line_of(order: Control) -> &'static str {
    let row = ORDERS.iter().find(|(_, control)| *control == order);
    row.map_or("", |(line, _)| line)
}

/// Returns the path of a run's socket, `RUN.h5.sock`.
#[must_use]
pub fn socket_path(run: &Path) -> PathBuf {
    let mut name = run.as_os_str().to_owned();
    name.push(".sock");
    name.into()
}

/// A training's progress, for the control thread to read when a client asks. The numbers are not updated together, and
/// are at most a step old.
#[derive(Debug, Default)]
pub struct Progress {
    steps: AtomicU64,
    paused: AtomicBool,
}

impl Progress {
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Sets the number of completed steps.
    pub fn steps_done(&self, steps: u64) {
        self.steps.store(steps, Ordering::Relaxed);
    }

    pub fn paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }
}

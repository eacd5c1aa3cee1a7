//! Several processes that evaluate one training together.
//!
//! The processes are called *ranks*. Each holds an engine for its share of every part of the data: whole slices, so that
//! batch norms see the same examples as in a single process. Rank 0 trains: its [`RankEngine`] is the engine of a
//! [`Trainer`](crate::train::Trainer), and the others [`serve`] it.
//!
//! ```text
//! rank 0                      the others
//! tell: evaluate Train   ──▶  (waiting)
//! parameters [P]         ──▶
//! own share                   own share
//! losses, hits  ──▶ summed on all ◀──
//! gradient [P]  ──▶ summed on rank 0 ◀──
//! ```
//!
//! Means over a share are weighted with its examples and added in double precision. With another number of ranks, a sum
//! of losses differs by the rounding of `f64`, and a gradient by the rounding of a share's own sum in `f32`. Mini-batches
//! are evaluated by rank 0 alone, so that a training takes the same path to the bit with any number of ranks.

mod order;
mod share;

use std::sync::Arc;
use std::thread;

use self::order::Order;
use super::{EngineError, Evaluation, GradientEngine, Subset, Want};

pub use self::share::{ExampleCounts, Share, divide};

/// Numbers that are passed on or added at once: no second copy of all parameters is needed for it.
const BLOCK: usize = 1 << 17;

/// Why ranks can no longer communicate.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LinkError(pub String);

/// Communication among all ranks. Every method is called by all of them, in the same order.
///
/// # Errors
/// Each method fails if the ranks can no longer communicate; no method may be called after that.
pub trait Link: Send + Sync {
    /// This rank: 0 to `size() − 1`.
    fn rank(&self) -> usize;

    /// The number of ranks.
    fn size(&self) -> usize;

    /// The name of this rank's machine.
    fn host(&self) -> &str;

    /// Copies rank 0's bytes to all ranks. The others may wait for them for long, and use no core meanwhile.
    ///
    /// # Errors
    /// As for all methods.
    fn tell(&self, bytes: &mut [u8]) -> Result<(), LinkError>;

    /// Copies rank 0's numbers to all ranks.
    ///
    /// # Errors
    /// As for all methods.
    fn broadcast(&self, values: &mut [f32]) -> Result<(), LinkError>;

    /// Replaces the numbers by their sums over the ranks, on all ranks.
    ///
    /// # Errors
    /// As for all methods.
    fn sum_on_all(&self, values: &mut [f64]) -> Result<(), LinkError>;

    /// Replaces rank 0's numbers by their sums over the ranks; the others' are undefined after that.
    ///
    /// # Errors
    /// As for all methods.
    fn sum_on_first(&self, values: &mut [f64]) -> Result<(), LinkError>;

    /// Collects the bytes of all ranks, in their order, on all ranks: `all` has `size()` times the length of `own`.
    ///
    /// # Errors
    /// As for all methods.
    fn gather(&self, own: &[u8], all: &mut [u8]) -> Result<(), LinkError>;

    /// Records that this rank leaves in the middle of a step: the others must be ended, not told.
    fn give_up(&self);
}

impl From<LinkError> for EngineError {
    fn from(error: LinkError) -> Self {
        Self::Link(error.0)
    }
}

/// The engine of rank 0: its own share and, through their link, those of the others.
pub struct RankEngine {
    link: Arc<dyn Link>,
    share: Share,
}

impl RankEngine {
    /// Tells the other ranks what to evaluate (`task`), and builds this rank's share meanwhile.
    ///
    /// # Errors
    /// Any rank cannot build its share, or the ranks cannot communicate.
    pub fn begin(
        link: Arc<dyn Link>,
        task: &[u8],
        build: impl FnOnce() -> Result<Share, EngineError>,
    ) -> Result<Self, EngineError> {
        Order::Prepare { len: task.len() }.tell(&*link)?;
        link.tell(&mut task.to_vec())?;
        let built = build();
        check_all(&*link, built.as_ref().err())?;
        Ok(Self {
            share: built?,
            link,
        })
    }

    fn announce(&self, order: Order, params: &[f32]) -> Result<(), LinkError> {
        order.tell(&*self.link)?;
        send(&*self.link, params)
    }
}

impl Drop for RankEngine {
    fn drop(&mut self) {
        // The others may be waiting in the middle of an evaluation.
        if thread::panicking() {
            self.link.give_up();
        }
    }
}

impl GradientEngine for RankEngine {
    fn describe(&self) -> String {
        let ranks = self.link.size();
        let idle = match ranks - self.share.busy_ranks() {
            0 => String::new(),
            idle => format!(" ({idle} idle)"),
        };
        format!("{ranks} ranks{idle}, each {}", self.share.engine.describe())
    }

    fn evaluate(
        &mut self,
        part: Subset,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        self.announce(Order::Evaluate { part, want }, params)?;
        self.share.evaluate(&*self.link, part, params, want, out)
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        self.share.engine.evaluate_batch(params, rows, noise, out)
    }

    fn accuracy(
        &mut self,
        part: Subset,
        params: &[f32],
        running: &[f32],
    ) -> Result<f64, EngineError> {
        self.announce(Order::Accuracy { part }, params)?;
        send(&*self.link, running)?;
        self.share.accuracy(&*self.link, part, params, running)
    }
}

/// Evaluates this rank's share whenever rank 0 says so, until it dismisses the ranks. `prepare` builds the share of a
/// task; the error of an engine or of `prepare` is reported to rank 0 and does not end this.
///
/// # Errors
/// The ranks can no longer communicate.
pub fn serve(
    link: &dyn Link,
    mut prepare: impl FnMut(&[u8]) -> Result<Share, String>,
) -> Result<(), LinkError> {
    let mut share = None;
    let (mut params, mut running) = (Vec::new(), Vec::new());
    let mut out = Evaluation::default();
    loop {
        let order = Order::receive(link)?;
        if let Order::Prepare { len } = order {
            let mut task = vec![0; len];
            link.tell(&mut task)?;
            let built = prepare(&task);
            let fault = built.as_ref().err();
            known_to_all(check_all(link, fault))?;
            share = built.ok();
            continue;
        }
        if order == Order::Leave {
            return Ok(());
        }
        let Some(share) = &mut share else {
            return Err(LinkError("an order came before the task".to_owned()));
        };
        receive(link, &mut params, share.params)?;
        known_to_all(match order {
            Order::Evaluate { part, want } => share.evaluate(link, part, &params, want, &mut out),
            Order::Accuracy { part } => {
                receive(link, &mut running, share.buffers)?;
                (share.accuracy(link, part, &params, &running)).map(|_| ())
            }
            Order::Leave | Order::Prepare { .. } => Ok(()),
        })?;
    }
}

/// Ends [`serve`] on the other ranks. Called by rank 0.
///
/// # Errors
/// The ranks cannot communicate.
pub fn dismiss(link: &dyn Link) -> Result<(), LinkError> {
    Order::Leave.tell(link)
}

/// Passes over an error that all ranks know of: rank 0 ends the training.
fn known_to_all(result: Result<(), EngineError>) -> Result<(), LinkError> {
    match result {
        Err(EngineError::Link(reason)) => Err(LinkError(reason)),
        _ => Ok(()),
    }
}

/// Longest reported reason of a failure, in bytes.
const LONGEST_REASON: usize = 1024;

/// Reports whether all ranks have succeeded, given this rank's failure if it has one.
fn check_all(link: &dyn Link, fault: Option<&impl ToString>) -> Result<(), EngineError> {
    let mut failures = [f64::from(u8::from(fault.is_some()))];
    link.sum_on_all(&mut failures)?;
    match failures {
        [0.0] => Ok(()),
        _ => Err(first_failure(link, fault)?),
    }
}

/// Returns the failure of the first rank that has one, on all ranks: `rank 2 on HOST: …`.
fn first_failure(link: &dyn Link, fault: Option<&impl ToString>) -> Result<EngineError, LinkError> {
    let mut own = vec![0; LONGEST_REASON];
    if let Some(fault) = fault {
        let text = format!("{}\0{}", link.host(), fault.to_string());
        for (own, byte) in own.iter_mut().zip(text.bytes()) {
            *own = byte;
        }
    }
    let mut all = vec![0; LONGEST_REASON * link.size()];
    link.gather(&own, &mut all)?;
    let texts = all.chunks_exact(LONGEST_REASON).enumerate();
    let failure = texts.filter_map(|(rank, text)| {
        let text = String::from_utf8_lossy(text);
        let (host, reason) = text.split_once('\0')?;
        let reason = reason.trim_end_matches('\0').to_owned();
        let host = host.to_owned();
        (!host.is_empty()).then_some(EngineError::Rank { rank, host, reason })
    });
    let none = || LinkError("a rank failed without a reason".to_owned());
    failure.into_iter().next().ok_or_else(none)
}

/// Passes rank 0's numbers to the other ranks.
fn send(link: &dyn Link, values: &[f32]) -> Result<(), LinkError> {
    let mut copy = Vec::with_capacity(BLOCK.min(values.len()));
    values.chunks(BLOCK).try_for_each(|block| {
        copy.clear();
        copy.extend_from_slice(block);
        link.broadcast(&mut copy)
    })
}

/// Receives `len` numbers that rank 0 sends.
fn receive(link: &dyn Link, values: &mut Vec<f32>, len: usize) -> Result<(), LinkError> {
    values.resize(len, 0.0);
    values
        .chunks_mut(BLOCK)
        .try_for_each(|block| link.broadcast(block))
}

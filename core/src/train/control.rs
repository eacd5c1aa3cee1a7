//! Drives a training to its end, following orders between steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select};
use serde::{Deserialize, Serialize};

use super::inquiry::{Inquiry, answer_waiting};
use super::trainer::{TrainError, Trainer};
use crate::record::{Checkpoint, RunEnd, StartRecord, Status, StepRecord};
use crate::trajectory::NextPoint;

/// An order to a running training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Wait before the next step.
    Pause,
    Resume,
    /// End after the current step.
    Stop,
}

/// Error for an order to a training that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the training has ended")]
pub struct TrainingEnded;

/// Handle for giving orders to a training; clones share it.
///
/// There is no queue. The latest of `Pause` and `Resume` counts, and a `Stop` is never withdrawn, so that any number of
/// orders takes no memory, and none waits for earlier ones.
#[derive(Clone, Debug)]
pub struct Controls {
    wish: Arc<AtomicU8>,
    bell: Sender<()>,
}

/// The training's end of [`Controls`].
#[derive(Debug)]
pub struct Orders {
    wish: Arc<AtomicU8>,
    /// Rings if an order was given since it was last received.
    bell: Receiver<()>,
}

/// Bits of the pending orders.
const PAUSE: u8 = 1;
const STOP: u8 = 2;

/// Creates both ends.
#[must_use]
pub fn controls() -> (Controls, Orders) {
    let wish = Arc::new(AtomicU8::new(0));
    let (bell, rings) = bounded(1);
    let controls = Controls {
        wish: wish.clone(),
        bell,
    };
    (controls, Orders { wish, bell: rings })
}

impl Controls {
    /// Gives an order.
    ///
    /// # Errors
    /// The training has ended.
    pub fn send(&self, order: Control) -> Result<(), TrainingEnded> {
        match order {
            Control::Pause => self.wish.fetch_or(PAUSE, Ordering::SeqCst),
            Control::Resume => self.wish.fetch_and(!PAUSE, Ordering::SeqCst),
            Control::Stop => self.wish.fetch_or(STOP, Ordering::SeqCst),
        };
        match self.bell.try_send(()) {
            Err(TrySendError::Disconnected(())) => Err(TrainingEnded),
            // It is already ringing.
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
        }
    }
}

impl Orders {
    /// Returns the order in force; `Resume` if there is none.
    #[must_use]
    pub fn newest(&self) -> Control {
        match self.wish.load(Ordering::SeqCst) {
            wish if wish & STOP != 0 => Control::Stop,
            wish if wish & PAUSE != 0 => Control::Pause,
            _ => Control::Resume,
        }
    }

    /// Receives when an order may have been given; disconnected when no more orders can come.
    #[must_use]
    pub fn wakeups(&self) -> &Receiver<()> {
        &self.bell
    }

    /// Ends a pause that can no longer be ended by an order.
    fn nobody_is_left(&self) {
        self.wish.fetch_and(!PAUSE, Ordering::SeqCst);
    }
}

/// Error for records that can no longer be kept.
#[derive(Debug, thiserror::Error)]
#[error("the recorder is gone")]
pub struct SinkClosed;

/// Receiver of a run's records.
pub trait Sink {
    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed>;

    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed>;

    /// Whether the state is wanted after this many steps, to resume from if the program is killed.
    fn checkpoint_is_due(&mut self, _done: u64) -> bool {
        false
    }

    /// Returns true if the training is to save its state when it ends before its last planned step.
    fn wants_last_checkpoint(&self) -> bool {
        true
    }

    /// Takes the state after the last step done: when it was due or requested, and at the end if it is wanted there.
    ///
    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn checkpoint(&mut self, _checkpoint: Checkpoint) -> Result<(), SinkClosed> {
        Ok(())
    }

    /// Reports that the training pauses between two steps, or resumes. A sink that only keeps records can ignore it.
    ///
    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn paused(&mut self, _paused: bool) -> Result<(), SinkClosed> {
        Ok(())
    }
}

/// Trains from the beginning until the planned steps are done, the user stops it, or it fails. By then every completed
/// step has been passed to `sink`; a training that was stopped has also passed its state.
///
/// # Errors
/// The sink has closed. A training that fails by itself is not an error: it ends with that status.
pub fn run(
    trainer: &mut Trainer,
    orders: &Orders,
    sink: &mut impl Sink,
) -> Result<RunEnd, SinkClosed> {
    match trainer.start() {
        Ok(start) => sink.start(start)?,
        Err(error) => return Ok(end(trainer, Status::Failed, error.to_string())),
    }
    run_started(trainer, orders, sink)
}

/// Like [`run`], for a training that has already started.
///
/// # Errors
/// As for [`run`].
pub fn run_started(
    trainer: &mut Trainer,
    orders: &Orders,
    sink: &mut impl Sink,
) -> Result<RunEnd, SinkClosed> {
    let (status, message) = match drive(trainer, orders, sink) {
        Ok(status) => (status, String::new()),
        Err(Interruption::Failed(error)) => (Status::Failed, error.to_string()),
        Err(Interruption::Closed(closed)) => return Err(closed),
    };
    Ok(end(trainer, status, message))
}

fn end(trainer: &mut Trainer, status: Status, message: String) -> RunEnd {
    RunEnd {
        status,
        message,
        totals: trainer.take_unrecorded_totals().map(Box::new),
    }
}

enum Interruption {
    Failed(TrainError),
    Closed(SinkClosed),
}

impl From<TrainError> for Interruption {
    fn from(error: TrainError) -> Self {
        Self::Failed(error)
    }
}

impl From<SinkClosed> for Interruption {
    fn from(closed: SinkClosed) -> Self {
        Self::Closed(closed)
    }
}

fn drive(
    trainer: &mut Trainer,
    orders: &Orders,
    sink: &mut impl Sink,
) -> Result<Status, Interruption> {
    let mut saved = trainer.steps_done();
    let status = loop {
        if trainer.has_all_steps() {
            // No checkpoint: there is nothing to resume.
            return Ok(Status::Finished);
        }
        if stop_is_wanted(trainer, orders, sink)? {
            break Status::Stopped;
        }
        match trainer.next_point(orders.wakeups())? {
            NextPoint::Ready => {}
            NextPoint::Interrupted => continue,
            NextPoint::Checkpoint => {
                sink.checkpoint(trainer.checkpoint())?;
                saved = trainer.steps_done();
                continue;
            }
            NextPoint::Stop => break Status::Stopped,
            NextPoint::End => break Status::Finished,
        }
        sink.step(trainer.step()?)?;
        let done = trainer.steps_done();
        if !trainer.has_all_steps() && sink.checkpoint_is_due(done) {
            sink.checkpoint(trainer.checkpoint())?;
            saved = done;
        }
    };
    if trainer.steps_done() > saved && sink.wants_last_checkpoint() {
        sink.checkpoint(trainer.checkpoint())?;
    }
    Ok(status)
}

/// Follows the newest order; blocks while paused. A pause that no order can end any more is over. Inquiries are
/// answered meanwhile.
fn stop_is_wanted(
    trainer: &Trainer,
    orders: &Orders,
    sink: &mut impl Sink,
) -> Result<bool, SinkClosed> {
    answer_waiting(trainer.inquiries(), trainer.totals());
    let mut paused = false;
    loop {
        let order = orders.newest();
        let pause = order == Control::Pause;
        if pause != paused {
            paused = pause;
            sink.paused(paused)?;
        }
        match order {
            Control::Pause => wait_for_order(trainer, orders),
            Control::Resume => return Ok(false),
            Control::Stop => return Ok(true),
        }
    }
}

/// Waits for an order, and answers inquiries until then.
fn wait_for_order(trainer: &Trainer, orders: &Orders) {
    let mut inquiries = trainer.inquiries().clone();
    loop {
        select! {
            recv(orders.wakeups()) -> ring => {
                if ring.is_err() {
                    orders.nobody_is_left();
                }
                return;
            }
            recv(inquiries) -> inquiry => match inquiry {
                Ok(inquiry) => inquiry.answer(trainer.totals()),
                // No more inquiries will come.
                Err(_) => inquiries = never::<Inquiry>(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_order_counts_and_a_stop_is_final() {
        let (controls, orders) = controls();
        assert_eq!(orders.newest(), Control::Resume);
        for _ in 0..100_000 {
            controls.send(Control::Pause).unwrap();
            controls.send(Control::Resume).unwrap();
        }
        assert_eq!(orders.newest(), Control::Resume);
        assert_eq!(orders.wakeups().len(), 1, "nothing queues up");
        controls.send(Control::Pause).unwrap();
        assert_eq!(orders.newest(), Control::Pause);
        let other = controls.clone();
        other.send(Control::Stop).unwrap();
        controls.send(Control::Resume).unwrap();
        assert_eq!(orders.newest(), Control::Stop);
        drop(orders);
        assert_eq!(controls.send(Control::Stop), Err(TrainingEnded));
    }
}

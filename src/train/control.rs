//! Drives a trainer to its end, listening for orders between steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, never, select};

use super::inquiry::{Inquiry, answer_waiting};
use super::trainer::{TrainError, Trainer};
use crate::record::{Checkpoint, RunEnd, StartRecord, Status, StepRecord};

/// An order to a running training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Wait before the next step.
    Pause,
    Resume,
    /// End after the current step.
    Stop,
}

/// Nobody obeys any more: the training has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the training has ended")]
pub struct Ended;

/// Where orders to a training are given; clones are for the same one.
///
/// There is no queue. Of `Pause` and `Resume` the one given last counts, and a `Stop` is never taken
/// back, so that any number of orders takes no memory, and none waits for those given before it.
#[derive(Clone, Debug)]
pub struct Controls {
    wish: Arc<AtomicU8>,
    bell: Sender<()>,
}

/// The training's end of [`Controls`].
#[derive(Debug)]
pub struct Orders {
    wish: Arc<AtomicU8>,
    /// Rings when something has been ordered since it was heard last.
    bell: Receiver<()>,
}

/// The bits of a wish.
const PAUSE: u8 = 1;
const STOP: u8 = 2;

/// Both ends of the orders to a training.
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
    pub fn send(&self, order: Control) -> Result<(), Ended> {
        match order {
            Control::Pause => self.wish.fetch_or(PAUSE, Ordering::SeqCst),
            Control::Resume => self.wish.fetch_and(!PAUSE, Ordering::SeqCst),
            Control::Stop => self.wish.fetch_or(STOP, Ordering::SeqCst),
        };
        match self.bell.try_send(()) {
            Err(TrySendError::Disconnected(())) => Err(Ended),
            // It rings already.
            Ok(()) | Err(TrySendError::Full(())) => Ok(()),
        }
    }
}

impl Orders {
    /// The order that counts now; `Resume` where there was none.
    #[must_use]
    pub fn newest(&self) -> Control {
        match self.wish.load(Ordering::SeqCst) {
            wish if wish & STOP != 0 => Control::Stop,
            wish if wish & PAUSE != 0 => Control::Pause,
            _ => Control::Resume,
        }
    }

    /// Receives when something may have been ordered; closed when nobody can give orders any more.
    #[must_use]
    pub fn bell(&self) -> &Receiver<()> {
        &self.bell
    }

    /// Ends a pause that nobody can end any more.
    fn nobody_is_left(&self) {
        self.wish.fetch_and(!PAUSE, Ordering::SeqCst);
    }
}

/// Nobody takes records any more.
#[derive(Debug, thiserror::Error)]
#[error("the recorder is gone")]
pub struct SinkClosed;

/// Whoever takes the records of a run.
pub trait Sink {
    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed>;

    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed>;

    /// Whether it wants the state after so many steps, to go on from if the program is killed.
    fn checkpoint_is_due(&mut self, _done: u64) -> bool {
        false
    }

    /// Takes the state after the last step: when it was due, and when the user stops the training.
    ///
    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn checkpoint(&mut self, _checkpoint: Checkpoint) -> Result<(), SinkClosed> {
        Ok(())
    }

    /// The training waits between two steps from now on, or goes on. A sink that only keeps records
    /// has nothing to do.
    ///
    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn paused(&mut self, _paused: bool) -> Result<(), SinkClosed> {
        Ok(())
    }
}

/// Trains from the beginning until the planned steps are done, the user stops it, or it fails. Every
/// step done before has then been given to `sink`; a training that was stopped has also given its
/// state.
///
/// # Errors
/// Only that the sink has closed; a training that fails by itself ends with that status.
pub fn run(
    trainer: &mut Trainer,
    orders: &Orders,
    sink: &mut impl Sink,
) -> Result<RunEnd, SinkClosed> {
    match trainer.start() {
        Ok(start) => sink.start(start)?,
        Err(error) => return Ok(end(trainer, Status::Failed, error.to_string())),
    }
    proceed(trainer, orders, sink)
}

/// The same from where a training stands that has started.
///
/// # Errors
/// As [`run`].
pub fn proceed(
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

fn end(trainer: &Trainer, status: Status, message: String) -> RunEnd {
    RunEnd {
        status,
        message,
        totals: trainer.unrecorded_totals().map(Box::new),
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
    while trainer.steps_done() < trainer.steps_planned() {
        if stop_is_wanted(trainer, orders, sink)? {
            if trainer.steps_done() > saved {
                sink.checkpoint(trainer.checkpoint())?;
            }
            return Ok(Status::Stopped);
        }
        sink.step(trainer.step()?)?;
        // After the last step nothing is left to go on with.
        let done = trainer.steps_done();
        if done < trainer.steps_planned() && sink.checkpoint_is_due(done) {
            sink.checkpoint(trainer.checkpoint())?;
            saved = done;
        }
    }
    Ok(Status::Finished)
}

/// Obeys the newest order; blocks while paused. A pause that nobody could end any more is over.
/// Inquiries are answered meanwhile.
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

/// Waits until something is ordered, and answers inquiries until then.
fn wait_for_order(trainer: &Trainer, orders: &Orders) {
    let mut inquiries = trainer.inquiries().clone();
    loop {
        select! {
            recv(orders.bell()) -> ring => {
                if ring.is_err() {
                    orders.nobody_is_left();
                }
                return;
            }
            recv(inquiries) -> inquiry => match inquiry {
                Ok(inquiry) => inquiry.answer(trainer.totals()),
                // Nobody asks any more.
                Err(_) => inquiries = never::<Inquiry>(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_wish_counts_and_a_stop_is_for_good() {
        let (controls, orders) = controls();
        assert_eq!(orders.newest(), Control::Resume);
        for _ in 0..100_000 {
            controls.send(Control::Pause).unwrap();
            controls.send(Control::Resume).unwrap();
        }
        assert_eq!(orders.newest(), Control::Resume);
        assert_eq!(orders.bell().len(), 1, "nothing queues up");
        controls.send(Control::Pause).unwrap();
        assert_eq!(orders.newest(), Control::Pause);
        let other = controls.clone();
        other.send(Control::Stop).unwrap();
        controls.send(Control::Resume).unwrap();
        assert_eq!(orders.newest(), Control::Stop);
        drop(orders);
        assert_eq!(controls.send(Control::Stop), Err(Ended));
    }
}

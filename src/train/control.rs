//! Drives a trainer to its end, listening for orders between steps.

use crossbeam_channel::{Receiver, never, select};

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
    controls: &Receiver<Control>,
    sink: &mut impl Sink,
) -> Result<RunEnd, SinkClosed> {
    match trainer.start() {
        Ok(start) => sink.start(start)?,
        Err(error) => return Ok(end(trainer, Status::Failed, error.to_string())),
    }
    proceed(trainer, controls, sink)
}

/// The same from where a training stands that has started.
///
/// # Errors
/// As [`run`].
pub fn proceed(
    trainer: &mut Trainer,
    controls: &Receiver<Control>,
    sink: &mut impl Sink,
) -> Result<RunEnd, SinkClosed> {
    let (status, message) = match drive(trainer, controls, sink) {
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
    controls: &Receiver<Control>,
    sink: &mut impl Sink,
) -> Result<Status, Interruption> {
    let mut saved = trainer.steps_done();
    while trainer.steps_done() < trainer.steps_planned() {
        if stop_is_wanted(trainer, controls, sink)? {
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

/// Obeys waiting orders; blocks while paused. A closed channel gives no orders, and ends a pause that
/// nobody could end any more. Inquiries are answered meanwhile.
fn stop_is_wanted(
    trainer: &Trainer,
    controls: &Receiver<Control>,
    sink: &mut impl Sink,
) -> Result<bool, SinkClosed> {
    answer_waiting(trainer.inquiries(), trainer.totals());
    let mut paused = false;
    loop {
        let order = if paused {
            next_order(trainer, controls)
        } else {
            controls.try_recv().ok()
        };
        let pause = order == Some(Control::Pause);
        if pause != paused {
            paused = pause;
            sink.paused(paused)?;
        }
        match order {
            Some(Control::Pause | Control::Resume) => {}
            Some(Control::Stop) => return Ok(true),
            None => return Ok(false),
        }
    }
}

/// Waits for an order, and answers inquiries until it comes.
fn next_order(trainer: &Trainer, controls: &Receiver<Control>) -> Option<Control> {
    let mut inquiries = trainer.inquiries().clone();
    loop {
        select! {
            recv(controls) -> order => return order.ok(),
            recv(inquiries) -> inquiry => match inquiry {
                Ok(inquiry) => inquiry.answer(trainer.totals()),
                // Nobody asks any more.
                Err(_) => inquiries = never::<Inquiry>(),
            },
        }
    }
}

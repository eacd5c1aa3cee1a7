//! Drives a trainer to its end, listening for orders between steps.

use crossbeam_channel::Receiver;

use super::trainer::{TrainError, Trainer};
use crate::record::{RunEnd, StartRecord, Status, StepRecord};

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

    /// The training waits between two steps from now on, or goes on. A sink that only keeps records
    /// has nothing to do.
    ///
    /// # Errors
    /// The run must end: its records can no longer be kept.
    fn paused(&mut self, _paused: bool) -> Result<(), SinkClosed> {
        Ok(())
    }
}

/// Trains until the planned steps are done, the user stops it, or it fails. Every step done before
/// has then been given to `sink`.
///
/// # Errors
/// Only that the sink has closed; a training that fails by itself ends with that status.
pub fn run(
    trainer: &mut Trainer,
    controls: &Receiver<Control>,
    sink: &mut impl Sink,
) -> Result<RunEnd, SinkClosed> {
    let (status, message) = match drive(trainer, controls, sink) {
        Ok(status) => (status, String::new()),
        Err(Interruption::Failed(error)) => (Status::Failed, error.to_string()),
        Err(Interruption::Closed(closed)) => return Err(closed),
    };
    Ok(RunEnd {
        status,
        message,
        totals: trainer.unrecorded_totals().map(Box::new),
    })
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
    sink.start(trainer.start()?)?;
    while trainer.steps_done() < trainer.steps_planned() {
        if stop_is_wanted(controls, sink)? {
            return Ok(Status::Stopped);
        }
        sink.step(trainer.step()?)?;
    }
    Ok(Status::Finished)
}

/// Obeys waiting orders; blocks while paused. A closed channel gives no orders, and ends a pause that
/// nobody could end any more.
fn stop_is_wanted(controls: &Receiver<Control>, sink: &mut impl Sink) -> Result<bool, SinkClosed> {
    let mut paused = false;
    loop {
        let order = if paused {
            controls.recv().ok()
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

//! The program as a path through parameter space: it takes the steps.

use crossbeam_channel::{Receiver, never, select};

use super::connection::{Client, ClientError, SharedMemory, SharedVector};
use super::message::{ClientMessage, Close, EndStatus, ServerMessage};
use crate::trajectory::{NextPoint, StepFacts, Trajectory, TrajectoryError};

/// The path of a training in another program, point by point as it is made.
pub struct ClientTrajectory {
    client: Client,
    memory: SharedMemory,
    /// Planned number of steps; 0 if unknown.
    steps: u64,
    facts: StepFacts,
    /// True while the program waits to be told that its checkpoint is made.
    is_saving: bool,
}

impl ClientTrajectory {
    /// Creates the path of a program that plans `steps` steps (0: unknown).
    #[must_use]
    pub fn new(client: Client, memory: SharedMemory, steps: u64) -> Self {
        Self {
            client,
            memory,
            steps,
            facts: StepFacts::UNKNOWN,
            is_saving: false,
        }
    }

    fn take(&mut self, message: ClientMessage) -> Result<NextPoint, ClientError> {
        match message {
            ClientMessage::Step(step) => {
                self.facts = StepFacts {
                    epoch: step.epoch.0,
                    learning_rate: step.learning_rate.0,
                    batch_loss: step.batch_loss.0,
                };
                Ok(NextPoint::Ready)
            }
            ClientMessage::Checkpoint => {
                self.is_saving = true;
                Ok(NextPoint::Checkpoint)
            }
            ClientMessage::Close(Close { status, reason }) => match status {
                EndStatus::Finished => Ok(NextPoint::End),
                EndStatus::Stopped => Ok(NextPoint::Stop),
                EndStatus::Failed => Err(ClientError::Reported(reason)),
            },
            ClientMessage::Error(error) => Err(ClientError::Reported(error.reason)),
            ClientMessage::Open(_) => Err(ClientError::OutOfTurn("the run is open already")),
            ClientMessage::Evaluated(_) => Err(ClientError::OutOfTurn(
                "an evaluation that was not asked for",
            )),
        }
    }
}

impl Trajectory for ClientTrajectory {
    fn steps(&self) -> u64 {
        self.steps
    }

    fn point(&mut self, _: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
        (self.memory.read(SharedVector::Params, params))
            .map_err(|error| TrajectoryError(error.to_string()))
    }

    fn next(&mut self, _: u64, wakeups: &Receiver<()>) -> Result<NextPoint, TrajectoryError> {
        let failed = |error: ClientError| TrajectoryError(error.to_string());
        if std::mem::take(&mut self.is_saving) {
            self.client.send(&ServerMessage::Saved).map_err(failed)?;
        }
        let mut wakeups = wakeups.clone();
        loop {
            select! {
                recv(self.client.messages()) -> message => {
                    let message = message.unwrap_or(Err(ClientError::Gone)).map_err(failed)?;
                    return self.take(message).map_err(failed);
                }
                recv(wakeups) -> ring => match ring {
                    Ok(()) => return Ok(NextPoint::Interrupted),
                    // No more orders will come.
                    Err(_) => wakeups = never(),
                },
            }
        }
    }

    fn facts(&self) -> StepFacts {
        self.facts
    }
}

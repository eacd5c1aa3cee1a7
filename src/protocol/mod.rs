//! Trainings in another program: that program takes the steps and evaluates losses and gradients, and a run is recorded
//! here. `docs/protocol.md` describes the messages.
//!
//! To the trainer, the program is a path through parameter space ([`ClientTrajectory`]) and an engine
//! ([`ClientEngine`]).

mod connection;
mod engine;
mod message;
mod open;
mod trajectory;

pub use connection::{Client, ClientError, SharedMemory};
pub use engine::ClientEngine;
pub use message::{Allocated, Closed, EndStatus, Number, Reason, SentLosses, ServerMessage};
pub use open::{OpenedModel, RecordRequest};
pub use trajectory::ClientTrajectory;

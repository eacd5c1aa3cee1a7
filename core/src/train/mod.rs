//! The training loop: take a step, allocate it, report it.
//!
//! A [`Trainer`] knows networks, data and numbers, but no files, screens or threads: it returns a record of every step.
//! [`run`] drives it to its end and follows [`Control`]; between two steps it answers each [`Inquiry`].

mod checkpoint;
mod control;
mod inquiry;
mod trace;
mod trainer;

pub use checkpoint::MisfitError;
pub use control::{
    Control, Controls, Orders, Sink, SinkClosed, TrainingEnded, controls, run, run_started,
};
pub use inquiry::{Inquiry, inquiries};
pub use trace::choose_traced;
pub use trainer::{TrainError, TrainSettings, Trainer, affordable_snapshots, snapshot_is_due};

pub use crate::optim::OptimizerChoice;

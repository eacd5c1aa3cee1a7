//! Optimizers on the flat parameter vector, and learning-rate schedules.

mod adam;
mod rmsprop;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use rmsprop::RmsProp;
pub use schedule::{Schedule, ScheduleError};
pub use sgd::Sgd;

/// Moves the parameters after each mini-batch.
pub trait Optimizer: Send {
    /// Takes one step from `params` (`[P]`) given the mini-batch gradient (`[P]`).
    fn step(&mut self, params: &mut [f32], gradient: &[f32], learning_rate: f64);
}

//! Optimizers on the flat parameter vector, learning-rate schedules, and overrides for single layers.
//!
//! A training uses [`Groups`] for its steps: one optimizer for every run of layers with equal settings, hence a single
//! one unless a [`LayerRule`] differs.

mod adam;
mod groups;
mod rmsprop;
mod rules;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use groups::{GroupMemory, Groups, OptimizerChoice};
pub use rmsprop::RmsProp;
pub use rules::{Freeze, LayerRule, LayerRuleError, Overrides, UnknownLayer, overrides_of};
pub use schedule::{Schedule, ScheduleError};
pub use sgd::Sgd;

/// Moves the parameters after each mini-batch.
pub trait Optimizer: Send {
    /// Takes one step from `params` (`[p]`, all of a network or a range of it) given the mini-batch
    /// gradient (`[p]`).
    fn step(&mut self, params: &mut [f32], gradient: &[f32], learning_rate: f64);

    /// Returns the optimizer's memory, to be saved and restored.
    fn memory(&mut self) -> OptimizerMemory<'_>;
}

/// An optimizer's memory from step to step.
pub struct OptimizerMemory<'a> {
    /// Number of steps taken, if the formula depends on it.
    pub steps: Option<&'a mut i32>,
    /// `[p]` each: running sums and averages, in the order of the formula.
    pub averages: Vec<&'a mut [f32]>,
}

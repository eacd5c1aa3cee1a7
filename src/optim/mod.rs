//! Optimizers on the flat parameter vector, learning-rate schedules, and what single layers do
//! otherwise.
//!
//! [`Groups`] is what a training steps with: one optimizer for every run of layers that are trained
//! alike, so one alone unless a [`LayerRule`] says more.

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

    /// What it has to remember, to be saved and put back.
    fn memory(&mut self) -> Memory<'_>;
}

/// All that an optimizer remembers from step to step.
pub struct Memory<'a> {
    /// Steps taken, where the formula asks for them.
    pub steps: Option<&'a mut i32>,
    /// `[p]` each: running sums and averages, in the order of the formula.
    pub averages: Vec<&'a mut [f32]>,
}

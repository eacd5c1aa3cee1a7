//! Experiments: sets of runs that differ in one thing, and their results.
//!
//! A [`preset`] is a TOML file, built in or the user's own. With a size and a number of seeds it becomes a [`plan`]:
//! every run with its resolved configuration. [`numbers`] are the results of a finished run, [`outcome`] those of arms
//! and pairs of arms, and [`document`] reports them.

pub mod document;
pub mod numbers;
pub mod outcome;
pub mod plan;
pub mod preset;

pub use numbers::{Quantity, QuantityGroup, numbers_of};
pub use outcome::{ExperimentOutcome, PairedValue};
pub use plan::{ExperimentPlan, PlanOverrides, PlannedRun};
pub use preset::{Arm, PRESETS, Preset, Size, SizeName, find};

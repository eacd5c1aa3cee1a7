//! Experiments: sets of runs that differ in one thing, and what comes of them.
//!
//! A [`preset`] is a TOML file, one of those inside the program or one's own. With a size and a number of
//! seeds it becomes a [`plan`]: every run with its resolved configuration. [`numbers`] are what a
//! finished run comes to, [`outcome`] is what arms and pairs of arms come to,
//! [`document`] says it.

pub mod document;
pub mod numbers;
pub mod outcome;
pub mod plan;
pub mod preset;

pub use numbers::{Group, Quantity, numbers_of};
pub use outcome::{Outcome, PairedValue};
pub use plan::{Plan, PlannedRun, Wishes};
pub use preset::{Arm, PRESETS, Preset, Size, SizeName, find};

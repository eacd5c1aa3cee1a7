//! Configuration of a run: flags over a TOML file over defaults, checked and resolved.
//!
//! [`Options`] is what a person may give, as flags or as keys of a TOML file; everything in it is optional.
//! [`RunConfig`] is the result, with nothing left open. A resolved configuration converts back to options
//! ([`RunConfig::to_options`]), which is what the run file stores: enough to repeat the run.
//!
//! [`user`] is separate: the explorer's appearance and keys.

mod choices;
mod layers;
mod options;
mod resolve;
mod spellings;
pub mod user;

pub use choices::{
    CheckpointEvery, ColorChoice, DeviceChoice, EngineChoice, GlyphsChoice, MAX_COUNT,
    NetworkChoice, OptimizerKind, SliceChoice,
};
pub use options::{
    Options, RECORDING, holds_options, merge, parse, recording_options, stored_options,
};
pub use resolve::{Length, RunConfig, TrajectoryChoice};
pub use spellings::{ELSEWHERE, called_here, means_network};

/// The reason why a configuration cannot be used. The message names the flag and the remedy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

//! What a run is to do: flags over a TOML file over defaults, checked and resolved.
//!
//! [`Options`] are what a person may give, as flags or as keys of a TOML file; everything in them is
//! optional. [`RunConfig`] is what they come to, with nothing left open. A resolved configuration
//! turns back into options ([`RunConfig::to_options`]), which is what the run file stores: enough to
//! run it again.
//!
//! [`user`] is another matter: how the explorer looks and which keys it has.

mod choices;
mod layers;
mod options;
mod resolve;
mod spellings;
pub mod user;

pub use choices::{
    CheckpointEvery, ColorChoice, DeviceChoice, EngineChoice, GlyphsChoice, NetworkChoice,
    OptimizerKind, SliceChoice,
};
pub use options::{Options, merge, parse};
pub use resolve::{CourseChoice, Length, MAX_COUNT, RunConfig};
pub use spellings::{ELSEWHERE, called_here, means_network};

/// Why a configuration cannot be used. The message names the flag and says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

//! What a network is: a list of layers ([`spec`]), checked against the shape of its input
//! ([`Network`]), with seeded initial weights ([`init`]).

mod init;
mod network;
mod spec;

pub use init::he_normal;
pub use network::{Dense, ModelError, Network, Op};
pub use spec::{LayerSpec, NetworkSpec, PRESETS, preset};

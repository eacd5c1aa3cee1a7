//! Network architectures: a list of layers ([`spec`]), checked against the shape of its input ([`Network`]), with
//! seeded initial weights ([`init`]).

mod init;
mod network;
mod spec;

pub use init::he_normal;
pub use network::{Conv, Dense, ModelError, Network, Node, Norm, Op, Pool, Shape, ValueId, values};
pub use spec::{HeightWidth, LayerSpec, NamedPadding, NetworkSpec, PRESETS, Padding, preset};

//! lcascope: see which parameters of a network are doing the learning.
pub mod data;
pub mod engine;
pub mod feed;
pub mod layout;
pub mod lca;
pub mod model;
pub mod optim;
pub mod record;
pub mod store;
pub mod train;

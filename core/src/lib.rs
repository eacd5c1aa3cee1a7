//! The method of lcascope, without files of runs and without a terminal: networks, gradients, optimizers, Loss Change
//! Allocation, the training loop, and pure functions from steps to what a chart shows.
//!
//! The crate `lcascope` re-exports these modules; its front page lists them.

pub mod analysis;
pub mod data;
pub mod engine;
pub mod layout;
pub mod lca;
pub mod memory;
pub mod model;
pub mod optim;
pub mod record;
pub mod small_file;
pub mod threads;
pub mod train;
pub mod trajectory;

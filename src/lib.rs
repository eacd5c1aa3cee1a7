//! lcascope: see which parameters of a network are doing the learning.
pub mod analysis;
pub mod app;
pub mod cli;
pub mod config;
pub mod data;
pub mod engine;
pub mod feed;
pub mod layout;
pub mod lca;
pub mod model;
pub mod optim;
pub mod record;
pub mod session;
pub mod store;
pub mod train;
pub mod tui;

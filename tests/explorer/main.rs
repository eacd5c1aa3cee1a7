//! The explorer: every screen, key and query.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/synthetic/mod.rs"]
mod synthetic;

mod any_run;
mod drill;
mod keys;
mod picker;
mod queries;
mod remote;
mod replay;
mod scenes;
mod snapshots;
mod terminal;

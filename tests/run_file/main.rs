//! The run file: its contents, and that nothing in it is lost or trusted blindly.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/synthetic/mod.rs"]
mod synthetic;

mod contents;
mod hard_days;
mod hostile_files;
mod hostile_links;
mod long_runs;
mod mutation;
mod record;
mod reopened;
mod resume;

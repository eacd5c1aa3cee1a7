//! The commands, one file each, and the helpers that they share.

mod allocate;
mod check;
mod config;
mod dry_run;
mod engine;
mod experiment;
mod export;
mod given_weights;
mod info;
mod list;
mod open;
mod orders;
mod output;
mod prepare;
mod rank;
mod read_config;
mod record;
mod repeats;
mod report;
mod resume;
mod selftest;
mod train;
mod verify_repair;

pub use allocate::allocate;
pub use config::{config, print_network};
pub use experiment::experiment;
pub use export::export;
pub use info::info;
pub use list::list;
pub use open::open;
pub use orders::{pause, resume, stop};
pub use record::record;
pub use report::report;
pub use selftest::selftest;
pub use train::{demo, train};
pub use verify_repair::{repair, verify};

//! Runs and the processes around them: trainings, series, the screen, signals, and the sandbox for damaged files.
//!
//! ```text
//! trainer thread ──records (blocking)──▶ recorder thread ──▶ run file
//!       └────summaries (merged if slow)──▶ screen or progress bar, on the main thread
//! ```

mod bar;
pub mod browse;
pub mod child;
pub mod cost;
pub mod detach;
mod exit;
pub mod export;
pub mod export_jobs;
mod failure;
mod gpu;
mod headless;
mod limits;
pub mod memory;
pub mod notify;
pub mod opening;
mod print;
pub mod remote;
pub mod remote_server;
pub mod run;
pub mod run_list;
pub mod sandbox;
mod saved_view;
pub mod screen;
pub mod series;
pub mod signals;
pub mod summary;
mod whole_file;

pub use exit::signal_code;
pub use failure::{Failure, with_remedy};
pub use limits::{ReadTimeout, unbounded};
pub use print::{print, print_message};
pub use signals::{ignore_end_requests, ignore_file_size_signal};

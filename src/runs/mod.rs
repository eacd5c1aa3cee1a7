//! Runs in folders: what a row of a list says of each, which runs to list, and in which order.
//!
//! [`mod@scan`] finds the files, [`RunFacts`] is read from each in another process, and [`RunCache`] keeps the facts of
//! files that have not changed. [`Column`] has the cells of a row, [`Filter`] what was typed to choose rows, and
//! [`differing`] the settings that are not the same in all runs.

mod cache;
mod column;
mod entry;
mod facts;
mod filter;
mod group;
mod scan;
mod settings;
mod status;

pub use cache::RunCache;
pub use column::Column;
pub use entry::{Content, ListUpdate, RunEntry};
pub use facts::RunFacts;
pub use filter::Filter;
pub use group::{are_repeats, letter};
pub use scan::{Scan, Stamp, scan};
pub use settings::{Settings, differing, in_short, rank, settings};
pub use status::RunStatus;

//! The explorer's state and its updates, without a terminal.
//!
//! [`timeline`] keeps the steps as [`entries`] of several resolutions and puts a [`stretch`] of them
//! together, [`window`] says which of them are looked at and where the cursor
//! is, [`App`] takes events and actions in. Screens only read.

mod entries;
mod state;
mod stretch;
mod timeline;
mod window;

pub use state::{Action, App, Overlay, Phase, Quit};
pub use stretch::{Columns, Stretch};
pub use timeline::{GroupSums, Timeline};
pub use window::{Head, Window};

//! The explorer's state and its updates, without a terminal.
//!
//! [`App`] owns the parts and turns an [`Action`] into changes of them, where the action applies ([`reach`]).
//!
//! | part | content |
//! |---|---|
//! | [`RunModel`] | one run: what its feed reports, and the answers to queries about it |
//! | [`Navigation`] | what the keys move: screen, depth, selection, range in view, options of the charts |
//! | [`Overlays`] | the open overlay and prompt, the message in the last line |
//! | [`Playback`] | the replay of a finished run |
//! | [`Others`] | the other runs of a comparison, shown with the same `Navigation` |
//!
//! [`Picker`] is the state of the screen that lists runs. [`timeline`] keeps the steps as [`entries`] of several resolutions and assembles a [`stretch`] of them; [`bars`]
//! divides a stretch into columns with exact sums, [`running`] sums it up to each of its entries. [`select`] lists
//! layers, units and parameters, [`events`] what happened, [`wanted`] the queries about what is in view. Screens only
//! read.

mod action;
mod bars;
mod commands;
mod compare;
mod effect;
mod entries;
mod events;
mod findings;
mod log;
mod navigation;
mod overlays;
mod picker;
mod picture;
mod playback;
mod prompt;
mod queries;
mod reach;
mod run_model;
mod running;
mod screen;
mod scroll;
mod select;
mod state;
mod stretch;
mod sums;
mod timeline;
mod wanted;
mod window;

pub use action::Action;
pub use bars::Bars;
pub use commands::{COMMANDS, Command};
pub use compare::{Both, Comparison, Other, Others};
pub use effect::{Effect, Shown};
pub use events::{Listed, Mark, MarkKind};
pub use log::Log;
pub use navigation::Navigation;
pub use overlays::{Overlay, Overlays, Prompt, PromptKind};
pub use picker::{MOST_OPEN, Picked, Picker, PickerAction};
pub use picture::Picture;
pub use playback::Playback;
pub use queries::QueryCache;
pub use run_model::{Phase, RunModel};
pub use screen::{Depth, Here, RunPart, Screen, Sort, SortKeys};
pub use scroll::{LongText, Scroll};
pub use select::units_of;
pub use state::{App, Quit};
pub use stretch::{Columns, Stretch};
pub use sums::GroupSums;
pub use timeline::Timeline;
pub use window::{Head, Window};

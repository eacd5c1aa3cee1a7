//! The explorer on a terminal: the only code that names ratatui and crossterm.
//!
//! [`run()`] is the draw loop. It reads keys and the feed's events, hands both to the [`App`](crate::app::App), and
//! draws a [`frame`] when something has changed. [`view`] has one file for each screen or panel and [`widget`] one for
//! each chart;
//! [`picker`] is the screen that lists runs.
//! [`theme`] has the styles, and `ramp` the colours of signed values and of many series.

pub mod clipboard;
mod decode;
pub mod frame;
mod input;
mod job;
pub mod keys;
mod mouse;
mod once;
mod outside;
mod paint;
mod painter;
pub mod picker;
mod ramp;
mod run;
mod terminal;
pub mod theme;
pub mod view;
mod wait;
pub mod widget;

pub use job::{in_background, keep_running_in_background};
pub use once::{once, terminal_size};
pub use outside::{Outcome, Outside};
pub use paint::{Background, Paint};
pub use run::{Exit, Feeds, ScreenOptions, run};
pub use terminal::{ignore_no_color, install_panic_hook};
pub use theme::{ColorLevel, Glyphs, Theme};
pub use wait::{Waited, wait};

//! A report of one or several runs, for people who were not there.
//!
//! ```text
//! runs ─▶ Document: sections of paragraphs, tables, figures ─▶ report.md, report.html
//!                                                             data/NAME.csv, figures/NAME.svg
//! ```
//!
//! [`document`] knows no run: whoever has something to say builds a [`Document`] and
//! [`save`](Document::save)s it.

pub mod document;
mod html;
mod markdown;
mod save;
mod words;

pub use document::{Block, Document, Exhibit, Section};
pub use save::SaveError;

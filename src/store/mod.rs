//! The run file: the only code that knows HDF5.
//!
//! One run is one file. [`schema`] names every dataset, [`writer`] appends records, [`recorder`]
//! is the thread that owns the writer, [`reader`] reads headers and summaries back, also while
//! another process is writing (single writer, multiple readers).
//!
//! A *commit* is a group of whole steps: every dataset is extended and flushed, then
//! `state/committed` is raised and flushed. A reader shows no more than the committed steps, so it
//! never shows a torn one.

mod error;
mod reader;
mod recorder;
mod schema;
mod text;
mod writer;

pub use error::StoreError;
pub use reader::{RunReader, RunState};
pub use recorder::{QueueClosed, Recorder, RecorderStats};
pub use schema::{FORMAT, VERSION};
pub use writer::{Compression, CompressionError, RunWriter, WriteOptions};

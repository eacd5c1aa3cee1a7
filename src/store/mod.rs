//! The run file: the only code that knows HDF5.
//!
//! One run is one file. [`schema`] names every dataset, [`writer`] appends records to [`series`] (rows)
//! and [`blocks`] (arrays over all parameters), [`recorder`] is the thread that owns it, [`reader`]
//! reads headers and summaries back, also while another process is writing (single writer, multiple
//! readers).
//!
//! Long runs are served by [`pyramid`], summaries of many steps that the writer appends and [`levels`]
//! reads, and by [`detail`], which reads one step over all parameters or one parameter over all steps.
//!
//! A *commit* is a group of whole steps: every dataset is extended and flushed, then
//! `state/committed` is raised and flushed. A reader shows no more than the committed steps, so it
//! never shows a torn one.

mod blocks;
mod compression;
mod detail;
mod error;
mod header;
mod levels;
mod pyramid;
mod reader;
mod recorder;
mod schema;
mod series;
mod text;
mod writer;

pub use compression::{Compression, CompressionError};
pub use detail::{ParamHistory, ParamRow};
pub use error::StoreError;
pub use reader::{RunReader, RunState};
pub use recorder::{QueueClosed, Recorder, RecorderStats};
pub use schema::{FORMAT, VERSION};
pub use writer::{RunWriter, WriteOptions};

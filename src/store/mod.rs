//! The run file: the only code that knows HDF5.
//!
//! One run is one file. [`schema`] names every dataset. [`writer`] appends records to [`series`] (rows) and [`blocks`]
//! (arrays over all parameters); [`recorder`] is the thread that owns it. [`reader`] reads headers and summaries back,
//! also while another process is writing (single writer, multiple readers). [`mod@lock`] keeps other writers out and
//! shows that the writer is alive. [`disk`] reserves the room for every commit before it starts.
//!
//! For long runs there are [`pyramid`], summaries of many steps that the writer appends and [`levels`] reads, and
//! [`detail`], which reads one step over all parameters or one parameter over all steps. [`table`] reads rows of any
//! per-step dataset. [`weights`] reads recorded weights as a path to allocate again.
//!
//! A *commit* is a group of complete steps: every dataset is extended and flushed, then `state/committed` is raised and
//! flushed. A reader shows no more than the committed steps, so it never shows a partly written one.

mod blocks;
mod bounds;
mod checkpoint;
mod compression;
mod create;
mod detail;
mod disk;
mod driver;
mod error;
mod foreign;
mod header;
mod journal;
mod known;
mod levels;
mod lock;
mod look;
mod mark;
mod open;
#[cfg(test)]
mod power_loss_tests;
mod pyramid;
mod raw_file;
mod read_header;
mod reader;
mod recorder;
mod repair;
mod replace;
mod resume;
mod schema;
mod series;
mod state;
mod summaries;
mod table;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod verify;
mod weights;
mod writer;

pub use compression::{Compression, CompressionError, WriteOptions};
pub use detail::{ParamHistory, ParamRows};
pub use disk::{warning, why_not_written};
pub use error::{Gone, Limit, Rescue, StoreError};
pub use lock::is_at;
pub use look::look_through;
pub use reader::RunReader;
pub use recorder::{QueueClosed, Recorder, RecorderStats};
#[cfg(test)]
pub(crate) use repair::without;
pub use repair::{Repaired, repair};
pub use replace::{NewFile, Reserved, is_locked, left_to_replace, regular_at, written_at};
pub use resume::{Kept, Resumable};
pub use schema::{FORMAT, VERSION};
pub use state::RunState;
pub use summaries::FIRST_LOOK;
pub use table::Table;
pub use verify::{Check, verify};
pub use weights::RecordedWeights;
pub use writer::RunWriter;

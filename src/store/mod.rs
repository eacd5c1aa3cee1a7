//! The run file: the only code that knows HDF5.
//!
//! One run is one file. [`schema`] names every dataset. [`writer`] appends records to [`growing_dataset`] (rows) and
//! [`blocks`] (arrays over all parameters); [`recorder`] is the thread that owns it. [`reader`] reads headers and
//! summaries back, also while another process is writing (single writer, multiple readers). [`mod@lock`] keeps other
//! writers out and shows that the writer is alive. [`disk`] reserves the room for every commit before it starts.
//!
//! For long runs there are [`pyramid`], summaries of many steps that the writer appends and [`levels`] reads, and
//! [`detail`], which reads one step over all parameters or one parameter over all steps. [`step_dataset`] reads rows of
//! any per-step dataset. [`weights`] reads recorded weights as a path to allocate again.
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
mod growing_dataset;
mod header;
mod journal;
mod levels;
mod lock;
mod mark;
mod open;
#[cfg(test)]
mod power_loss_tests;
mod pyramid;
mod raw_file;
mod read_header;
mod read_through;
mod reader;
mod recorded_totals;
mod recorder;
mod repair;
mod replace;
mod resume;
mod run_state;
mod schema;
mod step_dataset;
mod summaries;
#[cfg(test)]
pub(crate) mod testing;
mod text;
mod verify;
mod weights;
mod writer;

pub use compression::{Compression, CompressionError, WriteOptions};
pub use detail::{ParamHistory, ParamRows};
pub use disk::{free_space, is_written_elsewhere, warning, why_not_written};
pub use error::{Disappearance, RescueOutcome, SpaceLimit, StoreError};
pub use lock::is_at;
pub use read_through::read_through;
pub use reader::RunReader;
pub use recorder::{QueueClosed, Recorder, RecorderStats};
#[cfg(test)]
pub(crate) use repair::remove_datasets;
pub use repair::{Repaired, repair};
pub use replace::{NewFile, Reserved, is_locked, left_to_replace, regular_at, written_at};
pub use resume::{KeptPart, Resumable};
pub use run_state::RunState;
pub use schema::{FORMAT, VERSION, bytes_per_step};
pub use step_dataset::StepDataset;
pub use summaries::FIRST_LOOK;
pub use verify::{CheckResult, verify};
pub use weights::RecordedWeights;
pub use writer::RunWriter;

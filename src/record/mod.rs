//! What a run says: its header, what one step did, and the summaries that the screen shows.
//!
//! A [`StepRecord`] is complete and goes to the run file, every one of them. A [`StepSummary`] is
//! what the screen needs of one or several steps: when the screen is slow, neighbouring summaries
//! are merged, and because allocations add up the merged one still closes.

mod checkpoint;
mod header;
mod step;
mod summary;

pub use checkpoint::{Checkpoint, SavedArray, SavedKind, SavedShape, SavedValues};
pub use header::{DataFacts, RunHeader, Status};
pub use step::{
    Allocation, HeldOutAllocation, Losses, Motion, ParamTotals, RunEnd, StartRecord, StepRecord,
    Trace,
};
pub use summary::{LayerSummary, StepSummary, above};

//! Records of a run: its header, its steps, and the summaries that the screen shows.
//!
//! A [`StepRecord`] is complete, and every one goes to the run file. A [`StepSummary`] is what the screen needs of one
//! or several steps: when the screen is slow, neighbouring summaries are merged, and, because allocations add up, the
//! merged one still closes.

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
pub use summary::{LayerSummary, StepSummary, count_above, larger};

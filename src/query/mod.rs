//! Queries about a run, answered from its file.
//!
//! The stream of steps has what every layer did. A screen asks for everything else, such as units, classes or single
//! parameters: a [`Query`] names a [`Topic`], the steps, and the number of columns of the chart. The owner of the file
//! answers at full resolution in another thread or process; the screen never waits, and an [`Answer`] says which steps
//! it covers. `lcascope export` asks the same queries.
//!
//! [`Analyst`] answers them. Each topic has its own file.

mod analyst;
mod binned;
mod findings;
mod held_out;
mod histogram;
mod history;
mod input;
mod oscillation;
mod quality;
mod run_facts;
mod settings;
mod snapshot;
mod synchronisation;
mod unit;
mod watch;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use analyst::Analyst;
pub use binned::{Binned, GroupTotals, no_lca_by_class};
pub use findings::RunFindings;
pub use held_out::{HeldOutSums, SignConflicts};
pub use histogram::AllocationHistogram;
pub use history::ParameterHistory;
pub use input::Cancelled;
pub use oscillation::{BestLag, CurveExtremes, Oscillation, TAIL};
pub use quality::{DECADES, FIRST_DECADE, Quality};
pub use run_facts::RunFacts;
pub use snapshot::{Snapshot, latest_snapshot, no_totals};
pub use synchronisation::{Chance, Synchronisation};
pub use unit::{RecordedSums, UnitParams, Weights};
pub use watch::{RunEvents, data_lints, is_normalised};

use crate::record::StepSummary;

/// A request for finer steps: the steps that the summaries should overlap, and how many steps each should cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailRequest {
    pub steps: Range<u64>,
    /// A power of two.
    pub width: u64,
}

/// The subject of a query. Indices are those of the run's layout and list of classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Topic {
    /// Summaries of the steps, for the timeline.
    Steps { width: u64 },
    /// Allocations of every tensor: [`Answer::Binned`], `[K]`.
    Tensors,
    /// Allocations of each unit of a layer: [`Answer::Binned`], `[units]`.
    Units { layer: u32 },
    /// The parameters of a layer's unit: [`Answer::Unit`]. Running totals and weights are those after the steps; sums
    /// are over the steps. `newest` asks for the latest totals instead, from the memory of a running training where
    /// possible.
    Unit { layer: u32, unit: u32, newest: bool },
    /// One parameter over the steps, by its index in the flat vector: [`Answer::History`].
    Parameter { index: u64 },
    /// Allocations of each class's training loss, of one layer or summed over all: [`Answer::Binned`], `[C]`.
    Classes { layer: Option<u32> },
    /// Allocations of every layer within one class: [`Answer::Binned`], `[L]`.
    LayersOfClass { class: u32 },
    /// Allocations of the training loss by class and layer: [`Answer::Binned`], `[C·L]`, class by class.
    ClassLayers,
    /// A class's mean training loss after each step, in nats: [`Answer::Binned`], `[1]`.
    ClassLoss { class: u32 },
    /// Steps in which layers help the training loss and hurt the held-out loss, or the reverse: [`Answer::HeldOut`].
    HeldOut,
    /// Running totals of every parameter, of one layer or of all, at the last snapshot within the steps:
    /// [`Answer::Snapshot`].
    Snapshot { layer: Option<u32> },
    /// A histogram of allocation sizes, of one layer or of all: [`Answer::Histogram`].
    Histogram { layer: Option<u32> },
    /// The oscillation of a layer: [`Answer::Oscillation`].
    Oscillation { layer: u32 },
    /// The layers' moments of learning in the run so far, for the training loss or within one class:
    /// [`Answer::Synchronisation`].
    Synchronisation { class: Option<u32> },
    /// Events and lints of the run so far: [`Answer::Happened`].
    Events,
    /// Sentences about what happened in the run so far: [`Answer::Findings`].
    Findings,
    /// The cost of the run so far, and its file: [`Answer::Run`].
    Run,
}

impl Topic {
    /// Whether interrupted work on the topic resumes where it stopped. Such work may be interrupted at any time.
    #[must_use]
    pub fn resumes(&self) -> bool {
        matches!(
            self,
            Self::Synchronisation { .. } | Self::Events | Self::Findings | Self::Run
        )
    }
}

/// The screen's range of steps that a query is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StepScope {
    /// The steps in view.
    Window,
    /// The step at the cursor.
    Cursor,
    /// All steps from the first to the newest shown.
    All,
}

/// A query about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    pub topic: Topic,
    pub part: StepScope,
    pub steps: Range<u64>,
    /// The number of columns into which the steps are divided; 1 where the topic has none.
    pub columns: u32,
}

impl Query {
    /// A query about these steps, divided into this many columns.
    #[must_use]
    pub fn about(topic: Topic, steps: Range<u64>, columns: u32) -> Self {
        Self {
            topic,
            part: StepScope::Window,
            steps,
            columns,
        }
    }

    /// Whether an answer to one query can stand in for the other until its own arrives: only the steps differ.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let topic = match (&self.topic, &other.topic) {
            (
                &Topic::Unit { layer, unit, .. },
                &Topic::Unit {
                    layer: other_layer,
                    unit: other_unit,
                    ..
                },
            ) => (layer, unit) == (other_layer, other_unit),
            (topic, other) => topic == other,
        };
        topic && self.part == other.part
    }
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Steps(Vec<StepSummary>),
    Binned(Binned),
    Histogram(AllocationHistogram),
    Oscillation(Box<Oscillation>),
    Synchronisation(Synchronisation),
    Happened(RunEvents),
    Findings(RunFindings),
    Run(Box<RunFacts>),
    HeldOut(HeldOutSums),
    Snapshot(Snapshot),
    Unit(UnitParams),
    History(ParameterHistory),
    /// Not known, with the reason and what to do: a sentence for the screen.
    Unknown(String),
    /// Given up in favour of a later query.
    Cancelled,
}

impl Answer {
    /// Whether the answer covers all steps asked for: some may not have been in the file yet. False for an unknown
    /// answer, which may become known with more steps.
    #[must_use]
    pub fn is_about_all_of(&self, query: &Query) -> bool {
        // The end of the steps covered.
        let end = match self {
            // The timeline requests missing steps itself.
            Self::Steps(_) => return true,
            Self::Unknown(_) | Self::Cancelled => return false,
            Self::Binned(binned) => binned.steps().end,
            Self::Histogram(histogram) => histogram.steps.end,
            Self::Oscillation(known) => known.edges.last().copied().unwrap_or(0),
            Self::Synchronisation(known) => known.steps,
            Self::Happened(known) => known.steps,
            Self::Findings(known) => known.steps,
            Self::Run(known) => known.committed,
            Self::HeldOut(known) => known.steps.end,
            Self::Snapshot(known) => known.until,
            Self::Unit(known) => known.until,
            Self::History(known) => known.until,
        };
        end >= query.steps.end
    }
}

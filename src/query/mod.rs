//! Questions about a run, and their answers from its file.
//!
//! The stream of steps says what every layer did. What a screen shows beyond that, of units, classes
//! or single parameters, it asks for: a [`Query`] names a [`Topic`], the steps, and how many columns
//! the chart has. Whoever owns the file answers, at full resolution, in another thread or process; the
//! screen never waits, and an [`Answer`] says which steps it is of. The same questions are asked by
//! `lcascope export`.
//!
//! [`Analyst`] answers. One file a topic.

mod analyst;
mod binned;
mod held_out;
mod histogram;
mod history;
mod oscillation;
mod run_facts;
mod settings;
mod snapshot;
mod synchronisation;
mod unit;
mod watch;

use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use analyst::{Analyst, Interrupted};
pub use binned::{Binned, Group};
pub use held_out::{HeldOut, Split};
pub use histogram::Histogram;
pub use history::History;
pub use oscillation::{BestLag, Curve, Oscillation, TAIL};
pub use run_facts::{DECADES, FIRST_DECADE, Quality, RunFacts};
pub use snapshot::Snapshot;
pub use synchronisation::{Chance, Synchronisation};
pub use unit::{RecordedSums, UnitParams, Weights};
pub use watch::{Happened, data_lints, is_normalised};

use crate::record::StepSummary;

/// Finer steps: the steps that any summary of the answer should touch, and how many a summary should
/// cover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetailRequest {
    pub steps: Range<u64>,
    /// A power of two.
    pub width: u64,
}

/// What a question is about. Indices are those of the run's layout and list of classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Topic {
    /// Summaries of the steps, for the timeline.
    Steps { width: u64 },
    /// Allocations of all tensors: [`Answer::Binned`], `[K]`.
    Tensors,
    /// Allocations of a layer's units: [`Answer::Binned`], `[units]`.
    Units { layer: u32 },
    /// What is known of the parameters of a layer's unit: [`Answer::Unit`]. Running totals and weights
    /// are those after the steps, sums those over them. `newest` asks for the latest totals there are,
    /// from the memory of a training where that can be.
    Unit { layer: u32, unit: u32, newest: bool },
    /// One parameter over the steps, by its place in the flat vector: [`Answer::History`].
    Parameter { index: u64 },
    /// Allocations of the training loss of each class, of one layer or of all together:
    /// [`Answer::Binned`], `[C]`.
    Classes { layer: Option<u32> },
    /// Allocations of all layers within one class: [`Answer::Binned`], `[L]`.
    LayersOfClass { class: u32 },
    /// Allocations of the training loss by class and layer: [`Answer::Binned`], `[C·L]`, class by class.
    ClassLayers,
    /// A class's mean training loss after each step, in nats: [`Answer::Binned`], `[1]`.
    ClassLoss { class: u32 },
    /// Where layers help the training and hurt the held-out loss, or the other way round:
    /// [`Answer::HeldOut`].
    HeldOut,
    /// The running totals of every parameter, of one layer or of all, at the last snapshot within the
    /// steps: [`Answer::Snapshot`].
    Snapshot { layer: Option<u32> },
    /// How often allocations of each size occurred, in one layer or in all: [`Answer::Histogram`].
    Histogram { layer: Option<u32> },
    /// How a layer oscillates: [`Answer::Oscillation`].
    Oscillation { layer: u32 },
    /// The layers' moments of learning in the run so far, of the training loss or within one class:
    /// [`Answer::Synchronisation`].
    Synchronisation { class: Option<u32> },
    /// Events and lints of the run so far: [`Answer::Happened`].
    Events,
    /// What the run so far has cost, and its file: [`Answer::Run`].
    Run,
}

impl Topic {
    /// Whether work on it that was given up goes on where it stopped: it may always be interrupted.
    #[must_use]
    pub fn resumes(&self) -> bool {
        matches!(
            self,
            Self::Synchronisation { .. } | Self::Events | Self::Run
        )
    }
}

/// Which of a screen's ranges of steps a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// The steps in view.
    Window,
    /// The step at the cursor.
    Cursor,
    /// All steps from the first one to the newest one shown.
    All,
}

/// A question about a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    pub topic: Topic,
    pub part: Part,
    pub steps: Range<u64>,
    /// Into how many columns the steps are divided; 1 where the topic has none.
    pub columns: u32,
}

impl Query {
    /// Whether the answer to one can stand in for that to the other until it comes: only the steps
    /// differ.
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

/// What is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    Steps(Vec<StepSummary>),
    Binned(Binned),
    Histogram(Histogram),
    Oscillation(Box<Oscillation>),
    Synchronisation(Synchronisation),
    Happened(Happened),
    Run(Box<RunFacts>),
    HeldOut(HeldOut),
    Snapshot(Snapshot),
    Unit(UnitParams),
    History(History),
    /// The run does not say, and this is why and what to do: a sentence for the screen.
    Unknown(String),
    /// Given up for a question that came later.
    Interrupted,
}

impl Answer {
    /// Whether it is about all steps that were asked for: some may not have been in the file yet. What
    /// is unknown may be known when there are more.
    #[must_use]
    pub fn is_about_all_of(&self, query: &Query) -> bool {
        // The end of the steps that it is about.
        let end = match self {
            // The timeline asks for what is missing by itself.
            Self::Steps(_) => return true,
            Self::Unknown(_) | Self::Interrupted => return false,
            Self::Binned(binned) => binned.steps().end,
            Self::Histogram(histogram) => histogram.steps.end,
            Self::Oscillation(known) => known.edges.last().copied().unwrap_or(0),
            Self::Synchronisation(known) => known.steps,
            Self::Happened(known) => known.steps,
            Self::Run(known) => known.committed,
            Self::HeldOut(known) => known.steps.end,
            Self::Snapshot(known) => known.until,
            Self::Unit(known) => known.until,
            Self::History(known) => known.until,
        };
        end >= query.steps.end
    }
}

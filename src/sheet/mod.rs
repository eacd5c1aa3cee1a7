//! The views of a run as [`Sheet`]s: the same numbers as a table and as a figure.
//!
//! Rows are single steps, or so many steps added up exactly ([`Request::every`]): allocations are
//! conservative, so every sum is that of the steps it names. Columns are called as the run file calls what
//! is in them: `lca/fc1`, `update_flips/fc1`. Every figure has a note with the steps, ΣLCA, the actual change
//! of the loss, and the residual between the two.
//!
//! One file for each group of views. [`make`] is the only way in.

mod distribution;
mod groups;
mod layers;
mod moments;
mod overview;
mod parameter;
mod source;
mod steps;
mod totals;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::export::{Sheet, Uneven};
use crate::store::{RunReader, StoreError};
use source::Source;

/// What can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Overview,
    Decomposition,
    Cumulative,
    HeatMap,
    Layers,
    Oscillation,
    Helping,
    HeldOut,
    Synchronisation,
    Events,
    Tensors,
    Units,
    Classes,
    Distribution,
    Parameters,
    Parameter,
}

impl View {
    pub const ALL: [Self; 16] = [
        Self::Overview,
        Self::Decomposition,
        Self::Cumulative,
        Self::HeatMap,
        Self::Layers,
        Self::Oscillation,
        Self::Helping,
        Self::HeldOut,
        Self::Synchronisation,
        Self::Events,
        Self::Tensors,
        Self::Units,
        Self::Classes,
        Self::Distribution,
        Self::Parameters,
        Self::Parameter,
    ];

    /// Its name, and what is in it.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => (
                "overview",
                "losses, accuracies, residuals and costs by step",
            ),
            Self::Decomposition => ("decomposition", "every layer's LCA by step, stacked"),
            Self::Cumulative => ("cumulative", "the same, summed from the first step on"),
            Self::HeatMap => ("heat-map", "the same as layers × steps"),
            Self::Layers => (
                "layers",
                "every layer's totals: LCA, help and hurt, oscillation",
            ),
            Self::Oscillation => (
                "oscillation",
                "sign changes of movement and gradient by step and layer",
            ),
            Self::Helping => ("helping", "parameters that help, hurt or neither, by step"),
            Self::HeldOut => (
                "held-out",
                "LCA of the training and the held-out loss, by step and layer",
            ),
            Self::Synchronisation => (
                "synchronisation",
                "every layer's deepest moments of learning, and those that are shared",
            ),
            Self::Events => ("events", "residuals, spikes, NaN, synchronised steps"),
            Self::Tensors => ("tensors", "every tensor's LCA by step"),
            Self::Units => (
                "units",
                "LCA of a layer's neurons or channels by step (--layer)",
            ),
            Self::Classes => ("classes", "LCA of the loss of each class by step"),
            Self::Distribution => (
                "distribution",
                "how often allocations of each size occurred",
            ),
            Self::Parameters => (
                "parameters",
                "every parameter's total, and how often it helped",
            ),
            Self::Parameter => (
                "parameter",
                "one parameter's weight, gradient and LCA by step (--parameter)",
            ),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words().0)
    }
}

/// A word that is no view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no view: use {}", View::ALL.map(|view| view.to_string()).join(", "))]
pub struct UnknownView {
    given: String,
}

impl FromStr for View {
    type Err = UnknownView;

    fn from_str(word: &str) -> Result<Self, UnknownView> {
        let found = Self::ALL.into_iter().find(|view| view.words().0 == word);
        found.ok_or_else(|| UnknownView {
            given: word.to_owned(),
        })
    }
}

/// What is wanted of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub view: View,
    /// Committed steps.
    pub steps: Range<u64>,
    /// Steps in a row, at least 1; the last row may have fewer.
    pub every: u64,
    /// Only this layer, where the view has layers.
    pub layer: Option<usize>,
    /// The flat index of a parameter.
    pub parameter: Option<usize>,
}

/// Why there is no such sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Uneven(#[from] Uneven),
    /// The run does not say, or the request lacks something: why, and what to do.
    #[error("{0}")]
    Unknown(String),
}

/// Numbers in the largest table: half a gigabyte of them.
const MOST_NUMBERS: u64 = 1 << 26;

/// Makes a sheet. `name` is what the note calls the run.
///
/// # Errors
/// The run does not say what is wanted, or the file cannot be read.
pub fn make(reader: &RunReader, name: &str, request: &Request) -> Result<Sheet, SheetError> {
    let source = Source::new(reader, name, request);
    match request.view {
        View::Overview => overview::overview(&source),
        View::Decomposition => steps::decomposition(&source),
        View::HeatMap => steps::heat_map(&source),
        View::Cumulative => steps::cumulative(&source),
        View::Oscillation => steps::oscillation(&source),
        View::Helping => steps::helping(&source),
        View::Layers => layers::totals(&source),
        View::HeldOut => layers::held_out(&source),
        View::Synchronisation => moments::synchronisation(&source),
        View::Events => moments::events(&source),
        View::Parameters => totals::parameters(&source),
        View::Tensors => groups::tensors(&source),
        View::Units => groups::units(&source),
        View::Classes => groups::classes(&source),
        View::Distribution => distribution::distribution(&source),
        View::Parameter => parameter::parameter(&source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_words() {
        for view in View::ALL {
            assert_eq!(view.to_string().parse(), Ok(view));
        }
        let error = "loss".parse::<View>().unwrap_err().to_string();
        assert!(
            error.contains("`loss`") && error.contains("held-out"),
            "{error}"
        );
    }
}

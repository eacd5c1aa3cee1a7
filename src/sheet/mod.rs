//! Views of a run as [`Sheet`]s: the same numbers as a table and as a figure.
//!
//! A row is a single step, or several consecutive steps added up exactly ([`Request::every`]): allocations are
//! conservative, so every sum is that of the steps it names. Columns have the names of the run file's datasets:
//! `lca/fc1`, `update_flips/fc1`. Every figure has a note with the steps, ΣLCA, the actual change of the loss, and the
//! residual between the two.
//!
//! Each group of views has its own file. [`make`] is the only entry point.

mod distribution;
mod groups;
mod layers;
mod moments;
mod overview;
mod parameter;
mod source;
mod steps;
mod totals;
mod view;

use std::ops::Range;

use crate::export::{Sheet, Uneven};
use crate::store::{RunReader, StoreError};
use source::Source;
pub use view::{Choice, UnknownView, View};

/// A request for a view of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub view: View,
    /// The steps; all committed.
    pub steps: Range<u64>,
    /// Steps per row, at least 1; the last row may have fewer.
    pub every: u64,
    /// Only this layer, where the view has layers.
    pub layer: Option<usize>,
    /// Only this neuron or channel of the layer.
    pub unit: Option<usize>,
    /// The flat index of a parameter.
    pub parameter: Option<usize>,
}

/// Why a sheet cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Uneven(#[from] Uneven),
    /// Not in the run: the reason, and what to do.
    #[error("{0}")]
    Unknown(String),
    /// Impossible or incomplete request: what to do.
    #[error("{0}")]
    Request(String),
}

/// The most numbers in a table: half a gigabyte.
const MOST_NUMBERS: u64 = 1 << 26;

/// Makes a sheet. `name` is the run's name in the note. `alive` is called whenever another part of the file has been
/// read.
///
/// # Errors
/// The run lacks the requested data, the request is impossible, incomplete or too large, or the file cannot be read.
pub fn make(
    reader: &RunReader,
    name: &str,
    request: &Request,
    alive: &dyn Fn(),
) -> Result<Sheet, SheetError> {
    check(request)?;
    let source = Source::new(reader, name, request, alive);
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

/// Refuses choices that would be ignored, and incomplete requests.
fn check(request: &Request) -> Result<(), SheetError> {
    let view = request.view;
    let given = |choice| match choice {
        Choice::Layer => request.layer.is_some(),
        Choice::Unit => request.unit.is_some(),
        Choice::Parameter => request.parameter.is_some(),
        Choice::Every => request.every > 1,
    };
    for choice in Choice::ALL {
        if let Some(of) = view.refuses(choice).filter(|_| given(choice)) {
            let flag = choice.flag();
            let what = format!("the view `{view}` covers {of}: omit {flag}");
            return Err(SheetError::Request(what));
        }
    }
    if request.unit.is_some() && request.layer.is_none() {
        let what = "units are numbered within a layer: give --layer NAME with --unit";
        return Err(SheetError::Request(what.to_owned()));
    }
    match view.needs() {
        Some((choice, what)) if !given(choice) => Err(SheetError::Request(format!(
            "the view `{view}` covers {what}"
        ))),
        _ => Ok(()),
    }
}

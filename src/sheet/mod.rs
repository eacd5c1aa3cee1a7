//! Views of a run as [`Exhibit`]s: the same numbers as a table and as a figure.
//!
//! A row is a single step, or several consecutive steps added up exactly ([`SheetRequest::every`]): allocations are
//! conservative, so every sum is that of the steps it names. Columns have the names of the run file's datasets:
//! `lca/fc1`, `update_flips/fc1`. Every figure has a note with the steps, ΣLCA, the actual change of the loss, and the
//! residual between the two.
//!
//! Each group of views has its own file. [`make_exhibit`] is the only entry point.

mod distribution;
mod groups;
mod input;
mod layers;
mod moments;
mod overview;
mod parameter;
mod steps;
mod totals;
mod view;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::export::{Exhibit, Uneven};
use crate::store::{RunReader, StoreError};
use input::SheetInput;
pub use view::{RequestChoice, UnknownView, View};

/// A request for a view of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SheetRequest {
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

/// Why an exhibit cannot be made.
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

/// Makes an exhibit. `name` is the run's name in the note. `alive` is called whenever another part of the file has been
/// read.
///
/// # Errors
/// The run lacks the requested data, the request is impossible, incomplete or too large, or the file cannot be read.
pub fn make_exhibit(
    reader: &RunReader,
    name: &str,
    request: &SheetRequest,
    alive: &dyn Fn(),
) -> Result<Exhibit, SheetError> {
    check(request)?;
    let input = SheetInput::new(reader, name, request, alive);
    match request.view {
        View::Overview => overview::overview(&input),
        View::Decomposition => steps::decomposition(&input),
        View::HeatMap => steps::heat_map(&input),
        View::Cumulative => steps::cumulative(&input),
        View::Oscillation => steps::oscillation(&input),
        View::Helping => steps::helping(&input),
        View::Layers => layers::totals(&input),
        View::HeldOut => layers::held_out(&input),
        View::Synchronisation => moments::synchronisation(&input),
        View::Events => moments::events(&input),
        View::Parameters => totals::parameters(&input),
        View::Tensors => groups::tensors(&input),
        View::Units => groups::units(&input),
        View::Classes => groups::classes(&input),
        View::Distribution => distribution::distribution(&input),
        View::Parameter => parameter::parameter(&input),
    }
}

/// Refuses choices that would be ignored, and incomplete requests.
fn check(request: &SheetRequest) -> Result<(), SheetError> {
    let view = request.view;
    let given = |choice| match choice {
        RequestChoice::Layer => request.layer.is_some(),
        RequestChoice::Unit => request.unit.is_some(),
        RequestChoice::Parameter => request.parameter.is_some(),
        RequestChoice::Every => request.every > 1,
    };
    for choice in RequestChoice::ALL {
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
    match view.required_choice() {
        Some((choice, what)) if !given(choice) => Err(SheetError::Request(format!(
            "the view `{view}` covers {what}"
        ))),
        _ => Ok(()),
    }
}

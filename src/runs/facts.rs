//! Facts about a run for a row of a list, read without reading the whole file.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::settings::{Settings, settings};
use super::status::RunStatus;
use crate::store::{RunReader, StoreError};
use crate::text::harmless;

/// The most points of a [`RunFacts::curve`].
const POINTS: u64 = 32;

/// Runs up to this length have their whole loss read, in steps; of longer ones, single steps are read.
const WHOLE: u64 = 4096;

/// Facts about the run in a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub status: RunStatus,
    /// Start of the run: RFC 3339, UTC.
    pub created: String,
    pub seed: u64,
    pub dataset: String,
    /// The configuration, without what does not affect the numbers.
    pub settings: Settings,
    /// Latest known held-out loss, in nats, and accuracies, 0 to 1; NaN if never evaluated.
    pub held_out: f64,
    pub accuracy: f64,
    pub held_out_accuracy: f64,
    /// Seconds of training until the last committed step.
    pub seconds: f64,
    /// Training loss in nats, at equal distances from the start to the last committed step.
    pub curve: Vec<f32>,
}

impl RunFacts {
    /// Reads the facts in this process.
    ///
    /// # Errors
    /// The file is not a run, or cannot be read.
    pub fn read(path: &Path) -> Result<Self, StoreError> {
        let reader = RunReader::open(path)?;
        let mut status = RunStatus::read(&reader)?;
        let end = status.committed;
        for text in [&mut status.network, &mut status.message] {
            *text = harmless(text);
        }
        let header = reader.header();
        let settings = settings(&header.config).into_iter();
        Ok(Self {
            created: harmless(&header.created),
            seed: header.seed,
            dataset: harmless(&header.dataset),
            settings: settings
                .map(|(key, value)| (harmless(&key), harmless(&value)))
                .collect(),
            held_out: latest(&reader, "loss/test", end)?,
            accuracy: latest(&reader, "loss/train_accuracy", end)?,
            held_out_accuracy: latest(&reader, "loss/test_accuracy", end)?,
            seconds: match end.checked_sub(1) {
                Some(last) => row(&reader, "step/seconds", last)?,
                None => 0.0,
            },
            curve: curve(&reader, end)?,
            status,
        })
    }

    /// Returns the share of the planned steps that is done, 0 to 1; `None` if their number is unknown.
    #[must_use]
    pub fn progress(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let share = self.status.committed as f64 / self.status.planned as f64;
        (self.status.planned > 0).then_some(share)
    }
}

/// One row of a dataset of real numbers with one axis; NaN if it does not exist.
fn row(reader: &RunReader, name: &'static str, at: u64) -> Result<f64, StoreError> {
    let Some(table) = reader.table(name)? else {
        return Ok(f64::NAN);
    };
    let rows = if at < table.rows() {
        table.reals(at..at + 1)?
    } else {
        Vec::new()
    };
    Ok(rows.first().copied().unwrap_or(f64::NAN))
}

/// The last number in a dataset that is not NaN, among the last [`WHOLE`] up to row `end`.
fn latest(reader: &RunReader, name: &'static str, end: u64) -> Result<f64, StoreError> {
    let Some(table) = reader.table(name)? else {
        return Ok(f64::NAN);
    };
    let end = end.saturating_add(1).min(table.rows());
    let numbers = table.reals(end.saturating_sub(WHOLE)..end)?;
    let known = numbers.iter().rev().find(|number| !number.is_nan());
    Ok(known.copied().unwrap_or(f64::NAN))
}

/// The training loss at up to [`POINTS`] points from row 0 to row `end`.
fn curve(reader: &RunReader, end: u64) -> Result<Vec<f32>, StoreError> {
    let Some(table) = reader.table("loss/train")? else {
        return Ok(Vec::new());
    };
    let Some(last) = end.min(table.rows().saturating_sub(1)).checked_sub(1) else {
        return Ok(Vec::new());
    };
    let last = last + 1;
    let points = (last + 1).min(POINTS);
    let places = (0..points).map(|point| {
        let place = u128::from(last) * u128::from(point) / u128::from(points - 1);
        u64::try_from(place).unwrap_or(last)
    });
    let whole = if last <= WHOLE {
        table.reals(0..last + 1)?
    } else {
        Vec::new()
    };
    let at = |place: u64| match usize::try_from(place).ok().and_then(|it| whole.get(it)) {
        Some(loss) => Ok(*loss),
        None => Ok(table.reals(place..place + 1)?[0]),
    };
    #[expect(clippy::cast_possible_truncation, reason = "drawn as a few dots")]
    places
        .map(|place| at(place).map(|loss| loss as f32))
        .collect()
}

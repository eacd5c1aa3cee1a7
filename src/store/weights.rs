//! Weights of another run's file, or of any HDF5 file that has them in the same place.

use std::path::{Path, PathBuf};

use hdf5::Dataset;

use super::error::{Context, StoreError};
use super::open;
use super::read_header::open_hdf5;
use crate::course::{Course, CourseError};

/// What is read: `weight/value`, `[points, P]`, as runs with `--record-weights` have it.
const VALUES: &str = "weight/value";

/// The recorded weights of a file as a path: each of its rows is a point.
#[derive(Debug)]
pub struct RecordedWeights {
    path: PathBuf,
    values: Dataset,
    points: usize,
}

impl RecordedWeights {
    /// Opens a file for a network with `params` parameters.
    ///
    /// # Errors
    /// It cannot be read, has no weights or those of another network.
    pub fn open(path: &Path, params: usize) -> Result<Self, StoreError> {
        let disk = open_hdf5(path)?;
        let (file, _) = open::read(path, &disk)?;
        let wrong = |what: String| StoreError::Weights {
            path: path.to_owned(),
            what,
        };
        if !(file.link_exists("weight") && file.link_exists(VALUES)) {
            return Err(wrong(format!(
                "it has no weights ({VALUES}): record them with --record-weights"
            )));
        }
        let values = (file.dataset(VALUES)).doing(path, || format!("open {VALUES}"))?;
        let shape = values.shape();
        let &[points, own] = shape.as_slice() else {
            return Err(wrong(format!("{VALUES} has {} axes, not 2", shape.len())));
        };
        if own != params {
            return Err(wrong(format!(
                "{VALUES} has {own} parameters a row; the network has {params}"
            )));
        }
        if points < 2 {
            return Err(wrong(format!(
                "{VALUES} has {points} rows: a path needs at least two points"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            values,
            points,
        })
    }
}

impl Course for RecordedWeights {
    fn steps(&self) -> u64 {
        self.points as u64 - 1
    }

    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), CourseError> {
        let row = usize::try_from(done).ok().filter(|&row| row < self.points);
        let row = row.ok_or_else(|| CourseError(format!("there is no row {done} of weights")))?;
        let read = self.values.read_slice_1d::<f32, _>((row, ..));
        let values = read.doing(&self.path, || format!("read row {row} of {VALUES}"));
        let values = values.map_err(|error| CourseError(error.to_string()))?;
        for (param, &value) in params.iter_mut().zip(&values) {
            *param = value;
        }
        Ok(())
    }
}

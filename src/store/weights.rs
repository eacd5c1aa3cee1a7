//! Reads recorded weights from another run's file, or from any HDF5 file that has them in the same place.

use std::path::{Path, PathBuf};

use hdf5::Dataset;
use ndarray::Array1;

use super::bounds::Bounds;
use super::error::{Context, StoreError};
use super::foreign::refuse_foreign;
use super::open;
use super::read_header::open_hdf5;
use super::reader::RunReader;
use crate::layout::{ParamLayout, Tensor};
use crate::trajectory::{Trajectory, TrajectoryError};

/// The dataset of weights, `[points, P]`, as in runs with `--record-weights`.
const VALUES: &str = "weight/value";

/// The recorded weights of a file as a path: each row is a point.
#[derive(Debug)]
pub struct RecordedWeights {
    path: PathBuf,
    values: Dataset,
    points: usize,
    params: usize,
    /// The layout of the network.
    layout: ParamLayout,
}

impl RecordedWeights {
    /// Opens the weights in a file for a network.
    ///
    /// # Errors
    /// The file cannot be read, has no weights, or has those of another network.
    pub fn open(path: &Path, layout: &ParamLayout) -> Result<Self, StoreError> {
        let weights = Self::find(path)?;
        let params = layout.params();
        if weights.params != params {
            return Err(StoreError::Weights {
                path: path.to_owned(),
                what: format!(
                    "{VALUES} has {} parameters per row; the network has {params}",
                    weights.params
                ),
            });
        }
        Ok(Self {
            layout: layout.clone(),
            ..weights
        })
    }

    /// Whether a file that can be read is an HDF5 file.
    #[must_use]
    pub fn are_hdf5(path: &Path) -> bool {
        !matches!(
            open_hdf5(path),
            Err(StoreError::NotHdf5 { .. } | StoreError::Empty { .. })
        )
    }

    /// Reads all weights, whatever their network, and of a run its header too. `renew` is called after every row.
    ///
    /// # Errors
    /// The weights cannot be read, or there are none, or they are in a run that cannot be read.
    pub fn look_through(path: &Path, renew: &dyn Fn()) -> Result<(), StoreError> {
        match RunReader::open(path).and_then(|run| run.refresh()) {
            Ok(_) | Err(StoreError::Foreign { .. }) => {}
            Err(error) => return Err(error),
        }
        let weights = Self::find(path)?;
        for row in 0..weights.points {
            weights.row(row)?;
            renew();
        }
        Ok(())
    }

    fn find(path: &Path) -> Result<Self, StoreError> {
        let disk = open_hdf5(path)?;
        let (file, _) = open::read(path, &disk)?;
        refuse_foreign(path, &file)?;
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
        if points < 2 {
            return Err(wrong(format!(
                "{VALUES} has {points} rows: a path needs at least two points"
            )));
        }
        Bounds::measure(path, &disk)?.check(&values, VALUES)?;
        Ok(Self {
            path: path.to_owned(),
            values,
            points,
            params: own,
            layout: ParamLayout::default(),
        })
    }

    fn row(&self, row: usize) -> Result<Array1<f32>, StoreError> {
        let read = self.values.read_slice_1d::<f32, _>((row, ..));
        read.doing(&self.path, || format!("read row {row} of {VALUES}"))
    }
}

impl Trajectory for RecordedWeights {
    fn steps(&self) -> u64 {
        self.points as u64 - 1
    }

    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
        let row = usize::try_from(done).ok().filter(|&row| row < self.points);
        let row =
            row.ok_or_else(|| TrajectoryError(format!("row {done} of the weights is missing")))?;
        let values = self
            .row(row)
            .map_err(|error| TrajectoryError(error.to_string()))?;
        for (param, &value) in params.iter_mut().zip(&values) {
            *param = value;
        }
        let is_odd = |tensor: &&Tensor| {
            params[tensor.range.clone()]
                .iter()
                .any(|value| !value.is_finite())
        };
        match self.layout.tensors.iter().find(is_odd) {
            None => Ok(()),
            Some(tensor) => Err(TrajectoryError(format!(
                "{}: row {row} of {VALUES} has a weight of `{}` that is not finite; no loss can be allocated \
                 along such a path",
                self.path.display(),
                tensor.name
            ))),
        }
    }
}

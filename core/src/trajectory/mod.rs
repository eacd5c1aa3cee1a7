//! Paths through parameter space from other programs.
//!
//! The allocation depends on the path alone, so the weights of each step may come from anywhere: a recorded run, a
//! folder of snapshots ([`SnapshotFolder`]), or the straight line between two points ([`StraightLine`]). The trainer
//! follows a [`Trajectory`] instead of an optimizer.

mod foreign;
mod name;
mod order;
mod snapshots;
mod straight;
mod tensors;

use std::io::{self, Read};
use std::path::Path;

use crate::small_file;

pub use snapshots::SnapshotFolder;
pub use straight::StraightLine;

/// Why a path cannot be followed. The message says what was wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TrajectoryError(pub String);

/// The successive points of a path; a step leads from each to the next.
pub trait Trajectory: Send {
    /// Returns the number of steps, at least 1: one less than the number of points.
    fn steps(&self) -> u64;

    /// Writes the point after `done` steps, up to [`steps`](Trajectory::steps), into `params` (`[P]`, in the order of
    /// the layout).
    ///
    /// # Errors
    /// The point cannot be read, or belongs to another network.
    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError>;

    /// Returns the names of the files that hold the points, in order, if each has one; for a straight line only the
    /// ends.
    fn files(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Returns what a file without a path is, as the end of a sentence that begins with its name, and the remedy.
///
/// # Errors
/// The file cannot be read.
pub fn what_it_is(path: &Path) -> io::Result<String> {
    let mut start = Vec::new();
    small_file::open(path)?
        .take(foreign::LOOKED_AT as u64)
        .read_to_end(&mut start)?;
    Ok(match start.get(8) {
        _ if let Some(named) = foreign::describe(&start) => named,
        Some(b'{') => {
            "is a single safetensors file, that is, a single point: give a folder with one file per point"
                .to_owned()
        }
        _ => "is neither an HDF5 file nor a folder of safetensors files".to_owned(),
    })
}

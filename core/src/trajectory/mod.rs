//! Paths through parameter space from other programs.
//!
//! The allocation depends on the path alone, so the weights of each step may come from anywhere: a recorded run, a
//! folder of snapshots ([`SnapshotFolder`]), or the straight line between two points ([`StraightLine`]). The trainer
//! follows a [`Trajectory`] instead of an optimizer.

mod archive;
mod every;
mod folder;
mod foreign;
mod header;
mod name;
mod order;
mod pickle;
mod point;
mod renames;
mod snapshots;
mod stored;
mod straight;
mod torch;

use std::io::{self, Read};
use std::path::Path;

use crossbeam_channel::Receiver;

use crate::small_file;

pub use every::EveryNth;
pub use renames::Rename;
pub use snapshots::SnapshotFolder;
pub use straight::StraightLine;

/// Why a path cannot be followed. The message says what was wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TrajectoryError(pub String);

/// Facts about the step that led to a point, apart from the weights. NaN is unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepFacts {
    /// Passes over the training set before the step, as a fraction.
    pub epoch: f64,
    pub learning_rate: f64,
    /// Loss of the mini-batch before the step.
    pub batch_loss: f64,
}

impl StepFacts {
    pub const UNKNOWN: Self = Self {
        epoch: f64::NAN,
        learning_rate: f64::NAN,
        batch_loss: f64::NAN,
    };
}

/// The continuation of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextPoint {
    /// The next point is there.
    Ready,
    /// The path ends.
    End,
    /// The program that makes the path stops it before its end.
    Stop,
    /// A checkpoint is requested before the next point.
    Checkpoint,
    /// An order interrupted the wait for the next point.
    Interrupted,
}

/// The successive points of a path; a step leads from each to the next.
pub trait Trajectory: Send {
    /// Returns the number of steps: one less than the number of points, or 0 if it is unknown while the path is being
    /// made.
    fn steps(&self) -> u64;

    /// Writes the point after `done` steps into `params` (`[P]`, in the order of the layout). The point must be
    /// [`Ready`](NextPoint::Ready), or the one that was read last.
    ///
    /// # Errors
    /// The point cannot be read, or belongs to another network.
    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError>;

    /// Waits until it is known whether the path goes on after `done` steps, or until `wakeups` receives something.
    /// Returns at once for a path that exists already.
    ///
    /// # Errors
    /// The program that makes the path is gone, or cannot continue it.
    fn next(&mut self, done: u64, _wakeups: &Receiver<()>) -> Result<NextPoint, TrajectoryError> {
        Ok(if done < self.steps() {
            NextPoint::Ready
        } else {
            NextPoint::End
        })
    }

    /// Returns the known facts about the step that led to the point read last.
    fn facts(&self) -> StepFacts {
        StepFacts::UNKNOWN
    }

    /// Returns the names of the files that hold the points, in order, if each has one; for a straight line only the
    /// ends.
    fn files(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Describes a file that does not hold a path, as the end of a sentence that begins with its name, with the remedy.
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
        _ => "is neither an HDF5 file nor a folder of snapshots".to_owned(),
    })
}

//! Weights that a run follows instead of training: a folder of snapshots, or a file.

use std::path::Path;

use crate::config::{ConfigError, TrajectoryChoice};
use crate::layout::ParamLayout;
use crate::record::RunHeader;
use crate::store::RecordedWeights;
use crate::supervise::{Failure, sandbox};
use crate::text::harmless;
use crate::trajectory::{
    self, EveryNth, SnapshotFolder, StraightLine, Trajectory, TrajectoryError,
};

/// Opens the weights that a run follows, or every Nth of them.
///
/// # Errors
/// There are none, or they belong to another network.
pub fn open_trajectory(
    choice: &TrajectoryChoice,
    layout: &ParamLayout,
    every: u64,
) -> Result<Box<dyn Trajectory>, Failure> {
    let path: &Path = &choice.path;
    if !path.exists() {
        return Err(ConfigError(format!("{}: no such file or folder", path.display())).into());
    }
    if let Some(what) = sandbox::why_unreadable(path) {
        return Err(Failure::Other(what));
    }
    let failed = |error: TrajectoryError| Failure::Other(error.to_string());
    let mut trajectory: Box<dyn Trajectory> = if path.is_dir() {
        Box::new(SnapshotFolder::open(path, layout, &choice.renames).map_err(failed)?)
    } else {
        if !RecordedWeights::are_hdf5(path)
            && let Ok(what) = trajectory::what_it_is(path)
        {
            return Err(Failure::Other(format!("{}: {what}", path.display())));
        }
        if let Some(rename) = choice.renames.first() {
            let what = format!(
                "--rename {}: the weights in {} are one vector, whose tensors have no names",
                harmless(&rename.to_string()),
                path.display()
            );
            return Err(ConfigError(what).into());
        }
        sandbox::read_through_weights(path)?;
        Box::new(RecordedWeights::open(path, layout)?)
    };
    match choice.straight {
        None if every > 1 => Ok(Box::new(EveryNth::new(trajectory, every))),
        None => Ok(trajectory),
        Some(steps) => {
            let line = StraightLine::between_ends_of(trajectory.as_mut(), layout.params(), steps);
            Ok(Box::new(line.map_err(failed)?))
        }
    }
}

/// Describes the path taken: the number of points, the first and the last.
pub fn path_of(choice: &TrajectoryChoice, header: &RunHeader) -> String {
    let at = choice.path.display();
    let ends = match header.trajectory_files.as_slice() {
        [first, .., last] => format!(", from {} to {}", harmless(first), harmless(last)),
        _ => String::new(),
    };
    let steps = header.planned_steps;
    let points = steps.saturating_add(1);
    match choice.straight {
        Some(_) => format!("following a straight line in {at}{ends}, {steps} steps"),
        None => format!("following {points} points in {at}{ends}"),
    }
}

//! `lcascope allocate`: allocates the loss along a given path of weights.

use std::path::Path;
use std::process::ExitCode;

use super::Failure;
use super::guard;
use super::train::{has_config, read_config, stored_config, train_with};
use crate::cli::AllocateArgs;
use crate::config::{ConfigError, CourseChoice, Options, merge};
use crate::course::{self, Course, CourseError, Snapshots, Straight};
use crate::feed::OpenError;
use crate::layout::ParamLayout;
use crate::record::RunHeader;
use crate::store::RecordedWeights;
use crate::text::harmless;
use crate::tui;

/// Runs `lcascope allocate`.
///
/// # Errors
/// Anything wrong with the weights, the flags, the data, the device or the run file, or the run fails.
pub fn allocate(args: &AllocateArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    if args.weights.to_str().is_none() {
        let weights = args.weights.display();
        return Err(ConfigError(format!("{weights}: the name is not UTF-8: rename it")).into());
    }
    let base = match &args.config {
        Some(path) => read_config(path)?,
        None => config_beside(&args.weights)?,
    };
    let options = Options {
        course: Some(args.weights.clone()),
        straight: args.straight,
        // The source run's recording does not apply to this one.
        record_weights: None,
        record_params: None,
        ..base.without_training()
    };
    let read: Vec<&Path> = args.config.iter().map(AsRef::as_ref).collect();
    train_with(&merge(&options, &args.options)?, &read, None)
}

/// The options stored beside weights. Neither a folder nor another program's file has any.
fn config_beside(weights: &Path) -> Result<Options, Failure> {
    if !weights.is_file() {
        return Ok(Options::default());
    }
    match guard::peek(weights) {
        Ok(opened) if has_config(&opened.header) => {
            let origin = weights.display().to_string();
            Ok(stored_config(&opened.header, &origin)?)
        }
        // A run that cannot be read is refused when its weights are looked through.
        Ok(_) | Err(OpenError::Refused(_)) => Ok(Options::default()),
        // The library crashes on this file: do not open it in this process.
        Err(error) => Err(error.into()),
    }
}

/// Opens the weights that a run follows.
///
/// # Errors
/// There are none, or they belong to another network.
pub fn open_course(
    choice: &CourseChoice,
    layout: &ParamLayout,
) -> Result<Box<dyn Course>, Failure> {
    let path: &Path = &choice.path;
    if !path.exists() {
        return Err(ConfigError(format!("{}: no such file or folder", path.display())).into());
    }
    if let Some(what) = guard::odd(path) {
        return Err(Failure::Other(what));
    }
    let failed = |error: CourseError| Failure::Other(error.to_string());
    let mut course: Box<dyn Course> = if path.is_dir() {
        Box::new(Snapshots::open(path, layout).map_err(failed)?)
    } else {
        if !RecordedWeights::are_hdf5(path)
            && let Ok(what) = course::what_it_is(path)
        {
            return Err(Failure::Other(format!("{}: {what}", path.display())));
        }
        guard::look_through_weights(path)?;
        Box::new(RecordedWeights::open(path, layout)?)
    };
    match choice.straight {
        None => Ok(course),
        Some(steps) => {
            let line = Straight::between_ends_of(course.as_mut(), layout.params(), steps);
            Ok(Box::new(line.map_err(failed)?))
        }
    }
}

/// Describes the path taken: the number of points, the first and the last.
pub fn path_of(choice: &CourseChoice, header: &RunHeader) -> String {
    let at = choice.path.display();
    let ends = match header.course_files.as_slice() {
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

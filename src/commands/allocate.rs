//! `lcascope allocate`: allocates the loss along a given path of weights.

use std::path::Path;
use std::process::ExitCode;

use super::read_config::read_config;
use super::train::train_with;
use crate::cli::AllocateArgs;
use crate::config::{Options, merge, stored_options};
use crate::feed::OpenError;
use crate::supervise::Failure;
use crate::supervise::sandbox;
use crate::tui;

/// Runs `lcascope allocate`.
///
/// # Errors
/// Anything wrong with the weights, the flags, the data, the device or the run file, or the run fails.
pub fn allocate(args: &AllocateArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    // Neither a folder nor another program's file has a configuration.
    let mut stored = Options::default();
    if args.weights.is_file() {
        let origin = args.weights.display().to_string();
        match sandbox::peek(&args.weights) {
            Ok(opened) => {
                stored = stored_options(&opened.header.config, &origin).unwrap_or_default()
            }
            Err(OpenError::Refused(_)) => {}
            // The library crashes on this file: do not open it in this process.
            Err(error) => return Err(error.into()),
        }
    }
    let base = match &args.config {
        Some(path) => read_config(path)?,
        None => stored,
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

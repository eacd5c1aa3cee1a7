//! `lcascope allocate`: allocates the loss along a given path of weights.

use std::path::Path;
use std::process::ExitCode;

use super::read_config::read_config;
use super::train::{on_first_rank, train_with};
use crate::cli::AllocateArgs;
use crate::cluster::Ranks;
use crate::config::{ConfigError, Options, holds_options, merge, stored_options};
use crate::feed::OpenError;
use crate::supervise::{Failure, sandbox};
use crate::tui;

/// Runs `lcascope allocate`.
///
/// # Errors
/// Anything wrong with the weights, the flags, the data, the device or the run file, or the run fails.
pub fn allocate(args: &AllocateArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    on_first_rank(|ranks| allocate_on(args, ranks))
}

fn allocate_on(args: &AllocateArgs, ranks: Option<&Ranks>) -> Result<ExitCode, Failure> {
    if args.weights.to_str().is_none() {
        let weights = args.weights.display();
        return Err(ConfigError(format!("{weights}: the name is not valid UTF-8")).into());
    }
    let base = match &args.config {
        Some(path) => read_config(path)?,
        None => options_beside(&args.weights)?,
    };
    // The renamings of a configuration apply to tensors in the files of a folder; other weights have no names.
    let rename = if args.rename.is_empty() && args.weights.is_dir() {
        base.rename.clone()
    } else {
        args.rename.clone()
    };
    let options = Options {
        course: Some(args.weights.clone()),
        straight: args.straight,
        rename,
        // The source run's recording does not apply to this one.
        record_weights: None,
        record_params: None,
        snapshots: None,
        ..base.without_training()
    };
    let read: Vec<&Path> = args.config.iter().map(AsRef::as_ref).collect();
    let options = merge(&options, &args.options)?;
    train_with(
        &options,
        &read,
        args.dry_run,
        None,
        ranks,
        args.notify.as_deref(),
    )
}

/// The options stored beside weights. Neither a folder nor another program's file has any.
fn options_beside(weights: &Path) -> Result<Options, Failure> {
    if !weights.is_file() {
        return Ok(Options::default());
    }
    match sandbox::peek(weights) {
        Ok(opened) if holds_options(&opened.header.config) => {
            let origin = weights.display().to_string();
            Ok(stored_options(&opened.header.config, &origin)?)
        }
        // A run that cannot be read is refused when its weights are looked through.
        Ok(_) | Err(OpenError::Refused(_)) => Ok(Options::default()),
        // The library crashes on this file: do not open it in this process.
        Err(error) => Err(error.into()),
    }
}

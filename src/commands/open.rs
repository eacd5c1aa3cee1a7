//! `lcascope open`: shows run files, or the runs in a folder to pick from.

use std::path::Path;
use std::process::ExitCode;

use crate::app::{MOST_OPEN, Picker};
use crate::cli::OpenArgs;
use crate::supervise::Failure;
use crate::supervise::browse;
use crate::supervise::screen;
use crate::supervise::signals::Signals;
use crate::tui::{self, ScreenOptions};

/// Runs `lcascope open`.
///
/// # Errors
/// A file is not a run, or there is no terminal.
pub fn open(args: &OpenArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    let options = screen::options(args.color, args.glyphs, args.fps)?;
    let signals = Signals::listen(None)?;
    if let [folder] = &args.files[..]
        && folder.is_dir()
    {
        return open_folder(folder, &options, &signals);
    }
    if args.files.len() > MOST_OPEN {
        let what = format!("at most {MOST_OPEN} runs can be opened together");
        return Err(Failure::Other(what));
    }
    let exit = browse::show_files(&args.files, &options, &signals)?;
    Ok(screen::exit_code(exit))
}

/// Shows the runs in a folder to pick from.
///
/// # Errors
/// There is no terminal.
pub(super) fn open_folder(
    folder: &Path,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<ExitCode, Failure> {
    let mut picker = Picker::new(folder.to_string_lossy());
    let exit = browse::show_folder(folder, &mut picker, options, signals)?;
    Ok(exit.map_or(ExitCode::SUCCESS, screen::exit_code))
}

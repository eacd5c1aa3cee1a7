//! Run files on the screen, and the list of runs from which they are picked.

use std::path::{Path, PathBuf};

use super::Failure;
use super::run_list::WatchedRuns;
use super::sandbox;
use super::screen::{self, NoScreen};
use super::signals::Signals;
use crate::app::{App, Other, Picked, Picker, Quit, RunModel};
use crate::feed::{self, Feed, Opening};
use crate::runs::RunCache;
use crate::store;
use crate::text::harmless;
use crate::tui::picker::{PickerEnd, pick};
use crate::tui::{self, Exit, ScreenOptions, Waited};

/// Shows run files and, on request, the list of the runs in the first one's folder, until the user leaves.
///
/// # Errors
/// A file is not a run, or there is no terminal.
pub fn show_files(
    files: &[PathBuf],
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let folder = folder_of(files.first().map_or(Path::new(""), PathBuf::as_path));
    let mut picker = Picker::new(folder.to_string_lossy());
    let mut exit = show(files, options, signals)?;
    while exit == Exit::Quit(Quit::Runs) {
        exit = match show_folder(&folder, &mut picker, options, signals)? {
            Some(exit) => exit,
            None => show(files, options, signals)?,
        };
    }
    Ok(exit)
}

/// Shows the runs in a folder, and those picked from it. Returns `None` if the user goes back from the list.
///
/// # Errors
/// There is no terminal, or no thread.
pub fn show_folder(
    folder: &Path,
    picker: &mut Picker,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<Option<Exit>, Failure> {
    screen::require_terminal("open")?;
    loop {
        // While a run is shown, nobody takes in what happens to the others.
        picker.reopen();
        let watched = WatchedRuns::spawn(vec![folder.to_owned()], RunCache::of_user());
        let watched = watched.map_err(Failure::Terminal)?;
        let end = pick(picker, &watched.updates, options, &signals.events);
        drop(watched);
        let files = match end.map_err(Failure::Terminal)? {
            PickerEnd::Exit(exit) => return Ok(Some(exit)),
            PickerEnd::Picked(Picked::Quit) => return Ok(Some(Exit::Quit(Quit::Leave))),
            PickerEnd::Picked(Picked::Back) => return Ok(None),
            PickerEnd::Picked(Picked::Open(files)) => files,
        };
        match show(&files, options, signals) {
            Ok(Exit::Quit(Quit::Runs)) => {}
            Ok(exit) => return Ok(Some(exit)),
            Err(Failure::Terminal(error)) => return Err(Failure::Terminal(error)),
            Err(failure) => picker.notice = harmless(&failure.to_string()),
        }
    }
}

/// The folder of a file.
#[must_use]
pub fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Shows run files until the user leaves.
fn show(files: &[PathBuf], options: &ScreenOptions, signals: &Signals) -> Result<Exit, Failure> {
    let mut runs = Vec::new();
    for file in files {
        match opened(file, options, signals)? {
            Ok(run) => runs.push(run),
            Err(exit) => return Ok(exit),
        }
    }
    screen::require_terminal("open")?;
    let shown: Vec<screen::ShownRun> = (runs.iter().zip(files))
        .map(|(run, file)| screen::ShownRun {
            feed: &run.feed,
            file,
        })
        .collect();
    let [first, others @ ..] = &shown[..] else {
        return Ok(Exit::Quit(Quit::Leave));
    };
    let mut app = App::new(first.feed.header.clone(), first.feed.origin);
    let name = |path: &Path| harmless(&path.file_name().unwrap_or_default().to_string_lossy());
    if let Some(second) = others.first() {
        app.compare_with(Other {
            model: RunModel::new(second.feed.header.clone(), second.feed.origin),
            names: [name(first.file), name(second.file)],
        });
    }
    screen::show(first, others.first(), &mut app, options, signals)
}

/// A run file being read.
struct OpenedFile {
    // Dropped in this order: the feed is gone when the process is ended.
    feed: Feed,
    _opening: Opening,
}

/// Opens a run; the user may leave before it is ready.
fn opened(
    path: &Path,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<Result<OpenedFile, Exit>, Failure> {
    if let Some(what) = sandbox::why_unreadable(path) {
        return Err(Failure::Other(what));
    }
    // The run being started, while an older file still has the name.
    let opening = feed::spawn(sandbox::reader(&store::written_at(path)), path)?;
    // An error in the file matters more than a missing terminal.
    let waited = match NoScreen::now() {
        None => {
            let what = format!("reading {}", path.display());
            tui::wait(&what, &opening.ready, options, &signals.events).map_err(Failure::Terminal)?
        }
        Some(_) => (opening.ready.recv()).map_or(Waited::Nobody, Waited::Answer),
    };
    match waited {
        Waited::Answer(feed) => Ok(Ok(OpenedFile {
            feed: feed?,
            _opening: opening,
        })),
        Waited::Left(exit) => Ok(Err(exit)),
        Waited::Nobody => {
            let what = "the thread that opens the file ended unexpectedly: this is a bug";
            Err(Failure::Other(what.to_owned()))
        }
    }
}

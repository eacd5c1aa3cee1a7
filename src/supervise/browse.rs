//! Run files on the screen, and the list of runs from which they are picked.

use std::path::{Path, PathBuf};

use super::Failure;
use super::run_list::WatchedRuns;
use super::sandbox;
use super::screen::{self, NoScreen, ShownRun};
use super::signals::Signals;
use crate::app::{App, Other, Overlay, Picked, Picker, Quit, RunModel};
use crate::feed::{self, Feed, Opening, Origin};
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
    let mut runs = match OpenRuns::open(files, options, signals)? {
        Ok(runs) => runs,
        Err(exit) => return Ok(exit),
    };
    screen::require_terminal("open")?;
    let folder = folder_of(files.first().map_or(Path::new(""), PathBuf::as_path));
    let mut picker = Picker::new(folder.to_string_lossy());
    loop {
        let exit = runs.show(options, signals)?;
        if exit != Exit::Quit(Quit::Runs) {
            return Ok(exit);
        }
        if let Some(exit) = show_folder(&folder, &mut picker, options, signals)? {
            return Ok(exit);
        }
    }
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
        match OpenRuns::open(&files, options, signals) {
            Ok(Ok(mut runs)) => match runs.show(options, signals)? {
                Exit::Quit(Quit::Runs) => {}
                exit => return Ok(Some(exit)),
            },
            Ok(Err(exit)) => return Ok(Some(exit)),
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

/// Runs read from files, and the explorer that shows them.
struct OpenRuns {
    app: App,
    /// With the path of each.
    files: Vec<(OpenedFile, PathBuf)>,
}

impl OpenRuns {
    /// Opens files; the user may leave before they are ready.
    fn open(
        files: &[PathBuf],
        options: &ScreenOptions,
        signals: &Signals,
    ) -> Result<Result<Self, Exit>, Failure> {
        let mut opened = Vec::new();
        for path in files {
            match open(path, options, signals)? {
                Ok(file) => opened.push((file, path.clone())),
                Err(exit) => return Ok(Err(exit)),
            }
        }
        let [(first, one), others @ ..] = &opened[..] else {
            return Err(Failure::Other("no run to open".to_owned()));
        };
        let model = |file: &OpenedFile| RunModel::new(file.feed.header.clone(), file.feed.origin);
        let name = |path: &Path| harmless(&path.file_name().unwrap_or_default().to_string_lossy());
        let mut app = App::of(model(first));
        if !others.is_empty() {
            let other = |(file, path): &(OpenedFile, PathBuf)| Other {
                model: model(file),
                name: name(path),
            };
            app.compare_with(name(one), others.iter().map(other).collect());
        } else if app.model.origin == Origin::Replay {
            app.overlays.show(Overlay::Findings);
        }
        Ok(Ok(Self { app, files: opened }))
    }

    /// Shows the runs until the user leaves.
    fn show(&mut self, options: &ScreenOptions, signals: &Signals) -> Result<Exit, Failure> {
        self.app.quit = None;
        let shown: Vec<ShownRun> = (self.files.iter())
            .map(|(opened, file)| ShownRun {
                feed: &opened.feed,
                file,
            })
            .collect();
        screen::show(&shown[0], &shown[1..], &mut self.app, options, signals)
    }
}

/// A run file being read.
struct OpenedFile {
    // Dropped in this order: the feed is gone when the process is ended.
    feed: Feed,
    _opening: Opening,
}

/// Opens a run; the user may leave before it is ready.
fn open(
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

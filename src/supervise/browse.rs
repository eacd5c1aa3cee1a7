//! Run files on the screen, and the list of runs from which they are picked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::Failure;
use super::opening::{OpenedFile, Opener};
use super::remote::{RemotePath, RemoteRun, Ssh};
use super::run_list::WatchedRuns;
use super::screen::{self, ShownRun};
use crate::app::{App, Other, Overlay, Picked, Picker, Quit, RunModel, Screen};
use crate::feed::Origin;
use crate::runs::RunCache;
use crate::text::harmless;
use crate::tui::Exit;
use crate::tui::picker::{PickerEnd, pick};

/// Shows run files, on `begin` first, and, on request, the list of the runs in the first one's folder, until the user
/// leaves.
///
/// # Errors
/// A file is not a run, or there is no terminal.
pub fn show_files(
    files: &[PathBuf],
    begin: Option<Screen>,
    opener: &Opener,
) -> Result<Exit, Failure> {
    let mut begin = begin;
    let mut runs = match OpenRuns::open(files, opener)? {
        Ok(runs) => runs,
        Err(exit) => return Ok(exit),
    };
    screen::require_terminal("open")?;
    let folder = folder_of(files.first().map_or(Path::new(""), PathBuf::as_path));
    let mut picker = Picker::new(folder.to_string_lossy());
    loop {
        let exit = runs.show(begin.take(), opener)?;
        if exit != Exit::Quit(Quit::Runs) {
            return Ok(exit);
        }
        if let Some(exit) = show_folder(&folder, &mut picker, opener)? {
            return Ok(exit);
        }
    }
}

/// Prints one frame of run files, of this size or, if none is given, of the terminal's.
///
/// # Errors
/// A file is not a run, or standard output cannot be written.
pub fn print_files(
    files: &[PathBuf],
    begin: Option<Screen>,
    size: Option<(u16, u16)>,
    opener: &Opener,
) -> Result<ExitCode, Failure> {
    let OpenRuns { mut app, files } = match OpenRuns::open(files, opener)? {
        Ok(runs) => runs,
        Err(exit) => return Ok(screen::exit_code(exit)),
    };
    let shown = shown(&files, opener.ssh);
    screen::print_once(
        &shown[0],
        &shown[1..],
        &mut app,
        begin,
        opener.options,
        size,
        opener.signals,
    )
}

/// Shows the runs in a folder, and those picked from it. Returns `None` if the user goes back from the list.
///
/// # Errors
/// There is no terminal, or no thread.
pub fn show_folder(
    folder: &Path,
    picker: &mut Picker,
    opener: &Opener,
) -> Result<Option<Exit>, Failure> {
    screen::require_terminal("open")?;
    loop {
        // While a run is shown, nobody takes in what happens to the others.
        picker.reopen();
        let watched = WatchedRuns::spawn(vec![folder.to_owned()], RunCache::of_user());
        let watched = watched.map_err(Failure::Terminal)?;
        let signals = &opener.signals.events;
        let end = pick(picker, &watched.updates, opener.options, signals);
        drop(watched);
        let files = match end.map_err(Failure::Terminal)? {
            PickerEnd::Exit(exit) => return Ok(Some(exit)),
            PickerEnd::Picked(Picked::Quit) => return Ok(Some(Exit::Quit(Quit::Leave))),
            PickerEnd::Picked(Picked::Back) => return Ok(None),
            PickerEnd::Picked(Picked::Open(files)) => files,
        };
        match OpenRuns::open(&files, opener) {
            Ok(Ok(mut runs)) => match runs.show(None, opener)? {
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
    fn open(files: &[PathBuf], opener: &Opener) -> Result<Result<Self, Exit>, Failure> {
        let mut opened = Vec::new();
        for path in files {
            match opener.open(path)? {
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
    fn show(&mut self, begin: Option<Screen>, opener: &Opener) -> Result<Exit, Failure> {
        let Self { app, files } = self;
        app.quit = None;
        let shown = shown(files, opener.ssh);
        let (first, others) = (&shown[0], &shown[1..]);
        screen::show(first, others, app, begin, opener.options, opener.signals)
    }
}

fn shown<'a>(files: &'a [(OpenedFile, PathBuf)], ssh: &Ssh) -> Vec<ShownRun<'a>> {
    let shown = files.iter().map(|(opened, file)| ShownRun {
        feed: &opened.feed,
        file,
        there: RemotePath::parse(file).map(|at| RemoteRun {
            at,
            ssh: ssh.clone(),
        }),
    });
    shown.collect()
}

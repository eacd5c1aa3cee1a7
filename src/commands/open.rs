//! `lcascope open`: shows a run file, or two side by side.

use std::path::Path;
use std::process::ExitCode;

use crossbeam_channel::select;

use crate::app::{App, Other, RunModel};
use crate::cli::OpenArgs;
use crate::feed::{self, Feed, Opening, RemoteOpening};
use crate::store;
use crate::supervise::remote::{RemotePath, Ssh};
use crate::supervise::screen::{self, NoScreen};
use crate::supervise::signals::Signals;
use crate::supervise::{Failure, sandbox};
use crate::text::harmless;
use crate::tui::{self, Exit, ScreenOptions, Waited};

/// Runs `lcascope open`.
///
/// # Errors
/// The file is not a run, or there is no terminal.
pub fn open(args: &OpenArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    let options = screen::options(args.color, args.glyphs, args.fps)?;
    let signals = Signals::listen(None)?;
    let ssh = Ssh::new(args.ssh.as_deref(), args.remote_program.as_deref())?;
    let first = match opened(&args.file, &ssh, &options, &signals)? {
        Ok(opened) => opened,
        Err(exit) => return Ok(screen::exit_code(exit)),
    };
    let second = match &args.other {
        Some(path) => match opened(path, &ssh, &options, &signals)? {
            Ok(opened) => Some((opened, path)),
            Err(exit) => return Ok(screen::exit_code(exit)),
        },
        None => None,
    };
    screen::require_terminal("open")?;
    let mut app = App::new(first.feed.header.clone(), first.feed.origin);
    if let Some((second, path)) = &second {
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            harmless(&name.to_string_lossy())
        };
        app.compare_with(Other {
            model: RunModel::new(second.feed.header.clone(), second.feed.origin),
            names: [name(&args.file), name(path)],
        });
    }
    let shown = screen::ShownRun {
        feed: &first.feed,
        file: &args.file,
    };
    let other = second.as_ref().map(|(opened, file)| screen::ShownRun {
        feed: &opened.feed,
        file,
    });
    let exit = screen::show(&shown, other.as_ref(), &mut app, &options, &signals);
    Ok(screen::exit_code(exit?))
}

/// A run file being read.
struct OpenedFile {
    // Dropped in this order: the feed is gone when the process is ended.
    feed: Feed,
    _opening: Opening,
}

fn opened_here(path: &Path) -> Result<Opening, Failure> {
    if let Some(what) = sandbox::why_unreadable(path) {
        return Err(Failure::Other(what));
    }
    // The run being started, while an older file still has the name.
    Ok(feed::spawn(
        sandbox::reader(&store::written_at(path)),
        path,
    )?)
}

/// Connects to another machine, which may ask for a password: nothing is drawn before that. A signal ends it.
fn connected(
    there: &RemotePath,
    ssh: &Ssh,
    signals: &Signals,
) -> Result<Result<Opening, i32>, Failure> {
    let RemoteOpening {
        connecting,
        opening,
    } = there.remote(ssh.clone()).open()?;
    select! {
        recv(connecting) -> _ => Ok(Ok(opening)),
        recv(signals.events) -> signal => Ok(signal.map_or(Ok(opening), Err)),
    }
}

/// Opens a run; the user may leave before it is ready.
fn opened(
    path: &Path,
    ssh: &Ssh,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<Result<OpenedFile, Exit>, Failure> {
    let opening = match RemotePath::parse(path) {
        Some(there) => match connected(&there, ssh, signals)? {
            Ok(opening) => opening,
            Err(signal) => return Ok(Err(Exit::Signal(signal))),
        },
        None => opened_here(path)?,
    };
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

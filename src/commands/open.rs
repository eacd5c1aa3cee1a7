//! `lcascope open`: shows a run file, or two side by side.

use std::path::Path;
use std::process::ExitCode;

use crate::app::{App, Other, RunModel};
use crate::cli::OpenArgs;
use crate::feed::{self, Feed, Opening};
use crate::store;
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
    let first = match opened(&args.file, &options, &signals)? {
        Ok(opened) => opened,
        Err(exit) => return Ok(screen::exit_code(exit)),
    };
    let second = match &args.other {
        Some(path) => match opened(path, &options, &signals)? {
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

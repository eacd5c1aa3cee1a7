//! `lcascope open`: shows a run file, or two side by side.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use crossbeam_channel::select;

use crate::app::{App, Other, RunModel, Screen};
use crate::cli::{FrameSize, OpenArgs};
use crate::config::{ColorChoice, ConfigError};
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
    // A frame in a file or a pipe has no colours unless they are asked for.
    let plain = args.once && !io::stdout().is_terminal();
    let color = args.color.or(plain.then_some(ColorChoice::Never));
    let options = screen::options(color, args.glyphs, args.fps)?;
    let begin = args.screen.as_deref().map(screen_named).transpose()?;
    let signals = Signals::listen(None)?;
    let ssh = Ssh::new(args.ssh.as_deref(), args.remote_program.as_deref())?;
    let wait = Wait {
        ssh: &ssh,
        options: &options,
        signals: &signals,
        on_screen: !args.once && NoScreen::now().is_none(),
    };
    let first = match wait.opened(&args.file)? {
        Ok(opened) => opened,
        Err(exit) => return Ok(screen::exit_code(exit)),
    };
    let second = match &args.other {
        Some(path) => match wait.opened(path)? {
            Ok(opened) => Some((opened, path)),
            Err(exit) => return Ok(screen::exit_code(exit)),
        },
        None => None,
    };
    if !args.once {
        screen::require_terminal("open")?;
    }
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
    if args.once {
        let size = args.size.map(|FrameSize(width, height)| (width, height));
        return screen::print_once(
            &shown,
            other.as_ref(),
            &mut app,
            begin,
            &options,
            size,
            &signals,
        );
    }
    let exit = screen::show(&shown, other.as_ref(), &mut app, begin, &options, &signals);
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

/// How files are opened, and how the user may leave before they are ready.
struct Wait<'a> {
    ssh: &'a Ssh,
    options: &'a ScreenOptions,
    signals: &'a Signals,
    /// Whether a screen is drawn meanwhile.
    on_screen: bool,
}

impl Wait<'_> {
    /// Opens a run; the user may leave before it is ready.
    fn opened(&self, path: &Path) -> Result<Result<OpenedFile, Exit>, Failure> {
        let opening = match RemotePath::parse(path) {
            Some(there) => match connected(&there, self.ssh, self.signals)? {
                Ok(opening) => opening,
                Err(signal) => return Ok(Err(Exit::Signal(signal))),
            },
            None => opened_here(path)?,
        };
        let signals = &self.signals.events;
        // An error in the file matters more than a missing terminal.
        let waited = if self.on_screen {
            let what = format!("reading {}", path.display());
            let waited = tui::wait(&what, &opening.ready, self.options, signals);
            waited.map_err(Failure::Terminal)?
        } else {
            select! {
                recv(opening.ready) -> feed => feed.map_or(Waited::Nobody, Waited::Answer),
                recv(signals) -> signal => signal.map_or(Waited::Nobody, |it| Waited::Left(Exit::Signal(it))),
            }
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
}

/// The screen of this name.
fn screen_named(name: &str) -> Result<Screen, ConfigError> {
    let named = Screen::ALL.into_iter();
    let mut named = named.filter(|screen| screen.name().eq_ignore_ascii_case(name));
    named.next().ok_or_else(|| {
        let names = Screen::ALL.map(|screen| screen.name().to_lowercase());
        ConfigError(format!(
            "--screen {}: use {}",
            harmless(name),
            names.join(", ")
        ))
    })
}

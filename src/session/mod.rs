//! The composition root: builds the parts of a command, connects them by channels, joins their
//! threads.
//!
//! ```text
//! trainer thread ──records (blocking)──▶ recorder thread ──▶ run file
//!       └────summaries (merged if slow)──▶ screen or progress bar, on the main thread
//! ```

mod allocate;
mod bar;
mod care;
mod check;
mod child;
mod config;
mod detach;
mod experiment;
mod export;
mod gpu;
mod guard;
mod headless;
mod info;
mod list;
mod memory;
mod orders;
mod output;
mod outside;
mod places;
mod prepare;
mod repeats;
mod report;
mod resume;
mod run;
mod screen;
mod series;
mod signals;
mod standing;
mod summary;
mod train;
mod whole_file;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use crate::app::{App, Other};
use crate::cli::OpenArgs;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::feed::{self, Feed, OpenError, Opening};
use crate::model::ModelError;
use crate::report::{ReportError, SaveError};
use crate::sheet::SheetError;
use crate::store::{self, StoreError};
use crate::text::{harmless, harmless_lines, is_obeyed};
use crate::tui::{self, Exit, ScreenOptions, Waited};

pub use allocate::allocate;
pub use care::{repair, verify};
pub use config::{config, print_network};
pub use experiment::experiment;
pub use export::export;
pub use guard::{guarded, guarded_each, guarded_reading, guarded_writing, serve as reader};
pub use info::info;
pub use list::list;
pub use orders::{pause, resume, stop};
pub use report::report;
pub use train::{demo, train};

use screen::Obstacle;
use signals::Signals;

/// Why a command failed. The message says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command is not understood, or asks for something impossible.
    #[error(transparent)]
    Usage(#[from] ConfigError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{}", with_source(.0))]
    Data(#[from] DataError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Sheet(#[from] SheetError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    #[error("{0}")]
    Other(String),
    /// The run failed; its file is complete and says why.
    #[error("the run failed: {0}")]
    Run(String),
}

impl Failure {
    /// The exit code: 2 for usage errors, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Save(SaveError::Io { .. }) => 1,
            Self::Usage(_)
            | Self::Store(StoreError::Odd { .. })
            | Self::Model(_)
            | Self::Save(_)
            | Self::Sheet(SheetError::Request(_)) => 2,
            _ => 1,
        }
    }
}

/// An error and its causes, on one line.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_source(source)),
        None => error.to_string(),
    }
}

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
            app: App::new(second.feed.header.clone(), second.feed.origin),
            names: [name(&args.file), name(path)],
        });
    }
    let shown = screen::Shown {
        feed: &first.feed,
        file: &args.file,
    };
    let other = second.as_ref().map(|(opened, file)| screen::Shown {
        feed: &opened.feed,
        file,
    });
    let exit = screen::show(&shown, other.as_ref(), &mut app, &options, &signals);
    Ok(screen::exit_code(exit?))
}

/// A run file being read.
struct Opened {
    // Dropped in this order: the feed is gone when the process is ended.
    feed: Feed,
    _opening: Opening,
}

/// Opens a run; the user may leave before it is ready.
fn opened(
    path: &Path,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<Result<Opened, Exit>, Failure> {
    if let Some(what) = guard::odd(path) {
        return Err(Failure::Other(what));
    }
    // The run being started, while an older file still has the name.
    let opening = feed::spawn(guard::reader(&store::written_at(path)), path)?;
    // An error in the file matters more than a missing terminal.
    let waited = match Obstacle::now() {
        None => {
            let what = format!("reading {}", path.display());
            tui::wait(&what, &opening.ready, options, &signals.events).map_err(Failure::Terminal)?
        }
        Some(_) => (opening.ready.recv()).map_or(Waited::Nobody, Waited::Answer),
    };
    match waited {
        Waited::Answer(feed) => Ok(Ok(Opened {
            feed: feed?,
            _opening: opening,
        })),
        Waited::Left(exit) => Ok(Err(exit)),
        Waited::Nobody => {
            let what = "the thread that opens the file ended without a word: this is a bug";
            Err(Failure::Other(what.to_owned()))
        }
    }
}

/// Prints a message to standard error.
fn tell(text: &str) {
    let _ = writeln!(io::stderr(), "{}", harmless_lines(text));
}

/// Prints text to standard output. A closed pipe is not an error.
///
/// # Errors
/// Any other error of standard output.
pub fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    // A pager may read it slowly.
    guard::unbounded();
    let shown = String::from_utf8_lossy(text);
    let shown = match shown
        .chars()
        .any(|c| !matches!(c, '\n' | '\t') && is_obeyed(c))
    {
        true => harmless_lines(&shown).into(),
        false => shown,
    };
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(shown.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Other(format!("standard output: {error}"))),
    }
}

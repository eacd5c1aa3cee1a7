//! The composition root: builds the parts of a command, connects them by channels, joins their
//! threads.
//!
//! ```text
//! trainer thread ──records (blocking)──▶ recorder thread ──▶ run file
//!       └────summaries (merged if slow)──▶ screen or progress bar, on the main thread
//! ```

mod care;
mod config;
mod detach;
mod export;
mod gpu;
mod guard;
mod headless;
mod info;
mod list;
mod orders;
mod prepare;
mod resume;
mod run;
mod screen;
mod standing;
mod summary;
mod train;

use std::io::{self, Write};
use std::process::ExitCode;

use crate::app::App;
use crate::cli::OpenArgs;
use crate::config::ConfigError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::feed::{self, OpenError};
use crate::model::ModelError;
use crate::sheet::SheetError;
use crate::store::StoreError;
use crate::tui::{self, Waited};

pub use care::{repair, verify};
pub use config::config;
pub use export::export;
pub use guard::{guarded, guarded_writing, serve as reader};
pub use info::info;
pub use list::list;
pub use orders::{pause, resume, stop};
pub use train::{demo, train};

/// Why a command failed. The message says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command was not understood, or asks for what cannot be.
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
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    #[error("{0}")]
    Other(String),
    /// The run has failed; its file is whole and says why.
    #[error("the run failed: {0}")]
    Run(String),
}

impl Failure {
    /// 2 for usage, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Model(_) => 2,
            _ => 1,
        }
    }
}

/// An error and what caused it, in one line.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_source(source)),
        None => error.to_string(),
    }
}

/// `lcascope open`
///
/// # Errors
/// The file is no run, or there is no terminal.
pub fn open(args: &OpenArgs) -> Result<ExitCode, Failure> {
    let options = screen::options(args.color, args.glyphs, args.fps)?;
    let signals = screen::Signals::listen(None)?;
    let opening = feed::spawn(guard::reader(&args.file), &args.file)?;
    // What is wrong with the file matters more than a missing terminal.
    let opened = match screen::has_terminal() {
        true => {
            let what = format!("reading {}", args.file.display());
            tui::wait(&what, &opening.ready, &options, &signals.events)
                .map_err(Failure::Terminal)?
        }
        false => (opening.ready.recv()).map_or(Waited::Nobody, Waited::Answer),
    };
    let feed = match opened {
        Waited::Answer(feed) => feed?,
        Waited::Left(exit) => return Ok(screen::exit_code(exit)),
        Waited::Nobody => {
            let what = "the thread that opens the file ended without a word: this is a bug";
            return Err(Failure::Other(what.to_owned()));
        }
    };
    screen::require_terminal("open")?;
    let mut app = App::new(feed.header.clone(), feed.origin);
    let exit = screen::show(&feed, &mut app, &options, &signals);
    drop(feed);
    drop(opening);
    Ok(screen::exit_code(exit?))
}

/// Prints to standard output. A reader that has gone away is no failure.
///
/// # Errors
/// Anything else that is wrong with standard output.
pub fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Other(format!("standard output: {error}"))),
    }
}

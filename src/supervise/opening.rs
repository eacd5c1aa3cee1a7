//! Opening a run file, here or on another machine, while the user may leave.

use std::path::Path;

use crossbeam_channel::select;

use super::failure::Failure;
use super::remote::{RemotePath, Ssh};
use super::sandbox;
use super::signals::Signals;
use crate::feed::{self, Feed, Opening, RemoteOpening};
use crate::store;
use crate::tui::{self, Exit, ScreenOptions, Waited};

/// A run file being read.
pub struct OpenedFile {
    // Dropped in this order: the feed is gone when the process is ended.
    pub feed: Feed,
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

/// The means to open files and, for the user, to leave before they are ready.
pub struct Opener<'a> {
    pub ssh: &'a Ssh,
    pub options: &'a ScreenOptions,
    pub signals: &'a Signals,
    /// True if a screen is drawn meanwhile.
    pub on_screen: bool,
}

impl Opener<'_> {
    /// Opens a run; the user may leave before it is ready.
    ///
    /// # Errors
    /// The file is not a run, or cannot be reached.
    pub fn open(&self, path: &Path) -> Result<Result<OpenedFile, Exit>, Failure> {
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

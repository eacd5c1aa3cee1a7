//! A process that reads many files, one after another, and is started again if one makes it crash.

use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, select};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::client::{OpenError, Pipes, ReaderProcess, SharedChild};
use super::wire;

/// The longest time for which a file may be read.
const PATIENCE: Duration = Duration::from_secs(30);

/// The answer about one file.
pub type FileAnswer<T> = (PathBuf, Result<T, OpenError>);

/// Starts a thread that has a process answer about each of the files in `paths`. The process is started for the first
/// of them; it runs [`answer_each`].
///
/// # Errors
/// The thread cannot be started.
pub fn read_each<T: DeserializeOwned + Send + 'static>(
    reader: impl Fn() -> Command + Send + 'static,
    paths: Receiver<PathBuf>,
    answers: Sender<FileAnswer<T>>,
) -> std::io::Result<ReaderProcess> {
    let thread = thread::Builder::new().name("reader".to_owned());
    ReaderProcess::new(
        thread,
        SharedChild::default(),
        Duration::ZERO,
        move |child, quit| {
            let mut pipes = None;
            loop {
                let path = select! {
                    recv(paths) -> path => path,
                    recv(quit) -> _ => break,
                };
                let Ok(path) = path else { break };
                let answer = ask(child, &mut pipes, &reader, &path, quit);
                if answers.send((path, answer)).is_err() {
                    break;
                }
            }
            child.end(pipes);
        },
    )
}

fn ask<T: DeserializeOwned + Send + 'static>(
    child: &SharedChild,
    pipes: &mut Option<Pipes<Result<T, String>>>,
    reader: &impl Fn() -> Command,
    path: &Path,
    quit: &Receiver<()>,
) -> Result<T, OpenError> {
    let mut running = match pipes.take() {
        Some(running) => running,
        None => child.start(reader())?,
    };
    // If the process is gone, the missing answer shows it.
    let _ = running.send(&path.as_os_str().as_bytes());
    let answer = select! {
        recv(running.messages) -> answer => answer.map_err(|_| RecvTimeoutError::Disconnected),
        recv(quit) -> _ => Err(RecvTimeoutError::Timeout),
        default(PATIENCE) => Err(RecvTimeoutError::Timeout),
    };
    let what = match answer {
        Ok(answer) => {
            *pipes = Some(running);
            return answer.map_err(OpenError::Refused);
        }
        Err(RecvTimeoutError::Disconnected) => child.how_it_ended(),
        Err(RecvTimeoutError::Timeout) => {
            "reading this file made no progress: the disk does not respond, or the file is damaged"
                .to_owned()
        }
    };
    child.end(Some(running));
    Err(OpenError::Crashed {
        path: path.to_owned(),
        what,
    })
}

/// Answers about each file whose path arrives, until no more can come.
///
/// # Errors
/// The receiver of the answers is gone.
pub fn answer_each<T: Serialize>(
    mut paths: impl Read,
    mut answers: impl Write,
    read: impl Fn(&Path) -> Result<T, String>,
) -> std::io::Result<()> {
    while let Some(path) = wire::receive::<Vec<u8>>(&mut paths)? {
        let path = PathBuf::from(std::ffi::OsString::from_vec(path));
        wire::send(&mut answers, &read(&path))?;
    }
    Ok(())
}

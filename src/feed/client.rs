//! The program's end of a process that reads a file: starts it, sends it queries and hears its messages.
//!
//! The HDF5 library trusts the bytes of a file too much: a damaged one can make it crash, or loop for ever. So the
//! program starts itself a second time as a reader ([`super::server`]), which sends what it reads through a pipe. If it
//! crashes, the screen stays and reports it; if it hangs, the user can still leave.

use std::io::{self, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{self, OpenedRun, ReaderMessage};

/// A failure to open a file through a reader process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The reader's own message.
    #[error("{0}")]
    Refused(String),
    #[error("{}: {what}", path.display())]
    Crashed { path: PathBuf, what: String },
    #[error("cannot start the reader process: {0}")]
    NoProcess(String),
    /// The other machine, or lcascope there, cannot be reached.
    #[error("{0}")]
    Unreachable(String),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::NoProcess(error.to_string())
    }
}

/// The process that reads a file, and the thread that listens to it. They end when this is dropped.
pub struct ReaderProcess {
    child: SharedChild,
    quit: Option<Sender<()>>,
    /// The time it is given to end by itself.
    patience: Duration,
    thread: Option<JoinHandle<()>>,
}

impl ReaderProcess {
    /// Starts the thread, which ends once its receiver is disconnected.
    pub(super) fn new(
        thread: thread::Builder,
        child: SharedChild,
        patience: Duration,
        listen: impl FnOnce(&SharedChild, &Receiver<()>) + Send + 'static,
    ) -> io::Result<Self> {
        let (quit, quitting) = bounded(0);
        let ours = child.clone();
        let thread = thread.spawn(move || listen(&ours, &quitting));
        let mut process = Self {
            child,
            quit: Some(quit),
            patience,
            thread: None,
        };
        process.thread = Some(thread?);
        Ok(process)
    }
}

impl Drop for ReaderProcess {
    fn drop(&mut self) {
        drop(self.quit.take());
        let until = Instant::now() + self.patience;
        let is_there = |thread: &JoinHandle<()>| !thread.is_finished() && Instant::now() < until;
        while self.thread.as_ref().is_some_and(is_there) {
            thread::sleep(Duration::from_millis(5));
        }
        // The process may be stuck in the library, or stopped, and deaf to requests.
        let mut state = self.child.state();
        state.left = true;
        if let Some(child) = &mut state.child {
            let _ = child.kill();
        }
        drop(state);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state shared by two threads: the one that listens starts the process and waits for its end; the one that drops
/// the [`ReaderProcess`] kills it, and no other is started after that. Neither holds the lock for long.
#[derive(Clone, Default)]
pub(super) struct SharedChild(Arc<Mutex<ChildState>>);

#[derive(Default)]
struct ChildState {
    left: bool,
    child: Option<Child>,
}

impl SharedChild {
    fn state(&self) -> MutexGuard<'_, ChildState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the process, and the thread that reads its messages.
    pub fn start<T: DeserializeOwned + Send + 'static>(
        &self,
        command: Command,
    ) -> io::Result<Pipes<T>> {
        let (requests, from, _) = self.run(command, Stdio::null())?;
        Pipes::new(requests, from)
    }

    /// Starts the process with pipes for its input, its output and, if `stderr` is one, its messages.
    pub fn run(
        &self,
        command: Command,
        stderr: Stdio,
    ) -> io::Result<(ChildStdin, ChildStdout, Option<ChildStderr>)> {
        let mut state = self.state();
        if state.left {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let mut child = piped(command, stderr)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let messages = child.stderr.take();
        state.child = Some(child);
        let (requests, from) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((requests, from, messages))
    }

    /// Waits for the process to end by itself, without preventing others from killing it, and describes its end.
    pub fn how_it_ended(&self) -> String {
        match self.wait() {
            Ok(status) => describe_crash(status),
            Err(error) => format!("the reader process is lost: {error}"),
        }
    }

    /// Waits for the process to end by itself, without preventing others from killing it.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            match self.state().child.as_mut().map(Child::try_wait) {
                Some(Ok(Some(status))) => return Ok(status),
                Some(Ok(None)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(io::ErrorKind::NotFound.into()),
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the process, if there is one.
    pub fn end<T>(&self, pipes: Option<Pipes<T>>) {
        let child = self.state().child.take();
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
        if let Some(pipes) = pipes {
            drop(pipes.messages);
            let _ = pipes.thread.join();
        }
    }
}

/// The two directions of a conversation with a reader that sends messages `T`.
pub(super) struct Pipes<T> {
    requests: ChildStdin,
    /// Disconnected once the process has ended or has sent something invalid.
    pub messages: Receiver<T>,
    thread: JoinHandle<()>,
}

impl<T: DeserializeOwned + Send + 'static> Pipes<T> {
    /// Starts the thread that reads the messages.
    pub fn new(requests: ChildStdin, from: ChildStdout) -> io::Result<Self> {
        let (heard, messages) = bounded(1);
        let thread = thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || forward_messages(from, &heard))?;
        Ok(Self {
            requests,
            messages,
            thread,
        })
    }
}

impl<T> Pipes<T> {
    /// Sends a request, such as a query, which a [`FeedEvent::Answer`](super::FeedEvent::Answer) will answer.
    pub fn send(&mut self, request: &impl Serialize) -> io::Result<()> {
        wire::send(&mut self.requests, request)
    }

    /// Ends the requests, and waits until the process has ended too or is killed.
    pub fn finish(self) {
        drop(self.requests);
        for _ in self.messages {}
        let _ = self.thread.join();
    }
}

fn forward_messages<T: DeserializeOwned>(from: ChildStdout, heard: &Sender<T>) {
    let mut from = BufReader::new(from);
    while let Ok(Some(message)) = wire::receive(&mut from) {
        if heard.send(message).is_err() {
            return;
        }
    }
}

/// Starts a process with pipes for its input and output. Anything that the library prints when it crashes is usually
/// discarded, to keep it off the screen.
fn piped(mut command: Command, stderr: Stdio) -> io::Result<Child> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(stderr).spawn()
}

/// Lets `reader` open the file at `path`, and returns what is known of the run before its first step.
///
/// # Errors
/// The file is not a run, or the reader crashed on it.
pub fn peek(reader: Command, path: &Path) -> Result<OpenedRun, OpenError> {
    match first_word(piped(reader, Stdio::null())?, path)? {
        ReaderMessage::Opened(opened) => Ok(*opened),
        ReaderMessage::Failed(why) => Err(OpenError::Refused(why)),
        ReaderMessage::Event(_) => Err(OpenError::Crashed {
            path: path.to_owned(),
            what: "unexpected message from the reader process: this is a bug".to_owned(),
        }),
    }
}

/// Lets `reader` answer one question about the file at `path`. It [`receive`](wire::receive)s the question, and
/// [`send`](wire::send)s a `Result<T, String>`.
///
/// # Errors
/// The reader's own error, or its crash on the file.
pub fn ask_once<T: DeserializeOwned>(
    reader: Command,
    path: &Path,
    question: &impl Serialize,
) -> Result<T, OpenError> {
    let mut child = piped(reader, Stdio::null())?;
    if let Some(requests) = &mut child.stdin {
        // If the reader is gone, the missing answer shows it.
        let _ = wire::send(requests, question);
    }
    first_word::<Result<T, String>>(child, path)?.map_err(OpenError::Refused)
}

/// Returns the first message of a reader, and ends it.
fn first_word<T: DeserializeOwned>(mut child: Child, path: &Path) -> Result<T, OpenError> {
    let answer = match child.stdout.take() {
        Some(answers) => wire::receive(&mut BufReader::new(answers)),
        None => Ok(None),
    };
    if matches!(answer, Ok(Some(_))) {
        let _ = child.kill();
    }
    let status = child.wait()?;
    match answer {
        Ok(Some(answer)) => Ok(answer),
        _ => Err(OpenError::Crashed {
            path: path.to_owned(),
            what: describe_crash(status),
        }),
    }
}

/// Describes why a process that reads a file ended early.
#[must_use]
pub fn describe_crash(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        let code = status.code().unwrap_or(-1);
        return format!("the reader process exited with code {code}: this is a bug");
    };
    let is = |other: Signal| signal == other.as_raw();
    let crashes = [
        (Signal::ILL, "SIGILL"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::SEGV, "SIGSEGV"),
    ];
    let Some((_, name)) = crashes.into_iter().find(|&(crash, _)| is(crash)) else {
        return if is(Signal::XCPU) {
            "the HDF5 library does not finish reading this file: the file is damaged".to_owned()
        } else if is(Signal::ALARM) {
            "reading this file made no progress: the disk does not respond, or the file is damaged"
                .to_owned()
        } else if is(Signal::KILL) {
            "the reader process was killed (SIGKILL)".to_owned()
        } else {
            format!("the reader process was killed by signal {signal}")
        };
    };
    let memory = if is(Signal::ABORT) {
        " or exceeded its memory limit"
    } else {
        ""
    };
    format!("the HDF5 library crashed on this file ({name}){memory}: the file is damaged")
}

//! The feed of a run file that another process reads for this one.
//!
//! The HDF5 library trusts the bytes of a file too much: a damaged one can make it crash, or loop for ever. So the
//! program starts itself a second time as a reader, which sends what it reads through a pipe. If it crashes, the screen
//! stays and reports it; if it hangs, the user can still leave.

use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use rustix::process::Signal;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::detail::{self, DetailServer};
use super::wire::{self, OpenedRun, ReaderMessage, ReaderRequest};
use super::{Feed, FeedEvent, Origin, file, orders};
use crate::query::Query;

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
}

/// A file being opened.
pub struct Opening {
    /// Receives the only answer.
    pub ready: Receiver<Result<Feed, OpenError>>,
    pub process: ReaderProcess,
}

/// The process that reads a file. It ends when this is dropped.
pub struct ReaderProcess {
    child: SharedChild,
    quit: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for ReaderProcess {
    fn drop(&mut self) {
        drop(self.quit.take());
        // The process may be stuck in the library, or stopped, and deaf to requests.
        self.child.kill();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The state shared by two threads: the one that reads the pipe waits for the child's end, and the one that drops the
/// reader kills it. Neither holds the lock for longer than a non-blocking system call.
#[derive(Clone)]
struct SharedChild(Arc<Mutex<Child>>);

impl SharedChild {
    fn kill(&self) {
        let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
    }

    /// Waits for the child's end without preventing others from killing it.
    fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            let ended = {
                let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                child.try_wait()?
            };
            match ended {
                Some(status) => return Ok(status),
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// Starts a process with pipes for its input and output. Anything that the library prints when it crashes is discarded,
/// to keep it off the screen.
pub(super) fn piped(mut command: Command) -> io::Result<Child> {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(Stdio::null()).spawn()
}

/// Starts `reader`, a command that [`serve`]s the file at `path`, and the thread that listens to it.
///
/// # Errors
/// The process cannot be started.
pub fn spawn(reader: Command, path: &Path) -> Result<Opening, OpenError> {
    let none = |error: io::Error| OpenError::NoProcess(error.to_string());
    let mut child = piped(reader).map_err(none)?;
    let requests = child.stdin.take();
    let answers = child.stdout.take();
    let child = SharedChild(Arc::new(Mutex::new(child)));
    let (ready, opened) = bounded(1);
    let (quit, quitting) = bounded(0);
    let mut process = ReaderProcess {
        child: child.clone(),
        quit: Some(quit),
        thread: None,
    };
    let path = path.to_owned();
    let thread = thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            let (Some(requests), Some(answers)) = (requests, answers) else {
                return;
            };
            let pipes = (requests, BufReader::new(answers));
            listen(pipes, &child, &path, &ready, &quitting);
        })
        .map_err(none)?;
    process.thread = Some(thread);
    Ok(Opening {
        ready: opened,
        process,
    })
}

/// Forwards what the reader sends until it ends or the receiver is gone.
fn listen(
    (requests, mut answers): (ChildStdin, BufReader<impl io::Read>),
    child: &SharedChild,
    path: &Path,
    ready: &Sender<Result<Feed, OpenError>>,
    quit: &Receiver<()>,
) {
    let opened = match wire::receive(&mut answers) {
        Ok(Some(ReaderMessage::Opened(opened))) => opened,
        Ok(Some(ReaderMessage::Failed(why))) => {
            let _ = ready.send(Err(OpenError::Refused(why)));
            return;
        }
        _ => {
            let what = how_it_ended(child);
            let path = path.to_owned();
            let _ = ready.send(Err(OpenError::Crashed { path, what }));
            return;
        }
    };
    let (events, receiver) = bounded(16);
    // If their thread cannot start, no orders are taken, but the file is shown all the same.
    let messenger = match opened.origin {
        Origin::Following => orders::spawn(path, events.clone(), quit.clone()).ok(),
        Origin::Live | Origin::Replay => None,
    };
    let (controls, messenger) = messenger.unzip();
    let (details, server) = detail::channel();
    let (asked, quitting) = (server.requests.clone(), quit.clone());
    let asker = thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || forward_queries(requests, asked, &quitting))
        .ok();
    let feed = Feed {
        header: Arc::new(opened.header),
        origin: opened.origin,
        events: receiver,
        controls,
        details: asker.is_some().then_some(details),
    };
    if ready.send(Ok(feed)).is_ok() {
        pass_on(&mut answers, child, events, &server, quit);
    }
    // They end when the [`ReaderProcess`] is dropped.
    for thread in messenger.into_iter().chain(asker) {
        let _ = thread.join();
    }
}

/// Forwards queries until the [`ReaderProcess`] is dropped.
fn forward_queries(mut requests: ChildStdin, mut asked: Receiver<Query>, quit: &Receiver<()>) {
    loop {
        let request = select! {
            recv(asked) -> request => request,
            recv(quit) -> _ => break,
        };
        match request {
            // If the reader is gone, the end of its answers will show it.
            Ok(query) => drop(wire::send(&mut requests, &ReaderRequest::Ask(query))),
            // No more queries will come, but there are still the events.
            Err(_) => asked = never(),
        }
    }
    let _ = wire::send(&mut requests, &ReaderRequest::Quit);
}

/// Forwards events up to the end of the run, and answers also after that, until the reader ends or the
/// [`ReaderProcess`] is dropped.
fn pass_on(
    answers: &mut BufReader<impl io::Read>,
    child: &SharedChild,
    events: Sender<FeedEvent>,
    server: &DetailServer,
    quit: &Receiver<()>,
) {
    let mut events = Some(events);
    loop {
        let event = match wire::receive(answers) {
            Ok(Some(ReaderMessage::Event(event))) => event,
            _ => FeedEvent::Broken(format!(
                "{}; the screen shows what was read before",
                how_it_ended(child)
            )),
        };
        let is_end = matches!(event, FeedEvent::Status { .. });
        let is_last = matches!(event, FeedEvent::Broken(_));
        match &events {
            Some(events) if !matches!(event, FeedEvent::Answer { .. }) => select! {
                send(events, event) -> sent => if sent.is_err() { return },
                recv(quit) -> _ => return,
            },
            _ => server.send(event),
        }
        if is_last {
            return;
        }
        if is_end {
            events = None;
        }
    }
}

/// Describes what became of a reader that ended early.
fn how_it_ended(child: &SharedChild) -> String {
    match child.wait() {
        Ok(status) => describe_crash(status),
        Err(error) => format!("the reader process is lost: {error}"),
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

/// Lets `reader` open the file at `path`, and returns what is known of the run before its first step.
///
/// # Errors
/// The file is not a run, or the reader crashed on it.
pub fn peek(reader: Command, path: &Path) -> Result<OpenedRun, OpenError> {
    match first_word(reader, path)? {
        ReaderMessage::Opened(opened) => Ok(*opened),
        ReaderMessage::Failed(why) => Err(OpenError::Refused(why)),
        ReaderMessage::Event(_) => Err(OpenError::Crashed {
            path: path.to_owned(),
            what: "unexpected message from the reader process: this is a bug".to_owned(),
        }),
    }
}

/// Lets `reader` answer one question about the file at `path` ([`reply`]).
///
/// # Errors
/// The reader's own error, or its crash on the file.
pub fn ask_once<T: DeserializeOwned>(reader: Command, path: &Path) -> Result<T, OpenError> {
    first_word::<Result<T, String>>(reader, path)?.map_err(OpenError::Refused)
}

/// Sends the reply that [`ask_once`] receives.
///
/// # Errors
/// The receiver is gone.
pub fn reply<T: Serialize>(answer: &Result<T, String>, to: impl Write) -> io::Result<()> {
    wire::send(&mut BufWriter::new(to), answer)
}

/// Returns the first message of a reader, and ends it.
fn first_word<T: DeserializeOwned>(reader: Command, path: &Path) -> Result<T, OpenError> {
    let none = |error: io::Error| OpenError::NoProcess(error.to_string());
    let mut child = piped(reader).map_err(none)?;
    let answer = match child.stdout.take() {
        Some(answers) => wire::receive(&mut BufReader::new(answers)),
        None => Ok(None),
    };
    if matches!(answer, Ok(Some(_))) {
        let _ = child.kill();
    }
    let status = child.wait().map_err(none)?;
    match answer {
        Ok(Some(answer)) => Ok(answer),
        _ => Err(OpenError::Crashed {
            path: path.to_owned(),
            what: describe_crash(status),
        }),
    }
}

/// Runs the reader process: opens the file, reports its contents, follows it to its end, and answers queries for
/// details also after that. `leave` is called when the program that started it is gone or wants no more.
///
/// # Errors
/// The receiver of the answers is gone.
pub fn serve(
    path: &Path,
    requests: impl io::Read + Send + 'static,
    answers: impl Write,
    leave: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut answers = BufWriter::new(answers);
    let (asking, asked) = unbounded();
    thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            receive_queries(requests, &asking);
            leave();
        })?;
    let (opened, feed, _thread) = match file::open_with_state(path, false) {
        Ok((feed, state, thread)) => {
            let opened = OpenedRun {
                header: (*feed.header).clone(),
                origin: feed.origin,
                state,
            };
            (opened, feed, thread)
        }
        Err(error) => return wire::send(&mut answers, &ReaderMessage::Failed(error.to_string())),
    };
    wire::send(&mut answers, &ReaderMessage::Opened(Box::new(opened)))?;
    send_events(&feed, &asked, answers)
}

/// Receives queries until there are no more.
fn receive_queries(mut requests: impl io::Read, asking: &Sender<Query>) {
    while let Ok(Some(ReaderRequest::Ask(query))) = wire::receive(&mut requests) {
        if asking.send(query).is_err() {
            return;
        }
    }
}

/// Sends all events and answers until no more queries can come.
fn send_events(feed: &Feed, asked: &Receiver<Query>, mut to: impl Write) -> io::Result<()> {
    let mut events = feed.events.clone();
    let mut answers = (feed.details.as_ref()).map_or_else(never, |it| it.answers.clone());
    loop {
        let event = select! {
            recv(events) -> event => {
                if event.is_err() {
                    events = never();
                }
                event.ok()
            }
            recv(answers) -> answer => {
                if answer.is_err() {
                    answers = never();
                }
                answer.ok()
            }
            recv(asked) -> query => match query {
                Ok(query) => pass(feed, query),
                Err(_) => return Ok(()),
            },
        };
        if let Some(event) = event {
            wire::send(&mut to, &ReaderMessage::Event(event))?;
        }
    }
}

/// Passes a query on, or, if the thread that reads has ended, returns at once that there is no answer.
fn pass(feed: &Feed, query: Query) -> Option<FeedEvent> {
    let query = match &feed.details {
        Some(details) => details.requests.try_send(query).err()?.into_inner(),
        None => query,
    };
    Some(detail::no_answer(query))
}

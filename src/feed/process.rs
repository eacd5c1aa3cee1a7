//! The feed of a run file that another process reads for this one.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, never, select};

use super::client::{OpenError, Pipes, ReaderProcess, SharedChild};
use super::detail::{self, DetailServer};
use super::wire::{OpenedRun, ReaderMessage, ReaderRequest};
use super::{Feed, FeedEvent, Origin, orders};

/// A file being opened.
pub struct Opening {
    /// Receives the only answer.
    pub ready: Receiver<Result<Feed, OpenError>>,
    pub process: ReaderProcess,
}

/// Starts `reader`, a command that [`serve`](super::serve)s the file at `path`, and the thread that listens to it.
///
/// # Errors
/// The process cannot be started.
pub fn spawn(reader: Command, path: &Path) -> Result<Opening, OpenError> {
    let child = SharedChild::default();
    let mut pipes = child.start(reader)?;
    let (ready, opened) = bounded(1);
    let path = path.to_owned();
    let thread = thread::Builder::new().name("reader".to_owned());
    let process = ReaderProcess::new(thread, child, Duration::ZERO, move |child, quit| {
        match first_message(&pipes, child, &path) {
            Ok(run) => show(run, &mut pipes, child, &path, &ready, quit),
            Err(error) => drop(ready.send(Err(error))),
        }
        child.end(Some(pipes));
    })?;
    Ok(Opening {
        ready: opened,
        process,
    })
}

fn first_message(
    pipes: &Pipes<ReaderMessage>,
    child: &SharedChild,
    path: &Path,
) -> Result<OpenedRun, OpenError> {
    match pipes.messages.recv() {
        Ok(ReaderMessage::Opened(opened)) => Ok(*opened),
        Ok(ReaderMessage::Failed(why)) => Err(OpenError::Refused(why)),
        _ => Err(OpenError::Crashed {
            path: path.to_owned(),
            what: child.how_it_ended(),
        }),
    }
}

/// Presents the run as a feed, and forwards what the reader sends until it ends or the [`ReaderProcess`] is dropped.
fn show(
    opened: OpenedRun,
    pipes: &mut Pipes<ReaderMessage>,
    child: &SharedChild,
    path: &Path,
    ready: &Sender<Result<Feed, OpenError>>,
    quit: &Receiver<()>,
) {
    let (events, receiver) = bounded(16);
    // If their thread cannot start, no orders are taken, but the file is shown all the same.
    let messenger = match opened.origin {
        Origin::Following => orders::spawn(path, events.clone(), quit.clone()).ok(),
        Origin::Live | Origin::Replay => None,
    };
    let (controls, messenger) = messenger.unzip();
    let (details, server) = detail::channel();
    let feed = Feed {
        header: Arc::new(opened.header),
        origin: opened.origin,
        events: receiver,
        controls,
        details: Some(details),
    };
    if ready.send(Ok(feed)).is_ok() {
        pass_on(pipes, child, events, &server, quit);
    }
    // It ends when the [`ReaderProcess`] is dropped.
    if let Some(thread) = messenger {
        let _ = thread.join();
    }
}

/// Forwards queries; events up to the end of the run; and answers, also after that.
fn pass_on(
    pipes: &mut Pipes<ReaderMessage>,
    child: &SharedChild,
    events: Sender<FeedEvent>,
    server: &DetailServer,
    quit: &Receiver<()>,
) {
    let mut events = Some(events);
    let mut queries = server.requests.clone();
    loop {
        let event = select! {
            recv(queries) -> query => {
                match query {
                    // If the reader is gone, the end of its messages will show it.
                    Ok(query) => drop(pipes.send(&ReaderRequest::Query(query))),
                    // No more queries will come, but there are still the events.
                    Err(_) => queries = never(),
                }
                continue;
            }
            recv(pipes.messages) -> message => match message {
                Ok(ReaderMessage::Event(event)) => event,
                _ => FeedEvent::Broken(format!(
                    "{}; the screen shows what was read before",
                    child.how_it_ended()
                )),
            },
            recv(quit) -> _ => return,
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

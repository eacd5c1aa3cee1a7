//! The process that reads a file for the program ([`super::client`]).

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, never, select, unbounded};

use super::file::{self, Wanted};
use super::wire::{self, OpenedRun, ReaderMessage, ReaderRequest};
use super::{Feed, FeedEvent, detail};
use crate::query::Query;
use crate::store;

/// The work of a reader process for the program that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Reports the contents of the file, follows it to its end, and answers queries, also after that.
    Events,
    /// Only answers queries.
    Details,
    /// As `Events`, without the first `from` steps; the path is a run's. Passes orders on to its training.
    Remote { from: u64 },
}

/// Runs the reader process, which opens the file first. `leave` is called when the program that started it is gone.
///
/// # Errors
/// The receiver of the answers is gone.
pub fn serve(
    path: &Path,
    service: Service,
    mut requests: impl Read + Send + 'static,
    answers: impl Write,
    leave: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut answers = BufWriter::new(answers);
    let (asking, asked) = unbounded();
    thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            while let Ok(Some(request)) = wire::receive(&mut requests) {
                if asking.send(request).is_err() {
                    break;
                }
            }
            drop(asking);
            leave();
        })?;
    let (file, wanted) = match service {
        Service::Events => (path.to_owned(), Wanted::Events),
        Service::Details => (path.to_owned(), Wanted::Details),
        // The run being started, while an older file still has the name.
        Service::Remote { from } => (store::written_at(path), Wanted::Orders { run: path, from }),
    };
    let (feed, state, _thread) = match file::open_with_state(&file, wanted) {
        Ok(opened) => opened,
        Err(error) => return wire::send(&mut answers, &ReaderMessage::Failed(error.to_string())),
    };
    if service != Service::Details {
        let opened = OpenedRun {
            header: (*feed.header).clone(),
            origin: feed.origin,
            state,
        };
        wire::send(&mut answers, &ReaderMessage::Opened(Box::new(opened)))?;
    }
    send_events(&feed, &asked, answers)
}

/// Sends all events and answers until no more requests can come.
fn send_events(feed: &Feed, asked: &Receiver<ReaderRequest>, mut to: impl Write) -> io::Result<()> {
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
            recv(asked) -> request => match request {
                Ok(ReaderRequest::Query(query)) => pass(feed, query),
                Ok(ReaderRequest::Order(order)) => {
                    if let Some(controls) = &feed.controls {
                        // A training that has ended accepts no more orders; its end is an event.
                        let _ = controls.send(order);
                    }
                    None
                }
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

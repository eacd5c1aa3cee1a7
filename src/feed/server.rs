//! The process that reads a file for the program ([`super::client`]).

use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, never, select, unbounded};

use super::file::{self, Wanted};
use super::wire::{self, OpenedRun, ReaderMessage};
use super::{Feed, FeedEvent, detail};
use crate::query::Query;

/// Runs the reader process: opens the file, reports its contents, follows it to its end, and answers queries for
/// details also after that; if `only_details`, it only answers queries. `leave` is called when the program that started
/// it is gone.
///
/// # Errors
/// The receiver of the answers is gone.
pub fn serve(
    path: &Path,
    only_details: bool,
    mut requests: impl Read + Send + 'static,
    answers: impl Write,
    leave: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let mut answers = BufWriter::new(answers);
    let (asking, asked) = unbounded();
    thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            while let Ok(Some(query)) = wire::receive(&mut requests) {
                if asking.send(query).is_err() {
                    break;
                }
            }
            leave();
        })?;
    let wanted = if only_details {
        Wanted::Details
    } else {
        Wanted::Events
    };
    let (feed, state, _thread) = match file::open_with_state(path, wanted) {
        Ok(opened) => opened,
        Err(error) => return wire::send(&mut answers, &ReaderMessage::Failed(error.to_string())),
    };
    if !only_details {
        let opened = OpenedRun {
            header: (*feed.header).clone(),
            origin: feed.origin,
            state,
        };
        wire::send(&mut answers, &ReaderMessage::Opened(Box::new(opened)))?;
    }
    send_events(&feed, &asked, answers)
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

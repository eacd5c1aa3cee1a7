//! Queries about a training in this process, answered from its file by another process.
//!
//! Within one process, the HDF5 library treats all handles of a file as one: the recorder could not close it before the
//! last reader has. The newest totals of single parameters are not in the file; the training itself is asked for them
//! ([`LiveTotals`]).

use std::io;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};

use super::FeedEvent;
use super::client::{Pipes, ReaderProcess, SharedChild};
use super::detail::{self, DetailClient, DetailServer};
use super::live_totals::LiveTotals;
use super::wire::{ReaderMessage, ReaderRequest};
use crate::query::{self, Query, StepScope, Topic};
use crate::train::Inquiry;

/// Answers queries from the file of a training in this process. `reader` creates a command that
/// [`serve`](super::serve)s details of the file; it is started at the first query, so that the file is not read at all
/// unless details are wanted. `training` is asked for what only it knows.
///
/// # Errors
/// The thread cannot be started.
pub fn details(
    reader: impl Fn() -> Command + Send + 'static,
    training: Sender<Inquiry>,
) -> io::Result<(DetailClient, ReaderProcess)> {
    let (details, server) = detail::channel();
    let thread = thread::Builder::new().name("details".to_owned());
    let process = ReaderProcess::new(
        thread,
        SharedChild::default(),
        Duration::ZERO,
        move |child, quit| {
            pass_on(&reader, child, &server, LiveTotals::new(training), quit);
        },
    )?;
    Ok((details, process))
}

/// Forwards queries to the process and its answers back, each as they come: a later query aborts the work on the one
/// before, so the process must hear of it at once.
fn pass_on(
    reader: &impl Fn() -> Command,
    child: &SharedChild,
    server: &DetailServer,
    mut live_totals: LiveTotals,
    quit: &Receiver<()>,
) {
    let mut pipes: Option<Pipes<ReaderMessage>> = None;
    let mut waiting: Vec<Query> = Vec::new();
    loop {
        let nothing = never();
        let messages = pipes.as_ref().map_or(&nothing, |pipes| &pipes.messages);
        let works = select! {
            recv(server.requests) -> query => {
                let Ok(query) = query else { break };
                if pipes.is_none() {
                    pipes = child.start(reader()).ok();
                }
                let request = ReaderRequest::Query(query.clone());
                let asked = pipes.as_mut().is_some_and(|pipes| pipes.send(&request).is_ok());
                waiting.push(query);
                asked
            }
            recv(messages) -> message => match message {
                Ok(ReaderMessage::Event(FeedEvent::Answer { query, mut answer })) => {
                    if let Some(at) = waiting.iter().position(|it| *it == query) {
                        waiting.remove(at);
                    }
                    renew(&mut live_totals, &query, &mut answer, server, quit);
                    server.send(FeedEvent::Answer { query, answer });
                    true
                }
                _ => false,
            },
            recv(quit) -> _ => break,
        };
        // The training itself reports a broken file; the screen keeps what it has, and may ask again.
        if !works {
            child.end(pipes.take());
            for query in waiting.drain(..) {
                server.send(detail::no_answer(query));
            }
        }
    }
    child.end(pipes);
}

/// Adds what the training knows to an answer for the newest totals.
fn renew(
    live_totals: &mut LiveTotals,
    query: &Query,
    answer: &mut query::Answer,
    server: &DetailServer,
    quit: &Receiver<()>,
) {
    if let Topic::Unit { newest: true, .. } = query.topic
        && query.part == StepScope::Cursor
        && let query::Answer::Unit(unit) = answer
    {
        live_totals.renew(unit, server, quit);
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire;
    use super::*;
    use crate::train::inquiries;

    const LONG: Duration = Duration::from_secs(60);

    fn query(topic: Topic) -> Query {
        Query::about(topic, 0..9, 1)
    }

    fn frame(message: &impl serde::Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        wire::send(&mut bytes, message).unwrap();
        bytes
    }

    fn unknown(why: &str) -> query::Answer {
        query::Answer::Unknown(why.to_owned())
    }

    /// Receives the next answer, which must be to this query.
    #[track_caller]
    fn answered(details: &DetailClient, to: &Query) -> query::Answer {
        match details.answers.recv_timeout(LONG).unwrap() {
            FeedEvent::Answer { query, answer } => {
                assert_eq!(query, *to);
                *answer
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_reaches_the_process_while_it_answers_another() {
        let (long, next) = (query(Topic::Events), query(Topic::Tensors));
        let asked = |query: &Query| frame(&ReaderRequest::Query(query.clone()));
        let (first, second) = (asked(&long), asked(&next));
        let given_up = detail::event(long.clone(), query::Answer::Cancelled);
        let answers = [
            frame(&ReaderMessage::Event(given_up)),
            frame(&ReaderMessage::Event(detail::event(
                next.clone(),
                unknown("so"),
            ))),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answers");
        std::fs::write(&path, answers.concat()).unwrap();
        // It answers only after it has received both.
        let script = format!(
            "head -c {} > /dev/null; cat '{}'; cat > /dev/null",
            first.len() + second.len(),
            path.display()
        );
        let command = move || {
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        };
        let (details, reader) = details(command, inquiries().0).unwrap();
        details.requests.send(long.clone()).unwrap();
        details.requests.send(next.clone()).unwrap();
        assert_eq!(answered(&details, &long), query::Answer::Cancelled);
        assert_eq!(answered(&details, &next), unknown("so"));
        drop(reader);
    }

    #[test]
    fn every_query_is_answered_when_the_process_fails() {
        let (details, reader) = details(|| Command::new("false"), inquiries().0).unwrap();
        for topic in [Topic::Events, Topic::Tensors, Topic::Run] {
            let query = query(topic);
            details.requests.send(query.clone()).unwrap();
            let answer = answered(&details, &query);
            assert!(matches!(answer, query::Answer::Unknown(_)), "{answer:?}");
        }
        drop(reader);
    }
}

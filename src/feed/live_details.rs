//! Queries about a training in this process, answered from its file by another process.
//!
//! Within one process, the HDF5 library treats all handles of a file as one: the recorder could not close it before the
//! last reader has. The newest totals of single parameters are not in the file; the training itself is asked for them
//! ([`LiveTotals`]).

use std::collections::VecDeque;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};

use super::FeedEvent;
use super::detail::{self, DetailClient, DetailServer};
use super::live_totals::LiveTotals;
use super::process::piped;
use super::wire::{self, ReaderMessage, ReaderRequest};
use crate::query::{self, Analyst, Query, StepScope, Topic};
use crate::store::RunReader;
use crate::train::Inquiry;

/// The thread and the process that read the file of a training in this process. They end when this is dropped.
pub struct DetailReader {
    process: DetailProcess,
    quit: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for DetailReader {
    fn drop(&mut self) {
        drop(self.quit.take());
        // The process may be stuck in the library and deaf to requests.
        self.process.leave();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers queries from the file of a training in this process. `reader` creates a command that runs [`serve_details`]
/// on the file; it is started at the first query, so that the file is not read at all unless details are wanted.
/// `training` is asked for what only it knows.
///
/// # Errors
/// The thread cannot be started.
pub fn details(
    reader: impl Fn() -> Command + Send + 'static,
    training: Sender<Inquiry>,
) -> io::Result<(DetailClient, DetailReader)> {
    let (details, server) = detail::channel();
    let (quit, quitting) = bounded(0);
    let process = DetailProcess::default();
    let ours = process.clone();
    let thread = thread::Builder::new()
        .name("details".to_owned())
        .spawn(move || {
            pass_on(
                &reader,
                &ours,
                &server,
                LiveTotals::new(training),
                &quitting,
            );
        })?;
    let reader = DetailReader {
        process,
        quit: Some(quit),
        thread: Some(thread),
    };
    Ok((details, reader))
}

/// Forwards queries to the process and its answers back, each as they come: a later query aborts the work on the one
/// before, so the process must hear of it at once.
fn pass_on(
    reader: &impl Fn() -> Command,
    process: &DetailProcess,
    server: &DetailServer,
    mut live_totals: LiveTotals,
    quit: &Receiver<()>,
) {
    let mut pipes: Option<ReaderPipes> = None;
    loop {
        let nothing = never();
        let answers = pipes.as_ref().map_or(&nothing, |pipes| &pipes.answers);
        select! {
            recv(server.requests) -> query => {
                let Ok(query) = query else { break };
                if pipes.is_none() {
                    pipes = process.start(reader());
                }
                let asked = pipes.as_mut().is_some_and(|pipes| pipes.send(&query));
                if !asked {
                    give_up(pipes.take(), process, server);
                    server.send(detail::no_answer(query));
                }
            }
            recv(answers) -> answer => match answer {
                Ok(mut event) => {
                    if let Some(pipes) = &mut pipes {
                        pipes.waiting.pop_front();
                    }
                    renew(&mut live_totals, &mut event, server, quit);
                    server.send(event);
                }
                // The training itself reports a broken file; the screen keeps what it has, and may ask again.
                Err(_) => give_up(pipes.take(), process, server),
            },
            recv(quit) -> _ => break,
        }
    }
    process.end();
    if let Some(pipes) = pipes {
        pipes.end();
    }
}

/// Ends a process that has failed, and answers its pending queries with no answer.
fn give_up(pipes: Option<ReaderPipes>, process: &DetailProcess, server: &DetailServer) {
    process.end();
    let waiting = pipes.map_or_else(VecDeque::new, ReaderPipes::end);
    for query in waiting {
        server.send(detail::no_answer(query));
    }
}

/// Adds what the training knows to an answer for the newest totals.
fn renew(
    live_totals: &mut LiveTotals,
    event: &mut FeedEvent,
    server: &DetailServer,
    quit: &Receiver<()>,
) {
    if let FeedEvent::Answer { query, answer } = event
        && let Topic::Unit { newest: true, .. } = query.topic
        && query.part == StepScope::Cursor
        && let query::Answer::Unit(unit) = answer.as_mut()
    {
        live_totals.renew(unit, server, quit);
    }
}

/// The reading process. The thread that waits for its answers starts and ends it; dropping the reader kills it, and no
/// other is started after that.
#[derive(Clone, Default)]
struct DetailProcess(Arc<Mutex<ReaderState>>);

#[derive(Default)]
struct ReaderState {
    left: bool,
    child: Option<Child>,
}

impl DetailProcess {
    fn state(&self) -> MutexGuard<'_, ReaderState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, command: Command) -> Option<ReaderPipes> {
        let mut state = self.state();
        if state.left {
            return None;
        }
        let mut child = piped(command).ok()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        state.child = Some(child);
        let (requests, from) = pipes?;
        let (hearing, answers) = unbounded();
        let thread = thread::Builder::new()
            .name("answers".to_owned())
            .spawn(move || listen(from, &hearing));
        Some(ReaderPipes {
            requests,
            answers,
            waiting: VecDeque::new(),
            thread: thread.ok()?,
        })
    }

    fn leave(&self) {
        let mut state = self.state();
        state.left = true;
        if let Some(child) = &mut state.child {
            let _ = child.kill();
        }
    }

    fn end(&self) {
        let child = self.state().child.take();
        if let Some(mut child) = child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

struct ReaderPipes {
    requests: ChildStdin,
    /// Disconnected once the process has failed.
    answers: Receiver<FeedEvent>,
    /// Pending queries; each gets one answer, in order.
    waiting: VecDeque<Query>,
    thread: JoinHandle<()>,
}

impl ReaderPipes {
    /// Sends a query; returns whether that succeeded.
    fn send(&mut self, query: &Query) -> bool {
        let told = wire::send(&mut self.requests, &ReaderRequest::Ask(query.clone())).is_ok();
        if told {
            self.waiting.push_back(query.clone());
        }
        told
    }

    /// Returns the queries left unanswered by a process that has ended.
    fn end(self) -> VecDeque<Query> {
        let _ = self.thread.join();
        self.waiting
    }
}

/// Forwards the process's answers until it ends or sends an invalid one.
fn listen(from: ChildStdout, hearing: &Sender<FeedEvent>) {
    let mut from = BufReader::new(from);
    while let Ok(Some(ReaderMessage::Event(event))) = wire::receive(&mut from) {
        if hearing.send(event).is_err() {
            return;
        }
    }
}

/// Runs a process that reads details: answers queries until there are no more or the file cannot be read.
///
/// # Errors
/// The receiver of the answers is gone.
pub fn serve_details(
    path: &Path,
    mut requests: impl Read + Send + 'static,
    answers: impl Write,
) -> io::Result<()> {
    let mut answers = BufWriter::new(answers);
    // Read on a separate thread, so that long work notices when another query comes.
    let (asking, asked) = unbounded();
    thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            while let Ok(Some(ReaderRequest::Ask(query))) = wire::receive(&mut requests) {
                if asking.send(query).is_err() {
                    return;
                }
            }
        })?;
    let mut analyst = Analyst::new();
    let mut reader = None;
    for query in &asked {
        let cancelled = || !asked.is_empty();
        let answer = match &reader {
            Some(reader) => analyst.answer(reader, &query, &cancelled),
            None => RunReader::open(path)
                .and_then(|opened| analyst.answer(reader.insert(opened), &query, &cancelled)),
        };
        match answer {
            Ok(answer) => wire::send(
                &mut answers,
                &ReaderMessage::Event(detail::event(query, answer)),
            )?,
            Err(error) => {
                return wire::send(&mut answers, &ReaderMessage::Failed(error.to_string()));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::train::inquiries;

    const LONG: Duration = Duration::from_secs(60);

    fn query(topic: Topic) -> Query {
        Query {
            topic,
            part: StepScope::Window,
            steps: 0..9,
            columns: 1,
        }
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
        let (first, second) = (
            frame(&ReaderRequest::Ask(long.clone())),
            frame(&ReaderRequest::Ask(next.clone())),
        );
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

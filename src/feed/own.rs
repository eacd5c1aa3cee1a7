//! Questions about a training in this process, answered from its file by another process.
//!
//! Within one process the HDF5 library knows a file only once, however often it is opened: the recorder
//! could not close it before the last reader has. The newest totals of single parameters are not in the
//! file: the training itself is asked for them ([`Memory`]).

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};

use super::FeedEvent;
use super::detail::{self, Desk, Details};
use super::memory::Memory;
use super::process::piped;
use super::wire::{self, Answer, Request};
use crate::query::{self, Analyst, Part, Query, Topic};
use crate::store::RunReader;
use crate::train::Inquiry;

/// The thread, and the process behind it, that read the file of a training in this process. They end
/// when this is dropped.
pub struct DetailReader {
    process: Process,
    quit: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for DetailReader {
    fn drop(&mut self) {
        drop(self.quit.take());
        // It may be stuck in the library, and hear nothing.
        self.process.leave();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers from the file of a training in this process. `reader` makes a command that
/// [`serve_details`] of it, started at the first request, so that a run that nobody looks at closely is
/// not read at all. `training` is asked for what only it knows.
///
/// # Errors
/// The thread cannot be started.
pub fn details(
    reader: impl Fn() -> Command + Send + 'static,
    training: Sender<Inquiry>,
) -> io::Result<(Details, DetailReader)> {
    let (details, desk) = detail::channel();
    let (quit, quitting) = bounded(0);
    let process = Process::default();
    let ours = process.clone();
    let thread = thread::Builder::new()
        .name("details".to_owned())
        .spawn(move || pass_on(&reader, &ours, &desk, Memory::new(training), &quitting))?;
    let reader = DetailReader {
        process,
        quit: Some(quit),
        thread: Some(thread),
    };
    Ok((details, reader))
}

fn pass_on(
    reader: &impl Fn() -> Command,
    process: &Process,
    desk: &Desk,
    mut memory: Memory,
    quit: &Receiver<()>,
) {
    let mut pipes = None;
    loop {
        let query = select! {
            recv(desk.requests) -> query => query,
            recv(quit) -> _ => return,
        };
        let Ok(query) = query else { return };
        if pipes.is_none() {
            pipes = process.start(reader());
        }
        let mut answer = pipes.as_mut().and_then(|pipes| pipes.ask(&query));
        if let Some(FeedEvent::Answer { query, answer }) = &mut answer
            && let Topic::Unit { newest: true, .. } = query.topic
            && query.part == Part::Cursor
            && let query::Answer::Unit(unit) = answer.as_mut()
        {
            memory.renew(unit, desk, quit);
        }
        if answer.is_none() {
            // The training itself says what is wrong with its file; the screen keeps what it has, and
            // may ask again.
            pipes = None;
            process.end();
        }
        desk.send(answer.unwrap_or_else(|| detail::no_answer(query)));
    }
}

/// The process that reads. The thread that waits for its answers starts and ends it; whoever leaves
/// kills it, and then none is started any more.
#[derive(Clone, Default)]
struct Process(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    left: bool,
    child: Option<Child>,
}

impl Process {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, command: Command) -> Option<Pipes> {
        let mut state = self.state();
        if state.left {
            return None;
        }
        let mut child = piped(command).ok()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        state.child = Some(child);
        let (requests, answers) = pipes?;
        Some(Pipes {
            requests,
            answers: BufReader::new(answers),
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

struct Pipes {
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Pipes {
    /// The answer; none from a process that has failed.
    fn ask(&mut self, query: &Query) -> Option<FeedEvent> {
        wire::send(&mut self.requests, &Request::Ask(query.clone())).ok()?;
        match wire::receive(&mut self.answers) {
            Ok(Some(Answer::Event(event))) => Some(event),
            _ => None,
        }
    }
}

/// The life of a process that reads details: answers what it is asked until nobody asks any more, or
/// the file cannot be read.
///
/// # Errors
/// Nobody listens.
pub fn serve_details(
    path: &Path,
    mut requests: impl Read + Send + 'static,
    answers: impl Write,
) -> io::Result<()> {
    let mut answers = BufWriter::new(answers);
    // Read by a thread of its own, so that long work sees that something else is asked for.
    let (asking, asked) = unbounded();
    thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            while let Ok(Some(Request::Ask(query))) = wire::receive(&mut requests) {
                if asking.send(query).is_err() {
                    return;
                }
            }
        })?;
    let mut analyst = Analyst::new();
    let mut reader = None;
    for query in &asked {
        let interrupted = || !asked.is_empty();
        let answer = match &reader {
            Some(reader) => analyst.answer(reader, &query, &interrupted),
            None => RunReader::open(path)
                .and_then(|opened| analyst.answer(reader.insert(opened), &query, &interrupted)),
        };
        match answer {
            Ok(answer) => wire::send(&mut answers, &Answer::Event(detail::event(query, answer)))?,
            Err(error) => return wire::send(&mut answers, &Answer::Failed(error.to_string())),
        }
    }
    Ok(())
}

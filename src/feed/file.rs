//! The feed of a run file, finished or still being written.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never, select};

use super::detail::{self, DetailServer};
use super::{Feed, FeedEvent, Origin, orders};
use crate::query::Analyst;
use crate::record::Status;
use crate::store::{self, FIRST_LOOK, RunReader, RunState, StoreError};

/// The interval at which a file that is still being written is polled.
const POLL: Duration = Duration::from_millis(200);

/// The interval at which a file that another machine writes is opened again, and how often it is tried.
const REOPEN: Duration = Duration::from_secs(2);
const TRIES: u32 = 10;

/// A thread that reads a file, and one that passes orders on to its writer. They end when this is dropped.
pub struct FileFeed {
    quit: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for FileFeed {
    fn drop(&mut self) {
        // Closing the channel tells the threads to end, even a reader that is waiting to send.
        drop(self.quit.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Opens a run file and starts the thread that reads it.
///
/// # Errors
/// The file is not a run, or cannot be read.
pub fn open(path: &Path) -> Result<(Feed, FileFeed), StoreError> {
    open_with_state(path, Wanted::Orders { run: path, from: 0 })
        .map(|(feed, _, handle)| (feed, handle))
}

/// The part of a file's feed that is wanted. Each includes the ones below it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Passes orders on to the training that writes `run`. Events leave out the first `from` steps.
    Orders {
        run: &'a Path,
        from: u64,
    },
    Events,
    Details,
}

/// Like [`open`], but also returns the run's state on opening.
pub fn open_with_state(
    path: &Path,
    wanted: Wanted<'_>,
) -> Result<(Feed, RunState, FileFeed), StoreError> {
    let reader = RunReader::open(path)?;
    let state = reader.refresh()?;
    // A lost writer will be reported soon enough, and may come back.
    let origin = match state.status {
        Status::Running => Origin::Following,
        _ => Origin::Replay,
    };
    let header = Arc::new(reader.header().clone());
    let (events, receiver) = bounded(16);
    let (quit, quitting) = bounded(0);
    let io = StoreError::io(path);
    // Closed when the reader's thread has nothing more to send; the thread for orders then ends too.
    let (reading, read) = bounded::<()>(0);
    let (controls, messenger) = match (origin, wanted) {
        (Origin::Following, Wanted::Orders { run, .. }) => {
            let (controls, thread) = orders::spawn(run, events.clone(), read).map_err(io)?;
            (Some(controls), Some(thread))
        }
        _ => (None, None),
    };
    let from = match wanted {
        Wanted::Orders { from, .. } => Some(from),
        Wanted::Events => Some(0),
        Wanted::Details => None,
    };
    let (details, server) = detail::channel();
    let thread = thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || {
            // What was read during the run is not read again after its end.
            let mut analyst = Analyst::new();
            let followed = match from {
                Some(from) => follow(reader, &mut analyst, from, &events, &server, &quitting),
                None => Ok(reader),
            };
            match followed {
                Err(ReadStopped::Broken(error)) => {
                    let broken = FeedEvent::Broken(error.to_string());
                    select! {
                        send(events, broken) -> _ => {}
                        recv(quitting) -> _ => {}
                    }
                }
                Err(ReadStopped::Quit) => {}
                Ok(reader) => {
                    // Nothing more will happen in the run, but the screen may still ask for details.
                    drop((events, reading));
                    serve(&reader, &mut analyst, &server, &quitting);
                }
            }
        })
        .map_err(io)?;
    let feed = Feed {
        header,
        origin,
        events: receiver,
        controls,
        details: Some(details),
    };
    let handle = FileFeed {
        quit: Some(quit),
        threads: std::iter::once(thread).chain(messenger).collect(),
    };
    Ok((feed, state, handle))
}

enum ReadStopped {
    /// The feed was dropped.
    Quit,
    Broken(StoreError),
}

impl From<StoreError> for ReadStopped {
    fn from(error: StoreError) -> Self {
        Self::Broken(error)
    }
}

/// Sends everything there is from the step `sent` on, then, as long as the run goes on, whatever is new.
fn follow(
    mut reader: RunReader,
    analyst: &mut Analyst,
    mut sent: u64,
    events: &Sender<FeedEvent>,
    server: &DetailServer,
    quit: &Receiver<()>,
) -> Result<RunReader, ReadStopped> {
    let send = |event| {
        select! {
            send(events, event) -> sent => sent.map_err(|_| ReadStopped::Quit),
            recv(quit) -> _ => Err(ReadStopped::Quit),
        }
    };
    let mut requests = server.requests.clone();
    let mut started = false;
    let mut lost = false;
    let mut paused = false;
    let mut caught_up = false;
    let mut opened = Instant::now();
    let mut is_told = false;
    loop {
        let mut state = reader.refresh()?;
        if store::is_written_elsewhere(reader.path(), &state) {
            if !std::mem::replace(&mut is_told, true) {
                let what = "another machine writes this file: HDF5 sees no changes of it, so it is opened again every \
                            2 s; `lcascope open HOST:FILE` on that machine is better";
                send(FeedEvent::Notice(what.to_owned()))?;
            }
            if opened.elapsed() >= REOPEN {
                (reader, state) = open_again(reader, quit)?;
                opened = Instant::now();
            }
        }
        if !started && let Some(losses) = reader.start()? {
            started = true;
            send(FeedEvent::Start(losses))?;
        }
        let width = reader.resolution(&(sent..state.committed), FIRST_LOOK);
        while started && sent < state.committed {
            let steps = reader.next_summaries(sent..state.committed, width)?;
            sent = steps.last().map_or(state.committed, |last| last.end);
            send(FeedEvent::Steps(steps))?;
            // The screen may ask for details before a long file has been read to its end.
            for query in server.requests.try_iter().take(1) {
                server.answer(analyst, &reader, query)?;
            }
        }
        let is_first = !std::mem::replace(&mut caught_up, true);
        if state.status != Status::Running {
            if is_first {
                send(FeedEvent::CaughtUp)?;
            }
            let (status, message) = (state.status, state.message);
            return send(FeedEvent::Status { status, message }).map(|()| reader);
        }
        if std::mem::replace(&mut paused, state.paused) != state.paused {
            send(FeedEvent::Paused(paused))?;
        }
        if lost != state.writer_is_lost() {
            lost = !lost;
            send(FeedEvent::WriterLost(lost))?;
        }
        if is_first {
            send(FeedEvent::CaughtUp)?;
        }
        // A message or, when the feed is dropped, the closed channel ends the wait at once.
        select! {
            recv(requests) -> request => match request {
                Ok(query) => server.answer(analyst, &reader, query)?,
                // No more queries will come.
                Err(_) => requests = never(),
            },
            recv(quit) -> _ => return Err(ReadStopped::Quit),
            default(POLL) => {}
        }
    }
}

/// Opens a file again, whose old content the library would still know while it is open. Its writer may be in the middle
/// of a change, so that it is tried a few times.
fn open_again(
    reader: RunReader,
    quit: &Receiver<()>,
) -> Result<(RunReader, RunState), ReadStopped> {
    let path = reader.path().to_owned();
    drop(reader);
    let mut tries = 0;
    loop {
        let opened = RunReader::open(&path).and_then(|reader| {
            let state = reader.refresh()?;
            Ok((reader, state))
        });
        tries += 1;
        match opened {
            Err(_) if tries < TRIES => {}
            opened => return Ok(opened?),
        }
        if quit.recv_timeout(POLL) != Err(RecvTimeoutError::Timeout) {
            return Err(ReadStopped::Quit);
        }
    }
}

/// Answers queries until no more can come.
fn serve(reader: &RunReader, analyst: &mut Analyst, server: &DetailServer, quit: &Receiver<()>) {
    loop {
        let query = select! {
            recv(server.requests) -> query => query,
            recv(quit) -> _ => return,
        };
        let Ok(query) = query else { return };
        if let Err(error) = server.answer(analyst, reader, query) {
            return server.send(FeedEvent::Broken(error.to_string()));
        }
    }
}

//! The feed of a run file on another machine, read by a reader process there ([`super::server`]) over ssh.
//!
//! If the connection is lost, it is tried again until the screen is left; what was read is kept, and the new reader
//! continues where the last one stopped.

use std::io::{BufRead, BufReader};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, never, select};

use super::client::{OpenError, Pipes, ReaderProcess, SharedChild};
use super::detail::{self, DetailServer};
use super::process::Opening;
use super::wire::{self, Greeting, OpenedRun, ReaderMessage, ReaderRequest, RemoteRequest};
use super::{Feed, FeedEvent, Origin};
use crate::query::Query;
use crate::record::RunHeader;
use crate::text::{harmless, harmless_lines};
use crate::train::{self, Orders};

/// The exit code of ssh if the connection failed or was lost.
const CONNECTION: i32 = 255;

/// The shortest and the longest wait before the connection is tried again. It doubles from one attempt to the next.
const WAITS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(10)];

/// The time in which an order given just before leaving can still go through.
const LEAVING: Duration = Duration::from_secs(1);

/// The time for ssh to deliver its last words.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Most lines of ssh that are kept.
const WORDS: usize = 20;

/// A run file on another machine.
pub struct Remote {
    /// The machine, as people name it.
    pub host: String,
    /// The path there, in bytes.
    pub path: Vec<u8>,
    /// Makes the command that starts lcascope there; given true, one that may ask for a password.
    pub command: Box<dyn Fn(bool) -> Command + Send>,
}

/// A file on another machine being opened.
pub struct RemoteOpening {
    /// Disconnected once the first attempt to connect is over: nobody is asked for a password any more.
    pub connecting: Receiver<()>,
    pub opening: Opening,
}

impl Remote {
    /// Starts the thread that connects and then passes on what the reader sends.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn open(self) -> Result<RemoteOpening, OpenError> {
        let (ready, opened) = bounded(1);
        let (attempt, connecting) = bounded(0);
        let thread = thread::Builder::new().name("reader".to_owned());
        let child = SharedChild::default();
        let process = ReaderProcess::new(thread, child, LEAVING, move |child, quit| {
            let first = self.connect(child, 0, true);
            drop(attempt);
            match first {
                Ok((link, run)) => show(&self, run, link, child, &ready, quit),
                Err(Trouble::Lost(why)) => {
                    let why = format!("cannot reach {}: {why}", self.host);
                    let _ = ready.send(Err(OpenError::Unreachable(why)));
                }
                Err(Trouble::Final(error)) => drop(ready.send(Err(error))),
            }
            child.end::<ReaderMessage>(None);
        })?;
        Ok(RemoteOpening {
            connecting,
            opening: Opening {
                ready: opened,
                process,
            },
        })
    }

    /// Connects, and lets the reader there open the file.
    fn connect(
        &self,
        child: &SharedChild,
        from: u64,
        may_ask: bool,
    ) -> Result<(Link, OpenedRun), Trouble> {
        let (mut requests, mut answers, stderr) = child
            .run((self.command)(may_ask), Stdio::piped())
            .map_err(|error| Trouble::Final(OpenError::Unreachable(format!("ssh: {error}"))))?;
        let words = stderr.map_or_else(never, last_words);
        let request = RemoteRequest::Read {
            path: self.path.clone(),
            from,
        };
        let asked = Greeting::send(&mut requests, Greeting::CLIENT)
            .and_then(|()| wire::send(&mut requests, &request));
        // If ssh has ended, its words say why.
        let greeting = match asked {
            Ok(()) => Greeting::receive(&mut answers, Greeting::READER).unwrap_or_default(),
            Err(_) => None,
        };
        let Some(greeting) = greeting else {
            // Whatever runs there has nobody to talk to.
            drop((requests, answers));
            return Err(self.how_it_ended(child, &words));
        };
        greeting.check(&self.host).map_err(Trouble::Final)?;
        // Greetings of the other machine, not its last words.
        while words.try_recv().is_ok() {}
        let pipes = Pipes::new(requests, answers)
            .map_err(|error| Trouble::Final(OpenError::NoProcess(error.to_string())))?;
        match pipes.messages.recv() {
            Ok(ReaderMessage::Opened(run)) => Ok((Link { pipes, words }, *run)),
            Ok(ReaderMessage::Failed(why)) => {
                let why = format!("{}: {why}", self.host);
                Err(Trouble::Final(OpenError::Refused(why)))
            }
            _ => Err(self.how_it_ended(child, &words)),
        }
    }

    /// Waits for ssh to end, and says why it did.
    fn how_it_ended(&self, child: &SharedChild, words: &Receiver<String>) -> Trouble {
        let words = collect(words);
        match child.wait() {
            Ok(status) => match why_it_ended(status, &self.host, &words) {
                Ok(why) => Trouble::Lost(why),
                Err(why) => Trouble::Final(OpenError::Unreachable(why)),
            },
            Err(error) => Trouble::Lost(error.to_string()),
        }
    }
}

impl Greeting {
    /// Checks that this greeting, from `host`, is of our protocol.
    ///
    /// # Errors
    /// It is not.
    pub fn check(&self, host: &str) -> Result<(), OpenError> {
        let here = Self::ours();
        if self.protocol == here.protocol {
            return Ok(());
        }
        Err(OpenError::Unreachable(format!(
            "lcascope {} on {host} (protocol {}) and lcascope {} here (protocol {}) do not understand each other; \
             install the same version on both",
            harmless(&self.version),
            self.protocol,
            here.version,
            here.protocol
        )))
    }
}

/// Why there is no reader.
enum Trouble {
    /// The connection failed: it may work later.
    Lost(String),
    Final(OpenError),
}

/// A connection to a reader.
struct Link {
    pipes: Pipes<ReaderMessage>,
    /// The lines on ssh's standard error.
    words: Receiver<String>,
}

/// Says why ssh, or lcascope on the other machine, ended: the connection was lost, or, as the error, anything else. `words`
/// are the last lines on its standard error.
///
/// # Errors
/// The connection is not to blame.
pub fn why_it_ended(status: ExitStatus, host: &str, words: &str) -> Result<String, String> {
    let said = match words.trim() {
        "" => String::new(),
        words => format!(": {words}"),
    };
    match status.code() {
        None | Some(CONNECTION) => Ok(match words.trim() {
            "" => "the connection was closed".to_owned(),
            words => words.replace('\n', "; "),
        }),
        Some(126 | 127) => Err(format!(
            "cannot start lcascope on {host}{said}\nif it is installed there, name its path with --remote-program or \
             LCASCOPE_REMOTE_PROGRAM"
        )),
        // The usage error of a version that knows no other machines.
        Some(2) => Err(format!(
            "lcascope on {host} is too old to be read from another machine; install {} there",
            env!("CARGO_PKG_VERSION")
        )),
        Some(0) => Err(format!(
            "{host} ended the connection without an answer{said}"
        )),
        Some(code) => Err(format!("{host}, exit code {code}{said}")),
    }
}

/// Starts the thread that reads what ssh says. Another process of ssh may keep the pipe open for long.
fn last_words(stderr: ChildStderr) -> Receiver<String> {
    let (said, words) = bounded(WORDS);
    let listen = move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // The first lines say what went wrong; nobody reads more.
            let _ = said.try_send(line);
        }
    };
    // Without a thread, it stays unsaid.
    let _ = thread::Builder::new().name("ssh".to_owned()).spawn(listen);
    words
}

fn collect(words: &Receiver<String>) -> String {
    let mut lines = Vec::new();
    while let Ok(line) = words.recv_timeout(LAST_WORDS) {
        lines.push(line);
    }
    harmless_lines(&lines.join("\n"))
}

/// A record of what has been passed on, so that another reader can continue.
struct Shown<'a> {
    remote: &'a Remote,
    header: Arc<RunHeader>,
    events: Sender<FeedEvent>,
    server: &'a DetailServer,
    orders: &'a Orders,
    quit: &'a Receiver<()>,
    /// The end of the last step.
    end: u64,
    started: bool,
    caught_up: bool,
    /// The run is over.
    ended: bool,
    /// Queries without an answer yet.
    waiting: Vec<Query>,
}

/// Why the events stopped.
enum Stopped {
    /// The user has left, or nothing more will come.
    ForGood,
    Lost(String),
}

/// Presents the run as a feed, and forwards what the reader sends until the [`ReaderProcess`] is dropped.
fn show(
    remote: &Remote,
    opened: OpenedRun,
    link: Link,
    child: &SharedChild,
    ready: &Sender<Result<Feed, OpenError>>,
    quit: &Receiver<()>,
) {
    let (events, receiver) = bounded(16);
    let (details, server) = detail::channel();
    let (controls, orders) = train::controls();
    let header = Arc::new(opened.header);
    let feed = Feed {
        header: header.clone(),
        origin: opened.origin,
        events: receiver,
        controls: (opened.origin == Origin::Following).then_some(controls),
        details: Some(details),
    };
    if ready.send(Ok(feed)).is_err() {
        return;
    }
    let mut shown = Shown {
        remote,
        header,
        events,
        server: &server,
        orders: &orders,
        quit,
        end: 0,
        started: false,
        caught_up: false,
        ended: false,
        waiting: Vec::new(),
    };
    let mut link = Some(link);
    while let Some(now) = link.take() {
        if let Stopped::Lost(why) = shown.pass_on(now, child) {
            link = shown.connect_again(why, child);
        }
    }
}

impl Shown<'_> {
    /// Forwards queries, orders, events and answers until the connection ends.
    fn pass_on(&mut self, mut link: Link, child: &SharedChild) -> Stopped {
        let mut queries = self.server.requests.clone();
        let mut orders = self.orders.wakeups().clone();
        for query in &self.waiting {
            let _ = link.pipes.send(&ReaderRequest::Query(query.clone()));
        }
        loop {
            // If the reader is gone, the end of its messages shows it.
            select! {
                recv(queries) -> query => match query {
                    Ok(query) => {
                        let _ = link.pipes.send(&ReaderRequest::Query(query.clone()));
                        self.waiting.push(query);
                    }
                    Err(_) => queries = never(),
                },
                recv(orders) -> order => match order {
                    Ok(()) => drop(link.pipes.send(&ReaderRequest::Order(self.orders.newest()))),
                    Err(_) => orders = never(),
                },
                recv(link.pipes.messages) -> message => match message {
                    Ok(ReaderMessage::Event(event)) => {
                        if !self.take(event) {
                            return self.leave(link);
                        }
                    }
                    _ => return self.lost(link, child),
                },
                recv(self.quit) -> _ => return self.leave(link),
            }
        }
    }

    /// Passes on an order given just before, and lets the reader end.
    fn leave(&self, mut link: Link) -> Stopped {
        if self.orders.wakeups().try_recv().is_ok() {
            let _ = link.pipes.send(&ReaderRequest::Order(self.orders.newest()));
        }
        link.pipes.finish();
        Stopped::ForGood
    }

    fn lost(&mut self, link: Link, child: &SharedChild) -> Stopped {
        let trouble = self.remote.how_it_ended(child, &link.words);
        child.end(Some(link.pipes));
        match trouble {
            Trouble::Lost(why) => Stopped::Lost(why),
            Trouble::Final(error) => self.broken(&error.to_string()),
        }
    }

    fn broken(&self, why: &str) -> Stopped {
        let why = format!("{why}; the screen shows what was read before");
        self.send(FeedEvent::Broken(why));
        Stopped::ForGood
    }

    /// Passes an event on, unless it is known. Returns false if nothing more is wanted or will come.
    fn take(&mut self, event: FeedEvent) -> bool {
        let is_known = match &event {
            FeedEvent::Start(_) => std::mem::replace(&mut self.started, true),
            FeedEvent::Steps(steps) => {
                self.end = steps.last().map_or(self.end, |last| last.end);
                false
            }
            FeedEvent::CaughtUp => std::mem::replace(&mut self.caught_up, true),
            FeedEvent::Status { .. } => std::mem::replace(&mut self.ended, true),
            FeedEvent::Answer { query, .. } => {
                if let Some(at) = self.waiting.iter().position(|it| it == query) {
                    self.waiting.remove(at);
                }
                self.server.send(event);
                return true;
            }
            _ => false,
        };
        let is_last = matches!(event, FeedEvent::Broken(_));
        (is_known || self.send(event)) && !is_last
    }

    /// Returns false if the receiver is gone.
    fn send(&self, event: FeedEvent) -> bool {
        select! {
            send(self.events, event) -> sent => sent.is_ok(),
            recv(self.quit) -> _ => false,
        }
    }

    /// Connects again, however often it takes; none if the user leaves before that, or the run is not there any more.
    fn connect_again(&mut self, why: String, child: &SharedChild) -> Option<Link> {
        let [mut wait, longest] = WAITS;
        if !(self.send(FeedEvent::Controllable(false)) && self.send(FeedEvent::Disconnected(why))) {
            return None;
        }
        loop {
            if self.quit.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                return None;
            }
            wait = longest.min(2 * wait);
            let trouble = match self.remote.connect(child, self.end, false) {
                Ok((link, run)) if run.header == *self.header => {
                    let known = [
                        FeedEvent::Reconnected,
                        FeedEvent::Paused(run.state.paused),
                        FeedEvent::WriterLost(run.state.writer_is_lost()),
                    ];
                    // The end of a run has been reported with everything else.
                    let known = known.into_iter().take(if self.ended { 1 } else { 3 });
                    return known.into_iter().all(|it| self.send(it)).then_some(link);
                }
                Ok(_) => {
                    let what = format!("the file on {} is another run now", self.remote.host);
                    Trouble::Final(OpenError::Refused(what))
                }
                Err(trouble) => trouble,
            };
            child.end::<ReaderMessage>(None);
            match trouble {
                Trouble::Lost(why) => {
                    if !self.send(FeedEvent::Disconnected(why)) {
                        return None;
                    }
                }
                Trouble::Final(error) => {
                    self.broken(&error.to_string());
                    return None;
                }
            }
        }
    }
}

//! The training's end of the control socket: a thread that waits for lines.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::socket::{BoundSocket, peer_uid};
use super::{MAX_LINE, ORDERS, Progress, socket_path};
use crate::text::{harmless, steps_of};
use crate::train::{Control, Controls};

/// Most connections at a time. One more replaces the one that has been silent longest.
const MAX_CLIENTS: usize = 64;

/// The wait after a connection that cannot be accepted.
const SHORTAGE: Duration = Duration::from_millis(200);

/// Most bytes read from a client before the others have their turn.
const TURN: usize = 512;

/// The thread's links to its training.
struct ServerLinks {
    /// Channel for orders.
    controls: Controls,
    progress: Arc<Progress>,
    planned_steps: u64,
}

/// A socket that takes orders until the server is dropped.
pub struct Server {
    /// Closing it ends the thread.
    end: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Creates the socket beside the run file and starts the thread that serves it.
    ///
    /// # Errors
    /// The socket cannot be created. The path in the error is the socket's.
    pub fn spawn(
        run: &Path,
        controls: Controls,
        progress: Arc<Progress>,
        planned_steps: u64,
    ) -> Result<Self, (PathBuf, io::Error)> {
        let path = socket_path(run);
        let served = ServerLinks {
            controls,
            progress,
            planned_steps,
        };
        Self::spawn_at(&path, served).map_err(|error| (path, error))
    }

    fn spawn_at(path: &Path, served: ServerLinks) -> io::Result<Self> {
        let bound = BoundSocket::bind(path)?;
        let (ending, end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let thread = thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || serve(&bound, &ending, &served))?;
        Ok(Self {
            end: Some(end),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs the thread: one `poll` over the socket, its clients, and the pipe that signals the end.
fn serve(bound: &BoundSocket, ending: &OwnedFd, served: &ServerLinks) {
    let mut clients: Vec<Client> = Vec::new();
    let mut handler = OrderHandler {
        served,
        stopping: false,
    };
    loop {
        let mut fds = vec![
            PollFd::new(ending, PollFlags::IN),
            PollFd::new(&bound.listener, PollFlags::IN),
        ];
        fds.extend(
            clients
                .iter()
                .map(|c| PollFd::new(&c.stream, c.awaited_events())),
        );
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // Without `poll` there is nothing to wait for; the training goes on without orders.
            Err(_) => return,
        }
        let happened: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
        drop(fds);
        if !happened[0].is_empty() {
            return;
        }
        // Clients ordered by their last words: the first one gives way.
        let mut silent = Vec::new();
        let mut spoke = Vec::new();
        for (mut client, events) in clients.into_iter().zip(&happened[2..]) {
            if events.is_empty() {
                silent.push(client);
            } else if client.serve(&mut handler).is_ok() {
                spoke.push(client);
            }
        }
        silent.append(&mut spoke);
        clients = silent;
        if !happened[1].is_empty() {
            match bound.listener.accept() {
                Ok((stream, _)) => clients.extend(Client::accept(stream)),
                Err(error) if may_try_again(&error) => {}
                // The system lacks something, such as descriptors: wait instead of spinning.
                Err(_) => thread::sleep(SHORTAGE),
            }
            if clients.len() > MAX_CLIENTS {
                clients.remove(0);
            }
        }
    }
}

/// A client's connection.
struct Client {
    stream: UnixStream,
    /// The start of an incomplete line.
    line: Vec<u8>,
    /// Whether the rest of an overlong line is being skipped.
    skips: bool,
    /// Answers not yet taken by the client. Until they are, nothing more is read from it.
    answer: Vec<u8>,
}

impl Client {
    /// Admits a client of this user or root; others are told why and rejected.
    fn accept(mut stream: UnixStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        let own = rustix::process::geteuid().as_raw();
        if !peer_uid(&stream).is_some_and(|uid| uid == own || uid == 0) {
            let _ = stream.write(b"error this training belongs to another user\n");
            return None;
        }
        Some(Self {
            stream,
            line: Vec::new(),
            skips: false,
            answer: Vec::new(),
        })
    }

    /// Returns the event to wait for.
    fn awaited_events(&self) -> PollFlags {
        if self.answer.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::OUT
        }
    }

    /// Reads what the client has sent, and sends it what it can take. An error ends the connection.
    fn serve(&mut self, handler: &mut OrderHandler) -> io::Result<()> {
        self.give()?;
        if !self.answer.is_empty() {
            return Ok(());
        }
        let mut bytes = [0; TURN];
        let read = match self.stream.read(&mut bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => read,
            Err(error) if may_try_again(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        for &byte in &bytes[..read] {
            self.push_byte(byte, handler);
        }
        self.give()
    }

    fn push_byte(&mut self, byte: u8, handler: &mut OrderHandler) {
        if byte == b'\n' {
            let line = std::mem::take(&mut self.line);
            if !std::mem::take(&mut self.skips) {
                let answer = handler.answer(&String::from_utf8_lossy(&line));
                self.send_line(&answer);
            }
        } else if self.line.len() < MAX_LINE {
            self.line.push(byte);
        } else if !std::mem::replace(&mut self.skips, true) {
            self.send_line(&format!("error a line may have at most {MAX_LINE} bytes"));
        }
    }

    fn send_line(&mut self, answer: &str) {
        self.answer.extend(answer.bytes());
        self.answer.push(b'\n');
    }

    fn give(&mut self) -> io::Result<()> {
        while !self.answer.is_empty() {
            match self.stream.write(&self.answer) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(given) => drop(self.answer.drain(..given)),
                Err(error) if may_try_again(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn may_try_again(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// Answers the lines of clients.
struct OrderHandler<'a> {
    served: &'a ServerLinks,
    /// Whether a client has ordered a stop.
    stopping: bool,
}

impl OrderHandler<'_> {
    /// Returns one line in answer to a line.
    fn answer(&mut self, line: &str) -> String {
        let line = line.trim();
        let paused = self.served.progress.paused.load(Ordering::Relaxed);
        if line == "status" {
            let word = match (self.stopping, paused) {
                (true, _) => "stopping",
                (false, true) => "paused",
                (false, false) => "running",
            };
            return self.status_line(word);
        }
        let Some((_, order)) = ORDERS.iter().find(|(name, _)| *name == line) else {
            let line = harmless(line);
            return format!("error unknown order `{line}` (status, pause, resume, stop)");
        };
        // Sent even if it seems redundant: an earlier order may still be in flight.
        if self.served.controls.send(*order).is_err() {
            return "error the training has ended".to_owned();
        }
        self.stopping |= *order == Control::Stop;
        self.status_line(match (order, paused) {
            (Control::Pause, false) => "pausing",
            (Control::Pause, true) => "already paused",
            (Control::Resume, true) => "resuming",
            (Control::Resume, false) => "not paused",
            (Control::Stop, _) => "stopping",
        })
    }

    fn status_line(&self, word: &str) -> String {
        let steps = self.served.progress.steps.load(Ordering::Relaxed);
        format!("ok {word}, {}", steps_of(steps, self.served.planned_steps))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};

    use tempfile::TempDir;

    use super::*;
    use crate::control::socket::connect;
    use crate::train::{self, Orders};

    struct Fixture {
        folder: TempDir,
        server: Server,
        progress: Arc<Progress>,
        orders: Orders,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let (controls, orders) = train::controls();
        let progress = Progress::new();
        progress.steps_done(7);
        let run = folder.path().join("run.h5");
        let server = Server::spawn(&run, controls, progress.clone(), 9).unwrap();
        Fixture {
            folder,
            server,
            progress,
            orders,
        }
    }

    struct Peer(BufReader<UnixStream>);

    impl Fixture {
        fn peer(&self) -> Peer {
            let stream = connect(&self.folder.path().join("run.h5.sock")).unwrap();
            // Only a hang takes this long.
            let limit = Some(Duration::from_secs(60));
            stream.set_read_timeout(limit).unwrap();
            stream.set_write_timeout(limit).unwrap();
            Peer(BufReader::new(stream))
        }
    }

    impl Peer {
        fn send(&mut self, bytes: &[u8]) {
            self.0.get_mut().write_all(bytes).unwrap();
        }

        fn answer(&mut self) -> String {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            line
        }

        fn ask(&mut self, line: &str) -> String {
            self.send(format!("{line}\n").as_bytes());
            self.answer()
        }
    }

    #[test]
    fn orders_are_passed_on_and_answered() {
        let it = fixture();
        let mut peer = it.peer();
        assert_eq!(peer.ask("status"), "ok running, 7 of 9 steps\n");
        assert_eq!(peer.ask(" pause\r"), "ok pausing, 7 of 9 steps\n");
        assert_eq!(it.orders.newest(), Control::Pause);
        it.progress.paused(true);
        assert_eq!(peer.ask("status"), "ok paused, 7 of 9 steps\n");
        assert_eq!(peer.ask("pause"), "ok already paused, 7 of 9 steps\n");
        assert_eq!(peer.ask("resume"), "ok resuming, 7 of 9 steps\n");
        assert_eq!(it.orders.newest(), Control::Resume);
        it.progress.paused(false);
        assert_eq!(peer.ask("resume"), "ok not paused, 7 of 9 steps\n");
        assert_eq!(peer.ask("stop"), "ok stopping, 7 of 9 steps\n");
        assert_eq!(it.peer().ask("status"), "ok stopping, 7 of 9 steps\n");
        assert_eq!(it.orders.newest(), Control::Stop);
        drop(it.orders);
        assert_eq!(peer.ask("stop"), "error the training has ended\n");
        drop(it.server);
        assert_eq!(peer.answer(), "", "the end of the run closes connections");
    }

    #[test]
    fn invalid_lines_get_an_error_and_others_are_unaffected() {
        let it = fixture();
        let mut peer = it.peer();
        assert!(peer.ask("").starts_with("error unknown order `` (status"));
        assert!(
            peer.ask("hel\u{1b}[2Jp")
                .starts_with("error unknown order `hel\u{fffd}[2Jp`")
        );
        peer.send(b"\xff\xfe\n");
        assert!(peer.answer().starts_with("error "));
        peer.send(&vec![b'x'; 1 << 20]);
        peer.send(b"stop\nstatus\n");
        assert_eq!(peer.answer(), "error a line may have at most 200 bytes\n");
        assert_eq!(peer.answer(), "ok running, 7 of 9 steps\n");
        assert!(it.orders.wakeups().is_empty());
        // Two lines at once, then one in two parts.
        peer.send(b"status\nsta");
        peer.send(b"tus\n");
        assert_eq!(peer.answer(), peer.answer());
    }

    #[test]
    fn clients_that_do_not_write_or_read_block_no_other() {
        let it = fixture();
        let _silent: Vec<Peer> = (0..MAX_CLIENTS).map(|_| it.peer()).collect();
        let mut last = it.peer();
        assert_eq!(last.ask("status"), "ok running, 7 of 9 steps\n");

        // A client that sends requests endlessly and takes no answers.
        let deaf = it.peer();
        let stream = deaf.0.get_ref();
        stream.set_nonblocking(true).unwrap();
        loop {
            let Err(error) = (&*stream).write(&b"status\n".repeat(1000)) else {
                continue;
            };
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            // Once both directions are full nothing moves; others are still served.
            for _ in 0..100 {
                assert_eq!(it.peer().ask("status"), "ok running, 7 of 9 steps\n");
            }
            if (&*stream).write(b"status\n").is_err() {
                break;
            }
        }
        assert_eq!(last.ask("status"), "ok running, 7 of 9 steps\n");
        drop(it.server);
    }
}

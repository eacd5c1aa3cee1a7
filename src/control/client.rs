//! The client's end of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{MAX_LINE, socket, socket_path};
use crate::text::harmless;

/// Most time for an answer, which only has to wait for the other process to wake up. For the whole answer, not for each
/// byte.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Refused, in the training's own words.
    #[error("{0}")]
    Refused(String),
    /// The training has received the order, and will obey when it continues.
    #[error(
        "the training received the order but did not answer within {} seconds; it obeys when it \
         continues (a program suspended with Ctrl-Z continues with `fg` in its shell)",
        PATIENCE.as_secs()
    )]
    Silent,
    #[error("the training has ended")]
    Ended,
    #[error("the control socket: {0}")]
    Io(#[from] io::Error),
}

/// A connection to a running training.
pub struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Connects to the training that writes the run file.
    ///
    /// # Errors
    /// There is no socket, nobody listens on it, or it belongs to another user. The path in the error is the socket's.
    pub fn open(run: &Path) -> Result<Self, (PathBuf, io::Error)> {
        // The socket is beside the file itself, not beside a link to it.
        let run = run.canonicalize().unwrap_or_else(|_| run.to_owned());
        let path = socket_path(&run);
        let connect = || {
            let stream = socket::connect(&path)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Self {
                stream: BufReader::new(stream),
            })
        };
        connect().map_err(|error| (path.clone(), error))
    }

    /// Sends a line and returns the answer without its `ok`.
    ///
    /// # Errors
    /// The training refuses, does not answer in time, or has ended.
    pub fn ask(&mut self, line: &str) -> Result<String, AskError> {
        let asked = (self.stream.get_mut()).write_all(format!("{line}\n").as_bytes());
        match asked {
            // A server that rejects a client says why before it reads anything.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            asked => asked.map_err(ended_error)?,
        }
        let answer = self.line(Instant::now() + PATIENCE).map_err(ended_error)?;
        match answer.split_once(' ') {
            Some(("ok", rest)) => Ok(rest.to_owned()),
            Some(("error", rest)) => Err(AskError::Refused(rest.to_owned())),
            _ => Err(AskError::Refused(format!("invalid answer: {answer}"))),
        }
    }

    /// Reads the next line, which must be complete by `until`: the other end may send a byte at a time.
    fn line(&mut self, until: Instant) -> io::Result<String> {
        let mut line = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.get_ref().set_read_timeout(Some(left))?;
            let bytes = match self.stream.fill_buf() {
                Ok([]) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let end = bytes.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            line.extend_from_slice(&bytes[..end.unwrap_or(taken)]);
            self.stream.consume(taken);
            if end.is_some() || line.len() > 2 * MAX_LINE {
                line.truncate(2 * MAX_LINE);
                return Ok(harmless(&String::from_utf8_lossy(&line)));
            }
        }
    }

    /// Returns true if the other end has closed the connection: the run has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(self.stream.get_ref(), PollFlags::IN)];
        // The server never speaks first: anything readable is the end.
        poll(&mut fds, Some(&now)).is_ok() && !fds[0].revents().is_empty()
    }

    /// Waits for at most this long for the run to end and its file to be closed; returns true if it has ended.
    ///
    /// # Errors
    /// The connection failed in another way.
    pub fn ends_within(&mut self, patience: Duration) -> io::Result<bool> {
        let until = Instant::now() + patience;
        loop {
            // A proper server never speaks first; other lines are ignored.
            match self.line(until) {
                Ok(_) => {}
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(false),
                    io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => return Ok(true),
                    _ => return Err(error),
                },
            }
        }
    }
}

/// Converts the error of a failed exchange.
fn ended_error(error: io::Error) -> AskError {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => AskError::Ended,
        _ => AskError::Io(error),
    }
}

/// The number of steps in an answer: 123 in `running, 123 of 400 steps`.
#[must_use]
pub fn steps_in(answer: &str) -> Option<u64> {
    let (_, rest) = answer.split_once(", ")?;
    rest.split(' ').next()?.parse().ok()
}

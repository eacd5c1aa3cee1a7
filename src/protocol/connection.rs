//! The connection to the program: messages over a socket, vectors in shared memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::thread;

use crossbeam_channel::{Receiver, bounded};
use rustix::net::sockopt;

use super::message::{ClientMessage, ServerMessage};

/// Longest message, in bytes.
const LONGEST_MESSAGE: u64 = 64 << 20;

/// A reason why the exchange with the program cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "the program that trains the model has ended without closing the run (killed, or crashed)"
    )]
    Gone,
    #[error("a message that is not understood: {0}")]
    Unclear(String),
    #[error("a message out of turn: {0}")]
    OutOfTurn(&'static str),
    #[error("the connection: {0}")]
    Io(#[from] io::Error),
    /// The program reports an error of its own.
    #[error("{0}")]
    Reported(String),
}

/// A handle of the connection to the program, the *client* of the protocol. Handles made by
/// [`try_clone`](Self::try_clone) share the connection.
pub struct Client {
    /// Messages, or why there are no more.
    messages: Receiver<Result<ClientMessage, ClientError>>,
    socket: UnixStream,
}

impl Client {
    /// Takes the socket on standard input, and starts the thread that reads it. The thread ends with the connection.
    ///
    /// # Errors
    /// Standard input is not a socket, or no thread can be started.
    pub fn on_standard_input() -> io::Result<Self> {
        let stdin = io::stdin();
        let kind = sockopt::socket_type(stdin.as_fd())?;
        if kind != rustix::net::SocketType::STREAM {
            return Err(io::Error::other("not a stream socket"));
        }
        Self::new(UnixStream::from(stdin.as_fd().try_clone_to_owned()?))
    }

    /// Starts the thread that reads a socket.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(socket: UnixStream) -> io::Result<Self> {
        let (sender, messages) = bounded(1);
        let mut lines = BufReader::new(socket.try_clone()?);
        thread::Builder::new()
            .name("client".to_owned())
            .spawn(move || {
                loop {
                    let message = next_message(&mut lines);
                    let ends = message.is_err();
                    // Either nobody receives any more, or no more messages will come.
                    if sender.send(message).is_err() || ends {
                        return;
                    }
                }
            })?;
        Ok(Self { messages, socket })
    }

    /// Returns another handle of the same connection.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            messages: self.messages.clone(),
            socket: self.socket.try_clone()?,
        })
    }

    /// Returns the channel of messages. Each goes to the handle that receives first; after an error, the channel is
    /// disconnected.
    #[must_use]
    pub fn messages(&self) -> &Receiver<Result<ClientMessage, ClientError>> {
        &self.messages
    }

    /// Waits for the next message.
    ///
    /// # Errors
    /// The program is gone, sent something that is not a message, or reports an error.
    pub fn receive(&self) -> Result<ClientMessage, ClientError> {
        match self.messages.recv().unwrap_or(Err(ClientError::Gone))? {
            ClientMessage::Error(error) => Err(ClientError::Reported(error.reason)),
            message => Ok(message),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The program is gone.
    pub fn send(&self, message: &ServerMessage) -> Result<(), ClientError> {
        let mut line = serde_json::to_vec(message).map_err(io::Error::other)?;
        line.push(b'\n');
        (&self.socket).write_all(&line).map_err(|error| {
            if error.kind() == io::ErrorKind::BrokenPipe {
                ClientError::Gone
            } else {
                error.into()
            }
        })
    }
}

fn next_message(lines: &mut BufReader<UnixStream>) -> Result<ClientMessage, ClientError> {
    let mut line = Vec::new();
    let length = lines
        .by_ref()
        .take(LONGEST_MESSAGE)
        .read_until(b'\n', &mut line);
    match length {
        // A program that dies with unread messages resets the connection.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(ClientError::Gone),
        Err(error) => Err(error.into()),
        Ok(_) if line.last() != Some(&b'\n') && line.len() as u64 == LONGEST_MESSAGE => {
            Err(ClientError::Unclear("it is too long".to_owned()))
        }
        Ok(_) if line.last() != Some(&b'\n') => Err(ClientError::Gone),
        Ok(_) => {
            serde_json::from_slice(&line).map_err(|error| ClientError::Unclear(error.to_string()))
        }
    }
}

/// The vectors shared with the program, one after another in a file: the parameters `[P]`, the gradient `[P]` and, if
/// the allocation is split by class, the gradient by class `[C, P]`.
pub struct SharedMemory {
    file: File,
    params: usize,
}

/// A vector in the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedVector {
    Params,
    Gradient,
    ClassGradient,
}

impl SharedMemory {
    /// Opens the inherited descriptor, for vectors of `params` numbers.
    ///
    /// # Errors
    /// There is no such descriptor, or it is not a regular file.
    pub fn inherited(descriptor: u32, params: usize) -> io::Result<Self> {
        let file = File::open(format!("/dev/fd/{descriptor}"))?;
        if file.metadata()?.is_file() {
            Ok(Self::new(file, params))
        } else {
            Err(io::Error::other("not a regular file"))
        }
    }

    /// Takes a file as the shared memory.
    #[must_use]
    pub fn new(file: File, params: usize) -> Self {
        Self { file, params }
    }

    /// Returns another handle of the same memory.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.file.try_clone()?, self.params))
    }

    /// Copies a vector.
    ///
    /// # Errors
    /// The file ends before the vector does.
    pub fn read(&self, vector: SharedVector, into: &mut [f32]) -> io::Result<()> {
        let before = match vector {
            SharedVector::Params => 0,
            SharedVector::Gradient => 1,
            SharedVector::ClassGradient => 2,
        };
        let at = (before * self.params * size_of::<f32>()) as u64;
        self.file
            .read_exact_at(bytemuck::cast_slice_mut(into), at)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => io::Error::other(format!(
                    "the shared memory ends before byte {}",
                    at + size_of_val(into) as u64
                )),
                _ => error,
            })
    }
}

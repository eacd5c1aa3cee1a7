//! The protocol between the program and its reader process: frames of a length (four bytes, little endian) and that
//! many bytes of postcard. The end of its input ends the reader.
//!
//! A reader on another machine may be of another version. There, each end first says in a [`Greeting`] which protocol
//! it speaks, and the program says in a [`RemoteRequest`] what it wants.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{FeedEvent, Origin};
use crate::query::Query;
use crate::record::RunHeader;
use crate::store::RunState;
use crate::train::Control;

/// Longest frame: a damaged file may make the reader send nonsense. A header with 50 million rows of data fits.
const LONGEST_FRAME: u32 = 256 << 20;

/// The number of the protocol. A change of any message, or of a type in one, needs another number.
pub const PROTOCOL: u32 = 1;

/// A request to the reader.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum ReaderRequest {
    Query(Query),
    /// To pass on to the training, if the reader passes orders on.
    Order(Control),
}

/// A request to a reader on another machine. Paths and arguments are bytes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoteRequest {
    /// The run in a file, without its first `from` steps.
    Read { path: Vec<u8>, from: u64 },
    /// The answer about the file at a path to the question that follows.
    Answer(Vec<u8>),
    /// The output of the program with these arguments.
    Run(Vec<Vec<u8>>),
}

/// The first line of each end of a connection to another machine, such as `lcascope-reader protocol 1 version 0.1.0`.
/// All versions understand it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    pub protocol: u32,
    pub version: String,
}

/// Most bytes before a greeting: the shell there may print something first.
const MOST_NOISE: u64 = 64 << 10;

impl Greeting {
    pub const READER: &str = "lcascope-reader";
    pub const CLIENT: &str = "lcascope-client";

    /// Returns this program's.
    #[must_use]
    pub fn ours() -> Self {
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// Sends this program's greeting as `who`.
    ///
    /// # Errors
    /// The receiver is gone.
    pub fn send(to: &mut impl Write, who: &str) -> io::Result<()> {
        let Self { protocol, version } = Self::ours();
        to.write_all(format!("{who} protocol {protocol} version {version}\n").as_bytes())?;
        to.flush()
    }

    /// Waits for the greeting of `who` and reads nothing after it. Anything before it is skipped. `None` if there is
    /// none.
    ///
    /// # Errors
    /// The stream cannot be read.
    #[expect(clippy::unbuffered_bytes, reason = "a buffer would take what follows")]
    pub fn receive(from: &mut impl Read, who: &str) -> io::Result<Option<Self>> {
        let mut line = Vec::new();
        for byte in from.take(MOST_NOISE).bytes() {
            match byte? {
                b'\n' => match Self::in_line(&String::from_utf8_lossy(&line), who) {
                    Some(greeting) => return Ok(Some(greeting)),
                    None => line.clear(),
                },
                byte => line.push(byte),
            }
        }
        Ok(None)
    }

    /// Returns the greeting at the end of a line. Later versions may add words.
    fn in_line(line: &str, who: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(who)?;
        match rest.split_whitespace().collect::<Vec<_>>()[..] {
            ["protocol", protocol, "version", version, ..] => Some(Self {
                protocol: protocol.parse().ok()?,
                version: version.to_owned(),
            }),
            _ => None,
        }
    }
}

/// A message from the reader. The first is [`OpenedRun`](ReaderMessage::Opened) or [`Failed`](ReaderMessage::Failed);
/// events follow.
#[derive(Debug, Serialize, Deserialize)]
pub enum ReaderMessage {
    Opened(Box<OpenedRun>),
    /// The file is not a run: the reason.
    Failed(String),
    Event(FeedEvent),
}

/// A run file as it was on opening.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenedRun {
    pub header: RunHeader,
    pub origin: Origin,
    pub state: RunState,
}

/// Sends one message.
///
/// # Errors
/// The message is too long, or the receiver is gone.
pub fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len())
        .ok()
        .filter(|&length| length <= LONGEST_FRAME)
        .ok_or_else(|| io::Error::other("message too long"))?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(&bytes)?;
    to.flush()
}

/// Says that the file is not a run.
///
/// # Errors
/// The receiver is gone.
pub fn refuse(to: &mut impl Write, why: String) -> io::Result<()> {
    send(to, &ReaderMessage::Failed(why))
}

/// Waits for a message; `None` at the end of the stream.
///
/// # Errors
/// The bytes are not a message.
pub fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = u32::from_le_bytes(length);
    if length > LONGEST_FRAME {
        return Err(io::Error::other("message too long"));
    }
    // Memory grows with the bytes received, not with the length announced.
    let mut bytes = Vec::new();
    from.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Ok(None);
    }
    postcard::from_bytes(&bytes)
        .map(Some)
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Query, Topic};
    use crate::record::{LayerSummary, Losses, Status, StepSummary};

    #[test]
    fn messages_arrive_as_they_were_sent() {
        let mut pipe = Vec::new();
        let losses = Losses {
            train: 1.5,
            test: f64::NAN,
            ..Losses::default()
        };
        send(&mut pipe, &ReaderMessage::Event(FeedEvent::Start(losses))).unwrap();
        let status = Status::Stopped;
        let message = "é".to_owned();
        send(
            &mut pipe,
            &ReaderMessage::Event(FeedEvent::Status { status, message }),
        )
        .unwrap();
        let mut pipe = pipe.as_slice();
        match receive(&mut pipe).unwrap().unwrap() {
            ReaderMessage::Event(FeedEvent::Start(losses)) => {
                assert_eq!(losses.train, 1.5);
                assert!(losses.test.is_nan());
            }
            other => panic!("{other:?}"),
        }
        match receive(&mut pipe).unwrap().unwrap() {
            ReaderMessage::Event(FeedEvent::Status { status, message }) => {
                assert_eq!((status, message.as_str()), (Status::Stopped, "é"));
            }
            other => panic!("{other:?}"),
        }
        assert!(receive::<ReaderMessage>(&mut pipe).unwrap().is_none());

        let mut pipe = Vec::new();
        let steps = 3..u64::MAX;
        let request = Query::about(Topic::Steps { width: 32 }, steps, 1);
        send(&mut pipe, &request).unwrap();
        assert_eq!(receive(&mut pipe.as_slice()).unwrap(), Some(request));
    }

    /// Another version may be at the other end: a change of what is sent needs another protocol.
    #[test]
    fn the_bytes_are_those_of_this_protocol() {
        let mut bytes = Vec::new();
        let state = RunState {
            status: Status::Running,
            message: "m".to_owned(),
            committed: 1,
            paused: true,
            silent: 0.5,
            held: Some(true),
            marked: false,
            host: "h".to_owned(),
            process: 2,
        };
        let opened = OpenedRun {
            header: RunHeader::of_a_test(),
            origin: Origin::Following,
            state,
        };
        let summary = StepSummary {
            layers: vec![LayerSummary::default()],
            ..StepSummary::default()
        };
        let steps = 1..300;
        let status = Status::Failed;
        let message = "m".to_owned();
        for message in [
            ReaderMessage::Opened(Box::new(opened)),
            ReaderMessage::Failed("f".to_owned()),
            ReaderMessage::Event(FeedEvent::Start(Losses::default())),
            ReaderMessage::Event(FeedEvent::Steps(vec![summary])),
            ReaderMessage::Event(FeedEvent::CaughtUp),
            ReaderMessage::Event(FeedEvent::Status { status, message }),
            ReaderMessage::Event(FeedEvent::Paused(true)),
            ReaderMessage::Event(FeedEvent::Controllable(true)),
            ReaderMessage::Event(FeedEvent::OrderFailed("o".to_owned())),
            ReaderMessage::Event(FeedEvent::WriterLost(true)),
            ReaderMessage::Event(FeedEvent::Broken("b".to_owned())),
        ] {
            send(&mut bytes, &message).unwrap();
        }
        for topic in [Topic::Tensors, Topic::Events, Topic::Findings, Topic::Run] {
            send(
                &mut bytes,
                &ReaderRequest::Query(Query::about(topic, steps.clone(), 7)),
            )
            .unwrap();
        }
        for order in [Control::Pause, Control::Resume, Control::Stop] {
            send(&mut bytes, &ReaderRequest::Order(order)).unwrap();
        }
        let path = b"p".to_vec();
        send(&mut bytes, &RemoteRequest::Read { path, from: 300 }).unwrap();
        send(&mut bytes, &RemoteRequest::Answer(b"p".to_vec())).unwrap();
        send(&mut bytes, &RemoteRequest::Run(vec![b"a".to_vec()])).unwrap();
        let found = (bytes.len(), crc32fast::hash(&bytes));
        assert_eq!(
            found,
            (512, 678_928_994),
            "raise PROTOCOL, and write these numbers here"
        );
        assert_eq!(PROTOCOL, 1);
    }

    #[test]
    fn a_greeting_is_found_behind_what_a_shell_says_and_nothing_after_it_is_read() {
        let mut sent = b"Welcome!\nlcascope-reader is not this line\nno end: ".to_vec();
        Greeting::send(&mut sent, Greeting::READER).unwrap();
        sent.extend(b"frame");
        let mut from = sent.as_slice();
        let heard = Greeting::receive(&mut from, Greeting::READER).unwrap();
        assert_eq!(heard, Some(Greeting::ours()));
        assert_eq!(from, b"frame");
        let later = "lcascope-reader protocol 77 version 3.0.0-beta and=more\n";
        let heard = Greeting::receive(&mut later.as_bytes(), Greeting::READER).unwrap();
        let (protocol, version) = (77, "3.0.0-beta".to_owned());
        assert_eq!(heard, Some(Greeting { protocol, version }));
        for none in [
            "",
            "lcascope-reader protocol x version 1\n",
            "lcascope-reader protocol 1 version 1",
        ] {
            let heard = Greeting::receive(&mut none.as_bytes(), Greeting::READER).unwrap();
            assert_eq!(heard, None, "{none}");
        }
        // Endless noise ends.
        let mut noise = io::repeat(b'x');
        assert_eq!(
            Greeting::receive(&mut noise, Greeting::READER).unwrap(),
            None
        );
    }

    #[test]
    fn invalid_messages_are_errors_and_allocate_no_memory() {
        let huge = u32::MAX.to_le_bytes();
        assert!(receive::<ReaderMessage>(&mut &huge[..]).is_err());
        let cut = LONGEST_FRAME.to_le_bytes();
        assert!(receive::<ReaderMessage>(&mut &cut[..]).unwrap().is_none());
        let nonsense = [3, 0, 0, 0, 0xff, 0xff, 0xff];
        assert!(receive::<ReaderMessage>(&mut &nonsense[..]).is_err());
    }
}

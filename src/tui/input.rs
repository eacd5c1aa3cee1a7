//! The thread that reads the keyboard.
//!
//! crossterm's own reader has four faults: it reads a sequence that arrives in two pieces as Esc and letters; it holds
//! back a key that arrives together with a new window size until the next key; while it waits for the rest of a
//! sequence, nothing can stop it; and it spins once the terminal has hung up. So this thread reads the bytes itself,
//! and [`Decoder`] turns them into events.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use crossterm::event::Event;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::SigId;
use signal_hook::consts::{SIGCONT, SIGWINCH};
use signal_hook::low_level::{pipe, unregister};

use super::decode::Decoder;

/// An event from the terminal.
#[derive(Debug)]
pub enum Input {
    Event(Event),
    /// The window has changed size.
    Resized,
    /// The process was stopped and continued: the terminal may belong to another job, or be in another mode.
    Continued,
    /// The terminal is gone.
    Hangup,
}

/// The time for which an ESC waits for the rest of a sequence before it counts as the key. A slow line may deliver the
/// rest in another packet; so short a delay of Esc goes unnoticed.
const ESC_ALONE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 60_000_000,
};

/// The thread that reads the terminal until this is dropped.
pub struct InputThread {
    pub events: Receiver<Input>,
    /// Dropping this end tells the thread to stop.
    quit: Option<UnixStream>,
    signals: [SigId; 2],
    thread: Option<JoinHandle<()>>,
}

impl InputThread {
    /// # Errors
    /// The system has no more threads or files.
    pub fn spawn() -> io::Result<Self> {
        let (quit, quitting) = UnixStream::pair()?;
        let (resizes, resizing) = waking(SIGWINCH)?;
        let (continues, continuing) = waking(SIGCONT)?;
        let (sender, events) = unbounded();
        let thread = thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || {
                let stdin = io::stdin();
                read(stdin.as_fd(), [&resizing, &continuing], &quitting, &sender);
            })?;
        Ok(Self {
            events,
            quit: Some(quit),
            signals: [resizes, continues],
            thread: Some(thread),
        })
    }
}

impl Drop for InputThread {
    fn drop(&mut self) {
        for signal in self.signals {
            unregister(signal);
        }
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes a signal write a byte to the socket that is returned.
fn waking(signal: i32) -> io::Result<(SigId, UnixStream)> {
    let (written, read) = UnixStream::pair()?;
    read.set_nonblocking(true)?;
    Ok((pipe::register(signal, written)?, read))
}

/// Reads until `quit` or the terminal hangs up, or nobody listens any more. Sleeps while nothing happens.
fn read(
    terminal: BorrowedFd,
    [resizes, continues]: [&UnixStream; 2],
    quit: &UnixStream,
    sender: &Sender<Input>,
) {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(terminal, PollFlags::IN),
            PollFd::new(resizes, PollFlags::IN),
            PollFd::new(continues, PollFlags::IN),
            PollFd::new(quit, PollFlags::IN),
        ];
        let patience = decoder.waits().then_some(&ESC_ALONE);
        let ready = match poll(&mut fds, patience) {
            Ok(ready) => ready,
            Err(Errno::INTR) => continue,
            Err(_) => {
                let _ = sender.send(Input::Hangup);
                return;
            }
        };
        let [terminal_is, resizes_are, continues_are, quit_is] = fds.map(|fd| fd.revents());
        if !quit_is.is_empty() {
            return;
        }
        for (events, pipe, input) in [
            (continues_are, continues, Input::Continued),
            (resizes_are, resizes, Input::Resized),
        ] {
            if !events.is_empty() {
                drain(pipe);
                if sender.send(input).is_err() {
                    return;
                }
            }
        }
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if terminal_is.intersects(gone) {
            let _ = sender.send(Input::Hangup);
            return;
        }
        if terminal_is.contains(PollFlags::IN) {
            let mut bytes = [0; 1024];
            match rustix::io::read(terminal, &mut bytes) {
                Ok(0) => {
                    let _ = sender.send(Input::Hangup);
                    return;
                }
                Ok(count) => decoder.feed(&bytes[..count], &mut events),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => {
                    let _ = sender.send(Input::Hangup);
                    return;
                }
            }
        } else if ready == 0 {
            decoder.give_up(&mut events);
        }
        for event in events.drain(..) {
            if sender.send(Input::Event(event)).is_err() {
                return;
            }
        }
    }
}

/// Empties the pipe: however many signals have arrived, the size is queried once.
fn drain(pipe: &UnixStream) {
    let mut bytes = [0; 256];
    while matches!(rustix::io::read(pipe, &mut bytes), Ok(count) if count > 0) {}
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crossterm::event::{KeyCode, KeyEvent};

    use super::*;

    /// Runs the reader on a socket instead of a terminal.
    fn reader(work: impl FnOnce(&mut UnixStream, &mut UnixStream, &Receiver<Input>)) -> Vec<Input> {
        let (mut keyboard, terminal) = UnixStream::pair().unwrap();
        let (mut resized, resizes) = UnixStream::pair().unwrap();
        resizes.set_nonblocking(true).unwrap();
        let (_continued, continues) = UnixStream::pair().unwrap();
        let (quit, quitting) = UnixStream::pair().unwrap();
        let (sender, events) = unbounded();
        let thread = thread::spawn(move || {
            read(terminal.as_fd(), [&resizes, &continues], &quitting, &sender);
        });
        work(&mut keyboard, &mut resized, &events);
        drop(quit);
        thread.join().unwrap();
        events.try_iter().collect()
    }

    fn code(input: Input) -> KeyCode {
        match input {
            Input::Event(Event::Key(KeyEvent { code, .. })) => code,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_sequence_in_two_pieces_is_one_key() {
        reader(|keyboard, _, events| {
            keyboard.write_all(b"\x1b").unwrap();
            keyboard.write_all(b"[C").unwrap();
            assert_eq!(code(events.recv().unwrap()), KeyCode::Right);
            keyboard.write_all(b"\x1b").unwrap();
            assert_eq!(code(events.recv().unwrap()), KeyCode::Esc);
        });
    }

    #[test]
    fn a_key_together_with_a_new_size_is_not_lost() {
        reader(|keyboard, resized, events| {
            for _ in 0..50 {
                resized.write_all(b"x").unwrap();
                keyboard.write_all(b"q").unwrap();
                let mut keys = 0;
                let mut sizes = 0;
                while keys == 0 || sizes == 0 {
                    match events.recv().unwrap() {
                        Input::Resized => sizes += 1,
                        input => {
                            assert_eq!(code(input), KeyCode::Char('q'));
                            keys += 1;
                        }
                    }
                }
            }
        });
    }

    #[test]
    fn reading_ends_within_a_sequence_and_on_hangup() {
        let left = reader(|keyboard, _, _| keyboard.write_all(b"\x1b[1;").unwrap());
        assert!(left.is_empty());
        let (keyboard, terminal) = UnixStream::pair().unwrap();
        let (_resized, resizes) = UnixStream::pair().unwrap();
        let (_quit, quitting) = UnixStream::pair().unwrap();
        let (sender, events) = unbounded();
        drop(keyboard);
        let signals = [&resizes, &resizes];
        read(terminal.as_fd(), signals, &quitting, &sender);
        assert!(matches!(events.recv(), Ok(Input::Hangup)));
    }
}

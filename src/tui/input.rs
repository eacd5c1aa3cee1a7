//! The thread that reads the keyboard.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What comes from the terminal.
#[derive(Debug)]
pub enum Input {
    Event(Event),
    /// The terminal is gone.
    Hangup,
}

/// How long the thread waits before it looks for a changed window size or the order to end.
const WAIT: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Reads until dropped.
pub struct InputThread {
    pub events: Receiver<Input>,
    quit: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl InputThread {
    /// # Errors
    /// The system has no more threads.
    pub fn spawn() -> io::Result<Self> {
        let (sender, events) = unbounded();
        let quit = Arc::new(AtomicBool::new(false));
        let quitting = Arc::clone(&quit);
        let thread = thread::Builder::new()
            .name("input".to_owned())
            .spawn(move || read(&sender, &quitting))?;
        Ok(Self {
            events,
            quit,
            thread: Some(thread),
        })
    }
}

impl Drop for InputThread {
    fn drop(&mut self) {
        self.quit.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// crossterm's reader spins for ever once the terminal has hung up, so the terminal is asked first,
/// and crossterm only when there is something to read.
fn read(sender: &Sender<Input>, quit: &AtomicBool) {
    let stdin = io::stdin();
    while !quit.load(Ordering::Relaxed) {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
        let polled = poll(&mut fds, Some(&WAIT));
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if fds[0].revents().intersects(gone) {
            let _ = sender.send(Input::Hangup);
            return;
        }
        if polled.is_err_and(|error| error != rustix::io::Errno::INTR) {
            let _ = sender.send(Input::Hangup);
            return;
        }
        // Also without input: a new window size arrives by a signal.
        while let Ok(true) = event::poll(Duration::ZERO) {
            let Ok(event) = event::read() else { break };
            if sender.send(Input::Event(event)).is_err() {
                return;
            }
        }
    }
}

//! Orders from a screen to a training in another process.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, never, select};

use super::FeedEvent;
use crate::control::{AskError, Connection, line_of};
use crate::train::{self, Control, Controls, Orders};

/// The interval between attempts to find the training, or checks that it is still there.
const LOOK: Duration = Duration::from_millis(500);

/// Starts the thread that passes orders on to the training that writes `run`, and reports in `events` whether it can.
/// It ends when `reading` is closed, together with the reader of the file. Orders given before that are still passed
/// on.
pub fn spawn(
    run: &Path,
    events: Sender<FeedEvent>,
    reading: Receiver<()>,
) -> io::Result<(Controls, JoinHandle<()>)> {
    let (controls, orders) = train::controls();
    let mut messenger = OrderSender {
        run: run.to_owned(),
        connection: None,
        controllable: false,
        events,
        reading,
    };
    let thread = thread::Builder::new()
        .name("orders".to_owned())
        .spawn(move || messenger.run(&orders))?;
    Ok((controls, thread))
}

struct OrderSender {
    run: PathBuf,
    connection: Option<Connection>,
    /// The last value that was reported.
    controllable: bool,
    events: Sender<FeedEvent>,
    reading: Receiver<()>,
}

impl OrderSender {
    fn run(&mut self, orders: &Orders) {
        let mut rings = orders.wakeups().clone();
        loop {
            self.check_socket();
            let mut given = false;
            let ended = select! {
                recv(rings) -> ring => {
                    match ring {
                        Ok(()) => given = true,
                        Err(_) => rings = never(),
                    }
                    false
                }
                recv(self.reading) -> _ => true,
                default(LOOK) => false,
            };
            if given || rings.try_recv().is_ok() {
                self.give(orders.newest());
            }
            if ended {
                return;
            }
        }
    }

    /// Connects if there is a socket, and reports any change.
    fn check_socket(&mut self) {
        if self.connection.as_ref().is_some_and(Connection::has_ended) {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Connection::open(&self.run).ok();
        }
        let controllable = self.connection.is_some();
        if controllable != self.controllable {
            self.controllable = controllable;
            self.send_event(FeedEvent::Controllable(controllable));
        }
    }

    fn give(&mut self, order: Control) {
        let line = line_of(order);
        let Some(connection) = &mut self.connection else {
            let why = format!("cannot {line} the training: it has no control socket");
            return self.send_event(FeedEvent::OrderFailed(why));
        };
        if let Err(error) = connection.ask(line) {
            // A late answer would be taken for the next order's.
            self.connection = None;
            // The file will report an end.
            if !matches!(error, AskError::Ended) {
                self.send_event(FeedEvent::OrderFailed(format!("{line}: {error}")));
            }
        }
    }

    fn send_event(&self, event: FeedEvent) {
        // The receiver may be gone.
        select! {
            send(self.events, event) -> _ => {}
            recv(self.reading) -> _ => {}
        }
    }
}

//! Signals that ask the program to end, as messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU};
use signal_hook::flag;
use signal_hook::iterator::Handle;
use signal_hook::low_level;

use super::Failure;
use crate::train::{Control, Controls};

/// Signals that ask for an end. The last three come from batch systems: Slurm's `--signal`, submitit, a
/// bound on processor time.
const ENDING: [i32; 5] = [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGXCPU];

/// Signals that come within this time are one request: `timeout`, for one, signals a process and
/// then its whole group. Nobody types so fast.
const ONE_REQUEST: Duration = Duration::from_millis(150);

/// What is said to whoever waits for the end of a training.
pub const STOPPING: &str =
    "stopping after the step under way; Ctrl-C ends at once, as if the program were killed";

/// Turns signals into messages until dropped. Then they do again what they do by default.
pub struct Signals {
    pub events: Receiver<i32>,
    /// A SIGINT is not the first request.
    asked: Arc<AtomicBool>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Signals {
    /// Listens to SIGHUP and those that ask for an end. These also stop the training behind `controls` by
    /// themselves: the screen may be stuck in a terminal that takes no output. A SIGINT after any of them, or a
    /// second SIGTERM, ends the program at once, as if it were killed.
    ///
    /// # Errors
    /// The system has no more threads or files.
    pub fn listen(controls: Option<Controls>) -> Result<Self, Failure> {
        let error = |error| Failure::Other(format!("cannot listen to signals: {error}"));
        let unheard = unheard().map_err(error)?;
        unheard.store(false, Ordering::SeqCst);
        let all = ENDING.into_iter().chain([SIGHUP]);
        let mut signals = signal_hook::iterator::Signals::new(all).map_err(error)?;
        let handle = signals.handle();
        let (sender, events) = unbounded();
        let asked = Arc::new(AtomicBool::new(false));
        let asked_otherwise = asked.clone();
        let thread = thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let mut requests = Requests::default();
                for signal in &mut signals {
                    match requests.take(signal, asked_otherwise.load(Ordering::SeqCst)) {
                        Taken::New => {}
                        Taken::Again => continue,
                        // Without the library's own end: it would wait for the thread that writes.
                        Taken::AtOnce => low_level::exit(128 + signal),
                    }
                    if let (Some(controls), true) = (&controls, signal != SIGHUP) {
                        let _ = controls.send(Control::Stop);
                    }
                    if sender.send(signal).is_err() {
                        break;
                    }
                }
            })
            .map_err(error)?;
        Ok(Self {
            events,
            asked,
            handle,
            thread: Some(thread),
        })
    }

    /// The training has been stopped otherwise: whoever waits for its end needs one Ctrl-C to give up.
    pub fn stopping(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }
}

/// What has been asked before, and when first.
#[derive(Default)]
struct Requests {
    /// By any signal.
    any: Option<Instant>,
    /// By SIGINT or SIGTERM.
    urgent: Option<Instant>,
}

enum Taken {
    New,
    /// The same request once more.
    Again,
    /// Nobody waits any longer.
    AtOnce,
}

impl Requests {
    /// A person who presses Ctrl-C has seen what was asked before. A system may send any of the other
    /// signals, SIGTERM after it, and SIGXCPU every second, and means no hurry: only SIGTERM after SIGTERM or
    /// SIGINT does.
    fn take(&mut self, signal: i32, asked_otherwise: bool) -> Taken {
        let earlier = match signal {
            SIGINT if asked_otherwise => return Taken::AtOnce,
            SIGINT => self.any,
            SIGTERM => self.urgent,
            _ => None,
        };
        if signal != SIGHUP {
            self.any.get_or_insert_with(Instant::now);
        }
        if [SIGINT, SIGTERM].contains(&signal) {
            self.urgent.get_or_insert_with(Instant::now);
        }
        match earlier {
            None => Taken::New,
            Some(earlier) if earlier.elapsed() < ONE_REQUEST => Taken::Again,
            Some(_) => Taken::AtOnce,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Ok(unheard) = unheard() {
            unheard.store(true, Ordering::SeqCst);
        }
    }
}

/// Set while nobody listens: signals that were listened to once would be ignored then.
fn unheard() -> std::io::Result<&'static Arc<AtomicBool>> {
    static UNHEARD: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(unheard) = UNHEARD.get() {
        return Ok(unheard);
    }
    let unheard = Arc::new(AtomicBool::new(false));
    for signal in ENDING.into_iter().chain([SIGHUP]) {
        flag::register_conditional_default(signal, unheard.clone())?;
    }
    Ok(UNHEARD.get_or_init(|| unheard))
}

//! Delivers signals that ask the program to end as messages.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGXCPU, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Handle;
use signal_hook::low_level;

use super::failure::Failure;
use crate::train::{Control, Controls};

/// Signals that ask the program to end. The last three come from batch systems: Slurm's `--signal`, submitit, a limit
/// on processor time.
const ENDING: [i32; 5] = [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGXCPU];

/// Signals within this time count as one request: `timeout`, for example, signals a process and then its whole group.
/// Nobody types that fast.
const ONE_REQUEST: Duration = Duration::from_millis(150);

/// The message to anyone who waits for a training to end.
pub const STOPPING: &str =
    "stopping after the current step; another Ctrl-C kills the program at once";

/// Turns signals into messages until dropped, which restores their default actions.
pub struct Signals {
    pub events: Receiver<i32>,
    /// Whether a SIGINT follows an earlier request.
    asked: Arc<AtomicBool>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Signals {
    /// Listens for SIGHUP and the signals that ask for an end. The latter also stop the training behind `controls`
    /// directly: the screen may be stuck in a terminal that accepts no output. A SIGINT after any of them, or a second
    /// SIGTERM, ends the program at once, as if it were killed.
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
                let mut requests = EndRequests::default();
                for signal in &mut signals {
                    match requests.classify(signal, asked_otherwise.load(Ordering::SeqCst)) {
                        SignalMeaning::New => {}
                        SignalMeaning::Again => continue,
                        // Skips the library's own exit handlers, which would wait for the writing thread.
                        SignalMeaning::AtOnce => low_level::exit(128 + signal),
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

    /// Records that the training was stopped in another way: one Ctrl-C is then enough to give up waiting.
    pub fn stopping(&self) {
        self.asked.store(true, Ordering::SeqCst);
    }
}

/// The first times of earlier requests.
#[derive(Default)]
struct EndRequests {
    /// By any signal except SIGHUP.
    any: Option<Instant>,
    /// By SIGINT or SIGTERM.
    urgent: Option<Instant>,
}

enum SignalMeaning {
    New,
    /// A repetition of the same request.
    Again,
    /// End without waiting.
    AtOnce,
}

impl EndRequests {
    /// Classifies a signal. A person who presses Ctrl-C has seen the earlier request. A system may send any of the
    /// other signals, followed by SIGTERM, or SIGXCPU every second, without urgency: only a SIGTERM after a SIGTERM or
    /// SIGINT is urgent.
    fn classify(&mut self, signal: i32, asked_otherwise: bool) -> SignalMeaning {
        let earlier = match signal {
            SIGINT if asked_otherwise => return SignalMeaning::AtOnce,
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
            None => SignalMeaning::New,
            Some(earlier) if earlier.elapsed() < ONE_REQUEST => SignalMeaning::Again,
            Some(_) => SignalMeaning::AtOnce,
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

/// Set while nobody listens: signals that were once listened to would otherwise be ignored.
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

/// Ignores all signals that ask for an end, in a process that ends when another one does.
///
/// # Errors
/// The system has no more files.
pub fn ignore_end_requests() -> Result<(), Failure> {
    let caught = Arc::new(AtomicBool::new(false));
    for signal in ENDING.into_iter().chain([SIGHUP]) {
        flag::register(signal, caught.clone())
            .map_err(|error| Failure::Other(format!("cannot listen to signals: {error}")))?;
    }
    Ok(())
}

/// Ignores SIGXFSZ: a file that may not grow any further (`ulimit -f`) becomes an error that whoever writes it reports,
/// not the end of the process.
///
/// # Errors
/// The system has no more files.
pub fn ignore_file_size_signal() -> Result<(), Failure> {
    let caught = Arc::new(AtomicBool::new(false));
    flag::register(SIGXFSZ, caught)
        .map(|_| ())
        .map_err(|error| Failure::Other(format!("cannot listen to signals: {error}")))
}

//! `--notify`: a command that is told what happens to a run, as JSON on its standard input.
//!
//! The training never waits for it: events that the command is too slow for are left out, except for the end.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::{Value, json};

use super::print::print_message;
use crate::query::data_lints;
use crate::record::{Losses, RunHeader, Status, StepSummary};
use crate::text::harmless;

/// The environment variable with the command, for trainings that other programs start.
pub const NOTIFY: &str = "LCASCOPE_NOTIFY";

/// Events that may wait for the command.
const QUEUE: usize = 16;

/// The time that the command may take for an event, after which it is killed.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time for which the end of the program waits for the command.
const LAST: Duration = Duration::from_secs(10);

/// Tells a command about a run.
pub struct Notifier {
    events: Option<Sender<Value>>,
    told: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    header: Arc<RunHeader>,
    file: PathBuf,
    /// The latest step.
    steps: u64,
    loss: f64,
    held_out_loss: f64,
    /// Warnings that were sent: a loss that is not finite, a residual above the tolerance.
    diverged: bool,
    missed: bool,
}

impl Notifier {
    /// Starts the thread that runs `command`, or else the one that the environment names; none if there is none.
    #[must_use]
    pub fn spawn(command: Option<&str>, header: Arc<RunHeader>, file: &Path) -> Option<Self> {
        let set = || std::env::var(NOTIFY).ok();
        let command = command.map(str::to_owned).or_else(set)?;
        if command.trim().is_empty() {
            return None;
        }
        let (events, waiting) = bounded(QUEUE);
        let (telling, told) = bounded(0);
        let run = move || {
            for event in waiting {
                if let Err(why) = tell(&command, &event) {
                    print_message(&format!("warning: the command of --notify: {why}"));
                }
            }
            drop(telling);
        };
        let thread = thread::Builder::new().name("notify".to_owned()).spawn(run);
        let thread = thread.inspect_err(|error| {
            print_message(&format!("warning: nobody is notified: {error}"));
        });
        let mut notifier = Self {
            events: Some(events),
            told,
            thread: Some(thread.ok()?),
            file: std::path::absolute(file).unwrap_or_else(|_| file.to_owned()),
            header,
            steps: 0,
            loss: f64::NAN,
            held_out_loss: f64::NAN,
            diverged: false,
            missed: false,
        };
        for lint in data_lints(&notifier.header, None) {
            notifier.event("warning", &lint.text);
        }
        Some(notifier)
    }

    /// Takes in the loss before the first step, which is unusual if the data or the network are.
    pub fn start(&mut self, losses: &Losses) {
        (self.loss, self.held_out_loss) = (losses.train, losses.test);
        let known = data_lints(&self.header, None);
        for lint in data_lints(&self.header, Some(losses.train)) {
            if !known.contains(&lint) {
                self.event("warning", &lint.text);
            }
        }
    }

    /// Takes in a step.
    pub fn step(&mut self, step: &StepSummary) {
        self.steps = step.end;
        self.loss = step.loss_after;
        if !step.test_loss.is_nan() {
            self.held_out_loss = step.test_loss;
        }
        if !self.loss.is_finite() && !self.diverged {
            self.diverged = true;
            let step = step.end.saturating_sub(1);
            self.event(
                "warning",
                &format!("the loss after step {step} is not finite"),
            );
        } else if step.above_tolerance > 0 && !self.missed {
            self.missed = true;
            let (step, residual) = (step.end.saturating_sub(1), step.residual);
            let tolerance = self.header.tolerance;
            let what = format!(
                "step {step}: residual {residual:.1e} nats exceeds the tolerance {tolerance}"
            );
            self.event("warning", &what);
        }
    }

    /// Tells how the run ended, and waits a while for the command.
    pub fn end(mut self, status: Status, message: &str) {
        let name = status.name();
        // The last event matters more than those before it.
        let event = self.described(name, message);
        let Some(events) = self.events.take() else {
            return;
        };
        let sent = events.send_timeout(event, LAST);
        drop(events);
        let waited = self.told.recv_timeout(LAST);
        let is_over = waited == Err(RecvTimeoutError::Disconnected);
        if sent.is_err() || !is_over {
            print_message("warning: the command of --notify has not ended; it is not waited for");
        } else if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn event(&mut self, event: &str, message: &str) {
        let event = self.described(event, message);
        let full = |events: &Sender<Value>| events.try_send(event).is_err();
        if self.events.as_ref().is_some_and(full) {
            print_message("warning: the command of --notify is too slow: an event is left out");
        }
    }

    fn described(&self, event: &str, message: &str) -> Value {
        json!({
            "schema": 1,
            "event": event,
            "message": Some(message).filter(|message| !message.is_empty()),
            "file": self.file.display().to_string(),
            "network": self.header.network,
            "steps": self.steps,
            "planned_steps": Some(self.header.planned_steps).filter(|planned| *planned > 0),
            "loss": self.loss,
            "held_out_loss": self.held_out_loss,
        })
    }
}

/// Runs the command once, with the event on its standard input.
fn tell(command: &str, event: &Value) -> Result<(), String> {
    // Not our own standard error: whoever reads that would wait for the command too.
    let said = tempfile::tempfile();
    let stderr = said.as_ref().ok().and_then(|file| file.try_clone().ok());
    let mut child = Command::new("sh")
        .args(["-c", command])
        // Keys that end the training do not end it.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(stderr.map_or_else(Stdio::null, Stdio::from))
        .spawn()
        .map_err(|error| error.to_string())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command may ignore its input. An event fits into the pipe.
        let _ = stdin.write_all(format!("{event}\n").as_bytes());
    }
    let ended = wait(&mut child, PATIENCE);
    match ended {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!(
            "{status}{}",
            said.map_or_else(|_| String::new(), last_words)
        )),
        Ok(None) => {
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
            Err(format!("killed after {} s", PATIENCE.as_secs()))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Returns the end of the command's standard error, on one line.
fn last_words(mut said: File) -> String {
    const LAST: u64 = 500;
    let mut words = Vec::new();
    let length = said.metadata().map_or(0, |meta| meta.len());
    let read = said
        .seek(SeekFrom::Start(length.saturating_sub(LAST)))
        .and_then(|_| said.read_to_end(&mut words));
    match String::from_utf8_lossy(&words).trim() {
        "" => String::new(),
        _ if read.is_err() => String::new(),
        words => format!(": {}", harmless(words)),
    }
}

/// Waits for a process for at most this long.
fn wait(child: &mut Child, patience: Duration) -> io::Result<Option<ExitStatus>> {
    let until = Instant::now() + patience;
    loop {
        match child.try_wait()? {
            None if Instant::now() < until => thread::sleep(Duration::from_millis(20)),
            ended => return Ok(ended),
        }
    }
}

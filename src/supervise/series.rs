//! Trains several runs, one after another, each in a process of its own. Complete runs are not repeated.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};
use signal_hook::consts::SIGHUP;

use super::bar::Bar;
use super::child::{Child, Work};
use super::failure::Failure;
use super::sandbox;
use super::screen;
use super::signals::{STOPPING, Signals};
use crate::config::{
    ConfigError, DeviceChoice, EngineChoice, RunConfig, SliceChoice, stored_options,
};
use crate::record::{RunHeader, Status};
use crate::text::{duration, harmless};

/// A run to be made.
pub struct Task {
    pub name: String,
    pub file: PathBuf,
    pub config: RunConfig,
    pub steps: u64,
    /// Warnings about its data.
    pub warnings: Vec<String>,
    /// SHA-256 of the data set.
    pub sha256: String,
}

/// The state of a run's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nothing,
    /// An empty file that this process created to reserve the name.
    Reserved,
    /// The number of steps done; it can be continued.
    Begun(u64),
    Complete,
}

/// The reaction to a failed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtFailure {
    End,
    GoOn,
}

/// The outcome of a series.
pub struct Ended {
    /// For each task, whether its run is complete.
    pub complete: Vec<bool>,
    /// Index and reason of each failed task.
    pub failed: Vec<(usize, String)>,
    pub why: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every run was attempted.
    Through,
    Signal(i32),
    /// This run was stopped.
    Stopped(usize),
    /// This run failed.
    Failed(usize),
}

/// Time between checks whether the process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Time between questions for its progress.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// Time between lines when standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(30);

impl Task {
    /// Sets the run's file, and names the run after it.
    pub fn place(&mut self, file: PathBuf) {
        self.name = harmless(&file.file_name().unwrap_or_default().to_string_lossy());
        self.file = file;
    }

    /// Examines the run's file.
    ///
    /// # Errors
    /// The file belongs to another run, is being written, or is not a run.
    pub fn found(&self) -> Result<Found, Failure> {
        if self.file.symlink_metadata().is_err() {
            return Ok(Found::Nothing);
        }
        let path = harmless(&self.file.display().to_string());
        let opened = sandbox::peek(&self.file).map_err(|error| {
            Failure::Other(format!("{error}; delete the file to train the run again"))
        })?;
        self.same_run(&opened.header).map_err(|what| {
            ConfigError(format!(
                "{path} is a different run: {what}; choose another --output"
            ))
        })?;
        if opened.state.is_live() {
            return Err(Failure::Other(format!(
                "{path} is being written by another process: wait for it to end, or stop it with \
                 `lcascope stop`"
            )));
        }
        Ok(match opened.state.status {
            Status::Finished => Found::Complete,
            _ => Found::Begun(opened.state.committed),
        })
    }

    /// Checks that the file holds this run; the error says what differs.
    fn same_run(&self, header: &RunHeader) -> Result<(), String> {
        let stored =
            stored_options(&header.config, "it").and_then(|options| RunConfig::resolve(&options));
        let stored = stored.map_err(|error| error.to_string())?;
        if header.dataset_sha256 != self.sha256 {
            return Err(format!("it has different data, {}", header.dataset));
        }
        // Settings left open have a value in the file, and settings that do not change the numbers may differ.
        let mut planned = self.config.clone();
        planned.data.clone_from(&stored.data);
        planned.threads = stored.threads;
        planned.checkpoint_every = stored.checkpoint_every;
        planned.batch_size = planned.batch_size.or(stored.batch_size);
        if planned.device == DeviceChoice::Auto {
            planned.device = stored.device;
        }
        if planned.engine == EngineChoice::Auto {
            planned.engine = stored.engine;
        }
        if planned.slice_size == SliceChoice::Auto {
            planned.slice_size = stored.slice_size;
        }
        if planned == stored {
            return Ok(());
        }
        let table = |config: &RunConfig| toml::Table::try_from(config.to_options());
        let (Ok(planned), Ok(stored)) = (table(&planned), table(&stored)) else {
            return Err("its configuration differs".to_owned());
        };
        let keys = planned.keys().chain(stored.keys());
        let differs = |key: &&String| planned.get(*key) != stored.get(*key);
        let word = |table: &toml::Table, key: &str| {
            let word = table
                .get(key)
                .map_or("none".to_owned(), ToString::to_string);
            if word.len() > 60 {
                "different".to_owned()
            } else {
                harmless(&word)
            }
        };
        Err(match keys.into_iter().find(differs) {
            Some(key) => format!(
                "its {key} is {}, but here {}",
                word(&stored, key),
                word(&planned, key)
            ),
            None => "its configuration differs".to_owned(),
        })
    }
}

/// Makes the incomplete runs. `found` has the state of each task's file; `force` overwrites existing files.
///
/// # Errors
/// A process cannot be started or waited for. An error within one is part of the result.
pub fn run(
    tasks: &[Task],
    found: &[Found],
    at_failure: AtFailure,
    force: bool,
    quiet: bool,
) -> Result<Ended, Failure> {
    let signals = Signals::listen(None)?;
    let mut watch = Watch {
        progress: Progress::new(tasks, found, quiet),
        signals: signals.events.clone(),
        asked: None,
    };
    let mut ended = Ended {
        complete: found
            .iter()
            .map(|found| *found == Found::Complete)
            .collect(),
        failed: Vec::new(),
        why: End::Through,
    };
    let left =
        || (tasks.iter().zip(found).enumerate()).filter(|(_, (_, f))| **f != Found::Complete);
    let mut said = BTreeSet::new();
    for warning in left().flat_map(|(_, (task, _))| &task.warnings) {
        if said.insert(warning) {
            watch.progress.say(&harmless(warning));
        }
    }
    for (index, (task, found)) in left() {
        let config = toml::to_string(&task.config.to_options())
            .map_err(|error| Failure::Other(format!("the configuration: {error}")))?;
        let work = match found {
            Found::Begun(_) => Work::Resume {
                data: task.config.data.as_deref(),
            },
            _ => Work::Begin {
                config: &config,
                force: force || *found == Found::Reserved,
            },
        };
        let began = Instant::now();
        let mut child = Child::spawn(&task.file, &work)?;
        watch.progress.begin(index, task);
        let status = watch.until_end(&mut child)?;
        let state = sandbox::peek(&task.file).map(|opened| opened.state);
        let how = match (&state, status.success()) {
            (Ok(state), true) if state.status == Status::Finished => How::Finished,
            // By an order, or by a signal that has not reached this process yet.
            (Ok(state), _) if state.status == Status::Stopped => How::Stopped,
            _ if watch.asked.is_some() => How::Stopped,
            _ => How::Failed(harmless(&child.last_words(status))),
        };
        let took = duration(began.elapsed().as_secs_f64());
        let committed = state.map_or(0, |state| state.committed);
        watch.progress.end(task, &how, committed, &took);
        match how {
            How::Finished => ended.complete[index] = true,
            How::Stopped => ended.why = End::Stopped(index),
            How::Failed(why) => {
                ended.failed.push((index, why));
                if at_failure == AtFailure::End {
                    ended.why = End::Failed(index);
                }
            }
        }
        if let Some(signal) = watch.asked {
            ended.why = End::Signal(signal);
        }
        if ended.why != End::Through {
            break;
        }
    }
    watch.progress.finish();
    Ok(ended)
}

/// The end of a run's process.
enum How {
    Finished,
    Stopped,
    Failed(String),
}

/// Waits for the processes.
struct Watch {
    progress: Progress,
    signals: Receiver<i32>,
    /// The signal that asked the series to end.
    asked: Option<i32>,
}

impl Watch {
    fn until_end(&mut self, child: &mut Child) -> Result<ExitStatus, Failure> {
        let lost = |error| Failure::Other(format!("cannot wait for the training: {error}"));
        let mut last = Instant::now();
        loop {
            select! {
                recv(self.signals) -> signal => match signal {
                    // The terminal is gone, but the training continues.
                    Ok(SIGHUP) => self.progress = Progress::none(),
                    // Once only: a second signal ends the process at once.
                    Ok(signal) if self.asked.is_none() => {
                        self.asked = Some(signal);
                        self.progress.say(STOPPING);
                        child.stop();
                    }
                    Ok(_) => {}
                    Err(_) => self.signals = never(),
                },
                default(LOOK_EVERY) => {}
            }
            if let Some(status) = child.ended().map_err(lost)? {
                return Ok(status);
            }
            if last.elapsed() >= ASK_EVERY {
                last = Instant::now();
                if let Some(done) = child.steps_done() {
                    self.progress.update(done);
                }
            }
        }
    }
}

/// The progress shown on standard error.
struct Progress {
    shown: Shown,
    runs: usize,
    /// Planned steps of all runs together.
    total: u64,
    /// Planned steps of the runs that are over.
    over: u64,
    /// Steps of each run that existed when this process began.
    there: Vec<u64>,
    /// Their sum over the runs that are over and the current one.
    there_over: u64,
    began: Instant,
    /// Index, name and planned steps of the current run.
    current: (usize, String, u64),
    /// Steps done in the current run.
    done: u64,
}

enum Shown {
    Bar(Bar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    fn new(tasks: &[Task], found: &[Found], quiet: bool) -> Self {
        let planned = || tasks.iter().map(|task| task.steps);
        let total = planned().fold(0, u64::saturating_add);
        let there: Vec<u64> = planned()
            .zip(found)
            .map(|(steps, found)| match found {
                Found::Nothing | Found::Reserved => 0,
                Found::Begun(done) => (*done).min(steps),
                Found::Complete => steps,
            })
            .collect();
        let complete = |found: &&Found| **found == Found::Complete;
        let over = there.iter().zip(found).filter(|(_, found)| complete(found));
        let over = over.map(|(steps, _)| *steps).fold(0, u64::saturating_add);
        let shown = match (quiet, screen::has_bar()) {
            (true, _) => Shown::Nothing,
            (false, false) => Shown::Lines {
                last: Instant::now(),
            },
            (false, true) => Shown::Bar(Bar::new(total, "{bar:10} {percent:>3}%  {msg}", 5)),
        };
        Self {
            shown,
            runs: tasks.len(),
            total,
            over,
            there,
            there_over: over,
            began: Instant::now(),
            current: (0, String::new(), 0),
            done: 0,
        }
    }

    fn none() -> Self {
        Self::new(&[], &[], true)
    }

    fn begin(&mut self, index: usize, task: &Task) {
        let there = self.there.get(index).copied().unwrap_or(0);
        self.current = (index, task.name.clone(), task.steps);
        self.there_over += there;
        self.done = there;
        self.show();
    }

    fn update(&mut self, done: u64) {
        self.done = done;
        self.show();
    }

    /// Estimated seconds for the remaining steps, at the speed of those done here.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
    fn seconds_left(&self) -> Option<f64> {
        let done = self.over + self.done;
        let here = done.saturating_sub(self.there_over);
        let left = self.total.saturating_sub(done);
        (here > 0).then(|| self.began.elapsed().as_secs_f64() * left as f64 / here as f64)
    }

    fn show(&mut self) {
        let left = self.seconds_left();
        let left = left.map_or("-".to_owned(), duration);
        let (index, name, steps) = &self.current;
        let text = format!(
            "run {} of {}: {name}, step {}/{steps}  ETA {left}",
            index + 1,
            self.runs,
            self.done
        );
        match &mut self.shown {
            Shown::Bar(bar) => bar.show(Some(self.over + self.done), text),
            Shown::Lines { last } if last.elapsed() >= LINE_EVERY && !screen::disturbs() => {
                *last = Instant::now();
                let _ = writeln!(io::stderr(), "{text}");
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    fn end(&mut self, task: &Task, how: &How, committed: u64, took: &str) {
        self.over += task.steps;
        self.done = 0;
        let (number, runs, name) = (self.current.0 + 1, self.runs, &task.name);
        let text = match how {
            How::Finished => format!("run {number} of {runs}: {name} finished after {took}"),
            How::Stopped => format!(
                "run {number} of {runs}: {name} stopped after {committed} of {} steps",
                task.steps
            ),
            How::Failed(why) => format!("run {number} of {runs}: {name} failed: {why}"),
        };
        self.say(&text);
    }

    fn say(&self, text: &str) {
        match &self.shown {
            Shown::Bar(bar) => bar.say(text),
            Shown::Lines { .. } => {
                let _ = writeln!(io::stderr(), "{text}");
            }
            Shown::Nothing => {}
        }
    }

    fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish();
        }
    }
}

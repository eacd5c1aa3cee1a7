//! Trains several runs, one after another, each in a process of its own. Complete runs are not repeated.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never, select};
use signal_hook::consts::SIGHUP;

use super::bar::TerminalBar;
use super::child::{Child, ChildTask};
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
pub struct RunTask {
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
pub enum RunFileState {
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
pub struct SeriesOutcome {
    /// For each task, whether its run is complete.
    pub complete: Vec<bool>,
    /// Index and reason of each failed task.
    pub failed: Vec<(usize, String)>,
    pub why: SeriesEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeriesEnd {
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

impl RunTask {
    /// Sets the run's file, and names the run after it.
    pub fn set_file(&mut self, file: PathBuf) {
        self.name = harmless(&file.file_name().unwrap_or_default().to_string_lossy());
        self.file = file;
    }

    /// Examines the run's file.
    ///
    /// # Errors
    /// The file belongs to another run, is being written, or is not a run.
    pub fn file_state(&self) -> Result<RunFileState, Failure> {
        if self.file.symlink_metadata().is_err() {
            return Ok(RunFileState::Nothing);
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
            // Otherwise it was killed before it was closed.
            Status::Finished if !opened.state.marked => RunFileState::Complete,
            _ => RunFileState::Begun(opened.state.committed),
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
    tasks: &[RunTask],
    found: &[RunFileState],
    at_failure: AtFailure,
    force: bool,
    quiet: bool,
) -> Result<SeriesOutcome, Failure> {
    let signals = Signals::listen(None)?;
    let mut watch = ProcessWatch {
        progress: SeriesProgress::new(tasks, found, quiet),
        signals: signals.events.clone(),
        asked: None,
        warned: BTreeSet::new(),
    };
    let mut ended = SeriesOutcome {
        complete: found
            .iter()
            .map(|found| *found == RunFileState::Complete)
            .collect(),
        failed: Vec::new(),
        why: SeriesEnd::Through,
    };
    let left = || {
        (tasks.iter().zip(found).enumerate()).filter(|(_, (_, f))| **f != RunFileState::Complete)
    };
    for warning in left().flat_map(|(_, (task, _))| &task.warnings) {
        if watch.warned.insert(warning.clone()) {
            watch.progress.print(&harmless(warning));
        }
    }
    for (index, (task, found)) in left() {
        let config = toml::to_string(&task.config.to_options())
            .map_err(|error| Failure::Other(format!("the configuration: {error}")))?;
        let work = match found {
            RunFileState::Begun(_) => ChildTask::Resume {
                data: task.config.data.as_deref(),
            },
            _ => ChildTask::Begin {
                config: &config,
                force: force || *found == RunFileState::Reserved,
            },
        };
        let began = Instant::now();
        let mut child = Child::spawn(&task.file, &work)?;
        watch.progress.begin(index, task);
        let status = watch.wait_for_end(&mut child)?;
        watch.warn_once(&child.warnings());
        let state = sandbox::peek(&task.file).map(|opened| opened.state);
        let how = match (&state, status.success()) {
            (Ok(state), true) if state.status == Status::Finished => ProcessEnd::Finished,
            // By an order, or by a signal that has not reached this process yet.
            (Ok(state), _) if state.status == Status::Stopped => ProcessEnd::Stopped,
            _ if watch.asked.is_some() => ProcessEnd::Stopped,
            _ => ProcessEnd::Failed(harmless(&child.last_words(status))),
        };
        let took = duration(began.elapsed().as_secs_f64());
        let committed = state.map_or(0, |state| state.committed);
        watch.progress.end(task, &how, committed, &took);
        match how {
            ProcessEnd::Finished => ended.complete[index] = true,
            ProcessEnd::Stopped => ended.why = SeriesEnd::Stopped(index),
            ProcessEnd::Failed(why) => {
                ended.failed.push((index, why));
                if at_failure == AtFailure::End {
                    ended.why = SeriesEnd::Failed(index);
                }
            }
        }
        if let Some(signal) = watch.asked {
            ended.why = SeriesEnd::Signal(signal);
        }
        if ended.why != SeriesEnd::Through {
            break;
        }
    }
    watch.progress.finish();
    Ok(ended)
}

/// The end of a run's process.
enum ProcessEnd {
    Finished,
    Stopped,
    Failed(String),
}

/// Waits for the processes.
struct ProcessWatch {
    progress: SeriesProgress,
    signals: Receiver<i32>,
    /// The signal that asked the series to end.
    asked: Option<i32>,
    /// The warnings printed so far.
    warned: BTreeSet<String>,
}

impl ProcessWatch {
    /// Prints a run's warnings, unless they differ from earlier ones in their numbers only.
    fn warn_once(&mut self, warnings: &[String]) {
        for warning in warnings {
            let words = warning.replace(|c: char| c.is_ascii_digit(), "");
            if !self.warned.contains(warning) && self.warned.insert(words) {
                self.progress.print(&harmless(warning));
            }
        }
    }

    fn wait_for_end(&mut self, child: &mut Child) -> Result<ExitStatus, Failure> {
        let lost = |error| Failure::Other(format!("cannot wait for the training: {error}"));
        let mut last = Instant::now();
        loop {
            select! {
                recv(self.signals) -> signal => match signal {
                    // The terminal is gone, but the training continues.
                    Ok(SIGHUP) => self.progress = SeriesProgress::hidden(),
                    // Once only: a second signal ends the process at once.
                    Ok(signal) if self.asked.is_none() => {
                        self.asked = Some(signal);
                        self.progress.print(STOPPING);
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
struct SeriesProgress {
    shown: ProgressOutput,
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

enum ProgressOutput {
    Bar(TerminalBar),
    Lines { last: Instant },
    Nothing,
}

impl SeriesProgress {
    fn new(tasks: &[RunTask], found: &[RunFileState], quiet: bool) -> Self {
        let planned = || tasks.iter().map(|task| task.steps);
        let total = planned().fold(0, u64::saturating_add);
        let there: Vec<u64> = planned()
            .zip(found)
            .map(|(steps, found)| match found {
                RunFileState::Nothing | RunFileState::Reserved => 0,
                RunFileState::Begun(done) => (*done).min(steps),
                RunFileState::Complete => steps,
            })
            .collect();
        let complete = |found: &&RunFileState| **found == RunFileState::Complete;
        let over = there.iter().zip(found).filter(|(_, found)| complete(found));
        let over = over.map(|(steps, _)| *steps).fold(0, u64::saturating_add);
        let shown = match (quiet, screen::has_bar()) {
            (true, _) => ProgressOutput::Nothing,
            (false, false) => ProgressOutput::Lines {
                last: Instant::now(),
            },
            (false, true) => {
                ProgressOutput::Bar(TerminalBar::new(total, "{bar:10} {percent:>3}%  {msg}", 5))
            }
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

    fn hidden() -> Self {
        Self::new(&[], &[], true)
    }

    fn begin(&mut self, index: usize, task: &RunTask) {
        let there = self.there.get(index).copied().unwrap_or(0);
        self.current = (index, task.name.clone(), task.steps);
        self.there_over += there;
        self.done = there;
        self.update_display();
    }

    fn update(&mut self, done: u64) {
        self.done = done;
        self.update_display();
    }

    /// Estimated seconds for the remaining steps, at the speed of those done here.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
    fn seconds_left(&self) -> Option<f64> {
        let done = self.over + self.done;
        let here = done.saturating_sub(self.there_over);
        let left = self.total.saturating_sub(done);
        (here > 0).then(|| self.began.elapsed().as_secs_f64() * left as f64 / here as f64)
    }

    fn update_display(&mut self) {
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
            ProgressOutput::Bar(bar) => bar.update(Some(self.over + self.done), text),
            ProgressOutput::Lines { last }
                if last.elapsed() >= LINE_EVERY && !screen::would_disturb_terminal() =>
            {
                *last = Instant::now();
                let _ = writeln!(io::stderr(), "{text}");
            }
            ProgressOutput::Lines { .. } | ProgressOutput::Nothing => {}
        }
    }

    fn end(&mut self, task: &RunTask, how: &ProcessEnd, committed: u64, took: &str) {
        self.over += task.steps;
        self.done = 0;
        let (number, runs, name) = (self.current.0 + 1, self.runs, &task.name);
        let text = match how {
            ProcessEnd::Finished => format!("run {number} of {runs}: {name} finished after {took}"),
            ProcessEnd::Stopped => format!(
                "run {number} of {runs}: {name} stopped after {committed} of {} steps",
                task.steps
            ),
            ProcessEnd::Failed(why) => format!("run {number} of {runs}: {name} failed: {why}"),
        };
        self.print(&text);
    }

    fn print(&self, text: &str) {
        match &self.shown {
            ProgressOutput::Bar(bar) => bar.print(text),
            ProgressOutput::Lines { .. } => {
                let _ = writeln!(io::stderr(), "{text}");
            }
            ProgressOutput::Nothing => {}
        }
    }

    fn finish(&self) {
        if let ProgressOutput::Bar(bar) = &self.shown {
            bar.finish();
        }
    }
}

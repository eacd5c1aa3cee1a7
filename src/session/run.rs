//! A run under way: the trainer's thread, where its steps go, and who watches it.

use std::any::Any;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::detach::Detached;
use super::gpu::Gpu;
use super::guard;
use super::headless::{self, Progress};
use super::screen::{self, Obstacle};
use super::signals::{STOPPING, Signals};
use super::standing::quoted;
use super::{Failure, summary};
use crate::app::{App, Quit};
use crate::config::{CheckpointEvery, ConfigError, Options};
use crate::control::{self, Server};
use crate::feed::{self, Feed, FeedSender};
use crate::record::{Checkpoint, RunEnd, StartRecord, Status, StepRecord, StepSummary};
use crate::store::{self, Recorder, RecorderStats, StoreError};
use crate::train::{self, Control, Controls, Inquiry, Orders, Sink, SinkClosed, Trainer};
use crate::tui::{Exit, ScreenOptions};

/// How a run begins.
pub enum Beginning {
    Fresh,
    /// The trainer has started where it was put back.
    Resumed {
        start: StartRecord,
    },
}

/// Where a run is watched, and whether anything is said at its end.
pub struct Watched {
    place: Place,
    pub quiet: bool,
    /// Whether what looks wrong is said on standard error: also by a training in the background, to its
    /// caller or its log.
    pub warns: bool,
    detached: Option<Detached>,
}

impl Watched {
    pub fn from(options: &Options, detached: Option<Detached>) -> Result<Self, ConfigError> {
        let screen = screen::options(options.color, options.glyphs, options.fps)?;
        let quiet = detached.is_some() || options.quiet.unwrap_or(false);
        let headless = quiet || options.headless.unwrap_or(false) || Obstacle::now().is_some();
        let place = match (headless, quiet) {
            (_, true) => Place::Nowhere,
            (true, false) => Place::Bar,
            (false, false) => Place::Screen(screen),
        };
        Ok(Self {
            place,
            quiet,
            warns: !options.quiet.unwrap_or(false),
            detached,
        })
    }
}

/// Where a run is watched.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Place {
    Screen(ScreenOptions),
    Bar,
    Nowhere,
}

/// Who waits for longer is told what for.
const SOON: Duration = Duration::from_millis(500);

/// How the recording of a run ended.
type Recorded = Result<(RunEnd, RecorderStats), StoreError>;

/// A training under way, and what is known of it.
pub struct Run {
    app: App,
    feed: Feed,
    controls: Controls,
    /// Where the training is asked what the file does not say yet.
    inquiries: Sender<Inquiry>,
    signals: Signals,
    /// Whether other processes can give orders too.
    controllable: bool,
    thread: thread::JoinHandle<Recorded>,
}

impl Run {
    /// Starts the trainer's thread, and the control socket beside the run file.
    pub fn spawn(
        mut app: App,
        mut trainer: Trainer,
        (recorder, checkpoint_every): (Recorder, CheckpointEvery),
        beginning: Beginning,
        output: &Path,
    ) -> Result<Self, Failure> {
        let (controls, orders) = train::controls();
        let planned = app.header.planned_steps;
        let progress = control::Progress::new();
        progress.steps_done(trainer.steps_done());
        // Before anybody can know that there is a training.
        let signals = Signals::listen(Some(controls.clone()))?;
        let server = Server::spawn(output, controls.clone(), progress.clone(), planned);
        let server = server
            .map_err(|(path, error)| {
                let path = path.display();
                let warning = format!(
                    "warning: no control socket {path}: {error}; `lcascope stop` and `pause` cannot \
                     reach this training, signals can"
                );
                super::tell(&warning);
                app.log.push(&warning);
            })
            .ok();
        let controllable = server.is_some();
        let (feed_sender, feed) = feed::live(app.header.clone(), controls.clone());
        let outlet = Outlet {
            recorder,
            feed: feed_sender,
            progress,
            tolerance: app.header.tolerance,
            shown: app.timeline.end(),
            told: (Instant::now(), RecorderStats::default()),
            checkpoints: Checkpoints::new(checkpoint_every, trainer.steps_done()),
        };
        let device = app.header.device.clone();
        let (inquiries, asked) = train::inquiries();
        trainer.take_inquiries(asked);
        let thread = thread::Builder::new()
            .name("trainer".to_owned())
            .spawn(move || {
                // Only a screen shows what a GPU does, but whether there is one may change.
                let gpu = Gpu::watch(&device, outlet.feed.gpu());
                let recorded = run_training(trainer, beginning, outlet, &orders);
                // The feed ends with it.
                drop(gpu);
                // The file is closed: now, and not before, those who wait for the end are told.
                drop(server);
                recorded
            })
            .map_err(|error| Failure::Other(format!("cannot start the training: {error}")))?;
        Ok(Self {
            app,
            feed,
            controls,
            inquiries,
            signals,
            controllable,
            thread,
        })
    }

    /// Watches the training to its end or the user's, and reports it.
    pub fn watch(self, mut watched: Watched, output: &Path) -> Result<ExitCode, Failure> {
        let Some(detached) = watched.detached.take() else {
            return self.watch_here(watched, output);
        };
        let log = detached.begun(output);
        let result = self.watch_here(watched, output);
        if let (Ok(_), Some(log)) = (&result, log) {
            log.remove_if_empty();
        }
        result
    }

    fn watch_here(self, watched: Watched, output: &Path) -> Result<ExitCode, Failure> {
        let Self {
            mut app,
            mut feed,
            controls,
            inquiries,
            signals,
            controllable,
            thread,
        } = self;
        let mut interrupted = None;
        let mut told = false;
        let (place, mut quiet, warns) = (watched.place, watched.quiet, watched.warns);
        match place {
            Place::Screen(options) => {
                let path = output.to_owned();
                // An older file may still have the name.
                let reader = move || guard::detail_reader(&store::written_at(&path));
                let closely = feed::details(reader, inquiries);
                // Without its thread the screen shows what it has.
                let (details, reader) = closely.ok().unzip();
                feed.details = details;
                let run = screen::Shown {
                    feed: &feed,
                    file: output,
                };
                let shown = screen::show(&run, None, &mut app, &options, &signals);
                // Nothing is looked at closely any more.
                feed.details = None;
                drop(reader);
                // A screen that cannot be drawn is no reason to lose the training's steps.
                match shown {
                    Ok(Exit::Quit(Quit::Stop)) => {
                        signals.stopping();
                        stop(&controls);
                    }
                    Ok(exit @ (Exit::Quit(Quit::Leave) | Exit::Hangup)) => {
                        // After a hang-up nobody is left to read a bar or a summary.
                        quiet = exit == Exit::Hangup;
                        let progress = if quiet { Progress::None } else { Progress::Bar };
                        // A pause outlives the terminal where somebody can end it.
                        if !(quiet && controllable) {
                            let _ = controls.send(Control::Resume);
                        }
                        interrupted =
                            headless::follow(&feed, &mut app, &controls, &signals, progress);
                        told = interrupted.is_some();
                    }
                    Ok(Exit::Signal(signal)) => {
                        interrupted = Some(signal);
                        stop(&controls);
                    }
                    Err(error) => {
                        stop(&controls);
                        // The trainer must not wait for a feed that nobody reads.
                        drop(feed);
                        let _ = join(thread);
                        return Err(error);
                    }
                }
            }
            Place::Bar | Place::Nowhere => {
                if !quiet && screen::disturbs() {
                    let path = quoted(&output.display().to_string());
                    super::tell(&format!(
                        "training in the background: `lcascope open {path}` shows it"
                    ));
                }
                let progress = Progress::of(quiet, warns);
                interrupted = headless::follow(&feed, &mut app, &controls, &signals, progress);
                told = interrupted.is_some();
            }
        }
        // The training may still finish its step: take its last events in while it ends.
        let mut patience = (!quiet && !told).then_some(SOON);
        loop {
            let event = match patience {
                Some(soon) => feed.events.recv_timeout(soon),
                None => (feed.events.recv()).map_err(|_| RecvTimeoutError::Disconnected),
            };
            match event {
                Ok(event) => app.event(event),
                Err(RecvTimeoutError::Timeout) => {
                    patience = None;
                    super::tell(STOPPING);
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let (end, stats) = match (join(thread), interrupted) {
            (Err(Failure::Store(none @ StoreError::NoStep { .. })), Some(signal)) => {
                super::tell(&none.to_string());
                return Ok(screen::signal_code(signal));
            }
            (recorded, _) => recorded?,
        };
        if !quiet {
            super::print(summary::table(&app, &end, stats, output).as_bytes())?;
        }
        match (end.status, interrupted) {
            (Status::Failed, _) => Err(Failure::Run(end.message)),
            (_, Some(signal)) => Ok(screen::signal_code(signal)),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

fn stop(controls: &Controls) {
    // A training that has ended takes no more orders.
    let _ = controls.send(Control::Stop);
}

fn join(thread: thread::JoinHandle<Recorded>) -> Result<(RunEnd, RecorderStats), Failure> {
    match thread.join() {
        Ok(recorded) => Ok(recorded?),
        Err(panic) => Err(Failure::Other(format!(
            "the training thread panicked: {}; the steps committed before are in the file",
            panic_text(&*panic)
        ))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    (panic.downcast_ref::<&str>().copied())
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

/// The trainer's thread: trains, records, and tells the screen.
fn run_training(
    mut trainer: Trainer,
    beginning: Beginning,
    mut outlet: Outlet,
    orders: &Orders,
) -> Recorded {
    let ended = match beginning {
        Beginning::Fresh => train::run(&mut trainer, orders, &mut outlet),
        Beginning::Resumed { start } => {
            // Without a checkpoint it begins anew: the weights at θ_0 may not be in the file yet.
            let told = match trainer.steps_done() {
                0 => outlet.start(start),
                _ => Ok(()),
            };
            told.and_then(|()| train::proceed(&mut trainer, orders, &mut outlet))
        }
    };
    let Outlet { recorder, feed, .. } = outlet;
    match ended {
        Ok(end) => {
            let result = recorder.finish(end.clone());
            match &result {
                Ok(_) => feed.end(&end),
                Err(error) => feed.broken(error.to_string()),
            }
            result.map(|stats| (end, stats))
        }
        Err(SinkClosed) => {
            let end = RunEnd {
                status: Status::Failed,
                message: "the recorder failed".to_owned(),
                totals: None,
            };
            let result = recorder.finish(end.clone()).map(|stats| (end, stats));
            if let Err(error) = &result {
                feed.broken(error.to_string());
            }
            result
        }
    }
}

/// Where a step goes: to the screen as a summary, to the file in full.
struct Outlet {
    recorder: Recorder,
    feed: FeedSender,
    /// What the control socket tells.
    progress: Arc<control::Progress>,
    /// Steps that the screen has from the file of a run that was resumed.
    shown: u64,
    /// How the recording went when the screen was told last, and when that was.
    told: (Instant, RecorderStats),
    checkpoints: Checkpoints,
    /// The run's, for residuals.
    tolerance: f64,
}

/// How often the screen is told how the recording goes, at most.
const TELL_EVERY: Duration = Duration::from_millis(500);

impl Outlet {
    /// Tells the screen how the recording goes, if that has changed.
    fn tell_recorder(&mut self) {
        let (at, told) = self.told;
        let stats = self.recorder.stats();
        if stats != told && at.elapsed() >= TELL_EVERY {
            self.feed.recorder(stats);
            self.told = (Instant::now(), stats);
        }
    }
}

impl Sink for Outlet {
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed> {
        self.feed.start(&record);
        self.recorder.start(record).map_err(|_| SinkClosed)
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        self.progress.steps_done(record.step + 1);
        if record.step >= self.shown {
            self.feed.step(StepSummary::of(&record, self.tolerance));
        }
        self.recorder.step(record).map_err(|_| SinkClosed)?;
        self.tell_recorder();
        Ok(())
    }

    fn paused(&mut self, paused: bool) -> Result<(), SinkClosed> {
        self.progress.paused(paused);
        self.feed.paused(paused);
        self.tell_recorder();
        self.recorder.paused(paused).map_err(|_| SinkClosed)
    }

    fn checkpoint_is_due(&mut self, done: u64) -> bool {
        self.checkpoints.is_due(done)
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), SinkClosed> {
        self.recorder.checkpoint(checkpoint).map_err(|_| SinkClosed)
    }
}

/// When the next checkpoint is due.
struct Checkpoints {
    every: CheckpointEvery,
    last_step: u64,
    last_time: Instant,
}

impl Checkpoints {
    fn new(every: CheckpointEvery, done: u64) -> Self {
        Self {
            every,
            last_step: done,
            last_time: Instant::now(),
        }
    }

    fn is_due(&mut self, done: u64) -> bool {
        let due = match self.every {
            CheckpointEvery::Steps(steps) => done - self.last_step >= steps,
            CheckpointEvery::Seconds(seconds) => {
                self.last_time.elapsed() >= Duration::from_secs(seconds)
            }
        };
        if due {
            self.last_step = done;
            self.last_time = Instant::now();
        }
        due
    }
}

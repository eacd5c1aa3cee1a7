//! A running training: the trainer's thread, the destinations of its steps, and its observer.

use std::any::Any;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender};

use super::browse;
use super::child;
use super::cost::RunCost;
use super::detach::Detached;
use super::exit::signal_code;
use super::failure::Failure;
use super::gpu::Gpu;
use super::headless::{self, ProgressKind};
use super::notify::Notifier;
use super::opening::Opener;
use super::print::print;
use super::print::print_message;
use super::remote::Ssh;
use super::sandbox;
use super::screen::{self, NoScreen};
use super::signals::{STOPPING, Signals};
use super::summary;
use crate::app::{App, Picker, Quit, RunModel};
use crate::config::{CheckpointEvery, ConfigError, Options};
use crate::control::{self, Server};
use crate::feed::{self, Feed, FeedSender};
use crate::record::{Checkpoint, RunEnd, StartRecord, Status, StepRecord, StepSummary};
use crate::store::{self, Recorder, RecorderStats, StoreError};
use crate::text::quoted;
use crate::train::{self, Control, Controls, Inquiry, Orders, Sink, SinkClosed, Trainer};
use crate::tui::{Exit, ScreenOptions};

/// The start of a run.
pub enum RunStart {
    Fresh,
    /// The trainer has started from the restored state.
    Resumed {
        start: StartRecord,
    },
}

/// The destinations of a run's records, apart from the screen.
pub struct Destinations {
    pub recorder: Recorder,
    pub checkpoint_every: CheckpointEvery,
    pub listener: Option<Box<dyn StepListener>>,
    /// The command of `--notify`.
    pub notify: Option<String>,
}

/// Someone who is told of every step, on the trainer's thread.
pub trait StepListener: Send {
    fn start(&mut self, record: &StartRecord);
    fn step(&mut self, record: &StepRecord);
}

/// The options for observing a run, and for what is printed.
pub struct WatchOptions {
    place: Presentation,
    pub quiet: bool,
    /// Whether warnings are printed to standard error: a training in the background prints them too, to its caller or
    /// its log, and one of a series to the series.
    pub warns: bool,
    detached: Option<Detached>,
    /// The expected cost of a new run.
    pub cost: Option<RunCost>,
}

impl WatchOptions {
    /// Resolves how a training is watched.
    ///
    /// # Errors
    /// An option of the screen cannot be used.
    pub fn resolve(options: &Options, detached: Option<Detached>) -> Result<Self, ConfigError> {
        let screen = screen::options(options.color, options.glyphs, options.fps)?;
        let quiet = detached.is_some() || options.quiet.unwrap_or(false);
        let headless = quiet || options.headless.unwrap_or(false) || NoScreen::now().is_some();
        let place = match (headless, quiet) {
            (_, true) => Presentation::Nowhere,
            (true, false) => Presentation::Bar,
            (false, false) => Presentation::Screen(screen),
        };
        Ok(Self {
            place,
            quiet,
            warns: child::is_of_series() || !options.quiet.unwrap_or(false),
            detached,
            cost: None,
        })
    }
}

/// The place where a run is shown.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Presentation {
    Screen(ScreenOptions),
    Bar,
    Nowhere,
}

/// The wait after which a message says what is being waited for.
const SOON: Duration = Duration::from_millis(500);

/// The result of recording a run.
type RecordingResult = Result<(RunEnd, RecorderStats), StoreError>;

/// A running training, and its state as known here.
pub struct RunningTraining {
    model: RunModel,
    feed: Feed,
    controls: Controls,
    /// Requests for details of the training that are not in the file yet.
    inquiries: Sender<Inquiry>,
    signals: Signals,
    /// Whether other processes can give orders as well.
    controllable: bool,
    thread: thread::JoinHandle<RecordingResult>,
}

impl RunningTraining {
    /// Starts the trainer's thread, and the control socket beside the run file.
    ///
    /// # Errors
    /// A thread or the handling of signals cannot be started.
    pub fn spawn(
        mut model: RunModel,
        mut trainer: Trainer,
        destinations: Destinations,
        beginning: RunStart,
        output: &Path,
    ) -> Result<Self, Failure> {
        let Destinations {
            recorder,
            checkpoint_every,
            listener,
            notify,
        } = destinations;
        let (controls, orders) = train::controls();
        let planned = model.header.planned_steps;
        let progress = control::Progress::new();
        progress.steps_done(trainer.steps_done());
        // Before anybody can know that the training exists.
        let signals = Signals::listen(Some(controls.clone()))?;
        let server = Server::spawn(output, controls.clone(), progress.clone(), planned);
        let server = server
            .map_err(|(path, error)| {
                let path = path.display();
                let warning = format!(
                    "warning: no control socket {path}: {error}; `lcascope stop` and `pause` cannot \
                     control this training (signals can)"
                );
                print_message(&warning);
                model.log.push(&warning);
            })
            .ok();
        let controllable = server.is_some();
        let (feed_sender, feed) = feed::live(model.header.clone(), controls.clone());
        let outlet = StepOutlet {
            recorder,
            listener,
            notifier: Notifier::spawn(notify.as_deref(), model.header.clone(), output),
            feed: feed_sender,
            progress,
            tolerance: model.header.tolerance,
            shown: model.timeline.end(),
            told: (Instant::now(), RecorderStats::default()),
            checkpoints: Checkpoints::new(
                checkpoint_every,
                trainer.params().len(),
                trainer.steps_done(),
            ),
        };
        let device = model.header.device.clone();
        let (inquiries, asked) = train::inquiries();
        trainer.take_inquiries(asked);
        let thread = thread::Builder::new()
            .name("trainer".to_owned())
            .spawn(move || {
                // Only a screen shows the GPU's use, but whether there is a screen may change.
                let gpu = Gpu::watch(&device, outlet.feed.gpu());
                let (recorded, notifier) = run_training(trainer, beginning, outlet, &orders);
                // Its feed ends with it.
                drop(gpu);
                // The file is closed: only now may those who wait for the end be told.
                drop(server);
                if let Some(notifier) = notifier {
                    match &recorded {
                        Ok((end, _)) => notifier.end(end.status, &end.message),
                        Err(error) => notifier.end(Status::Failed, &error.to_string()),
                    }
                }
                recorded
            })
            .map_err(|error| Failure::Other(format!("cannot start the training: {error}")))?;
        Ok(Self {
            model,
            feed,
            controls,
            inquiries,
            signals,
            controllable,
            thread,
        })
    }

    /// Waits for the training to end, without showing it.
    ///
    /// # Errors
    /// The run could not be recorded.
    pub fn wait(mut self) -> Result<RunEnd, Failure> {
        let none = ProgressKind::None;
        headless::follow(
            &self.feed,
            &mut self.model,
            &self.controls,
            &self.signals,
            none,
            None,
        );
        join(self.thread).map(|(end, _)| end)
    }

    /// Follows the training until it ends or the user leaves, and prints the summary.
    ///
    /// # Errors
    /// The run failed, or the terminal cannot be used.
    pub fn watch(self, mut watched: WatchOptions, output: &Path) -> Result<ExitCode, Failure> {
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

    fn watch_here(self, watched: WatchOptions, output: &Path) -> Result<ExitCode, Failure> {
        let Self {
            mut model,
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
            Presentation::Screen(options) => {
                let shown;
                (model, shown) = show(model, &mut feed, inquiries, &options, output, &signals);
                // A screen that cannot be drawn is no reason to lose the training's steps.
                match shown {
                    Ok(Exit::Quit(Quit::Stop)) => {
                        signals.stopping();
                        stop(&controls);
                    }
                    Ok(exit @ (Exit::Quit(Quit::Leave | Quit::Runs) | Exit::Hangup)) => {
                        // After a hang-up, nobody is left to read a bar or a summary.
                        quiet = exit == Exit::Hangup;
                        let progress = if quiet {
                            ProgressKind::None
                        } else {
                            ProgressKind::Bar
                        };
                        // A pause outlives the terminal only if somebody can end it.
                        if !(quiet && controllable) {
                            let _ = controls.send(Control::Resume);
                        }
                        interrupted = headless::follow(
                            &feed, &mut model, &controls, &signals, progress, None,
                        );
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
            Presentation::Bar | Presentation::Nowhere => {
                if !quiet && screen::would_disturb_terminal() {
                    let path = quoted(&output.display().to_string());
                    print_message(&format!(
                        "training in the background: `lcascope open {path}` shows it"
                    ));
                }
                let progress = ProgressKind::choose(quiet, warns);
                let cost = watched.cost.as_ref();
                interrupted =
                    headless::follow(&feed, &mut model, &controls, &signals, progress, cost);
                told = interrupted.is_some();
            }
        }
        // The training may still finish its step: handle its last events while it ends.
        take_last_events(&feed, &mut model, (!quiet && !told).then_some(SOON));
        let (end, stats) = match (join(thread), interrupted) {
            (Err(Failure::Store(none @ StoreError::NoStep { .. })), Some(signal)) => {
                print_message(&none.to_string());
                return Ok(signal_code(signal));
            }
            (recorded, _) => recorded?,
        };
        if !quiet {
            print(summary::table(&model, &end, stats, output).as_bytes())?;
        }
        match (end.status, interrupted) {
            (Status::Failed, _) => Err(Failure::Run(end.message)),
            (_, Some(signal)) => Ok(signal_code(signal)),
            _ => Ok(ExitCode::SUCCESS),
        }
    }
}

/// Shows a run on the screen until it is left.
fn show(
    model: RunModel,
    feed: &mut Feed,
    inquiries: Sender<Inquiry>,
    options: &ScreenOptions,
    output: &Path,
    signals: &Signals,
) -> (RunModel, Result<Exit, Failure>) {
    let path = output.to_owned();
    // An older file may still have the name.
    let reader = move || sandbox::detail_reader(&store::written_at(&path));
    let closely = feed::details(reader, inquiries);
    // Without its thread, the screen shows what it has.
    let (details, reader) = closely.ok().unzip();
    feed.details = details;
    let run = screen::ShownRun {
        feed,
        file: output,
        there: None,
    };
    let mut app = App::of(model);
    let folder = browse::folder_of(output);
    let mut picker = Picker::new(folder.to_string_lossy());
    let mut pick = || {
        let opener = Opener {
            ssh: &Ssh::new(None, None)?,
            options,
            signals,
            on_screen: true,
        };
        browse::show_folder(&folder, &mut picker, &opener)
    };
    let shown = loop {
        let shown = screen::show(&run, &[], &mut app, None, options, signals);
        if !matches!(shown, Ok(Exit::Quit(Quit::Runs))) {
            break shown;
        }
        app.quit = None;
        match pick() {
            // Leaving other runs does not end the training.
            Ok(None | Some(Exit::Quit(_))) => {}
            Ok(Some(exit)) => break Ok(exit),
            Err(failure) => break Err(failure),
        }
    };
    // No more details are requested.
    feed.details = None;
    drop(reader);
    (app.model, shown)
}

/// Takes the events of a training that ends. After `patience`, prints that the training is stopping.
fn take_last_events(feed: &Feed, model: &mut RunModel, mut patience: Option<Duration>) {
    loop {
        let event = match patience {
            Some(soon) => feed.events.recv_timeout(soon),
            None => (feed.events.recv()).map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(event) => model.event(event),
            Err(RecvTimeoutError::Timeout) => {
                patience = None;
                print_message(STOPPING);
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
}

fn stop(controls: &Controls) {
    // A training that has ended takes no more orders.
    let _ = controls.send(Control::Stop);
}

fn join(thread: thread::JoinHandle<RecordingResult>) -> Result<(RunEnd, RecorderStats), Failure> {
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

/// The body of the trainer's thread: trains, records, and updates the screen.
fn run_training(
    mut trainer: Trainer,
    beginning: RunStart,
    mut outlet: StepOutlet,
    orders: &Orders,
) -> (RecordingResult, Option<Notifier>) {
    let ended = match beginning {
        RunStart::Fresh => train::run(&mut trainer, orders, &mut outlet),
        RunStart::Resumed { start } => {
            // Without a checkpoint it starts from the beginning: the weights at θ_0 may not be in the file yet.
            let told = match trainer.steps_done() {
                0 => outlet.start(start),
                _ => Ok(()),
            };
            told.and_then(|()| train::run_started(&mut trainer, orders, &mut outlet))
        }
    };
    let StepOutlet {
        recorder,
        feed,
        notifier,
        ..
    } = outlet;
    let recorded = match ended {
        Ok(end) => {
            // The totals may be large, and only the recorder needs them.
            let told = RunEnd {
                status: end.status,
                message: end.message.clone(),
                totals: None,
            };
            let result = recorder.finish(end);
            match &result {
                Ok(_) => feed.end(&told),
                Err(error) => feed.broken(error.to_string()),
            }
            result.map(|stats| (told, stats))
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
    };
    (recorded, notifier)
}

/// The destinations of a step: the screen gets a summary, the file everything.
struct StepOutlet {
    recorder: Recorder,
    listener: Option<Box<dyn StepListener>>,
    notifier: Option<Notifier>,
    feed: FeedSender,
    /// The progress reported by the control socket.
    progress: Arc<control::Progress>,
    /// Steps of a resumed run that the screen already has from the file.
    shown: u64,
    /// When the screen was last told about the recording, and what.
    told: (Instant, RecorderStats),
    checkpoints: Checkpoints,
    /// The run's tolerance for residuals.
    tolerance: f64,
}

/// The least time between reports of the recording to the screen.
const TELL_EVERY: Duration = Duration::from_millis(500);

impl StepOutlet {
    /// Reports the state of the recording to the screen, if it has changed.
    fn tell_recorder(&mut self) {
        let (at, told) = self.told;
        let stats = self.recorder.stats();
        if stats != told && at.elapsed() >= TELL_EVERY {
            self.feed.recorder(stats);
            self.told = (Instant::now(), stats);
        }
    }
}

impl Sink for StepOutlet {
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed> {
        self.feed.start(&record);
        if let Some(listener) = &mut self.listener {
            listener.start(&record);
        }
        if let Some(notifier) = &mut self.notifier {
            notifier.start(&record.losses);
        }
        self.recorder.start(record).map_err(|_| SinkClosed)
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        self.progress.steps_done(record.step + 1);
        if record.step >= self.shown {
            let summary = StepSummary::from_step(&record, self.tolerance);
            if let Some(notifier) = &mut self.notifier {
                notifier.step(&summary);
            }
            self.feed.step(summary);
        }
        if let Some(listener) = &mut self.listener {
            listener.step(&record);
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

    fn wants_last_checkpoint(&self) -> bool {
        self.checkpoints.every != CheckpointEvery::Never
    }

    fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), SinkClosed> {
        self.recorder.checkpoint(checkpoint).map_err(|_| SinkClosed)
    }
}

/// The schedule of checkpoints.
struct Checkpoints {
    every: CheckpointEvery,
    last_step: u64,
    last_time: Instant,
}

impl Checkpoints {
    fn new(every: CheckpointEvery, params: usize, done: u64) -> Self {
        Self {
            every: every.for_params(params),
            last_step: done,
            last_time: Instant::now(),
        }
    }

    fn is_due(&mut self, done: u64) -> bool {
        let due = match self.every {
            CheckpointEvery::Auto | CheckpointEvery::Stop | CheckpointEvery::Never => false,
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

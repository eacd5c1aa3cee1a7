//! `lcascope train` and the demo.

use std::any::Any;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::headless::{self, Progress};
use super::prepare::{Prepared, prepare};
use super::screen::{self, Signals};
use super::{Failure, summary};
use crate::app::{App, Quit};
use crate::cli::TrainArgs;
use crate::config::{ConfigError, Options, RunConfig, merge, parse};
use crate::feed::{self, Feed, FeedSender};
use crate::record::{RunEnd, RunHeader, StartRecord, Status, StepRecord, StepSummary};
use crate::store::{Recorder, RecorderStats, RunReader, StoreError, WriteOptions};
use crate::train::{self, Control, Sink, SinkClosed, Trainer};
use crate::tui::{Exit, ScreenOptions};

/// Epochs of the demo: about half a minute on two cores.
const DEMO_EPOCHS: u64 = 40;

/// `lcascope` without a command.
///
/// # Errors
/// The run file cannot be written, or the run fails.
pub fn demo() -> Result<ExitCode, Failure> {
    train_with(&Options {
        epochs: Some(DEMO_EPOCHS),
        ..Options::default()
    })
}

/// `lcascope train`
///
/// # Errors
/// Anything wrong with the flags, the data, the device or the run file, or the run fails.
pub fn train(args: &TrainArgs) -> Result<ExitCode, Failure> {
    let options = match &args.config {
        Some(path) => merge(&read_config(path)?, &args.options)?,
        None => args.options.clone(),
    };
    train_with(&options)
}

/// Options from a TOML file, or from the configuration stored in a run file.
fn read_config(path: &Path) -> Result<Options, Failure> {
    let bytes = fs::read(path).map_err(|error| {
        ConfigError(format!(
            "cannot read the configuration {}: {error}",
            path.display()
        ))
    })?;
    let origin = path.display().to_string();
    if bytes.starts_with(b"\x89HDF") {
        let reader = RunReader::open(path)?;
        let config = &reader.header().config;
        if config.trim().is_empty() {
            return Err(ConfigError(format!(
                "{origin} holds no configuration: another program trained a model of its own, and \
                 only that program can repeat it"
            ))
            .into());
        }
        return Ok(parse(config, &origin)?);
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| ConfigError(format!("{origin} is neither a TOML file nor a run file")))?;
    Ok(parse(&text, &origin)?)
}

fn train_with(options: &Options) -> Result<ExitCode, Failure> {
    let config = RunConfig::resolve(options)?;
    let screen = screen::options(options.color, options.glyphs, options.fps)?;
    let quiet = options.quiet.unwrap_or(false);
    let headless = quiet || options.headless.unwrap_or(false) || !screen::has_terminal();
    let force = options.force.unwrap_or(false);
    let output = match &options.output {
        Some(path) => path.clone(),
        None => default_output(&config.network.name),
    };
    if output.to_str().is_none() {
        let output = output.display();
        return Err(ConfigError(format!("--output {output}: the name is not UTF-8")).into());
    }
    if output.is_dir() {
        let output = output.display();
        return Err(ConfigError(format!("--output {output} is a folder: give a file")).into());
    }
    // Looked at before the data are read, to fail early; the creation itself is exclusive.
    if output.exists() && !force {
        return Err(StoreError::Exists { path: output }.into());
    }
    let Prepared { header, trainer } = prepare(&config)?;
    let write = WriteOptions {
        force,
        compression: config.compression,
        mantissa_bits: config.mantissa_bits,
    };
    let recorder = Recorder::spawn(&output, &header, write)?;
    let run = Run::spawn(header, trainer, recorder)?;
    let signals = Signals::listen(Some(run.controls.clone()))?;
    let place = match (headless, quiet) {
        (_, true) => Place::Nowhere,
        (true, false) => Place::Bar,
        (false, false) => Place::Screen(screen),
    };
    run.watch(place, &signals, &output)
}

/// `runs/<network>-<time>.h5`, with a number if that is taken.
fn default_output(network: &str) -> PathBuf {
    let time = jiff::ZonedDateTime::now().strftime("%Y%m%d-%H%M%S");
    let first = PathBuf::from(format!("runs/{network}-{time}.h5"));
    let more = (2..).map(|n| PathBuf::from(format!("runs/{network}-{time}-{n}.h5")));
    let mut names = std::iter::once(first.clone()).chain(more);
    names.find(|path| !path.exists()).unwrap_or(first)
}

/// Where a run is watched.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
enum Place {
    Screen(ScreenOptions),
    Bar,
    Nowhere,
}

/// How the recording of a run ended.
type Recorded = Result<(RunEnd, RecorderStats), StoreError>;

/// A training under way.
struct Run {
    feed: Feed,
    controls: Sender<Control>,
    thread: thread::JoinHandle<Recorded>,
}

impl Run {
    /// Starts the trainer's thread.
    fn spawn(
        header: Arc<RunHeader>,
        trainer: Trainer,
        recorder: Recorder,
    ) -> Result<Self, Failure> {
        let (controls, orders) = unbounded();
        let tolerance = header.tolerance;
        let (sender, feed) = feed::live(header, controls.clone());
        let thread = thread::Builder::new()
            .name("trainer".to_owned())
            .spawn(move || {
                let outlet = Outlet {
                    recorder,
                    feed: sender,
                    tolerance,
                };
                run_training(trainer, outlet, &orders)
            })
            .map_err(|error| Failure::Other(format!("cannot start the training: {error}")))?;
        Ok(Self {
            feed,
            controls,
            thread,
        })
    }

    /// Watches the training to its end or the user's, and reports it.
    fn watch(self, place: Place, signals: &Signals, output: &Path) -> Result<ExitCode, Failure> {
        let Self {
            mut feed,
            controls,
            thread,
        } = self;
        let mut interrupted = None;
        let mut quiet = matches!(place, Place::Nowhere);
        let app = match place {
            Place::Screen(options) => {
                let (details, reader) = feed::details(output)
                    .map_err(|error| Failure::Other(format!("cannot start a thread: {error}")))?;
                feed.details = Some(details);
                let shown = screen::show(&feed, &options, signals);
                // Nothing is looked at closely any more.
                feed.details = None;
                drop(reader);
                // A screen that cannot be drawn is no reason to lose the training's steps.
                match shown {
                    Ok((exit, mut app)) => {
                        match exit {
                            Exit::Quit(Quit::Stop) => stop(&controls),
                            Exit::Quit(Quit::Leave) | Exit::Hangup => {
                                // After a hang-up nobody is left to read a bar or a summary.
                                quiet = exit == Exit::Hangup;
                                let progress = if quiet { Progress::None } else { Progress::Bar };
                                let _ = controls.send(Control::Resume);
                                interrupted =
                                    headless::follow(&feed, &mut app, &controls, signals, progress);
                            }
                            Exit::Signal(signal) => {
                                interrupted = Some(signal);
                                stop(&controls);
                            }
                        }
                        app
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
                let mut app = App::new(feed.header.clone(), feed.origin);
                let progress = if quiet { Progress::None } else { Progress::Bar };
                interrupted = headless::follow(&feed, &mut app, &controls, signals, progress);
                app
            }
        };
        // The training may still finish its step: take its last events in while it ends.
        let mut app = app;
        for event in &feed.events {
            app.event(event);
        }
        let (end, stats) = join(thread)?;
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

fn stop(controls: &Sender<Control>) {
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
fn run_training(mut trainer: Trainer, mut outlet: Outlet, orders: &Receiver<Control>) -> Recorded {
    match train::run(&mut trainer, orders, &mut outlet) {
        Ok(end) => {
            let Outlet { recorder, feed, .. } = outlet;
            let result = recorder.finish(end.clone());
            match &result {
                Ok(_) => feed.end(&end),
                Err(error) => feed.broken(error.to_string()),
            }
            result.map(|stats| (end, stats))
        }
        Err(SinkClosed) => {
            let Outlet { recorder, feed, .. } = outlet;
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
    /// The run's, for residuals.
    tolerance: f64,
}

impl Sink for Outlet {
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed> {
        self.feed.start(&record);
        self.recorder.start(record).map_err(|_| SinkClosed)
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        self.feed.step(StepSummary::of(&record, self.tolerance));
        self.recorder.step(record).map_err(|_| SinkClosed)
    }
}

//! `lcascope train` and the demo.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Failure;
use super::detach::{self, Detached};
use super::prepare::{Prepared, prepare};
use super::resume::Resumed;
use super::run::{Beginning, Run, Watched};
use super::{child, guard, repeats};
use crate::app::App;
use crate::cli::TrainArgs;
use crate::config::{ConfigError, Options, RunConfig, merge, parse};
use crate::feed::Origin;
use crate::record::RunHeader;
use crate::store::{self, Recorder, StoreError, WriteOptions};

/// Epochs of the demo: about half a minute on two cores.
const DEMO_EPOCHS: u64 = 40;

/// `lcascope` without a command.
///
/// # Errors
/// The run file cannot be written, or the run fails.
pub fn demo() -> Result<ExitCode, Failure> {
    let options = Options {
        epochs: Some(DEMO_EPOCHS),
        ..Options::default()
    };
    train_with(&options, None)
}

/// `lcascope train`
///
/// # Errors
/// Anything wrong with the flags, the data, the device or the run file, or the run fails.
pub fn train(args: &TrainArgs) -> Result<ExitCode, Failure> {
    child::heed();
    if args.detach && args.options.repeats.is_some() {
        return Err(no_detached_series());
    }
    let detached = match args.detach {
        true => match Detached::begin()? {
            Some(detached) => Some(detached),
            None => return detach::spawn(),
        },
        false => None,
    };
    if let Some(path) = &args.resume {
        if let Some(repeats) = args.options.repeats {
            return repeats::resume(path, &args.options, repeats);
        }
        return resume(path, &args.options, detached);
    }
    let options = match &args.config {
        Some(path) => merge(&read_config(path)?, &args.options)?,
        None => args.options.clone(),
    };
    if let Some(repeats) = options.repeats {
        if detached.is_some() {
            return Err(no_detached_series());
        }
        return repeats::begin(&options, repeats);
    }
    train_with(&options, detached)
}

fn no_detached_series() -> Failure {
    let what = "--repeats cannot be detached: start it in tmux, or with nohup and &";
    Failure::Usage(ConfigError(what.to_owned()))
}

/// Options from a TOML file, or from the configuration stored in a run file.
pub(super) fn read_config(path: &Path) -> Result<Options, Failure> {
    let bytes = match path == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            io::stdin().read_to_end(&mut bytes).map(|_| bytes)
        }
        false => fs::read(path),
    };
    let bytes = bytes.map_err(|error| {
        ConfigError(format!(
            "cannot read the configuration {}: {error}",
            path.display()
        ))
    })?;
    let origin = path.display().to_string();
    if bytes.starts_with(b"\x89HDF") {
        return Ok(stored_config(&guard::peek(path)?.header, &origin)?);
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| ConfigError(format!("{origin} is neither a TOML file nor a run file")))?;
    Ok(parse(&text, &origin)?)
}

pub(super) fn train_with(
    options: &Options,
    detached: Option<Detached>,
) -> Result<ExitCode, Failure> {
    let config = RunConfig::resolve(options)?;
    let watched = Watched::from(options, detached)?;
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
    make_way(&output, force, false)?;
    let warning = store::warning(&output).map(|warning| format!("warning: {warning}"));
    if let Some(warning) = warning.as_ref().filter(|_| !watched.quiet) {
        let _ = writeln!(io::stderr(), "{warning}");
    }
    ignore_file_size_signal()?;
    let Prepared { header, trainer } = prepare(&config)?;
    let write = WriteOptions {
        force,
        compression: config.compression,
        mantissa_bits: config.mantissa_bits,
    };
    make_way(&output, force, true)?;
    let recorder = Recorder::spawn(&output, &header, write)?;
    let mut app = App::new(header, Origin::Live);
    app.log.push(&warning.unwrap_or_default());
    let beginning = Beginning::Fresh;
    let outlet = (recorder, config.checkpoint_every);
    Run::spawn(app, trainer, outlet, beginning, &output)?.watch(watched, &output)
}

/// Goes on with a run. What of `flags` would change it is refused.
fn resume(path: &Path, flags: &Options, detached: Option<Detached>) -> Result<ExitCode, Failure> {
    let watched = Watched::from(flags, detached)?;
    ignore_file_size_signal()?;
    // It may be too damaged to be read by this process.
    guard::peek(path)?;
    let Resumed {
        app,
        trainer,
        recorder,
        start,
        checkpoint_every,
    } = super::resume::resume(path, flags)?;
    if !watched.quiet {
        let (from, planned) = (trainer.steps_done(), trainer.steps_planned());
        let again = match app.timeline.end() - from {
            0 => String::new(),
            n => format!("; the {n} steps recorded behind it are computed again first"),
        };
        let path = path.display();
        let _ = writeln!(
            io::stderr(),
            "going on with {path} after step {from} of {planned}{again}"
        );
    }
    let beginning = Beginning::Resumed { start };
    let outlet = (recorder, checkpoint_every);
    Run::spawn(app, trainer, outlet, beginning, path)?.watch(watched, path)
}

/// The options that a run's file holds.
pub(super) fn stored_config(header: &RunHeader, origin: &str) -> Result<Options, ConfigError> {
    if header.config.trim().is_empty() {
        return Err(ConfigError(format!(
            "{origin} holds no configuration: another program trained a model of its own, and only \
             that program can repeat it"
        )));
    }
    parse(&header.config, origin)
}

/// Looks whether a file that is to be overwritten may be, and removes it once its place is needed. It
/// may be too damaged to be read by this process.
pub(super) fn make_way(output: &Path, force: bool, remove: bool) -> Result<(), Failure> {
    if !force || !output.is_file() {
        return Ok(());
    }
    let is_live = match guard::peek(output) {
        Ok(opened) => opened.state.is_live(),
        Err(_) => store::is_locked(output),
    };
    if is_live {
        let path = output.to_owned();
        return Err(StoreError::Live { path }.into());
    }
    if remove {
        store::discard(output)?;
    }
    Ok(())
}

/// A file that may not grow any further (`ulimit -f`) is an error that the recorder reports, not the
/// end of the process.
fn ignore_file_size_signal() -> Result<(), Failure> {
    let caught = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGXFSZ, caught)
        .map(|_| ())
        .map_err(|error| Failure::Other(format!("cannot listen to signals: {error}")))
}

/// `runs/<network>-<time>.h5`, with a number if that is taken.
pub(super) fn default_output(network: &str) -> PathBuf {
    let time = jiff::ZonedDateTime::now().strftime("%Y%m%d-%H%M%S");
    let first = PathBuf::from(format!("runs/{network}-{time}.h5"));
    let more = (2..).map(|n| PathBuf::from(format!("runs/{network}-{time}-{n}.h5")));
    let mut names = std::iter::once(first.clone()).chain(more);
    names.find(|path| !path.exists()).unwrap_or(first)
}

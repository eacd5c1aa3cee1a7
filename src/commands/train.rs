//! `lcascope train` and the demo.

use std::path::Path;
use std::process::ExitCode;

use super::dry_run::dry_run;
use super::given_weights;
use super::list::default_folder;
use super::open::open_folder;
use super::output::{self, CommandInputs};
use super::prepare::{PreparedTraining, prepare};
use super::rank::serve_rank;
use super::read_config::read_config;
use super::repeats;
use super::resume::ResumedRun;
use crate::app::RunModel;
use crate::cli::TrainArgs;
use crate::cluster::{self, Ranks};
use crate::config::{ConfigError, Options, RunConfig, merge};
use crate::feed::Origin;
use crate::query::data_lints;
use crate::record::RunHeader;
use crate::runs::RunCache;
use crate::store::{self, Recorder, WriteOptions};
use crate::supervise::cost::RunCost;
use crate::supervise::detach::{self, Detached};
use crate::supervise::memory::MemoryUse;
use crate::supervise::notify::NOTIFY;
use crate::supervise::run::{Destinations, RunStart, RunningTraining, WatchOptions};
use crate::supervise::run_list::RunList;
use crate::supervise::screen::{self, NoScreen};
use crate::supervise::signals::Signals;
use crate::supervise::{Failure, child, print_message, sandbox};
use crate::tui;

/// Epochs of the demo: about half a minute on two cores.
const DEMO_EPOCHS: u64 = 40;

/// `lcascope` without a command: lists the runs in this folder or, if there are none, runs the demo.
///
/// # Errors
/// The run file cannot be written, or the run fails.
pub fn demo() -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    let folder = default_folder();
    if NoScreen::now().is_none()
        && RunList::new(vec![folder.clone()], RunCache::of_user()).has_run()
    {
        let options = screen::options(None, None, None)?;
        return open_folder(&folder, &options, &Signals::listen(None)?);
    }
    let options = Options {
        epochs: Some(DEMO_EPOCHS),
        ..Options::default()
    };
    on_first_rank(|ranks| train_with(&options, &[], false, None, ranks, None))
}

/// Connects the ranks of a training in several processes. Rank 0, or a process that was started alone, runs the command,
/// and the others evaluate for it.
pub(super) fn on_first_rank(
    command: impl FnOnce(Option<&Ranks>) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let ranks = cluster::join()?;
    match &ranks {
        Some(ranks) if !ranks.is_first() => serve_rank(ranks),
        ranks => command(ranks.as_ref()),
    }
}

/// Runs `lcascope train`.
///
/// # Errors
/// Anything wrong with the flags, the data, the device or the run file, or the run fails.
pub fn train(args: &TrainArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    child::stop_with_parent();
    if args.detach {
        cluster::refuse("train --detach")?;
    }
    if args.options.repeats.is_some() {
        cluster::refuse("train --repeats")?;
    }
    on_first_rank(|ranks| train_on(args, ranks))
}

fn train_on(args: &TrainArgs, ranks: Option<&Ranks>) -> Result<ExitCode, Failure> {
    if args.detach && args.options.repeats.is_some() {
        return Err(no_detached_series());
    }
    let detached = if args.detach {
        match Detached::begin()? {
            Some(detached) => Some(detached),
            None => return detach::spawn(),
        }
    } else {
        None
    };
    if let Some(path) = &args.resume {
        if let Some(repeats) = args.options.repeats {
            refuse_notify(args)?;
            return repeats::resume(path, &args.options, repeats);
        }
        return resume(path, args, detached, ranks);
    }
    let options = match &args.config {
        Some(path) => merge(&read_config(path)?, &args.options)?,
        None => args.options.clone(),
    };
    let read: Vec<&Path> = args.config.iter().map(AsRef::as_ref).collect();
    if args.dry_run {
        return train_with(&options, &read, true, None, ranks, None);
    }
    if let Some(repeats) = options.repeats {
        if detached.is_some() {
            return Err(no_detached_series());
        }
        // The configuration may ask for them.
        cluster::refuse("train --repeats")?;
        refuse_notify(args)?;
        return repeats::begin(&options, &read, repeats);
    }
    train_with(
        &options,
        &read,
        false,
        detached,
        ranks,
        args.notify.as_deref(),
    )
}

/// The runs of a series are trained by other processes, which take the command from the environment.
fn refuse_notify(args: &TrainArgs) -> Result<(), ConfigError> {
    match &args.notify {
        None => Ok(()),
        Some(_) => Err(ConfigError(format!(
            "--notify cannot be given with --repeats; set the environment variable {NOTIFY} instead"
        ))),
    }
}

fn no_detached_series() -> Failure {
    let what = "--repeats and --detach exclude each other: use tmux, or nohup and &";
    Failure::Usage(ConfigError(what.to_owned()))
}

/// Trains or, if `dry` is set, only estimates what that would take. `read` lists files that the command reads in
/// addition to those named in the options.
pub(super) fn train_with(
    options: &Options,
    read: &[&Path],
    dry: bool,
    detached: Option<Detached>,
    ranks: Option<&Ranks>,
    notify: Option<&str>,
) -> Result<ExitCode, Failure> {
    let mut config = RunConfig::resolve(options)?;
    if let (Some(ranks), None) = (ranks, options.threads) {
        config.threads = ranks.threads();
    }
    let mut watched = WatchOptions::resolve(options, detached)?;
    let force = options.force.unwrap_or(false);
    let wanted = options.output.as_deref();
    if let Some(path) = wanted {
        // To fail early; the file is later created exclusively.
        output::check(path, force, &CommandInputs::from_options(options, read))?;
    }
    let network = &config.network.name;
    let output = wanted.map_or_else(|| output::default_name(network), Path::to_path_buf);
    let warning = store::warning(&output).map(|warning| format!("warning: {warning}"));
    if let Some(warning) = warning.as_ref().filter(|_| !watched.quiet) {
        print_message(warning);
    }
    let PreparedTraining { header, trainer } = prepare(&config, ranks)?;
    let cost = RunCost::of(&header, &config, MemoryUse::of_training(&config, &header));
    cost.check_memory()?;
    if let Some(ranks) = ranks.filter(|_| !watched.quiet) {
        print_message(&running_on(ranks, &header));
    }
    let path = config
        .course
        .as_ref()
        .map(|course| given_weights::path_of(course, &header));
    if let Some(path) = path.as_ref().filter(|_| !watched.quiet) {
        print_message(path);
    }
    let lints = data_lints(&header, None);
    let lints: Vec<String> = lints.iter().map(ToString::to_string).collect();
    for line in lints.iter().filter(|_| watched.warns) {
        print_message(line);
    }
    if dry {
        let too_large = cost.check_disk(&output)?;
        too_large.as_ref().inspect(|warning| print_message(warning));
        return dry_run(&cost, &header, trainer);
    }
    let write = WriteOptions {
        force,
        compression: config.compression,
        mantissa_bits: config.mantissa_bits,
    };
    let (output, new) = output::new_file(wanted, network, force)?;
    let too_large = cost.check_disk(&output)?;
    let costs: Vec<String> = too_large.into_iter().chain([cost.line()]).collect();
    for line in costs.iter().filter(|_| !watched.quiet) {
        print_message(line);
    }
    let recorder = Recorder::begin(new, &header, write)?;
    let mut model = RunModel::new(header, Origin::Live);
    model.log.push(&warning.unwrap_or_default());
    for line in costs.iter().chain(&lints) {
        model.log.push(line);
    }
    watched.cost = Some(cost);
    let beginning = RunStart::Fresh;
    let destinations = Destinations {
        recorder,
        checkpoint_every: config.checkpoint_every,
        listener: None,
        notify: notify.map(str::to_owned),
    };
    RunningTraining::spawn(model, trainer, destinations, beginning, &output)?
        .watch(watched, &output)
}

/// Returns where the ranks are, and what each of them computes with.
fn running_on(ranks: &Ranks, header: &RunHeader) -> String {
    format!("running on {}: {}", ranks.place(), header.device)
}

/// Continues a run. Flags that would change it are refused.
fn resume(
    path: &Path,
    args: &TrainArgs,
    detached: Option<Detached>,
    ranks: Option<&Ranks>,
) -> Result<ExitCode, Failure> {
    let flags = &args.options;
    let watched = WatchOptions::resolve(flags, detached)?;
    // The file may be too damaged to be read in this process.
    sandbox::read_through(path)?;
    let ResumedRun {
        model,
        trainer,
        recorder,
        start,
        checkpoint_every,
    } = super::resume::resume(path, flags, ranks)?;
    if !watched.quiet {
        if let Some(ranks) = ranks {
            print_message(&running_on(ranks, &model.header));
        }
        let (from, planned) = (trainer.steps_done(), trainer.steps_planned());
        let again = match model.timeline.end() - from {
            0 => String::new(),
            n => format!("; the {n} steps recorded after it are recomputed first"),
        };
        let path = path.display();
        print_message(&format!(
            "resuming {path} after step {from} of {planned}{again}"
        ));
    }
    let beginning = RunStart::Resumed { start };
    let destinations = Destinations {
        recorder,
        checkpoint_every,
        listener: None,
        notify: args.notify.clone(),
    };
    RunningTraining::spawn(model, trainer, destinations, beginning, path)?.watch(watched, path)
}

//! `lcascope record`: records a training in another program, which speaks the protocol of `docs/protocol.md`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;

use super::output::{self, CommandInputs};
use super::prepare::{PreparedTraining, header_of, settings, snapshots};
use super::resume::{ResumedRun, Steps, continue_run};
use crate::app::RunModel;
use crate::cli::RecordArgs;
use crate::config::{ConfigError, Options, RunConfig, merge, recording_options};
use crate::data::Batches;
use crate::engine::GradientEngine;
use crate::feed::Origin;
use crate::protocol::{
    Allocated, Client, ClientEngine, ClientTrajectory, Closed, EndStatus, Number, OpenedModel,
    Reason, RecordRequest, SentLosses, ServerMessage, SharedMemory,
};
use crate::query::data_lints;
use crate::record::{Losses, RunEnd, RunHeader, StartRecord, Status, StepRecord};
use crate::store::{self, Recorder, Resumable, WriteOptions};
use crate::supervise::cost::RunCost;
use crate::supervise::memory::{self, MemoryUse};
use crate::supervise::run::{Destinations, RunStart, RunningTraining, StepListener};
use crate::supervise::{Failure, sandbox};
use crate::train::{Trainer, choose_traced};

/// Runs `lcascope record`.
///
/// # Errors
/// It was not started by a program that speaks the protocol, or the run cannot be recorded.
pub fn record(args: &RecordArgs) -> Result<ExitCode, Failure> {
    let client = Client::on_standard_input().map_err(|error| {
        ConfigError(format!(
            "standard input is not a socket ({error}): `lcascope record` is started by the program that trains the model, \
             as docs/protocol.md describes"
        ))
    })?;
    let started = begin(&client, args.memory);
    let (output, training) = match started {
        Ok(started) => started,
        Err(failure) => {
            let reason = failure.to_string();
            // If the program is gone, nobody waits for the reason.
            let _ = client.send(&ServerMessage::Refused(Reason { reason }));
            return Ok(ExitCode::from(failure.exit_code()));
        }
    };
    let ended = training.wait();
    let closed = match &ended {
        Ok(RunEnd {
            status, message, ..
        }) => Closed {
            status: match status {
                Status::Finished | Status::Running => EndStatus::Finished,
                Status::Stopped => EndStatus::Stopped,
                Status::Failed => EndStatus::Failed,
            },
            reason: message.clone(),
            steps: steps_in(&output),
        },
        Err(failure) => Closed {
            status: EndStatus::Failed,
            reason: failure.to_string(),
            steps: steps_in(&output),
        },
    };
    let is_failed = closed.status == EndStatus::Failed;
    let _ = client.send(&ServerMessage::Closed(closed));
    Ok(ExitCode::from(u8::from(is_failed)))
}

/// The number of steps in a file; 0 if it cannot be read.
fn steps_in(output: &Path) -> u64 {
    sandbox::peek(output).map_or(0, |opened| opened.state.committed)
}

/// Waits for the program's request, and starts or continues the run.
fn begin(client: &Client, memory: u32) -> Result<(PathBuf, RunningTraining), Failure> {
    let request = RecordRequest::receive(client)?;
    let params = request.model.layout.params();
    let memory = SharedMemory::inherited(memory, params)
        .map_err(|error| ConfigError(format!("--memory {memory}: {error}")))?;
    match &request.resume {
        None => begin_new(client, &memory, &request),
        Some(path) => resume(client, &memory, &request, path.clone()),
    }
}

fn begin_new(
    client: &Client,
    memory: &SharedMemory,
    request: &RecordRequest,
) -> Result<(PathBuf, RunningTraining), Failure> {
    let options = &Options {
        lca_every: Some(request.every),
        ..request.options.clone()
    };
    only_of_a_recording(options, &["output", "force"])?;
    let force = options.force.unwrap_or(false);
    let wanted = options.output.clone();
    if let Some(path) = &wanted {
        output::check(path, force, &CommandInputs::files(&[]))?;
    }
    let (config, planned) = resolve(options)?;
    let PreparedTraining { header, trainer } = prepare(client, memory, request, &config, planned)?;
    let cost = RunCost::of(&header, &config, MemoryUse::of_recording(&config, &header));
    cost.check_memory()?;
    let write = WriteOptions {
        force,
        compression: config.compression,
        mantissa_bits: config.mantissa_bits,
    };
    let (output, new) = output::new_file(wanted.as_deref(), &request.model.network, force)?;
    let too_large = cost.check_disk(&output)?;
    let warnings = store::warning(&output).into_iter().chain(too_large);
    let mut warnings: Vec<String> = warnings.collect();
    warnings.extend(data_lints(&header, None).iter().map(ToString::to_string));
    let recorder = Recorder::begin(new, &header, write)?;
    let params = header.layout.params();
    let model = RunModel::new(header, Origin::Live);
    send(
        client,
        &ServerMessage::Ready {
            output: output.display().to_string(),
            steps: 0,
            planned,
            warnings,
            cost: cost.line(),
        },
    )?;
    let destinations = Destinations {
        recorder,
        checkpoint_every: config.checkpoint_every.for_recording(params),
        listener: Some(Box::new(Told(
            client.try_clone().map_err(connection_failed)?,
        ))),
        notify: None,
    };
    let training = RunningTraining::spawn(model, trainer, destinations, RunStart::Fresh, &output)?;
    Ok((output, training))
}

fn resume(
    client: &Client,
    memory: &SharedMemory,
    request: &RecordRequest,
    path: PathBuf,
) -> Result<(PathBuf, RunningTraining), Failure> {
    let given = &request.options;
    let rest = Options {
        checkpoint_every: None,
        ..given.clone()
    };
    if let Some(key) = first_key(&rest)? {
        return Err(ConfigError(format!(
            "a resumed run keeps its own options: `{key}` cannot be given with resume"
        ))
        .into());
    }
    // The file may be too damaged to be read in this process.
    sandbox::read_through(&path)?;
    let run = Resumable::open(&path)?;
    let origin = path.display().to_string();
    let stored = recording_options(&run.reader().header().config, &origin)?;
    let (config, planned) = resolve(&merge(&stored, given)?)?;
    if config.lca_every != request.every {
        return Err(ConfigError(format!(
            "every: a step of this run covers {} optimizer steps, not {}",
            config.lca_every, request.every
        ))
        .into());
    }
    let prepared = prepare(client, memory, request, &config, planned)?;
    let params = prepared.header.layout.params();
    let every = config.checkpoint_every.for_recording(params);
    let ResumedRun {
        model,
        trainer,
        recorder,
        start,
        checkpoint_every,
    } = continue_run(run, &path, prepared, every, Steps::Replaced)?;
    let mut listener = Told(client.try_clone().map_err(connection_failed)?);
    send(
        client,
        &ServerMessage::Ready {
            output: origin,
            steps: trainer.steps_done(),
            planned,
            warnings: Vec::new(),
            cost: String::new(),
        },
    )?;
    listener.start(&start);
    let destinations = Destinations {
        recorder,
        checkpoint_every,
        listener: Some(Box::new(listener)),
        notify: None,
    };
    let beginning = RunStart::Resumed { start };
    let training = RunningTraining::spawn(model, trainer, destinations, beginning, &path)?;
    Ok((path, training))
}

/// Resolves the options of a recording; the second value is the planned number of steps, 0 if it is unknown.
fn resolve(options: &Options) -> Result<(RunConfig, u64), ConfigError> {
    let planned = options.steps.unwrap_or(0);
    let options = Options {
        steps: options.steps.filter(|&steps| steps > 0),
        ..options.clone()
    };
    Ok((RunConfig::resolve(&options)?, planned))
}

/// Refuses options that do not concern a recording.
fn only_of_a_recording(options: &Options, also: &[&str]) -> Result<(), ConfigError> {
    let mut rest = table(options)?;
    for (key, _) in table(&options.clone().of_a_recording())? {
        rest.remove(&key);
    }
    match rest.keys().find(|key| !also.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(ConfigError(format!(
            "options: `{key}` has no meaning here: the model is trained in its own program"
        ))),
    }
}

fn first_key(options: &Options) -> Result<Option<String>, ConfigError> {
    Ok(table(options)?.keys().next().cloned())
}

fn table(options: &Options) -> Result<toml::Table, ConfigError> {
    toml::Table::try_from(options).map_err(|error| ConfigError(error.to_string()))
}

/// The configuration as it is stored in the run file.
#[derive(Serialize)]
struct StoredConfig {
    /// The name of this field is [`crate::config::RECORDING`].
    record: Options,
}

/// Prepares the trainer, which follows the program, and the header of its run.
fn prepare(
    client: &Client,
    memory: &SharedMemory,
    request: &RecordRequest,
    config: &RunConfig,
    planned: u64,
) -> Result<PreparedTraining, Failure> {
    let OpenedModel {
        producer,
        network,
        device,
        layout,
        dataset,
        train,
        held_out,
        classes,
        facts,
        input_shape,
        slice_size,
    } = &request.model;
    check(config, &request.model)?;
    let handles = || Ok::<_, std::io::Error>((client.try_clone()?, memory.try_clone()?));
    let engine = {
        let (client, memory) = handles().map_err(connection_failed)?;
        let sizes = (layout.params(), classes.len());
        let is_held_out = *held_out > 0;
        ClientEngine::new(
            client,
            memory,
            device.clone(),
            sizes,
            request.exact,
            is_held_out,
        )
    };
    let (client, memory) = handles().map_err(connection_failed)?;
    let trajectory = ClientTrajectory::new(client, memory, planned);
    let traced = choose_traced(layout, config.trace, config.seed);
    let stored = Options {
        steps: Some(planned).filter(|&steps| steps > 0),
        ..config.to_options().of_a_recording()
    };
    let settled = header_of(config, &StoredConfig { record: stored })?;
    let mut header = RunHeader {
        producer: format!("{}, {producer}", settled.producer),
        device: engine.describe(),
        dataset: dataset.clone(),
        slice_size: *slice_size,
        network: network.clone(),
        planned_steps: planned,
        layout: layout.clone(),
        input_shape: input_shape.clone(),
        classes: classes.clone(),
        data: facts.clone(),
        train_index: (0..*train).collect(),
        test_index: (0..*held_out).collect(),
        snapshots: snapshots(config, layout.params()),
        traced: traced.clone(),
        ..settled
    };
    // Never drawn from: the program draws its own mini-batches.
    let batches = Batches::new(1, 1, config.seed)?;
    let theta = vec![0.0; layout.params()];
    let mut trainer = Trainer::new(
        settings(config, layout.params(), planned, Vec::new(), traced),
        layout,
        Box::new(engine),
        batches,
        false,
        theta,
        Vec::new(),
    );
    (trainer.follow(Box::new(trajectory))).map_err(|error| Failure::Other(error.to_string()))?;
    header.checkpoint = trainer.checkpoint_shape();
    Ok(PreparedTraining {
        header: Arc::new(header),
        trainer,
    })
}

/// Checks that the options fit the model and its data, and the model the memory.
fn check(config: &RunConfig, model: &OpenedModel) -> Result<(), ConfigError> {
    if config.by_class && model.classes.len() < 2 {
        return Err(ConfigError("by_class: the data have no classes".to_owned()));
    }
    if config.lca_test && model.held_out == 0 {
        let what = "lca_test: there are no held-out examples";
        return Err(ConfigError(what.to_owned()));
    }
    memory::check_recording(model.layout.params())
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` calls it")]
fn connection_failed(error: std::io::Error) -> Failure {
    Failure::Other(format!("the connection: {error}"))
}

fn send(client: &Client, message: &ServerMessage) -> Result<(), Failure> {
    (client.send(message)).map_err(|error| Failure::Other(error.to_string()))
}

/// Reports every step to the program. Errors are ignored: if the program is gone, waiting for its next message fails.
struct Told(Client);

impl StepListener for Told {
    fn start(&mut self, record: &StartRecord) {
        let losses = sent(&record.losses);
        let _ = self.0.send(&ServerMessage::Started { losses });
    }

    fn step(&mut self, record: &StepRecord) {
        let numbers = |values: &[f64]| values.iter().map(|&value| Number(value)).collect();
        let held_out = record.lca_held_out.as_ref();
        let allocated = Allocated {
            step: record.step + 1,
            loss_before: Number(record.loss_before),
            loss_after: Number(record.after.train),
            losses: sent(&record.after),
            lca: Number(record.lca.total),
            residual: Number(record.lca.residual),
            layers: numbers(&record.lca.layer),
            held_out_lca: held_out.map(|held_out| Number(held_out.total)),
            held_out_layers: held_out.map(|held_out| numbers(&held_out.layer)),
            segments: record.segments,
            gradients: record.gradient_evals,
            seconds: record.seconds,
        };
        let _ = self.0.send(&ServerMessage::Allocated(Box::new(allocated)));
    }
}

fn sent(losses: &Losses) -> SentLosses {
    SentLosses {
        train: Number(losses.train),
        train_accuracy: Number(losses.train_accuracy),
        test: Number(losses.test),
        test_accuracy: Number(losses.test_accuracy),
    }
}

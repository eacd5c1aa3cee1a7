//! The ranks of a training in several processes: what rank 0 tells the others to prepare, and how they do it.

use std::env;
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::check::{check, load};
use super::engine::{make_engine, run_data, slice_size_of};
use crate::cluster::Ranks;
use crate::config::{DeviceChoice, Options, RunConfig};
use crate::engine::candle::gpu_count;
use crate::engine::ranks::{RankEngine, Share, divide, serve};
use crate::engine::{Device, EngineError, GradientEngine, RunData, is_sorted_by_class};
use crate::model::Network;
use crate::supervise::{Failure, ignore_end_requests};

/// The task that every rank prepares. The first three fields are compared with the rank's own.
#[derive(Serialize, Deserialize)]
struct Task {
    version: String,
    arguments: Vec<String>,
    dataset_sha256: String,
    /// The resolved configuration.
    config: Options,
    /// Threads of each rank, if they were given.
    threads: Option<usize>,
}

/// This program's version.
fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

fn arguments() -> Vec<String> {
    let arguments = env::args_os().skip(1);
    arguments
        .map(|it| it.to_string_lossy().into_owned())
        .collect()
}

/// Builds the engine of a run. If there are `ranks`, of which this is the first, it divides the data among them.
///
/// # Errors
/// A rank was started with other arguments, has other data, or cannot build its engine.
pub(super) fn engine_on(
    ranks: Option<&Ranks>,
    config: &RunConfig,
    network: &Network,
    data: RunData,
    dataset_sha256: &str,
) -> Result<Box<dyn GradientEngine>, Failure> {
    let Some(ranks) = ranks else {
        return Ok(make_engine(config, network, data)?);
    };
    let task = Task {
        version: version(),
        arguments: arguments(),
        dataset_sha256: dataset_sha256.to_owned(),
        config: config.to_options(),
        threads: Some(config.threads).filter(|&threads| threads != ranks.threads()),
    };
    let task = serde_json::to_vec(&task).map_err(|error| Failure::Other(error.to_string()))?;
    let engine = RankEngine::begin(ranks.link(), &task, || share(ranks, config, network, data))?;
    Ok(Box::new(engine))
}

fn share(
    ranks: &Ranks,
    config: &RunConfig,
    network: &Network,
    data: RunData,
) -> Result<Share, EngineError> {
    let link = ranks.link();
    let place = (link.rank(), link.size());
    let slicing = (
        slice_size_of(config),
        is_sorted_by_class(network, config.by_class),
    );
    let draws = config.course.is_none();
    let (data, examples) = divide(data, slicing, network.classes, draws, place);
    let engine = make_engine(config, network, data)?;
    Ok(Share::new(
        engine,
        examples,
        network.params(),
        network.buffers,
    ))
}

/// Evaluates for rank 0 until the training has ended. Prints nothing.
///
/// # Errors
/// The ranks can no longer communicate.
pub(super) fn serve_rank(ranks: &Ranks) -> Result<ExitCode, Failure> {
    // The launcher passes signals on to all ranks; rank 0 decides what they mean.
    ignore_end_requests()?;
    let link = ranks.link();
    let prepare = |task: &[u8]| {
        let task: Task =
            serde_json::from_slice(task).map_err(|_| other_version("another version"))?;
        prepare_share(ranks, &task).map_err(|failure| failure.to_string())
    };
    match serve(&*link, prepare) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Other(format!(
            "rank {} on {}: {error}",
            link.rank(),
            link.host()
        ))),
    }
}

fn other_version(of_first: &str) -> String {
    format!(
        "this is lcascope {}, but rank 0 runs {of_first}: start the same program on all hosts",
        version()
    )
}

/// Builds this rank's share of a task.
fn prepare_share(ranks: &Ranks, task: &Task) -> Result<Share, Failure> {
    if task.version != version() {
        return Err(Failure::Other(other_version(&task.version)));
    }
    let own = arguments();
    if own != task.arguments {
        return Err(Failure::Other(format!(
            "started with other arguments than rank 0: `{}`, not `{}`",
            own.join(" "),
            task.arguments.join(" ")
        )));
    }
    let mut config = RunConfig::resolve(&task.config)?;
    config.threads = task.threads.unwrap_or(ranks.threads());
    config.device = device_of(config.device, ranks);
    let dataset = load(&config)?;
    if dataset.sha256 != task.dataset_sha256 {
        let path = config.data.as_ref();
        let path = path.map_or("the embedded sample".into(), |path| {
            path.display().to_string()
        });
        return Err(Failure::Other(format!(
            "{path} is not rank 0's data: SHA-256 {}, not {}",
            dataset.sha256, task.dataset_sha256
        )));
    }
    let checked = check(&config, &dataset)?;
    let data = run_data(dataset.train, dataset.test, &checked.split);
    Ok(share(ranks, &config, &checked.network, data)?)
}

/// The GPUs of a machine go round its ranks, from rank 0's on.
fn device_of(device: DeviceChoice, ranks: &Ranks) -> DeviceChoice {
    match device {
        DeviceChoice::Device(Device::Cuda(first)) => {
            let ordinal = (first + ranks.local_rank()) % gpu_count().max(1);
            DeviceChoice::Device(Device::Cuda(ordinal))
        }
        device => device,
    }
}

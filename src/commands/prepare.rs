//! Prepares a training: turns a configuration into a trainer that is ready to start, and the header of its run.

use std::sync::Arc;

use serde::Serialize;

use super::check::{CheckedConfig, check, load};
use super::engine::{resolve_engine, run_data};
use super::given_weights::open_trajectory;
use super::rank::engine_on;
use crate::cluster::Ranks;
use crate::config::RunConfig;
use crate::lca::histogram_edges;
use crate::model::he_normal;
use crate::optim::Overrides;
use crate::record::RunHeader;
use crate::supervise::Failure;
use crate::train::{TrainSettings, Trainer, affordable_snapshots, choose_traced};

/// A training that is ready to start.
pub struct PreparedTraining {
    pub header: Arc<RunHeader>,
    pub trainer: Trainer,
}

/// Loads the data, builds the network and the engine, and resolves the settings that depend on them. If there are
/// `ranks`, the engine divides the data among them.
///
/// # Errors
/// Anything wrong with the data, the network or the device, or sizes that do not fit each other; on any rank.
pub fn prepare(config: &RunConfig, ranks: Option<&Ranks>) -> Result<PreparedTraining, Failure> {
    let mut config = with_absolute_paths(config.clone());
    let dataset = load(&config)?;
    let checked = check(&config, &dataset)?;
    let facts = checked.facts(&dataset);
    let CheckedConfig {
        split,
        network,
        layers,
        batch_size,
        batches,
        mut steps,
    } = checked;
    config.batch_size = Some(batch_size);
    let mut steps_per_epoch = batches.batches_per_epoch() as u64;
    let trajectory = match &config.course {
        Some(choice) => Some(open_trajectory(choice, &network.layout, config.lca_every)?),
        None => None,
    };
    if let Some(trajectory) = &trajectory {
        // The batches with which the weights were trained are unknown.
        (steps, steps_per_epoch) = (trajectory.steps(), 0);
    }

    let mut run_data = run_data(dataset.train, dataset.test, &split);
    if trajectory.is_some() {
        // No mini-batch is drawn.
        run_data.drawn_from = None;
    }
    let slice_size = resolve_engine(&mut config, &network, &run_data)?;
    let engine = engine_on(ranks, &config, &network, run_data, &dataset.sha256)?;
    let traced = choose_traced(&network.layout, config.trace, config.seed);
    let settings = settings(&config, network.params(), steps, layers, traced.clone());
    let theta = he_normal(&network, config.seed);
    let mut header = RunHeader {
        device: engine.describe(),
        dataset: dataset.name,
        dataset_sha256: dataset.sha256,
        slice_size: slice_size as u64,
        ranks: ranks.map_or(1, Ranks::count) as u64,
        network: network.name.clone(),
        planned_steps: if config.course.is_some() {
            steps
        } else {
            steps.div_ceil(config.lca_every)
        },
        steps_per_epoch,
        layout: network.layout.clone(),
        input_shape: dataset.shape.to_vec(),
        classes: dataset.classes,
        data: Some(facts),
        snapshots: settings.snapshots,
        traced,
        trajectory_files: trajectory
            .as_ref()
            .map_or(Vec::new(), |trajectory| trajectory.files()),
        train_index: split.train,
        lca_index: split.lca,
        test_index: split.test,
        validation_index: split.validation,
        ..header_of(&config, &config.to_options())?
    };
    let has_validation = !header.validation_index.is_empty();
    let mut trainer = Trainer::new(
        settings,
        &network.layout,
        engine,
        batches,
        has_validation,
        theta,
        network.initial_buffers(),
    );
    if let Some(trajectory) = trajectory {
        (trainer.follow(trajectory)).map_err(|error| Failure::Other(error.to_string()))?;
    }
    header.checkpoint = trainer.checkpoint_shape();
    Ok(PreparedTraining {
        header: Arc::new(header),
        trainer,
    })
}

/// Makes paths absolute, so that the run file's configuration is valid in any folder.
fn with_absolute_paths(mut config: RunConfig) -> RunConfig {
    let course = config.course.as_mut().map(|course| &mut course.path);
    for path in config.data.as_mut().into_iter().chain(course) {
        *path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    }
    config
}

/// Returns the part of a run's header that follows from its configuration alone. `stored` is the configuration as the
/// file keeps it.
pub(super) fn header_of(config: &RunConfig, stored: &impl Serialize) -> Result<RunHeader, Failure> {
    let stored = toml::to_string(stored);
    let now = jiff::Timestamp::now();
    Ok(RunHeader {
        producer: concat!("lcascope ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        config: stored.map_err(|error| Failure::Other(format!("the configuration: {error}")))?,
        seed: config.seed,
        integrator: config.integration.method.to_string(),
        tolerance: config.integration.tolerance,
        lca_every: config.lca_every,
        histogram_edges: histogram_edges(),
        held_out_lca: config.lca_test,
        record_weights: config.record_weights,
        record_params: config.record_params,
        ..RunHeader::default()
    })
}

/// Returns the number of snapshots of the running totals.
pub(super) fn snapshots(config: &RunConfig, params: usize) -> u64 {
    (config.snapshots).unwrap_or_else(|| affordable_snapshots(params))
}

pub(super) fn settings(
    config: &RunConfig,
    params: usize,
    steps: u64,
    layers: Vec<Overrides>,
    traced: Vec<u64>,
) -> TrainSettings {
    TrainSettings {
        seed: config.seed,
        steps,
        optimizer: config.optimizer,
        learning_rate: config.learning_rate,
        weight_decay: config.weight_decay,
        layers,
        schedule: config.schedule,
        integration: config.integration,
        held_out_lca: config.lca_test,
        class_every: if config.by_class {
            config.class_every
        } else {
            0
        },
        test_every: config.test_every,
        every: config.lca_every,
        record_weights: config.record_weights,
        record_params: config.record_params,
        snapshots: snapshots(config, params),
        traced,
        threads: config.threads,
    }
}

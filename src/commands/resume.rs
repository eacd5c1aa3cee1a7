//! `lcascope train --resume`: restores a training from its run file.

use std::path::Path;

use super::prepare::{PreparedTraining, prepare};
use crate::app::RunModel;
use crate::cluster::Ranks;
use crate::config::{
    CheckpointEvery, ConfigError, Options, RunConfig, holds_options, merge, stored_options,
};
use crate::feed::{FeedEvent, Origin};
use crate::record::{Checkpoint, RunHeader, StartRecord};
use crate::store::{FIRST_LOOK, KeptPart, Recorder, Resumable, RunReader};
use crate::supervise::Failure;
use crate::text::quoted;
use crate::train::{Trainer, snapshot_is_due};

/// A run that is about to continue.
pub struct ResumedRun {
    /// Contains the steps that are kept.
    pub model: RunModel,
    /// Restored and started.
    pub trainer: Trainer,
    pub recorder: Recorder,
    pub start: StartRecord,
    pub checkpoint_every: CheckpointEvery,
}

/// Returns how a run that has not ended is resumed, as the end of a sentence.
pub fn how_to_resume(config: &str, path: &Path) -> String {
    if holds_options(config) {
        let path = quoted(&path.to_string_lossy());
        format!(": lcascope train --resume {path}")
    } else {
        " from the program that trained it".to_owned()
    }
}

/// Reads the run's configuration, data and newest checkpoint, and restores the trainer.
///
/// # Errors
/// The flags would change the run; the file is not a run, is being written, has all its steps or cannot be written; or
/// the data differ.
pub fn resume(path: &Path, flags: &Options, ranks: Option<&Ranks>) -> Result<ResumedRun, Failure> {
    only_harmless(flags)?;
    let run = Resumable::open(path)?;
    let header = run.reader().header();
    let mut stored = stored_options(&header.config, &path.display().to_string())?;
    if ranks.is_some() || header.ranks > 1 {
        // The stored number is the share of a machine that each rank had.
        stored.threads = ranks.map(Ranks::threads);
    }
    let config = RunConfig::resolve(&merge(&stored, flags)?)?;
    let prepared = prepare(&config, ranks)?;
    continue_run(
        run,
        path,
        prepared,
        config.checkpoint_every,
        Steps::Repeated,
    )
}

/// The recorded steps after the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// They are taken again, and come out the same.
    Repeated,
    /// Another program takes new ones, from a checkpoint with the weights that it has now.
    Replaced,
}

/// Restores and starts a trainer that was prepared as if for a new run.
///
/// # Errors
/// It was prepared for another run, or the file cannot be written.
pub(super) fn continue_run(
    run: Resumable,
    path: &Path,
    prepared: PreparedTraining,
    checkpoint_every: CheckpointEvery,
    steps: Steps,
) -> Result<ResumedRun, Failure> {
    let PreparedTraining {
        header,
        mut trainer,
    } = prepared;
    same_run(run.reader().header(), &header)
        .map_err(|what| Failure::Other(format!("{} cannot be resumed: {what}", path.display())))?;

    let mut model = RunModel::new(header.clone(), Origin::Live);
    let fits = |checkpoint: &Checkpoint| steps == Steps::Repeated || trainer.is_at(checkpoint);
    let saved = run.checkpoint(&header.checkpoint, fits)?;
    if steps == Steps::Replaced && saved.is_none() && run.committed() > 0 {
        // All recorded steps would be lost, whatever weights the program has.
        return Err(Failure::Other(format!(
            "{} cannot be resumed: it has no checkpoint. Ask for one whenever the program saves its weights \
             (`scope.checkpoint()` in Python), and record this training in a new file",
            path.display()
        )));
    }
    if let Some((_, checkpoint)) = &saved {
        (trainer.restore(checkpoint))
            .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
    }
    if let Some(last) = run.committed().checked_sub(1) {
        trainer.set_clock(run.reader().steps(last..last + 1)?[0].seconds);
    }
    let from = trainer.steps_done();
    let mut start = (trainer.start()).map_err(|error| Failure::Run(error.to_string()))?;
    // A machine with different rounding, such as another GPU, leaves the recorded path at the checkpoint: the steps
    // after it are then dropped. On the same path they are already in the file.
    let recorded = run.reader().losses(from)?;
    let kept = match &recorded {
        Some(losses) if losses.train.to_bits() == start.losses.train.to_bits() => match steps {
            Steps::Repeated => run.committed(),
            Steps::Replaced => from,
        },
        Some(losses) => {
            trainer.continue_from(losses);
            start.losses = losses.clone();
            from
        }
        None => from,
    };
    show_kept(&mut model, run.reader(), kept)?;
    let keep = KeptPart {
        steps: kept,
        checkpoint: saved.map(|(found, _)| found),
        totals: snapshot_is_due(kept, header.planned_steps, header.snapshots),
    };
    let recorder = Recorder::resume(run, keep, &header)?;
    Ok(ResumedRun {
        model,
        trainer,
        recorder,
        start,
        checkpoint_every,
    })
}

/// Refuses flags that would change the run.
pub(super) fn only_harmless(flags: &Options) -> Result<(), ConfigError> {
    let rest = Options {
        // Settings of where it is trained and shown, and where its data are.
        data: None,
        threads: None,
        checkpoint_every: None,
        headless: None,
        quiet: None,
        color: None,
        glyphs: None,
        fps: None,
        ..flags.clone()
    };
    let table = toml::Table::try_from(&rest).map_err(|error| ConfigError(error.to_string()))?;
    match table.keys().next() {
        None => Ok(()),
        Some(key) if key == "network" => Err(ConfigError(
            "--resume uses the run's own network: give none".to_owned(),
        )),
        Some(key) => Err(ConfigError(format!(
            "--resume uses the run's own configuration: --{} cannot be given with it",
            key.replace('_', "-")
        ))),
    }
}

/// Checks that the configuration still gives the same run; the error says what differs.
fn same_run(file: &RunHeader, now: &RunHeader) -> Result<(), String> {
    if file.dataset_sha256 != now.dataset_sha256 {
        return Err(format!(
            "its data were {}, SHA-256 {}; found {}, {}: give the right data with --data",
            file.dataset, file.dataset_sha256, now.dataset, now.dataset_sha256
        ));
    }
    for (same, what) in [
        (
            file.layout == now.layout,
            "its network has different parameters",
        ),
        (
            (&file.train_index, &file.lca_index) == (&now.train_index, &now.lca_index)
                && (&file.test_index, &file.validation_index)
                    == (&now.test_index, &now.validation_index),
            "its examples were drawn differently",
        ),
        (
            file.trajectory_files.is_empty() || file.trajectory_files == now.trajectory_files,
            "its points were different files of the folder",
        ),
        (file.traced == now.traced, "it traces different parameters"),
        (
            file.histogram_edges == now.histogram_edges,
            "its histograms have different edges",
        ),
        (
            (file.planned_steps, file.slice_size, file.held_out_lca)
                == (now.planned_steps, now.slice_size, now.held_out_lca)
                && file.lca_every.max(1) == now.lca_every.max(1)
                && file.snapshots == now.snapshots
                && (file.record_weights > 0, file.record_params > 0)
                    == (now.record_weights > 0, now.record_params > 0),
            "its configuration contradicts its datasets",
        ),
    ] {
        if !same {
            return Err(format!("{what}; it was written by another version"));
        }
    }
    Ok(())
}

/// Passes the kept steps to the screen, as coarse summaries for a long run.
fn show_kept(model: &mut RunModel, reader: &RunReader, kept: u64) -> Result<(), Failure> {
    if let Some(losses) = reader.start()? {
        model.event(FeedEvent::Start(losses));
    }
    let mut from = 0;
    let width = reader.resolution(&(0..kept), FIRST_LOOK);
    while from < kept {
        let steps = reader.next_summaries(from..kept, width)?;
        from = steps.last().map_or(kept, |last| last.end);
        model.event(FeedEvent::Steps(steps));
    }
    Ok(())
}

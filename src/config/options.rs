//! Options of a run: flags of `train`, and keys of its TOML file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::choices::{
    CheckpointEvery, ColorChoice, DeviceChoice, EngineChoice, GlyphsChoice, NetworkChoice,
    OptimizerKind, SliceChoice, word,
};
use super::layers;
use super::spellings::called_here;
use crate::lca::Method;
use crate::optim::{LayerRule, Schedule};
use crate::store::Compression;
use crate::trajectory::Rename;

/// Every flag of `lcascope train` is also a key of its TOML file, with underscores. `None` means not given.
#[derive(Clone, Debug, Default, PartialEq, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A preset (mnist-fc, mnist-lenet, cifar-allcnn, cifar-resnet20, cifar-vgg) or a TOML file with
    /// the layers [default: mnist-fc]
    #[arg(value_name = "NETWORK")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkChoice>,

    /// Data set: folder or file in IDX, CIFAR-10 binary or NumPy format [default: the embedded MNIST sample]
    #[expect(clippy::doc_markdown, reason = "help shows backticks as they are")]
    #[arg(long, value_name = "PATH", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// Training examples to use, drawn by the seed [default: all]
    #[arg(long, value_name = "N", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_size: Option<usize>,
    /// Training examples whose loss is allocated, drawn by the seed [default: all]. Fewer make a step
    /// cheaper; mini-batches are still drawn from all
    #[arg(long, value_name = "N", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lca_size: Option<usize>,
    /// Training examples to set aside for validation, drawn by the seed [default: 0]
    #[arg(long, value_name = "N", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_size: Option<usize>,
    /// Held-out examples to use, drawn by the seed [default: all]
    #[arg(long, value_name = "N", help_heading = "Data")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_size: Option<usize>,

    /// Training steps [default: from --epochs]
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "epochs",
        help_heading = "Training"
    )]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Passes over the training set [default: 4]
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<u64>,
    /// Examples per mini-batch [default: 250, or all if fewer]
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// sgd, adam, adamw or rmsprop [default: sgd]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<OptimizerKind>,
    /// Learning rate [default: 0.05 for sgd, 0.001 for the others]
    #[arg(long, value_name = "X", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Momentum [default: 0.9 for sgd, 0 for rmsprop]
    #[arg(long, value_name = "X", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// L2 penalty on the updates; not part of the allocated loss [default: 0]
    #[arg(long, value_name = "X", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// constant, step:EVERY:FACTOR or cosine:FLOOR, optionally after warmup:STEPS [default: constant]
    #[arg(long, value_name = "NAME", help_heading = "Training")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// Override training settings for a layer: learning-rate, momentum, weight-decay, freeze,
    /// freeze-from=STEP, delay=STEPS. NAME may end in *; repeatable, the last match applies
    #[arg(long, value_name = "NAME:KEY=VALUE,…", help_heading = "Training")]
    #[serde(with = "layers", skip_serializing_if = "Vec::is_empty")]
    pub layer: Vec<LayerRule>,
    /// Train N times, with seeds S, S + 1, …, one after another and without the screen; -1 to -N is
    /// added to the file names, before the extension or in place of {}. With --resume FILE, which then
    /// names the files in the same way, resume such a series; complete runs are skipped
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u64>,
    /// Seed of the initial weights, splits, batches and dropout [default: 0]
    #[arg(long, value_name = "N", help_heading = "Training")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,

    /// adaptive, simpson, trapezoid or first-order [default: adaptive]
    #[arg(
        long,
        value_name = "NAME",
        help_heading = "Loss Change Allocation (LCA)"
    )]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub integrator: Option<Method>,
    /// adaptive: maximum residual of a step, in nats [default: 0.001]
    #[arg(long, value_name = "X", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// adaptive: also accept this share of the step's change in loss [default: 0]
    #[arg(long, value_name = "X", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relative_tolerance: Option<f64>,
    /// adaptive: maximum estimated error of a layer in a step, in nats [default: unchecked]
    #[arg(long, value_name = "X", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_tolerance: Option<f64>,
    /// adaptive: initial number of segments: 1 (trapezoid), 2, 4 … [default: 2]
    #[arg(long, value_name = "N", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_segments: Option<u32>,
    /// adaptive: maximum number of segments, a power of two [default: 32]
    #[arg(long, value_name = "N", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_segments: Option<u32>,
    /// Examples per evaluated slice, or auto; fixed for the run [default: auto]
    #[arg(long, value_name = "N", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub slice_size: Option<SliceChoice>,
    /// Also allocate the held-out loss [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lca_test: Option<bool>,
    /// Split the allocation by class; with batch norms, a gradient then takes one pass per class
    /// [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_class: Option<bool>,
    /// With --by-class: split only every Nth step, starting with the first [default: 1]
    #[arg(long, value_name = "N", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_every: Option<u64>,
    /// Allocate every N optimizer steps as one step, along the straight line between their ends, at an
    /// Nth of the cost. Flags that name an interval (--test-every, --record-weights) count these steps
    /// [default: 1]
    #[arg(long, value_name = "N", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lca_every: Option<u64>,
    /// Evaluate the held-out loss every N steps [default: 1]
    #[arg(long, value_name = "N", help_heading = "Loss Change Allocation (LCA)")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_every: Option<u64>,

    /// Follow these weights instead of training: the argument of `lcascope allocate`, and the value in the
    /// configuration stored in such a run.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<PathBuf>,
    /// Go from their first to their last point in this many equal steps.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub straight: Option<u64>,
    /// Translations of the names of tensors in files.
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rename: Vec<Rename>,

    /// Run file [default: runs/NETWORK-TIME.h5]
    #[arg(short, long, value_name = "FILE", help_heading = "Recording")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<PathBuf>,
    /// Overwrite the run file if it exists [default: false]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Recording")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    /// Write a checkpoint every N steps, at an interval such as 90s, 10m or 2h, only when stopped (`stop`), or `never`
    /// [default: 60s; stop above 10 million parameters]
    #[arg(long, value_name = "N|TIME", help_heading = "Recording")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<CheckpointEvery>,
    /// Record all weights every N steps [default: 0, never]
    #[arg(long, value_name = "N", help_heading = "Recording")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_weights: Option<u64>,
    /// Record every parameter's allocation every N steps [default: 0, never]
    #[arg(long, value_name = "N", help_heading = "Recording")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_params: Option<u64>,
    /// Snapshots of every parameter's running totals, evenly spaced up to the end; 0 for none [default: 8,
    /// or as many as fit into 256 MiB, at least 1]
    #[arg(long, value_name = "N", help_heading = "Recording")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<u64>,
    /// Number of parameters traced at every step [default: 256]
    #[arg(long, value_name = "N", help_heading = "Recording")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<usize>,
    /// Compression of per-parameter arrays: auto, lz4, zstd, deflate or none; other programs need a plug-in for lz4 and
    /// zstd [default: auto]
    #[arg(long, value_name = "NAME", help_heading = "Recording")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Bits of precision kept in per-parameter arrays, 1 to 24 [default: 24, all]
    #[arg(long, value_name = "N", help_heading = "Recording")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mantissa_bits: Option<u32>,

    /// auto, cpu or cuda:N [default: auto]
    #[arg(long, value_name = "NAME", help_heading = "Machine")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceChoice>,
    /// auto, cpu (hand-written) or candle (autograd) [default: auto]
    #[arg(long, value_name = "NAME", help_heading = "Machine")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineChoice>,
    /// Threads of the cpu engine; the results do not depend on it [default: all cores; with several ranks, this one's
    /// share of them]
    #[arg(long, value_name = "N", help_heading = "Machine")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,

    /// Train without the screen, with a progress bar and a summary [default: false; true without a terminal]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Screen")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headless: Option<bool>,
    /// Print only errors (implies --headless) [default: false]
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Screen")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet: Option<bool>,
    /// auto, truecolor, 256, 16 or never [default: the configuration's, or auto]
    #[arg(long, value_name = "WHEN", help_heading = "Screen")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub color: Option<ColorChoice>,
    /// auto (ascii unless the locale is UTF-8), braille, blocks or ascii [default: the configuration's, or auto]
    #[arg(long, value_name = "NAME", help_heading = "Screen")]
    #[serde(with = "word", skip_serializing_if = "Option::is_none")]
    pub glyphs: Option<GlyphsChoice>,
    /// Maximum frames per second, 1 to 120 [default: the configuration's, or 15]
    #[arg(long, value_name = "N", help_heading = "Screen")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fps: Option<u32>,
}

/// Reads options from TOML text. `origin` names the source in errors.
///
/// # Errors
/// Bad TOML, an unknown key or a value of the wrong type: says where.
pub fn parse(text: &str, origin: &str) -> Result<Options, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let fault = error.to_string();
        ConfigError(format!(
            "{origin}: {}{}",
            fault.trim_end(),
            advice(error.message())
        ))
    })
}

/// Returns true if the configuration in a run file is that of a training by this program, even if it is not valid.
#[must_use]
pub fn holds_options(text: &str) -> bool {
    let table: Result<toml::Table, _> = text.parse();
    !table.is_ok_and(|table| table.is_empty() || table.contains_key(RECORDING))
}

/// The key of the table that holds the options of a recording, in the run file of another program's training.
pub const RECORDING: &str = "record";

/// Parses the options of a recording that a run file holds.
///
/// # Errors
/// The run is not one of another program, or the options are not valid.
pub fn recording_options(text: &str, origin: &str) -> Result<Options, ConfigError> {
    let table: Result<toml::Table, _> = text.parse();
    match table.ok().and_then(|mut table| table.remove(RECORDING)) {
        Some(toml::Value::Table(table)) => parse(&table.to_string(), origin),
        _ => Err(ConfigError(format!(
            "{origin} is not the recording of a training in another program: `lcascope train --resume` continues it"
        ))),
    }
}

/// Parses the configuration that a run file holds, without what only concerns the command that wrote it.
///
/// # Errors
/// There is none, or it is not valid.
pub fn stored_options(text: &str, origin: &str) -> Result<Options, ConfigError> {
    if !holds_options(text) {
        return Err(ConfigError(format!(
            "{origin} contains no configuration: another program trained its own model, and only \
             that program can repeat the run"
        )));
    }
    parse(text, origin).map(Options::of_a_run)
}

/// Returns a tip for an unknown key that has another name here.
fn advice(message: &str) -> String {
    let unknown = (message.strip_prefix("unknown field `")).and_then(|rest| rest.split_once('`'));
    match unknown.and_then(|(key, _)| called_here(key)?.split(' ').next()) {
        Some(flag) => format!("\ntip: use `{}`", flag.replace('-', "_")),
        None => String::new(),
    }
}

/// Keeps some of the options. All are listed, without `..`, so that a new one cannot be forgotten.
macro_rules! keep_only {
    ($options:ident, [$($kept:ident,)*] and not [$($dropped:ident,)*]) => {{
        let Self { $($kept,)* $($dropped: _,)* } = $options;
        Self { $($kept,)* ..Self::default() }
    }};
}

impl Options {
    /// Refuses paths that no configuration can hold.
    ///
    /// # Errors
    /// A path is not UTF-8.
    pub(super) fn refuse_unstorable_paths(&self) -> Result<(), ConfigError> {
        for (flag, path) in [("--data", &self.data), ("--output", &self.output)] {
            if let Some(path) = path.as_ref().filter(|path| path.to_str().is_none()) {
                let path = path.display();
                let what = format!("{flag} {path}: the name is not valid UTF-8");
                return Err(ConfigError(what));
            }
        }
        Ok(())
    }

    /// Keeps only what describes the run, of the configuration in a run file. Output and screen options are for the
    /// person who repeats the run, not for the file.
    #[must_use]
    pub fn of_a_run(self) -> Self {
        keep_only!(
            self,
            [
                network, data, train_size, lca_size, validation_size, test_size, steps, epochs, batch_size,
                optimizer, learning_rate, momentum, weight_decay, schedule, layer, seed, integrator, tolerance,
                relative_tolerance, layer_tolerance, min_segments, max_segments, slice_size, lca_test, by_class,
                class_every, lca_every, test_every, course, straight, rename, checkpoint_every, record_weights,
                record_params, snapshots, trace, compression, mantissa_bits, device, engine, threads,
            ] and not [
                repeats, output, force, headless, quiet, color, glyphs, fps,
            ]
        )
    }

    /// Keeps only what describes a recording of a training in another program.
    #[must_use]
    pub fn of_a_recording(self) -> Self {
        keep_only!(
            self,
            [
                steps, seed, integrator, tolerance, relative_tolerance, layer_tolerance, min_segments,
                max_segments, lca_test, by_class, class_every, lca_every, test_every, checkpoint_every, record_weights,
                record_params, snapshots, trace, compression, mantissa_bits,
            ] and not [
                network, data, train_size, lca_size, validation_size, test_size, epochs, batch_size, optimizer,
                learning_rate, momentum, weight_decay, schedule, layer, slice_size, course, straight, rename, device,
                engine, threads, repeats, output, force, headless, quiet, color, glyphs, fps,
            ]
        )
    }

    /// Removes the options that only a training needs: with given weights they have no meaning.
    #[must_use]
    pub fn without_training(self) -> Self {
        Self {
            steps: None,
            epochs: None,
            batch_size: None,
            optimizer: None,
            learning_rate: None,
            momentum: None,
            weight_decay: None,
            schedule: None,
            layer: Vec::new(),
            repeats: None,
            ..self
        }
    }
}

/// Lays `flags` over `base`: flags win. Layer rules are concatenated, the flags' after the base's, so that they win
/// layer by layer and key by key.
///
/// # Errors
/// The flags have a path that is not UTF-8; otherwise options are always tables of plain values.
pub fn merge(base: &Options, flags: &Options) -> Result<Options, ConfigError> {
    flags.refuse_unstorable_paths()?;
    let table = |options: &Options| {
        toml::Table::try_from(options).map_err(|error| ConfigError(error.to_string()))
    };
    let mut merged = table(base)?;
    // A flag also replaces keys that express the same in other terms, or that depend on it.
    for (flag, replaced) in [
        (flags.steps.is_some(), "epochs"),
        (flags.epochs.is_some(), "steps"),
        (flags.optimizer.is_some(), "momentum"),
        (flags.optimizer.is_some(), "learning_rate"),
        (flags.device.is_some(), "engine"),
        (flags.by_class == Some(false), "class_every"),
    ] {
        if flag {
            merged.remove(replaced);
        }
    }
    merged.extend(table(flags)?);
    let mut merged: Options = merged
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError(error.to_string()))?;
    merged.layer = layers::merge(&base.layer, &flags.layer, flags.optimizer.is_some());
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_name_of_another_tool_suggests_ours() {
        let error = |text: &str| parse(text, "x").unwrap_err().to_string();
        for (text, key) in [
            ("lr = 0.1", "`learning_rate`"),
            ("batch = 3", "`batch_size`"),
            ("gpu = true", "`device`"),
        ] {
            let error = error(text);
            let tip = format!("tip: use {key}");
            assert!(error.starts_with("x: ") && error.ends_with(&tip), "{error}");
        }
        assert!(!error("nonsense = 3").contains("tip:"));
        assert!(!error("steps = 'x'").contains("tip:"));
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = parse(
            "steps = 5\nseed = 1\nslice_size = 64\noptimizer = 'sgd'\nmomentum = 0.5",
            "x",
        )
        .unwrap();
        assert_eq!(file.slice_size, Some(SliceChoice::Size(64)));
        let flags = Options {
            seed: Some(2),
            epochs: Some(3),
            optimizer: Some(OptimizerKind::Adam),
            ..Options::default()
        };
        let merged = merge(&file, &flags).unwrap();
        assert_eq!(
            (merged.seed, merged.epochs, merged.steps),
            (Some(2), Some(3), None)
        );
        assert_eq!(
            (merged.optimizer, merged.momentum),
            (Some(OptimizerKind::Adam), None)
        );
        assert_eq!(merged.slice_size, Some(SliceChoice::Size(64)));
    }

    #[test]
    fn a_run_file_does_not_say_where_to_write() {
        let text = "output = 'a.h5'\nforce = true\nquiet = true\nrepeats = 3\nfps = 9\n\
            seed = 3\ndata = 'd'\nrecord_weights = 2";
        let stored = parse(text, "x").unwrap().of_a_run();
        let kept = parse("seed = 3\ndata = 'd'\nrecord_weights = 2", "x").unwrap();
        assert_eq!(stored, kept);
    }

    #[test]
    fn errors_state_their_location() {
        let error = |text: &str| parse(text, "run.toml").unwrap_err().to_string();
        let unknown = error("seed = 1\nlearning-rate = 3");
        assert!(
            unknown.contains("run.toml") && unknown.contains("learning-rate"),
            "{unknown}"
        );
        let wrong = error("optimizer = 'sdg'");
        assert!(wrong.contains("sgd, adam"), "{wrong}");
        let layer = error("[network]\nname = 'x'\n[[network.layer]]\nkind = 'liner'");
        assert!(layer.contains("liner"), "{layer}");
    }
}

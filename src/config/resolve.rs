//! Resolves options into a complete configuration.

use std::fmt::Display;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use serde::Deserialize;

use super::ConfigError;
use super::choices::{
    CheckpointEvery, DeviceChoice, EngineChoice, MAX_COUNT, NetworkChoice, OptimizerKind,
    SliceChoice,
};
use super::options::Options;
use crate::data::SplitSizes;
use crate::lca::IntegratorSettings;
use crate::model::{LayerSpec, NetworkSpec, PRESETS, preset};
use crate::optim::{LayerRule, OptimizerChoice, Schedule};
use crate::small_file;
use crate::store::Compression;
use crate::trajectory::Rename;

/// Length of the training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    Steps(u64),
    Epochs(u64),
}

/// Weights to follow instead of training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrajectoryChoice {
    /// A file with recorded weights, or a folder of snapshots.
    pub path: PathBuf,
    /// Number of equal steps on the straight line between the ends, if the path is not followed.
    pub straight: Option<u64>,
    /// Changes of the tensors' names in a folder that make them the network's, one after another.
    pub renames: Vec<Rename>,
}

/// A resolved run: everything that determines its numbers and the contents of its file.
#[derive(Clone, Debug, PartialEq)]
pub struct RunConfig {
    pub network: NetworkSpec,
    /// `None` for the embedded sample.
    pub data: Option<PathBuf>,
    pub sizes: SplitSizes,
    pub length: Length,
    /// If given, the training settings, including the length, have no meaning.
    pub course: Option<TrajectoryChoice>,
    /// `None` for 250, or all examples if there are fewer.
    pub batch_size: Option<usize>,
    pub optimizer: OptimizerChoice,
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// Layer rules: the last one that matches a layer and sets a key wins.
    pub layers: Vec<LayerRule>,
    pub schedule: Schedule,
    pub seed: u64,
    pub integration: IntegratorSettings,
    pub slice_size: SliceChoice,
    pub lca_test: bool,
    pub by_class: bool,
    /// 1 if not split by class.
    pub class_every: u64,
    /// Optimizer steps in a step.
    pub lca_every: u64,
    pub test_every: u64,
    pub checkpoint_every: CheckpointEvery,
    pub record_weights: u64,
    pub record_params: u64,
    /// Snapshots of the running totals; as many as are affordable if not given.
    pub snapshots: Option<u64>,
    pub trace: usize,
    pub compression: Compression,
    pub mantissa_bits: u32,
    pub device: DeviceChoice,
    pub engine: EngineChoice,
    pub threads: usize,
}

impl RunConfig {
    /// Fills in defaults, reads the network's file if one is named, and checks every value.
    ///
    /// # Errors
    /// The first value that is out of range, or a network that is neither a preset nor a file.
    pub fn resolve(options: &Options) -> Result<Self, ConfigError> {
        options.refuse_unstorable_paths()?;
        let o = options;
        let course = course(o)?;
        let optimizer = optimizer(o)?;
        let default_rate = match optimizer {
            OptimizerChoice::Sgd { .. } => 0.05,
            OptimizerChoice::Adam | OptimizerChoice::AdamW | OptimizerChoice::RmsProp { .. } => {
                0.001
            }
        };
        let length = match (o.steps, o.epochs) {
            (Some(_), Some(_)) => {
                return Err(ConfigError("give --steps or --epochs, not both".to_owned()));
            }
            (Some(steps), None) => Length::Steps(count("--steps", steps)?),
            (None, epochs) => Length::Epochs(count("--epochs", epochs.unwrap_or(4))?),
        };
        let slice_size = match o.slice_size.unwrap_or(SliceChoice::Auto) {
            SliceChoice::Size(size) => SliceChoice::Size(count("--slice-size", size)?),
            SliceChoice::Auto => SliceChoice::Auto,
        };
        let threads = match o.threads {
            Some(threads) => check_range("--threads", threads, "from 1 to 1024", |n| {
                (1..=1024).contains(&n)
            })?,
            None => available_parallelism().map_or(1, NonZero::get),
        };
        let mantissa_bits = check_range(
            "--mantissa-bits",
            o.mantissa_bits.unwrap_or(24),
            "from 1 to 24",
            |n| (1..=24).contains(&n),
        )?;
        let by_class = o.by_class.unwrap_or(false);
        if o.class_every.is_some() && !by_class {
            return Err(ConfigError("--class-every needs --by-class".to_owned()));
        }
        Ok(Self {
            network: checked_name(network(o.network.as_ref())?)?,
            data: o.data.clone(),
            sizes: SplitSizes {
                train: o.train_size,
                lca: o.lca_size,
                validation: o.validation_size.unwrap_or(0),
                test: o.test_size,
            },
            length,
            course,
            batch_size: (o.batch_size)
                .map(|size| count("--batch-size", size))
                .transpose()?,
            optimizer,
            learning_rate: check_range(
                "--learning-rate",
                o.learning_rate.unwrap_or(default_rate),
                "a positive number",
                |x| x > 0.0 && x.is_finite(),
            )?,
            weight_decay: not_negative("--weight-decay", o.weight_decay.unwrap_or(0.0))?,
            layers: layers(o, optimizer)?,
            schedule: o.schedule.unwrap_or_default(),
            seed: check_range("--seed", o.seed.unwrap_or(0), "below 2^63", |n| n < 1 << 63)?,
            integration: integration(o)?,
            slice_size,
            lca_test: o.lca_test.unwrap_or(false),
            by_class,
            class_every: count("--class-every", o.class_every.unwrap_or(1))?,
            lca_every: count("--lca-every", o.lca_every.unwrap_or(1))?,
            test_every: count("--test-every", o.test_every.unwrap_or(1))?,
            checkpoint_every: (o.checkpoint_every).unwrap_or_default(),
            record_weights: count_or_none("--record-weights", o.record_weights.unwrap_or(0))?,
            record_params: count_or_none("--record-params", o.record_params.unwrap_or(0))?,
            snapshots: (o.snapshots)
                .map(|snapshots| count_or_none("--snapshots", snapshots))
                .transpose()?,
            trace: count_or_none("--trace", o.trace.unwrap_or(256))?,
            compression: o.compression.unwrap_or_default(),
            mantissa_bits,
            device: o.device.unwrap_or(DeviceChoice::Auto),
            engine: o.engine.unwrap_or(EngineChoice::Auto),
            threads,
        })
    }

    /// Returns options that resolve to this configuration again.
    #[must_use]
    pub fn to_options(&self) -> Options {
        // Destructured without `..`, so that a new field cannot be forgotten in the run file.
        let Self {
            network,
            data,
            sizes,
            length,
            course,
            batch_size,
            optimizer,
            learning_rate,
            weight_decay,
            layers,
            schedule,
            seed,
            integration,
            slice_size,
            lca_test,
            by_class,
            class_every,
            lca_every,
            test_every,
            checkpoint_every,
            record_weights,
            record_params,
            snapshots,
            trace,
            compression,
            mantissa_bits,
            device,
            engine,
            threads,
        } = self.clone();
        let (steps, epochs) = match length {
            Length::Steps(steps) => (Some(steps), None),
            Length::Epochs(epochs) => (None, Some(epochs)),
        };
        let (optimizer, momentum) = kind_and_momentum(optimizer);
        let IntegratorSettings {
            method,
            tolerance,
            relative_tolerance,
            layer_tolerance,
            min_segments,
            max_segments,
        } = integration;
        let follows = course.is_some();
        let rename = course.as_ref().map(|it| it.renames.clone());
        let (course, straight) = course.map(|it| (it.path, it.straight)).unzip();
        let options = Options {
            network: Some(NetworkChoice::Inline(network)),
            data,
            train_size: sizes.train,
            lca_size: sizes.lca,
            validation_size: Some(sizes.validation),
            test_size: sizes.test,
            steps,
            epochs,
            batch_size,
            optimizer: Some(optimizer),
            learning_rate: Some(learning_rate),
            momentum,
            weight_decay: Some(weight_decay),
            layer: layers,
            schedule: Some(schedule),
            seed: Some(seed),
            course,
            straight: straight.flatten(),
            rename: rename.unwrap_or_default(),
            integrator: Some(method),
            tolerance: Some(tolerance),
            relative_tolerance: Some(relative_tolerance),
            layer_tolerance,
            min_segments: Some(min_segments),
            max_segments: Some(max_segments),
            slice_size: Some(slice_size),
            lca_test: Some(lca_test),
            by_class: Some(by_class),
            class_every: by_class.then_some(class_every),
            lca_every: Some(lca_every).filter(|&every| every > 1),
            test_every: Some(test_every),
            checkpoint_every: Some(checkpoint_every),
            record_weights: Some(record_weights),
            record_params: Some(record_params),
            snapshots,
            trace: Some(trace),
            compression: Some(compression),
            mantissa_bits: Some(mantissa_bits),
            device: Some(device),
            engine: Some(engine),
            threads: Some(threads),
            ..Options::default()
        };
        if follows {
            options.without_training()
        } else {
            options
        }
    }
}

/// Returns the options of an optimizer: its name and its momentum, if it has one.
fn kind_and_momentum(optimizer: OptimizerChoice) -> (OptimizerKind, Option<f64>) {
    match optimizer {
        OptimizerChoice::Sgd { momentum } => (OptimizerKind::Sgd, Some(momentum)),
        OptimizerChoice::Adam => (OptimizerKind::Adam, None),
        OptimizerChoice::AdamW => (OptimizerKind::AdamW, None),
        OptimizerChoice::RmsProp { momentum } => (OptimizerKind::RmsProp, Some(momentum)),
    }
}

/// Returns the weights to follow, if any are given.
fn course(o: &Options) -> Result<Option<TrajectoryChoice>, ConfigError> {
    let Some(path) = o.course.clone() else {
        let alone = [
            ("straight", o.straight.is_some()),
            ("rename", !o.rename.is_empty()),
        ];
        return match alone.iter().find(|(_, given)| *given) {
            Some((key, _)) => Err(ConfigError(format!("`{key}` needs `course`"))),
            None => Ok(None),
        };
    };
    let table = |options: &Options| {
        toml::Table::try_from(options).map_err(|error| ConfigError(error.to_string()))
    };
    let kept = table(&o.clone().without_training())?;
    if let Some(key) = table(o)?.keys().find(|key| !kept.contains_key(*key)) {
        return Err(ConfigError(format!(
            "--{} is a training setting, but nothing is trained: the weights are given",
            key.replace('_', "-")
        )));
    }
    if o.straight.is_some() && o.lca_every.is_some() {
        let what = "--straight has a number of steps of its own: give it, or --lca-every";
        return Err(ConfigError(what.to_owned()));
    }
    let straight = o.straight.map(|n| count("--straight", n)).transpose()?;
    Ok(Some(TrajectoryChoice {
        path,
        straight,
        renames: o.rename.clone(),
    }))
}

/// Returns the chosen optimizer with its momentum.
fn optimizer(o: &Options) -> Result<OptimizerChoice, ConfigError> {
    let kind = o.optimizer.unwrap_or(OptimizerKind::Sgd);
    let momentum = |default| {
        check_range(
            "--momentum",
            o.momentum.unwrap_or(default),
            "from 0 to below 1",
            |m| (0.0..1.0).contains(&m),
        )
    };
    if matches!(kind, OptimizerKind::Adam | OptimizerKind::AdamW) && o.momentum.is_some() {
        return Err(ConfigError(format!(
            "--momentum applies only to sgd and rmsprop, not to {kind}"
        )));
    }
    Ok(match kind {
        OptimizerKind::Sgd => OptimizerChoice::Sgd {
            momentum: momentum(0.9)?,
        },
        OptimizerKind::Adam => OptimizerChoice::Adam,
        OptimizerKind::AdamW => OptimizerChoice::AdamW,
        OptimizerKind::RmsProp => OptimizerChoice::RmsProp {
            momentum: momentum(0.0)?,
        },
    })
}

/// Returns the layer rules. Whether the network has those layers is checked when it is built.
fn layers(o: &Options, optimizer: OptimizerChoice) -> Result<Vec<LayerRule>, ConfigError> {
    let has_momentum = match optimizer {
        OptimizerChoice::Sgd { .. } | OptimizerChoice::RmsProp { .. } => true,
        OptimizerChoice::Adam | OptimizerChoice::AdamW => false,
    };
    let mut momenta = o.layer.iter().filter(|r| r.overrides.momentum.is_some());
    if let Some(rule) = momenta.next().filter(|_| !has_momentum) {
        return Err(ConfigError(format!(
            "--layer {rule}: momentum applies only to sgd and rmsprop"
        )));
    }
    Ok(o.layer.clone())
}

/// Returns the chosen network.
fn network(choice: Option<&NetworkChoice>) -> Result<NetworkSpec, ConfigError> {
    let name = match choice {
        Some(NetworkChoice::Inline(spec)) => return Ok(spec.clone()),
        Some(NetworkChoice::Named(name)) => name.as_str(),
        None => "mnist-fc",
    };
    if let Some(spec) = preset(name) {
        return Ok(spec);
    }
    if Path::new(name).extension().is_none_or(|e| e != "toml") {
        return Err(ConfigError(format!(
            "unknown network `{name}`: use a preset ({}) or a TOML file whose name ends in .toml",
            PRESETS.join(", ")
        )));
    }
    let text = small_file::text(Path::new(name), small_file::LONGEST)
        .map_err(|error| ConfigError(format!("cannot read the network {name}: {error}")))?;
    let stem = Path::new(name).file_stem().unwrap_or_default();
    parse_network(&text, &stem.to_string_lossy()).map_err(|error| {
        let error = bad_layer(&text).unwrap_or_else(|| error.to_string());
        ConfigError(format!("{name}: {}", error.trim_end()))
    })
}

/// Reads a network's file; if it has no name in it, the file's name is used.
fn parse_network(text: &str, stem: &str) -> Result<NetworkSpec, toml::de::Error> {
    // Tried first, since a table has lost its positions in the text.
    let error = match toml::from_str(text) {
        Ok(spec) => return Ok(spec),
        Err(error) => error,
    };
    let Ok(mut table) = text.parse::<toml::Table>() else {
        return Err(error);
    };
    if table.contains_key("name") {
        return Err(error);
    }
    table.insert("name".to_owned(), stem.into());
    table.try_into()
}

/// Returns which layer of a network's file is at fault, and why; `None` if something else is.
///
/// The kind determines which keys a layer has, so serde reads a layer only after it has read all of its keys, and has
/// lost the position by then.
fn bad_layer(text: &str) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let (position, kind, fault) = first_fault(table.get("layer")?)?;
    Some(format!("layer {position} (`{kind}`): {fault}"))
}

/// Returns the position, kind and fault of the first layer that cannot be read.
fn first_fault(layers: &toml::Value) -> Option<(String, String, String)> {
    for (index, layer) in layers.as_array()?.iter().enumerate() {
        let position = index + 1;
        if let Some((inner, kind, fault)) = layer.get("body").and_then(first_fault) {
            return Some((format!("{position}.{inner}"), kind, fault));
        }
        if let Err(error) = LayerSpec::deserialize(layer.clone()) {
            let kind = layer.get("kind").and_then(toml::Value::as_str);
            let kind = kind.unwrap_or("no kind").escape_debug().to_string();
            // serde names numbers by their Rust types.
            let fault = (error
                .message()
                .replace("expected usize", "expected a whole number"))
            .replace("expected f64", "expected a number");
            return Some((position.to_string(), kind, fault));
        }
    }
    None
}

/// Checks the network's name, which becomes part of a file name.
fn checked_name(spec: NetworkSpec) -> Result<NetworkSpec, ConfigError> {
    let good = |c: char| c.is_alphanumeric() || "._-".contains(c);
    if (1..=64).contains(&spec.name.len()) && spec.name.chars().all(good) {
        return Ok(spec);
    }
    Err(ConfigError(format!(
        "invalid network name `{}`: use 1 to 64 letters, digits, `.`, `_` and `-`",
        spec.name.escape_debug()
    )))
}

fn integration(o: &Options) -> Result<IntegratorSettings, ConfigError> {
    let power = |n: u32| n.is_power_of_two() && n <= 1024;
    let default = IntegratorSettings::default();
    let min = check_range(
        "--min-segments",
        o.min_segments.unwrap_or(default.min_segments),
        "a power of two up to 1024",
        power,
    )?;
    let max = check_range(
        "--max-segments",
        o.max_segments.unwrap_or(default.max_segments.max(min)),
        "a power of two up to 1024",
        power,
    )?;
    if max < min {
        return Err(ConfigError(format!(
            "--max-segments {max} is below --min-segments {min}"
        )));
    }
    Ok(IntegratorSettings {
        method: o.integrator.unwrap_or(default.method),
        tolerance: not_negative("--tolerance", o.tolerance.unwrap_or(default.tolerance))?,
        relative_tolerance: not_negative(
            "--relative-tolerance",
            o.relative_tolerance.unwrap_or(default.relative_tolerance),
        )?,
        layer_tolerance: o
            .layer_tolerance
            .map(|x| not_negative("--layer-tolerance", x))
            .transpose()?,
        min_segments: min,
        max_segments: max,
    })
}

fn check_range<T: Copy + Display>(
    flag: &str,
    value: T,
    range: &str,
    good: impl Fn(T) -> bool,
) -> Result<T, ConfigError> {
    if good(value) {
        return Ok(value);
    }
    Err(ConfigError(format!("{flag} {value}: must be {range}")))
}

fn count<T: Copy + Display + TryInto<u64>>(flag: &str, value: T) -> Result<T, ConfigError> {
    check_range(flag, value, "from 1 to 2^53", |value| {
        (value.try_into()).is_ok_and(|n| (1..=MAX_COUNT).contains(&n))
    })
}

fn count_or_none<T: Copy + Display + TryInto<u64>>(flag: &str, value: T) -> Result<T, ConfigError> {
    check_range(flag, value, "from 0 to 2^53", |value| {
        (value.try_into()).is_ok_and(|n| n <= MAX_COUNT)
    })
}

fn not_negative(flag: &str, value: f64) -> Result<f64, ConfigError> {
    check_range(flag, value, "0 or a positive number", |x| {
        x >= 0.0 && x.is_finite()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{merge, parse};

    #[test]
    fn a_resolved_configuration_round_trips_through_its_text() {
        for options in [
            Options::default(),
            parse("optimizer = 'adam'\nschedule = 'step:10:0.5'\nepochs = 2\nlayer_tolerance = 1e-5\ndata = '/x'\ntrain_size = 100\ndevice = 'cuda:1'", "x").unwrap(),
            parse("course = '/weights'\nstraight = 10\nintegrator = 'simpson'", "x").unwrap(),
            parse("by_class = true\nclass_every = 5\n[layer.'*']\ndelay = 9\nmomentum = 0.1\n[layer.fc3]\nlearning_rate = 1e-9\nfreeze_from = 7", "x").unwrap(),
        ] {
            let config = RunConfig::resolve(&options).unwrap();
            let text = toml::to_string(&config.to_options()).unwrap();
            let again = RunConfig::resolve(&parse(&text, "x").unwrap()).unwrap();
            assert_eq!(config, again);
            let merged = merge(&config.to_options(), &Options::default()).unwrap();
            assert_eq!(merged, config.to_options());
        }
    }

    #[test]
    fn a_layer_that_cannot_be_read_is_named() {
        let body = "{kind = 'relu'}, {kind = 'conv', channels = 3, kernal = 3}";
        for (layer, needles) in [
            (
                "kind = 'linear'\nunits = -1",
                &["layer 2 (`linear`)", "-1", "whole number"][..],
            ),
            ("kind = 'linear'", &["layer 2 (`linear`)", "`units`"]),
            ("units = 3", &["layer 2 (`no kind`)", "`kind`"]),
            (
                "kind = 'dropout'\nrate = 'x'",
                &["layer 2 (`dropout`)", "a number"],
            ),
            (
                &format!("kind = 'residual'\nbody = [{body}]"),
                &["layer 2.2 (`conv`)", "kernal"],
            ),
        ] {
            let text = format!("name = 'x'\n[[layer]]\nkind = 'relu'\n[[layer]]\n{layer}");
            let error = bad_layer(&text).unwrap();
            for needle in needles {
                assert!(error.contains(needle), "{layer}: {error}");
            }
        }
        assert_eq!(bad_layer("name = 3\nlayer = [{kind = 'relu'}]"), None);
    }

    #[test]
    fn a_network_without_a_name_is_named_after_its_file() {
        let layer = "[[layer]]\nkind = 'linear'\nunits = 3\n";
        assert_eq!(parse_network(layer, "my-net").unwrap().name, "my-net");
        // After a layer it would be a key of that layer.
        let late = parse_network(&format!("{layer}name = 'x'"), "my-net").unwrap();
        assert_eq!(late.name, "my-net");
        assert_eq!(
            parse_network(&format!("name = 'own'\n{layer}"), "my-net")
                .unwrap()
                .name,
            "own"
        );
        for (text, needle) in [
            ("layer = 3", "sequence"),
            ("", "layer"),
            ("name = 3\nlayer = []", "string"),
            ("size = 3\nlayer = []", "size"),
            ("= nonsense", "key"),
        ] {
            let error = parse_network(text, "my-net").unwrap_err().to_string();
            assert!(error.contains(needle), "{text}: {error}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        for (text, needle) in [
            ("steps = 0", "--steps 0"),
            ("steps = 9223372036854775807", "--steps 9223372036854775807"),
            ("record_params = 9007199254740993", "--record-params"),
            ("trace = 9007199254740993", "--trace"),
            ("epochs = 0", "--epochs 0"),
            ("steps = 1\nepochs = 1", "not both"),
            ("batch_size = 0", "--batch-size"),
            ("learning_rate = 0.0", "--learning-rate 0"),
            ("learning_rate = -1.0", "--learning-rate -1"),
            ("learning_rate = nan", "--learning-rate NaN"),
            ("learning_rate = inf", "--learning-rate inf"),
            ("momentum = 1.0", "--momentum 1"),
            (
                "optimizer = 'adamw'\nmomentum = 0.5",
                "--momentum applies only to",
            ),
            ("weight_decay = -0.1", "--weight-decay"),
            ("tolerance = -1.0", "--tolerance"),
            ("relative_tolerance = nan", "--relative-tolerance"),
            ("layer_tolerance = -1.0", "--layer-tolerance"),
            ("min_segments = 3", "--min-segments 3"),
            ("max_segments = 0", "--max-segments 0"),
            ("min_segments = 8\nmax_segments = 4", "below --min-segments"),
            ("slice_size = 0", "--slice-size"),
            ("mantissa_bits = 25", "--mantissa-bits 25"),
            ("threads = 0", "--threads 0"),
            ("test_every = 0", "--test-every"),
            ("by_class = true\nclass_every = 0", "--class-every 0"),
            ("class_every = 2", "needs --by-class"),
            (
                "optimizer = 'adam'\nlayer = ['fc1:freeze', 'fc3:momentum=0.5']",
                "--layer fc3:momentum=0.5: momentum applies only to",
            ),
            ("straight = 3", "needs `course`"),
            ("course = 'x'\nstraight = 0", "--straight 0"),
            (
                "course = 'x'\nlearning_rate = 0.1",
                "--learning-rate is a training setting",
            ),
            (
                "course = 'x'\nlayer = ['fc1:freeze']",
                "--layer is a training setting",
            ),
            (
                "course = 'x'\nrepeats = 3",
                "--repeats is a training setting",
            ),
            ("network = 'mnist-cf'", "mnist-fc"),
            ("network = 'no-such.toml'", "no-such.toml"),
        ] {
            let error = RunConfig::resolve(&parse(text, "x").unwrap()).unwrap_err();
            assert!(error.to_string().contains(needle), "{text}: {error}");
        }
    }
}

//! Prepares a training: turns a configuration into a trainer that is ready to start, and the header of its run.

use std::sync::Arc;

use crate::analysis::lints::data::Data;
use crate::config::{
    ConfigError, DeviceChoice, EngineChoice, Length, MAX_COUNT, RunConfig, SliceChoice,
};
use crate::data::{self, Batches, DataError, DataSource, Dataset, Examples, Split};
use crate::engine::candle::{self, CandleEngine, Precision};
use crate::engine::cpu::{self, CpuEngine};
use crate::engine::{Device, GradientEngine, RunData};
use crate::lca::histogram_edges;
use crate::model::{ModelError, Network, he_normal, preset};
use crate::optim::{Overrides, overrides_of};
use crate::query::is_normalised;
use crate::record::{DataFacts, RunHeader};
use crate::train::{TrainSettings, Trainer, choose_traced};

use super::Failure;
use super::allocate::open_course;
use super::memory;

/// The default mini-batch size.
const BATCH_SIZE: usize = 250;

/// A training that is ready to start.
pub struct Prepared {
    pub header: Arc<RunHeader>,
    pub trainer: Trainer,
}

/// Loads the data, builds the network and the engine, and resolves the settings that depend on them.
///
/// # Errors
/// Anything wrong with the data, the network or the device, or sizes that do not fit each other.
pub fn prepare(config: &RunConfig) -> Result<Prepared, Failure> {
    let mut config = config.clone();
    if let Some(path) = &config.data {
        // Absolute, so that the run file's configuration is valid in any folder.
        config.data = Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
    }
    if let Some(course) = &mut config.course {
        course.path = std::path::absolute(&course.path).unwrap_or_else(|_| course.path.clone());
    }
    let dataset = load(&config)?;
    let checked = check(&config, &dataset)?;
    let facts = checked.facts(&dataset);
    let Checked {
        split,
        network,
        layers,
        batch_size,
        batches,
        mut steps,
    } = checked;
    config.batch_size = Some(batch_size);
    let mut steps_per_epoch = batches.batches_per_epoch() as u64;
    let course = match &config.course {
        Some(course) => Some(open_course(course, &network.layout)?),
        None => None,
    };
    if let Some(course) = &course {
        // The batches with which the weights were trained are unknown.
        (steps, steps_per_epoch) = (course.steps(), 0);
    }

    let Dataset {
        name,
        classes,
        sha256,
        shape,
        train,
        test,
        ..
    } = dataset;
    let mut run_data = run_data(train, test, &split);
    if course.is_some() {
        // No mini-batch is drawn.
        run_data.drawn_from = None;
    }
    let (engine, slice_size) = build_engine(&mut config, &network, run_data)?;
    let traced = choose_traced(&network.layout, config.trace, config.seed);
    let settings = settings(&config, steps, layers, traced.clone());
    let theta = he_normal(&network, config.seed);
    let stored = toml::to_string(&config.to_options());
    let mut header = RunHeader {
        producer: concat!("lcascope ", env!("CARGO_PKG_VERSION")).to_owned(),
        created: jiff::Timestamp::now()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
        config: stored.map_err(|error| Failure::Other(format!("the configuration: {error}")))?,
        seed: config.seed,
        device: engine.describe(),
        dataset: name,
        dataset_sha256: sha256,
        integrator: config.integration.method.to_string(),
        slice_size: slice_size as u64,
        network: network.name.clone(),
        planned_steps: steps,
        steps_per_epoch,
        tolerance: config.integration.tolerance,
        layout: network.layout.clone(),
        input_shape: shape.to_vec(),
        classes,
        data: Some(facts),
        traced,
        histogram_edges: histogram_edges(),
        course_files: course.as_ref().map_or(Vec::new(), |course| course.files()),
        held_out_lca: config.lca_test,
        record_weights: config.record_weights,
        record_params: config.record_params,
        checkpoint: Vec::new(),
        train_index: split.train,
        lca_index: split.lca,
        test_index: split.test,
        validation_index: split.validation,
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
    if let Some(course) = course {
        (trainer.follow(course)).map_err(|error| Failure::Other(error.to_string()))?;
    }
    header.checkpoint = trainer.checkpoint().shape();
    Ok(Prepared {
        header: Arc::new(header),
        trainer,
    })
}

/// The examples of a run. A part that is used completely is moved, not copied.
fn run_data(train: Examples, test: Examples, split: &Split) -> RunData {
    let validation = train.select(&split.validation);
    let allocated = (!split.lca.is_empty()).then(|| train.select(&split.lca));
    let train = train.into_selected(&split.train);
    let (train, drawn_from) = match allocated {
        Some(allocated) => (allocated, Some(train)),
        None => (train, None),
    };
    RunData {
        train,
        drawn_from,
        test: test.into_selected(&split.test),
        validation,
    }
}

/// A configuration checked against its data, before anything expensive is made.
pub struct Checked {
    pub split: Split,
    pub network: Network,
    /// `[L]`: each layer's overrides.
    pub layers: Vec<Overrides>,
    pub batch_size: usize,
    pub batches: Batches,
    pub steps: u64,
}

impl Checked {
    fn facts(&self, dataset: &Dataset) -> DataFacts {
        let (split, classes) = (&self.split, dataset.classes.len());
        DataFacts {
            inputs: dataset.train.input_range(&split.train),
            train: dataset.train.class_counts(&split.train, classes),
            held_out: dataset.test.class_counts(&split.test, classes),
        }
    }

    /// Returns the warnings about the data, the same as those of the run's header.
    pub fn warnings(&self, config: &RunConfig, dataset: &Dataset) -> Vec<String> {
        let facts = self.facts(dataset);
        let data = Data {
            classes: &dataset.classes,
            inputs: Some(facts.inputs),
            is_normalised: is_normalised(&self.network.layout),
            is_given: config.course.is_some(),
            examples: [&facts.train, &facts.held_out],
            is_drawn: [config.sizes.train, config.sizes.test].map(|size| size.is_some()),
            first_loss: None,
        };
        data.lints().iter().map(ToString::to_string).collect()
    }
}

/// Loads the data set named in the configuration.
///
/// # Errors
/// It cannot be read.
pub fn load(config: &RunConfig) -> Result<Dataset, DataError> {
    data::load(&match &config.data {
        Some(path) => DataSource::Path(path.clone()),
        None => DataSource::Embedded,
    })
}

/// Checks that network, layers, sizes and length fit the data and each other.
///
/// # Errors
/// They do not fit.
pub fn check(config: &RunConfig, dataset: &Dataset) -> Result<Checked, Failure> {
    let split = Split::draw(dataset, &config.sizes, config.seed).map_err(usage)?;
    let network = Network::build(&config.network, dataset.shape, dataset.classes.len());
    let network = network.map_err(|error| outputs(error, config, dataset))?;
    let layers = layers(config, &network)?;
    memory::check(config, &network, &layers)?;
    let examples = split.train.len();
    let batch_size = config.batch_size.unwrap_or(BATCH_SIZE.min(examples));
    if batch_size > examples {
        return Err(Failure::Usage(ConfigError(format!(
            "--batch-size {batch_size}: there are {examples} training examples"
        ))));
    }
    let batches = Batches::new(examples, batch_size, config.seed).map_err(usage)?;
    let steps = match config.length {
        Length::Steps(steps) => steps,
        Length::Epochs(epochs) => epochs
            .checked_mul(batches.batches_per_epoch() as u64)
            .filter(|&steps| steps <= MAX_COUNT)
            .ok_or_else(|| Failure::Usage(ConfigError(format!("--epochs {epochs}: too many"))))?,
    };
    Ok(Checked {
        split,
        network,
        layers,
        batch_size,
        batches,
        steps,
    })
}

/// Explains a mismatch in the number of classes: the last layer of a preset cannot be changed, and labels that start at
/// 1 make one class too many.
fn outputs(error: ModelError, config: &RunConfig, dataset: &Dataset) -> Failure {
    let ModelError::Outputs { classes, .. } = &error else {
        return error.into();
    };
    let fact = error.to_string();
    let fact = fact
        .split_once(": ")
        .map_or(fact.as_str(), |(fact, _)| fact);
    let name = &config.network.name;
    let mut labels = dataset.train.labels.iter().chain(&dataset.test.labels);
    let advice = if labels.all(|&label| label > 0) {
        format!(
            "no example has label 0: labels go from 1 to {}, save labels - 1",
            classes - 1
        )
    } else if preset(name).as_ref() == Some(&config.network) {
        format!(
            "`lcascope config --print-network {name} > my-net.toml` makes a file of it; put {classes} for \
             the last `units` or `channels` there, and train my-net.toml"
        )
    } else {
        return error.into();
    };
    Failure::Usage(ConfigError(format!("{fact}: {advice}")))
}

/// `[L]`: each layer's overrides.
fn layers(config: &RunConfig, network: &Network) -> Result<Vec<Overrides>, ConfigError> {
    let layers = network.layout.layers.iter();
    let names: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
    overrides_of(&config.layers, &names).map_err(|error| ConfigError(error.to_string()))
}

fn settings(
    config: &RunConfig,
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
        record_weights: config.record_weights,
        record_params: config.record_params,
        traced,
    }
}

/// An error in the sizes, as a usage error that names the flag.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn usage(error: DataError) -> Failure {
    let flag = match &error {
        DataError::ZeroSize { part: "test" } | DataError::TestTooLarge { .. } => "--test-size",
        DataError::ZeroSize { part: "LCA" } | DataError::LcaTooLarge { .. } => "--lca-size",
        DataError::ZeroSize { .. } | DataError::TrainTooLarge { .. } => "--train-size",
        DataError::ValidationTooLarge { .. } => "--validation-size",
        _ => return Failure::Usage(ConfigError(error.to_string())),
    };
    Failure::Usage(ConfigError(format!("{flag}: {error}")))
}

/// Builds the requested engine, and replaces `auto` in `config` by what it resolved to.
fn build_engine(
    config: &mut RunConfig,
    network: &Network,
    data: RunData,
) -> Result<(Box<dyn GradientEngine>, usize), Failure> {
    let device = match config.device {
        DeviceChoice::Device(device) => device,
        // Trying is cheap: a build without CUDA, or a machine without a GPU, fails at once.
        DeviceChoice::Auto if config.engine == EngineChoice::Cpu => Device::Cpu,
        DeviceChoice::Auto => match candle::open_device(Device::Cuda(0)) {
            Ok(_) => Device::Cuda(0),
            Err(_) => Device::Cpu,
        },
    };
    let engine = match (config.engine, device) {
        (EngineChoice::Auto, Device::Cpu) => EngineChoice::Cpu,
        (EngineChoice::Auto, Device::Cuda(_)) => EngineChoice::Candle,
        (EngineChoice::Cpu, Device::Cuda(_)) => {
            return Err(Failure::Usage(ConfigError(format!(
                "--engine cpu does not run on --device {device}: use --engine candle"
            ))));
        }
        (engine, _) => engine,
    };
    config.device = DeviceChoice::Device(device);
    config.engine = engine;
    let slice_size = match (config.slice_size, engine) {
        (SliceChoice::Size(size), _) => size,
        (SliceChoice::Auto, EngineChoice::Candle) => candle::slice_size(network, &data, device)?,
        (SliceChoice::Auto, _) => cpu::slice_size(network),
    };
    if network.has_norm() && slice_size < 2 {
        return Err(Failure::Usage(ConfigError(format!(
            "--slice-size {slice_size}: batch norms need at least 2 examples in a slice, since they \
             take its mean and variance"
        ))));
    }
    config.slice_size = SliceChoice::Size(slice_size);
    let engine: Box<dyn GradientEngine> = match engine {
        EngineChoice::Candle => Box::new(CandleEngine::new(
            network,
            &data,
            slice_size,
            device,
            Precision::Single,
            config.by_class,
        )?),
        _ => Box::new(CpuEngine::new(
            network,
            data,
            slice_size,
            config.threads,
            config.by_class,
        )),
    };
    Ok((engine, slice_size))
}

#[cfg(test)]
mod tests {
    use proptest::option::weighted;
    use proptest::prelude::*;

    use super::*;
    use crate::config::{CheckpointEvery, NetworkChoice, Options};
    use crate::model::{Extent, LayerSpec, NamedPadding, NetworkSpec, Padding};

    /// Numbers that may cause overflow, and small ones, which get further.
    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![
            3 => 0_u64..40,
            1 => prop::sample::select(vec![
                1 << 31, 1 << 32, 1_000_000_000_000, 1 << 53, (1 << 53) + 1, 1 << 60, 1 << 62,
                (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX,
            ]),
            1 => any::<u64>(),
        ]
    }

    fn size() -> impl Strategy<Value = usize> {
        number().prop_map(|n| usize::try_from(n).unwrap_or(usize::MAX))
    }

    /// TOML integers are at most those of an `i64`.
    fn side() -> impl Strategy<Value = usize> {
        number().prop_map(|n| usize::try_from(n.min(i64::MAX.unsigned_abs())).unwrap_or(usize::MAX))
    }

    fn extent() -> impl Strategy<Value = Extent> {
        prop_oneof![
            side().prop_map(Extent::Square),
            [side(), side()].prop_map(Extent::Sides)
        ]
    }

    fn layer() -> impl Strategy<Value = LayerSpec> {
        let padding = prop_oneof![
            Just(Padding::Named(NamedPadding::Same)),
            Just(Padding::Named(NamedPadding::Valid)),
            side().prop_map(Padding::Zeros),
        ];
        prop_oneof![
            (side(), any::<bool>()).prop_map(|(units, bias)| LayerSpec::Linear {
                name: None,
                units,
                bias
            }),
            (side(), extent(), extent(), padding, any::<bool>()).prop_map(
                |(channels, kernel, stride, padding, bias)| LayerSpec::Conv {
                    name: None,
                    channels,
                    kernel,
                    stride,
                    padding,
                    bias
                }
            ),
            (extent(), proptest::option::of(extent()))
                .prop_map(|(size, stride)| LayerSpec::MaxPool { size, stride }),
            (extent(), proptest::option::of(extent()))
                .prop_map(|(size, stride)| LayerSpec::AvgPool { size, stride }),
            Just(LayerSpec::BatchNorm { name: None }),
            any::<f64>().prop_map(|rate| LayerSpec::Dropout { rate }),
        ]
    }

    prop_compose! {
        fn network()(mut layers in prop::collection::vec(layer(), 0..4)) -> NetworkSpec {
            // A network that is valid up to here is valid to its end.
            layers.push(LayerSpec::Linear { name: None, units: 10, bias: true });
            NetworkSpec { name: "absurd".to_owned(), layers }
        }
    }

    prop_compose! {
        fn counts()(
            [steps, epochs, class_every, test_every, record_weights, record_params] in
                std::array::from_fn::<_, 6, _>(|_| weighted(0.5, number())),
            [train_size, lca_size, validation_size, test_size, batch_size, trace, threads, slice] in
                std::array::from_fn::<_, 8, _>(|_| weighted(0.5, size())),
            segments in [weighted(0.2, any::<u32>()), weighted(0.2, any::<u32>())],
            reals in [weighted(0.2, any::<f64>()), weighted(0.2, any::<f64>()), weighted(0.2, any::<f64>())],
            checkpoint in weighted(0.3, number()),
            seed in weighted(0.3, number()),
            rules in prop::collection::vec((number(), number(), any::<bool>()), 0..3),
        ) -> Options {
            let rule = |(delay, from, all): (u64, u64, bool)| {
                let name = if all { "*" } else { "fc1" };
                format!("{name}:delay={delay},freeze-from={from}").parse().ok()
            };
            Options {
                steps: steps.filter(|_| epochs.is_none()),
                epochs,
                class_every,
                by_class: class_every.map(|_| true),
                test_every,
                record_weights,
                record_params,
                train_size,
                lca_size,
                validation_size,
                test_size,
                batch_size,
                trace,
                threads,
                slice_size: slice.map(SliceChoice::Size),
                min_segments: segments[0],
                max_segments: segments[1],
                learning_rate: reals[0],
                weight_decay: reals[1],
                tolerance: reals[2],
                checkpoint_every: checkpoint.map(CheckpointEvery::Steps),
                seed,
                layer: rules.into_iter().filter_map(rule).collect(),
                device: Some(DeviceChoice::Device(Device::Cpu)),
                ..Options::default()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Refused or resolved, but never a panic, and without allocating for it.
        #[test]
        fn absurd_numbers_are_refused_before_anything_is_made(
            mut options in counts(),
            network in proptest::option::of(network()),
        ) {
            static SAMPLE: std::sync::OnceLock<Dataset> = std::sync::OnceLock::new();
            options.network = network.map(NetworkChoice::Inline);
            if let Ok(config) = RunConfig::resolve(&options) {
                let dataset = SAMPLE.get_or_init(|| load(&config).unwrap());
                if let Ok(checked) = check(&config, dataset) {
                    prop_assert!(checked.steps <= MAX_COUNT && checked.network.params() > 0);
                    prop_assert!(toml::to_string(&config.to_options()).is_ok());
                    let layout = &checked.network.layout;
                    if layout.params() < 1 << 17 {
                        let traced = choose_traced(layout, config.trace, 0);
                        prop_assert!(traced.len() <= layout.params());
                    }
                }
            }
        }
    }

    #[test]
    fn a_delay_that_does_not_fit_into_memory_is_refused() {
        for delay in ["1000000000000", "9007199254740992"] {
            let options = Options {
                layer: vec![format!("fc1:delay={delay}").parse().unwrap()],
                ..Options::default()
            };
            let config = RunConfig::resolve(&options).unwrap();
            let error = check(&config, &load(&config).unwrap()).err().unwrap();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("of memory"), "{error}");
        }
    }
}

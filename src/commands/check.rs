//! Checks a configuration against its data, before anything expensive is made.

use crate::analysis::lints::data::Data;
use crate::config::{ConfigError, Length, MAX_COUNT, RunConfig};
use crate::data::{self, Batches, DataError, DataSource, Dataset, Split};
use crate::model::{ModelError, Network, preset};
use crate::optim::{Overrides, overrides_of};
use crate::query::is_normalised;
use crate::record::DataFacts;
use crate::supervise::{Failure, memory};

/// The default mini-batch size.
const BATCH_SIZE: usize = 250;

/// A configuration checked against its data, before anything expensive is made.
pub struct CheckedConfig {
    pub split: Split,
    pub network: Network,
    /// `[L]`: each layer's overrides.
    pub layers: Vec<Overrides>,
    pub batch_size: usize,
    pub batches: Batches,
    pub steps: u64,
}

impl CheckedConfig {
    /// Describes the examples that are used, for the run's header.
    pub fn facts(&self, dataset: &Dataset) -> DataFacts {
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
pub fn check(config: &RunConfig, dataset: &Dataset) -> Result<CheckedConfig, Failure> {
    let split = Split::draw(dataset, &config.sizes, config.seed).map_err(usage)?;
    let network = Network::build(&config.network, dataset.shape, dataset.classes.len());
    let network = network.map_err(|error| outputs(error, config, dataset))?;
    let layers = layers(config, &network)?;
    memory::check(config, &network, &layers)?;
    let examples = split.train.len();
    let batch_size = config.batch_size.unwrap_or(BATCH_SIZE.min(examples));
    if batch_size > examples {
        return Err(Failure::Usage(ConfigError(format!(
            "--batch-size {batch_size}: there are only {examples} training examples"
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
    Ok(CheckedConfig {
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
    let labels = || dataset.train.labels.iter().chain(&dataset.test.labels);
    let last = labels().max().map_or(0, |&label| usize::from(label));
    let advice = if labels().min() == Some(&1) && last + 1 == *classes {
        format!("no example has label 0: labels are 1 to {last}, but must start at 0; subtract 1")
    } else if preset(name).as_ref() == Some(&config.network) {
        format!(
            "`lcascope config --print-network {name} > my-net.toml` writes it to a file; set its last \
             `units` or `channels` to {classes} and train my-net.toml"
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

#[cfg(test)]
mod tests {
    use proptest::option::weighted;
    use proptest::prelude::*;

    use super::*;
    use crate::config::{CheckpointEvery, DeviceChoice, NetworkChoice, Options, SliceChoice};
    use crate::engine::Device;
    use crate::model::{HeightWidth, LayerSpec, NamedPadding, NetworkSpec, Padding};
    use crate::train::choose_traced;

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

    fn extent() -> impl Strategy<Value = HeightWidth> {
        prop_oneof![
            side().prop_map(HeightWidth::Square),
            [side(), side()].prop_map(HeightWidth::Sides)
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
            [steps, epochs, class_every, lca_every, test_every, record_weights, record_params] in
                std::array::from_fn::<_, 7, _>(|_| weighted(0.5, number())),
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
                lca_every,
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

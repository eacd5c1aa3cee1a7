//! Every run of an experiment, fully resolved.

use std::path::PathBuf;

use super::preset::{Preset, Size, SizeName, check_seeds};
use crate::config::{ConfigError, NetworkChoice, Options, RunConfig, merge};
use crate::data::Dataset;
use crate::model::Network;
use crate::optim::LayerRule;

/// A residual network that two cores can measure on the embedded sample. Not a preset of `train`, since it is not from
/// the literature.
const SMALL_RESNET: (&str, &str) = (
    "small-resnet",
    include_str!("../../assets/experiments/networks/small-resnet.toml"),
);

/// The user's overrides of an experiment's settings.
#[derive(Clone, Debug, Default)]
pub struct PlanOverrides {
    pub data: Option<PathBuf>,
    pub seeds: Option<u64>,
}

/// An experiment that is ready to run.
#[derive(Clone, Debug)]
pub struct ExperimentPlan {
    pub preset: Preset,
    pub size: SizeName,
    pub seeds: u64,
    /// All arms of the first seed, then all of the second, and so on: a plan that is cut short leaves whole pairs.
    pub runs: Vec<PlannedRun>,
}

/// One run.
#[derive(Clone, Debug)]
pub struct PlannedRun {
    /// Index of its arm.
    pub arm: usize,
    pub seed: u64,
    /// `ARM-SEED`, the stem of its file.
    pub name: String,
    pub config: RunConfig,
}

/// Returns the size and the configuration that all arms share; the data need not exist yet.
///
/// # Errors
/// The experiment lacks this size, or the size needs data and none are given.
pub fn base(
    preset: &Preset,
    size: SizeName,
    overrides: &PlanOverrides,
) -> Result<(Size, Options), ConfigError> {
    let sized = preset.size(size)?;
    let mut options = merge(&preset.config, &sized.config)?;
    if overrides.data.is_some() {
        options.data.clone_from(&overrides.data);
    }
    if options.data.is_none() && !sized.data.is_empty() {
        return Err(ConfigError(format!(
            "the {size} size of `{}` needs {}: give it with --data, or use --quick, which uses the embedded \
             sample of MNIST",
            preset.name, sized.data
        )));
    }
    Ok((sized, options))
}

impl ExperimentPlan {
    /// Resolves every run. `dataset` must be the one that `base` names: layer names depend on its shape.
    ///
    /// # Errors
    /// The first arm whose configuration is invalid, with its line.
    pub fn new(
        preset: Preset,
        size: SizeName,
        overrides: &PlanOverrides,
        dataset: &Dataset,
    ) -> Result<Self, ConfigError> {
        let (sized, base) = base(&preset, size, overrides)?;
        let seeds = match overrides.seeds {
            Some(seeds) => check_seeds(seeds).map_err(|what| ConfigError(format!("--{what}")))?,
            None => sized.seeds(),
        };
        let mut arms = Vec::new();
        for arm in &preset.arms {
            let config = merge(&base, &arm.set).and_then(|options| resolve(options, dataset));
            arms.push(config.map_err(|error| preset.fault_of(arm, &error.0))?);
        }
        let mut runs = Vec::new();
        for seed in 0..seeds {
            for (index, (arm, config)) in preset.arms.iter().zip(&arms).enumerate() {
                runs.push(PlannedRun {
                    arm: index,
                    seed,
                    name: format!("{}-{seed}", arm.name),
                    config: RunConfig {
                        seed,
                        ..config.clone()
                    },
                });
            }
        }
        Ok(Self {
            preset,
            size,
            seeds,
            runs,
        })
    }
}

/// Resolves the configuration, with the network's layers in place of `{first}` and `{last}`.
fn resolve(mut options: Options, dataset: &Dataset) -> Result<RunConfig, ConfigError> {
    let (name, text) = SMALL_RESNET;
    if options.network == Some(NetworkChoice::Named(name.to_owned())) {
        let spec = toml::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
        options.network = Some(NetworkChoice::Inline(spec));
    }
    let rules = std::mem::take(&mut options.layer);
    let mut config = RunConfig::resolve(&options)?;
    if !rules.is_empty() {
        let network = Network::build(&config.network, dataset.shape, dataset.classes.len())
            .map_err(|error| ConfigError(error.to_string()))?;
        let layers = &network.layout.layers;
        let ends = [("{first}", layers.first()), ("{last}", layers.last())];
        for rule in rules {
            let mut text = rule.to_string();
            for (word, layer) in ends {
                text = text.replace(word, layer.map_or("", |layer| layer.name.as_str()));
            }
            let rule: Result<LayerRule, _> = text.parse();
            options
                .layer
                .push(rule.map_err(|error| ConfigError(error.to_string()))?);
        }
        config = RunConfig::resolve(&options)?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::super::preset::{PRESETS, find};
    use super::*;
    use crate::data::{DataSource, load};
    use crate::model::Network;
    use crate::optim::overrides_of;

    /// Returns a data set with the shape of CIFAR-10 but without its images.
    fn cifar() -> Dataset {
        let sample = load(&DataSource::Embedded).unwrap();
        Dataset {
            shape: [3, 32, 32],
            ..sample
        }
    }

    #[test]
    fn every_preset_resolves_to_runs_in_both_sizes() {
        let (mnist, cifar) = (load(&DataSource::Embedded).unwrap(), cifar());
        for (name, _) in PRESETS {
            for size in [SizeName::Quick, SizeName::Paper] {
                let dataset = match size {
                    SizeName::Quick => &mnist,
                    SizeName::Paper => &cifar,
                };
                let overrides = PlanOverrides {
                    data: (size == SizeName::Paper).then(|| "/data".into()),
                    seeds: None,
                };
                let plan =
                    ExperimentPlan::new(find(name).unwrap(), size, &overrides, dataset).unwrap();
                let arms = plan.preset.arms.len();
                assert_eq!(plan.runs.len() as u64, plan.seeds * arms as u64);
                for run in &plan.runs {
                    let classes = dataset.classes.len();
                    let network = Network::build(&run.config.network, dataset.shape, classes);
                    let network = network.unwrap();
                    let layers = network.layout.layers.iter();
                    let names: Vec<&str> = layers.map(|layer| layer.name.as_str()).collect();
                    overrides_of(&run.config.layers, &names).unwrap();
                }
                // No two arms are the same run.
                for (i, a) in plan.runs[..arms].iter().enumerate() {
                    for b in &plan.runs[..i] {
                        assert_ne!(a.config, b.config, "{name}: {} and {}", a.name, b.name);
                    }
                }
            }
        }
    }

    #[test]
    fn the_paper_size_requires_its_data_set() {
        let overrides = PlanOverrides::default();
        let error = base(&find("freeze-last").unwrap(), SizeName::Paper, &overrides).unwrap_err();
        assert!(
            error.0.contains("CIFAR-10") && error.0.contains("--data"),
            "{error}"
        );
    }

    #[test]
    fn first_and_last_resolve_to_layers_by_position() {
        let mnist = load(&DataSource::Embedded).unwrap();
        let text = "description = 'd'\nquestion = 'q'\n[config]\nsteps = 2\n[[arm]]\nname = 'a'\n\
            set.layer = ['*:delay=3', '{last}:delay=0', '{first}:freeze']";
        let preset = Preset::parse("x", text, "x.toml").unwrap();
        let overrides = PlanOverrides {
            seeds: Some(2),
            ..PlanOverrides::default()
        };
        let plan = ExperimentPlan::new(preset, SizeName::Paper, &overrides, &mnist).unwrap();
        let rules = |run: &PlannedRun| {
            let rules = run.config.layers.iter();
            rules.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            rules(&plan.runs[0]),
            ["*:delay=3", "fc3:delay=0", "fc1:freeze"]
        );
        let seeds: Vec<u64> = plan.runs.iter().map(|run| run.config.seed).collect();
        assert_eq!(seeds, [0, 1]);
        assert_eq!(plan.runs[1].name, "a-1");
    }

    #[test]
    fn an_arm_that_cannot_be_run_is_named_with_its_line() {
        let mnist = load(&DataSource::Embedded).unwrap();
        let text = "description = 'd'\nquestion = 'q'\n[[arm]]\nname = 'a'\n[[arm]]\nname = 'b'\n\
            set.learning_rate = 0.0";
        let preset = Preset::parse("x", text, "x.toml").unwrap();
        let error = ExperimentPlan::new(preset, SizeName::Paper, &PlanOverrides::default(), &mnist)
            .unwrap_err();
        assert!(
            error
                .0
                .contains("x.toml, line 6: arm `b`: --learning-rate 0"),
            "{error}"
        );
    }
}

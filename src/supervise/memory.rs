//! Refuses a run that cannot fit into memory, before anything is created.
//!
//! The bounds are lower bounds: a run that passes may still need more memory than there is.

use crate::config::{ConfigError, DeviceChoice, EngineChoice, RunConfig};
use crate::engine::Device;
use crate::memory::{available, size};
use crate::model::{Network, values};
use crate::optim::Overrides;
use crate::record::{ParamTotals, RunHeader};

/// The least memory that a recording keeps for each parameter, in bytes: weights at both ends of a step (8), gradients
/// there and at an inner point (12), running totals (20), and allocation and signs of the last step (9).
const EACH_RECORDED: u64 = 49;

/// The least memory that a training keeps for each parameter, in bytes: also weights at an inner point, and the engine's
/// sum of gradients.
const EACH_PARAMETER: u64 = EACH_RECORDED + 8;

/// Examples whose activations the CPU engine keeps side by side.
const LANES: u64 = 32;

/// Refuses a run that needs more memory than there is.
///
/// # Errors
/// A layer's delay, a layer's output or the parameters need more.
pub fn check(
    config: &RunConfig,
    network: &Network,
    layers: &[Overrides],
) -> Result<(), ConfigError> {
    match available() {
        Some(bytes) => fits(config, network, layers, bytes),
        None => Ok(()),
    }
}

/// Refuses the recording of a model with more parameters than fit into memory.
///
/// # Errors
/// The parameters need more.
pub fn check_recording(params: usize) -> Result<(), ConfigError> {
    let memory = MemoryUse {
        base: (params as u64).saturating_mul(EACH_RECORDED),
        added: Vec::new(),
    };
    available().map_or(Ok(()), |there| memory.check(params, there))
}

fn refused(what: &str, need: u64, there: u64) -> ConfigError {
    ConfigError(format!(
        "{what} need at least {} of memory, but this machine has {}",
        size(need),
        size(there)
    ))
}

/// The least memory that a run needs for its parameters. Examples and activations come on top.
#[derive(Clone, Debug, Default)]
pub struct MemoryUse {
    /// Bytes that every run needs.
    base: u64,
    /// Bytes that options add, with their flags.
    added: Vec<(&'static str, u64)>,
}

impl MemoryUse {
    /// The memory of a training by this program.
    #[must_use]
    pub fn of_training(config: &RunConfig, header: &RunHeader) -> Self {
        Self::with(EACH_PARAMETER, config, header)
    }

    /// The memory of a recording.
    #[must_use]
    pub fn of_recording(config: &RunConfig, header: &RunHeader) -> Self {
        Self::with(EACH_RECORDED, config, header)
    }

    fn with(each: u64, config: &RunConfig, header: &RunHeader) -> Self {
        let optimizer = ["optimizer_averages", "delayed"];
        let arrays = header.checkpoint.iter();
        let arrays = arrays.filter(|array| optimizer.contains(&array.name));
        let optimizer: usize = arrays.map(|array| 4 * array.len).sum();
        let params = header.layout.params() as u64;
        let added = [
            // Three gradients.
            ("without --lca-test", config.lca_test, 12),
            // Gradients by class at three points.
            (
                "without --by-class",
                config.by_class,
                12 * header.classes.len() as u64,
            ),
            // Rows on their way to the file.
            ("without --record-params", config.record_params > 0, 8),
            ("without --record-weights", config.record_weights > 0, 8),
            (
                "with --snapshots 1",
                header.snapshots > 1,
                ParamTotals::EACH as u64,
            ),
        ];
        let added = added.into_iter().filter(|(_, is_so, _)| *is_so);
        Self {
            base: params * each + optimizer as u64,
            added: added.map(|(flag, _, each)| (flag, params * each)).collect(),
        }
    }

    /// Returns the sum in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.base + self.added.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }

    /// Refuses a run of so many parameters if `there`, in bytes, is not enough.
    ///
    /// # Errors
    /// It is not; the message names the flag that helps most.
    pub fn check(&self, params: usize, there: u64) -> Result<(), ConfigError> {
        let need = self.bytes();
        if need <= there {
            return Ok(());
        }
        let ConfigError(refused) = refused(&format!("{params} parameters"), need, there);
        let largest = self.added.iter().max_by_key(|(_, bytes)| bytes);
        Err(ConfigError(match largest {
            Some((flag, bytes)) => format!("{refused}: {flag}, {}", size(need - bytes)),
            None => refused,
        }))
    }
}

fn fits(
    config: &RunConfig,
    network: &Network,
    layers: &[Overrides],
    there: u64,
) -> Result<(), ConfigError> {
    let refused = |what: String, need: u64| Err(refused(&what, need, there));
    let on_cpu = match (config.engine, config.device) {
        (EngineChoice::Cpu, _) | (EngineChoice::Auto, DeviceChoice::Device(Device::Cpu)) => true,
        (EngineChoice::Auto, DeviceChoice::Auto) => !cfg!(feature = "cuda"),
        _ => false,
    };
    let lanes = if on_cpu { LANES } else { 1 };
    let mut need = network.params() as u64 * EACH_PARAMETER;
    if need > there {
        let what = format!("the network's {} parameters", network.params());
        return refused(what, need);
    }
    for node in &network.nodes {
        let [_, height, width] = node.shape;
        let beside = if height * width > 1 { lanes } else { 1 };
        let bytes = (values(node.shape) as u64).saturating_mul(4 * beside);
        if bytes > there {
            let what = format!("{beside} outputs {:?} of a layer", node.shape);
            return refused(what, bytes);
        }
    }
    for (layer, overrides) in network.layout.layers.iter().zip(layers) {
        let delay = overrides.delay.unwrap_or(0);
        // Once in the queue, once in a checkpoint.
        let bytes = (layer.range.len() as u64)
            .saturating_mul(8)
            .saturating_mul(delay as u64);
        need = need.saturating_add(bytes);
        if need > there {
            let what = format!(
                "--layer {}:delay={delay}: the delayed gradients",
                layer.name
            );
            return refused(what, need);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    #[test]
    fn a_training_beyond_memory_is_refused_with_the_bound() {
        let fault = |network: &str, rule: Option<&str>, there: u64| {
            let options = Options {
                network: Some(network.parse().unwrap()),
                layer: rule.map(|rule| rule.parse().unwrap()).into_iter().collect(),
                device: Some(DeviceChoice::Device(Device::Cpu)),
                ..Options::default()
            };
            let config = RunConfig::resolve(&options).unwrap();
            let network = Network::build(&config.network, [1, 28, 28], 10).unwrap();
            let names = network.layout.layers.iter();
            let names: Vec<&str> = names.map(|layer| layer.name.as_str()).collect();
            let layers = crate::optim::overrides_of(&config.layers, &names).unwrap();
            let fitted = fits(&config, &network, &layers, there);
            fitted.map_err(|error| error.to_string()).err()
        };
        assert_eq!(fault("mnist-fc", None, 1 << 30), None);
        assert_eq!(fault("mnist-fc", Some("fc3:delay=1000"), 1 << 30), None);
        let delay = fault("mnist-fc", Some("fc3:delay=1000000000000"), 1 << 30).unwrap();
        assert!(
            delay.starts_with(
                "--layer fc3:delay=1000000000000: the delayed gradients need at least 3.6 PiB"
            ) && delay.ends_with("this machine has 1.0 GiB"),
            "{delay}"
        );
        let params = fault("mnist-fc", None, 1 << 20).unwrap();
        assert!(
            params.contains("the network's 84060 parameters need at least 4.6 MiB"),
            "{params}"
        );
    }

    #[test]
    fn the_option_that_takes_most_memory_is_named() {
        let mut memory = MemoryUse {
            base: 3 << 20,
            added: vec![
                ("without --lca-test", 1 << 20),
                ("without --by-class", 2 << 20),
            ],
        };
        assert_eq!(memory.bytes(), 6 << 20);
        assert!(memory.check(10, 6 << 20).is_ok());
        let refused = |memory: &MemoryUse| memory.check(10, 1 << 20).unwrap_err().0;
        assert_eq!(
            refused(&memory),
            "10 parameters need at least 6.0 MiB of memory, but this machine has 1.0 MiB: without --by-class, 4.0 MiB"
        );
        memory.added.clear();
        assert!(refused(&memory).ends_with("this machine has 1.0 MiB"));
    }
}

//! The engine of a run: which one it is, and the examples that it evaluates.

use crate::config::{ConfigError, DeviceChoice, EngineChoice, RunConfig, SliceChoice};
use crate::data::{Examples, Split};
use crate::engine::candle::{self, CandleEngine, Precision};
use crate::engine::cpu::{self, CpuEngine};
use crate::engine::{Device, EngineError, GradientEngine, RunData};
use crate::model::Network;
use crate::supervise::Failure;

/// The examples of a run. A part that is used completely is moved, not copied.
pub(super) fn run_data(train: Examples, test: Examples, split: &Split) -> RunData {
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

/// Chooses engine, device and slice size, and replaces `auto` in `config` by them. Returns the slice size.
pub(super) fn resolve_engine(
    config: &mut RunConfig,
    network: &Network,
    data: &RunData,
) -> Result<usize, Failure> {
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
                "--engine cpu does not support --device {device}: use --engine candle"
            ))));
        }
        (engine, _) => engine,
    };
    config.device = DeviceChoice::Device(device);
    config.engine = engine;
    let slice_size = match (config.slice_size, engine) {
        (SliceChoice::Size(size), _) => size,
        (SliceChoice::Auto, EngineChoice::Candle) => candle::slice_size(network, data, device)?,
        (SliceChoice::Auto, _) => cpu::slice_size(network),
    };
    if network.has_norm() && slice_size < 2 {
        return Err(Failure::Usage(ConfigError(format!(
            "--slice-size {slice_size}: batch norms need at least 2 examples per slice, for \
             its mean and variance"
        ))));
    }
    config.slice_size = SliceChoice::Size(slice_size);
    Ok(slice_size)
}

/// Returns the slice size of a configuration without `auto`.
pub(super) fn slice_size_of(config: &RunConfig) -> usize {
    match config.slice_size {
        SliceChoice::Size(size) => size,
        SliceChoice::Auto => cpu::SLICE_SIZE,
    }
}

/// Builds the engine of a configuration without `auto`.
pub(super) fn make_engine(
    config: &RunConfig,
    network: &Network,
    data: RunData,
) -> Result<Box<dyn GradientEngine>, EngineError> {
    let (slice_size, by_class) = (slice_size_of(config), config.by_class);
    let device = match config.device {
        DeviceChoice::Device(device) => device,
        DeviceChoice::Auto => Device::Cpu,
    };
    Ok(match config.engine {
        EngineChoice::Candle => {
            let precision = Precision::Single;
            let engine =
                CandleEngine::new(network, &data, slice_size, device, precision, by_class)?;
            Box::new(engine)
        }
        _ => {
            let threads = config.threads;
            Box::new(CpuEngine::new(network, data, slice_size, threads, by_class))
        }
    })
}

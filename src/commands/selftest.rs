//! `lcascope selftest`: compares a device's numbers with those of another engine, in this process.
//!
//! The engine that runs on the device is compared with an independent one on the CPU. On `cpu` these are the
//! hand-written engine and candle's autograd in double precision; on a GPU, candle in single precision and the
//! hand-written engine. The comparison covers the gradient of every kind of layer and an allocated step of every
//! preset, on random data that are always the same, and a short run on the embedded sample.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Instant;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::config::{ConfigError, DeviceChoice};
use crate::data::{self, Batches, DataSource, Examples};
use crate::engine::SegmentPoint;
use crate::engine::candle::{self, CandleEngine, Precision};
use crate::engine::cpu::CpuEngine;
use crate::engine::{Device, EngineError, Evaluation, GradientEngine, RunData, Subset, Want};
use crate::lca::allocation::EndLosses;
use crate::lca::{Allocator, Integrator, IntegratorSettings, Method, PointEvaluation};
use crate::model::{Network, NetworkSpec, PRESETS, he_normal, preset};
use crate::optim::{OptimizerChoice, Schedule};
use crate::supervise::{Failure, print};
use crate::train::{TrainSettings, Trainer};

/// Largest accepted error of a gradient's entry and of a layer's allocation, as a share of the largest.
const TOLERANCE: f64 = 2e-4;

/// Largest accepted error of the layers' totals and the losses of the run, as a share of the largest: small differences
/// grow from step to step.
const TOLERANCE_OF_A_RUN: f64 = 2e-3;

/// An error is relative to its tensor's largest entry or, if that is smaller, to this share of the network's largest:
/// the gradient of a bias before a batch norm consists of rounding errors.
const SMALL: f64 = 1e-2;

/// A small network for every kind of layer, as TOML. `flatten` needs none: the last linear layer flattens its input.
const LAYERS: &[(&str, &str)] = &[
    ("linear", ""),
    (
        "relu",
        "[[layer]]\nkind = 'linear'\nunits = 24\n[[layer]]\nkind = 'relu'",
    ),
    (
        "conv",
        "[[layer]]\nkind = 'conv'\nchannels = 6\nkernel = 3\nstride = 2\n[[layer]]\nkind = 'conv'\nchannels = 5\nkernel = [2, 3]\npadding = 'valid'",
    ),
    (
        "max-pool",
        "[[layer]]\nkind = 'conv'\nchannels = 6\nkernel = 5\n[[layer]]\nkind = 'max-pool'\nsize = 3\nstride = 2",
    ),
    (
        "avg-pool",
        "[[layer]]\nkind = 'conv'\nchannels = 6\nkernel = 1\n[[layer]]\nkind = 'avg-pool'\nsize = 2",
    ),
    (
        "global-avg-pool",
        "[[layer]]\nkind = 'conv'\nchannels = 16\nkernel = 3\n[[layer]]\nkind = 'global-avg-pool'",
    ),
    (
        "batch-norm",
        "[[layer]]\nkind = 'conv'\nchannels = 6\nkernel = 3\n[[layer]]\nkind = 'batch-norm'\n[[layer]]\nkind = 'relu'\n[[layer]]\nkind = 'linear'\nunits = 20\n[[layer]]\nkind = 'batch-norm'",
    ),
    (
        "residual",
        "[[layer]]\nkind = 'conv'\nchannels = 4\nkernel = 3\n[[layer]]\nkind = 'residual'\nprojection = true\nbody = [{ kind = 'conv', channels = 8, kernel = 3, stride = 2 }, { kind = 'relu' }, { kind = 'conv', channels = 8, kernel = 3 }]",
    ),
    (
        "dropout",
        "[[layer]]\nkind = 'linear'\nunits = 24\n[[layer]]\nkind = 'dropout'\nrate = 0.5",
    ),
];

const LAST_LAYER: &str = "\n[[layer]]\nkind = 'linear'\nunits = 10\n";

/// A comparison of two engines.
struct Check {
    name: String,
    /// Largest difference, as a share of the largest number.
    error: f64,
    tolerance: f64,
    /// Examples per second in a full gradient, on the device and by the other engine, if it was timed.
    speeds: Option<[f64; 2]>,
}

impl Check {
    fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// The engines that are compared.
#[derive(Clone, Copy)]
struct Engines {
    device: Device,
    threads: usize,
}

impl Engines {
    /// Returns the engine on the device and the other one.
    fn make(
        self,
        network: &Network,
        data: &RunData,
        slice: usize,
    ) -> Result<[Box<dyn GradientEngine>; 2], EngineError> {
        let candle = |device, precision| -> Result<Box<dyn GradientEngine>, EngineError> {
            let engine = CandleEngine::new(network, data, slice, device, precision, false)?;
            Ok(Box::new(engine))
        };
        let own = Box::new(CpuEngine::new(
            network,
            data.clone(),
            slice,
            self.threads,
            false,
        ));
        Ok(match self.device {
            Device::Cpu => [own, candle(Device::Cpu, Precision::Double)?],
            device @ Device::Cuda(_) => [candle(device, Precision::Single)?, own],
        })
    }
}

/// Compares the engines and prints a table.
///
/// # Errors
/// There is no such device, it fails, or a comparison is not within its tolerance.
pub fn selftest(device: DeviceChoice, threads: Option<usize>) -> Result<ExitCode, Failure> {
    let device = match device {
        DeviceChoice::Device(device) => device,
        DeviceChoice::Auto => match candle::open_device(Device::Cuda(0)) {
            Ok(_) => Device::Cuda(0),
            Err(_) => Device::Cpu,
        },
    };
    let all = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = threads.unwrap_or(all);
    if threads == 0 {
        return Err(ConfigError("--threads 0: at least one is needed".to_owned()).into());
    }
    let engines = Engines { device, threads };
    let mut checks = Vec::new();
    for (kind, layers) in LAYERS {
        let name = format!("gradient of {kind}");
        let case = Case::new(name, &network_of(kind, layers)?, [3, 15, 15], 60)?;
        checks.push(gradient(engines, case)?);
    }
    for name in PRESETS {
        let spec = preset(name).ok_or_else(|| Failure::Other(format!("no preset {name}")))?;
        let (shape, examples) = if name.starts_with("mnist") {
            ([1, 28, 28], 128)
        } else {
            ([3, 32, 32], 16)
        };
        let case = Case::new(format!("a step of {name}"), &spec, shape, examples)?;
        checks.push(step(engines, case)?);
    }
    checks.push(run(engines)?);
    report(&checks, device)
}

fn network_of(name: &str, layers: &str) -> Result<NetworkSpec, Failure> {
    let text = format!("name = '{name}'\n{layers}{LAST_LAYER}");
    toml::from_str(&text).map_err(|error| Failure::Other(format!("{name}: {error}")))
}

fn report(checks: &[Check], device: Device) -> Result<ExitCode, Failure> {
    let mut out = format!(
        "{:<28}{:>10}{:>11}{:>20}{:>14}\n",
        "check", "error", "tolerance", "examples/s, device", "other engine"
    );
    for check in checks {
        let [device, other] = check
            .speeds
            .map_or([String::new(), String::new()], |speeds| {
                speeds.map(|speed| format!("{speed:.0}"))
            });
        let verdict = if check.passed() { "" } else { "  FAILED" };
        let _ = writeln!(
            out,
            "{:<28}{:>10.1e}{:>11.1e}{device:>20}{other:>14}{verdict}",
            check.name, check.error, check.tolerance
        );
    }
    print(out.as_bytes())?;
    match checks.iter().filter(|check| !check.passed()).count() {
        0 => Ok(ExitCode::SUCCESS),
        failed => Err(Failure::Other(format!(
            "{failed} of {} checks failed on {device}: do not trust its numbers, and please report this table",
            checks.len()
        ))),
    }
}

/// Random examples: inputs from 0 to 1, and classes.
fn random_examples(shape: [usize; 3], count: usize, seed: u64) -> Result<Examples, Failure> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let features = shape.iter().product();
    let inputs = (0..count * features).map(|_| rng.random()).collect();
    let labels = (0..count).map(|_| rng.random_range(0..10)).collect();
    Ok(Examples::new(inputs, labels, features)?)
}

fn random_data(shape: [usize; 3], count: usize) -> Result<RunData, Failure> {
    let train = random_examples(shape, count, 1)?;
    Ok(RunData {
        validation: train.select(&[]),
        test: random_examples(shape, 10, 2)?,
        drawn_from: None,
        train,
    })
}

/// A network with parameters and random examples.
struct Case {
    name: String,
    network: Network,
    data: RunData,
    theta: Vec<f32>,
}

impl Case {
    fn new(
        name: String,
        spec: &NetworkSpec,
        shape: [usize; 3],
        examples: usize,
    ) -> Result<Self, Failure> {
        let network = Network::build(spec, shape, 10)?;
        Ok(Self {
            name,
            data: random_data(shape, examples)?,
            theta: he_normal(&network, 3),
            network,
        })
    }
}

/// Compares the gradient over all examples, and that of a mini-batch, tensor by tensor.
fn gradient(engines: Engines, case: Case) -> Result<Check, Failure> {
    let Case {
        name,
        network,
        data,
        theta,
    } = case;
    let examples = data.train.len();
    let rows: Vec<u32> = (0..examples)
        .step_by(2)
        .filter_map(|row| u32::try_from(row).ok())
        .collect();
    let [mut device, mut other] = engines.make(&network, &data, examples / 2)?;
    let evaluate = |engine: &mut dyn GradientEngine| -> Result<[Evaluation; 2], EngineError> {
        let mut all = Evaluation::default();
        engine.evaluate(Subset::Train, &theta, Want::Gradient, &mut all)?;
        let mut batch = Evaluation::default();
        engine.evaluate_batch(&theta, &rows, 5, &mut batch)?;
        Ok([all, batch])
    };
    let (got, expected) = (evaluate(&mut *device)?, evaluate(&mut *other)?);
    let errors = got.iter().zip(&expected).map(|(got, expected)| {
        let loss = (got.loss - expected.loss).abs() / expected.loss.abs();
        error_of_gradient(&network, &got.gradient, &expected.gradient).max(loss)
    });
    Ok(Check {
        name,
        error: errors.fold(0.0, larger),
        tolerance: TOLERANCE,
        speeds: None,
    })
}

/// The larger of two errors; NaN if either is NaN.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

/// Returns the largest error of an entry, as a share of its tensor's largest (see [`SMALL`]).
fn error_of_gradient(network: &Network, got: &[f32], expected: &[f32]) -> f64 {
    let size = |values: &[f32]| {
        let sizes = values.iter().map(|value| f64::from(value.abs()));
        sizes.fold(0.0, larger)
    };
    let least = SMALL * size(expected);
    let errors = network.layout.tensors.iter().map(|tensor| {
        let (got, expected) = (&got[tensor.range.clone()], &expected[tensor.range.clone()]);
        let differences = got.iter().zip(expected);
        let differences = differences.map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
        differences.fold(0.0, larger) / size(expected).max(least)
    });
    errors.fold(0.0, larger)
}

/// Compares the allocation of a step by Simpson's rule, layer by layer, and times a gradient.
fn step(engines: Engines, case: Case) -> Result<Check, Failure> {
    let Case {
        name,
        network,
        data,
        theta,
    } = case;
    let examples = data.train.len();
    let [mut device, mut other] = engines.make(&network, &data, examples)?;
    // Both engines allocate the same step.
    let mut start = Evaluation::default();
    other.evaluate(Subset::Train, &theta, Want::Gradient, &mut start)?;
    let moved = theta.iter().zip(&start.gradient);
    let next: Vec<f32> = moved
        .map(|(theta, gradient)| theta - 0.01 * gradient)
        .collect();
    let (got, device_speed) = allocated(&mut *device, &network, &theta, &next, examples)?;
    let (expected, other_speed) = allocated(&mut *other, &network, &theta, &next, examples)?;
    Ok(Check {
        name,
        error: error_of_numbers(&got, &expected),
        tolerance: TOLERANCE,
        speeds: Some([device_speed, other_speed]),
    })
}

/// Returns the largest difference, as a share of the largest number.
fn error_of_numbers(got: &[f64], expected: &[f64]) -> f64 {
    let size = expected.iter().map(|value| value.abs()).fold(0.0, larger);
    let differences = got.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, larger) / size
}

/// Returns every layer's allocation of a step, and examples per second in the second of the gradients.
fn allocated(
    engine: &mut dyn GradientEngine,
    network: &Network,
    theta: &[f32],
    next: &[f32],
    examples: usize,
) -> Result<(Vec<f64>, f64), Failure> {
    let mut memory = Vec::new();
    let mut seconds = 0.0;
    let mut evaluate = |alpha: f64, out: &mut PointEvaluation| -> Result<(), EngineError> {
        let began = Instant::now();
        let mut point = SegmentPoint::new(theta, next, alpha, &mut memory);
        engine.evaluate_on_segment(Subset::Train, &mut point, Want::Gradient, &mut out.train)?;
        seconds = began.elapsed().as_secs_f64();
        Ok(())
    };
    let (mut start, mut end) = (PointEvaluation::default(), PointEvaluation::default());
    evaluate(0.0, &mut start)?;
    let settings = IntegratorSettings {
        method: Method::Simpson,
        ..IntegratorSettings::default()
    };
    let mut integrator = Integrator::new(settings, &network.layout, 1);
    let integral = integrator.integrate(theta, next, &start, &mut end, &mut evaluate)?;
    let path = integrator.path(&integral, theta, next, &start, &end);
    let ends = EndLosses {
        before: start.train.loss,
        after: end.train.loss,
    };
    let allocated = Allocator::new(&network.layout, 1).allocate(&path, &integral, ends, None);
    #[expect(clippy::cast_precision_loss, reason = "few examples")]
    let speed = examples as f64 / seconds;
    Ok((allocated.allocation.layer, speed))
}

/// Compares a short training on the embedded sample: losses and every layer's total.
fn run(engines: Engines) -> Result<Check, Failure> {
    const STEPS: u64 = 20;
    const EXAMPLES: usize = 500;
    let spec = preset("mnist-fc").ok_or_else(|| Failure::Other("no preset mnist-fc".to_owned()))?;
    let dataset = data::load(&DataSource::Embedded)?;
    let rows: Vec<u32> = (0..).take(EXAMPLES).collect();
    let train = dataset.train.select(&rows);
    let data = RunData {
        validation: train.select(&[]),
        test: dataset.test.select(&rows[..100]),
        drawn_from: None,
        train,
    };
    let network = Network::build(&spec, dataset.shape, 10)?;
    let made = engines.make(&network, &data, 100)?;
    let mut numbers = Vec::new();
    for engine in made {
        let settings = TrainSettings {
            seed: 0,
            steps: STEPS,
            every: 1,
            optimizer: OptimizerChoice::Sgd { momentum: 0.9 },
            learning_rate: 0.05,
            weight_decay: 0.0,
            layers: Vec::new(),
            schedule: Schedule::default(),
            integration: IntegratorSettings::default(),
            held_out_lca: false,
            class_every: 0,
            test_every: STEPS,
            record_weights: 0,
            record_params: 0,
            snapshots: 0,
            traced: Vec::new(),
            threads: engines.threads,
        };
        let batches =
            Batches::new(EXAMPLES, 50, 0).map_err(|error| Failure::Other(error.to_string()))?;
        let theta = he_normal(&network, 0);
        let mut trainer = Trainer::new(
            settings,
            &network.layout,
            engine,
            batches,
            false,
            theta,
            Vec::new(),
        );
        let failed = |error: crate::train::TrainError| Failure::Run(error.to_string());
        let mut run = vec![trainer.start().map_err(failed)?.losses.train];
        let mut layers = vec![0.0; network.layout.layers.len()];
        for _ in 0..STEPS {
            let record = trainer.step().map_err(failed)?;
            run.push(record.after.train);
            for (total, lca) in layers.iter_mut().zip(&record.lca.layer) {
                *total += lca;
            }
        }
        run.extend(layers);
        numbers.push(run);
    }
    Ok(Check {
        name: format!("{STEPS} steps of mnist-fc"),
        error: error_of_numbers(&numbers[0], &numbers[1]),
        tolerance: TOLERANCE_OF_A_RUN,
        speeds: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An engine whose gradient is wrong in one entry.
    struct Wrong(Box<dyn GradientEngine>);

    impl GradientEngine for Wrong {
        fn describe(&self) -> String {
            self.0.describe()
        }

        fn evaluate(
            &mut self,
            part: Subset,
            params: &[f32],
            want: Want,
            out: &mut Evaluation,
        ) -> Result<(), EngineError> {
            self.0.evaluate(part, params, want, out)?;
            if let Some(entry) = out.gradient.get_mut(7) {
                *entry += 1e-2;
            }
            Ok(())
        }

        fn evaluate_batch(
            &mut self,
            params: &[f32],
            rows: &[u32],
            noise: u64,
            out: &mut Evaluation,
        ) -> Result<(), EngineError> {
            self.0.evaluate_batch(params, rows, noise, out)
        }

        fn accuracy(
            &mut self,
            part: Subset,
            params: &[f32],
            running: &[f32],
        ) -> Result<f64, EngineError> {
            self.0.accuracy(part, params, running)
        }
    }

    #[test]
    fn a_wrong_gradient_is_noticed() {
        let spec = network_of("conv", LAYERS[2].1).unwrap();
        let network = Network::build(&spec, [3, 15, 15], 10).unwrap();
        let data = random_data([3, 15, 15], 30).unwrap();
        let engines = Engines {
            device: Device::Cpu,
            threads: 1,
        };
        let [device, mut other] = engines.make(&network, &data, 30).unwrap();
        let theta = he_normal(&network, 3);
        let next: Vec<f32> = theta.iter().map(|theta| theta * 0.99).collect();
        let mut error = |engine: &mut dyn GradientEngine| {
            let (got, _) = allocated(engine, &network, &theta, &next, 30).unwrap();
            let (expected, _) = allocated(&mut *other, &network, &theta, &next, 30).unwrap();
            let lca = error_of_numbers(&got, &expected);
            let mut evaluations = [Evaluation::default(), Evaluation::default()];
            engine
                .evaluate(Subset::Train, &theta, Want::Gradient, &mut evaluations[0])
                .unwrap();
            other
                .evaluate(Subset::Train, &theta, Want::Gradient, &mut evaluations[1])
                .unwrap();
            let [got, expected] = evaluations.map(|evaluation| evaluation.gradient);
            [lca, error_of_gradient(&network, &got, &expected)]
        };
        let mut device = device;
        assert!(
            error(&mut *device)
                .iter()
                .all(|error| *error < TOLERANCE / 4.0)
        );
        let wrong = error(&mut Wrong(device));
        assert!(wrong.iter().all(|error| *error > TOLERANCE), "{wrong:?}");
        assert!(larger(f64::NAN, 1.0).is_nan() && larger(1.0, f64::NAN).is_nan());
    }
}

//! The whole method against `golden/mnist_fc.json`: numbers computed by `PyTorch` in double precision with a script
//! (`golden/mnist_fc.py`) that shares no code with this program and documents every key.
//!
//! For each optimizer, integrator and engine, six steps are taken with this program's own optimizer, [`Integrator`] and
//! [`Allocator`], and every number in the JSON is compared. `cargo test --test engines golden:: -- --nocapture` prints the
//! largest errors.
//!
//! The program may differ from the golden numbers for two reasons, each with its own tolerance:
//!
//! - Rounding. Parameters and gradients are single precision (relative rounding 6e-8), even where candle computes in
//!   double. At least half of the steps must agree within about ten times the largest error observed from rounding
//!   alone.
//! - The kink of `ReLU`. A pre-activation within rounding of zero may fall on either side, and the gradient then
//!   differs by that unit's share in one example. It happens about once in ten million evaluations: in `sgd` with
//!   candle in single precision, fc2's unit 0 has 7.1e-8 for example 881 in the middle of step 5, and the residual
//!   moves by 5.7e-6. Any step may be off by a few times that.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts and indices here are small; parameters are f32 by design"
)]

use crate::sum;
use lcascope::data::{self, DataSource, Examples};
use lcascope::engine::candle::{CandleEngine, Precision};
use lcascope::engine::cpu::CpuEngine;
use lcascope::engine::{
    Device, EngineError, Evaluation, GradientEngine, RunData, SegmentPoint, Subset, Want,
};
use lcascope::layout::ParamLayout;
use lcascope::lca::allocation::{Allocated, EndLosses};
use lcascope::lca::{Allocator, Integrator, IntegratorSettings, Method, PointEvaluation};
use lcascope::model::{Network, Op, preset};
use lcascope::optim::{Adam, Optimizer, Sgd};
use lcascope::record::{Allocation, Motion};
use serde_json::{Value, json};

use Measure::{Absolute, OfLargest, Relative};

const STEPS: u32 = 6;
const TRAIN: u32 = 1000;
const TEST: u32 = 300;
const BATCH: u32 = 100;

// ---- inputs ----

struct Inputs {
    network: Network,
    data: RunData,
    theta: Vec<f32>,
}

impl Inputs {
    fn new() -> Self {
        let dataset = data::load(&DataSource::Embedded).unwrap();
        let network = Network::build(&preset("mnist-fc").unwrap(), [1, 28, 28], 10).unwrap();
        let first = |examples: &Examples, n: u32| examples.select(&(0..n).collect::<Vec<_>>());
        Self {
            theta: initial_parameters(&network),
            data: RunData {
                drawn_from: None,
                train: first(&dataset.train, TRAIN),
                test: first(&dataset.test, TEST),
                validation: first(&dataset.train, 0),
            },
            network,
        }
    }
}

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn initial_parameters(network: &Network) -> Vec<f32> {
    let mut theta = vec![0.0; network.params()];
    for node in &network.nodes {
        let Op::Dense(dense) = &node.op else { continue };
        let weight_bound = (6.0 / dense.inputs as f64).sqrt();
        let bias = dense.bias.as_ref().unwrap();
        for (range, bound) in [(&dense.weight, weight_bound), (bias, 0.05)] {
            for i in range.clone() {
                let u = (splitmix64(i as u64) >> 40) as f64 / f64::from(1 << 24);
                theta[i] = ((2.0 * u - 1.0) * bound) as f32;
            }
        }
    }
    theta
}

fn batch_rows(step: u32) -> Vec<u32> {
    (0..BATCH).map(|j| (step * 97 + j * 7) % TRAIN).collect()
}

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/mnist_fc.json")).unwrap()
}

// ---- running the method ----

#[derive(Clone, Copy, Debug)]
enum EngineKind {
    Cpu,
    Candle(Device, Precision),
}

impl EngineKind {
    fn build(self, inputs: &Inputs, by_class: bool) -> Box<dyn GradientEngine> {
        let Inputs { network, data, .. } = inputs;
        // Slice sizes do not divide the number of examples, so that the last slice is smaller.
        match self {
            Self::Cpu => Box::new(CpuEngine::new(network, data.clone(), 64, 2, by_class)),
            Self::Candle(device, precision) => {
                let engine = CandleEngine::new(network, data, 384, device, precision, by_class);
                Box::new(engine.unwrap())
            }
        }
    }
}

fn optimizer(trajectory: &str, params: usize) -> (Box<dyn Optimizer>, f64) {
    match trajectory {
        "sgd" => (Box::new(Sgd::new(0.9, 1e-3, params)), 0.05),
        "adam" => (Box::new(Adam::new(1e-3, params)), 1e-3),
        _ => panic!("unknown trajectory {trajectory}"),
    }
}

/// Measurements at `θ_t`.
struct Measured {
    train: Evaluation,
    test: Evaluation,
}

/// One step as the program computes it.
struct Step {
    batch_loss: f64,
    segments: u32,
    gradient_evals: u64,
    allocated: Allocated,
}

impl Step {
    fn allocation(&self) -> &Allocation {
        &self.allocated.allocation
    }

    fn motion(&self) -> &Motion {
        &self.allocated.motion
    }
}

struct Run {
    layout: ParamLayout,
    /// At `θ_0 ..= θ_6`.
    measured: Vec<Measured>,
    steps: Vec<Step>,
    /// The final parameters, `θ_6`.
    theta: Vec<f32>,
}

struct Scenario {
    trajectory: &'static str,
    method: Method,
    engine: EngineKind,
    /// Whether to split by class and to allocate the held-out loss as well.
    in_full: bool,
}

impl Scenario {
    fn name(&self) -> String {
        let full = if self.in_full { " by class" } else { "" };
        let engine = match self.engine {
            EngineKind::Cpu => "cpu".to_owned(),
            EngineKind::Candle(device, precision) => format!("candle {device} {precision:?}"),
        };
        format!("{} {}{full}, {engine}", self.trajectory, self.method)
    }

    /// Does the work of `Trainer`, with the golden start and mini-batches.
    fn run(&self, inputs: &Inputs, golden: &Value) -> Run {
        let mut engine = self.engine.build(inputs, self.in_full);
        let want = if self.in_full {
            Want::ClassGradient
        } else {
            Want::Gradient
        };
        let evaluate =
            |engine: &mut dyn GradientEngine, theta: &[f32], point: &mut PointEvaluation| {
                engine.evaluate(Subset::Train, theta, want, &mut point.train)?;
                if self.in_full {
                    let test = point.held_out.get_or_insert_default();
                    engine.evaluate(Subset::Test, theta, Want::Gradient, test)?;
                }
                Ok::<(), EngineError>(())
            };
        let measure = |engine: &mut dyn GradientEngine, theta: &[f32], point: &PointEvaluation| {
            let mut test = Evaluation::default();
            (engine.evaluate(Subset::Test, theta, Want::Loss, &mut test)).unwrap();
            let train = Evaluation {
                gradient: Vec::new(),
                class_gradient: Vec::new(),
                ..point.train.clone()
            };
            Measured { train, test }
        };

        let layout = &inputs.network.layout;
        let settings = IntegratorSettings {
            method: self.method,
            tolerance: golden["tolerance"].as_f64().unwrap(),
            ..IntegratorSettings::default()
        };
        let mut integrator = Integrator::new(settings, layout);
        let mut allocator = Allocator::new(layout);
        let (mut optimizer, rate) = optimizer(self.trajectory, layout.params());
        let mut theta = inputs.theta.clone();
        let (mut start, mut end) = (PointEvaluation::default(), PointEvaluation::default());
        evaluate(&mut *engine, &theta, &mut start).unwrap();
        let mut measured = vec![measure(&mut *engine, &theta, &start)];
        let mut steps = Vec::new();
        for t in 0..STEPS {
            let mut batch = Evaluation::default();
            (engine.evaluate_batch(&theta, &batch_rows(t), 0, &mut batch)).unwrap();
            let mut next = theta.clone();
            optimizer.step(&mut next, &batch.gradient, rate);
            let mut node = Vec::new();
            let probe = |alpha: f64, point: &mut PointEvaluation| {
                let mut at = SegmentPoint::new(&theta, &next, alpha, &mut node);
                evaluate(&mut *engine, at.params(), point)
            };
            let integral = integrator.integrate(&theta, &next, &start, &mut end, probe);
            let integral = integral.unwrap();
            let ends = |a: &Evaluation, b: &Evaluation| EndLosses {
                before: a.loss,
                after: b.loss,
            };
            let held_out = start.held_out.as_ref().zip(end.held_out.as_ref());
            let allocated = allocator.allocate(
                &integral,
                &start.train.gradient,
                &end.train.gradient,
                ends(&start.train, &end.train),
                held_out.map(|(a, b)| ends(a, b)),
            );
            steps.push(Step {
                batch_loss: batch.loss,
                segments: integral.segments,
                gradient_evals: integral.gradient_evals,
                allocated,
            });
            theta = next;
            std::mem::swap(&mut start, &mut end);
            measured.push(measure(&mut *engine, &theta, &start));
        }
        Run {
            layout: layout.clone(),
            measured,
            steps,
            theta,
        }
    }
}

// ---- comparing ----

/// The unit of an error.
#[derive(Clone, Copy, Debug)]
enum Measure {
    Absolute,
    /// Relative to the golden number.
    Relative,
    /// Relative to the largest golden number of the same step.
    OfLargest,
}

/// A golden number or list of numbers, how close a `T` must come to it, and the getter of the `T`'s value.
struct Quantity<T> {
    key: &'static str,
    measure: Measure,
    /// For the worse half of the steps: allows for a `ReLU` that switches.
    limit: f64,
    /// For the better half: allows for rounding alone.
    usual: f64,
    of: fn(&T) -> Vec<f64>,
}

/// A row of a table: key, measure, usual and outer limit, getter.
const fn row<T>(
    key: &'static str,
    measure: Measure,
    [usual, limit]: [f64; 2],
    of: fn(&T) -> Vec<f64>,
) -> Quantity<T> {
    Quantity {
        key,
        measure,
        limit,
        usual,
        of,
    }
}

const EXACT: [f64; 2] = [0.0, 0.0];
/// The rounding of a double, and of the JSON reader, which may be off by one unit in the last place.
const DOUBLE: [f64; 2] = [1e-12, 1e-12];
/// Parameters whose sign, or that of a difference, is uncertain: the number is within rounding of zero, or depends on
/// one `ReLU` that switches for one example.
const COUNT: [f64; 2] = [1.0, 10.0];

#[rustfmt::skip]
const INPUTS: &[Quantity<Inputs>] = &[
    row("initial_first", Relative, DOUBLE, |i| widen(&i.theta[..8])),
    row("initial_tensor_sum", Relative, DOUBLE, |i| tensor_sums(&i.network.layout, &i.theta)),
    row("train_pixel_sum", Relative, DOUBLE, |i| vec![sum(&i.data.train.inputs)]),
    row("test_pixel_sum", Relative, DOUBLE, |i| vec![sum(&i.data.test.inputs)]),
    row("train_class_count", Absolute, EXACT, |i| class_counts(&i.data.train)),
    row("test_class_count", Absolute, EXACT, |i| class_counts(&i.data.test)),
    row("batch_label_sum", Absolute, EXACT, |i| {
        let label = |row: u32| f64::from(i.data.train.labels[row as usize]);
        (0..STEPS).map(|t| batch_rows(t).into_iter().map(label).sum()).collect()
    }),
];

#[rustfmt::skip]
const LOSSES: &[Quantity<Measured>] = &[
    row("train_loss", Relative, [2e-7, 1e-5], |s| vec![s.train.loss]),
    row("test_loss", Relative, [2e-7, 1e-5], |s| vec![s.test.loss]),
    row("train_class_loss", Relative, [5e-7, 1e-5], |s| s.train.class_loss.clone()),
    // Allows for two examples whose two highest scores are within rounding of each other.
    row("train_accuracy", Absolute, [1e-12, 2.0 / 1000.0], |s| vec![s.train.accuracy]),
    row("test_accuracy", Absolute, [1e-12, 2.0 / 300.0], |s| vec![s.test.accuracy]),
];

#[rustfmt::skip]
const BATCHES: &[Quantity<Step>] = &[
    row("batch_loss", Relative, [2e-7, 1e-5], |s| vec![s.batch_loss]),
];

#[rustfmt::skip]
const ALLOCATIONS: &[Quantity<Step>] = &[
    row("total", Relative, [3e-6, 1e-3], |s| vec![s.allocation().total]),
    row("residual", Absolute, [3e-7, 2e-5], |s| vec![s.allocation().residual]),
    row("layer", OfLargest, [3e-6, 1e-3], |s| s.allocation().layer.clone()),
    row("layer_error", Absolute, [1e-7, 2e-5], |s| s.allocation().layer_error.clone()),
    row("tensor", OfLargest, [3e-6, 1e-3], |s| s.allocation().tensor.clone()),
    row("segments", Absolute, EXACT, |s| vec![f64::from(s.segments)]),
    row("gradients", Absolute, EXACT, |s| vec![s.gradient_evals as f64]),
];

#[rustfmt::skip]
const DETAILS: &[Quantity<Step>] = &[
    row("unit", OfLargest, [5e-6, 1e-2], |s| widen(&s.allocation().unit)),
    row("helped", Absolute, COUNT, |s| counts(&s.allocation().helped)),
    row("hurt", Absolute, COUNT, |s| counts(&s.allocation().hurt)),
    row("update_norm", Relative, [5e-6, 1e-4], |s| s.motion().update_norm.clone()),
    row("gradient_norm", Relative, [1e-6, 1e-3], |s| s.motion().gradient_norm.clone()),
    row("cosine", Absolute, [5e-6, 1e-3], |s| s.motion().cosine.clone()),
    row("update_flips", Absolute, COUNT, |s| counts(&s.motion().update_flips)),
    row("gradient_flips", Absolute, COUNT, |s| counts(&s.motion().gradient_flips)),
    row("gradient_turns", Absolute, COUNT, |s| counts(&s.motion().gradient_turns)),
    row("lca_turns", Absolute, COUNT, |s| counts(&s.motion().lca_turns)),
];

#[rustfmt::skip]
const BY_CLASS_AND_HELD_OUT: &[Quantity<Step>] = &[
    row("class_layer", OfLargest, [5e-6, 3e-3], |s| widen(&s.allocation().class_layer)),
    row("test_layer", OfLargest, [3e-6, 3e-3], |s| {
        (s.allocated.held_out.as_ref()).map_or(Vec::new(), |held_out| held_out.layer.clone())
    }),
];

#[rustfmt::skip]
const ENDS: &[Quantity<Run>] = &[
    row("layer_params_l2", Relative, [1e-7, 1e-7], |run| {
        let norm = |part: &[f32]| widen(part).iter().map(|x| x * x).sum::<f64>().sqrt();
        run.layout.layers.iter().map(|layer| norm(&run.theta[layer.range.clone()])).collect()
    }),
    row("tensor_sum", OfLargest, [1e-6, 1e-6], |run| tensor_sums(&run.layout, &run.theta)),
];

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn counts(values: &[u64]) -> Vec<f64> {
    values.iter().map(|&n| n as f64).collect()
}

fn tensor_sums(layout: &ParamLayout, theta: &[f32]) -> Vec<f64> {
    let tensors = layout.tensors.iter();
    tensors
        .map(|tensor| sum(&theta[tensor.range.clone()]))
        .collect()
}

fn class_counts(examples: &Examples) -> Vec<f64> {
    let mut counts = vec![0.0; 10];
    for &label in &examples.labels {
        counts[usize::from(label)] += 1.0;
    }
    counts
}

/// The numbers of a JSON number or nested list, in order.
fn flatten(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(flatten).collect(),
        _ => vec![
            value
                .as_f64()
                .unwrap_or_else(|| panic!("no number: {value}")),
        ],
    }
}

/// Compares a scenario with its golden numbers, and collects the errors.
struct Comparison {
    scenario: String,
    faults: Vec<String>,
    /// The median and largest error over the steps, for each key.
    errors: Vec<(&'static str, f64, f64)>,
}

impl Comparison {
    fn new(scenario: impl Into<String>) -> Self {
        Self {
            scenario: scenario.into(),
            faults: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Compares step t of `steps` with `golden[key][t]`.
    fn each<T>(&mut self, table: &[Quantity<T>], steps: &[T], golden: &Value) {
        for quantity in table {
            let want = golden[quantity.key].as_array();
            let want = want.unwrap_or_else(|| panic!("no golden {}", quantity.key));
            self.compare(quantity, steps, want);
        }
    }

    /// Compares one thing with `golden[key]`.
    fn whole<T>(&mut self, table: &[Quantity<T>], thing: &T, golden: &Value) {
        for quantity in table {
            let want = std::slice::from_ref(&golden[quantity.key]);
            self.compare(quantity, std::slice::from_ref(thing), want);
        }
    }

    fn compare<T>(&mut self, quantity: &Quantity<T>, steps: &[T], want: &[Value]) {
        let key = quantity.key;
        assert_eq!(steps.len(), want.len(), "{}: steps of {key}", self.scenario);
        let mut errors: Vec<f64> = (steps.iter().zip(want).enumerate())
            .map(|(t, (step, want))| self.step(quantity, t, &(quantity.of)(step), &flatten(want)))
            .collect();
        errors.sort_by(f64::total_cmp); // NaN is the largest
        let (median, largest) = (errors[(errors.len() - 1) / 2], errors[errors.len() - 1]);
        if median > quantity.usual {
            self.faults.push(format!(
                "{}: {key}: in more than half of the steps off by {median:.1e} ({:?}) or more, \
                 allowed {:.1e}",
                self.scenario, quantity.measure, quantity.usual
            ));
        }
        self.errors.push((key, median, largest));
    }

    /// The largest error of step t, in the quantity's measure.
    fn step<T>(&mut self, quantity: &Quantity<T>, t: usize, got: &[f64], want: &[f64]) -> f64 {
        let Quantity { key, limit, .. } = quantity;
        let scenario = &self.scenario;
        let (have, need) = (got.len(), want.len());
        assert_eq!(have, need, "{scenario}, step {t}: numbers in {key}");
        let largest = want.iter().fold(0.0_f64, |max, x| max.max(x.abs()));
        let mut worst = 0.0;
        for (index, (got, want)) in got.iter().zip(want).enumerate() {
            let unit = match quantity.measure {
                Absolute => 1.0,
                Relative => want.abs(),
                OfLargest => largest,
            };
            let error = (got - want).abs();
            if error.is_nan() || error > limit * unit {
                self.faults.push(format!(
                    "{scenario}, step {t}, {key}[{index}]: got {got:e}, want {want:e}, off by \
                     {error:.1e}, allowed {:.1e}",
                    limit * unit
                ));
            }
            if error > worst * unit {
                worst = error / unit;
            }
        }
        worst
    }

    /// Prints the errors.
    ///
    /// # Panics
    /// If an error is too large.
    fn finish(self) {
        println!("{}: median and largest error", self.scenario);
        for (key, median, largest) in &self.errors {
            println!("    {key:<18} {median:.1e} {largest:.1e}");
        }
        let shown = &self.faults[..self.faults.len().min(20)];
        assert!(
            shown.is_empty(),
            "{} numbers are wrong:\n{}",
            self.faults.len(),
            shown.join("\n")
        );
    }
}

// ---- tests ----

#[test]
fn inputs_are_the_golden_ones() {
    let mut comparison = Comparison::new("inputs");
    let (inputs, golden) = (Inputs::new(), golden());
    assert_eq!(golden["parameters"], inputs.network.params());
    assert_eq!(golden["steps"], STEPS);
    let layout = &inputs.network.layout;
    let layers: Vec<_> = layout.layers.iter().map(|l| l.name.as_str()).collect();
    let tensors: Vec<_> = layout.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(golden["layers"], json!(layers));
    assert_eq!(golden["tensors"], json!(tensors));
    comparison.whole(INPUTS, &inputs, &golden["inputs"]);
    comparison.finish();
}

/// Checks every trajectory and integrator on one engine.
fn check(engine: EngineKind) {
    use Method::{Adaptive, FirstOrder, Simpson, Trapezoid};

    let (inputs, golden) = (Inputs::new(), golden());
    for trajectory in ["sgd", "adam"] {
        let golden = &golden["trajectories"][trajectory];
        let mut path: Option<Vec<f32>> = None;
        for (method, in_full) in [
            (FirstOrder, false),
            (Trapezoid, false),
            (Simpson, true),
            (Adaptive, false),
        ] {
            let scenario = Scenario {
                trajectory,
                method,
                engine,
                in_full,
            };
            let run = scenario.run(&inputs, golden);
            let of_method = &golden["integrators"][method.to_string()];
            let mut comparison = Comparison::new(scenario.name());
            comparison.each(LOSSES, &run.measured, golden);
            comparison.each(BATCHES, &run.steps, golden);
            comparison.each(ALLOCATIONS, &run.steps, of_method);
            if method == Simpson {
                comparison.each(DETAILS, &run.steps, of_method);
            }
            if in_full {
                comparison.each(BY_CLASS_AND_HELD_OUT, &run.steps, of_method);
            }
            comparison.whole(ENDS, &run, golden);
            comparison.finish();

            // The path does not depend on how it is measured.
            let theta = path.get_or_insert_with(|| run.theta.clone());
            assert!(*theta == run.theta, "{}: another path", scenario.name());
        }
    }
}

#[test]
fn cpu_engine_agrees() {
    check(EngineKind::Cpu);
}

#[test]
fn candle_engine_agrees_in_single_precision() {
    for device in crate::devices::devices() {
        check(EngineKind::Candle(device, Precision::Single));
    }
}

#[test]
fn candle_engine_agrees_in_double_precision() {
    for device in crate::devices::devices() {
        check(EngineKind::Candle(device, Precision::Double));
    }
}

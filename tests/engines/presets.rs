//! Every preset network on every engine against `golden/presets.json`: numbers computed by `PyTorch` in double
//! precision with a script (`golden/presets.py`) that shares no code with this program and documents the inputs and
//! every key.
//!
//! Compared are the loss, gradient and batch-norm statistics at the initial parameters, answers with running averages,
//! and one step of SGD with its allocation. No `ReLU` or pool is within rounding of its kink, so the program differs
//! from the golden numbers only by rounding: parameters and gradients are in single precision (6e-8 relative), even
//! where candle computes in double. `cargo test --test engines presets:: -- --nocapture` prints the largest errors.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts and indices here are small; parameters are f32 by design"
)]

use std::collections::BTreeMap;

use lcascope::data::Examples;
use lcascope::engine::candle::{CandleEngine, Precision};
use lcascope::engine::cpu::CpuEngine;
use lcascope::engine::{
    Device, EngineError, Evaluation, GradientEngine, RunData, SegmentPoint, Subset, Want,
};
use lcascope::layout::TensorKind;
use lcascope::lca::allocation::EndLosses;
use lcascope::lca::{Allocator, Integrator, IntegratorSettings, Method, PointEvaluation};
use lcascope::model::{Network, Op, preset};
use lcascope::optim::{Optimizer, Sgd};
use serde_json::{Value, json};

const CLASSES: usize = 10;
const WEIGHT_DECAY: f32 = 1e-3;

// ---- inputs ----

/// The finaliser of `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A stream of random numbers that can be drawn in any order.
#[derive(Clone, Copy)]
struct Stream(u64);

impl Stream {
    fn new(seed: u64, stream: u64) -> Self {
        Self(splitmix64(1000 * seed + stream))
    }

    fn draw(self, i: usize) -> u64 {
        splitmix64(self.0.wrapping_add(i as u64))
    }

    /// A number in `[0, 1)`.
    fn uniform(self, i: usize) -> f64 {
        (self.draw(i) >> 40) as f64 / f64::from(1 << 24)
    }
}

struct Case {
    network: Network,
    golden: Value,
    seed: u64,
    data: RunData,
    theta: Vec<f32>,
    slice_size: usize,
    /// The rows of the mini-batch.
    batch: Vec<u32>,
}

impl Case {
    fn new(name: &str) -> Self {
        let all: Value = serde_json::from_str(include_str!("../golden/presets.json")).unwrap();
        let golden = all[name].clone();
        let shape = if name.starts_with("mnist") {
            [1, 28, 28]
        } else {
            [3, 32, 32]
        };
        let network = Network::build(&preset(name).unwrap(), shape, CLASSES).unwrap();
        let number = |key: &str| golden[key].as_u64().unwrap();
        let count = |key: &str| number(key) as usize;
        let (seed, test_seed) = (number("seed"), number("test_seed"));
        let among: Vec<u8> = serde_json::from_value(golden["labels"].clone()).unwrap();
        let examples = |seed, stream, n| {
            let draws = Stream::new(seed, stream + 2);
            let label = |i| among[(draws.draw(i) % among.len() as u64) as usize];
            let pixels = images(seed, stream, n, shape);
            Examples::new(pixels, (0..n).map(label).collect(), network.features()).unwrap()
        };
        let validation = images(seed, 30, count("validation"), shape);
        let answers = serde_json::from_value(golden["running"]["answer"].clone()).unwrap();
        Self {
            data: RunData {
                drawn_from: None,
                train: examples(seed, 10, count("train")),
                test: examples(test_seed, 20, count("test")),
                validation: Examples::new(validation, answers, network.features()).unwrap(),
            },
            theta: initial_parameters(&network, seed),
            slice_size: count("slice_size"),
            batch: serde_json::from_value(golden["batch"].clone()).unwrap(),
            network,
            golden,
            seed,
        }
    }

    fn engine(&self, kind: Kind) -> Box<dyn GradientEngine> {
        let Self { network, data, .. } = self;
        let size = self.slice_size;
        match kind {
            Kind::Cpu => Box::new(CpuEngine::new(network, data.clone(), size, 2, true)),
            Kind::Candle(device, precision) => {
                let by_class = kind.by_class();
                let engine = CandleEngine::new(network, data, size, device, precision, by_class);
                Box::new(engine.unwrap())
            }
        }
    }
}

fn initial_parameters(network: &Network, seed: u64) -> Vec<f32> {
    let stream = Stream::new(seed, 0);
    let mut theta = vec![0.0; network.params()];
    for tensor in &network.layout.tensors {
        let (middle, bound) = match tensor.kind {
            TensorKind::Weight => (0.0, (6.0 / tensor.row_len() as f64).sqrt()),
            TensorKind::Scale => (1.0, 0.1),
            TensorKind::Bias | TensorKind::Shift => (0.0, 0.05),
        };
        for i in tensor.range.clone() {
            theta[i] = (middle + (2.0 * stream.uniform(i) - 1.0) * bound) as f32;
        }
    }
    theta
}

/// Images `[n, c, h, w]`: a random grid of 5×5 values, interpolated, with noise. Exact in double precision.
#[expect(
    clippy::many_single_char_names,
    reason = "as the golden script has them"
)]
fn images(seed: u64, stream: u64, n: usize, [c, h, w]: [usize; 3]) -> Vec<f32> {
    let (grid, noise) = (Stream::new(seed, stream), Stream::new(seed, stream + 1));
    let mut pixels = Vec::with_capacity(n * c * h * w);
    for image in 0..n * c {
        let coarse = |a: usize, b: usize| grid.uniform((image * 5 + a) * 5 + b);
        for (y, x) in (0..h).flat_map(|y| (0..w).map(move |x| (y, x))) {
            let (a, b) = (y / 8, x / 8);
            let (p, q) = ((y % 8) as f64 / 8.0, (x % 8) as f64 / 8.0);
            let row = |a| {
                if q == 0.0 {
                    coarse(a, b)
                } else {
                    (1.0 - q) * coarse(a, b) + q * coarse(a, b + 1)
                }
            };
            let smooth = if p == 0.0 {
                row(a)
            } else {
                (1.0 - p) * row(a) + p * row(a + 1)
            };
            let fine = noise.uniform(pixels.len());
            pixels.push((0.75 * smooth + 0.25 * fine) as f32);
        }
    }
    pixels
}

/// Synthetic running averages near the statistics of a mini-batch.
fn running_averages(case: &Case, statistics: &[f32]) -> Vec<f32> {
    let stream = Stream::new(case.seed, 50);
    let mut running = statistics.to_vec();
    let mut at = 0;
    for norm in norms(&case.network) {
        let (means, variances) = statistics[norm.running.clone()].split_at(norm.channels);
        let out = &mut running[norm.running.clone()];
        for (i, (&mean, &variance)) in means.iter().zip(variances).enumerate() {
            let (mean, variance) = (f64::from(mean), f64::from(variance));
            let draws = [i, norm.channels + i].map(|place| stream.uniform(at + place));
            out[i] = (mean + (draws[0] - 0.5) * variance.sqrt()) as f32;
            out[norm.channels + i] = (variance * (0.5 + draws[1])) as f32;
        }
        at += 2 * norm.channels;
    }
    running
}

fn norms(network: &Network) -> impl Iterator<Item = &lcascope::model::Norm> {
    network.nodes.iter().filter_map(|node| match &node.op {
        Op::Norm(norm) => Some(norm),
        _ => None,
    })
}

// ---- engines ----

#[derive(Clone, Copy, Debug)]
enum Kind {
    Cpu,
    Candle(Device, Precision),
}

impl Kind {
    /// For candle, allocation by class costs many times the rest, and is the same code in both precisions.
    fn by_class(self) -> bool {
        !matches!(self, Self::Candle(_, Precision::Single))
    }

    /// The allowed error of a gradient entry, relative to the largest of its tensor: about ten times the observed
    /// error. Batch norms in single precision need most of it: without them, the error is 8e-7.
    fn limit(self) -> f64 {
        match self {
            Self::Candle(_, Precision::Double) => 1e-6,
            _ => 5e-5,
        }
    }
}

// ---- comparing ----

/// The errors of one case on one engine.
struct Comparison {
    scenario: String,
    faults: Vec<String>,
    /// The largest error, in units of the comparison, and its location.
    errors: BTreeMap<&'static str, (f64, String)>,
}

impl Comparison {
    fn new(scenario: String) -> Self {
        Self {
            scenario,
            faults: Vec::new(),
            errors: BTreeMap::new(),
        }
    }

    /// Checks that `got` differs from `want` by at most `limit · unit`.
    fn check(
        &mut self,
        key: &'static str,
        place: &str,
        got: f64,
        want: f64,
        unit: f64,
        limit: f64,
    ) {
        let error = (got - want).abs();
        if error.is_nan() || error > limit * unit {
            self.faults.push(format!(
                "{key} {place}: got {got:e}, want {want:e}, off by {error:.1e}, allowed {:.1e}",
                limit * unit
            ));
        }
        let error = if error == 0.0 { 0.0 } else { error / unit };
        let worst = self.errors.entry(key).or_default();
        if error > worst.0 || worst.1.is_empty() {
            *worst = (error, place.to_owned());
        }
    }

    /// Checks a number relative to itself.
    fn number(&mut self, key: &'static str, got: f64, want: &Value, limit: f64) {
        let want = want.as_f64().unwrap_or_else(|| panic!("no golden {key}"));
        self.check(key, "", got, want, want.abs(), limit);
    }

    /// Checks a list of numbers relative to the largest.
    fn list(&mut self, key: &'static str, got: &[f64], want: &Value, limit: f64) {
        let want = numbers(want);
        assert_eq!(got.len(), want.len(), "{}: {key}", self.scenario);
        let unit = largest(&want);
        for (i, (&got, &want)) in got.iter().zip(&want).enumerate() {
            self.check(key, &format!("[{i}]"), got, want, unit, limit);
        }
    }

    /// Checks every tensor of a gradient.
    fn gradient(&mut self, key: &'static str, case: &Case, got: &[f32], want: &Value, limit: f64) {
        let layout = &case.network.layout;
        let want = want.as_array().unwrap();
        assert_eq!(want.len(), layout.tensors.len());
        assert_eq!(got.len(), layout.params(), "{}: {key}", self.scenario);
        let max = |tensor: usize| want[tensor]["max"].as_f64().unwrap_or(0.0);
        let (places, signs) = (Stream::new(case.seed, 40), Stream::new(case.seed, 41));
        for (k, (tensor, want)) in layout.tensors.iter().zip(want).enumerate() {
            let name = &tensor.name;
            let part: Vec<f64> = widen(&got[tensor.range.clone()]);
            if want["zero"] == true {
                // Before a batch norm there is only rounding, small compared with the layer's other tensors.
                let others = layout.layers[tensor.layer].tensors.clone().map(max);
                let unit = others.fold(0.0, f64::max);
                self.check(key, name, largest(&part), 0.0, unit, limit);
                continue;
            }
            let unit = max(k);
            self.check(
                key,
                &format!("{name} max"),
                largest(&part),
                unit,
                unit,
                limit,
            );
            let values = numbers(&want["value"]);
            for (j, &want) in values.iter().enumerate() {
                let draw = places.draw(k * values.len() + j);
                let i = (draw % part.len() as u64) as usize;
                self.check(key, &format!("{name}[{i}]"), part[i], want, unit, limit);
            }
            // Independent errors of all entries add up in quadrature, to less than this.
            let norm = want["norm"].as_f64().unwrap();
            let got_norm = part.iter().map(|x| x * x).sum::<f64>().sqrt();
            self.check(key, &format!("{name} norm"), got_norm, norm, norm, limit);
            for (bit, &want) in [62, 63].iter().zip(&numbers(&want["projection"])) {
                let sign = |i| 1.0 - 2.0 * (signs.draw(i) >> bit & 1) as f64;
                let sum = tensor
                    .range
                    .clone()
                    .zip(&part)
                    .map(|(i, x)| sign(i) * x)
                    .sum();
                self.check("projection", name, sum, want, norm, limit);
            }
        }
    }

    /// Prints the errors.
    ///
    /// # Panics
    /// If an error is too large.
    fn finish(self) {
        println!("{}: largest errors", self.scenario);
        for (key, (error, place)) in &self.errors {
            println!("    {key:<18} {error:.1e}  {place}");
        }
        let shown = &self.faults[..self.faults.len().min(20)];
        assert!(
            shown.is_empty(),
            "{}: {} numbers are wrong:\n{}",
            self.scenario,
            self.faults.len(),
            shown.join("\n")
        );
    }
}

/// The numbers of a JSON number or nested list, in order; null is NaN.
fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        Value::Null => vec![f64::NAN],
        value => vec![
            value
                .as_f64()
                .unwrap_or_else(|| panic!("no number: {value}")),
        ],
    }
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |max, x| max.max(x.abs()))
}

// ---- the comparison ----

/// Checks a case on one engine, from its loss to the allocation of a step.
fn check(name: &str, kind: Kind) {
    let case = Case::new(name);
    let golden = &case.golden;
    let mut comparison = Comparison::new(format!("{name}, {kind:?}"));
    let mut engine = case.engine(kind);
    let start = measure(&mut *engine, &case.theta, kind).unwrap();
    let limit = kind.limit();

    let (train, want) = (&start.train, &golden["start"]);
    comparison.number("loss", train.loss, &want["loss"], limit / 10.0);
    comparison.number("accuracy", train.accuracy, &want["accuracy"], 1e-12);
    for (class, want) in numbers(&want["class_loss"]).into_iter().enumerate() {
        let got = train.class_loss[class];
        // A class without examples has no loss.
        let (got, want) = if want.is_nan() {
            (f64::from(u8::from(!got.is_nan())), 0.0)
        } else {
            (got, want)
        };
        comparison.check(
            "class loss",
            &class.to_string(),
            got,
            want,
            want.abs(),
            limit / 10.0,
        );
    }
    let test = start.held_out.as_ref().unwrap();
    comparison.number("test loss", test.loss, &want["test_loss"], limit / 10.0);
    comparison.number(
        "test accuracy",
        test.accuracy,
        &want["test_accuracy"],
        1e-12,
    );
    comparison.gradient("gradient", &case, &train.gradient, &want["gradient"], limit);

    let mut batch = Evaluation::default();
    (engine.evaluate_batch(&case.theta, &case.batch, 0, &mut batch)).unwrap();
    let want = &golden["batch_start"];
    comparison.number("batch loss", batch.loss, &want["loss"], limit / 10.0);
    comparison.gradient(
        "batch gradient",
        &case,
        &batch.gradient,
        &want["gradient"],
        limit,
    );
    check_statistics(&case, &batch.statistics, &mut comparison, limit);

    // The labels of the validation examples are the golden answers.
    let running = running_averages(&case, &batch.statistics);
    let accuracy = engine.accuracy(Subset::Validation, &case.theta, &running);
    comparison.check("running averages", "", accuracy.unwrap(), 1.0, 1.0, 1e-12);

    check_step(&case, kind, &mut *engine, &start, &batch, &mut comparison);
    comparison.finish();
}

/// Checks the inputs, on which everything else depends.
fn check_inputs(name: &str) {
    let case = Case::new(name);
    let mut comparison = Comparison::new(format!("{name}, inputs"));
    let (golden, layout, data) = (&case.golden, &case.network.layout, &case.data);
    assert_eq!(golden["parameters"], case.network.params());
    let layers: Vec<_> = layout.layers.iter().map(|l| l.name.as_str()).collect();
    let tensors: Vec<_> = layout.tensors.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(golden["layers"], json!(layers));
    assert_eq!(golden["tensors"], json!(tensors));
    let inputs = &golden["inputs"];
    assert_eq!(inputs["train_label"], json!(data.train.labels));
    assert_eq!(inputs["test_label"], json!(data.test.labels));
    // Ten digits are stored.
    comparison.list(
        "first parameters",
        &widen(&case.theta[..8]),
        &inputs["first"],
        1e-9,
    );
    let sum = |values: &[f32]| widen(values).iter().sum::<f64>();
    let tensors = layout.tensors.iter();
    let sums: Vec<_> = tensors
        .map(|tensor| sum(&case.theta[tensor.range.clone()]))
        .collect();
    comparison.list("tensor sums", &sums, &inputs["tensor_sum"], 1e-9);
    let parts = [&data.train, &data.test, &data.validation];
    let sums = parts.map(|examples| sum(&examples.inputs));
    comparison.list("pixel sums", &sums, &inputs["pixel_sum"], 1e-9);
    comparison.finish();
}

fn check_statistics(case: &Case, got: &[f32], comparison: &mut Comparison, limit: f64) {
    let want = case.golden["batch_start"]["statistics"].as_array().unwrap();
    assert_eq!(got.len(), case.network.buffers, "statistics");
    assert_eq!(norms(&case.network).count(), want.len(), "batch norms");
    for (norm, want) in norms(&case.network).zip(want) {
        let got = widen(&got[norm.running.clone()]);
        let (mean, variance) = got.split_at(norm.channels);
        let ends = |values: &[f64]| {
            let n = values.len();
            [0, 1, n - 2, n - 1].map(|i| values[i])
        };
        // A mean may be near 0: its error counts in standard deviations.
        let deviation = largest(&numbers(&want["variance"])).sqrt();
        for (got, want) in ends(mean).into_iter().zip(numbers(&want["mean"])) {
            comparison.check("mean", "", got, want, deviation, limit);
        }
        comparison.list("variance", &ends(variance), &want["variance"], limit);
        let (unit, sum) = (deviation * norm.channels as f64, mean.iter().sum());
        let want_sum = want["mean_sum"].as_f64().unwrap();
        comparison.check("mean sum", "", sum, want_sum, unit, limit);
        comparison.number(
            "variance sum",
            variance.iter().sum(),
            &want["variance_sum"],
            limit,
        );
    }
}

fn measure(
    engine: &mut dyn GradientEngine,
    theta: &[f32],
    kind: Kind,
) -> Result<PointEvaluation, EngineError> {
    let mut point = PointEvaluation::default();
    measure_into(engine, theta, kind, &mut point)?;
    Ok(point)
}

fn measure_into(
    engine: &mut dyn GradientEngine,
    theta: &[f32],
    kind: Kind,
    point: &mut PointEvaluation,
) -> Result<(), EngineError> {
    let want = if kind.by_class() {
        Want::ClassGradient
    } else {
        Want::Gradient
    };
    engine.evaluate(Subset::Train, theta, want, &mut point.train)?;
    let held_out = point.held_out.get_or_insert_default();
    engine.evaluate(Subset::Test, theta, Want::Gradient, held_out)
}

fn check_step(
    case: &Case,
    kind: Kind,
    engine: &mut dyn GradientEngine,
    start: &PointEvaluation,
    batch: &Evaluation,
    comparison: &mut Comparison,
) {
    let (golden, want) = (&case.golden, &case.golden["step"]);
    let layout = &case.network.layout;
    let mut next = case.theta.clone();
    let rate = golden["learning_rate"].as_f64().unwrap();
    Sgd::new(0.0, WEIGHT_DECAY, next.len()).step(&mut next, &batch.gradient, rate);

    let settings = IntegratorSettings {
        method: Method::Simpson,
        ..IntegratorSettings::default()
    };
    let mut end = PointEvaluation::default();
    let mut node = Vec::new();
    let probe = |alpha: f64, point: &mut PointEvaluation| {
        let mut at = SegmentPoint::new(&case.theta, &next, alpha, &mut node);
        measure_into(engine, at.params(), kind, point)
    };
    let mut integrator = Integrator::new(settings, layout, 2);
    let integral = integrator.integrate(&case.theta, &next, start, &mut end, probe);
    let integral = integral.unwrap();
    let ends = |before: &Evaluation, after: &Evaluation| EndLosses {
        before: before.loss,
        after: after.loss,
    };
    let held_out = start.held_out.as_ref().zip(end.held_out.as_ref());
    let allocated = Allocator::new(layout, 2).allocate(
        &integrator.path(&integral, &case.theta, &next, start, &end),
        &integral,
        ends(&start.train, &end.train),
        held_out.map(|(before, after)| ends(before, after)),
    );

    let a = &allocated.allocation;
    // Movements are differences of single-precision parameters on any engine.
    let limit = 5e-5;
    comparison.number("end loss", end.train.loss, &want["loss"], limit / 10.0);
    let test = end.held_out.as_ref().unwrap();
    comparison.number("end test loss", test.loss, &want["test_loss"], limit / 10.0);
    comparison.number("total", a.total, &want["total"], limit);
    let change = want["total"].as_f64().unwrap().abs();
    let residual = want["residual"].as_f64().unwrap();
    comparison.check("residual", "", a.residual, residual, change, limit);
    comparison.list("layer", &a.layer, &want["layer"], limit);
    comparison.list("tensor", &a.tensor, &want["tensor"], limit);
    let units = layout.layers[0].units.clone();
    comparison.list("unit", &widen(&a.unit[units]), &want["unit"], limit);
    let held_out = allocated.held_out.unwrap();
    comparison.list(
        "held-out layer",
        &held_out.layer,
        &want["test_layer"],
        limit,
    );
    comparison.number("held-out total", held_out.total, &want["test_total"], limit);
    if kind.by_class() {
        let classes = widen(&a.class_layer);
        comparison.list("class and layer", &classes, &want["class_layer"], limit);
    }
    let unsure = numbers(&want["unsure"]);
    for (key, got) in [("helped", &a.helped), ("hurt", &a.hurt)] {
        for (layer, (&got, want)) in got.iter().zip(numbers(&want[key])).enumerate() {
            let place = &layout.layers[layer].name;
            let room = unsure[layer].max(1.0);
            comparison.check(key, place, got as f64, want, room, 1.0);
        }
    }
}

/// A module of tests for each preset.
macro_rules! presets {
    ($($module:ident: $name:literal,)*) => {$(
        mod $module {
            use super::*;

            #[test]
            fn inputs_are_the_golden_ones() {
                check_inputs($name);
            }

            #[test]
            fn cpu_engine_agrees() {
                check($name, Kind::Cpu);
            }

            #[test]
            fn candle_engine_agrees_in_single_precision() {
                for device in crate::devices::devices() {
                    check($name, Kind::Candle(device, Precision::Single));
                }
            }

            #[test]
            fn candle_engine_agrees_in_double_precision() {
                for device in crate::devices::devices() {
                    check($name, Kind::Candle(device, Precision::Double));
                }
            }
        }
    )*};
}

presets! {
    mnist_fc: "mnist-fc",
    mnist_lenet: "mnist-lenet",
    cifar_allcnn: "cifar-allcnn",
    cifar_resnet20: "cifar-resnet20",
    cifar_vgg: "cifar-vgg",
}

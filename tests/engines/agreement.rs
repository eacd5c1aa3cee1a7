//! The engines against each other, against finite differences and against themselves.
//!
//! The oracle is candle's autograd in double precision. In random networks, parameters and inputs are multiples of 1/4
//! in [-1, 1], and layers are so narrow that every score is exact in single precision too. No `ReLU` can then fall on
//! the other side of zero by rounding (exact zeros are common, and must have slope 0), and the engines may differ only
//! by rounding in the softmax and the backward pass. `golden.rs` tests single precision on wide layers and real data.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small counts, chosen numbers, and zeros that must be exact"
)]

use std::collections::BTreeMap;

use crate::case::{Case, Numbers};
use crate::evaluate;
use lcascope::data::{self, DataSource, Examples};
use lcascope::engine::candle::Precision;
use lcascope::engine::{Device, Evaluation, GradientEngine, RunData, Subset, Want};
use lcascope::model::{LayerSpec, Network, NetworkSpec, he_normal, preset};
use proptest::prelude::*;

const BOTH: [Precision; 2] = [Precision::Single, Precision::Double];

const PARTS: [Subset; 3] = [Subset::Train, Subset::Test, Subset::Validation];

// ---- networks and data ----

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Multiples of 1/`grid` in [-1, 1].
    fn on_grid(&mut self, grid: u32, len: usize) -> Vec<f32> {
        let span = u64::from(2 * grid + 1);
        let value = |n: u64| (n % span) as f32 / grid as f32 - 1.0;
        (0..len).map(|_| value(self.next())).collect()
    }
}

/// Builds a network from one line: a number is a linear layer with that many units, `r` a `ReLU`.
fn network(layers: &str, features: usize) -> Network {
    let layers: Vec<LayerSpec> = (layers.split_whitespace())
        .map(|word| match word {
            "r" => LayerSpec::Relu {},
            units => LayerSpec::Linear {
                name: None,
                units: units.parse().unwrap(),
                bias: true,
            },
        })
        .collect();
    let classes = (layers.iter().rev())
        .find_map(|layer| match layer {
            LayerSpec::Linear { units, .. } => Some(*units),
            _ => None,
        })
        .unwrap();
    let spec = NetworkSpec {
        name: "test".to_owned(),
        layers,
    };
    Network::build(&spec, [features, 1, 1], classes).unwrap()
}

struct Sizes {
    /// The number of training, test and validation examples.
    examples: [usize; 3],
    /// The number of examples from which mini-batches are drawn, if they are not the training examples.
    drawn_from: Option<usize>,
    slice_size: usize,
    grid: u32,
    /// A class without examples.
    missing: Option<usize>,
}

impl Case {
    fn on_grid(network: Network, sizes: &Sizes, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let (features, classes) = (network.features(), network.classes);
        let mut examples = |n: usize| {
            let inputs = numbers.on_grid(sizes.grid, n * features);
            let labels = (0..n).map(|_| match numbers.below(classes) {
                label if sizes.missing == Some(label) => (label + 1) % classes,
                label => label,
            });
            Examples::new(inputs, labels.map(|l| l as u8).collect(), features).unwrap()
        };
        let [train, test, validation] = sizes.examples.map(&mut examples);
        let drawn_from = sizes.drawn_from.map(&mut examples);
        let drawn = drawn_from.as_ref().map_or(train.len(), Examples::len);
        let rows = (0..drawn as u32).rev().step_by(2).collect();
        Self {
            params: numbers.on_grid(sizes.grid, network.params()),
            data: RunData {
                train,
                drawn_from,
                test,
                validation,
            },
            rows,
            slice_size: sizes.slice_size,
            network,
        }
    }
}

fn evaluate_batch(engine: &mut dyn GradientEngine, params: &[f32], rows: &[u32]) -> Evaluation {
    let mut out = Evaluation::default();
    engine.evaluate_batch(params, rows, 0, &mut out).unwrap();
    out
}

// ---- comparing ----

/// Allowed error of a loss, relative to `1 + loss`. Single precision rounds a loss to 6e-8 of the scores.
const LOSS: f64 = 1e-6;

/// Allowed error of a gradient's entries, relative to 1 + the largest of them: an entry is a mean of terms of about 1,
/// each rounded by 6e-8, which may nearly cancel. Over 3,000 random cases the largest error was 2.2e-7. Half of the
/// gradients have a largest entry above 0.3.
const GRADIENT: f64 = 2e-6;

/// Allowed error of a gradient against finite differences, relative to its largest entry: the differences have four
/// more digits than a gradient in single precision.
const SLOPE: f64 = 1e-6;

fn largest(values: &[f32]) -> f64 {
    values
        .iter()
        .fold(0.0, |max, &x| f64::from(x.abs()).max(max))
}

/// The largest difference; NaN if any is NaN.
fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "numbers");
    let differences = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    differences.fold(0.0, |max, x| if x > max || x.is_nan() { x } else { max })
}

#[track_caller]
fn assert_near(what: &str, got: &[f32], want: &[f32], limit: f64) {
    let distance = distance(got, want);
    assert!(
        distance <= limit,
        "{what}: off by {distance:.1e}, allowed {limit:.1e}; the largest is {:.1e}",
        largest(want)
    );
}

#[track_caller]
fn assert_agree(what: &str, got: &Evaluation, want: &Evaluation) {
    let numbers = |e: &Evaluation| [vec![e.loss, e.accuracy], e.class_loss.clone()].concat();
    let (got_numbers, want_numbers) = (numbers(got), numbers(want));
    let near = |(got, want): (&f64, &f64)| {
        (got - want).abs() <= LOSS * (1.0 + want) || (got.is_nan() && want.is_nan())
    };
    assert!(
        got_numbers.len() == want_numbers.len() && got_numbers.iter().zip(&want_numbers).all(near),
        "{what}: loss, accuracy, losses by class: got {got_numbers:?}, want {want_numbers:?}"
    );
    for (key, got, want) in [
        ("gradient", &got.gradient, &want.gradient),
        ("class gradients", &got.class_gradient, &want.class_gradient),
    ] {
        let limit = GRADIENT * (1.0 + largest(want));
        assert_near(&format!("{what}: {key}"), got, want, limit);
    }
}

/// Σ over classes of the class gradients.
fn sum_of_classes(evaluation: &Evaluation) -> Vec<f32> {
    let params = evaluation.gradient.len();
    let mut sum = vec![0.0_f64; params];
    for class in evaluation.class_gradient.chunks_exact(params) {
        for (sum, &x) in sum.iter_mut().zip(class) {
            *sum += f64::from(x);
        }
    }
    sum.into_iter().map(|x| x as f32).collect()
}

/// The bits of everything in an evaluation.
fn bits(evaluation: &Evaluation) -> Vec<u64> {
    let Evaluation {
        loss,
        accuracy,
        class_loss,
        gradient,
        class_gradient,
        statistics,
    } = evaluation;
    let doubles = [loss, accuracy].into_iter().chain(class_loss);
    let singles = gradient.iter().chain(class_gradient).chain(statistics);
    (doubles.map(|x| x.to_bits()))
        .chain(singles.map(|x| u64::from(x.to_bits())))
        .collect()
}

// ---- against the oracle ----

/// Random layers: 0 to 3 hidden layers of up to 8 units, and 0, 1 or 2 `ReLU`s in each position.
fn layers() -> impl Strategy<Value = String> {
    let hidden = prop::collection::vec(1usize..=8, 0..=3);
    let relus = prop::collection::vec(prop_oneof![2 => Just(0), 3 => Just(1), 1 => Just(2)], 5);
    (hidden, 1usize..=5, relus).prop_map(|(hidden, classes, relus)| {
        let mut words = vec!["r".to_owned(); relus[0]];
        for (units, relus) in hidden.into_iter().chain([classes]).zip(&relus[1..]) {
            words.push(units.to_string());
            words.extend(vec!["r".to_owned(); *relus]);
        }
        words.join(" ")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree(
        layers in layers(),
        features in 1usize..=8,
        examples in (1usize..60, 1usize..20, 0usize..10),
        slice_size in 1usize..20,
        drawn_from in prop::option::of(1usize..60),
        missing in prop::option::of(0usize..5),
        by_class: bool,
        seed: u64,
    ) {
        let sizes = Sizes { examples: examples.into(), drawn_from, slice_size, grid: 4, missing };
        let case = Case::on_grid(network(&layers, features), &sizes, seed);
        let mut oracle = case.oracle(by_class);
        // A mini-batch is a data set of its own. The second of two is smaller.
        let batches = [&case.rows[..], &case.rows[..1]].map(|rows| {
            let train = case.data.drawn_from.as_ref().unwrap_or(&case.data.train).select(rows);
            let data = RunData { train, drawn_from: None, ..case.data.clone() };
            let mut oracle = Case { data, ..case.clone() }.oracle(false);
            (rows, evaluate(&mut oracle, Subset::Train, &case.params, Want::Gradient))
        });
        for engine in &mut case.engines(by_class, &BOTH) {
            let name = engine.describe();
            for part in PARTS {
                let want = if by_class && part == Subset::Train { Want::ClassGradient } else { Want::Gradient };
                let what = format!("{name}, {part:?}");
                let got = evaluate(&mut **engine, part, &case.params, want);
                let truth = evaluate(&mut oracle, part, &case.params, want);
                assert_agree(&what, &got, &truth);
                if want == Want::ClassGradient {
                    // Each class's entry is rounded once, and so is the sum.
                    let limit = 1e-6 * largest(&got.class_gradient);
                    let what = format!("{what}: sum of the class gradients");
                    assert_near(&what, &sum_of_classes(&got), &got.gradient, limit);
                }
            }
            for (rows, truth) in &batches {
                let got = evaluate_batch(&mut **engine, &case.params, rows);
                assert_agree(&format!("{name}, batch of {}", rows.len()), &got, truth);
            }
        }
    }
}

// ---- against finite differences ----

/// `(L(θ + h e_i) − L(θ − h e_i)) / 2h` for the loss and for every class's share of it, in double precision. Parameters
/// on a grid of 2⁻²⁰ and this h make both points exact in single precision.
struct Slopes {
    loss: Vec<f32>,
    /// `[C, P]`
    class: Vec<f32>,
}

impl Slopes {
    fn new(case: &Case) -> Self {
        const H: f32 = 1.0 / 65_536.0;
        let mut oracle = case.oracle(false);
        let (classes, labels) = (case.network.classes, &case.data.train.labels);
        // [class][parameter]
        let mut class = vec![Vec::new(); classes];
        let mut loss = Vec::new();
        for i in 0..case.params.len() {
            let [up, down] = [H, -H].map(|h| {
                let mut at = case.params.clone();
                at[i] += h;
                evaluate(&mut oracle, Subset::Train, &at, Want::Loss)
            });
            let slope = |up: f64, down: f64| (up - down) / f64::from(2.0 * H);
            loss.push(slope(up.loss, down.loss) as f32);
            for (c, slopes) in class.iter_mut().enumerate() {
                let n = labels
                    .iter()
                    .filter(|&&label| usize::from(label) == c)
                    .count();
                let share = n as f64 / labels.len() as f64;
                let of_class = match n {
                    0 => 0.0,
                    _ => share * slope(up.class_loss[c], down.class_loss[c]),
                };
                slopes.push(of_class as f32);
            }
        }
        Self {
            loss,
            class: class.concat(),
        }
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    for (layers, seed) in [
        ("3", 1),
        ("4 r 3", 2),
        ("r 6 r 5 r 4", 3),
        ("6 5 r 4", 4),
        ("5 r r 7 6 r 2 r", 5),
    ] {
        let sizes = Sizes {
            examples: [30, 5, 0],
            drawn_from: None,
            slice_size: 7,
            grid: 1 << 20,
            missing: Some(1),
        };
        let case = Case::on_grid(network(layers, 5), &sizes, seed);
        let slopes = Slopes::new(&case);
        for engine in &mut case.engines(true, &BOTH) {
            let name = engine.describe();
            let want = Want::ClassGradient;
            let got = evaluate(&mut **engine, Subset::Train, &case.params, want);
            for (key, got, want) in [
                ("gradient", &got.gradient, &slopes.loss),
                ("class gradients", &got.class_gradient, &slopes.class),
            ] {
                let what = format!("{layers}, {name}: {key}");
                assert_near(&what, got, want, SLOPE * largest(want));
            }
        }
    }
}

// ---- against themselves ----

/// Digits, enough of them for the parts of the work that are divided among threads.
fn digits() -> Case {
    let dataset = data::load(&DataSource::Embedded).unwrap();
    let every = |examples: &Examples, n: usize| {
        let rows = (0..examples.len() as u32).step_by(n);
        examples.select(&rows.collect::<Vec<_>>())
    };
    let network = Network::build(&preset("mnist-fc").unwrap(), [1, 28, 28], 10).unwrap();
    Case {
        params: he_normal(&network, 5),
        network,
        data: RunData {
            train: every(&dataset.train, 10),
            drawn_from: None,
            test: every(&dataset.test, 10),
            validation: every(&dataset.test, 50),
        },
        rows: (0..600).rev().step_by(3).collect(),
        slice_size: 37,
    }
}

/// The bits of an engine's answers to everything that it can be asked.
fn answers(
    engine: &mut dyn GradientEngine,
    case: &Case,
    by_class: bool,
    backward: bool,
) -> BTreeMap<String, Vec<u64>> {
    let mut questions: Vec<Option<(Subset, Want)>> = vec![None];
    for part in PARTS {
        questions.extend([Want::Loss, Want::Gradient].map(|want| Some((part, want))));
    }
    if by_class {
        questions.push(Some((Subset::Train, Want::ClassGradient)));
    }
    if backward {
        questions.reverse();
    }
    let ask = |question| match question {
        Some((part, want)) => (
            format!("{part:?} {want:?}"),
            bits(&evaluate(engine, part, &case.params, want)),
        ),
        None => (
            "batch".to_owned(),
            bits(&evaluate_batch(engine, &case.params, &case.rows)),
        ),
    };
    questions.into_iter().map(ask).collect()
}

/// The digits through every kind of layer, in slices larger than one group of the cpu engine.
fn pictures() -> Case {
    let spec: NetworkSpec = toml::from_str(
        r#"
        name = "pictures"
        layer = [
            { kind = "conv", channels = 6, kernel = 5 },
            { kind = "relu" },
            { kind = "max-pool", size = 2 },
            { kind = "conv", channels = 8, kernel = 3, bias = false },
            { kind = "batch-norm" },
            { kind = "relu" },
            { kind = "residual", projection = true, body = [
                { kind = "conv", channels = 12, kernel = 3, stride = 2 },
                { kind = "batch-norm" },
                { kind = "relu" },
                { kind = "conv", channels = 12, kernel = 3 },
                { kind = "batch-norm" },
            ] },
            { kind = "relu" },
            { kind = "avg-pool", size = 2 },
            { kind = "dropout", rate = 0.2 },
            { kind = "linear", units = 10 },
        ]
        "#,
    )
    .unwrap();
    let network = Network::build(&spec, [1, 28, 28], 10).unwrap();
    Case {
        params: he_normal(&network, 5),
        network,
        slice_size: 70,
        ..digits()
    }
}

#[test]
fn slices_of_several_groups_agree_with_candle() {
    let case = pictures();
    let few = |examples: &Examples, n: u32| examples.select(&(0..n).collect::<Vec<_>>());
    let data = RunData {
        train: few(&case.data.train, 150),
        drawn_from: None,
        test: few(&case.data.test, 40),
        validation: few(&case.data.validation, 3),
    };
    let case = Case {
        data,
        rows: (0..100).collect(),
        ..case
    };
    let mut cpu = case.cpu(2, true);
    let mut oracle = case.oracle(true);
    let mut both = |ask: &dyn Fn(&mut dyn GradientEngine) -> Evaluation| {
        let (got, want) = (ask(&mut cpu), ask(&mut oracle));
        assert!((got.loss - want.loss).abs() < 1e-6 * want.loss);
        assert_eq!(got.accuracy, want.accuracy);
        // The largest error observed was 1e-6; a ReLU at its kink would cause about 1e-4.
        for (got, want) in [
            (&got.gradient, &want.gradient),
            (&got.class_gradient, &want.class_gradient),
            (&got.statistics, &want.statistics),
        ] {
            assert_near("pictures", got, want, 1e-5 * largest(want));
        }
    };
    for part in PARTS {
        both(&|engine| evaluate(engine, part, &case.params, Want::Gradient));
    }
    both(&|engine| evaluate(engine, Subset::Train, &case.params, Want::ClassGradient));
    both(&|engine| evaluate_batch(engine, &case.params, &case.rows));
}

#[test]
fn results_depend_neither_on_threads_nor_on_earlier_evaluations() {
    for (case, by_class) in [digits(), pictures()]
        .iter()
        .flat_map(|case| [(case, false), (case, true)])
    {
        let mut engines: Vec<Vec<Box<dyn GradientEngine>>> = vec![
            // Includes more threads than shards.
            [1, 2, 3, 4, 30]
                .map(|threads| Box::new(case.cpu(threads, by_class)) as _)
                .into(),
            vec![Box::new(case.candle(
                Device::Cpu,
                Precision::Single,
                by_class,
            ))],
        ];
        for kind in &mut engines {
            let first = answers(&mut *kind[0], case, by_class, false);
            for engine in kind {
                for backward in [false, true] {
                    let again = answers(&mut **engine, case, by_class, backward);
                    for (question, want) in &first {
                        let got = &again[question];
                        let differ = want.iter().zip(got).filter(|(a, b)| a != b).count();
                        assert!(
                            want.len() == got.len() && differ == 0,
                            "{}, by class {by_class}, backward {backward}, {question}: {differ} of \
                             {} numbers differ",
                            engine.describe(),
                            want.len()
                        );
                    }
                }
            }
        }
    }
}

// ---- corners ----

#[test]
fn nan_parameters_make_the_loss_nan() {
    let sizes = Sizes {
        examples: [10, 5, 3],
        drawn_from: None,
        slice_size: 4,
        grid: 4,
        missing: None,
    };
    let case = Case::on_grid(network("r 4 r 3 r", 3), &sizes, 1);
    for i in 0..case.params.len() {
        let mut params = case.params.clone();
        params[i] = f32::NAN;
        for engine in &mut case.engines(true, &BOTH) {
            let name = engine.describe();
            for part in PARTS {
                let loss = evaluate(&mut **engine, part, &params, Want::Gradient).loss;
                assert!(
                    loss.is_nan(),
                    "{name}, {part:?}, parameter {i}: loss {loss}"
                );
            }
            let loss = evaluate_batch(&mut **engine, &params, &case.rows).loss;
            assert!(loss.is_nan(), "{name}, batch, parameter {i}: loss {loss}");
        }
    }
}

/// Every hidden unit is exactly 0, and nothing may flow back through it.
#[test]
fn relu_has_slope_0_at_0() {
    for layers in ["3 r 2", "3 r r 2", "3 r 4 r 2"] {
        let sizes = Sizes {
            examples: [6, 1, 0],
            drawn_from: None,
            slice_size: 4,
            grid: 4,
            missing: None,
        };
        let mut case = Case::on_grid(network(layers, 2), &sizes, 1);
        let first = case.network.layout.layers[0].range.clone();
        case.params[first.clone()].fill(0.0);
        for engine in &mut case.engines(false, &BOTH) {
            let what = format!("{layers}, {}", engine.describe());
            let got = evaluate(&mut **engine, Subset::Train, &case.params, Want::Gradient);
            assert_eq!(
                largest(&got.gradient[first.clone()]),
                0.0,
                "{what}: first layer"
            );
            let last = case.network.layout.tensors.last().unwrap().range.clone();
            assert!(largest(&got.gradient[last]) > 0.0, "{what}: last bias");
        }
    }
}

#[test]
fn a_subset_without_examples_has_no_loss_and_no_gradient() {
    let sizes = Sizes {
        examples: [4, 1, 0],
        drawn_from: None,
        slice_size: 3,
        grid: 4,
        missing: None,
    };
    let case = Case::on_grid(network("3 r 2", 2), &sizes, 1);
    for engine in &mut case.engines(true, &BOTH) {
        let name = engine.describe();
        let got = evaluate(
            &mut **engine,
            Subset::Validation,
            &case.params,
            Want::Gradient,
        );
        assert!(
            got.loss.is_nan() && got.accuracy.is_nan(),
            "{name}: {got:?}"
        );
        assert!(
            got.class_loss.len() == 2 && got.class_loss.iter().all(|x| x.is_nan()),
            "{name}"
        );
        assert_eq!(got.gradient, vec![0.0; case.params.len()], "{name}");
    }
}

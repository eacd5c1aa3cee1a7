//! The optimizers against `PyTorch`'s own (tests/golden/optimizers.py), over twenty steps, and properties of groups of
//! layers with overrides.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "golden numbers are float64, parameters f32; small counts"
)]

use std::ops::Range;

use lcascope::optim::{Adam, Freeze, Groups, Optimizer, OptimizerChoice, Overrides, RmsProp, Sgd};
use proptest::prelude::*;
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value
        .as_array()
        .expect("rows")
        .iter()
        .map(numbers)
        .collect()
}

fn singles(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

/// Follows `PyTorch`'s path, `[21][5]`, with `step(params, gradient, step)`.
fn follow(
    name: &str,
    gradients: &[Vec<f64>],
    path: &[Vec<f64>],
    mut step: impl FnMut(&mut [f32], &[f32], u64),
) {
    let mut params = singles(&path[0]);
    for (t, (gradient, want)) in gradients.iter().zip(&path[1..]).enumerate() {
        step(&mut params, &singles(gradient), t as u64);
        for (i, (&got, want)) in params.iter().zip(want).enumerate() {
            // f32 rounding, relative to the largest value on the path and the state of twenty steps.
            let largest = path.iter().map(|p| p[i].abs()).fold(0.1, f64::max);
            let limit = 3e-6 * largest;
            let error = (f64::from(got) - want).abs();
            assert!(
                error < limit,
                "{name}, step {t}, parameter {i}: {got}, want {want}"
            );
        }
    }
}

#[test]
fn every_optimizer_follows_pytorch() {
    let golden: Value = serde_json::from_str(include_str!("../golden/optimizers.json")).unwrap();
    let gradients = rows(&golden["gradients"]);
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let rate = case["learning_rate"].as_f64().unwrap();
        let decay = case["weight_decay"].as_f64().unwrap();
        let momentum = case["momentum"].as_f64().unwrap_or(0.0) as f32;
        let path = rows(&case["params"]);
        let params = path[0].len();
        let mut optimizer: Box<dyn Optimizer> = match case["optimizer"].as_str().unwrap() {
            "sgd" => Box::new(Sgd::new(momentum, decay as f32, params)),
            "adam" => Box::new(Adam::new(decay as f32, params)),
            "adamw" => Box::new(Adam::decoupled(decay, params)),
            "rmsprop" => Box::new(RmsProp::new(momentum, decay as f32, params)),
            other => panic!("{other}"),
        };
        let name = case["name"].as_str().unwrap();
        follow(name, &gradients, &path, |params, gradient, _| {
            optimizer.step(params, gradient, rate);
        });
    }
}

#[test]
fn groups_follow_pytorchs_parameter_groups() {
    let golden: Value = serde_json::from_str(include_str!("../golden/optimizers.json")).unwrap();
    let gradients = rows(&golden["gradients"]);
    let ranges = rows(&golden["layers"]);
    let slower = golden["slower"].as_u64().unwrap();
    let cases = golden["grouped"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for (index, case) in cases.iter().enumerate() {
        let momentum = case["momentum"].as_f64().unwrap_or(0.0);
        let choice = match case["optimizer"].as_str().unwrap() {
            "sgd" => OptimizerChoice::Sgd { momentum },
            "adam" => OptimizerChoice::Adam,
            "adamw" => OptimizerChoice::AdamW,
            "rmsprop" => OptimizerChoice::RmsProp { momentum },
            other => panic!("{other}"),
        };
        let layers = case["layers"].as_array().unwrap().iter();
        let layers = ranges.iter().zip(layers).map(|(range, layer)| {
            let overrides = Overrides {
                learning_rate: layer["learning_rate"].as_f64(),
                momentum: layer["momentum"].as_f64(),
                weight_decay: layer["weight_decay"].as_f64(),
                freeze: layer["freeze_from"].as_u64().map(Freeze::From),
                delay: layer["delay"].as_u64().map(|steps| steps as usize),
            };
            (range[0] as usize..range[1] as usize, overrides)
        });
        let mut groups = Groups::new(
            choice,
            case["learning_rate"].as_f64().unwrap(),
            case["weight_decay"].as_f64().unwrap(),
            layers,
        );
        let name = format!("group {index}, {}", case["name"].as_str().unwrap());
        follow(
            &name,
            &gradients,
            &rows(&case["params"]),
            |params, gradient, t| {
                groups.step(params, gradient, t, if t < slower { 1.0 } else { 0.5 });
            },
        );
    }
}

// ---- laws ----

const CHOICES: [OptimizerChoice; 5] = [
    OptimizerChoice::Sgd { momentum: 0.9 },
    OptimizerChoice::Sgd { momentum: 0.0 },
    OptimizerChoice::Adam,
    OptimizerChoice::AdamW,
    OptimizerChoice::RmsProp { momentum: 0.5 },
];
const RATE: f64 = 0.01;
const DECAY: f64 = 0.1;
const PARAMS: usize = 7;
const STEPS: usize = 15;
/// The ranges of three layers.
const LAYERS: [Range<usize>; 3] = [0..2, 2..5, 5..7];

/// A factor like that of a schedule.
fn factor(step: usize) -> f64 {
    1.0 / (1.0 + step as f64)
}

fn groups(choice: OptimizerChoice, overrides: [Overrides; 3]) -> Groups {
    Groups::new(choice, RATE, DECAY, LAYERS.into_iter().zip(overrides))
}

fn start() -> Vec<f32> {
    (0..PARAMS).map(|i| i as f32 / 4.0 - 0.6).collect()
}

/// `[steps + 1][P]`: the initial parameters, and those after each step.
fn path(mut groups: Groups, gradients: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut path = vec![start()];
    for (t, gradient) in gradients.iter().enumerate() {
        let mut params = path[t].clone();
        groups.step(&mut params, gradient, t as u64, factor(t));
        path.push(params);
    }
    path
}

/// The path of one optimizer on its own range, which gets no gradient in the first `delay` steps, and then that of
/// `delay` steps ago.
fn path_alone(
    choice: OptimizerChoice,
    range: Range<usize>,
    delay: usize,
    gradients: &[Vec<f32>],
) -> Vec<Vec<f32>> {
    let decay = DECAY as f32;
    let mut optimizer: Box<dyn Optimizer> = match choice {
        OptimizerChoice::Sgd { momentum } => {
            Box::new(Sgd::new(momentum as f32, decay, range.len()))
        }
        OptimizerChoice::Adam => Box::new(Adam::new(decay, range.len())),
        OptimizerChoice::AdamW => Box::new(Adam::decoupled(DECAY, range.len())),
        OptimizerChoice::RmsProp { momentum } => {
            Box::new(RmsProp::new(momentum as f32, decay, range.len()))
        }
    };
    let mut path = vec![start()[range.clone()].to_vec()];
    for t in 0..gradients.len() {
        let mut params = path[t].clone();
        if let Some(of) = t.checked_sub(delay) {
            let gradient = &gradients[of][range.clone()];
            optimizer.step(&mut params, gradient, RATE * factor(t));
        }
        path.push(params);
    }
    path
}

/// `[steps][range]`: part of a path.
fn of_range(path: &[Vec<f32>], range: &Range<usize>) -> Vec<Vec<f32>> {
    path.iter().map(|p| p[range.clone()].to_vec()).collect()
}

fn gradients() -> impl Strategy<Value = Vec<Vec<f32>>> {
    let gradient = prop::collection::vec(-3.0f32..3.0, PARAMS);
    prop::collection::vec(gradient, STEPS)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_rules_there_is_one_optimizer(gradients in gradients()) {
        for choice in CHOICES {
            let mut groups = groups(choice, [Overrides::default(); 3]);
            prop_assert_eq!(groups.memory().len(), 1);
            prop_assert_eq!(path(groups, &gradients), path_alone(choice, 0..PARAMS, 0, &gradients));
        }
    }

    #[test]
    fn a_frozen_layer_is_unchanged_and_does_not_affect_others(
        gradients in gradients(),
        layer in 0..3usize,
        from in 0..STEPS + 2,
    ) {
        for choice in CHOICES {
            let mut overrides = [Overrides::default(); 3];
            overrides[layer].freeze = Some(Freeze::From(from as u64));
            let frozen = path(groups(choice, overrides), &gradients);
            let free = path(groups(choice, [Overrides::default(); 3]), &gradients);
            for (l, range) in LAYERS.iter().enumerate() {
                let (frozen, free) = (of_range(&frozen, range), of_range(&free, range));
                let moves = if l == layer { from.min(STEPS) } else { STEPS };
                prop_assert_eq!(&frozen[..=moves], &free[..=moves]);
                prop_assert!(frozen[moves..].iter().all(|p| *p == frozen[moves]));
            }
        }
    }

    #[test]
    fn a_delayed_layer_equals_an_optimizer_with_older_gradients(
        gradients in gradients(),
        delays in prop::array::uniform3(0..STEPS + 2),
    ) {
        for choice in CHOICES {
            let overrides = delays.map(|delay| Overrides { delay: Some(delay), ..Overrides::default() });
            let delayed = path(groups(choice, overrides), &gradients);
            for (range, delay) in LAYERS.into_iter().zip(delays) {
                let got = of_range(&delayed, &range);
                prop_assert_eq!(got, path_alone(choice, range, delay, &gradients));
            }
        }
    }

    #[test]
    fn the_optimizer_memory_is_complete(gradients in gradients(), cut in 0..STEPS) {
        let overrides = [
            Overrides { delay: Some(4), ..Overrides::default() },
            Overrides { freeze: Some(Freeze::From(9)), ..Overrides::default() },
            Overrides { learning_rate: Some(0.5), delay: Some(1), ..Overrides::default() },
        ];
        for choice in CHOICES {
            let mut first = groups(choice, overrides);
            let mut again = groups(choice, overrides);
            let (mut params, mut copy) = (start(), start());
            for (t, gradient) in gradients.iter().enumerate() {
                if t == cut {
                    copy.copy_from_slice(&params);
                    for (from, to) in first.memory().into_iter().zip(again.memory()) {
                        prop_assert_eq!(from.range, to.range);
                        to.waiting.clone_from(from.waiting);
                        if let (Some(from), Some(to)) = (from.optimizer.steps, to.optimizer.steps) {
                            *to = *from;
                        }
                        let averages = from.optimizer.averages.into_iter();
                        for (from, to) in averages.zip(to.optimizer.averages) {
                            to.copy_from_slice(from);
                        }
                    }
                }
                first.step(&mut params, gradient, t as u64, factor(t));
                if t >= cut {
                    again.step(&mut copy, gradient, t as u64, factor(t));
                }
            }
            prop_assert_eq!(params, copy);
        }
    }
}

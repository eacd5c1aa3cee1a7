//! The optimizers against `PyTorch`'s own (tests/golden/optimizers.py), over twenty steps.

#![allow(
    clippy::cast_possible_truncation,
    reason = "golden numbers are float64, parameters f32"
)]

use lcascope::optim::{Adam, Optimizer, RmsProp, Sgd};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().expect("a list");
    list.iter().map(|x| x.as_f64().expect("a number")).collect()
}

#[test]
fn every_optimizer_takes_pytorchs_path() {
    let golden: Value = serde_json::from_str(include_str!("golden/optimizers.json")).unwrap();
    let gradients: Vec<Vec<f64>> = golden["gradients"]
        .as_array()
        .unwrap()
        .iter()
        .map(numbers)
        .collect();
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let rate = case["learning_rate"].as_f64().unwrap();
        let decay = case["weight_decay"].as_f64().unwrap();
        let momentum = case["momentum"].as_f64().unwrap_or(0.0) as f32;
        let path: Vec<Vec<f64>> = case["params"]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .collect();
        let mut params: Vec<f32> = path[0].iter().map(|&p| p as f32).collect();
        let mut optimizer: Box<dyn Optimizer> = match case["optimizer"].as_str().unwrap() {
            "sgd" => Box::new(Sgd::new(momentum, decay as f32, params.len())),
            "adam" => Box::new(Adam::new(decay as f32, params.len())),
            "adamw" => Box::new(Adam::decoupled(decay, params.len())),
            "rmsprop" => Box::new(RmsProp::new(momentum, decay as f32, params.len())),
            other => panic!("{other}"),
        };
        for (step, (gradient, want)) in gradients.iter().zip(&path[1..]).enumerate() {
            let gradient: Vec<f32> = gradient.iter().map(|&g| g as f32).collect();
            optimizer.step(&mut params, &gradient, rate);
            for (i, (&got, want)) in params.iter().zip(want).enumerate() {
                // f32 rounding, of the largest value on the way and of twenty steps' state.
                let largest = path.iter().map(|p| p[i].abs()).fold(0.1, f64::max);
                let limit = 3e-6 * largest;
                let error = (f64::from(got) - want).abs();
                assert!(
                    error < limit,
                    "{name}, step {step}, parameter {i}: {got}, want {want}"
                );
            }
        }
    }
}

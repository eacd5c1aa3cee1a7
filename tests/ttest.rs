//! Student's test against `golden/ttest.json`: numbers from `SciPy`, by a script beside it.
//!
//! Both compute in double precision; far out in the tails p agrees to ten figures.

use std::path::Path;

use lcascope::analysis::ttest::{Mean, two_sided};
use serde_json::Value;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ttest.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[track_caller]
fn near(found: f64, expected: &Value, within: f64) {
    let expected = expected.as_f64().unwrap();
    let off = (found - expected).abs();
    assert!(off <= within * expected.abs(), "{found:e} for {expected:e}");
}

#[test]
fn means_of_repeats() {
    for sample in golden()["samples"].as_array().unwrap() {
        let values = sample["values"].as_array().unwrap();
        let values: Vec<f64> = values.iter().map(|x| x.as_f64().unwrap()).collect();
        let mean = Mean::of(&values);
        assert_eq!(mean.n, values.len());
        near(mean.mean, &sample["mean"], 1e-13);
        // The scatter is what is left of a difference of numbers a million times as large.
        near(mean.error, &sample["error"], 1e-9);
        near(mean.t, &sample["t"], 1e-9);
        near(mean.p, &sample["p"], 1e-8);
    }
}

#[test]
fn tails_of_the_distribution() {
    let golden = golden();
    let tails = golden["tails"].as_array().unwrap();
    assert_eq!(tails.len(), 64);
    for tail in tails {
        let number = |key: &str| tail[key].as_f64().unwrap();
        let p = two_sided(number("t"), number("freedom"));
        near(p, &tail["p"], 1e-10);
    }
}

//! Student's t-test, of means and of pairs, against `golden/ttest.json` and `golden/paired.json`: numbers computed by
//! `SciPy` with scripts beside them.
//!
//! Both compute in double precision; far out in the tails, p agrees to ten digits.

use lcascope::analysis::paired::{paired, sign_test};
use lcascope::analysis::ttest::{Mean, two_sided};
use serde_json::Value;

fn golden(name: &str) -> Value {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap().iter();
    list.map(|x| x.as_f64().unwrap()).collect()
}

#[track_caller]
fn near(found: f64, expected: &Value, within: f64) {
    let expected = expected.as_f64().unwrap();
    let off = (found - expected).abs();
    assert!(off <= within * expected.abs(), "{found:e} for {expected:e}");
}

#[test]
fn means_of_repeats() {
    for sample in golden("ttest")["samples"].as_array().unwrap() {
        let values = sample["values"].as_array().unwrap();
        let values: Vec<f64> = values.iter().map(|x| x.as_f64().unwrap()).collect();
        let mean = Mean::of(&values);
        assert_eq!(mean.n, values.len());
        near(mean.mean, &sample["mean"], 1e-13);
        // The scatter is the remainder of a difference of numbers a million times as large.
        near(mean.error, &sample["error"], 1e-9);
        near(mean.t, &sample["t"], 1e-9);
        near(mean.p, &sample["p"], 1e-8);
    }
}

#[test]
fn tails_of_the_distribution() {
    let golden = golden("ttest");
    let tails = golden["tails"].as_array().unwrap();
    assert_eq!(tails.len(), 64);
    for tail in tails {
        let number = |key: &str| tail[key].as_f64().unwrap();
        let p = two_sided(number("t"), number("freedom"));
        near(p, &tail["p"], 1e-10);
    }
}

#[test]
fn pairs_of_runs() {
    let golden = golden("paired");
    let cases = golden["pairs"].as_array().unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let (base, other) = (numbers(&case["base"]), numbers(&case["other"]));
        let found = paired(base.iter().copied().zip(other.iter().copied()));
        assert_eq!(found.difference.n, base.len());
        near(found.difference.mean, &case["mean"], 1e-10);
        near(found.difference.error, &case["error"], 1e-10);
        near(found.difference.t, &case["t"], 1e-10);
        near(found.difference.p, &case["p"], 1e-8);
        assert_eq!(found.below as u64, case["below"].as_u64().unwrap());
        assert_eq!(found.above as u64, case["above"].as_u64().unwrap());
        near(found.sign_p, &case["sign_p"], 1e-9);
    }
}

#[test]
fn signs_of_many_pairs() {
    for case in golden("paired")["signs"].as_array().unwrap() {
        let count = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
        near(sign_test(count("below"), count("above")), &case["p"], 1e-9);
    }
}

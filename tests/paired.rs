//! Paired tests against `golden/paired.json`: numbers from `SciPy`, by a script beside it.

use std::path::Path;

use lcascope::analysis::paired::{paired, sign_test};
use serde_json::Value;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/paired.json");
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
fn pairs_of_runs() {
    let golden = golden();
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
    for case in golden()["signs"].as_array().unwrap() {
        let count = |key: &str| usize::try_from(case[key].as_u64().unwrap()).unwrap();
        near(sign_test(count("below"), count("above")), &case["p"], 1e-9);
    }
}

//! The statistics of `core/src/analysis` against `golden/analysis.json`: numbers from `NumPy` and `SciPy` in double
//! precision, by a script (`golden/analysis.py`) that shares no code with this program and documents every key.
//!
//! Both sides compute in double precision, so they agree to rounding, 1e-10. Exceptions are the tail index of the
//! octaves, where the script's search ends within 1e-8, and the null models, where each side draws its own random
//! numbers: their means may differ by five standard errors.

use std::path::Path;

use lcascope::analysis::concentration::{Side, concentration};
use lcascope::analysis::events::{Detector, Event, EventKind, EventStep, Rules};
use lcascope::analysis::help::iterations_helped;
use lcascope::analysis::lag::CrossCorrelation;
use lcascope::analysis::moments::{KEEP, Moments, shared};
use lcascope::analysis::nulls::{Draws, NullModel, null};
use lcascope::analysis::octaves::{Octaves, Sign};
use lcascope::analysis::oscillation::{autocorrelation, crossings, turns};
use lcascope::analysis::period::strongest_period;
use lcascope::analysis::tails;
use lcascope::lca::histogram_edges;
use serde_json::Value;

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/analysis.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Null is NaN.
fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter()
        .map(|x| x.as_f64().unwrap_or(f64::NAN))
        .collect()
}

fn counts(value: &Value) -> Vec<u32> {
    let list = value.as_array().unwrap();
    let count = |x: &Value| u32::try_from(x.as_u64().unwrap()).unwrap();
    list.iter().map(count).collect()
}

fn near(found: f64, expected: &Value, within: f64) {
    let expected = expected.as_f64().unwrap();
    let off = (found - expected).abs() / expected.abs().max(1.0);
    assert!(off < within, "{found} for {expected}");
}

fn all_near(found: &[f64], expected: &Value) {
    let list = expected.as_array().unwrap();
    assert_eq!(found.len(), list.len());
    for (found, expected) in found.iter().zip(list) {
        near(*found, expected, 1e-10);
    }
}

#[test]
fn shares_of_helping_parameters_are_golden() {
    let golden = &golden()["help"];
    let steps = golden["steps"].as_u64().unwrap();
    let bins = iterations_helped(&counts(&golden["helped"]), steps);
    assert_eq!(Value::from(bins.to_vec()), golden["bins"]);
}

#[test]
fn tails_of_values() {
    let golden = golden();
    let mut sample = numbers(&golden["sample"]);
    sample.retain(|x| *x != 0.0);
    near(
        tails::excess_kurtosis(&sample),
        &golden["tails"]["kurtosis"],
        1e-10,
    );
    let k = tails::tail_size(sample.len() as u64);
    assert_eq!(Value::from(k), golden["tails"]["k"]);
    near(
        tails::tail_index(&mut sample).unwrap(),
        &golden["tails"]["hill"],
        1e-10,
    );
}

#[test]
fn tails_of_the_run_files_histogram() {
    let golden = &golden()["octaves"];
    let mut octaves = Octaves::new(&histogram_edges()).unwrap();
    octaves.add(&counts(&golden["counts"]));
    near(
        octaves.tail_index(Sign::Both).unwrap(),
        &golden["tail_index"],
        1e-7,
    );
    near(
        octaves.excess_kurtosis().unwrap(),
        &golden["kurtosis"],
        1e-10,
    );
}

#[test]
fn concentration_of_totals() {
    let golden = &golden()["concentration"];
    let found = concentration(&mut numbers(&golden["totals"]));
    let check = |side: Side, golden: &Value| {
        assert_eq!(Value::from(side.count), golden["count"]);
        near(side.total, &golden["total"], 1e-10);
        near(side.gini, &golden["gini"], 1e-10);
        near(side.top, &golden["top"], 1e-10);
        near(side.ninety, &golden["ninety"], 1e-10);
    };
    check(found.helping, &golden["helping"]);
    check(found.hurting, &golden["hurting"]);
    assert_eq!((found.zero, found.unknown), (10, 0));
}

#[test]
fn oscillation_of_a_series() {
    let golden = &golden()["oscillation"];
    let (series, gaps) = (numbers(&golden["series"]), numbers(&golden["gaps"]));
    assert_eq!(Value::from(crossings(&series)), golden["crossings"]);
    assert_eq!(Value::from(turns(&series)), golden["turns"]);
    all_near(&autocorrelation(&series, 60), &golden["autocorrelation"]);
    all_near(&autocorrelation(&gaps, 60), &golden["autocorrelation_gaps"]);
    for (drift, golden) in [(0.0, &golden["period"]), (6.0, &golden["drifting"])] {
        let drifts = |(t, x): (u32, &f64)| x - drift * (-f64::from(t) / 30.0).exp();
        let x: Vec<f64> = (0..).zip(&series).map(drifts).collect();
        let period = strongest_period(&x).unwrap();
        near(period.steps, &golden["steps"], 1e-9);
        near(period.strength, &golden["strength"], 1e-9);
        near(period.p, &golden["p"], 1e-6);
    }
}

#[test]
fn lag_of_two_series() {
    let golden = &golden()["lag"];
    let found = CrossCorrelation::between(&numbers(&golden["x"]), &numbers(&golden["y"]));
    all_near(&found.values, &golden["correlations"]);
    assert_eq!(Value::from(found.best().unwrap().steps), golden["best"]);
}

#[test]
fn moments_and_their_nulls() {
    let golden = &golden()["moments"];
    let rows = golden["rows"].as_array().unwrap();
    let mut moments = Moments::new(5, KEEP);
    for (step, row) in (0..).zip(rows) {
        moments.push(step, &numbers(row));
    }
    let sets = moments.sets();
    assert_eq!(serde_json::to_value(&sets).unwrap(), golden["deepest"]);
    assert_eq!(Value::from(shared(&sets).pairs), golden["pairs"]);
    let draws = golden["draws"].as_f64().unwrap();
    for (model, name) in [
        (NullModel::Jitter, "jitter"),
        (NullModel::Circular, "circular"),
    ] {
        let found = null(
            &sets,
            &(0..rows.len() as u64),
            model,
            Draws {
                draws: 20_000,
                seed: 1,
            },
        );
        let expected = |key: &str| golden[name][key].as_f64().unwrap();
        // The error of the difference of two means.
        let error = expected("deviation") * (2.0 / draws).sqrt();
        let off = (found.mean - expected("mean")).abs();
        assert!(
            off < 5.0 * error,
            "{name}: {} for {}",
            found.mean,
            expected("mean")
        );
        let ratio = found.deviation / expected("deviation");
        assert!((ratio - 1.0).abs() < 0.05, "{name}: {ratio}");
    }
}

#[test]
fn spikes_of_a_loss() {
    let golden = &golden()["events"];
    let mut events = Vec::new();
    for (losses, spikes) in [("losses", "spikes"), ("early", "early_spikes")] {
        let losses = numbers(&golden[losses]);
        let mut detector = Detector::new(0, Rules::default());
        for (step, pair) in (0..).zip(losses.windows(2)) {
            detector.push(&EventStep {
                step,
                loss_before: pair[0],
                loss_after: pair[1],
                residual: 0.0,
                lca: &[],
            });
        }
        events = detector.events();
        let spike = |event: &Event| event.kind == EventKind::LossSpike;
        assert!(events.iter().all(spike));
        let steps: Vec<u64> = events.iter().map(|event| event.step).collect();
        assert_eq!(Value::from(steps), golden[spikes]);
    }
    let text = serde_json::to_string(&events).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Event>>(&text).unwrap(), events);
}

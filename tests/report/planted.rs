//! Signals of known size in a run file that `golden/planted.py` wrote with h5py alone: its report recovers the planted
//! signals, with the numbers of `NumPy` and `SciPy` (`golden/planted.json`).
//!
//! The file is accepted at all, which shows that docs/run-format.md is enough to write one.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{Outcome, assert_close, columns, lcascope};

const RUN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/planted.h5");

/// The row of the wave's layer in tables by layer that have no row for all layers.
const WAVE: usize = 1;

fn golden() -> Value {
    serde_json::from_str(include_str!("../golden/planted.json")).unwrap()
}

/// The report's tables by name.
static TABLES: LazyLock<HashMap<String, HashMap<String, Vec<f64>>>> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let mut command = lcascope();
    command
        .args(["report", RUN, "-o"])
        .arg(folder.path().join("report"));
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let data = fs::read_dir(folder.path().join("report/data")).unwrap();
    let read = |path: &Path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, columns(&fs::read(path).unwrap()))
    };
    data.map(|entry| read(&entry.unwrap().path())).collect()
});

fn value(table: &str, column: &str, row: usize) -> f64 {
    let table = &TABLES[table];
    let values = table.get(column);
    values.unwrap_or_else(|| panic!("no {column:?} in {:?}", table.keys()))[row]
}

fn of(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn a_file_written_with_h5py_is_valid() {
    let mut command = lcascope();
    command.args(["verify", RUN]);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!outcome.stdout.contains("FAULT"), "{outcome:?}");
}

#[test]
fn the_period_of_an_oscillation_is_found() {
    let golden = golden();
    let turns = [
        "sign flip of updates every (steps)",
        "sign flip of gradients every (steps)",
        "turning point of gradients every (steps)",
        "turning point of LCA every (steps)",
    ]
    .map(|column| value("oscillation", column, WAVE));
    for (index, turns) in turns.into_iter().enumerate() {
        assert_close(turns, of(&golden["turns"][index]), 1e-9, "as counted");
    }
    // A wave turns twice per period; a product of two waves has half their period.
    let half = of(&golden["period"]) / 2.0;
    for turns in &turns[..3] {
        assert_close(*turns, half, 0.02, "weights and gradients");
    }
    let period = value("oscillation", "period of layer LCA (steps)", WAVE);
    assert_close(period, of(&golden["wave_period"]), 1e-9, "as SciPy has it");
    assert_close(period, half, 0.03, "planted");
}

#[test]
fn the_lag_of_a_movement_is_found() {
    let golden = golden();
    let lag = value("lag", "lag of traced parameters (steps)", WAVE);
    assert_eq!(lag, of(&golden["lag"]));
    assert_eq!(lag, of(&golden["wave_lag"]), "as SciPy has it");
    assert!(value("lag", "correlation", WAVE) > 0.999);
}

#[test]
fn synchronised_steps_are_found() {
    let golden = golden();
    let shared = golden["shared"].as_array().unwrap();
    let moments = &TABLES["moments"];
    for step in shared {
        let row = moments["step"].iter().position(|there| *there == of(step));
        let row = row.unwrap_or_else(|| panic!("{step} is not a moment"));
        assert!(moments["layers_together"][row] >= 3.0, "{step}");
    }
    let found = |column: &str| value("synchronisation", column, 0);
    assert_eq!(found("shared"), of(&golden["pairs"]), "as SciPy has it");
    for model in ["jitter", "circular"] {
        let by_chance = |key: &str| of(&golden[model][key]);
        let (mean, deviation) = (by_chance("mean"), by_chance("deviation"));
        // The error for 10,000 and 20,000 draws.
        let error = deviation * (1.0_f64 / 10_000.0 + 1.0 / 20_000.0).sqrt();
        let drawn = found(&format!("by chance, {model}"));
        assert_close(drawn, mean, 5.0 * error, model);
        let drawn = found(&format!("by chance, {model} ± error"));
        assert_close(drawn, deviation, 0.06 * deviation, model);
        assert!(found(&format!("p {model}")) < 2e-4);
    }
}

#[test]
fn the_tail_of_the_allocations_is_found() {
    let golden = golden();
    let planted = of(&golden["tail_index"]);
    // Row 0 is for all layers. The estimate uses the 1,096 largest: ± 3 %, of which three times are allowed here.
    let found = value("tails", "tail index", 1);
    assert_close(found, planted, 3.0 * 0.03 * planted, "planted");
}

#[test]
fn shares_and_concentration_are_those_of_the_sample() {
    let golden = golden();
    let helped = value("help", "help (%)", 0);
    assert_close(helped, of(&golden["helped"]), 1e-9, "as counted");
    let of_tail = value("help", "help (%)", 1);
    let planted = 100.0 * of(&golden["help"]);
    // From 1,200,000 tosses.
    assert_close(of_tail, planted, 4.0 * 0.046, "planted");
    for row in 0..2 {
        let gini = value("concentration", "Gini coefficient", row);
        assert_close(gini, of(&golden["gini"][row]), 1e-9, "Gini");
    }
}

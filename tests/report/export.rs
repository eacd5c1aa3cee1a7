//! `lcascope export` and `lcascope config` from outside: the contents of the files, compared with the run file as read
//! with the HDF5 library alone, and what is refused.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::needless_range_loop,
    reason = "a few steps, and tables that are indexed by them"
)]

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::common::{Outcome, RunFile, assert_close, columns, lcascope, sums_by, train};
use lcascope::export::Format;
use lcascope::sheet::{SheetRequest, View, make_exhibit};
use lcascope::store::RunReader;
use lcascope::supervise::Failure;
use parquet::file::reader::{FileReader, SerializedFileReader};
use tempfile::TempDir;

/// Steps of the run.
const STEPS: usize = 23;

/// One small run for all tests, with everything recorded.
fn run() -> &'static Path {
    static RUN: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = RUN.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let flags = [
            "--steps",
            "23",
            "--lca-test",
            "--by-class",
            "--class-every",
            "2",
            "--trace",
            "8",
            "--record-params",
            "5",
            "--test-every",
            "3",
            "--batch-size",
            "100",
            // Its residuals are events.
            "--integrator",
            "first-order",
        ];
        let path = train(folder.path(), "run.h5", &flags);
        (folder, path)
    });
    path
}

/// Exports into `folder`.
fn export(folder: &Path, args: &[&str]) -> Outcome {
    let mut command = lcascope();
    command
        .current_dir(folder)
        .arg("export")
        .arg(run())
        .args(args);
    Outcome::of(command)
}

/// Exports a CSV to standard output, and returns its columns.
fn csv(args: &[&str]) -> HashMap<String, Vec<f64>> {
    let folder = TempDir::new().unwrap();
    let outcome = export(
        folder.path(),
        &[args, &["-o", "-", "--format", "csv"]].concat(),
    );
    assert_eq!(outcome.code, Some(0), "{args:?}: {outcome:?}");
    columns(outcome.stdout.as_bytes())
}

#[track_caller]
fn same(read: &[f64], expected: &[f64], what: &str) {
    assert_eq!(read.len(), expected.len(), "{what}");
    for (a, b) in read.iter().zip(expected) {
        assert!(
            a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()),
            "{what}: {a} is not {b}"
        );
    }
}

#[test]
fn rows_are_single_steps_with_the_bits_of_the_file() {
    let file = RunFile::open(run());
    let layers = file.names("layout/layer/name");
    let table = csv(&["--view", "decomposition"]);
    let steps: Vec<f64> = (0..STEPS as u32).map(f64::from).collect();
    same(&table["step"], &steps, "step");
    same(&table["steps"], &[1.0; STEPS], "steps");
    same(
        &table["residual (nats)"],
        &file.reals("lca/residual").values,
        "residual",
    );
    let lca = file.reals("lca/layer");
    for (index, layer) in layers.iter().enumerate() {
        let expected: Vec<f64> = (0..STEPS).map(|t| lca.row(t)[index]).collect();
        same(&table[&format!("lca/{layer} (nats)")], &expected, layer);
    }
    let overview = csv(&["--view", "overview"]);
    same(
        &overview["loss_after (nats)"],
        &file.reals("loss/train").values[1..],
        "loss",
    );
    let held_out = file.reals("loss/test");
    same(
        &overview["held_out_loss (nats)"],
        &held_out.values[1..],
        "held-out loss",
    );
    let evals: Vec<f64> = file.reals("step/gradient_evals").values;
    same(&overview["gradient_evals"], &evals, "gradients");
}

#[test]
fn merged_rows_add_up_exactly() {
    let file = RunFile::open(run());
    let lca = file.reals("lca/layer");
    let table = csv(&[
        "--view",
        "decomposition",
        "--steps",
        "3..",
        "--every",
        "7",
        "--layer",
        "fc2",
    ]);
    same(&table["step"], &[3.0, 10.0, 17.0], "step");
    same(&table["steps"], &[7.0, 7.0, 6.0], "steps");
    assert!(!table.contains_key("lca/fc1 (nats)"));
    let rows = (3..STEPS).map(|t| ((t - 3) / 7, lca.row(t)[1]));
    for (row, (sum, size)) in sums_by(3, rows).into_iter().enumerate() {
        assert_close(table["lca/fc2 (nats)"][row], sum, 1e-15 * size, "a row");
    }
    // Change, allocation and residual close in every row.
    for row in 0..3 {
        let at = |name: &str| table[name][row];
        let closed = at("lca (nats)") + at("residual (nats)");
        assert_close(closed, at("loss_change (nats)"), 1e-12, "a row closes");
    }
    let whole = csv(&["--view", "cumulative"]);
    let sums = sums_by(1, (0..STEPS).map(|t| (0, lca.row(t)[0])));
    let last = *whole["cumulative_lca/fc1 (nats)"].last().unwrap();
    assert_close(last, sums[0].0, 1e-14 * sums[0].1, "the sum of all");
}

#[test]
fn merged_rows_lose_no_class_that_was_measured() {
    let file = RunFile::open(run());
    let (layers, classes) = (3, file.names("layout/class/name").len());
    let by_class = file.reals("lca/class_layer");
    let table = csv(&["--view", "classes", "--every", "5"]);
    // Among steps 0 to 4 these are 0, 2 and 4; among 5 to 9, 6 and 8.
    same(
        &table["steps_measured"],
        &[3.0, 2.0, 3.0, 2.0, 2.0],
        "measured",
    );
    for class in 0..classes {
        let measured = (0..STEPS).step_by(2);
        let of = |t: usize| {
            by_class.row(t)[class * layers..][..layers]
                .iter()
                .sum::<f64>()
        };
        let sums = sums_by(5, measured.map(|t| (t / 5, of(t))));
        for (row, (sum, size)) in sums.into_iter().enumerate() {
            let exported = table[&format!("lca/{class} (nats)")][row];
            assert_close(exported, sum, 1e-12 * size, "a class");
        }
    }
    let gaps = csv(&["--view", "classes", "--steps", "4..6"]);
    same(&gaps["steps_measured"], &[1.0, 0.0], "measured");
    assert!(gaps["lca/3 (nats)"][1].is_nan());
    let folder = TempDir::new().unwrap();
    let none = export(folder.path(), &["--view", "classes", "--steps", "5..6"]);
    none.fails(1, &["--class-every"]);
    export(folder.path(), &["--view", "classes", "-o", "a.svg"]);
    let picture = fs::read_to_string(folder.path().join("a.svg")).unwrap();
    assert!(
        picture.contains("nats per measured step"),
        "the unit says it"
    );
}

#[test]
fn merged_rows_have_their_latest_held_out_evaluation() {
    let folder = TempDir::new().unwrap();
    let flags = ["--steps", "11", "--batch-size", "100", "--test-every", "3"];
    let run = train(folder.path(), "some.h5", &flags);
    let mut command = lcascope();
    let args = ["--view", "overview", "--every", "5", "-o", "-"];
    command.arg("export").arg(&run).args(args);
    let table = columns(Outcome::of(command).stdout.as_bytes());
    let file = RunFile::open(&run);
    let (loss, accuracy) = (file.reals("loss/test"), file.reals("loss/test_accuracy"));
    let mut inside = 0;
    for (row, steps) in [0..5, 5..10, 10..11].into_iter().enumerate() {
        let end = steps.end;
        // The loss after step t is at t + 1.
        let there: Vec<usize> = steps.filter(|t| !loss.values[t + 1].is_nan()).collect();
        let last = there.last().copied();
        let at = |name: &str| [table[name][row]];
        let value = |values: &[f64]| [last.map_or(f64::NAN, |t| values[t + 1])];
        same(&at("held_out_loss (nats)"), &value(&loss.values), "loss");
        same(
            &at("held_out_accuracy"),
            &value(&accuracy.values),
            "accuracy",
        );
        let step = last.map_or(f64::NAN, |t| f64::from(t as u32));
        same(&at("held_out_step"), &[step], "step");
        let count = f64::from(there.len() as u32);
        same(&at("held_out_evaluations"), &[count], "evaluations");
        inside += usize::from(last.is_some_and(|t| t + 1 < end));
    }
    assert!(inside > 0, "one is not at the end of its row");
}

#[test]
fn titles_name_run_and_steps() {
    let title = |args: &[&str]| {
        let folder = TempDir::new().unwrap();
        let args = [args, &["--format", "json", "-o", "-"]].concat();
        let json: serde_json::Value =
            serde_json::from_str(&export(folder.path(), &args).stdout).unwrap();
        json["title"].as_str().unwrap().to_owned()
    };
    for (view, all, one) in [
        (
            "decomposition",
            "Loss Change Allocation (LCA) by layer",
            "Loss Change Allocation (LCA) of fc2",
        ),
        (
            "cumulative",
            "Cumulative Loss Change Allocation (LCA) by layer",
            "Cumulative Loss Change Allocation (LCA) of fc2",
        ),
        (
            "layers",
            "Total Loss Change Allocation (LCA) by layer",
            "Total Loss Change Allocation (LCA) of fc2",
        ),
        (
            "tensors",
            "Loss Change Allocation (LCA) by tensor",
            "Loss Change Allocation (LCA) by tensor, fc2",
        ),
        (
            "classes",
            "Loss Change Allocation (LCA) by class",
            "Loss Change Allocation (LCA) by class, fc2",
        ),
    ] {
        assert_eq!(title(&["--view", view]), all);
        assert_eq!(title(&["--view", view, "--layer", "fc2"]), one);
    }
    let folder = TempDir::new().unwrap();
    let args = ["--view", "decomposition", "--layer", "fc2", "-o", "a.svg"];
    assert_eq!(export(folder.path(), &args).code, Some(0));
    let picture = fs::read_to_string(folder.path().join("a.svg")).unwrap();
    // The sums that close are the whole network's; the layer's own sum is beside them.
    assert!(picture.contains("fc2&apos;s ΣLCA -") || picture.contains("fc2's ΣLCA -"));
    assert!(picture.contains("whole network: ΣLCA -"));
}

#[test]
fn counts_shares_and_totals_equal_the_files() {
    let file = RunFile::open(run());
    let params = file.counts("layout/layer/params").values;
    let flips = file.counts("motion/update_flips");
    let oscillation = csv(&["--view", "oscillation"]);
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let number = |count: u64| count as f64;
    let expected: Vec<f64> = (0..STEPS).map(|t| number(flips.row(t)[1])).collect();
    same(&oscillation["update_flips/fc2"], &expected, "flips");

    let (helped, hurt) = (file.counts("lca/helped"), file.counts("lca/hurt"));
    let helping = csv(&["--view", "helping"]);
    let all: u64 = params.iter().sum();
    for t in 0..STEPS {
        let share = |counts: &[u64]| 100.0 * number(counts.iter().sum()) / number(all);
        assert_close(helping["help (%)"][t], share(helped.row(t)), 1e-9, "helped");
        let parts = ["help (%)", "hurt (%)", "idle (%)"].map(|name| helping[name][t]);
        assert_close(parts.iter().sum(), 100.0, 1e-9, "all parameters");
        let of_fc1 = 100.0 * number(hurt.row(t)[0]) / number(params[0]);
        assert_close(helping["hurt/fc1 (%)"][t], of_fc1, 1e-9, "hurt");
    }

    let totals = csv(&["--view", "layers"]);
    let lca = file.reals("lca/layer");
    let rows = (0..STEPS).flat_map(|t| (0..3).map(move |l| (l, t)));
    let sums = sums_by(3, rows.map(|(l, t)| (l, lca.row(t)[l])));
    for (l, (sum, size)) in sums.into_iter().enumerate() {
        assert_close(
            totals["lca (nats)"][l],
            sum,
            1e-14 * size,
            "a layer's total",
        );
        let flipped: u64 = (0..STEPS).map(|t| flips.row(t)[l]).sum();
        let every = 23.0 * number(params[l]) / number(flipped);
        assert_close(totals["flip (steps)"][l], every, 1e-9 * every, "every");
    }
    assert_close(totals["share (%)"].iter().sum(), 100.0, 1e-9, "shares");

    let histogram = csv(&["--view", "distribution"]);
    let counted = file.counts("lca/histogram").values.iter().sum::<u64>();
    let exported = histogram["count"].iter().sum::<f64>();
    assert_close(exported, number(counted), 0.0, "all non-zero allocations");
}

#[test]
fn groups_of_parameters_add_up_to_their_layers() {
    let file = RunFile::open(run());
    let lca = file.reals("lca/layer");
    let tensors = csv(&["--view", "tensors", "--layer", "fc3"]);
    let units = csv(&["--view", "units", "--layer", "fc3"]);
    let classes = csv(&["--view", "classes", "--layer", "fc3"]);
    assert_eq!((tensors.len(), units.len(), classes.len()), (4, 12, 13));
    let unit = csv(&["--view", "units", "--layer=fc3", "--unit=4"]);
    assert_eq!(unit.len(), 3);
    same(
        &unit["lca/unit 4 (nats)"],
        &units["lca/unit 4 (nats)"],
        "one unit",
    );
    let sum = |table: &HashMap<String, Vec<f64>>, t: usize| {
        let lca = table.iter().filter(|(name, _)| name.starts_with("lca/"));
        lca.map(|(_, values)| values[t]).sum::<f64>()
    };
    for t in 0..STEPS {
        let layer = lca.row(t)[2];
        assert_close(sum(&tensors, t), layer, 1e-12, "tensors");
        // Units and classes are stored with 24 bits.
        assert_close(sum(&units, t), layer, 1e-6, "units");
        match t % 2 {
            0 => assert_close(sum(&classes, t), layer, 1e-6, "classes"),
            _ => assert!(sum(&classes, t).is_nan(), "not measured in step {t}"),
        }
    }
    let held_out = csv(&["--view", "held-out"]);
    let expected: Vec<f64> = (0..STEPS)
        .map(|t| file.reals("lca_test/layer").row(t)[2])
        .collect();
    same(&held_out["held_out_lca/fc3 (nats)"], &expected, "held out");
}

#[test]
fn a_parameter_has_its_traced_or_recorded_values() {
    let file = RunFile::open(run());
    let traced = file.counts("trace/parameter").values;
    let index = traced[3].to_string();
    let table = csv(&["--view", "parameter", "--parameter", &index]);
    for (name, path) in [
        ("weight", "trace/value"),
        (
            "gradient (nats per unit of the parameter)",
            "trace/gradient",
        ),
        ("lca (nats)", "trace/lca"),
    ] {
        let values = file.reals(path);
        let expected: Vec<f64> = (0..STEPS).map(|t| values.row(t)[3]).collect();
        same(&table[name], &expected, name);
    }
    let params: u64 = file.counts("layout/layer/params").values.iter().sum();
    let other = (0..params).find(|index| !traced.contains(index)).unwrap();
    let table = csv(&["--view", "parameter", "--parameter", &other.to_string()]);
    let recorded = file.reals("lca/param_step").values;
    assert!(recorded.len() > 2);
    same(&table["step"], &recorded, "recorded steps");
    let all = file.reals("lca/param");
    let other = usize::try_from(other).unwrap();
    let expected: Vec<f64> = (0..all.rows()).map(|row| all.row(row)[other]).collect();
    same(&table["lca (nats)"], &expected, "recorded");
    let folder = TempDir::new().unwrap();
    let none = export(
        folder.path(),
        &["--view", "parameter", "--parameter", &params.to_string()],
    );
    none.fails(2, &["no parameter", "counted from 0"]);
    export(folder.path(), &["--view", "parameter"]).fails(2, &["--parameter INDEX"]);
}

#[test]
fn moments_are_the_deepest_minima_and_those_that_layers_share() {
    let lca = RunFile::open(run()).reals("lca/layer");
    let mut expected: Vec<(usize, usize)> = Vec::new();
    for layer in 0..3 {
        let a = |t: usize| lca.row(t)[layer];
        let minima = (1..STEPS - 1).filter(|&t| a(t) < a(t - 1) && a(t) < a(t + 1));
        // Fewer than the 20 that are kept.
        expected.extend(minima.map(|t| (layer, t)));
    }
    let table = csv(&["--view", "synchronisation"]);
    #[expect(clippy::cast_precision_loss, reason = "steps of a small run")]
    let number = |count: usize| count as f64;
    let steps: Vec<f64> = expected.iter().map(|&(_, t)| number(t)).collect();
    same(&table["step"], &steps, "moments");
    let depths: Vec<f64> = expected.iter().map(|&(l, t)| lca.row(t)[l]).collect();
    same(&table["lca (nats)"], &depths, "depths");
    let together = |t: usize| number(expected.iter().filter(|it| it.1 == t).count());
    let together: Vec<f64> = expected.iter().map(|&(_, t)| together(t)).collect();
    same(&table["layers_together"], &together, "shared");
    let folder = TempDir::new().unwrap();
    let merged = export(
        folder.path(),
        &["--view", "synchronisation", "--every", "2"],
    );
    merged.fails(2, &["single steps", "--every"]);
}

#[test]
fn events_are_the_steps_whose_residual_is_above_the_tolerance() {
    let file = RunFile::open(run());
    let residual = file.reals("lca/residual").values;
    let tolerance: f64 = file.0.attr("tolerance").unwrap().read_scalar().unwrap();
    let above = (0_u32..)
        .zip(&residual)
        .filter(|(_, r)| r.abs() > tolerance);
    let above: Vec<f64> = above.map(|(t, _)| f64::from(t)).collect();
    assert!(!above.is_empty(), "the run has some");
    let folder = TempDir::new().unwrap();
    let outcome = export(
        folder.path(),
        &["--view", "events", "-o", "-", "--format", "csv"],
    );
    let rows = outcome
        .stdout
        .lines()
        .filter(|line| line.contains(",residual,"));
    let steps: Vec<f64> = rows
        .map(|row| row.split(',').next().unwrap().parse().unwrap())
        .collect();
    same(&steps, &above, "residuals");
}

#[test]
fn parameters_have_their_running_totals() {
    let file = RunFile::open(run());
    let (sums, helped) = (file.reals("param/lca_sum"), file.reals("param/helped"));
    let last = sums.rows() - 1;
    let table = csv(&["--view", "parameters"]);
    same(&table["lca_sum (nats)"], sums.row(last), "sums");
    same(&table["helped (steps)"], helped.row(last), "helped");
    assert!(table["steps"].iter().all(|steps| *steps == 23.0));
    let params = file.counts("layout/layer/params").values;
    let one = csv(&["--view", "parameters", "--layer", "fc3"]);
    let start = usize::try_from(params[0] + params[1]).unwrap();
    same(
        &one["lca_sum (nats)"],
        &sums.row(last)[start..],
        "a layer's",
    );
    // A unit's parameters are its row of the weight and its bias: fc3 has 50 inputs and 10 units.
    let unit = csv(&["--view", "parameters", "--layer=fc3", "--unit=7"]);
    let of_unit: Vec<usize> = (350..400).chain([507]).map(|i| start + i).collect();
    let at = |values: &[f64]| -> Vec<f64> { of_unit.iter().map(|&i| values[i]).collect() };
    same(&unit["lca_sum (nats)"], &at(sums.row(last)), "a unit's");
    same(&unit["helped (steps)"], &at(helped.row(last)), "a unit's");
    same(
        &unit["parameter"],
        &of_unit
            .iter()
            .map(|&i| f64::from(u32::try_from(i).unwrap()))
            .collect::<Vec<_>>(),
        "which they are",
    );
    let before = csv(&["--view", "parameters", "--steps", "..20"]);
    assert!(before["steps"].iter().all(|steps| *steps < 20.5));
}

#[test]
fn every_view_is_written_in_every_format() {
    let folder = TempDir::new().unwrap();
    let file = RunFile::open(run());
    let traced = file.counts("trace/parameter").values[0].to_string();
    for view in View::ALL {
        let name = view.to_string();
        let layer: &[&str] = match view {
            View::Units => &["--layer", "fc2"],
            View::Parameter => &["--parameter", &traced],
            _ => &[],
        };
        for format in Format::ALL {
            let word = format.to_string();
            let output = format!("{name}.{word}");
            let args = [&["--view", &name, "-o", &output], layer].concat();
            let outcome = export(folder.path(), &args);
            assert_eq!(outcome.code, Some(0), "{output}: {outcome:?}");
            assert!(outcome.stdout.starts_with(&output), "{outcome:?}");
            check(&folder.path().join(&output), format);
        }
    }
}

/// Checks that the file has the format of its name.
fn check(path: &Path, format: Format) {
    let bytes = fs::read(path).unwrap();
    match format {
        Format::Csv => assert!(columns(&bytes).values().all(|column| !column.is_empty())),
        Format::Json => {
            let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            let columns = json["columns"].as_array().unwrap();
            let rows = |column: &serde_json::Value| column["values"].as_array().unwrap().len();
            assert!(
                columns
                    .iter()
                    .all(|column| rows(column) == rows(&columns[0]))
            );
        }
        Format::Parquet => {
            let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).unwrap();
            let rows = reader.metadata().file_metadata().num_rows();
            assert_eq!(reader.get_row_iter(None).unwrap().count() as i64, rows);
            assert!(rows > 0);
        }
        Format::Svg => {
            let text = String::from_utf8(bytes).unwrap();
            let document = roxmltree::Document::parse(&text).unwrap();
            let texts = document
                .descendants()
                .filter(|node| node.has_tag_name("text"));
            let all: Vec<&str> = texts.filter_map(|node| node.text()).collect();
            // Every allocation comes with the residual.
            assert!(
                all.iter().any(|t| t.starts_with("run.h5, steps 0 to 22: ")
                    && t.contains("ΣLCA -")
                    && t.contains("residual")),
                "{all:?}"
            );
        }
        Format::Png => {
            let picture = tiny_skia::Pixmap::decode_png(&bytes).unwrap();
            assert_eq!(picture.width(), 1920);
        }
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_half_written_is_left() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let first = export(here, &["--view", "layers"]);
    assert_eq!(
        (first.code, first.stdout.as_str()),
        (Some(0), "run-layers.csv: 3 rows, 12 columns\n")
    );
    let path = here.join("run-layers.csv");
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    fs::write(here.join("plain"), "").unwrap();
    let plain = fs::metadata(here.join("plain"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode, plain, "as any new file");
    fs::write(&path, "mine").unwrap();
    export(here, &["--view", "layers"]).fails(2, &["exists", "--force"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_eq!(export(here, &["--view", "layers", "--force"]).code, Some(0));
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("layer,kind,")
    );

    let run = run().display().to_string();
    export(
        here,
        &["--view", "layers", "--format", "csv", "--force", "-o", &run],
    )
    .fails(2, &["the run file itself"]);
    export(here, &["--view", "layers", "--format", "csv", "-o", "."])
        .fails(2, &["not a regular file"]);
    export(here, &["--view", "layers", "-o", "no/where.csv"])
        .fails(1, &["cannot write no/where.csv"]);
    let mut left: Vec<_> = fs::read_dir(here)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["plain", "run-layers.csv"]);
}

#[test]
fn a_link_is_written_through() {
    use std::os::unix::fs::symlink;
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    fs::create_dir(here.join("there")).unwrap();
    fs::write(here.join("there/data.csv"), "mine").unwrap();
    symlink("there/data.csv", here.join("link.csv")).unwrap();
    symlink("nowhere.csv", here.join("lost.csv")).unwrap();
    symlink(run(), here.join("run.csv")).unwrap();
    let layers = |output: &str, more: &[&str]| {
        let args = [&["--view", "layers", "-o", output], more].concat();
        export(here, &args)
    };
    layers("link.csv", &[]).fails(2, &["link.csv exists", "--force"]);
    assert_eq!(layers("link.csv", &["--force"]).code, Some(0));
    assert!(
        fs::symlink_metadata(here.join("link.csv"))
            .unwrap()
            .is_symlink()
    );
    let written = fs::read_to_string(here.join("there/data.csv")).unwrap();
    assert!(written.starts_with("layer,kind,"), "{written}");
    layers("lost.csv", &["--force"]).fails(2, &["lost.csv is a broken link"]);
    layers("run.csv", &["--force"]).fails(2, &["the run file itself"]);
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let refused = |args: &[&str], needles: &[&str]| export(here, args).fails(2, needles);
    refused(&["--view", "loss"], &["unknown view `loss`", "held-out"]);
    refused(
        &["--view", "layers", "--layer", "fc9"],
        &["--layer fc9", "fc1, fc2, fc3"],
    );
    refused(
        &["--view", "layers", "--steps", "20..24"],
        &["--steps 20..24", "23 steps"],
    );
    refused(
        &["--view", "layers", "--steps", "23.."],
        &["--steps 23..:", "23 steps"],
    );
    refused(&["--view", "layers", "--steps", "5..2"], &["A..B"]);
    refused(&["--view", "layers", "--every", "0"], &["--every"]);
    refused(
        &["--view", "layers", "--format", "xls"],
        &["unknown format `xls`"],
    );
    refused(
        &["--view", "layers", "-o", "a.txt"],
        &["`.txt`", "--format csv"],
    );
    refused(
        &["--view", "layers", "-o", "-", "--format", "png"],
        &["png is a binary format"],
    );
    refused(&["--view", "layers", "--steps", "..0"], &["`..0`", "A..B"]);
    refused(&["--view", "units"], &["--layer NAME"]);
    refused(&["--view", "parameters", "--unit=1"], &["--layer NAME"]);
    refused(
        &["--view", "units", "--layer=fc3", "--unit=10"],
        &["fc3 has 10 units"],
    );
    for (view, flags) in [
        ("overview", &["--layer=fc1", "--parameter=1"][..]),
        ("events", &["--layer=fc1", "--every=2"]),
        ("synchronisation", &["--layer=fc1", "--every=2"]),
        ("layers", &["--every=2", "--parameter=1", "--unit=1"]),
        ("distribution", &["--every=2", "--parameter=1"]),
        ("parameters", &["--every=2"]),
        ("classes", &["--parameter=1"]),
    ] {
        for flag in flags {
            let name = flag.split('=').next().unwrap();
            refused(&["--view", view, flag], &[&format!("omit {name}")]);
        }
    }
    refused(
        &["--view", "parameter", "--parameter", "1", "--layer", "fc1"],
        &["one parameter: omit --layer"],
    );
    refused(
        &["--view", "parameters", "--steps=1.."],
        &["omit the A of --steps A..B"],
    );
    let list = export(here, &["--view", "list"]);
    let all = View::ALL
        .iter()
        .all(|view| list.stdout.contains(&view.to_string()));
    assert!(list.code == Some(0) && all, "{list:?}");
    assert_eq!(fs::read_dir(here).unwrap().count(), 0);
}

#[test]
fn missing_data_say_how_to_record_them() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    let flags = ["--steps", "3", "--batch-size", "100", "--trace", "0"];
    let run = train(here, "plain.h5", &flags).display().to_string();
    for (view, more, flag) in [
        ("held-out", "--every=1", "--lca-test"),
        ("classes", "--every=1", "--by-class"),
        ("classes", "--every=2", "--by-class"),
        ("parameter", "--parameter=5", "--trace"),
    ] {
        let mut command = lcascope();
        let args = ["export", &run, "--view", view, more, "-o", "x.csv"];
        command.current_dir(here).args(args);
        Outcome::of(command).fails(1, &[flag]);
        assert!(!here.join("x.csv").exists());
    }
}

#[test]
fn a_table_with_too_many_numbers_is_a_usage_error() {
    let reader = RunReader::open(run()).unwrap();
    let request = SheetRequest {
        view: View::Decomposition,
        steps: 0..1 << 40,
        every: 1,
        layer: None,
        unit: None,
        parameter: None,
    };
    let refused = make_exhibit(&reader, "run.h5", &request, &|| ()).unwrap_err();
    assert!(refused.to_string().contains("--every N"), "{refused}");
    assert_eq!(Failure::from(refused).exit_code(), 2);
}

#[test]
fn unevaluated_values_are_nan_in_every_format() {
    let folder = TempDir::new().unwrap();
    let flags = ["--steps", "5", "--batch-size", "100", "--test-every", "3"];
    let run = train(folder.path(), "some.h5", &flags);
    let expected = RunFile::open(&run).reals("loss/test").values[1..].to_vec();
    let gaps = expected.iter().filter(|loss| loss.is_nan()).count();
    assert!(gaps > 0 && gaps < 5, "{expected:?}");
    let file = |format: &str| {
        let mut command = lcascope();
        let args = [
            "--view", "overview", "--format", format, "-o", "x", "--force",
        ];
        command
            .current_dir(&folder)
            .arg("export")
            .arg(&run)
            .args(args);
        assert_eq!(Outcome::of(command).code, Some(0));
        fs::read(folder.path().join("x")).unwrap()
    };
    let csv = columns(&file("csv"));
    same(&csv["held_out_loss (nats)"], &expected, "CSV");
    let json: serde_json::Value = serde_json::from_slice(&file("json")).unwrap();
    let column = json["columns"].as_array().unwrap().iter();
    let column = column
        .clone()
        .find(|column| column["name"] == "held_out_loss")
        .unwrap();
    let values = column["values"].as_array().unwrap().iter();
    let json: Vec<f64> = values.map(|v| v.as_f64().unwrap_or(f64::NAN)).collect();
    same(&json, &expected, "JSON");
    let reader = SerializedFileReader::new(bytes::Bytes::from(file("parquet"))).unwrap();
    let value = |row: parquet::record::Row| {
        let found = row
            .get_column_iter()
            .find(|(name, _)| *name == "held_out_loss");
        match found.unwrap().1 {
            parquet::record::Field::Double(value) => *value,
            other => panic!("{other:?}"),
        }
    };
    let rows = reader.get_row_iter(None).unwrap();
    let parquet: Vec<f64> = rows.map(|row| value(row.unwrap())).collect();
    same(&parquet, &expected, "Parquet");
}

// ---- config ----

fn config(home: &Path, args: &[&str]) -> Outcome {
    let mut command = lcascope();
    command
        .env("XDG_CONFIG_HOME", home)
        .arg("config")
        .args(args);
    Outcome::of(command)
}

#[test]
fn the_printed_configuration_can_be_used() {
    let home = TempDir::new().unwrap();
    let none = config(home.path(), &[]);
    assert_eq!(none.code, Some(0));
    assert!(none.stdout.contains("not found"), "{none:?}");
    let printed = config(home.path(), &["--print-default"]);
    assert_eq!(printed.code, Some(0));
    for line in ["fps = 15", "zoom-in ", "quit "] {
        assert!(
            printed.stdout.lines().any(|l| l.starts_with(line)),
            "{line}"
        );
    }
    let path = home.path().join("lcascope/config.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, &printed.stdout).unwrap();
    let used = config(home.path(), &[]);
    assert_eq!(
        (used.code, used.stdout.contains(": valid\n")),
        (Some(0), true),
        "{used:?}"
    );
    // A key taken from another action is used, and reported.
    fs::write(&path, "[keys]\nzoom-in = 'q'\n").unwrap();
    let taken = config(home.path(), &[]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    for needle in [": valid\n", "config.toml:2: `q` is now bound to"] {
        assert!(taken.stdout.contains(needle), "{needle}: {taken:?}");
    }
    fs::write(&path, "fps = 0\n[keys]\nquitt = ['x']\n").unwrap();
    let bad = config(home.path(), &[]);
    assert_eq!(bad.code, Some(1));
    for needle in [
        "2 invalid entries",
        "config.toml:1: fps",
        "config.toml:3: ",
        "`quit`?",
    ] {
        assert!(bad.stdout.contains(needle), "{needle}: {bad:?}");
    }
}

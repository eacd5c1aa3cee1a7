//! The run file against its specification, read with the HDF5 library alone: its contents, whether its sums close,
//! whether it can be repeated, and how readers fare beside a writer, after a writer's death, and with files that are
//! not runs.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "counts and indices of small networks"
)]
#![allow(
    clippy::float_cmp,
    reason = "numbers that are to be the same are compared as such"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{
    Layout, Outcome, RunFile, Training, assert_close, assert_closes, folder, lcascope, sums_by,
    train, train_tiny, type_name,
};
use hdf5::filters::Filter;
use hdf5::types::{FixedAscii, FixedUnicode, VarLenUnicode};
use lcascope::data::{DataSource, load};
use lcascope::feed::{self, FeedEvent, Origin};
use lcascope::record::Status;
use lcascope::store::RunReader;

/// The relative error of a number rounded to f32.
const SINGLE: f64 = 1.0 / (1 << 24) as f64;

/// Flags to record everything that a run can. 12 steps, with 6 batches per epoch.
const FULL: &[&str] = &[
    "--steps=12",
    "--batch-size=100",
    "--validation-size=50",
    "--lca-test",
    "--by-class",
    "--record-params=1",
    "--record-weights=3",
];

// ---- the table ----

/// Path, shape, type and unit, in the specification's symbols. `S` and `S'` are snapshots.
const CONTRACT: &[(&str, &str, &str, &str)] = &[
    ("layout/layer/name", "L", "text", ""),
    ("layout/layer/kind", "L", "text", ""),
    ("layout/layer/units", "L", "u64", "units"),
    ("layout/layer/params", "L", "u64", "parameters"),
    ("layout/tensor/name", "K", "text", ""),
    ("layout/tensor/kind", "K", "text", ""),
    ("layout/tensor/layer", "K", "u64", ""),
    ("layout/tensor/offset", "K", "u64", "parameters"),
    ("layout/tensor/size", "K", "u64", "parameters"),
    ("layout/tensor/shape", "K 4", "u64", ""),
    ("layout/unit/layer", "U", "u64", ""),
    ("layout/unit/index", "U", "u64", ""),
    ("layout/class/name", "C", "text", ""),
    ("data/train_index", "N", "u64", "rows"),
    ("data/test_index", "M", "u64", "rows"),
    ("loss/train", "T+1", "f64", "nats"),
    ("loss/test", "T+1", "f64", "nats"),
    ("loss/train_accuracy", "T+1", "f64", "1"),
    ("loss/test_accuracy", "T+1", "f64", "1"),
    ("loss/train_class", "T+1 C", "f64", "nats"),
    ("step/epoch", "T", "f64", "epochs"),
    ("step/batch_loss", "T", "f64", "nats"),
    ("step/learning_rate", "T", "f64", "1"),
    ("step/seconds", "T", "f64", "seconds"),
    ("step/gradient_evals", "T", "u64", "gradients"),
    ("step/segments", "T", "u64", "segments"),
    ("lca/total", "T", "f64", "nats"),
    ("lca/residual", "T", "f64", "nats"),
    ("lca/layer", "T L", "f64", "nats"),
    ("lca/tensor", "T K", "f64", "nats"),
    ("lca/layer_error", "T L", "f64", "nats"),
    ("lca/unit", "T U", "f32", "nats"),
    ("lca/class_layer", "T C L", "f32", "nats"),
    ("lca/helped", "T L", "u64", "parameters"),
    ("lca/hurt", "T L", "u64", "parameters"),
    ("lca/histogram", "T L B", "u32", "parameters"),
    ("lca/histogram_edges", "B+1", "f64", "nats"),
    ("motion/update_norm", "T L", "f64", "1"),
    ("motion/gradient_norm", "T L", "f64", "nats"),
    ("motion/cosine", "T L", "f64", "1"),
    ("motion/update_flips", "T L", "u64", "parameters"),
    ("motion/gradient_flips", "T L", "u64", "parameters"),
    ("motion/gradient_turns", "T L", "u64", "parameters"),
    ("motion/lca_turns", "T L", "u64", "parameters"),
    ("param/step", "S", "u64", "steps"),
    ("param/lca_sum", "S P", "f64", "nats"),
    ("param/helped", "S P", "u32", "steps"),
    ("param/update_flips", "S P", "u32", "steps"),
    ("param/gradient_flips", "S P", "u32", "steps"),
    ("trace/parameter", "R", "u64", "parameters"),
    ("trace/value", "T R", "f32", "1"),
    ("trace/gradient", "T R", "f32", "nats"),
    ("trace/lca", "T R", "f32", "nats"),
    ("state/status", "1", "u8", ""),
    ("state/paused", "1", "u8", ""),
    ("state/committed", "1", "u64", "steps"),
    ("state/heartbeat", "1", "f64", "seconds"),
    ("state/message", "1", "text", ""),
    ("state/host", "1", "text", ""),
    ("state/process", "1", "u64", ""),
];

/// The datasets that exist only on request, in the same form.
const OPTIONAL: &[(&str, &str, &str, &str)] = &[
    ("lca/param_step", "T'", "u64", "steps"),
    ("lca/param", "T' P", "f32", "nats"),
    ("lca_test/total", "T", "f64", "nats"),
    ("lca_test/residual", "T", "f64", "nats"),
    ("lca_test/layer", "T L", "f64", "nats"),
    ("lca_test/tensor", "T K", "f64", "nats"),
    ("lca_test/unit", "T U", "f32", "nats"),
    ("weight/step", "S'", "u64", "steps"),
    ("weight/value", "S' P", "f32", "1"),
];

/// The values of the symbols in a small run of mnist-fc with `steps` steps.
fn length(symbol: &str, steps: usize) -> usize {
    match symbol {
        "T" | "T'" => steps,
        "T+1" => steps + 1,
        "P" => 84_060,
        "K" => 6,
        "L" => 3,
        "U" => 160,
        "C" => 10,
        "N" => 600,
        "M" => 100,
        "B" => 84,
        "B+1" => 85,
        "R" => 256,
        // Snapshots spread over the run; weights at 0 and every third step.
        "S" => steps.min(8),
        "S'" => 1 + steps / 3,
        number => number.parse().unwrap(),
    }
}

#[track_caller]
fn check_table(file: &RunFile, table: &[(&str, &str, &str, &str)], steps: usize) {
    for &(path, shape, kind, unit) in table {
        let dataset = file.dataset(path);
        let symbols: Vec<&str> = shape.split(' ').collect();
        let expected: Vec<usize> = symbols.iter().map(|s| length(s, steps)).collect();
        assert_eq!(dataset.shape(), expected, "{path} [{shape}]");
        assert_eq!(type_name(&dataset), kind, "{path}");
        let said: VarLenUnicode = dataset.attr("unit").map_or_else(
            |_| VarLenUnicode::default(),
            |unit| unit.read_scalar().unwrap(),
        );
        assert_eq!(said.as_str(), unit, "unit of {path}");
        // Everything that grows with the steps is chunked, with an unlimited first axis.
        if ["T", "T'", "T+1", "S", "S'"].contains(&symbols[0]) {
            assert!(dataset.is_chunked(), "{path}");
            assert_eq!(dataset.space().unwrap().maxdims()[0], None, "{path}");
        }
        // Per-step rows are not compressed.
        if symbols[0] == "T" || symbols[0] == "T+1" {
            assert!(dataset.filters().is_empty(), "{path}");
        }
    }
}

#[test]
fn every_dataset_of_the_contract_is_there() {
    let folder = folder();
    let path = train(folder.path(), "full.h5", FULL);
    let file = RunFile::open(&path);
    check_table(&file, CONTRACT, 12);
    check_table(&file, OPTIONAL, 12);

    for path in file.paths() {
        let description = file.dataset(&path).attr("description");
        let description: VarLenUnicode = description.unwrap().read_scalar().unwrap();
        assert!(!description.is_empty(), "{path}");
    }
    for (attribute, value) in [
        ("format", "lcascope.run"),
        ("dataset", "MNIST sample"),
        ("integrator", "adaptive"),
    ] {
        assert_eq!(file.text(attribute), value);
    }
    let producer = concat!("lcascope ", env!("CARGO_PKG_VERSION"));
    assert_eq!(file.text("producer"), producer);
    let created: jiff::Timestamp = file.text("created").parse().unwrap();
    assert!(file.text("created").ends_with('Z') && created <= jiff::Timestamp::now());
    let sha256 = load(&DataSource::Embedded).unwrap().sha256;
    assert_eq!(file.text("dataset_sha256"), sha256);
    assert!(file.text("device").starts_with("cpu"));
    assert!(file.text("units").contains("nats"));
    assert!(file.text("config").contains("steps = 12"));
    assert_eq!((file.number("version"), file.number("seed")), (1, 0));
    assert!(file.number("slice_size") > 0);
    assert_eq!(file.number("ranks"), 1);

    // Blocks are appended whole, and have no filter by default.
    for path in ["lca/param", "weight/value"] {
        let dataset = file.dataset(path);
        assert_eq!(dataset.chunk(), Some(vec![32, 256]));
        assert!(dataset.filters().is_empty());
    }
    assert_eq!(file.counts("state/committed").values, [12]);
    assert_eq!(file.counts("state/status").values, [1]);
    assert_eq!(file.names("state/message"), [""]);
    assert_eq!(
        file.counts("lca/param_step").values,
        (0..12).collect::<Vec<_>>()
    );
    assert_eq!(file.counts("weight/step").values, [0, 3, 6, 9, 12]);
    assert_eq!(file.counts("param/step").values.last(), Some(&12));

    // HDF5 1.10's superblock, with no mark of a writer left.
    let bytes = fs::read(&path).unwrap();
    assert_eq!((bytes[8], bytes[11]), (3, 0));
}

#[test]
fn a_plain_run_has_no_optional_dataset() {
    let folder = folder();
    let path = train(folder.path(), "plain.h5", &["--steps=5", "--test-every=2"]);
    let file = RunFile::open(&path);
    check_table(&file, CONTRACT, 5);
    let paths = file.paths();
    for (path, ..) in OPTIONAL {
        assert!(!paths.iter().any(|there| there == path), "{path}");
    }
    let by_class = file.reals("lca/class_layer").values;
    assert!(by_class.iter().all(|a| a.is_nan()));
    // Evaluated every second step and at the end.
    let evaluated: Vec<bool> = (file.reals("loss/test").values.iter())
        .map(|loss| loss.is_finite())
        .collect();
    assert_eq!(evaluated, [true, false, true, false, true, true]);
    let nothing_traced = train(folder.path(), "untraced.h5", &["--steps=2", "--trace=0"]);
    let untraced = RunFile::open(&nothing_traced);
    for path in ["trace/value", "trace/gradient", "trace/lca"] {
        assert_eq!(untraced.dataset(path).shape(), [2, 0], "{path}");
    }
}

#[test]
fn the_layout_tiles_the_parameters() {
    let folder = folder();
    let path = train(folder.path(), "run.h5", &["--steps=1"]);
    let file = RunFile::open(&path);
    assert_eq!(file.names("layout/layer/name"), ["fc1", "fc2", "fc3"]);
    assert_eq!(file.names("layout/layer/kind"), ["linear"; 3]);
    assert_eq!(file.counts("layout/layer/units").values, [100, 50, 10]);
    assert_eq!(
        file.counts("layout/layer/params").values,
        [78_500, 5_050, 510]
    );
    assert_eq!(
        file.names("layout/tensor/name").join(" "),
        "fc1.weight fc1.bias fc2.weight fc2.bias fc3.weight fc3.bias"
    );
    assert_eq!(
        file.names("layout/tensor/kind").join(" "),
        "weight bias weight bias weight bias"
    );
    let shape = file.counts("layout/tensor/shape");
    assert_eq!(shape.row(0), [100, 784, 0, 0]);
    assert_eq!(shape.row(3), [50, 0, 0, 0]);
    let layout = Layout::of(&file);
    let mut next = 0;
    for &(_, offset, size) in &layout.tensors {
        assert_eq!(offset, next);
        next += size;
    }
    assert_eq!(next, 84_060);
    let index = file.counts("layout/unit/index").values;
    let units: Vec<(usize, u64)> = layout.unit_layer.into_iter().zip(index).collect();
    let expected: Vec<(usize, u64)> = (0..3)
        .zip([100, 50, 10])
        .flat_map(|(layer, units)| (0..units).map(move |unit| (layer, unit)))
        .collect();
    assert_eq!(units, expected);
    let digits: Vec<String> = (0..10).map(|digit| digit.to_string()).collect();
    assert_eq!(file.names("layout/class/name"), digits);
}

// ---- sums, from the file alone ----

/// Checks that units add up to layers, tensors to layers, layers to the total, and the total and the residual to the
/// change of the loss. Only units may have errors of rounding to f32.
fn check_sums(file: &RunFile, group: &str, loss: &str) {
    let layout = Layout::of(file);
    let loss = file.reals(loss).values;
    let [total, residual, layer, tensor, unit] = ["total", "residual", "layer", "tensor", "unit"]
        .map(|n| file.reals(&format!("{group}/{n}")));
    for t in 0..total.rows() {
        let units = layout.unit_layer.iter().copied();
        let of_units = sums_by(layout.layers, units.zip(unit.row(t).iter().copied()));
        let owners = layout.tensors.iter().map(|tensor| tensor.0);
        let of_tensors = sums_by(layout.layers, owners.zip(tensor.row(t).iter().copied()));
        for l in 0..layout.layers {
            let what = format!("{group}, step {t}, layer {l}");
            let (sum, size) = of_units[l];
            assert_close(sum, layer.row(t)[l], SINGLE * size, &what);
            assert_close(of_tensors[l].0, layer.row(t)[l], 1e-13, &what);
        }
        let sum: f64 = layer.row(t).iter().sum();
        assert_close(sum, total.values[t], 1e-13, &format!("{group}, step {t}"));
        let change = loss[t + 1] - loss[t];
        let closed = total.values[t] + residual.values[t];
        assert_close(closed, change, 1e-13, &format!("{group}, step {t}"));
        assert!(total.values[t] != 0.0 && change != 0.0);
    }
}

#[test]
fn sums_close_from_the_file_alone() {
    let folder = folder();
    let file = RunFile::open(&train(folder.path(), "run.h5", FULL));
    check_sums(&file, "lca", "loss/train");
    check_sums(&file, "lca_test", "loss/test");

    let layout = Layout::of(&file);
    let (layer, by_class) = (file.reals("lca/layer"), file.reals("lca/class_layer"));
    let layers = layout.layers;
    for t in 0..layer.rows() {
        let classes = by_class.row(t).iter().enumerate();
        let sums = sums_by(layers, classes.map(|(i, &a)| (i % layers, a)));
        for (l, &(sum, size)) in sums.iter().enumerate() {
            // The loss of a class is summed in another order than the whole loss.
            let tolerance = SINGLE * size + 1e-6;
            assert_close(sum, layer.row(t)[l], tolerance, &format!("{t}, layer {l}"));
        }
    }

    // The classes' losses, weighted by the number of examples in each class, add up to the loss.
    let labels = load(&DataSource::Embedded).unwrap().train.labels;
    let rows = file.counts("data/train_index").values;
    let mut examples = [0.0; 10];
    for &row in &rows {
        examples[usize::from(labels[row as usize])] += 1.0;
    }
    let (loss, class_loss) = (
        file.reals("loss/train").values,
        file.reals("loss/train_class"),
    );
    for (t, &loss) in loss.iter().enumerate() {
        let weighted = class_loss.row(t).iter().zip(examples).map(|(l, n)| l * n);
        let sum = weighted.sum::<f64>() / rows.len() as f64;
        assert_close(sum, loss, 1e-6, &format!("losses by class at {t}"));
    }
}

#[test]
fn the_histogram_counts_helping_and_hurting_parameters() {
    let folder = folder();
    let file = RunFile::open(&train(folder.path(), "run.h5", FULL));
    let edges = file.reals("lca/histogram_edges").values;
    assert!(edges.is_sorted() && edges.windows(2).all(|pair| pair[0] < pair[1]));
    let zero = edges.iter().position(|&edge| edge == 0.0).unwrap();
    let histogram = file.counts("lca/histogram");
    let (helped, hurt) = (file.counts("lca/helped"), file.counts("lca/hurt"));
    let bins = edges.len() - 1;
    for t in 0..histogram.rows() {
        for (l, counts) in histogram.row(t).chunks(bins).enumerate() {
            let below: u64 = counts[..zero].iter().sum();
            let above: u64 = counts[zero..].iter().sum();
            assert_eq!(below, helped.row(t)[l], "step {t}, layer {l}");
            assert_eq!(above, hurt.row(t)[l], "step {t}, layer {l}");
        }
    }

    // The same counts from every parameter's allocation. Rounding to f32 may move a value onto an edge or to zero: such
    // values are not decisive.
    let layer_of = Layout::of(&file).layer_of_params();
    let lca = file.reals("lca/param");
    for t in 0..histogram.rows() {
        let mut recount = vec![0_u64; histogram.row(t).len()];
        let mut undecided = 0;
        for (&a, &l) in lca.row(t).iter().zip(&layer_of) {
            let bin = edges.partition_point(|&edge| edge < a);
            undecided += u64::from(edges[bin] == a);
            if a != 0.0 {
                recount[l * bins + bin - 1] += 1;
            }
        }
        let counts = histogram.row(t).iter().zip(&recount);
        let moved: u64 = counts.map(|(a, b)| a.abs_diff(*b)).sum();
        assert!(moved <= 2 * undecided, "step {t}: {moved} {undecided}");
        assert!(recount.iter().sum::<u64>() > 10_000, "step {t}");
    }
}

#[test]
fn parameters_sum_to_tensors_and_totals() {
    let folder = folder();
    let file = RunFile::open(&train(folder.path(), "run.h5", FULL));
    let layout = Layout::of(&file);
    let (lca, tensor) = (file.reals("lca/param"), file.reals("lca/tensor"));
    assert_eq!(lca.shape, [12, layout.params]);
    for t in 0..12 {
        for (k, &(_, offset, size)) in layout.tensors.iter().enumerate() {
            let values = &lca.row(t)[offset..offset + size];
            let bound = SINGLE * values.iter().map(|a| a.abs()).sum::<f64>();
            let sum = values.iter().sum();
            let what = format!("step {t}, tensor {k}");
            assert_close(sum, tensor.row(t)[k], bound + 1e-30, &what);
        }
    }

    // Running totals, at every snapshot.
    let (sums, helped) = (file.reals("param/lca_sum"), file.counts("param/helped"));
    let steps = file.counts("param/step").values;
    assert!(steps.is_sorted());
    for (s, &steps) in steps.iter().enumerate() {
        let rows: Vec<&[f64]> = (0..steps as usize).map(|t| lca.row(t)).collect();
        for i in 0..layout.params {
            let values = rows.iter().map(|row| row[i]);
            let bound = SINGLE * values.clone().map(f64::abs).sum::<f64>() + 1e-30;
            let sum: f64 = values.clone().sum();
            assert_close(sum, sums.row(s)[i], bound, &format!("snapshot {s}, {i}"));
            // An allocation too small for f32 is recorded as zero.
            let negative = values.clone().filter(|&a| a < 0.0).count() as u64;
            let zero = values.filter(|&a| a == 0.0).count() as u64;
            let counted = helped.row(s)[i];
            assert!((negative..=negative + zero).contains(&counted), "{s}, {i}");
        }
    }
    // They match the layers' counts.
    let helps: u64 = file.counts("lca/helped").values.iter().sum();
    assert_eq!(helped.row(steps.len() - 1).iter().sum::<u64>(), helps);
    for name in ["update_flips", "gradient_flips"] {
        let by_param = file.counts(&format!("param/{name}"));
        let by_layer: u64 = file.counts(&format!("motion/{name}")).values.iter().sum();
        let last = by_param.row(steps.len() - 1);
        assert_eq!(last.iter().sum::<u64>(), by_layer, "{name}");
    }
}

#[test]
fn the_trace_agrees_with_everything_recorded() {
    let folder = folder();
    let file = RunFile::open(&train(folder.path(), "run.h5", FULL));
    let traced = file.counts("trace/parameter").values;
    assert!(traced.windows(2).all(|pair| pair[0] < pair[1]));
    let (lca, trace_lca) = (file.singles("lca/param"), file.singles("trace/lca"));
    let at = |row: &[f32]| -> Vec<f32> { traced.iter().map(|&i| row[i as usize]).collect() };
    for t in 0..12 {
        assert_eq!(trace_lca.row(t), at(lca.row(t)), "step {t}");
    }
    let (weights, value) = (file.singles("weight/value"), file.singles("trace/value"));
    let steps = file.counts("weight/step").values;
    for (s, &t) in steps.iter().enumerate().filter(|(_, t)| **t < 12) {
        assert_eq!(value.row(t as usize), at(weights.row(s)), "step {t}");
    }
}

#[test]
fn steps_are_numbered_scheduled_and_timed() {
    let folder = folder();
    let flags = [FULL, &["--schedule=step:5:0.5", "--learning-rate=0.25"]].concat();
    let file = RunFile::open(&train(folder.path(), "run.h5", &flags));
    let (epoch, rate) = (file.reals("step/epoch"), file.reals("step/learning_rate"));
    for t in 0..12 {
        assert_close(epoch.values[t], t as f64 / 6.0, 1e-12, "epoch");
        let expected = 0.25 * 0.5_f64.powi(t as i32 / 5);
        assert_close(rate.values[t], expected, 1e-12, "learning rate");
    }
    assert!(file.reals("step/seconds").values.is_sorted());
    let segments = file.counts("step/segments").values;
    assert!(segments.iter().all(|s| [2, 4, 8, 16, 32].contains(s)));
    for name in ["loss/train_accuracy", "loss/test_accuracy"] {
        let accuracy = file.reals(name).values;
        assert!(accuracy.iter().all(|a| (0.0..=1.0).contains(a)), "{name}");
    }
    let cosine = file.reals("motion/cosine").values;
    assert!(cosine.iter().all(|c| c.abs() <= 1.0 + 1e-9));
    // Train, validation and test rows exist, each once, and the first two are disjoint.
    let [train, validation, test] = ["train", "validation", "test"]
        .map(|part| file.counts(&format!("data/{part}_index")).values);
    let own: BTreeSet<u64> = train.iter().chain(&validation).copied().collect();
    assert_eq!(own.len(), 650);
    assert!(own.last() < Some(&6000));
    assert_eq!(test.iter().collect::<BTreeSet<_>>().len(), 100);
    assert!(test.iter().all(|&row| row < 1000));
    // Validation losses at the ends of epochs.
    let validated: Vec<usize> = (file.reals("loss/validation").values.iter().enumerate())
        .filter(|(_, loss)| loss.is_finite())
        .map(|(t, _)| t)
        .collect();
    assert_eq!(validated, [0, 6, 12]);
}

// ---- weights, gradients and allocations agree ----

/// Checks `A = Δ · ḡ`, and everything recorded about Δ, from recorded weights and traced gradients.
fn check_movement(flags: &[&str], segments: u64, mean: impl Fn(f64, f64) -> f64) {
    const T: usize = 9;
    let all = ["--steps=9", "--record-weights=1", "--record-params=1"];
    let folder = folder();
    let file = RunFile::open(&train(folder.path(), "run.h5", &[&all, flags].concat()));
    assert_eq!(file.counts("step/segments").values, [segments; T]);
    let layout = Layout::of(&file);
    let weights = file.reals("weight/value");
    assert_eq!(weights.rows(), T + 1);
    let delta = |t: usize| -> Vec<f64> {
        let ends = weights.row(t + 1).iter().zip(weights.row(t));
        ends.map(|(after, before)| after - before).collect()
    };

    let traced = file.counts("trace/parameter").values;
    let (gradient, lca) = (file.reals("trace/gradient"), file.reals("trace/lca"));
    for t in 0..T - 1 {
        let delta = delta(t);
        for (r, &i) in traced.iter().enumerate() {
            let mean = mean(gradient.row(t)[r], gradient.row(t + 1)[r]);
            let product = delta[i as usize] * mean;
            let what = format!("step {t}, parameter {i}");
            assert_close(product, lca.row(t)[r], 1e-6 * product.abs() + 1e-30, &what);
        }
    }

    let layer_of = layout.layer_of_params();
    let (norm, flips) = (
        file.reals("motion/update_norm"),
        file.counts("motion/update_flips"),
    );
    let mut last = vec![0.0; layout.params];
    for t in 0..T {
        let delta = delta(t);
        let squares = delta.iter().map(|d| d * d);
        let squares = sums_by(layout.layers, layer_of.iter().copied().zip(squares));
        let mut flipped = vec![0; layout.layers];
        for (i, &l) in layer_of.iter().enumerate() {
            flipped[l] += u64::from(delta[i] * last[i] < 0.0);
        }
        for (l, (square, _)) in squares.into_iter().enumerate() {
            let (norm, expected) = (norm.row(t)[l], square.sqrt());
            assert_close(norm, expected, 1e-9 * norm, &format!("step {t}, layer {l}"));
        }
        assert_eq!(flips.row(t), flipped, "step {t}");
        last = delta;
    }

    // Every step but one has a snapshot of the totals: turns of the traced gradients.
    let snapshots = file.counts("param/step").values;
    let turned = file.counts("param/gradient_flips");
    for (s, &steps) in snapshots.iter().enumerate() {
        for (r, &i) in traced.iter().enumerate().filter(|_| steps < T as u64) {
            let turns = (0..steps as usize)
                .filter(|&t| gradient.row(t)[r] * gradient.row(t + 1)[r] < 0.0)
                .count();
            assert_eq!(turned.row(s)[i as usize], turns as u64, "{steps}, {i}");
        }
    }
}

#[test]
fn first_order_allocations_are_movement_times_gradient() {
    check_movement(&["--integrator=first-order"], 0, |start, _| start);
}

#[test]
fn trapezoid_allocations_are_movement_times_the_mean_of_two_gradients() {
    let mean = |start: f64, end: f64| f64::midpoint(start, end);
    check_movement(&["--integrator=trapezoid", "--optimizer=adam"], 1, mean);
}

#[test]
fn turns_of_allocations_are_counted() {
    let folder = folder();
    let file = RunFile::open(&train(folder.path(), "run.h5", FULL));
    let layer_of = Layout::of(&file).layer_of_params();
    let (lca, turns) = (file.reals("lca/param"), file.counts("motion/lca_turns"));
    for t in 0..12 {
        // Those that rounding to f32 may have changed are counted separately.
        let (mut certain, mut possible) = (vec![0; 3], vec![0; 3]);
        for (i, &l) in layer_of.iter().enumerate().filter(|_| t >= 2) {
            let a = [2, 1, 0].map(|back| lca.row(t - back)[i]);
            let changes = [a[1] - a[0], a[2] - a[1]];
            let doubt = 2.0 * SINGLE * a.iter().fold(1e-38, |m: f64, x| m.max(x.abs()));
            let sure = changes.iter().all(|change| change.abs() > doubt);
            let turned = changes[0] * changes[1] < 0.0;
            certain[l] += u64::from(sure && turned);
            possible[l] += u64::from(!sure || turned);
        }
        for l in 0..3 {
            let counted = turns.row(t)[l];
            assert!((certain[l]..=possible[l]).contains(&counted), "{t}, {l}");
            assert!(t < 2 || certain[l] > 0);
        }
    }
}

// ---- compression ----

#[test]
fn compressions_lose_nothing_and_rounding_loses_what_it_says() {
    let folder = folder();
    let arrays = ["--steps=5", "--record-params=1", "--record-weights=1"];
    let run = |name: &str, flags: &[&str]| {
        RunFile::open(&train(folder.path(), name, &[&arrays, flags].concat()))
    };
    let plain = run("none.h5", &["--compression=none"]);
    assert!(plain.dataset("lca/param").filters().is_empty());
    let paths = [
        "lca/param",
        "weight/value",
        "param/lca_sum",
        "param/helped",
        "param/update_flips",
        "param/gradient_flips",
    ];
    for name in ["lz4", "zstd", "deflate"] {
        let packed = run(&format!("{name}.h5"), &["--compression", name]);
        for path in paths {
            assert!(!packed.dataset(path).filters().is_empty(), "{name} {path}");
            assert!(packed.bits(path) == plain.bits(path), "{name} {path}");
        }
    }

    // By default no plug-in is needed: HDF5's own filters have numbers below 256.
    let default = run("default.h5", &[]);
    for path in default.paths() {
        let filters = default.dataset(&path).filters();
        let own = |filter: &Filter| matches!(filter, Filter::Deflate(_) | Filter::Shuffle);
        assert!(filters.iter().all(own), "{path}: {filters:?}");
        assert!(
            default.bits(&path) == plain.bits(&path)
                || CLOCK.iter().any(|c| path == *c)
                || path.ends_with("/seconds"),
            "{path}"
        );
    }
    assert!(default.dataset("lca/param").filters().is_empty());
    assert!(!default.dataset("param/lca_sum").filters().is_empty());

    let rounded = run("rounded.h5", &["--mantissa-bits=10"]);
    for path in ["lca/param", "weight/value"] {
        let bits = rounded.dataset(path).attr("mantissa_bits").unwrap();
        assert_eq!(bits.read_scalar::<u64>().unwrap(), 10);
        let (exact, rounded) = (plain.reals(path), rounded.reals(path));
        let pairs = || exact.values.iter().zip(&rounded.values);
        for (i, (exact, rounded)) in pairs().enumerate() {
            // Numbers below f32's normal range have fewer bits to begin with.
            let bound = exact.abs() / 1024.0 + 1e-38;
            assert_close(*rounded, *exact, bound, &format!("{path} {i}"));
        }
        assert!(pairs().filter(|(a, b)| a != b).count() > exact.values.len() / 2);
    }
}

// ---- running it again ----

/// The datasets in which two runs of one configuration may differ: the clock, and the process.
const CLOCK: [&str; 2] = ["state/heartbeat", "state/process"];

#[track_caller]
fn assert_same(first: &Path, second: &Path, attributes_that_differ: &[&str]) {
    let (first, second) = (RunFile::open(first), RunFile::open(second));
    let paths = first.paths();
    assert!(paths.len() > 60);
    assert_eq!(paths, second.paths());
    let of_the_clock = |path: &str| CLOCK.contains(&path) || path.ends_with("/seconds");
    for path in paths.iter().filter(|path| !of_the_clock(path)) {
        // Not `assert_eq`: nobody wants to read a million numbers.
        assert!(first.bits(path) == second.bits(path), "{path} differs");
    }
    let names = first.0.attr_names().unwrap();
    assert_eq!(names, second.0.attr_names().unwrap());
    for name in names {
        let number = matches!(
            name.as_str(),
            "version"
                | "seed"
                | "slice_size"
                | "ranks"
                | "planned_steps"
                | "steps_per_epoch"
                | "lca_every"
                | "snapshots"
        );
        if number {
            assert_eq!(first.number(&name), second.number(&name), "{name}");
        } else if name == "tolerance" {
            let value = |file: &RunFile| -> f64 {
                file.0.attr("tolerance").unwrap().read_scalar().unwrap()
            };
            assert_eq!(value(&first).to_bits(), value(&second).to_bits());
        } else if !attributes_that_differ.contains(&name.as_str()) {
            assert_eq!(first.text(&name), second.text(&name), "{name}");
        }
    }
}

#[test]
fn a_run_repeats_from_its_file_bit_for_bit_on_any_number_of_threads() {
    let folder = folder();
    let network = folder.path().join("net.toml");
    let text = "name = 'small'\n[[layer]]\nkind = 'linear'\nname = 'in'\nunits = 30\n\
                [[layer]]\nkind = 'relu'\n[[layer]]\nkind = 'linear'\nunits = 10\n";
    fs::write(&network, text).unwrap();
    let flags = [
        "net.toml",
        "--epochs=2",
        "--batch-size=150",
        "--validation-size=40",
        "--seed=7",
        "--optimizer=adam",
        "--learning-rate=0.003",
        "--weight-decay=0.0001",
        "--schedule=step:3:0.3",
        "--tolerance=0.00003",
        "--layer-tolerance=0.0001",
        "--min-segments=1",
        "--max-segments=16",
        "--slice-size=64",
        "--lca-test",
        "--by-class",
        "--record-params=2",
        "--record-weights=2",
        "--trace=20",
        "--compression=zstd",
        "--mantissa-bits=16",
        "--threads=2",
    ];
    let first = train(folder.path(), "first.h5", &flags);
    // The network's file is no longer needed: its content is in the configuration.
    fs::remove_file(network).unwrap();
    let again = |name: &str, more: &[&str]| {
        let path = folder.path().join(name);
        let mut command = lcascope();
        command.current_dir(folder.path());
        command.args(["train", "--quiet", "--config", "first.h5", "-o"]);
        command.arg(&path).args(more);
        let outcome = Outcome::of(command);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        path
    };
    assert_same(&first, &again("again.h5", &[]), &["created"]);
    let other = ["created", "config", "device"];
    assert_same(&first, &again("one.h5", &["--threads=1"]), &other);
    assert_same(&first, &again("five.h5", &["--threads=5"]), &other);
    // Another seed gives another run, so the comparison can tell them apart.
    let seed = RunFile::open(&again("seed.h5", &["--seed=8"]));
    assert!(seed.bits("lca/layer") != RunFile::open(&first).bits("lca/layer"));
}

/// Two threads divide a mini-batch, or a slice without batch norms, differently than one or four.
#[test]
fn images_through_batch_norms_give_one_file_at_1_2_and_4_threads() {
    let folder = folder();
    let text = r#"
        name = "pictures"
        layer = [
            { kind = "conv", channels = 4, kernel = 5, stride = 2 },
            { kind = "batch-norm" },
            { kind = "relu" },
            { kind = "residual", projection = true, body = [
                { kind = "conv", channels = 6, kernel = 3, stride = 2 },
                { kind = "batch-norm" },
            ] },
            { kind = "relu" },
            { kind = "max-pool", size = 2 },
            { kind = "dropout", rate = 0.1 },
            { kind = "linear", units = 10 },
        ]
    "#;
    fs::write(folder.path().join("net.toml"), text).unwrap();
    let run = |threads: &str| {
        let flags = [
            "net.toml",
            "--steps=4",
            "--batch-size=100",
            "--validation-size=40",
            "--slice-size=70",
            "--lca-test",
            "--by-class",
            "--class-every=2",
            "--record-weights=1",
            "--layer=block1.*:learning-rate=0.01",
            threads,
        ];
        train(folder.path(), &format!("run{threads}.h5"), &flags)
    };
    let [one, two, four] = ["--threads=1", "--threads=2", "--threads=4"].map(run);
    let other = ["created", "config", "device"];
    assert_same(&one, &two, &other);
    assert_same(&one, &four, &other);

    let file = RunFile::open(&one);
    let kinds = ["weight", "bias", "scale", "shift"];
    let tensors = [&kinds[..], &kinds, &kinds[..2], &kinds[..2]].concat();
    assert_eq!(file.names("layout/tensor/kind"), tensors);
    assert_eq!(
        file.names("layout/layer/name"),
        ["conv1", "block1.conv1", "block1.shortcut", "fc1"]
    );
    let (layers, classes) = (file.reals("lca/layer"), file.reals("lca/class_layer"));
    for t in 0..4 {
        let (layer, class) = (layers.row(t), classes.row(t));
        for (l, &want) in layer.iter().enumerate() {
            let got: f64 = class.iter().skip(l).step_by(layer.len()).sum();
            // Single precision in the file, for ten classes that may cancel.
            let size: f64 = (class.iter().skip(l).step_by(layer.len()))
                .map(|a| a.abs())
                .sum();
            match t % 2 {
                0 => assert!((got - want).abs() < 1e-5 * size, "step {t}: {got} {want}"),
                _ => assert!(got.is_nan(), "step {t} is not due"),
            }
        }
    }
}

// ---- a reader beside a writer ----

/// Reads further steps and checks each; returns the loss after the last one.
fn read_on(reader: &RunReader, from: u64, to: u64, mut loss: Option<f64>) -> Option<f64> {
    let summaries = reader.steps(from..to).unwrap();
    assert_eq!(summaries.len() as u64, to - from);
    for (step, summary) in (from..).zip(&summaries) {
        assert_closes(summary, step, loss);
        loss = Some(summary.loss_after);
    }
    loss
}

/// Runs a script in a Python with h5py: `LCASCOPE_TEST_PYTHON`, or `python3`.
fn h5py(script: &str, path: &Path) {
    let python = std::env::var("LCASCOPE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import h5py"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        crate::common::skip::skipped("no h5py");
        return;
    }
    let mut command = Command::new(&python);
    command.args(["-c", script]).arg(path);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

/// Sums over the committed steps, as another program reads them.
const H5PY_LIVE: &str = "
import h5py, sys
f = h5py.File(sys.argv[1], 'r', libver='latest', swmr=True)
assert f.attrs['format'] == 'lcascope.run'
committed = f['state/committed']
committed.refresh()
t = int(committed[0])
assert t > 0
for name in ['loss/train', 'lca/layer', 'lca/total', 'lca/residual']:
    f[name].refresh()
loss, layer = f['loss/train'][:t + 1], f['lca/layer'][:t]
total, residual = f['lca/total'][:t], f['lca/residual'][:t]
assert len(total) == t and len(loss) == t + 1
assert abs(layer.sum(axis=1) - total).max() < 1e-12
assert abs(total + residual - (loss[1:] - loss[:-1])).max() < 1e-12
";

const H5PY_DONE: &str = "
import h5py, sys
f = h5py.File(sys.argv[1], 'r')
assert f['lca/layer'][:].shape == (4, 3)
assert f['layout/layer/name'][:].tolist() == [b'fc1', b'fc2', b'fc3']
assert f['lca/param'][:].shape == (4, 84060)
assert f['lca/layer'].attrs['unit'] == 'nats'
assert int(f['state/status'][0]) == 1
assert 'hdf5plugin' not in sys.modules
f.visititems(lambda name, item: item[()] if isinstance(item, h5py.Dataset) else None)
";

#[test]
fn h5py_reads_a_finished_file() {
    let folder = folder();
    let flags = ["--steps=4", "--record-params=1"];
    h5py(H5PY_DONE, &train(folder.path(), "run.h5", &flags));
}

#[test]
fn readers_beside_a_writer_see_whole_steps_only() {
    let folder = folder();
    let flags = ["--record-params=4", "--record-weights=4", "--lca-test"];
    let mut training = Training::endless(folder.path(), "live.h5", &flags);
    let reader = training.reader();
    // In a process of its own, as `open` has it: HDF5 shares what it knows of a file among the readers of one process.
    let mut process = lcascope();
    process.args(["reader", "--"]).arg(&training.path);
    let opening = feed::spawn(process, &training.path).unwrap();
    let feed = opening.ready.recv().unwrap().unwrap();
    assert_eq!(feed.origin, Origin::Following);
    assert_eq!(reader.header().planned_steps, 100_000_000);

    let (mut seen, mut loss) = (0, None);
    for growth in 0..4 {
        let state = training.grown(&reader, seen);
        assert_eq!(
            (state.status, state.message.as_str()),
            (Status::Running, "")
        );
        loss = read_on(&reader, seen, state.committed, loss);
        seen = state.committed;
        // A reader that opens the file now sees at least as much.
        let late = RunReader::open(&training.path).unwrap();
        let committed = late.refresh().unwrap().committed;
        assert!(committed >= seen);
        read_on(&late, 0, committed, None);
        if growth == 1 {
            h5py(H5PY_LIVE, &training.path);
        }
    }
    training.signal("INT");
    let path = training.path.clone();
    assert_eq!(training.end().code, Some(130));

    // The feed sees the end without losing a step.
    let (mut next, mut losses) = (0, None);
    for event in &feed.events {
        match event {
            FeedEvent::Start(start) => losses = Some(start.train),
            FeedEvent::Steps(steps) => {
                for summary in steps {
                    assert_closes(&summary, next, losses);
                    (next, losses) = (summary.end, Some(summary.loss_after));
                }
            }
            FeedEvent::Status { status, .. } => {
                assert_eq!(status, Status::Stopped);
                break;
            }
            FeedEvent::CaughtUp | FeedEvent::Controllable(_) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(feed);
    drop(opening);

    // So does the reader that has been open all the time.
    let end = reader.refresh().unwrap();
    assert_eq!(end.status, Status::Stopped);
    assert!(end.committed >= seen);
    read_on(&reader, seen, end.committed, loss);
    assert_eq!(next, end.committed);

    // And every program can read the complete file.
    drop(reader);
    let file = RunFile::open(&path);
    let steps = end.committed as usize;
    assert_eq!(file.counts("state/committed").values, [end.committed]);
    for (path, shape, ..) in CONTRACT.iter().chain(OPTIONAL) {
        let rows = file.dataset(path).shape()[0];
        match shape.split(' ').next().unwrap() {
            "T" => assert_eq!(rows, steps, "{path}"),
            "T+1" => assert_eq!(rows, steps + 1, "{path}"),
            "T'" => assert_eq!(rows, steps / 4, "{path}"),
            "S'" => assert_eq!(rows, 1 + steps / 4, "{path}"),
            _ => {}
        }
    }
    let snapshots = file.counts("param/step").values;
    assert_eq!(snapshots.last(), Some(&end.committed));
}

#[test]
fn a_feed_follows_a_run_to_its_finish() {
    let folder = folder();
    let (command, path) = crate::common::train_command(folder.path(), "run.h5", &["--steps=60"]);
    let mut training = Training::start(command, path);
    drop(training.reader());
    let (feed, thread) = feed::open(&training.path).unwrap();
    let mut steps = 0;
    let mut last = None;
    for event in &feed.events {
        if let FeedEvent::Steps(summaries) = &event {
            steps += summaries.len();
        }
        last = Some(event);
    }
    let finished = matches!(
        last,
        Some(FeedEvent::Status {
            status: Status::Finished,
            ..
        })
    );
    assert!(finished, "{last:?}");
    assert_eq!(steps, 60);
    drop(feed);
    drop(thread);
    assert_eq!(training.end().code, Some(0));
}

#[test]
fn a_kill_at_any_moment_loses_nothing_committed() {
    let folder = folder();
    for (growths, name) in ["first.h5", "second.h5"].into_iter().enumerate() {
        let mut training = Training::endless(folder.path(), name, &["--record-weights=1"]);
        let reader = training.reader();
        let mut seen = 0;
        for _ in 0..=growths {
            seen = training.grown(&reader, seen).committed;
        }
        let path = training.path.clone();
        training.kill();
        drop(reader);

        let reader = RunReader::open(&path).unwrap();
        let state = reader.refresh().unwrap();
        assert_eq!(state.status, Status::Running);
        assert!(state.committed >= seen);
        assert!(reader.start().unwrap().unwrap().train > 0.0);
        read_on(&reader, 0, state.committed, None);
        drop(reader);
        let mut info = lcascope();
        info.arg("info").arg(&path);
        let info = Outcome::of(info);
        assert_eq!((info.code, info.stderr.as_str()), (Some(0), ""));
        assert!(info.stdout.contains("crashed, updated"));
        assert!(info.stdout.contains("train --resume"));
        let steps = format!("{} of 100000000", state.committed);
        assert!(info.stdout.contains(&steps), "{}", info.stdout);
        h5py(H5PY_LIVE, &path);
        let (feed, thread) = feed::open(&path).unwrap();
        let caught_up = (feed.events.iter()).find(|event| matches!(event, FeedEvent::CaughtUp));
        assert!(caught_up.is_some());
        drop(feed);
        drop(thread);

        // A truncated copy as well: it gives an error or the remaining steps, but an answer. HDF5 would try for
        // centuries to read the missing part.
        if growths > 0 {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for length in [40, 48, 1000, bytes.len() / 2] {
            let cut = folder.path().join("cut.h5");
            fs::write(&cut, &bytes[..length]).unwrap();
            let read = RunReader::open(&cut).and_then(|reader| {
                let state = reader.refresh()?;
                reader.steps(0..state.committed)
            });
            if let Err(error) = read {
                let error = error.to_string();
                assert!(error.contains("cut.h5: cannot "), "{error}");
            } else {
                assert!(length > 1000);
            }
        }
    }
}

// ---- files that are not runs ----

/// A small network's run, to be damaged: 3 steps, 3 tensors' worth of names.
fn small_run(folder: &Path) -> PathBuf {
    train_tiny(folder, &["--steps=3", "--lca-test"])
}

/// Checks that the reader, a feed and `info` all refuse to open `path`.
#[track_caller]
fn refused(path: &Path, needle: &str) {
    let open = RunReader::open(path).map(|_| ());
    let error = open.expect_err(needle).to_string();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(error.contains(name) && error.contains(needle), "{error}");
    let by_feed = feed::open(path).map(|_| ()).unwrap_err().to_string();
    assert_eq!(by_feed, error);
}

#[test]
fn files_of_another_kind_are_refused_by_name() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name);
    refused(&at("missing.h5"), "No such file");
    fs::write(at("empty.h5"), "").unwrap();
    refused(&at("empty.h5"), "is empty");
    refused(folder.path(), "Is a directory");
    fs::write(at("text.h5"), "these are not the bytes of a run\n").unwrap();
    refused(&at("text.h5"), "is not an HDF5 file");
    fs::write(at("short.h5"), b"\x89HDF").unwrap();
    refused(&at("short.h5"), "is not an HDF5 file");

    let foreign = |name: &str, make: &dyn Fn(&hdf5::File)| {
        let file = hdf5::File::create(at("draft")).unwrap();
        make(&file);
        file.close().unwrap();
        let path = fair_copy(&at("draft"), at(name));
        refused(&path, "is an HDF5 file, but not a run");
    };
    foreign("bare.h5", &|_| {});
    foreign("weights.h5", &|file| {
        let weights = file.new_dataset_builder();
        weights.with_data(&[1.0, 2.0]).create("lca/layer").unwrap();
    });
    foreign("other.h5", &|file| {
        let format: VarLenUnicode = "other.run".parse().unwrap();
        let attribute = file.new_attr::<VarLenUnicode>().create("format").unwrap();
        attribute.write_scalar(&format).unwrap();
    });
    foreign("number.h5", &|file| {
        let attribute = file.new_attr::<u64>().create("format").unwrap();
        attribute.write_scalar(&1).unwrap();
    });
}

#[test]
fn a_truncated_run_is_refused() {
    let folder = folder();
    let whole = fs::read(small_run(folder.path())).unwrap();
    let lengths = [8, 9, 47, 48, 100, 1000, 10_000];
    let n = whole.len();
    for length in lengths.into_iter().chain([n / 4, n / 2, n - 1]) {
        let path = folder.path().join("cut.h5");
        fs::write(&path, &whole[..length]).unwrap();
        refused(&path, "cannot ");
    }
}

/// Copies a run, and changes the copy with the HDF5 library.
fn changed(whole: &Path, name: &str, change: impl FnOnce(&hdf5::File)) -> PathBuf {
    let draft = whole.with_file_name("draft");
    fs::copy(whole, &draft).unwrap();
    let file = crate::common::open_rw(&draft).unwrap();
    change(&file);
    file.close().unwrap();
    fair_copy(&draft, whole.with_file_name(name))
}

/// Puts a copy of a draft at `path` and removes the draft. HDF5 locks the files that it writes, and programs started
/// meanwhile by other tests inherit the lock: only a file that was never open is free.
fn fair_copy(draft: &Path, path: PathBuf) -> PathBuf {
    if path.exists() {
        fs::remove_file(&path).unwrap();
    }
    fs::copy(draft, &path).unwrap();
    fs::remove_file(draft).unwrap();
    path
}

/// The type of names in a run file.
type Name = FixedUnicode<64>;

/// Replaces a dataset by another one.
fn replace<'d, T: hdf5::H5Type + 'd, D: ndarray::Dimension>(
    file: &hdf5::File,
    path: &str,
    values: impl Into<ndarray::ArrayView<'d, T, D>>,
) {
    file.unlink(path).unwrap();
    let builder = file.new_dataset_builder();
    builder.with_data(values).create(path).unwrap();
}

#[test]
fn a_run_of_a_newer_format_is_reported() {
    let folder = folder();
    let whole = small_run(folder.path());
    let newer = changed(&whole, "newer.h5", |file| {
        let version = file.attr("version").unwrap();
        version.write_scalar(&2_u64).unwrap();
    });
    refused(&newer, "has version 2");
    refused(&newer, "newer lcascope");
}

#[test]
fn a_missing_dataset_is_an_error_or_optional() {
    let folder = folder();
    let whole = small_run(folder.path());
    let mut needed = 0;
    let paths = RunFile::open(&whole).paths();
    for path in &paths {
        let broken = changed(&whole, "broken.h5", |file| file.unlink(path).unwrap());
        let read = RunReader::open(&broken).and_then(|reader| {
            let state = reader.refresh()?;
            reader.start()?;
            reader.steps(0..state.committed)
        });
        if let Err(error) = read {
            let error = error.to_string();
            assert!(error.contains("broken.h5"), "{error}");
            assert!(error.contains(path), "without {path}: {error}");
            needed += 1;
        }
    }
    // The header, the state and the data of a summary.
    assert!(needed > 35 && needed < paths.len(), "{needed}");
    let missing = changed(&whole, "missing.h5", |file| {
        file.unlink("lca/layer").unwrap();
    });
    refused(&missing, "open the dataset lca/layer");
    let nameless = changed(&whole, "nameless.h5", |file| {
        file.unlink("layout/layer/name").unwrap();
    });
    refused(&nameless, "layout/layer/name");
}

#[test]
fn a_run_whose_parts_contradict_each_other_is_refused() {
    let folder = folder();
    let whole = small_run(folder.path());
    let broken = |change: &dyn Fn(&hdf5::File), needle: &str| {
        refused(&changed(&whole, "broken.h5", change), needle);
    };
    // fc1: 5 × 784 + 5, fc2: 10 × 5 + 10.
    for (path, index, value) in [
        ("layout/layer/units", 0, 6),
        ("layout/layer/params", 1, 61),
        ("layout/tensor/layer", 1, 1),
        ("layout/tensor/layer", 3, 2),
        ("layout/tensor/layer", 0, u64::MAX),
        ("layout/tensor/offset", 2, 3924),
        ("layout/tensor/offset", 1, u64::MAX),
        ("layout/tensor/size", 3, 11),
        ("layout/tensor/size", 0, 1 << 39),
    ] {
        let change = |file: &hdf5::File| {
            let dataset = file.dataset(path).unwrap();
            let mut values: Vec<u64> = dataset.read_raw().unwrap();
            values[index] = value;
            dataset.write_raw(&values).unwrap();
        };
        broken(&change, "the layout of the parameters is damaged");
    }
    let damaged = "the layout of the parameters is damaged";
    let shape = |at: usize, value: u64| {
        move |file: &hdf5::File| {
            let dataset = file.dataset("layout/tensor/shape").unwrap();
            let mut shapes = dataset.read_2d::<u64>().unwrap();
            shapes[[2, at]] = value;
            dataset.write(&shapes).unwrap();
        }
    };
    broken(&shape(0, 0), damaged);
    broken(&shape(1, 6), damaged);
    broken(&shape(3, u64::MAX), damaged);
    let kinds: Vec<Name> = ["weight", "bias", "wait", "bias"]
        .map(|kind| kind.parse().unwrap())
        .to_vec();
    broken(&|file| replace(file, "layout/tensor/kind", &kinds), damaged);
    broken(
        &|file| replace(file, "layout/tensor/kind", &kinds[..3]),
        damaged,
    );
    broken(
        &|file| replace(file, "layout/layer/name", &kinds[..1]),
        damaged,
    );
    broken(
        &|file| replace(file, "trace/parameter", &[1_u64, 3985]),
        "trace/parameter has 3985",
    );
    let part = "data/lca_index is not a subset of data/train_index";
    for rows in [&[0_u64, 1_000_000][..], &[1, 1], &[1, 0], &[]] {
        let write = |file: &hdf5::File| {
            let new = file.new_dataset_builder().with_data(rows);
            new.create("data/lca_index").unwrap();
        };
        broken(&write, part);
    }

    // Columns that do not fit the layout; one row is one step.
    let fit = "does not fit the layout";
    for wide in [1, 3] {
        let rows = ndarray::Array2::<f64>::zeros((3, wide));
        broken(&|file| replace(file, "lca/layer", &rows), fit);
        broken(&|file| replace(file, "lca_test/layer", &rows), fit);
    }
    broken(&|file| replace(file, "lca/layer", &[0.0; 3]), fit);
    let rows = ndarray::Array2::<f64>::zeros((3, 1));
    broken(&|file| replace(file, "lca/total", &rows), fit);
    // Text in place of numbers.
    let counts = |file: &hdf5::File| replace(file, "data/train_index", &kinds);
    broken(&counts, "data/train_index");

    // Damage noticed only when the data is read.
    let strange = changed(&whole, "strange.h5", |file| {
        let status = file.dataset("state/status").unwrap();
        status.write_raw(&[9_u8]).unwrap();
    });
    let state = RunReader::open(&strange).unwrap().refresh();
    let error = state.unwrap_err().to_string();
    assert!(error.contains("strange.h5: state/status is 9"), "{error}");
    let text = changed(&whole, "text.h5", |file| {
        let totals: Vec<Name> = kinds[..3].to_vec();
        replace(file, "lca/total", &totals);
    });
    let error = RunReader::open(&text).unwrap().steps(0..3).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("text.h5: cannot read /lca/total"), "{error}");
}

#[test]
fn missing_committed_steps_are_not_shown() {
    let folder = folder();
    let whole = small_run(folder.path());
    let more = changed(&whole, "more.h5", |file| {
        let committed = file.dataset("state/committed").unwrap();
        committed.write_raw(&[1_u64 << 60]).unwrap();
    });
    let reader = RunReader::open(&more).unwrap();
    assert_eq!(reader.refresh().unwrap().committed, 3);
    let fewer = changed(&whole, "fewer.h5", |file| {
        file.dataset("motion/update_flips")
            .unwrap()
            .resize((2, 2))
            .unwrap();
    });
    let reader = RunReader::open(&fewer).unwrap();
    assert_eq!(reader.refresh().unwrap().committed, 2);
    read_on(&reader, 0, 2, None);
}

/// Other programs have other habits: strings of another length or character set are also strings.
#[test]
fn a_run_rewritten_by_another_program_opens() {
    let folder = folder();
    let whole = small_run(folder.path());
    let rewritten = changed(&whole, "rewritten.h5", |file| {
        let ascii = |text: &str| FixedAscii::<20>::from_ascii(text).unwrap();
        let names = ["fc1", "fc2"].map(ascii);
        replace(file, "layout/layer/name", &names);
        file.delete_attr("format").unwrap();
        let format = file.new_attr::<FixedAscii<20>>().create("format").unwrap();
        format.write_scalar(&ascii("lcascope.run")).unwrap();
        file.delete_attr("seed").unwrap();
        let seed = file.new_attr::<i32>().create("seed").unwrap();
        seed.write_scalar(&5).unwrap();
        let message = file.dataset("state/message").unwrap();
        let text: FixedUnicode<1024> = "a\u{1b}[2Jb".parse().unwrap();
        message.write_raw(&[text]).unwrap();
    });
    let reader = RunReader::open(&rewritten).unwrap();
    let names: Vec<&str> = (reader.header().layout.layers.iter())
        .map(|layer| layer.name.as_str())
        .collect();
    assert_eq!((names, reader.header().seed), (vec!["fc1", "fc2"], 5));
    // Nothing in a file controls the terminal.
    assert_eq!(reader.refresh().unwrap().message, "a\u{fffd}[2Jb");
    assert_eq!(reader.header().layout.params(), 3985);
}

//! `lcascope allocate`: a given path gets the same allocation as in its training.

use std::fs;
use std::path::Path;

use crate::common::{Outcome, RunFile, SMALL, assert_close, lcascope, open_rw, train};
use hdf5::types::VarLenUnicode;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use tempfile::tempdir;

const STEPS: usize = 6;

pub fn allocate(weights: &Path, flags: &[&str], output: &Path) -> Outcome {
    let mut command = lcascope();
    command.arg("allocate").arg(weights).args(flags);
    command.arg("--quiet").arg("-o").arg(output);
    Outcome::of(command)
}

#[track_caller]
pub fn allocated(weights: &Path, flags: &[&str], output: &Path) -> RunFile {
    let outcome = allocate(weights, flags, output);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let mut verify = lcascope();
    verify.arg("verify").arg(output);
    let verified = Outcome::of(verify);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    RunFile::open(output)
}

/// Trains the path that the tests follow, with the weights of every step.
fn trained(folder: &Path) -> std::path::PathBuf {
    let steps = STEPS.to_string();
    train(
        folder,
        "trained.h5",
        &["--steps", &steps, "--record-weights", "1", "--lca-test"],
    )
}

/// Datasets that depend on the path alone, not on how it was found.
pub const OF_THE_PATH: [&str; 9] = [
    "loss/train",
    "loss/test",
    "lca/total",
    "lca/residual",
    "lca/layer",
    "lca/unit",
    "lca/helped",
    "lca_test/layer",
    "trace/lca",
];

#[test]
fn a_recorded_path_is_allocated_to_the_same_bits() {
    let folder = tempdir().unwrap();
    let path = trained(folder.path());
    let again = allocated(&path, &[], &folder.path().join("again.h5"));
    let first = RunFile::open(&path);
    for name in OF_THE_PATH {
        assert!(first.bits(name) == again.bits(name), "{name} differs");
    }
    assert!(
        again
            .reals("step/learning_rate")
            .values
            .iter()
            .all(|x| x.is_nan())
    );
    assert!(
        again
            .reals("step/batch_loss")
            .values
            .iter()
            .all(|x| x.is_nan())
    );
    // Repeat it with the configuration stored in the second file.
    let mut repeat = lcascope();
    let output = folder.path().join("repeat.h5");
    repeat.args(["train", "--quiet", "--config"]);
    repeat
        .arg(folder.path().join("again.h5"))
        .arg("-o")
        .arg(&output);
    let outcome = Outcome::of(repeat);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(first.bits("lca/unit") == RunFile::open(&output).bits("lca/unit"));
}

/// `--lca-size` selects the examples whose loss is allocated, without changing the path: the path is that of a run
/// without the flag, and the allocation is what `allocate` gives that path with only these examples.
#[test]
fn the_loss_of_fewer_examples_is_allocated_along_the_same_path() {
    let folder = tempdir().unwrap();
    let whole = trained(folder.path());
    let steps = STEPS.to_string();
    let flags = [
        "--steps",
        &steps,
        "--record-weights",
        "1",
        "--lca-test",
        "--lca-size",
        "200",
    ];
    let path = train(folder.path(), "few.h5", &flags);
    let mut verify = lcascope();
    verify.arg("verify").arg(&path);
    assert_eq!(Outcome::of(verify).code, Some(0));
    let (run, few) = (RunFile::open(&whole), RunFile::open(&path));
    for name in [
        "weight/value",
        "step/batch_loss",
        "step/epoch",
        "loss/test",
        "data/train_index",
    ] {
        assert!(run.bits(name) == few.bits(name), "{name} differs");
    }
    assert!(run.bits("loss/train") != few.bits("loss/train"));

    let again = folder.path().join("again.h5");
    let again = allocated(&whole, &["--train-size", "200"], &again);
    for name in OF_THE_PATH {
        assert!(again.bits(name) == few.bits(name), "{name} differs");
    }
    let rows = few.counts("data/lca_index").values;
    assert_eq!(rows, again.counts("data/train_index").values);
    let trained_on = few.counts("data/train_index").values;
    assert!(rows.iter().all(|row| trained_on.contains(row)));
    assert!(!run.paths().contains(&"data/lca_index".to_owned()));

    // Sorted by class, the sum is the same in another order.
    let flags = [&flags[..], &["--by-class"]].concat();
    let by_class = RunFile::open(&train(folder.path(), "by-class.h5", &flags));
    let sums = (by_class.reals("lca/layer"), few.reals("lca/layer"));
    for (i, (got, want)) in sums.0.values.iter().zip(&sums.1.values).enumerate() {
        assert_close(*got, *want, 1e-5, &format!("lca/layer, number {i}"));
    }

    let mut info = lcascope();
    info.arg("info").arg(&path);
    let said = Outcome::of(info).stdout;
    assert!(
        said.contains("600 for training (200 of them for LCA), 100 held out"),
        "{said}"
    );
    let report = folder.path().join("report");
    let mut command = lcascope();
    command.arg("report").arg(&path).arg("-o").arg(&report);
    assert_eq!(Outcome::of(command).code, Some(0));
    let said = fs::read_to_string(report.join("report.md")).unwrap();
    assert!(said.contains("over 200 of the training examples, drawn by the seed, evaluated"));
}

/// Writes the recorded weights of a run, one file per point.
fn write_snapshots(snapshots: &Path, run: &RunFile, file: impl Fn(usize) -> String) {
    let weights = run.singles("weight/value");
    let names = run.names("layout/tensor/name");
    let shapes = run.counts("layout/tensor/shape");
    let offsets = run.counts("layout/tensor/offset").values;
    fs::create_dir(snapshots).unwrap();
    let size = |n: u64| usize::try_from(n).unwrap();
    for (point, row) in weights.values.chunks(weights.shape[1]).enumerate() {
        let tensors: Vec<(&String, Vec<usize>, Vec<u8>)> = (names.iter().enumerate())
            .map(|(k, name)| {
                let axes = shapes.values[4 * k..4 * k + 4].iter();
                let shape: Vec<usize> = axes.take_while(|&&n| n > 0).map(|&n| size(n)).collect();
                let values = &row[size(offsets[k])..][..shape.iter().product()];
                (
                    name,
                    shape,
                    values.iter().flat_map(|x| x.to_le_bytes()).collect(),
                )
            })
            .collect();
        let views = tensors.iter().map(|(name, shape, bytes)| {
            (
                *name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        fs::write(snapshots.join(file(point)), bytes).unwrap();
    }
}

/// Runs a command about a path, and returns what it prints.
fn said(arguments: &[&str], folder: &Path) -> Outcome {
    let mut command = lcascope();
    command.current_dir(folder).args(arguments);
    Outcome::of(command)
}

#[test]
fn the_order_of_the_points_is_printed_recorded_and_shown() {
    let folder = tempdir().unwrap();
    let run = RunFile::open(&trained(folder.path()));
    let epochs = ["0.0", "0.25", "0.5", "0.75", "1.0", "2e0", "1e1"];
    let files = epochs.map(|epoch| format!("epoch_{epoch}.safetensors"));
    let snapshots = folder.path().join("s");
    write_snapshots(&snapshots, &run, |point| files[point].clone());
    // A file that macOS leaves beside others.
    fs::write(snapshots.join("._epoch_0.25.safetensors"), "Mac OS X").unwrap();
    let small = [
        "--train-size",
        "600",
        "--test-size",
        "100",
        "--slice-size",
        "250",
    ];
    let allocate = |flags: &[&str]| {
        let outcome = said(
            &[&["allocate", "s"], &small[..], flags].concat(),
            folder.path(),
        );
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome
    };
    let outcome = allocate(&["--headless", "-o", "loud.h5"]);
    let line = "following 7 points in s, from epoch_0.0.safetensors to epoch_1e1.safetensors";
    assert!(outcome.stderr.lines().any(|it| it == line), "{outcome:?}");
    let file = RunFile::open(&folder.path().join("loud.h5"));
    assert_eq!(file.names("course/file"), files);
    let info = said(&["info", "loud.h5"], folder.path()).stdout;
    let order = format!("7 points in this order: {}", files.join(", "));
    assert!(info.contains(&order), "{info}");

    let outcome = allocate(&["--quiet", "-o", "quiet.h5"]);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    let outcome = allocate(&["--straight", "2", "--headless", "-o", "line.h5"]);
    assert!(
        outcome
            .stderr
            .contains("following a straight line in s, from epoch_0.0"),
        "{outcome:?}"
    );
    let file = RunFile::open(&folder.path().join("line.h5"));
    assert_eq!(
        file.names("course/file"),
        [&files[0], &files[6]].map(String::as_str)
    );

    // A long list is shortened in the middle.
    let long = folder.path().join("long");
    fs::create_dir(&long).unwrap();
    for k in 0..15 {
        fs::hard_link(
            snapshots.join(&files[0]),
            long.join(format!("s{k}.safetensors")),
        )
        .unwrap();
    }
    let outcome = said(
        &[&["allocate", "long", "-q", "-o", "long.h5"], &small[..]].concat(),
        folder.path(),
    );
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let info = said(&["info", "long.h5"], folder.path()).stdout;
    let order = "15 points in this order: s0.safetensors, s1.safetensors, s2.safetensors";
    assert!(
        info.contains(order) && info.contains("s5.safetensors, … (3 more), s9.safetensors"),
        "{info}"
    );
}

#[test]
fn an_unusable_folder_is_refused_before_the_first_step() {
    let folder = tempdir().unwrap();
    let run = RunFile::open(&trained(folder.path()));
    let output = folder.path().join("never.h5");
    let snapshots = folder.path().join("s");
    write_snapshots(&snapshots, &run, |point| {
        format!("step_{point}.safetensors")
    });
    let fails = |needles: &[&str]| {
        let small = ["--train-size", "50", "--test-size", "20"];
        allocate(&snapshots, &small, &output).fails(1, needles);
        assert!(!output.exists(), "{needles:?}");
    };
    let last = snapshots.join("step_9.safetensors");
    fs::write(
        &last,
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    )
    .unwrap();
    fails(&["step_9.safetensors: is a Git LFS pointer", "git lfs pull"]);
    fs::write(
        &last,
        fs::read(snapshots.join("step_1.safetensors")).unwrap(),
    )
    .unwrap();
    let moved = snapshots.join("final.safetensors");
    fs::rename(&last, &moved).unwrap();
    fails(&[
        "final.safetensors without",
        "step_0.safetensors, step_1.safetensors",
        "ln -s",
    ]);
    fs::rename(&moved, snapshots.join("step_01.safetensors")).unwrap();
    fails(&["step_01.safetensors and step_1.safetensors have the same number"]);
}

/// Writes two points of `mnist-fc` as another program might.
fn write_points(path: &Path, block: u64, odd: f32) {
    let file = hdf5::File::with_options()
        .with_fcpl(|create| create.userblock(block))
        .create(path);
    let group = file.unwrap().create_group("weight").unwrap();
    let mut values = ndarray::Array2::<f32>::from_elem((2, 84060), 0.01);
    values[(1, 78_400)] = odd;
    group
        .new_dataset_builder()
        .with_data(&values)
        .create("value")
        .unwrap();
}

#[test]
fn weights_in_a_file_with_a_user_block_are_followed() {
    let folder = tempdir().unwrap();
    let small = ["--train-size", "50", "--test-size", "20"];
    for block in [0, 512, 4096] {
        let path = folder.path().join(format!("w{block}.h5"));
        write_points(&path, block, 0.02);
        let run = allocated(&path, &small, &folder.path().join(format!("{block}.h5")));
        assert_eq!(run.reals("lca/total").values.len(), 1);
    }
    let path = folder.path().join("nan.h5");
    write_points(&path, 0, f32::NAN);
    let outcome = allocate(&path, &small, &folder.path().join("o.h5"));
    outcome.fails(
        1,
        &["nan.h5: row 1 of weight/value", "`fc1.bias`", "not finite"],
    );
}

#[test]
fn a_folder_of_snapshots_is_followed() {
    let folder = tempdir().unwrap();
    let path = trained(folder.path());
    let run = RunFile::open(&path);
    let snapshots = folder.path().join("snapshots");
    // Without leading zeros: numbers are ordered by value.
    let name = |point: usize| format!("step-{}.safetensors", 95 + point);
    write_snapshots(&snapshots, &run, name);
    let from_run = path.to_str().unwrap();
    let again = folder.path().join("again.h5");
    let again = allocated(&snapshots, &["--config", from_run], &again);
    for name in OF_THE_PATH {
        assert!(run.bits(name) == again.bits(name), "{name} differs");
    }
    // The same with flags instead of a configuration.
    let flags = [&SMALL[1..], &["--lca-test"]].concat();
    let flagged = allocated(&snapshots, &flags, &folder.path().join("flagged.h5"));
    assert!(run.bits("lca/unit") == flagged.bits("lca/unit"));
}

#[test]
fn the_straight_line_closes_between_the_same_ends() {
    let folder = tempdir().unwrap();
    let path = trained(folder.path());
    let run = RunFile::open(&path);
    let flags = ["--straight", "4", "--record-weights", "1"];
    let line = allocated(&path, &flags, &folder.path().join("line.h5"));
    let (losses, ends) = (
        run.reals("loss/train").values,
        line.reals("loss/train").values,
    );
    assert_eq!(ends.len(), 5);
    assert_eq!((losses[0], losses[STEPS]), (ends[0], ends[4]));
    let (total, residual) = (
        line.reals("lca/total").values,
        line.reals("lca/residual").values,
    );
    let closed: f64 = total.iter().chain(&residual).sum();
    assert_close(
        closed,
        losses[STEPS] - losses[0],
        1e-12,
        "the straight line",
    );
    // Its points are where they should be.
    let (bent, straight) = (run.singles("weight/value"), line.singles("weight/value"));
    let params = bent.shape[1];
    let point = |table: &crate::common::Table<f32>, row: usize, i: usize| {
        f64::from(table.values[row * params + i])
    };
    for row in 0..=4_u8 {
        for i in (0..params).step_by(97) {
            let (first, last) = (point(&bent, 0, i), point(&bent, STEPS, i));
            let want = first + f64::from(row) / 4.0 * (last - first);
            let got = point(&straight, usize::from(row), i);
            assert_close(got, want, 1e-7 * want.abs().max(0.1), "a point of the line");
        }
    }
}

/// Replaces the configuration in a run file.
fn configure(run: &Path, text: &str) {
    let file = open_rw(run).unwrap();
    file.delete_attr("config").unwrap();
    let config = file.new_attr::<VarLenUnicode>().create("config").unwrap();
    let text: VarLenUnicode = text.parse().unwrap();
    config.write_scalar(&text).unwrap();
    file.close().unwrap();
}

#[test]
fn an_unreadable_run_is_not_taken_for_a_foreign_file() {
    let folder = tempdir().unwrap();
    let output = folder.path().join("never.h5");
    let whole = trained(folder.path());
    let damaged = folder.path().join("damaged.h5");
    for name in [
        "layout/layer/name",
        "data/train_index",
        "state/status",
        "config",
        "version",
    ] {
        fs::copy(&whole, &damaged).unwrap();
        let file = open_rw(&damaged).unwrap();
        if name.contains('/') {
            file.unlink(name).unwrap();
        } else {
            file.delete_attr(name).unwrap();
        }
        file.close().unwrap();
        for flags in [&[][..], &["--config", whole.to_str().unwrap()]] {
            allocate(&damaged, flags, &output).fails(1, &["damaged.h5", name]);
            assert!(!output.exists());
        }
    }
    fs::copy(&whole, &damaged).unwrap();
    configure(&damaged, "steps = ");
    allocate(&damaged, &[], &output).fails(2, &["damaged.h5", "TOML"]);
    assert!(!output.exists());
}

#[test]
fn a_configuration_of_comments_only_is_empty() {
    let folder = tempdir().unwrap();
    let run = train(folder.path(), "run.h5", &["--steps", "1"]);
    for text in ["# nothing\n", "", " \n"] {
        configure(&run, text);
        let mut command = lcascope();
        command.current_dir(folder.path());
        command.args([
            "train",
            "-q",
            "--steps=1",
            "-o",
            "x.h5",
            "--config",
            "run.h5",
        ]);
        Outcome::of(command).fails(2, &["run.h5 contains no configuration"]);
        assert!(!folder.path().join("x.h5").exists());
    }
}

#[test]
fn weights_that_cannot_be_followed_say_why() {
    let folder = tempdir().unwrap();
    let output = folder.path().join("never.h5");
    let small = ["--train-size", "50", "--test-size", "20"];
    let without = train(folder.path(), "without.h5", &["--steps", "1"]);
    let fails = |weights: &Path, flags: &[&str], code, needles: &[&str]| {
        allocate(weights, &[&small, flags].concat(), &output).fails(code, needles);
        assert!(!output.exists(), "{needles:?}");
    };
    fails(
        &folder.path().join("none"),
        &[],
        2,
        &["none", "no such file"],
    );
    fails(folder.path(), &[], 1, &["has 0 points", "at least two"]);
    fails(&without, &[], 1, &["without.h5", "--record-weights"]);
    for (bytes, needles) in [
        (&b"seed = 1\n"[..], &["odd.bin: is text"]),
        (b"", &["is empty"]),
        (b"\x80\x02}q\0.", &["is a Python pickle"]),
        (b"\x02\0\0\0\0\0\0\0{}", &["is a single safetensors file"]),
        (b"\xff\xfe\xfd", &["is neither an HDF5 file"]),
    ] {
        let odd = folder.path().join("odd.bin");
        fs::write(&odd, bytes).unwrap();
        fails(&odd, &[], 1, needles);
    }
    let weights = trained(folder.path());
    fails(&weights, &["mnist-lenet"], 1, &["84060", "808970"]);
    fails(
        &weights,
        &["--learning-rate", "1"],
        2,
        &["--learning-rate is a training setting"],
    );
    fails(
        &weights,
        &["--layer", "fc1:freeze"],
        2,
        &["--layer is a training setting"],
    );
    fails(&weights, &["--straight", "0"], 2, &["--straight 0"]);
    let odd = folder.path().join("odd.h5");
    {
        let file = hdf5::File::create(&odd).unwrap();
        let group = file.create_group("weight").unwrap();
        let row = group.new_dataset::<f32>().shape((1, 84060));
        row.create("value").unwrap();
    }
    fails(&odd, &[], 1, &["1 rows", "at least two"]);
}

/// `--lca-every N` takes the same path, and allocates it along chords: as `allocate` does with every Nth of its points.
#[test]
fn every_nth_step_of_the_same_path_is_allocated_along_the_chord() {
    let folder = tempdir().unwrap();
    // Seven optimizer steps: the last chord covers only one.
    let flags = ["--steps", "7", "--record-weights", "1", "--lca-test"];
    let whole = train(folder.path(), "whole.h5", &flags);
    let chords = ["--lca-every", "3", "--tolerance", "1e-5"];
    let path = train(folder.path(), "chords.h5", &[&flags[..], &chords].concat());
    let again = folder.path().join("again.h5");
    let again = allocated(&whole, &[&chords[..], &["--lca-test"]].concat(), &again);

    let (whole, chords) = (RunFile::open(&whole), RunFile::open(&path));
    let params = whole.singles("weight/value").shape[1];
    let point = |file: &RunFile, at: usize| {
        file.singles("weight/value").values[at * params..(at + 1) * params].to_vec()
    };
    for (at, of_whole) in [0, 3, 6, 7].into_iter().enumerate() {
        assert!(point(&chords, at) == point(&whole, of_whole), "point {at}");
    }
    let losses = |file: &RunFile| file.reals("loss/train").values;
    assert_eq!(losses(&chords), [0, 3, 6, 7].map(|at| losses(&whole)[at]));
    for name in OF_THE_PATH {
        assert!(chords.bits(name) == again.bits(name), "{name} differs");
    }
    // The sums close over the chord: another split of the same change.
    let total = |file: &RunFile| file.reals("lca/total").values.iter().sum::<f64>();
    let change = losses(&chords)[3] - losses(&chords)[0];
    assert_close(total(&chords), change, 3e-5, "the chords");
    assert_close(total(&whole), change, 7e-3, "the steps");
    let epochs = chords.reals("step/epoch").values;
    let of_whole = whole.reals("step/epoch").values;
    assert_eq!(epochs, [0, 3, 6].map(|at| of_whole[at]));

    let mut info = lcascope();
    info.arg("info").arg(&path);
    let info = Outcome::of(info).stdout;
    assert!(
        info.contains("3 of 3") && info.contains("each of 3 optimizer steps"),
        "{info}"
    );
    let mut export = lcascope();
    export.arg("export").arg(&path).args(["--view", "overview"]);
    let table = Outcome::of({
        export.args(["-o", "-"]);
        export
    });
    assert!(table.stdout.contains("optimizer_step"), "{table:?}");
    let straight = allocate(
        &path,
        &["--straight", "4", "--lca-every", "2"],
        &folder.path().join("no.h5"),
    );
    straight.fails(2, &["--straight", "--lca-every"]);
}

//! `lcascope experiment` and `train --repeats`: series of runs, how they stop, fail and continue, and their results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::kills::killed_everywhere;
use crate::common::{Outcome, RunFile, SMALL, Training, assert_same_numbers, lcascope, patiently};
use lcascope::record::Status;
use lcascope::store::RunReader;
use tempfile::{TempDir, tempdir};

/// Two arms of a small run.
const TINY: &str = "description = 'The last layer frozen'\n\
    question = 'Does it matter?'\n\
    baseline = 'whole'\n\
    [config]\n\
    train_size = 600\n\
    test_size = 100\n\
    batch_size = 60\n\
    steps = STEPS\n\
    checkpoint_every = 1\n\
    [quick]\n\
    seeds = 2\n\
    [[arm]]\n\
    name = 'whole'\n\
    [[arm]]\n\
    name = 'frozen'\n\
    set.layer = ['{last}:freeze']\n";

fn preset(folder: &Path, steps: u64) -> PathBuf {
    let path = folder.join("tiny.toml");
    fs::write(&path, TINY.replace("STEPS", &steps.to_string())).unwrap();
    path
}

fn experiment(preset: &Path, output: &Path, flags: &[&str]) -> Command {
    let mut command = lcascope();
    command
        .arg("experiment")
        .arg(preset)
        .arg("--quick")
        .args(flags);
    command.arg("-o").arg(output);
    command
}

fn committed(path: &Path) -> (Status, u64) {
    let state = RunReader::open(path).unwrap().refresh().unwrap();
    (state.status, state.committed)
}

fn stopped(path: &Path) -> bool {
    committed(path).0 == Status::Stopped
}

const RUNS: [&str; 4] = ["whole-0.h5", "frozen-0.h5", "whole-1.h5", "frozen-1.h5"];

/// Rows of a CSV file that has no quotes.
fn csv(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = fs::read_to_string(path).unwrap();
    let mut rows = text
        .lines()
        .map(|line| line.split(',').map(str::to_owned).collect::<Vec<String>>());
    (rows.next().unwrap(), rows.collect())
}

/// Σ A of each layer and the last losses, directly from the datasets.
fn naive(path: &Path) -> Vec<(String, f64)> {
    let run = RunFile::open(path);
    let layers = run.names("layout/layer/name");
    let lca = run.reals("lca/layer");
    let mut out: Vec<(String, f64)> = (layers.iter().enumerate())
        .map(|(l, name)| {
            let steps = lca.values.chunks(layers.len());
            (format!("LCA {name}"), steps.map(|row| row[l]).sum())
        })
        .collect();
    for (name, dataset) in [
        ("training loss", "loss/train"),
        ("held-out loss", "loss/test"),
    ] {
        out.push((name.to_owned(), *run.reals(dataset).values.last().unwrap()));
    }
    let residuals = run.reals("lca/residual").values;
    let sum: f64 = residuals.iter().map(|residual| residual.abs()).sum();
    let steps = f64::from(u32::try_from(residuals.len()).unwrap());
    out.push(("mean |residual| of a step".to_owned(), sum / steps));
    out
}

#[test]
fn an_interrupted_experiment_gives_the_same_results() {
    let folder = tempdir().unwrap();
    let whole = folder.path().join("whole");
    let broken = folder.path().join("broken");
    let steps = 40;
    let preset = preset(folder.path(), steps);
    let outcome = Outcome::of(experiment(&preset, &whole, &[]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains("frozen"), "{outcome:?}");

    // Stopped in its second run, as by Ctrl-C.
    let second = broken.join(RUNS[1]);
    let mut training = Training::start(experiment(&preset, &broken, &[]), second.clone());
    let reader = training.reader();
    training.grown(&reader, 2);
    drop(reader);
    training.signal("INT");
    let outcome = training.end();
    assert_eq!(outcome.code, Some(130), "{outcome:?}");
    assert!(
        outcome.stderr.contains("run the same command again"),
        "{outcome:?}"
    );
    assert!(!broken.join("report").exists());
    let (status, done) = committed(&second);
    if status != Status::Finished {
        assert_eq!(status, Status::Stopped);
        assert!(done < steps);
    }
    assert!(!broken.join(RUNS[2]).exists());
    let first = fs::metadata(broken.join(RUNS[0]))
        .unwrap()
        .modified()
        .unwrap();

    // Killed in the following run, whose training ends by itself after its current step.
    let third = broken.join(RUNS[2]);
    let mut training = Training::start(experiment(&preset, &broken, &[]), third.clone());
    let reader = training.reader();
    training.grown(&reader, 2);
    drop(reader);
    training.kill();
    patiently("the training to stop", || {
        let state = RunReader::open(&third).ok()?.refresh().ok()?;
        (state.status != Status::Running).then_some(())
    });

    let outcome = Outcome::of(experiment(&preset, &broken, &[]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("2 complete"), "{outcome:?}");
    for run in RUNS {
        assert_same_numbers(&whole.join(run), &broken.join(run));
    }
    let again = fs::metadata(broken.join(RUNS[0]))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(first, again, "a complete run is left alone");

    // The reports agree in every number.
    for table in ["arms", "layers", "paired-frozen", "runs"] {
        let read = |folder: &Path| {
            fs::read_to_string(folder.join(format!("report/data/{table}.csv"))).unwrap()
        };
        assert_eq!(read(&whole), read(&broken), "{table}");
    }
    check_numbers(&whole);
}

#[test]
fn an_experiment_killed_at_any_call_gives_the_same_results() {
    let folder = tempdir().unwrap();
    let preset = folder.path().join("tiny.toml");
    let small = TINY.replace("STEPS", "4").replace("seeds = 2", "seeds = 1");
    fs::write(&preset, small).unwrap();
    let runs = &RUNS[..2];
    let (output, whole) = (folder.path().join("runs"), folder.path().join("whole"));
    let command = || experiment(&preset, &output, &[]);
    killed_everywhere(&command(), 1, |when| {
        // What somebody had before is left alone, so what was complete stays complete.
        let complete: Vec<&&str> = (runs.iter())
            .filter(|run| {
                let reader = RunReader::open(&output.join(run));
                let state = reader.map(|reader| reader.refresh().unwrap());
                state.is_ok_and(|state| state.status == Status::Finished && !state.marked)
            })
            .collect();
        let mut again = Outcome::of(command());
        // A run that was killed before its header was complete has nothing to go on from, and it is said so.
        for run in runs {
            if again.code == Some(0) || RunReader::open(&output.join(run)).is_ok() {
                continue;
            }
            let remedy = "delete the file to train the run again";
            assert!(again.stderr.contains(remedy), "{when}: {again:?}");
            fs::remove_file(output.join(run)).unwrap();
            again = Outcome::of(command());
        }
        assert_eq!(again.code, Some(0), "{when}: {again:?}");
        let known = format!("{} complete", complete.len());
        assert!(
            complete.is_empty() || again.stderr.contains(&known),
            "{when}: {again:?}"
        );
        if whole.exists() {
            for run in runs {
                assert_same_numbers(&whole.join(run), &output.join(run));
            }
            let table = |folder: &Path| fs::read(folder.join("report/data/runs.csv")).unwrap();
            assert_eq!(table(&whole), table(&output), "{when}");
            fs::remove_dir_all(&output).unwrap();
        } else {
            fs::rename(&output, &whole).unwrap();
        }
    });
}

/// Compares the paired table with plain sums over the files.
fn check_numbers(folder: &Path) {
    let [whole0, frozen0, whole1, frozen1] = RUNS.map(|run| naive(&folder.join(run)));
    let (head, rows) = csv(&folder.join("report/data/paired-frozen.csv"));
    let column = |name: &str| head.iter().position(|column| column == name).unwrap();
    let (mean, error) = (column("difference"), column("difference ± error"));
    let (pairs, p, sign) = (column("pairs"), column("t test p"), column("sign test p"));
    for (index, (name, value)) in whole0.iter().enumerate() {
        let a = frozen0[index].1 - value;
        let b = frozen1[index].1 - whole1[index].1;
        let row = rows.iter().find(|row| row[0] == *name);
        let row = row.unwrap_or_else(|| panic!("no row {name}"));
        let number = |at: usize| row[at].parse::<f64>().unwrap();
        assert!((number(mean) - f64::midpoint(a, b)).abs() < 1e-12, "{name}");
        assert!(
            (number(error) - (a - b).abs() / 2.0).abs() < 1e-12,
            "{name}"
        );
        assert_eq!(row[pairs], "2");
        // Student's distribution with one degree of freedom is the Cauchy distribution.
        let t = (a + b) / (a - b).abs();
        let expected = 1.0 - 2.0 / std::f64::consts::PI * t.abs().atan();
        assert!((number(p) - expected).abs() < 1e-9, "{name}");
        let both = if (a > 0.0) == (b > 0.0) { 0.5 } else { 1.0 };
        assert!((number(sign) - both).abs() < 1e-12, "{name}");
    }
    let frozen = rows.iter().find(|row| row[0] == "LCA fc3").unwrap();
    assert!(frozen[mean].parse::<f64>().unwrap() != 0.0);
    let (head, layers) = csv(&folder.join("report/data/layers.csv"));
    let at = head
        .iter()
        .position(|name| name == "frozen (nats)")
        .unwrap();
    assert_eq!(layers[2][at].parse::<f64>().unwrap(), 0.0, "it is frozen");

    // Errors have their own table, and are not compared.
    assert!(!rows.iter().any(|row| row[0].starts_with("estimated")));
    let (head, errors) = csv(&folder.join("report/data/error-layers.csv"));
    let at = head.iter().position(|name| name == "whole (nats)").unwrap();
    let sum = |run: &str| {
        let errors = RunFile::open(&folder.join(run)).reals("lca/layer_error");
        errors.values.chunks(3).map(|row| row[1]).sum::<f64>()
    };
    let mean = f64::midpoint(sum(RUNS[0]), sum(RUNS[2]));
    let reported: f64 = errors[1][at].parse().unwrap();
    assert!((reported - mean).abs() < 1e-12 * mean, "{reported} {mean}");
}

#[test]
fn a_failure_of_one_run_does_not_lose_the_others() {
    let folder = tempdir().unwrap();
    let text = TINY
        .replace("STEPS", "3")
        .replace("set.layer = ['{last}:freeze']", "set.learning_rate = 1e300");
    let preset = folder.path().join("bad.toml");
    fs::write(&preset, text).unwrap();
    let output = folder.path().join("out");
    let outcome = Outcome::of(experiment(&preset, &output, &[]));
    outcome_fails(
        &outcome,
        1,
        &["frozen-0", "2 of 4 runs", "run the same command again"],
    );
    for run in ["whole-0.h5", "whole-1.h5"] {
        assert_eq!(committed(&output.join(run)), (Status::Finished, 3));
    }
    let report = fs::read_to_string(output.join("report/report.md")).unwrap();
    assert!(report.contains("Incomplete: frozen-0"), "{report}");
}

/// Checks a failure; the output before the error is progress.
#[track_caller]
fn outcome_fails(outcome: &Outcome, code: i32, needles: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    let last = outcome.stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: "), "{outcome:?}");
    for needle in needles {
        assert!(last.contains(needle), "no `{needle}` in {last}");
    }
}

#[test]
fn an_invalid_experiment_is_refused_before_any_run() {
    let folder = tempdir().unwrap();
    let output = folder.path().join("out");
    let path = folder.path().join("x.toml");
    for (text, needles) in [
        ("description = 'd'\nquestion = 3", &["x.toml", "line 2"][..]),
        (
            "description = 'd'\nquestion = 'q'\n[[arm]]\nname = 'a'\nset.steps = 'x'",
            &["x.toml", "line 5"],
        ),
        (
            "description = 'd'\nquestion = 'q'\n[quick]\n[[arm]]\nname = 'a'\n[[arm]]\nname = 'b'\n\
             set.layer = ['fc9:freeze']",
            &["x.toml, line 7: arm `b`", "no such layer"],
        ),
        (
            "description = 'd'\nquestion = 'q'\n[quick]\n[[arm]]\nname = 'a'\nset.batch_size = 7000",
            &["x.toml, line 5: arm `a`", "--batch-size 7000"],
        ),
        (
            "description = 'd'\nquestion = 'q'\n[[arm]]\nname = 'a'",
            &["x.toml has no [quick] size"],
        ),
    ] {
        fs::write(&path, text).unwrap();
        Outcome::of(experiment(&path, &output, &[])).fails(2, needles);
    }
    let tiny = preset(folder.path(), 3);
    Outcome::of(experiment(&tiny, &output, &["--seeds", "0"])).fails(2, &["--seeds 0"]);
    Outcome::of(experiment(Path::new("help-fractoin"), &output, &[]))
        .fails(2, &["help-fraction`?"]);
    assert!(!output.exists());
}

#[test]
fn a_folder_with_other_runs_is_not_changed() {
    let folder = tempdir().unwrap();
    let output = folder.path().join("out");
    let tiny = preset(folder.path(), 3);
    assert_eq!(
        Outcome::of(experiment(&tiny, &output, &["--seeds", "1"])).code,
        Some(0)
    );
    // More seeds are more runs.
    let more = Outcome::of(experiment(&tiny, &output, &["--list"]));
    assert_eq!(more.code, Some(0));
    assert_eq!(more.stdout.matches("  complete\n").count(), 2, "{more:?}");
    let other = preset(folder.path(), 4);
    Outcome::of(experiment(&other, &output, &[])).fails(
        2,
        &["whole-0.h5 is a different run", "steps is 3, but here 4"],
    );
    assert!(!output.join("whole-1.h5").exists());
}

#[test]
fn the_experiments_are_listed() {
    let mut command = lcascope();
    command.args(["experiment", "--list"]);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0));
    for name in [
        "help-fraction",
        "freeze-last",
        "others-delay",
        "train-vs-test",
        "integrators",
    ] {
        assert!(outcome.stdout.contains(name), "{name}");
    }
}

// ---- train --repeats ----

fn repeats(folder: &TempDir, flags: &[&str]) -> Command {
    let mut command = lcascope();
    command.current_dir(folder.path()).arg("train").args(flags);
    command
}

#[test]
fn repeats_have_seeds_and_files_of_their_own() {
    let folder = tempdir().unwrap();
    let flags = [SMALL, &["--steps", "3", "--seed", "5"]].concat();
    let series = [&flags[..], &["--repeats", "2", "-o", "a.h5"]].concat();
    let outcome = Outcome::of(repeats(&folder, &series));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(
        outcome.stdout.is_empty() && outcome.stderr.is_empty(),
        "{outcome:?}"
    );
    let single = [&flags[..], &["-o", "b.h5", "--seed", "6"]].concat();
    let single: Vec<&str> = single.into_iter().filter(|flag| *flag != "5").collect();
    let at = single.iter().position(|flag| *flag == "--seed").unwrap();
    let single = [&single[..at], &single[at + 1..]].concat();
    assert_eq!(Outcome::of(repeats(&folder, &single)).code, Some(0));
    let file = |name: &str| folder.path().join(name);
    assert_same_numbers(&file("a-2.h5"), &file("b.h5"));
    assert_eq!(RunFile::open(&file("a-1.h5")).number("seed"), 5);
    assert!(!file("a.h5").exists() && !file("a-3.h5").exists());

    // A conflict is noticed before the first run.
    let clash = [&flags[..], &["--repeats", "2", "-o", "{}-2.h5"]].concat();
    fs::write(file("2-2.h5"), "mine").unwrap();
    outcome_fails(
        &Outcome::of(repeats(&folder, &clash)),
        2,
        &["2-2.h5", "--resume '{}-2.h5' --repeats 2"],
    );
    assert!(!file("1-2.h5").exists());
    assert_eq!(fs::read(file("2-2.h5")).unwrap(), b"mine");

    // A series continues, and may be extended.
    let longer = ["--quiet", "--resume", "a.h5", "--repeats", "3"];
    assert_eq!(Outcome::of(repeats(&folder, &longer)).code, Some(0));
    assert_eq!(RunFile::open(&file("a-3.h5")).number("seed"), 7);
    assert_eq!(committed(&file("a-3.h5")), (Status::Finished, 3));
}

#[test]
fn a_stopped_series_is_continued() {
    let folder = tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let flags = [
        "--train-size",
        "600",
        "--test-size",
        "100",
        "--steps",
        "100000000",
    ];
    let series = [&flags[..], &["--repeats", "2", "-o", "a.h5"]].concat();
    let mut training = Training::start(repeats(&folder, &series), file("a-1.h5"));
    let reader = training.reader();
    training.grown(&reader, 1);
    drop(reader);
    training.signal("TERM");
    let outcome = training.end();
    assert_eq!(outcome.code, Some(143), "{outcome:?}");
    let onward = "resume: lcascope train --resume a.h5 --repeats 2";
    assert!(outcome.stdout.contains("0 of 2 runs"), "{outcome:?}");
    assert!(outcome.stdout.contains(onward), "{outcome:?}");
    assert!(stopped(&file("a-1.h5")) && !file("a-2.h5").exists());

    // An order to a single run ends the series too, as ordered.
    let again = ["--resume", "a.h5", "--repeats", "2"];
    let (_, before) = committed(&file("a-1.h5"));
    let training = Training::start(repeats(&folder, &again), file("a-1.h5"));
    // Opened anew each time: a reader that saw the file finished does not see it grow.
    patiently("the run to go on", || {
        // Cannot be opened while it is prepared for resuming.
        let state = RunReader::open(&file("a-1.h5")).ok()?.refresh().ok()?;
        (state.status == Status::Running && state.committed > before).then_some(())
    });
    let mut stop = lcascope();
    stop.arg("stop").arg(file("a-1.h5"));
    let order = Outcome::of(stop);
    assert_eq!(order.code, Some(0), "{order:?}");
    let outcome = training.end();
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stdout.contains(onward), "{outcome:?}");
    assert!(!file("a-2.h5").exists());
}

#[test]
fn a_run_that_fails_ends_its_series() {
    let folder = tempdir().unwrap();
    let flags = [
        "--steps",
        "5",
        "--learning-rate",
        "1e300",
        "--repeats",
        "3",
        "-o",
        "a.h5",
    ];
    let outcome = Outcome::of(repeats(&folder, &[SMALL, &flags].concat()));
    outcome.fails(
        1,
        &[
            "a-1.h5",
            "0 of 3 runs",
            "resume: lcascope train --resume a.h5 --repeats 3",
        ],
    );
    assert!(!folder.path().join("a-2.h5").exists());
}

#[test]
fn runs_that_cannot_be_repeated_state_the_reason() {
    let folder = tempdir().unwrap();
    for (flags, needles) in [
        (&["--repeats", "0"][..], &["--repeats 0"][..]),
        (&["--repeats", "2", "--detach"], &["--repeats", "tmux"]),
        (
            &["--repeats", "2", "--batch-size", "7000"],
            &["--batch-size 7000"],
        ),
        (
            &["--repeats", "2", "--seed", "9223372036854775807"],
            &["--seed"],
        ),
        (
            &["--resume", "a.h5", "--repeats", "2"],
            &["a-1.h5", "does not exist"],
        ),
        (
            &["--resume", "a.h5", "--repeats", "2", "--steps", "3"],
            &["--steps cannot"],
        ),
    ] {
        Outcome::of(repeats(&folder, flags)).fails(2, needles);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

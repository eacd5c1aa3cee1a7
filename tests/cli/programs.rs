//! Output for other programs: JSON, a printed frame, events on a command's standard input.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::{
    Outcome, RunFile, Training, assert_close, folder, lcascope, patiently, train, train_command,
};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/small.h5");

fn run(arguments: &[&str]) -> Outcome {
    let mut command = lcascope();
    command.env("LC_ALL", "C.UTF-8").args(arguments);
    Outcome::of(command)
}

fn lines(text: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap();
    text.lines().map(parse).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

#[test]
fn info_in_json_has_the_numbers_of_the_file() {
    let outcome = run(&["info", "--json", RECORDED]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let said = &lines(&outcome.stdout)[0];
    let file = RunFile::open(Path::new(RECORDED));
    let steps = file.reals("lca/layer");
    let layers = file.names("layout/layer/name");
    let listed = said["lca"]["layers"].as_array().unwrap();
    assert_eq!(listed.len(), layers.len());
    let mut total = 0.0;
    for (index, (row, name)) in listed.iter().zip(&layers).enumerate() {
        assert_eq!(row["name"], **name);
        let sum: f64 = (0..steps.rows()).map(|t| steps.row(t)[index]).sum();
        assert_close(number(&row["lca"]), sum, 1e-9, name);
        total += sum;
    }
    assert_close(number(&said["lca"]["sum"]["lca"]), total, 1e-9, "sum");
    let losses = file.reals("loss/train").values;
    let change = losses[losses.len() - 1] - losses[0];
    assert_close(number(&said["lca"]["loss_change"]), change, 1e-9, "change");
    let residual = change - total;
    assert_close(number(&said["lca"]["residual"]), residual, 1e-9, "residual");
    assert_eq!(number(&said["first"]["loss"]), losses[0]);
    assert_eq!(number(&said["last"]["loss"]), losses[losses.len() - 1]);
    assert_eq!(said["schema"], 1);
    assert_eq!(said["status"], "finished");
    assert_eq!(said["steps"]["done"], steps.rows());
    assert_eq!(said["message"], Value::Null);
    assert_eq!(said["silent_seconds"], Value::Null);
    assert_eq!(said["seed"].as_u64(), Some(file.number("seed")));
    // The sentences are those of the text.
    let text = run(&["info", RECORDED]).stdout;
    let findings = said["findings"].as_array().unwrap();
    assert!(findings.len() > 1);
    for finding in findings {
        assert!(
            text.contains(finding["text"].as_str().unwrap()),
            "{finding}"
        );
    }
}

#[test]
fn every_file_has_a_line_also_one_that_cannot_be_read() {
    let folder = folder();
    let text = folder.path().join("text.h5");
    fs::write(&text, "no run").unwrap();
    let text = text.display().to_string();
    let missing = folder.path().join("missing.h5").display().to_string();
    for command in ["info", "verify"] {
        let outcome = run(&[command, "--json", RECORDED, &text, RECORDED, &missing]);
        assert_eq!(outcome.code, Some(1));
        let said = lines(&outcome.stdout);
        let errors: Vec<bool> = said.iter().map(|it| it.get("error").is_some()).collect();
        assert_eq!(errors, [false, true, false, true], "{command}: {outcome:?}");
        for (line, file) in said.iter().zip([RECORDED, &text, RECORDED, &missing]) {
            assert_eq!(line["file"], file);
        }
        for file in [&text, &missing] {
            assert!(outcome.stderr.contains(file.as_str()), "{outcome:?}");
        }
        let alone = run(&[command, "--json", &missing]);
        alone.fails(1, &["missing.h5"]);
        assert_eq!(lines(&alone.stdout)[0], said[3]);
    }
}

#[test]
fn verify_in_json_names_the_faults() {
    let folder = folder();
    let path = folder.path().join("run.h5");
    fs::copy(RECORDED, &path).unwrap();
    let path = path.display().to_string();
    let good = run(&["verify", "--json", &path]);
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""));
    let said = &lines(&good.stdout)[0];
    assert_eq!(
        (&said["ok"], &said["faults"]),
        (&Value::Bool(true), &0.into())
    );
    assert!(said["checks"].as_array().unwrap().len() > 3);

    let file = crate::common::open_rw(Path::new(&path)).unwrap();
    let losses = file.dataset("loss/train").unwrap();
    let mut values: Vec<f64> = losses.read_raw().unwrap();
    values[3] += 1.0;
    losses.write_raw(&values).unwrap();
    drop((losses, file));
    let bad = run(&["verify", "--json", &path]);
    assert_eq!(bad.code, Some(1));
    assert!(bad.stderr.starts_with("error: ") && bad.stderr.contains("fault"));
    let said = lines(&bad.stdout);
    assert_eq!((said.len(), &said[0]["ok"]), (1, &Value::Bool(false)));
    let checks = said[0]["checks"].as_array().unwrap();
    let faults = checks.iter().map(|check| check["faults"].as_u64().unwrap());
    assert_eq!(Some(faults.sum()), said[0]["faults"].as_u64());
    let failed = checks.iter().find(|check| check["ok"] == false).unwrap();
    assert!(!failed["first_faults"].as_array().unwrap().is_empty());
}

#[test]
fn a_frame_is_printed_with_everything_it_shows() {
    let frame = |more: &[&str]| {
        let outcome = run(&[&["open", "--once"], more, &[RECORDED]].concat());
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        outcome.stdout
    };
    let plain = frame(&["--size", "100x30"]);
    assert_eq!(plain.lines().count(), 30);
    assert!(plain.lines().all(|line| line.chars().count() <= 100));
    assert!(
        !plain.contains('\x1b') && plain.contains("48/48 steps"),
        "{plain}"
    );
    assert!(plain.contains("sum LCA"), "{plain}");
    // Once more, it is the same: nothing was missing.
    assert_eq!(plain, frame(&["--size", "100x30"]));
    assert_eq!(frame(&[]).lines().count(), 40);
    // What comes from queries is there too.
    let classes = frame(&["--screen", "Classes"]);
    assert!(
        !classes.contains('…') || !classes.contains("reading"),
        "{classes}"
    );
    assert_ne!(classes, frame(&["--screen", "held-out"]));
    let coloured = frame(&["--color", "truecolor", "--size", "100x30"]);
    assert!(coloured.contains("\x1b["));
    let mut bare = String::new();
    let mut rest = coloured.as_str();
    while let Some((text, code)) = rest.split_once("\x1b[") {
        bare.push_str(text);
        rest = code.split_once('m').unwrap().1;
    }
    bare.push_str(rest);
    let trimmed: Vec<&str> = bare
        .lines()
        .map(|line| line.trim_end_matches(' '))
        .collect();
    assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
    // Two runs.
    let two = frame(&["--size", "120x40", RECORDED]);
    assert!(two.contains("small.h5"), "{two}");
    for (flags, needle) in [
        (&["--screen", "nowhere"][..], "overview, decomposition"),
        (&["--once", "--size", "12"], "120x40"),
        (&["--once", "--size", "0x9"], "120x40"),
        (&["--size", "80x24"], "--once"),
    ] {
        let outcome = run(&[&["open"], flags, &[RECORDED]].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(needle), "{outcome:?}");
    }
}

#[test]
fn a_frame_of_a_running_training_is_printed_at_once() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    training.grown(&reader, 5);
    let path = training.path.display().to_string();
    let outcome = run(&["open", "--once", &path]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert!(outcome.stdout.contains("FOLLOWING"), "{}", outcome.stdout);
    training.kill();
    let outcome = run(&["open", "--once", &path]);
    assert!(outcome.stdout.contains("CRASHED"), "{}", outcome.stdout);
}

/// The events that a command wrote, one a line.
fn events(path: &Path) -> Vec<Value> {
    lines(&fs::read_to_string(path).unwrap_or_default())
}

#[test]
fn a_command_is_told_how_a_run_ends() {
    let folder = folder();
    let told = folder.path().join("told");
    let notify = format!("cat >> '{}'", told.display());
    let path = train(
        folder.path(),
        "done.h5",
        &["--steps", "3", "--notify", &notify],
    );
    let [event] = &events(&told)[..] else {
        panic!("{:?}", events(&told))
    };
    assert_eq!(event["event"], "finished");
    assert_eq!(event["file"], path.display().to_string());
    assert_eq!(
        (&event["steps"], &event["planned_steps"]),
        (&3.into(), &3.into())
    );
    let file = RunFile::open(&path);
    let losses = file.reals("loss/train").values;
    assert_eq!(number(&event["loss"]), losses[3]);

    // Stopped, and the command from the environment.
    fs::remove_file(&told).unwrap();
    let (mut command, path) = train_command(folder.path(), "stop.h5", &["--steps", "100000000"]);
    command.env("LCASCOPE_NOTIFY", &notify);
    let mut training = Training::start(command, path);
    let reader = training.reader();
    training.grown(&reader, 0);
    training.signal("INT");
    training.end();
    assert_eq!(events(&told)[0]["event"], "stopped");

    // A tolerance that float32 cannot reach: one warning, before the end.
    fs::remove_file(&told).unwrap();
    let strict = [
        "--steps",
        "3",
        "--tolerance",
        "1e-15",
        "--max-segments",
        "2",
    ];
    train(
        folder.path(),
        "strict.h5",
        &[&strict[..], &["--notify", &notify]].concat(),
    );
    let [warning, end] = &events(&told)[..] else {
        panic!("{:?}", events(&told))
    };
    assert_eq!(
        (&warning["event"], &end["event"]),
        (&"warning".into(), &"finished".into())
    );
    let message = warning["message"].as_str().unwrap();
    assert!(
        message.starts_with("step 0: residual ") && message.contains("tolerance"),
        "{message}"
    );

    // A learning rate that leaves nothing finite.
    fs::remove_file(&told).unwrap();
    let diverging = [
        "--steps",
        "20",
        "--learning-rate",
        "1e30",
        "--notify",
        &notify,
    ];
    let (command, _) = train_command(folder.path(), "bad.h5", &diverging);
    assert_eq!(Outcome::of(command).code, Some(1));
    let told = events(&told);
    assert_eq!((told.len(), &told[0]["event"]), (1, &"failed".into()));
    assert!(
        told[0]["message"].as_str().unwrap().contains("diverged"),
        "{told:?}"
    );
}

#[test]
fn a_command_that_fails_or_hangs_holds_up_no_training() {
    let folder = folder();
    let (command, _) = train_command(
        folder.path(),
        "a.h5",
        &[
            "--steps",
            "2",
            "--notify",
            "echo to nobody; echo no mail >&2; exit 3",
        ],
    );
    let outcome = Outcome::of(command);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), ""));
    for needle in ["warning: ", "--notify", "3", "no mail"] {
        assert!(outcome.stderr.contains(needle), "{outcome:?}");
    }
    // Without waiting for it: only the end of the program does, for a while.
    let started = folder.path().join("started");
    let hangs = format!("touch '{}'; sleep 25", started.display());
    let flags = ["--steps", "100000000", "--notify", &hangs];
    let (command, path) = train_command(folder.path(), "b.h5", &flags);
    let mut training = Training::start(command, path.clone());
    let reader = training.reader();
    training.grown(&reader, 0);
    let began = Instant::now();
    let stop = run(&["stop", &path.display().to_string()]);
    assert_eq!(stop.code, Some(0), "{stop:?}");
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    patiently("the command", || started.exists().then_some(()));
    let outcome = training.end();
    assert_eq!(outcome.code, Some(0));
    assert!(outcome.stderr.contains("not waited for"), "{outcome:?}");
    assert!(
        began.elapsed() < Duration::from_secs(22),
        "{:?}",
        began.elapsed()
    );

    let series = run(&["train", "--repeats", "2", "--notify", "cat"]);
    series.fails(2, &["LCASCOPE_NOTIFY"]);
}

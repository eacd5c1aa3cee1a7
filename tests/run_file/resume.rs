//! Runs that are stopped or killed and then continued: `train --resume`, `verify`, `repair`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::common::kills::{killed_at_the_end, killed_everywhere, strace};
use crate::common::skip::skipped;
use crate::common::{
    Outcome, RunFile, Training, assert_same_numbers, lcascope, patiently, train, train_command,
};
use lcascope::record::Status;
use lcascope::store::{KeptPart, Recorder, Resumable, RunReader, StoreError};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tempfile::{TempDir, tempdir};

/// A complete run of 48 steps, without later additions to the format.
const OLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/runs/older.h5");

fn run(command: &str, path: &Path) -> Outcome {
    let mut program = lcascope();
    program.arg(command).arg(path);
    Outcome::of(program)
}

fn resume_command(path: &Path) -> Command {
    let mut command = lcascope();
    command.args(["train", "--quiet", "--resume"]).arg(path);
    command
}

#[track_caller]
fn resume_to_the_end(path: &Path) {
    let outcome = Outcome::of(resume_command(path));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

#[track_caller]
fn assert_verified(path: &Path) {
    let outcome = run("verify", path);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(!outcome.stdout.contains("FAULT"), "{outcome:?}");
}

/// A network with all layers that have state: batch norms, dropout; small enough to be quick.
fn network(folder: &TempDir) -> PathBuf {
    let text = "name = 'remembers'\n\
        [[layer]]\nkind = 'linear'\nunits = 24\n\
        [[layer]]\nkind = 'batch-norm'\n\
        [[layer]]\nkind = 'relu'\n\
        [[layer]]\nkind = 'dropout'\nrate = 0.2\n\
        [[layer]]\nkind = 'linear'\nunits = 12\n\
        [[layer]]\nkind = 'relu'\n\
        [[layer]]\nkind = 'linear'\nunits = 10\n";
    let path = folder.path().join("net.toml");
    fs::write(&path, text).unwrap();
    path
}

/// Kills a run twice and stops it once on its way, and compares it with an undisturbed run.
fn goes_on_bit_for_bit(flags: &[&str], steps: u64) {
    let folder = tempdir().unwrap();
    let net = network(&folder);
    let net = net.to_str().unwrap();
    let steps = format!("--steps={steps}");
    let flags: Vec<&str> = (flags.iter().copied())
        .map(|flag| if flag == "NET" { net } else { flag })
        .chain([steps.as_str(), "--checkpoint-every=7"])
        .collect();
    let whole = train(folder.path(), "whole.h5", &flags);
    let (command, path) = train_command(folder.path(), "cut.h5", &flags);

    let mut training = Training::start(command, path.clone());
    let reader = training.reader();
    let seen = training.grown(&reader, 0).committed;
    training.kill();
    let committed = reader.refresh().unwrap().committed;
    assert!(committed >= seen, "a committed step is lost");
    drop(reader);

    let mut training = Training::start(resume_command(&path), path.clone());
    let reader = training.reader();
    training.grown(&reader, committed);
    training.kill();
    let committed = reader.refresh().unwrap().committed;
    drop(reader);

    let mut training = Training::start(resume_command(&path), path.clone());
    let reader = training.reader();
    training.grown(&reader, committed);
    training.signal("TERM");
    training.end();
    let state = reader.refresh().unwrap();
    drop(reader);
    assert_eq!(
        state.status,
        Status::Stopped,
        "too fast to be stopped: {state:?}"
    );
    assert_verified(&path);

    resume_to_the_end(&path);
    assert_verified(&path);
    assert_same_numbers(&whole, &path);
}

/// A run of 300 steps that was stopped after a few.
fn stopped(folder: &TempDir, checkpoints: &str) -> PathBuf {
    let net = network(folder);
    let flags = [net.to_str().unwrap(), "--steps=300", checkpoints];
    let (command, path) = train_command(folder.path(), "stopped.h5", &flags);
    let mut training = Training::start(command, path.clone());
    let reader = training.reader();
    training.grown(&reader, 0);
    training.signal("TERM");
    training.end();
    let state = reader.refresh().unwrap();
    assert_eq!(
        state.status,
        Status::Stopped,
        "too fast to be stopped: {state:?}"
    );
    path
}

#[test]
fn without_checkpoints_a_stopped_run_resumes_from_its_start() {
    let folder = tempdir().unwrap();
    let path = stopped(&folder, "--checkpoint-every=never");
    let run = Resumable::open(&path).unwrap();
    let shape = run.reader().header().checkpoint.clone();
    assert!(run.checkpoint(&shape, |_| true).unwrap().is_none());
    drop(run);
    resume_to_the_end(&path);
    assert_verified(&path);
    let net = network(&folder);
    let flags = [net.to_str().unwrap(), "--steps=300"];
    assert_same_numbers(&train(folder.path(), "whole.h5", &flags), &path);
}

/// It looked at the run before the other one went on with it and ended.
#[test]
fn resuming_a_run_that_another_process_resumed_is_refused() {
    let folder = tempdir().unwrap();
    let path = stopped(&folder, "--checkpoint-every=7");
    let late = Resumable::open(&path).unwrap();
    let keep = KeptPart {
        steps: late.committed(),
        checkpoint: None,
        totals: false,
    };
    let header = late.reader().header().clone();
    resume_to_the_end(&path);
    let whole = fs::read(&path).unwrap();
    let error = Recorder::resume(late, keep, &header).err().unwrap();
    assert!(matches!(error, StoreError::Changed { .. }), "{error}");
    assert!(fs::read(&path).unwrap() == whole);
}

#[test]
fn a_run_with_everything_recorded_resumes_bit_for_bit() {
    goes_on_bit_for_bit(
        &[
            "--lca-test",
            "--by-class",
            "--class-every=3",
            "--record-params=1",
            "--record-weights=2",
            "--validation-size=40",
            "--trace=40",
        ],
        300,
    );
}

#[test]
fn layer_and_optimizer_memory_resumes_bit_for_bit() {
    goes_on_bit_for_bit(
        &[
            "NET",
            "--optimizer=adam",
            "--schedule=cosine:0.1",
            "--layer=fc1:delay=3",
            "--layer=fc2:freeze-from=40",
            "--by-class",
            "--class-every=5",
            "--batch-size=100",
        ],
        900,
    );
}

#[test]
fn averages_of_squares_and_mantissas_resume_bit_for_bit() {
    goes_on_bit_for_bit(
        &[
            "NET",
            "--optimizer=rmsprop",
            "--momentum=0.5",
            "--lca-size=250",
            "--layer=fc3:delay=1,learning-rate=0.01",
            "--record-params=3",
            "--mantissa-bits=12",
            "--compression=zstd",
            "--lca-test",
        ],
        900,
    );
}

#[test]
fn runs_that_cannot_be_resumed_state_the_reason() {
    let folder = tempdir().unwrap();
    let path = train(folder.path(), "run.h5", &["--steps=5"]);
    Outcome::of(resume_command(&path)).fails(1, &["is complete with 5 steps"]);
    for (flag, name) in [
        ("--seed=3", "--seed"),
        ("--steps=50", "--steps"),
        ("--layer=fc1:freeze", "--layer"),
        ("mnist-lenet", "network"),
        ("--output=x.h5", "--output"),
    ] {
        let mut command = resume_command(&path);
        command.arg(flag);
        Outcome::of(command).fails(2, &["--resume", name]);
    }
    let missing = folder.path().join("missing.h5");
    Outcome::of(resume_command(&missing)).fails(1, &["missing.h5"]);

    let mut training = Training::endless(folder.path(), "live.h5", &[]);
    let live = training.path.clone();
    let reader = training.reader();
    training.grown(&reader, 0);
    Outcome::of(resume_command(&live)).fails(1, &["is being written"]);
    run("repair", &live).fails(1, &["is being written"]);
    training.kill();
}

/// Killed between opening the file and admitting readers, a writer leaves a file that nobody can open.
#[test]
fn a_run_killed_while_opening_is_repaired_and_resumes() {
    let folder = tempdir().unwrap();
    let (command, path) = train_command(folder.path(), "run.h5", &["--steps=400"]);
    let mut training = Training::start(command, path.clone());
    let reader = training.reader();
    let steps = training.grown(&reader, 1).committed;
    training.signal("TERM");
    training.end();
    drop(reader);
    let left = folder.path().join("left.h5");
    let file = crate::common::open_rw(&path).unwrap();
    fs::copy(&path, &left).unwrap();
    file.close().unwrap();

    let needles = ["left.h5", "lcascope repair"];
    run("info", &left).fails(1, &needles);
    Outcome::of(resume_command(&left)).fails(1, &needles);
    let repair = run("repair", &left);
    assert_eq!(repair.code, Some(0), "{repair:?}");
    assert!(repair.stdout.contains("is repaired"), "{repair:?}");
    let state = RunReader::open(&left).unwrap().refresh().unwrap();
    assert!(state.committed >= steps, "{state:?}");
    assert_verified(&left);
    resume_to_the_end(&left);
    assert_verified(&left);
}

#[test]
fn files_other_than_runs_are_not_repaired() {
    let folder = tempdir().unwrap();
    let [path, left] = ["other.h5", "left.h5"].map(|name| folder.path().join(name));
    // One must be created in the format of HDF5 1.10, as another program might have.
    fs::copy(OLDER, &path).unwrap();
    let file = crate::common::open_rw(&path).unwrap();
    file.delete_attr("format").unwrap();
    file.flush().unwrap();
    fs::copy(&path, &left).unwrap();
    file.close().unwrap();
    let before = fs::read(&left).unwrap();
    run("info", &left).fails(1, &["is opening it for writing"]);
    run("repair", &left).fails(1, &["not a run file of lcascope"]);
    assert_eq!(fs::read(&left).unwrap(), before);
}

/// Later additions to the format are missing in it, which is not a fault.
#[test]
fn a_run_of_an_older_program_is_readable_and_can_be_repaired() {
    assert_verified(Path::new(OLDER));
    let folder = tempdir().unwrap();
    let [path, left] = ["run.h5", "left.h5"].map(|name| folder.path().join(name));
    fs::copy(OLDER, &path).unwrap();
    let file = crate::common::open_rw(&path).unwrap();
    let status = file.dataset("state/status").unwrap();
    status.write_raw(&[0_u8]).unwrap();
    file.flush().unwrap();
    fs::copy(&path, &left).unwrap();
    drop((status, file));
    let repaired = run("repair", &left);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert!(repaired.stdout.contains("is repaired"), "{repaired:?}");
    let state = RunReader::open(&left).unwrap().refresh().unwrap();
    assert_eq!((state.committed, state.status), (48, Status::Failed));
    assert_verified(&left);
}

#[test]
fn a_run_of_an_older_program_is_not_resumed() {
    let folder = tempdir().unwrap();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let path = training.path.clone();
    let reader = training.reader();
    training.grown(&reader, 1);
    training.signal("TERM");
    training.end();
    drop(reader);
    let older = folder.path().join("older.h5");
    fs::copy(&path, &older).unwrap();
    let file = crate::common::open_rw(&older).unwrap();
    for missing in [
        "motion/gradient_turns",
        "checkpoint/0/last_signs",
        "checkpoint/1/last_signs",
    ] {
        file.unlink(missing).unwrap();
    }
    file.close().unwrap();
    let before = fs::read(&older).unwrap();
    let needles = ["has no motion/gradient_turns", "train the run again"];
    Outcome::of(resume_command(&older)).fails(1, &needles);
    assert_eq!(fs::read(&older).unwrap(), before);
    assert_eq!(run("info", &older).code, Some(0));
}

/// A device whose results differ from the recorded ones cannot repeat the steps after the checkpoint: they are dropped,
/// and the sums still close.
#[test]
fn diverging_steps_are_recomputed_from_the_checkpoint() {
    let folder = tempdir().unwrap();
    let flags = [
        "--checkpoint-every=1000",
        "--record-weights=1",
        "--record-params=1",
    ];
    let mut training = Training::endless(folder.path(), "run.h5", &flags);
    let path = training.path.clone();
    let reader = training.reader();
    training.grown(&reader, 90);
    training.kill();
    drop(reader);
    assert_eq!(run("repair", &path).code, Some(0));

    // No checkpoint yet, so the run starts from the beginning. The loss at its start differs.
    let file = crate::common::open_rw(&path).unwrap();
    let train = file.dataset("loss/train").unwrap();
    let mut losses = train.read_raw::<f64>().unwrap();
    losses[0] *= 1.0 + 1e-9;
    let before = u64::try_from(losses.len() - 1).unwrap();
    train.write_raw(&losses).unwrap();
    // While any handle is open, the file is locked.
    drop((train, file));

    let mut training = Training::start(resume_command(&path), path.clone());
    let reader = patiently("the run to go on", || {
        let reader = RunReader::open(&path).ok()?;
        reader.refresh().ok()?.is_live().then_some(reader)
    });
    let state = training.grown(&reader, 0);
    assert!(
        state.committed < before,
        "{state:?}: the old steps are gone"
    );
    training.signal("TERM");
    training.end();
    drop(reader);
    assert_verified(&path);
}

#[test]
fn a_killed_run_is_repaired_for_other_tools_and_still_resumes() {
    let folder = tempdir().unwrap();
    let flags = ["--checkpoint-every=5", "--record-params=1", "--steps=400"];
    let (command, path) = train_command(folder.path(), "run.h5", &flags);
    let mut training = Training::start(command, path.clone());
    let reader = training.reader();
    let seen = training.grown(&reader, 10).committed;
    training.kill();
    drop(reader);

    assert!(
        hdf5::File::open(&path).is_err(),
        "the killed writer's marks are there"
    );
    // We read it without a repair.
    let state = RunReader::open(&path).unwrap().refresh().unwrap();
    assert!(state.committed >= seen && !state.is_live(), "{state:?}");
    assert_verified(&path);

    let repaired = run("repair", &path);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert!(repaired.stdout.contains("is repaired"), "{repaired:?}");
    let file = RunFile::open(&path);
    let steps = usize::try_from(state.committed).unwrap();
    assert_eq!(file.reals("lca/layer").rows(), steps);
    assert_eq!(file.reals("loss/train").rows(), steps + 1);
    drop(file);
    assert_verified(&path);
    let info = run("info", &path).stdout;
    assert!(
        info.contains("failed: the program was killed after step"),
        "{info}"
    );

    let again = run("repair", &path);
    assert!(again.stdout.contains("nothing to repair"), "{again:?}");
    resume_to_the_end(&path);
    assert_verified(&path);
    let whole = train(folder.path(), "whole.h5", &flags);
    assert_same_numbers(&whole, &path);
}

/// A change that damages a file.
type Damage<'a> = &'a dyn Fn(&hdf5::File);

#[test]
fn verify_names_each_fault_and_its_location() {
    let folder = tempdir().unwrap();
    let flags = [
        "--steps=9",
        "--record-params=2",
        "--record-weights=3",
        "--lca-test",
        "--by-class",
    ];
    let path = train(folder.path(), "run.h5", &flags);
    assert_verified(&path);
    let reals = |file: &hdf5::File, name: &str, at: usize| {
        let dataset = file.dataset(name).unwrap();
        let mut values = dataset.read_raw::<f64>().unwrap();
        values[at] += 0.25;
        let shape = ndarray::IxDyn(&dataset.shape());
        let values = ndarray::ArrayD::from_shape_vec(shape, values).unwrap();
        dataset.write(values.view()).unwrap();
    };
    let singles = |file: &hdf5::File, name: &str, at: usize| {
        let dataset = file.dataset(name).unwrap();
        let mut values = dataset.read_raw::<f32>().unwrap();
        values[at] += 0.25;
        let shape = ndarray::IxDyn(&dataset.shape());
        let values = ndarray::ArrayD::from_shape_vec(shape, values).unwrap();
        dataset.write(values.view()).unwrap();
    };
    let cases: [(Damage, &[&str]); 8] = [
        (
            &|file| reals(file, "loss/train", 4),
            &["loss", "step 3:", "step 4:"],
        ),
        // Three layers: the second one's value at step 5.
        (
            &|file| reals(file, "lca/layer", 16),
            &["step 5: layers", "step 5, fc2: tensors"],
        ),
        (
            &|file| reals(file, "lca_test/total", 2),
            &["held-out sums", "step 2: layers"],
        ),
        (
            &|file| singles(file, "lca/unit", 0),
            &["step 0, fc1: units"],
        ),
        (
            &|file| singles(file, "lca/class_layer", 29),
            &["step 0, fc3: classes"],
        ),
        (
            &|file| singles(file, "lca/param", 3),
            &["step 1, fc1: lca/param"],
        ),
        (
            &|file| reals(file, "param/lca_sum", 0),
            &["running totals", "fc1: param/lca_sum"],
        ),
        (
            &|file| file.unlink("motion/cosine").unwrap(),
            &["structure", "motion/cosine"],
        ),
    ];
    for (damage, needles) in cases {
        let copy = folder.path().join("damaged.h5");
        fs::copy(&path, &copy).unwrap();
        let file = crate::common::open_rw(&copy).unwrap();
        damage(&file);
        drop(file);
        let outcome = run("verify", &copy);
        assert_eq!(outcome.code, Some(1), "{needles:?}: {outcome:?}");
        assert!(outcome.stderr.contains("fault"), "{outcome:?}");
        assert!(outcome.stdout.contains("FAULT"), "{outcome:?}");
        for needle in needles {
            assert!(
                outcome.stdout.contains(needle),
                "no `{needle}`: {}",
                outcome.stdout
            );
        }
    }
}

/// The number of times that a run is killed below; more with `just torture`.
fn kills() -> u64 {
    let kills = std::env::var("LCASCOPE_KILLS").ok();
    kills.map_or(6, |kills| {
        kills.parse().expect("LCASCOPE_KILLS is a number")
    })
}

/// Kills a run at random moments, repeatedly. It can always be opened, never loses a committed step, and in the end
/// equals the undisturbed run.
#[test]
fn a_run_that_is_killed_at_random_moments_loses_nothing() {
    let folder = tempdir().unwrap();
    // Small steps, and enough of them for every life to take some.
    let steps = format!("--steps={}", 200 * kills());
    let command = |name: &str| {
        let path = folder.path().join(name);
        let mut command = lcascope();
        command
            .args(["train", "--quiet", "--train-size=150", "--test-size=50"])
            .args([
                "--checkpoint-every=9",
                "--record-params=10",
                "--record-weights=10",
            ])
            .args([steps.as_str(), "-o"])
            .arg(&path);
        (command, path)
    };
    let (left_alone, whole) = command("whole.h5");
    assert_eq!(Outcome::of(left_alone).code, Some(0));
    let (command, path) = command("killed.h5");
    let mut random = ChaCha8Rng::seed_from_u64(4);
    let mut seen = 0;
    let mut killed = 0;
    let mut training = Training::start(command, path.clone());
    // The first life is long enough for a header; before that there is no run to lose.
    training.reader();
    loop {
        sleep(Duration::from_millis(
            50 + u64::from(random.next_u32() % 1500),
        ));
        // Whatever a reader saw last must be there afterwards.
        if let Ok(state) = RunReader::open(&path).and_then(|reader| reader.refresh()) {
            assert!(state.committed >= seen, "step {seen} was there");
            seen = state.committed;
        }
        let over = training.child.try_wait().unwrap().is_some();
        if over {
            assert_eq!(training.end().code, Some(0));
            break;
        }
        training.kill();
        killed += 1;
        let state = RunReader::open(&path).unwrap().refresh().unwrap();
        assert!(
            state.committed >= seen,
            "kill {killed}: step {seen} was committed"
        );
        seen = state.committed;
        assert_verified(&path);
        // Other tools can read it after a repair.
        let copy = folder.path().join("copy.h5");
        fs::copy(&path, &copy).unwrap();
        let repaired = run("repair", &copy);
        assert_eq!(repaired.code, Some(0), "kill {killed}: {repaired:?}");
        let rows = RunFile::open(&copy).reals("lca/layer").rows();
        assert_eq!(u64::try_from(rows).unwrap(), state.committed);
        if killed == kills() {
            resume_to_the_end(&path);
            break;
        }
        training = Training::start(resume_command(&path), path.clone());
    }
    println!("killed {killed} times");
    assert!(killed >= 2, "killed {killed} times");
    assert_verified(&path);
    assert_same_numbers(&whole, &path);
}

// ---- killed at every call ----

/// Flags of a run that records everything, with checkpoints.
const EVERYTHING: [&str; 6] = [
    "--optimizer=adam",
    "--record-params=1",
    "--record-weights=1",
    "--checkpoint-every=7",
    "--threads=1",
    "--trace=4",
];

/// A run that was killed at one of its writes.
fn killed_at(write: usize, folder: &Path, net: &str) -> PathBuf {
    let flags = [&EVERYTHING[..], &[net, "--steps=40"]].concat();
    let (command, path) = train_command(folder, "run.h5", &flags);
    let inject = format!("inject=pwrite64:signal=SIGKILL:when={write}");
    let mut traced = strace(&command, &["trace=pwrite64", &inject], None);
    let status = traced.stderr(std::process::Stdio::null()).status();
    assert!(!status.unwrap().success(), "it ends before write {write}");
    path
}

/// The steps of a file that must verify as it is and, once repaired, be readable by all programs.
#[track_caller]
fn steps_of(path: &Path, when: &str) -> u64 {
    let look = || {
        assert_verified(path);
        let reader = RunReader::open(path).unwrap_or_else(|error| panic!("{when}: {error}"));
        reader.refresh().unwrap().committed
    };
    let steps = look();
    let outcome = run("repair", path);
    assert_eq!(outcome.code, Some(0), "{when}: {outcome:?}");
    assert_eq!(look(), steps, "{when}");
    assert!(hdf5::File::open(path).is_ok(), "{when}");
    steps
}

#[test]
fn a_repair_that_is_killed_at_any_call_loses_nothing() {
    let folder = tempdir().unwrap();
    let net = network(&folder);
    if Command::new("strace").arg("-V").output().is_err() {
        skipped("no strace");
        return;
    }
    let path = killed_at(900, folder.path(), net.to_str().unwrap());
    let before = fs::read(&path).unwrap();
    let steps = steps_of(&path, "as it was left");
    fs::write(&path, &before).unwrap();
    let mut command = lcascope();
    command.arg("repair").arg(&path);
    let kills = killed_everywhere(&command, 2, |when| {
        assert_eq!(steps_of(&path, when), steps, "{when}");
        fs::write(&path, &before).unwrap();
    });
    assert!(kills > 4, "{kills}");
}

#[test]
fn a_resume_killed_while_truncating_loses_nothing_before_its_checkpoint() {
    let folder = tempdir().unwrap();
    let net = network(&folder);
    let flags = [&EVERYTHING[..], &[net.to_str().unwrap(), "--steps=12"]].concat();
    let path = train(folder.path(), "run.h5", &flags);
    // As if it had been stopped before its end, on a machine with different rounding.
    {
        let file = crate::common::open_rw(&path).unwrap();
        let write = |name: &str, value: u8| {
            file.dataset(name).unwrap().write_raw(&[value]).unwrap();
        };
        write("state/status", 2);
        let losses = file.dataset("loss/train").unwrap();
        let mut values = losses.read_raw::<f64>().unwrap();
        values[7] = values[7].next_up();
        losses.write_raw(&values).unwrap();
        let steps = file.attr("planned_steps").unwrap();
        steps.write_scalar(&14_u64).unwrap();
        let config = file.attr("config").unwrap();
        let text: hdf5::types::VarLenUnicode = config.read_scalar().unwrap();
        let text = text.replace("steps = 12", "steps = 14");
        let text: hdf5::types::VarLenUnicode = text.parse().unwrap();
        config.write_scalar(&text).unwrap();
    }
    let before = fs::read(&path).unwrap();
    let command = resume_command(&path);
    killed_everywhere(&command, 2, |when| {
        let steps = steps_of(&path, when);
        assert!((7..=14).contains(&steps), "{when}: {steps}");
        fs::write(&path, &before).unwrap();
    });
}

#[test]
fn a_finished_run_killed_before_it_was_closed_is_closed_by_resuming() {
    let folder = tempdir().unwrap();
    let net = network(&folder);
    let flags = [net.to_str().unwrap(), "--steps=3"];
    let (command, path) = train_command(folder.path(), "run.h5", &flags);
    let mut unclosed = 0;
    let kills = killed_at_the_end(&command, "pwrite64", 8, |when| {
        let state = RunReader::open(&path).unwrap().refresh().unwrap();
        if state.marked {
            unclosed += usize::from(state.status == Status::Finished);
            let outcome = Outcome::of(resume_command(&path));
            assert_eq!(outcome.code, Some(0), "{when}: {outcome:?}");
        }
        // The HDF5 library opens only what was closed.
        let file = RunFile::open(&path);
        let committed = file.0.dataset("state/committed").unwrap();
        assert_eq!(committed.read_raw::<u64>().unwrap(), [3]);
        drop((committed, file));
        assert_verified(&path);
        fs::remove_file(&path).unwrap();
    });
    assert!(kills == 0 || unclosed > 0);
}

#[test]
fn a_series_that_is_killed_at_any_call_is_completed() {
    let folder = tempdir().unwrap();
    let net = network(&folder);
    let flags = [
        &EVERYTHING[..],
        &[net.to_str().unwrap(), "--steps=10", "--repeats=1"],
    ]
    .concat();
    let (command, path) = train_command(folder.path(), "s.h5", &flags);
    let run = path.with_file_name("s-1.h5");
    let mut whole: Option<Vec<u8>> = None;
    killed_everywhere(&command, 1, |when| {
        if !run.exists() {
            return;
        }
        let mut complete = lcascope();
        complete.args(["train", "--quiet", "--repeats=1", "--resume"]);
        let outcome = Outcome::of({
            complete.arg(&path);
            complete
        });
        if outcome.code != Some(0) {
            // If there was nothing to resume, the message says so.
            let nothing = ["contains no steps", "is empty", "not an HDF5 file"];
            let is_said = nothing.iter().any(|words| outcome.stderr.contains(words));
            assert!(is_said, "{when}: {outcome:?}");
        } else if let Some(whole) = &whole {
            let reference = folder.path().join("whole.h5");
            fs::write(&reference, whole).unwrap();
            assert_same_numbers(&reference, &run);
        } else {
            whole = Some(fs::read(&run).unwrap());
        }
        let _ = fs::remove_file(&run);
    });
}

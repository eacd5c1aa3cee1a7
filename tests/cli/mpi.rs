//! Trainings in several processes: the ranks that `mpirun` starts. `tests/engines/ranks.rs` checks their numbers closer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::skip::skipped;
use crate::common::{Outcome, RunFile, SMALL, Training, folder, lcascope, patiently};
use lcascope::record::Status;
use lcascope::store::RunReader;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lcascope");

/// A network with a batch norm: its losses depend on the slices.
const NORMED: &str = "name = 'normed'\n[[layer]]\nkind = 'conv'\nchannels = 4\nkernel = 3\n\
                      [[layer]]\nkind = 'batch-norm'\n[[layer]]\nkind = 'relu'\n\
                      [[layer]]\nkind = 'max-pool'\nsize = 4\n[[layer]]\nkind = 'flatten'\n\
                      [[layer]]\nkind = 'linear'\nunits = 10\n";

/// Returns true if this program has MPI and there is an `mpirun`; if not, reports that the test is skipped.
fn has_mpi() -> bool {
    if !cfg!(feature = "mpi") {
        skipped("built without the feature mpi");
        return false;
    }
    let there = Command::new("mpirun").arg("--version").output().is_ok();
    if !there {
        skipped("no mpirun here");
    }
    there
}

/// `mpirun`, also for root and for more ranks than cores.
fn mpirun(folder: &Path) -> Command {
    let mut command = Command::new("mpirun");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
    command
}

/// The program in this many ranks; alone for 0.
fn on_ranks(ranks: usize, folder: &Path, arguments: &[&str]) -> Command {
    if ranks == 0 {
        let mut command = lcascope();
        command.current_dir(folder).args(arguments);
        return command;
    }
    let mut command = mpirun(folder);
    command.args(["-n", &ranks.to_string(), PROGRAM]);
    command.args(arguments);
    command
}

/// Trains a small run in this many ranks to its end; returns its file.
fn train(ranks: usize, folder: &Path, flags: &[&str]) -> PathBuf {
    let name = format!("ranks-{ranks}.h5");
    let flags = [&["train"], SMALL, flags, &["--force", "-o", &name]].concat();
    let outcome = Outcome::of(on_ranks(ranks, folder, &flags));
    assert_eq!(
        outcome.code,
        Some(0),
        "{ranks} ranks, {flags:?}: {outcome:?}"
    );
    // Rank 0 was told to be quiet, and the others always are.
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("", ""));
    folder.join(name)
}

/// Checks that two runs took the same path to the bit, and that their losses and allocations differ only by rounding.
#[track_caller]
fn assert_same_run(first: &Path, second: &Path, limit: f64) {
    let (first, second) = (RunFile::open(first), RunFile::open(second));
    for path in [
        "weight/value",
        "step/batch_loss",
        "step/learning_rate",
        "step/gradient_evals",
        "loss/train_accuracy",
        "loss/test_accuracy",
        "loss/validation_accuracy",
        "data/train_index",
    ] {
        assert!(first.bits(path) == second.bits(path), "{path} differs");
    }
    for (path, limit) in [
        ("loss/train", 1e-14),
        ("loss/test", 1e-14),
        ("loss/validation", 1e-14),
        ("loss/train_class", 1e-14),
        ("lca/layer", limit),
        ("lca/unit", limit),
        ("lca_test/layer", limit),
        ("lca/class_layer", limit),
    ] {
        let (a, b) = (reals(&first, path), reals(&second, path));
        assert_eq!(a.len(), b.len(), "{path}");
        let largest = b.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        for (a, b) in a.iter().zip(&b) {
            let error = (a - b).abs() / largest;
            assert!(
                error <= limit || (a.is_nan() && b.is_nan()),
                "{path}: {a} and {b}"
            );
        }
    }
}

/// A dataset's numbers, of either precision.
#[track_caller]
fn reals(file: &RunFile, path: &str) -> Vec<f64> {
    file.dataset(path).read_raw().unwrap()
}

/// The ranks of a running `mpirun`, with their process ids.
fn processes(mpirun: u32) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if parent != Some(&mpirun.to_string()) {
            continue;
        }
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        let variables = environment.split('\0');
        let rank = variables.filter_map(|it| it.strip_prefix("OMPI_COMM_WORLD_RANK="));
        found.extend(rank.filter_map(|rank| Some((rank.parse().ok()?, id))));
    }
    found.sort_unstable();
    found
}

fn endless(folder: &Path, ranks: usize, name: &str) -> Training {
    let endless = ["--steps=100000000", "--checkpoint-every=5", "-o", name];
    let flags = [&["train"], SMALL, &endless].concat();
    Training::start(on_ranks(ranks, folder, &flags), folder.join(name))
}

fn status(path: &Path) -> (Status, u64) {
    let state = RunReader::open(path).unwrap().refresh().unwrap();
    (state.status, state.committed)
}

#[track_caller]
fn assert_verified(folder: &Path, path: &Path) {
    let verified = Outcome::of(on_ranks(0, folder, &["verify", path.to_str().unwrap()]));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn any_number_of_ranks_gives_the_same_run() {
    if !has_mpi() {
        return;
    }
    let folder = folder();
    let folder = folder.path();
    fs::write(folder.join("normed.toml"), NORMED).unwrap();
    let record = [
        "--steps=6",
        "--batch-size=60",
        "--validation-size=90",
        "--record-weights=1",
        "--lca-test",
        "--by-class",
    ];
    for (flags, limit) in [
        (&["mnist-fc", "--slice-size=40"][..], 1e-6),
        (
            &[
                "mnist-fc",
                "--slice-size=40",
                "--lca-size=300",
                "--engine=candle",
            ],
            1e-6,
        ),
        (&["normed.toml", "--slice-size=50", "--lca-size=400"], 3e-5),
    ] {
        let flags = [&record, flags].concat();
        let alone = train(0, folder, &flags);
        for ranks in [1, 2, 4] {
            let path = train(ranks, folder, &flags);
            assert_same_run(&path, &alone, limit);
            assert_eq!(RunFile::open(&path).number("ranks"), ranks as u64);
            assert_verified(folder, &path);
        }
        let info = Outcome::of(on_ranks(0, folder, &["info", "ranks-4.h5"]));
        assert!(info.stdout.contains("4 ranks, each "), "{info:?}");
    }
    // The recorded path allocated again.
    let allocated = |ranks: usize| {
        let name = format!("allocated-{ranks}.h5");
        let flags = ["allocate", "ranks-0.h5", "-q", "-o", &name];
        let outcome = Outcome::of(on_ranks(ranks, folder, &flags));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        reals(&RunFile::open(&folder.join(name)), "lca/layer")
    };
    let (one, two) = (allocated(0), allocated(2));
    let largest = one.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    assert!(
        one.len() > 6
            && one
                .iter()
                .zip(&two)
                .all(|(a, b)| (a - b).abs() < 3e-5 * largest)
    );
}

#[test]
fn a_killed_rank_ends_all_and_the_run_can_be_resumed() {
    if !has_mpi() {
        return;
    }
    let folder = folder();
    let folder = folder.path();
    for killed in [1, 0] {
        let name = format!("killed-{killed}.h5");
        let mut training = endless(folder, 2, &name);
        let reader = training.reader();
        training.grown(&reader, 10);
        let ranks = processes(training.child.id());
        assert_eq!(ranks.len(), 2, "{ranks:?}");
        let kill = Command::new("kill")
            .args(["-9", &ranks[killed].1.to_string()])
            .status();
        assert!(kill.unwrap().success());
        let path = training.path.clone();
        let outcome = training.end();
        assert_ne!(outcome.code, Some(0), "{outcome:?}");
        patiently("the other rank to end", || {
            let gone = |&(_, id): &(usize, u32)| !Path::new(&format!("/proc/{id}/exe")).exists();
            ranks.iter().all(gone).then_some(())
        });
        assert_verified(folder, &path);
        let (state, before) = status(&path);
        assert_eq!(state, Status::Running, "there was no time to say so");

        let resume = ["train", "-q", "--resume", &name];
        let mut training = Training::start(on_ranks(2, folder, &resume), path.clone());
        let reader = RunReader::open(&path).unwrap();
        training.grown(&reader, before + 10);
        let stop = Outcome::of(on_ranks(0, folder, &["stop", &name]));
        assert_eq!(stop.code, Some(0), "{stop:?}");
        assert_eq!(training.end().code, Some(0));
        assert_verified(folder, &path);
        let (state, steps) = status(&path);
        assert_eq!(state, Status::Stopped);

        // As if nothing had happened.
        let whole = train(2, folder, &[&format!("--steps={steps}")]);
        let (resumed, whole) = (RunFile::open(&path), RunFile::open(&whole));
        for path in ["loss/train", "lca/layer", "step/batch_loss"] {
            assert!(resumed.bits(path) == whole.bits(path), "{path} differs");
        }
    }
}

#[test]
fn a_signal_to_mpirun_or_an_order_stops_all_ranks_after_the_step() {
    if !has_mpi() {
        return;
    }
    let folder = folder();
    let folder = folder.path();
    for how in ["USR1", "TERM", "INT", "stop"] {
        let name = format!("{how}.h5");
        let mut training = endless(folder, 2, &name);
        let reader = training.reader();
        training.grown(&reader, 3);
        if how == "stop" {
            let stop = Outcome::of(on_ranks(0, folder, &["stop", &name]));
            assert_eq!(stop.code, Some(0), "{stop:?}");
        } else {
            training.signal(how);
        }
        let path = training.path.clone();
        let outcome = training.end();
        assert_eq!(outcome.code == Some(0), how == "stop", "{outcome:?}");
        let (state, _) = status(&path);
        assert_eq!(state, Status::Stopped, "{how}: {outcome:?}");
        assert_verified(folder, &path);
    }
}

#[test]
fn ranks_that_differ_are_refused_by_name() {
    if !has_mpi() {
        return;
    }
    let folder = folder();
    let folder = folder.path();
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let two = |first: &[&str], second: &[&str]| {
        let mut command = mpirun(folder);
        command
            .args(["-n", "1"])
            .args(first)
            .args([":", "-n", "1"])
            .args(second);
        let outcome = Outcome::of(command);
        assert_ne!(outcome.code, Some(0), "{outcome:?}");
        assert!(!folder.join("run.h5").exists());
        outcome.stderr
    };
    let train = [PROGRAM, "train", "--steps=3", "-o", "run.h5"];
    let other = [PROGRAM, "train", "--steps=4", "-o", "run.h5"];
    let said = two(&train, &other);
    let want = format!(
        "error: rank 1 on {host}: started with other arguments than rank 0: `train --steps=4 -o run.h5`, not `train \
         --steps=3 -o run.h5`"
    );
    assert!(said.contains(&want), "{said}");

    // A path that is another file for each rank.
    let data = "--data=/proc/self/cwd/data.npz";
    let train = [&train[..], &[data, "--test-size=1"]].concat();
    let (one, other) = (folder.join("one"), folder.join("other"));
    for (place, source) in [(&one, "tiny"), (&other, "varied")] {
        fs::create_dir(place).unwrap();
        let source = format!("{}/tests/numpy/{source}.npz", env!("CARGO_MANIFEST_DIR"));
        fs::copy(source, place.join("data.npz")).unwrap();
    }
    let places = [&one, &other].map(|place| ["-wdir", place.to_str().unwrap()]);
    let [one, other] = places.map(|place| [&place[..], &train].concat());
    let said = two(&one, &other);
    let want =
        format!("error: rank 1 on {host}: /proc/self/cwd/data.npz is not rank 0's data: SHA-256");
    assert!(said.contains(&want), "{said}");

    // An error that only rank 1 has.
    fs::remove_file(folder.join("other/data.npz")).unwrap();
    let said = two(&one, &other);
    let want = format!("error: rank 1 on {host}: ");
    assert!(said.contains(&want) && said.contains("data.npz"), "{said}");
}

#[test]
fn errors_are_reported_once_and_before_anything_is_written() {
    if !has_mpi() {
        return;
    }
    let folder = folder();
    let folder = folder.path();
    for (flags, code, want) in [
        (
            &["--batch-size=100000"][..],
            2,
            "--batch-size 100000: there are only",
        ),
        (&["--data=missing"], 1, "missing"),
    ] {
        let flags = [&["train", "-o", "run.h5"], flags].concat();
        let outcome = Outcome::of(on_ranks(2, folder, &flags));
        assert_eq!(outcome.code, Some(code), "{outcome:?}");
        assert_eq!(outcome.stderr.matches("error: ").count(), 1, "{outcome:?}");
        assert!(outcome.stderr.contains(want), "{outcome:?}");
        assert!(!folder.join("run.h5").exists());
    }
    for command in [
        &["train", "--repeats=2", "-o", "run.h5"][..],
        &["train", "--detach", "-o", "run.h5"],
        &["experiment", "freeze-last", "--quick", "-o", "run"],
    ] {
        let outcome = Outcome::of(on_ranks(2, folder, command));
        let want = "mpirun has started 2 processes, but ";
        assert!(outcome.stderr.contains(want), "{outcome:?}");
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
    }
    let dry = Outcome::of(on_ranks(2, folder, &["train", "--steps=3", "--dry-run"]));
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.stdout.contains("gradients per step"), "{dry:?}");
    assert!(dry.stderr.contains("2 ranks, each cpu, "), "{dry:?}");
}

#[test]
fn processes_that_are_not_connected_are_refused() {
    let folder = folder();
    let folder = folder.path();
    // Srun with an MPI library that does not know it starts unconnected processes; so does any launcher with a program
    // that has no MPI.
    let variables = ["SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
    let has_mpi = cfg!(feature = "mpi");
    for (variable, launcher) in variables.into_iter().zip(["srun", "mpirun", "mpirun"]) {
        let mut command = on_ranks(0, folder, &["train", "--steps=3", "-o", "run.h5"]);
        for other in variables {
            command.env_remove(other);
        }
        command.env(variable, "4");
        let outcome = Outcome::of(command);
        let why = if has_mpi {
            format!("{launcher} has started 4 processes ({variable}), but MPI connects 1: ")
        } else {
            format!("{launcher} has started 4 processes, but this program was built without MPI, ")
        };
        outcome.fails(2, &[&why]);
        assert!(!folder.join("run.h5").exists());
    }
    let mut command = on_ranks(0, folder, &["train", "--steps=1", "-q", "-o", "run.h5"]);
    command
        .env("SLURM_NTASKS", "4")
        .env("SLURM_STEP_NUM_TASKS", "1");
    assert_eq!(Outcome::of(command).code, Some(0), "a step of one task");
    let mut command = on_ranks(0, folder, &["train", "--steps=1", "-o", "run.h5"]);
    command.env("PMI_SIZE", "several");
    Outcome::of(command).fails(2, &["PMI_SIZE", "`several`"]);
}

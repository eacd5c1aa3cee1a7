//! Failures around a run: two writers, full disks, deleted files, clocks that jump. None of them may cost a committed
//! step.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::skip::skipped;
use crate::common::{
    Outcome, RunFile, TINY, Training, assert_closes, folder, lcascope, patiently, train,
    train_command,
};
use lcascope::record::Status;
use lcascope::store::{RunReader, RunState};
use tempfile::TempDir;

fn state(path: &Path) -> RunState {
    RunReader::open(path).unwrap().refresh().unwrap()
}

/// Runs `lcascope train --force` into a file that may already exist.
fn overwrite(path: &Path) -> Outcome {
    let folder = path.parent().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    Outcome::of(train_command(folder, name, &["--steps=1", "--force"]).0)
}

/// Runs a script in a Python with h5py: `LCASCOPE_TEST_PYTHON`, or `python3`.
fn h5py(script: &str, path: &Path) {
    let python = std::env::var("LCASCOPE_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let there = Command::new(&python).args(["-c", "import h5py"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        skipped("no h5py");
        return;
    }
    let mut command = Command::new(&python);
    command.args(["-c", script]).arg(path);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}

/// Checks that every committed step is there and closes.
#[track_caller]
fn all_steps(path: &Path) -> RunState {
    let reader = RunReader::open(path).unwrap();
    let state = reader.refresh().unwrap();
    let mut loss = None;
    for (step, summary) in (0..).zip(reader.steps(0..state.committed).unwrap()) {
        assert_closes(&summary, step, loss);
        loss = Some(summary.loss_after);
    }
    state
}

/// The file offset of a small dataset's bytes.
fn offset(path: &Path, dataset: &str) -> u64 {
    // A process must open a file in the same way each time: here the reader's.
    let file = hdf5::File::with_options()
        .with_fapl(|access| access.file_locking(false))
        .open_as(path, hdf5::OpenMode::ReadSWMR)
        .unwrap();
    let offset = file.dataset(dataset).unwrap().offset();
    offset.expect("it is contiguous")
}

/// Overwrites the bytes of a small dataset without HDF5's knowledge.
fn patch(path: &Path, dataset: &str, bytes: &[u8]) {
    let at = offset(path, dataset);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at).unwrap();
}

fn unix_seconds() -> f64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

// ---- writers ----

#[test]
fn a_second_writer_is_refused_and_a_killed_writers_lock_is_released() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    let before = training.grown(&reader, 0);
    assert!(before.is_live() && before.held == Some(true), "{before:?}");
    assert_eq!(before.process, u64::from(training.child.id()));
    assert!(!before.host.is_empty());
    let path = training.path.clone();
    overwrite(&path).fails(1, &["run.h5 is being written"]);
    // It was not disturbed.
    training.grown(&reader, before.committed);
    training.kill();
    let after = state(&path);
    assert!(!after.is_live() && after.held == Some(false), "{after:?}");
    assert!(after.committed > before.committed);
    let outcome = overwrite(&path);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert_eq!(state(&path).status, Status::Finished);
    // A reader of the old file keeps it.
    assert!(reader.steps(0..after.committed).is_ok());
}

#[test]
fn a_finished_file_that_others_read_can_be_overwritten() {
    let folder = folder();
    let path = train(folder.path(), "run.h5", &["--steps=2"]);
    // A shared lock, as h5py holds while it reads.
    let held = File::open(&path).unwrap();
    held.try_lock_shared().unwrap();
    assert!(!state(&path).is_live());
    let outcome = overwrite(&path);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}

/// A notebook that has a run open with h5py holds a shared lock on it all the time.
#[test]
fn a_reader_is_not_taken_for_a_writer() {
    let folder = folder();
    let command = |words: &[&str], path: &Path| {
        let mut command = lcascope();
        command.args(words).arg(path);
        command
    };
    let answers = |words: &[&str], path: &Path| Outcome::of(command(words, path));
    let read = |path: &Path| {
        let held = File::open(path).unwrap();
        held.try_lock_shared().unwrap();
        held
    };

    // Resuming, also while it is being read: a second writer is kept out.
    let mut training = Training::endless(folder.path(), "run.h5", &["--checkpoint-every=20"]);
    let reader = training.reader();
    training.grown(&reader, 40);
    drop(reader);
    let path = training.path.clone();
    let notebook = read(&path);
    assert_eq!(state(&path).held, Some(true));
    for words in [&["repair"][..], &["train", "-q", "--resume"]] {
        answers(words, &path).fails(1, &["run.h5 is being written"]);
    }
    overwrite(&path).fails(1, &["run.h5 is being written"]);

    // Killed: noticed at once, without waiting for the notebook to close the file.
    training.kill();
    let info = answers(&["info"], &path);
    assert!(info.stdout.contains("crashed"), "{info:?}");
    let mut again = Training::start(command(&["train", "-q", "--resume"], &path), path.clone());
    let reader = patiently("the run to go on", || {
        let reader = RunReader::open(&path).ok()?;
        reader.refresh().ok()?.is_live().then_some(reader)
    });
    let before = reader.refresh().unwrap().committed;
    again.grown(&reader, before);
    again.kill();
    drop(reader);
    let repaired = answers(&["repair"], &path);
    assert_eq!(repaired.code, Some(0), "{repaired:?}");
    assert!(repaired.stdout.contains("is repaired"), "{repaired:?}");
    let verified = answers(&["verify"], &path);
    assert_eq!(verified.code, Some(0), "{verified:?}");

    // After its end.
    assert_eq!(overwrite(&path).code, Some(0));
    drop(notebook);
    let notebook = read(&path);
    let info = answers(&["info"], &path);
    assert!(info.stdout.contains("finished"), "{info:?}");
    let repaired = answers(&["repair"], &path);
    assert!(
        repaired.stdout.contains("nothing to repair"),
        "{repaired:?}"
    );
    answers(&["train", "-q", "--resume"], &path).fails(1, &["is complete with"]);
    // Unreadable, so the file does not tell who writes it.
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(overwrite(&path).code, Some(0));
    drop(notebook);
}

#[test]
fn the_lock_decides_not_the_clock() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    training.grown(&reader, 0);
    let path = training.path.clone();

    // A stopped writer is not lost, although its heartbeat is an hour old.
    training.signal("STOP");
    let hour_ago = unix_seconds() - 3600.0;
    patch(&path, "state/heartbeat", &hour_ago.to_le_bytes());
    let stopped = state(&path);
    assert!(stopped.silent >= 3600.0, "{stopped:?}");
    assert!(stopped.is_live() && !stopped.writer_is_lost());
    overwrite(&path).fails(1, &["is being written"]);

    // A reader that has seen another heartbeat counts from the change, not by the clock.
    let seen = reader.refresh().unwrap();
    assert!(seen.silent < 10.0, "{seen:?}");
    training.kill();
    // Without its journal's header, which would undo the patches below.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 4096).unwrap();

    // A dead writer is dead, although its heartbeat is an hour in the future.
    let in_an_hour = unix_seconds() + 3600.0;
    patch(&path, "state/heartbeat", &in_an_hour.to_le_bytes());
    let dead = state(&path);
    assert_eq!(dead.silent, 0.0);
    assert!(!dead.is_live());

    // For another host, only the heartbeat can tell.
    patch(&path, "state/host", &[&b"elsewhere"[..], &[0; 55]].concat());
    let elsewhere = state(&path);
    assert_eq!(
        (elsewhere.host.as_str(), elsewhere.held),
        ("elsewhere", None)
    );
    assert!(elsewhere.is_live());
    overwrite(&path).fails(1, &["is being written"]);
    patch(&path, "state/heartbeat", &hour_ago.to_le_bytes());
    let elsewhere = state(&path);
    assert!(!elsewhere.is_live() && elsewhere.writer_is_lost());
    assert_eq!(overwrite(&path).code, Some(0));
}

/// Opens the file repeatedly, as a notebook would.
const H5PY_AGAIN: &str = "
import h5py, sys
last = 0
for _ in range(100):
    with h5py.File(sys.argv[1], 'r', libver='latest', swmr=True) as f:
        t = int(f['state/committed'][0])
        total, loss = f['lca/total'][:t], f['loss/train'][:t + 1]
        residual = f['lca/residual'][:t]
        assert len(total) == t >= last
        assert t == 0 or abs(total + residual - (loss[1:] - loss[:-1])).max() < 1e-12
        last = t
try:
    h5py.File(sys.argv[1], 'r+')
except OSError:
    pass
else:
    raise SystemExit('a second writer got in')
";

#[test]
fn readers_are_admitted_whatever_the_lock_environment() {
    for locking in [None, Some("FALSE"), Some("TRUE"), Some("BEST_EFFORT")] {
        let folder = folder();
        let (mut command, path) = train_command(folder.path(), "run.h5", &["--steps", "100000000"]);
        if let Some(locking) = locking {
            command.env("HDF5_USE_FILE_LOCKING", locking);
        }
        let mut training = Training::start(command, path.clone());
        let reader = training.reader();
        let state = training.grown(&reader, 0);
        assert_eq!(state.held, Some(true), "{locking:?}");
        h5py(H5PY_AGAIN, &path);
        overwrite(&path).fails(1, &["is being written"]);
        training.grown(&reader, state.committed);
    }
}

// ---- the disk ----

/// A file system of its own, unmounted when dropped. Tests that cannot have one report that they are skipped.
struct Mount {
    point: PathBuf,
    _image: TempDir,
}

impl Mount {
    fn new(arguments: &[&str], image: TempDir) -> Option<Self> {
        let point = image.path().join("mounted");
        fs::create_dir(&point).unwrap();
        let output = Command::new("mount").args(arguments).arg(&point).output();
        if !output.as_ref().is_ok_and(|output| output.status.success()) {
            skipped(&format!("cannot mount {arguments:?} here"));
            return None;
        }
        Some(Self {
            point,
            _image: image,
        })
    }

    fn tmpfs(size: &str) -> Option<Self> {
        let options = format!("size={size}");
        Self::new(&["-t", "tmpfs", "-o", &options, "none"], folder())
    }

    fn ext4(mebibytes: u64) -> Option<Self> {
        let image = folder();
        let path = image.path().join("image");
        File::create(&path)
            .unwrap()
            .set_len(mebibytes << 20)
            .unwrap();
        let made = Command::new("mkfs.ext4").arg("-q").arg(&path).output();
        if !made.is_ok_and(|output| output.status.success()) {
            skipped("no mkfs.ext4 here");
            return None;
        }
        let path = path.to_str().unwrap().to_owned();
        Self::new(&["-o", "loop", &path], image)
    }

    fn unmount(&self) {
        let output = Command::new("umount").arg("-l").arg(&self.point).output();
        assert!(output.unwrap().status.success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.point).output();
    }
}

/// A small network, so that many steps fit on a small disk.
fn tiny(folder: &Path) -> PathBuf {
    let path = folder.join("tiny.toml");
    fs::write(&path, TINY).unwrap();
    path
}

/// A run that fills its disk: it records everything at every step, in `folder/run.h5`.
fn greedy(network: &Path, folder: &Path, compression: &str) -> (Command, PathBuf) {
    let network = network.to_str().unwrap();
    let compression = format!("--compression={compression}");
    let flags = [
        network,
        "--steps=1000000",
        "--record-params=1",
        "--record-weights=1",
        &compression,
    ];
    train_command(folder, "run.h5", &flags)
}

/// Checks that a run that ran out of room leaves a complete file with all its steps and the reason.
#[track_caller]
fn is_whole(path: &Path, reason: &str) {
    let state = all_steps(path);
    assert_eq!(state.status, Status::Failed);
    assert!(state.message.contains(reason), "{}", state.message);
    assert!(state.committed > 0);

    let file = RunFile::open(path);
    let steps = usize::try_from(state.committed).unwrap();
    for name in ["lca/total", "lca/layer", "step/epoch", "trace/lca"] {
        assert_eq!(file.dataset(name).shape()[0], steps, "{name}");
    }
    assert_eq!(file.dataset("loss/train").shape()[0], steps + 1);
    // The arrays over all parameters extend to the last commit, or one block further.
    let recorded = file.counts("lca/param_step").values;
    assert!(recorded.iter().copied().eq(0..recorded.len() as u64));
    assert!(recorded.len() >= steps, "{} rows", recorded.len());
    let param = file.singles("lca/param");
    let total = file.reals("lca/total").values;
    assert_eq!(param.rows(), recorded.len());
    for (t, total) in total.iter().enumerate() {
        let sum: f64 = param.row(t).iter().map(|&a| f64::from(a)).sum();
        crate::common::assert_close(sum, *total, 1e-5, &format!("step {t}"));
    }
    assert!(file.singles("weight/value").rows() > steps);
    drop(file);

    let meta = fs::metadata(path).unwrap();
    assert!(
        meta.blocks() * 512 <= meta.len() + (256 << 10),
        "what was reserved is given back: {meta:?}"
    );
    h5py(H5PY_WHOLE, path);
}

const H5PY_WHOLE: &str = "
import h5py, sys
f = h5py.File(sys.argv[1], 'r')
t = int(f['state/committed'][0])
assert int(f['state/status'][0]) == 3 and t > 0
assert f['lca/total'].shape == (t,) and f['loss/train'].shape == (t + 1,)
f.visititems(lambda name, x: x[:] if isinstance(x, h5py.Dataset) and 'param' not in name and 'weight' not in name else None)
";

#[test]
fn a_full_tmpfs_costs_no_committed_step() {
    let folder = folder();
    let network = tiny(folder.path());
    for compression in ["lz4", "none"] {
        let Some(mount) = Mount::tmpfs("20m") else {
            return;
        };
        let (command, path) = greedy(&network, &mount.point, compression);
        Outcome::of(command).fails(1, &["run.h5", "no space for", "the disk is full"]);
        is_whole(&path, "the disk is full");
        let len = fs::metadata(&path).unwrap().len();
        assert!(len > 10 << 20, "only {len} bytes were used");
    }
}

#[test]
fn a_full_ext4_costs_no_committed_step() {
    let folder = folder();
    let network = tiny(folder.path());
    let Some(mount) = Mount::ext4(20) else {
        return;
    };
    let (command, path) = greedy(&network, &mount.point, "lz4");
    Outcome::of(command).fails(1, &["no space for", "the disk is full"]);
    is_whole(&path, "the disk is full");

    // Without room for a header, there is no file either.
    let (command, second) = train_command(&mount.point, "second.h5", &["--steps=1"]);
    let filler = vec![7; 1 << 20];
    let mut fill = File::create(mount.point.join("filler")).unwrap();
    while std::io::Write::write_all(&mut fill, &filler).is_ok() {}
    let outcome = Outcome::of(command);
    outcome.fails(1, &["second.h5", "no space for"]);
    assert!(!outcome.stderr.contains("committed before"), "{outcome:?}");
    assert!(!second.exists());
}

#[test]
fn a_limit_on_the_size_of_files_costs_no_committed_step() {
    let folder = folder();
    let network = tiny(folder.path());
    let (command, path) = greedy(&network, folder.path(), "lz4");
    let mut limited = Command::new("sh");
    limited
        .current_dir(folder.path())
        .args(["-c", "ulimit -f 32768; exec \"$0\" \"$@\""])
        .arg(command.get_program())
        .args(command.get_args());
    Outcome::of(limited).fails(
        1,
        &[
            "the size of files is limited to 16777216 bytes",
            "ulimit -f",
        ],
    );
    is_whole(&path, "the size of files is limited to");
}

#[test]
fn a_file_deleted_under_its_writer_is_rescued() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &["--record-weights=2"]);
    let reader = training.reader();
    let seen = training.grown(&reader, 0).committed;
    let path = training.path.clone();
    fs::remove_file(&path).unwrap();
    let saved = format!("are saved in {}", path.display());
    training.end().fails(1, &["was deleted while", &saved]);
    let state = all_steps(&path);
    assert!(state.committed >= seen);
    assert_eq!(state.status, Status::Failed);
    assert!(state.message.contains("was deleted"), "{state:?}");
    RunFile::open(&path);

    // Beside it, if the name is taken.
    let mut training = Training::endless(folder.path(), "other.h5", &[]);
    let reader = training.reader();
    training.grown(&reader, 0);
    let path = training.path.clone();
    fs::remove_file(&path).unwrap();
    fs::write(&path, "somebody else's").unwrap();
    training
        .end()
        .fails(1, &["was deleted while", "other.rescued.h5"]);
    assert_eq!(fs::read(&path).unwrap(), b"somebody else's");
    assert!(all_steps(&path.with_file_name("other.rescued.h5")).committed > 0);
}

#[test]
fn a_renamed_file_is_still_written() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let reader = training.reader();
    let seen = training.grown(&reader, 0).committed;
    let renamed = folder.path().join("renamed.h5");
    fs::rename(&training.path, &renamed).unwrap();
    let seen = training.grown(&reader, seen).committed;
    training.grown(&reader, seen);
    training.signal("INT");
    assert_eq!(training.end().code, Some(130));
    assert_eq!(all_steps(&renamed).status, Status::Stopped);
}

#[test]
fn a_file_system_unmounted_under_its_writer_ends_the_run() {
    let Some(mount) = Mount::tmpfs("64m") else {
        return;
    };
    let mut training = Training::endless(&mount.point, "run.h5", &[]);
    let reader = training.reader();
    let seen = training.grown(&reader, 0).committed;
    drop(reader);
    let path = training.path.clone();
    mount.unmount();
    // This one was in memory, and would have disappeared with its last handle.
    let outcome = training.end();
    outcome.fails(1, &["unmounted while it was being written", "are saved in"]);
    let state = all_steps(&path);
    assert!(state.committed >= seen && state.status == Status::Failed);
}

#[test]
fn a_read_only_folder_is_named() {
    let Some(mount) = Mount::tmpfs("4m") else {
        return;
    };
    let remount = ["-o", "remount,ro"];
    let output = Command::new("mount")
        .args(remount)
        .arg(&mount.point)
        .output();
    assert!(output.unwrap().status.success());
    let path = mount.point.join("run.h5");
    let mut command = lcascope();
    command
        .args(["train", "--quiet", "--steps=1", "-o"])
        .arg(&path);
    let words = ["run.h5", "Read-only file system"];
    Outcome::of(command).fails(1, &words);
}

#[test]
fn a_quota_costs_no_committed_step() {
    // tmpfs has quotas by user since Linux 6.6, but not for root.
    let options = "size=64m,mode=1777,usrquota,usrquota_block_hardlimit=20m";
    let Some(mount) = Mount::new(&["-t", "tmpfs", "-o", options, "none"], folder()) else {
        return;
    };
    let open = |path: &Path| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(mount.point.parent().unwrap());
    let network = tiny(&mount.point);
    let program = mount.point.join("lcascope");
    fs::copy(lcascope().get_program(), &program).unwrap();
    let (command, path) = greedy(&network, &mount.point, "lz4");
    let mut other = Command::new("setpriv");
    other
        .current_dir(&mount.point)
        .args(["--reuid=65534", "--clear-groups"])
        .arg(&program)
        .args(command.get_args());
    let Ok(output) = other.output() else {
        skipped("no setpriv here");
        return;
    };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("setpriv:") {
        skipped(&said);
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("your disk quota is exhausted"), "{said}");
    is_whole(&path, "your disk quota is exhausted");
}

// ---- messages on the screen ----

#[test]
fn a_failed_recorder_is_reported_without_a_screen() {
    let folder = folder();
    let network = tiny(folder.path());
    let Some(mount) = Mount::tmpfs("8m") else {
        return;
    };
    let mut command = lcascope();
    command
        .current_dir(&mount.point)
        .arg("train")
        .arg(&network)
        .args(["--steps=1000000", "--record-params=1", "-o", "run.h5"]);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let last = outcome.stderr.lines().last().unwrap();
    assert!(
        last.starts_with("error: ") && last.contains("the disk is full"),
        "{last}"
    );
    patiently("the writer's lock to end", || {
        let free = File::open(mount.point.join("run.h5")).unwrap();
        free.try_lock().ok()
    });
}

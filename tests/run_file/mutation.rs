//! Run files with random damage, a few hundred of them from fixed seeds. The program must answer each with its numbers
//! or with a one-line error, in bounded memory, and end. Only the process that runs the library may crash, never ours.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::common::{lcascope, old_format, train_tiny};
use lcascope::feed::{self, FeedEvent, OpenError};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Mutations of each seed file.
const MUTATIONS: u64 = 100;

/// Exceeded only by a program that never ends.
const PATIENCE: Duration = Duration::from_secs(300);

/// The limit on the program's address space: far more than it needs for files of this size, far less than a length in a
/// damaged header may ask for.
const MEMORY_KIB: u64 = 6 << 20;

/// A small network's run of 40 steps with everything recorded.
fn small_run(folder: &Path) -> PathBuf {
    train_tiny(folder, &["--steps=40", "--record-params=8"])
}

/// Damages a file in one of several ways, one to four times.
fn mutate(bytes: &mut Vec<u8>, random: &mut ChaCha8Rng) {
    for _ in 0..random.random_range(1..=4) {
        let len = bytes.len();
        if len < 64 {
            return;
        }
        // Most of what HDF5 trusts is at the start; the rest are our own numbers.
        let reach = *[len, len, 4096.min(len), 512.min(len)]
            .choose(random)
            .unwrap();
        let at = random.random_range(8..reach);
        match random.random_range(0..7) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => {
                let run = random.random_range(1..64.min(len - at + 1));
                let value = *[0, 0xff, random.random()].choose(random).unwrap();
                bytes[at..at + run].fill(value);
            }
            // A length, address or count.
            3 => {
                let value = *[0, 1, 0xff, 1 << 31, 1 << 40, 1 << 63, u64::MAX, len as u64]
                    .choose(random)
                    .unwrap();
                let width = random.random_range(1..=8).min(len - at);
                bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            }
            4 => bytes.truncate(at),
            5 => {
                let from = random.random_range(0..len);
                let run = random.random_range(1..256).min(len - at).min(len - from);
                bytes.copy_within(from..from + run, at);
            }
            _ => {
                let run = random.random_range(1..256).min(len - at);
                bytes.drain(at..at + run);
            }
        }
    }
}

/// Waits for a child, with a time limit.
fn end_of(mut child: Child, path: &Path, what: &str) -> std::process::Output {
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            panic!("{what} does not end: {}", keep(path));
        }
        sleep(Duration::from_millis(2));
    }
    child.wait_with_output().unwrap()
}

/// Keeps the current file for debugging.
fn keep(path: &Path) -> String {
    let kept = std::env::temp_dir().join("lcascope-mutant.h5");
    let _ = fs::copy(path, &kept);
    kept.display().to_string()
}

/// The outcomes for the mutations of one file.
#[derive(Debug, Default)]
struct Tally {
    read: u32,
    refused: u32,
    /// The library crashed or did not end.
    crashed: u32,
}

impl Tally {
    fn info(&mut self, path: &Path, what: &str) {
        let mut limited = Command::new("sh");
        limited
            .args([
                "-c",
                &format!("ulimit -v {MEMORY_KIB}; exec \"$0\" info \"$1\""),
            ])
            .arg(lcascope().get_program())
            .arg(path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let output = end_of(limited.spawn().unwrap(), path, what);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), None, "{what}: {said}");
        match output.status.code() {
            Some(0) => {
                assert!(said.is_empty(), "{what}: {said}");
                self.read += 1;
            }
            Some(1) => {
                let one = said.starts_with("error: ") && said.lines().count() == 1;
                assert!(one && said.contains("mutant.h5"), "{what}: {said}");
                assert!(!said.contains("this is a bug"), "{what}: {said}");
                if said.contains("the HDF5 library") {
                    self.crashed += 1;
                    // A file on which the library does not end takes ten seconds each time.
                    if said.contains("the HDF5 library crashed") {
                        others(path, what);
                    }
                } else {
                    self.refused += 1;
                }
            }
            code => panic!("{what}: {code:?} {said}"),
        }
    }

    /// Reads the file as `lcascope open` does.
    fn open(&mut self, path: &Path, what: &str) {
        let mut reader = Command::new(lcascope().get_program());
        // With a time limit, as when a file is not followed: a user who follows one can leave.
        reader.arg("reader").arg(path).env("LCASCOPE_GUARDED", "30");
        let opening = feed::spawn(reader, path).unwrap();
        let bug = |why: &str| assert!(!why.contains("this is a bug"), "{what}: {why}");
        let feed = match opening.ready.recv_timeout(PATIENCE) {
            Ok(Ok(feed)) => feed,
            Ok(Err(error)) => {
                bug(&error.to_string());
                match error {
                    OpenError::Crashed { .. } => self.crashed += 1,
                    _ => self.refused += 1,
                }
                return;
            }
            Err(error) => panic!("{what}: no answer: {error}"),
        };
        loop {
            match feed.events.recv_timeout(PATIENCE) {
                Ok(FeedEvent::CaughtUp | FeedEvent::Status { .. }) => {
                    self.read += 1;
                    return;
                }
                Ok(FeedEvent::Broken(why)) => {
                    bug(&why);
                    if why.contains("the HDF5 library") {
                        self.crashed += 1;
                    } else {
                        self.refused += 1;
                    }
                    return;
                }
                Ok(_) => {}
                Err(error) => panic!("{what}: {error}"),
            }
        }
    }
}

/// A file that crashes or stalls the process reading for `info` must do no worse to the other commands.
fn others(path: &Path, what: &str) {
    for words in [
        "list FOLDER",
        "stop FILE",
        "pause FILE",
        "resume FILE",
        "verify FILE",
        "repair FILE",
        "export FILE --view layers -o -",
        "report FILE -o FOLDER/report",
        "train --resume FILE -q",
        "train --config FILE -q -o FOLDER/new.h5",
        "allocate FILE -q -o FOLDER/new.h5",
    ] {
        let mut command = lcascope();
        let folder = path.parent().unwrap().to_str().unwrap();
        for word in words.split(' ') {
            command.arg(
                word.replace("FILE", path.to_str().unwrap())
                    .replace("FOLDER", folder),
            );
        }
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = end_of(command.spawn().unwrap(), path, &format!("{words}, {what}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), None, "{words}, {what}: {said}");
        assert!(!said.contains("this is a bug"), "{words}, {what}: {said}");
        if words != "list FOLDER" {
            assert_eq!(output.status.code(), Some(1), "{words}, {what}: {said}");
            assert!(said.contains("mutant.h5"), "{words}, {what}: {said}");
        }
    }
}

fn check(seed_file: &Path, first_seed: u64, mutations: u64) {
    let whole = fs::read(seed_file).unwrap();
    let path = seed_file.with_file_name("mutant.h5");
    let mut tally = Tally::default();
    for seed in first_seed..first_seed + mutations {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = whole.clone();
        mutate(&mut bytes, &mut random);
        fs::write(&path, &bytes).unwrap();
        let what = format!("{} with seed {seed}", seed_file.display());
        tally.info(&path, &what);
        tally.open(&path, &what);
    }
    println!("{}: {tally:?}", seed_file.display());
    // The damage is neither too small to matter nor so large that nothing is read.
    assert!(tally.read > 0 && tally.refused > 0, "{tally:?}");
}

#[test]
fn a_damaged_run_file_never_crashes_the_program() {
    let folder = tempfile::tempdir().unwrap();
    check(&small_run(folder.path()), 0, MUTATIONS);
}

#[test]
fn a_damaged_file_in_the_oldest_format_never_crashes_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let whole = small_run(folder.path());
    let old = folder.path().join("old.h5");
    old_format(&whole, &old);
    let mut intact = Tally::default();
    fs::copy(&old, folder.path().join("mutant.h5")).unwrap();
    intact.info(&folder.path().join("mutant.h5"), "the intact file");
    assert_eq!(intact.read, 1, "{intact:?}");
    check(&old, 1000, MUTATIONS);
}

#[test]
fn a_file_truncated_anywhere_never_crashes_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let whole = fs::read(small_run(folder.path())).unwrap();
    let path = folder.path().join("mutant.h5");
    let mut tally = Tally::default();
    let mut random = ChaCha8Rng::seed_from_u64(2000);
    for _ in 0..40 {
        let length = random.random_range(0..whole.len());
        fs::write(&path, &whole[..length]).unwrap();
        tally.info(&path, &format!("cut at {length}"));
    }
    assert_eq!(tally.read, 0, "{tally:?}");
}

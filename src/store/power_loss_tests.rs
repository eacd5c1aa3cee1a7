//! Tests in which the machine dies, or the program is killed, while a run is written, repaired or resumed.
//!
//! Every operation on the file is recorded. When the machine dies, each page written since the last sync may have any
//! of its versions, and the file any of its lengths since then; a kill leaves a prefix of the writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::raw_file::asked::{self, FileOperation};
use super::testing::{RecordMaker, RunShape};
use super::{
    Disappearance, KeptPart, Resumable, RunReader, RunWriter, StoreError, WriteOptions, repair,
    verify,
};
use crate::record::{Checkpoint, SavedArray, SavedValues};

const PAGE: usize = 4096;

const SHAPE: RunShape = RunShape {
    steps: 70,
    layers: 3,
    units: 8,
    classes: 3,
    // The synthetic ones do not add up.
    held_out: false,
    snapshots: 10,
};

/// The number of moments tried: `quick`, or the value of `LCASCOPE_KILLS` (`just torture`).
fn deaths(quick: usize) -> usize {
    let wanted = std::env::var("LCASCOPE_KILLS").ok();
    wanted.map_or(quick, |wanted| {
        wanted.parse().expect("LCASCOPE_KILLS is a number")
    })
}

fn checkpoint(step: u64) -> Checkpoint {
    #[expect(clippy::cast_precision_loss, reason = "a few steps")]
    let values = (0..1500).map(|i| (step * 1500 + i) as f32).collect();
    Checkpoint {
        step,
        arrays: vec![SavedArray {
            name: "weights",
            description: "every parameter",
            values: SavedValues::F32(values),
        }],
    }
}

/// The operations on a run's file, and after which of them how many steps were synced.
struct FileHistory {
    asked: Vec<FileOperation>,
    synced: Vec<(usize, u64)>,
}

/// Writes a run with checkpoints and, if requested, its end.
fn record(path: &Path, finish: bool) -> FileHistory {
    asked::take();
    let mut maker = RecordMaker::new(SHAPE);
    maker.header.checkpoint = checkpoint(0).shape();
    let mut writer = RunWriter::create(path, &maker.header, WriteOptions::default()).unwrap();
    let mut synced = vec![(asked::count(), 0)];
    writer.start(&maker.start()).unwrap();
    writer.commit().unwrap();
    for step in 0..SHAPE.steps {
        let record = maker.step(step);
        writer.step(&record).unwrap();
        let done = step + 1;
        if done % 23 == 0 {
            writer.checkpoint(&checkpoint(done)).unwrap();
            synced.push((asked::count(), done));
        } else if done % 3 == 0 {
            writer.commit().unwrap();
        }
    }
    if finish {
        writer.finish(&maker.end()).unwrap();
        synced.push((asked::count(), SHAPE.steps));
    } else {
        writer.commit().unwrap();
    }
    FileHistory {
        asked: asked::take(),
        synced,
    }
}

fn apply(file: &mut Vec<u8>, asked: &FileOperation) {
    match asked {
        FileOperation::Write(address, bytes) => {
            let start = usize::try_from(*address).unwrap();
            let end = start + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[start..end].copy_from_slice(bytes);
        }
        FileOperation::SetLen(len) => file.resize(usize::try_from(*len).unwrap(), 0),
        FileOperation::Sync => {}
    }
}

/// The file after a kill.
fn killed(before: &[u8], asked: &[FileOperation]) -> Vec<u8> {
    let mut file = before.to_vec();
    for asked in asked {
        apply(&mut file, asked);
    }
    file
}

/// The file after the machine died following these operations.
fn died(before: &[u8], asked: &[FileOperation], random: &mut ChaCha8Rng) -> Vec<u8> {
    let synced = asked
        .iter()
        .rposition(|asked| matches!(asked, FileOperation::Sync));
    let (safe, unsafe_since) = asked.split_at(synced.map_or(0, |at| at + 1));
    let base = killed(before, safe);
    let mut now = base.clone();
    let mut versions: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
    let mut lengths = vec![base.len()];
    let page = |file: &[u8], page: usize| {
        let mut bytes = vec![0; PAGE];
        let start = (page * PAGE).min(file.len());
        let there = &file[start..file.len().min(start + PAGE)];
        bytes[..there.len()].copy_from_slice(there);
        bytes
    };
    for asked in unsafe_since {
        apply(&mut now, asked);
        lengths.push(now.len());
        if let FileOperation::Write(address, bytes) = asked {
            let start = usize::try_from(*address).unwrap();
            for n in start / PAGE..(start + bytes.len()).div_ceil(PAGE) {
                versions
                    .entry(n)
                    .or_insert_with(|| vec![page(&base, n)])
                    .push(page(&now, n));
            }
        }
    }
    let mut file = base;
    file.resize(lengths[random.random_range(0..lengths.len())], 0);
    // Sometimes nearly everything has arrived.
    let all_but_one = random.random_bool(0.3);
    let lost = random.random_range(0..versions.len().max(1));
    for (i, (n, versions)) in versions.into_iter().enumerate() {
        let version = if all_but_one && i != lost {
            versions.len() - 1
        } else {
            random.random_range(0..versions.len())
        };
        let start = n * PAGE;
        let end = file.len().min(start + PAGE);
        if start < end {
            file[start..end].copy_from_slice(&versions[version][..end - start]);
        }
    }
    file
}

/// Reads a run file thoroughly, repairs it, and reads it again. Returns its steps.
fn readable(path: &Path, what: &str) -> u64 {
    let look = |when: &str| {
        let reader =
            RunReader::open(path).unwrap_or_else(|error| panic!("{what}, {when}: {error}"));
        let steps = reader.refresh().unwrap().committed;
        for check in verify(path).unwrap() {
            assert!(
                check.passed(),
                "{what}, {when}: {:?} {:?}",
                check.name,
                check.faults
            );
        }
        steps
    };
    let steps = look("as it was left");
    repair(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(look("repaired"), steps, "{what}");
    assert!(
        hdf5::File::open(path).is_ok(),
        "{what}: HDF5 opens it as any file"
    );
    steps
}

/// The step of the newest checkpoint.
fn newest(path: &Path) -> Option<u64> {
    let run = Resumable::open(path).unwrap();
    let found = run.checkpoint(&checkpoint(0).shape(), |_| true).unwrap();
    found.map(|(found, saved)| {
        assert_eq!(saved, checkpoint(found.step));
        found.step
    })
}

#[test]
fn synced_steps_survive_a_power_loss() {
    let folder = tempfile::tempdir().unwrap();
    let history = record(&folder.path().join("run.h5"), true);
    let path = folder.path().join("left.h5");
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let (mut unborn, mut rolled_back) = (0, 0);
    for death in 0..deaths(16) {
        let at = random.random_range(1..=history.asked.len());
        let file = died(&[], &history.asked[..at], &mut random);
        fs::write(&path, &file).unwrap();
        let what = format!("death {death} after {at} of {}", history.asked.len());
        let Some((_, synced)) = history.synced.iter().rfind(|(asked, _)| *asked <= at) else {
            // Nothing was promised, but nothing may hang or crash.
            unborn += u32::from(RunReader::open(&path).is_err());
            continue;
        };
        let steps = readable(&path, &what);
        assert!(steps >= *synced, "{what}: {steps} of {synced} steps");
        if steps < SHAPE.steps && *synced > 0 {
            assert!(newest(&path) >= Some(*synced), "{what}: the checkpoint");
        }
        rolled_back += u32::from(steps == *synced);
    }
    assert!(rolled_back > 4, "{unborn}, {rolled_back}");
}

#[test]
fn a_kill_loses_no_committed_step() {
    let folder = tempfile::tempdir().unwrap();
    let history = record(&folder.path().join("run.h5"), false);
    let path = folder.path().join("left.h5");
    let first = history.synced[0].0;
    let mut last = 0;
    for at in (1..=history.asked.len()).step_by(1 + history.asked.len() / deaths(16)) {
        fs::write(&path, killed(&[], &history.asked[..at])).unwrap();
        if at < first {
            let error = RunReader::open(&path).err().expect("nothing to read");
            assert!(
                matches!(error, StoreError::Unborn { .. } | StoreError::Empty { .. }),
                "{error}"
            );
            continue;
        }
        let steps = readable(&path, &format!("killed after {at}"));
        assert!(steps >= last, "{at}: {steps} of {last}");
        last = steps;
    }
    assert!(last >= 60, "{last}");
}

/// Interrupts a change of a file by kills and by deaths of the machine. The file must then hold what it held before, or
/// after.
fn interrupt(before: &[u8], path: &Path, asked: &[FileOperation], after: u64) {
    fs::write(path, before).unwrap();
    let steps = readable(path, "before");
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let look = |file: &[u8], what: &str| {
        fs::write(path, file).unwrap();
        let left = readable(path, what);
        assert!(left == steps || left == after, "{what}: {left} steps");
    };
    let stride = 1 + asked.len() / deaths(8);
    for at in (0..=asked.len()).step_by(stride).chain([asked.len()]) {
        look(&killed(before, &asked[..at]), &format!("killed after {at}"));
        let file = died(before, &asked[..at], &mut random);
        look(&file, &format!("died after {at} of {}", asked.len()));
    }
}

#[test]
fn a_repair_is_atomic() {
    let folder = tempfile::tempdir().unwrap();
    let history = record(&folder.path().join("run.h5"), false);
    let path = folder.path().join("left.h5");
    // Killed while steps were committed, and after the machine died: both need repair.
    let at = history.asked.len() - 20;
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for before in [
        killed(&[], &history.asked[..at]),
        died(&[], &history.asked[..at], &mut random),
    ] {
        fs::write(&path, &before).unwrap();
        asked::take();
        let repaired = repair(&path).unwrap();
        assert!(!repaired.was_whole);
        let asked = asked::take();
        assert!(asked.len() > 10, "{asked:?}");
        interrupt(&before, &path, &asked, repaired.steps);
    }
}

#[test]
fn truncating_to_a_checkpoint_is_atomic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("left.h5");
    record(&path, false);
    let before = fs::read(&path).unwrap();
    let run = Resumable::open(&path).unwrap();
    let mut header = run.reader().header().clone();
    header.checkpoint = checkpoint(0).shape();
    let (found, _) = run
        .checkpoint(&header.checkpoint, |_| true)
        .unwrap()
        .unwrap();
    assert_eq!(found.step, 69);
    let keep = KeptPart {
        steps: found.step,
        checkpoint: Some(found),
        totals: false,
    };
    asked::take();
    let writer = run.write_on(keep, &header).unwrap();
    let asked = asked::take();
    drop(writer);
    assert!(asked.len() > 10, "{asked:?}");
    interrupt(&before, &path, &asked, 69);
}

/// A run that grows by megabytes, so that its journal moves.
const LARGE: RunShape = RunShape {
    steps: 70,
    units: 1000,
    ..SHAPE
};

/// Writes the rest of a run until an error, which is returned.
fn write_on(mut writer: RunWriter, maker: &mut RecordMaker, from: u64) -> Option<StoreError> {
    for step in from..LARGE.steps {
        let written = writer.step(&maker.step(step));
        let written = written.and_then(|()| {
            if step % 9 == 0 {
                writer.commit()
            } else if step % 20 == 0 {
                writer.checkpoint(&checkpoint(step + 1))
            } else {
                Ok(())
            }
        });
        if let Err(error) = written {
            return Some(writer.abandon(error));
        }
    }
    writer.finish(&maker.end()).err()
}

#[test]
fn a_file_truncated_or_overwritten_under_its_writer_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    let mut random = ChaCha8Rng::seed_from_u64(21);
    // The journal moves only in some steps, such as 28.
    let stride = if deaths(0) == 0 { 3 } else { 1 };
    for moment in (1..LARGE.steps - 2).step_by(stride) {
        let mut maker = RecordMaker::new(LARGE);
        maker.header.checkpoint = checkpoint(0).shape();
        let mut writer = RunWriter::create(&path, &maker.header, WriteOptions::default()).unwrap();
        writer.start(&maker.start()).unwrap();
        for step in 0..moment {
            writer.step(&maker.step(step)).unwrap();
            if step % 9 == 0 {
                writer.commit().unwrap();
            }
        }
        let len = fs::metadata(&path).unwrap().len();
        let file = fs::File::options().write(true).open(&path).unwrap();
        match moment % 4 {
            0 => file.set_len(0).unwrap(),
            1 => file.set_len(random.random_range(1..len)).unwrap(),
            // Both truncate the file and write to it, as `cp` does.
            2 => fs::write(&path, vec![7; 300]).unwrap(),
            _ => fs::write(&path, vec![7; usize::try_from(len).unwrap()]).unwrap(),
        }
        let changed = fs::read(&path).unwrap();
        let error = write_on(writer, &mut maker, moment);
        let is_told = matches!(
            error,
            Some(StoreError::Disappeared {
                how: Disappearance::Overwritten,
                ..
            })
        );
        assert!(is_told, "step {moment}: {error:?}");
        let left = fs::read(&path).unwrap();
        assert!(left == changed, "step {moment}: written to");
        fs::remove_file(&path).unwrap();
    }
}

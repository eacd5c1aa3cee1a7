//! Lists of runs: what is kept of files that have not changed, and JSON.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::{Outcome, RunFile, folder, lcascope, open_rw, train, train_tiny};

/// `lcascope list --json`, with a cache of its own.
fn listed(folder: &Path, cache: &Path) -> Vec<Value> {
    let mut command = lcascope();
    command
        .env("XDG_CACHE_HOME", cache)
        .args(["list", "--json"]);
    command.arg(folder);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let lines = outcome.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn row<'a>(rows: &'a [Value], name: &str) -> &'a Value {
    let path = |row: &&Value| row["file"].as_str().unwrap().ends_with(name);
    rows.iter()
        .find(path)
        .unwrap_or_else(|| panic!("no {name}: {rows:?}"))
}

/// Gives a file the date of another.
fn date_as(file: &Path, other: &Path) {
    let status = Command::new("touch")
        .arg("-r")
        .arg(other)
        .arg(file)
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn the_list_as_json_has_the_numbers_of_the_file() {
    let folder = folder();
    let file = train_tiny(
        folder.path(),
        &["--steps=5", "--seed=3", "--layer", "fc2:freeze"],
    );
    let rows = listed(folder.path(), folder.path());
    let run = row(&rows, "whole.h5");
    let written = RunFile::open(&file);
    let last = |path: &str| written.reals(path).values[5];
    assert_eq!(run["loss"].as_f64(), Some(last("loss/train")));
    assert_eq!(run["held_out_loss"].as_f64(), Some(last("loss/test")));
    assert_eq!(run["accuracy"].as_f64(), Some(last("loss/train_accuracy")));
    assert_eq!(
        run["held_out_accuracy"].as_f64(),
        Some(last("loss/test_accuracy"))
    );
    let seconds = written.reals("step/seconds").values[4];
    assert_eq!(run["seconds"].as_f64(), Some(seconds));
    assert_eq!(
        (&run["steps"], &run["seed"]),
        (&Value::from(5), &Value::from(3))
    );
    assert_eq!(run["status"], "finished");
    assert_eq!(run["settings"]["layer"], serde_json::json!(["fc2:freeze"]));
    assert_eq!(run["created"], written.text("created"));
}

#[test]
fn changed_replaced_and_removed_files_are_not_taken_from_the_cache() {
    let (folder, cache) = (folder(), folder());
    let runs = folder.path();
    let one = train(runs, "one.h5", &["--steps=2"]);
    let two = train(runs, "two.h5", &["--steps=3"]);
    let steps = |name: &str| row(&listed(runs, cache.path()), name)["steps"].clone();
    assert_eq!(steps("one.h5"), 2);
    assert_eq!(steps("one.h5"), 2, "also from the cache");
    let kept = cache.path().join("lcascope/runs");
    let files = || {
        fs::read_dir(&kept)
            .unwrap()
            .map(|entry| entry.unwrap().path())
    };
    assert_eq!(files().count(), 1, "one file for the folder");

    // Replaced by a file of the same length and date.
    let old = runs.join("old");
    fs::rename(&one, &old).unwrap();
    fs::copy(&two, &one).unwrap();
    let [shorter, longer] = [&old, &one].map(|path| fs::metadata(path).unwrap().len());
    let length = shorter.max(longer);
    for path in [&old, &one] {
        fs::File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_len(length)
            .unwrap();
    }
    date_as(&one, &old);
    assert_eq!(steps("one.h5"), 3);

    // Written to where it is, with the same length.
    let status = || row(&listed(runs, cache.path()), "two.h5")["status"].clone();
    assert_eq!(status(), "finished");
    let file = open_rw(&two).unwrap();
    file.dataset("state/status")
        .unwrap()
        .write_raw(&[3_u8])
        .unwrap();
    file.close().unwrap();
    assert_eq!(status(), "failed");

    fs::remove_file(&one).unwrap();
    let rows = listed(runs, cache.path());
    assert_eq!(rows.len(), 1, "{rows:?}");
    // A cache that is damaged, cut or of another version is read anew.
    for file in files() {
        let whole = fs::read(&file).unwrap();
        let other = [&[99], &whole[1..]].concat();
        for damaged in [&b""[..], b"nonsense", &whole[..whole.len() / 2], &other] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(listed(runs, cache.path()).len(), 1);
        }
    }
    assert_eq!(steps("two.h5"), 3);
}

#[test]
fn a_folder_of_damaged_files_is_listed_to_its_end() {
    let (folder, cache) = (folder(), folder());
    let whole = train_tiny(folder.path(), &["--steps=3"]);
    let bytes = fs::read(&whole).unwrap();
    for damage in 0..40 {
        let mut damaged = bytes.clone();
        for place in 0..60 {
            let at = (damage * 7919 + place * 104_729) % damaged.len();
            damaged[at] ^= 0x5a;
        }
        fs::write(folder.path().join(format!("damaged-{damage}.h5")), damaged).unwrap();
    }
    let rows = listed(folder.path(), cache.path());
    assert_eq!(rows.len(), 41);
    assert_eq!(row(&rows, "whole.h5")["status"], "finished");
    let unreadable = rows.iter().filter(|row| row["error"].is_string()).count();
    assert!(unreadable > 0, "the damage is found");
}

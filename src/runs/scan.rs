//! The run files in folders.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::store;

/// The identity and age of a file's content: it is another once the file was written, replaced or given back its old
/// date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    file: (u64, u64),
    size: u64,
    /// Seconds and nanoseconds of the last change of the content, and of the file's attributes.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Returns the time of the last change, in seconds since 1970.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    pub fn modified(&self) -> f64 {
        self.modified.0 as f64 + self.modified.1 as f64 * 1e-9
    }
}

/// The files found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Path, and stamp or the reason why the file cannot be read.
    pub files: Vec<(PathBuf, Result<Stamp, String>)>,
    /// Files left by killed runs, and the runs that they were to replace.
    pub left: Vec<(PathBuf, PathBuf)>,
}

/// Finds the files `*.h5` in folders. A place that is a file is taken as it is.
///
/// # Errors
/// The first place that cannot be listed, and why.
pub fn scan(places: &[PathBuf]) -> Result<Scan, (PathBuf, io::Error)> {
    let mut scan = Scan::default();
    for place in places {
        let error = |error: io::Error| (place.clone(), error);
        if fs::metadata(place).is_ok_and(|there| !there.is_dir()) {
            scan.files.push((place.clone(), stamp(place)));
            continue;
        }
        for entry in fs::read_dir(place).map_err(error)? {
            let path = entry.map_err(error)?.path();
            if is_named_as_run(&path) && !path.is_dir() {
                scan.files.push((path.clone(), stamp(&path)));
            } else if let Some(run) = store::left_to_replace(&path) {
                scan.left.push((path, run));
            }
        }
    }
    Ok(scan)
}

fn is_named_as_run(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "h5")
}

fn stamp(path: &Path) -> Result<Stamp, String> {
    match fs::metadata(path) {
        Err(error) => Err(error.to_string()),
        // Opening a pipe would wait for its other end.
        Ok(metadata) if !metadata.is_file() => Err("not a regular file".to_owned()),
        Ok(metadata) => Ok(Stamp::of(&metadata)),
    }
}

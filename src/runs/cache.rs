//! The facts of runs whose files have not changed, kept from one session to the next: `lcascope/runs/` in
//! `$XDG_CACHE_HOME` (`~/.cache`), one file for each folder of runs.
//!
//! A run that is being written is not kept: whether its writer lives does not show in the file. Nothing here is worth an
//! error: what cannot be kept is read again.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use etcetera::{BaseStrategy, choose_base_strategy};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::facts::RunFacts;
use super::scan::Stamp;
use crate::small_file;

/// Version of the format. Raise it when [`RunFacts`] or [`Stamp`] changes.
const FORMAT: u32 = 1;

/// The largest file that is read, in bytes: about 100,000 runs.
const LARGEST: u64 = 256 << 20;

/// The most folders of runs kept.
const MOST: usize = 100;

/// The facts kept of one folder: by file name, with the file's stamp when it was read.
pub type Kept = HashMap<OsString, (Stamp, RunFacts)>;

/// The content of a cache file.
#[derive(Serialize, Deserialize)]
struct CacheFile {
    format: u32,
    runs: Vec<(Vec<u8>, Stamp, RunFacts)>,
}

/// The folder of the cache.
#[derive(Clone, Debug)]
pub struct RunCache {
    /// `None` if the home folder is unknown.
    folder: Option<PathBuf>,
}

impl RunCache {
    /// The user's own cache.
    #[must_use]
    pub fn of_user() -> Self {
        let base = choose_base_strategy().ok();
        Self {
            folder: base.map(|base| base.cache_dir().join("lcascope").join("runs")),
        }
    }

    /// A cache in a folder, which need not exist.
    #[must_use]
    pub fn inside(folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
        }
    }

    /// The cache file of a folder of runs.
    fn path(&self, runs: &Path) -> Option<PathBuf> {
        let runs = runs.canonicalize().ok()?;
        let hash = Sha256::digest(runs.as_os_str().as_bytes());
        let half = hash.iter().take(16);
        let number = half.fold(0_u128, |number, &byte| (number << 8) | u128::from(byte));
        Some(self.folder.as_ref()?.join(format!("{number:032x}")))
    }

    /// Loads what is kept of a folder of runs.
    #[must_use]
    pub fn load(&self, runs: &Path) -> Kept {
        let content = self.path(runs).and_then(|path| read(&path).ok());
        let runs = content
            .filter(|content| content.format == FORMAT)
            .map_or_else(Vec::new, |content| content.runs);
        let entry = |(name, stamp, facts)| (OsString::from_vec(name), (stamp, facts));
        runs.into_iter().map(entry).collect()
    }

    /// Keeps the facts of a folder of runs, in place of those kept before.
    pub fn store<'a>(
        &self,
        runs: &Path,
        facts: impl IntoIterator<Item = (&'a Path, Stamp, &'a RunFacts)>,
    ) {
        let Some(path) = self.path(runs) else {
            return;
        };
        let ended = facts.into_iter().filter(|(.., facts)| !facts.status.live);
        let entry = |(path, stamp, facts): (&Path, Stamp, &RunFacts)| {
            let name = path.file_name().unwrap_or_default();
            (name.as_bytes().to_vec(), stamp, facts.clone())
        };
        let content = CacheFile {
            format: FORMAT,
            runs: ended.map(entry).collect(),
        };
        // Only time is lost.
        let _ = write(&path, &content);
    }
}

fn read(path: &Path) -> io::Result<CacheFile> {
    let mut bytes = Vec::new();
    small_file::open(path)?
        .take(LARGEST)
        .read_to_end(&mut bytes)?;
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

fn write(path: &Path, content: &CacheFile) -> io::Result<()> {
    let bytes = postcard::to_stdvec(content).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut scratch = tempfile::NamedTempFile::new_in(folder)?;
    scratch.write_all(&bytes)?;
    scratch.persist(path)?;
    remove_oldest(folder)
}

/// Removes the oldest cache files beyond [`MOST`].
fn remove_oldest(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_cache_file(&entry.file_name()) {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    for (_, path) in files.iter().take(files.len().saturating_sub(MOST)) {
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Returns true for names as [`RunCache::path`] gives them; the folder may hold files of others.
fn is_cache_file(name: &OsStr) -> bool {
    let name = name.as_bytes();
    name.len() == 32 && name.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_cache_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = RunCache::inside(folder.path());
        let others = ["a.h5", "0123456789abcdef0123456789abcdeg", "0123"];
        for name in others {
            fs::write(folder.path().join(name), "of somebody").unwrap();
        }
        let places: Vec<_> = (0..MOST + 3)
            .map(|_| tempfile::tempdir().unwrap())
            .collect();
        for place in &places {
            cache.store(place.path(), []);
        }
        let there = |name: &str| folder.path().join(name).exists();
        assert!(others.into_iter().all(there));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST + 3);
        let last = cache.path(places[MOST + 2].path()).unwrap();
        assert!(last.exists());
    }
}

//! The name of a new run file, and what had it before.
//!
//! A file that is to be replaced keeps its name until there is something to replace it with: the new one begins under
//! a name of its own beside it, and takes the old one's with its first step, which is on the disk by then. Whatever
//! happens before leaves the old file as it was. The lock of the old file is held meanwhile, so that of two that
//! would replace it the second is refused.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};

use super::disk;
use super::error::StoreError;
use super::lock::{self, WriterLock};
use super::reader::RunReader;

/// Ends the name of a run that does not have its own yet: `.RUN.h5.lcascope-new`.
const ENDING: &str = ".lcascope-new";

/// Bytes of the longest name of a file.
const LONGEST: usize = 255;

/// Where locks may say nothing, what has been written later than this may still be written.
const FRESH: Duration = Duration::from_secs(60);

/// Whether another process writes a file, whatever is in it.
#[must_use]
pub fn is_locked(path: &Path) -> bool {
    let path = regular_at(path).ok().flatten();
    let disk = path.and_then(|path| open_regular(&path, OFlags::RDONLY).ok());
    disk.as_ref().and_then(lock::is_held) == Some(true)
}

/// Returns the regular file that is at a path, behind links; none where there is nothing.
///
/// # Errors
/// Something else is there. Pipes, sockets, devices, folders and links to nowhere are never replaced.
pub fn regular_at(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let odd = |what| StoreError::Odd {
        path: path.to_owned(),
        what,
    };
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(odd("is a folder, not a regular file")),
        Ok(there) if !there.is_file() => Err(odd("is not a regular file")),
        Ok(_) => path.canonicalize().map(Some).map_err(StoreError::io(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Ok(_) => Err(odd("is a link that leads nowhere")),
            Err(_) => Ok(None),
        },
        // Whoever makes its folder says why there is none.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// Where the run that will be at `path` is being written: there, or beside it while an older file has the name.
#[must_use]
pub fn written_at(path: &Path) -> PathBuf {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beginning = beginning_of(&target);
    // Nobody holds what a killed process has left.
    let disk = open_regular(&beginning, OFlags::RDONLY).ok();
    match disk.as_ref().and_then(lock::is_held) {
        Some(true) => beginning,
        _ => path.to_owned(),
    }
}

/// An empty file for a run, locked for its writer. It is removed when this is dropped before [`keep`](Self::keep).
#[derive(Debug)]
pub struct NewFile {
    /// The name that the run is to have, as it was given.
    pub(super) path: PathBuf,
    /// The name that it has now.
    at: PathBuf,
    disk: File,
    /// The file whose name it is to have.
    old: Option<Old>,
    kept: bool,
}

/// A file that is to be replaced, locked.
#[derive(Debug)]
struct Old {
    /// Its name, behind links.
    path: PathBuf,
    disk: File,
    _lock: WriterLock,
}

impl NewFile {
    /// Makes a file where none is.
    ///
    /// # Errors
    /// Something is there, or the folder takes no files.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        make_folder(path)?;
        let made = Self::at(path, path, None);
        if let Err(StoreError::Exists { .. }) = made {
            // Says so where it is something that --force does not replace either.
            regular_at(path)?;
        }
        made
    }

    /// Makes a file that will take the place of the one that is there, if one is.
    ///
    /// # Errors
    /// What is there is not a regular file, or is being written or replaced; or the folder takes no files.
    pub fn replacing(path: &Path) -> Result<Self, StoreError> {
        let live = || StoreError::Live {
            path: path.to_owned(),
        };
        let Some(target) = regular_at(path)? else {
            return Self::create(path).map_err(|error| match error {
                // Somebody else has begun a run just now.
                StoreError::Exists { .. } => live(),
                error => error,
            });
        };
        // For writing, or network file systems give no exclusive lock; and a file that its owner has protected
        // from being written stays.
        let disk = open_regular(&target, OFlags::RDWR).map_err(StoreError::io(path))?;
        let lock = WriterLock::take(&disk, &target)?;
        // Readers may come in meanwhile.
        lock.share(&target)?;
        let at = beginning_of(&target);
        if is_begun(&at).map_err(StoreError::io(&at))? {
            return Err(live());
        }
        let old = Old {
            path: target,
            disk,
            _lock: lock,
        };
        Self::at(path, &at, Some(old))
    }

    fn at(path: &Path, at: &Path, old: Option<Old>) -> Result<Self, StoreError> {
        let mut open = File::options();
        open.read(true).write(true).create_new(true);
        let disk = open.open(at).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => StoreError::Exists {
                path: at.to_owned(),
            },
            // The system's own words are better than the HDF5 library's.
            _ => StoreError::io(path)(error),
        })?;
        // Held for as long as this handle, or another one of the same file, lives.
        WriterLock::take(&disk, at)?;
        Ok(Self {
            path: path.to_owned(),
            at: at.to_owned(),
            disk,
            old,
            kept: false,
        })
    }

    /// Lets another process write the file, under the name that it has. Returned is what removes it if none has.
    ///
    /// # Errors
    /// The file system fails.
    pub fn released(mut self) -> Result<Reserved, StoreError> {
        let io = StoreError::io(&self.path);
        let disk = self.disk.try_clone().map_err(io)?;
        lock::release(&disk);
        self.kept = true;
        Ok(Reserved {
            path: self.at.clone(),
            disk,
        })
    }

    /// The file, the right to write it, and its name for now.
    pub(super) fn open(&self) -> Result<(File, WriterLock, &Path), StoreError> {
        let disk = self.disk.try_clone().map_err(StoreError::io(&self.path))?;
        let lock = WriterLock::take(&self.disk, &self.at)?;
        Ok((disk, lock, &self.at))
    }

    /// Whether an older file still has the name.
    pub(super) fn waits(&self) -> bool {
        self.old.is_some()
    }

    /// Keeps the file, under the name that it is to have: in place of the old one. What it is kept for is on the disk.
    ///
    /// # Errors
    /// The old file is not there any more, but something else is. The new one is then removed.
    pub(super) fn keep(mut self) -> Result<(), StoreError> {
        if let Some(old) = self.old.take() {
            let io = StoreError::io(&self.path);
            if !lock::is_at(&old.disk, &old.path).map_err(io)?
                && old.path.symlink_metadata().is_ok()
            {
                return Err(io(io::Error::other(
                    "another file has taken its place since this run began, which is not replaced",
                )));
            }
            fs::rename(&self.at, &old.path).map_err(io)?;
            // So that a loss of power does not bring the old name back. Not every file system can.
            let folder = old.path.parent().and_then(|folder| File::open(folder).ok());
            let _ = folder.map(|folder| folder.sync_all());
        }
        self.kept = true;
        Ok(())
    }

    /// What of an error matters to whoever has an older file.
    pub(super) fn failed(&self, error: StoreError) -> StoreError {
        if !self.waits() {
            return error;
        }
        StoreError::NotReplaced {
            path: self.path.clone(),
            error: Box::new(error),
        }
    }
}

/// A name that is kept for a run, by an empty file; removed when this is dropped if it still is one.
#[derive(Debug)]
pub struct Reserved {
    path: PathBuf,
    disk: File,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let empty = self.disk.metadata().is_ok_and(|there| there.len() == 0);
        if empty && lock::is_at(&self.disk, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Nothing is in it, and it would be in the way of the next attempt.
        if !self.kept && lock::is_at(&self.disk, &self.at).unwrap_or(false) {
            let _ = fs::remove_file(&self.at);
        }
    }
}

fn make_folder(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|error| StoreError::Folder {
        path: folder.to_owned(),
        error,
    })
}

/// The name under which a run begins that is to replace `target`.
fn beginning_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let room = LONGEST - 1 - ENDING.len();
    let name = [b".", &name[..name.len().min(room)], ENDING.as_bytes()].concat();
    target.with_file_name(OsString::from_vec(name))
}

/// Whether a run is being begun under this name. What a process that was killed has left there is removed.
fn is_begun(at: &Path) -> io::Result<bool> {
    let disk = match open_regular(at, OFlags::RDWR) {
        Ok(disk) => disk,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if is_written(&disk, at)? {
        return Ok(true);
    }
    fs::remove_file(at)?;
    Ok(false)
}

/// Whether somebody may still write a file that was begun under this name.
fn is_written(disk: &File, at: &Path) -> io::Result<bool> {
    let written = disk.metadata()?.modified()?;
    let fresh = written.elapsed().map_or(true, |age| age < FRESH);
    Ok(lock::is_held(disk).unwrap_or(fresh) || (fresh && disk::is_on_network(at)))
}

/// Returns the path of the run that was to be replaced, if this is what a killed process has left of its replacement.
#[must_use]
pub fn left_to_replace(at: &Path) -> Option<PathBuf> {
    let name = at.file_name()?.as_bytes();
    let name = name.strip_prefix(b".")?.strip_suffix(ENDING.as_bytes())?;
    let disk = open_regular(at, OFlags::RDONLY).ok()?;
    let run = at.with_file_name(OsString::from_vec(name.to_vec()));
    (!is_written(&disk, at).ok()?).then_some(run)
}

/// Opens a regular file; anything else is neither followed nor waited for.
fn open_regular(path: &Path, how: OFlags) -> io::Result<File> {
    let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, how, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok(file)
}

/// Looks whether a file that is to be replaced is being written, in this process: a damaged file may crash it.
pub(super) fn look(path: &Path) -> Result<(), StoreError> {
    let Some(path) = regular_at(path)? else {
        return Ok(());
    };
    let is_live = match RunReader::open(&path).and_then(|reader| reader.refresh()) {
        Ok(state) => state.is_live(),
        // Nothing to be read, or not yet.
        Err(_) => is_locked(&path),
    };
    if is_live {
        return Err(StoreError::Live { path });
    }
    Ok(())
}

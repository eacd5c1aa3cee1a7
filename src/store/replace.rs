//! Creates new run files, and replaces the files that had their names before.
//!
//! A file to be replaced keeps its name until there is something to replace it with: the new file starts under a
//! temporary name beside it, and takes over the old name with its first step, which is on the disk by then. Whatever
//! happens before leaves the old file unchanged. Meanwhile the old file is locked, so that a second process cannot
//! replace it too.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::disk;
use super::error::StoreError;
use super::lock::{self, WriterLock};
use super::reader::RunReader;
use crate::rename;

/// Suffix of the temporary name of a run: `.RUN.h5.lcascope-new`.
const ENDING: &str = ".lcascope-new";

/// The longest file name in bytes.
const LONGEST: usize = 255;

/// The age below which a file may still be in use by a writer, if locks are unreliable.
const FRESH: Duration = Duration::from_secs(60);

/// Whether another process is writing a file, whatever its content.
#[must_use]
pub fn is_locked(path: &Path) -> bool {
    let path = regular_at(path).ok().flatten();
    let disk = path.and_then(|path| open_regular(&path, OFlags::RDONLY).ok());
    disk.as_ref().and_then(lock::is_held) == Some(true)
}

/// Returns the regular file at a path, behind links; none if nothing is there.
///
/// # Errors
/// Something else is there. Pipes, sockets, devices, folders and dangling links are never replaced.
pub fn regular_at(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let odd = |what| StoreError::NotRegular {
        path: path.to_owned(),
        what,
    };
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(odd("is a folder, not a regular file")),
        Ok(there) if !there.is_file() => Err(odd("is not a regular file")),
        Ok(_) => path.canonicalize().map(Some).map_err(StoreError::io(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(path) {
            Ok(_) => Err(odd("is a broken link")),
            Err(_) => Ok(None),
        },
        // Creating its folder will report why there is none.
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(None),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            Err(odd("is a circular link"))
        }
        Err(error) => Err(StoreError::io(path)(error)),
    }
}

/// The path at which the run of `path` is being written: `path` itself, or the temporary name while an older file still
/// has it.
#[must_use]
pub fn written_at(path: &Path) -> PathBuf {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let beginning = beginning_of(&target);
    // A file left by a killed process is not locked.
    let disk = open_regular(&beginning, OFlags::RDONLY).ok();
    match disk.as_ref().and_then(lock::is_held) {
        Some(true) => beginning,
        _ => path.to_owned(),
    }
}

/// An empty file for a run, locked for its writer. Removed when dropped before
/// [`move_into_place`](Self::move_into_place).
#[derive(Debug)]
pub struct NewFile {
    /// The run's final name, as given.
    pub(super) path: PathBuf,
    /// The current name.
    at: PathBuf,
    disk: File,
    /// The file to be replaced.
    old: Option<ReplacedFile>,
    kept: bool,
}

/// A locked file that is to be replaced.
#[derive(Debug)]
struct ReplacedFile {
    /// Its path, with links resolved.
    path: PathBuf,
    disk: File,
    _lock: WriterLock,
}

impl NewFile {
    /// Creates a file where none exists.
    ///
    /// # Errors
    /// Something is there, or the file cannot be created in the folder.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        make_folder(path)?;
        let made = Self::create_at(path, path, None);
        if let Err(StoreError::Exists { .. }) = made {
            // Reports anything that --force would not replace either.
            regular_at(path)?;
        }
        made
    }

    /// Creates a file that will replace the existing one, if any.
    ///
    /// # Errors
    /// The existing file is not regular, or is being written or replaced; or the file cannot be created in the folder.
    pub fn replacing(path: &Path) -> Result<Self, StoreError> {
        let live = || StoreError::Live {
            path: path.to_owned(),
        };
        let Some(target) = regular_at(path)? else {
            return Self::create(path).map_err(|error| match error {
                // Another process has just started a run.
                StoreError::Exists { .. } => live(),
                error => error,
            });
        };
        // Opened for writing, because network file systems give no exclusive lock otherwise, and because a
        // write-protected file must not be replaced.
        let disk = open_regular(&target, OFlags::RDWR).map_err(StoreError::io(path))?;
        let lock = WriterLock::acquire(&disk, &target)?;
        // Readers may open it meanwhile.
        lock.share(&target)?;
        let at = beginning_of(&target);
        let odd = |there: fs::Metadata| !there.is_file();
        if at.symlink_metadata().is_ok_and(odd) {
            return Err(StoreError::NotRegular {
                path: at,
                what: "is in the way of the new run and is not a regular file",
            });
        }
        if is_begun(&at).map_err(StoreError::io(&at))? {
            return Err(live());
        }
        let old = ReplacedFile {
            path: target,
            disk,
            _lock: lock,
        };
        Self::create_at(path, &at, Some(old))
    }

    fn create_at(path: &Path, at: &Path, old: Option<ReplacedFile>) -> Result<Self, StoreError> {
        let mut open = File::options();
        open.read(true).write(true).create_new(true);
        let disk = open.open(at).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => StoreError::Exists {
                path: at.to_owned(),
            },
            // The system's message is better than the HDF5 library's.
            _ => StoreError::io(path)(error),
        })?;
        // Held while this handle, or another one of the same file, lives.
        WriterLock::acquire(&disk, at)?;
        Ok(Self {
            path: path.to_owned(),
            at: at.to_owned(),
            disk,
            old,
            kept: false,
        })
    }

    /// Lets another process write the file under its current name. The returned value removes the file if none has.
    ///
    /// # Errors
    /// The file system fails.
    pub fn release_to_child(mut self) -> Result<Reserved, StoreError> {
        let io = StoreError::io(&self.path);
        let disk = self.disk.try_clone().map_err(io)?;
        lock::release(&disk);
        self.kept = true;
        Ok(Reserved {
            path: self.at.clone(),
            disk,
        })
    }

    /// The file, the right to write it, and its current name.
    pub(super) fn open(&self) -> Result<(File, WriterLock, &Path), StoreError> {
        let disk = self.disk.try_clone().map_err(StoreError::io(&self.path))?;
        let lock = WriterLock::acquire(&self.disk, &self.at)?;
        Ok((disk, lock, &self.at))
    }

    /// Whether an older file still has the name.
    pub(super) fn replaces_file(&self) -> bool {
        self.old.is_some()
    }

    /// Keeps the file under its final name, in place of the old one. Its content must be on the disk.
    ///
    /// # Errors
    /// The old file is gone, and something else is in its place. The new file is then removed.
    pub(super) fn move_into_place(mut self) -> Result<(), StoreError> {
        if let Some(old) = self.old.take() {
            let io = StoreError::io(&self.path);
            let before = old.disk.metadata().map_err(io)?;
            rename::in_place_of((before.dev(), before.ino()), &self.at, &old.path).map_err(
                |error| match error.kind() {
                    ErrorKind::AlreadyExists => io(io::Error::other(
                        "another file has taken its place since this run started; it is not replaced",
                    )),
                    _ => io(error),
                },
            )?;
            // Prevents a power failure from bringing the old name back; not every file system supports it.
            let folder = old.path.parent().and_then(|folder| File::open(folder).ok());
            let _ = folder.map(|folder| folder.sync_all());
        }
        self.kept = true;
        Ok(())
    }

    /// The error of a run that ended before its first step: adds that the older file, if there is one, is unchanged.
    pub(super) fn failed(&self, error: StoreError) -> StoreError {
        let error = match error {
            StoreError::DiskFull {
                path,
                needed,
                limit,
            } => StoreError::NoRoom {
                path,
                needed,
                limit,
            },
            error => error,
        };
        if !self.replaces_file() {
            return error;
        }
        StoreError::NotReplaced {
            path: self.path.clone(),
            error: Box::new(error),
        }
    }
}

/// A name reserved for a run by an empty file, which is removed on drop if still empty.
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
        // It is empty, and would be in the way of the next attempt.
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

/// The temporary name of a run that is to replace `target`.
fn beginning_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().as_bytes();
    let room = LONGEST - 1 - ENDING.len();
    let name = [b".", &name[..name.len().min(room)], ENDING.as_bytes()].concat();
    target.with_file_name(OsString::from_vec(name))
}

/// Whether a run is being started under this name. A file left by a killed process is removed.
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

/// Opens a regular file. Links are not followed, and other kinds do not block.
fn open_regular(path: &Path, how: OFlags) -> io::Result<File> {
    let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, how, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok(file)
}

/// Checks in this process that a file to be replaced is not being written. A damaged file may crash the process.
pub(super) fn check_not_written(path: &Path) -> Result<(), StoreError> {
    let Some(path) = regular_at(path)? else {
        return Ok(());
    };
    let is_live = match RunReader::open(&path).and_then(|reader| reader.refresh()) {
        Ok(state) => state.is_live(),
        // Not readable, or not yet.
        Err(_) => is_locked(&path),
    };
    if is_live {
        return Err(StoreError::Live { path });
    }
    Ok(())
}

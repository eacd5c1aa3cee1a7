//! Who writes a run file: a lock that the system holds for as long as the writer lives.
//!
//! The writer locks the file exclusively (`flock`) before HDF5 opens it for writing, and turns the
//! lock into a shared one once readers may come in: h5py takes a shared lock for the moment of
//! opening, another writer wants an exclusive one. Whatever ends the writer, `SIGKILL` included,
//! ends the lock. So a file is being written if, and only if, its lock cannot be had exclusively,
//! whatever a clock says. HDF5's own locking is switched off: it would lock the same file a second
//! time and meet our lock, and it lets go when SWMR begins.
//!
//! Where the file system has no locks, or the writer ran on another host (some network file
//! systems keep locks to themselves), the heartbeat in the file decides.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::error::StoreError;

/// A reader may hold the lock for the instant of opening.
const ATTEMPTS: u32 = 15;
const PAUSE: Duration = Duration::from_millis(20);

/// The right to write a run file, held until dropped.
#[derive(Debug)]
pub struct WriterLock {
    /// Shares its lock with the handle that it was made of: both must be gone for it to end.
    disk: File,
}

impl WriterLock {
    /// Takes the lock of `disk`, the file at `path`, against every other writer and reader.
    ///
    /// # Errors
    /// Another process holds it, or the file at `path` is not this one any more.
    pub fn take(disk: &File, path: &Path) -> Result<Self, StoreError> {
        let io = StoreError::io(path);
        let lock = Self {
            disk: disk.try_clone().map_err(io)?,
        };
        if !patiently(|| lock.disk.try_lock()).map_err(io)? {
            return Err(StoreError::Live {
                path: path.to_owned(),
            });
        }
        // Between opening and locking, another run may have put a file of its own in its place.
        match is_at(disk, path) {
            Ok(true) => Ok(lock),
            Ok(false) => Err(StoreError::Live {
                path: path.to_owned(),
            }),
            Err(error) => Err(io(error)),
        }
    }

    /// Lets readers in; other writers stay out.
    ///
    /// # Errors
    /// Another process has taken the file in the instant between the two locks.
    pub fn share(&self, path: &Path) -> Result<(), StoreError> {
        match patiently(|| self.disk.try_lock_shared()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Live {
                path: path.to_owned(),
            }),
            Err(error) => Err(StoreError::Io {
                path: path.to_owned(),
                error,
            }),
        }
    }

    /// Makes room for HDF5's own lock where the environment demands that it take one
    /// (`HDF5_USE_FILE_LOCKING=TRUE` overrules what the program asks for). HDF5 gives it back when
    /// SWMR begins; [`share`](Self::share) then takes ours again.
    ///
    /// # Errors
    /// The file system fails.
    pub fn give_way(&self, path: &Path) -> Result<(), StoreError> {
        let wanted = std::env::var("HDF5_USE_FILE_LOCKING").unwrap_or_default();
        if !matches!(wanted.as_str(), "TRUE" | "1" | "BEST_EFFORT") {
            return Ok(());
        }
        self.disk.unlock().map_err(StoreError::io(path))
    }
}

/// Tries a lock for a short while. Whether it was had: a file system without locks gives it to
/// everybody.
fn patiently(mut lock: impl FnMut() -> Result<(), TryLockError>) -> io::Result<bool> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE);
        }
        match lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if has_no_locks(&error) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether the file system, not the file, refuses: `ENOLCK`, `EOPNOTSUPP`, `ENOSYS`.
fn has_no_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

/// Whether `path` leads to the open file.
///
/// # Errors
/// The system does not tell what is there.
pub fn is_at(disk: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = disk.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether a writer holds the file; `None` where locks cannot tell. Looks twice, since a writer
/// that turns its lock into a shared one has none for an instant.
pub fn is_held(disk: &File) -> Option<bool> {
    for attempt in 0..2 {
        if attempt > 0 {
            sleep(Duration::from_millis(5));
        }
        match disk.try_lock() {
            Ok(()) => disk.unlock().ok()?,
            Err(TryLockError::WouldBlock) => return Some(true),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    Some(false)
}

/// This host's name, as `state/host` has it.
pub fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> File {
        (File::options().read(true).write(true).create(true))
            .truncate(false)
            .open(path)
            .unwrap()
    }

    #[test]
    fn one_writer_and_any_number_of_readers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        let (first, second) = (open(&path), open(&path));
        let lock = WriterLock::take(&first, &path).unwrap();
        assert_eq!(is_held(&second), Some(true));
        let refused = WriterLock::take(&second, &path).unwrap_err();
        assert!(matches!(refused, StoreError::Live { .. }), "{refused}");
        lock.share(&path).unwrap();
        assert_eq!(is_held(&second), Some(true));
        second.try_lock_shared().unwrap();
        second.unlock().unwrap();
        assert!(WriterLock::take(&second, &path).is_err());
        // Both handles hold the lock.
        drop(first);
        assert_eq!(is_held(&second), Some(true));
        drop(lock);
        assert_eq!(is_held(&second), Some(false));
        assert!(WriterLock::take(&second, &path).is_ok());
    }

    #[test]
    fn a_file_that_has_been_replaced_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        let first = open(&path);
        fs::remove_file(&path).unwrap();
        assert!(WriterLock::take(&first, &path).is_err());
        let other = open(&path);
        assert!(WriterLock::take(&first, &path).is_err());
        assert!(WriterLock::take(&other, &path).is_ok());
    }

    #[test]
    fn file_systems_without_locks_are_told_from_files_that_fail() {
        let error = |errno: rustix::io::Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(has_no_locks(&error(rustix::io::Errno::NOLCK)));
        assert!(has_no_locks(&error(rustix::io::Errno::OPNOTSUPP)));
        assert!(!has_no_locks(&error(rustix::io::Errno::IO)));
        let tried = patiently(|| Err(TryLockError::Error(error(rustix::io::Errno::NOLCK))));
        assert!(tried.unwrap(), "goes on without");
        let failed = patiently(|| Err(TryLockError::Error(error(rustix::io::Errno::IO))));
        assert!(failed.is_err());
    }
}

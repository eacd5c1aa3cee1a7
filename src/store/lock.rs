//! Writer locks of a run file, which the system holds for as long as the writer lives.
//!
//! There are two, and both end with the writer, however it ends, even by `SIGKILL`.
//!
//! - The **mark**: a lock on one byte far beyond the end of the file (an open file description lock, by `fcntl`), which
//!   nothing else ever locks. A file is therefore being written if and only if it is marked, regardless of any clock.
//! - The file's own lock (`flock`), which keeps other programs out. The writer takes it exclusively before HDF5 opens
//!   the file for writing, and makes it shared once readers may come in: h5py holds a shared lock while it has a file
//!   open. A reader does not keep a writer away, and is not mistaken for one.
//!
//! HDF5's own locking is switched off: it would lock the same file again and conflict with our lock, and it releases
//! its lock when SWMR begins.
//!
//! If the system or the file system does not support marks, or the writer ran on another host (some network file
//! systems do not share locks), the heartbeat in the file decides.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Pid;

use super::error::StoreError;
use super::mark;

/// Attempts to take a lock: a reader may hold it briefly while opening the file.
const ATTEMPTS: u32 = 15;
const PAUSE: Duration = Duration::from_millis(20);

/// The right to write a run file, held until dropped.
#[derive(Debug)]
pub struct WriterLock {
    /// Shares its locks with the handle from which it was cloned: they end when both are closed.
    disk: File,
}

impl WriterLock {
    /// Takes the lock of `disk`, the file at `path`, against every other writer and any reader that is not there yet.
    ///
    /// # Errors
    /// Another process is writing it, or the file at `path` is no longer this one.
    pub fn acquire(disk: &File, path: &Path) -> Result<Self, StoreError> {
        let io = StoreError::io(path);
        let live = || StoreError::Live {
            path: path.to_owned(),
        };
        let lock = Self {
            disk: disk.try_clone().map_err(io)?,
        };
        let marked = retry(|| mark::try_exclusive(&lock.disk)).map_err(io)?;
        if marked == LockAttempt::Refused {
            return Err(live());
        }
        if retry(|| lock.disk.try_lock()).map_err(io)? == LockAttempt::Refused {
            // With the mark taken, another process that has the file open is not a writer.
            let shared = marked == LockAttempt::Locked && lock.disk.try_lock_shared().is_ok();
            if !shared {
                return Err(live());
            }
        }
        // Between opening and locking, another run may have replaced the file with its own.
        match is_at(disk, path) {
            Ok(true) => Ok(lock),
            Ok(false) => Err(live()),
            Err(error) => Err(io(error)),
        }
    }

    /// Admits readers; other writers stay out.
    ///
    /// # Errors
    /// Another process took the file in the instant between the two locks.
    pub fn share(&self, path: &Path) -> Result<(), StoreError> {
        let io = StoreError::io(path);
        // Where byte locks and file locks are the same (NFS), an exclusive mark would keep readers out.
        retry(|| mark::try_shared(&self.disk)).map_err(io)?;
        match retry(|| self.disk.try_lock_shared()).map_err(io)? {
            LockAttempt::Locked | LockAttempt::NoLocks => Ok(()),
            LockAttempt::Refused => Err(StoreError::Live {
                path: path.to_owned(),
            }),
        }
    }

    /// Releases our lock for HDF5's own if the environment forces HDF5 to take one (`HDF5_USE_FILE_LOCKING=TRUE`
    /// overrides the program's choice). HDF5 releases it when SWMR begins; [`share`](Self::share) then takes ours
    /// again.
    ///
    /// # Errors
    /// The file system fails.
    pub fn release_for_hdf5(&self, path: &Path) -> Result<(), StoreError> {
        let wanted = std::env::var("HDF5_USE_FILE_LOCKING").unwrap_or_default();
        if !matches!(wanted.as_str(), "TRUE" | "1" | "BEST_EFFORT") {
            return Ok(());
        }
        self.disk.unlock().map_err(StoreError::io(path))
    }
}

/// The outcome of trying to take a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LockAttempt {
    Locked,
    Refused,
    /// Locks are not supported here.
    NoLocks,
}

/// Tries to take a lock for a short while.
fn retry(mut lock: impl FnMut() -> Result<(), TryLockError>) -> io::Result<LockAttempt> {
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            sleep(PAUSE);
        }
        match lock() {
            Ok(()) => return Ok(LockAttempt::Locked),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) if has_no_locks(&error) => {
                return Ok(LockAttempt::NoLocks);
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(LockAttempt::Refused)
}

/// Whether the file system itself refuses locks: `ENOLCK`, `EOPNOTSUPP`, `ENOSYS`, or `EINVAL` for a kind
/// of lock that it does not know.
fn has_no_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS, Errno::INVAL]
        .iter()
        .any(|errno| code == Some(errno.raw_os_error()))
}

/// Whether `path` leads to the open file.
///
/// # Errors
/// The system cannot examine the path.
pub fn is_at(disk: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let ours = disk.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The kind of process that has a file open, as far as locks tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Writer,
    /// The file is not marked: another program is reading it, or a version that did not mark files yet is writing it.
    Reader,
    Nobody,
    /// Locks are not supported.
    Unknown,
}

/// Determines who has the file open. Checks twice, since a writer that makes its lock shared has none for an instant.
pub fn holder(disk: &File) -> Holder {
    let mut marks = true;
    for attempt in 0..2 {
        if attempt > 0 {
            sleep(Duration::from_millis(5));
        }
        match mark::is_marked(disk) {
            Ok(true) => return Holder::Writer,
            Ok(false) => {}
            Err(_) => marks = false,
        }
        match disk.try_lock() {
            Ok(()) if disk.unlock().is_ok() => {}
            Err(TryLockError::WouldBlock) => {
                return match disk.try_lock_shared() {
                    Ok(()) if marks && disk.unlock().is_ok() => Holder::Reader,
                    // It is locked exclusively.
                    Err(TryLockError::WouldBlock) => Holder::Writer,
                    Ok(()) | Err(TryLockError::Error(_)) => {
                        let _ = disk.unlock();
                        Holder::Unknown
                    }
                };
            }
            Ok(()) | Err(TryLockError::Error(_)) => return Holder::Unknown,
        }
    }
    Holder::Nobody
}

/// Whether a writer has the file open; `None` if locks cannot tell.
pub fn is_held(disk: &File) -> Option<bool> {
    match holder(disk) {
        Holder::Writer => Some(true),
        Holder::Nobody => Some(false),
        Holder::Reader | Holder::Unknown => None,
    }
}

/// Releases the locks of a handle and its copies, if any.
pub fn release(disk: &File) {
    mark::release(disk);
    let _ = disk.unlock();
}

/// Whether `process` on `host` is still writing the file of an unfinished run; `None` if only its heartbeat can tell.
pub fn is_held_by(disk: &File, host: &str, process: u64) -> Option<bool> {
    let here = host == self::host();
    match holder(disk) {
        Holder::Writer => Some(true),
        // The locks of a writer on another host may be invisible.
        Holder::Nobody if here => Some(false),
        Holder::Reader if here && is_gone(process) => Some(false),
        Holder::Nobody | Holder::Reader | Holder::Unknown => None,
    }
}

/// Whether no writer that marks files has it open, as far as this host can tell.
pub fn is_without_writer(disk: &File) -> bool {
    matches!(holder(disk), Holder::Nobody | Holder::Reader)
}

/// Whether no such process exists on this host.
fn is_gone(process: u64) -> bool {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| {
        let found = rustix::process::test_kill_process(pid);
        found == Err(rustix::io::Errno::SRCH)
    })
}

/// This host's name, as in `state/host`.
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
        let lock = WriterLock::acquire(&first, &path).unwrap();
        assert_eq!(holder(&second), Holder::Writer);
        let refused = WriterLock::acquire(&second, &path).unwrap_err();
        assert!(matches!(refused, StoreError::Live { .. }), "{refused}");
        lock.share(&path).unwrap();
        assert_eq!(holder(&second), Holder::Writer);
        second.try_lock_shared().unwrap();
        assert_eq!(holder(&open(&path)), Holder::Writer);
        second.unlock().unwrap();
        assert!(WriterLock::acquire(&second, &path).is_err());
        // Both handles hold the lock.
        drop(first);
        assert_eq!(holder(&second), Holder::Writer);
        drop(lock);
        assert_eq!(holder(&second), Holder::Nobody);
        assert!(WriterLock::acquire(&second, &path).is_ok());
    }

    /// Systems without marks distinguish readers from writers by the heartbeat.
    #[cfg(target_os = "linux")]
    #[test]
    fn locks_distinguish_readers_from_writers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        let (reader, first, second) = (open(&path), open(&path), open(&path));
        reader.try_lock_shared().unwrap();
        assert_eq!(holder(&second), Holder::Reader);
        let here = host();
        let ours = std::process::id().into();
        assert_eq!(
            is_held_by(&second, &here, ours),
            None,
            "it may be an old writer"
        );
        assert_eq!(is_held_by(&second, &here, i32::MAX as u64), Some(false));
        assert_eq!(is_held_by(&second, "elsewhere", i32::MAX as u64), None);
        let lock = WriterLock::acquire(&first, &path).unwrap();
        assert_eq!(is_held_by(&second, &here, ours), Some(true));
        assert!(WriterLock::acquire(&second, &path).is_err());
        lock.share(&path).unwrap();
        assert!(WriterLock::acquire(&second, &path).is_err());
        release(&first);
        assert_eq!(holder(&second), Holder::Reader);
        // Another program is writing it.
        reader.try_lock().unwrap();
        assert_eq!(holder(&second), Holder::Writer);
        assert!(WriterLock::acquire(&second, &path).is_err());
    }

    #[test]
    fn a_replaced_file_is_not_locked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        let first = open(&path);
        fs::remove_file(&path).unwrap();
        assert!(WriterLock::acquire(&first, &path).is_err());
        let other = open(&path);
        assert!(WriterLock::acquire(&first, &path).is_err());
        assert!(WriterLock::acquire(&other, &path).is_ok());
    }

    #[test]
    fn missing_lock_support_differs_from_a_lock_failure() {
        let error = |errno: rustix::io::Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(has_no_locks(&error(rustix::io::Errno::NOLCK)));
        assert!(has_no_locks(&error(rustix::io::Errno::OPNOTSUPP)));
        assert!(!has_no_locks(&error(rustix::io::Errno::IO)));
        let tried = retry(|| Err(TryLockError::Error(error(rustix::io::Errno::NOLCK))));
        assert_eq!(tried.unwrap(), LockAttempt::NoLocks, "goes on without");
        let failed = retry(|| Err(TryLockError::Error(error(rustix::io::Errno::IO))));
        assert!(failed.is_err());
    }
}

//! The mark of a writer: a lock on one byte far beyond the end of the file.
//!
//! It is an open file description lock, like `flock` and unlike `fcntl`'s traditional locks: it ends with the handle
//! that took it and its copies, but not when the process closes another handle of the same file, as HDF5 does.

#[cfg(target_os = "linux")]
pub use linux::{is_marked, release, try_exclusive, try_shared};

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "rustix has no locks of open file descriptions")]
mod linux {
    use std::fs::{File, TryLockError};
    use std::io;
    use std::os::fd::AsRawFd;

    /// Far beyond the end of any file.
    const BYTE: i64 = 1 << 62;

    /// Takes a shared mark: other shared marks are possible, an exclusive one is not.
    pub fn try_shared(disk: &File) -> Result<(), TryLockError> {
        try_lock(disk, libc::F_RDLCK)
    }

    /// Takes an exclusive mark: no other mark is possible.
    pub fn try_exclusive(disk: &File) -> Result<(), TryLockError> {
        try_lock(disk, libc::F_WRLCK)
    }

    /// Removes the mark, shared or exclusive.
    pub fn release(disk: &File) {
        let _ = try_lock(disk, libc::F_UNLCK);
    }

    /// Whether another handle has marked the file.
    pub fn is_marked(disk: &File) -> io::Result<bool> {
        let mut found = byte(libc::F_WRLCK);
        fcntl_lock(disk, libc::F_OFD_GETLK, &mut found)?;
        // A network file system may turn a lock on the whole file into a lock on bytes.
        let free = i32::from(found.l_type) == libc::F_UNLCK;
        Ok(!free && (found.l_start, found.l_len) == (BYTE, 1))
    }

    fn try_lock(disk: &File, kind: i32) -> Result<(), TryLockError> {
        match fcntl_lock(disk, libc::F_OFD_SETLK, &mut byte(kind)) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                Err(TryLockError::WouldBlock)
            }
            Err(error) => Err(TryLockError::Error(error)),
        }
    }

    fn byte(kind: i32) -> libc::flock {
        libc::flock {
            l_type: i16::try_from(kind).unwrap_or_default(),
            l_whence: i16::try_from(libc::SEEK_SET).unwrap_or_default(),
            l_start: BYTE,
            l_len: 1,
            l_pid: 0,
        }
    }

    fn fcntl_lock(disk: &File, command: i32, lock: &mut libc::flock) -> io::Result<()> {
        // SAFETY: the handle is open, and both commands take such a struct, which outlives the call.
        match unsafe { libc::fcntl(disk.as_raw_fd(), command, &raw mut *lock) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{is_marked, release, try_exclusive, try_shared};

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::fs::{File, TryLockError};
    use std::io::{Error, ErrorKind, Result};

    pub fn try_shared(_: &File) -> std::result::Result<(), TryLockError> {
        Err(TryLockError::Error(unsupported()))
    }

    pub fn try_exclusive(disk: &File) -> std::result::Result<(), TryLockError> {
        try_shared(disk)
    }

    pub fn release(_: &File) {}

    pub fn is_marked(_: &File) -> Result<bool> {
        Err(unsupported())
    }

    fn unsupported() -> Error {
        Error::from_raw_os_error(rustix::io::Errno::NOSYS.raw_os_error())
    }
}

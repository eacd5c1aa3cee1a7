//! The file below a journal. Tests observe the operations on it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

/// A file being written.
pub struct RawFile(pub File);

impl RawFile {
    pub fn write_all_at(&self, bytes: &[u8], address: u64) -> io::Result<()> {
        #[cfg(test)]
        asked::note(asked::FileOperation::Write(address, bytes.to_vec()));
        self.0.write_all_at(bytes, address)
    }

    pub fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(test)]
        asked::note(asked::FileOperation::SetLen(len));
        self.0.set_len(len)
    }

    /// Syncs the file to the disk; does nothing in tests, which do not depend on it.
    pub fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        asked::note(asked::FileOperation::Sync);
        if cfg!(test) {
            return Ok(());
        }
        self.0.sync_data()
    }
}

/// Reserves room from an address on, without changing the file's length.
///
/// # Errors
/// There is no room, or the file system cannot reserve any.
#[cfg(target_os = "linux")]
pub fn reserve(disk: &File, from: u64, bytes: u64) -> Result<(), Errno> {
    use rustix::fs::{FallocateFlags, fallocate};
    loop {
        match fallocate(disk, FallocateFlags::KEEP_SIZE, from, bytes) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub fn reserve(_: &File, _: u64, _: u64) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// The operations of this thread on files with journals, in order.
#[cfg(test)]
pub mod asked {
    use std::cell::RefCell;

    #[derive(Clone, Debug)]
    pub enum FileOperation {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Sync,
    }

    thread_local! {
        static ASKED: RefCell<Vec<FileOperation>> = const { RefCell::new(Vec::new()) };
    }

    pub fn note(asked: FileOperation) {
        ASKED.with_borrow_mut(|all| all.push(asked));
    }

    pub fn count() -> usize {
        ASKED.with_borrow(Vec::len)
    }

    pub fn take() -> Vec<FileOperation> {
        ASKED.take()
    }
}

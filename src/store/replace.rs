//! Takes old files out of the way of new ones.

use std::fs;
use std::path::Path;

use super::error::StoreError;
use super::lock::{self, WriterLock};
use super::reader::RunReader;

/// Whether another process holds the lock of a run file, whatever is in it.
#[must_use]
pub fn is_locked(path: &Path) -> bool {
    let disk = fs::File::open(path).ok();
    disk.as_ref().and_then(lock::is_held) == Some(true)
}

/// Takes a file out of the way of a new run without looking into it. Whoever reads it keeps it until
/// it is closed.
///
/// # Errors
/// It cannot be removed.
pub fn discard(path: &Path) -> Result<(), StoreError> {
    // Whoever else wants the name waits until it is free; a reader may have the old file open.
    let disk = fs::File::open(path).ok();
    let _lock = disk.and_then(|disk| WriterLock::take(&disk, path).ok());
    fs::remove_file(path).map_err(StoreError::io(path))
}

/// Takes a file out of the way of a new run. A run that is being written stays: two writers in one
/// file would leave nothing readable. Whoever reads the old file keeps it until it is closed.
pub(super) fn remove_old(path: &Path) -> Result<(), StoreError> {
    if !path.is_file() {
        return Ok(());
    }
    let is_live = match RunReader::open(path).and_then(|reader| reader.refresh()) {
        Ok(state) => state.is_live(),
        // Nothing to be read, or not yet.
        Err(_) => is_locked(path),
    };
    if is_live {
        return Err(StoreError::Live {
            path: path.to_owned(),
        });
    }
    discard(path)
}

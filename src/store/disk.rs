//! The disk below a run file: reserves room for writes, and checks that the file still exists.
//!
//! HDF5 that runs into a full disk half-way through a flush leaves an unreadable file. The room for every commit is
//! therefore reserved before its first byte is written (`fallocate`, which does not change the file's length). A commit
//! that does not fit is not started, and the file stays as the last commit left it. Room for closing the file properly
//! is always kept in reserve.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::driver::SharedFile;
use super::error::{Disappearance, RescueOutcome, SpaceLimit, StoreError};
use super::lock;
use super::raw_file::reserve;
use super::run_state::RunState;
use crate::record::Status;

/// Room kept for closing the file and for HDF5's own metadata.
const RESERVE: u64 = 1 << 20;

/// Extra room reserved where possible, so that not every step has to ask the file system.
const STRIDE: u64 = 4 << 20;

/// The room reserved for a file.
pub struct ReservedSpace {
    /// Everything below belongs to the file already.
    floor: u64,
    /// The end of the reserved range.
    end: u64,
    /// Bytes passed to HDF5 since its last flush: the file's length may not include them yet.
    pending: u64,
    /// Whether the file system can reserve room. If not, its free space is checked instead.
    reserves: bool,
}

impl Default for ReservedSpace {
    fn default() -> Self {
        Self {
            floor: 0,
            end: 0,
            pending: 0,
            reserves: true,
        }
    }
}

impl ReservedSpace {
    /// Makes sure that `bytes` more can be written, and the file closed after them.
    ///
    /// # Errors
    /// There is no room for them. Nothing has been written.
    pub fn reserve_for(
        &mut self,
        disk: &File,
        journal: &SharedFile,
        path: &Path,
        bytes: u64,
    ) -> Result<(), StoreError> {
        let size = journal.lock().end();
        let end = size
            .saturating_add(self.pending)
            .saturating_add(bytes)
            .saturating_add(RESERVE);
        let no_room = |limit| StoreError::DiskFull {
            path: path.to_owned(),
            needed: end - size,
            limit,
        };
        (journal.lock().make_room(end)).map_err(|error| full(path, disk, end - size, error))?;
        if end <= self.end {
            return Ok(());
        }
        let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
        if let Some(limit) = limit.filter(|&limit| limit < end) {
            return Err(no_room(SpaceLimit::FileSize { limit }));
        }
        let floor = self.floor.min(size);
        if self.reserves {
            let far = limit.map_or(end.saturating_add(STRIDE), |limit| {
                limit.min(end.saturating_add(STRIDE))
            });
            let reserved = (reserve(disk, floor, far - floor).map(|()| far))
                .or_else(|_| reserve(disk, floor, end - floor).map(|()| end));
            match reserved {
                Ok(end) => {
                    (self.floor, self.end) = (size, end);
                    return Ok(());
                }
                Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => self.reserves = false,
                Err(error) => return Err(full(path, disk, end - size, error.into())),
            }
        }
        let free = free(disk);
        if free < end - size {
            return Err(no_room(SpaceLimit::Disk { free }));
        }
        Ok(())
    }

    /// Records that bytes were passed to HDF5.
    pub fn used(&mut self, bytes: u64) {
        self.pending = self.pending.saturating_add(bytes);
    }

    /// Records that HDF5 has flushed.
    pub fn flushed(&mut self) {
        self.pending = 0;
    }
}

/// Says why something could not be written: the limit that was reached, or the system's own words.
#[must_use]
pub fn why_not_written(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::FBIG) => too_large().to_string(),
        _ => error.to_string(),
    }
}

/// The limit that a file too large has reached.
fn too_large() -> SpaceLimit {
    match rustix::process::getrlimit(rustix::process::Resource::Fsize).current {
        Some(limit) => SpaceLimit::FileSize { limit },
        None => SpaceLimit::FileSystem,
    }
}

/// Converts the system's error about `needed` more bytes, to a full disk if that is the cause.
pub fn full(path: &Path, disk: &File, needed: u64, error: io::Error) -> StoreError {
    let limit = match Errno::from_io_error(&error) {
        Some(Errno::NOSPC) => SpaceLimit::Disk { free: free(disk) },
        Some(Errno::DQUOT) => SpaceLimit::Quota,
        Some(Errno::FBIG) => too_large(),
        _ => return StoreError::io(path)(error),
    };
    StoreError::DiskFull {
        path: path.to_owned(),
        needed,
        limit,
    }
}

/// Bytes free for this user; unlimited if the file system does not say.
fn free(disk: &File) -> u64 {
    rustix::fs::fstatvfs(disk).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Returns the room reserved beyond the end of a closed file to the file system.
///
/// # Errors
/// The file system fails.
pub fn release_reserved(disk: &File) -> io::Result<()> {
    disk.set_len(disk.metadata()?.len())
}

/// The path at which a file was created, to detect that the file is gone from there.
pub struct FileLocation {
    path: PathBuf,
    folder: PathBuf,
    device: Option<u64>,
}

impl FileLocation {
    pub fn of(path: &Path) -> Self {
        // The working folder may be renamed while the program runs.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let device = fs::metadata(&folder).ok().map(|meta| meta.dev());
        Self {
            path,
            folder,
            device,
        }
    }

    /// Checks that writes still reach a file with a name. A renamed file is fine.
    ///
    /// # Errors
    /// The file was deleted, or its file system unmounted.
    pub fn check(&self, disk: &File) -> Result<(), StoreError> {
        let gone = |how| StoreError::Disappeared {
            path: self.path.clone(),
            how,
            rescue: RescueOutcome::NotTried,
        };
        let meta = disk.metadata().map_err(StoreError::io(&self.path))?;
        if meta.nlink() == 0 {
            return Err(gone(Disappearance::Deleted));
        }
        let device = fs::metadata(&self.folder).ok().map(|meta| meta.dev());
        let moved = device.is_some() && device != self.device;
        if moved && !lock::is_at(disk, &self.path).unwrap_or(false) {
            return Err(gone(Disappearance::Unmounted));
        }
        Ok(())
    }

    /// Copies a closed file that lost its name to its old path, or beside what is there now.
    pub fn rescue(&self, mut disk: &File) -> RescueOutcome {
        let mut copy = || {
            fs::create_dir_all(&self.folder)?;
            let (path, mut copy) = self.new_file()?;
            io::Seek::rewind(&mut disk)?;
            let copied = io::copy(&mut disk, &mut copy).and_then(|_| copy.sync_all());
            if let Err(error) = copied {
                // Half a copy is useless.
                let _ = fs::remove_file(&path);
                return Err(error);
            }
            Ok(path)
        };
        match copy() {
            Ok(path) => RescueOutcome::Saved(path),
            Err(error) => RescueOutcome::Failed(error.to_string()),
        }
    }

    fn new_file(&self) -> io::Result<(PathBuf, File)> {
        let more = (1..100).map(|n| match n {
            1 => self.path.with_extension("rescued.h5"),
            n => self.path.with_extension(format!("rescued-{n}.h5")),
        });
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for path in std::iter::once(self.path.clone()).chain(more) {
            match File::create_new(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

/// Whether a file is in memory only: once unmounted, it is lost with its last handle.
#[cfg(target_os = "linux")]
pub fn is_in_memory(disk: &File) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    rustix::fs::fstatfs(disk).is_ok_and(|stat| [TMPFS, RAMFS].contains(&magic(stat.f_type)))
}

#[cfg(not(target_os = "linux"))]
pub fn is_in_memory(_: &File) -> bool {
    false
}

/// Returns the bytes free for this user where a file at `path` would be, if the file system says.
#[must_use]
pub fn free_space(path: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(existing_folder(path)?).ok()?;
    // A file system without blocks, such as /proc, has no disk.
    (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Returns the folder of a path, or its nearest ancestor if it does not exist yet: that has the same file system.
fn existing_folder(path: &Path) -> Option<&Path> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let mut folder = folder.unwrap_or(Path::new("."));
    while !folder.exists() {
        folder = match folder.parent()? {
            parent if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
    }
    Some(folder)
}

/// A warning if a run file is badly placed at `path`: SWMR is not supported on network file systems.
#[must_use]
pub fn warning(path: &Path) -> Option<String> {
    let kind = network(file_system(existing_folder(path)?)?)?;
    Some(format!(
        "{} is on a network file system ({kind}), where HDF5 does not support reading a file that \
         is being written: write to a local disk and copy the finished file",
        path.display()
    ))
}

/// Set in the environment to take a file for one that another machine writes.
const ELSEWHERE: &str = "LCASCOPE_REOPEN";

/// Returns true if another machine is writing a file. New steps then only show when it is opened again: HDF5 does not
/// support SWMR on network file systems.
#[must_use]
pub fn is_written_elsewhere(path: &Path, state: &RunState) -> bool {
    let is_elsewhere =
        || !state.host.is_empty() && state.host != lock::host() && is_on_network(path);
    state.status == Status::Running && (std::env::var_os(ELSEWHERE).is_some() || is_elsewhere())
}

/// Whether a file is on a network file system, whose locks may be invisible to other hosts.
pub fn is_on_network(path: &Path) -> bool {
    file_system(path).and_then(network).is_some()
}

#[cfg(target_os = "linux")]
fn file_system(folder: &Path) -> Option<u64> {
    Some(magic(rustix::fs::statfs(folder).ok()?.f_type))
}

/// Normalises a magic number, whose width and sign differ between architectures, to 32 bits.
#[cfg(target_os = "linux")]
fn magic(number: impl Into<i128>) -> u64 {
    u64::try_from(number.into().rem_euclid(1 << 32)).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Option<u64> {
    None
}

/// The name of a network file system, by its magic number in `statfs`.
fn network(magic: u64) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x5346_414f | 0x6b41_4653 => Some("AFS"),
        0x00c3_6400 => Some("Ceph"),
        0x0102_1997 => Some("9P"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::journal::Journaled;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        assert_eq!(network(0x6969), Some("NFS"));
        assert_eq!(network(0xff53_4d42), Some("SMB"));
        assert_eq!(network(0xef53), None, "ext4");
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(warning(&folder.path().join("no/such/run.h5")), None);
    }

    #[test]
    fn room_is_reserved_beyond_the_end_and_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        let disk = File::create_new(&path).unwrap();
        let journal = SharedFile::new(Journaled::new(disk.try_clone().unwrap()).unwrap());
        journal.lock().allocate(100);
        let mut space = ReservedSpace::default();
        space.reserve_for(&disk, &journal, &path, 3 << 20).unwrap();
        let meta = disk.metadata().unwrap();
        if space.reserves {
            assert!(meta.blocks() * 512 >= 4 << 20, "{meta:?}");
            assert!(space.end >= (4 << 20) + 100);
        }
        let refused = space
            .reserve_for(&disk, &journal, &path, 1 << 60)
            .unwrap_err();
        assert!(matches!(refused, StoreError::DiskFull { .. }), "{refused}");
        journal.lock().cut(true);
        journal.lock().close().unwrap();
        release_reserved(&disk).unwrap();
        let meta = disk.metadata().unwrap();
        assert_eq!(meta.len(), 100);
        assert!(meta.blocks() * 512 < 1 << 20, "{meta:?}");
    }

    #[test]
    fn a_deleted_file_is_rescued_beside_what_has_taken_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        fs::write(&path, "recorded").unwrap();
        let disk = File::options().read(true).write(true).open(&path).unwrap();
        let location = FileLocation::of(&path);
        location.check(&disk).unwrap();
        let moved = folder.path().join("moved.h5");
        fs::rename(&path, &moved).unwrap();
        location.check(&disk).unwrap();
        fs::remove_file(&moved).unwrap();
        let gone = location.check(&disk).unwrap_err().to_string();
        assert!(
            gone.ends_with("was deleted while it was being written"),
            "{gone}"
        );

        assert_eq!(location.rescue(&disk), RescueOutcome::Saved(path.clone()));
        let beside = folder.path().join("run.rescued.h5");
        assert_eq!(location.rescue(&disk), RescueOutcome::Saved(beside.clone()));
        let third = folder.path().join("run.rescued-2.h5");
        assert_eq!(location.rescue(&disk), RescueOutcome::Saved(third));
        assert_eq!(fs::read(beside).unwrap(), b"recorded");
        fs::remove_dir_all(folder.path()).unwrap();
        assert_eq!(
            location.rescue(&disk),
            RescueOutcome::Saved(path),
            "the folder too"
        );
    }
}

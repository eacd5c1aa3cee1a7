//! Gives a file a name without taking the name from a file that appeared meanwhile.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Device and inode of a file.
pub type Identity = (u64, u64);

/// The identity of the file at a path; of a link, not of its target.
///
/// # Errors
/// Nothing is there, or the system fails.
pub fn identity(path: &Path) -> io::Result<Identity> {
    let there = path.symlink_metadata()?;
    Ok((there.dev(), there.ino()))
}

/// Renames the file `from` to `to`, a name in the same file system that is free.
///
/// # Errors
/// The name is taken ([`ErrorKind::AlreadyExists`]), or the system fails.
pub fn without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match system::no_replace(from, to) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {}
        renamed => return renamed,
    }
    // Perhaps it cannot be done here. A link does not replace anything either; a file system without links may only be
    // asked first.
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(error),
        Err(error) => match to.symlink_metadata() {
            Ok(_) => Err(ErrorKind::AlreadyExists.into()),
            Err(none) if none.kind() == ErrorKind::NotFound => fs::rename(from, to),
            Err(_) => Err(error),
        },
    }
}

/// Renames the file `from` to `to`, in place of the file `old`, which is removed. If nothing has the name any more, it
/// is taken; if another file has it, that keeps it and `from` stays.
///
/// # Errors
/// Another file has the name ([`ErrorKind::AlreadyExists`]), or the system fails.
pub fn in_place_of(old: Identity, from: &Path, to: &Path) -> io::Result<()> {
    in_place(old, from, to, exchange)
}

fn in_place(
    old: Identity,
    from: &Path,
    to: &Path,
    exchange: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let other = || io::Error::new(ErrorKind::AlreadyExists, "another file has this name now");
    match exchange(from, to) {
        Ok(()) if identity(from)? == old => fs::remove_file(from),
        Ok(()) => {
            exchange(from, to)?;
            Err(other())
        }
        // Nothing is there, or names cannot be exchanged: then only what is there just before can be seen.
        Err(_) => match identity(to) {
            Ok(there) if there != old => Err(other()),
            Ok(_) => fs::rename(from, to),
            Err(none) if none.kind() == ErrorKind::NotFound => without_replacing(from, to),
            Err(error) => Err(error),
        },
    }
}

/// Atomically exchanges the names of two files or folders.
///
/// # Errors
/// One of them is missing ([`ErrorKind::NotFound`]), or the system or the file system cannot do it.
pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    system::exchange(one, other)
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
mod system {
    use std::io;
    use std::path::Path;

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    pub fn exchange(one: &Path, other: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
    }

    pub fn no_replace(from: &Path, to: &Path) -> io::Result<()> {
        Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
mod system {
    use std::io;
    use std::path::Path;

    pub fn exchange(_: &Path, other: &Path) -> io::Result<()> {
        other.symlink_metadata()?;
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn no_replace(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsupported(_: &Path, other: &Path) -> io::Result<()> {
        other.symlink_metadata()?;
        Err(ErrorKind::Unsupported.into())
    }

    #[test]
    fn only_the_expected_file_is_replaced() {
        for swap in [exchange as fn(&Path, &Path) -> io::Result<()>, unsupported] {
            let folder = tempfile::tempdir().unwrap();
            let [new, name, away] = ["new", "name", "away"].map(|it| folder.path().join(it));
            fs::write(&name, "old").unwrap();
            let old = identity(&name).unwrap();
            fs::write(&new, "new").unwrap();
            in_place(old, &new, &name, swap).unwrap();
            assert_eq!(fs::read(&name).unwrap(), b"new");
            assert!(!new.exists());

            let old = identity(&name).unwrap();
            fs::rename(&name, &away).unwrap();
            std::os::unix::fs::symlink("nowhere", &name).unwrap();
            fs::write(&new, "newer").unwrap();
            let refused = in_place(old, &new, &name, swap).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
            assert!(name.is_symlink());
            assert_eq!(fs::read(&new).unwrap(), b"newer");

            fs::remove_file(&name).unwrap();
            in_place(old, &new, &name, swap).unwrap();
            assert_eq!(fs::read(&name).unwrap(), b"newer");
        }
    }

    #[test]
    fn a_taken_name_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let [new, name] = ["new", "name"].map(|it| folder.path().join(it));
        fs::write(&new, "new").unwrap();
        fs::write(&name, "mine").unwrap();
        let refused = without_replacing(&new, &name).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&name).unwrap(), b"mine");
        fs::remove_file(&name).unwrap();
        without_replacing(&new, &name).unwrap();
        assert_eq!(fs::read(&name).unwrap(), b"new");
    }
}

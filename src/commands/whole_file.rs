//! Writes a file atomically: either the whole file or none, with nothing left beside it.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Prefix of temporary files beside an unfinished file.
const SCRATCH: &str = ".lcascope-export-";

/// Reduced by the user's umask, as for any new file.
const MODE: u32 = 0o666;

/// Writes a file at `path` with the output of `fill`. An existing file is replaced only if `replace`.
///
/// Until it is complete the file has no name, if the system supports that (Linux, on most file systems), so that a
/// killed process leaves nothing behind. Elsewhere it may leave a hidden file in the same folder.
///
/// # Errors
/// `fill`'s own; the file exists and `replace` is false; or the file cannot be created in the folder.
pub fn write(
    path: &Path,
    replace: bool,
    fill: impl Fn(&mut BufWriter<&File>) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let fill = |file: &File| -> io::Result<()> {
        let mut out = BufWriter::new(file);
        fill(&mut out)?;
        out.flush()?;
        drop(out);
        // A name that survives a power failure must not be that of an empty file.
        file.sync_data()
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(SCRATCH);
    if let Some(file) = nameless::create(folder) {
        fill(&file)?;
        if !replace {
            return nameless::name(&file, path);
        }
        // Only renaming takes over another file's name atomically.
        is_a_file(path)?;
        let named = builder.make_in(folder, |scratch| nameless::name(&file, scratch))?;
        return named.persist(path).map_err(|failed| failed.error);
    }
    let scratch = builder
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)?;
    fill(scratch.as_file())?;
    let persisted = match replace {
        true => {
            is_a_file(path)?;
            scratch.persist(path)
        }
        false => scratch.persist_noclobber(path),
    };
    persisted.map(drop).map_err(|failed| failed.error)
}

/// Refuses to replace anything but a file; something else may have appeared since the first check.
fn is_a_file(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(there) if !there.is_file() => Err(io::Error::other("it is not a regular file")),
        _ => Ok(()),
    }
}

/// Files without a name yet.
#[cfg(target_os = "linux")]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd;
    use std::path::Path;

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, open};

    /// Creates a file without a name; none if the system cannot.
    pub fn create(folder: &Path) -> Option<File> {
        if !Path::new("/proc/self/fd").exists() {
            return None;
        }
        let how = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        open(folder, how, Mode::from_raw_mode(super::MODE))
            .ok()
            .map(File::from)
    }

    pub fn name(file: &File, path: &Path) -> io::Result<()> {
        let this = format!("/proc/self/fd/{}", file.as_raw_fd());
        Ok(linkat(CWD, this, CWD, path, AtFlags::SYMLINK_FOLLOW)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod nameless {
    use std::fs::File;
    use std::io;
    use std::path::Path;

    pub fn create(_: &Path) -> Option<File> {
        None
    }

    pub fn name(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn nothing_is_there_until_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let can = nameless::create(folder.path()).is_some();
        for (replace, text) in [(false, "one"), (true, "two")] {
            write(&path, replace, |out| {
                out.write_all(text.as_bytes())?;
                out.flush()?;
                // Where nameless files are possible, a process killed here leaves nothing behind.
                let others = names(folder.path()).into_iter().filter(|name| name != "a");
                assert!(!can || others.count() == 0);
                Ok(())
            })
            .unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let there = write(&path, false, |_| Ok(())).unwrap_err();
        assert_eq!(there.kind(), io::ErrorKind::AlreadyExists);
        let failed = write(&path, true, |_| Err(io::Error::other("no more")));
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(folder.path()), ["a"]);
        // Something else that appeared meanwhile stays.
        let failed = write(&path, true, |_| {
            let _ = fs::remove_file(&path);
            std::os::unix::fs::symlink("nowhere", &path)
        });
        assert!(failed.is_err() && path.is_symlink());
    }
}

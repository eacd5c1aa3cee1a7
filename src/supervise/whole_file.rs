//! Writes a file atomically: either the whole file or none, with nothing left beside it.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempPath;

use crate::rename::{self, Identity};

/// Prefix of temporary files beside an unfinished file.
const SCRATCH: &str = ".lcascope-export-";

/// Reduced by the user's umask, as for any new file.
const MODE: u32 = 0o666;

/// Writes a file at `path` with the output of `fill`. Only the file `old` is replaced, if it is still there.
///
/// Until it is complete the file has no name, if the system supports that (Linux, on most file systems), so that a
/// killed process leaves nothing behind. Elsewhere it may leave a hidden file in the same folder.
///
/// # Errors
/// `fill`'s own; another file is there; or the file cannot be created in the folder.
pub fn write(
    path: &Path,
    old: Option<Identity>,
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
        return match old {
            None => nameless::set_name(&file, path),
            // Only renaming takes over another file's name atomically.
            Some(old) => {
                let named =
                    builder.make_in(folder, |scratch| nameless::set_name(&file, scratch))?;
                replace_file(named.into_temp_path(), old, path)
            }
        };
    }
    let scratch = builder
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)?;
    fill(scratch.as_file())?;
    match old {
        None => (scratch.persist_noclobber(path).map(drop)).map_err(|failed| failed.error),
        Some(old) => replace_file(scratch.into_temp_path(), old, path),
    }
}

/// Gives a file the name of the file `old`, and removes that.
fn replace_file(scratch: TempPath, old: Identity, path: &Path) -> io::Result<()> {
    let ours = rename::identity(&scratch)?;
    let taken = rename::in_place_of(old, &scratch, path);
    // Whatever has the temporary name now, only our own file is removed with it.
    if rename::identity(&scratch).ok() != Some(ours) {
        let _ = scratch.keep();
    }
    taken
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

    pub fn set_name(file: &File, path: &Path) -> io::Result<()> {
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

    pub fn set_name(_: &File, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let names = fs::read_dir(folder).unwrap().map(name);
        names.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn the_file_appears_only_when_complete() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let can = nameless::create(folder.path()).is_some();
        for text in ["one", "two"] {
            let old = rename::identity(&path).ok();
            write(&path, old, |out| {
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
        let there = write(&path, None, |_| Ok(())).unwrap_err();
        assert_eq!(there.kind(), io::ErrorKind::AlreadyExists);
        let old = rename::identity(&path).ok();
        let failed = write(&path, old, |_| Err(io::Error::other("no more")));
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_file_created_meanwhile_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let away = folder.path().join("b");
        fs::write(&path, "old").unwrap();
        let appear: [&dyn Fn() -> io::Result<()>; 3] = [
            &|| std::os::unix::fs::symlink("nowhere", &path),
            &|| fs::write(&path, "mine"),
            &|| UnixListener::bind(&path).map(drop),
        ];
        for appear in appear {
            let old = rename::identity(&path).ok();
            let was = Cell::new(None);
            let failed = write(&path, old, |_| {
                fs::rename(&path, &away)?;
                appear()?;
                was.set(rename::identity(&path).ok());
                Ok(())
            });
            let failed = failed.unwrap_err();
            assert_eq!(failed.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(rename::identity(&path).ok(), was.get());
            assert_eq!(names(folder.path()).len(), 2);
        }
    }
}

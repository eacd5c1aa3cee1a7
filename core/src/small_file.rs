//! Reads small files whose path may lead to anything.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Size limit in bytes for files that people write: configurations, networks, experiments.
pub const LONGEST: u64 = 1 << 20;

/// Opens a regular file for reading. Never blocks on another kind of file, as opening a pipe would.
///
/// # Errors
/// The file does not exist ([`io::ErrorKind::NotFound`]) or is not a regular file; or any other error of the system.
pub fn open(path: &Path) -> io::Result<File> {
    let how = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, how, Mode::empty())?);
    let there = file.metadata()?;
    if there.is_dir() {
        return Err(io::Error::other("is a directory, not a regular file"));
    }
    if !there.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok(file)
}

/// Reads the text of a regular file.
///
/// # Errors
/// As for [`open`] and [`text_of`].
pub fn text(path: &Path, longest: u64) -> io::Result<String> {
    text_of(open(path)?, longest)
}

/// Reads a text.
///
/// # Errors
/// It is longer than `longest` bytes, or is not UTF-8 ([`io::ErrorKind::InvalidData`]); or any other error of the
/// system.
pub fn text_of(from: impl Read, longest: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(longest.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        let what = format!("is larger than {} KiB", longest >> 10);
        return Err(io::Error::other(what));
    }
    String::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(text(&path, 9).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "ünd").unwrap();
        assert_eq!(text(&path, 4).unwrap(), "ünd");
        assert!(text(&path, 3).unwrap_err().to_string().contains("larger"));
        fs::write(&path, b"\xff").unwrap();
        assert!(text(&path, 9).unwrap_err().to_string().contains("UTF-8"));
        let odd = |path: &Path| text(path, 9).unwrap_err().to_string();
        assert!(odd(folder.path()).contains("not a regular file"));
        assert!(odd(Path::new("/dev/zero")).contains("not a regular file"));
    }

    #[test]
    fn a_pipe_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (said, told) = mpsc::channel();
        // Not joined: a failing test would wait for ever.
        std::thread::spawn(move || said.send(text(&path, 9).map_err(|error| error.to_string())));
        let read = told.recv_timeout(Duration::from_secs(60));
        assert!(
            read.expect("an answer")
                .unwrap_err()
                .contains("not a regular file")
        );
    }
}

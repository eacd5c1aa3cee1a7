//! Errors of writing and reading run files.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::schema::VERSION;

/// An error of the run file. Every message names the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
    #[error("cannot make the folder {path}: {error}")]
    Folder { path: PathBuf, error: io::Error },
    #[error("{path} exists: choose another --output, or overwrite it with --force")]
    Exists { path: PathBuf },
    /// A path that is never overwritten, such as a folder or a pipe.
    #[error("{path} {what}: choose another --output")]
    NotRegular { path: PathBuf, what: &'static str },
    /// A run that was to replace a file ended before its first step, by order or by failure.
    #[error("the run ended before its first step{}; {path} is as it was", cause_of_end(.why))]
    NoStep { path: PathBuf, why: String },
    /// A run that was to replace a file could not be recorded.
    #[error("{error}; {path} is as it was")]
    NotReplaced {
        path: PathBuf,
        error: Box<StoreError>,
    },
    #[error("{path} is being written: stop that run first")]
    Live { path: PathBuf },
    #[error("another process has changed {path} just now: try again")]
    Changed { path: PathBuf },
    #[error("{path} has all its {steps} steps: there is nothing to resume")]
    Complete { path: PathBuf, steps: u64 },
    #[error(
        "step {step} came out otherwise than {path} has it, so the run cannot be continued from its \
         checkpoint: resume it with the program and on the kind of machine that recorded it. The \
         file is as it was"
    )]
    Diverged { path: PathBuf, step: u64 },
    #[error(
        "{path}: no room for {needed} more bytes: {limit}. The steps committed before are in the file"
    )]
    DiskFull {
        path: PathBuf,
        needed: u64,
        limit: SpaceLimit,
    },
    /// There is not even room for what comes before the first step.
    #[error("{path}: no room for {needed} more bytes: {limit}")]
    NoRoom {
        path: PathBuf,
        needed: u64,
        limit: SpaceLimit,
    },
    #[error("{path} {how}{rescue}")]
    Disappeared {
        path: PathBuf,
        how: Disappearance,
        rescue: RescueOutcome,
    },
    #[error("{path} is empty: whatever wrote it did not get as far as a header")]
    Empty { path: PathBuf },
    /// The file has a journal from before the header was complete.
    #[error(
        "{path}: the program that was creating this run was killed before its first step, so nothing is recorded \
         in it: remove it, or train again with --force"
    )]
    Unborn { path: PathBuf },
    #[error("{path} is not an HDF5 file")]
    NotHdf5 { path: PathBuf },
    #[error(
        "{path} is an HDF5 file, but not a run of lcascope (no attribute `format` = `lcascope.run`)"
    )]
    Foreign { path: PathBuf },
    /// The file is between opening for writing and the start of SWMR.
    #[error(
        "{path}: a program is opening it to write, or was killed while it did. If none is, `lcascope repair` \
         makes it readable again"
    )]
    ClosedToAll { path: PathBuf },
    /// The file can be read but not continued.
    #[error(
        "{path} has no {missing}: an older lcascope recorded it, which can go on with it. With this one the run \
         has to be trained anew"
    )]
    Older {
        path: PathBuf,
        missing: &'static str,
    },
    #[error(
        "{path} has version {version} of the run format; this program knows versions up to \
         {VERSION}: use a newer lcascope"
    )]
    Newer { path: PathBuf, version: u64 },
    #[error("{path} has no parameter {index}: there are {params}, counted from 0")]
    NoParameter {
        path: PathBuf,
        index: usize,
        params: usize,
    },
    /// A file of weights to follow has none for this network.
    #[error("{path}: {what}")]
    Weights { path: PathBuf, what: String },
    /// The file refers to another file.
    #[error(
        "{path}: {name} {what}. Nothing outside of a run file is read or written on its word, so the file is refused"
    )]
    ForeignLink {
        path: PathBuf,
        name: String,
        what: String,
    },
    #[error("{path}: {what}")]
    Damaged { path: PathBuf, what: String },
    #[error("{path}: cannot {doing}: {}", cause(.error))]
    Hdf5 {
        path: PathBuf,
        doing: String,
        error: hdf5::Error,
    },
    #[error("the recorder thread ended without a word: this is a bug")]
    RecorderLost,
}

impl StoreError {
    /// Adds the file to a system error; for `map_err`.
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |error| Self::Io {
            path: path.to_owned(),
            error,
        }
    }
}

fn cause_of_end(why: &str) -> String {
    match why {
        "" => String::new(),
        why => format!(": {why}"),
    }
}

/// The system's message for an error if the library passed it on, else the library's own.
fn cause(error: &hdf5::Error) -> String {
    let text = error.to_string();
    // HDF5 looks for a plug-in that does not exist, and reports that.
    if [
        "required filter",
        "filter plugin",
        "can't open directory",
        "can't open dynamic library",
    ]
    .iter()
    .any(|sign| text.contains(sign))
    {
        return "the values are compressed with an HDF5 filter that is not available here: rewrite the file without it \
                (h5repack -f NONE IN.h5 OUT.h5, where the plug-in is), or say where its plug-in is with HDF5_PLUGIN_PATH"
            .to_owned();
    }
    let quoted = text.split_once("error message = '");
    match quoted.and_then(|(_, rest)| rest.split_once('\'')) {
        Some((cause, _)) => cause.to_owned(),
        None => text,
    }
}

/// Adds the file and what was being done to an HDF5 error.
pub(super) trait Context<T> {
    fn doing(self, path: &Path, doing: impl FnOnce() -> String) -> Result<T, StoreError>;
}

impl<T> Context<T> for Result<T, hdf5::Error> {
    fn doing(self, path: &Path, doing: impl FnOnce() -> String) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::Hdf5 {
            path: path.to_owned(),
            doing: doing(),
            error,
        })
    }
}

/// The limit that was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceLimit {
    /// The disk's capacity, with this many bytes free.
    Disk { free: u64 },
    /// The user's quota.
    Quota,
    /// The process's limit on the size of a file (`ulimit -f`), in bytes.
    FileSize { limit: u64 },
    /// The file system's limit on the size of a file.
    FileSystem,
}

impl fmt::Display for SpaceLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { free } => write!(
                f,
                "the disk is full ({free} bytes are free): make room, or choose another --output"
            ),
            Self::Quota => write!(
                f,
                "your disk quota is used up: make room, or choose another --output"
            ),
            Self::FileSize { limit } => write!(
                f,
                "files may not grow beyond {limit} bytes here: raise the limit (`ulimit -f`)"
            ),
            Self::FileSystem => write!(
                f,
                "the file system holds no files as large: choose another --output"
            ),
        }
    }
}

/// The way in which a file disappeared while it was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disappearance {
    Deleted,
    Unmounted,
    /// Truncated, or overwritten by another program.
    Overwritten,
}

impl fmt::Display for Disappearance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deleted => "was deleted while it was being written",
            Self::Overwritten => {
                "was cut or written over by another program while it was being written"
            }
            Self::Unmounted => "its file system was unmounted while it was being written",
        })
    }
}

/// The outcome of rescuing a file that disappeared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RescueOutcome {
    NotTried,
    Saved(PathBuf),
    Failed(String),
}

impl fmt::Display for RescueOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTried => Ok(()),
            Self::Saved(path) => {
                write!(f, "; what had been recorded is saved in {}", path.display())
            }
            Self::Failed(why) => write!(f, "; what had been recorded could not be saved: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_filter_is_named() {
        for text in [
            "H5Dread(): can't read data: can't open directory: /usr/lib/x86_64-linux-gnu/hdf5/serial/plugins",
            "H5Dread(): can't read data: required filter 'zstd' is not registered",
        ] {
            let said = cause(&hdf5::Error::Internal(text.to_owned()));
            assert!(
                said.contains("filter that is not available") && said.contains("h5repack"),
                "{said}"
            );
        }
        let other = hdf5::Error::Internal("H5Dread(): wrong fletcher32 checksum".to_owned());
        assert_eq!(cause(&other), "H5Dread(): wrong fletcher32 checksum");
    }
}

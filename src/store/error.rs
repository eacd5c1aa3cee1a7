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
    #[error("cannot create the folder {path}: {error}")]
    Folder { path: PathBuf, error: io::Error },
    #[error("{path} exists: choose another --output, or overwrite it with --force")]
    Exists { path: PathBuf },
    /// A path that is never overwritten, such as a folder or a pipe.
    #[error("{path} {what}: choose another --output")]
    NotRegular { path: PathBuf, what: &'static str },
    /// A run that was to replace a file ended before its first step, by order or by failure.
    #[error("the run ended before its first step{}; {path} is unchanged", cause_of_end(.why))]
    NoStep { path: PathBuf, why: String },
    /// A run that was to replace a file could not be recorded.
    #[error("{error}; {path} is unchanged")]
    NotReplaced {
        path: PathBuf,
        error: Box<StoreError>,
    },
    #[error("{path} is being written: stop that run first")]
    Live { path: PathBuf },
    #[error("another process has just changed {path}: try again")]
    Changed { path: PathBuf },
    #[error("{path} is complete with {steps} steps: nothing to resume")]
    Complete { path: PathBuf, steps: u64 },
    #[error(
        "the recomputed step {step} differs from the one recorded in {path}, so the run cannot be resumed from \
         its checkpoint: resume it with the same program on the same kind of machine. The file is unchanged"
    )]
    Diverged { path: PathBuf, step: u64 },
    #[error(
        "{path}: no space for {needed} more bytes: {limit}. The file contains the steps committed before"
    )]
    DiskFull {
        path: PathBuf,
        needed: u64,
        limit: SpaceLimit,
    },
    /// There is not even room for what comes before the first step.
    #[error("{path}: no space for {needed} more bytes: {limit}")]
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
    #[error("{path} is empty: its writer ended before writing the header")]
    Empty { path: PathBuf },
    /// The file has a journal from before the header was complete.
    #[error(
        "{path} contains no steps: the program that created it was killed before the first one; delete it, or \
         train again with --force"
    )]
    Unborn { path: PathBuf },
    #[error("{path} is not an HDF5 file")]
    NotHdf5 { path: PathBuf },
    #[error(
        "{path} is an HDF5 file, but not a run file of lcascope (no attribute `format` = `lcascope.run`)"
    )]
    Foreign { path: PathBuf },
    /// The file is between opening for writing and the start of SWMR.
    #[error(
        "{path}: a program is opening it for writing, or was killed meanwhile; in that case, `lcascope repair` \
         makes it readable again"
    )]
    ClosedToAll { path: PathBuf },
    /// The file can be read but not continued.
    #[error(
        "{path} has no {missing}: it was recorded by an older lcascope, which can resume it. With this version, \
         train the run again"
    )]
    Older {
        path: PathBuf,
        missing: &'static str,
    },
    #[error(
        "{path} has version {version} of the run format; this program supports versions up to {VERSION}: use a \
         newer lcascope"
    )]
    Newer { path: PathBuf, version: u64 },
    #[error("{path} has no parameter {index}: it has {params}, counted from 0")]
    NoParameter {
        path: PathBuf,
        index: usize,
        params: usize,
    },
    /// A file of weights to follow has none for this network.
    #[error("{path}: {what}")]
    Weights { path: PathBuf, what: String },
    /// The file refers to another file.
    #[error("{path}: {name} {what}; run files that refer to other files are refused")]
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
    #[error("the recorder thread ended unexpectedly: this is a bug")]
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
        return "the values are compressed with an HDF5 filter that is not available: set HDF5_PLUGIN_PATH to \
                the folder of its plug-in, or rewrite the file without the filter where it is available \
                (h5repack -f NONE IN.h5 OUT.h5)"
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
                "the disk is full ({free} bytes free): free some space, or choose another --output"
            ),
            Self::Quota => write!(
                f,
                "your disk quota is exhausted: free some space, or choose another --output"
            ),
            Self::FileSize { limit } => write!(
                f,
                "the size of files is limited to {limit} bytes: raise the limit (`ulimit -f`)"
            ),
            Self::FileSystem => write!(
                f,
                "the file system does not support files of this size: choose another --output"
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
                "was truncated or overwritten by another program while it was being written"
            }
            Self::Unmounted => "was on a file system that was unmounted while it was being written",
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
                write!(f, "; the recorded data are saved in {}", path.display())
            }
            Self::Failed(why) => write!(f, "; the recorded data could not be saved: {why}"),
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

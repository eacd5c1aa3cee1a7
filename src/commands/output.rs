//! Chooses and checks the file of a new run: it never replaces anything but a regular file, nor a file that the command
//! reads.

use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::{ConfigError, NetworkChoice, Options};
use crate::small_file;
use crate::store::{self, NewFile, StoreError};
use crate::supervise::{Failure, sandbox};
use crate::text::harmless;

/// Levels of folders searched inside a data set's folder.
const DEPTH: usize = 3;

/// The files and folders that a command reads.
pub struct CommandInputs(Vec<PathBuf>);

impl CommandInputs {
    /// The inputs named by the options, and others.
    pub fn from_options(options: &Options, others: &[&Path]) -> Self {
        let network = match &options.network {
            Some(NetworkChoice::Named(name)) => Some(PathBuf::from(name)),
            _ => None,
        };
        let named = [options.data.clone(), options.course.clone(), network];
        let others = others.iter().map(|path| path.to_path_buf());
        Self(named.into_iter().flatten().chain(others).collect())
    }

    /// Only these files.
    pub fn files(paths: &[&Path]) -> Self {
        Self::from_options(&Options::default(), paths)
    }

    /// The input that a file is, or is part of, under whatever name.
    pub fn holding(&self, file: &Path) -> Option<&Path> {
        let identity = identity(file)?;
        // A run may be stored beside the data, since neither data nor snapshots are HDF5 files.
        let is_run = small_file::open(file).is_ok_and(|file| {
            let mut start = Vec::new();
            file.take(4).read_to_end(&mut start).is_ok() && start == b"\x89HDF"
        });
        let depth = if is_run { 0 } else { DEPTH };
        let paths = self.0.iter().map(PathBuf::as_path);
        paths
            .into_iter()
            .find(|path| contains_file(path, identity, depth))
    }
}

/// Device and inode of a file.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let there = fs::metadata(path).ok()?;
    Some((there.dev(), there.ino()))
}

/// Whether a path is the file, or contains it within `depth` levels of folders.
fn contains_file(path: &Path, file: (u64, u64), depth: usize) -> bool {
    if identity(path) == Some(file) {
        return true;
    }
    if depth == 0 {
        return false;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .into_iter()
        .any(|entry| contains_file(&entry.path(), file, depth - 1))
}

/// Checks that a run may be written to a path. Call it before the work: the file itself is created later.
///
/// # Errors
/// Something is there that may not be replaced, or the path cannot name a file.
pub fn check(output: &Path, force: bool, inputs: &CommandInputs) -> Result<(), Failure> {
    let shown = harmless(&output.display().to_string());
    if output.to_str().is_none() {
        return Err(ConfigError(format!("--output {shown}: the name is not valid UTF-8")).into());
    }
    if output.is_dir() {
        return Err(ConfigError(format!("--output {shown} is a folder, not a file")).into());
    }
    let Some(file) = store::regular_at(output)? else {
        return Ok(());
    };
    if !force {
        let path = output.to_owned();
        return Err(StoreError::Exists { path }.into());
    }
    if let Some(input) = inputs.holding(&file) {
        let input = harmless(&input.display().to_string());
        return Err(ConfigError(format!(
            "--output {shown}: this command reads that file ({input}); choose another --output"
        ))
        .into());
    }
    is_not_written(output)
}

/// Refuses a run that is being written. It may be too damaged to be read in this process.
fn is_not_written(output: &Path) -> Result<(), Failure> {
    let is_live = match sandbox::peek(output) {
        Ok(opened) => opened.state.is_live(),
        Err(_) => store::is_locked(output),
    };
    if is_live {
        let path = output.to_owned();
        return Err(StoreError::Live { path }.into());
    }
    Ok(())
}

/// Creates the file of a new run: at `wanted` or, without it, under the first of the default names that is free.
///
/// # Errors
/// Something is there that may not be replaced, or the file cannot be created.
pub fn new_file(
    wanted: Option<&Path>,
    network: &str,
    force: bool,
) -> Result<(PathBuf, NewFile), Failure> {
    if let Some(path) = wanted {
        let new = if force {
            if path.exists() {
                is_not_written(path)?;
            }
            NewFile::replacing(path)?
        } else {
            NewFile::create(path)?
        };
        return Ok((path.to_owned(), new));
    }
    for path in default_names(network) {
        match NewFile::create(&path) {
            Ok(new) => return Ok((path, new)),
            // Another run started within this second.
            Err(StoreError::Exists { .. } | StoreError::NotRegular { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::Other(
        "all names for the run file are taken".to_owned(),
    ))
}

/// The default names: `runs/<network>-<time>.h5`, then the same with a number appended.
pub fn default_names(network: &str) -> impl Iterator<Item = PathBuf> {
    let time = jiff::ZonedDateTime::now().strftime("%Y%m%d-%H%M%S");
    let name = format!("runs/{network}-{time}");
    // Not `-2`, which is the second run of a series.
    let more = (2..1_000_000).map({
        let name = name.clone();
        move |n| PathBuf::from(format!("{name}_{n}.h5"))
    });
    std::iter::once(PathBuf::from(format!("{name}.h5"))).chain(more)
}

/// The first default name that is currently free.
pub fn default_name(network: &str) -> PathBuf {
    let free = |path: &PathBuf| path.symlink_metadata().is_err();
    default_names(network).find(free).unwrap_or_default()
}

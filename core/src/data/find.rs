//! Recognises the data set at a path.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cifar::{CIFAR_10, CIFAR_100, Version};
use super::idx::{self, IdxFiles};
use super::numpy::{self, NumpyFiles};
use super::{DataError, Dataset, file};

/// A data set that was found; its contents are not yet checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FoundDataset {
    /// Four IDX files.
    Idx(IdxFiles),
    /// A folder of CIFAR's binary batches.
    Cifar(&'static Version, PathBuf),
    /// Arrays that `NumPy` saved.
    Numpy(NumpyFiles),
}

impl FoundDataset {
    /// Reads the data set into memory.
    ///
    /// # Errors
    /// [`DataError`] names the file at fault, the fault and the remedy.
    pub fn load(&self) -> Result<Dataset, DataError> {
        match self {
            Self::Idx(files) => files.load(),
            Self::Cifar(version, folder) => version.load(folder),
            Self::Numpy(files) => files.load(),
        }
    }
}

impl fmt::Display for FoundDataset {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Idx(files) if files.path() == files.folder => {
                write!(f, "IDX files in {}", files.folder.display())
            }
            Self::Idx(files) => write!(f, "{}", files.path().display()),
            Self::Cifar(version, folder) => {
                write!(f, "{} files in {}", version.name, folder.display())
            }
            Self::Numpy(NumpyFiles::Folder(folder)) => {
                write!(f, ".npy files in {}", folder.display())
            }
            Self::Numpy(files) => write!(f, "{}", files.path().display()),
        }
    }
}

/// Finds the one data set at `path`: a folder, or one of its files if that is enough to tell.
///
/// # Errors
/// [`DataError`] if there is none or more than one.
pub fn find(path: &Path) -> Result<FoundDataset, DataError> {
    let given = path.to_owned();
    let fail = |source: io::Error| match source.kind() {
        _ if path.is_symlink() => file::cannot_open(given.clone(), source),
        io::ErrorKind::NotFound => DataError::Missing(given.clone()),
        io::ErrorKind::NotADirectory => DataError::NotAFolder(given.clone()),
        _ => file::cannot_open(given.clone(), source),
    };
    if fs::metadata(path).map_err(fail)?.is_file() {
        return match idx::set_of(path) {
            Some(files) => Ok(FoundDataset::Idx(files)),
            None if numpy::is_archive(path) => Ok(FoundDataset::Numpy(numpy::set_of(path))),
            None => Err(DataError::NotAFolder(given)),
        };
    }
    let archives = numpy::archives(path).map_err(fail)?;

    let mut found: Vec<_> = idx::sets(path).into_iter().map(FoundDataset::Idx).collect();
    for version in [&CIFAR_10, &CIFAR_100] {
        let folders = version.folders(path).into_iter();
        found.extend(folders.map(|folder| FoundDataset::Cifar(version, folder)));
    }
    found.extend(archives.into_iter().map(FoundDataset::Numpy));
    if numpy::has_arrays(path) {
        found.push(FoundDataset::Numpy(NumpyFiles::Folder(given.clone())));
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(nothing_found(&given)),
        several => {
            let names: Vec<_> = several.iter().map(FoundDataset::to_string).collect();
            Err(DataError::SeveralDataSets {
                folder: given,
                found: names.join(" and "),
            })
        }
    }
}

/// Returns the error for a folder without a data set, which says what is there.
fn nothing_found(folder: &Path) -> DataError {
    for version in [&CIFAR_10, &CIFAR_100] {
        if let Some(folder) = version.pickles(folder) {
            let name = version.name;
            return DataError::Pickles { folder, name };
        }
    }
    let looked_for = format!(
        "IDX: {}; or CIFAR-10 binary: {}; or CIFAR-100 binary: {}; or NumPy: {}",
        idx::looked_for(),
        CIFAR_10.looked_for(),
        CIFAR_100.looked_for(),
        numpy::looked_for()
    );
    let folder = folder.to_owned();
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    if names.is_empty() {
        return DataError::FolderEmpty { folder, looked_for };
    }
    names.sort();
    let found = file::listed(names.into_iter());
    DataError::NoDataSet {
        folder,
        looked_for,
        found,
    }
}

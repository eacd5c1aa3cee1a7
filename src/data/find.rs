//! Recognises a data set by what is at a path.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{DataError, Dataset, cifar, idx, numpy};

/// A data set that is there, if its files hold what their names say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A folder of four IDX files.
    Idx(PathBuf),
    /// A folder of CIFAR-10's binary batches.
    Cifar(PathBuf),
    /// An `.npz` file.
    Npz(PathBuf),
    /// A folder of `.npy` files.
    Npy(PathBuf),
}

impl Found {
    /// Reads it into memory.
    ///
    /// # Errors
    /// [`DataError`] says which file is at fault, how, and what to do.
    pub fn load(&self) -> Result<Dataset, DataError> {
        match self {
            Self::Idx(folder) => idx::load(folder),
            Self::Cifar(folder) => cifar::load(folder),
            Self::Npz(file) => numpy::load_archive(file),
            Self::Npy(folder) => numpy::load_folder(folder),
        }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (what, path) = match self {
            Self::Idx(folder) => ("IDX files in ", folder),
            Self::Cifar(folder) => ("CIFAR-10 files in ", folder),
            Self::Npz(file) => ("", file),
            Self::Npy(folder) => (".npy files in ", folder),
        };
        write!(f, "{what}{}", path.display())
    }
}

/// The one data set at `path`.
///
/// # Errors
/// [`DataError`], if there is none or more than one.
pub fn find(path: &Path) -> Result<Found, DataError> {
    let given = path.to_owned();
    let fail = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => DataError::Missing(given.clone()),
        io::ErrorKind::NotADirectory => DataError::NotAFolder(given.clone()),
        _ => DataError::Io {
            path: given.clone(),
            source,
        },
    };
    let kind = fs::metadata(path).map_err(fail)?;
    if kind.is_file() && numpy::is_archive(path) {
        return Ok(Found::Npz(given));
    }
    let mut entries = fs::read_dir(path).map_err(fail)?;

    let mut found: Vec<_> = idx::folders(path).into_iter().map(Found::Idx).collect();
    found.extend(cifar::folders(path).into_iter().map(Found::Cifar));
    found.extend(
        numpy::archives(path)
            .map_err(fail)?
            .into_iter()
            .map(Found::Npz),
    );
    if numpy::has_arrays(path) {
        found.push(Found::Npy(given.clone()));
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(match cifar::pickles(path) {
            Some(folder) => DataError::Pickles(folder),
            None if entries.next().is_none() => DataError::FolderEmpty {
                folder: given,
                looked_for: looked_for(),
            },
            None => DataError::NoDataSet {
                folder: given,
                looked_for: looked_for(),
            },
        }),
        several => {
            let names: Vec<_> = several.iter().map(Found::to_string).collect();
            Err(DataError::SeveralDataSets {
                folder: given,
                found: names.join(" and "),
            })
        }
    }
}

fn looked_for() -> String {
    format!(
        "IDX: {}; or CIFAR-10 binary: {}; or NumPy: {}",
        idx::looked_for(),
        cifar::looked_for(),
        numpy::looked_for()
    )
}

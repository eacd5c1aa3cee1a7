//! No number in a file is believed before it is held against the file's size.
//!
//! A damaged or hostile file may claim 2⁶⁰ rows. What is to be read is therefore first bounded by
//! the bytes that are there: memory is taken for what a file holds, not for what it says.

use std::fs;
use std::path::{Path, PathBuf};

use hdf5::{Container, Dataset, File, H5Type};

use super::error::{Context, StoreError};
use super::text;

/// Values that one stored byte may stand for where filters are in the way: deflate's best. A file
/// of ours has none on what is read here, but one repacked by other tools may.
const MOST_COMPRESSED: u64 = 1032;

/// Values that may stand in a dataset without any stored byte: HDF5 need not store what is all one
/// fill value.
const UNSTORED: u64 = 4096;

/// A file, and how large it is.
pub struct Bounds<'a> {
    path: &'a Path,
    len: u64,
}

impl<'a> Bounds<'a> {
    /// # Errors
    /// The file system does not say how long the file is.
    pub fn of(path: &'a Path, disk: &fs::File) -> Result<Self, StoreError> {
        let meta = disk.metadata().map_err(StoreError::io(path))?;
        Ok(Self {
            path,
            len: meta.len(),
        })
    }

    /// Bytes of the file.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Values of a dataset of this type that the file can hold.
    pub fn most_values(&self, value_bytes: usize, filtered: bool) -> u64 {
        let ratio = if filtered { MOST_COMPRESSED } else { 1 };
        let values = self.len / value_bytes.max(1) as u64;
        values.saturating_mul(ratio).max(UNSTORED)
    }

    /// Checks that the file can hold what a dataset claims.
    ///
    /// # Errors
    /// It cannot.
    pub fn check(&self, dataset: &Dataset, name: &str) -> Result<(), StoreError> {
        let shape = dataset.shape();
        let values = (shape.iter()).try_fold(1_u64, |product, &n| product.checked_mul(n as u64));
        let bytes = value_bytes(dataset).doing(self.path, || format!("read the type of {name}"))?;
        let most = self.most_values(bytes, is_filtered(dataset));
        if values.is_none_or(|values| values > most) {
            return Err(StoreError::Damaged {
                path: self.path.to_owned(),
                what: format!(
                    "{name} claims shape {shape:?}, more than the {} bytes of the file can hold",
                    self.len
                ),
            });
        }
        Ok(())
    }

    /// All values of a dataset.
    ///
    /// # Errors
    /// It is not there, is of another type, or claims more than there can be.
    pub fn vector<T: H5Type>(&self, file: &File, name: &str) -> Result<Vec<T>, StoreError> {
        let dataset = self.dataset(file, name)?;
        (dataset.read_raw()).doing(self.path, || format!("read {name}"))
    }

    /// The same of a dataset of strings.
    ///
    /// # Errors
    /// As [`vector`](Self::vector).
    pub fn names(&self, file: &File, name: &str) -> Result<Vec<String>, StoreError> {
        let dataset = self.dataset(file, name)?;
        text::read_strings(&dataset).doing(self.path, || format!("read {name}"))
    }

    fn dataset(&self, file: &File, name: &str) -> Result<Dataset, StoreError> {
        let dataset = (file.dataset(name))
            .and_then(|dataset| dataset.refresh().map(|()| dataset))
            .doing(self.path, || format!("read {name}"))?;
        self.check(&dataset, name)?;
        Ok(dataset)
    }
}

/// Bytes of one value in the file.
pub fn value_bytes(dataset: &Container) -> hdf5::Result<usize> {
    Ok(dataset.dtype()?.size())
}

/// Whether its values may take less room in the file than in memory.
pub fn is_filtered(dataset: &Dataset) -> bool {
    !dataset.filters().is_empty()
}

/// How many rows of a growing dataset to believe.
pub struct RowBound {
    value_bytes: usize,
    row_values: usize,
    filtered: bool,
}

impl RowBound {
    /// Of a dataset with rows of so many values.
    pub fn of(dataset: &Dataset, row_values: usize) -> hdf5::Result<Self> {
        Ok(Self {
            value_bytes: value_bytes(dataset)?,
            row_values,
            filtered: is_filtered(dataset),
        })
    }

    /// The most rows that the file, as long as it is now, can hold.
    pub fn rows(&self, bounds: &Bounds) -> u64 {
        let values = bounds.most_values(self.value_bytes, self.filtered);
        values / self.row_values.max(1) as u64
    }
}

/// What a damaged file says of itself is in no order: no list may be longer than any network's.
pub struct Longest {
    pub layers: usize,
    pub tensors: usize,
    pub params: usize,
}

pub const LONGEST: Longest = Longest {
    layers: 1 << 16,
    tensors: 1 << 18,
    params: 1 << 40,
};

/// Owned, for errors.
pub fn damaged(path: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Damaged {
        path: PathBuf::from(path),
        what: what.into(),
    }
}

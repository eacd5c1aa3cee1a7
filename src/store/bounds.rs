//! Checks numbers in a file against the file's size before they are trusted.
//!
//! A damaged or hostile file may claim 2⁶⁰ rows. Every read is therefore limited by the bytes that exist: memory is
//! allocated for what a file holds, not for what it claims.

use std::fs;
use std::path::{Path, PathBuf};

use hdf5::{Container, Dataset, File, H5Type};

use super::error::{Context, StoreError};
use super::text;

/// The most values per stored byte of a filtered dataset: deflate's best ratio. Our own files have no filters on these
/// datasets, but files repacked by other tools may.
const MOST_COMPRESSED: u64 = 1032;

/// The most values of a dataset without any stored byte: HDF5 need not store values that all equal the fill value.
const UNSTORED: u64 = 4096;

/// The bounds given by a file's size.
pub struct Bounds<'a> {
    path: &'a Path,
    len: u64,
}

impl<'a> Bounds<'a> {
    /// Measures a file.
    ///
    /// # Errors
    /// The file system does not report the file's length.
    pub fn measure(path: &'a Path, disk: &fs::File) -> Result<Self, StoreError> {
        let meta = disk.metadata().map_err(StoreError::io(path))?;
        Ok(Self {
            path,
            len: meta.len(),
        })
    }

    /// The size of the file in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// The most values of this size that a dataset in the file can hold.
    pub fn most_values(&self, value_bytes: usize, filtered: bool) -> u64 {
        let ratio = if filtered { MOST_COMPRESSED } else { 1 };
        let values = self.len / value_bytes.max(1) as u64;
        values.saturating_mul(ratio).max(UNSTORED)
    }

    /// Checks that the file can hold as many values as a dataset claims.
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
                    "{name} claims shape {shape:?}, too large for the {} bytes of the file",
                    self.len
                ),
            });
        }
        Ok(())
    }

    /// Reads all values of a dataset.
    ///
    /// # Errors
    /// The dataset is missing, has another type, or claims more values than possible.
    pub fn vector<T: H5Type>(&self, file: &File, name: &str) -> Result<Vec<T>, StoreError> {
        let dataset = self.dataset(file, name)?;
        (dataset.read_raw()).doing(self.path, || format!("read {name}"))
    }

    /// Reads all values of a dataset of strings.
    ///
    /// # Errors
    /// As for [`vector`](Self::vector).
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

/// The size of one value in the file in bytes.
pub fn value_bytes(dataset: &Container) -> hdf5::Result<usize> {
    Ok(dataset.dtype()?.size())
}

/// Whether values may take less space in the file than in memory.
pub fn is_filtered(dataset: &Dataset) -> bool {
    !dataset.filters().is_empty()
}

/// A bound on the plausible rows of a growing dataset.
pub struct RowBound {
    value_bytes: usize,
    row_values: usize,
    filtered: bool,
}

impl RowBound {
    /// The bound for a dataset with `row_values` values per row.
    pub fn for_dataset(dataset: &Dataset, row_values: usize) -> hdf5::Result<Self> {
        Ok(Self {
            value_bytes: value_bytes(dataset)?,
            row_values,
            filtered: is_filtered(dataset),
        })
    }

    /// The most rows that the file can hold at its current length.
    pub fn rows(&self, bounds: &Bounds) -> u64 {
        let values = bounds.most_values(self.value_bytes, self.filtered);
        values / self.row_values.max(1) as u64
    }
}

/// Limits on the lists in a file, larger than for any real network: a damaged file may claim anything.
pub struct ListLimits {
    pub layers: usize,
    pub tensors: usize,
    pub params: usize,
}

pub const LONGEST: ListLimits = ListLimits {
    layers: 1 << 16,
    tensors: 1 << 18,
    params: 1 << 40,
};

/// The error for a damaged file.
pub fn damaged(path: &Path, what: impl Into<String>) -> StoreError {
    StoreError::Damaged {
        path: PathBuf::from(path),
        what: what.into(),
    }
}

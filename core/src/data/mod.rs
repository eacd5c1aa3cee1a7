//! Data sets: labelled images in memory, and the rows of them that a run uses.
//!
//! - here: [`Dataset`], [`Examples`], [`load`], [`DataError`]
//! - [`embedded`]: the MNIST sample inside the program
//! - [`find`]: recognises the format at a path
//! - [`idx`], [`cifar`], [`numpy`]: readers, one for each format
//! - [`npy`], [`mod@array`]: the format of `NumPy` arrays, and what those of a data set may hold
//! - [`mod@file`], [`part`]: shared by the readers: bounded reading, checks, checksum
//! - [`split`]: train, validation and test rows; seeded mini-batches
//!
//! A new format is one new file here and one variant of [`find::FoundDataset`]; [`find::find`] has to look for it.

mod array;
mod cifar;
pub mod embedded;
mod file;
mod find;
mod idx;
mod npy;
mod numpy;
mod part;
pub mod split;

use std::io;
use std::ops::Range;
use std::path::PathBuf;

use thiserror::Error;

use crate::memory;

pub use cifar::CifarFault;
pub use file::{MAX_BYTES, MAX_PIXELS};
pub use idx::IdxFault;
pub use npy::NpyFault;
pub use split::{BatchPosition, Batches, Split, SplitSizes};

/// `ChaCha8` stream that decides which training rows are set aside.
pub const SPLIT_STREAM: u64 = 1;
/// `ChaCha8` stream that decides which test rows are used.
pub const TEST_STREAM: u64 = 2;
/// `ChaCha8` stream of the first epoch's mini-batches; epoch `e` uses the stream `BATCH_STREAM + e`, so other users of
/// a run's seed must keep to small numbers.
pub const BATCH_STREAM: u64 = 1 << 63;

/// A complete labelled image data set in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// Name on screen, such as `MNIST sample`.
    pub name: String,
    /// Channels, height and width of every image.
    pub shape: [usize; 3],
    /// One name for each class; label `c` is `classes[c]`.
    pub classes: Vec<String>,
    /// The training examples, in the order of the source.
    pub train: Examples,
    /// The held-out examples, in the order of the source.
    pub test: Examples,
    /// Hex SHA-256 of the training pixels, training labels, test pixels and test labels, in this order, without
    /// headers. Pixels are channel-major, as in `inputs`: one byte each if the source has bytes, otherwise the
    /// little-endian `f32` in use. Labels are one byte each.
    pub sha256: String,
}

/// N examples of `features` values each.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// Row-major: `[N, features]`, features = channels × height × width. Source bytes are divided by 255.
    pub inputs: Vec<f32>,
    /// Class of each example: `[N]`.
    pub labels: Vec<u8>,
    features: usize,
}

impl Examples {
    /// Wraps `inputs` (`[N, features]`) and `labels` (`[N]`).
    ///
    /// # Errors
    /// [`DataError::Shape`] if the lengths do not match or `features` is 0, [`DataError::TooManyRows`] if a `u32`
    /// cannot number the rows.
    pub fn new(inputs: Vec<f32>, labels: Vec<u8>, features: usize) -> Result<Self, DataError> {
        row_count(labels.len())?;
        if features == 0 || labels.len().checked_mul(features) != Some(inputs.len()) {
            return Err(DataError::Shape {
                values: inputs.len(),
                examples: labels.len(),
                features,
            });
        }
        Ok(Self {
            inputs,
            labels,
            features,
        })
    }

    /// Returns the least, greatest and root mean square value of some rows; NaN if there are none. Panics, as a slice
    /// does, if a row is not below `len()`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    pub fn input_range(&self, rows: &[u32]) -> [f64; 3] {
        let (mut least, mut greatest, mut squares) = (f32::INFINITY, f32::NEG_INFINITY, 0.0);
        for &row in rows {
            for &value in self.input(row as usize) {
                (least, greatest) = (least.min(value), greatest.max(value));
                squares += f64::from(value).powi(2);
            }
        }
        let count = (rows.len() * self.features) as f64;
        if rows.is_empty() {
            [f64::NAN; 3]
        } else {
            [least.into(), greatest.into(), (squares / count).sqrt()]
        }
    }

    /// Returns how many of some rows are in each class: `[classes]`. Panics, as a slice does, if a row is not below
    /// `len()`, or a label not below `classes`.
    #[must_use]
    pub fn class_counts(&self, rows: &[u32], classes: usize) -> Vec<u64> {
        let mut counts = vec![0; classes];
        for &row in rows {
            counts[usize::from(self.labels[row as usize])] += 1;
        }
        counts
    }

    /// Returns the number of examples, N.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Returns true if there are no examples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Returns the number of values in an example.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// Returns the values of example `i`: `[features]`. Panics, as a slice does, if `i >= len()`.
    #[must_use]
    pub fn input(&self, i: usize) -> &[f32] {
        &self.inputs[i * self.features..][..self.features]
    }

    /// Returns the values of a range of examples: `[range.len(), features]`. Panics, as a slice does, if the range ends
    /// beyond `len()`.
    #[must_use]
    pub fn rows(&self, range: Range<usize>) -> &[f32] {
        &self.inputs[range.start * self.features..range.end * self.features]
    }

    /// Makes this a copy of the given rows of `other`, reusing its own memory. Panics, as a slice does, if a row is not
    /// below `other.len()`.
    pub fn copy_from(&mut self, other: &Self, rows: impl Iterator<Item = u32>) {
        self.features = other.features;
        self.inputs.clear();
        self.labels.clear();
        for row in rows {
            self.inputs.extend_from_slice(other.input(row as usize));
            self.labels.push(other.labels[row as usize]);
        }
    }

    /// Returns these examples in the given order: without a copy if that is all of them in their present order. Panics,
    /// as a slice does, if a row is not below `len()`.
    #[must_use]
    pub fn into_selected(self, rows: &[u32]) -> Self {
        let same = rows.len() == self.len() && (0..).zip(rows).all(|(i, &row)| i == row);
        if same { self } else { self.select(rows) }
    }

    /// Returns a copy of the given rows, in the given order. Panics, as a slice does, if a row is not below `len()`.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let mut inputs = Vec::with_capacity(rows.len() * self.features);
        for &row in rows {
            inputs.extend_from_slice(self.input(row as usize));
        }
        Self {
            inputs,
            labels: rows.iter().map(|&row| self.labels[row as usize]).collect(),
            features: self.features,
        }
    }
}

/// Source of a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataSource {
    /// The MNIST sample inside the program: 6,000 training and 1,000 test digits.
    Embedded,
    /// A folder or file in any known format, recognised by its contents.
    Path(PathBuf),
}

/// Reads a data set into memory.
///
/// # Errors
/// [`DataError`] names the file at fault, the fault and the remedy.
pub fn load(source: &DataSource) -> Result<Dataset, DataError> {
    match source {
        DataSource::Embedded => embedded::load(),
        DataSource::Path(path) => find::find(path)?.load(),
    }
}

/// Why a data set cannot be read, or a run cannot have the requested rows.
#[derive(Debug, Error)]
pub enum DataError {
    #[error("{} does not exist; give the folder or the .npz file with the data set", .0.display())]
    Missing(PathBuf),
    #[error(
        "{} is neither a folder nor an .npz file; give the folder with the data set (unpack archives first); \
         convert other formats to an .npz file with numpy.savez (docs/data-and-models.md)",
        .0.display()
    )]
    NotAFolder(PathBuf),
    #[error(
        "{} is a link to {}, which cannot be opened ({reason}); get the file (git-annex and DataLad: git annex \
         get) or repair the link",
        path.display(), target.display()
    )]
    Link {
        path: PathBuf,
        target: PathBuf,
        reason: io::Error,
    },
    #[error("data folder {} is empty; put a data set there: {looked_for}", folder.display())]
    FolderEmpty { folder: PathBuf, looked_for: String },
    #[error("no data set in {}; looked for {looked_for}. It contains: {found}", folder.display())]
    NoDataSet {
        folder: PathBuf,
        looked_for: String,
        found: String,
    },
    #[error(
        "{} contains {found}; give the intended one (of several files, any), or move it to a folder of its own",
        folder.display()
    )]
    SeveralDataSets { folder: PathBuf, found: String },
    #[error("{name} is missing in {}; put it there, {packings}", folder.display())]
    FileMissing {
        folder: PathBuf,
        name: String,
        packings: &'static str,
    },
    #[error("cannot read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "{}: not enough memory for {values} values: as floats they need {}{}; use a smaller data set",
        file.display(), memory::size(values.saturating_mul(4)), file::at_most()
    )]
    Memory { file: PathBuf, values: u64 },
    #[error("{}: damaged {packing} data after {got} bytes ({reason}); download it again", file.display())]
    Damaged {
        file: PathBuf,
        packing: &'static str,
        got: usize,
        reason: String,
    },
    #[error(
        "{}: header says {content}, more than the limit of {MAX_BYTES}; use a smaller data set",
        file.display()
    )]
    TooLarge { file: PathBuf, content: String },
    #[error(
        "{}: truncated: header says {content}, but the file has {got}; download it again",
        file.display()
    )]
    Truncated {
        file: PathBuf,
        content: String,
        got: u64,
    },
    #[error(
        "{}: header says {content}, but more bytes follow; download it again",
        file.display()
    )]
    TrailingBytes { file: PathBuf, content: String },
    #[error("{}: {fault}", file.display())]
    Idx { file: PathBuf, fault: IdxFault },
    #[error("{}: {fault}", file.display())]
    Cifar { file: PathBuf, fault: CifarFault },
    #[error("{}: {fault}", file.display())]
    Npy { file: PathBuf, fault: NpyFault },
    #[error("{} cannot be read as an .npz file ({reason}); create it with numpy.savez", file.display())]
    NotAnArchive { file: PathBuf, reason: String },
    #[error(
        "{} has no array {wanted}; name the arrays x_train, y_train, x_test, y_test. It contains: {found}",
        file.display()
    )]
    ArrayMissing {
        file: PathBuf,
        wanted: String,
        found: String,
    },
    #[error(
        "{} contains {name} as Python pickles, which are not supported; get the “{name} binary \
         version (suitable for C programs)”, or save the arrays with numpy.savez (see docs/data-and-models.md)",
        folder.display()
    )]
    Pickles { folder: PathBuf, name: &'static str },
    #[error(
        "{}: row {row} (counting from 0) has label {label}; labels are 0 to {highest}, \
         check the file",
        file.display()
    )]
    Label {
        file: PathBuf,
        row: usize,
        label: i128,
        highest: usize,
    },
    #[error(
        "{}: no label is 0: labels are 1 to {highest}, but must start at 0; subtract 1",
        file.display()
    )]
    LabelsFromOne { file: PathBuf, highest: usize },
    #[error(
        "{}: class name {name:?}; a name has 1 to 64 bytes and no control characters",
        file.display()
    )]
    ClassName { file: PathBuf, name: String },
    #[error(
        "{} has {image_count} images but {} has {label_count} labels; take both from one source",
        images.display(), labels.display()
    )]
    CountsDiffer {
        images: PathBuf,
        image_count: usize,
        labels: PathBuf,
        label_count: usize,
    },
    #[error(
        "{} has images of {train_size} pixels but {} of {test_size}; take both from one source",
        train.display(), test.display()
    )]
    SizesDiffer {
        train: PathBuf,
        train_size: String,
        test: PathBuf,
        test_size: String,
    },
    #[error("{examples} examples of {features} features do not match {values} values")]
    Shape {
        values: usize,
        examples: usize,
        features: usize,
    },
    #[error("{rows} rows exceed the maximum of {} for a data set", u32::MAX)]
    TooManyRows { rows: usize },
    #[error("{part} size 0; a run needs at least one {part} example")]
    ZeroSize { part: &'static str },
    #[error(
        "train size {train} plus validation size {validation} exceeds \
         the {available} training examples; ask for fewer"
    )]
    TrainTooLarge {
        train: usize,
        validation: usize,
        available: usize,
    },
    #[error(
        "validation size {validation} leaves no training examples out of {available}; ask for fewer"
    )]
    ValidationTooLarge { validation: usize, available: usize },
    #[error("LCA size {lca} exceeds the {train} training examples; ask for fewer")]
    LcaTooLarge { lca: usize, train: usize },
    #[error("test size {test} exceeds the {available} test examples; ask for fewer")]
    TestTooLarge { test: usize, available: usize },
    #[error("batch size 0; a step needs at least one example")]
    ZeroBatch,
}

/// Returns `rows` as a `u32`, the type that numbers rows everywhere.
fn row_count(rows: usize) -> Result<u32, DataError> {
    u32::try_from(rows).map_err(|_| DataError::TooManyRows { rows })
}

//! Reader of the binary versions of CIFAR-10 and CIFAR-100 (Krizhevsky, *Learning Multiple Layers of
//! Features from Tiny Images*, 2009): records without a header, plain or gzipped.
//!
//! ```text
//! CIFAR-10    label (1 byte, 0 to 9)                        | red 32 × 32 | green 32 × 32 | blue 32 × 32
//! CIFAR-100   coarse label (0 to 19), fine label (0 to 99)     | the same planes
//! ```
//!
//! A text file, if present, names the classes. For CIFAR-100 the fine labels are used.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{self, MAX_BYTES, UnpackedFile, first_file, telling_name};
use super::part::{self, DataPart, Pixels};
use super::{DataError, Dataset};

/// Channels, height and width.
const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes in an image.
const IMAGE: usize = 3 * 32 * 32;

/// One of the two data sets: its sizes and file names.
#[derive(Debug, PartialEq, Eq)]
pub struct Version {
    pub name: &'static str,
    classes: usize,
    /// Bytes before an image; the last one is the label.
    labels: usize,
    /// File names without their ending; those that exist are read.
    train: &'static [&'static str],
    test: &'static str,
    class_names: &'static str,
    /// The folder inside the distributed archive.
    folder: &'static str,
    /// The folder of the Python version, whose files have the same names without an ending.
    pickles: &'static str,
}

pub const CIFAR_10: Version = Version {
    name: "CIFAR-10",
    classes: 10,
    labels: 1,
    train: &[
        "data_batch_1",
        "data_batch_2",
        "data_batch_3",
        "data_batch_4",
        "data_batch_5",
    ],
    test: "test_batch",
    class_names: "batches.meta.txt",
    folder: "cifar-10-batches-bin",
    pickles: "cifar-10-batches-py",
};

pub const CIFAR_100: Version = Version {
    name: "CIFAR-100",
    classes: 100,
    labels: 2,
    train: &["train"],
    test: "test",
    class_names: "fine_label_names.txt",
    folder: "cifar-100-binary",
    pickles: "cifar-100-python",
};

/// A fault in a CIFAR file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CifarFault {
    #[error("is empty; a data set needs at least one image: get the complete file")]
    Empty,
    #[error(
        "contains {bytes} bytes, that is, {records} records of {record} bytes and {rest} more; {advice}"
    )]
    Partial {
        bytes: usize,
        records: usize,
        record: usize,
        rest: usize,
        advice: &'static str,
    },
    #[error(
        "more than the limit of {MAX_BYTES} bytes together with the files before it; use fewer"
    )]
    TooLarge,
    #[error("names {0} classes instead of {1}; delete the file to number them")]
    Names(usize, usize),
}

impl Version {
    /// Returns the bytes in a record.
    const fn record(&self) -> usize {
        self.labels + IMAGE
    }

    /// Reads the files in a folder.
    ///
    /// # Errors
    /// [`DataError`] if a file is missing or has unexpected contents.
    pub fn load(&self, folder: &Path) -> Result<Dataset, DataError> {
        let missing = |stem: &str| file::missing(folder, format!("{stem}.bin"), "plain or .gz");
        let train: Vec<_> = self
            .train
            .iter()
            .filter_map(|stem| find(folder, stem))
            .collect();
        if train.is_empty() {
            return Err(missing(self.train[0]));
        }
        let test = find(folder, self.test).ok_or_else(|| missing(self.test))?;
        let name = match telling_name(folder, &[]) {
            Some(name) if name == self.folder => format!("{} (binary)", self.name),
            name => format!("{} ({} binary)", name.unwrap_or_default(), self.name),
        };
        let classes = self.class_names(folder)?;
        part::dataset(name, classes, self.read(train)?, self.read(vec![test])?)
    }

    /// Returns where the files are: `given` itself or the archive's folder below it.
    pub(super) fn folders(&self, given: &Path) -> Vec<PathBuf> {
        let places = [given.to_owned(), given.join(self.folder)];
        let mut there = places.into_iter().filter(|folder| self.is_in(folder));
        there.next().into_iter().collect()
    }

    fn is_in(&self, folder: &Path) -> bool {
        let mut stems = self.stems().map(|stem| find(folder, stem).is_some());
        match self.train {
            // The names `train` and `test` are too common: both must exist.
            [_] => stems.all(|there| there),
            _ => stems.any(|there| there),
        }
    }

    /// Returns the folder of the Python version, if `given` is it or contains it.
    pub(super) fn pickles(&self, given: &Path) -> Option<PathBuf> {
        let below = given.join(self.pickles);
        let is_named = |folder: &PathBuf| folder.ends_with(self.pickles) || self.train.len() > 1;
        [given.to_owned(), below]
            .into_iter()
            .find(|folder| is_named(folder) && self.stems().any(|stem| folder.join(stem).is_file()))
    }

    /// Describes what [`Version::folders`] looks for.
    pub(super) fn looked_for(&self) -> String {
        let train = match self.train {
            [first, .., last] => format!("{first}.bin to {last}.bin"),
            only => format!("{}.bin", only.join(", ")),
        };
        format!(
            "{train}, {}.bin (plain or .gz), there and in {} below it",
            self.test, self.folder
        )
    }

    fn stems(&self) -> impl Iterator<Item = &'static str> {
        self.train.iter().copied().chain([self.test])
    }

    /// Reads the records of several files into one part.
    fn read(&self, paths: Vec<PathBuf>) -> Result<DataPart, DataError> {
        let file = paths[0].clone();
        let mut pixels = Vec::new();
        let mut labels = Vec::new();
        for path in paths {
            let mut input = UnpackedFile::open(path)?;
            let room = MAX_BYTES - pixels.len() as u64;
            let bytes = input.read_up_to(room + 1)?;
            if let Some(fault) = self.fault(&bytes, room) {
                let file = input.path;
                return Err(DataError::Cifar { file, fault });
            }
            let rows = labels.len();
            for record in bytes.chunks_exact(self.record()) {
                let (label, image) = record.split_at(self.labels);
                labels.extend(label.last());
                pixels.extend_from_slice(image);
            }
            part::check_labels(&input.path, &labels[rows..], self.classes)?;
        }
        Ok(DataPart {
            file,
            shape: SHAPE,
            pixels: Pixels::Bytes(pixels),
            labels,
        })
    }

    fn fault(&self, bytes: &[u8], room: u64) -> Option<CifarFault> {
        let record = self.record();
        let rest = bytes.len() % record;
        if bytes.len() as u64 > room {
            return Some(CifarFault::TooLarge);
        }
        if bytes.is_empty() {
            return Some(CifarFault::Empty);
        }
        let other = match self.labels {
            1 => (
                &CIFAR_100,
                "they are complete records of CIFAR-100, not CIFAR-10: name the files train.bin and test.bin",
            ),
            _ => (
                &CIFAR_10,
                "they are complete records of CIFAR-10: name the files data_batch_1.bin and test_batch.bin",
            ),
        };
        let is_other = bytes.len().is_multiple_of(other.0.record());
        (rest > 0).then_some(CifarFault::Partial {
            bytes: bytes.len(),
            records: bytes.len() / record,
            record,
            rest,
            advice: if is_other {
                other.1
            } else {
                "download it again"
            },
        })
    }

    /// Returns the names in the text file, one on each line, or the classes' numbers.
    fn class_names(&self, folder: &Path) -> Result<Vec<String>, DataError> {
        let path = folder.join(self.class_names);
        if !path.is_file() {
            return Ok(part::numbered(self.classes));
        }
        let mut input = UnpackedFile::open(path)?;
        // Far more than the names need; a longer file has too many or too long names anyway.
        let bytes = input.read_up_to(1 << 13)?;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let names: Vec<_> = lines.map(str::to_owned).collect();
        part::check_class_names(&input.path, &names)?;
        if names.len() != self.classes {
            return Err(DataError::Cifar {
                file: input.path,
                fault: CifarFault::Names(names.len(), self.classes),
            });
        }
        Ok(names)
    }
}

/// Returns the file with this stem; an unpacked one is preferred.
fn find(folder: &Path, stem: &str) -> Option<PathBuf> {
    first_file(folder, [format!("{stem}.bin"), format!("{stem}.bin.gz")])
}

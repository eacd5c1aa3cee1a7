//! Reader of CIFAR-10's binary version (Krizhevsky, *Learning Multiple Layers of Features from Tiny
//! Images*, 2009): records without a header, plain or gzipped.
//!
//! ```text
//! label (1 byte, 0 to 9) | red 32 × 32 | green 32 × 32 | blue 32 × 32
//! ```
//!
//! Training images are in `data_batch_1.bin` to `data_batch_5.bin`, those of them that are there,
//! and test images in `test_batch.bin`. `batches.meta.txt`, if it is there, names the classes.

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{Input, MAX_BYTES, first_file, telling_name};
use super::part::{self, Part, Pixels};
use super::{DataError, Dataset};

const CLASSES: usize = 10;
/// Channels, height and width.
const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes of an image.
const IMAGE: usize = 3 * 32 * 32;
/// Bytes of a label and its image.
const RECORD: usize = 1 + IMAGE;

const BATCHES: std::ops::RangeInclusive<usize> = 1..=5;
const TEST: &str = "test_batch";
const META: &str = "batches.meta.txt";
/// The folder inside the archive that is handed out.
const SUBFOLDER: &str = "cifar-10-batches-bin";
/// The same of the Python version, whose files have the same names without an ending.
const PICKLES: &str = "cifar-10-batches-py";

/// What is wrong with one CIFAR-10 file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CifarFault {
    #[error("is empty; a data set needs at least one image, get the whole file")]
    Empty,
    #[error(
        "holds {bytes} bytes, which are {records} records of {RECORD} bytes and {rest} more; \
         download it again, and take CIFAR-10, not CIFAR-100"
    )]
    Partial {
        bytes: usize,
        records: usize,
        rest: usize,
    },
    #[error("more than the limit of {MAX_BYTES} bytes, with the files before it; use fewer")]
    TooLarge,
    #[error("names {0} classes, expected {CLASSES}; remove the file to number them")]
    Names(usize),
}

/// Reads the batches in a folder.
///
/// # Errors
/// [`DataError`], if a file is missing or does not hold what it should.
pub fn load(folder: &Path) -> Result<Dataset, DataError> {
    let missing = |stem: &str| DataError::FileMissing {
        folder: folder.to_owned(),
        name: format!("{stem}.bin"),
        packings: "plain or .gz",
    };
    let train: Vec<_> = BATCHES
        .filter_map(|number| find_batch(folder, &format!("data_batch_{number}")))
        .collect();
    if train.is_empty() {
        return Err(missing("data_batch_1"));
    }
    let test = find_batch(folder, TEST).ok_or_else(|| missing(TEST))?;
    let name = match telling_name(folder, &[]) {
        Some(name) if name == SUBFOLDER => "CIFAR-10 (binary)".to_owned(),
        name => format!("{} (CIFAR-10 binary)", name.unwrap_or_default()),
    };
    let classes = class_names(folder)?;
    part::dataset(name, classes, read(train)?, read(vec![test])?)
}

/// Where the batches are: in `given` itself or in [`SUBFOLDER`] below it.
pub(super) fn folders(given: &Path) -> Vec<PathBuf> {
    let places = [given.to_owned(), given.join(SUBFOLDER)];
    places
        .into_iter()
        .find(|folder| has_batch(folder))
        .into_iter()
        .collect()
}

/// The folder of CIFAR-10's Python version, if `given` is or holds it.
pub(super) fn pickles(given: &Path) -> Option<PathBuf> {
    let places = [given.to_owned(), given.join(PICKLES)];
    places.into_iter().find(|folder| {
        let mut stems = stems();
        stems.any(|stem| folder.join(stem).is_file())
    })
}

/// What [`folders`] looks for, in words.
pub(super) fn looked_for() -> String {
    format!(
        "data_batch_1.bin to data_batch_5.bin, {TEST}.bin (plain or .gz), there and in \
         {SUBFOLDER} below it"
    )
}

fn stems() -> impl Iterator<Item = String> {
    let train = BATCHES.map(|number| format!("data_batch_{number}"));
    train.chain([TEST.to_owned()])
}

fn has_batch(folder: &Path) -> bool {
    stems().any(|stem| find_batch(folder, &stem).is_some())
}

/// An unpacked file goes first.
fn find_batch(folder: &Path, stem: &str) -> Option<PathBuf> {
    first_file(folder, [format!("{stem}.bin"), format!("{stem}.bin.gz")])
}

/// Reads the records of some files into one part.
fn read(paths: Vec<PathBuf>) -> Result<Part, DataError> {
    let file = paths[0].clone();
    let mut pixels = Vec::new();
    let mut labels = Vec::new();
    for path in paths {
        let mut input = Input::open(path)?;
        let room = MAX_BYTES - pixels.len() as u64;
        let bytes = input.read_up_to(room + 1)?;
        let rows = labels.len();
        let (records, rest) = bytes.as_chunks::<RECORD>();
        let fault = if bytes.len() as u64 > room {
            Some(CifarFault::TooLarge)
        } else if bytes.is_empty() {
            Some(CifarFault::Empty)
        } else if !rest.is_empty() {
            Some(CifarFault::Partial {
                bytes: bytes.len(),
                records: records.len(),
                rest: rest.len(),
            })
        } else {
            None
        };
        if let Some(fault) = fault {
            let file = input.path;
            return Err(DataError::Cifar { file, fault });
        }
        pixels.reserve(records.len() * IMAGE);
        for [label, image @ ..] in records {
            labels.push(*label);
            pixels.extend_from_slice(image);
        }
        part::check_labels(&input.path, &labels[rows..], CLASSES)?;
    }
    Ok(Part {
        file,
        shape: SHAPE,
        pixels: Pixels::Bytes(pixels),
        labels,
    })
}

/// The names in [`META`], one a line, or the classes' numbers.
fn class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let path = folder.join(META);
    if !path.is_file() {
        return Ok(part::numbered(CLASSES));
    }
    let mut input = Input::open(path)?;
    // Far more than ten names need; what is longer has too many or too long ones anyway.
    let bytes = input.read_up_to(1 << 12)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let names: Vec<_> = lines.map(str::to_owned).collect();
    part::check_class_names(&input.path, &names)?;
    if names.len() != CLASSES {
        return Err(DataError::Cifar {
            file: input.path,
            fault: CifarFault::Names(names.len()),
        });
    }
    Ok(names)
}

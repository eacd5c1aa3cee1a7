//! Reader of data sets saved by `NumPy`: one `.npz` file, which is a zip archive of `.npy` files, or a folder of `.npy`
//! files.
//!
//! | array | shape | type |
//! |---|---|---|
//! | `x_train`, `x_test` | `[N, H, W]`, `[N, C, H, W]`, `[N, H, W, C]` or `[N, features]` | integers from 0 to 255, booleans or floats |
//! | `y_train`, `y_test` | `[N]` or `[N, 1]` | integers |
//! | `class_names` (optional) | `[C]` | text |
//! | `channels` (optional) | one | text: `first` or `last` |
//!
//! Or four `.npz` files with one array each, like those of Kuzushiji-MNIST: `kmnist-train-imgs.npz`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::array::{Images, Labels, read_channels, read_class_names};
use super::file::{
    UnpackedFile, files, first_file, is_there, listed, missing, open, parent, telling_name,
};
use super::npy::NpyFault;
use super::part::{self, DataPart};
use super::{DataError, Dataset};

/// An array of a data set.
struct WantedArray {
    /// Possible names, Keras's first.
    names: [&'static str; 3],
    /// Ending of the name of a file that holds this array alone.
    part: &'static str,
}

const fn wanted(names: [&'static str; 3], part: &'static str) -> WantedArray {
    WantedArray { names, part }
}

/// The images: of the training part, then of the test part. [`LABELS`] likewise.
const IMAGES: [WantedArray; 2] = [
    wanted(["x_train", "X_train", "train_images"], "train-imgs.npz"),
    wanted(["x_test", "X_test", "test_images"], "test-imgs.npz"),
];
const LABELS: [WantedArray; 2] = [
    wanted(["y_train", "Y_train", "train_labels"], "train-labels.npz"),
    wanted(["y_test", "Y_test", "test_labels"], "test-labels.npz"),
];
const CLASS_NAMES: &[&str] = &["class_names", "classes"];
const CHANNELS: &[&str] = &["channels"];

/// The name that `NumPy` gives an unnamed array.
const NAMELESS: &str = "arr_0.npy";

/// The files that hold a data set's arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NumpyFiles {
    /// An `.npz` file.
    Archive(PathBuf),
    /// `.npy` files in a folder.
    Folder(PathBuf),
    /// `.npz` files in a folder, one for each array, with a common prefix.
    Parts(PathBuf, String),
}

impl NumpyFiles {
    /// Reads the data set.
    ///
    /// # Errors
    /// [`DataError`] if an array is missing or has unexpected contents.
    pub fn load(&self) -> Result<Dataset, DataError> {
        let (name, source) = match self {
            Self::Archive(file) => {
                let zip = Box::new(open_archive(file)?);
                (
                    telling_name(file, &[]),
                    OpenedArrays::Archive(file.clone(), zip),
                )
            }
            Self::Folder(folder) => (
                telling_name(folder, &[]),
                OpenedArrays::Folder(folder.clone()),
            ),
            Self::Parts(folder, prefix) => {
                let name = match prefix.trim_end_matches(['-', '_']) {
                    "" => telling_name(folder, &[]),
                    name => Some(name.to_owned()),
                };
                (name, OpenedArrays::Parts(folder.clone(), prefix.clone()))
            }
        };
        let name = name.unwrap_or_default();
        let name = name.strip_suffix(".npz").unwrap_or(&name);
        load(format!("{name} (NumPy)"), source)
    }

    /// Returns a path that identifies these files.
    pub fn path(&self) -> PathBuf {
        match self {
            Self::Archive(path) | Self::Folder(path) => path.clone(),
            Self::Parts(folder, prefix) => folder.join(format!("{prefix}{}", IMAGES[0].part)),
        }
    }
}

fn open_archive(file: &Path) -> Result<ZipArchive<BufReader<File>>, DataError> {
    let reader = BufReader::new(open(file.to_owned())?);
    ZipArchive::new(reader).map_err(|error| not_an_archive(file, &error))
}

/// Returns true if a file is an `.npz` file by its name or its first bytes.
pub(super) fn is_archive(file: &Path) -> bool {
    let begins_as_zip = || -> io::Result<bool> {
        let mut start = [0; 4];
        File::open(file)?.read_exact(&mut start)?;
        Ok(&start == b"PK\x03\x04")
    };
    has_ending(file) || begins_as_zip().unwrap_or(false)
}

fn has_ending(file: &Path) -> bool {
    file.extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("npz"))
}

/// Returns the data sets in the `.npz` files of a folder, sorted by name.
pub(super) fn archives(folder: &Path) -> io::Result<Vec<NumpyFiles>> {
    let mut files = files(folder)?;
    files.retain(|(_, path)| has_ending(path));
    let mut found: Vec<NumpyFiles> = Vec::new();
    for (name, path) in &files {
        let is_like = |(other, _): &&(String, PathBuf)| prefix(other) == prefix(name);
        let set = match prefix(name) {
            Some(prefix) if files.iter().filter(is_like).count() > 1 => {
                NumpyFiles::Parts(folder.to_owned(), prefix.to_owned())
            }
            _ => NumpyFiles::Archive(path.clone()),
        };
        if found.last() != Some(&set) {
            found.push(set);
        }
    }
    Ok(found)
}

/// Returns the prefix of the name of a file with a single array.
fn prefix(name: &str) -> Option<&str> {
    let mut all = IMAGES.iter().chain(&LABELS);
    all.find_map(|wanted| name.strip_suffix(wanted.part))
}

/// Returns the data set that an `.npz` file is, or belongs to.
pub(super) fn set_of(file: &Path) -> NumpyFiles {
    let folder = parent(file);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let parts = prefix(&name).map(|prefix| NumpyFiles::Parts(folder.clone(), prefix.to_owned()));
    let sets = archives(&folder).unwrap_or_default();
    (parts.filter(|parts| sets.contains(parts)))
        .unwrap_or_else(|| NumpyFiles::Archive(file.to_owned()))
}

/// Returns true if a folder has one of the `.npy` files of a data set.
pub(super) fn has_arrays(folder: &Path) -> bool {
    let mut names = IMAGES.iter().chain(&LABELS).flat_map(|wanted| wanted.names);
    names.any(|name| is_there(&folder.join(format!("{name}.npy"))))
}

/// Describes what is looked for.
pub(super) fn looked_for() -> String {
    "one .npz file, or x_train.npy, y_train.npy, x_test.npy, y_test.npy, or kmnist-train-imgs.npz and similar"
        .to_owned()
}

fn not_an_archive(file: &Path, error: &ZipError) -> DataError {
    DataError::NotAnArchive {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

/// An opened [`NumpyFiles`].
enum OpenedArrays {
    Archive(PathBuf, Box<ZipArchive<BufReader<File>>>),
    Folder(PathBuf),
    Parts(PathBuf, String),
}

impl OpenedArrays {
    /// Reads the first array in `names` that exists.
    fn optional<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(UnpackedFile) -> Result<T, DataError>,
    ) -> Result<Option<T>, DataError> {
        let mut names = names.iter().map(|name| format!("{name}.npy"));
        match self {
            Self::Folder(folder) => first_file(folder, names)
                .map(|path| read(UnpackedFile::open(path)?))
                .transpose(),
            Self::Archive(file, zip) => {
                let name = names.find(|name| zip.index_for_name(name).is_some());
                name.map(|name| read_member(file, zip, &name, read))
                    .transpose()
            }
            Self::Parts(..) => Ok(None),
        }
    }

    fn required<T>(
        &mut self,
        wanted: &WantedArray,
        read: impl FnOnce(UnpackedFile) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        if let Self::Parts(folder, prefix) = self {
            let name = format!("{prefix}{}", wanted.part);
            let file = first_file(folder, [name.clone()]);
            let file = file.ok_or_else(|| missing(folder, name, "one of four"))?;
            return read_member(&file, &mut open_archive(&file)?, NAMELESS, read);
        }
        match self.optional(&wanted.names, read)? {
            Some(value) => Ok(value),
            None => Err(self.missing(&wanted.names)),
        }
    }

    fn missing(&self, names: &[&str]) -> DataError {
        match self {
            Self::Folder(folder) | Self::Parts(folder, _) => {
                missing(folder, format!("{}.npy", names[0]), "made with numpy.save")
            }
            Self::Archive(file, zip) => DataError::ArrayMissing {
                file: file.clone(),
                wanted: format!("{} (or {})", names[0], names[1..].join(", ")),
                found: members(zip),
            },
        }
    }
}

/// Lists the arrays of an archive, for errors.
fn members(zip: &ZipArchive<BufReader<File>>) -> String {
    let names = zip.file_names_raw().map(String::from_utf8_lossy);
    listed(names.map(|name| name.strip_suffix(".npy").unwrap_or(&name).to_owned()))
}

fn read_member<T>(
    file: &Path,
    zip: &mut ZipArchive<BufReader<File>>,
    name: &str,
    read: impl FnOnce(UnpackedFile) -> Result<T, DataError>,
) -> Result<T, DataError> {
    if zip.index_for_name(name).is_none() {
        return Err(DataError::ArrayMissing {
            file: file.to_owned(),
            wanted: name.trim_end_matches(".npy").to_owned(),
            found: members(zip),
        });
    }
    let member = (zip.by_name(name)).map_err(|error| not_an_archive(file, &error))?;
    read(UnpackedFile::zipped(file.join(name), member))
}

fn load(name: String, mut source: OpenedArrays) -> Result<Dataset, DataError> {
    let channels = source.optional(CHANNELS, read_channels)?;
    let class_names = source.optional(CLASS_NAMES, read_class_names)?;
    let mut part = |images, labels| {
        let images = source.required(images, |input| Images::read(input, channels))?;
        let labels = source.required(labels, Labels::read)?;
        let counts = (images.count, labels.values.len());
        part::check_counts((&images.file, counts.0), (&labels.file, counts.1))?;
        Ok((images, labels))
    };
    let (train_images, train_labels) = part(&IMAGES[0], &LABELS[0])?;
    let (test_images, test_labels) = part(&IMAGES[1], &LABELS[1])?;
    if train_images.is_bytes() != test_images.is_bytes() {
        return Err(DataError::Npy {
            file: test_images.file,
            fault: NpyFault::Mixed,
        });
    }
    let labels = || train_labels.values.iter().chain(&test_labels.values);
    let highest = labels().max().copied().map_or(0, usize::from);
    let classes = if let Some(names) = class_names {
        if highest == names.len() && labels().min() == Some(&1) {
            let file = train_labels.file;
            return Err(DataError::LabelsFromOne { file, highest });
        }
        for labels in [&train_labels, &test_labels] {
            part::check_labels(&labels.file, &labels.values, names.len())?;
        }
        names
    } else {
        part::numbered(1 + highest)
    };
    let [train, test] =
        [(train_images, train_labels), (test_images, test_labels)].map(|(images, labels)| {
            DataPart {
                file: images.file,
                shape: images.shape,
                pixels: images.pixels,
                labels: labels.values,
            }
        });
    part::dataset(name, classes, train, test)
}

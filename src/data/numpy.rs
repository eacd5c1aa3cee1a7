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

use super::file::{
    Input, MAX_PIXELS, files, first_file, is_there, listed, no_memory, open, parent, telling_name,
};
use super::npy::{self, Header, NpyFault};
use super::part::{self, Part, Pixels};
use super::{DataError, Dataset};

/// An array of a data set.
struct Wanted {
    /// Possible names, Keras's first.
    names: &'static [&'static str],
    /// Ending of the name of a file that holds this array alone.
    part: &'static str,
}

const IMAGES: [Wanted; 2] = [
    Wanted {
        names: &["x_train", "X_train", "train_images"],
        part: "train-imgs.npz",
    },
    Wanted {
        names: &["x_test", "X_test", "test_images"],
        part: "test-imgs.npz",
    },
];
const LABELS: [Wanted; 2] = [
    Wanted {
        names: &["y_train", "Y_train", "train_labels"],
        part: "train-labels.npz",
    },
    Wanted {
        names: &["y_test", "Y_test", "test_labels"],
        part: "test-labels.npz",
    },
];
const CLASS_NAMES: &[&str] = &["class_names", "classes"];
const CHANNELS: &[&str] = &["channels"];

/// The name that `NumPy` gives an unnamed array.
const NAMELESS: &str = "arr_0.npy";

/// Most channels of an image if the channel axis is not specified.
const MAX_CHANNELS: u64 = 4;
/// Most values in an image.
const MAX_FEATURES: u64 = MAX_CHANNELS * MAX_PIXELS;
/// Most classes that one-byte labels can distinguish.
const MAX_CLASSES: u64 = 256;
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
                (telling_name(file, &[]), Source::Archive(file.clone(), zip))
            }
            Self::Folder(folder) => (telling_name(folder, &[]), Source::Folder(folder.clone())),
            Self::Parts(folder, prefix) => {
                let name = match prefix.trim_end_matches(['-', '_']) {
                    "" => telling_name(folder, &[]),
                    name => Some(name.to_owned()),
                };
                (name, Source::Parts(folder.clone(), prefix.clone()))
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
    "one .npz file, or x_train.npy, y_train.npy, x_test.npy, y_test.npy, or kmnist-train-imgs.npz and its \
     like"
        .to_owned()
}

fn not_an_archive(file: &Path, error: &ZipError) -> DataError {
    DataError::NotAnArchive {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

/// An opened [`NumpyFiles`].
enum Source {
    Archive(PathBuf, Box<ZipArchive<BufReader<File>>>),
    Folder(PathBuf),
    Parts(PathBuf, String),
}

impl Source {
    /// Reads the first array in `names` that exists.
    fn optional<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(Input) -> Result<T, DataError>,
    ) -> Result<Option<T>, DataError> {
        let mut names = names.iter().map(|name| format!("{name}.npy"));
        match self {
            Self::Folder(folder) => first_file(folder, names)
                .map(|path| read(Input::open(path)?))
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
        wanted: &Wanted,
        read: impl FnOnce(Input) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        if let Self::Parts(folder, prefix) = self {
            let name = format!("{prefix}{}", wanted.part);
            let file = first_file(folder, [name.clone()]);
            let file = file.ok_or_else(|| missing(folder, name, "one of four"))?;
            return read_member(&file, &mut open_archive(&file)?, NAMELESS, read);
        }
        match self.optional(wanted.names, read)? {
            Some(value) => Ok(value),
            None => Err(self.missing(wanted.names)),
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

fn missing(folder: &Path, name: String, packings: &'static str) -> DataError {
    DataError::FileMissing {
        folder: folder.to_owned(),
        name,
        packings,
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
    read: impl FnOnce(Input) -> Result<T, DataError>,
) -> Result<T, DataError> {
    if zip.index_for_name(name).is_none() {
        return Err(DataError::ArrayMissing {
            file: file.to_owned(),
            wanted: name.trim_end_matches(".npy").to_owned(),
            found: members(zip),
        });
    }
    let member = (zip.by_name(name)).map_err(|error| not_an_archive(file, &error))?;
    read(Input::zipped(file.join(name), member))
}

fn load(name: String, mut source: Source) -> Result<Dataset, DataError> {
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
        if highest == names.len() && !labels().any(|&label| label == 0) {
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
        [(train_images, train_labels), (test_images, test_labels)].map(|(images, labels)| Part {
            file: images.file,
            shape: images.shape,
            pixels: images.pixels,
            labels: labels.values,
        });
    part::dataset(name, classes, train, test)
}

/// Which axis of four holds the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channels {
    First,
    Last,
}

/// An array of images.
struct Images {
    file: PathBuf,
    count: usize,
    /// Channels, height and width.
    shape: [usize; 3],
    /// `[N, channels, height, width]`
    pixels: Pixels,
}

impl Images {
    fn is_bytes(&self) -> bool {
        matches!(self.pixels, Pixels::Bytes(_))
    }

    fn read(mut input: Input, channels: Option<Channels>) -> Result<Self, DataError> {
        let file = input.path.clone();
        let header = Header::read(&mut input)?;
        let fail = |fault| DataError::Npy {
            file: file.clone(),
            fault,
        };
        let axes = image_axes(&header.shape, channels).map_err(fail)?;
        let pixels = match (header.value.kind, header.value.size) {
            ('u', 1) => Pixels::Bytes(header.convert_values(&mut input, |bytes, _, values| {
                values.extend_from_slice(bytes);
            })?),
            ('u' | 'i', 1 | 2 | 4 | 8) => Pixels::Bytes(read_integers(&header, &mut input)?),
            ('f', 4 | 8) => Pixels::Floats(header.convert_values(&mut input, npy::floats)?),
            ('b', 1) => {
                let one = |&byte: &u8| f32::from(u8::from(byte != 0));
                Pixels::Floats(header.convert_values(&mut input, |bytes, _, values| {
                    values.extend(bytes.iter().map(one));
                })?)
            }
            _ => {
                return Err(fail(NpyFault::Type {
                    found: header.value.to_string(),
                    expected: "uint8, float32 or float64",
                    remedy: "as .astype(\"float32\")",
                }));
            }
        };
        // The values have been read, so their number and every axis length fit into `usize`.
        let size = |axis: Option<usize>| {
            let size = axis.map_or(1, |axis| header.shape[axis]);
            usize::try_from(size).unwrap_or(usize::MAX)
        };
        let sizes = axes.map(size);
        let strides = strides(&header);
        let strides = axes.map(|axis| axis.map_or(0, |axis| strides[axis]));
        let [count, shape @ ..] = sizes;
        let pixels = match pixels {
            Pixels::Bytes(bytes) => arranged(bytes, sizes, strides).map(Pixels::Bytes),
            Pixels::Floats(values) => arranged(values, sizes, strides).map(Pixels::Floats),
        };
        let pixels = pixels.map_err(|values| no_memory(&file, values as u64))?;
        if let Pixels::Floats(values) = &pixels
            && let Some(place) = values.iter().position(|value| !value.is_finite())
        {
            return Err(fail(NpyFault::NotFinite {
                row: place / shape.iter().product::<usize>(),
                value: values[place].into(),
            }));
        }
        Ok(Self {
            file,
            count,
            shape,
            pixels,
        })
    }
}

/// Reads integers of any type whose values fit into bytes.
fn read_integers(header: &Header, input: &mut Input) -> Result<Vec<u8>, DataError> {
    let (mut least, mut greatest) = (i128::MAX, i128::MIN);
    let bytes = header.convert_values(input, |bytes, value, to| {
        for integer in npy::integers(bytes, value) {
            (least, greatest) = (least.min(integer), greatest.max(integer));
            to.push(u8::try_from(integer).unwrap_or(0));
        }
    })?;
    if (0..=255).contains(&least) && (0..=255).contains(&greatest) {
        return Ok(bytes);
    }
    let remedy = match least {
        0.. => {
            // The full range of 16 bits, even if the values do not reach it.
            let scale = if (0x8000..0xffff).contains(&greatest) {
                0xffff
            } else {
                greatest
            };
            format!("(x / {scale}).astype(\"float32\")")
        }
        _ => "((x - x_train.mean()) / x_train.std()).astype(\"float32\")".to_owned(),
    };
    Err(DataError::Npy {
        file: input.path.clone(),
        fault: NpyFault::Integers {
            least,
            greatest,
            remedy,
        },
    })
}

/// Returns the axes of the examples, the channels, the height and the width in an array of images.
fn image_axes(shape: &[u64], channels: Option<Channels>) -> Result<[Option<usize>; 4], NpyFault> {
    let fault = |expected| NpyFault::Shape {
        found: shape.to_vec(),
        expected,
    };
    let axes = match *shape {
        // A vector counts as channels of a single pixel.
        [_, _] => [Some(0), Some(1), None, None],
        [_, _, _] => [Some(0), None, Some(1), Some(2)],
        [_, first, _, last] => {
            let few = |size| (1..=MAX_CHANNELS).contains(&size);
            let channels = match channels {
                Some(channels) => channels,
                None if few(first) && (!few(last) || first < last) => Channels::First,
                None if few(last) && (!few(first) || last < first) => Channels::Last,
                None => return Err(NpyFault::Channels(shape.to_vec())),
            };
            match channels {
                Channels::First => [Some(0), Some(1), Some(2), Some(3)],
                Channels::Last => [Some(0), Some(3), Some(1), Some(2)],
            }
        }
        _ => {
            return Err(fault(
                "[N, height, width], one more axis for channels, or [N, features]",
            ));
        }
    };
    let features = shape[1..].iter().copied().fold(1, u64::saturating_mul);
    if shape[0] == 0 || !(1..=MAX_FEATURES).contains(&features) {
        return Err(fault("at least one image, of 1 to 262144 values"));
    }
    Ok(axes)
}

/// Returns the distance between neighbours along each axis in the file.
fn strides(header: &Header) -> Vec<usize> {
    let mut strides = vec![0; header.shape.len()];
    let mut next = 1_usize;
    let mut step = |(stride, &size): (&mut usize, &u64)| {
        *stride = next;
        next = next.saturating_mul(usize::try_from(size).unwrap_or(usize::MAX));
    };
    let axes = strides.iter_mut().zip(&header.shape);
    if header.is_fortran {
        axes.for_each(&mut step);
    } else {
        axes.rev().for_each(&mut step);
    }
    strides
}

/// Returns the values in row-major order, given their strides.
///
/// # Errors
/// There is no memory for so many.
fn arranged<T: Copy>(
    values: Vec<T>,
    sizes: [usize; 4],
    strides: [usize; 4],
) -> Result<Vec<T>, usize> {
    let [a, b, c, d] = sizes;
    let row_by_row = [b * c * d, c * d, d, 1];
    if (0..4).all(|axis| sizes[axis] == 1 || strides[axis] == row_by_row[axis]) {
        return Ok(values);
    }
    let mut arranged = Vec::new();
    (arranged.try_reserve_exact(values.len())).map_err(|_| values.len())?;
    for i in 0..a {
        for j in 0..b {
            for k in 0..c {
                let start = i * strides[0] + j * strides[1] + k * strides[2];
                arranged.extend((0..d).map(|l| values[start + l * strides[3]]));
            }
        }
    }
    Ok(arranged)
}

/// An array of labels.
struct Labels {
    file: PathBuf,
    values: Vec<u8>,
}

impl Labels {
    fn read(mut input: Input) -> Result<Self, DataError> {
        let file = input.path.clone();
        let header = Header::read(&mut input)?;
        let fault = if !matches!(*header.shape, [_] | [_, 1]) || header.shape[0] == 0 {
            Some(NpyFault::Shape {
                found: header.shape.clone(),
                expected: "[N] or [N, 1], one class an image (of one-hot rows save y.argmax(1))",
            })
        } else if !matches!(header.value.kind, 'i' | 'u')
            || !matches!(header.value.size, 1 | 2 | 4 | 8)
        {
            Some(NpyFault::Type {
                found: header.value.to_string(),
                expected: "integers",
                remedy: "as .astype(\"int64\")",
            })
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(DataError::Npy { file, fault });
        }
        let bytes = header.read_values(&mut input)?;
        let mut values = Vec::new();
        for (row, label) in npy::integers(&bytes, &header.value).enumerate() {
            match u8::try_from(label) {
                Ok(label) => values.push(label),
                Err(_) => {
                    return Err(DataError::Label {
                        file,
                        row,
                        label,
                        highest: usize::from(u8::MAX),
                    });
                }
            }
        }
        Ok(Self { file, values })
    }
}

/// Reads a few texts.
fn read_texts(input: &mut Input) -> Result<Vec<String>, DataError> {
    let header = Header::read(input)?;
    let file = input.path.clone();
    let count = header.shape.iter().copied().fold(1, u64::saturating_mul);
    let fault = if !matches!(header.value.kind, 'U' | 'S') || header.value.size == 0 {
        Some(NpyFault::Type {
            found: header.value.to_string(),
            expected: "text",
            remedy: "as numpy.array([\"first\", \"second\"])",
        })
    } else if !(1..=MAX_CLASSES).contains(&count) {
        Some(NpyFault::ClassCount(count))
    } else {
        None
    };
    if let Some(fault) = fault {
        return Err(DataError::Npy { file, fault });
    }
    let bytes = header.read_values(input)?;
    Ok(npy::texts(&bytes, &header.value))
}

fn read_class_names(mut input: Input) -> Result<Vec<String>, DataError> {
    let names = read_texts(&mut input)?;
    part::check_class_names(&input.path, &names)?;
    Ok(names)
}

fn read_channels(mut input: Input) -> Result<Channels, DataError> {
    let words = read_texts(&mut input)?;
    match words.as_slice() {
        [word] if word == "first" => Ok(Channels::First),
        [word] if word == "last" => Ok(Channels::Last),
        words => Err(DataError::Npy {
            file: input.path,
            fault: NpyFault::ChannelsWord(words.join(", ")),
        }),
    }
}

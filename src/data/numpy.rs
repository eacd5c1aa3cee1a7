//! Reader of data sets that `NumPy` saved: one `.npz` file, a zip archive of `.npy` files, or a folder
//! of `.npy` files.
//!
//! | array | shape | type |
//! |---|---|---|
//! | `x_train`, `x_test` | `[N, H, W]`, `[N, C, H, W]`, `[N, H, W, C]` or `[N, features]` | bytes or floats |
//! | `y_train`, `y_test` | `[N]` or `[N, 1]` | integers |
//! | `class_names` (optional) | `[C]` | text |
//! | `channels` (optional) | one | text: `first` or `last` |

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::file::{Input, MAX_PIXELS, telling_name};
use super::npy::{self, Header, NpyFault};
use super::part::{self, Part, Pixels};
use super::{DataError, Dataset};

/// The names of each array, Keras's first.
const TRAIN_IMAGES: &[&str] = &["x_train", "X_train", "train_images"];
const TRAIN_LABELS: &[&str] = &["y_train", "Y_train", "train_labels"];
const TEST_IMAGES: &[&str] = &["x_test", "X_test", "test_images"];
const TEST_LABELS: &[&str] = &["y_test", "Y_test", "test_labels"];
const CLASS_NAMES: &[&str] = &["class_names", "classes"];
const CHANNELS: &[&str] = &["channels"];

/// Channels that an image may have if nobody says which axis they are.
const MAX_CHANNELS: u64 = 4;
/// Values that an image may have.
const MAX_FEATURES: u64 = MAX_CHANNELS * MAX_PIXELS;
/// Classes that labels of a byte can tell apart.
const MAX_CLASSES: u64 = 256;
/// Names of an archive that an error lists, at most.
const LISTED: usize = 20;

/// Reads an `.npz` file.
///
/// # Errors
/// [`DataError`], if it is none, or an array is missing or not what it should be.
pub fn load_archive(file: &Path) -> Result<Dataset, DataError> {
    let path = file.to_owned();
    let reader = match File::open(file) {
        Ok(reader) => BufReader::new(reader),
        Err(source) => return Err(DataError::Io { path, source }),
    };
    let zip = ZipArchive::new(reader).map_err(|error| not_an_archive(file, &error))?;
    let name = telling_name(file, &[]).unwrap_or_default();
    let name = name.strip_suffix(".npz").unwrap_or(&name);
    load(
        format!("{name} (NumPy)"),
        Source::Archive(path, Box::new(zip)),
    )
}

/// Reads the `.npy` files in a folder.
///
/// # Errors
/// [`DataError`], if an array is missing or not what it should be.
pub fn load_folder(folder: &Path) -> Result<Dataset, DataError> {
    let name = telling_name(folder, &[]).unwrap_or_default();
    load(format!("{name} (NumPy)"), Source::Folder(folder.to_owned()))
}

/// Whether a file is an `.npz` file by its name or its first bytes.
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

/// The `.npz` files in a folder, in the order of their names.
pub(super) fn archives(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if has_ending(&path) && path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a folder has one of the `.npy` files of a data set.
pub(super) fn has_arrays(folder: &Path) -> bool {
    let names = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS];
    let mut names = names.into_iter().flatten();
    names.any(|name| folder.join(format!("{name}.npy")).is_file())
}

/// What is looked for, in words.
pub(super) fn looked_for() -> String {
    "one .npz file, or x_train.npy, y_train.npy, x_test.npy, y_test.npy".to_owned()
}

fn not_an_archive(file: &Path, error: &ZipError) -> DataError {
    DataError::NotAnArchive {
        file: file.to_owned(),
        reason: error.to_string(),
    }
}

/// Where arrays are.
enum Source {
    Archive(PathBuf, Box<ZipArchive<BufReader<File>>>),
    Folder(PathBuf),
}

impl Source {
    /// Reads the array that has the first of `names` that is there.
    fn optional<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(Input) -> Result<T, DataError>,
    ) -> Result<Option<T>, DataError> {
        let mut names = names.iter().map(|name| format!("{name}.npy"));
        match self {
            Self::Folder(folder) => {
                let mut paths = names.map(|name| folder.join(name));
                let found = paths.find(|path| path.is_file());
                found.map(|path| read(Input::open(path)?)).transpose()
            }
            Self::Archive(file, zip) => {
                let Some(name) = names.find(|name| zip.index_for_name(name).is_some()) else {
                    return Ok(None);
                };
                let member = zip
                    .by_name(&name)
                    .map_err(|error| not_an_archive(file, &error))?;
                read(Input::zipped(file.join(name), member)).map(Some)
            }
        }
    }

    fn required<T>(
        &mut self,
        names: &[&str],
        read: impl FnOnce(Input) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        match self.optional(names, read)? {
            Some(value) => Ok(value),
            None => Err(self.missing(names)),
        }
    }

    fn missing(&self, names: &[&str]) -> DataError {
        let [name, others @ ..] = names else {
            unreachable!("every array has a name")
        };
        match self {
            Self::Folder(folder) => DataError::FileMissing {
                folder: folder.clone(),
                name: format!("{name}.npy"),
                packings: "made with numpy.save",
            },
            Self::Archive(file, zip) => {
                // Escaped, for a name may hold anything that moves a terminal's cursor.
                let readable = |name: &[u8]| {
                    let name = String::from_utf8_lossy(name);
                    let array = name.strip_suffix(".npy").unwrap_or(&name);
                    array.escape_debug().to_string()
                };
                let all = zip.file_names_raw().map(readable);
                let mut listed: Vec<_> = all.take(LISTED).collect();
                if zip.len() > LISTED {
                    listed.push("…".to_owned());
                }
                DataError::ArrayMissing {
                    file: file.clone(),
                    wanted: format!("{name} (or {})", others.join(", ")),
                    found: listed.join(", "),
                }
            }
        }
    }
}

fn load(name: String, mut source: Source) -> Result<Dataset, DataError> {
    let channels = source.optional(CHANNELS, read_channels)?;
    let class_names = source.optional(CLASS_NAMES, read_class_names)?;
    let mut part = |image_names, label_names| {
        let images = source.required(image_names, |input| Images::read(input, channels))?;
        let labels = source.required(label_names, Labels::read)?;
        let counts = (images.count, labels.values.len());
        part::check_counts((&images.file, counts.0), (&labels.file, counts.1))?;
        Ok((images, labels))
    };
    let (train_images, train_labels) = part(TRAIN_IMAGES, TRAIN_LABELS)?;
    let (test_images, test_labels) = part(TEST_IMAGES, TEST_LABELS)?;
    if train_images.is_bytes() != test_images.is_bytes() {
        return Err(DataError::Npy {
            file: test_images.file,
            fault: NpyFault::Mixed,
        });
    }
    let classes = if let Some(names) = class_names {
        for labels in [&train_labels, &test_labels] {
            part::check_labels(&labels.file, &labels.values, names.len())?;
        }
        names
    } else {
        let values = train_labels.values.iter().chain(&test_labels.values);
        part::numbered(1 + values.max().copied().map_or(0, usize::from))
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

/// Which axis of four has the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channels {
    First,
    Last,
}

/// One array of images.
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
        let is_bytes = match (header.value.kind, header.value.size) {
            ('u', 1) => true,
            ('f', 4 | 8) => false,
            _ => {
                return Err(fail(NpyFault::Type {
                    found: header.value.to_string(),
                    expected: "uint8, float32 or float64",
                }));
            }
        };
        let axes = image_axes(&header.shape, channels).map_err(fail)?;
        let bytes = header.read_values(&mut input)?;
        // Now that there are as many values, their number and every length are usable.
        let size = |axis: Option<usize>| {
            let size = axis.map_or(1, |axis| header.shape[axis]);
            usize::try_from(size).unwrap_or(usize::MAX)
        };
        let sizes = axes.map(size);
        let strides = strides(&header);
        let strides = axes.map(|axis| axis.map_or(0, |axis| strides[axis]));
        let [count, shape @ ..] = sizes;
        let pixels = if is_bytes {
            Pixels::Bytes(arranged(bytes, sizes, strides))
        } else {
            let values = npy::floats(&bytes, &header.value);
            drop(bytes);
            let values = arranged(values, sizes, strides);
            if let Some(place) = values.iter().position(|value| !value.is_finite()) {
                return Err(fail(NpyFault::NotFinite {
                    row: place / shape.iter().product::<usize>(),
                    value: values[place].into(),
                }));
            }
            Pixels::Floats(values)
        };
        Ok(Self {
            file,
            count,
            shape,
            pixels,
        })
    }
}

/// Which axes of an array of images are the examples, the channels, the height and the width.
fn image_axes(shape: &[u64], channels: Option<Channels>) -> Result<[Option<usize>; 4], NpyFault> {
    let fault = |expected| NpyFault::Shape {
        found: shape.to_vec(),
        expected,
    };
    let axes = match *shape {
        // A vector is as many channels of one pixel.
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

/// How far apart neighbours along each axis are in the file.
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

/// The values row by row, where they lie `strides` apart.
fn arranged<T: Copy>(values: Vec<T>, sizes: [usize; 4], strides: [usize; 4]) -> Vec<T> {
    let [a, b, c, d] = sizes;
    let row_by_row = [b * c * d, c * d, d, 1];
    if (0..4).all(|axis| sizes[axis] == 1 || strides[axis] == row_by_row[axis]) {
        return values;
    }
    let mut arranged = Vec::with_capacity(values.len());
    for i in 0..a {
        for j in 0..b {
            for k in 0..c {
                let start = i * strides[0] + j * strides[1] + k * strides[2];
                arranged.extend((0..d).map(|l| values[start + l * strides[3]]));
            }
        }
    }
    arranged
}

/// One array of labels.
struct Labels {
    file: PathBuf,
    values: Vec<u8>,
}

impl Labels {
    fn read(mut input: Input) -> Result<Self, DataError> {
        let file = input.path.clone();
        let header = Header::read(&mut input)?;
        let fault = if !matches!(header.value.kind, 'i' | 'u')
            || !matches!(header.value.size, 1 | 2 | 4 | 8)
        {
            Some(NpyFault::Type {
                found: header.value.to_string(),
                expected: "integers",
            })
        } else if !matches!(*header.shape, [_] | [_, 1]) || header.shape[0] == 0 {
            Some(NpyFault::Shape {
                found: header.shape.clone(),
                expected: "[N] or [N, 1], one class an image (of one-hot rows, .argmax(1))",
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

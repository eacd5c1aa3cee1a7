//! Reader of IDX files, the format of MNIST and its kin, from a folder of four.
//!
//! A file, plain or gzipped, is a header of big-endian `u32` and then one byte a value:
//!
//! ```text
//! images   0x00000803  count  height  width  | count × height × width pixels
//! labels   0x00000801  count                 | count labels, 0 to 9
//! ```
//!
//! A header may lie, and a small gzip file may unpack to terabytes. So the header only
//! sets how far to read (at most [`MAX_BYTES`]); memory grows with what is really there.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{DataError, Dataset, Examples};

/// Most values read from one file: 1 GiB of pixels, 4 GiB once they are `f32`.
pub const MAX_BYTES: u64 = 1 << 30;
/// Most pixels of one image: 256 × 256.
pub const MAX_PIXELS: u64 = 1 << 16;

const CLASSES: u8 = 10;

/// Training images and labels, test images and labels: the order of every array of four here.
const FILES: [(&str, Kind); 4] = [
    ("train-images", Kind::Images),
    ("train-labels", Kind::Labels),
    ("t10k-images", Kind::Images),
    ("t10k-labels", Kind::Labels),
];

/// Where torchvision puts the files, below the folder it is given.
const SUBFOLDERS: [&str; 3] = ["raw", "MNIST/raw", "FashionMNIST/raw"];

#[derive(Clone, Copy)]
enum Kind {
    Images,
    Labels,
}

impl Kind {
    fn dimensions(self) -> usize {
        match self {
            Self::Images => 3,
            Self::Labels => 1,
        }
    }

    fn magic(self) -> u32 {
        match self {
            Self::Images => 0x0803,
            Self::Labels => 0x0801,
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Labels => "labels",
        }
    }

    fn ending(self) -> &'static str {
        match self {
            Self::Images => "idx3-ubyte",
            Self::Labels => "idx1-ubyte",
        }
    }
}

/// What is wrong with one IDX file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IdxFault {
    #[error("holds {got} bytes, too few for an IDX header of {need}; download it again")]
    NoHeader { got: usize, need: usize },
    #[error(
        "magic number is {found:#010x} ({looks_like}), expected {expected:#010x}; \
         replace it with the file that belongs to this name"
    )]
    Magic {
        found: u32,
        looks_like: &'static str,
        expected: u32,
    },
    #[error("header says 0 {0}; a data set needs at least one, get the whole file")]
    NoRows(&'static str),
    #[error(
        "header says images of {height}x{width}; an image has 1 to {MAX_PIXELS} pixels, \
         so the file is damaged or of another format"
    )]
    ImageSize { height: u32, width: u32 },
    #[error("header says {content}, more than the limit of {MAX_BYTES}; use a smaller data set")]
    TooLarge { content: String },
    #[error("truncated: header says {content}, file has {got}; download it again")]
    Truncated { content: String, got: usize },
    #[error("header says {content}, but more bytes follow them; download it again")]
    TrailingBytes { content: String },
    #[error("damaged gzip data after {got} bytes ({reason}); download it again")]
    Gzip { got: usize, reason: String },
    #[error("row {row} (counting from 0) has label {label}; labels are 0 to 9, check the file")]
    Label { row: usize, label: u8 },
}

/// Reads the four IDX files in `folder`, or in torchvision's folders below it.
///
/// # Errors
/// [`DataError`], if the folder or a file is missing or does not hold what it should.
pub fn load(folder: &Path) -> Result<Dataset, DataError> {
    let folder = find_folder(folder)?;
    let [a, b, c, d] = FILES.map(|(stem, kind)| open(&folder, stem, kind));
    dataset(name_of(&folder), [a?, b?, c?, d?])
}

/// The folder that holds the files: `given` itself or one of [`SUBFOLDERS`].
fn find_folder(given: &Path) -> Result<PathBuf, DataError> {
    let folder = given.to_owned();
    let mut entries = match fs::read_dir(given) {
        Ok(entries) => entries,
        Err(source) => {
            return Err(match source.kind() {
                io::ErrorKind::NotFound => DataError::FolderMissing(folder),
                io::ErrorKind::NotADirectory => DataError::NotAFolder(folder),
                _ => DataError::Io {
                    path: folder,
                    source,
                },
            });
        }
    };
    if has_any_file(given) {
        return Ok(folder);
    }
    let mut below = SUBFOLDERS.map(|sub| given.join(sub)).to_vec();
    below.retain(|sub| has_any_file(sub));
    match below.as_slice() {
        [only] => Ok(only.clone()),
        [] if entries.next().is_none() => Err(DataError::FolderEmpty {
            folder,
            looked_for: looked_for(),
        }),
        [] => Err(DataError::NoIdxFiles {
            folder,
            looked_for: looked_for(),
        }),
        several => {
            let names: Vec<_> = several.iter().map(|p| p.display().to_string()).collect();
            Err(DataError::SeveralDataSets {
                folder,
                found: names.join(" and "),
            })
        }
    }
}

fn has_any_file(folder: &Path) -> bool {
    FILES
        .iter()
        .any(|&(stem, kind)| find_file(folder, stem, kind).is_some())
}

/// The first of the four spellings of a file that exists; an unpacked file goes first.
fn find_file(folder: &Path, stem: &str, kind: Kind) -> Option<PathBuf> {
    let ending = kind.ending();
    [
        format!("{stem}-{ending}"),
        format!("{stem}-{ending}.gz"),
        format!("{stem}.{ending}"),
        format!("{stem}.{ending}.gz"),
    ]
    .into_iter()
    .map(|name| folder.join(name))
    .find(|path| path.is_file())
}

fn open(folder: &Path, stem: &str, kind: Kind) -> Result<(PathBuf, File), DataError> {
    let path = find_file(folder, stem, kind).ok_or_else(|| DataError::FileMissing {
        folder: folder.to_owned(),
        name: format!("{stem}-{}", kind.ending()),
    })?;
    match File::open(&path) {
        Ok(file) => Ok((path, file)),
        Err(source) => Err(DataError::Io { path, source }),
    }
}

fn looked_for() -> String {
    let names = FILES.map(|(stem, kind)| format!("{stem}-{}", kind.ending()));
    format!(
        "{} (plain or .gz; a dot before idx is fine too), there and in {} below it",
        names.join(", "),
        SUBFOLDERS.join(", ")
    )
}

/// `mnist (IDX)` for `data/mnist`; torchvision's `raw` says nothing, so `MNIST/raw` is `MNIST`.
fn name_of(folder: &Path) -> String {
    let full = folder
        .canonicalize()
        .unwrap_or_else(|_| folder.to_path_buf());
    let telling = full.iter().rev().find(|part| *part != "raw");
    telling.map_or_else(
        || "IDX".to_owned(),
        |part| format!("{} (IDX)", part.to_string_lossy()),
    )
}

/// Reads and checks training images and labels, test images and labels, each with the path
/// to name in errors.
pub(super) fn dataset<R: Read>(
    name: String,
    [train_images, train_labels, test_images, test_labels]: [(PathBuf, R); 4],
) -> Result<Dataset, DataError> {
    let train = Part::read(train_images, train_labels)?;
    let test = Part::read(test_images, test_labels)?;
    if train.size != test.size {
        return Err(DataError::SizesDiffer {
            train: train.file,
            train_size: format!("{}x{}", train.size[0], train.size[1]),
            test: test.file,
            test_size: format!("{}x{}", test.size[0], test.size[1]),
        });
    }
    let mut hash = Sha256::new();
    for bytes in [&train.pixels, &train.labels, &test.pixels, &test.labels] {
        hash.update(bytes);
    }
    let [height, width] = train.size;
    let features = height * width;
    Ok(Dataset {
        name,
        shape: [1, height, width],
        classes: (0..CLASSES).map(|class| class.to_string()).collect(),
        train: Examples::from_pixels(&train.pixels, train.labels, features)?,
        test: Examples::from_pixels(&test.pixels, test.labels, features)?,
        sha256: hex(&hash.finalize()),
    })
}

fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

/// The training half or the test half, checked, as bytes.
struct Part {
    /// The images' file, for errors.
    file: PathBuf,
    /// Height and width.
    size: [usize; 2],
    /// `[N, height, width]`
    pixels: Vec<u8>,
    /// `[N]`
    labels: Vec<u8>,
}

impl Part {
    fn read<R: Read>(images: (PathBuf, R), labels: (PathBuf, R)) -> Result<Self, DataError> {
        let (image_file, reader) = images;
        let (dims, pixels) = read(&image_file, reader, Kind::Images)?;
        let [count, height, width] = dims.map(|dim| dim as usize);

        let (label_file, reader) = labels;
        let (_, labels) = read(&label_file, reader, Kind::Labels)?;
        if count != labels.len() {
            return Err(DataError::CountsDiffer {
                images: image_file,
                image_count: count,
                labels: label_file,
                label_count: labels.len(),
            });
        }
        if let Some(row) = labels.iter().position(|&label| label >= CLASSES) {
            let label = labels[row];
            return Err(DataError::Idx {
                file: label_file,
                fault: IdxFault::Label { row, label },
            });
        }
        Ok(Self {
            file: image_file,
            size: [height, width],
            pixels,
            labels,
        })
    }
}

/// Reads one file: its dimensions (of labels, the last two are 1) and exactly as many bytes
/// as they say.
fn read<R: Read>(file: &Path, reader: R, kind: Kind) -> Result<([u32; 3], Vec<u8>), DataError> {
    let fail = |fault| DataError::Idx {
        file: file.to_owned(),
        fault,
    };
    let mut reader = unpacked(reader).map_err(|source| DataError::Io {
        path: file.to_owned(),
        source,
    })?;
    let mut read_up_to = |limit: u64| {
        let mut bytes = Vec::new();
        match (&mut reader).take(limit).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(match source.kind() {
                // What the gzip decoder says of bad data; reading a plain file never does.
                io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::UnexpectedEof => fail(IdxFault::Gzip {
                    got: bytes.len(),
                    reason: source.to_string(),
                }),
                _ => DataError::Io {
                    path: file.to_owned(),
                    source,
                },
            }),
        }
    };

    let need = 4 * (1 + kind.dimensions());
    let header = read_up_to(need as u64)?;
    let (words, _) = header.as_chunks::<4>();
    if let Some(&magic) = words.first()
        && u32::from_be_bytes(magic) != kind.magic()
    {
        return Err(fail(IdxFault::Magic {
            found: u32::from_be_bytes(magic),
            looks_like: looks_like(magic),
            expected: kind.magic(),
        }));
    }
    if header.len() < need {
        let got = header.len();
        return Err(fail(IdxFault::NoHeader { got, need }));
    }
    let mut dims = [1; 3];
    for (dim, &word) in dims.iter_mut().zip(&words[1..]) {
        *dim = u32::from_be_bytes(word);
    }
    let (bytes, content) = check_dimensions(kind, dims).map_err(fail)?;

    // One byte more than there should be, to see whether the file really ends.
    let body = read_up_to(bytes + 1)?;
    let got = body.len();
    match (got as u64).cmp(&bytes) {
        Ordering::Less => Err(fail(IdxFault::Truncated { content, got })),
        Ordering::Equal => Ok((dims, body)),
        Ordering::Greater => Err(fail(IdxFault::TrailingBytes { content })),
    }
}

/// Looks through gzip, told by the content: browsers and tools unpack or pack files
/// without renaming them.
fn unpacked<'a, R: Read + 'a>(mut reader: R) -> io::Result<Box<dyn Read + 'a>> {
    let mut start = Vec::new();
    (&mut reader).take(2).read_to_end(&mut start)?;
    let is_gzip = start == [0x1f, 0x8b];
    let whole = io::Cursor::new(start).chain(reader);
    Ok(if is_gzip {
        Box::new(MultiGzDecoder::new(whole))
    } else {
        Box::new(whole)
    })
}

/// How many bytes follow the header, in numbers and in words.
fn check_dimensions(
    kind: Kind,
    [count, height, width]: [u32; 3],
) -> Result<(u64, String), IdxFault> {
    if count == 0 {
        return Err(IdxFault::NoRows(kind.noun()));
    }
    // Two u32 cannot overflow a u64, nor can a u32 times the limit.
    let pixels = u64::from(height) * u64::from(width);
    if !(1..=MAX_PIXELS).contains(&pixels) {
        return Err(IdxFault::ImageSize { height, width });
    }
    let bytes = u64::from(count) * pixels;
    let content = match kind {
        Kind::Images => format!("{count} images of {height}x{width} = {bytes} bytes"),
        Kind::Labels => format!("{count} labels = {bytes} bytes"),
    };
    if bytes > MAX_BYTES {
        return Err(IdxFault::TooLarge { content });
    }
    Ok((bytes, content))
}

/// A guess at what was saved under the name of an IDX file.
fn looks_like(magic: [u8; 4]) -> &'static str {
    match magic {
        [0, 0, 8, 1] => "an IDX file of labels",
        [0, 0, 8, 3] => "an IDX file of images",
        [0, 0, _, _] => "IDX of another type, or something else",
        [0x1f, 0x8b, ..] => "gzip inside gzip",
        [b'<', ..] => "an HTML page",
        _ if magic.is_ascii() => "text",
        _ => "not IDX",
    }
}

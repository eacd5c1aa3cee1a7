//! Reader of IDX files, the format of MNIST and its kin, from a folder of four.
//!
//! A file, plain or gzipped, is a header of big-endian `u32` and then one byte a value:
//!
//! ```text
//! images   0x00000803  count  height  width  | count × height × width pixels
//! labels   0x00000801  count                 | count labels, 0 to 9
//! ```

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{Input, MAX_PIXELS, first_file, looks_like, telling_name};
use super::part::{self, Part, Pixels};
use super::{DataError, Dataset};

const CLASSES: usize = 10;

/// Classes of Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), whose files do not name them.
const FASHION: [&str; CLASSES] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

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
}

/// Reads the four IDX files in a folder.
///
/// # Errors
/// [`DataError`], if a file is missing or does not hold what it should.
pub fn load(folder: &Path) -> Result<Dataset, DataError> {
    let name = telling_name(folder, &["raw"]).unwrap_or_default();
    let classes = if name.to_lowercase().contains("fashion") {
        FASHION.map(str::to_owned).to_vec()
    } else {
        part::numbered(CLASSES)
    };
    let [a, b, c, d] = FILES.map(|(stem, kind)| open(folder, stem, kind));
    dataset(format!("{name} (IDX)"), classes, [a?, b?, c?, d?])
}

/// Where IDX files are: in `given` itself or in some of [`SUBFOLDERS`].
pub(super) fn folders(given: &Path) -> Vec<PathBuf> {
    if has_any_file(given) {
        return vec![given.to_owned()];
    }
    let mut below = SUBFOLDERS.map(|sub| given.join(sub)).to_vec();
    below.retain(|sub| has_any_file(sub));
    below
}

fn has_any_file(folder: &Path) -> bool {
    FILES
        .iter()
        .any(|&(stem, kind)| find_file(folder, stem, kind).is_some())
}

/// The first of the four spellings of a file that exists; an unpacked file goes first.
fn find_file(folder: &Path, stem: &str, kind: Kind) -> Option<PathBuf> {
    let ending = kind.ending();
    let spellings = [
        format!("{stem}-{ending}"),
        format!("{stem}-{ending}.gz"),
        format!("{stem}.{ending}"),
        format!("{stem}.{ending}.gz"),
    ];
    first_file(folder, spellings)
}

fn open(folder: &Path, stem: &str, kind: Kind) -> Result<Input<'static>, DataError> {
    let path = find_file(folder, stem, kind).ok_or_else(|| DataError::FileMissing {
        folder: folder.to_owned(),
        name: format!("{stem}-{}", kind.ending()),
        packings: "plain or .gz",
    })?;
    Input::open(path)
}

/// What [`folders`] looks for, in words.
pub(super) fn looked_for() -> String {
    let names = FILES.map(|(stem, kind)| format!("{stem}-{}", kind.ending()));
    format!(
        "{} (plain or .gz; a dot before idx is fine too), there and in {} below it",
        names.join(", "),
        SUBFOLDERS.join(", ")
    )
}

/// Reads and checks training images and labels, test images and labels.
pub(super) fn dataset(
    name: String,
    classes: Vec<String>,
    [train_images, train_labels, test_images, test_labels]: [Input; 4],
) -> Result<Dataset, DataError> {
    let train = read_part(train_images, train_labels)?;
    let test = read_part(test_images, test_labels)?;
    part::dataset(name, classes, train, test)
}

fn read_part(mut images: Input, mut labels: Input) -> Result<Part, DataError> {
    let (dims, pixels) = read(&mut images, Kind::Images)?;
    let [count, height, width] = dims.map(|dim| dim as usize);
    let (_, label_bytes) = read(&mut labels, Kind::Labels)?;
    part::check_counts((&images.path, count), (&labels.path, label_bytes.len()))?;
    part::check_labels(&labels.path, &label_bytes, CLASSES)?;
    Ok(Part {
        file: images.path,
        shape: [1, height, width],
        pixels: Pixels::Bytes(pixels),
        labels: label_bytes,
    })
}

/// Reads one file: its dimensions (of labels, the last two are 1) and exactly as many bytes
/// as they say.
fn read(input: &mut Input, kind: Kind) -> Result<([u32; 3], Vec<u8>), DataError> {
    let file = input.path.clone();
    let fail = |fault| DataError::Idx {
        file: file.clone(),
        fault,
    };

    let need = 4 * (1 + kind.dimensions());
    let header = input.read_up_to(need as u64)?;
    let (words, _) = header.as_chunks::<4>();
    if let Some(&magic) = words.first()
        && u32::from_be_bytes(magic) != kind.magic()
    {
        return Err(fail(IdxFault::Magic {
            found: u32::from_be_bytes(magic),
            looks_like: looks_like(&magic),
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

    let body = input.read_rest(bytes, &content)?;
    Ok((dims, body))
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
    Ok((bytes, content))
}

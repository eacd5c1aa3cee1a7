//! Reader of IDX files, the format of MNIST and its relatives: four of them make a data set.
//!
//! A file, plain or gzipped, is a header of big-endian `u32` and then one byte for each value:
//!
//! ```text
//! images   0x00000803  count  height  width  | count × height × width pixels
//! labels   0x00000801  count                 | count labels
//! labels   0x00000C02  count  width          | count × width big-endian i32, of which the first counts (QMNIST)
//! ```

use std::path::{Path, PathBuf};

use thiserror::Error;

use super::file::{self, MAX_PIXELS, UnpackedFile, looks_like, telling_name};
use super::part::{self, DataPart, Pixels};
use super::{DataError, Dataset};

/// Least number of classes of a data set.
const CLASSES: usize = 10;

/// Class names of data sets whose files lack them: a word in the data set's name, and the names, which apply if their
/// number matches.
///
/// Fashion-MNIST: Xiao, Rasul and Vollgraf, 2017. Kuzushiji-MNIST: Clanuwat et al., 2018. EMNIST (Cohen et al., 2017)
/// has all digits and letters; or digits, capitals and the small letters that look different; or 26 letters, labelled
/// from 1 on.
const NAMED: [(&str, &str); 5] = [
    (
        "fashion",
        "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot",
    ),
    ("kmnist", "o,ki,su,tsu,na,ha,ma,ya,re,wo"),
    (
        "emnist",
        "0,1,2,3,4,5,6,7,8,9,A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q,R,S,T,U,V,W,X,Y,Z,\
         a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z",
    ),
    (
        "emnist",
        "0,1,2,3,4,5,6,7,8,9,A,B,C,D,E,F,G,H,I,J,K,L,M,N,O,P,Q,R,S,T,U,V,W,X,Y,Z,\
         a,b,d,e,f,g,h,n,q,r,t",
    ),
    (
        "emnist",
        "N/A,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z",
    ),
];

/// Training images and labels, test images and labels: the order of every array of four in this module. In collections,
/// a prefix comes before these names: `emnist-letters-`.
const FILES: [(&[&str], FileKind); 4] = [
    (&["train-images"], FileKind::Images),
    (&["train-labels"], FileKind::Labels),
    (&["t10k-images", "test-images"], FileKind::Images),
    (&["t10k-labels", "test-labels"], FileKind::Labels),
];

/// Folders in which torchvision puts the files, below the one it is given, and the folder in EMNIST's archive.
const SUBFOLDERS: [&str; 7] = [
    "raw",
    "MNIST/raw",
    "FashionMNIST/raw",
    "KMNIST/raw",
    "EMNIST/raw",
    "QMNIST/raw",
    "gzip",
];

/// Parts of [`SUBFOLDERS`] that do not tell what is in them.
const DULL: [&str; 2] = ["raw", "gzip"];

/// Magic number of one-byte labels.
const LABELS: u32 = 0x0801;

#[derive(Clone, Copy)]
enum FileKind {
    Images,
    Labels,
}

impl FileKind {
    /// Returns the magic numbers, the usual one first.
    fn magic(self) -> &'static [u32] {
        match self {
            Self::Images => &[0x0803],
            Self::Labels => &[LABELS, 0x0c02],
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Labels => "labels",
        }
    }

    /// Returns the endings of names, the usual one first.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Images => &["idx3-ubyte"],
            Self::Labels => &["idx1-ubyte", "idx2-int"],
        }
    }
}

/// A fault in an IDX file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum IdxFault {
    #[error("contains {got} bytes, too few for an IDX header of {need}; download it again")]
    NoHeader { got: usize, need: usize },
    #[error(
        "magic number is {found:#010x} ({looks_like}), expected {expected:#010x}; \
         replace it with the right file"
    )]
    Magic {
        found: u32,
        looks_like: &'static str,
        expected: u32,
    },
    #[error("header says 0 {0}; a data set needs at least one: get the complete file")]
    NoRows(&'static str),
    #[error(
        "header says images of {height}x{width}, but an image has 1 to {MAX_PIXELS} pixels; the file is damaged \
         or in another format"
    )]
    ImageSize { height: u32, width: u32 },
}

/// The files of one data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxFiles {
    pub folder: PathBuf,
    /// Prefix before the names in [`FILES`]; usually empty.
    prefix: String,
    /// The files that exist.
    files: [Option<PathBuf>; 4],
}

impl IdxFiles {
    /// Reads the four files.
    ///
    /// # Errors
    /// [`DataError`] if a file is missing or has unexpected contents.
    pub fn load(&self) -> Result<Dataset, DataError> {
        let name = match self.prefix.trim_end_matches(SEPARATORS) {
            "" => telling_name(&self.folder, &DULL).unwrap_or_default(),
            prefix => prefix.to_owned(),
        };
        let [a, b, c, d] = [0, 1, 2, 3].map(|file| self.open(file));
        dataset(format!("{name} (IDX)"), [a?, b?, c?, d?])
    }

    fn open(&self, file: usize) -> Result<UnpackedFile<'static>, DataError> {
        let (stems, kind) = FILES[file];
        // Collections name their test files `test`.
        let stem = match self.prefix.as_str() {
            "" => stems.first(),
            _ => stems.last(),
        };
        let name = format!(
            "{}{}-{}",
            self.prefix,
            stem.unwrap_or(&""),
            kind.endings()[0]
        );
        let path = self.files[file].clone();
        UnpackedFile::open(path.ok_or_else(|| file::missing(&self.folder, name, "plain or .gz"))?)
    }

    /// Returns a path that identifies these files: the folder, or one of the files if the folder may hold more sets.
    pub fn path(&self) -> &Path {
        let first = self.files.iter().flatten().next();
        match (self.prefix.as_str(), first) {
            ("", _) | (_, None) => &self.folder,
            (_, Some(file)) => file,
        }
    }
}

/// Characters that may end a prefix.
const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// Returns the data sets in `given` itself, or else in [`SUBFOLDERS`].
pub(super) fn sets(given: &Path) -> Vec<IdxFiles> {
    let own = sets_in(given);
    if !own.is_empty() {
        return own;
    }
    let below = SUBFOLDERS.iter().map(|sub| given.join(sub));
    below.flat_map(|sub| sets_in(&sub)).collect()
}

/// Returns the data set that this file belongs to.
pub(super) fn set_of(file: &Path) -> Option<IdxFiles> {
    let name = file.file_name()?.to_str()?;
    let (prefix, ..) = parse_file_name(name)?;
    (sets_in(&file::parent(file)).into_iter()).find(|set| set.prefix == prefix)
}

fn sets_in(folder: &Path) -> Vec<IdxFiles> {
    // Among several spellings of a file, an unpacked one comes first.
    let mut spellings: Vec<_> = (file::files(folder).unwrap_or_default().iter())
        .filter_map(|(name, path)| {
            let (prefix, file, spelling) = parse_file_name(name)?;
            Some((
                prefix.to_owned(),
                file,
                (!path.is_file(), spelling),
                path.clone(),
            ))
        })
        .collect();
    spellings.sort();
    let mut sets: Vec<IdxFiles> = Vec::new();
    for (prefix, file, _, path) in spellings {
        if sets.last().is_none_or(|last| last.prefix != prefix) {
            sets.push(IdxFiles {
                folder: folder.to_owned(),
                prefix,
                files: [const { None }; 4],
            });
        }
        if let Some(set) = sets.last_mut() {
            set.files[file].get_or_insert(path);
        }
    }
    sets
}

/// Recognises the name of one of the four files: returns its prefix, which file it is, and how it is spelt.
fn parse_file_name(name: &str) -> Option<(&str, usize, (bool, bool))> {
    let unpacked = name.strip_suffix(".gz");
    let plain = unpacked.unwrap_or(name);
    FILES.iter().enumerate().find_map(|(file, (stems, kind))| {
        let stem = kind
            .endings()
            .iter()
            .find_map(|end| plain.strip_suffix(end))?;
        let with_dot = stem.strip_suffix('.');
        let stem = with_dot.or_else(|| stem.strip_suffix('-'))?;
        let prefix = stems.iter().find_map(|name| stem.strip_suffix(name))?;
        let is_whole = prefix.is_empty() || prefix.ends_with(SEPARATORS);
        is_whole.then_some((prefix, file, (unpacked.is_some(), with_dot.is_some())))
    })
}

/// Describes what [`sets`] looks for.
pub(super) fn looked_for() -> String {
    let names = FILES.map(|(stems, kind)| format!("{}-{}", stems[0], kind.endings()[0]));
    format!(
        "{} (plain or .gz; also with a dot before idx, and the names of EMNIST and QMNIST), there and in {} below it",
        names.join(", "),
        SUBFOLDERS.join(", ")
    )
}

/// Reads and checks training images and labels, test images and labels.
pub(super) fn dataset(
    name: String,
    [train_images, train_labels, test_images, test_labels]: [UnpackedFile; 4],
) -> Result<Dataset, DataError> {
    let train = read_part(train_images, train_labels)?;
    let test = read_part(test_images, test_labels)?;
    let labels = train.labels.iter().chain(&test.labels);
    let highest = labels.copied().max().map_or(0, usize::from);
    let classes = class_names(&name, CLASSES.max(highest + 1));
    part::dataset(name, classes, train, test)
}

fn class_names(name: &str, count: usize) -> Vec<String> {
    let name = name.to_lowercase();
    let named = NAMED.iter().filter(|(word, _)| name.contains(word));
    let mut lists = named.map(|(_, names)| names.split(',').map(str::to_owned).collect::<Vec<_>>());
    (lists.find(|names| names.len() == count)).unwrap_or_else(|| part::numbered(count))
}

fn read_part(mut images: UnpackedFile, mut labels: UnpackedFile) -> Result<DataPart, DataError> {
    let (count, shape, pixels) = read_images(&mut images)?;
    let labels_file = labels.path.clone();
    let labels = read_labels(&mut labels)?;
    part::check_counts((&images.path, count), (&labels_file, labels.len()))?;
    Ok(DataPart {
        file: images.path,
        shape,
        pixels: Pixels::Bytes(pixels),
        labels,
    })
}

fn read_images(input: &mut UnpackedFile) -> Result<(usize, [usize; 3], Vec<u8>), DataError> {
    let (_, [count, height, width]) = header(input, FileKind::Images)?;
    // Neither two u32 nor a u32 times the limit can overflow a u64.
    let pixels = u64::from(height) * u64::from(width);
    if !(1..=MAX_PIXELS).contains(&pixels) {
        return Err(fault(input, IdxFault::ImageSize { height, width }));
    }
    let bytes = u64::from(count) * pixels;
    let content = format!("{count} images of {height}x{width} = {bytes} bytes");
    input.check_room(bytes, 1, &content)?;
    let values = input.read_rest(bytes, &content)?;
    Ok((count as usize, [1, height as usize, width as usize], values))
}

fn read_labels(input: &mut UnpackedFile) -> Result<Vec<u8>, DataError> {
    let (magic, [count, width, _]) = header(input, FileKind::Labels)?;
    if magic == LABELS {
        return input.read_rest(count.into(), &format!("{count} labels = {count} bytes"));
    }
    let row = 4 * u64::from(width);
    let bytes = u64::from(count).saturating_mul(row);
    let content = format!("{count} labels of {width} numbers = {bytes} bytes");
    let values = input.read_rest(bytes, &content)?;
    let rows = values.chunks_exact(usize::try_from(row).unwrap_or(0).max(4));
    let labels = rows.filter_map(|row| row.first_chunk().copied().map(i32::from_be_bytes));
    let byte = |(row, label): (usize, i32)| {
        u8::try_from(label).map_err(|_| DataError::Label {
            file: input.path.clone(),
            row,
            label: label.into(),
            highest: usize::from(u8::MAX),
        })
    };
    labels.enumerate().map(byte).collect()
}

/// Reads the magic number and the dimensions after it; missing dimensions are 1.
fn header(input: &mut UnpackedFile, kind: FileKind) -> Result<(u32, [u32; 3]), DataError> {
    let mut header = input.read_up_to(8)?;
    let known = kind.magic();
    let magic = header
        .first_chunk()
        .map_or(known[0], |&word| u32::from_be_bytes(word));
    if !known.contains(&magic) {
        let magic = IdxFault::Magic {
            found: magic,
            looks_like: looks_like(&header),
            expected: known[0],
        };
        return Err(fault(input, magic));
    }
    // The last byte is the number of dimensions.
    let need = 4 * (1 + (magic & 0xff) as usize);
    header.extend(input.read_up_to((need - header.len().min(need)) as u64)?);
    if header.len() < need {
        let got = header.len();
        return Err(fault(input, IdxFault::NoHeader { got, need }));
    }
    let mut dimensions = [1; 3];
    for (dimension, &word) in dimensions.iter_mut().zip(&header.as_chunks().0[1..]) {
        *dimension = u32::from_be_bytes(word);
    }
    match dimensions[0] {
        0 => Err(fault(input, IdxFault::NoRows(kind.noun()))),
        _ => Ok((magic, dimensions)),
    }
}

fn fault(input: &UnpackedFile, fault: IdxFault) -> DataError {
    let file = input.path.clone();
    DataError::Idx { file, fault }
}

//! What every format's reader needs: files that may be packed, read no further than they may be.
//!
//! A header may lie, and a small packed file may unpack to terabytes. So a header only says how far
//! to read, at most [`MAX_BYTES`]; memory grows with what is really there.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::DataError;

/// Most bytes read from one file, or kept of one array: 1 GiB of pixels, 4 GiB once they are `f32`.
pub const MAX_BYTES: u64 = 1 << 30;
/// Most pixels of one image: 256 × 256.
pub const MAX_PIXELS: u64 = 1 << 16;

/// A file, unpacked, that is being read.
pub(super) struct Input<'a> {
    /// To name in errors.
    pub path: PathBuf,
    /// What it is packed with, for errors.
    packing: &'static str,
    reader: Box<dyn Read + 'a>,
}

impl<'a> Input<'a> {
    /// Opens a file, plain or gzipped.
    pub fn open(path: PathBuf) -> Result<Self, DataError> {
        match File::open(&path) {
            Ok(file) => Self::new(path, file),
            Err(source) => Err(DataError::Io { path, source }),
        }
    }

    /// Looks through gzip, told by the content: browsers and tools unpack or pack files
    /// without renaming them.
    pub fn new(path: PathBuf, mut reader: impl Read + 'a) -> Result<Self, DataError> {
        let mut start = Vec::new();
        if let Err(source) = (&mut reader).take(2).read_to_end(&mut start) {
            return Err(DataError::Io { path, source });
        }
        let is_gzip = start == [0x1f, 0x8b];
        let whole = Cursor::new(start).chain(reader);
        let reader: Box<dyn Read + 'a> = if is_gzip {
            Box::new(MultiGzDecoder::new(whole))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            path,
            packing: "gzip",
            reader,
        })
    }

    /// A member of a zip archive.
    pub fn zipped(path: PathBuf, reader: impl Read + 'a) -> Self {
        Self {
            path,
            packing: "zip",
            reader: Box::new(reader),
        }
    }

    /// The next bytes: `limit` of them, or fewer if the file ends before.
    pub fn read_up_to(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        match (&mut self.reader).take(limit).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(match source.kind() {
                // What decoders say of bad data; reading a plain file never does.
                io::ErrorKind::InvalidInput
                | io::ErrorKind::InvalidData
                | io::ErrorKind::UnexpectedEof => DataError::Damaged {
                    file: self.path.clone(),
                    packing: self.packing,
                    got: bytes.len(),
                    reason: source.to_string(),
                },
                _ => DataError::Io {
                    path: self.path.clone(),
                    source,
                },
            }),
        }
    }

    /// All that follows: exactly `bytes`, which the header describes as `content`.
    pub fn read_rest(&mut self, bytes: u64, content: &str) -> Result<Vec<u8>, DataError> {
        let (file, content) = (self.path.clone(), content.to_owned());
        if bytes > MAX_BYTES {
            return Err(DataError::TooLarge { file, content });
        }
        // One byte more than there should be, to see whether the file really ends.
        let body = self.read_up_to(bytes + 1)?;
        let got = body.len();
        match (got as u64).cmp(&bytes) {
            Ordering::Less => Err(DataError::Truncated { file, content, got }),
            Ordering::Equal => Ok(body),
            Ordering::Greater => Err(DataError::TrailingBytes { file, content }),
        }
    }
}

/// The first of some spellings of a file's name that exists in `folder`.
pub(super) fn first_file(
    folder: &Path,
    names: impl IntoIterator<Item = String>,
) -> Option<PathBuf> {
    let paths = names.into_iter().map(|name| folder.join(name));
    paths.into_iter().find(|path| path.is_file())
}

/// The last part of a path that is none of `dull`; symbolic links and `..` are followed first.
pub(super) fn telling_name(path: &Path, dull: &[&str]) -> Option<String> {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut parts = full.iter().rev().map(|part| part.to_string_lossy());
    let telling = parts.find(|part| !dull.contains(&part.as_ref()))?;
    Some(telling.into_owned())
}

/// A guess at what was saved under the name of a data file.
pub(super) fn looks_like(start: &[u8]) -> &'static str {
    match start {
        [0, 0, 8, 1, ..] => "an IDX file of labels",
        [0, 0, 8, 3, ..] => "an IDX file of images",
        [0, 0, _, _, ..] => "IDX of another type, or something else",
        [0x1f, 0x8b, ..] => "gzip inside gzip",
        [0x93, b'N', b'U', b'M', ..] => "an .npy file",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x80, 2..=5, ..] => "a Python pickle",
        [] => "nothing",
        [b'<', ..] => "an HTML page",
        _ if start.is_ascii() => "text",
        _ => "of an unknown format",
    }
}

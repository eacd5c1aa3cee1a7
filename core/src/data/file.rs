//! Bounded reading of files that may be packed, shared by the readers.
//!
//! A header may be wrong, and a small packed file may unpack to terabytes. So a header only limits how much is read, to
//! at most [`MAX_BYTES`]; memory grows with what is actually there.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;

use super::DataError;
use crate::memory;

/// Most bytes kept of a file or array: 1 GiB of pixels, 4 GiB once they are `f32`.
pub const MAX_BYTES: u64 = 1 << 30;
/// Most pixels in an image: 256 × 256.
pub const MAX_PIXELS: u64 = 1 << 16;

/// Bytes read at once when converting: a whole number of values of any size.
const BLOCK: u64 = 1 << 20;

/// A file that is being read, unpacked.
pub(super) struct UnpackedFile<'a> {
    /// For error messages.
    pub path: PathBuf,
    /// The packing format, for error messages.
    packing: &'static str,
    reader: Box<dyn Read + 'a>,
}

impl<'a> UnpackedFile<'a> {
    /// Opens a file, plain or gzipped.
    pub fn open(path: PathBuf) -> Result<Self, DataError> {
        let file = open(path.clone())?;
        Self::new(path, file)
    }

    /// Unpacks gzip, recognised by content: browsers and tools unpack or pack files without renaming them.
    pub fn new(path: PathBuf, mut reader: impl Read + 'a) -> Result<Self, DataError> {
        let mut start = Vec::new();
        if let Err(source) = (&mut reader).take(2).read_to_end(&mut start) {
            return Err(DataError::Io { path, source });
        }
        let is_gzip = start == [0x1f, 0x8b];
        let whole = Cursor::new(start).chain(reader);
        let reader: Box<dyn Read + 'a> = if is_gzip {
            Box::new(Members::new(BufReader::new(whole)))
        } else {
            Box::new(whole)
        };
        Ok(Self {
            path,
            packing: "gzip",
            reader,
        })
    }

    /// Reads a member of a zip archive.
    pub fn zipped(path: PathBuf, reader: impl Read + 'a) -> Self {
        Self {
            path,
            packing: "zip",
            reader: Box::new(reader),
        }
    }

    /// Reads the next `limit` bytes, or fewer if the file ends first.
    pub fn read_up_to(&mut self, limit: u64) -> Result<Vec<u8>, DataError> {
        let mut bytes = Vec::new();
        match (&mut self.reader).take(limit).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(match source.kind() {
                // Decoders report bad data like this; reading a plain file never does.
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

    /// Reads the rest of the file: exactly `bytes` bytes, which the header describes as `content`.
    pub fn read_rest(&mut self, bytes: u64, content: &str) -> Result<Vec<u8>, DataError> {
        if bytes > MAX_BYTES {
            return Err(self.too_large(content));
        }
        let body = self.read_up_to(bytes)?;
        self.check_length(bytes, body.len() as u64, content)?;
        Ok(body)
    }

    /// Reads the rest like [`Self::read_rest`], in blocks of whole values of 1, 2, 4, 8 or 16 bytes, so that converted
    /// values are not held twice. Does not limit `bytes`.
    pub fn read_blocks(
        &mut self,
        bytes: u64,
        content: &str,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), DataError> {
        let mut got = 0;
        while got < bytes {
            let want = BLOCK.min(bytes - got);
            let block = self.read_up_to(want)?;
            take(&block);
            got += block.len() as u64;
            if (block.len() as u64) < want {
                break;
            }
        }
        self.check_length(bytes, got, content)
    }

    /// Checks that values may be kept, `size` bytes each, and that this process can have the memory for them as `f32`.
    pub fn check_room(&self, values: u64, size: usize, content: &str) -> Result<(), DataError> {
        if values.saturating_mul(size as u64) > MAX_BYTES {
            Err(self.too_large(content))
        } else {
            check_memory(&self.path, values)
        }
    }

    /// The error that the header describes more than may be kept.
    fn too_large(&self, content: &str) -> DataError {
        DataError::TooLarge {
            file: self.path.clone(),
            content: content.to_owned(),
        }
    }

    /// Checks that all bytes were read and that the file ends after them.
    fn check_length(&mut self, bytes: u64, got: u64, content: &str) -> Result<(), DataError> {
        let (file, content) = (self.path.clone(), content.to_owned());
        if got < bytes {
            return Err(DataError::Truncated { file, content, got });
        }
        if self.read_up_to(1)?.is_empty() {
            Ok(())
        } else {
            Err(DataError::TrailingBytes { file, content })
        }
    }
}

/// The members of a gzip file, one after another. Zeros after the last are padding, as for gzip and Python: backups and
/// tapes fill blocks with them.
struct Members<R> {
    /// `None` after the last one.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(reader: R) -> Self {
        Self {
            member: Some(GzDecoder::new(reader)),
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.member.take() {
            let got = member.read(buffer)?;
            if got > 0 || buffer.is_empty() {
                self.member = Some(member);
                return Ok(got);
            }
            let mut rest = member.into_inner();
            self.member = skip_zeros(&mut rest)?.then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// Skips zeros; returns true if anything follows them.
fn skip_zeros(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let ahead = reader.fill_buf()?;
        let (zeros, all) = (ahead.iter().take_while(|&&b| b == 0).count(), ahead.len());
        reader.consume(zeros);
        if zeros < all || all == 0 {
            return Ok(all > 0);
        }
    }
}

/// Checks that this process can have the memory for so many values as `f32`. There may still be less than it can have.
pub(super) fn check_memory(file: &Path, values: u64) -> Result<(), DataError> {
    match memory::available() {
        Some(there) if values.saturating_mul(4) > there => Err(no_memory(file, values)),
        _ => Ok(()),
    }
}

/// Returns the error that there is no memory for this many values.
pub(super) fn no_memory(file: &Path, values: u64) -> DataError {
    DataError::Memory {
        file: file.to_owned(),
        values,
    }
}

/// Says how much memory there is, for [`DataError::Memory`].
pub(super) fn at_most() -> String {
    let there = memory::available().map(memory::size);
    there.map_or_else(String::new, |there| {
        format!(", but this process is limited to {there}")
    })
}

/// Opens a file; the error for a dangling link names its target.
pub(super) fn open(path: PathBuf) -> Result<File, DataError> {
    File::open(&path).map_err(|source| cannot_open(path, source))
}

/// Returns the error for a file that cannot be opened.
pub(super) fn cannot_open(path: PathBuf, source: io::Error) -> DataError {
    match fs::read_link(&path) {
        Ok(target) => DataError::Link {
            path,
            target,
            reason: source,
        },
        Err(_) => DataError::Io { path, source },
    }
}

/// Returns the folder that contains a file.
pub(super) fn parent(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Most names that an error lists.
const LISTED: usize = 20;

/// Lists names from outside for an error: escaped, since they may contain control characters.
pub(super) fn listed(names: impl Iterator<Item = String>) -> String {
    let mut names = names.map(|name| name.escape_debug().to_string());
    let mut listed: Vec<_> = names.by_ref().take(LISTED).collect();
    if names.next().is_some() {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}

/// Returns the error for a file of a data set that is missing, or for what is in its place.
pub(super) fn missing(folder: &Path, name: String, packings: &'static str) -> DataError {
    let path = folder.join(&name);
    match path.symlink_metadata() {
        Ok(_) => DataError::Io {
            path,
            source: io::Error::other("is not a regular file"),
        },
        Err(_) => DataError::FileMissing {
            folder: folder.to_owned(),
            name,
            packings,
        },
    }
}

/// Returns true if there is a file at `path`, or a dangling link, which is reported when it is opened.
pub(super) fn is_there(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(kind) => kind.is_file(),
        Err(_) => path.is_symlink(),
    }
}

/// Returns the first spelling of a file's name that exists in `folder`; dangling links come last.
pub(super) fn first_file(
    folder: &Path,
    names: impl IntoIterator<Item = String>,
) -> Option<PathBuf> {
    let paths = names.into_iter().map(|name| folder.join(name));
    let there: Vec<_> = paths.filter(|path| is_there(path)).collect();
    let file = there.iter().find(|path| path.is_file());
    file.or(there.first()).cloned()
}

/// Returns the names and paths of the files in a folder, sorted by name. Hidden files, such as the `._*` that macOS
/// leaves on foreign disks, are not part of a data set.
pub(super) fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with('.') && is_there(&path) {
            files.push((name.into_owned(), path));
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the last part of a path that is not in `dull`; symbolic links and `..` are resolved first.
pub(super) fn telling_name(path: &Path, dull: &[&str]) -> Option<String> {
    let full = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let mut parts = full.iter().rev().map(|part| part.to_string_lossy());
    let telling = parts.find(|part| !dull.contains(&part.as_ref()))?;
    Some(telling.into_owned())
}

/// Guesses from its first bytes what was saved as a data file.
pub(super) fn looks_like(start: &[u8]) -> &'static str {
    match start {
        [0, 0, 8, 1, ..] => "an IDX file of labels",
        [0, 0, 8, 3, ..] => "an IDX file of images",
        [0, 0, _, _, ..] => "IDX of an unexpected type, or another format",
        [0x1f, 0x8b, ..] => "gzip inside gzip",
        [0x93, b'N', b'U', b'M', ..] => "an .npy file",
        [b'P', b'K', 3, 4, ..] => "a zip archive",
        [0x80, 2..=5, ..] => "a Python pickle",
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file",
        [b'P', b'A', b'R', b'1', ..] => "a Parquet file",
        _ if start.starts_with(b"version ") => "a Git LFS pointer: get the file with git lfs pull",
        _ if start.starts_with(b"/annex/") => {
            "a git-annex pointer: get the file with git annex get"
        }
        [] => "nothing",
        [b'<', ..] => "an HTML page",
        _ if start.is_ascii() => "text",
        _ => "of an unknown format",
    }
}

//! Reads files of `torch.save`: a zip archive with a pickle, `data.pkl`, and a file of numbers for each storage.
//!
//! The pickle is read as data ([`pickle`](super::pickle)). Of all that it describes, only dictionaries and tensors are
//! used. Entries of the archive are not compressed, so a tensor is a range of bytes of the file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use safetensors::Dtype;
use zip::read::{ArchiveOffset, Config};
use zip::{CompressionMethod, ZipArchive};

use super::name::escaped;
use super::pickle::{Pickle, Value};
use super::stored::{Contents, StoredTensor};

/// First bytes of such a file.
pub const START: &[u8] = b"PK\x03\x04";

/// Longest pickle that is read; that of a model has some 150 bytes a tensor.
const LONGEST_PICKLE: u64 = 1 << 25;
/// Longest directory of the archive that is read; it has some 70 bytes a tensor.
const LONGEST_DIRECTORY: u64 = 1 << 24;
/// Dictionaries in dictionaries in which tensors are looked for.
const DEEPEST: usize = 2;
/// Functions around the one that makes a tensor.
const MOST_WRAPPERS: usize = 4;
const MOST_AXES: usize = 16;
/// Longest name of a storage.
const LONGEST_KEY: usize = 64;

const AGAIN: &str = "write it again with PyTorch: torch.save(model.state_dict(), \"step_1.pt\")";

/// Returns the tensors of a file of this length by their names, or what is wrong. The names of dictionaries in which
/// they are come first: `state_dict.fc1.weight`.
pub fn contents(file: &File, length: u64) -> io::Result<Result<Contents, String>> {
    let archive = match Archive::open(file, length)? {
        Ok(archive) => archive,
        Err(what) => return Ok(Err(what)),
    };
    let (start, size) = archive.pickle;
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start)?;
    let (pickle, value) = match Pickle::read(bytes) {
        Ok(read) => read,
        Err(what) => {
            return Ok(Err(format!(
                "is damaged (data.pkl: {what}): copy or download it again"
            )));
        }
    };
    Ok(StateDict { archive, pickle }.tensors(value, size))
}

/// A range of bytes of the file: its start and length.
type ByteRange = (u64, u64);

/// The directory of a file.
struct Archive {
    pickle: ByteRange,
    /// Data by the keys of storages; or why they cannot be read.
    storages: BTreeMap<String, Result<ByteRange, String>>,
}

impl Archive {
    fn open(file: &File, length: u64) -> io::Result<Result<Self, String>> {
        let directory = BufReader::new(Bounded {
            file,
            left: LONGEST_DIRECTORY,
        });
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let zip = match ZipArchive::with_config(config, directory) {
            Ok(zip) => zip,
            Err(error) => {
                let what = escaped(&error.to_string());
                return Ok(Err(format!(
                    "is a damaged or truncated zip archive ({what}): copy or download it again"
                )));
            }
        };
        if zip.has_duplicate_names() {
            return Ok(Err(format!(
                "has several entries of the same name, which torch.save never writes: {AGAIN}"
            )));
        }
        let names: Vec<&str> = zip
            .file_names_raw()
            .filter_map(|name| str::from_utf8(name).ok())
            .collect();
        let mut prefixes = names
            .iter()
            .filter_map(|name| name.strip_suffix("data.pkl"));
        let prefixes = prefixes
            .by_ref()
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('/'));
        let prefix = match prefixes.collect::<Vec<_>>().as_slice() {
            [one] => (*one).to_owned(),
            [] => {
                return Ok(Err(format!(
                    "is a zip archive without data.pkl, so not a file of torch.save: {AGAIN}"
                )));
            }
            _ => return Ok(Err(format!("has more than one data.pkl: {AGAIN}"))),
        };
        if names
            .iter()
            .any(|name| name.strip_prefix(&prefix).is_some_and(is_script))
        {
            return Ok(Err(format!(
                "is a TorchScript archive (torch.jit.save), which has a program beside its tensors: {}",
                "load it with torch.jit.load, and write torch.save(model.state_dict(), \"step_1.pt\")"
            )));
        }
        Self::entries(&zip, file, length, &prefix)
    }

    /// Finds the data of all entries below the prefix.
    fn entries(
        zip: &ZipArchive<BufReader<Bounded>>,
        file: &File,
        length: u64,
        prefix: &str,
    ) -> io::Result<Result<Self, String>> {
        let mut storages = BTreeMap::new();
        let mut pickle = Err("is damaged (its directory): copy or download it again".to_owned());
        for index in 0..zip.len() {
            let Ok(entry) = zip.by_index_data(index) else {
                continue;
            };
            let name = str::from_utf8(entry.name_raw())
                .ok()
                .and_then(|name| name.strip_prefix(prefix));
            let Some(name) = name else {
                continue;
            };
            let data = |what: &str| -> io::Result<Result<ByteRange, String>> {
                if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
                    return Ok(Err(format!(
                        "{what} compressed or encrypted, which torch.save never does: {AGAIN}"
                    )));
                }
                let start = data_start(file, entry.header_start())?;
                let size = entry.size();
                let end = start.and_then(|start| start.checked_add(size));
                Ok(match start {
                    Some(start) if end.is_some_and(|end| end <= length) => Ok((start, size)),
                    _ => Err(format!(
                        "{what} damaged or truncated: copy or download it again"
                    )),
                })
            };
            match name {
                "data.pkl" => pickle = data("has a data.pkl that is")?,
                "byteorder" => match data("has a byteorder that is")? {
                    Ok((start, 3)) if is_big(file, start)? => {
                        return Ok(Err(format!(
                            "was written on a machine with big-endian numbers: {AGAIN} on another one"
                        )));
                    }
                    _ => {}
                },
                _ => {
                    if let Some(key) = name
                        .strip_prefix("data/")
                        .filter(|key| key.len() <= LONGEST_KEY)
                    {
                        storages.insert(key.to_owned(), data("has data that are")?);
                    }
                }
            }
        }
        Ok(pickle.and_then(|pickle| {
            if pickle.1 > LONGEST_PICKLE {
                let (size, most) = (pickle.1 >> 20, LONGEST_PICKLE >> 20);
                return Err(format!(
                    "has {size} MiB beside its tensors, and up to {most} are read: save the state dict alone; {AGAIN}"
                ));
            }
            Ok(Self { pickle, storages })
        }))
    }
}

/// Whether an entry is one that only `TorchScript` has.
fn is_script(name: &str) -> bool {
    name == "constants.pkl" || name.starts_with("code/")
}

fn is_big(file: &File, start: u64) -> io::Result<bool> {
    let mut order = [0; 3];
    file.read_exact_at(&mut order, start)?;
    Ok(&order == b"big")
}

/// Returns where the data of an entry begin: after its own header, whose length is in it. `None` if it has none.
fn data_start(file: &File, header: u64) -> io::Result<Option<u64>> {
    let mut bytes = [0; 30];
    match file.read_exact_at(&mut bytes, header) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        // Beyond the largest offset of a file.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
        Err(error) => return Err(error),
    }
    let number = |at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let start = header.checked_add(30 + number(26) + number(28));
    Ok(start.filter(|_| bytes.starts_with(START)))
}

/// A file of which only so much is read.
struct Bounded<'a> {
    file: &'a File,
    left: u64,
}

impl Read for Bounded<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(into)?;
        self.left = (self.left.checked_sub(read as u64))
            .ok_or_else(|| io::Error::other("its directory is too long"))?;
        Ok(read)
    }
}

impl Seek for Bounded<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// A file whose pickle has been read.
struct StateDict {
    archive: Archive,
    pickle: Pickle,
}

impl StateDict {
    /// Returns the tensors of the outermost dictionary and of those in it; `size` is that of the pickle.
    fn tensors(&self, outermost: Value, size: u64) -> Result<Contents, String> {
        let Value::Dict(outermost) = outermost else {
            let made = self
                .pickle
                .call(outermost)
                .and_then(|(class, _)| self.pickle.global(class));
            let what = match made {
                Some((module, name)) => {
                    format!("an object of {}", escaped(&format!("{module}.{name}")))
                }
                None => "something else".to_owned(),
            };
            return Err(format!("contains {what}, not a state dict: {AGAIN}"));
        };
        let mut contents = Contents::new();
        // Names of dictionaries are repeated for every tensor: a file can be small and they very long.
        let mut left = size.saturating_mul(8) + (1 << 16);
        let mut seen = BTreeSet::from([outermost]);
        let mut open = VecDeque::from([(outermost, String::new(), 0)]);
        while let Some((dict, before, depth)) = open.pop_front() {
            for (key, value) in self.pickle.entries(dict) {
                let Some(key) = self.pickle.text(key) else {
                    continue;
                };
                let name = || format!("{before}{key}");
                match value {
                    Value::Dict(inner) if depth < DEEPEST && seen.insert(inner) => {
                        open.push_back((inner, name() + ".", depth + 1));
                    }
                    Value::Call(_) => {
                        contents.insert(name(), self.tensor(value));
                    }
                    _ => continue,
                }
                let spent = (before.len() + key.len() + 64) as u64;
                left = left.checked_sub(spent).ok_or_else(|| {
                    format!("has too many and too long names of tensors: save the state dict alone; {AGAIN}")
                })?;
            }
        }
        Ok(contents)
    }

    /// Returns the tensor that a call makes, or what it makes instead.
    fn tensor(&self, value: Value) -> Result<StoredTensor, String> {
        let damaged = || "is damaged: copy or download the file again".to_owned();
        let pickle = &self.pickle;
        let (mut function, mut arguments) = pickle.call(value).ok_or_else(damaged)?;
        for _ in 0..MOST_WRAPPERS {
            let given = pickle.tuple(arguments).unwrap_or_default();
            (function, arguments) = match (pickle.global(function), given) {
                (
                    Some(("torch._utils", "_rebuild_tensor_v2")),
                    &[storage, offset, shape, strides, ..],
                ) => {
                    return self.rebuilt(storage, offset, shape, strides);
                }
                (
                    Some(("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")),
                    &[data, ..],
                ) => pickle.call(data).ok_or_else(damaged)?,
                (
                    Some(("torch._tensor", "_rebuild_from_type_v2")),
                    &[function, _, arguments, ..],
                ) => (function, arguments),
                (Some((module, name)), _) => {
                    return Err(format!(
                        "is an object of {}, not a plain tensor: save it as one (`.dequantize()`, `.to_dense()` or \
                         `torch.tensor(…)` in PyTorch)",
                        escaped(&format!("{module}.{name}"))
                    ));
                }
                (None, _) => return Err(damaged()),
            };
        }
        Err(damaged())
    }

    fn rebuilt(
        &self,
        storage: Value,
        offset: Value,
        shape: Value,
        strides: Value,
    ) -> Result<StoredTensor, String> {
        let pickle = &self.pickle;
        let damaged = || "is damaged: copy or download the file again".to_owned();
        let storage = pickle
            .persistent(storage)
            .and_then(|storage| pickle.tuple(storage));
        let Some(&[kind, class, key, ..]) = storage else {
            return Err(damaged());
        };
        if pickle.text(kind) != Some("storage") {
            return Err(damaged());
        }
        let (module, class) = pickle.global(class).ok_or_else(damaged)?;
        let dtype = dtype(class).filter(|_| module == "torch").ok_or_else(|| {
            let class = escaped(&format!("{module}.{class}"));
            format!("has numbers of {class}; use float64, float32, float16 or bfloat16")
        })?;
        let key = pickle.text(key).ok_or_else(damaged)?;
        let range = match self.archive.storages.get(key) {
            Some(Ok(range)) => *range,
            Some(Err(what)) => return Err(what.clone()),
            None => return Err("has no data in the file: copy or download it again".to_owned()),
        };
        let (shape, strides) = (self.sizes(shape), self.sizes(strides));
        let axes = shape
            .zip(strides)
            .filter(|(shape, strides)| shape.len() == strides.len());
        let offset = size(offset).ok_or_else(damaged)?;
        StoredTensor::in_range(dtype, axes.ok_or_else(damaged)?, range, offset)
    }

    fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let sizes = self.pickle.tuple(value)?;
        let sizes = sizes.iter().take(MOST_AXES + 1).map(|value| size(*value));
        sizes
            .collect::<Option<Vec<_>>>()
            .filter(|sizes| sizes.len() <= MOST_AXES)
    }
}

fn size(value: Value) -> Option<usize> {
    match value {
        Value::Int(size) => usize::try_from(size).ok(),
        _ => None,
    }
}

/// Returns the type of the numbers in a storage of `PyTorch`.
fn dtype(class: &str) -> Option<Dtype> {
    Some(match class {
        "DoubleStorage" => Dtype::F64,
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        _ => return None,
    })
}

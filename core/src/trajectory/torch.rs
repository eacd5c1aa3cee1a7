//! Reads files of `torch.save`: a zip archive with a pickle, `data.pkl`, and a file of numbers for each storage.
//!
//! The pickle is read as data ([`pickle`](super::pickle)). Of all that it describes, only dictionaries and tensors are
//! used. Entries of the archive are not compressed, so a tensor is a range of bytes of the file.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use safetensors::Dtype;

use super::archive::{self, Entry};
use super::name::escaped;
use super::pickle::{Pickle, Value};
use super::stored::{Contents, StoredTensor};

const PICKLE: &str = "data.pkl";

/// Longest pickle that is read; that of a model has some 150 bytes per tensor.
const LONGEST_PICKLE: u64 = 1 << 24;
/// Maximum depth of the dictionaries within the outermost one in which tensors are looked for.
const DEEPEST: usize = 2;
/// Maximum number of calls to look through: the one that makes a tensor, and those around it.
const MOST_WRAPPERS: usize = 4;
const MOST_AXES: usize = 16;
/// Longest name of a storage.
const LONGEST_KEY: usize = 64;

const COPY: &str = "copy or download it again";
const AGAIN: &str = "write it again with PyTorch: torch.save(model.state_dict(), \"step_1.pt\")";

/// Returns the tensors of a file of this length by their names, or what is wrong. A name begins with the keys of the
/// dictionaries around the tensor: `state_dict.fc1.weight`.
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
            return Ok(Err(format!("is damaged ({PICKLE}: {what}): {COPY}")));
        }
    };
    Ok(StateDict { archive, pickle }.tensors(value, size))
}

/// A range of bytes of the file: its start and length.
type ByteRange = (u64, u64);

/// The directory of a file.
struct Archive {
    pickle: ByteRange,
    /// Ranges of the data by the keys of storages, or why they cannot be read.
    storages: BTreeMap<String, Result<ByteRange, String>>,
}

impl Archive {
    fn open(file: &File, length: u64) -> io::Result<Result<Self, String>> {
        let entries = match archive::entries(file, length)? {
            Ok(entries) => entries,
            Err(what) => {
                return Ok(Err(format!(
                    "is a damaged or truncated zip archive ({what}): {COPY}"
                )));
            }
        };
        let prefix = match prefix(&entries) {
            Ok(prefix) => prefix,
            Err(what) => return Ok(Err(what)),
        };
        let mut own: BTreeMap<&str, &Entry> = BTreeMap::new();
        for entry in entries.iter().filter(|entry| !entry.name.is_empty()) {
            if let Some(name) = entry.name.strip_prefix(prefix)
                && own.insert(name, entry).is_some()
            {
                return Ok(Err(format!(
                    "has two entries named {}, which torch.save never writes: {AGAIN}",
                    escaped(name)
                )));
            }
        }
        if own.keys().any(|name| is_script(name)) {
            return Ok(Err(format!(
                "is a TorchScript archive (torch.jit.save), which has a program beside its tensors: {}",
                "load it with torch.jit.load, and write torch.save(model.state_dict(), \"step_1.pt\")"
            )));
        }
        Self::of(&own, file, length)
    }

    /// Finds the data of the entries, which are named without their prefix.
    fn of(
        entries: &BTreeMap<&str, &Entry>,
        file: &File,
        length: u64,
    ) -> io::Result<Result<Self, String>> {
        let data = |entry: &Entry| -> io::Result<Result<ByteRange, String>> {
            if entry.is_changed {
                return Ok(Err(format!(
                    "compressed or encrypted, which torch.save never does: {AGAIN}"
                )));
            }
            let start = entry.start(file, length)?;
            let range = start.map(|start| (start, entry.size));
            Ok(range.ok_or_else(|| format!("damaged or truncated: {COPY}")))
        };
        if let Some(order) = entries.get("byteorder")
            && let Ok((start, 3)) = data(order)?
            && is_big(file, start)?
        {
            return Ok(Err(format!(
                "was written on a machine with big-endian numbers: {AGAIN} on another one"
            )));
        }
        let pickle = match entries.get(PICKLE).map(|entry| data(entry)).transpose()? {
            Some(Ok(pickle)) => pickle,
            Some(Err(what)) => return Ok(Err(format!("has a {PICKLE} that is {what}"))),
            None => return Ok(Err(format!("is damaged (it has no {PICKLE}): {COPY}"))),
        };
        if pickle.1 > LONGEST_PICKLE {
            let (size, most) = (pickle.1.div_ceil(1 << 20), LONGEST_PICKLE >> 20);
            return Ok(Err(format!(
                "has {size} MiB beside its tensors, and up to {most} are read: save the state dict alone; {AGAIN}"
            )));
        }
        let mut storages = BTreeMap::new();
        for (name, entry) in entries {
            if let Some(key) = name.strip_prefix("data/")
                && key.len() <= LONGEST_KEY
            {
                let range = data(entry)?.map_err(|what| format!("has data that are {what}"));
                storages.insert(key.to_owned(), range);
            }
        }
        Ok(Ok(Self { pickle, storages }))
    }
}

/// Returns what comes before the names of all entries: the name of the folder that was archived.
fn prefix(entries: &[Entry]) -> Result<&str, String> {
    let prefixes = entries
        .iter()
        .filter_map(|entry| entry.name.strip_suffix(PICKLE));
    let mut prefixes = prefixes.filter(|prefix| prefix.is_empty() || prefix.ends_with('/'));
    match (prefixes.next(), prefixes.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Err(format!(
            "is a zip archive without {PICKLE}, so not a file of torch.save: {AGAIN}"
        )),
        _ => Err(format!("has more than one {PICKLE}: {AGAIN}")),
    }
}

/// Returns true if an entry is one that only `TorchScript` writes.
fn is_script(name: &str) -> bool {
    name == "constants.pkl" || name.starts_with("code/")
}

fn is_big(file: &File, start: u64) -> io::Result<bool> {
    let mut order = [0; 3];
    file.read_exact_at(&mut order, start)?;
    Ok(&order == b"big")
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
                    let made = escaped(&format!("{module}.{name}"));
                    format!("an object of {made}, which is not created, instead of a state dict")
                }
                None => "no state dict (a dictionary of tensors)".to_owned(),
            };
            return Err(format!("contains {what}: {AGAIN}"));
        };
        let mut contents = Contents::new();
        // Every name repeats those of the dictionaries around it, so a small file can lead to very long names.
        let mut left = size.saturating_mul(8) + (1 << 16);
        let mut seen = BTreeSet::from([outermost]);
        let mut open = VecDeque::from([(outermost, String::new(), 0)]);
        while let Some((dict, before, depth)) = open.pop_front() {
            for (key, value) in self.pickle.entries(dict) {
                let Some(key) = self.pickle.text(key) else {
                    continue;
                };
                let name = || format!("{before}{key}");
                let mut spent = before.len() + key.len() + 64;
                match value {
                    Value::Dict(inner) if depth < DEEPEST && seen.insert(inner) => {
                        open.push_back((inner, name() + ".", depth + 1));
                    }
                    Value::Call(_) => {
                        let tensor = self.tensor(value);
                        spent += tensor.as_ref().err().map_or(0, String::len);
                        contents.insert(name(), tensor);
                    }
                    _ => continue,
                }
                left = left.checked_sub(spent as u64).ok_or_else(|| {
                    format!("has too many and too long names of tensors: save the state dict alone; {AGAIN}")
                })?;
            }
        }
        Ok(contents)
    }

    /// Returns the tensor that a call makes, or why it cannot be read.
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
                        "is not a plain tensor but made by {}, which is not called: save it as a plain tensor \
                         (`.dequantize()`, `.to_dense()` or `torch.tensor(…)` in PyTorch)",
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
            format!(
                "has numbers of {class}; weights must be float64, float32, float16 or bfloat16: convert it (`.float()` \
                 in PyTorch)"
            )
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
        let offset = self.size(offset).ok_or_else(damaged)?;
        StoredTensor::in_range(dtype, axes.ok_or_else(damaged)?, range, offset)
    }

    fn sizes(&self, value: Value) -> Option<Vec<usize>> {
        let sizes = self.pickle.tuple(value)?;
        let sizes = sizes
            .iter()
            .take(MOST_AXES + 1)
            .map(|value| self.size(*value));
        sizes
            .collect::<Option<Vec<_>>>()
            .filter(|sizes| sizes.len() <= MOST_AXES)
    }

    fn size(&self, value: Value) -> Option<usize> {
        usize::try_from(self.pickle.count(value)?).ok()
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/checkpoints");
        fs::read(root.join(name)).unwrap()
    }

    /// Reads all tensors of a file, and returns how many there are; or what is wrong.
    fn read(file: &File, length: u64) -> Result<usize, String> {
        let contents = contents(file, length).unwrap()?;
        let mut read = 0;
        for tensor in contents.values().flatten() {
            let count: usize = tensor.shape.iter().product();
            if tensor.fault().is_none() && count < 1 << 16 {
                tensor.read(file, &mut vec![0.0; count]).unwrap();
                read += 1;
            }
        }
        Ok(read)
    }

    #[test]
    fn whatever_byte_is_damaged_all_that_is_read_is_in_the_file() {
        for (name, tensors) in [
            ("same/lightning/epoch=2-step=5.ckpt", 6),
            ("same/shared/5.pt", 6),
            ("same/parameters/5.pt", 6),
            ("refused/command.pt", 5),
        ] {
            let bytes = golden(name);
            let length = bytes.len() as u64;
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&bytes, 0).unwrap();
            assert_eq!(read(&file, length), Ok(tensors), "{name}");
            for (at, &byte) in bytes.iter().enumerate() {
                for value in [0, 1, b'.', 0xff, byte ^ 0x80] {
                    file.write_all_at(&[value], at as u64).unwrap();
                    let _ = read(&file, length);
                }
                file.write_all_at(&[byte], at as u64).unwrap();
            }
            for length in 0..length {
                assert!(read(&file, length).is_err(), "{name}: {length} bytes");
            }
        }
    }
}

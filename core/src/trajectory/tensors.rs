//! A safetensors file: its header is checked on opening, its numbers on reading.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::{TrajectoryError, foreign, name};
use crate::layout::{ParamLayout, Tensor};
use crate::small_file;

/// Longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// Prefixes that wrappers add to the same tensors' names: `DataParallel`, torch.compile, and programs that keep the
/// model as part of something.
const WRAPPERS: [&str; 3] = ["module", "_orig_mod", "model"];

/// A file with all tensors of a network.
pub struct TensorFile {
    path: PathBuf,
    file: File,
    metadata: Metadata,
    /// Offset of the first number.
    start: u64,
    /// Prefix before the network's own name of every tensor.
    prefix: String,
}

impl TensorFile {
    /// Opens a file, and checks its header against the network and its length.
    ///
    /// # Errors
    /// The file cannot be read, is something else, or belongs to another network.
    pub fn open(path: &Path, layout: &ParamLayout) -> Result<Self, TrajectoryError> {
        let fault = |what: String| TrajectoryError(format!("{}: {what}", path.display()));
        let unread = |error: io::Error| fault(format!("cannot be read: {error}"));
        let file = small_file::open(path).map_err(unread)?;
        let length = file.metadata().map_err(unread)?.len();
        let (metadata, start) = header(&file, length).map_err(unread)?.map_err(fault)?;
        let names = metadata.tensors();
        let names: BTreeSet<&str> = names.keys().map(String::as_str).collect();
        let prefix = prefix(&names, layout).map_err(fault)?;
        let file = Self {
            path: path.to_owned(),
            file,
            metadata,
            start,
            prefix,
        };
        for tensor in &layout.tensors {
            check(tensor, file.info(tensor)?).map_err(fault)?;
        }
        Ok(file)
    }

    /// Returns the prefix of the tensors' names without wrapper prefixes.
    pub fn own_prefix(&self) -> String {
        let parts = self.prefix.split('.');
        let own: Vec<&str> = parts.filter(|part| !WRAPPERS.contains(part)).collect();
        own.join(".")
    }

    /// Reads all parameters (`[P]`, in the order of the layout).
    ///
    /// # Errors
    /// The file cannot be read, or a number is not finite.
    pub fn read(&self, layout: &ParamLayout, params: &mut [f32]) -> Result<(), TrajectoryError> {
        let fault = |what: String| TrajectoryError(format!("{}: {what}", self.path.display()));
        let mut bytes = Vec::new();
        for tensor in &layout.tensors {
            let info = self.info(tensor)?;
            let (from, to) = info.data_offsets;
            bytes.resize(to - from, 0);
            (self
                .file
                .read_exact_at(&mut bytes, self.start + from as u64))
            .map_err(|error| fault(format!("cannot be read: {error}")))?;
            let into = &mut params[tensor.range.clone()];
            convert(info.dtype, &bytes, into);
            if let Some(value) = into.iter().find(|value| !value.is_finite()) {
                let name = &tensor.name;
                return Err(fault(format!(
                    "the tensor `{name}` has a weight that is {value}; no loss can be allocated along such a \
                     path: remove this point and all later ones"
                )));
            }
        }
        Ok(())
    }

    fn info(&self, tensor: &Tensor) -> Result<&TensorInfo, TrajectoryError> {
        let name = format!("{}{}", self.prefix, tensor.name);
        let info = self.metadata.info(&name);
        info.ok_or_else(|| {
            TrajectoryError(format!("{}: has no tensor `{name}`", self.path.display()))
        })
    }
}

/// Returns the header of a file of this length and its end, or what is wrong.
fn header(file: &File, length: u64) -> io::Result<Result<(Metadata, u64), String>> {
    let mut start = Vec::new();
    file.take(foreign::LOOKED_AT as u64)
        .read_to_end(&mut start)?;
    let other = |why: &str| {
        let named = foreign::describe(&start);
        Ok(Err(named.unwrap_or_else(|| {
            format!("is not a safetensors file: {why}")
        })))
    };
    let Some((size, json)) = start.split_first_chunk() else {
        return other("shorter than a header");
    };
    let size = u64::from_le_bytes(*size);
    if size > LONGEST_HEADER || json.first() != Some(&b'{') {
        return other("no header");
    }
    let cut = |needed: u64| {
        Ok(Err(format!(
            "is truncated ({length} of {needed} bytes): copy or download it again"
        )))
    };
    if length - 8 < size {
        return cut(size + 8);
    }
    let mut json = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut json, 8)?;
    let metadata: Metadata = match serde_json::from_slice(&json) {
        Ok(metadata) => metadata,
        Err(error) => return other(&name::escaped(&error.to_string())),
    };
    let needed = (metadata.data_len() as u64).saturating_add(8 + size);
    match length {
        _ if length < needed => cut(needed),
        _ if length > needed => Ok(Err(format!(
            "is damaged ({length} bytes instead of {needed} by its header): copy or download it again"
        ))),
        _ => Ok(Ok((metadata, 8 + size))),
    }
}

/// Returns the prefix before the network's names of all tensors: empty, or the same for all.
fn prefix(names: &BTreeSet<&str>, layout: &ParamLayout) -> Result<String, String> {
    let Some(first) = layout.tensors.first() else {
        return Ok(String::new());
    };
    let fits = |prefix: &&str| {
        let mut tensors = layout.tensors.iter();
        tensors.all(|tensor| names.contains(format!("{prefix}{}", tensor.name).as_str()))
    };
    let before = names
        .iter()
        .filter_map(|name| name.strip_suffix(first.name.as_str()));
    let before = before.filter(|prefix| prefix.is_empty() || prefix.ends_with('.'));
    let fitting: Vec<&str> = before.filter(fits).collect();
    match fitting.as_slice() {
        ["", ..] => Ok(String::new()),
        [one] => Ok((*one).to_owned()),
        [] => {
            let missing = |tensor: &&Tensor| !names.contains(tensor.name.as_str());
            let tensor = layout.tensors.iter().find(missing).unwrap_or(first);
            let names: Vec<&str> = names.iter().copied().collect();
            Err(format!(
                "has no tensor `{}` of shape {:?}; it has {}. Save all tensors under the names of the network \
                 (`lcascope info RUN.h5` lists its layers), one file per point",
                tensor.name,
                tensor.shape,
                name::list(names.into_iter())
            ))
        }
        several => Err(format!(
            "contains the tensors of the network more than once, under {}: save only one of them",
            name::list(several.iter().copied())
        )),
    }
}

fn check(tensor: &Tensor, info: &TensorInfo) -> Result<(), String> {
    if info.shape != tensor.shape {
        return Err(format!(
            "the tensor `{}` has shape {:?}; the network's has {:?}",
            tensor.name, info.shape, tensor.shape
        ));
    }
    match info.dtype {
        Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => Ok(()),
        other => Err(format!(
            "the tensor `{}` has type {other:?}; use F64, F32, F16 or BF16",
            tensor.name
        )),
    }
}

/// Converts numbers of a type that [`check`] accepts.
fn convert(dtype: Dtype, bytes: &[u8], into: &mut [f32]) {
    match dtype {
        Dtype::F16 => fill(into, bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => fill(into, bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
        Dtype::F64 => fill(into, bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        _ => fill(into, bytes, f32::from_le_bytes),
    }
}

fn fill<const N: usize>(into: &mut [f32], bytes: &[u8], number: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    for (value, &bytes) in into.iter_mut().zip(numbers) {
        *value = number(bytes);
    }
}

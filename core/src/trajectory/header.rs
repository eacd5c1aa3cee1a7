//! Reads the header of a safetensors file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use safetensors::tensor::Metadata;

use super::stored::{Contents, StoredTensor};
use super::{foreign, name};

/// Longest header that the format allows.
const LONGEST_HEADER: u64 = 100_000_000;

/// Returns the tensors of a file with these first bytes and this length, or what is wrong.
pub fn contents(file: &File, start: &[u8], length: u64) -> io::Result<Result<Contents, String>> {
    let other = |why: &str| {
        let named = foreign::describe(start);
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
        _ => Ok(Ok(tensors(&metadata, 8 + size))),
    }
}

/// Returns the tensors, whose numbers begin at `start`.
fn tensors(metadata: &Metadata, start: u64) -> Contents {
    let tensors = metadata.tensors();
    let stored = tensors.into_iter().map(|(name, info)| {
        let start = start + info.data_offsets.0 as u64;
        (
            name,
            Ok(StoredTensor::in_rows(info.dtype, info.shape.clone(), start)),
        )
    });
    stored.collect()
}

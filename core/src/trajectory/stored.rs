//! Tensors in files: where their numbers are, and how they are read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use half::{bf16, f16};
use safetensors::Dtype;

/// Tensors by name, or the reason why one cannot be read, as the end of a sentence that begins with its name.
pub type Contents = BTreeMap<String, Result<StoredTensor, String>>;

/// Most bytes that are read for a tensor however few of them are its own: it may be a part of a larger one.
const ALWAYS_READ: usize = 1 << 26;

/// A tensor in a file.
pub struct StoredTensor {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Distance between neighbours along each axis, in numbers; `None` if row follows row.
    strides: Option<Vec<usize>>,
    /// Offset of the first number in the file.
    start: u64,
    /// Count of numbers from the first to the last, including those in between that do not belong to the tensor.
    span: usize,
}

impl StoredTensor {
    /// Returns a tensor whose rows follow each other and whose numbers are known to be in the file.
    pub fn in_rows(dtype: Dtype, shape: Vec<usize>, start: u64) -> Self {
        Self {
            dtype,
            span: shape.iter().product(),
            shape,
            strides: None,
            start,
        }
    }

    /// Returns a tensor in a range of bytes of a file, which begins with the range's number `offset`. The error is the
    /// end of a sentence.
    pub fn in_range(
        dtype: Dtype,
        (shape, strides): (Vec<usize>, Vec<usize>),
        (start, length): (u64, u64),
        offset: usize,
    ) -> Result<Self, String> {
        let count = shape
            .iter()
            .try_fold(1_usize, |n, &size| n.checked_mul(size));
        let axes = shape.iter().zip(&strides);
        let last = axes.clone().try_fold(0_usize, |last, (&size, &stride)| {
            last.checked_add(size.saturating_sub(1).checked_mul(stride)?)
        });
        let span = match (count, last) {
            (Some(0), _) => Some(0),
            (Some(_), Some(last)) => last.checked_add(1),
            _ => None,
        };
        let bytes = |numbers: usize| (numbers as u64).checked_mul(width(dtype) as u64);
        let end = span.and_then(|span| bytes(offset.checked_add(span)?));
        let (Some(span), Some(first)) = (
            span.filter(|_| end.is_some_and(|it| it <= length)),
            bytes(offset),
        ) else {
            return Err("is larger than its data in the file".to_owned());
        };
        // From the last axis to the first.
        let rows = (shape.iter().rev()).scan(1_usize, |stride, size| {
            let own = *stride;
            *stride = own.saturating_mul(*size);
            Some(own)
        });
        let in_rows =
            (axes.rev().zip(rows)).all(|((&size, &stride), row)| size == 1 || stride == row);
        Ok(Self {
            dtype,
            strides: (!in_rows && count > Some(0)).then_some(strides),
            shape,
            start: start + first,
            span,
        })
    }

    /// Returns why a tensor cannot be read as parameters, as the end of a sentence.
    pub fn fault(&self) -> Option<String> {
        let count: usize = self.shape.iter().product();
        match self.dtype {
            Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => {}
            other => {
                return Some(format!(
                    "has numbers of type {other:?}; weights must be F64, F32, F16 or BF16: convert it (`.float()` in \
                     PyTorch)"
                ));
            }
        }
        let bytes = self.span.saturating_mul(width(self.dtype));
        (bytes > ALWAYS_READ && self.span / 16 > count).then(|| {
            "is a small part of a much larger one: save a copy of it (`.clone()` in PyTorch)"
                .to_owned()
        })
    }

    /// Reads the numbers (`[P]` of the tensor, row by row).
    pub fn read(&self, file: &File, into: &mut [f32]) -> io::Result<()> {
        let mut bytes = vec![0; self.span * width(self.dtype)];
        file.read_exact_at(&mut bytes, self.start)?;
        let Some(strides) = &self.strides else {
            convert(self.dtype, &bytes, into);
            return Ok(());
        };
        let mut span = vec![0.0; self.span];
        convert(self.dtype, &bytes, &mut span);
        let mut index = vec![0; self.shape.len()];
        for value in into {
            let at: usize = index
                .iter()
                .zip(strides)
                .map(|(i, stride)| i * stride)
                .sum();
            *value = span[at];
            advance(&mut index, &self.shape);
        }
        Ok(())
    }
}

/// Advances to the next index, the last axis fastest; the last index is followed by the first.
fn advance(index: &mut [usize], shape: &[usize]) {
    for (i, &size) in index.iter_mut().zip(shape).rev() {
        *i += 1;
        if *i < size {
            return;
        }
        *i = 0;
    }
}

/// Returns the width of a number in bytes; 1 for types narrower than a byte.
fn width(dtype: Dtype) -> usize {
    dtype.bitsize().div_ceil(8)
}

/// Converts numbers of a type that [`fault`](StoredTensor::fault) accepts.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn in_range(shape: &[usize], strides: &[usize], offset: usize) -> Result<StoredTensor, String> {
        let axes = (shape.to_vec(), strides.to_vec());
        StoredTensor::in_range(Dtype::F32, axes, (0, 48), offset)
    }

    #[test]
    fn numbers_are_read_along_the_strides() {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0_u8..12)
            .flat_map(|i| f32::from(i).to_le_bytes())
            .collect();
        file.write_all_at(&bytes, 0).unwrap();
        for (shape, strides, offset, want) in [
            (
                &[2, 3][..],
                &[3, 1][..],
                6,
                &[6.0, 7.0, 8.0, 9.0, 10.0, 11.0][..],
            ),
            (&[2, 3], &[1, 4], 0, &[0.0, 4.0, 8.0, 1.0, 5.0, 9.0]),
            (&[2, 2], &[0, 1], 5, &[5.0, 6.0, 5.0, 6.0]),
            (&[1, 2], &[99, 1], 10, &[10.0, 11.0]),
            (&[], &[], 3, &[3.0]),
            (&[2, 0], &[1, 1], 12, &[]),
        ] {
            let mut read = vec![f32::NAN; want.len()];
            let tensor = in_range(shape, strides, offset).unwrap();
            assert_eq!(tensor.fault(), None);
            tensor.read(&file, &mut read).unwrap();
            assert_eq!(read, want, "{shape:?} {strides:?} {offset}");
        }
    }

    #[test]
    fn a_tensor_beyond_its_range_is_refused() {
        const HUGE: usize = usize::MAX / 2;
        for (shape, strides, offset) in [
            (&[2, 3][..], &[3, 1][..], 7),
            (&[2], &[12], 0),
            (&[2], &[HUGE], 0),
            (&[HUGE], &[1], 0),
            (&[HUGE, HUGE], &[0, 0], 0),
            (&[3], &[HUGE], HUGE),
            (&[1], &[1], HUGE),
            (&[0], &[1], 13),
        ] {
            let said = in_range(shape, strides, offset).err();
            assert!(
                said.is_some_and(|it| it.contains("larger than its data")),
                "{shape:?} {strides:?}"
            );
        }
    }
}

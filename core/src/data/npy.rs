//! Arrays in `NumPy`'s `.npy` format (NEP 1): a header, then the values.
//!
//! ```text
//! \x93NUMPY | version (2 bytes) | length of the text (u16, from version 2 on u32, little-endian)
//! {'descr': '<f4', 'fortran_order': False, 'shape': (100, 28, 28), }  padded, with a newline
//! ```
//!
//! The text is a Python dictionary. A parser for all Python literals would take exponential time on nested brackets, so
//! [`parse`] reads only what `NumPy` writes for plain arrays.

use std::fmt;

use thiserror::Error;

use super::DataError;
use super::file::{UnpackedFile, looks_like, no_memory};

/// Longest header text, `NumPy`'s own limit.
const MAX_HEADER: u32 = 10_000;

/// A fault in an array.
#[derive(Debug, Error, PartialEq)]
pub enum NpyFault {
    #[error("looks like {0}, not like an .npy file; create it with numpy.save")]
    Magic(&'static str),
    #[error("is .npy version {0}.{1}; only 1.0, 2.0 and 3.0 are supported")]
    Version(u8, u8),
    #[error("header of {0} bytes, more than the limit of {MAX_HEADER}; save a plain array")]
    HeaderLength(u32),
    #[error("the header is truncated or not that of a plain array; save it again")]
    Header,
    #[error(
        "contains Python objects, which are not supported; save numbers: numpy.asarray(x, \"uint8\")"
    )]
    Objects,
    #[error("has values of type {found}, expected {expected}; save it {remedy}")]
    Type {
        found: String,
        expected: &'static str,
        remedy: &'static str,
    },
    #[error(
        "has integers from {least} to {greatest}, but images must be bytes from 0 to 255 or floats; save both \
         parts as floats with the same scaling, such as {remedy}"
    )]
    Integers {
        least: i128,
        greatest: i128,
        remedy: String,
    },
    #[error("has shape {found:?}, expected {expected}")]
    Shape {
        found: Vec<u64>,
        expected: &'static str,
    },
    #[error(
        "the axis of the channels in {0:?} is ambiguous; also save an array channels=\"first\" or channels=\"last\""
    )]
    Channels(Vec<u64>),
    #[error("channels is {0:?}, expected \"first\" or \"last\"")]
    ChannelsWord(String),
    #[error("row {row} (counting from 0) has the value {value}; all values must be finite as f32")]
    NotFinite { row: usize, value: f64 },
    #[error(
        "differs in type from the training images: bytes are divided by 255, floats are not; save both as the \
         same type"
    )]
    Mixed,
    #[error("names {0} classes; the limit is 1 to 256")]
    ClassCount(u64),
}

/// Type of an array's values, such as `<f4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValueType {
    is_big_endian: bool,
    /// `NumPy`'s letter: `u` unsigned, `i` integer, `f` float, `U` text, `S` bytes, and others.
    pub kind: char,
    /// Bytes in a value; for text, characters.
    pub size: u64,
}

impl ValueType {
    fn parse(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let order = chars.next().filter(|order| "<>|=".contains(*order))?;
        Some(Self {
            is_big_endian: order == '>',
            kind: chars.next()?,
            // Objects have no size; dates have a unit after it.
            size: chars.as_str().parse().unwrap_or(0),
        })
    }

    fn bytes(&self) -> u64 {
        self.size
            .saturating_mul(if self.kind == 'U' { 4 } else { 1 })
    }
}

/// Shows the type as `NumPy` writes it.
impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let order = if self.is_big_endian { ">" } else { "<" };
        write!(f, "{order}{}{}", self.kind, self.size)
    }
}

/// The header of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NpyHeader {
    pub value: ValueType,
    /// Whether the first axis varies fastest.
    pub is_fortran: bool,
    pub shape: Vec<u64>,
}

impl NpyHeader {
    /// Reads the header and leaves `input` at the first value.
    pub fn read(input: &mut UnpackedFile) -> Result<Self, DataError> {
        let start = input.read_up_to(8)?;
        let result = match *start.as_slice() {
            [0x93, b'N', b'U', b'M', b'P', b'Y', major, minor] => {
                let width = if major == 1 { 2 } else { 4 };
                let mut length = [0; 4];
                let bytes = input.read_up_to(width)?;
                length[..bytes.len()].copy_from_slice(&bytes);
                let length = u32::from_le_bytes(length);
                if !matches!((major, minor), (1..=3, 0)) {
                    Err(NpyFault::Version(major, minor))
                } else if length > MAX_HEADER {
                    Err(NpyFault::HeaderLength(length))
                } else {
                    let text = input.read_up_to(length.into())?;
                    let is_whole = text.len() as u64 == u64::from(length);
                    let text = std::str::from_utf8(&text).ok().filter(|_| is_whole);
                    text.map_or(Err(NpyFault::Header), parse)
                }
            }
            [0x93, ..] => Err(NpyFault::Header),
            _ => Err(NpyFault::Magic(looks_like(&start))),
        };
        result.map_err(|fault| DataError::Npy {
            file: input.path.clone(),
            fault,
        })
    }

    /// Reads all values as bytes, in the order of the file.
    pub fn read_values(&self, input: &mut UnpackedFile) -> Result<Vec<u8>, DataError> {
        let (bytes, content) = self.content();
        input.read_rest(bytes, &content)
    }

    /// Reads all values in the order of the file, block by block, and collects the results of `convert`.
    pub fn convert_values<T>(
        &self,
        input: &mut UnpackedFile,
        mut convert: impl FnMut(&[u8], &ValueType, &mut Vec<T>),
    ) -> Result<Vec<T>, DataError> {
        let (bytes, content) = self.content();
        let count = bytes / self.value.bytes().max(1);
        input.check_room(count, size_of::<T>(), &content)?;
        let mut values = Vec::new();
        let mut is_full = false;
        input.read_blocks(bytes, &content, |block| {
            is_full |= values.try_reserve(block.len()).is_err();
            if !is_full {
                convert(block, &self.value, &mut values);
            }
        })?;
        if is_full {
            Err(no_memory(&input.path, count))
        } else {
            Ok(values)
        }
    }

    /// Returns the size of all values in bytes, and a description.
    fn content(&self) -> (u64, String) {
        let sizes = self.shape.iter().copied();
        let bytes = sizes.fold(self.value.bytes(), u64::saturating_mul);
        let (shape, value) = (&self.shape, &self.value);
        (
            bytes,
            format!("{shape:?} values of type {value} = {bytes} bytes"),
        )
    }
}

/// Parses the dictionary that `NumPy` writes for an array of plain values.
fn parse(text: &str) -> Result<NpyHeader, NpyFault> {
    let mut text = Literal(text);
    let (mut value, mut is_fortran, mut shape) = (None, None, None);
    if !text.skip("{") {
        return Err(NpyFault::Header);
    }
    while !text.skip("}") {
        let key = text.string().filter(|_| text.skip(":"));
        match key.ok_or(NpyFault::Header)? {
            "descr" => match text.string() {
                Some(name) => value = ValueType::parse(name),
                None => {
                    return Err(NpyFault::Type {
                        found: "structure".to_owned(),
                        expected: "one number per value",
                        remedy: "as an array for each of its fields",
                    });
                }
            },
            "fortran_order" => is_fortran = text.boolean(),
            "shape" => shape = text.tuple(),
            _ => return Err(NpyFault::Header),
        }
        if !text.skip(",") {
            if text.skip("}") {
                break;
            }
            return Err(NpyFault::Header);
        }
    }
    let header = match (value, is_fortran, shape) {
        (Some(value), Some(is_fortran), Some(shape)) if text.0.trim().is_empty() => NpyHeader {
            value,
            is_fortran,
            shape,
        },
        _ => return Err(NpyFault::Header),
    };
    if header.value.kind == 'O' {
        return Err(NpyFault::Objects);
    }
    Ok(header)
}

/// The unread rest of a Python literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn skip(&mut self, token: &str) -> bool {
        let rest = self.0.trim_start().strip_prefix(token);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Reads a quoted string without escapes.
    fn string(&mut self) -> Option<&'a str> {
        let quote = ["'", "\""].into_iter().find(|quote| self.skip(quote))?;
        let (string, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        (!string.contains('\\')).then_some(string)
    }

    fn boolean(&mut self) -> Option<bool> {
        if self.skip("True") {
            return Some(true);
        }
        self.skip("False").then_some(false)
    }

    fn number(&mut self) -> Option<u64> {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_digit());
        let (digits, rest) = text.split_at(end.unwrap_or(text.len()));
        // The suffix of a long integer in Python 2.
        self.0 = rest.strip_prefix('L').unwrap_or(rest);
        digits.parse().ok()
    }

    /// Reads a tuple of natural numbers.
    fn tuple(&mut self) -> Option<Vec<u64>> {
        let mut numbers = Vec::new();
        if !self.skip("(") {
            return None;
        }
        while !self.skip(")") {
            numbers.push(self.number()?);
            if !self.skip(",") {
                // `(5)` is not a tuple.
                return (numbers.len() > 1 && self.skip(")")).then_some(numbers);
            }
        }
        Some(numbers)
    }
}

/// Decodes integers of any width and byte order.
pub(super) fn integers(bytes: &[u8], value: &ValueType) -> impl Iterator<Item = i128> {
    let size = usize::try_from(value.size).unwrap_or(1).clamp(1, 8);
    let (is_signed, is_big_endian) = (value.kind == 'i', value.is_big_endian);
    let integer = move |bytes: &[u8]| {
        let mut wide = [0; 16];
        let ordered = bytes.iter().rev();
        // Big-endian at the end of sixteen bytes, sign-extended.
        let highest = if is_big_endian {
            bytes.first()
        } else {
            bytes.last()
        };
        if is_signed && highest.is_some_and(|byte| byte & 0x80 != 0) {
            wide = [0xff; 16];
        }
        let low = &mut wide[16 - bytes.len()..];
        if is_big_endian {
            low.copy_from_slice(bytes);
        } else {
            for (to, from) in low.iter_mut().zip(ordered) {
                *to = *from;
            }
        }
        i128::from_be_bytes(wide)
    };
    bytes.chunks_exact(size).map(integer)
}

/// Appends floats of four or eight bytes as `f32`.
pub(super) fn floats(bytes: &[u8], value: &ValueType, to: &mut Vec<f32>) {
    if value.size == 4 {
        let decode = if value.is_big_endian {
            f32::from_be_bytes
        } else {
            f32::from_le_bytes
        };
        to.extend(bytes.as_chunks().0.iter().map(|&b| decode(b)));
    } else {
        let decode = if value.is_big_endian {
            f64::from_be_bytes
        } else {
            f64::from_le_bytes
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the engines compute in f32"
        )]
        let narrow = |&b: &[u8; 8]| decode(b) as f32;
        to.extend(bytes.as_chunks().0.iter().map(narrow));
    }
}

/// Decodes texts of a fixed length, padded with zeros: Latin-1 bytes or UTF-32.
pub(super) fn texts(bytes: &[u8], value: &ValueType) -> Vec<String> {
    let size = usize::try_from(value.bytes()).unwrap_or(1).max(1);
    let decode = |text: &[u8]| {
        let chars: String = if value.kind == 'S' {
            text.iter().copied().map(char::from).collect()
        } else {
            let decode = if value.is_big_endian {
                u32::from_be_bytes
            } else {
                u32::from_le_bytes
            };
            let points = text.as_chunks().0.iter().map(|&b| decode(b));
            points
                .map(|point| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        };
        chars.trim_end_matches('\0').to_owned()
    };
    bytes.chunks_exact(size).map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integer(kind: char, size: u64, is_big_endian: bool, bytes: &[u8]) -> Vec<i128> {
        let value = ValueType {
            is_big_endian,
            kind,
            size,
        };
        integers(bytes, &value).collect()
    }

    #[test]
    fn integers_of_every_width_and_order() {
        assert_eq!(integer('u', 1, false, &[0, 255]), [0, 255]);
        assert_eq!(integer('i', 1, false, &[127, 255]), [127, -1]);
        assert_eq!(integer('u', 2, false, &[1, 2]), [0x0201]);
        assert_eq!(integer('i', 2, true, &[0xff, 0xfe]), [-2]);
        assert_eq!(integer('i', 4, false, &[0xfe, 0xff, 0xff, 0xff]), [-2]);
        assert_eq!(integer('u', 8, true, &[0xff; 8]), [i128::from(u64::MAX)]);
        assert_eq!(integer('i', 8, true, &[0, 0, 0, 0, 0, 0, 1, 2]), [0x0102]);
    }

    #[test]
    fn headers_as_numpy_writes_them() {
        let parsed = |text: &str| parse(text).map(|h| (h.value.to_string(), h.is_fortran, h.shape));
        for (text, value, is_fortran, shape) in [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 28, 28), }    \n",
                "<f4",
                false,
                &[3, 28, 28][..],
            ),
            (
                "{'descr':'|u1','fortran_order':True,'shape':(3,)}",
                "<u1",
                true,
                &[3],
            ),
            (
                "{'descr': '<i4', 'fortran_order': False, 'shape': (60000L, 28L, 28L), }",
                "<i4",
                false,
                &[60_000, 28, 28],
            ),
            (
                "{\"shape\": (), \"descr\": \">i8\", \"fortran_order\": False}",
                ">i8",
                false,
                &[],
            ),
        ] {
            let expected = (value.to_owned(), is_fortran, shape.to_vec());
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "{",
            "{}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, -1)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3LL,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 99999999999999999999)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,) 'x'",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (3,)}",
            "{'descr': 'f4', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} more",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'other': 1}",
        ] {
            assert_eq!(parsed(text), Err(NpyFault::Header), "{text}");
        }
        let objects = "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }";
        assert_eq!(parsed(objects), Err(NpyFault::Objects));
        let records = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }";
        assert!(matches!(parsed(records), Err(NpyFault::Type { .. })));
    }
}

//! Strings in HDF5: attributes of variable length, datasets of fixed length.

use std::str::FromStr;

use hdf5::types::{FixedAscii, FixedUnicode, TypeDescriptor, VarLenAscii, VarLenUnicode};
use hdf5::{Container, Location};

use crate::layout::MAX_NAME;
use crate::text::{harmless, harmless_lines};

/// A name in a dataset of names.
pub type NameString = FixedUnicode<MAX_NAME>;

/// A file name in a dataset of file names: no system has longer ones.
pub type FileNameString = FixedUnicode<256>;

/// The string in `state/message`.
pub type MessageString = FixedUnicode<1024>;

/// The longest fixed-length attribute that is read: HDF5's own limit for small ones.
const MAX_FIXED_ATTRIBUTE: usize = 1 << 16;

/// Writes a string attribute. A zero byte would end the string, so it is left out.
pub fn write_attribute(at: &Location, name: &str, value: &str) -> hdf5::Result<()> {
    let value: VarLenUnicode = value.replace('\0', "").parse().unwrap_or_default();
    at.new_attr::<VarLenUnicode>()
        .create(name)?
        .write_scalar(&value)
}

/// Reads a string attribute, whatever kind of string another program wrote.
pub fn read_attribute(at: &Location, name: &str) -> hdf5::Result<String> {
    let attribute = at.attr(name)?;
    Ok(match attribute.dtype()?.to_descriptor()? {
        TypeDescriptor::VarLenAscii => {
            printable(attribute.read_scalar::<VarLenAscii>()?.as_bytes())
        }
        TypeDescriptor::FixedAscii(_) | TypeDescriptor::FixedUnicode(_) => {
            if attribute.size() != 1 {
                return Err(hdf5::Error::Internal(format!(
                    "the attribute {name} is a list"
                )));
            }
            read_fixed::<MAX_FIXED_ATTRIBUTE>(&attribute)?.concat()
        }
        _ => printable(attribute.read_scalar::<VarLenUnicode>()?.as_bytes()),
    })
}

/// Reads a string attribute that is shown on one line.
pub fn read_line(at: &Location, name: &str) -> hdf5::Result<String> {
    Ok(harmless(&read_attribute(at, name)?))
}

/// The longest prefix of `text` that fits in `N` bytes.
pub fn fixed<const N: usize>(text: &str) -> FixedUnicode<N> {
    let text = text.replace('\0', "");
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    FixedUnicode::from_str(&text[..end]).unwrap_or_default()
}

/// Reads a dataset of strings of any fixed length up to that of a [`MessageString`].
pub fn read_strings(dataset: &Container) -> hdf5::Result<Vec<String>> {
    // Memory is allocated for the requested length, not for the one in the file.
    let strings = if dataset.dtype()?.size() <= MAX_NAME {
        read_fixed::<MAX_NAME>(dataset)?
    } else {
        read_fixed::<{ MessageString::capacity() }>(dataset)?
    };
    Ok(strings.iter().map(|text| harmless(text)).collect())
}

/// Reads fixed-length strings: HDF5 converts between lengths, but not between its two character sets. h5py's `S` is
/// ASCII.
fn read_fixed<const N: usize>(from: &Container) -> hdf5::Result<Vec<String>> {
    Ok(match from.dtype()?.to_descriptor()? {
        TypeDescriptor::FixedAscii(_) => (from.read_raw::<FixedAscii<N>>()?.iter())
            .map(|text| printable(text.as_bytes()))
            .collect(),
        _ => (from.read_raw::<FixedUnicode<N>>()?.iter())
            .map(|text| printable(text.as_bytes()))
            .collect(),
    })
}

/// Makes bytes printable: they may not be the UTF-8 that the file claims.
fn printable(bytes: &[u8]) -> String {
    harmless_lines(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_strings_are_cut_between_characters() {
        assert_eq!(fixed::<4>("abc").as_str(), "abc");
        assert_eq!(fixed::<4>("abcdef").as_str(), "abcd");
        assert_eq!(fixed::<4>("abcé").as_str(), "abc");
        assert_eq!(fixed::<4>("a\0b").as_str(), "ab");
    }

    #[test]
    fn text_from_a_file_cannot_control_the_terminal() {
        assert_eq!(printable("fc1 é\n\tx".as_bytes()), "fc1 é\n\tx");
        assert_eq!(printable(b"a\x1b[2Jb\xff"), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(printable("a\u{202e}b".as_bytes()), "a\u{fffd}b");
    }
}

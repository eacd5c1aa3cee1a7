//! Strings in HDF5: attributes of any length, datasets of fixed ones.

use std::str::FromStr;

use hdf5::types::{FixedUnicode, VarLenUnicode};
use hdf5::{Group, Location};

use crate::layout::MAX_NAME;

/// A name in a dataset of names.
pub type Name = FixedUnicode<MAX_NAME>;

/// `state/message`.
pub type Message = FixedUnicode<1024>;

/// Writes a string attribute. A zero byte would end the string, so it is left out.
pub fn write_attribute(at: &Location, name: &str, value: &str) -> hdf5::Result<()> {
    let value: VarLenUnicode = value.replace('\0', "").parse().unwrap_or_default();
    at.new_attr::<VarLenUnicode>()
        .create(name)?
        .write_scalar(&value)
}

/// Reads a string attribute, whatever kind of string another program has made of it.
pub fn read_attribute(at: &Location, name: &str) -> hdf5::Result<String> {
    let attribute = at.attr(name)?;
    if let Ok(text) = attribute.read_scalar::<VarLenUnicode>() {
        return Ok(text.as_str().to_owned());
    }
    attribute
        .read_scalar::<hdf5::types::VarLenAscii>()
        .map(|text| text.as_str().to_owned())
}

/// The longest start of `text` that fits `N` bytes.
pub fn fixed<const N: usize>(text: &str) -> FixedUnicode<N> {
    let text = text.replace('\0', "");
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    FixedUnicode::from_str(&text[..end]).unwrap_or_default()
}

/// Reads a dataset of names.
pub fn read_names(group: &Group, path: &str) -> hdf5::Result<Vec<String>> {
    let names: Vec<Name> = group.dataset(path)?.read_raw()?;
    Ok(names.iter().map(|name| name.as_str().to_owned()).collect())
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
}

//! Reads the directory of a zip archive as `torch.save` writes it, also with the 64-bit fields of large ones.
//!
//! A damaged or hostile file cannot make this reserve more memory than a small multiple of the directory that the file
//! actually contains. (The crate `zip` reserves room for as many entries as an archive claims to have.)

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// First bytes of an archive, and of every entry.
pub const START: &[u8] = b"PK\x03\x04";

/// Longest directory that is read; it has some 70 bytes per tensor.
const LONGEST_DIRECTORY: u64 = 1 << 24;

const OF_ENTRY: &[u8] = b"PK\x01\x02";
const OF_END: &[u8] = b"PK\x05\x06";
const OF_LARGE_END: &[u8] = b"PK\x06\x06";
const OF_LOCATOR: &[u8] = b"PK\x06\x07";

const ENTRY: usize = 46;
const END: usize = 22;
const LARGE_END: usize = 56;
const LOCATOR: usize = 20;
const HEADER: usize = 30;

/// A file in an archive.
pub struct Entry {
    /// Empty if it is not UTF-8.
    pub name: String,
    pub size: u64,
    /// True if its bytes are compressed or encrypted in the archive.
    pub is_changed: bool,
    /// Offset of its local header.
    header: u64,
}

impl Entry {
    /// Returns the offset of its first byte; `None` if not all of its bytes lie within an archive of this length.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn start(&self, file: &File, length: u64) -> io::Result<Option<u64>> {
        if self.header.checked_add(HEADER as u64) > Some(length) {
            return Ok(None);
        }
        let mut bytes = [0; HEADER];
        file.read_exact_at(&mut bytes, self.header)?;
        let names = number(&bytes, 26, 2).zip(number(&bytes, 28, 2));
        let start = names.and_then(|(name, extra)| {
            self.header
                .checked_add(HEADER as u64)?
                .checked_add(name + extra)
        });
        let end = start.and_then(|start| start.checked_add(self.size));
        Ok(start.filter(|_| bytes.starts_with(START) && end.is_some_and(|end| end <= length)))
    }
}

/// Returns the entries of an archive of this length in the order of its directory; or what is wrong.
///
/// # Errors
/// The file cannot be read.
pub fn entries(file: &File, length: u64) -> io::Result<Result<Vec<Entry>, &'static str>> {
    let Some((range, count)) = directory(file, length)? else {
        return Ok(Err("no directory at its end"));
    };
    let (start, size) = range;
    if size > LONGEST_DIRECTORY {
        return Ok(Err("its directory is too long"));
    }
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut bytes, start)?;
    let mut rest = bytes.as_slice();
    let mut entries = Vec::new();
    while (entries.len() as u64) < count {
        let Some((entry, after)) = entry(rest) else {
            return Ok(Err("its directory ends early"));
        };
        entries.push(entry);
        rest = after;
    }
    Ok(Ok(entries))
}

/// Finds the directory: its range of bytes and the number of its entries.
fn directory(file: &File, length: u64) -> io::Result<Option<((u64, u64), u64)>> {
    // A comment may follow.
    let looked_at = length.min((END + usize::from(u16::MAX)) as u64);
    let mut tail = vec![0; usize::try_from(looked_at).unwrap_or(0)];
    file.read_exact_at(&mut tail, length - looked_at)?;
    let is_end = |at: &usize| {
        let comment = number(&tail, at + 20, 2);
        tail[*at..].starts_with(OF_END) && comment == Some((tail.len() - at - END) as u64)
    };
    let places = tail.len().checked_sub(END).map(|last| 0..=last);
    let Some(at) = places.and_then(|mut places| places.rfind(is_end)) else {
        return Ok(None);
    };
    let mut end = length - looked_at + at as u64;
    let mut fields =
        [(10, 2), (12, 4), (16, 4)].map(|(field, width)| number(&tail, at + field, width));
    if let Some(locator) = end.checked_sub(LOCATOR as u64) {
        let mut bytes = [0; LOCATOR];
        file.read_exact_at(&mut bytes, locator)?;
        let large = number(&bytes, 8, 8).filter(|_| bytes.starts_with(OF_LOCATOR));
        let fits = |at: &u64| at.checked_add(LARGE_END as u64) <= Some(locator);
        if let Some(large) = large {
            let mut bytes = [0; LARGE_END];
            if !fits(&large) {
                return Ok(None);
            }
            file.read_exact_at(&mut bytes, large)?;
            if !bytes.starts_with(OF_LARGE_END) {
                return Ok(None);
            }
            end = large;
            fields = [32, 40, 48].map(|field| number(&bytes, field, 8));
        }
    }
    let [Some(count), Some(size), Some(start)] = fields else {
        return Ok(None);
    };
    let fits = start.checked_add(size) <= Some(end) && start.checked_add(size).is_some();
    Ok(fits.then_some(((start, size), count)))
}

/// Reads the entry at the start of the bytes; returns it and the rest.
fn entry(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    if !bytes.starts_with(OF_ENTRY) {
        return None;
    }
    let field = |at, width| number(bytes, at, width);
    let flags = field(8, 2)?;
    let method = field(10, 2)?;
    let [name, extra, comment] = [28, 30, 32].map(|at| field(at, 2));
    let length = |field: Option<u64>| usize::try_from(field?).ok();
    let (name, rest) = bytes.get(ENTRY..)?.split_at_checked(length(name)?)?;
    let (extra, rest) = rest.split_at_checked(length(extra)?)?;
    let rest = rest.get(length(comment)?..)?;
    let mut large = large_fields(extra);
    // Only the numbers that do not fit into 32 bits have a 64-bit field, in this order.
    let mut whole = |at| match field(at, 4)? {
        0xffff_ffff => {
            let (number, rest) = large.split_first_chunk()?;
            large = rest;
            Some(u64::from_le_bytes(*number))
        }
        number => Some(number),
    };
    let (size, packed, header) = (whole(24)?, whole(20)?, whole(42)?);
    let entry = Entry {
        name: str::from_utf8(name).unwrap_or_default().to_owned(),
        size,
        is_changed: flags & 1 != 0 || method != 0 || size != packed,
        header,
    };
    Some((entry, rest))
}

/// Returns the 64-bit fields among the extra fields of an entry.
fn large_fields(mut extra: &[u8]) -> &[u8] {
    while let (Some(kind), Some(length)) = (number(extra, 0, 2), number(extra, 2, 2)) {
        let length = usize::try_from(length).unwrap_or(0);
        let Some((field, rest)) = extra[4..].split_at_checked(length) else {
            break;
        };
        if kind == 1 {
            return field;
        }
        extra = rest;
    }
    &[]
}

/// Returns the little-endian number of `width` bytes, at most 8.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<u64> {
    let mut whole = [0; 8];
    whole
        .get_mut(..width)?
        .copy_from_slice(bytes.get(at..at.checked_add(width)?)?);
    Some(u64::from_le_bytes(whole))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn le(number: u64, width: usize) -> Vec<u8> {
        number.to_le_bytes()[..width].to_vec()
    }

    /// An archive of one entry `a`, with 64-bit fields or without, and a comment.
    fn archive(large: bool, comment: &[u8]) -> Vec<u8> {
        let data = b"12345";
        let header = [START, &[0; 22][..], &le(1, 2), &le(3, 2), b"a", &[0; 3]].concat();
        let field = |value: u64| if large { vec![0xff; 4] } else { le(value, 4) };
        let extra: Vec<u8> = if large {
            // Another field first.
            [
                le(9, 2),
                le(1, 2),
                vec![7],
                le(1, 2),
                le(24, 2),
                le(5, 8),
                le(5, 8),
                le(0, 8),
            ]
            .concat()
        } else {
            Vec::new()
        };
        let entry = [
            OF_ENTRY,
            &[0; 16][..],
            &field(5),
            &field(5),
            &le(1, 2),
            &le(extra.len() as u64, 2),
            &le(2, 2),
            &[0; 8],
            &field(0),
            b"a",
            &extra,
            b"??",
        ]
        .concat();
        let start = (header.len() + data.len()) as u64;
        let size = entry.len() as u64;
        let mut all = [&header, &data[..], &entry].concat();
        let end = all.len() as u64;
        if large {
            all.extend(
                [
                    OF_LARGE_END,
                    &[0; 28][..],
                    &le(1, 8),
                    &le(size, 8),
                    &le(start, 8),
                ]
                .concat(),
            );
            all.extend([OF_LOCATOR, &[0; 4][..], &le(end, 8), &le(1, 4)].concat());
            all.extend([OF_END, &[0; 4][..], &[0xff; 12]].concat());
        } else {
            all.extend([OF_END, &[0; 4][..], &le(1, 2), &le(1, 2)].concat());
            all.extend([le(size, 4), le(start, 4)].concat());
        }
        all.extend([&le(comment.len() as u64, 2), comment].concat());
        all
    }

    type Found = Option<Vec<(String, u64, bool, Option<u64>)>>;

    fn read(bytes: &[u8]) -> Found {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let length = bytes.len() as u64;
        let entries = entries(&file, length).unwrap().ok()?;
        let found = entries.into_iter().map(|entry| {
            let start = entry.start(&file, length).unwrap();
            (entry.name, entry.size, entry.is_changed, start)
        });
        Some(found.collect())
    }

    #[test]
    fn entries_are_found_with_or_without_64_bit_fields_and_a_comment() {
        let whole = Some(vec![("a".to_owned(), 5, false, Some(34))]);
        for large in [false, true] {
            for comment in [&b""[..], b"PK\x05\x06 and more"] {
                assert!(
                    read(&archive(large, comment)) == whole,
                    "{large} {comment:?}"
                );
            }
            // Every truncation is refused. A changed byte is refused, or changes what is read of the entry.
            let bytes = archive(large, b"");
            for end in 0..bytes.len() {
                assert!(read(&bytes[..end]).is_none(), "{large} {end}");
            }
            for at in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    for (_, size, _, start) in read(&changed).unwrap_or_default() {
                        let end = start.map(|start| start + size);
                        assert!(end <= Some(bytes.len() as u64), "{large} {at} {value}");
                    }
                }
            }
        }
    }

    #[test]
    fn compressed_and_encrypted_entries_are_told_apart() {
        let at = |bytes: &[u8]| bytes.windows(4).position(|it| it == OF_ENTRY).unwrap();
        for (field, is_changed) in [(6, false), (8, true), (10, true), (20, true)] {
            let mut bytes = archive(false, b"");
            let at = at(&bytes);
            bytes[at + field] ^= 1;
            let found = read(&bytes).unwrap();
            assert_eq!(found[0].2, is_changed, "{field}");
        }
    }
}

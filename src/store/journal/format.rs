//! The layout of a journal in the file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The smallest size of a journal, in bytes.
pub const LEAST: u64 = RECORDS + PAGE as u64;

/// Bytes of a saved block: no disk writes fewer at once.
pub const BLOCK: usize = 512;
/// Bytes of a logged page: the system keeps files in pages, and a kill interrupts writes only between them.
pub const PAGE: usize = 4096;

const MAGIC: [u8; 8] = *b"LCAJRNL\x01";
/// Initial space for records, in bytes.
pub const RECORDS: u64 = 256 << 10;

pub const SAVED: u32 = 1;
pub const LOGGED: u32 = 2;

/// The header of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHeader {
    /// Address of this header, which is the last page of the file.
    pub position: u64,
    /// Address of the first record.
    pub at: u64,
    /// Number of the base. Records with another number are leftovers.
    pub generation: u64,
    /// Bytes of HDF5's file when it was last synced.
    pub base: u64,
    pub atomic: bool,
}

impl JournalHeader {
    pub const LEN: usize = 48;

    pub fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        let numbers = [self.position, self.at, self.generation, self.base];
        for (place, number) in bytes[8..40].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes[40..44].copy_from_slice(&u32::from(self.atomic).to_le_bytes());
        let sum = crc32fast::hash(&bytes[..44]);
        bytes[44..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header at `position`; `None` if there is none.
    pub fn read(disk: &File, position: u64) -> Option<Self> {
        let mut bytes = [0; Self::LEN];
        disk.read_exact_at(&mut bytes, position).ok()?;
        let header = Self {
            position: u64_at(&bytes, 8),
            at: u64_at(&bytes, 16),
            generation: u64_at(&bytes, 24),
            base: u64_at(&bytes, 32),
            atomic: bytes[40] != 0,
        };
        let is_ours = header.position == position
            && header.base <= header.at
            && header.at < position
            && header.to_bytes() == bytes;
        is_ours.then_some(header)
    }
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Bytes before a record's content: kind, length of the content, generation, and a checksum of these and the content.
pub const RECORD_HEAD: usize = 20;

pub fn record(kind: u32, generation: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(RECORD_HEAD + content.len());
    bytes.extend(kind.to_le_bytes());
    bytes.extend(
        u32::try_from(content.len())
            .expect("what is written at once is bounded")
            .to_le_bytes(),
    );
    bytes.extend(generation.to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes);
    sum.update(content);
    bytes.extend(sum.finalize().to_le_bytes());
    bytes.extend(content);
    bytes
}

/// Bytes to be written at an address.
pub struct PendingWrite {
    pub address: u64,
    pub bytes: Vec<u8>,
}

impl PendingWrite {
    pub fn end(&self) -> u64 {
        self.address + self.bytes.len() as u64
    }

    /// Copies the part of the write that overlaps `buffer`, whose content begins at `address`.
    pub fn patch(&self, address: u64, buffer: &mut [u8]) {
        let start = self.address.max(address);
        let end = self.end().min(address + buffer.len() as u64);
        if start < end {
            let len = index(end - start);
            let (to, from) = (index(start - address), index(start - self.address));
            buffer[to..to + len].copy_from_slice(&self.bytes[from..from + len]);
        }
    }
}

pub fn index(bytes: u64) -> usize {
    usize::try_from(bytes).expect("within what is in memory")
}

/// Fills a buffer from a file, with zeros beyond the end of the file.
pub fn read_padded(disk: &File, mut address: u64, buffer: &mut [u8]) -> io::Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        match disk.read_at(rest, address) {
            Ok(0) => break,
            Ok(n) => {
                address += n as u64;
                rest = &mut rest[n..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    rest.fill(0);
    Ok(())
}

//! The journal of a dead writer.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::format::{
    BLOCK, JournalHeader, LOGGED, PAGE, PendingWrite, RECORD_HEAD, SAVED, index, read_padded,
    record, u32_at, u64_at,
};
use crate::store::raw_file::RawFile;

/// A journal whose writer is dead.
pub struct AbandonedJournal {
    header: JournalHeader,
    saved: Vec<PendingWrite>,
    /// Length of HDF5's file after the last write.
    end: u64,
    /// Whether the base must be restored.
    is_torn: bool,
}

impl AbandonedJournal {
    /// Finds the journal; `None` if the file was closed. No writer may be alive.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn find(disk: &File) -> io::Result<Option<Self>> {
        let Some(header) = find_header(disk)? else {
            return Ok(None);
        };
        let mut left = Self {
            header,
            saved: Vec::new(),
            end: header.base,
            is_torn: false,
        };
        let logs = left.read_records(disk)?;
        left.is_torn = if header.atomic {
            !logs.is_empty()
        } else {
            !fits(disk, &logs)?
        };
        Ok(Some(left))
    }

    /// Returns the length of the base and its saved blocks.
    pub fn into_base(self) -> (u64, Vec<PendingWrite>) {
        (self.header.base, self.saved)
    }

    pub fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// Whether nothing was ever synced, because the file was still being created.
    pub fn was_never_synced(&self) -> bool {
        self.header.base == 0
    }

    /// Removes the journal from the file, and restores the base if the file is torn. Can be repeated if interrupted.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn restore_and_remove(&self, disk: &File) -> io::Result<()> {
        let disk = RawFile(disk.try_clone()?);
        if self.is_torn {
            for write in &self.saved {
                // The last block may end beyond the base.
                let len = self
                    .header
                    .base
                    .saturating_sub(write.address)
                    .min(BLOCK as u64);
                disk.write_all_at(&write.bytes[..index(len)], write.address)?;
            }
            disk.sync()?;
        }
        disk.set_len(if self.is_torn {
            self.header.base
        } else {
            self.end
        })?;
        disk.sync()
    }

    /// Reads the records. Returns the logged pages of each.
    fn read_records(&mut self, disk: &File) -> io::Result<Vec<Vec<PageChecksums>>> {
        let JournalHeader {
            at,
            position,
            generation,
            ..
        } = self.header;
        let mut logs = Vec::new();
        let mut next = at;
        while next + RECORD_HEAD as u64 <= position {
            let mut head = [0; RECORD_HEAD];
            disk.read_exact_at(&mut head, next)?;
            let (kind, len) = (u32_at(&head, 0), u32_at(&head, 4));
            let start = next + RECORD_HEAD as u64;
            if u64_at(&head, 8) != generation || u64::from(len) > position - start {
                break;
            }
            let mut content = vec![0; len as usize];
            disk.read_exact_at(&mut content, start)?;
            if record(kind, generation, &content)[..RECORD_HEAD] != head {
                break;
            }
            match kind {
                SAVED => self
                    .saved
                    .extend(content.chunks_exact(8 + BLOCK).map(|block| PendingWrite {
                        address: u64_at(block, 0).saturating_mul(BLOCK as u64),
                        bytes: block[8..].to_vec(),
                    })),
                LOGGED if len >= 8 => {
                    self.end = u64_at(&content, 0).min(at);
                    let pages = content[8..].chunks_exact(16).map(|page| PageChecksums {
                        page: u64_at(page, 0),
                        before: u32_at(page, 8),
                        after: u32_at(page, 12),
                    });
                    logs.push(pages.collect());
                }
                _ => break,
            }
            next = start + u64::from(len);
        }
        let base = self.header.base;
        self.saved.retain(|write| write.address < base);
        Ok(logs)
    }
}

/// Checksums of a page before and after a write.
#[derive(Clone, Copy)]
struct PageChecksums {
    page: u64,
    before: u32,
    after: u32,
}

/// Finds the header of the valid journal, which is the last one in the file.
fn find_header(disk: &File) -> io::Result<Option<JournalHeader>> {
    let page = PAGE as u64;
    let len = disk.metadata()?.len();
    let Some(last) = (len / page).checked_sub(1).map(|n| n * page) else {
        return Ok(None);
    };
    if let Some(header) = JournalHeader::read(disk, last) {
        return Ok(Some(header));
    }
    // The machine may have died when the journal had been moved, and the new one was not on the disk.
    let mut end = [0; 16];
    read_padded(disk, len.saturating_sub(16), &mut end)?;
    if end != [0; 16] {
        return Ok(None);
    }
    let far = len / 8 + (64 << 20);
    let positions = (last.saturating_sub(far) / page..last / page).rev();
    Ok(positions
        .map(|n| n * page)
        .find_map(|position| JournalHeader::read(disk, position)))
}

/// Whether the file has all writes of the earlier logs, and the last log's up to one of them.
fn fits(disk: &File, logs: &[Vec<PageChecksums>]) -> io::Result<bool> {
    let Some((last, earlier)) = logs.split_last() else {
        return Ok(true);
    };
    let mut known: HashMap<u64, u32> = HashMap::new();
    for logged in earlier.iter().flatten() {
        known.insert(logged.page, logged.after);
    }
    for logged in last.iter().rev() {
        known.insert(logged.page, logged.before);
    }
    let mut found: HashMap<u64, u32> = HashMap::with_capacity(known.len());
    let mut bytes = vec![0; PAGE];
    for &page in known.keys() {
        read_padded(disk, page.saturating_mul(PAGE as u64), &mut bytes)?;
        found.insert(page, crc32fast::hash(&bytes));
    }
    let mut wrong = known
        .iter()
        .filter(|(page, sum)| found[page] != **sum)
        .count();
    if wrong == 0 {
        return Ok(true);
    }
    for logged in last {
        let there = found[&logged.page];
        wrong -= usize::from(there != logged.before);
        wrong += usize::from(there != logged.after);
        if wrong == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

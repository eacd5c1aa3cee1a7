//! A file that is written through a journal.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::abandoned::AbandonedJournal;
use super::format::{
    BLOCK, JournalHeader, LOGGED, PAGE, PendingWrite, RECORD_HEAD, RECORDS, SAVED, index,
    read_padded, record,
};
use crate::store::raw_file::{self, RawFile};

/// Bytes of records at which the file is synced and the journal restarted.
const MOST_RECORDS: u64 = 8 << 20;
/// Bytes that the file can grow before it reaches the journal: at least these, or a sixteenth of the file.
const GAP: u64 = 1 << 20;
/// Bytes of pending writes at which they are written out.
const MOST_PENDING: usize = 16 << 20;

/// Why writing ended.
const OVERWRITTEN: &str = "the file was truncated or overwritten by another program";

/// A file that HDF5 writes through a journal, or reads in the state that a dead writer's journal restores.
pub struct Journaled {
    disk: RawFile,
    /// `None` if the file is only read.
    journal: Option<JournalHeader>,
    /// Bytes of records in the journal.
    used: u64,
    /// Numbers of the base's blocks that are in the journal.
    saved: HashSet<u64>,
    /// HDF5's writes that are not in the file yet, in order.
    pending: Vec<PendingWrite>,
    pending_bytes: usize,
    /// End of what HDF5 has written; `allocated`: end of what it has allocated.
    written: u64,
    allocated: u64,
    /// Whether HDF5 is closing the file.
    closing: bool,
    /// Whether writes are dropped.
    is_forsaken: bool,
    error: Option<io::Error>,
}

impl Journaled {
    /// Starts writing an open file, whose present state is the base. All changes until the first
    /// [`sync`](Self::sync) are one atomic change.
    ///
    /// # Errors
    /// There is no room for the journal, or the file cannot be written.
    pub fn new(disk: File) -> io::Result<Self> {
        let base = disk.metadata()?.len();
        let mut journaled = Self::with_pending(disk, base, Vec::new());
        if base > 0 {
            journaled.disk.sync()?;
        }
        journaled.place_journal(base, RECORDS)?;
        Ok(journaled)
    }

    /// Reads an open file as it was when last synced.
    pub fn view(disk: File, left: AbandonedJournal) -> Self {
        let (base, saved) = left.into_base();
        Self::with_pending(disk, base, saved)
    }

    fn with_pending(disk: File, base: u64, pending: Vec<PendingWrite>) -> Self {
        Self {
            disk: RawFile(disk),
            journal: None,
            used: 0,
            saved: HashSet::new(),
            pending,
            pending_bytes: 0,
            written: base,
            allocated: 0,
            closing: false,
            is_forsaken: false,
            error: None,
        }
    }

    pub fn disk(&self) -> &File {
        &self.disk.0
    }

    /// Length of HDF5's file, in bytes.
    pub fn end(&self) -> u64 {
        self.written.max(self.allocated)
    }

    /// Bytes that HDF5 has written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Bytes that HDF5 has allocated.
    pub fn allocated(&self) -> u64 {
        self.allocated
    }

    /// Sets the end of what HDF5 has allocated.
    pub fn allocate(&mut self, end: u64) {
        self.allocated = end;
    }

    /// Truncates the file to what is allocated. `closing`: HDF5 closes the file next.
    pub fn cut(&mut self, closing: bool) {
        self.written = self.allocated;
        self.closing |= closing;
    }

    pub fn read(&mut self, address: u64, buffer: &mut [u8]) -> io::Result<()> {
        let read = read_padded(&self.disk.0, address, buffer);
        for write in &self.pending {
            write.patch(address, buffer);
        }
        self.keep_error(read)
    }

    pub fn write(&mut self, address: u64, bytes: &[u8]) -> io::Result<()> {
        if self.is_forsaken {
            return Ok(());
        }
        if self.journal.is_none() {
            return self.keep_error(Err(io::ErrorKind::PermissionDenied.into()));
        }
        let write = PendingWrite {
            address,
            bytes: bytes.to_vec(),
        };
        self.written = self.written.max(write.end());
        self.pending.push(write);
        self.pending_bytes += bytes.len();
        if self.pending_bytes > MOST_PENDING {
            return self.drain();
        }
        Ok(())
    }

    /// Writes all pending bytes to the file, the journal first.
    pub fn drain(&mut self) -> io::Result<()> {
        let drained = self.try_drain();
        self.keep_error(drained)
    }

    /// Makes the present state the base, on the disk. Changes from then on are not atomic: under SWMR, the file is
    /// readable after every write.
    pub fn sync(&mut self) -> io::Result<()> {
        let synced = self.try_drain().and_then(|()| self.begin_anew());
        self.keep_error(synced)
    }

    /// Syncs a file that HDF5 has closed, and removes the journal. The removal is not synced: a journal that is still
    /// there matches the file, and restores nothing.
    pub fn close(&mut self) -> io::Result<()> {
        if self.journal.is_none() || !self.closing {
            return Ok(());
        }
        let closed = (self.try_drain())
            .and_then(|()| self.require_ours())
            .and_then(|()| self.disk.sync())
            .and_then(|()| self.disk.set_len(self.end()));
        if closed.is_ok() {
            self.journal = None;
        }
        self.keep_error(closed)
    }

    pub fn is_closed(&self) -> bool {
        self.journal.is_none()
    }

    /// Takes the first error that was returned to HDF5, which does not pass it on.
    pub fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    fn keep_error(&mut self, result: io::Result<()>) -> io::Result<()> {
        result.inspect_err(|error| {
            let copy = match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            };
            self.error.get_or_insert(copy);
        })
    }

    /// Stops writing a file that another program has changed.
    pub fn stop_writing(&mut self) {
        self.journal = None;
        self.is_forsaken = true;
    }

    /// Whether the file is as this writer left it: nobody has truncated it or written over its end.
    pub fn is_ours(&self) -> io::Result<bool> {
        let Some(header) = self.journal else {
            return Ok(true);
        };
        let len = self.disk.0.metadata()?.len();
        let found = JournalHeader::read(&self.disk.0, header.position);
        Ok(len == header.position + PAGE as u64 && found == Some(header))
    }

    /// Every write is preceded by this check: another program's file must not be changed.
    fn require_ours(&self) -> io::Result<()> {
        if self.is_ours()? {
            Ok(())
        } else {
            Err(io::Error::other(OVERWRITTEN))
        }
    }

    /// Moves the journal, if need be, so that the file can grow to `end` bytes.
    ///
    /// # Errors
    /// There is no room.
    pub fn make_room(&mut self, end: u64) -> io::Result<()> {
        match self.journal {
            Some(header) if end > header.at => self.place_journal(end, header.position - header.at),
            _ => Ok(()),
        }
    }

    fn try_drain(&mut self) -> io::Result<()> {
        let Some(header) = self.journal else {
            return Ok(());
        };
        if self.pending.is_empty() {
            return Ok(());
        }
        self.require_ours()?;
        if self.used > MOST_RECORDS && !header.atomic {
            self.begin_anew()?;
        }
        let (saved, content) = self.to_save()?;
        let logged = self.to_log()?;
        let end = self
            .pending
            .iter()
            .map(PendingWrite::end)
            .max()
            .unwrap_or(0);
        let need = (2 * RECORD_HEAD + content.len() + logged.len()) as u64;
        self.make_fit(end.max(self.allocated), need)?;

        let header = self.journal.expect("looked at above");
        let mut records = Vec::with_capacity(index(need));
        if !saved.is_empty() {
            records.extend(record(SAVED, header.generation, &content));
        }
        records.extend(record(LOGGED, header.generation, &logged));
        self.disk.write_all_at(&records, header.at + self.used)?;
        self.used += records.len() as u64;
        if !saved.is_empty() {
            self.disk.sync()?;
            self.saved.extend(saved);
        }
        for write in &self.pending {
            self.disk.write_all_at(&write.bytes, write.address)?;
        }
        self.pending.clear();
        self.pending_bytes = 0;
        Ok(())
    }

    /// Returns the numbers of the base's blocks that pending writes change for the first time, and the content of the
    /// record that saves them.
    fn to_save(&self) -> io::Result<(HashSet<u64>, Vec<u8>)> {
        let base = self.journal.map_or(0, |header| header.base);
        let (mut saved, mut content) = (HashSet::new(), Vec::new());
        for write in &self.pending {
            let blocks = write.address / BLOCK as u64..write.end().min(base).div_ceil(BLOCK as u64);
            for block in blocks {
                if !self.saved.contains(&block) && saved.insert(block) {
                    let mut bytes = [0; BLOCK];
                    read_padded(&self.disk.0, block * BLOCK as u64, &mut bytes)?;
                    content.extend(block.to_le_bytes());
                    content.extend(bytes);
                }
            }
        }
        Ok((saved, content))
    }

    /// Returns the content of the record that logs the pending writes.
    fn to_log(&self) -> io::Result<Vec<u8>> {
        let mut content = self.end().to_le_bytes().to_vec();
        let mut pages: HashMap<u64, (Vec<u8>, u32)> = HashMap::new();
        for write in &self.pending {
            for page in write.address / PAGE as u64..write.end().div_ceil(PAGE as u64) {
                let address = page * PAGE as u64;
                let (bytes, sum) = match pages.entry(page) {
                    Entry::Occupied(entry) => entry.into_mut(),
                    Entry::Vacant(entry) => {
                        let mut bytes = vec![0; PAGE];
                        read_padded(&self.disk.0, address, &mut bytes)?;
                        let sum = crc32fast::hash(&bytes);
                        entry.insert((bytes, sum))
                    }
                };
                let before = *sum;
                write.patch(address, bytes);
                *sum = crc32fast::hash(bytes);
                content.extend(page.to_le_bytes());
                content.extend(before.to_le_bytes());
                content.extend(sum.to_le_bytes());
            }
        }
        Ok(content)
    }

    /// Moves the journal if the file would grow into it, or `need` bytes of records would not fit.
    fn make_fit(&mut self, end: u64, need: u64) -> io::Result<()> {
        let header = self.journal.expect("a file that is written has one");
        let room = header.position - header.at;
        if end <= header.at && self.used + need <= room {
            return Ok(());
        }
        self.place_journal(end, (self.used + need).saturating_mul(2).max(room))
    }

    /// Places the journal beyond `end` and beyond its present place, with `room` bytes for records.
    fn place_journal(&mut self, end: u64, room: u64) -> io::Result<()> {
        self.require_ours()?;
        let page = PAGE as u64;
        let old = self.journal;
        let generous = GAP.max(end / 16);
        let behind = old.map_or(0, |header| header.position + page);
        let room = room.next_multiple_of(page);
        let try_at = |gap: u64| -> io::Result<u64> {
            let at = end.saturating_add(gap).next_multiple_of(page).max(behind);
            // Growing beyond it would end the program with a signal.
            let limit = rustix::process::getrlimit(rustix::process::Resource::Fsize).current;
            if limit.is_some_and(|limit| limit < at + room + page) {
                return Err(rustix::io::Errno::FBIG.into());
            }
            reserve(&self.disk.0, at, room + page)?;
            Ok(at)
        };
        let at = try_at(generous).or_else(|_| try_at(page))?;
        let header = JournalHeader {
            position: at + room,
            at,
            generation: old.map_or_else(first_generation, |header| header.generation),
            base: old.map_or(self.written, |header| header.base),
            atomic: old.is_none_or(|header| header.atomic),
        };
        if let Some(old) = old {
            // Until the header is there, the file ends in zeros, by which it is known that another is to be looked for.
            self.disk.set_len(header.position + page)?;
            let mut records = vec![0; index(self.used)];
            self.disk.0.read_exact_at(&mut records, old.at)?;
            self.disk.write_all_at(&records, at)?;
        }
        let mut last = [0; PAGE];
        last[..JournalHeader::LEN].copy_from_slice(&header.to_bytes());
        self.disk.write_all_at(&last, header.position)?;
        if header.base > 0 {
            self.disk.sync()?;
        }
        if let Some(old) = old {
            self.disk
                .write_all_at(&[0; JournalHeader::LEN], old.position)?;
        }
        self.journal = Some(header);
        Ok(())
    }

    /// Syncs the file and forgets all records.
    fn begin_anew(&mut self) -> io::Result<()> {
        self.require_ours()?;
        let Some(header) = &mut self.journal else {
            return self.disk.sync();
        };
        // Of a file that is being created nothing is lost if this comes apart.
        if header.base > 0 {
            self.disk.sync()?;
        }
        header.base = self.written.max(self.allocated).min(header.at);
        header.generation = header.generation.wrapping_add(1);
        header.atomic = false;
        self.disk
            .write_all_at(&header.to_bytes(), header.position)?;
        self.disk.sync()?;
        self.used = 0;
        self.saved.clear();
        Ok(())
    }
}

/// Returns a number that no earlier journal of the file has.
fn first_generation() -> u64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed();
    now.map_or(1, |now| u64::try_from(now.as_nanos()).unwrap_or(1))
}

/// Reserves space on the disk, if the file system can.
fn reserve(disk: &File, from: u64, bytes: u64) -> io::Result<()> {
    use rustix::io::Errno;
    match raw_file::reserve(disk, from, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

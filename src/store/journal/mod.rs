//! The rollback journal of a run file that is being written, at the file's own end.
//!
//! HDF5 changes headers and indices in place. If the machine dies meanwhile, the file has a mixture of old and new
//! pages; if a repair is killed, the file has half of a change. So no byte of the file is overwritten before its
//! old content is on the disk, in this journal:
//!
//! ```text
//! 0 ─ HDF5's file ─ end ┄ gap ┄ at ─ records ─┄┄ position ─ header ─ end of the file
//! ```
//!
//! - The *base* is the file as last synced. A block of it is saved before it is first changed, and the file is synced
//!   in between. Restoring the blocks and truncating the file to its old length gives back the base, bit for bit,
//!   whichever of the later writes have reached the disk.
//! - Every write is logged in advance, with the checksum of each page before and after it. This tells a killed program
//!   from a dead machine: if the pages match the log up to some write, the system has kept all that it was given,
//!   so the program was killed, and nothing is restored. Otherwise the machine died.
//! - An *atomic* change (a repair, or opening a file) is undone whenever its journal is found.
//!
//! A closed file has no journal. A journal that is too small, or in the way of the growing file, is copied further
//! back; the old one is valid until the copy is synced.
//!
//! This is the rollback journal of databases (<https://www.sqlite.org/atomiccommit.html>).

mod abandoned;
mod format;
mod writer;

pub use abandoned::AbandonedJournal;
pub use format::LEAST;
pub use writer::Journaled;

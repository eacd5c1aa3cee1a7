//! The rollback journal of a run file that is being written, at the file's own end.
//!
//! HDF5 changes headers and indices in place. A machine that dies while it does so leaves pages of several
//! moments, and a program that is killed while it repairs a file leaves half of a change. So no byte of the file
//! is overwritten before its old content is on the disk, in this journal:
//!
//! ```text
//! 0 ─ HDF5's file ─ end ┄ gap ┄ at ─ records ─┄┄ position ─ header ─ end of the file
//! ```
//!
//! - The *base* is the file as it was last synced. Blocks of it that are about to be changed are saved, once each;
//!   the file is synced; only then are they changed. Putting them back, and cutting what came after, gives the
//!   base back, bit for bit, whatever part of the later writes has reached the disk.
//! - Every write is also logged beforehand, with the checksum of each page before and after it. So whoever finds
//!   the journal of a dead writer can tell what happened: if the pages are those after some number of
//!   writes, the system has kept all that it was given, as it does when a program is killed, and nothing
//!   is put back. If they are not, the machine died.
//! - In an *atomic* change (a repair, the opening of a file) the base is put back whenever the journal is found.
//!
//! A file that was closed has no journal. A journal that has become too small, or is in the way of the growing file,
//! is copied further back; until the copy is synced, the old one counts.
//!
//! This is the rollback journal of databases (<https://www.sqlite.org/atomiccommit.html>).

mod format;
mod left;
mod writer;

pub use format::LEAST;
pub use left::Left;
pub use writer::Journaled;

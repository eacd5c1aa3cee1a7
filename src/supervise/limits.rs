//! Limits of a process that reads a file which may be damaged.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal};

/// Set in the environment of a command that runs guarded, to the seconds that it may stand still: [`STILL`], or fewer in
/// tests.
pub(super) const GUARDED: &str = "LCASCOPE_GUARDED";

/// The memory that a reading process may take beyond what it has at its start, in bytes. Steps are read in blocks, so
/// files of any length fit.
const MEMORY: u64 = 4 << 30;

/// The processor time, in seconds, of a command that reads a file and ends, and the bytes for which it gets one more
/// second: a damaged file may lead the library in a circle.
const SECONDS: u64 = 10;
const BYTES_A_SECOND: u64 = 10 << 20;

/// Seconds in which no thread is scheduled, after which a reading process gives up.
pub(super) const STILL: &str = "30";

/// The factor by which a command that also processes what it reads may take longer from one sign of life
/// ([`ReadTimeout`]) to the next.
pub(super) const WRITING: u64 = 20;

/// Limits the memory of this process and, if it only reads a file and ends, its processor time and how long it may
/// stall. Makes it end with its parent.
pub(super) fn limit(once: Option<(u64, u64)>) {
    // On a system without these limits, read without them.
    let _ = set_limits(once);
}

/// `once`: the number of bytes to read, and the factor of patience.
fn set_limits(once: Option<(u64, u64)>) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none)?;
    let before = rustix::process::getrlimit(Resource::As);
    let wanted = memory_now().saturating_add(MEMORY);
    let bounded = Rlimit {
        current: Some(before.current.map_or(wanted, |current| current.min(wanted))),
        maximum: before.maximum,
    };
    rustix::process::setrlimit(Resource::As, bounded)?;
    if let Some((size, patience)) = once {
        let seconds = (SECONDS + size / BYTES_A_SECOND).saturating_mul(patience);
        bound_time(|_| Some(seconds))?;
        watch();
    }
    Ok(())
}

/// Whether this process ends itself when it stalls.
static WATCHED: AtomicBool = AtomicBool::new(false);

/// Ends this process if it waits, without using processor time, for something that never comes: a pipe that a file
/// leads to, a disk that is gone. However slow a disk is, its reader wakes for every piece.
fn watch() {
    let bound = std::env::var(GUARDED).ok();
    let Some(bound) = bound.and_then(|seconds| seconds.parse::<u32>().ok()) else {
        return;
    };
    WATCHED.store(true, Ordering::Relaxed);
    let until_still = move || {
        let (mut before, mut still) = (turns(), 0);
        while WATCHED.load(Ordering::Relaxed) && before.is_some() {
            // Counted, not timed: a process may be stopped and continued.
            thread::sleep(Duration::from_secs(1));
            let now = turns();
            still = if now == before { still + 1 } else { 0 };
            before = now;
            if still >= bound && WATCHED.load(Ordering::Relaxed) {
                let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::ALARM);
            }
        }
    };
    // Without a thread, only processor time is limited.
    let _ = thread::Builder::new()
        .name("watch".to_owned())
        .spawn(until_still);
}

/// The number of times that the other threads of this process were scheduled, if the system reports it.
fn turns() -> Option<u64> {
    let own = std::fs::read_link("/proc/thread-self").ok()?;
    let mut turns = 0_u64;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let task = task.ok()?;
        if own.file_name() == Some(&task.file_name()) {
            continue;
        }
        // Nanoseconds running, nanoseconds waiting, and the number of time slices.
        let line = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let count: u64 = line.trim_end().rsplit(' ').next()?.parse().ok()?;
        turns = turns.wrapping_add(count);
    }
    (turns > 0).then_some(turns)
}

/// Changes this process's limit on processor time, in seconds.
fn bound_time(change: impl Fn(Option<u64>) -> Option<u64>) -> io::Result<()> {
    let before = rustix::process::getrlimit(Resource::Cpu);
    let bounded = Rlimit {
        current: change(before.current),
        maximum: before.maximum,
    };
    Ok(rustix::process::setrlimit(Resource::Cpu, bounded)?)
}

/// The patience with a command that reads a file in this process. It is renewed whenever a part of the file has been
/// read: a long file may take long, but a read that never returns may not.
pub struct ReadTimeout(Cell<Instant>);

impl Default for ReadTimeout {
    fn default() -> Self {
        Self::new()
    }
}

impl ReadTimeout {
    #[must_use]
    pub fn new() -> Self {
        Self(Cell::new(Instant::now()))
    }

    /// Records that something has been read.
    pub fn renew(&self) {
        let gone = self.0.get().elapsed().as_secs();
        // Only one thread reads, so it cannot have used more processor time than has passed.
        if gone > 0 && is_guarded() {
            self.0.set(Instant::now());
            let _ = bound_time(|seconds| Some(seconds?.saturating_add(gone + 1)));
        }
    }
}

/// The limits of a process that reads many files: its memory, and its processor time for each file.
pub(super) struct FileLimits(Instant);

impl FileLimits {
    /// Limits the memory of this process, and makes it end with its parent.
    pub fn new() -> Self {
        limit(None);
        Self(Instant::now())
    }

    /// Allows the time for another file.
    pub fn next_file(&self) {
        // Only one thread reads, so it cannot have used more processor time than has passed.
        let used = self.0.elapsed().as_secs();
        let _ = bound_time(|_| Some(used + SECONDS));
    }
}

/// Lifts the limits of this process once it has read everything: the rest may take any time and memory.
pub fn unbounded() {
    if is_guarded() {
        WATCHED.store(false, Ordering::Relaxed);
        let _ = bound_time(|_| None);
        let before = rustix::process::getrlimit(Resource::As);
        let free = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        let _ = rustix::process::setrlimit(Resource::As, free);
    }
}

pub(super) fn is_guarded() -> bool {
    std::env::var_os(GUARDED).is_some()
}

/// The address space of this process in bytes: libraries alone may be large.
fn memory_now() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split(' ').next().and_then(|n| n.parse().ok());
    pages
        .unwrap_or(0)
        .saturating_mul(rustix::param::page_size() as u64)
}

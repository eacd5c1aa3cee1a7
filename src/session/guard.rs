//! Reads files that may be damaged in a sandbox: a child process.
//!
//! The HDF5 library may crash on a damaged file, or allocate any amount of memory. Such files are therefore read in a
//! child: this program again, with limited memory, which ends with its parent.

use std::cell::Cell;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, Signal};
use serde::de::DeserializeOwned;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use super::Failure;
use super::standing::Standing;
use crate::feed::{self, OpenError, Opened};
use crate::store::{self, RecordedWeights, StoreError};
use crate::text::harmless;

/// Set in the environment of a command that runs guarded, to the seconds that it may stand still: [`STILL`], or fewer in
/// tests.
const GUARDED: &str = "LCASCOPE_GUARDED";

/// The memory that a reading process may take beyond what it has at its start, in bytes. Steps are read in blocks, so
/// files of any length fit.
const MEMORY: u64 = 4 << 30;

/// The processor time, in seconds, of a command that reads a file and ends, and the bytes for which it gets one more
/// second: a damaged file may lead the library in a circle.
const SECONDS: u64 = 10;
const BYTES_A_SECOND: u64 = 10 << 20;

/// Seconds in which no thread is scheduled, after which a reading process gives up.
const STILL: &str = "30";

/// The factor by which a command that also processes what it reads may take longer from one sign of life ([`Patience`])
/// to the next.
const WRITING: u64 = 20;

/// Runs a command that reads `path` in a child with our arguments, input and output.
///
/// # Errors
/// The command's own, or it crashed.
pub fn guarded(
    path: &Path,
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_child(&[path], 1, command)
}

/// Runs a command in a child as [`guarded`] does, if it reads for as long as there is something to read and then
/// writes: it renews its [`Patience`].
///
/// # Errors
/// The command's own, or it crashed.
pub fn guarded_writing(
    path: &Path,
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_child(&[path], WRITING, command)
}

/// Runs a command in a child as [`guarded_writing`] does, if it reads several files.
///
/// # Errors
/// The command's own, or it crashed.
pub fn guarded_reading(
    paths: &[PathBuf],
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_child(paths, WRITING, command)
}

/// Runs the command `name` on each file, in a child of its own, below a heading if there are several. If a file cannot
/// be read, the others still are; the exit code is the worst.
///
/// # Errors
/// The only file's, or standard output cannot be written.
pub fn guarded_each(
    name: &str,
    paths: &[PathBuf],
    command: impl FnOnce(&Path) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    if let [path] = paths {
        return in_child(&[path], 1, || command(path));
    }
    let mut worst = 0;
    for (index, path) in paths.iter().enumerate() {
        let gap = if index == 0 { "" } else { "\n" };
        let shown = harmless(&path.to_string_lossy());
        super::print(format!("{gap}==> {shown} <==\n").as_bytes())?;
        let code = match in_own_child(
            &[path],
            [OsStr::new(name), OsStr::new("--"), path.as_os_str()],
        ) {
            Ok(Ended::With(code)) => code,
            Ok(Ended::Asked(signal)) => return Ok(super::screen::signal_code(signal)),
            Err(failure) => {
                super::tell(&format!("error: {failure}"));
                failure.exit_code()
            }
        };
        worst = worst.max(code);
    }
    Ok(ExitCode::from(worst))
}

fn in_child(
    paths: &[impl AsRef<Path>],
    patience: u64,
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    if is_guarded() {
        let sizes = paths.iter().map(|path| size(path.as_ref()));
        limit(Some((sizes.fold(0, u64::saturating_add), patience)));
        return command();
    }
    Ok(match in_own_child(paths, std::env::args_os().skip(1))? {
        Ended::With(code) => ExitCode::from(code),
        Ended::Asked(signal) => super::screen::signal_code(signal),
    })
}

/// How a child ended that did not crash.
enum Ended {
    With(u8),
    /// By a signal that asked it to end.
    Asked(i32),
}

/// Runs this program with other arguments in a child with our input and output.
fn in_own_child(
    paths: &[impl AsRef<Path>],
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<Ended, Failure> {
    if let Some(what) = paths.iter().find_map(|path| odd(path.as_ref())) {
        return Err(Failure::Other(what));
    }
    let output = this_program()
        .args(arguments)
        .env(GUARDED, STILL)
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        // Held back until the end: the output of a crashing library is useless.
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|error| Failure::Other(format!("cannot start a process to read with: {error}")))?;
    match output.status.code() {
        Some(PANICKED) | None => {}
        Some(code) => {
            let _ = io::stderr().write_all(&output.stderr);
            return Ok(Ended::With(u8::try_from(code).unwrap_or(1)));
        }
    }
    if let Some(signal @ (SIGINT | SIGTERM | SIGUSR1 | SIGUSR2)) = output.status.signal() {
        // Asked to end; not a crash.
        return Ok(Ended::Asked(signal));
    }
    let names = paths.iter().map(|path| path.as_ref().display().to_string());
    let names: Vec<String> = names.collect();
    Err(crashed(&names.join(" or "), output.status))
}

/// The exit code of a Rust program that has panicked.
const PANICKED: i32 = 101;

fn crashed(files: &str, status: ExitStatus) -> Failure {
    Failure::Other(format!("{files}: {}", feed::crash(status)))
}

/// The size of a file in bytes.
fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Limits the memory of this process and, if it only reads a file and ends, its processor time and how long it may
/// stall. Makes it end with its parent.
fn limit(once: Option<(u64, u64)>) {
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

/// How often the other threads of this process have been scheduled, if the system reports it.
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
pub struct Patience(Cell<Instant>);

impl Patience {
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

fn is_guarded() -> bool {
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

/// A command that runs this program again.
pub fn this_program() -> Command {
    ourselves(std::env::args_os().next().unwrap_or_default())
}

fn ourselves(name: OsString) -> Command {
    // Stays valid when the program's file is replaced by a newer one.
    let this = PathBuf::from("/proc/self/exe");
    let program = match this.exists() {
        true => this,
        false => std::env::current_exe().unwrap_or(PathBuf::from(&name)),
    };
    let mut command = Command::new(program);
    command.arg0(name);
    command
}

/// The command that reads a file for another process.
pub fn reader(path: &Path) -> Command {
    reading(path, &[])
}

/// The command that reads only the requested details of a file.
pub fn detail_reader(path: &Path) -> Command {
    reading(path, &["--details"])
}

fn reading(path: &Path, flags: &[&str]) -> Command {
    let mut command = this_program();
    // Signals from keys do not reach the child directly; it ends with its parent.
    command.process_group(0);
    command.arg("reader").args(flags).arg("--").arg(path);
    command
}

/// Why a path is not a readable file; opening a pipe, for example, would wait for its other end.
pub fn odd(path: &Path) -> Option<String> {
    let there = std::fs::metadata(path).ok()?;
    let odd = !there.is_file() && !there.is_dir();
    odd.then(|| format!("{}: is not a regular file", path.display()))
}

/// A question that a child answers about a file.
#[derive(Clone, Copy)]
enum Question {
    /// The status of the run in it.
    Standing,
    /// Whether everything that resuming reads in this process is readable.
    Run,
    /// Whether weights to follow are readable.
    Weights,
}

impl Question {
    const ALL: [Self; 3] = [Self::Standing, Self::Run, Self::Weights];

    fn word(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Run => "run",
            Self::Weights => "weights",
        }
    }

    fn ask<T: DeserializeOwned>(self, path: &Path) -> Result<T, OpenError> {
        if let Some(what) = odd(path) {
            return Err(OpenError::Refused(what));
        }
        let mut reader = reading(path, &["--answer", self.word()]);
        reader.env(GUARDED, STILL);
        feed::answer(reader, path)
    }
}

/// Reads the status of the run in a file, in a child.
///
/// # Errors
/// The file is not a run, or is too damaged to be read.
pub fn standing(path: &Path) -> Result<Standing, OpenError> {
    Question::Standing.ask(path)
}

/// Reads in a child everything that this process is going to read of a run.
///
/// # Errors
/// The file is not a run, or is too damaged to be read.
pub fn look_through(path: &Path) -> Result<(), OpenError> {
    Question::Run.ask(path)
}

/// Reads in a child all weights that this process is going to follow.
///
/// # Errors
/// There are none, or they are too damaged to be read.
pub fn look_through_weights(path: &Path) -> Result<(), OpenError> {
    Question::Weights.ask(path)
}

/// Reads the header and state of a run file in a child.
///
/// # Errors
/// The file is not a run, or is too damaged to be read.
pub fn peek(path: &Path) -> Result<Opened, OpenError> {
    if let Some(what) = odd(path) {
        return Err(OpenError::Refused(what));
    }
    let mut reader = reader(path);
    reader.env(GUARDED, STILL);
    feed::peek(reader, path)
}

/// `lcascope reader`: reads a file for the process that started this one.
///
/// # Errors
/// The other process no longer listens.
pub fn serve(path: &Path, details: bool, answer: Option<&str>) -> Result<ExitCode, Failure> {
    limit(is_guarded().then_some((size(path), 1)));
    if let Some(word) = answer {
        let named = Question::ALL.into_iter().find(|it| it.word() == word);
        let question = named.ok_or_else(|| Failure::Other(format!("no question {word}")))?;
        return served(reply(question, path));
    }
    if details {
        return served(feed::serve_details(path, io::stdin(), io::stdout()));
    }
    // The library may be stuck, so only this is certain to end the process.
    let leave = || {
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    };
    served(feed::serve(path, io::stdin(), io::stdout(), leave))
}

fn reply(question: Question, path: &Path) -> io::Result<()> {
    let patience = Patience::new();
    let renew = || patience.renew();
    let words = |error: StoreError| error.to_string();
    match question {
        Question::Standing => feed::reply(&Standing::read(path).map_err(words), io::stdout()),
        Question::Run => feed::reply(
            &store::look_through(path, &renew).map_err(words),
            io::stdout(),
        ),
        Question::Weights => {
            let looked = RecordedWeights::look_through(path, &renew);
            feed::reply(&looked.map_err(words), io::stdout())
        }
    }
}

fn served(result: io::Result<()>) -> Result<ExitCode, Failure> {
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Other(format!("standard output: {error}"))),
    }
}

//! Reading files that may be damaged, in a process of its own.
//!
//! The HDF5 library may crash on a damaged file, and ask for any amount of memory. What reads one
//! therefore runs in a child: this program once more, with bounded memory, which ends with its parent.

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use rustix::process::{Resource, Rlimit, Signal};

use super::Failure;
use crate::feed::{self, OpenError, Opened};

/// Set in the environment of a command that runs guarded.
const GUARDED: &str = "LCASCOPE_GUARDED";

/// What a process that reads a file may take beyond what it has when it starts. Steps are read in
/// blocks, so that files of any length fit.
const MEMORY: u64 = 4 << 30;

/// Seconds of processor time that a command which reads a file and ends may take, and bytes that it may
/// take a second more for: a damaged file may lead the library round in a circle.
const SECONDS: u64 = 10;
const BYTES_A_SECOND: u64 = 10 << 20;

/// How much longer a command may take that also writes what it has read in another form.
const WRITING: u64 = 20;

/// Runs a command that reads `path` in a child that has our arguments, input and output.
///
/// # Errors
/// The command's own, or that it has crashed.
pub fn guarded(
    path: &Path,
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_child(&[path], 1, command)
}

/// The same for a command that writes as much as it reads.
///
/// # Errors
/// The command's own, or that it has crashed.
pub fn guarded_writing(
    path: &Path,
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_child(&[path], WRITING, command)
}

/// The same for a command that reads several files.
///
/// # Errors
/// The command's own, or that it has crashed.
pub fn guarded_reading(
    paths: &[PathBuf],
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_child(paths, WRITING, command)
}

fn in_child(
    paths: &[impl AsRef<Path>],
    patience: u64,
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    if std::env::var_os(GUARDED).is_some() {
        let sizes = paths.iter().map(|path| size(path.as_ref()));
        limit(Some((sizes.fold(0, u64::saturating_add), patience)));
        return command();
    }
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let output = ourselves(name)
        .args(arguments)
        .env(GUARDED, "1")
        .stdin(Stdio::inherit())
        .stdout(Stdio::inherit())
        // Kept until its end: a library that crashes prints what nobody can use.
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|error| Failure::Other(format!("cannot start a process to read with: {error}")))?;
    match output.status.code() {
        Some(PANICKED) | None => {}
        Some(code) => {
            let _ = io::stderr().write_all(&output.stderr);
            return Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)));
        }
    }
    if let Some(signal @ (2 | 15)) = output.status.signal() {
        // Asked to end, not crashed.
        return Ok(super::screen::signal_code(signal));
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

/// Bytes of a file.
fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Bounds the memory that this process may take and, if it is only to read what is in a file, its time;
/// and has it end with its parent.
fn limit(once: Option<(u64, u64)>) {
    // What has no such limits is read without.
    let _ = set_limits(once);
}

/// `once`: bytes that are read, and how patient to be.
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
        let bounded = Rlimit {
            current: Some(seconds),
            maximum: Some(seconds + 5),
        };
        rustix::process::setrlimit(Resource::Cpu, bounded)?;
    }
    Ok(())
}

/// Bytes of address space that this process has: libraries alone may be large.
fn memory_now() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split(' ').next().and_then(|n| n.parse().ok());
    pages
        .unwrap_or(0)
        .saturating_mul(rustix::param::page_size() as u64)
}

/// This program, as a command.
pub(super) fn ourselves(name: OsString) -> Command {
    // Still there when the file has been replaced by a newer one.
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

/// The command that reads of a file only what it is asked for.
pub fn detail_reader(path: &Path) -> Command {
    reading(path, &["--details"])
}

fn reading(path: &Path, flags: &[&str]) -> Command {
    let name = std::env::args_os().next().unwrap_or_default();
    let mut command = ourselves(name);
    // Keys that end this process reach that one by its parent's end.
    command.process_group(0);
    command.arg("reader").args(flags).arg("--").arg(path);
    command
}

/// Looks into a run file from a distance.
///
/// # Errors
/// It is no run, or too damaged to look into.
pub fn peek(path: &Path) -> Result<Opened, OpenError> {
    let mut reader = reader(path);
    reader.env(GUARDED, "1");
    feed::peek(reader, path)
}

/// `lcascope reader`: reads a file for the process that has started this one.
///
/// # Errors
/// Nobody listens.
pub fn serve(path: &Path, details: bool) -> Result<ExitCode, Failure> {
    let once = std::env::var_os(GUARDED).is_some();
    limit(once.then_some((size(path), 1)));
    if details {
        return served(feed::serve_details(path, io::stdin(), io::stdout()));
    }
    // The library may be stuck, so that nothing but this ends the process for certain.
    let leave = || {
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    };
    served(feed::serve(path, io::stdin(), io::stdout(), leave))
}

fn served(result: io::Result<()>) -> Result<ExitCode, Failure> {
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Other(format!("standard output: {error}"))),
    }
}

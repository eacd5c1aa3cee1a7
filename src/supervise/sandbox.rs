//! Reads files that may be damaged in a sandbox: a child process.
//!
//! The HDF5 library may crash on a damaged file, or allocate any amount of memory. Such files are therefore read in a
//! child: this program again, with limited memory, which ends with its parent.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use super::exit::signal_code;
use super::export::ExportRequest;
use super::failure::Failure;
use super::limits::{FileLimits, GUARDED, ReadTimeout, STILL, WRITING, is_guarded, limit};
use super::print::print;
use super::print::print_message;
use super::remote::{self, RemoteRun};
use crate::feed::{self, OpenError, OpenedRun, Service};
use crate::runs::{RunFacts, RunStatus};
use crate::store::{self, RecordedWeights, RunReader, StoreError};
use crate::text::harmless;

/// Runs a command that reads `path` in a child with our arguments, input and output.
///
/// # Errors
/// The command's own, or it crashed.
pub fn run_in_child(
    path: &Path,
    command: impl FnOnce() -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    in_child(&[path], 1, command)
}

/// Runs a command in a child as [`run_in_child`] does, if it reads for as long as there is something to read and then
/// writes: it renews its [`ReadTimeout`].
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
/// be read, the others still are; the exit code is the worst. With `json`, there are no headings, and a file that cannot
/// be read has a line too.
///
/// # Errors
/// The only file's, or standard output cannot be written.
pub fn guarded_each(
    name: &str,
    paths: &[PathBuf],
    json: bool,
    command: impl FnOnce(&Path) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    if let [path] = paths {
        let read = || in_child(&[path], 1, || command(path));
        return remote::elsewhere(path).unwrap_or_else(|| {
            read().inspect_err(|error| {
                if json {
                    print_error_in_json(path, error);
                }
            })
        });
    }
    let flags = if json { &["--json"][..] } else { &[] };
    let mut worst = 0;
    for (index, path) in paths.iter().enumerate() {
        if !json {
            let gap = if index == 0 { "" } else { "\n" };
            let shown = harmless(&path.to_string_lossy());
            print(format!("{gap}==> {shown} <==\n").as_bytes())?;
        }
        let words = [name].into_iter().chain(flags.iter().copied());
        let arguments = words.chain(["--"]).map(OsStr::new);
        let code = match in_own_child(&[path], arguments.chain([path.as_os_str()])) {
            Ok(ChildEnd::With(code)) => code,
            Ok(ChildEnd::Asked(signal)) => return Ok(signal_code(signal)),
            Err(failure) => {
                print_message(&format!("error: {failure}"));
                if json {
                    print_error_in_json(path, &failure);
                }
                failure.exit_code()
            }
        };
        worst = worst.max(code);
    }
    Ok(ExitCode::from(worst))
}

/// Prints the line of a file that cannot be read.
fn print_error_in_json(path: &Path, error: &Failure) {
    let line = json!({
        "schema": 1,
        "file": path.display().to_string(),
        "error": error.to_string(),
    });
    // The exit code says it too.
    let _ = print(format!("{line}\n").as_bytes());
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
        ChildEnd::With(code) => ExitCode::from(code),
        ChildEnd::Asked(signal) => signal_code(signal),
    })
}

/// The end of a child that did not crash.
enum ChildEnd {
    With(u8),
    /// By a signal that asked it to end.
    Asked(i32),
}

/// Runs this program with other arguments in a child with our input and output.
fn in_own_child(
    paths: &[impl AsRef<Path>],
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<ChildEnd, Failure> {
    if let Some(what) = paths.iter().find_map(|path| why_unreadable(path.as_ref())) {
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
        .map_err(|error| Failure::Other(format!("cannot start a reader process: {error}")))?;
    match output.status.code() {
        Some(PANICKED) | None => {}
        Some(code) => {
            let _ = io::stderr().write_all(&output.stderr);
            return Ok(ChildEnd::With(u8::try_from(code).unwrap_or(1)));
        }
    }
    if let Some(signal @ (SIGINT | SIGTERM | SIGUSR1 | SIGUSR2)) = output.status.signal() {
        // Asked to end; not a crash.
        return Ok(ChildEnd::Asked(signal));
    }
    let names = paths.iter().map(|path| path.as_ref().display().to_string());
    let names: Vec<String> = names.collect();
    Err(crashed(&names.join(" or "), output.status))
}

/// The time for a last order to reach the training.
const LAST_ORDER: Duration = Duration::from_secs(1);

/// The exit code of a Rust program that has panicked.
const PANICKED: i32 = 101;

fn crashed(files: &str, status: ExitStatus) -> Failure {
    Failure::Other(format!("{files}: {}", feed::describe_crash(status)))
}

/// The size of a file in bytes.
fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

/// A command that runs this program again.
#[must_use]
pub fn this_program() -> Command {
    this_program_as(std::env::args_os().next().unwrap_or_default())
}

fn this_program_as(name: OsString) -> Command {
    // Stays valid when the program's file is replaced by a newer one.
    let this = PathBuf::from("/proc/self/exe");
    let program = if this.exists() {
        this
    } else {
        std::env::current_exe().unwrap_or(PathBuf::from(&name))
    };
    let mut command = Command::new(program);
    command.arg0(name);
    command
}

/// The command that reads a file for another process.
#[must_use]
pub fn reader(path: &Path) -> Command {
    reader_command(path, &[])
}

/// The command that reads the facts of many runs.
#[must_use]
pub fn facts_reader() -> Command {
    let mut command = this_program();
    command.process_group(0).args(["reader", "--many"]);
    command
}

/// The command that reads only the requested details of a file.
#[must_use]
pub fn detail_reader(path: &Path) -> Command {
    reader_command(path, &["--details"])
}

fn reader_command(path: &Path, flags: &[&str]) -> Command {
    let mut command = this_program();
    // Signals from keys do not reach the child directly; it ends with its parent.
    command.process_group(0);
    command.arg("reader").args(flags).arg("--").arg(path);
    command
}

/// Why a path is not a readable file; opening a pipe, for example, would wait for its other end.
#[must_use]
pub fn why_unreadable(path: &Path) -> Option<String> {
    let there = std::fs::metadata(path).ok()?;
    let odd = !there.is_file() && !there.is_dir();
    odd.then(|| format!("{} is not a regular file", path.display()))
}

/// A question that a child answers about a file.
#[derive(Serialize, Deserialize)]
enum Question {
    /// The status of the run in it.
    Status,
    /// Whether everything that resuming reads in this process is readable.
    Run,
    /// Whether weights to follow are readable.
    Weights,
    /// A view of the run in it.
    Export(ExportRequest),
}

fn ask<T: DeserializeOwned>(path: &Path, question: &Question) -> Result<T, OpenError> {
    if let Some(what) = why_unreadable(path) {
        return Err(OpenError::Refused(what));
    }
    let mut reader = reader_command(path, &["--answer"]);
    reader.env(GUARDED, STILL);
    feed::ask_once(reader, path, question)
}

/// Reads the status of the run in a file, in a child.
///
/// # Errors
/// The file is not a run, or is too damaged to be read.
pub fn status(path: &Path) -> Result<RunStatus, Failure> {
    Ok(ask(path, &Question::Status)?)
}

/// Reads in a child everything that this process is going to read of a run.
///
/// # Errors
/// The file is not a run, or is too damaged to be read.
pub fn read_through(path: &Path) -> Result<(), OpenError> {
    ask(path, &Question::Run)
}

/// Reads in a child all weights that this process is going to follow.
///
/// # Errors
/// There are none, or they are too damaged to be read.
pub fn read_through_weights(path: &Path) -> Result<(), OpenError> {
    ask(path, &Question::Weights)
}

/// Makes a view of a run in a child, here or on the machine with the file; returns its content if that is not written
/// to a file.
///
/// # Errors
/// [`ExportRequest::run`]'s, or the file is too damaged to be read.
pub fn export(
    path: &Path,
    there: Option<&RemoteRun>,
    request: ExportRequest,
) -> Result<Vec<u8>, OpenError> {
    let question = Question::Export(request);
    match there {
        Some(run) => run.ask(&question),
        None => ask(path, &question),
    }
}

/// Reads the header and state of a run file in a child.
///
/// # Errors
/// The file is not a run, or is too damaged to be read.
pub fn peek(path: &Path) -> Result<OpenedRun, OpenError> {
    if let Some(what) = why_unreadable(path) {
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
pub fn serve(path: &Path, service: Service) -> Result<ExitCode, Failure> {
    limit(is_guarded().then_some((size(path), 1)));
    // The library may be stuck, so only this is certain to end the process.
    let leave = move || {
        if matches!(service, Service::Remote { .. }) {
            // The last order may still be on its way to the training.
            thread::sleep(LAST_ORDER);
        }
        let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
    };
    exit_code_of(feed::serve(path, service, io::stdin(), io::stdout(), leave))
}

/// Reads a file for another machine, in a child with our input and output, after this many steps.
///
/// # Errors
/// The child crashed on the file.
pub fn read_for_remote(path: &Path, from: u64) -> Result<ExitCode, Failure> {
    if let Some(what) = why_unreadable(path) {
        let refused = feed::refuse(&mut io::stdout(), what);
        return exit_code_of(refused);
    }
    let mut reader = reader_command(path, &["--from", &from.to_string()]);
    let output = reader
        .stderr(Stdio::piped())
        .spawn()
        .and_then(std::process::Child::wait_with_output)
        .map_err(|error| Failure::Other(format!("cannot start a reader process: {error}")))?;
    match output.status.code() {
        Some(code) if code != PANICKED => {
            let _ = io::stderr().write_all(&output.stderr);
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        _ => Err(crashed(&path.display().to_string(), output.status)),
    }
}

/// Answers a question of another machine about a file, in a child with our input and output.
///
/// # Errors
/// The child crashed on the file.
pub fn answer_for_remote(path: &Path) -> Result<ExitCode, Failure> {
    if let Some(what) = why_unreadable(path) {
        return Err(Failure::Other(what));
    }
    let mut reader = reader_command(path, &["--answer"]);
    let status = reader.env(GUARDED, STILL).status();
    let status = status
        .map_err(|error| Failure::Other(format!("cannot start a reader process: {error}")))?;
    match status.code() {
        Some(code) if code != PANICKED => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        _ => Err(crashed(&path.display().to_string(), status)),
    }
}

/// `lcascope reader --answer`: answers the question on standard input.
///
/// # Errors
/// The other process no longer listens.
pub fn serve_answer(path: &Path) -> Result<ExitCode, Failure> {
    exit_code_of(answer(path))
}

/// `lcascope reader --many`: reads the facts of each run whose path arrives.
///
/// # Errors
/// The other process no longer listens.
pub fn serve_many() -> Result<ExitCode, Failure> {
    let limits = FileLimits::new();
    let read = |path: &Path| {
        limits.next_file();
        RunFacts::read(path).map_err(|error| error.to_string())
    };
    exit_code_of(feed::answer_each(io::stdin(), io::stdout(), read))
}

/// Answers one question.
fn answer(path: &Path) -> io::Result<()> {
    let Some(question) = feed::receive(&mut io::stdin())? else {
        return Ok(());
    };
    let patience = match question {
        Question::Export(_) => WRITING,
        _ => 1,
    };
    limit(is_guarded().then_some((size(path), patience)));
    let patience = ReadTimeout::new();
    let renew = || patience.renew();
    let words = |error: StoreError| error.to_string();
    let to = &mut io::stdout();
    match question {
        Question::Status => {
            let status = RunReader::open(path).and_then(|reader| RunStatus::read(&reader));
            feed::send(to, &status.map_err(words))
        }
        Question::Run => feed::send(to, &store::read_through(path, &renew).map_err(words)),
        Question::Weights => {
            let looked = RecordedWeights::look_through(path, &renew);
            feed::send(to, &looked.map_err(words))
        }
        Question::Export(request) => {
            feed::send(to, &request.run(path).map_err(|error| error.to_string()))
        }
    }
}

fn exit_code_of(result: io::Result<()>) -> Result<ExitCode, Failure> {
    match result {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Other(format!("standard output: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_found_when_its_file_has_been_replaced() {
        if Path::new("/proc/self/exe").exists() {
            assert_eq!(this_program().get_program(), "/proc/self/exe");
        }
    }
}

//! `train --detach`: runs the program again in a session of its own, without a terminal.
//!
//! The caller waits at a pipe, the child's standard output, until the training has started or the child has ended;
//! until then the child shares the caller's standard error. After that, both outputs go to a log beside the run file.
//! The child is a new process rather than a fork of this one, so it inherits no threads, locks or open run file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::{env, thread};

use crossbeam_channel::{bounded, never, select};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, setsid};
use signal_hook::consts::SIGHUP;

use super::exit::signal_code;
use super::failure::Failure;
use super::print::print;
use super::print::print_message;
use super::signals::Signals;
use crate::store;
use crate::text::quoted;

/// Tells the child that it is detached.
const VARIABLE: &str = "LCASCOPE_DETACHED";

/// The child's first output; the path of its run file follows, up to the end of the pipe.
const BEGUN: &[u8] = b"begun ";

/// Starts the training from the caller's side, waits until it has begun, and prints how to follow it.
///
/// # Errors
/// The program cannot be started. The child itself reports what is wrong with the run.
pub fn spawn() -> Result<ExitCode, Failure> {
    let failed = |error| Failure::Other(format!("cannot start the program again: {error}"));
    let program = env::current_exe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(env::args_os().skip(1))
        .env(VARIABLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    let said = match wait_for_start(&mut child)? {
        StartMessage::Said(said) => said,
        // The terminal closed before the training began; it continues regardless.
        StartMessage::Signal(SIGHUP) => return Ok(signal_code(SIGHUP)),
        StartMessage::Signal(signal) => {
            // Not waited for yet, so the process id still belongs to it.
            if let Some(process) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(process, Signal::TERM);
            }
            let _ = child.wait();
            return Ok(signal_code(signal));
        }
    };
    if let Some(path) = said.strip_prefix(BEGUN) {
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        return print(hints(child.id(), &path).as_bytes());
    }
    let status = child.wait().map_err(failed)?;
    match (status.code(), status.signal()) {
        (Some(code), _) => Ok(ExitCode::from(u8::try_from(code).unwrap_or(1))),
        (None, signal) => Err(Failure::Other(format!(
            "the training was killed by signal {} before it started",
            signal.unwrap_or(0)
        ))),
    }
}

enum StartMessage {
    Said(Vec<u8>),
    Signal(i32),
}

/// Waits for the child's message, its end, or a signal.
fn wait_for_start(child: &mut Child) -> Result<StartMessage, Failure> {
    let Some(mut pipe) = child.stdout.take() else {
        return Ok(StartMessage::Said(Vec::new()));
    };
    let signals = Signals::listen(None)?;
    let (sender, said) = bounded(1);
    // Not joined after a signal: it is then still waiting for the child, and ends with this process.
    thread::Builder::new()
        .name("detached".to_owned())
        .spawn(move || {
            let mut bytes = Vec::new();
            let _ = pipe.read_to_end(&mut bytes);
            let _ = sender.send(bytes);
        })
        .map_err(|error| Failure::Other(format!("cannot wait for the training: {error}")))?;
    let mut signal_events = signals.events.clone();
    loop {
        select! {
            recv(said) -> bytes => return Ok(StartMessage::Said(bytes.unwrap_or_default())),
            recv(signal_events) -> signal => match signal {
                Ok(signal) => return Ok(StartMessage::Signal(signal)),
                Err(_) => signal_events = never(),
            },
        }
    }
}

fn hints(process: u32, path: &Path) -> String {
    let path = quoted(&path.to_string_lossy());
    format!(
        "training in the background, process {process}\n\
         \x20 lcascope open {path}     watch it\n\
         \x20 lcascope stop {path}     stop it; also pause, resume\n"
    )
}

/// The child's side, until the training has begun.
pub struct Detached {
    /// The pipe to the caller.
    caller: File,
}

impl Detached {
    /// Leaves the caller's session, if this process is the detached child.
    ///
    /// # Errors
    /// There is no standard output.
    pub fn begin() -> Result<Option<Self>, Failure> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        // Fails if this process already leads a session, which is just as good.
        let _ = setsid();
        let caller = io::stdout().as_fd().try_clone_to_owned();
        let caller = caller.map_err(|error| Failure::Other(format!("standard output: {error}")))?;
        Ok(Some(Self {
            caller: File::from(caller),
        }))
    }

    /// Releases the caller; output from here on goes to the log. No failure here is worth losing a training that has
    /// begun.
    #[must_use]
    pub fn begun(mut self, output: &Path) -> Option<DetachedLog> {
        let log = DetachedLog::open(log_path(output));
        let log = log.inspect_err(|(path, error)| {
            print_message(&format!(
                "warning: cannot write the log {}: {error}",
                path.display()
            ));
        });
        // A caller that has gone needs no message.
        let told = [BEGUN, output.as_os_str().as_bytes()].concat();
        let _ = self.caller.write_all(&told);
        let log = log.ok();
        let nowhere = || File::options().write(true).open("/dev/null").ok();
        let sink = log.as_ref().and_then(|log| log.file.try_clone().ok());
        if let Some(sink) = sink.or_else(nowhere) {
            let _ = rustix::stdio::dup2_stdout(&sink);
            let _ = rustix::stdio::dup2_stderr(&sink);
        }
        log
    }
}

/// The log of a detached training.
pub struct DetachedLog {
    path: PathBuf,
    file: File,
    /// Whether the file was created for this training.
    new: bool,
}

impl DetachedLog {
    /// Opens the log for appending: a resumed run may have written to it before. Anyone may have created the file, so
    /// links are not followed and pipes do not block.
    fn open(path: PathBuf) -> Result<Self, (PathBuf, io::Error)> {
        let open = |more: OFlags| {
            let how = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY | more;
            rustix::fs::open(&path, how, Mode::from_raw_mode(0o666)).map(File::from)
        };
        let opened = match open(OFlags::CREATE | OFlags::EXCL) {
            Ok(file) => Ok((file, true)),
            Err(Errno::EXIST) => {
                open(OFlags::NOFOLLOW | OFlags::NONBLOCK).map(|file| (file, false))
            }
            Err(error) => Err(error),
        };
        match opened {
            Ok((file, new)) if file.metadata().is_ok_and(|there| there.is_file()) => {
                Ok(Self { path, file, new })
            }
            Ok(_) | Err(Errno::NXIO | Errno::LOOP) => {
                Err((path, io::Error::other("is not a regular file")))
            }
            Err(error) => Err((path, error.into())),
        }
    }

    /// Removes the log if it was created for this training and is empty.
    pub fn remove_if_empty(self) {
        let is_empty = self.file.metadata().is_ok_and(|there| there.len() == 0);
        if self.new && is_empty && store::is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(self.path);
        }
    }
}

/// The path of the log: `RUN.h5.log`.
fn log_path(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".log");
    name.into()
}

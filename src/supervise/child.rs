//! A training in a child process: this program again, so that its crash is not ours.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::failure::Failure;
use super::sandbox::this_program;
use crate::control::{Connection, steps_in};

/// Tells the child that it belongs to a series, and ends with it.
const VARIABLE: &str = "LCASCOPE_OF_SERIES";

/// The number of bytes read from either end of a process's standard error.
const MOST_READ: u64 = 4096;

/// Returns true if this process trains a run of a series.
#[must_use]
pub fn is_of_series() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// Called by a training that may belong to a series: makes it stop after the current step when the series' process
/// ends.
pub fn stop_with_parent() {
    if is_of_series() {
        // On other systems, or if this fails, the training outlives the series and can be stopped on its own.
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    }
}

/// The task of a training in a child process.
pub enum ChildTask<'a> {
    /// Starts a run with this configuration.
    Begin { config: &'a str, force: bool },
    /// Continues the run in its file, with its data at this path if given.
    Resume { data: Option<&'a Path> },
}

/// A child process that trains. When dropped, it is asked to stop and waited for.
pub struct Child {
    process: process::Child,
    file: PathBuf,
    /// Its standard error.
    said: File,
    connection: Option<Connection>,
}

impl Child {
    /// Starts `lcascope train` with its run in `file`. The child does not receive signals from keys that end this
    /// process: whoever receives them passes them on.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(file: &Path, work: &ChildTask) -> Result<Self, Failure> {
        let failed = |error| Failure::Other(format!("cannot start a training process: {error}"));
        let said = tempfile::tempfile().map_err(failed)?;
        let mut command = this_program();
        command.args(["train", "--quiet"]);
        match work {
            ChildTask::Begin { force, .. } => {
                command.args(["--config", "-"]);
                command.arg(with_value("--output", file));
                if *force {
                    command.arg("--force");
                }
            }
            ChildTask::Resume { data } => {
                command.arg(with_value("--resume", file));
                if let Some(data) = data {
                    command.arg(with_value("--data", data));
                }
            }
        }
        let mut process = command
            .env(VARIABLE, "1")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(said.try_clone().map_err(failed)?)
            .spawn()
            .map_err(failed)?;
        let stdin = process.stdin.take();
        if let (ChildTask::Begin { config, .. }, Some(mut stdin)) = (work, stdin) {
            // If the process has already ended, its last words say why.
            let _ = stdin.write_all(config.as_bytes());
        }
        Ok(Self {
            process,
            file: file.to_owned(),
            said,
            connection: None,
        })
    }

    /// The exit status, if the process has ended.
    ///
    /// # Errors
    /// The system cannot report it.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.try_wait()
    }

    /// The number of steps done, if the process answers.
    pub fn steps_done(&mut self) -> Option<u64> {
        if self.connection.is_none() {
            self.connection = Connection::open(&self.file).ok();
        }
        let answer = self.connection.as_mut()?.ask("status");
        if answer.is_err() {
            self.connection = None;
        }
        steps_in(&answer.ok()?)
    }

    /// Asks the process to stop after the current step.
    pub fn stop(&self) {
        // Not waited for yet, so the process id still belongs to it.
        if let Some(process) = i32::try_from(self.process.id())
            .ok()
            .and_then(Pid::from_raw)
        {
            let _ = kill_process(process, Signal::TERM);
        }
    }

    /// The last line on its standard error, or the signal that ended it.
    pub fn last_words(&mut self, status: ExitStatus) -> String {
        if let Some(signal) = status.signal() {
            return format!("its process was killed by signal {signal}");
        }
        let said = self.read_end().unwrap_or_default();
        let text = String::from_utf8_lossy(&said);
        match text.lines().rfind(|line| !line.trim().is_empty()) {
            Some(line) => line.strip_prefix("error: ").unwrap_or(line).to_owned(),
            None => format!(
                "its process exited with code {}",
                status.code().unwrap_or(1)
            ),
        }
    }

    /// The warnings on its standard error.
    pub fn warnings(&mut self) -> Vec<String> {
        let said = self.read_at(0).unwrap_or_default();
        let text = String::from_utf8_lossy(&said);
        let is_warning = |line: &&str| line.starts_with("warning: ");
        text.lines().filter(is_warning).map(str::to_owned).collect()
    }

    fn read_end(&mut self) -> io::Result<Vec<u8>> {
        let length = self.said.metadata()?.len();
        self.read_at(length.saturating_sub(MOST_READ))
    }

    fn read_at(&mut self, from: u64) -> io::Result<Vec<u8>> {
        self.said.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        Read::take(&mut self.said, MOST_READ).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.stop();
            let _ = self.process.wait();
        }
    }
}

/// `--flag=VALUE`, which works for values that begin with a dash.
fn with_value(flag: &str, value: &Path) -> OsString {
    let mut argument = OsString::from(flag);
    argument.push("=");
    argument.push(value);
    argument
}

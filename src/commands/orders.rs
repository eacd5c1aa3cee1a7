//! `lcascope stop`, `pause` and `resume`: orders to a training in another process.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::control::{AskError, Connection, steps_in};
use crate::record::Status;
use crate::runs::RunStatus;
use crate::store;
use crate::supervise::{Failure, print, sandbox};

/// Time between questions whether a training has paused.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// Time between checks of the file while its training reports nothing new: the process behind the socket may say
/// anything.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The time for which a training that goes on may close every connection.
const CLOSED_FOR: Duration = Duration::from_secs(3);

/// The training that an order reached.
enum ReachedTraining {
    Running(Connection, RunStatus),
    Ended(RunStatus),
}

/// Runs `lcascope stop`: returns when the training has ended and its file is closed.
///
/// # Errors
/// The file is not a run, or the training cannot be reached, does not obey, or fails before it can stop.
pub fn stop(path: &Path) -> Result<ExitCode, Failure> {
    let mut connection = match reach(path)? {
        ReachedTraining::Running(connection, _) => connection,
        ReachedTraining::Ended(status) => {
            return print_line(&format!("not running: {}", status.sentence()));
        }
    };
    wait_hint("stopping after the current step; Ctrl-C only ends the waiting");
    let (mut ordered, mut closed) = (None, None);
    loop {
        match connection.ask("stop") {
            Ok(answer) if answer.starts_with("stopping") => {
                ordered = ordered.or(steps_in(&answer));
            }
            Ok(_) => return Err(other_program(path)),
            Err(AskError::Ended) => {}
            Err(error) => return Err(failure(path, &error)),
        }
        // A step may take long, and a training with very many connections closes the quietest ones.
        let waited = connection.ends_within(LOOK_EVERY);
        let is_closed = waited.map_err(|error| failure(path, &AskError::Io(error)))?;
        match reach(path)? {
            ReachedTraining::Running(again, status) => {
                check_obeyed(path, &status, ordered)?;
                // A training closes its file before the last connections.
                closed = is_closed.then(|| closed.unwrap_or_else(Instant::now));
                if closed.is_some_and(|since| since.elapsed() > CLOSED_FOR) {
                    return Err(other_program(path));
                }
                sleep(ASK_EVERY);
                connection = again;
            }
            ReachedTraining::Ended(status) if status.status == Status::Failed => {
                return Err(Failure::Run(status.message));
            }
            ReachedTraining::Ended(status) => return print_line(&status.sentence()),
        }
    }
}

/// Fails if a training that was told to take no more steps cannot have received the order. `ordered` is the number of
/// steps done at that time.
fn check_obeyed(path: &Path, status: &RunStatus, ordered: Option<u64>) -> Result<(), Failure> {
    if !status.live {
        return Err(lost_writer(path, status));
    }
    // At most the current step follows an order.
    if ordered.is_some_and(|steps| status.committed > steps.saturating_add(1)) {
        return Err(other_program(path));
    }
    Ok(())
}

fn other_program(path: &Path) -> Failure {
    let path = path.display();
    Failure::Other(format!(
        "{path} keeps running: another program answers on its control socket; stop its process with SIGTERM"
    ))
}

/// Runs `lcascope pause`: returns when no step is in progress any more.
///
/// # Errors
/// The file is not a run, the run is not running, or the training cannot be reached.
pub fn pause(path: &Path) -> Result<ExitCode, Failure> {
    let mut connection = running(path)?;
    let mut answer = send_order(path, &mut connection, "pause")?;
    let ordered = steps_in(&answer);
    if answer.starts_with("pausing") {
        wait_hint("pausing after the current step; Ctrl-C only ends the waiting");
    }
    let mut looked = Instant::now();
    loop {
        if answer.starts_with("paused") || answer.starts_with("already paused") {
            return print_line(&answer);
        }
        // At most the current step follows an order.
        let resumed =
            matches!((ordered, steps_in(&answer)), (Some(a), Some(b)) if b > a.saturating_add(1));
        if resumed || answer.starts_with("stopping") {
            let path = path.display();
            let text = format!("{path} received another order meanwhile: {answer}");
            return Err(Failure::Other(text));
        }
        if looked.elapsed() >= LOOK_EVERY {
            match reach(path)? {
                ReachedTraining::Running(_, status) => check_obeyed(path, &status, ordered)?,
                ReachedTraining::Ended(status) => return Err(not_running(path, &status)),
            }
            looked = Instant::now();
        }
        sleep(ASK_EVERY);
        answer = send_order(path, &mut connection, "status")?;
    }
}

/// Runs `lcascope resume`.
///
/// # Errors
/// The file is not a run, the run is not running, or the training cannot be reached.
pub fn resume(path: &Path) -> Result<ExitCode, Failure> {
    let mut connection = running(path)?;
    print_line(&send_order(path, &mut connection, "resume")?)
}

fn running(path: &Path) -> Result<Connection, Failure> {
    match reach(path)? {
        ReachedTraining::Running(connection, _) => Ok(connection),
        ReachedTraining::Ended(status) => Err(not_running(path, &status)),
    }
}

fn not_running(path: &Path, status: &RunStatus) -> Failure {
    let (path, how) = (path.display(), status.sentence());
    Failure::Other(format!("{path} is not running: {how}"))
}

fn send_order(path: &Path, connection: &mut Connection, line: &str) -> Result<String, Failure> {
    connection.ask(line).map_err(|error| match error {
        AskError::Ended => match sandbox::status(path) {
            Ok(status) if status.live => other_program(path),
            Ok(status) => not_running(path, &status),
            Err(error) => error,
        },
        error => failure(path, &error),
    })
}

/// Finds the training that writes the file.
fn reach(path: &Path) -> Result<ReachedTraining, Failure> {
    // An older file may still have the name of the one being written.
    let status = sandbox::status(&store::written_at(path))?;
    if status.status != Status::Running {
        return Ok(ReachedTraining::Ended(status));
    }
    let (socket, error) = match Connection::open(path) {
        Ok(connection) => return Ok(ReachedTraining::Running(connection, status)),
        Err(trouble) => trouble,
    };
    // It may have ended in the meantime.
    let status = sandbox::status(&store::written_at(path))?;
    if status.status != Status::Running {
        return Ok(ReachedTraining::Ended(status));
    }
    if !status.live {
        return Err(lost_writer(path, &status));
    }
    let (path, socket) = (path.display(), socket.display());
    Err(Failure::Other(format!(
        "{path} is being written, but its training cannot be reached through {socket}: {error}. Run the \
         command on the same machine and as the same user, or stop the process with SIGTERM, which also \
         closes the file properly"
    )))
}

/// The error for a file whose writing process died without closing it.
fn lost_writer(path: &Path, status: &RunStatus) -> Failure {
    let (path, steps) = (path.display(), status.committed);
    Failure::Other(format!(
        "{path} is not running: its process crashed; the file contains the {steps} steps committed \
         before"
    ))
}

fn failure(path: &Path, error: &AskError) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}

/// Prints a hint for a person who waits.
fn wait_hint(text: &str) {
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn print_line(text: &str) -> Result<ExitCode, Failure> {
    print(format!("{text}\n").as_bytes())
}

//! `lcascope stop`, `pause` and `resume`: orders to a training in another process.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use super::Failure;
use super::standing::Standing;
use crate::control::{AskError, Connection};
use crate::record::Status;
use crate::store;

/// How often a training is asked whether it has paused.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// What an order finds.
enum Reached {
    Running(Connection),
    Ended(Standing),
}

/// `lcascope stop`: returns when the training has ended and its file is closed.
///
/// # Errors
/// The file is no run, the training cannot be reached, or it fails before it can stop.
pub fn stop(path: &Path) -> Result<ExitCode, Failure> {
    let mut connection = match reach(path)? {
        Reached::Running(connection) => connection,
        Reached::Ended(standing) => {
            return say(&format!("not running: {}", standing.sentence()));
        }
    };
    wait_hint("stopping after the step under way; Ctrl-C ends the waiting alone");
    loop {
        match connection.ask("stop") {
            Ok(_) | Err(AskError::Ended) => {}
            Err(error) => return Err(failure(path, &error)),
        }
        let waited = connection.wait_for_end();
        waited.map_err(|error| failure(path, &AskError::Io(error)))?;
        // A training with very many connections closes the most silent ones.
        match reach(path)? {
            Reached::Running(again) => {
                sleep(ASK_EVERY);
                connection = again;
            }
            Reached::Ended(standing) if standing.status == Status::Failed => {
                return Err(Failure::Run(standing.message));
            }
            Reached::Ended(standing) => return say(&standing.sentence()),
        }
    }
}

/// `lcascope pause`: returns when no step is under way any more.
///
/// # Errors
/// The file is no run that is running, or the training cannot be reached.
pub fn pause(path: &Path) -> Result<ExitCode, Failure> {
    let mut connection = running(path)?;
    let mut answer = ask(path, &mut connection, "pause")?;
    let ordered = steps_in(&answer);
    if answer.starts_with("pausing") {
        wait_hint("pausing after the step under way; Ctrl-C ends the waiting alone");
    }
    loop {
        if answer.starts_with("paused") || answer.starts_with("already paused") {
            return say(&answer);
        }
        // At most the step under way follows an order.
        let resumed = matches!((ordered, steps_in(&answer)), (Some(a), Some(b)) if b > a + 1);
        if resumed || answer.starts_with("stopping") {
            let path = path.display();
            let text = format!("{path} has been told otherwise meanwhile: {answer}");
            return Err(Failure::Other(text));
        }
        sleep(ASK_EVERY);
        answer = ask(path, &mut connection, "status")?;
    }
}

/// `lcascope resume`
///
/// # Errors
/// The file is no run that is running, or the training cannot be reached.
pub fn resume(path: &Path) -> Result<ExitCode, Failure> {
    let mut connection = running(path)?;
    say(&ask(path, &mut connection, "resume")?)
}

/// The `123` of `running, 123 of 400 steps`.
pub(super) fn steps_in(answer: &str) -> Option<u64> {
    let (_, rest) = answer.split_once(", ")?;
    rest.split(' ').next()?.parse().ok()
}

fn running(path: &Path) -> Result<Connection, Failure> {
    match reach(path)? {
        Reached::Running(connection) => Ok(connection),
        Reached::Ended(standing) => Err(not_running(path, &standing)),
    }
}

fn not_running(path: &Path, standing: &Standing) -> Failure {
    let (path, how) = (path.display(), standing.sentence());
    Failure::Other(format!("{path} is not running: {how}"))
}

fn ask(path: &Path, connection: &mut Connection, line: &str) -> Result<String, Failure> {
    connection.ask(line).map_err(|error| match error {
        AskError::Ended => match Standing::of(path) {
            Ok(standing) => not_running(path, &standing),
            Err(error) => error,
        },
        error => failure(path, &error),
    })
}

/// Finds the training that writes the file.
fn reach(path: &Path) -> Result<Reached, Failure> {
    // An older file may still have the name of the one that is being written.
    let standing = Standing::of(&store::written_at(path))?;
    if standing.status != Status::Running {
        return Ok(Reached::Ended(standing));
    }
    let (socket, error) = match Connection::open(path) {
        Ok(connection) => return Ok(Reached::Running(connection)),
        Err(trouble) => trouble,
    };
    // It may have ended since.
    let standing = Standing::of(&store::written_at(path))?;
    if standing.status != Status::Running {
        return Ok(Reached::Ended(standing));
    }
    let (path, socket) = (path.display(), socket.display());
    Err(Failure::Other(if standing.live {
        format!(
            "{path} is being written, but its training cannot be reached through {socket}: {error}. \
             Give the order on the machine and as the user that runs it, or end its process with \
             SIGTERM: the file is closed properly then too"
        )
    } else {
        format!(
            "{path} is not running: its process has ended without closing the file; the {} steps \
             committed before are in it",
            standing.committed
        )
    }))
}

fn failure(path: &Path, error: &AskError) -> Failure {
    Failure::Other(format!("{}: {error}", path.display()))
}

/// For a person who waits.
fn wait_hint(text: &str) {
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

fn say(text: &str) -> Result<ExitCode, Failure> {
    super::print(format!("{text}\n").as_bytes())
}

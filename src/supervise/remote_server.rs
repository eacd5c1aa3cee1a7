//! The other machine's end of [`remote`](super::remote).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use super::failure::Failure;
use super::sandbox::{self, this_program};
use crate::feed::{self, Greeting, RemoteRequest};

/// `lcascope reader --remote`: does what another machine asks.
///
/// # Errors
/// The other machine speaks another protocol, or what it asked for failed.
pub fn serve() -> Result<ExitCode, Failure> {
    let lost = |error| Failure::Other(format!("standard input: {error}"));
    // Unbuffered: the next requests are for another process.
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let mut requests = File::from(stdin.map_err(lost)?);
    if Greeting::send(&mut io::stdout(), Greeting::READER).is_err() {
        return Ok(ExitCode::SUCCESS);
    }
    let there = Greeting::receive(&mut requests, Greeting::CLIENT).map_err(lost)?;
    let Some(there) = there else {
        let what = "`lcascope reader --remote` is for lcascope on another machine; \
                    use `lcascope open HOST:RUN.h5` there";
        return Err(Failure::Other(what.to_owned()));
    };
    there.check("the other machine").map_err(Failure::Open)?;
    match feed::receive(&mut requests).map_err(lost)? {
        None => Ok(ExitCode::SUCCESS),
        Some(RemoteRequest::Read { path, from }) => {
            sandbox::read_for_remote(Path::new(OsStr::from_bytes(&path)), from)
        }
        Some(RemoteRequest::Answer(path)) => {
            sandbox::answer_for_remote(Path::new(OsStr::from_bytes(&path)))
        }
        Some(RemoteRequest::Run(arguments)) => {
            let arguments = arguments.into_iter().map(OsString::from_vec);
            let mut command = this_program();
            let ended = command.args(arguments).stdin(Stdio::null()).status();
            let ended = ended.map_err(|error| Failure::Other(format!("lcascope: {error}")))?;
            let code = ended.code().and_then(|code| u8::try_from(code).ok());
            Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

//! Exit codes of signals.

use std::process::ExitCode;

/// 128 + the signal's number, as in shells.
#[must_use]
pub fn signal_code(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

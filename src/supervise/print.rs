//! Standard output and standard error of commands.

use std::io::{self, Write};
use std::process::ExitCode;

use super::failure::Failure;
use super::limits;
use crate::text::{harmless_lines, is_invisible_control};

/// Prints a message to standard error.
pub fn print_message(text: &str) {
    let _ = writeln!(io::stderr(), "{}", harmless_lines(text));
}

/// Prints text to standard output. A closed pipe is not an error.
///
/// # Errors
/// Any other error of standard output.
pub fn print(text: &[u8]) -> Result<ExitCode, Failure> {
    // A pager may read it slowly.
    limits::unbounded();
    let shown = String::from_utf8_lossy(text);
    let shown = if shown
        .chars()
        .any(|c| !matches!(c, '\n' | '\t') && is_invisible_control(c))
    {
        harmless_lines(&shown).into()
    } else {
        shown
    };
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(shown.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::Other(format!("standard output: {error}"))),
    }
}

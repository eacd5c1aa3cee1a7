//! `lcascope config`: where the user's configuration is, whether it can be used, and the default one.

use std::fmt::Write;
use std::process::ExitCode;

use super::Failure;
use crate::config::user;

/// Prints the default file, or says what is wrong with the one there is.
///
/// # Errors
/// Something is.
pub fn config(print_default: bool) -> Result<ExitCode, Failure> {
    let actions = super::screen::actions();
    if print_default {
        return super::print(user::template(&actions).as_bytes());
    }
    let Some(path) = user::path() else {
        let what = "there is no place for a configuration: set $XDG_CONFIG_HOME or $HOME";
        return Err(Failure::Other(what.to_owned()));
    };
    let (_, problems) = user::read(&path, &actions);
    let mut out = String::new();
    let shown = path.display();
    let _ = match (path.exists(), problems.len()) {
        (false, _) => writeln!(
            out,
            "{shown}: not there, so the defaults hold; `lcascope config --print-default` prints them"
        ),
        (true, 0) => writeln!(out, "{shown}: everything in it can be used"),
        (true, 1) => writeln!(out, "{shown}: 1 entry cannot be used"),
        (true, n) => writeln!(out, "{shown}: {n} entries cannot be used"),
    };
    for problem in &problems {
        let _ = writeln!(out, "{problem}");
    }
    let printed = super::print(out.as_bytes())?;
    Ok(match problems.is_empty() {
        true => printed,
        false => ExitCode::FAILURE,
    })
}

//! `lcascope config`: shows where the user's configuration is and whether it is valid, or prints the default one.

use std::fmt::Write;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::config::user::{self, ProblemKind};
use crate::model::{NetworkSpec, PRESETS, preset};
use crate::supervise::{Failure, print};

/// Prints a preset network as a file to edit.
///
/// # Errors
/// There is no preset of this name.
pub fn print_network(name: &str) -> Result<ExitCode, Failure> {
    let spec = preset(name).ok_or_else(|| {
        let presets = PRESETS.join(", ");
        ConfigError(format!(
            "--print-network {name}: unknown preset ({presets})"
        ))
    })?;
    let own = NetworkSpec {
        name: format!("my-{name}"),
        ..spec
    };
    let text = toml::to_string(&own).map_err(|error| Failure::Other(error.to_string()))?;
    print(text.as_bytes())
}

/// Prints the default configuration, or the problems of the user's file.
///
/// # Errors
/// The file cannot be used, or there is no place for one.
pub fn config(print_default: bool) -> Result<ExitCode, Failure> {
    let actions = crate::supervise::screen::actions();
    if print_default {
        return print(user::template(&actions).as_bytes());
    }
    let Some(path) = user::path() else {
        let what = "no configuration folder: set $XDG_CONFIG_HOME or $HOME";
        return Err(Failure::Other(what.to_owned()));
    };
    let (_, said) = user::read(&path, &actions);
    let unusable = said
        .iter()
        .filter(|it| it.kind == ProblemKind::Unusable)
        .count();
    let mut out = String::new();
    let shown = path.display();
    let _ = match unusable {
        0 if !path.exists() => writeln!(
            out,
            "{shown}: not found; using the defaults (`lcascope config --print-default` prints them)"
        ),
        0 => writeln!(out, "{shown}: valid"),
        1 => writeln!(out, "{shown}: 1 invalid entry"),
        n => writeln!(out, "{shown}: {n} invalid entries"),
    };
    for line in &said {
        let _ = writeln!(out, "{line}");
    }
    let printed = print(out.as_bytes())?;
    Ok(match unusable {
        0 => printed,
        _ => ExitCode::FAILURE,
    })
}

//! `lcascope completions` and `lcascope man`: what shells and `man` read, generated from the arguments.

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::config::ConfigError;
use crate::supervise::{Failure, print};

/// Prints the completions of a shell.
///
/// # Errors
/// Standard output cannot be written.
pub fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lcascope", &mut text);
    print(&text)
}

/// Prints the manual page of the program, or of one of its commands.
///
/// # Errors
/// There is no command of this name, or standard output cannot be written.
pub fn man(name: Option<&str>) -> Result<ExitCode, Failure> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    if let Some(name) = name {
        let commands = command.get_subcommands().filter(|it| !it.is_hide_set());
        let names: Vec<&str> = commands.map(clap::Command::get_name).collect();
        let found = command
            .find_subcommand(name)
            .filter(|_| names.contains(&name));
        let unknown = || {
            let names = names.join(", ");
            ConfigError(format!("man {name}: unknown command ({names})"))
        };
        command = found.cloned().ok_or_else(unknown)?;
    }
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::Other(error.to_string()))?;
    print(&page)
}

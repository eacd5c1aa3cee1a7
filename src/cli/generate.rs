//! Completions for shells and manual pages, generated from the arguments.

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Cli;
use crate::config::ConfigError;

/// Returns the completions for a shell.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lcascope", &mut text);
    text
}

/// Returns the manual page of the program, or of one of its commands.
///
/// # Errors
/// There is no command of this name.
pub fn man(name: Option<&str>) -> Result<Vec<u8>, ConfigError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    if let Some(name) = name {
        let commands = command.get_subcommands().filter(|it| !it.is_hide_set());
        let names: Vec<&str> = commands.map(Command::get_name).collect();
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
    let rendered = Man::new(command).render(&mut page);
    rendered.map_err(|error| ConfigError(error.to_string()))?;
    Ok(page)
}

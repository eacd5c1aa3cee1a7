//! Parses the command line, runs the command, prints one error, exits with its code.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use lcascope::cli::{self, Cli, Command};
use lcascope::commands;
use lcascope::feed::Service;
use lcascope::supervise::{self, Failure, remote, remote_server, sandbox};
use lcascope::text::{harmless_lines, is_invisible_control};

fn main() -> ExitCode {
    lcascope::tui::install_panic_hook();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            // A closed standard error is no reason to panic.
            let text = supervise::with_remedy(&harmless_lines(&failure.to_string()));
            let _ = writeln!(io::stderr(), "error: {text}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints an error in the arguments, or the help. Arguments may be file names, which can hold any characters.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() || !text.chars().any(|c| c != '\n' && is_invisible_control(c)) {
        error.exit();
    }
    let _ = write!(io::stderr(), "{}", harmless_lines(&text));
    ExitCode::from(2)
}

/// Runs a command on the machine with the file.
fn here_or_there(
    file: &Path,
    command: impl Fn(&Path) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    remote::elsewhere(file).unwrap_or_else(|| command(file))
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    supervise::ignore_file_size_signal()?;
    match cli.command {
        None => commands::demo(),
        Some(Command::Train(args)) => commands::train(&args),
        Some(Command::Allocate(args)) => commands::allocate(&args),
        Some(Command::Open(args)) => commands::open(&args),
        Some(Command::Info { files, json }) => {
            sandbox::guarded_each("info", &files, json, |file| commands::info(file, json))
        }
        Some(Command::Verify { files, json }) => {
            sandbox::guarded_each("verify", &files, json, |file| commands::verify(file, json))
        }
        Some(Command::Repair { file }) => sandbox::run_in_child(&file, || commands::repair(&file)),
        Some(Command::List { places, json }) => {
            let there = match &places[..] {
                [place] => remote::elsewhere(place),
                _ => None,
            };
            there.unwrap_or_else(|| commands::list(&places, json))
        }
        Some(Command::Stop { file }) => here_or_there(&file, commands::stop),
        Some(Command::Pause { file }) => here_or_there(&file, commands::pause),
        Some(Command::Resume { file }) => here_or_there(&file, commands::resume),
        Some(Command::Experiment(args)) => commands::experiment(&args),
        Some(Command::Export(args)) => {
            sandbox::guarded_writing(&args.file, || commands::export(&args))
        }
        Some(Command::Report(args)) => {
            sandbox::guarded_reading(&args.files, || commands::report(&args))
        }
        Some(Command::Config {
            print_default,
            print_network,
        }) => match print_network {
            Some(name) => commands::print_network(&name),
            None => commands::config(print_default),
        },
        Some(Command::Selftest { device, threads }) => commands::selftest(device, threads),
        Some(Command::Reader {
            details,
            answer,
            many,
            remote: _,
            from,
            file,
        }) => match (file, from) {
            (None, _) if many => sandbox::serve_many(),
            (None, _) => remote_server::serve(),
            (Some(file), _) if answer => sandbox::serve_answer(&file),
            (Some(file), _) if details => sandbox::serve(&file, Service::Details),
            (Some(file), Some(from)) => sandbox::serve(&file, Service::Remote { from }),
            (Some(file), None) => sandbox::serve(&file, Service::Events),
        },
        Some(Command::Record(args)) => commands::record(&args),
        Some(Command::Completions { shell }) => supervise::print(&cli::completions(shell)),
        Some(Command::Man { command }) => supervise::print(&cli::man(command.as_deref())?),
    }
}

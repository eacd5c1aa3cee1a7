//! Parses the command line, runs the command, prints one error, exits with its code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use lcascope::cli::{Cli, Command};
use lcascope::session::{self, Failure};

fn main() -> ExitCode {
    lcascope::tui::install_panic_hook();
    match run(Cli::parse()) {
        Ok(code) => code,
        Err(failure) => {
            // Nobody left to read the error is no reason to panic.
            let _ = writeln!(io::stderr(), "error: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    match cli.command {
        None => session::demo(),
        Some(Command::Train(args)) => session::train(&args),
        Some(Command::Allocate(args)) => session::allocate(&args),
        Some(Command::Open(args)) => session::open(&args),
        Some(Command::Info { file }) => session::guarded(&file, || session::info(&file)),
        Some(Command::Verify { file }) => session::guarded(&file, || session::verify(&file)),
        Some(Command::Repair { file }) => session::guarded(&file, || session::repair(&file)),
        Some(Command::List { folder }) => session::list(folder.as_deref()),
        Some(Command::Stop { file }) => session::stop(&file),
        Some(Command::Pause { file }) => session::pause(&file),
        Some(Command::Resume { file }) => session::resume(&file),
        Some(Command::Experiment(args)) => session::experiment(&args),
        Some(Command::Export(args)) => {
            session::guarded_writing(&args.file, || session::export(&args))
        }
        Some(Command::Report(args)) => {
            session::guarded_reading(&args.files, || session::report(&args))
        }
        Some(Command::Config { print_default }) => session::config(print_default),
        Some(Command::Reader { details, file }) => session::reader(&file, details),
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lcascope", &mut text);
            session::print(&text)
        }
    }
}

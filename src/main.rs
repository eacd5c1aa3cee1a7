//! Parses the command line, runs the command, prints one error, exits with its code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use lcascope::cli::{self, Cli, Command};
use lcascope::session::{self, Failure};
use lcascope::text::{harmless_lines, is_obeyed};

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
            let text = session::with_remedy(&harmless_lines(&failure.to_string()));
            let _ = writeln!(io::stderr(), "error: {text}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Prints an error in the arguments, or the help. Arguments may be file names, which can hold any characters.
fn usage(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if !error.use_stderr() || !text.chars().any(|c| c != '\n' && is_obeyed(c)) {
        error.exit();
    }
    let _ = write!(io::stderr(), "{}", harmless_lines(&text));
    ExitCode::from(2)
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    session::ignore_file_size_signal()?;
    match cli.command {
        None => session::demo(),
        Some(Command::Train(args)) => session::train(&args),
        Some(Command::Allocate(args)) => session::allocate(&args),
        Some(Command::Open(args)) => session::open(&args),
        Some(Command::Info { files }) => session::guarded_each("info", &files, session::info),
        Some(Command::Verify { files }) => session::guarded_each("verify", &files, session::verify),
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
        Some(Command::Config {
            print_default,
            print_network,
        }) => match print_network {
            Some(name) => session::print_network(&name),
            None => session::config(print_default),
        },
        Some(Command::Reader {
            details,
            answer,
            file,
        }) => session::reader(&file, details, answer.as_deref()),
        Some(Command::Completions { shell }) => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lcascope", &mut text);
            session::print(&text)
        }
    }
}

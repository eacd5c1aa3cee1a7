//! `lcascope open`: shows run files, or the runs in a folder to pick from.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use crate::app::{MOST_OPEN, Picker, Screen};
use crate::cli::{FrameSize, OpenArgs};
use crate::config::{ColorChoice, ConfigError};
use crate::supervise::Failure;
use crate::supervise::browse;
use crate::supervise::opening::Opener;
use crate::supervise::remote::Ssh;
use crate::supervise::screen::{self, NoScreen};
use crate::supervise::signals::Signals;
use crate::text::harmless;
use crate::tui::{self, ScreenOptions};

/// Runs `lcascope open`.
///
/// # Errors
/// A file is not a run, or there is no terminal.
pub fn open(args: &OpenArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    // A frame in a file or a pipe has no colours unless they are asked for.
    let plain = args.once && !io::stdout().is_terminal();
    let color = args.color.or(plain.then_some(ColorChoice::Never));
    let options = screen::options(color, args.glyphs, args.fps)?;
    let begin = args.screen.as_deref().map(screen_named).transpose()?;
    let signals = Signals::listen(None)?;
    let ssh = Ssh::new(args.ssh.as_deref(), args.remote_program.as_deref())?;
    let opener = Opener {
        ssh: &ssh,
        options: &options,
        signals: &signals,
        on_screen: !args.once && NoScreen::now().is_none(),
    };
    if let [folder] = &args.files[..]
        && folder.is_dir()
    {
        if args.once {
            let what = "--once: give a run file, or use `lcascope list` for a folder";
            return Err(ConfigError(what.to_owned()).into());
        }
        return show_folder(folder, &opener);
    }
    if args.files.len() > MOST_OPEN {
        let what = format!("at most {MOST_OPEN} runs can be opened together");
        return Err(Failure::Other(what));
    }
    if args.once {
        let size = args.size.map(|FrameSize(width, height)| (width, height));
        return browse::print_files(&args.files, begin, size, &opener);
    }
    let exit = browse::show_files(&args.files, begin, &opener)?;
    Ok(screen::exit_code(exit))
}

/// Shows the runs in a folder to pick from.
///
/// # Errors
/// There is no terminal.
pub(super) fn open_folder(
    folder: &Path,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<ExitCode, Failure> {
    let opener = Opener {
        ssh: &Ssh::new(None, None)?,
        options,
        signals,
        on_screen: true,
    };
    show_folder(folder, &opener)
}

fn show_folder(folder: &Path, opener: &Opener) -> Result<ExitCode, Failure> {
    let mut picker = Picker::new(folder.to_string_lossy());
    let exit = browse::show_folder(folder, &mut picker, opener)?;
    Ok(exit.map_or(ExitCode::SUCCESS, screen::exit_code))
}

/// The screen of this name.
fn screen_named(name: &str) -> Result<Screen, ConfigError> {
    let named = Screen::ALL.into_iter();
    let mut named = named.filter(|screen| screen.name().eq_ignore_ascii_case(name));
    named.next().ok_or_else(|| {
        let names = Screen::ALL.map(|screen| screen.name().to_lowercase());
        ConfigError(format!(
            "--screen {}: use {}",
            harmless(name),
            names.join(", ")
        ))
    })
}

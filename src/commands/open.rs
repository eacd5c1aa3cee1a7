//! `lcascope open`: shows a run file, or two side by side.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;

use crate::app::{App, Other, RunModel, Screen};
use crate::cli::{FrameSize, OpenArgs};
use crate::config::{ColorChoice, ConfigError};
use crate::supervise::Failure;
use crate::supervise::opening::Opener;
use crate::supervise::remote::{RemotePath, RemoteRun, Ssh};
use crate::supervise::screen::{self, NoScreen};
use crate::supervise::signals::Signals;
use crate::text::harmless;
use crate::tui;

/// Runs `lcascope open`.
///
/// # Errors
/// The file is not a run, or there is no terminal.
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
    let first = match opener.open(&args.file)? {
        Ok(opened) => opened,
        Err(exit) => return Ok(screen::exit_code(exit)),
    };
    let second = match &args.other {
        Some(path) => match opener.open(path)? {
            Ok(opened) => Some((opened, path)),
            Err(exit) => return Ok(screen::exit_code(exit)),
        },
        None => None,
    };
    if !args.once {
        screen::require_terminal("open")?;
    }
    let mut app = App::new(first.feed.header.clone(), first.feed.origin);
    if let Some((second, path)) = &second {
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or_default();
            harmless(&name.to_string_lossy())
        };
        app.compare_with(Other {
            model: RunModel::new(second.feed.header.clone(), second.feed.origin),
            names: [name(&args.file), name(path)],
        });
    }
    let shown = screen::ShownRun {
        feed: &first.feed,
        file: &args.file,
        there: remote_run(&args.file, &ssh),
    };
    let other = second.as_ref().map(|(opened, file)| screen::ShownRun {
        feed: &opened.feed,
        file,
        there: remote_run(file, &ssh),
    });
    if args.once {
        let size = args.size.map(|FrameSize(width, height)| (width, height));
        return screen::print_once(
            &shown,
            other.as_ref(),
            &mut app,
            begin,
            &options,
            size,
            &signals,
        );
    }
    let exit = screen::show(&shown, other.as_ref(), &mut app, begin, &options, &signals);
    Ok(screen::exit_code(exit?))
}

fn remote_run(path: &Path, ssh: &Ssh) -> Option<RemoteRun> {
    let at = RemotePath::parse(path)?;
    let ssh = ssh.clone();
    Some(RemoteRun { at, ssh })
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

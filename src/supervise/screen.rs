//! The screen from a command's point of view: options, obstacles, exit codes.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use signal_hook::consts::SIGHUP;

use super::exit::signal_code;
use super::export_jobs::{ExportJobs, ExportedRun};
use super::failure::Failure;
use super::remote::RemoteRun;
use super::saved_view;
use super::signals::Signals;
use crate::app::{Action, App, Quit, Screen};
use crate::config::user::{self, ActionKeys, Problem, ProblemKind};
use crate::config::{ColorChoice, ConfigError, GlyphsChoice};
use crate::feed::Feed;
use crate::text::harmless;
use crate::tui::keys::{Binding, GROUPS, Group, KeyMap};
use crate::tui::{self, ColorLevel, Exit, Feeds, Glyphs, ScreenOptions, Theme};
use crate::view_files::ViewFolder;

/// The screen's options: the flags, over the user's configuration.
///
/// # Errors
/// The frame rate is out of range.
pub fn options(
    color: Option<ColorChoice>,
    glyphs: Option<GlyphsChoice>,
    fps: Option<u32>,
) -> Result<ScreenOptions, ConfigError> {
    let (config, problems) = user::load(&actions());
    let fps = fps.unwrap_or(config.fps);
    if !user::FPS.contains(&fps) {
        return Err(ConfigError(format!("--fps {fps}: must be from 1 to 120")));
    }
    let colors = match color.unwrap_or(config.color) {
        ColorChoice::Auto => ColorLevel::detect(env_variable),
        ColorChoice::Truecolor => ColorLevel::TrueColor,
        ColorChoice::Ansi256 => ColorLevel::Ansi256,
        ColorChoice::Ansi16 => ColorLevel::Ansi16,
        ColorChoice::Never => ColorLevel::None,
    };
    tui::ignore_no_color();
    let choice = glyphs.unwrap_or(config.glyphs);
    let glyphs = match choice {
        GlyphsChoice::Auto => Glyphs::detect(env_variable),
        GlyphsChoice::Braille => Glyphs::Braille,
        GlyphsChoice::Blocks => Glyphs::Blocks,
        GlyphsChoice::Ascii => Glyphs::Ascii,
    };
    let keys = config.keys.iter();
    let theme = Theme::new(colors, glyphs);
    Ok(ScreenOptions {
        theme: theme
            .painted(&config.background.colors())
            .painted(&config.colors),
        keys: KeyMap::with(keys.map(|keys| (keys.action.as_str(), &keys.keys[..]))),
        fps,
        mouse: config.mouse,
        notice: match notice(&problems) {
            // Probably a container: the terminal may be capable of more.
            said if said.is_empty() && choice == GlyphsChoice::Auto && !has_locale() => {
                "ASCII charts: no locale is set (for finer charts, set LANG=C.UTF-8 or use --glyphs braille)"
                    .to_owned()
            }
            said => said,
        },
    })
}

/// Whether the environment names a locale.
fn has_locale() -> bool {
    let said = |name| env_variable(name).is_some_and(|value| !value.is_empty());
    ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().any(said)
}

/// An environment variable, if it is valid Unicode.
#[must_use]
pub fn env_variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// The actions to which keys can be bound.
#[must_use]
pub fn actions() -> Vec<ActionKeys> {
    let named = |group: &Group, binding: &Binding| ActionKeys {
        action: binding.name.to_owned(),
        help: group.help.to_owned(),
        keys: binding.keys.to_vec(),
    };
    let groups = GROUPS.iter();
    let actions = groups.flat_map(|group| group.bindings.iter().map(|it| named(group, it)));
    actions.collect()
}

/// The notice about a configuration that cannot be used as it is.
fn notice(problems: &[Problem]) -> String {
    // Overrides that work as intended are no news at every start.
    let problems = problems
        .iter()
        .filter(|it| it.kind == ProblemKind::Unusable);
    match &problems.collect::<Vec<_>>()[..] {
        [] => String::new(),
        [only] => harmless(&only.to_string()),
        [first, rest @ ..] => {
            let more = format!("; {} more: `lcascope config` lists them", rest.len());
            harmless(&(first.to_string() + &more))
        }
    }
}

/// Why no screen can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoScreen {
    /// Standard input or output is not a terminal.
    NoTerminal,
    /// The terminal can only print, according to its `TERM`.
    Dumb(String),
    /// Another job owns the terminal.
    Background,
}

impl NoScreen {
    /// The current obstacle to drawing a screen, if any.
    #[must_use]
    pub fn now() -> Option<Self> {
        if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
            return Some(Self::NoTerminal);
        }
        if let Some(term) = dumb_terminal() {
            return Some(Self::Dumb(term));
        }
        tui::in_background().then_some(Self::Background)
    }
}

impl fmt::Display for NoScreen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTerminal => f.write_str("standard input or output is not a terminal"),
            Self::Dumb(term) if term.is_empty() => f.write_str("TERM is not set"),
            Self::Dumb(term) => write!(f, "TERM={term} can only print"),
            Self::Background => f.write_str("this job is in the background"),
        }
    }
}

/// The `TERM` of a terminal that cannot move its cursor, such as an Emacs shell, a console in an editor, or a job on a
/// build server.
fn dumb_terminal() -> Option<String> {
    let term = env::var_os("TERM").unwrap_or_default();
    let term = term.to_string_lossy();
    ["", "dumb", "unknown"]
        .contains(&&*term)
        .then(|| term.into_owned())
}

/// Whether standard error is a terminal that can show a progress bar.
#[must_use]
pub fn has_bar() -> bool {
    io::stderr().is_terminal() && dumb_terminal().is_none()
}

/// Whether output would disturb another job on the terminal.
#[must_use]
pub fn would_disturb_terminal() -> bool {
    io::stderr().is_terminal() && tui::in_background()
}

/// Checks that a screen can be shown.
///
/// # Errors
/// There is no terminal to draw on and to read keys from.
pub fn require_terminal(command: &str) -> Result<(), Failure> {
    let Some(obstacle) = NoScreen::now() else {
        return Ok(());
    };
    Err(Failure::Other(format!(
        "`lcascope {command}` needs a terminal, but {obstacle}; `lcascope info` summarises a file \
         without one"
    )))
}

/// A run to show.
pub struct ShownRun<'a> {
    pub feed: &'a Feed,
    pub file: &'a Path,
    /// The way to the file, if it is on another machine.
    pub there: Option<RemoteRun>,
}

/// Shows a run, and those it is compared with, until the user leaves. Starts from the view in which the run was left.
///
/// # Errors
/// The terminal cannot be drawn on.
pub fn show(
    first: &ShownRun,
    others: &[ShownRun],
    app: &mut App,
    begin: Option<Screen>,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let views = ViewFolder::of_user();
    saved_view::restore(app, &views);
    if let Some(screen) = begin {
        app.overlays.open = None;
        app.act(Action::Screen(screen));
    }
    if !options.notice.is_empty() {
        app.overlays.say(&options.notice);
    }
    let sources = std::iter::once(first).chain(others);
    let sources = sources.map(|shown| ExportedRun {
        file: match &shown.there {
            Some(run) => run.at.path.file_name().unwrap_or_default().into(),
            None => shown.file.to_owned(),
        },
        there: shown.there.clone(),
        layers: (shown.feed.header.layout.layers.iter())
            .map(|layer| layer.name.clone())
            .collect(),
    });
    let mut desktop = ExportJobs::new(sources.collect());
    let feeds = Feeds {
        first: first.feed,
        others: others.iter().map(|shown| shown.feed).collect(),
    };
    let shown = tui::run(&feeds, app, options, &mut desktop, &signals.events);
    saved_view::store(app, &views);
    shown.map_err(Failure::Terminal)
}

/// Prints one frame to standard output, of this size or, if none is given, of the terminal's.
///
/// # Errors
/// The file can no longer be read, or standard output cannot be written.
pub fn print_once(
    first: &ShownRun,
    others: &[ShownRun],
    app: &mut App,
    begin: Option<Screen>,
    options: &ScreenOptions,
    size: Option<(u16, u16)>,
    signals: &Signals,
) -> Result<ExitCode, Failure> {
    app.overlays.open = None;
    if let Some(screen) = begin {
        app.act(Action::Screen(screen));
    }
    let size = size.or_else(tui::terminal_size).unwrap_or((120, 40));
    let feeds = Feeds {
        first: first.feed,
        others: others.iter().map(|shown| shown.feed).collect(),
    };
    let mut frame = Vec::new();
    let exit = tui::once(&feeds, app, options, size, &signals.events, &mut frame);
    match exit.map_err(|error| Failure::Other(error.to_string()))? {
        Some(exit) => Ok(exit_code(exit)),
        None => print_frame(&frame),
    }
}

/// Prints a frame with its colours, which [`print`](super::print()) would not.
fn print_frame(frame: &[u8]) -> Result<ExitCode, Failure> {
    match io::stdout().write_all(frame) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Other(format!("standard output: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The exit code after a screen has closed.
#[must_use]
pub fn exit_code(exit: Exit) -> ExitCode {
    match exit {
        Exit::Quit(Quit::Stop | Quit::Leave | Quit::Runs) => ExitCode::SUCCESS,
        Exit::Hangup => signal_code(SIGHUP),
        Exit::Signal(signal) => signal_code(signal),
    }
}

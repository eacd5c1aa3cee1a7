//! The screen as a command needs it: options, signals, exit codes.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Handle;

use super::Failure;
use super::outside::{Desktop, Source};
use super::places;
use crate::app::{App, Quit};
use crate::config::user::{self, ActionKeys, Kind, Problem};
use crate::config::{ColorChoice, ConfigError};
use crate::feed::Feed;
use crate::state::Views;
use crate::text::harmless;
use crate::train::Control;
use crate::tui::keys::KeyMap;
use crate::tui::{self, ColorLevel, Exit, Feeds, Glyphs, ScreenOptions, Theme};

/// What the flags come to, over the user's configuration.
pub fn options(
    color: Option<ColorChoice>,
    glyphs: Option<Glyphs>,
    fps: Option<u32>,
) -> Result<ScreenOptions, ConfigError> {
    let (config, problems) = user::load(&actions());
    let fps = fps.unwrap_or(config.fps);
    if !user::FPS.contains(&fps) {
        return Err(ConfigError(format!("--fps {fps}: must be from 1 to 120")));
    }
    let colors = match color.unwrap_or(config.color) {
        ColorChoice::Auto => ColorLevel::detect(|name| std::env::var(name).ok()),
        ColorChoice::Truecolor => ColorLevel::TrueColor,
        ColorChoice::Ansi256 => ColorLevel::Ansi256,
        ColorChoice::Ansi16 => ColorLevel::Ansi16,
        ColorChoice::Never => ColorLevel::None,
    };
    tui::ignore_no_color();
    let keys = config.keys.iter();
    let theme = Theme::new(colors, glyphs.unwrap_or(config.glyphs));
    Ok(ScreenOptions {
        theme: theme
            .painted(&config.background.colors())
            .painted(&config.colors),
        keys: KeyMap::of_names(keys.map(|keys| (keys.action.as_str(), &keys.keys[..]))),
        fps,
        mouse: config.mouse,
        notice: notice(&problems),
    })
}

/// The actions that keys can be given to.
pub fn actions() -> Vec<ActionKeys> {
    let actions = tui::actions().into_iter();
    let named = |action: tui::ActionNames| ActionKeys {
        action: action.action.to_owned(),
        help: action.help.to_owned(),
        keys: action.keys,
    };
    actions.map(named).collect()
}

/// What the screen says of a configuration that cannot be used as it is.
fn notice(problems: &[Problem]) -> String {
    // What is as the user has asked for is no news at every start.
    let problems = problems.iter().filter(|it| it.kind == Kind::Unusable);
    match &problems.collect::<Vec<_>>()[..] {
        [] => String::new(),
        [only] => harmless(&only.to_string()),
        [first, rest @ ..] => {
            let more = format!("; {} more: `lcascope config` lists them", rest.len());
            harmless(&(first.to_string() + &more))
        }
    }
}

/// Whether there is a terminal to draw on and to read keys from.
pub fn has_terminal() -> bool {
    io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// # Errors
/// There is no terminal.
pub fn require_terminal(command: &str) -> Result<(), Failure> {
    if has_terminal() {
        return Ok(());
    }
    Err(Failure::Other(format!(
        "`lcascope {command}` needs a terminal for its screen; `lcascope info` prints what is in a file"
    )))
}

/// A run to show.
pub struct Shown<'a> {
    pub feed: &'a Feed,
    pub file: &'a Path,
}

/// Shows a run, and what it is compared with, until the user leaves. Begins where the run was left the
/// last time.
pub fn show(
    first: &Shown,
    second: Option<&Shown>,
    app: &mut App,
    options: &ScreenOptions,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let views = Views::of_user();
    places::restore(app, &views);
    if !options.notice.is_empty() {
        app.say(&options.notice);
    }
    let sources = [Some(first), second].into_iter().flatten();
    let sources = sources.map(|shown| Source {
        file: shown.file.to_owned(),
        layers: (shown.feed.header.layout.layers.iter())
            .map(|layer| layer.name.clone())
            .collect(),
    });
    let mut desktop = Desktop::new(sources.collect());
    let feeds = Feeds {
        first: first.feed,
        second: second.map(|shown| shown.feed),
    };
    let shown = tui::run(&feeds, app, options, &mut desktop, &signals.events);
    places::keep(app, &views);
    shown.map_err(Failure::Terminal)
}

/// What the shell is told after a screen has closed.
pub fn exit_code(exit: Exit) -> ExitCode {
    match exit {
        Exit::Quit(Quit::Stop | Quit::Leave) => ExitCode::SUCCESS,
        Exit::Hangup => signal_code(SIGHUP),
        Exit::Signal(signal) => signal_code(signal),
    }
}

/// 128 + the signal's number, as shells have it.
pub fn signal_code(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

/// Signals that come within this time are one request to stop.
const ONE_REQUEST: Duration = Duration::from_secs(1);

/// Turns SIGTERM, SIGINT and SIGHUP into messages until dropped.
pub struct Signals {
    pub events: Receiver<i32>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Signals {
    /// SIGTERM and SIGINT also stop the training behind `controls` by themselves: the screen may be
    /// stuck in a terminal that takes no output. The second one ends the program at once, unless it
    /// comes with the first: `timeout`, for one, signals a process and then its whole group.
    pub fn listen(controls: Option<Sender<Control>>) -> Result<Self, Failure> {
        let error = |error| Failure::Other(format!("cannot listen to signals: {error}"));
        let mut signals =
            signal_hook::iterator::Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(error)?;
        let handle = signals.handle();
        let (sender, events) = unbounded();
        let thread = thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                let mut asked: Option<Instant> = None;
                for signal in &mut signals {
                    if signal != SIGHUP {
                        match asked {
                            None => asked = Some(Instant::now()),
                            Some(first) if first.elapsed() < ONE_REQUEST => continue,
                            Some(_) => std::process::exit(128 + signal),
                        }
                    }
                    if let (Some(controls), true) = (&controls, signal != SIGHUP) {
                        let _ = controls.send(Control::Stop);
                    }
                    if sender.send(signal).is_err() {
                        break;
                    }
                }
            })
            .map_err(error)?;
        Ok(Self {
            events,
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

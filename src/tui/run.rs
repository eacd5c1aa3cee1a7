//! The draw loop.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, never, select};
use crossterm::event::Event;
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;

use super::clipboard;
use super::input::{Input, InputThread};
use super::keys::{self, KeyMap, Request};
use super::mouse;
use super::outside::{Outcome, Outside};
use super::terminal::TerminalGuard;
use super::theme::Theme;
use super::view;
use crate::app::{App, Quit};
use crate::feed::{Feed, FeedEvent};
use crate::query::Query;

/// How the screen is drawn.
#[derive(Clone, Debug)]
pub struct ScreenOptions {
    pub theme: Theme,
    pub keys: KeyMap,
    /// Frames a second at most, while nobody presses a key.
    pub fps: u32,
    /// Whether clicks and the wheel do something.
    pub mouse: bool,
    /// What is to be said when the screen opens; empty for nothing.
    pub notice: String,
}

/// Why the screen went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Quit(Quit),
    /// The terminal is gone; a training goes on without it.
    Hangup,
    /// A signal asked the program to end.
    Signal(i32),
}

/// A key is answered at once, but no more often than this.
const KEY_FRAME: Duration = Duration::from_millis(8);

/// Lines of stray output that may wait for the log.
const STRAY: usize = 1024;

/// What is shown: a run and, where two are compared, the other one.
pub struct Feeds<'a> {
    pub first: &'a Feed,
    pub second: Option<&'a Feed>,
}

/// Shows the feed until the user leaves, the terminal is gone or a signal comes. The terminal is
/// then as it was before.
///
/// # Errors
/// The terminal cannot be drawn on.
#[expect(clippy::too_many_lines, reason = "one loop over all that can happen")]
pub fn run(
    feeds: &Feeds,
    app: &mut App,
    options: &ScreenOptions,
    outside: &mut dyn Outside,
    signals: &Receiver<i32>,
) -> io::Result<Exit> {
    let (said, stray) = bounded(STRAY);
    let (mut guard, screen) = TerminalGuard::enter(options.mouse, Some(said.clone()))?;
    let feed = feeds.first;
    let input = InputThread::spawn()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(screen)))?;
    let mut sources = [Source::of(Some(feed)), Source::of(feeds.second)];
    let outcomes = outside.outcomes();
    let mut painter = Painter::new(options.fps);
    let mut wanted = Vec::new();
    // What is drawn, for the mouse.
    let mut lines = Vec::new();
    loop {
        if painter.is_due() {
            // A terminal that takes no more is gone; the training is not its business.
            let Ok(area) = draw(&mut terminal, app, options, &mut lines) else {
                return Ok(Exit::Hangup);
            };
            painter.drawn();
            wanted = view::wants(area, app, &options.theme);
            ask(app, feed, &wanted);
            ask_other(app, feeds.second);
        } else if app
            .desk
            .patience()
            .is_some_and(|patience| patience.is_zero())
        {
            ask(app, feed, &wanted);
        }
        let request = select! {
            recv(sources[0].events) -> event => {
                take(app, event.ok(), &mut sources[0].events);
                painter.changed();
                None
            }
            recv(sources[0].answers) -> answer => {
                take(app, answer.ok(), &mut sources[0].answers);
                painter.changed();
                None
            }
            recv(stray) -> line => {
                for line in line.into_iter().chain(stray.try_iter().take(STRAY)) {
                    app.log.push(&line);
                }
                painter.changed();
                None
            }
            recv(sources[1].events) -> event => {
                if let Some(other) = &mut app.other {
                    take(&mut other.app, event.ok(), &mut sources[1].events);
                }
                painter.changed_if(app.comparing);
                None
            }
            recv(sources[1].answers) -> answer => {
                if let Some(other) = &mut app.other {
                    take(&mut other.app, answer.ok(), &mut sources[1].answers);
                }
                painter.changed_if(app.comparing);
                None
            }
            recv(outcomes) -> outcome => {
                if let Ok(outcome) = outcome {
                    let said = come_of(outcome, terminal.backend_mut());
                    app.say(said);
                }
                painter.urgent();
                None
            }
            recv(input.events) -> event => match event {
                Ok(Input::Event(Event::Key(key))) => keys::request(&options.keys, key, app),
                Ok(Input::Resized) => {
                    painter.changed();
                    None
                }
                Ok(Input::Event(Event::Mouse(mouse))) => {
                    mouse::action(&lines, mouse, app).map(Request::Act)
                }
                Ok(Input::Event(_)) => None,
                Ok(Input::Hangup) | Err(_) => return Ok(Exit::Hangup),
            },
            recv(signals) -> signal => match signal {
                Ok(signal_hook::consts::SIGHUP) => return Ok(Exit::Hangup),
                Ok(signal) => return Ok(Exit::Signal(signal)),
                Err(_) => None,
            },
            default(patience(&painter, app)) => None,
        };
        if app.tick(painter.elapsed()) {
            painter.changed();
        }
        match request {
            Some(Request::Act(action)) => {
                app.act(action);
                painter.urgent();
            }
            Some(Request::Suspend) => {
                drop(terminal);
                drop(guard);
                // The whole job, as the terminal itself does it: a program that has started this one
                // stops too. Where no shell could bring it back, the system ignores the signal.
                rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
                let (taken, screen) = TerminalGuard::enter(options.mouse, Some(said.clone()))?;
                guard = taken;
                terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(screen)))?;
                painter.urgent();
            }
            None => {}
        }
        for effect in app.take_effects() {
            app.say(outside.begin(effect));
        }
        if let Some(controls) = &feed.controls {
            for order in app.take_orders() {
                // A training that has ended takes no more orders.
                let _ = controls.send(order);
            }
        }
        if let Some(quit) = app.quit {
            return Ok(Exit::Quit(quit));
        }
    }
}

/// What a feed brings; nothing where there is none.
struct Source {
    events: Receiver<FeedEvent>,
    answers: Receiver<FeedEvent>,
}

impl Source {
    fn of(feed: Option<&Feed>) -> Self {
        let details = feed.and_then(|feed| feed.details.as_ref());
        Self {
            events: feed.map_or_else(never, |feed| feed.events.clone()),
            answers: details.map_or_else(never, |it| it.answers.clone()),
        }
    }
}

/// Takes an event in, and those that wait behind it, up to a number that keeps keys responsive. None is
/// the end of them.
fn take(app: &mut App, first: Option<FeedEvent>, more: &mut Receiver<FeedEvent>) {
    let Some(first) = first else {
        *more = never();
        return lost_feed(app);
    };
    app.event(first);
    for event in more.try_iter().take(64) {
        app.event(event);
    }
}

/// Does the part of an effect that is the terminal's, and says what came of it.
fn come_of(outcome: Outcome, screen: &mut impl Write) -> String {
    match outcome {
        Outcome::Said(text) => text,
        Outcome::Text { text, what } => {
            let tmux = std::env::var("TMUX").ok();
            match clipboard::copy(&text, screen, tmux.as_deref()) {
                Ok(clipboard::Copied::Tmux) => format!("{what} copied to tmux and its terminal"),
                Ok(clipboard::Copied::Asked) => {
                    format!("{what} given to the terminal's clipboard, if it takes them")
                }
                Err(why) => why,
            }
        }
    }
}

/// Asks for finer steps than there are where the screen could show them, and for what it shows beyond
/// the steps. What is known is shown meanwhile.
fn ask(app: &mut App, feed: &Feed, wanted: &[Query]) {
    let Some(details) = &feed.details else {
        return;
    };
    let queries = [app.wanted_detail(), app.wanted_answer(wanted)];
    for query in queries.into_iter().flatten() {
        if let Err(error) = details.requests.try_send(query) {
            app.not_asked(&error.into_inner());
        }
    }
}

/// The same of the other run's steps, while it is shown.
fn ask_other(app: &mut App, feed: Option<&Feed>) {
    let details = feed.and_then(|feed| feed.details.as_ref());
    let Some((details, query)) = details.zip(app.wanted_of_other()) else {
        return;
    };
    if let Err(error) = details.requests.try_send(query)
        && let Some(other) = &mut app.other
    {
        other.app.not_asked(&error.into_inner());
    }
}

/// How long the loop may sleep.
fn patience(painter: &Painter, app: &App) -> Duration {
    let frame = painter.patience(app.play_rate().is_some());
    app.desk
        .patience()
        .map_or(frame, |asking| asking.min(frame))
}

/// The feed has ended. If it did not say how, its thread is gone.
fn lost_feed(app: &mut App) {
    if app.is_training() {
        app.event(FeedEvent::Broken(
            "the training thread ended without a word".to_owned(),
        ));
    }
}

fn draw(
    terminal: &mut Terminal<CrosstermBackend<BufWriter<File>>>,
    app: &App,
    options: &ScreenOptions,
    lines: &mut Vec<String>,
) -> io::Result<Rect> {
    let ScreenOptions { theme, keys, .. } = options;
    queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    let drawn =
        terminal.draw(|frame| view::draw(frame.area(), frame.buffer_mut(), app, theme, keys))?;
    let area = drawn.area;
    if options.mouse {
        *lines = mouse::lines(drawn.buffer);
    }
    queue!(terminal.backend_mut(), EndSynchronizedUpdate)?;
    terminal.backend_mut().flush()?;
    Ok(area)
}

/// Decides when to draw: only when something changed, and not too often.
struct Painter {
    frame: Duration,
    last: Instant,
    last_tick: Instant,
    /// The shortest time since the last frame after which the change may be drawn.
    due: Option<Duration>,
}

impl Painter {
    fn new(fps: u32) -> Self {
        let now = Instant::now();
        Self {
            frame: Duration::from_secs(1) / fps.max(1),
            last: now,
            last_tick: now,
            due: Some(Duration::ZERO),
        }
    }

    fn changed(&mut self) {
        let frame = self.frame;
        self.due = Some(self.due.map_or(frame, |due| due.min(frame)));
    }

    fn changed_if(&mut self, shown: bool) {
        if shown {
            self.changed();
        }
    }

    fn urgent(&mut self) {
        self.due = Some(self.due.map_or(KEY_FRAME, |due| due.min(KEY_FRAME)));
    }

    fn is_due(&self) -> bool {
        self.due.is_some_and(|due| self.last.elapsed() >= due)
    }

    fn drawn(&mut self) {
        self.last = Instant::now();
        self.due = None;
    }

    /// How long the loop may sleep.
    fn patience(&self, playing: bool) -> Duration {
        match self.due {
            Some(due) => due.saturating_sub(self.last.elapsed()),
            None if playing => self.frame,
            None => Duration::from_secs(3600),
        }
    }

    /// Time since the last call.
    fn elapsed(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.last_tick, now)
    }
}

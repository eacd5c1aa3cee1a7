//! The draw loop.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, bounded, never};
use crossterm::event::Event;
use crossterm::queue;
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

use super::clipboard::{Clipboard, Copied};
use super::frame::Drawn;
use super::input::{Input, InputThread};
use super::job::in_background;
use super::keys::{self, KeyMap, Request};
use super::mouse;
use super::outside::{Outcome, Outside};
use super::painter::Painter;
use super::terminal::TerminalGuard;
use super::theme::Theme;
use super::view;
use crate::app::{App, Quit};
use crate::feed::{Feed, FeedEvent, Origin};
use crate::query::Query;

/// Options of the screen.
#[derive(Clone, Debug)]
pub struct ScreenOptions {
    pub theme: Theme,
    pub keys: KeyMap,
    /// The maximum frame rate per second while no key is pressed.
    pub fps: u32,
    /// Whether the mouse is used.
    pub mouse: bool,
    /// A notice shown when the screen opens; empty for none.
    pub notice: String,
}

/// Why the screen was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Quit(Quit),
    /// The terminal is gone; a training continues without it.
    Hangup,
    /// A signal asked the program to end.
    Signal(i32),
}

impl Exit {
    /// The exit for which a signal asks.
    pub(super) fn from_signal(signal: i32) -> Self {
        match signal {
            signal_hook::consts::SIGHUP => Self::Hangup,
            signal => Self::Signal(signal),
        }
    }
}

type Screen = Terminal<CrosstermBackend<BufWriter<File>>>;

/// The interval at which a background job checks whether it has the terminal again: a shell's `fg` does not notify a
/// running job.
pub(super) const BACKGROUND: Duration = Duration::from_millis(200);

/// The most lines of stray output that may wait for the log.
pub(super) const STRAY: usize = 1024;

/// The feeds of the run shown and, in a comparison, of the other runs.
pub struct Feeds<'a> {
    pub first: &'a Feed,
    pub others: Vec<&'a Feed>,
}

/// Shows the feed until the user leaves, the terminal is gone or a signal arrives, then restores the terminal. In the
/// background it draws nothing, and returns once a live training has ended.
///
/// # Errors
/// The terminal cannot be drawn on.
pub fn run(
    feeds: &Feeds,
    app: &mut App,
    options: &ScreenOptions,
    outside: &mut dyn Outside,
    signals: &Receiver<i32>,
) -> io::Result<Exit> {
    let (said, stray) = bounded(STRAY);
    let mut state = LoopState {
        feeds,
        options,
        sources: std::iter::once(&feeds.first)
            .chain(&feeds.others)
            .map(|feed| Source::of(feed))
            .collect(),
        stray,
        outcomes: outside.outcomes(),
        input: never(),
        signals: signals.clone(),
        clipboard: Clipboard::new(std::env::var("TMUX").ok(), said.clone()),
        painter: Painter::new(options.fps),
        drawn: Drawn::default(),
    };
    // None while another job has the terminal: the training continues regardless.
    let mut taken: Option<OnTerminal> = None;
    let mut was_taken = false;
    loop {
        if taken.is_none() && !in_background() {
            let terminal = match OnTerminal::take(options.mouse, &said) {
                Ok(terminal) => terminal,
                // A hang-up sends SIGCONT too, as continuing a job does.
                Err(_) if was_taken => return Ok(Exit::Hangup),
                Err(error) => return Err(error),
            };
            state.input = terminal.input.events.clone();
            state.painter.urgent();
            (taken, was_taken) = (Some(terminal), true);
        }
        // If writing fails, the terminal is gone; the training does not depend on it.
        if let Some(on) = &mut taken
            && state.paint(&mut on.screen, app).is_err()
        {
            return Ok(Exit::Hangup);
        }
        let happened = state.wait(app, taken.is_some());
        let answer = match &mut taken {
            Some(on) => state.take(happened, app, on.screen.backend_mut()),
            None => state.take(happened, app, &mut io::sink()),
        };
        if app.tick(state.painter.elapsed()) {
            state.painter.changed();
        }
        match answer {
            Taken::Nothing => {}
            Taken::Leave(exit) => return Ok(exit),
            Taken::Ask(Request::Act(action)) => {
                app.act(action);
                state.painter.urgent();
            }
            Taken::Ask(Request::Suspend) => {
                state.input = never();
                taken = None;
                // Stop the whole process group, as the terminal itself does, so that a parent that started this program
                // stops too. If no shell could resume the group, the system ignores the signal.
                rustix::process::kill_current_process_group(rustix::process::Signal::TSTP)?;
            }
            Taken::Lost => {
                state.input = never();
                taken = None;
            }
        }
        // A user who sent a training to the background waits there for it to end.
        if taken.is_none() && app.model.origin == Origin::Live && !app.model.is_training() {
            return Ok(Exit::Quit(Quit::Leave));
        }
        for effect in app.take_effects() {
            app.overlays.say(outside.begin(effect));
        }
        if let Some(controls) = &feeds.first.controls {
            for order in app.model.take_orders() {
                // A training that has ended accepts no more orders.
                let _ = controls.send(order);
            }
        }
        if let Some(quit) = app.quit {
            return Ok(Exit::Quit(quit));
        }
    }
}

/// The terminal, taken over.
pub(super) struct OnTerminal {
    // The order matters: the terminal is restored after drawing and reading on it have ended.
    screen: Screen,
    pub input: InputThread,
    _guard: TerminalGuard,
}

impl OnTerminal {
    pub fn take(mouse: bool, said: &Sender<String>) -> io::Result<Self> {
        let (guard, screen) = TerminalGuard::enter(mouse, Some(said.clone()))?;
        Ok(Self {
            input: InputThread::spawn()?,
            screen: Terminal::new(CrosstermBackend::new(BufWriter::new(screen)))?,
            _guard: guard,
        })
    }

    /// Draws a whole frame.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame)) -> io::Result<()> {
        draw_frame(&mut self.screen, draw)
    }
}

/// An event of the draw loop. `None` means that its source has ended.
enum Happened {
    /// From the feed of a run, by its index.
    Event(usize, Option<FeedEvent>),
    Answer(usize, Option<FeedEvent>),
    Stray(Option<String>),
    Outcome(Option<Outcome>),
    Input(Option<Input>),
    Signal(Option<i32>),
    /// The wait timed out.
    Nothing,
}

/// The loop's reaction to an event.
enum Taken {
    Nothing,
    Ask(Request),
    Leave(Exit),
    /// The terminal may belong to another job now, or be in another mode: release it, and take it again when possible.
    Lost,
}

/// The channels the draw loop waits on, and the state of drawing.
struct LoopState<'a> {
    feeds: &'a Feeds<'a>,
    options: &'a ScreenOptions,
    /// One for each run, the first one first.
    sources: Vec<Source>,
    stray: Receiver<String>,
    outcomes: Receiver<Outcome>,
    input: Receiver<Input>,
    signals: Receiver<i32>,
    clipboard: Clipboard,
    painter: Painter,
    /// The result of the last drawing.
    drawn: Drawn,
}

impl LoopState<'_> {
    /// Draws if a frame is due, and requests missing data.
    fn paint(&mut self, terminal: &mut Screen, app: &mut App) -> io::Result<()> {
        let feed = self.feeds.first;
        if self.painter.is_due() {
            self.drawn = draw(terminal, app, self.options)?;
            self.painter.drawn();
            self.drawn.limit_scrolling(app);
            ask(app, feed, &self.drawn.queries);
            for (other, feed) in self.feeds.others.iter().enumerate() {
                ask_other(app, other, feed);
            }
        } else if app.model.queries.patience().is_some_and(|it| it.is_zero()) {
            ask(app, feed, &self.drawn.queries);
        }
        Ok(())
    }

    /// Waits for the next event, or until the loop has something to do.
    fn wait(&self, app: &App, draws: bool) -> Happened {
        let patience = if draws {
            patience(&self.painter, app)
        } else {
            BACKGROUND
        };
        let mut waiting = Select::new();
        for source in &self.sources {
            waiting.recv(&source.events);
            waiting.recv(&source.answers);
        }
        let runs = self.sources.len();
        waiting.recv(&self.stray);
        waiting.recv(&self.outcomes);
        waiting.recv(&self.input);
        waiting.recv(&self.signals);
        let Ok(ready) = waiting.select_timeout(patience) else {
            return Happened::Nothing;
        };
        let (place, run) = (ready.index(), ready.index() / 2);
        if let Some(source) = self.sources.get(run) {
            if place % 2 == 0 {
                Happened::Event(run, ready.recv(&source.events).ok())
            } else {
                Happened::Answer(run, ready.recv(&source.answers).ok())
            }
        } else if place == 2 * runs {
            Happened::Stray(ready.recv(&self.stray).ok())
        } else if place == 2 * runs + 1 {
            Happened::Outcome(ready.recv(&self.outcomes).ok())
        } else if place == 2 * runs + 2 {
            Happened::Input(ready.recv(&self.input).ok())
        } else {
            Happened::Signal(ready.recv(&self.signals).ok())
        }
    }

    fn take(&mut self, happened: Happened, app: &mut App, screen: &mut impl Write) -> Taken {
        match happened {
            Happened::Event(at, event) => {
                take_events(app, at, event, &mut self.sources[at].events);
                self.painter.changed_if(at == 0 || app.nav.comparing);
            }
            Happened::Answer(at, answer) => {
                match answer {
                    Some(answer) => take_event(app, at, answer),
                    None => self.sources[at].answers = never(),
                }
                self.painter.changed_if(at == 0 || app.nav.comparing);
            }
            Happened::Stray(line) => {
                for line in line.into_iter().chain(self.stray.try_iter().take(STRAY)) {
                    app.model.log.push(&line);
                }
                self.painter.changed();
            }
            Happened::Outcome(Some(outcome)) => {
                app.overlays
                    .say(come_of(outcome, &mut self.clipboard, screen));
                self.painter.urgent();
            }
            Happened::Outcome(None) => self.outcomes = never(),
            Happened::Input(input) => return self.take_input(input.as_ref(), app),
            Happened::Signal(Some(signal)) => return Taken::Leave(Exit::from_signal(signal)),
            Happened::Signal(None) => self.signals = never(),
            Happened::Nothing => {}
        }
        Taken::Nothing
    }

    fn take_input(&mut self, input: Option<&Input>, app: &App) -> Taken {
        let request = match input {
            Some(Input::Event(Event::Key(key))) => {
                keys::request(&self.options.keys, *key, &app.overlays)
            }
            Some(Input::Event(Event::Mouse(mouse))) => {
                mouse::action(&self.drawn, *mouse, &app.overlays).map(Request::Act)
            }
            Some(Input::Event(_)) => None,
            Some(Input::Resized) => {
                self.painter.changed();
                None
            }
            Some(Input::Continued) => return Taken::Lost,
            // A background job cannot read keys.
            Some(Input::Hangup) | None if in_background() => return Taken::Lost,
            Some(Input::Hangup) | None => return Taken::Leave(Exit::Hangup),
        };
        request.map_or(Taken::Nothing, Taken::Ask)
    }
}

/// Passes on an event of the first feed (0), or of a run it is compared with.
pub(super) fn take_event(app: &mut App, at: usize, event: FeedEvent) {
    let other = at
        .checked_sub(1)
        .map(|other| app.others.runs.get_mut(other));
    match other {
        None => app.event(event),
        Some(Some(other)) => other.model.event(event),
        Some(None) => {}
    }
}

/// The channels of a feed; those that it lacks never deliver anything.
pub(super) struct Source {
    pub events: Receiver<FeedEvent>,
    pub answers: Receiver<FeedEvent>,
}

impl Source {
    pub fn of(feed: &Feed) -> Self {
        let details = feed.details.as_ref();
        Self {
            events: feed.events.clone(),
            answers: details.map_or_else(never, |it| it.answers.clone()),
        }
    }
}

/// Applies an event and those queued behind it, up to a limit that keeps keys responsive. `None` means that the feed
/// has ended.
fn take_events(app: &mut App, at: usize, first: Option<FeedEvent>, more: &mut Receiver<FeedEvent>) {
    let Some(first) = first else {
        *more = never();
        return lost_feed(app);
    };
    take_event(app, at, first);
    for event in more.try_iter().take(64) {
        take_event(app, at, event);
    }
}

/// Does the terminal's part of an effect, and returns the notice.
fn come_of(outcome: Outcome, clipboard: &mut Clipboard, screen: &mut impl Write) -> String {
    match outcome {
        Outcome::Said(text) => text,
        Outcome::Text { text, what } => match clipboard.copy(&text, screen) {
            Ok(Copied::Tmux) => format!("copied to tmux and the terminal: {what}"),
            Ok(Copied::Asked) => {
                format!("copied: {what}")
            }
            Err(why) => why,
        },
    }
}

/// Requests finer steps where the screen could show them, and the answers it needs beyond the steps. Until they arrive,
/// it shows what is known. Returns the number of queries sent.
pub(super) fn ask(app: &mut App, feed: &Feed, wanted: &[Query]) -> usize {
    let Some(details) = &feed.details else {
        return 0;
    };
    let mut sent = 0;
    let queries = [app.wanted_detail(), app.wanted_answer(wanted)];
    for query in queries.into_iter().flatten() {
        match details.requests.try_send(query) {
            Ok(()) => sent += 1,
            Err(error) => app.model.not_asked(&error.into_inner()),
        }
    }
    sent
}

/// Requests another run's finer steps while it is shown. Returns the number of queries sent.
pub(super) fn ask_other(app: &mut App, other: usize, feed: &Feed) -> usize {
    let Some((details, query)) = feed.details.as_ref().zip(app.wanted_of_other(other)) else {
        return 0;
    };
    match details.requests.try_send(query) {
        Ok(()) => 1,
        Err(error) => {
            if let Some(other) = app.others.runs.get_mut(other) {
                other.model.not_asked(&error.into_inner());
            }
            0
        }
    }
}

/// The longest time that the loop may sleep.
fn patience(painter: &Painter, app: &App) -> Duration {
    let frame = painter.patience(app.playback.rate().is_some());
    app.model
        .queries
        .patience()
        .map_or(frame, |asking| asking.min(frame))
}

/// Handles the end of a feed. If the feed did not report how it ended, its thread is gone.
fn lost_feed(app: &mut App) {
    if app.model.is_training() {
        app.event(FeedEvent::Broken(
            "the training thread ended unexpectedly".to_owned(),
        ));
    }
}

fn draw(terminal: &mut Screen, app: &App, options: &ScreenOptions) -> io::Result<Drawn> {
    let ScreenOptions { theme, keys, .. } = options;
    let mut drawn = Drawn::default();
    draw_frame(terminal, |frame| {
        drawn = view::draw(frame.area(), frame.buffer_mut(), app, theme, keys);
    })?;
    Ok(drawn)
}

fn draw_frame(terminal: &mut Screen, draw: impl FnOnce(&mut ratatui::Frame)) -> io::Result<()> {
    queue!(terminal.backend_mut(), BeginSynchronizedUpdate)?;
    terminal.draw(draw)?;
    queue!(terminal.backend_mut(), EndSynchronizedUpdate)?;
    terminal.backend_mut().flush()
}

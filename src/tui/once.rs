//! One frame, printed: the explorer for scripts, logs and pipes.

use std::io::{self, IsTerminal, Write};

use crossbeam_channel::{Receiver, Select, never, select};
use crossterm::queue;
use crossterm::style::{PrintStyledContent, StyledContent};
use ratatui::backend::IntoCrossterm;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::run::{Exit, Feeds, ScreenOptions, Source, ask, ask_other, take_event};
use super::theme::ColorLevel;
use super::view;
use crate::app::App;
use crate::feed::{Feed, FeedEvent, Origin};

/// Draws one frame of `(width, height)` cells once everything that it shows has arrived, and prints it to `out` as lines.
/// Returns early if a signal asks the program to end.
///
/// # Errors
/// The file can no longer be read, or `out` cannot be written.
pub fn once(
    feeds: &Feeds,
    app: &mut App,
    options: &ScreenOptions,
    (width, height): (u16, u16),
    signals: &Receiver<i32>,
    out: &mut impl Write,
) -> io::Result<Option<Exit>> {
    let each = || std::iter::once(feeds.first).chain(feeds.others.iter().copied());
    for (at, feed) in each().enumerate() {
        if let Some(exit) = catch_up(app, at, feed, signals)? {
            return Ok(Some(exit));
        }
    }
    let area = Rect::new(0, 0, width, height);
    let mut sources: Vec<Source> = each().map(Source::of).collect();
    let mut waiting = 0;
    loop {
        let mut buffer = Buffer::empty(area);
        let drawn = view::draw(area, &mut buffer, app, &options.theme, &options.keys);
        waiting += ask(app, feeds.first, &drawn.queries);
        for (other, feed) in feeds.others.iter().enumerate() {
            waiting += ask_other(app, other, feed);
        }
        if waiting == 0 {
            print(&buffer, options.theme.colors, out)?;
            return Ok(None);
        }
        match next(&sources, signals) {
            Next::Answer(at, answer) => {
                let lost = || io::Error::other("nobody reads the file any more");
                take_event(app, at, answer.ok_or_else(lost)?);
                waiting -= 1;
            }
            // Steps that arrive now are for later frames.
            Next::Event(at, event) => check(event.as_ref(), &mut sources[at])?,
            Next::Signal(signal) => return Ok(Some(Exit::Signal(signal))),
        }
    }
}

/// The next event or answer, with the index of its run.
enum Next {
    Event(usize, Option<FeedEvent>),
    Answer(usize, Option<FeedEvent>),
    Signal(i32),
}

fn next(sources: &[Source], signals: &Receiver<i32>) -> Next {
    let mut waiting = Select::new();
    for source in sources {
        waiting.recv(&source.events);
        waiting.recv(&source.answers);
    }
    let last = waiting.recv(signals);
    loop {
        let ready = waiting.select();
        let place = ready.index();
        if place == last {
            match ready.recv(signals) {
                Ok(signal) => return Next::Signal(signal),
                Err(_) => waiting.remove(last),
            }
        } else if place % 2 == 0 {
            return Next::Event(place / 2, ready.recv(&sources[place / 2].events).ok());
        } else {
            return Next::Answer(place / 2, ready.recv(&sources[place / 2].answers).ok());
        }
    }
}

/// Takes in all steps that the run has, and its status.
fn catch_up(
    app: &mut App,
    at: usize,
    feed: &Feed,
    signals: &Receiver<i32>,
) -> io::Result<Option<Exit>> {
    let mut source = Source::of(feed);
    loop {
        let event = select! {
            recv(source.events) -> event => event.ok(),
            recv(signals) -> signal => match signal {
                Ok(signal) => return Ok(Some(Exit::Signal(signal))),
                Err(_) => continue,
            },
        };
        check(event.as_ref(), &mut source)?;
        let Some(event) = event else {
            return Ok(None);
        };
        let is_last = match &event {
            FeedEvent::Status { .. } => true,
            FeedEvent::CaughtUp => feed.origin != Origin::Replay,
            _ => false,
        };
        take_event(app, at, event);
        if is_last {
            return Ok(None);
        }
    }
}

/// Fails if an event says that no more answers will come. `None` is the end of the events.
fn check(event: Option<&FeedEvent>, source: &mut Source) -> io::Result<()> {
    match event {
        Some(FeedEvent::Broken(why) | FeedEvent::Disconnected(why)) => {
            Err(io::Error::other(why.clone()))
        }
        Some(_) => Ok(()),
        None => {
            source.events = never();
            Ok(())
        }
    }
}

/// Returns the columns and rows of the terminal that standard output is, if it is one.
#[must_use]
pub fn terminal_size() -> Option<(u16, u16)> {
    let size = io::stdout().is_terminal().then(crossterm::terminal::size)?;
    size.ok().filter(|&(width, height)| width > 0 && height > 0)
}

fn print(buffer: &Buffer, colors: ColorLevel, out: &mut impl Write) -> io::Result<()> {
    let width = usize::from(buffer.area.width).max(1);
    for row in buffer.content.chunks(width) {
        let mut cells = row.iter();
        // Cells of one style together.
        let mut pieces: Vec<(Style, String)> = Vec::new();
        while let Some(cell) = cells.next() {
            match pieces.last_mut() {
                Some((style, text)) if *style == cell.style() => text.push_str(cell.symbol()),
                _ => pieces.push((cell.style(), cell.symbol().to_owned())),
            }
            // A wide character covers the cells behind it.
            for _ in 1..Span::raw(cell.symbol()).width() {
                cells.next();
            }
        }
        if colors == ColorLevel::None {
            let text: String = pieces.into_iter().map(|(_, text)| text).collect();
            writeln!(out, "{}", text.trim_end_matches(' '))?;
        } else {
            for (style, text) in pieces {
                queue!(
                    out,
                    PrintStyledContent(StyledContent::new(style.into_crossterm(), text))
                )?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

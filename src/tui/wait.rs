//! The screen shown while waiting for data: what it waits for, and how to leave.
//!
//! ```text
//!  lcascope  reading runs/mnist-fc.h5 …   q quit
//! ```

use std::fs::File;
use std::io::{self, BufWriter};
use std::time::Duration;

use crossbeam_channel::{Receiver, select};
use crossterm::event::Event;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::text::{Line, Span};

use super::input::{Input, InputThread};
use super::keys::{self, Request};
use super::run::{Exit, ScreenOptions};
use super::terminal::TerminalGuard;
use super::view::words::either;
use crate::app::{Action, Quit};

/// The wait before a screen is shown.
const SOON: Duration = Duration::from_millis(300);

/// The result of waiting.
pub enum Waited<T> {
    Answer(T),
    /// The other side is gone without an answer.
    Nobody,
    Left(Exit),
}

/// Waits for an answer; the user may leave before it arrives.
///
/// # Errors
/// The terminal cannot be drawn on.
pub fn wait<T>(
    what: &str,
    answer: &Receiver<T>,
    options: &ScreenOptions,
    signals: &Receiver<i32>,
) -> io::Result<Waited<T>> {
    select! {
        recv(answer) -> answer => return Ok(answer.map_or(Waited::Nobody, Waited::Answer)),
        recv(signals) -> signal => if let Ok(signal) = signal {
            return Ok(Waited::Left(Exit::from_signal(signal)));
        },
        default(SOON) => {}
    }
    let (_guard, screen) = TerminalGuard::enter(false, None)?;
    let input = InputThread::spawn()?;
    let mut terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(screen)))?;
    loop {
        draw(&mut terminal, what, options)?;
        select! {
            recv(answer) -> answer => return Ok(answer.map_or(Waited::Nobody, Waited::Answer)),
            recv(signals) -> signal => if let Ok(signal) = signal {
                return Ok(Waited::Left(Exit::from_signal(signal)));
            },
            recv(input.events) -> event => match event {
                Ok(Input::Event(Event::Key(key))) => {
                    if let Some(Request::Act(Action::Quit)) = keys::pressed(&options.keys, key, None, false) {
                        return Ok(Waited::Left(Exit::Quit(Quit::Leave)));
                    }
                }
                Ok(Input::Event(_) | Input::Resized | Input::Continued) => {}
                Ok(Input::Hangup) | Err(_) => return Ok(Waited::Left(Exit::Hangup)),
            },
        }
    }
}

fn draw(
    terminal: &mut Terminal<CrosstermBackend<BufWriter<File>>>,
    what: &str,
    options: &ScreenOptions,
) -> io::Result<()> {
    let theme = &options.theme;
    let dots = either(theme, " …", " ...");
    terminal.draw(|frame| {
        let line = Line::from(vec![
            Span::styled(" lcascope ", theme.title),
            Span::raw(format!(" {what}{dots}   ")),
            Span::styled("q", theme.accent),
            Span::raw(" quit"),
        ]);
        frame.render_widget(line, frame.area());
    })?;
    Ok(())
}

//! A progress bar on standard error that stays out of the way of other jobs.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print::print_message;
use crate::tui::{self, Glyphs};

/// Time between checks whether this job owns the terminal.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A progress bar on the terminal. It is hidden in the background, and reappears after `fg`.
pub struct TerminalBar {
    drawn: ProgressBar,
    looked: Instant,
    hidden: bool,
}

impl TerminalBar {
    /// Creates a bar that draws at most `times_a_second`. `template` is in indicatif's syntax.
    pub fn new(length: u64, template: &str, times_a_second: u8) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(times_a_second);
        let bar = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            let characters = match Glyphs::detect(super::screen::env_variable) {
                Glyphs::Ascii => "=> ",
                _ => "━╸ ",
            };
            bar.set_style(style.progress_chars(characters));
        }
        Self {
            drawn: bar,
            looked: Instant::now(),
            hidden: tui::in_background(),
        }
    }

    /// Starts from a position reached earlier.
    pub fn begin_at(&mut self, position: u64) {
        self.update(Some(position), String::new());
        self.drawn.reset_eta();
    }

    /// Shows a position and a message.
    pub fn update(&mut self, position: Option<u64>, message: String) {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.hidden = tui::in_background();
        }
        if self.hidden {
            return;
        }
        if let Some(position) = position {
            self.drawn.set_position(position);
        }
        self.drawn.set_message(message);
    }

    /// Prints a line above the bar.
    pub fn print(&self, text: &str) {
        if self.hidden {
            print_message(text);
        } else {
            self.drawn.println(text);
        }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        if !self.hidden {
            self.drawn.finish_and_clear();
        }
    }
}

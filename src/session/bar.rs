//! A progress bar on standard error that stays out of the way of other jobs.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::tui::{self, Glyphs};

/// How often it is asked whether the terminal is this job's.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A bar on the terminal. In the background nothing is drawn; with `fg` it is there again.
pub struct Bar {
    drawn: ProgressBar,
    looked: Instant,
    hidden: bool,
}

impl Bar {
    /// Draws at most so often a second. `template` is indicatif's.
    pub fn new(length: u64, template: &str, times_a_second: u8) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(times_a_second);
        let bar = ProgressBar::with_draw_target(Some(length), target);
        if let Ok(style) = ProgressStyle::with_template(template) {
            let characters = match Glyphs::detect(super::screen::variable) {
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

    /// Begins at a position that was reached before.
    pub fn begin_at(&mut self, position: u64) {
        self.show(Some(position), String::new());
        self.drawn.reset_eta();
    }

    /// Shows how far it is.
    pub fn show(&mut self, position: Option<u64>, message: String) {
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
    pub fn say(&self, text: &str) {
        if self.hidden {
            super::tell(text);
        } else {
            self.drawn.println(text);
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if !self.hidden {
            self.drawn.finish_and_clear();
        }
    }
}

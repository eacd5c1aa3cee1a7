//! Decides when the screen is drawn.

use std::time::{Duration, Instant};

/// The shortest time between frames after a key, which is otherwise answered at once.
const KEY_FRAME: Duration = Duration::from_millis(8);

/// Decides when to draw: only after a change, and not too often.
pub struct Painter {
    frame: Duration,
    last: Instant,
    last_tick: Instant,
    /// The least time since the last frame before the pending change may be drawn; `None` without a change.
    due: Option<Duration>,
}

impl Painter {
    pub fn new(fps: u32) -> Self {
        let now = Instant::now();
        Self {
            frame: Duration::from_secs(1) / fps.max(1),
            last: now,
            last_tick: now,
            due: Some(Duration::ZERO),
        }
    }

    pub fn changed(&mut self) {
        let frame = self.frame;
        self.due = Some(self.due.map_or(frame, |due| due.min(frame)));
    }

    pub fn changed_if(&mut self, shown: bool) {
        if shown {
            self.changed();
        }
    }

    pub fn urgent(&mut self) {
        self.due = Some(self.due.map_or(KEY_FRAME, |due| due.min(KEY_FRAME)));
    }

    pub fn is_due(&self) -> bool {
        self.due.is_some_and(|due| self.last.elapsed() >= due)
    }

    pub fn drawn(&mut self) {
        self.last = Instant::now();
        self.due = None;
    }

    /// The longest time that the loop may sleep.
    pub fn patience(&self, playing: bool) -> Duration {
        match self.due {
            Some(due) => due.saturating_sub(self.last.elapsed()),
            None if playing => self.frame,
            None => Duration::from_secs(3600),
        }
    }

    /// Time since the last call.
    pub fn elapsed(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.last_tick, now)
    }
}

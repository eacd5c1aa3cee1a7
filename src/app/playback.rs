//! Playback: replays a run as if it were being trained now.

use std::time::Duration;

use super::window::Window;

/// Playback speeds in steps per second, and the index of the initial one.
const RATES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 2000.0];
const FIRST: usize = 3;

/// The playback speed, and the replay if one was started. All methods take `end`, the number of steps.
#[derive(Debug)]
pub struct Playback {
    /// Index of the speed.
    speed: usize,
    replay: Option<Replay>,
}

#[derive(Clone, Copy, Debug)]
struct Replay {
    /// Position in steps, with a fraction.
    at: f64,
    playing: bool,
}

impl Default for Playback {
    fn default() -> Self {
        Self {
            speed: FIRST,
            replay: None,
        }
    }
}

impl Playback {
    /// Returns the speed in steps per second while a replay is playing.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.replay?.playing.then_some(RATES[self.speed])
    }

    /// Returns true if a replay is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.replay.is_some_and(|replay| !replay.playing)
    }

    /// Advances the replay by the elapsed time. Returns true if the window changed.
    pub(super) fn tick(&mut self, elapsed: Duration, window: &mut Window, end: u64) -> bool {
        let (Some(rate), Some(replay)) = (self.rate(), &mut self.replay) else {
            return false;
        };
        let before = whole(replay.at);
        replay.at += elapsed.as_secs_f64() * rate;
        let now = whole(replay.at);
        if now >= end {
            self.replay = None;
            window.follow();
            return true;
        }
        if now != before {
            window.set_head(now + 1);
        }
        now != before
    }

    /// Plays faster or slower, and returns the speed in words.
    pub(super) fn change_speed(&mut self, faster: bool) -> String {
        self.speed = if faster {
            (self.speed + 1).min(RATES.len() - 1)
        } else {
            self.speed.saturating_sub(1)
        };
        format!("replay speed: {} steps/s", RATES[self.speed])
    }

    /// Plays or pauses. Starts at the cursor, or from the beginning if the cursor is at the end.
    pub(super) fn play_or_pause(&mut self, window: &mut Window, end: u64) {
        match &mut self.replay {
            Some(replay) => replay.playing = !replay.playing,
            None => {
                let cursor = window.cursor(end).unwrap_or(0);
                let from = if cursor + 1 >= end { 0 } else { cursor };
                #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
                let at = from as f64;
                self.replay = Some(Replay { at, playing: true });
                window.set_head(from + 1);
            }
        }
    }

    /// Ends the replay.
    pub(super) fn stop(&mut self) {
        self.replay = None;
    }

    /// Ends the replay when the cursor is moved by hand, and shows all steps again.
    pub(super) fn settle(&mut self, window: &mut Window, end: u64) {
        if self.replay.take().is_some() {
            let cursor = window.cursor(end);
            window.follow();
            window.home();
            if let Some(cursor) = cursor {
                window.move_by(i64::try_from(cursor).unwrap_or(0), end);
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position in the run: not negative, far below 2^52"
)]
fn whole(at: f64) -> u64 {
    at as u64
}

#[cfg(test)]
mod tests {
    use super::super::action::Action;
    use super::super::state::tests::{app, finished};
    use super::*;
    use crate::feed::Origin;

    #[test]
    fn a_replay_plays_to_its_end_and_follows_again() {
        let mut app = app(Origin::Replay);
        app.event(finished());
        app.act(Action::Freeze);
        assert_eq!(app.nav.window.visible(20), 0..1);
        assert!(app.tick(Duration::from_millis(500)));
        assert_eq!(app.nav.window.cursor(20), Some(5));
        app.act(Action::Freeze);
        assert!(!app.tick(Duration::from_secs(1)), "paused");
        app.act(Action::Freeze);
        assert!(app.tick(Duration::from_secs(9)));
        assert!(app.nav.window.follows() && app.playback.rate().is_none());
    }

    #[test]
    fn moving_the_cursor_by_hand_ends_the_playback() {
        let mut app = app(Origin::Replay);
        app.event(finished());
        app.act(Action::Freeze);
        app.tick(Duration::from_secs(1));
        app.act(Action::Move(-2));
        assert_eq!(app.nav.window.cursor(20), Some(8));
        assert_eq!(app.nav.window.visible(20), 0..20);
        assert_eq!(app.playback.rate(), None);
    }
}

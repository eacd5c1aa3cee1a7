//! Playback: replays a run as if it were being trained now.

use std::time::Duration;

use super::state::App;

/// Playback speeds in steps per second, and the index of the initial one.
const RATES: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 2000.0];
const FIRST: usize = 3;

/// The playback speed, as an index into the rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Speed(usize);

impl Default for Speed {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Speed {
    fn faster(self) -> Self {
        Self((self.0 + 1).min(RATES.len() - 1))
    }

    fn slower(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Returns the speed in steps per second.
    fn rate(self) -> f64 {
        RATES[self.0]
    }
}

/// The state of a replay that was started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Playback {
    /// Position in steps, with a fraction.
    at: f64,
    playing: bool,
}

impl App {
    /// Returns the speed in steps per second while a replay is playing.
    #[must_use]
    pub fn play_rate(&self) -> Option<f64> {
        let playing = self.playback.is_some_and(|playback| playback.playing);
        playing.then(|| self.speed.rate())
    }

    /// Returns true if a replay is paused.
    #[must_use]
    pub fn is_paused_replay(&self) -> bool {
        self.playback.is_some_and(|playback| !playback.playing)
    }

    /// Advances the replay by the elapsed time. Returns true if the view changed.
    pub fn tick(&mut self, elapsed: Duration) -> bool {
        let Some(rate) = self.play_rate() else {
            return false;
        };
        let end = self.timeline.end();
        let Some(playback) = &mut self.playback else {
            return false;
        };
        let before = whole(playback.at);
        playback.at += elapsed.as_secs_f64() * rate;
        let now = whole(playback.at);
        if now >= end {
            self.playback = None;
            self.window.follow();
            return true;
        }
        if now != before {
            self.window.set_head(now + 1);
        }
        now != before
    }

    pub(super) fn play_faster(&mut self) {
        self.play_at(self.speed.faster());
    }

    pub(super) fn play_slower(&mut self) {
        self.play_at(self.speed.slower());
    }

    fn play_at(&mut self, speed: Speed) {
        self.speed = speed;
        self.say(format!("replay speed: {} steps/s", speed.rate()));
    }

    /// Plays or pauses. Starts at the cursor, or from the beginning if the cursor is at the end.
    pub(super) fn play_or_pause(&mut self) {
        let end = self.timeline.end();
        match &mut self.playback {
            Some(playback) => playback.playing = !playback.playing,
            None => {
                let cursor = self.window.cursor(end).unwrap_or(0);
                let from = if cursor + 1 >= end { 0 } else { cursor };
                #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
                let at = from as f64;
                self.playback = Some(Playback { at, playing: true });
                self.window.set_head(from + 1);
            }
        }
    }

    /// Ends the replay when the cursor is moved by hand, and shows all steps again.
    pub(super) fn settle(&mut self) {
        if self.playback.take().is_some() {
            let end = self.timeline.end();
            let cursor = self.window.cursor(end);
            self.window.follow();
            self.window.home();
            if let Some(cursor) = cursor {
                self.window.move_by(i64::try_from(cursor).unwrap_or(0), end);
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
        assert_eq!(app.window.visible(20), 0..1);
        assert!(app.tick(Duration::from_millis(500)));
        assert_eq!(app.window.cursor(20), Some(5));
        app.act(Action::Freeze);
        assert!(!app.tick(Duration::from_secs(1)), "paused");
        app.act(Action::Freeze);
        assert!(app.tick(Duration::from_secs(9)));
        assert!(app.window.follows() && app.play_rate().is_none());
    }

    #[test]
    fn moving_the_cursor_by_hand_ends_the_playback() {
        let mut app = app(Origin::Replay);
        app.event(finished());
        app.act(Action::Freeze);
        app.tick(Duration::from_secs(1));
        app.act(Action::Move(-2));
        assert_eq!(app.window.cursor(20), Some(8));
        assert_eq!(app.window.visible(20), 0..20);
        assert_eq!(app.play_rate(), None);
    }
}

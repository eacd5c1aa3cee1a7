//! Playback: replays a run as if it were being trained now.

use std::time::Duration;

use super::window::Window;

/// Playback speeds in steps per second.
const RATES: [f64; 13] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 2e3, 1e4, 5e4, 2e5, 1e6,
];
/// About the seconds that a replay of a whole run takes at first.
const WHOLE: u64 = 20;

/// The playback speed, and the replay if one was started. All methods take `end`, the number of steps.
#[derive(Debug, Default)]
pub struct Playback {
    /// Index of the speed; none until a replay is started or the speed changed.
    speed: Option<usize>,
    replay: Option<Replay>,
}

#[derive(Clone, Copy, Debug)]
struct Replay {
    /// Position in steps, with a fraction.
    at: f64,
    playing: bool,
}

impl Playback {
    /// Returns the speed in steps per second while a replay is playing.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        let rate = RATES[self.speed.unwrap_or_default()];
        self.replay?.playing.then_some(rate)
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
    pub(super) fn change_speed(&mut self, faster: bool, end: u64) -> String {
        let speed = self.speed_for(end);
        let speed = if faster {
            (speed + 1).min(RATES.len() - 1)
        } else {
            speed.saturating_sub(1)
        };
        self.speed = Some(speed);
        format!("replay speed: {} steps/s", RATES[speed])
    }

    fn speed_for(&self, end: u64) -> usize {
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let wanted = (end / WHOLE) as f64;
        let slower = || RATES.iter().filter(|rate| **rate < wanted).count();
        (self.speed).unwrap_or_else(|| slower().min(RATES.len() - 1))
    }

    /// Plays or pauses. Starts at the cursor, or from the beginning if the cursor is at the end.
    pub(super) fn play_or_pause(&mut self, window: &mut Window, end: u64) {
        match &mut self.replay {
            Some(replay) => replay.playing = !replay.playing,
            None => {
                self.speed = Some(self.speed_for(end));
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
        assert!(app.tick(Duration::from_secs(5)));
        assert_eq!(app.nav.window.cursor(20), Some(5));
        app.act(Action::Freeze);
        assert!(!app.tick(Duration::from_secs(1)), "paused");
        app.act(Action::Freeze);
        assert!(app.tick(Duration::from_secs(15)));
        assert!(app.nav.window.follows() && app.playback.rate().is_none());
    }

    #[test]
    fn a_whole_run_takes_about_twenty_seconds_at_first() {
        for (end, rate) in [
            (0, 1.0),
            (20, 1.0),
            (200, 10.0),
            (400, 20.0),
            (401, 20.0),
            (9_000, 500.0),
            (1 << 60, 1e6),
        ] {
            let mut playback = Playback::default();
            playback.play_or_pause(&mut Window::default(), end);
            assert_eq!(playback.rate(), Some(rate), "{end} steps");
            let said = playback.change_speed(true, end);
            assert!(rate == 1e6 || playback.rate() > Some(rate), "{said}");
        }
    }

    #[test]
    fn moving_the_cursor_by_hand_ends_the_playback() {
        let mut app = app(Origin::Replay);
        app.event(finished());
        app.act(Action::Freeze);
        app.tick(Duration::from_secs(10));
        app.act(Action::Move(-2));
        assert_eq!(app.nav.window.cursor(20), Some(8));
        assert_eq!(app.nav.window.visible(20), 0..20);
        assert_eq!(app.playback.rate(), None);
    }
}

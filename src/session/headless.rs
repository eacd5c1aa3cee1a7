//! Watching a training without a screen: a progress bar, or lines where there is no terminal.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, never, select};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::consts::SIGHUP;

use super::screen::Signals;
use super::standing::duration;
use crate::analysis::numbers;
use crate::app::{App, Phase};
use crate::feed::Feed;
use crate::train::Control;

/// What is shown meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A bar on a terminal, a line now and then elsewhere.
    Bar,
    None,
}

/// Where standard error is no terminal, a line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Takes the feed in until it ends. A signal stops the training after its step and is returned;
/// SIGHUP does not: the terminal has gone, the training stays.
pub fn follow(
    feed: &Feed,
    app: &mut App,
    controls: &Sender<Control>,
    signals: &Signals,
    progress: Progress,
) -> Option<i32> {
    let mut display = Display::new(progress, app);
    let mut interrupted = None;
    let mut signal_events = signals.events.clone();
    loop {
        select! {
            recv(feed.events) -> event => match event {
                Ok(event) => {
                    app.event(event);
                    display.update(app);
                }
                Err(_) => break,
            },
            recv(signal_events) -> signal => match signal {
                Ok(SIGHUP) => display = Display::new(Progress::None, app),
                Ok(signal) => {
                    interrupted = Some(signal);
                    let _ = controls.send(Control::Stop);
                }
                Err(_) => signal_events = never(),
            },
        }
    }
    display.finish();
    interrupted
}

enum Display {
    Bar(ProgressBar),
    Lines { last: Instant },
    None,
}

impl Display {
    fn new(progress: Progress, app: &App) -> Self {
        match progress {
            Progress::None => Self::None,
            Progress::Bar if !io::stderr().is_terminal() => Self::Lines {
                last: Instant::now(),
            },
            Progress::Bar => {
                let planned = app.header.planned_steps;
                let bar = ProgressBar::with_draw_target(
                    Some(planned),
                    ProgressDrawTarget::stderr_with_hz(10),
                );
                let template = "{bar:10} {pos}/{len}  {msg}  ETA {eta}";
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("━╸ "));
                }
                bar.set_position(app.timeline.end());
                bar.reset_eta();
                Self::Bar(bar)
            }
        }
    }

    fn update(&mut self, app: &App) {
        let end = app.timeline.end();
        let Some(entry) = app.timeline.last() else {
            return;
        };
        let (loss, residual) = (entry.loss_after, entry.residual);
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let rate = end as f64 / entry.seconds.max(f64::MIN_POSITIVE);
        if app.phase() == Phase::Paused {
            if let Self::Bar(bar) = self {
                bar.set_message("paused");
            }
            return;
        }
        let text = format!(
            "loss {}  residual {residual:+.1e}  {}",
            numbers::loss(loss),
            numbers::speed(rate)
        );
        match self {
            Self::Bar(bar) => {
                bar.set_position(end);
                bar.set_message(text);
            }
            Self::Lines { last } if last.elapsed() >= LINE_EVERY => {
                *last = Instant::now();
                let planned = app.header.planned_steps;
                #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
                let left = planned.saturating_sub(end) as f64 / rate;
                let _ = writeln!(
                    io::stderr(),
                    "step {end}/{planned}  {text}  ETA {}",
                    duration(left)
                );
            }
            Self::Lines { .. } | Self::None => {}
        }
    }

    fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

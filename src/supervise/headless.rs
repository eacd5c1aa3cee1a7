//! Follows a training without a screen: a progress bar, or lines if there is no terminal.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossbeam_channel::{never, select};
use signal_hook::consts::SIGHUP;

use super::bar::TerminalBar;
use super::cost::RunCost;
use super::print::print_message;
use super::screen;
use super::signals::{STOPPING, Signals};
use crate::analysis::numbers;
use crate::app::{Phase, RunModel};
use crate::feed::{Feed, FeedEvent};
use crate::query::data_lints;
use crate::text::duration;
use crate::train::{Control, Controls};

/// The kind of progress shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressKind {
    /// A bar on a terminal, otherwise a line now and then.
    Bar,
    /// Only warnings about the first loss.
    Warnings,
    None,
}

impl ProgressKind {
    /// The progress to show, given whether the training is quiet and whether it may print warnings.
    pub fn choose(quiet: bool, warns: bool) -> Self {
        match (quiet, warns) {
            (false, _) => Self::Bar,
            (true, true) => Self::Warnings,
            (true, false) => Self::None,
        }
    }
}

/// Time between lines when standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Follows the feed until it ends, and prints what a new run is expected to take. Returns the first signal that stopped the training after its current step. SIGHUP
/// does not stop it: the terminal is gone, but the training continues.
pub fn follow(
    feed: &Feed,
    model: &mut RunModel,
    controls: &Controls,
    signals: &Signals,
    progress: ProgressKind,
    cost: Option<&RunCost>,
) -> Option<i32> {
    let mut display = Display::new(progress, model);
    let began = Instant::now();
    let mut interrupted = None;
    let mut signal_events = signals.events.clone();
    loop {
        select! {
            recv(feed.events) -> event => match event {
                Ok(event) => {
                    if let FeedEvent::Start(losses) = &event {
                        if let Some(cost) = cost {
                            display.print(&cost.time(began.elapsed()));
                        }
                        display.first_loss(model, losses.train);
                    }
                    model.event(event);
                    display.update(model);
                }
                Err(_) => break,
            },
            recv(signal_events) -> signal => match signal {
                Ok(SIGHUP) => display = Display::new(ProgressKind::None, model),
                Ok(signal) => {
                    if interrupted.replace(interrupted.unwrap_or(signal)).is_none() {
                        display.print(STOPPING);
                    }
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
    Bar(TerminalBar),
    Lines { last: Instant },
    Warnings,
    None,
}

impl Display {
    fn new(progress: ProgressKind, model: &RunModel) -> Self {
        match progress {
            ProgressKind::None => Self::None,
            ProgressKind::Warnings => Self::Warnings,
            ProgressKind::Bar if !screen::has_bar() => Self::Lines {
                last: Instant::now(),
            },
            ProgressKind::Bar => {
                let planned = model.header.planned_steps;
                let mut bar =
                    TerminalBar::new(planned, "{bar:10} {pos}/{len}  {msg}  ETA {eta}", 10);
                bar.begin_at(model.timeline.end());
                Self::Bar(bar)
            }
        }
    }

    fn update(&mut self, model: &RunModel) {
        let end = model.timeline.end();
        let Some(entry) = model.timeline.last() else {
            return;
        };
        let (loss, residual) = (entry.loss_after, entry.residual);
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let rate = end as f64 / entry.seconds.max(f64::MIN_POSITIVE);
        if model.phase() == Phase::Paused {
            if let Self::Bar(bar) = self {
                bar.update(None, "paused".to_owned());
            }
            return;
        }
        let text = format!(
            "loss {}  residual {residual:+.1e}  {}",
            numbers::loss(loss),
            numbers::speed(rate)
        );
        match self {
            Self::Bar(bar) => bar.update(Some(end), text),
            Self::Lines { last }
                if last.elapsed() >= LINE_EVERY && !screen::would_disturb_terminal() =>
            {
                *last = Instant::now();
                let planned = model.header.planned_steps;
                #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
                let left = planned.saturating_sub(end) as f64 / rate;
                let _ = writeln!(
                    io::stderr(),
                    "step {end}/{planned}  {text}  ETA {}",
                    duration(left)
                );
            }
            Self::Lines { .. } | Self::Warnings | Self::None => {}
        }
    }

    /// Prints warnings about the loss before the first step. Warnings about the data have been printed already.
    fn first_loss(&self, model: &mut RunModel, loss: f64) {
        let known = data_lints(&model.header, None);
        for lint in data_lints(&model.header, Some(loss)) {
            if known.contains(&lint) {
                continue;
            }
            let line = lint.to_string();
            match self {
                Self::Warnings => print_message(&line),
                display => display.print(&line),
            }
            model.log.push(&line);
        }
    }

    fn print(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.print(text),
            Self::Lines { .. } => drop(writeln!(io::stderr(), "{text}")),
            Self::Warnings | Self::None => {}
        }
    }

    fn finish(self) {
        if let Self::Bar(bar) = self {
            bar.finish();
        }
    }
}

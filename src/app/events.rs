//! Events of the run and the user's bookmarks, in one list.

use super::state::App;
use crate::analysis::events::EventKind;
use crate::analysis::lints::Lint;
use crate::analysis::numbers;
use crate::query::{Answer, Query, RunEvents, Topic};
use crate::record::RunHeader;

/// Why a step is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    Event(EventKind),
    Bookmark,
}

/// A marked step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    pub step: u64,
    pub kind: MarkKind,
    /// The event's number (see [`crate::analysis::events`]); NaN for a bookmark.
    pub value: f64,
}

impl Mark {
    /// Describes it in words, with its number and unit.
    #[must_use]
    pub fn described(&self, header: &RunHeader) -> String {
        let Mark { step, kind, value } = self;
        match kind {
            MarkKind::Bookmark => format!("step {step}: bookmark"),
            MarkKind::Event(EventKind::Residual) => format!(
                "step {step}: residual {value:.1e} nats exceeds the tolerance {}",
                header.tolerance
            ),
            MarkKind::Event(EventKind::NotFinite) => {
                let of = header.layout.layers.len();
                format!("step {step}: loss, or LCA of {value:.0} of {of} layers, not finite")
            }
            MarkKind::Event(EventKind::LossSpike) => {
                format!(
                    "step {step}: the loss rose by {} nats",
                    numbers::decimals(*value, 3)
                )
            }
            MarkKind::Event(EventKind::Synchronised) => {
                format!("step {step}: {value:.0} layers share a moment of learning")
            }
        }
    }
}

/// A row of the list of events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Listed<'a> {
    Lint(&'a Lint),
    Mark(Mark),
}

impl Listed<'_> {
    /// Returns the step to look at.
    #[must_use]
    pub fn step(&self) -> u64 {
        match self {
            Self::Lint(lint) => lint.step,
            Self::Mark(mark) => mark.step,
        }
    }
}

impl App {
    /// Returns the query for events.
    #[must_use]
    pub fn about_events(&self) -> Query {
        self.about_all(Topic::Events)
    }

    /// Returns the events and lints so far, as far as they are known.
    #[must_use]
    pub fn happened(&self) -> Option<&RunEvents> {
        match self.model.queries.answer(&self.about_events()) {
            Some((_, Answer::Happened(happened))) => Some(happened),
            _ => None,
        }
    }

    /// Returns the lints, the worst first.
    #[must_use]
    pub fn lints(&self) -> &[Lint] {
        self.happened().map_or(&[], |happened| &happened.lints)
    }

    /// Returns the events and bookmarks of the steps that may be shown, by step and kind.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        let shown = self.shown_steps().end;
        let events = self.happened().into_iter().flat_map(|known| &known.events);
        let events = events.map(|event| Mark {
            step: event.step,
            kind: MarkKind::Event(event.kind),
            value: event.value,
        });
        let bookmarks = self.nav.bookmarks.iter().map(|&step| Mark {
            step,
            kind: MarkKind::Bookmark,
            value: f64::NAN,
        });
        let mut marks: Vec<Mark> = events.chain(bookmarks).collect();
        marks.retain(|mark| mark.step < shown);
        marks.sort_by_key(|mark| (mark.step, mark.kind));
        marks
    }

    /// Returns true if there are any marks.
    #[must_use]
    pub fn has_marks(&self) -> bool {
        let shown = self.shown_steps().end;
        let known = self.happened();
        known.is_some_and(|known| known.events.iter().any(|event| event.step < shown))
            || self.nav.bookmarks.first().is_some_and(|step| *step < shown)
    }

    /// Returns the rows of the list: lints, then marks, the newest first.
    #[must_use]
    pub fn listed_events(&self) -> Vec<Listed<'_>> {
        let lints = self.lints().iter().map(Listed::Lint);
        let marks = self.marks().into_iter().rev().map(Listed::Mark);
        lints.chain(marks).collect()
    }

    /// `Enter` in the list: jumps to the selected row's step.
    pub(super) fn enter_event(&mut self) {
        let listed = self.listed_events();
        let row = self.overlays.event_row.min(listed.len().saturating_sub(1));
        let step = listed.get(row).map(Listed::step);
        self.overlays.open = None;
        if let Some(step) = step {
            self.jump_to(step);
        }
    }

    /// `[` and `]`: jumps to the event or bookmark before or after the cursor.
    pub(super) fn jump(&mut self, forward: bool) {
        let Some(cursor) = self.cursor() else {
            return;
        };
        let marks = self.marks();
        let next = if forward {
            marks.iter().find(|mark| mark.step > cursor)
        } else {
            marks.iter().rev().find(|mark| mark.step < cursor)
        };
        match next.copied() {
            Some(mark) => {
                self.jump_to(mark.step);
                self.overlays.say(mark.described(&self.model.header));
            }
            None => self.overlays.say("no more events"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::events::Event;
    use crate::app::state::tests::{app, finished};
    use crate::app::timeline::tests::step;
    use crate::app::{Action, Overlay};
    use crate::feed::{FeedEvent, Origin};

    /// A run of 40 steps with events.
    fn run() -> App {
        let mut app = app(Origin::Replay);
        let steps = (20..40).map(|t| step(t, [-1.0, 0.5]));
        app.event(FeedEvent::Steps(steps.collect()));
        app.event(finished());
        let event = |step, kind, value| Event { step, kind, value };
        let happened = RunEvents {
            steps: 40,
            events: vec![
                event(5, EventKind::LossSpike, 0.25),
                event(5, EventKind::Synchronised, 3.0),
                event(30, EventKind::Residual, 0.002),
                event(99, EventKind::Residual, 0.002),
            ],
            ..RunEvents::default()
        };
        let query = app.about_events();
        app.model.queries.take(query, Answer::Happened(happened));
        app
    }

    #[test]
    fn bracket_keys_visit_events_and_bookmarks_in_order() {
        let mut app = run();
        app.act(Action::Home);
        app.act(Action::Move(12));
        app.act(Action::Bookmark);
        app.act(Action::Home);
        let mut steps = Vec::new();
        for _ in 0..4 {
            app.act(Action::NextEvent);
            steps.push(app.nav.window.cursor(40).unwrap());
        }
        assert_eq!(steps, [5, 12, 30, 30], "and none beyond the run");
        assert_eq!(app.overlays.notice(), "no more events");
        app.act(Action::PreviousEvent);
        app.act(Action::PreviousEvent);
        assert_eq!(app.nav.window.cursor(40), Some(5));
        assert!(
            app.overlays.notice().contains("step 5: "),
            "{}",
            app.overlays.notice()
        );
    }

    #[test]
    fn the_event_list_is_newest_first_and_enter_jumps_to_the_step() {
        let mut app = run();
        app.act(Action::Events);
        app.act(Action::Select(1));
        let steps: Vec<u64> = app.listed_events().iter().map(Listed::step).collect();
        assert_eq!(steps, [30, 5, 5]);
        app.act(Action::Select(100));
        app.act(Action::Enter);
        assert_eq!(app.nav.window.cursor(40), Some(5));
        assert_eq!(app.overlays.open, None);
        app.act(Action::Events);
        assert_eq!(app.overlays.open, Some(Overlay::Events));
    }
}

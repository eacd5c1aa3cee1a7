//! Events of the run and the user's bookmarks, in one list.

use super::state::App;
use crate::analysis::events::EventKind;
use crate::analysis::lints::Lint;
use crate::analysis::numbers;
use crate::query::{Answer, Happened, Query, Topic};

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
    pub fn happened(&self) -> Option<&Happened> {
        match self.queries.answer(&self.about_events()) {
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
        let shown = self.window.shown(self.timeline.end());
        let events = self.happened().into_iter().flat_map(|known| &known.events);
        let events = events.map(|event| Mark {
            step: event.step,
            kind: MarkKind::Event(event.kind),
            value: event.value,
        });
        let bookmarks = self.bookmarks.iter().map(|&step| Mark {
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
        let shown = self.window.shown(self.timeline.end());
        let known = self.happened();
        known.is_some_and(|known| known.events.iter().any(|event| event.step < shown))
            || self.bookmarks.first().is_some_and(|step| *step < shown)
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
        let row = self.event_row.min(listed.len().saturating_sub(1));
        let step = listed.get(row).map(Listed::step);
        self.overlay = None;
        if let Some(step) = step {
            self.jump_to(step);
        }
    }

    /// `[` and `]`: jumps to the event or bookmark before or after the cursor.
    pub(super) fn jump(&mut self, forward: bool) {
        let Some(cursor) = self.window.cursor(self.timeline.end()) else {
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
                self.say(self.described(&mark));
            }
            None => self.say("no more events"),
        }
    }

    /// Describes a mark in words, with its number and unit.
    #[must_use]
    pub fn described(&self, mark: &Mark) -> String {
        let Mark { step, kind, value } = mark;
        match kind {
            MarkKind::Bookmark => format!("step {step}: bookmark"),
            MarkKind::Event(EventKind::Residual) => format!(
                "step {step}: residual {value:.1e} nats exceeds the tolerance {}",
                self.header.tolerance
            ),
            MarkKind::Event(EventKind::NotFinite) => {
                let of = self.header.layout.layers.len();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::events::Event;
    use crate::app::{Action, Overlay};
    use crate::tui::view::testing::{Run, Shape, plain};

    fn run() -> Run {
        let mut run = Run::new(Shape::default());
        run.settle(80, 24, &plain());
        let query = run.app.about_events();
        let event = |step, kind, value| Event { step, kind, value };
        let happened = Happened {
            steps: 40,
            events: vec![
                event(5, EventKind::LossSpike, 0.25),
                event(5, EventKind::Synchronised, 3.0),
                event(30, EventKind::Residual, 0.002),
                event(99, EventKind::Residual, 0.002),
            ],
            ..Happened::default()
        };
        run.app.queries.take(query, Answer::Happened(happened));
        run
    }

    #[test]
    fn brackets_go_through_events_and_bookmarks_in_order() {
        let mut run = run();
        run.act(&[
            Action::Home,
            Action::Move(12),
            Action::Bookmark,
            Action::Home,
        ]);
        let mut steps = Vec::new();
        for _ in 0..4 {
            run.act(&[Action::NextEvent]);
            steps.push(run.app.window.cursor(40).unwrap());
        }
        assert_eq!(steps, [5, 12, 30, 30], "and none beyond the run");
        assert_eq!(run.app.notice(), "no more events");
        run.act(&[Action::PreviousEvent, Action::PreviousEvent]);
        assert_eq!(run.app.window.cursor(40), Some(5));
        assert!(
            run.app.notice().contains("step 5: "),
            "{}",
            run.app.notice()
        );
    }

    #[test]
    fn the_list_has_the_newest_first_and_enter_goes_there() {
        let mut run = run();
        run.act(&[Action::Events, Action::Select(1)]);
        let steps: Vec<u64> = run.app.listed_events().iter().map(Listed::step).collect();
        assert_eq!(steps, [30, 5, 5]);
        run.act(&[Action::Select(100), Action::Enter]);
        assert_eq!(run.app.window.cursor(40), Some(5));
        assert_eq!(run.app.overlay, None);
        run.act(&[Action::Events]);
        assert_eq!(run.app.overlay, Some(Overlay::Events));
    }
}

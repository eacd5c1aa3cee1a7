//! Comparison with a second run: matching layers, and differences.
//!
//! ```text
//! A  |----------------------------------|        this run, with its own cursor and window
//! B  |--------------------|                      the other run, on the same steps
//! B−A |----|----|----|----|                      columns of the same steps, where both have them
//! ```
//!
//! A difference is the second run minus the first: below 0, the second run's layer lowered the loss more. Differences
//! are only taken between sums over the same steps, except those of whole runs, which are labelled as such.

use std::ops::Range;

use super::state::App;
use super::stretch::Stretch;
use super::timeline::Timeline;
use crate::query::{Part, Query, Topic};

/// The second run. It has its own feed and answers, but uses the first run's cursor and window.
pub struct Other {
    pub app: App,
    /// The names of the two on screen: file names.
    pub names: [String; 2],
}

/// Layers of two runs matched by name. If names repeat, the first match wins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Index in the first run and in the second, in the order of the first.
    pub both: Vec<(usize, usize)>,
    /// Layers that the other run lacks.
    pub only_first: Vec<usize>,
    pub only_second: Vec<usize>,
}

impl Pairs {
    /// Matches the layers of two runs by name.
    #[must_use]
    pub fn of<'a>(
        first: impl IntoIterator<Item = &'a str>,
        second: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut left: Vec<Option<&str>> = second.into_iter().map(Some).collect();
        let mut pairs = Self::default();
        for (index, name) in first.into_iter().enumerate() {
            match left.iter().position(|other| *other == Some(name)) {
                Some(other) => {
                    left[other] = None;
                    pairs.both.push((index, other));
                }
                None => pairs.only_first.push(index),
            }
        }
        let rest = left.iter().enumerate();
        pairs.only_second = rest.filter_map(|(at, name)| name.map(|_| at)).collect();
        pairs
    }

    /// Returns the layer of the second run that matches one of the first.
    #[must_use]
    pub fn second(&self, first: usize) -> Option<usize> {
        let found = self.both.iter().find(|(one, _)| *one == first);
        found.map(|(_, other)| *other)
    }
}

/// A range of steps in both runs.
pub struct Both<'a> {
    pub first: Stretch<'a>,
    pub second: Stretch<'a>,
}

impl<'a> Both<'a> {
    fn of(steps: &Range<u64>, first: &'a Timeline, second: &'a Timeline) -> Self {
        Self {
            first: first.stretch(steps),
            second: second.stretch(steps),
        }
    }

    /// Returns true if both stretches cover the same steps, at least one.
    #[must_use]
    pub fn agree(&self) -> bool {
        !self.first.is_empty() && self.first.steps() == self.second.steps()
    }

    /// Returns all steps that either run has: the axis of a chart of both.
    #[must_use]
    pub fn steps(&self) -> Range<u64> {
        let (a, b) = (self.first.steps(), self.second.steps());
        if a.is_empty() {
            b
        } else if b.is_empty() {
            a
        } else {
            a.start.min(b.start)..a.end.max(b.end)
        }
    }

    /// Returns columns, about `most` or fewer, that cover the same steps in both runs. Where the columns cannot be
    /// aligned, because one run is only known in coarser pieces, there is none.
    #[must_use]
    pub fn columns(&self, most: usize) -> Vec<Both<'a>> {
        let steps = self.steps();
        let coarsest = self.first.coarsest().max(self.second.coarsest()).max(1);
        let count = (steps.end - steps.start).div_ceil(most.max(1) as u64);
        let width = count.div_ceil(coarsest).max(1) * coarsest;
        let mut second = self.second.split(width).into_iter().peekable();
        let mut columns = Vec::new();
        for first in self.first.split(width) {
            let start = first.steps().start;
            while second
                .next_if(|other| other.steps().start < start)
                .is_some()
            {}
            let same = second.next_if(|other| other.steps() == first.steps());
            columns.extend(same.map(|second| Both { first, second }));
        }
        columns
    }
}

impl App {
    /// Returns the second run if the comparison is shown.
    #[must_use]
    pub fn compared(&self) -> Option<&Other> {
        self.other.as_deref().filter(|_| self.comparing)
    }

    /// `c`: toggles the comparison.
    pub(super) fn toggle_comparison(&mut self) {
        if self.other.is_none() {
            self.say("no second run to compare with; open both: `lcascope open THIS.h5 OTHER.h5`");
            return;
        }
        self.comparing = !self.comparing;
    }

    /// Returns the steps that a comparison shows: those in view, or if these are the whole run, the steps of the longer
    /// run.
    #[must_use]
    pub fn steps_compared(&self) -> Range<u64> {
        let visible = self.window.visible(self.timeline.end());
        match &self.other {
            Some(other) if self.window.shows_all() && !self.window.frozen() => {
                0..visible.end.max(other.app.timeline.end())
            }
            _ => visible,
        }
    }

    /// Returns the steps of [`Self::steps_compared`] that both runs have.
    #[must_use]
    pub fn steps_in_common(&self) -> Range<u64> {
        let steps = self.steps_compared();
        let shown = self.window.shown(self.timeline.end());
        let there = self.other.as_ref().map_or(0, |it| it.app.timeline.end());
        let end = steps.end.min(shown).min(there);
        steps.start.min(end)..end
    }

    /// Returns both runs over some steps.
    #[must_use]
    pub fn both<'a>(&'a self, other: &'a Other, steps: &Range<u64>) -> Both<'a> {
        Both::of(steps, &self.timeline, &other.app.timeline)
    }

    /// Matches the layers of this run with the other's.
    #[must_use]
    pub fn layer_pairs(&self, other: &Other) -> Pairs {
        let names = |app: &'_ App| -> Vec<String> {
            let layers = app.header.layout.layers.iter();
            layers.map(|layer| layer.name.clone()).collect()
        };
        let (one, two) = (names(self), names(&other.app));
        Pairs::of(
            one.iter().map(String::as_str),
            two.iter().map(String::as_str),
        )
    }

    /// Returns true if the two files hold the same run.
    #[must_use]
    pub fn same_run(&self, other: &Other) -> bool {
        let (one, two) = (&self.header, &other.app.header);
        (&one.created, &one.config) == (&two.created, &two.config)
    }

    /// Returns a query for finer steps of the other run's file, if any are needed.
    pub fn wanted_of_other(&mut self) -> Option<Query> {
        if !self.comparing {
            return None;
        }
        let cursor = self.window.cursor(self.timeline.end());
        let (steps, common) = (self.steps_compared(), self.steps_in_common());
        let other = self.other.as_mut()?;
        let end = other.app.timeline.end();
        let visible = steps.start.min(end)..steps.end.min(end);
        let cursor = cursor.filter(|step| *step < end);
        let request = (other.app.timeline).wanted(&visible, cursor, common.end)?;
        Some(Query {
            topic: Topic::Steps {
                width: request.width,
            },
            part: Part::Window,
            steps: request.steps,
            columns: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::action::Action;
    use super::super::timeline::tests::step;
    use super::*;
    use crate::feed::{FeedEvent, Origin};
    use crate::layout::{ParamLayout, TensorKind};
    use crate::query::Answer;
    use crate::record::RunHeader;

    fn run(names: [&str; 2], steps: u64, scale: f64) -> App {
        let mut layout = ParamLayout::default();
        for name in names {
            layout.push_layer(name, "linear", 4, &[(TensorKind::Bias, vec![4])]);
        }
        let header = RunHeader {
            planned_steps: steps,
            layout,
            ..RunHeader::default()
        };
        let mut app = App::new(Arc::new(header), Origin::Replay);
        let steps = (0..steps).map(|t| step(t, [-scale, scale / 2.0]));
        app.event(FeedEvent::Steps(steps.collect()));
        app
    }

    fn compared(first: App, second: App) -> App {
        let mut app = first;
        app.compare_with(Other {
            app: second,
            names: ["a.h5", "b.h5"].map(str::to_owned),
        });
        app
    }

    #[test]
    fn layers_are_matched_by_name_each_once() {
        let pairs = Pairs::of(["conv", "fc", "fc", "x"], ["fc", "y", "conv"]);
        assert_eq!(pairs.both, [(0, 2), (1, 0)]);
        assert_eq!((pairs.only_first, pairs.only_second), (vec![2, 3], vec![1]));
    }

    #[test]
    fn runs_of_different_length_share_what_both_have() {
        let mut app = compared(run(["a", "b"], 30, 1.0), run(["a", "b"], 50, 2.0));
        assert_eq!(app.steps_compared(), 0..50);
        assert_eq!(app.steps_in_common(), 0..30);
        let other = app.compared().unwrap();
        let both = app.both(other, &app.steps_in_common());
        assert!(both.agree());
        let difference: Vec<f64> = (both.columns(7).iter())
            .map(|c| c.second.layer_sums(0).lca - c.first.layer_sums(0).lca)
            .collect();
        assert!((difference.iter().sum::<f64>() + 30.0).abs() < 1e-9);
        app.act(Action::Compare);
        assert!(app.compared().is_none());
    }

    /// Steps as the feed answers a query for them.
    fn answered(query: Query, scale: f64, end: u64) -> FeedEvent {
        let Topic::Steps { width } = query.topic else {
            panic!("{query:?}")
        };
        let mut merged: Vec<crate::record::StepSummary> = Vec::new();
        for t in query.steps.start..query.steps.end.min(end) {
            let step = step(t, [-scale, scale / 2.0]);
            match merged.last_mut() {
                Some(last) if last.first / width == t / width => last.merge(&step),
                _ => merged.push(step),
            }
        }
        let answer = Box::new(Answer::Steps(merged));
        FeedEvent::Answer { query, answer }
    }

    #[test]
    fn long_runs_of_different_length_come_to_agree() {
        for (one, two) in [(9000, 5003), (5003, 9000), (9000, 300)] {
            let mut app = compared(run(["a", "b"], one, 1.0), run(["a", "b"], two, 2.0));
            for cursor in [0, 2, 299, one - 1] {
                app.act(Action::Home);
                app.act(Action::Move(i64::try_from(cursor).unwrap()));
                for _ in 0..10 {
                    if let Some(query) = app.wanted_detail() {
                        app.event(answered(query, 1.0, one));
                    }
                    if let Some(query) = app.wanted_of_other() {
                        let event = answered(query, 2.0, two);
                        app.other.as_mut().unwrap().app.event(event);
                    }
                }
                let other = app.compared().unwrap();
                let both = app.both(other, &app.steps_in_common());
                assert!(both.agree(), "{one} {two}: {:?}", both.second.steps());
                assert_eq!(both.first.steps(), 0..one.min(two));
                let at = app.both(other, &(cursor..cursor + 1));
                assert_eq!(at.agree(), cursor < two, "{one} {two} at {cursor}");
            }
        }
    }

    #[test]
    fn without_a_second_run_it_is_said_how_to_have_one() {
        let mut app = run(["a", "b"], 3, 1.0);
        app.act(Action::Compare);
        assert!(app.compared().is_none() && app.notice().contains("lcascope open"));
    }

    proptest! {
        /// Columns that both runs have cover equal steps, in order, and none that could be aligned is lost.
        #[test]
        fn columns_agree(one in 1u64..300, two in 1u64..300, most in 1usize..40) {
            let app = compared(run(["a", "b"], one, 1.0), run(["a", "c"], two, 1.0));
            let other = app.compared().unwrap();
            let common = app.steps_in_common();
            let columns = app.both(other, &common).columns(most);
            let mut at = 0;
            for column in &columns {
                prop_assert!(column.agree());
                prop_assert_eq!(column.first.steps().start, at);
                at = column.first.steps().end;
            }
            prop_assert_eq!(at, one.min(two));
            prop_assert!(columns.len() <= most + 1);
        }
    }
}

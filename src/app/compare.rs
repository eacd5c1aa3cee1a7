//! Comparison of several runs: matching layers, differences to the first run, runs that differ only in their seeds.
//!
//! ```text
//! A  |----------------------------------|        the first run, with its own cursor and window
//! B  |--------------------|                      another run, on the same steps
//! B−A |----|----|----|----|                      columns of the same steps, where both have them
//! ```
//!
//! A difference is another run minus the first: below 0, the other run's layer lowered the loss more. Differences are
//! only taken between sums over the same steps, except those of whole runs, which are labelled as such.

use std::ops::Range;

use super::run_model::RunModel;
use super::stretch::Stretch;
use super::window::Window;
use crate::record::RunHeader;
use crate::runs::{Settings, are_repeats, differing, in_short, rank, settings};

/// A run that is compared with the first. It has its own feed, but uses the first run's cursor and window.
pub struct Other {
    pub model: RunModel,
    /// The name on screen: a file name.
    pub name: String,
}

/// The runs compared with the first, and what follows from the headers of all.
#[derive(Default)]
pub struct Others {
    pub runs: Vec<Other>,
    /// The first run's name.
    pub first: String,
    /// For each run, the first included: the settings that are not those of the first, in words.
    differences: Vec<String>,
    /// Runs of one configuration, as indices of runs; the first run is 0.
    groups: Vec<Vec<usize>>,
}

impl Others {
    #[must_use]
    pub fn new(name: String, first: &RunHeader, runs: Vec<Other>) -> Self {
        let others = runs.iter().map(|other| &*other.model.header);
        let headers: Vec<&RunHeader> = std::iter::once(first).chain(others).collect();
        let differences = differences(&headers);
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (run, header) in headers.iter().enumerate() {
            let same = |group: &&mut Vec<usize>| are_repeats(headers[group[0]], header);
            match groups.iter_mut().find(same) {
                Some(group) => group.push(run),
                None => groups.push(vec![run]),
            }
        }
        Self {
            runs,
            first: name,
            differences,
            groups,
        }
    }

    /// Returns true if there are runs that differ only in their seeds.
    #[must_use]
    pub fn have_repeats(&self) -> bool {
        self.groups.iter().any(|group| group.len() > 1)
    }
}

/// Returns the settings of each run that are not those of the first, in words.
fn differences(headers: &[&RunHeader]) -> Vec<String> {
    let all: Vec<Settings> = (headers.iter())
        .map(|header| {
            let mut all = settings(&header.config);
            all.retain(|(key, _)| key.split('.').next() != Some("network"));
            all.push(("seed".to_owned(), header.seed.to_string()));
            all.push(("network".to_owned(), header.network.clone()));
            all.push(("data".to_owned(), header.dataset.clone()));
            all
        })
        .collect();
    let all: Vec<&Settings> = all.iter().collect();
    let mut differing = differing(&all);
    differing.sort_by_key(|(key, _)| (rank(key), *key == "seed"));
    let of_run = |run: usize| {
        let own = differing
            .iter()
            .filter(|(_, values)| values[run] != values[0]);
        let words: Vec<String> = own
            .map(|(key, values)| in_short(key, values[run]))
            .collect();
        words.join(" ")
    };
    (0..headers.len()).map(of_run).collect()
}

/// Several runs side by side, in the first run's window.
#[derive(Clone)]
pub struct Comparison<'a> {
    /// At least two; the first is the one that the others are compared with.
    pub runs: Vec<&'a RunModel>,
    /// The name of each.
    pub names: Vec<&'a str>,
    /// The settings of each that are not those of the first, in words.
    pub differences: &'a [String],
    /// Runs of one configuration.
    pub groups: &'a [Vec<usize>],
    /// The run whose differences are shown over the steps, from 1 on.
    pub selected: usize,
    pub window: &'a Window,
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
}

/// A range of steps in both runs.
pub struct Both<'a> {
    pub first: Stretch<'a>,
    pub second: Stretch<'a>,
}

impl<'a> Both<'a> {
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

impl<'a> Comparison<'a> {
    /// Returns the comparison of a run with others.
    pub(super) fn new(
        first: &'a RunModel,
        others: &'a Others,
        selected: usize,
        window: &'a Window,
    ) -> Self {
        let runs = others.runs.iter();
        let names = runs.clone().map(|other| other.name.as_str());
        Self {
            runs: std::iter::once(first)
                .chain(runs.map(|other| &other.model))
                .collect(),
            names: std::iter::once(others.first.as_str())
                .chain(names)
                .collect(),
            differences: &others.differences,
            groups: &others.groups,
            selected: selected.clamp(1, others.runs.len().max(1)),
            window,
        }
    }

    #[must_use]
    pub fn first(&self) -> &'a RunModel {
        self.runs[0]
    }

    /// Returns the end of each run.
    fn ends(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().map(|run| run.timeline.end())
    }

    /// Returns the steps shown: those in view, or if these are the whole run, the steps of the longest run.
    #[must_use]
    pub fn steps(&self) -> Range<u64> {
        let visible = self.window.visible(self.first().timeline.end());
        if self.window.shows_all() && !self.window.frozen() {
            0..self.ends().fold(visible.end, u64::max)
        } else {
            visible
        }
    }

    /// Returns the steps shown that all runs have.
    #[must_use]
    pub fn common_steps(&self) -> Range<u64> {
        let steps = self.steps();
        let shown = self.window.shown(self.first().timeline.end());
        let end = self.ends().fold(steps.end.min(shown), u64::min);
        steps.start.min(end)..end
    }

    /// Returns all steps that any run has.
    #[must_use]
    pub fn all_steps(&self) -> Range<u64> {
        let shown = self.window.shown(self.first().timeline.end());
        0..self.ends().skip(1).fold(shown, u64::max)
    }

    /// Returns the cursor's step; `None` before the first step.
    #[must_use]
    pub fn cursor(&self) -> Option<u64> {
        self.window.cursor(self.first().timeline.end())
    }

    /// Returns the first and another run over some steps.
    #[must_use]
    pub fn both(&self, run: usize, steps: &Range<u64>) -> Both<'a> {
        Both {
            first: self.first().timeline.stretch(steps),
            second: self.runs[run].timeline.stretch(steps),
        }
    }

    /// Returns the layers of all runs, matched by name: for each layer, its index in each run. Those of the first run
    /// come first, in its order.
    #[must_use]
    pub fn layer_rows(&self) -> Vec<Vec<Option<usize>>> {
        let names = |run: &'a RunModel| {
            let layers = run.header.layout.layers.iter();
            layers.map(|layer| layer.name.as_str())
        };
        let none = vec![None; self.runs.len()];
        let mut known: Vec<&str> = names(self.first()).collect();
        let row = |first: usize| {
            let mut row = none.clone();
            row[0] = Some(first);
            row
        };
        let mut rows: Vec<Vec<Option<usize>>> = (0..known.len()).map(row).collect();
        for (run, model) in self.runs.iter().enumerate().skip(1) {
            let pairs = Pairs::of(known.iter().copied(), names(model));
            for (row, layer) in pairs.both {
                rows[row][run] = Some(layer);
            }
            for layer in pairs.only_second {
                let mut row = none.clone();
                row[run] = Some(layer);
                rows.push(row);
                known.push(&model.header.layout.layers[layer].name);
            }
        }
        rows
    }

    /// Returns true if two of the files hold the same run.
    #[must_use]
    pub fn same_run(&self) -> bool {
        let id = |run: &&'a RunModel| (&run.header.created, &run.header.config);
        let mut ids: Vec<_> = self.runs.iter().map(id).collect();
        ids.sort();
        ids.windows(2).any(|pair| pair[0] == pair[1])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::super::action::Action;
    use super::super::state::App;
    use super::super::timeline::tests::step;
    use super::*;
    use crate::feed::{FeedEvent, Origin};
    use crate::layout::{ParamLayout, TensorKind};
    use crate::query::{Answer, Query, Topic};
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
        let other = Other {
            model: second.model,
            name: "b.h5".to_owned(),
        };
        app.compare_with("a.h5", vec![other]);
        app
    }

    #[test]
    fn each_layer_is_matched_once_by_name() {
        let pairs = Pairs::of(["conv", "fc", "fc", "x"], ["fc", "y", "conv"]);
        assert_eq!(pairs.both, [(0, 2), (1, 0)]);
        assert_eq!((pairs.only_first, pairs.only_second), (vec![2, 3], vec![1]));
    }

    #[test]
    fn runs_of_different_length_share_their_common_steps() {
        let mut app = compared(run(["a", "b"], 30, 1.0), run(["a", "b"], 50, 2.0));
        let comparison = app.compared().unwrap();
        assert_eq!(comparison.steps(), 0..50);
        assert_eq!(comparison.common_steps(), 0..30);
        let both = comparison.both(1, &comparison.common_steps());
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
                    if let Some(query) = app.wanted_of_other(0) {
                        let event = answered(query, 2.0, two);
                        app.others.runs[0].model.event(event);
                    }
                }
                let comparison = app.compared().unwrap();
                let both = comparison.both(1, &comparison.common_steps());
                assert!(both.agree(), "{one} {two}: {:?}", both.second.steps());
                assert_eq!(both.first.steps(), 0..one.min(two));
                let at = comparison.both(1, &(cursor..cursor + 1));
                assert_eq!(at.agree(), cursor < two, "{one} {two} at {cursor}");
            }
        }
    }

    #[test]
    fn layers_of_many_runs_are_matched_by_name() {
        let mut app = run(["a", "b"], 30, 1.0);
        let other = |names, steps, name: &str| Other {
            model: run(names, steps, 2.0).model,
            name: name.to_owned(),
        };
        let others = vec![
            other(["b", "c"], 50, "one"),
            other(["c", "a"], 20, "two"),
            other(["a", "b"], 40, "three"),
        ];
        app.compare_with("first", others);
        let comparison = app.compared().unwrap();
        let rows = [
            vec![Some(0), None, Some(1), Some(0)],
            vec![Some(1), Some(0), None, Some(1)],
            vec![None, Some(1), Some(0), None],
        ];
        assert_eq!(comparison.layer_rows(), rows);
        assert_eq!(comparison.names, ["first", "one", "two", "three"]);
        assert_eq!((comparison.steps(), comparison.all_steps()), (0..50, 0..50));
        assert_eq!(comparison.common_steps(), 0..20);
        assert_eq!(comparison.groups, [vec![0, 3], vec![1], vec![2]]);
        let selected = |app: &App| app.compared().unwrap().selected;
        assert_eq!(selected(&app), 1);
        app.act(Action::PreviousClass);
        assert_eq!(selected(&app), 3);
        app.act(Action::NextClass);
        assert_eq!(selected(&app), 1);
        assert!(app.offers(Action::Pool), "there are repeats");
        app.act(Action::Pool);
        assert!(app.nav.means && !app.nav.one_layer);
        let steps: Vec<Range<u64>> = app.shown().compared;
        assert_eq!(steps, [0..50, 0..20, 0..40], "as far as each run goes");
    }

    #[test]
    fn settings_that_differ_are_named_and_seeds_make_repeats() {
        let header = |seed, config: &str| RunHeader {
            seed,
            config: config.to_owned(),
            ..RunHeader::of_a_test()
        };
        let first = header(1, "seed = 1\nlearning_rate = 0.1");
        let others = [
            header(2, "seed = 2\nlearning_rate = 0.1"),
            header(1, "seed = 1\nlearning_rate = 0.2\nlayer = [\"fc3:freeze\"]"),
            header(3, "seed = 3\nlearning_rate = 0.1\nthreads = 4"),
        ];
        let others = others.map(|header| Other {
            model: RunModel::new(Arc::new(header), Origin::Replay),
            name: String::new(),
        });
        let others = Others::new(String::new(), &first, others.into());
        assert!(others.have_repeats());
        assert_eq!(others.groups, [vec![0, 1, 3], vec![2]]);
        let said = ["", "seed=2", "fc3:freeze lr=0.2", "seed=3"];
        assert_eq!(others.differences, said);
    }

    #[test]
    fn without_a_second_run_a_notice_explains_how_to_add_one() {
        let mut app = run(["a", "b"], 3, 1.0);
        app.act(Action::Compare);
        assert!(app.compared().is_none() && app.overlays.notice().contains("no other run"));
    }

    proptest! {
        /// Columns that both runs have cover equal steps, in order, and none that could be aligned is lost.
        #[test]
        fn columns_agree(one in 1u64..300, two in 1u64..300, most in 1usize..40) {
            let app = compared(run(["a", "b"], one, 1.0), run(["a", "c"], two, 1.0));
            let comparison = app.compared().unwrap();
            let columns = comparison.both(1, &comparison.common_steps()).columns(most);
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

//! Timeline: all steps of a run in bounded memory, at the resolution in view.
//!
//! ```text
//! coarse   |---- 256 ----|---- 256 ----| … |---- 256 ----|--|    the whole run, at most CAP entries
//! recent                                        ||||||||||||     its last steps, one by one
//! fine                    |4|4|4|4|  ||||||                      ranges that were viewed more closely
//! ```
//!
//! The whole run is kept as entries of 2^k steps: when there are too many, neighbours are merged. A [`Stretch`] of
//! steps is assembled from the finest entries available. If these are too coarse for the view, [`Timeline::wanted`]
//! returns the steps to request from the file; until they arrive, the coarse entries are shown. No sum is approximate:
//! it is exact for the steps that the stretch says it covers.

use std::ops::Range;

use super::entries::Entries;
use super::stretch::Stretch;
use crate::query::DetailRequest;
use crate::record::{Losses, StepSummary};

/// Most entries for the whole run. A wide terminal's chart has about 500 columns.
const CAP: usize = 4096;

/// Most bytes for the entries of the whole run: with very many layers there are fewer entries.
const CAP_BYTES: usize = 32 << 20;

/// Approximate size of an entry: its own, and for each layer, sums included.
const ENTRY_BYTES: usize = 300;
const LAYER_BYTES: usize = 144;

/// Number of views with finer entries: the steps in view, those around the cursor, and those around the newest one
/// shown.
const VIEWS: usize = 3;

/// Steps requested on either side of the cursor, so that its next moves need no request.
const AROUND: u64 = 256;

/// The steps of a run so far.
pub struct Timeline {
    initial: Option<Losses>,
    cap: usize,
    coarse: Entries,
    /// Steps in an entry of `coarse`; a summary that arrived wider stays wider.
    width: u64,
    recent: Entries,
    fine: [Option<Entries>; VIEWS],
    /// The request in flight, and the index in `fine` that it is for.
    asked: Option<(usize, DetailRequest)>,
    /// The latest answered request of each view, and the number of steps at that time: not repeated soon.
    vain: [Option<(DetailRequest, u64)>; VIEWS],
}

impl Timeline {
    /// An empty timeline for layers with these numbers of parameters.
    #[must_use]
    pub fn new(layer_params: impl Iterator<Item = u64>) -> Self {
        let coarse = Entries::new(layer_params);
        let entry = ENTRY_BYTES + LAYER_BYTES * coarse.layers();
        let cap = (CAP_BYTES / entry).clamp(CAP / 8, CAP);
        Self::with_cap(coarse, cap)
    }

    fn with_cap(coarse: Entries, cap: usize) -> Self {
        Self {
            initial: None,
            cap,
            recent: coarse.empty(),
            coarse,
            width: 1,
            fine: [const { None }; VIEWS],
            asked: None,
            vain: [const { None }; VIEWS],
        }
    }

    /// Takes in the losses at `θ_0`.
    pub fn start(&mut self, losses: Losses) {
        self.initial = Some(losses);
    }

    /// Appends the next steps. Ignores a summary that does not follow directly, or has another number of layers.
    pub fn push(&mut self, summary: StepSummary) {
        if summary.first != self.end() || !self.coarse.fits(&summary) {
            return;
        }
        self.recent.push(summary.clone());
        if self.recent.len() >= self.cap / 4 {
            self.recent.keep_last(self.cap / 8);
        }
        self.coarse.absorb(summary, self.width);
        while self.coarse.len() > self.cap {
            self.width *= 2;
            self.coarse.coarsen(self.width);
        }
    }

    /// Takes in the answer to a request. Ignores it if it is no longer awaited.
    pub fn detail(&mut self, request: &DetailRequest, steps: Vec<StepSummary>) {
        let Some((view, _)) = self.asked.take_if(|(_, asked)| asked == request) else {
            return;
        };
        let mut entries = self.coarse.empty();
        for summary in steps {
            if entries.fits(&summary) && entries.len() < self.cap {
                entries.push(summary);
            }
        }
        self.vain[view] = Some((request.clone(), self.end()));
        self.fine[view] = (entries.len() > 0).then_some(entries);
    }

    /// Returns what to request from the file, so that `visible` has as many points as a chart can show, and the step at
    /// the cursor and the newest of the `shown` steps are single entries. One request at a time.
    pub fn wanted(
        &mut self,
        visible: &Range<u64>,
        cursor: Option<u64>,
        shown: u64,
    ) -> Option<DetailRequest> {
        if self.asked.is_some() {
            return None;
        }
        let end = self.end();
        let in_view = visible.end - visible.start;
        let points = (self.cap as u64 / 4).max(1);
        let width = in_view.div_ceil(points).max(1).next_power_of_two();
        let around = AROUND.min(points / 4);
        let views = [
            Some((visible.clone(), width, in_view / 2)),
            cursor.map(|step| (step..step + 1, 1, around)),
            self.unfinished(shown).map(|steps| (steps, 1, around)),
        ];
        for (view, wanted) in views.into_iter().enumerate() {
            let Some((steps, width, margin)) = wanted else {
                continue;
            };
            if self.stretch(&steps).coarsest() <= width {
                continue;
            }
            // The ends are rounded, so that a window that moves on by a step does not cause a new request.
            let round = (margin / 2).max(width).next_power_of_two();
            let start = steps.start.saturating_sub(margin) / round * round;
            let stop = (steps.end + margin).next_multiple_of(round);
            let request = DetailRequest {
                steps: start..stop,
                width,
            };
            let again = |(vain, then): &(DetailRequest, u64)| {
                *vain == request && end < then + (self.cap as u64 / 16)
            };
            if self.vain[view].as_ref().is_some_and(again) {
                continue;
            }
            self.asked = Some((view, request.clone()));
            return Some(request);
        }
        None
    }

    /// Returns, if the first `shown` steps end inside a coarse entry, its steps up to there, without which their sum
    /// would cover more steps. `None` if these are too many.
    fn unfinished(&self, shown: u64) -> Option<Range<u64>> {
        let entry = self.coarse.at(shown.checked_sub(1)?)?;
        let few = shown - entry.first <= self.cap as u64 / 2;
        (entry.end > shown && few).then_some(entry.first..shown)
    }

    /// The request could not be sent: none is in flight.
    pub fn not_asked(&mut self) {
        self.asked = None;
    }

    /// The run has ended: what its file lacked may be there now.
    pub fn ended(&mut self) {
        self.vain = [const { None }; VIEWS];
    }

    /// Returns the losses at `θ_0`, once known.
    #[must_use]
    pub fn initial(&self) -> Option<&Losses> {
        self.initial.as_ref()
    }

    /// Returns the number of steps so far.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.coarse.steps().end
    }

    #[must_use]
    pub fn layers(&self) -> usize {
        self.coarse.layers()
    }

    fn finer(&self) -> impl Iterator<Item = &Entries> {
        self.fine.iter().flatten().chain([&self.recent])
    }

    /// Returns the finest entry that covers a step.
    #[must_use]
    pub fn entry(&self, step: u64) -> Option<&StepSummary> {
        let all = self.finer().chain([&self.coarse]);
        all.filter_map(|entries| entries.at(step))
            .min_by_key(|entry| entry.steps())
    }

    /// Returns the last step, or the entry that it is merged into.
    #[must_use]
    pub fn last(&self) -> Option<&StepSummary> {
        self.entry(self.end().checked_sub(1)?)
    }

    /// Returns all steps, at the coarse resolution.
    #[must_use]
    pub fn whole(&self) -> Stretch<'_> {
        let mut stretch = Stretch::new();
        stretch.push(&self.coarse, 0..self.coarse.len());
        stretch
    }

    /// Returns the entries that overlap the steps, as fine as available.
    #[must_use]
    pub fn stretch(&self, steps: &Range<u64>) -> Stretch<'_> {
        let mut stretch = Stretch::new();
        let steps = steps.start..steps.end.min(self.end());
        if steps.is_empty() {
            return stretch;
        }
        let finer: Vec<(&Entries, Range<usize>)> = self
            .finer()
            .map(|entries| (entries, self.coarse.indices(&entries.steps())))
            .collect();
        let Range { mut start, end } = self.coarse.indices(&steps);
        while start < end {
            // Entries up to the next one that may be refined need no closer look.
            let next = finer.iter().filter(|(_, places)| places.end > start);
            let next = next.map(|(_, places)| places.start.max(start)).min();
            let index = next.unwrap_or(end).min(end);
            stretch.push(&self.coarse, start..index);
            if index == end {
                break;
            }
            let entry = &self.coarse.list()[index];
            let part = entry.first.max(steps.start)..entry.end.min(steps.end);
            // A single step cannot be refined.
            let refined = (finer.iter())
                .filter(|(_, places)| entry.steps() > 1 && places.contains(&index))
                .filter_map(|(entries, _)| refine(entries, entry, &part))
                .min_by_key(|(width, ..)| *width);
            match refined {
                Some((_, entries, indices)) => stretch.push(entries, indices),
                None => stretch.push(&self.coarse, index..index + 1),
            }
            start = index + 1;
        }
        stretch
    }
}

/// Returns the entries that cover the wanted part of a coarse entry, if they are finer and do not extend beyond it,
/// with the width of the first of them.
fn refine<'a>(
    entries: &'a Entries,
    coarse: &StepSummary,
    part: &Range<u64>,
) -> Option<(u64, &'a Entries, Range<usize>)> {
    let there = entries.steps();
    if there.start > part.start || there.end < part.end {
        return None;
    }
    let indices = entries.indices(part);
    let list = &entries.list()[indices.clone()];
    let (first, last) = (list.first()?, list.last()?);
    // Pieces of a stretch must meet: where the part ends with the coarse entry, they must too.
    let meets = (part.start > coarse.first || first.first == coarse.first)
        && (part.end < coarse.end || last.end == coarse.end);
    let inside = first.first >= coarse.first && last.end <= coarse.end;
    let finer = first.steps() < coarse.steps();
    (meets && inside && finer).then(|| (first.steps(), entries, indices))
}

#[cfg(test)]
pub(super) mod tests {
    use crate::app::GroupSums;
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::bins::Extent;
    use crate::record::LayerSummary;

    /// A step with two layers of 10 and 5 parameters.
    pub fn step(first: u64, lca: [f64; 2]) -> StepSummary {
        let after = 1.0 + lca[0] + lca[1];
        let losses = Losses {
            train: after,
            train_accuracy: 0.5,
            test: f64::NAN,
            test_accuracy: f64::NAN,
            ..Losses::default()
        };
        // Above the tolerance in odd steps.
        let tolerance = if first.is_multiple_of(2) { 1.0 } else { 0.1 };
        StepSummary {
            learning_rate: 0.1,
            batch_loss: 1.0,
            gradient_evals: 2,
            segments: 2,
            loss_before: 1.0,
            total: lca[0] + lca[1],
            layers: lca
                .map(|lca| LayerSummary {
                    helped: 3,
                    hurt: 2,
                    update_flips: 1,
                    ..LayerSummary::of_step(lca)
                })
                .to_vec(),
            ..StepSummary::default()
        }
        .at_step(first, &losses, 0.25, tolerance)
    }

    /// Merges the requested steps into summaries of the request's width, as a file answers.
    fn answer(all: &[StepSummary], request: &DetailRequest) -> Vec<StepSummary> {
        let width = request.width;
        let start = request.steps.start / width * width;
        let end = request.steps.end.next_multiple_of(width);
        let mut merged: Vec<StepSummary> = Vec::new();
        for step in all.iter().filter(|s| (start..end).contains(&s.first)) {
            match merged.last_mut() {
                Some(last) if last.first / width == step.first / width => last.merge(step),
                _ => merged.push(step.clone()),
            }
        }
        merged
    }

    fn timeline(cap: usize) -> Timeline {
        Timeline::with_cap(Entries::new([10, 5].into_iter()), cap)
    }

    /// Checks that a stretch covers what was requested, and that every sum is exact for the steps it names.
    fn check(
        timeline: &Timeline,
        all: &[StepSummary],
        asked: Range<u64>,
    ) -> Result<(), TestCaseError> {
        let stretch = timeline.stretch(&asked);
        let asked = asked.start..asked.end.min(all.len() as u64);
        let steps = stretch.steps();
        if asked.is_empty() {
            prop_assert!(stretch.is_empty());
            return Ok(());
        }
        prop_assert!(
            steps.start <= asked.start && asked.end <= steps.end,
            "{steps:?} {asked:?}"
        );
        let inside: Vec<&StepSummary> = all.iter().filter(|s| steps.contains(&s.first)).collect();
        let count = inside.len() as u64;
        prop_assert_eq!(count, stretch.len());
        for layer in 0..2 {
            let sums = stretch.layer_sums(layer);
            let lca: f64 = inside.iter().map(|s| s.layers[layer].lca).sum();
            prop_assert_eq!(sums.lca, lca);
            prop_assert_eq!(sums.param_steps, [10, 5][layer] * count);
            prop_assert_eq!(sums.helped, 3 * count);
            // No extreme is lost, and none is invented.
            let columns = stretch.columns(7).layer(layer);
            let shown = columns.into_iter().flatten().reduce(Extent::merge);
            let values = || inside.iter().map(|s| s.layers[layer].lca);
            let shown = shown.map(|e| (f64::from(e.min), f64::from(e.max)));
            let least = values().fold(f64::INFINITY, f64::min);
            let most = values().fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!(shown, Some((least, most)));
        }
        for most in [1, 3, 7, 1000] {
            let bars = stretch.bars(most);
            prop_assert!(bars.len() <= most.max(1) + 1, "{} of {most}", bars.len());
            let edges = bars.edges();
            prop_assert_eq!((edges[0], *edges.last().unwrap()), (steps.start, steps.end));
            for (column, bar) in bars.iter().enumerate() {
                prop_assert_eq!(
                    &edges[column..column + 2],
                    &[bar.steps().start, bar.steps().end]
                );
                let own = all.iter().filter(|s| bar.steps().contains(&s.first));
                prop_assert_eq!(
                    bar.layer_sums(0).lca,
                    own.map(|s| s.layers[0].lca).sum::<f64>()
                );
                prop_assert_eq!(bars.column_of(bar.steps().start), Some(column));
            }
            prop_assert_eq!(bars.layer(0).iter().sum::<f64>(), stretch.layer_sums(0).lca);
        }
        prop_assert_eq!(stretch.total_sums().hurt, 4 * count);
        prop_assert_eq!(stretch.gradient_evals(), 2 * count);
        prop_assert_eq!(
            stretch.residual() * 4.0,
            f64::from(u32::try_from(count).unwrap())
        );
        prop_assert_eq!(
            stretch.above_tolerance(),
            inside.iter().map(|s| s.first % 2).sum::<u64>()
        );
        Ok(())
    }

    fn bounded(timeline: &Timeline) -> bool {
        let fine = timeline.fine.iter().flatten().map(Entries::len);
        timeline.coarse.len() <= timeline.cap
            && timeline.recent.len() <= timeline.cap
            && fine.max().unwrap_or(0) <= timeline.cap
    }

    proptest! {
        #[test]
        fn sums_in_view_are_sums_over_its_steps(
            values in prop::collection::vec((-100i16..100, -100i16..100), 1..400),
            // How many steps arrive as one summary, in turn: the screen was slow, or a level of the file.
            widths in prop::collection::vec(1usize..9, 1..6),
            cap in prop::sample::select(vec![16usize, 32, 64, 512]),
            views in prop::collection::vec((0u64..420, 0u64..420, 0u64..420), 1..6),
        ) {
            let all: Vec<StepSummary> = (0..)
                .zip(&values)
                .map(|(t, &(a, b))| step(t, [a.into(), b.into()]))
                .collect();
            let mut timeline = timeline(cap);
            let mut rest = &all[..];
            for &width in widths.iter().cycle() {
                let Some((first, _)) = rest.split_first() else { break };
                let (part, later) = rest.split_at(width.min(rest.len()));
                let mut summary = first.clone();
                for step in &part[1..] {
                    summary.merge(step);
                }
                timeline.push(summary);
                prop_assert!(bounded(&timeline));
                rest = later;
            }
            let end = all.len() as u64;
            prop_assert_eq!(timeline.end(), end);
            check(&timeline, &all, 0..end)?;
            for (a, b, cursor) in views {
                let visible = a.min(b).min(end - 1)..a.max(b).min(end).max(a.min(b).min(end - 1) + 1);
                let cursor = cursor % end;
                check(&timeline, &all, visible.clone())?;
                // What is wanted is answered, and after a few answers nothing more is.
                let mut answers = 0;
                while let Some(request) = timeline.wanted(&visible, Some(cursor), visible.end) {
                    prop_assert!(request.width.is_power_of_two());
                    prop_assert!(timeline.wanted(&visible, Some(cursor), visible.end).is_none());
                    timeline.detail(&request, answer(&all, &request));
                    answers += 1;
                    prop_assert!(answers <= VIEWS && bounded(&timeline));
                    check(&timeline, &all, visible.clone())?;
                }
                // The cursor's step is a single entry, and the window is as fine as possible.
                prop_assert_eq!(timeline.stretch(&(cursor..cursor + 1)).steps(), cursor..cursor + 1);
                prop_assert_eq!(timeline.entry(cursor).map(|e| (e.first, e.end)), Some((cursor, cursor + 1)));
                check(&timeline, &all, 0..visible.end)?;
                let coarse = timeline.coarse.at(visible.end - 1).unwrap().steps();
                let whole = timeline.stretch(&(0..visible.end));
                prop_assert!(whole.steps() == (0..visible.end) || coarse > cap as u64 / 2);
            }
        }
    }

    #[test]
    fn merged_entries_count_all_their_steps() {
        let mut timeline = timeline(64);
        timeline.push(step(0, [-1.0, 0.5]));
        let mut merged = step(1, [-2.0, 0.0]);
        merged.merge(&step(2, [-4.0, 0.0]));
        timeline.push(merged);
        assert_eq!(timeline.end(), 3);
        let whole = timeline.whole();
        assert_eq!((whole.len(), whole.coarsest()), (3, 2));
        assert_eq!(whole.layer_sums(0).lca, -7.0);
        assert_eq!(whole.layer_sums(0).param_steps, 30);
        assert_eq!(timeline.entry(2).unwrap().first, 1);
        assert_eq!(whole.layer_sums(0).steps_per_flip(), 10.0);
        let columns = whole.columns(3).layer(0);
        let ends = columns.iter().flatten().map(|e| (e.min, e.max));
        assert!(ends.eq([(-1.0, -1.0), (-4.0, -2.0), (-4.0, -2.0)]));
    }

    #[test]
    fn memory_for_a_million_steps_is_bounded() {
        let mut timeline = timeline(64);
        for t in 0..100_000 {
            timeline.push(step(t, [-1.0, 0.0]));
        }
        assert!(bounded(&timeline) && timeline.coarse.len() >= 32);
        assert_eq!(timeline.whole().layer_sums(0).lca, -100_000.0);
        // The newest step is a single entry without a request.
        assert_eq!(timeline.last().unwrap().first, 99_999);
        assert_eq!(timeline.wanted(&(0..100_000), Some(99_999), 100_000), None);
    }

    #[test]
    fn missing_entries_are_not_requested_repeatedly() {
        let mut timeline = timeline(64);
        for t in 0..1000 {
            timeline.push(step(t, [-1.0, 0.0]));
        }
        let view = 100..108;
        let request = timeline.wanted(&view, None, 1000).unwrap();
        timeline.detail(&request, Vec::new());
        assert_eq!(timeline.wanted(&view, None, 1000), None);
        assert!(
            timeline.stretch(&view).coarsest() > 1,
            "the coarse steps stay"
        );
        timeline.ended();
        assert_eq!(timeline.wanted(&view, None, 1000), Some(request));
    }

    #[test]
    fn steps_out_of_order_are_ignored() {
        let mut timeline = timeline(64);
        timeline.push(step(5, [0.0, 0.0]));
        timeline.push(StepSummary {
            layers: Vec::new(),
            ..step(0, [0.0, 0.0])
        });
        assert_eq!(timeline.end(), 0);
        assert_eq!(timeline.whole().total_sums(), GroupSums::default());
    }
}

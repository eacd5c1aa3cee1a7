//! Answers queries from a run file and caches what would otherwise be read twice.

use std::ops::Range;

use super::binned::RunningCache;
use super::held_out::{self, HeldOutSums};
use super::histogram::{self, CachedCounts};
use super::input::{Cancelled, QueryInput, no_such_index};
use super::snapshot::{self, CachedSnapshot};
use super::synchronisation::{self, SynchronisationCache};
use super::watch::{self, StepWatch};
use super::{
    Answer, Query, StepScope, Topic, binned, findings, history, oscillation, run_facts, unit,
};
use crate::store::{RunReader, StoreError};

/// The most rows read for finer steps. A file without a pyramid has single steps only; for a window wider than this,
/// the coarse steps are shown.
const MOST_ROWS: u64 = 65_536;

/// Answers queries about one run.
#[derive(Default)]
pub struct Analyst {
    /// Events, lints, findings, moments and quality of all steps so far.
    watch: Option<StepWatch>,
    moments: SynchronisationCache,
    /// Recent counts. A run that continues, or a cursor that moves forward, reads only the new steps.
    histograms: Vec<CachedCounts>,
    held_out: Vec<HeldOutSums>,
    snapshots: Vec<CachedSnapshot>,
    /// Sums from the first step on, each resumed at its end.
    running: RunningCache,
}

impl Analyst {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a question about the committed steps. Returns [`Answer::Cancelled`] soon after `interrupted` returns
    /// true.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn answer(
        &mut self,
        reader: &RunReader,
        query: &Query,
        cancelled: Cancelled,
    ) -> Result<Answer, StoreError> {
        let committed = reader.refresh()?.committed;
        let input = QueryInput {
            reader,
            steps: clipped(&query.steps, committed),
            columns: query.columns,
            cancelled,
        };
        let layout = &reader.header().layout;
        let watch = self
            .watch
            .get_or_insert_with(|| StepWatch::new(reader.header()));
        match &query.topic {
            Topic::Steps { width } => {
                let steps = reader.merged(&query.steps, *width, committed, MOST_ROWS)?;
                Ok(Answer::Steps(steps))
            }
            Topic::Tensors => {
                let all = 0..layout.tensors.len();
                self.binned(&input, query.part, "lca/tensor", all)
            }
            Topic::Units { layer } => match layout.layers.get(*layer as usize) {
                Some(layer) => {
                    let units = layer.units.clone();
                    self.binned(&input, query.part, "lca/unit", units)
                }
                None => Ok(no_such_index("layer", *layer)),
            },
            Topic::Unit { layer, unit, .. } => {
                let after = (query.part == StepScope::Cursor).then_some(input.steps.end);
                unit::answer(&input, *layer, *unit, after)
            }
            Topic::Parameter { index } => history::answer(&input, *index),
            Topic::Classes { layer } => binned::classes(&input, *layer),
            Topic::LayersOfClass { class } => binned::layers_of_class(&input, *class),
            Topic::Oscillation { layer } => oscillation::answer(&input, *layer),
            Topic::Synchronisation { class } => {
                synchronisation::answer(&input, *class, watch, &mut self.moments)
            }
            Topic::Events => watch::happened(&input, watch),
            Topic::Findings => findings::answer(&input, watch, &mut self.moments.all),
            Topic::Run => run_facts::answer(&input, watch),
            Topic::ClassLayers => binned::class_layers(&input),
            Topic::ClassLoss { class } => binned::class_loss(&input, *class),
            Topic::HeldOut => held_out::answer(&input, &mut self.held_out),
            Topic::Snapshot { layer } => snapshot::answer(&input, *layer, &mut self.snapshots),
            Topic::Histogram { layer } => histogram::answer(&input, *layer, &mut self.histograms),
        }
    }

    fn binned(
        &mut self,
        input: &QueryInput,
        part: StepScope,
        name: &'static str,
        groups: Range<usize>,
    ) -> Result<Answer, StoreError> {
        match (part, input.columns, input.steps.start) {
            (StepScope::All, 0 | 1, 0) => self.running.answer(input, name, groups),
            _ => binned::answer(input, name, groups),
        }
    }
}

fn clipped(steps: &Range<u64>, committed: u64) -> Range<u64> {
    let end = steps.end.min(committed);
    steps.start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::super::input::{CACHED, put_cached};
    use super::*;
    use crate::store::testing::{RecordedRun, RunShape};

    fn query(topic: Topic, steps: Range<u64>) -> Query {
        Query::about(topic, steps, 1)
    }

    #[test]
    fn cancelled_work_does_not_accumulate() {
        let run = RecordedRun::new(RunShape::default());
        let mut analyst = Analyst::new();
        for start in 0..30 {
            for topic in [Topic::HeldOut, Topic::Histogram { layer: None }] {
                let query = query(topic, start..40);
                let answer = analyst.answer(&run.reader, &query, &|| true).unwrap();
                assert_eq!(answer, Answer::Cancelled);
            }
        }
        assert!(analyst.held_out.is_empty() && analyst.histograms.is_empty());
        for start in 0..30 {
            for topic in [Topic::HeldOut, Topic::Histogram { layer: None }] {
                let query = query(topic, start..40);
                analyst.answer(&run.reader, &query, &|| false).unwrap();
            }
        }
        assert_eq!(
            (analyst.held_out.len(), analyst.histograms.len()),
            (CACHED, CACHED)
        );
        // Partly done, then given up: this run has no more steps than are read at once.
        for start in 0..30_u64 {
            put_cached(
                &mut analyst.held_out,
                HeldOutSums {
                    steps: start..35,
                    ..HeldOutSums::default()
                },
                |it| &it.steps,
            );
        }
        assert_eq!(analyst.held_out.len(), CACHED);
    }

    #[test]
    fn incremental_sums_equal_direct_ones_bit_for_bit() {
        let run = RecordedRun::new(RunShape {
            steps: 120,
            ..RunShape::default()
        });
        let mut growing = Analyst::new();
        for end in [1, 2, 7, 50, 51, 119, 120] {
            let query = query(Topic::HeldOut, 0..end);
            let grown = growing.answer(&run.reader, &query, &|| false).unwrap();
            let at_once = Analyst::new().answer(&run.reader, &query, &|| false);
            assert_eq!(grown, at_once.unwrap());
        }
    }
}

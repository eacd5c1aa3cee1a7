//! Answers queries from a run file and caches what would otherwise be read twice.

use std::ops::Range;

use super::binned::Running;
use super::held_out::{self, HeldOut};
use super::histogram::{self, Counts};
use super::snapshot::{self, Seen};
use super::source::{Interrupted, Source, no_such};
use super::synchronisation::{self, Kept};
use super::watch::{self, Watch};
use super::{Answer, Part, Query, Topic, binned, history, oscillation, run_facts, unit};
use crate::store::{RunReader, StoreError};

/// The most rows read for finer steps. A file without a pyramid has single steps only; for a window wider than this,
/// the coarse steps are shown.
const MOST_ROWS: u64 = 65_536;

/// Answers queries about one run.
#[derive(Default)]
pub struct Analyst {
    /// Events, lints, moments and quality of all steps so far.
    watch: Option<Watch>,
    moments: Kept,
    /// Recent counts. A run that continues, or a cursor that moves forward, reads only the new steps.
    histograms: Vec<Counts>,
    held_out: Vec<HeldOut>,
    snapshots: Vec<Seen>,
    /// Sums from the first step on, each resumed at its end.
    running: Running,
}

impl Analyst {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers a question about the committed steps. Returns [`Answer::Interrupted`] soon after `interrupted` returns
    /// true.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn answer(
        &mut self,
        reader: &RunReader,
        query: &Query,
        interrupted: Interrupted,
    ) -> Result<Answer, StoreError> {
        let committed = reader.refresh()?.committed;
        let source = Source {
            reader,
            steps: clipped(&query.steps, committed),
            columns: query.columns,
            interrupted,
        };
        let layout = &reader.header().layout;
        let watch = self
            .watch
            .get_or_insert_with(|| Watch::new(reader.header()));
        match &query.topic {
            Topic::Steps { width } => {
                let steps = reader.merged(&query.steps, *width, committed, MOST_ROWS)?;
                Ok(Answer::Steps(steps))
            }
            Topic::Tensors => {
                let all = 0..layout.tensors.len();
                self.binned(&source, query.part, "lca/tensor", all)
            }
            Topic::Units { layer } => match layout.layers.get(*layer as usize) {
                Some(layer) => {
                    let units = layer.units.clone();
                    self.binned(&source, query.part, "lca/unit", units)
                }
                None => Ok(no_such("layer", *layer)),
            },
            Topic::Unit { layer, unit, .. } => {
                let after = (query.part == Part::Cursor).then_some(source.steps.end);
                unit::answer(&source, *layer, *unit, after)
            }
            Topic::Parameter { index } => history::answer(&source, *index),
            Topic::Classes { layer } => binned::classes(&source, *layer),
            Topic::LayersOfClass { class } => binned::layers_of_class(&source, *class),
            Topic::Oscillation { layer } => oscillation::answer(&source, *layer),
            Topic::Synchronisation { class } => {
                synchronisation::answer(&source, *class, watch, &mut self.moments)
            }
            Topic::Events => watch::happened(&source, watch),
            Topic::Run => run_facts::answer(&source, watch),
            Topic::ClassLayers => binned::class_layers(&source),
            Topic::ClassLoss { class } => binned::class_loss(&source, *class),
            Topic::HeldOut => held_out::answer(&source, &mut self.held_out),
            Topic::Snapshot { layer } => snapshot::answer(&source, *layer, &mut self.snapshots),
            Topic::Histogram { layer } => histogram::answer(&source, *layer, &mut self.histograms),
        }
    }

    fn binned(
        &mut self,
        source: &Source,
        part: Part,
        name: &'static str,
        groups: Range<usize>,
    ) -> Result<Answer, StoreError> {
        match (part, source.columns, source.steps.start) {
            (Part::All, 0 | 1, 0) => self.running.answer(source, name, groups),
            _ => binned::answer(source, name, groups),
        }
    }
}

fn clipped(steps: &Range<u64>, committed: u64) -> Range<u64> {
    let end = steps.end.min(committed);
    steps.start.min(end)..end
}

#[cfg(test)]
mod tests {
    use super::super::source::{CACHED, put_cached};
    use super::*;
    use crate::store::testing::{RecordedRun, Shape};

    fn about(topic: Topic, steps: Range<u64>) -> Query {
        Query {
            topic,
            part: Part::Window,
            steps,
            columns: 1,
        }
    }

    #[test]
    fn work_that_is_given_up_again_and_again_is_not_heaped_up() {
        let run = RecordedRun::new(Shape::default());
        let mut analyst = Analyst::new();
        for start in 0..30 {
            for topic in [Topic::HeldOut, Topic::Histogram { layer: None }] {
                let query = about(topic, start..40);
                let answer = analyst.answer(&run.reader, &query, &|| true).unwrap();
                assert_eq!(answer, Answer::Interrupted);
            }
        }
        assert!(analyst.held_out.is_empty() && analyst.histograms.is_empty());
        for start in 0..30 {
            for topic in [Topic::HeldOut, Topic::Histogram { layer: None }] {
                let query = about(topic, start..40);
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
                HeldOut {
                    steps: start..35,
                    ..HeldOut::default()
                },
                |it| &it.steps,
            );
        }
        assert_eq!(analyst.held_out.len(), CACHED);
    }

    #[test]
    fn a_sum_that_grew_is_bit_for_bit_the_one_that_is_read_at_once() {
        let run = RecordedRun::new(Shape {
            steps: 120,
            ..Shape::default()
        });
        let mut growing = Analyst::new();
        for end in [1, 2, 7, 50, 51, 119, 120] {
            let query = about(Topic::HeldOut, 0..end);
            let grown = growing.answer(&run.reader, &query, &|| false).unwrap();
            let at_once = Analyst::new().answer(&run.reader, &query, &|| false);
            assert_eq!(grown, at_once.unwrap());
        }
    }
}

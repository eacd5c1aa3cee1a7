//! Events, lints, findings, moments and quality of a run's steps so far, read step by step and never twice.
//!
//! ```text
//! file     |0 ──────────────────────────────── committed
//! watch    |0 ───────── next                               given up here, it goes on here
//! ```
//!
//! A query names the steps `0 .. end`. New steps are read in blocks and added. If the view was moved back, so that
//! `end` lies before `next`, reading starts again at 0: the same query always has the same answer, whatever was asked
//! before.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::QueryInput;
use super::quality::Quality;
use super::settings::RunSettings;
use crate::analysis::events::{Detector, Event, EventKind, EventStep, Rules};
use crate::analysis::findings::{ObservedStep, Observer};
use crate::analysis::lints::data::Data;
use crate::analysis::lints::{Lint, LintStep, LintedRun, Linter};
use crate::analysis::moments::Moments;
use crate::layout::{ParamLayout, TensorKind};
use crate::record::RunHeader;
use crate::store::{RunReader, StepDataset, StoreError};

/// Events and lints of a run up to a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunEvents {
    /// Steps examined: `0 .. steps`.
    pub steps: u64,
    /// The strongest events of each kind, by step, then by kind.
    pub events: Vec<Event>,
    /// The number of events of each kind.
    pub counts: Vec<(EventKind, u64)>,
    /// Warnings about these steps, the worst first.
    pub lints: Vec<Lint>,
    /// `[L]`: each layer's steps with the largest A > 0, in nats, the worst first.
    pub worst: Vec<Vec<(u64, f64)>>,
}

const KINDS: [EventKind; 4] = [
    EventKind::Residual,
    EventKind::NotFinite,
    EventKind::LossSpike,
    EventKind::Synchronised,
];

/// Tracks the events, lints, findings, moments and quality of a run as its steps are read.
pub(super) struct StepWatch {
    next: u64,
    settings: RunSettings,
    detector: Detector,
    pub linter: Linter,
    pub observer: Observer,
    /// Missing datasets, without which some lints are unknown.
    missing: Vec<&'static str>,
    pub quality: Quality,
    /// Training loss, in nats.
    first_loss: Option<f64>,
}

/// The outcome of reading new steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    Done,
    Cancelled,
}

impl StepWatch {
    pub fn new(header: &RunHeader) -> Self {
        let layers = &header.layout.layers;
        let settings = RunSettings::of(header);
        let rules = Rules {
            tolerance: header.tolerance,
            ..Rules::default()
        };
        let run = LintedRun {
            layers: layers.iter().map(|layer| layer.name.clone()).collect(),
            tolerance: header.tolerance,
            max_segments: settings.max_segments,
        };
        Self {
            next: 0,
            detector: Detector::new(layers.len(), rules),
            linter: Linter::new(run),
            observer: Observer::new(layers.len()),
            missing: Vec::new(),
            quality: Quality::default(),
            first_loss: None,
            settings,
        }
    }

    /// Reads up to the end of the steps asked for.
    pub fn catch_up(&mut self, input: &QueryInput) -> Result<ReadOutcome, StoreError> {
        if input.steps.end < self.next {
            *self = Self::new(input.reader.header());
        }
        if self.next == input.steps.end {
            return Ok(ReadOutcome::Done);
        }
        let Some(tables) = StepDatasets::open(input.reader)? else {
            // No reader opens such a file.
            return Ok(ReadOutcome::Done);
        };
        self.missing = tables.missing();
        while self.next < input.steps.end {
            if (input.cancelled)() {
                return Ok(ReadOutcome::Cancelled);
            }
            let Some(block) = tables.lca.blocks(&(self.next..input.steps.end)).next() else {
                break;
            };
            let next = block.end;
            self.read_block(&tables, block, input.reader.header())?;
            self.next = next;
        }
        Ok(ReadOutcome::Done)
    }

    fn read_block(
        &mut self,
        tables: &StepDatasets,
        rows: std::ops::Range<u64>,
        header: &RunHeader,
    ) -> Result<(), StoreError> {
        let layers = header.layout.layers.len();
        let train = tables.train.reals(rows.start..rows.end + 1)?;
        let test = tables.test.reals(rows.start + 1..rows.end + 1)?;
        if rows.start == 0 {
            self.first_loss = train.first().copied();
            if let Some(classes) = &tables.classes {
                self.observer.start(&classes.reals(0..1)?);
            }
        }
        let residual = tables.residual.reals(rows.clone())?;
        let segments = tables.segments.counts(rows.clone())?;
        let gradients = tables.gradients.counts(rows.clone())?;
        let lca = tables.lca.reals(rows.clone())?;
        let read = Optional::read(tables, &rows)?;
        let classes = tables.classes.as_ref().map_or(0, StepDataset::row_len);
        let mut frozen = Vec::with_capacity(layers);
        for (t, step) in rows.enumerate() {
            let of = |values: &'_ [f64]| -> std::ops::Range<usize> {
                let start = t * layers;
                start.min(values.len())..(start + layers).min(values.len())
            };
            let (Some(&before), Some(&after), Some(&residual), Some(&segments), Some(&gradients)) = (
                train.get(t),
                train.get(t + 1),
                residual.get(t),
                segments.get(t),
                gradients.get(t),
            ) else {
                break;
            };
            let a = &lca[of(&lca)];
            frozen.clear();
            frozen.extend(self.settings.expected_still(step));
            let spikes = self.detector.count(EventKind::LossSpike);
            self.detector.push(&EventStep {
                step,
                loss_before: before,
                loss_after: after,
                residual,
                lca: a,
            });
            let of_classes = t * classes..(t + 1) * classes;
            self.observer.push(&ObservedStep {
                step,
                loss_before: before,
                loss_after: after,
                held_out_loss: test.get(t).copied().unwrap_or(f64::NAN),
                residual,
                lca: a,
                error: &read.error[of(&read.error)],
                held_out: &read.held_out[of(&read.held_out)],
                class_losses: read.class_losses.get(of_classes).unwrap_or_default(),
                is_spike: self.detector.count(EventKind::LossSpike) > spikes,
            });
            self.linter.push(&LintStep {
                step,
                loss: after,
                residual,
                segments,
                lca: a,
                held_out: &read.held_out[of(&read.held_out)],
                update_norm: &read.update[of(&read.update)],
                gradient_norm: &read.gradient[of(&read.gradient)],
                frozen: &frozen,
            });
            // NaN where the held-out loss was not evaluated.
            if let Some(&test) = test.get(t).filter(|test| test.is_finite()) {
                self.linter.evaluation(step, after, test);
            }
            self.quality
                .push(residual, segments, gradients, header.tolerance);
        }
        Ok(())
    }

    /// The lints of the steps read and of the data, the worst first.
    pub fn lints(&self, header: &RunHeader) -> Vec<Lint> {
        let mut lints = self.linter.lints();
        lints.extend(data_lints(header, self.first_loss));
        lints.sort_by_key(|lint| (lint.severity, lint.kind, lint.layer));
        lints
    }

    /// The number of steps read.
    pub fn steps(&self) -> u64 {
        self.next
    }

    pub fn moments(&self) -> &Moments {
        self.detector.moments()
    }
}

/// Events and lints of the steps asked for.
pub(super) fn happened(input: &QueryInput, watch: &mut StepWatch) -> Result<Answer, StoreError> {
    if watch.catch_up(input)? == ReadOutcome::Cancelled {
        return Ok(Answer::Cancelled);
    }
    let count = |kind| (kind, watch.detector.count(kind));
    let mut lints = watch.lints(input.reader.header());
    let unknown = watch.missing.iter();
    lints.extend(unknown.map(|name| Lint::not_recorded(name, watch.next.saturating_sub(1))));
    Ok(Answer::Happened(RunEvents {
        steps: watch.next,
        events: watch.detector.events(),
        counts: KINDS.map(count).to_vec(),
        lints,
        worst: (0..input.reader.header().layout.layers.len())
            .map(|layer| watch.observer.worst(layer))
            .collect(),
    }))
}

/// Warnings about a run's data, and about its loss before the first step.
#[must_use]
pub fn data_lints(header: &RunHeader, first_loss: Option<f64>) -> Vec<Lint> {
    let settings = RunSettings::of(header);
    let facts = header.data.as_ref();
    let data = Data {
        classes: &header.classes,
        inputs: facts.map(|facts| facts.inputs),
        is_normalised: is_normalised(&header.layout),
        is_given: settings.is_given,
        examples: facts.map_or([&[][..]; 2], |facts| [&facts.train, &facts.held_out]),
        is_drawn: settings.is_drawn,
        first_loss: first_loss.filter(|_| settings.is_known),
    };
    data.lints()
}

/// Whether the first layer is a batch norm, or is followed by one.
#[must_use]
pub fn is_normalised(layout: &ParamLayout) -> bool {
    let first = layout.tensors.iter().filter(|tensor| tensor.layer == 0);
    let mut kinds = first.map(|tensor| tensor.kind);
    let second = layout.layers.get(1);
    kinds.any(|kind| kind == TensorKind::Scale) || second.is_some_and(|it| it.kind == "batch-norm")
}

const UPDATE_NORM: &str = "motion/update_norm";
const GRADIENT_NORM: &str = "motion/gradient_norm";

/// The datasets read at every step.
struct StepDatasets<'a> {
    train: StepDataset<'a>,
    test: StepDataset<'a>,
    residual: StepDataset<'a>,
    segments: StepDataset<'a>,
    gradients: StepDataset<'a>,
    lca: StepDataset<'a>,
    /// Norms of movements and gradients, and the held-out loss: optional in a run.
    update: Option<StepDataset<'a>>,
    gradient: Option<StepDataset<'a>>,
    held_out: Option<StepDataset<'a>>,
    /// Estimated errors by layer, and the losses of the classes.
    error: Option<StepDataset<'a>>,
    classes: Option<StepDataset<'a>>,
}

impl<'a> StepDatasets<'a> {
    /// Opens the datasets; none if a required one is missing.
    fn open(reader: &'a RunReader) -> Result<Option<Self>, StoreError> {
        let table = |name| reader.table(name);
        let all = (
            (table("loss/train")?, table("loss/test")?),
            (table("lca/residual")?, table("step/segments")?),
            (table("lca/layer")?, table("step/gradient_evals")?),
        );
        let (
            (Some(train), Some(test)),
            (Some(residual), Some(segments)),
            (Some(lca), Some(gradients)),
        ) = all
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            train,
            test,
            residual,
            segments,
            gradients,
            lca,
            update: table(UPDATE_NORM)?,
            gradient: table(GRADIENT_NORM)?,
            held_out: table("lca_test/layer")?,
            error: table("lca/layer_error")?,
            classes: table("loss/train_class")?,
        }))
    }

    /// The datasets that lints need and the file lacks.
    fn missing(&self) -> Vec<&'static str> {
        let there = [
            (self.update.is_some(), UPDATE_NORM),
            (self.gradient.is_some(), GRADIENT_NORM),
        ];
        let missing = there.into_iter().filter(|(there, _)| !there);
        missing.map(|(_, name)| name).collect()
    }
}

/// The rows of the optional datasets; empty if the file lacks them.
struct Optional {
    update: Vec<f64>,
    gradient: Vec<f64>,
    held_out: Vec<f64>,
    error: Vec<f64>,
    class_losses: Vec<f64>,
}

impl Optional {
    fn read(tables: &StepDatasets, rows: &std::ops::Range<u64>) -> Result<Self, StoreError> {
        let read = |table: &Option<StepDataset>, rows| match table {
            Some(table) => table.reals(rows),
            None => Ok(Vec::new()),
        };
        Ok(Self {
            update: read(&tables.update, rows.clone())?,
            gradient: read(&tables.gradient, rows.clone())?,
            held_out: read(&tables.held_out, rows.clone())?,
            error: read(&tables.error, rows.clone())?,
            // After each step.
            class_losses: read(&tables.classes, rows.start + 1..rows.end + 1)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::lints::LintKind;
    use crate::query::{Analyst, Query, StepScope, Topic};
    use crate::store::testing::{RecordedRun, RunShape};

    fn query(topic: Topic, end: u64) -> Query {
        Query {
            topic,
            part: StepScope::All,
            steps: 0..end,
            columns: 7,
        }
    }

    const TOPICS: [Topic; 5] = [
        Topic::Events,
        Topic::Run,
        Topic::Synchronisation { class: None },
        Topic::Synchronisation { class: Some(1) },
        Topic::Findings,
    ];

    fn ask(analyst: &mut Analyst, run: &RecordedRun, query: &Query) -> Answer {
        analyst.answer(&run.reader, query, &|| false).unwrap()
    }

    #[test]
    fn reading_step_by_step_equals_reading_at_once() {
        let run = RecordedRun::new(RunShape {
            steps: 120,
            layers: 5,
            ..RunShape::default()
        });
        let mut growing = Analyst::new();
        // Forwards in pieces, and back, as a view may move.
        for end in [0, 1, 7, 8, 50, 119, 120, 30, 31, 120, 120] {
            for topic in TOPICS {
                let query = query(topic, end);
                let expected = ask(&mut Analyst::new(), &run, &query);
                assert!(!matches!(expected, Answer::Cancelled));
                assert_eq!(ask(&mut growing, &run, &query), expected, "{query:?}");
            }
        }
        let Answer::Synchronisation(known) =
            ask(&mut growing, &run, &query(TOPICS[2].clone(), 120))
        else {
            panic!("no moments");
        };
        assert!(known.pairs > 0 && known.jitter.draws == 10_000, "{known:?}");
    }

    #[test]
    fn cancelled_work_continues_where_it_stopped() {
        let run = RecordedRun::new(RunShape::default());
        for topic in TOPICS {
            let query = query(topic, 40);
            let mut analyst = Analyst::new();
            let given_up = analyst.answer(&run.reader, &query, &|| true).unwrap();
            assert_eq!(given_up, Answer::Cancelled);
            let expected = ask(&mut Analyst::new(), &run, &query);
            assert_eq!(ask(&mut analyst, &run, &query), expected);
        }
    }

    #[test]
    fn missing_data_are_reported_and_the_rest_is_known() {
        let run = RecordedRun::new(RunShape {
            steps: 60,
            ..RunShape::default()
        });
        let happened =
            |run: &RecordedRun| match ask(&mut Analyst::new(), run, &query(Topic::Events, 60)) {
                Answer::Happened(happened) => happened,
                other => panic!("{other:?}"),
            };
        let facts = |run: &RecordedRun| match ask(&mut Analyst::new(), run, &query(Topic::Run, 60))
        {
            Answer::Run(facts) => facts.quality,
            other => panic!("{other:?}"),
        };
        let whole = happened(&run);
        let still = |of: &RunEvents| {
            let lints = of.lints.iter();
            lints.filter(|it| it.kind == LintKind::Still).count()
        };
        // Nothing moves in this run.
        assert_eq!(still(&whole), 3);
        let lacking = run.without(&["motion/update_norm", "motion/gradient_norm"]);
        let found = happened(&lacking);
        assert_eq!((still(&found), found.steps), (0, 60));
        assert_eq!((found.events, found.counts), (whole.events, whole.counts));
        assert_eq!(facts(&lacking), facts(&run));
        let said: Vec<&str> = found.lints.iter().map(|it| it.text.as_str()).collect();
        for expected in [
            "this run has no motion/update_norm: whether layers have moved is unknown",
            "this run has no motion/gradient_norm: whether gradients vanish is unknown",
        ] {
            assert!(said.contains(&expected), "{said:?}");
        }
    }

    #[test]
    fn missing_data_are_reported_as_unknown() {
        let run = RecordedRun::new(RunShape {
            classes: 0,
            layers: 1,
            steps: 3,
            ..RunShape::default()
        });
        for topic in TOPICS {
            let answer = ask(&mut Analyst::new(), &run, &query(topic.clone(), 3));
            let unknown = matches!(answer, Answer::Unknown(_));
            assert_eq!(unknown, topic == TOPICS[3], "{answer:?}");
        }
    }
}

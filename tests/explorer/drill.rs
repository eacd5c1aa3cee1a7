//! Queries about layers, units and single parameters, compared with the numbers that were written.

use std::path::Path;
use std::sync::Arc;

use crate::scenes;

use lcascope::app::{Action, App};
use lcascope::feed::{self, FeedEvent, Origin};
use lcascope::layout::{ParamLayout, TensorKind};
use lcascope::query::{
    Analyst, Answer, Binned, GroupTotals, ParameterHistory, Query, StepScope, Topic, UnitParams,
};
use lcascope::record::{
    Allocation, Losses, Motion, ParamTotals, RunEnd, RunHeader, StartRecord, Status, StepRecord,
    StepSummary, Trace,
};
use lcascope::store::{RunReader, RunWriter, WriteOptions};
use lcascope::tui::{ColorLevel, Glyphs, Theme};
use ratatui::buffer::Cell;

const STEPS: u64 = 70;
/// The number of steps between records of all allocations, and of all weights.
const PARAMS_EVERY: u64 = 2;
const WEIGHTS_EVERY: u64 = 3;
/// The numbers of steps after which there are snapshots of the totals.
const SNAPSHOTS: [u64; 3] = [20, 40, STEPS];
const TRACED: [u64; 2] = [1, 20];

fn layout() -> ParamLayout {
    let mut layout = ParamLayout::default();
    let fc = [
        (TensorKind::Weight, vec![3, 5]),
        (TensorKind::Bias, vec![3]),
    ];
    layout.push_layer("fc", "linear", 3, &fc);
    // More axes than the file supports.
    layout.push_layer(
        "deep",
        "own",
        2,
        &[(TensorKind::Weight, vec![2, 2, 1, 2, 2])],
    );
    let norm = [(TensorKind::Scale, vec![2]), (TensorKind::Shift, vec![2])];
    layout.push_layer("norm", "batch-norm", 2, &norm);
    layout
}

/// A of a parameter in a step: exact in `f32`, sometimes zero, of both signs.
fn lca(step: u64, parameter: usize) -> f64 {
    let mixed = (step * 31 + parameter as u64 * 17 + 7) % 23;
    (f64::from(u32::try_from(mixed).unwrap()) - 11.0) / 64.0
}

fn value(step: u64, parameter: usize) -> f32 {
    let mixed = (step * 13 + parameter as u64 * 5) % 29;
    f32::from(u8::try_from(mixed).unwrap()) / 32.0
}

fn losses() -> Losses {
    Losses {
        train: 1.0,
        ..Losses::default()
    }
}

fn totals(steps: u64, params: usize) -> ParamTotals {
    let sum = |i: usize| (0..steps).map(|t| lca(t, i)).sum();
    let helped = |i: usize| (0..steps).filter(|&t| lca(t, i) < 0.0).count();
    let count = |n: usize| u32::try_from(n).unwrap();
    ParamTotals {
        steps,
        lca_sum: (0..params).map(sum).collect(),
        helped: (0..params).map(|i| count(helped(i))).collect(),
        update_flips: (0..params)
            .map(|i| count(i) + u32::try_from(steps).unwrap())
            .collect(),
        gradient_flips: (0..params).map(|i| 2 * count(i)).collect(),
    }
}

fn single(value: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "exact in f32")]
    let value = value as f32;
    value
}

fn step(header: &RunHeader, step: u64) -> StepRecord {
    let layout = &header.layout;
    let params = layout.params();
    let sum = |range: std::ops::Range<usize>| -> f64 { range.map(|i| lca(step, i)).sum() };
    let mut unit = vec![0.0; layout.units()];
    layout.for_each_row(|row| unit[row.unit] += single(sum(row.range)));
    let traced = |of: &dyn Fn(usize) -> f32| -> Vec<f32> {
        TRACED
            .iter()
            .map(|&i| of(usize::try_from(i).unwrap()))
            .collect()
    };
    let done = step + 1;
    let layers = layout.layers.len();
    let total = sum(0..params);
    StepRecord {
        step,
        epoch: 0.0,
        batch_loss: 1.0,
        learning_rate: 0.1,
        seconds: 1.0,
        gradient_evals: 2,
        segments: 2,
        loss_before: 1.0,
        after: losses(),
        lca: Allocation {
            total,
            residual: -total,
            layer: layout
                .layers
                .iter()
                .map(|it| sum(it.range.clone()))
                .collect(),
            layer_error: vec![0.0; layers],
            tensor: layout
                .tensors
                .iter()
                .map(|it| sum(it.range.clone()))
                .collect(),
            unit,
            class_layer: Vec::new(),
            helped: vec![1; layers],
            hurt: vec![1; layers],
            histogram: vec![1; 2 * layers],
        },
        lca_held_out: None,
        motion: Motion::zeros(layers),
        trace: Trace {
            value: traced(&|i| value(step, i)),
            gradient: traced(&|i| -value(step, i)),
            lca: traced(&|i| single(lca(step, i))),
        },
        lca_param: done
            .is_multiple_of(PARAMS_EVERY)
            .then(|| (0..params).map(|i| single(lca(step, i))).collect()),
        weights: done
            .is_multiple_of(WEIGHTS_EVERY)
            .then(|| (0..params).map(|i| value(done, i)).collect()),
        totals: SNAPSHOTS
            .contains(&done)
            .then(|| Box::new(totals(done, params))),
    }
}

fn write(path: &Path) -> RunHeader {
    let header = RunHeader {
        planned_steps: STEPS,
        steps_per_epoch: 10,
        slice_size: 1,
        tolerance: 1e-3,
        layout: layout(),
        input_shape: vec![1, 1, 5],
        traced: TRACED.to_vec(),
        histogram_edges: vec![f64::NEG_INFINITY, 0.0, f64::INFINITY],
        record_params: PARAMS_EVERY,
        record_weights: WEIGHTS_EVERY,
        ..RunHeader::default()
    };
    let mut writer = RunWriter::create(path, &header, WriteOptions::default()).unwrap();
    let weights = (0..header.layout.params()).map(|i| value(0, i)).collect();
    let start = StartRecord {
        losses: losses(),
        weights: Some(weights),
    };
    writer.start(&start).unwrap();
    for t in 0..STEPS {
        writer.step(&step(&header, t)).unwrap();
        if t % 16 == 15 {
            writer.commit().unwrap();
        }
    }
    let end = RunEnd {
        status: Status::Finished,
        message: String::new(),
        totals: None,
    };
    writer.finish(&end).unwrap();
    header
}

/// A run, and an analyst that answers queries about it.
struct Asked {
    reader: RunReader,
    analyst: Analyst,
    _folder: tempfile::TempDir,
}

impl Asked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        write(&path);
        Self {
            reader: RunReader::open(&path).unwrap(),
            analyst: Analyst::new(),
            _folder: folder,
        }
    }

    fn ask(
        &mut self,
        topic: Topic,
        part: StepScope,
        steps: std::ops::Range<u64>,
        columns: u32,
    ) -> Answer {
        let query = Query {
            topic,
            part,
            steps,
            columns,
        };
        self.analyst
            .answer(&self.reader, &query, &|| false)
            .unwrap()
    }

    fn unit(
        &mut self,
        part: StepScope,
        steps: std::ops::Range<u64>,
        [layer, unit]: [u32; 2],
    ) -> UnitParams {
        let newest = false;
        match self.ask(
            Topic::Unit {
                layer,
                unit,
                newest,
            },
            part,
            steps,
            1,
        ) {
            Answer::Unit(unit) => unit,
            other => panic!("{other:?}"),
        }
    }

    fn history(
        &mut self,
        index: u64,
        steps: std::ops::Range<u64>,
        columns: u32,
    ) -> ParameterHistory {
        match self.ask(
            Topic::Parameter { index },
            StepScope::Window,
            steps,
            columns,
        ) {
            Answer::History(history) => history,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn shapes_come_back_with_at_most_four_axes() {
    let asked = Asked::new();
    let header = asked.reader.header();
    assert_eq!(header.input_shape, [1, 1, 5]);
    assert_eq!(header.layout.tensors[2].shape, [2, 2, 1, 4]);
    let written = layout();
    let ranges = |layout: &ParamLayout| -> Vec<_> {
        layout.tensors.iter().map(|it| it.range.clone()).collect()
    };
    assert_eq!(ranges(&header.layout), ranges(&written));
}

#[test]
fn snapshots_are_the_latest_before_a_step() {
    let asked = Asked::new();
    let params = layout().params();
    for at_most in 0..STEPS + 5 {
        let expected = SNAPSHOTS.into_iter().rfind(|&steps| steps <= at_most);
        let found = asked.reader.totals_snapshot(at_most, &(0..params)).unwrap();
        assert_eq!(found, expected.map(|steps| totals(steps, params)));
    }
    let some = asked.reader.totals_snapshot(45, &(4..9)).unwrap().unwrap();
    let all = totals(40, params);
    assert_eq!(some.lca_sum, all.lca_sum[4..9]);
    assert_eq!(some.update_flips, all.update_flips[4..9]);
    let beyond = asked
        .reader
        .totals_snapshot(45, &(params..params + 4))
        .unwrap();
    assert!(beyond.unwrap().lca_sum.is_empty());
}

#[test]
fn a_unit_has_its_totals_its_weights_and_what_was_recorded() {
    let mut asked = Asked::new();
    let layout = layout();
    let all = totals(40, layout.params());
    for (layer, units) in [(0, 3), (1, 2), (2, 2)] {
        for unit in 0..units {
            let rows = layout.unit_rows(layer as usize, unit as usize);
            let places: Vec<usize> = rows.iter().cloned().flatten().collect();
            let cursor = asked.unit(StepScope::Cursor, 49..50, [layer, unit]);
            assert_eq!(cursor.rows, rows);
            let found = cursor.totals.as_ref().unwrap();
            let expected: Vec<f64> = places.iter().map(|&i| all.lca_sum[i]).collect();
            assert_eq!((found.steps, &found.lca_sum), (40, &expected));
            let weights = cursor.weights.as_ref().unwrap();
            let expected: Vec<f32> = places.iter().map(|&i| value(48, i)).collect();
            assert_eq!((weights.steps, &weights.values), (48, &expected));
            let at: Vec<f64> = places.iter().map(|&i| lca(49, i)).collect();
            assert_eq!(cursor.recorded.unwrap().lca_sum, at);

            let window = asked.unit(StepScope::Window, 11..50, [layer, unit]);
            assert_eq!(window.totals, None, "nobody has asked");
            let recorded = window.recorded.unwrap();
            let steps = || (11..50).filter(|t| (t + 1) % PARAMS_EVERY == 0);
            assert_eq!(recorded.count, steps().count() as u64);
            assert!(!recorded.is_complete());
            for (n, &i) in places.iter().enumerate() {
                assert_eq!(recorded.lca_sum[n], steps().map(|t| lca(t, i)).sum::<f64>());
                let helped = steps().filter(|&t| lca(t, i) < 0.0).count();
                assert_eq!(recorded.helped[n] as usize, helped);
            }
        }
    }
    // The step at the cursor was not recorded, and no snapshot is that early.
    let early = asked.unit(StepScope::Cursor, 4..5, [0, 0]);
    assert_eq!((early.totals, early.recorded), (None, None));
    assert_eq!(early.weights.unwrap().steps, 3);
    let [layer, unit, newest] = [9, 0, 0];
    let newest = newest == 1;
    let none = asked.ask(
        Topic::Unit {
            layer,
            unit,
            newest,
        },
        StepScope::Cursor,
        4..5,
        1,
    );
    assert!(matches!(none, Answer::Unknown(_)), "{none:?}");
}

#[track_caller]
fn assert_curve(found: Option<Binned>, steps: impl Iterator<Item = u64>, of: impl Fn(u64) -> f64) {
    let found = found.unwrap();
    let steps: Vec<u64> = steps.collect();
    assert_eq!(found.groups[0].steps, steps.len() as u64);
    for (column, edges) in found.edges.windows(2).enumerate() {
        let inside = || {
            steps
                .iter()
                .filter(|t| (edges[0]..edges[1]).contains(t))
                .map(|&t| of(t))
        };
        assert_eq!(found.sums[column], inside().sum::<f64>());
        let (least, most) = (found.least[column], found.most[column]);
        match inside().count() {
            0 => assert!(least.is_nan() && most.is_nan(), "a gap"),
            _ => {
                assert_eq!(f64::from(least), inside().fold(f64::INFINITY, f64::min));
                assert_eq!(f64::from(most), inside().fold(f64::NEG_INFINITY, f64::max));
            }
        }
    }
    let values: Vec<f64> = steps.iter().map(|&t| of(t)).collect();
    let crossings = values
        .windows(2)
        .filter(|pair| pair[0] * pair[1] < 0.0)
        .count();
    assert_eq!(found.groups[0].crossings, crossings as u64);
}

#[test]
fn a_parameter_is_known_at_every_step_or_where_it_was_recorded() {
    let mut asked = Asked::new();
    for columns in [1, 7, 39, 200] {
        let traced = asked.history(20, 11..50, columns);
        assert!(traced.traced);
        assert_curve(traced.value, 11..50, |t| value(t, 20).into());
        assert_curve(traced.gradient, 11..50, |t| (-value(t, 20)).into());
        assert_curve(traced.lca, 11..50, |t| lca(t, 20));

        let other = asked.history(5, 11..50, columns);
        assert!(!other.traced && other.gradient.is_none());
        let weights = (11..50).filter(|t| t % WEIGHTS_EVERY == 0);
        assert_curve(other.value, weights, |t| value(t, 5).into());
        let recorded = (11..50).filter(|t| (t + 1) % PARAMS_EVERY == 0);
        assert_curve(other.lca, recorded, |t| lca(t, 5));
    }
    let beyond = asked.ask(Topic::Parameter { index: 999 }, StepScope::Window, 0..9, 1);
    assert!(matches!(beyond, Answer::Unknown(_)), "{beyond:?}");
}

#[test]
fn sums_from_the_start_continue_incrementally() {
    let mut asked = Asked::new();
    let layout = layout();
    // Forwards, then back: the cached state then extends too far.
    for end in [0, 1, 30, 31, 70, 12, 500] {
        let units = Topic::Units { layer: 0 };
        for (topic, count) in [(Topic::Tensors, layout.tensors.len()), (units, 3)] {
            let again = asked.ask(topic.clone(), StepScope::All, 0..end, 1);
            let plain = asked.ask(topic, StepScope::Window, 0..end, 1);
            match (again, plain) {
                (Answer::Binned(again), Answer::Binned(plain)) => {
                    assert_eq!(again.groups.len(), count);
                    assert_eq!(again.steps(), 0..end.min(STEPS));
                    for (a, b) in again.groups.iter().zip(&plain.groups) {
                        let of = |it: &GroupTotals| (it.total.to_bits(), it.helped, it.turns);
                        assert_eq!(of(a), of(b));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The area between the title and the footer, for every layer, unit and parameter opened: as text, and cell by cell.
fn screens(app: &mut App, mut answer: impl FnMut(&Query) -> Answer) -> Vec<(String, Vec<Cell>)> {
    let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
    let size = (110, 40);
    let places = [
        "layer fc",
        "layer deep",
        "layer norm",
        "unit 1",
        "param 20",
        "param 5",
        "param 27",
    ];
    let mut screens = Vec::new();
    for place in places {
        app.act(Action::Command);
        for letter in place.chars() {
            app.act(Action::Type(letter));
        }
        app.act(Action::Submit);
        for query in scenes::queries(app, size, &theme) {
            let answer = Box::new(answer(&query));
            app.event(FeedEvent::Answer { query, answer });
        }
        let buf = scenes::draw(app, size, &theme);
        let line = |y| (0..110).map(|x| buf[(x, y)].symbol()).collect::<String>();
        let screen: String = (1..39).map(|y| line(y) + "\n").collect();
        assert!(!screen.contains("reading"), "{place}: {screen}");
        let cells = buf.content()[110..110 * 39].to_vec();
        screens.push((screen, cells));
    }
    screens
}

#[test]
fn a_watched_run_looks_like_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.h5");
    let header = write(&path);
    let params = header.layout.params();

    let mut live = App::new(Arc::new(header.clone()), Origin::Live);
    live.event(FeedEvent::Start(losses()));
    let summary = |t| StepSummary::from_step(&step(&header, t), header.tolerance);
    live.event(FeedEvent::Steps((0..STEPS).map(summary).collect()));
    live.event(FeedEvent::Status {
        status: Status::Finished,
        message: String::new(),
    });
    let (reader, mut analyst) = (RunReader::open(&path).unwrap(), Analyst::new());
    let watched = screens(&mut live, |query| {
        let mut answer = analyst.answer(&reader, query, &|| false).unwrap();
        // As they are in the training's memory.
        if let Answer::Unit(unit) = &mut answer
            && query.part == StepScope::Cursor
        {
            let all = totals(STEPS, params);
            let some = |counts: &[u32]| -> Vec<u32> {
                unit.rows
                    .iter()
                    .flat_map(|row| counts[row.clone()].to_vec())
                    .collect()
            };
            unit.totals = Some(ParamTotals {
                steps: STEPS,
                lca_sum: (unit.rows.iter().cloned().flatten())
                    .map(|i| all.lca_sum[i])
                    .collect(),
                helped: some(&all.helped),
                update_flips: some(&all.update_flips),
                gradient_flips: some(&all.gradient_flips),
            });
        }
        answer
    });

    let (feed, _handle) = feed::open(&path).unwrap();
    let mut replay = App::new(feed.header.clone(), feed.origin);
    for event in &feed.events {
        replay.event(event);
    }
    let details = feed.details.as_ref().unwrap();
    let replayed = screens(&mut replay, |query| {
        details.requests.send(query.clone()).unwrap();
        match details.answers.recv().unwrap() {
            FeedEvent::Answer { answer, .. } => *answer,
            other => panic!("{other:?}"),
        }
    });
    for (watched, replayed) in watched.iter().zip(&replayed) {
        assert_eq!(watched.0, replayed.0);
        assert!(watched.1 == replayed.1, "colours differ: {}", watched.0);
    }
    assert!(
        watched[4].0.contains("traced at every step"),
        "{}",
        watched[4].0
    );
    assert!(
        watched[3].0.contains("totals over the first 70 steps"),
        "{}",
        watched[3].0
    );
}

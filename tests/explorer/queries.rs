//! Answers to queries about a run, compared with plain sums over the datasets of its file, which are read with the HDF5
//! library alone.

mod naive;
mod statistics;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::synthetic::Shape;
use lcascope::query::{Analyst, Answer, Binned, Query, StepScope, Topic};
use lcascope::store::{RunReader, RunWriter, WriteOptions};
use naive::{Naive, Series};

/// A run in which everything was recorded.
fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runs/small.h5")
}

/// Ranges of steps that matter: all, one, none, some at either end, ends beyond the run, and reversed.
fn ranges(steps: u64) -> Vec<Range<u64>> {
    let middle = steps / 2;
    vec![
        0..steps,
        0..1,
        steps - 1..steps,
        middle..middle,
        3..middle + 1,
        middle..steps + 1000,
        steps + 5..steps + 9,
        0..u64::MAX,
        Range {
            start: middle,
            end: 2,
        },
    ]
}

/// Fewer columns than steps, one, none, and more than possible.
const COLUMNS: [u32; 5] = [1, 7, 0, 64, 100_000];

/// Every topic. `check` does not compile with a topic missing.
fn topics(reader: &RunReader) -> Vec<Topic> {
    let header = reader.header();
    let count = |n: usize| u32::try_from(n).unwrap();
    let layers = count(header.layout.layers.len());
    let mut topics = vec![
        Topic::Steps { width: 1 },
        Topic::Steps { width: 4 },
        Topic::Tensors,
        Topic::Classes { layer: None },
        Topic::Histogram { layer: None },
        Topic::Snapshot { layer: None },
        Topic::Synchronisation { class: None },
        Topic::ClassLayers,
        Topic::HeldOut,
        Topic::Events,
        Topic::Findings,
        Topic::Run,
    ];
    for layer in 0..layers {
        topics.push(Topic::Units { layer });
        topics.push(Topic::Classes { layer: Some(layer) });
        topics.push(Topic::Histogram { layer: Some(layer) });
        topics.push(Topic::Snapshot { layer: Some(layer) });
        topics.push(Topic::Oscillation { layer });
        let units = count(header.layout.layers[layer as usize].units.len());
        for unit in [0, units - 1] {
            topics.push(Topic::Unit {
                layer,
                unit,
                newest: unit == 0,
            });
        }
    }
    let classes = 0..count(header.classes.len());
    for class in classes.filter(|class| class % 3 == 0) {
        topics.push(Topic::LayersOfClass { class });
        topics.push(Topic::ClassLoss { class });
        let class = Some(class);
        topics.push(Topic::Synchronisation { class });
    }
    let params = header.layout.params() as u64;
    let traced = header.traced.iter().take(2).copied();
    let untraced = (0..params).filter(|index| !header.traced.contains(index));
    for index in traced.chain(untraced.step_by(usize::try_from(params / 3).unwrap())) {
        topics.push(Topic::Parameter { index });
    }
    topics
}

fn ask(analyst: &mut Analyst, reader: &RunReader, query: &Query) -> Answer {
    analyst.answer(reader, query, &|| false).unwrap()
}

/// Compares an answer with the file.
fn check(naive: &Naive, query: &Query, answer: &Answer) {
    let steps = naive.clip(&query.steps);
    let what = format!("{query:?}");
    let binned = |series: &[Series]| match answer {
        Answer::Binned(binned) => check_binned(binned, series, &steps, query.columns, &what),
        other => panic!("{what}: {other:?}"),
    };
    let unknown = || assert!(matches!(answer, Answer::Unknown(_)), "{what}: {answer:?}");
    match &query.topic {
        Topic::Steps { width } => match answer {
            Answer::Steps(found) => naive.check_summaries(found, &steps, *width),
            other => panic!("{what}: {other:?}"),
        },
        Topic::Tensors => binned(&naive.columns("lca/tensor", 0..naive.layout.tensors.len())),
        Topic::Units { layer } => binned(&naive.units(*layer as usize)),
        // Nothing is known about an empty range, even in a run with classes.
        Topic::Classes { layer } if naive.has_classes(&steps) || naive.says_nothing_of(&steps) => {
            binned(&naive.classes(layer.map(|layer| layer as usize)));
        }
        Topic::LayersOfClass { class }
            if naive.has_classes(&steps) || naive.says_nothing_of(&steps) =>
        {
            binned(&naive.layers_of_class(*class as usize));
        }
        Topic::ClassLayers if naive.has_classes(&steps) || naive.says_nothing_of(&steps) => {
            binned(&naive.class_layers());
        }
        Topic::Classes { .. } | Topic::LayersOfClass { .. } | Topic::ClassLayers => unknown(),
        Topic::ClassLoss { class } => binned(&naive.class_loss(*class as usize)),
        Topic::HeldOut
        | Topic::Snapshot { .. }
        | Topic::Oscillation { .. }
        | Topic::Synchronisation { .. }
        | Topic::Events
        | Topic::Findings
        | Topic::Run => naive.check_statistics(query, answer, &steps),
        Topic::Histogram { layer } => match answer {
            Answer::Histogram(histogram) => {
                let layer = layer.map(|layer| layer as usize);
                naive.check_histogram(histogram, layer, &steps);
            }
            other => panic!("{what}: {other:?}"),
        },
        Topic::Unit { layer, unit, .. } => match answer {
            Answer::Unit(known) => {
                let place = (*layer as usize, *unit as usize);
                naive.check_unit(known, place, &steps, query.part == StepScope::Cursor);
            }
            other => panic!("{what}: {other:?}"),
        },
        Topic::Parameter { index } => match answer {
            Answer::History(history) => {
                let parameter = usize::try_from(*index).unwrap();
                let [value, gradient, lca] = naive.history(parameter);
                assert_eq!(
                    (history.traced, history.until),
                    (gradient.is_some(), steps.end)
                );
                for (curve, series) in [
                    (&history.value, value),
                    (&history.gradient, gradient),
                    (&history.lca, lca),
                ] {
                    // A run that recorded it has a curve, even if not of these steps.
                    let known = series.is_some();
                    assert_eq!(curve.is_some(), known, "{what}");
                    if let (Some(curve), Some(series)) = (curve, series) {
                        check_binned(curve, &[series], &steps, query.columns, &what);
                    }
                }
            }
            other => panic!("{what}: {other:?}"),
        },
    }
}

/// Checks that columns are equally wide, to within one step, and contain what their steps do.
fn check_binned(binned: &Binned, series: &[Series], steps: &Range<u64>, columns: u32, what: &str) {
    let count = steps.end - steps.start;
    let n = usize::try_from(count.min(columns.max(1).into())).unwrap();
    assert_eq!(binned.columns(), n, "{what}");
    let edges = &binned.edges;
    assert_eq!(edges.len(), n + 1, "{what}");
    assert_eq!(edges[n], steps.end, "{what}");
    if n > 0 {
        assert_eq!(binned.steps(), *steps, "{what}");
        let widths = edges.windows(2).map(|edge| edge[1] - edge[0]);
        let (least, most) = (widths.clone().min().unwrap(), widths.max().unwrap());
        assert!(least > 0 && most - least <= 1, "{what}: {edges:?}");
    }
    assert_eq!(binned.groups.len(), series.len(), "{what}");
    for (at, series) in series.iter().enumerate() {
        let all = naive::within(series, steps);
        let group = &binned.groups[at];
        let expected = naive::group(&all);
        let counts = [
            group.steps,
            group.helped,
            group.hurt,
            group.crossings,
            group.turns,
        ];
        assert_eq!(counts, expected.counts, "{what}, group {at}");
        naive::close(group.total, expected.total, &all, what);
        assert_eq!(binned.row(at).len(), n, "{what}");
        for c in 0..n {
            let part = naive::within(series, &(edges[c]..edges[c + 1]));
            let what = format!("{what}, group {at}, column {c}");
            let sum: f64 = part.iter().sum();
            naive::close(binned.row(at)[c], sum, &part, &what);
            let extreme = |fold: fn(f32, f32) -> f32| {
                #[expect(clippy::cast_possible_truncation, reason = "as charts have it")]
                let values = part.iter().map(|&a| a as f32);
                values.fold(f32::NAN, fold)
            };
            let same = |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan());
            assert!(same(binned.least[at * n + c], extreme(f32::min)), "{what}");
            assert!(same(binned.most[at * n + c], extreme(f32::max)), "{what}");
        }
    }
}

fn has_columns(topic: &Topic) -> bool {
    !matches!(
        topic,
        Topic::Steps { .. }
            | Topic::Histogram { .. }
            | Topic::Snapshot { .. }
            | Topic::Synchronisation { .. }
            | Topic::HeldOut
            | Topic::Unit { .. }
            | Topic::Events
            | Topic::Findings
            | Topic::Run
    )
}

fn answers_are_what_the_file_says(path: &Path) {
    let reader = RunReader::open(path).unwrap();
    let naive = Naive::of(path);
    let mut analyst = Analyst::new();
    for topic in topics(&reader) {
        for part in [StepScope::Window, StepScope::Cursor, StepScope::All] {
            for steps in ranges(naive.steps) {
                for columns in COLUMNS {
                    let query = Query {
                        topic: topic.clone(),
                        part,
                        steps: steps.clone(),
                        columns,
                    };
                    let answer = ask(&mut analyst, &reader, &query);
                    check(&naive, &query, &answer);
                    if !has_columns(&topic) {
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn answers_about_a_recorded_run_are_sums_over_its_file() {
    answers_are_what_the_file_says(&recorded());
}

const LONGER: Shape = Shape {
    steps: 1100,
    layers: 3,
    layer_params: 4,
    params: true,
    weights: true,
};

#[test]
fn answers_about_a_longer_run_are_sums_over_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("synthetic.h5");
    crate::synthetic::write(&path, LONGER, WriteOptions::default()).unwrap();
    answers_are_what_the_file_says(&path);
}

/// Datasets of several chunks, in a file that must be read like one being written.
#[test]
fn answers_about_a_run_that_was_killed_are_sums_over_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (
        folder.path().join("run.h5"),
        folder.path().join("killed.h5"),
    );
    let header = crate::synthetic::header(LONGER);
    let mut steps = crate::synthetic::Steps::new(&header);
    let mut writer = RunWriter::create(&path, &header, WriteOptions::default()).unwrap();
    writer.start(&steps.start()).unwrap();
    for _ in 0..LONGER.steps {
        writer.step(&steps.step()).unwrap();
    }
    writer.commit().unwrap();
    // The file as a killed writer leaves it.
    fs::copy(&path, &copy).unwrap();
    assert!(RunReader::open(&copy).unwrap().is_marked());
    answers_are_what_the_file_says(&copy);
}

#[test]
fn missing_data_are_reported() {
    let reader = RunReader::open(&recorded()).unwrap();
    let mut analyst = Analyst::new();
    let far = u32::MAX;
    for (topic, what) in [
        (Topic::Units { layer: 3 }, "layer 3"),
        (Topic::Units { layer: far }, "layer 4294967295"),
        (Topic::Classes { layer: Some(3) }, "layer 3"),
        (Topic::LayersOfClass { class: 10 }, "class 10"),
        (Topic::Histogram { layer: Some(far) }, "layer"),
        (Topic::Snapshot { layer: Some(3) }, "layer 3"),
        (Topic::Oscillation { layer: 3 }, "layer 3"),
        (Topic::ClassLoss { class: 10 }, "class 10"),
        (Topic::Synchronisation { class: Some(10) }, "class 10"),
        (
            Topic::Unit {
                layer: 0,
                unit: 4,
                newest: true,
            },
            "unit 4",
        ),
        (
            Topic::Unit {
                layer: 9,
                unit: 0,
                newest: false,
            },
            "layer 9",
        ),
        (Topic::Parameter { index: 812 }, "parameter 812"),
        (Topic::Parameter { index: u64::MAX }, "parameter"),
    ] {
        let query = Query::about(topic, 0..48, 10);
        match ask(&mut analyst, &reader, &query) {
            Answer::Unknown(why) => assert!(why.contains(what), "{why}"),
            other => panic!("{query:?}: {other:?}"),
        }
    }
}

#[test]
fn long_work_is_cancelled_by_another_query() {
    let reader = RunReader::open(&recorded()).unwrap();
    let naive = Naive::of(&recorded());
    for topic in topics(&reader) {
        for (part, columns) in [(StepScope::Window, 20), (StepScope::All, 1)] {
            let mut analyst = Analyst::new();
            let query = Query {
                topic: topic.clone(),
                part,
                steps: 0..48,
                columns,
            };
            let answer = analyst.answer(&reader, &query, &|| true).unwrap();
            // A few rows are read at once.
            let at_once = matches!(topic, Topic::Steps { .. } | Topic::Snapshot { .. });
            assert_eq!(answer == Answer::Cancelled, !at_once, "{query:?}");
            // A partial answer is not cached as a complete one.
            let answer = ask(&mut analyst, &reader, &query);
            check(&naive, &query, &answer);
        }
    }
}

#[test]
fn sums_from_the_first_step_continue_incrementally() {
    let reader = RunReader::open(&recorded()).unwrap();
    let naive = Naive::of(&recorded());
    let mut analyst = Analyst::new();
    for end in [1, 10, 10, 31, 48, 20, 0, 47, 100] {
        for topic in [
            Topic::Units { layer: 0 },
            Topic::Units { layer: 2 },
            Topic::Tensors,
        ] {
            let query = Query {
                topic,
                part: StepScope::All,
                steps: 0..end,
                columns: 1,
            };
            let answer = ask(&mut analyst, &reader, &query);
            check(&naive, &query, &answer);
        }
    }
}

//! Runs of many steps: opened quickly from coarse summaries, shown step by step when zoomed in, and with their
//! parameters one by one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::common::{Outcome, RunFile, assert_close, folder, lcascope, patiently, reader};
use crate::synthetic::{Shape, Steps};
use lcascope::app::{Action, App};
use lcascope::feed::{self, DetailClient, Feed, FeedEvent, Origin};
use lcascope::query::{Answer, Query, Topic};
use lcascope::record::{RunEnd, Status, StepSummary};
use lcascope::store::{ParamRows, Recorder, RunReader, WriteOptions, verify};
use lcascope::train;
use tempfile::TempDir;

/// Long enough for two levels of the pyramid, and for one spike of the residual at step 50,020.
const LONG: Shape = Shape {
    steps: 60_100,
    layers: 3,
    layer_params: 4,
    params: false,
    weights: false,
};

/// Opens a file as the screen does, until all its steps are known. Also returns the number of summaries that this took.
fn opened(path: &Path) -> (Feed, feed::FileFeed, App, usize) {
    let (feed, thread) = feed::open(path).unwrap();
    let mut app = App::new(feed.header.clone(), feed.origin);
    let mut summaries = 0;
    for event in &feed.events {
        assert!(!matches!(event, FeedEvent::Broken(_)), "{event:?}");
        if let FeedEvent::Steps(steps) = &event {
            summaries += steps.len();
        }
        app.event(event);
    }
    (feed, thread, app, summaries)
}

/// A synthetic run file, in a folder of its own.
fn written(shape: Shape) -> (TempDir, PathBuf) {
    let folder = folder();
    let path = folder.path().join("run.h5");
    crate::synthetic::write(&path, shape, WriteOptions::default()).unwrap();
    (folder, path)
}

/// Lets the screen request finer steps until it has all it wants.
fn look_closely(app: &mut App, details: &DetailClient) -> usize {
    let mut asked = 0;
    while let Some(request) = app.wanted_detail() {
        details.requests.send(request).unwrap();
        app.event(details.answers.recv().unwrap());
        asked += 1;
        assert!(asked < 10, "it asks and asks");
    }
    asked
}

fn steps_of(path: &Path) -> Vec<StepSummary> {
    let reader = RunReader::open(path).unwrap();
    let committed = reader.refresh().unwrap().committed;
    reader.steps(0..committed).unwrap()
}

/// Allocations by layer. (Unmeasured ones are NaN and equal nothing.)
fn lca(step: &StepSummary) -> Vec<f64> {
    step.layers.iter().map(|layer| layer.lca).collect()
}

/// Checks that the whole run's sums are those of its steps.
fn sums_are_those_of_the_steps(app: &App, steps: &[StepSummary]) {
    let whole = app.model.timeline.whole();
    assert_eq!(whole.steps(), 0..steps.len() as u64);
    for layer in 0..3 {
        let sum: f64 = steps.iter().map(|step| step.layers[layer].lca).sum();
        assert_close(whole.layer_sums(layer).lca, sum, 1e-12, "a layer's sum");
    }
    let residual: f64 = steps.iter().map(|step| step.residual).sum();
    assert_close(whole.residual(), residual, 1e-12, "the residual");
    assert_eq!(whole.gradient_evals(), 2 * steps.len() as u64);
    assert_eq!(whole.above_tolerance(), 1);
    let worst = steps.iter().map(|step| step.worst_residual);
    assert_eq!(whole.worst_residual(), worst.fold(0.0, f64::max));
    let change = steps[steps.len() - 1].loss_after - steps[0].loss_before;
    assert_eq!(whole.loss_change(), change);
}

#[test]
fn a_long_run_opens_from_few_rows_and_zooms_to_single_steps() {
    let (_folder, path) = written(LONG);
    let steps = steps_of(&path);
    let (feed, thread, mut app, summaries) = opened(&path);
    // 1878 rows of 32 steps and four single ones.
    assert_eq!(summaries, 1878 + 4);
    sums_are_those_of_the_steps(&app, &steps);

    // From the whole run to single steps: each window's sums are those of the steps that it claims to cover.
    let details = feed.details.as_ref().unwrap();
    app.act(Action::Home);
    app.act(Action::Move(50_020));
    look_closely(&mut app, details);
    loop {
        let end = app.model.timeline.end();
        let visible = app.nav.window.visible(end);
        let stretch = app.model.timeline.stretch(&visible);
        let seen = stretch.steps();
        assert!(seen.start <= visible.start && visible.end <= seen.end);
        assert!(seen.end - seen.start <= visible.end - visible.start + 64);
        let range = usize::try_from(seen.start).unwrap()..usize::try_from(seen.end).unwrap();
        let sum: f64 = steps[range].iter().map(|step| step.layers[1].lca).sum();
        assert_close(stretch.layer_sums(1).lca, sum, 1e-12, "a window's sum");
        let at_cursor = app.model.timeline.entry(50_020).unwrap();
        assert_eq!((at_cursor.first, at_cursor.end), (50_020, 50_021));
        assert_eq!(lca(at_cursor), lca(&steps[50_020]));
        if visible.end - visible.start == 8 {
            assert_eq!(seen, visible);
            assert_eq!(stretch.coarsest(), 1);
            break;
        }
        app.act(Action::ZoomIn);
        look_closely(&mut app, details);
    }
    // A replay stops anywhere, and its sums cover what has been played.
    app.act(Action::ZoomAll);
    app.act(Action::Follow);
    app.nav.window.set_head(12_345);
    look_closely(&mut app, details);
    assert_eq!(app.model.timeline.stretch(&(0..12_345)).steps(), 0..12_345);
    drop(feed);
    drop(thread);
    info_counts_every_step(&path);
    without_a_pyramid(&path, &steps);
}

/// Checks that `lcascope info` reads every step.
fn info_counts_every_step(path: &Path) {
    let mut command = lcascope();
    command.arg("info").arg(path);
    let said = Outcome::of(command);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.stdout.contains("60100 of 60100"), "{}", said.stdout);
    let above = "1 of 60100 steps above the tolerance 0.001";
    assert!(said.stdout.contains(above), "{}", said.stdout);
}

/// Checks that an older program's file is read step by step, and shows the same.
fn without_a_pyramid(path: &Path, steps: &[StepSummary]) {
    crate::common::open_rw(path)
        .unwrap()
        .unlink("pyramid")
        .unwrap();
    let (feed, thread, mut app, summaries) = opened(path);
    assert_eq!(summaries, steps.len());
    sums_are_those_of_the_steps(&app, steps);
    app.act(Action::Home);
    assert!(look_closely(&mut app, feed.details.as_ref().unwrap()) > 0);
    let first = app.model.timeline.entry(0).unwrap();
    assert_eq!((first.first, first.end), (0, 1));
    drop(feed);
    drop(thread);
}

#[test]
fn the_pyramid_has_rows_of_complete_groups() {
    let shape = Shape {
        steps: 2100,
        ..LONG
    };
    let (_folder, path) = written(shape);
    let file = RunFile::open(&path);
    for (width, rows) in [(32, 65), (1024, 2), (32_768, 0)] {
        let at = |name: &str| format!("pyramid/{width}/{name}");
        assert_eq!(file.dataset(&at("total")).shape(), [rows]);
        assert_eq!(file.dataset(&at("lca_max")).shape(), [rows, 3]);
        let (total, layer) = (file.reals(&at("total")), file.reals(&at("lca")));
        let (before, after) = (
            file.reals(&at("loss_before")),
            file.reals(&at("loss_after")),
        );
        let residual = file.reals(&at("residual"));
        let (steps, layers) = (file.reals("lca/total"), file.reals("lca/layer"));
        for row in 0..rows {
            let group = row * width..(row + 1) * width;
            let sum: f64 = steps.values[group.clone()].iter().sum();
            assert_close(total.values[row], sum, 1e-12, "the sum of a row's steps");
            let change = after.values[row] - before.values[row];
            assert_close(
                total.values[row] + residual.values[row],
                change,
                1e-12,
                "it closes",
            );
            let largest = group.clone().map(|t| layers.row(t)[2]);
            let largest = largest.fold(f64::NEG_INFINITY, f64::max);
            assert_eq!(file.reals(&at("lca_max")).row(row)[2], largest);
            let sum: f64 = layer.row(row).iter().sum();
            assert_close(sum, total.values[row], 1e-12, "layers add up");
        }
    }
}

#[test]
fn parameters_are_read_one_by_one() {
    let shape = Shape {
        steps: 75,
        layers: 2,
        layer_params: 1500,
        params: true,
        weights: true,
    };
    let (folder, path) = written(shape);
    let mut steps = Steps::new(&crate::synthetic::header(shape));
    let start = steps.start();
    let records: Vec<_> = (0..75).map(|_| steps.step()).collect();

    let reader = RunReader::open(&path).unwrap();
    let (params, weights) = (
        reader.param_rows().unwrap().unwrap(),
        reader.weight_rows().unwrap().unwrap(),
    );
    assert_eq!(params.steps(), (0..75).collect::<Vec<_>>());
    assert_eq!(weights.steps(), (0..76).collect::<Vec<_>>());
    let row = |rows: &ParamRows, at| Some(rows.read(at..at + 1, &(0..3000)).unwrap());
    for (t, record) in records.iter().enumerate() {
        assert_eq!(row(&params, t), record.lca_param);
        assert_eq!(row(&weights, t + 1), record.weights);
    }
    assert_eq!(row(&weights, 0), start.weights);
    assert_eq!(row(&params, 75), Some(Vec::new()));
    for index in [0, 511, 512, 1777, 2999] {
        let history = reader.param_history(index).unwrap();
        assert_eq!(history.steps, (0..75).collect::<Vec<_>>());
        let expected = records.iter().map(|r| r.lca_param.as_ref().unwrap()[index]);
        assert!(history.values.iter().copied().eq(expected), "{index}");
        let history = weights.read(0..99, &(index..index + 1)).unwrap();
        assert_eq!(history.len(), 76);
        let last = records[74].weights.as_ref().unwrap()[index];
        assert_eq!(history[75], last);
    }
    let error = reader.param_history(3000).unwrap_err().to_string();
    assert!(
        error.contains("no parameter 3000") && error.contains("3000"),
        "{error}"
    );

    let path = folder.path().join("narrow.h5");
    let shape = Shape {
        params: false,
        weights: false,
        ..shape
    };
    crate::synthetic::write(&path, shape, WriteOptions::default()).unwrap();
    let reader = RunReader::open(&path).unwrap();
    assert!(reader.param_rows().unwrap().is_none());
    assert!(reader.weight_rows().unwrap().is_none());
    assert!(reader.param_history(5).unwrap().values.is_empty());
}

/// A training's screen reads details from its own file while that is being written.
#[test]
fn a_running_training_can_be_zoomed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("live.h5");
    let shape = Shape {
        steps: 20_000,
        ..LONG
    };
    let header = crate::synthetic::header(shape);
    let mut steps = Steps::new(&header);
    let mut recorder = Recorder::spawn(&path, &header, WriteOptions::default()).unwrap();
    let file = path.clone();
    let (details, reader) =
        feed::details(move || reader(&file, &["--details"]), train::inquiries().0).unwrap();
    let mut app = App::new(Arc::new(header.clone()), Origin::Live);
    let start = steps.start();
    app.event(FeedEvent::Start(start.losses.clone()));
    recorder.start(start).unwrap();
    let record = |steps: &mut Steps, recorder: &mut Recorder, app: &mut App| {
        let record = steps.step();
        let summary = StepSummary::from_step(&record, header.tolerance);
        app.event(FeedEvent::Steps(vec![summary.clone()]));
        recorder.step(record).unwrap();
        summary
    };
    let mut tenth = None;
    for step in 0..15_000 {
        let summary = record(&mut steps, &mut recorder, &mut app);
        if step == 10 {
            tenth = Some(summary);
        }
    }
    // Far back, at the tenth step, the timeline has only coarse entries.
    app.act(Action::Home);
    app.act(Action::Move(10));
    assert!(app.model.timeline.entry(10).unwrap().steps() > 1);
    patiently("the step to be committed and read", || {
        record(&mut steps, &mut recorder, &mut app);
        look_closely(&mut app, &details);
        (app.model.timeline.entry(10).unwrap().steps() == 1).then_some(())
    });
    assert_eq!(
        lca(app.model.timeline.entry(10).unwrap()),
        lca(&tenth.unwrap())
    );
    for _ in 0..100 {
        record(&mut steps, &mut recorder, &mut app);
    }
    let end = RunEnd {
        status: Status::Finished,
        message: String::new(),
        totals: None,
    };
    // Reading details does not keep the file from being closed.
    recorder.finish(end).unwrap();
    let marked = RunReader::open(&path).unwrap().is_marked();
    assert!(!marked, "it is closed");
    drop(reader);
    let steps = steps_of(&path);
    assert_eq!(steps.len() as u64, app.model.timeline.end());
    let sum: f64 = steps.iter().map(|step| step.layers[0].lca).sum();
    let whole = app.model.timeline.whole();
    assert_close(
        whole.layer_sums(0).lca,
        sum,
        1e-12,
        "the file and the screen",
    );
}

/// `lcascope open` reads in another process, which can be queried even long after the run has ended.
#[test]
fn a_reader_process_answers_after_the_end_of_the_run() {
    let (_folder, path) = written(LONG);
    let opening = feed::spawn(reader(&path, &[]), &path).unwrap();
    let feed = opening.ready.recv().unwrap().unwrap();
    let mut app = App::new(feed.header.clone(), feed.origin);
    // Reads to the end: the process closes the stream of events.
    for event in &feed.events {
        assert!(!matches!(event, FeedEvent::Broken(_)), "{event:?}");
        app.event(event);
    }
    assert_eq!(app.model.timeline.end(), LONG.steps);
    app.act(Action::Home);
    app.act(Action::Move(50_020));
    assert!(app.model.timeline.entry(50_020).unwrap().steps() > 1);
    assert!(look_closely(&mut app, feed.details.as_ref().unwrap()) > 0);
    let steps = steps_of(&path);
    let seen = app.model.timeline.entry(50_020).unwrap();
    assert_eq!(lca(seen), lca(&steps[50_020]));
}

/// When a reading process dies, one answer is lost, and another process replaces it.
#[test]
fn details_survive_the_process_that_reads_them() {
    let shape = Shape { steps: 100, ..LONG };
    let (_folder, path) = written(shape);
    let (file, started) = (path.clone(), AtomicU32::new(0));
    let reader = move || match started.fetch_add(1, Ordering::Relaxed) {
        0 => Command::new("false"),
        1 => reader(&file.with_extension("gone"), &["--details"]),
        _ => reader(&file, &["--details"]),
    };
    let (details, reader) = feed::details(reader, train::inquiries().0).unwrap();
    let request = Query::about(Topic::Steps { width: 4 }, 10..50, 1);
    let found = [(); 4].map(|()| {
        details.requests.send(request.clone()).unwrap();
        match details.answers.recv().unwrap() {
            FeedEvent::Answer { query, answer } => match *answer {
                Answer::Steps(steps) if query == request => steps.len(),
                other => panic!("{query:?}: {other:?}"),
            },
            other => panic!("{other:?}"),
        }
    });
    // From step 8 to step 52.
    assert_eq!(found, [0, 0, 11, 11]);
    drop(reader);
}

/// `verify` finds a row that does not match its steps.
#[test]
fn verify_checks_every_row_of_the_pyramid() {
    let shape = Shape {
        steps: 2100,
        ..LONG
    };
    let (folder, path) = written(shape);
    let pyramid = || {
        let checks = verify(&path).unwrap();
        checks
            .into_iter()
            .find(|check| check.name == "pyramid")
            .unwrap()
    };
    let check = pyramid();
    assert!(check.passed(), "{check:?}");
    let rows = "65 of 32, 2 of 1024, 0 of 32768";
    assert!(check.looked_at.ends_with(rows), "{check:?}");
    for (name, place) in [
        ("pyramid/32/hurt", "pyramid/32, row 3: hurt is"),
        ("pyramid/1024/lca", "pyramid/1024, row 1: lca is"),
        ("pyramid/1024/loss_min", "pyramid/1024, row 1: loss_min is"),
    ] {
        let row = if name.contains("1024") { 1 } else { 3 };
        let changed = folder.path().join("changed.h5");
        std::fs::copy(&path, &changed).unwrap();
        let file = crate::common::open_rw(&changed).unwrap();
        let dataset = file.dataset(name).unwrap();
        let mut values: Vec<f64> = dataset.read_raw().unwrap();
        let width = values.len() / dataset.shape()[0];
        values[row * width] += 1.0;
        dataset.write_raw(&values).unwrap();
        // While any handle is open, the file is locked.
        drop((dataset, file));
        let checks = verify(&changed).unwrap();
        let faults: Vec<_> = checks.iter().filter(|check| !check.passed()).collect();
        assert!(
            faults.len() == 1 && faults[0].count == 1 && faults[0].faults[0].contains(place),
            "{faults:?}"
        );
    }
}

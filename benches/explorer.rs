//! Benchmarks of a frame: a run of a million steps of 64 layers on a terminal of 200×60 cells, every screen and level,
//! with the whole run, a thousand steps and about ten steps in view.
//!
//! `just bench --bench explorer` first prints a table: the median and the worst of 1000 frames, and the memory use.
//! Then criterion measures the medians.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::Criterion;
use lcascope::app::{Action, App, Other, Picker, RunModel};
use lcascope::feed::{FeedEvent, Origin};
use lcascope::query::{Analyst, Answer, Query, Topic};
use lcascope::record::{LayerSummary, Losses, RunHeader, Status, StepSummary};
use lcascope::runs::{ListUpdate, RunEntry};
use lcascope::store::RunReader;
use lcascope::tui::keys::KeyMap;
use lcascope::tui::{ScreenOptions, picker, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use scenes::{listed, odd};

#[path = "../tests/explorer/scenes/mod.rs"]
mod scenes;

const STEPS: u64 = 1_000_000;
const LAYERS: usize = 64;
const AREA: Rect = Rect::new(0, 0, 200, 60);
/// Number of steps of the file that answers queries; the answers are as large as those of a longer one.
const IN_FILE: u64 = 2000;

/// Returns a reproducible number around 0 for a step and a layer.
#[expect(clippy::cast_precision_loss, reason = "noise")]
fn noise(step: u64, layer: usize) -> f64 {
    let mut mixed = (step << 8 | layer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64 - 0.52
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
fn step(t: u64) -> StepSummary {
    let layer = |l: usize| {
        let lca = noise(t, l) * 1e-6;
        LayerSummary {
            lca_error: 1e-12,
            helped: 6,
            hurt: 5,
            update_flips: 2,
            gradient_flips: 3,
            held_out_lca: noise(t + 1, l) * 1e-6,
            ..LayerSummary::of_step(lca)
        }
    };
    let layers: Vec<LayerSummary> = (0..LAYERS).map(layer).collect();
    let total: f64 = layers.iter().map(|layer| layer.lca).sum();
    let loss = |t: u64| 2.5 - t as f64 * 1e-6;
    let after = Losses {
        train: loss(t + 1),
        train_accuracy: 0.5,
        test: loss(t + 1),
        test_accuracy: 0.5,
        ..Losses::default()
    };
    let residual = loss(t + 1) - loss(t) - total;
    StepSummary {
        epoch: t as f64 / 1000.0,
        learning_rate: 0.1,
        batch_loss: loss(t),
        seconds: t as f64,
        gradient_evals: 2,
        segments: 2,
        loss_before: loss(t),
        total,
        layers,
        ..StepSummary::default()
    }
    .at_step(t, &after, residual, 1e-3)
}

fn whole_run(header: &Arc<RunHeader>) -> RunModel {
    let mut model = RunModel::new(header.clone(), Origin::Replay);
    model.event(FeedEvent::Start(Losses {
        train: 2.5,
        ..Losses::default()
    }));
    for t in 0..STEPS {
        model.event(FeedEvent::Steps(vec![step(t)]));
    }
    model.event(FeedEvent::Status {
        status: Status::Finished,
        message: String::new(),
    });
    model
}

/// Answers queries about the long run: steps are generated, all else comes from the short file, shifted to the
/// requested steps.
struct Oracle {
    reader: RunReader,
    analyst: Analyst,
}

impl Oracle {
    fn answer(&mut self, query: &Query) -> Answer {
        if let Topic::Steps { width } = query.topic {
            let starts = (query.steps.start / width * width..query.steps.end.min(STEPS))
                .step_by(usize::try_from(width).expect("a small width"));
            let merged = |start: u64| {
                let mut first = step(start);
                for t in start + 1..(start + width).min(STEPS) {
                    first.merge(&step(t));
                }
                first
            };
            return Answer::Steps(starts.map(merged).collect());
        }
        let short = Query {
            steps: 0..(query.steps.end - query.steps.start).min(IN_FILE),
            ..query.clone()
        };
        let answer = self.analyst.answer(&self.reader, &short, &|| false);
        let mut answer = answer.expect("the file is readable");
        let moved = |edges: &mut Vec<u64>| {
            let last = edges.last().copied().unwrap_or(0).max(1);
            let all = query.steps.end - query.steps.start;
            for edge in edges {
                *edge = query.steps.start + *edge * all / last;
            }
        };
        match &mut answer {
            Answer::Binned(binned) => moved(&mut binned.edges),
            Answer::Oscillation(known) => moved(&mut known.edges),
            Answer::History(history) => {
                let curves = [&mut history.value, &mut history.gradient, &mut history.lca];
                for curve in curves.into_iter().flatten() {
                    moved(&mut curve.edges);
                }
            }
            _ => {}
        }
        answer
    }

    fn settle(&mut self, app: &mut App) {
        let size = (AREA.width, AREA.height);
        for _ in 0..200 {
            let wanted = scenes::queries(app, size, &scenes::rich());
            let query = app.wanted_detail().or_else(|| app.wanted_answer(&wanted));
            let Some(query) = query else { return };
            let answer = Box::new(self.answer(&query));
            app.event(FeedEvent::Answer { query, answer });
        }
        panic!("it asks and asks");
    }
}

/// Zoom levels: their names, and the number of halvings of the window around a cursor in the middle.
const ZOOMS: [(&str, usize); 3] = [("all", 0), ("1000 steps", 10), ("15 steps", 16)];

/// Takes the app from its initial state to a scene.
fn go(app: &mut App, oracle: &mut Oracle, scene: &scenes::Scene, zoom: usize) {
    app.overlays.open = None;
    app.overlays.prompt = None;
    app.nav.filter.clear();
    app.act(Action::Screen(lcascope::app::Screen::Overview));
    app.act(Action::ZoomAll);
    app.act(Action::Home);
    app.act(Action::Move(i64::try_from(STEPS / 2).unwrap_or(0)));
    for _ in 0..zoom {
        app.act(Action::ZoomIn);
    }
    for &action in &scene.actions {
        app.act(action);
        oracle.settle(app);
    }
}

fn frame(app: &App, buffer: &mut Buffer) {
    buffer.reset();
    view::draw(AREA, buffer, app, &scenes::rich(), &KeyMap::default());
    black_box(buffer);
}

/// Returns the process's current and peak memory use, in MiB.
fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let of = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    (of("VmRSS"), of("VmHWM"))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("short.h5");
    let mut dice = odd::Dice::new(7, false);
    let header = RunHeader {
        held_out_lca: true,
        record_params: 1,
        record_weights: 1,
        classes: (0..10).map(|class| class.to_string()).collect(),
        ..odd::header(&mut dice, LAYERS, STEPS)
    };
    odd::write(&path, &header, IN_FILE, &mut dice);
    let header = Arc::new(header);
    let before = memory().0;
    let mut app = App::of(whole_run(&header));
    let (now, most) = memory();
    println!(
        "memory: {} MiB for the steps, {now} in all, {most} at most",
        now - before
    );
    let mut oracle = Oracle {
        reader: RunReader::open(&path).expect("it is a run"),
        analyst: Analyst::new(),
    };
    let mut buffer = Buffer::empty(AREA);
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("a frame of 200x60");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    let mut second = whole_run(&header);
    println!("{:30} median    worst of 1000 (ms)", "");
    for (name, zoom) in ZOOMS {
        for scene in scenes::scenes() {
            go(&mut app, &mut oracle, &scene, zoom);
            let name = format!("{} of {name}", scene.name);
            print_worst(&name, &app, &mut buffer);
            group.bench_function(&name, |bencher| {
                bencher.iter(|| frame(&app, &mut buffer));
            });
        }
        let scene = &scenes::scenes()[0];
        go(&mut app, &mut oracle, scene, zoom);
        let other = Other {
            model: second,
            name: "two.h5".to_owned(),
        };
        app.compare_with("one.h5", vec![other]);
        oracle.settle(&mut app);
        let name = format!("compare of {name}");
        print_worst(&name, &app, &mut buffer);
        group.bench_function(&name, |bencher| {
            bencher.iter(|| frame(&app, &mut buffer));
        });
        let other = app.others.runs.pop();
        second = other.expect("it was put there").model;
        app.nav.comparing = false;
    }
    group.finish();
    bench_picker(&mut criterion);
    println!("memory: {} MiB at most, with a second run", memory().1);
}

/// A frame of the list of a thousand runs, and the update of twenty rows.
fn bench_picker(criterion: &mut Criterion) {
    let mut picker = Picker::new("runs");
    picker.update(ListUpdate::Entries((0..1000).map(listed::entry).collect()));
    let options = ScreenOptions {
        theme: scenes::rich(),
        keys: KeyMap::default(),
        fps: 15,
        mouse: false,
        notice: String::new(),
    };
    let mut buffer = Buffer::empty(AREA);
    criterion.bench_function("picker: frame", |bencher| {
        bencher.iter(|| picker::draw(AREA, &mut buffer, black_box(&picker), &options));
    });
    let live: Vec<RunEntry> = (0..20).map(|run| listed::entry(run * 50)).collect();
    criterion.bench_function("picker: update of 20 rows", |bencher| {
        bencher.iter(|| picker.update(ListUpdate::Entries(black_box(live.clone()))));
    });
}

fn print_worst(name: &str, app: &App, buffer: &mut Buffer) {
    let mut times: Vec<Duration> = (0..1000)
        .map(|_| {
            let began = Instant::now();
            frame(app, buffer);
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    println!(
        "{name:30} {:6.2}    {:6.2}",
        millis(times[500]),
        millis(times[999])
    );
}

//! Benchmarks of the run file: recording a step, and reading steps and parameters back.
//!
//! `just bench --bench store` runs these; files are written to the temporary folder.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use lcascope::app::RunModel;
use lcascope::feed::{self, FeedEvent};
use lcascope::store::{RunReader, RunWriter, WriteOptions};

#[path = "../examples/synthetic/mod.rs"]
mod synthetic;

use synthetic::{Shape, Steps};

/// The number of parameters of `mnist-fc`.
const WIDE: Shape = Shape {
    steps: 640,
    layers: 3,
    layer_params: 28_020,
    params: true,
    weights: false,
};

const LONG: Shape = Shape {
    steps: 20_000,
    layers: 64,
    layer_params: 4,
    params: false,
    weights: false,
};

fn record(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, shape) in [
        ("a step, 64 layers", LONG),
        ("a step and the LCA of 84,060 parameters", WIDE),
    ] {
        let header = synthetic::header(shape);
        let mut steps = Steps::new(&header);
        let path = folder.path().join("record.h5");
        let options = WriteOptions {
            force: true,
            ..WriteOptions::default()
        };
        let mut writer = RunWriter::create(&path, &header, options).expect("a new file");
        writer.start(&steps.start()).expect("it takes the start");
        let record = steps.step();
        let mut step = 0;
        // Every iteration lengthens the file.
        let mut group = criterion.benchmark_group("record");
        group
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut record = record.clone();
                record.step = step;
                step += 1;
                writer.step(&record).expect("it takes a step");
                if step % 512 == 0 {
                    writer.commit().expect("it commits");
                }
            });
        });
        group.finish();
        drop(writer);
        std::fs::remove_file(&path).expect("the file is there");
    }
}

fn read(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wide.h5");
    synthetic::write(&path, WIDE, WriteOptions::default()).expect("a run");
    let reader = RunReader::open(&path).expect("it is a run");
    let mut group = criterion.benchmark_group("84,060 parameters, 640 steps");
    group.sample_size(20);
    group.bench_function("one step over all parameters", |bencher| {
        let params = reader.header().layout.params();
        bencher.iter(|| {
            let rows = reader.param_rows().expect("it is readable");
            let rows = rows.expect("all are recorded");
            black_box(rows.read(320..321, &(0..params)).expect("it is readable"))
        });
    });
    group.bench_function("one parameter over all steps", |bencher| {
        bencher.iter(|| black_box(reader.param_history(40_000).expect("it is readable")));
    });
    group.finish();
}

fn open(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long.h5");
    synthetic::write(&path, LONG, WriteOptions::default()).expect("a run");
    let mut group = criterion.benchmark_group("20,000 steps, 64 layers");
    group.sample_size(20);
    group.bench_function("open, all steps on the screen", |bencher| {
        bencher.iter(|| {
            let (feed, thread) = feed::open(&path).expect("it is a run");
            let mut model = RunModel::new(feed.header.clone(), feed.origin);
            for event in &feed.events {
                assert!(!matches!(event, FeedEvent::Broken(_)), "{event:?}");
                model.event(event);
            }
            drop(feed);
            drop(thread);
            model
        });
    });
    let reader = RunReader::open(&path).expect("it is a run");
    let committed = reader.refresh().expect("it is readable").committed;
    group.bench_function("a window of 1000 steps", |bencher| {
        let window = 9000..10_000;
        bencher.iter(|| reader.merged(black_box(&window), 1, committed, u64::MAX));
    });
    group.finish();
}

criterion_group!(benches, record, read, open);
criterion_main!(benches);

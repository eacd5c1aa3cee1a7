//! Benchmarks of a step: the gradient in both engines, the allocation, the recording, a frame.
//!
//! `just bench` runs these. Both engines compute the same gradient in the same session, so their ratio holds even on a
//! machine whose speed drifts. `just bench-torch` compares with `PyTorch`.

use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use lcascope::app::App;
use lcascope::data::{self, DataSource};
use lcascope::engine::candle::{CandleEngine, Precision};
use lcascope::engine::cpu::{self, CpuEngine, SLICE_SIZE};
use lcascope::engine::{Device, Evaluation, GradientEngine, RunData, Subset, Want};
use lcascope::feed::{FeedEvent, Origin};
use lcascope::layout::{ParamLayout, TensorKind};
use lcascope::lca::allocation::EndLosses;
use lcascope::lca::{Allocator, Integrator, IntegratorSettings, Method, PointEvaluation};
use lcascope::model::{Network, he_normal, preset};
use lcascope::record::{LayerSummary, Losses, RunHeader, StepSummary};
use lcascope::tui::keys::KeyMap;
use lcascope::tui::{ColorLevel, Glyphs, Theme, view};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

fn network() -> Network {
    let spec = preset("mnist-fc").expect("the preset is there");
    Network::build(&spec, [1, 28, 28], 10).expect("it fits MNIST")
}

fn gradient(criterion: &mut Criterion) {
    let dataset = data::load(&DataSource::Embedded).expect("the sample is part of the program");
    let network = network();
    let params = he_normal(&network, 0);
    let empty = dataset.train.select(&[]);
    let data = RunData {
        drawn_from: None,
        train: dataset.train,
        test: dataset.test,
        validation: empty,
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut cpu = CpuEngine::new(&network, data.clone(), SLICE_SIZE, threads, false);
    let mut by_class = CpuEngine::new(&network, data.clone(), SLICE_SIZE, threads, true);
    let mut candle =
        CandleEngine::new(&network, &data, 2048, Device::Cpu, Precision::Single, false)
            .expect("the CPU is always there");
    let mut out = Evaluation::default();
    let mut group = criterion.benchmark_group("full gradient, mnist-fc, 6000 examples");
    group.throughput(Throughput::Elements(6000)).sample_size(20);
    let mut run = |name: &str, engine: &mut dyn GradientEngine, want| {
        group.bench_function(name, |bencher| {
            bencher.iter(|| engine.evaluate(Subset::Train, black_box(&params), want, &mut out));
        });
    };
    run("cpu", &mut cpu, Want::Gradient);
    run("cpu, by class", &mut by_class, Want::ClassGradient);
    run("cpu, loss only", &mut cpu, Want::Loss);
    run("candle", &mut candle, Want::Gradient);
    group.finish();
}

/// Benchmarks convolutions and batch norms on the sample's images, both engines on the same few examples.
fn image_gradient(criterion: &mut Criterion) {
    let dataset = data::load(&DataSource::Embedded).expect("the sample is part of the program");
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let few: Vec<u32> = (0..500).collect();
    let data = RunData {
        drawn_from: None,
        train: dataset.train.select(&few),
        test: dataset.test.select(&[]),
        validation: dataset.test.select(&[]),
    };
    for name in ["mnist-lenet", "cifar-resnet20"] {
        let spec = preset(name).expect("the preset is there");
        let network = Network::build(&spec, [1, 28, 28], 10).expect("it takes any image");
        let params = he_normal(&network, 0);
        let slice = cpu::slice_size(&network);
        let mut own = CpuEngine::new(&network, data.clone(), slice, threads, false);
        let (device, precision) = (Device::Cpu, Precision::Single);
        let mut candle = CandleEngine::new(&network, &data, slice, device, precision, false)
            .expect("the CPU is always there");
        let mut out = Evaluation::default();
        let mut group = criterion.benchmark_group(format!("full gradient, {name}, 500 examples"));
        group.throughput(Throughput::Elements(500)).sample_size(10);
        let mut run = |name: &str, engine: &mut dyn GradientEngine| {
            group.bench_function(name, |bencher| {
                let want = Want::Gradient;
                bencher.iter(|| engine.evaluate(Subset::Train, black_box(&params), want, &mut out));
            });
        };
        run("cpu", &mut own);
        run("candle", &mut candle);
        group.finish();
    }
}

/// Copies on one and two threads: what the memory can do, to compare the next benchmark with.
fn memory(criterion: &mut Criterion) {
    const VALUES: usize = 1 << 26;
    let mut group = criterion.benchmark_group("a copy of 256 MiB, bytes read and written");
    group.sample_size(10);
    group.throughput(Throughput::Bytes(8 * VALUES as u64));
    let (from, mut to) = (vec![1.0_f32; VALUES], vec![0.0_f32; VALUES]);
    for threads in [1, 2] {
        let part = VALUES / threads;
        group.bench_function(format!("{threads} threads"), |bencher| {
            bencher.iter(|| {
                std::thread::scope(|scope| {
                    for (to, from) in to.chunks_mut(part).zip(from.chunks(part)) {
                        scope.spawn(|| black_box(to).copy_from_slice(black_box(from)));
                    }
                });
            });
        });
    }
    group.finish();
}

/// A step by Simpson's rule, apart from its gradients: Δ and sums at three nodes, which read 36 bytes per parameter, and
/// the allocation with its sums and counts, which reads and writes 78.
fn allocation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a step without its gradients");
    group.sample_size(10);
    for width in [300, 1_000, 3_000, 10_000] {
        let mut layout = ParamLayout::default();
        layout.push_layer(
            "fc",
            "linear",
            width,
            &[(TensorKind::Weight, vec![width, width])],
        );
        let params = layout.params();
        let numbers = |factor: f32| -> Vec<f32> {
            let number = |i: u16| (f32::from(i) * factor).sin();
            (0..u16::MAX).cycle().map(number).take(params).collect()
        };
        let (from, to) = (numbers(0.1), numbers(0.2));
        let point = |factor| PointEvaluation {
            train: Evaluation {
                gradient: numbers(factor),
                ..Evaluation::default()
            },
            held_out: None,
        };
        let (start, mut end, inner) = (point(0.3), point(0.4), point(0.5));
        group.throughput(Throughput::Elements(params as u64));
        for threads in [1, 2] {
            let settings = IntegratorSettings {
                method: Method::Simpson,
                ..IntegratorSettings::default()
            };
            let mut integrator = Integrator::new(settings, &layout, threads);
            let mut allocator = Allocator::new(&layout, threads);
            let ends = EndLosses {
                before: 1.0,
                after: 0.9,
            };
            let evaluate = |alpha: f64, out: &mut PointEvaluation| -> Result<(), Infallible> {
                if alpha < 1.0 && out.train.gradient.is_empty() {
                    out.clone_from(&inner);
                }
                Ok(())
            };
            group.bench_function(
                BenchmarkId::new(format!("{threads} threads"), params),
                |bencher| {
                    bencher.iter(|| {
                        let Ok(integral) =
                            integrator.integrate(&from, &to, &start, &mut end, evaluate);
                        let path = integrator.path(&integral, &from, &to, &start, &end);
                        black_box(allocator.allocate(&path, &integral, ends, None))
                    });
                },
            );
            let Ok(integral) = integrator.integrate(&from, &to, &start, &mut end, evaluate);
            group.bench_function(
                BenchmarkId::new(format!("{threads} threads, allocation alone"), params),
                |bencher| {
                    let path = integrator.path(&integral, &from, &to, &start, &end);
                    bencher.iter(|| black_box(allocator.allocate(&path, &integral, ends, None)));
                },
            );
        }
    }
    group.finish();
}

/// Creates an app with a run of `steps` steps over `layers` layers, as the screen receives it.
fn app(layers: usize, steps: u64) -> App {
    let mut layout = lcascope::layout::ParamLayout::default();
    for layer in 0..layers {
        let shapes = [(lcascope::layout::TensorKind::Weight, vec![8, 8])];
        layout.push_layer(&format!("conv{layer}"), "linear", 8, &shapes);
    }
    let header = RunHeader {
        dataset: "synthetic".to_owned(),
        integrator: "adaptive".to_owned(),
        slice_size: 1,
        network: "bench".to_owned(),
        planned_steps: steps,
        steps_per_epoch: 100,
        tolerance: 1e-3,
        layout,
        ..RunHeader::default()
    };
    let mut app = App::new(Arc::new(header), Origin::Live);
    app.event(FeedEvent::Start(Losses::default()));
    let after = Losses {
        train: 1.0,
        train_accuracy: 0.9,
        test: 1.1,
        test_accuracy: 0.8,
        ..Losses::default()
    };
    let summary = |step: u64| StepSummary {
        learning_rate: 0.1,
        batch_loss: 1.0,
        gradient_evals: 2,
        segments: 2,
        loss_before: 1.0,
        layers: (0..layers)
            .map(|layer| {
                #[expect(clippy::cast_precision_loss, reason = "a wave to look at")]
                let phase = (step + layer as u64 * 7) as f64;
                let lca = (phase * 0.1).sin() * 1e-3;
                LayerSummary {
                    helped: 32,
                    hurt: 30,
                    update_flips: 9,
                    ..LayerSummary::of_step(lca)
                }
            })
            .collect(),
        ..StepSummary::default()
    };
    let summary = |step| summary(step).at_step(step, &after, 0.0, 1.0);
    app.event(FeedEvent::Steps((0..steps).map(summary).collect()));
    app
}

fn frame(criterion: &mut Criterion) {
    let keys = KeyMap::default();
    let theme = Theme::new(ColorLevel::TrueColor, Glyphs::Braille);
    let area = Rect::new(0, 0, 200, 60);
    for (layers, steps) in [(3, 1000), (22, 5000), (64, 50_000)] {
        let app = app(layers, steps);
        let name = format!("overview at 200x60, {layers} layers, {steps} steps");
        criterion.bench_function(&name, |bencher| {
            bencher.iter_batched(
                || Buffer::empty(area),
                |mut buffer| view::draw(area, &mut buffer, &app, &theme, &keys),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, gradient, image_gradient, memory, allocation, frame);
criterion_main!(benches);

//! Benchmarks of the explorer's statistics: moments of learning and their null models, concentration, and
//! autocorrelation.
//!
//! `just bench --bench analysis` runs these.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use lcascope::analysis::concentration::concentration;
use lcascope::analysis::moments::{KEEP, Moments};
use lcascope::analysis::nulls::{Draws, NullModel, null};
use lcascope::analysis::oscillation::autocorrelation;
use lcascope::analysis::period::dominant_period;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const LAYERS: usize = 64;
const STEPS: u64 = 20_000;

fn noise(n: usize) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    (0..n).map(|_| rng.random::<f64>() - 0.5).collect()
}

fn synchronisation(criterion: &mut Criterion) {
    let rows = noise(LAYERS * 20_000);
    let found = || {
        let mut moments = Moments::new(LAYERS, KEEP);
        for (step, row) in (0..STEPS).zip(rows.chunks(LAYERS)) {
            moments.push(step, row);
        }
        moments.sets()
    };
    let mut group = criterion.benchmark_group("64 layers, 20 moments each");
    group.sample_size(20);
    group.bench_function("found in 20,000 steps", |bencher| bencher.iter(found));
    let sets = found();
    for (name, model) in [
        ("jitter", NullModel::Jitter),
        ("circular", NullModel::Circular),
    ] {
        group.bench_function(format!("10,000 draws, {name}"), |bencher| {
            bencher.iter(|| null(black_box(&sets), &(0..STEPS), model, Draws::default()));
        });
    }
    group.finish();
}

fn sorting(criterion: &mut Criterion) {
    let totals = noise(2_000_000);
    let mut group = criterion.benchmark_group("2,000,000 parameters");
    group.sample_size(10);
    group.bench_function("concentration", |bencher| {
        bencher.iter_batched_ref(
            || totals.clone(),
            |totals| concentration(black_box(totals)),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn transform(criterion: &mut Criterion) {
    let series = noise(65_536);
    let mut group = criterion.benchmark_group("65,536 steps");
    group.sample_size(20);
    group.bench_function("autocorrelation, all lags", |bencher| {
        bencher.iter(|| autocorrelation(black_box(&series), usize::MAX));
    });
    group.bench_function("dominant period", |bencher| {
        bencher.iter(|| dominant_period(black_box(&series)));
    });
    group.finish();
}

criterion_group!(benches, synchronisation, sorting, transform);
criterion_main!(benches);

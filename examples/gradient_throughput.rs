//! Throughput of the full training-set gradient on `mnist-fc`, for `just bench-torch`.
//!
//! Prints one line of JSON. The inputs are random numbers of MNIST's shape: the time of a dense
//! network's gradient does not depend on them.

use std::time::{Duration, Instant};

use clap::Parser;
use lcascope::data::Examples;
use lcascope::engine::cpu::{CpuEngine, SLICE_SIZE};
use lcascope::engine::{Evaluation, GradientEngine, Part, RunData, Want};
use lcascope::model::{Network, he_normal, preset};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 10_000)]
    examples: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long)]
    threads: Option<usize>,
    #[arg(long, default_value_t = SLICE_SIZE)]
    slice_size: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let threads = match args.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let spec = preset("mnist-fc").ok_or("the preset is there")?;
    let network = Network::build(&spec, [1, 28, 28], 10)?;
    let params = he_normal(&network, 0);
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let inputs = (0..args.examples * 784).map(|_| rng.random()).collect();
    let labels = (0..args.examples)
        .map(|_| rng.random_range(0..10))
        .collect();
    let train = Examples::new(inputs, labels, 784)?;
    let data = RunData {
        test: train.select(&[]),
        validation: train.select(&[]),
        train,
    };
    let mut engine = CpuEngine::new(&network, data, args.slice_size, threads, false);
    let mut out = Evaluation::default();
    for _ in 0..2 {
        engine.evaluate(Part::Train, &params, Want::Gradient, &mut out)?;
    }
    // Total over wall time, as the peer is measured.
    let limit = Duration::from_secs_f64(args.seconds);
    let began = Instant::now();
    let mut passes = 0_u32;
    while began.elapsed() < limit {
        engine.evaluate(Part::Train, &params, Want::Gradient, &mut out)?;
        passes += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 examples")]
    let rate = args.examples as f64 * f64::from(passes) / seconds;
    println!(
        "{{\"samples_per_second\": {rate:.0}, \"passes\": {passes}, \"seconds\": {seconds:.3}, \
         \"engine\": \"{}\", \"slice_size\": {}, \"loss\": {}}}",
        engine.describe(),
        args.slice_size,
        out.loss
    );
    Ok(())
}

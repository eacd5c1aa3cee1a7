//! Measures the throughput of the full training-set gradient of a preset network, for `just bench-torch`; with
//! `--peak`, that of the `gemm` crate's matrix products on this machine.
//!
//! Prints one line of JSON. The inputs are random numbers in the data set's shape: they hardly affect the time of a
//! gradient.

#![allow(
    clippy::cast_precision_loss,
    reason = "far fewer than 2^52 examples and operations"
)]

use std::error::Error;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use clap::Parser;
use lcascope::config::DeviceChoice;
use lcascope::data::Examples;
use lcascope::engine::candle::{self, CandleEngine, Precision};
use lcascope::engine::cpu::{self, CpuEngine};
use lcascope::engine::{self, Evaluation, GradientEngine, RunData, Subset, Want};
use lcascope::model::{Network, Op, he_normal, preset};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const CLASSES: usize = 10;

#[derive(Parser)]
struct Args {
    /// Preset network.
    #[arg(long, default_value = "mnist-fc")]
    network: String,
    #[arg(long, default_value_t = 10_000)]
    examples: usize,
    /// Minimum time to measure, without the warm-up.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    #[arg(long)]
    threads: Option<usize>,
    #[arg(long)]
    slice_size: Option<usize>,
    /// `cpu` (the hand-written engine) or `cuda[:N]` (candle).
    #[arg(long, default_value = "cpu")]
    device: DeviceChoice,
    /// Measure matrix products instead. `RAYON_NUM_THREADS` sets their threads.
    #[arg(long)]
    peak: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    if args.peak {
        println!("{{\"gflops\": {:.1}}}", peak(args.seconds)?);
        return Ok(());
    }
    let threads = match args.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism()?.get(),
    };
    let spec = preset(&args.network).ok_or("`--network` takes the name of a preset")?;
    let shape = if args.network.starts_with("mnist") {
        [1, 28, 28]
    } else {
        [3, 32, 32]
    };
    let network = Network::build(&spec, shape, CLASSES)?;
    let params = he_normal(&network, 0);
    let data = random_data(args.examples, network.features())?;
    let (mut engine, slice_size): (Box<dyn GradientEngine>, _) = match args.device {
        DeviceChoice::Device(device @ engine::Device::Cuda(_)) => {
            let size = match args.slice_size {
                Some(size) => size,
                None => candle::slice_size(&network, &data, device)?,
            };
            let engine =
                CandleEngine::new(&network, &data, size, device, Precision::Single, false)?;
            (Box::new(engine), size)
        }
        _ => {
            let size = args.slice_size.unwrap_or(cpu::slice_size(&network));
            (
                Box::new(CpuEngine::new(&network, data, size, threads, false)),
                size,
            )
        }
    };

    let mut out = Evaluation::default();
    // Two passes, or one if that takes long, as in the `PyTorch` benchmark.
    for _ in 0..2 {
        let began = Instant::now();
        engine.evaluate(Subset::Train, &params, Want::Gradient, &mut out)?;
        if began.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    // Total over wall time, as in the `PyTorch` benchmark.
    let limit = Duration::from_secs_f64(args.seconds);
    let began = Instant::now();
    let mut passes = 0_u32;
    while began.elapsed() < limit {
        engine.evaluate(Subset::Train, &params, Want::Gradient, &mut out)?;
        passes += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let rate = args.examples as f64 * f64::from(passes) / seconds;
    println!(
        "{{\"samples_per_second\": {rate:.1}, \"passes\": {passes}, \"seconds\": {seconds:.3}, \
         \"engine\": \"{}\", \"slice_size\": {slice_size}, \"flops_per_sample\": {}, \"loss\": {}}}",
        engine.describe(),
        flops(&network),
        out.loss
    );
    Ok(())
}

fn random_data(examples: usize, features: usize) -> Result<RunData, Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let inputs = (0..examples * features).map(|_| rng.random()).collect();
    let labels = (0..examples).map(|_| rng.random_range(0..10)).collect();
    let train = Examples::new(inputs, labels, features)?;
    Ok(RunData {
        drawn_from: None,
        test: train.select(&[]),
        validation: train.select(&[]),
        train,
    })
}

/// Counts the additions and multiplications of one example's loss and gradient in linear layers and convolutions:
/// equally many for the outputs, for the gradient of the weights, and for that of the inputs, which is not needed if no
/// parameter comes before.
fn flops(network: &Network) -> usize {
    let mut sum = 0;
    // Whether a value depends on parameters.
    let mut trained = vec![false];
    for node in &network.nodes {
        let [_, height, width] = node.shape;
        let products = match &node.op {
            Op::Dense(dense) => dense.inputs * dense.outputs,
            Op::Conv(conv) => conv.fan_in() * conv.outputs * height * width,
            _ => 0,
        };
        let behind = trained[node.input];
        sum += 2 * products * if behind { 3 } else { 2 };
        trained.push(behind || products > 0 || matches!(node.op, Op::Norm(_)));
    }
    sum
}

/// Measures the highest GFLOP/s of a square matrix product in single precision. candle multiplies with the `gemm`
/// crate, as the engine does.
fn peak(seconds: f64) -> Result<f64, Box<dyn Error>> {
    const SIZES: [usize; 3] = [512, 1024, 2048];
    let mut best = 0.0_f64;
    for size in SIZES {
        let [a, b] = [(); 2].map(|()| Tensor::rand(0.0_f32, 1.0, (size, size), &Device::Cpu));
        let (a, b) = (a?, b?);
        a.matmul(&b)?;
        let limit = Duration::from_secs_f64(seconds / SIZES.len() as f64);
        let began = Instant::now();
        while began.elapsed() < limit {
            let start = Instant::now();
            a.matmul(&b)?;
            let work = 2e-9 * (size as f64).powi(3);
            best = best.max(work / start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

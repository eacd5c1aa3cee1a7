//! Writes a run file of any length, and measures how long reading one takes.
//!
//! ```text
//! cargo run --release --example long_run -- /tmp/long.h5 --steps 1000000 --layers 64
//! cargo run --release --example long_run -- /tmp/wide.h5 --steps 10000 --layers 3 \
//!     --layer-params 28020 --params --weights
//! cargo run --release --example long_run -- /tmp/wide.h5 --read
//! ```

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use lcascope::app::RunModel;
use lcascope::feed::{self, FeedEvent};
use lcascope::store::{Compression, RunReader, WriteOptions};

mod synthetic;

#[derive(Parser)]
struct Args {
    path: PathBuf,
    /// Read the file instead of writing it.
    #[arg(long)]
    read: bool,
    #[arg(long, default_value_t = 1_000_000)]
    steps: u64,
    #[arg(long, default_value_t = 64)]
    layers: usize,
    #[arg(long, default_value_t = 4)]
    layer_params: usize,
    /// Record every parameter's allocation in every step.
    #[arg(long)]
    params: bool,
    /// Record every parameter's weight in every step.
    #[arg(long)]
    weights: bool,
    #[arg(long, default_value = "lz4")]
    compression: Compression,
    #[arg(long, default_value_t = 24)]
    mantissa_bits: u32,
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let args = Args::parse();
    if args.read {
        read(&args.path)
    } else {
        write(&args)
    }
}

fn write(args: &Args) -> Outcome {
    let shape = synthetic::Shape {
        steps: args.steps,
        layers: args.layers,
        layer_params: args.layer_params,
        params: args.params,
        weights: args.weights,
    };
    let options = WriteOptions {
        force: true,
        compression: args.compression,
        mantissa_bits: args.mantissa_bits,
    };
    let began = Instant::now();
    synthetic::write(&args.path, shape, options)?;
    let seconds = began.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&args.path)?.len();
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let (steps, size) = (args.steps as f64, bytes as f64);
    println!("{seconds:.2} s, {:.1} us a step", 1e6 * seconds / steps);
    println!("{bytes} bytes, {:.0} a step", size / steps);
    Ok(())
}

fn read(path: &Path) -> Outcome {
    let began = Instant::now();
    let (feed, thread) = feed::open(path)?;
    println!("open             {:8.1} ms", millis(began));
    let mut model = RunModel::new(feed.header.clone(), feed.origin);
    let mut first = None;
    for event in &feed.events {
        let caught_up = matches!(event, FeedEvent::CaughtUp);
        model.event(event);
        if model.timeline.end() > 0 {
            first.get_or_insert_with(|| millis(began));
        }
        if caught_up {
            break;
        }
    }
    println!("first steps      {:8.1} ms", first.unwrap_or(f64::NAN));
    println!("all steps        {:8.1} ms", millis(began));
    drop(feed);
    drop(thread);

    let reader = RunReader::open(path)?;
    let committed = reader.refresh()?.committed;
    let began = Instant::now();
    for _ in 0..100 {
        reader.refresh()?;
    }
    println!("refresh          {:8.3} ms", millis(began) / 100.0);
    for (steps, width) in [(1000, 1), (16_384, 16), (65_536, 32)] {
        let middle = committed / 2;
        let range = middle..(middle + steps).min(committed);
        let began = Instant::now();
        let found = reader.merged(&range, width, committed, u64::MAX)?.len();
        let spent = millis(began);
        println!("{steps:>6} steps by {width:<3}{spent:8.1} ms ({found} summaries)");
    }
    let params = reader.header().layout.params();
    for (name, rows) in [
        ("lca", reader.param_rows()?),
        ("weight", reader.weight_rows()?),
    ] {
        let Some(rows) = rows.filter(|rows| !rows.steps().is_empty()) else {
            continue;
        };
        let (steps, one) = (rows.steps().len(), params / 2..params / 2 + 1);
        let middle = steps / 2;
        for round in ["first", "again"] {
            let began = Instant::now();
            let found = rows.read(0..steps, &one)?.len();
            let spent = millis(began);
            println!("{name} history {round} {spent:6.1} ms ({found} steps)");
            let began = Instant::now();
            let found = rows.read(middle..middle + 1, &(0..params))?.len();
            println!(
                "{name} step {round}    {:6.1} ms ({found} parameters)",
                millis(began)
            );
        }
    }
    Ok(())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

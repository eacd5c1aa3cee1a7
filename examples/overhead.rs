//! Measures the overhead of recording: alternates the same training with and without a run file.
//!
//! `cargo run --release --example overhead` trains `mnist-fc` on the embedded sample and prints the seconds of each
//! run. With `--bare` it prints one run without recording, to compare with `lcascope train` on a terminal, which
//! records and draws.

use std::time::Instant;

use clap::Parser;
use lcascope::data::{self, Batches, DataSource};
use lcascope::engine::RunData;
use lcascope::engine::cpu::{CpuEngine, SLICE_SIZE};
use lcascope::lca::{IntegratorSettings, histogram_edges};
use lcascope::model::{Network, he_normal, preset};
use lcascope::optim::Schedule;
use lcascope::record::{RunHeader, StartRecord, StepRecord};
use lcascope::store::{Recorder, WriteOptions};
use lcascope::train::{
    self, OptimizerChoice, Sink, SinkClosed, TrainSettings, Trainer, choose_traced,
};

#[derive(Parser)]
struct Args {
    #[arg(long, default_value_t = 240)]
    steps: u64,
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    #[arg(long)]
    bare: bool,
}

/// Records the records it receives, or discards them.
struct Outlet(Option<Recorder>);

impl Sink for Outlet {
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed> {
        match &mut self.0 {
            Some(recorder) => recorder.start(record).map_err(|_| SinkClosed),
            None => Ok(()),
        }
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        match &mut self.0 {
            Some(recorder) => recorder.step(record).map_err(|_| SinkClosed),
            None => Ok(()),
        }
    }
}

/// Returns the seconds of one training, including closing the file.
fn run(steps: u64, record: bool) -> Result<f64, Box<dyn std::error::Error>> {
    let dataset = data::load(&DataSource::Embedded)?;
    let spec = preset("mnist-fc").ok_or("the preset is there")?;
    let network = Network::build(&spec, dataset.shape, dataset.classes.len())?;
    let examples = dataset.train.len();
    let data = RunData {
        drawn_from: None,
        validation: dataset.train.select(&[]),
        train: dataset.train,
        test: dataset.test,
    };
    let traced = choose_traced(&network.layout, 256, 0);
    let threads = std::thread::available_parallelism()?.get();
    let settings = TrainSettings {
        seed: 0,
        steps,
        optimizer: OptimizerChoice::Sgd { momentum: 0.9 },
        learning_rate: 0.05,
        weight_decay: 0.0,
        layers: Vec::new(),
        schedule: Schedule::default(),
        integration: IntegratorSettings::default(),
        held_out_lca: false,
        class_every: 0,
        every: 1,
        test_every: 1,
        record_weights: 0,
        record_params: 0,
        snapshots: 8,
        traced: traced.clone(),
        threads,
    };
    let header = RunHeader {
        producer: "overhead".to_owned(),
        dataset: dataset.name,
        dataset_sha256: dataset.sha256,
        integrator: "adaptive".to_owned(),
        slice_size: SLICE_SIZE as u64,
        network: network.name.clone(),
        planned_steps: steps,
        steps_per_epoch: 24,
        tolerance: 1e-3,
        layout: network.layout.clone(),
        classes: dataset.classes,
        traced,
        histogram_edges: histogram_edges(),
        ..RunHeader::default()
    };
    let engine = CpuEngine::new(&network, data, SLICE_SIZE, threads, false);
    let batches = Batches::new(examples, 250, 0)?;
    let theta = he_normal(&network, 0);
    let mut trainer = Trainer::new(
        settings,
        &network.layout,
        Box::new(engine),
        batches,
        false,
        theta,
        Vec::new(),
    );
    let file = tempfile::tempdir()?;
    let path = file.path().join("run.h5");
    let recorder = if record {
        Some(Recorder::spawn(&path, &header, WriteOptions::default())?)
    } else {
        None
    };
    let (_controls, orders) = train::controls();
    let mut outlet = Outlet(recorder);
    let began = Instant::now();
    let end = train::run(&mut trainer, &orders, &mut outlet)?;
    if let Some(recorder) = outlet.0 {
        recorder.finish(end)?;
    }
    Ok(began.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    if args.bare {
        println!("{:.3}", run(args.steps, false)?);
        return Ok(());
    }
    println!("round     bare  recorded  ratio");
    let mut ratios = Vec::new();
    for round in 1..=args.rounds {
        // Odd and even rounds start with different variants.
        let first = run(args.steps, round % 2 == 0)?;
        let second = run(args.steps, round % 2 == 1)?;
        let (bare, recorded) = match round % 2 {
            1 => (first, second),
            _ => (second, first),
        };
        ratios.push(recorded / bare);
        println!(
            "{round:>5} {bare:>8.3} {recorded:>9.3}  {:.4}",
            recorded / bare
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.4}", ratios[ratios.len() / 2]);
    Ok(())
}

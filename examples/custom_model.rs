//! Loss Change Allocation of a user-defined model: a small transformer that learns three sonnets of Shakespeare,
//! character by character.
//!
//! ```text
//! cargo run --release --example custom_model                 # a table of its layers
//! cargo run --release --example custom_model -- sonnets.h5   # and a run file for `lcascope open`
//! ```
//!
//! candle's threads wait for one another in a busy loop: if other work is running, `RAYON_NUM_THREADS=1` makes it
//! several times as fast.
//!
//! A model needs [`layout`], which names its layers, and [`transformer`], which computes losses from parameters and a
//! batch. All else is the same for any training.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "small counts, and weights are f32"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Parser;
use lcascope::data::Batches;
use lcascope::engine::candle::candle_core::{D, Device as CandleDevice, Result, Tensor, bail};
use lcascope::engine::candle::{
    Batch, CustomData, CustomEngine, CustomExamples, ModelOutput, Precision,
};
use lcascope::engine::{Device, GradientEngine};
use lcascope::layout::{ParamLayout, TensorKind};
use lcascope::lca::{IntegratorSettings, histogram_edges};
use lcascope::optim::Schedule;
use lcascope::record::{RunHeader, StartRecord, Status, StepRecord};
use lcascope::store::{Recorder, WriteOptions};
use lcascope::train::{
    self, OptimizerChoice, Sink, SinkClosed, TrainSettings, Trainer, choose_traced,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const TEXT: &str = include_str!("sonnets.txt");

/// Characters that the model sees, and distance between the starts of examples.
const CONTEXT: usize = 32;
const STRIDE: usize = 32;

/// Width of the residual stream, number of attention heads, and number of blocks.
const WIDTH: usize = 32;
const HEADS: usize = 2;
const BLOCKS: usize = 2;

#[derive(Parser)]
struct Args {
    /// Write a run file.
    run_file: Option<PathBuf>,
    #[arg(long, default_value_t = 60)]
    steps: u64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

// ---- the model ----

/// Lists every tensor of the model. Axis 0 is the axis of units: characters, positions, outputs.
fn layout(characters: usize) -> ParamLayout {
    use TensorKind::{Bias, Scale, Shift, Weight};
    let mut layout = ParamLayout::default();
    let mut push = |name: &str, kind: &str, units: usize, tensors: &[(TensorKind, Vec<usize>)]| {
        layout.push_layer(name, kind, units, tensors);
    };
    let norm = [(Scale, vec![WIDTH]), (Shift, vec![WIDTH])];
    let linear = |out: usize, of: usize| [(Weight, vec![out, of]), (Bias, vec![out])];
    let table = |rows: usize| [(Weight, vec![rows, WIDTH])];
    push("characters", "embedding", characters, &table(characters));
    push("places", "embedding", CONTEXT, &table(CONTEXT));
    for block in 1..=BLOCKS {
        let name = |part: &str| format!("block{block}.{part}");
        push(&name("norm1"), "layer-norm", WIDTH, &norm);
        push(
            &name("attend"),
            "linear",
            3 * WIDTH,
            &linear(3 * WIDTH, WIDTH),
        );
        push(&name("project"), "linear", WIDTH, &linear(WIDTH, WIDTH));
        push(&name("norm2"), "layer-norm", WIDTH, &norm);
        push(
            &name("expand"),
            "linear",
            4 * WIDTH,
            &linear(4 * WIDTH, WIDTH),
        );
        push(
            &name("contract"),
            "linear",
            WIDTH,
            &linear(WIDTH, 4 * WIDTH),
        );
    }
    push("norm", "layer-norm", WIDTH, &norm);
    push("head", "linear", characters, &linear(characters, WIDTH));
    layout
}

/// Returns the mean cross-entropy of every example's next characters, and the share predicted correctly.
fn transformer(params: &[Tensor], batch: &Batch) -> Result<ModelOutput> {
    let mut params = params.iter();
    let mut next = || match params.next() {
        Some(tensor) => Ok(tensor),
        None => bail!("the layout has too few tensors"),
    };
    let (examples, places) = batch.inputs.dims2()?;
    let characters = next()?.index_select(&batch.inputs.flatten_all()?, 0)?;
    let mut x = characters
        .reshape((examples, places, WIDTH))?
        .broadcast_add(next()?)?;
    for _ in 0..BLOCKS {
        let y = layer_norm(&x, next()?, next()?)?;
        let y = attention(&linear(&y, next()?, next()?)?)?;
        x = (x + linear(&y, next()?, next()?)?)?;
        let y = layer_norm(&x, next()?, next()?)?;
        let y = linear(&y, next()?, next()?)?.silu()?;
        x = (x + linear(&y, next()?, next()?)?)?;
    }
    let x = layer_norm(&x, next()?, next()?)?;
    let scores = linear(&x, next()?, next()?)?;

    let largest = scores.detach().max_keepdim(D::Minus1)?;
    let scores = scores.broadcast_sub(&largest)?;
    let log_sum = scores.exp()?.sum(D::Minus1)?.log()?;
    let of_target = scores.gather(&batch.targets.unsqueeze(2)?, 2)?.squeeze(2)?;
    let right = scores.argmax(D::Minus1)?.eq(&batch.targets)?;
    Ok(ModelOutput {
        loss: (log_sum - of_target)?.mean(1)?,
        hits: Some(right.to_dtype(scores.dtype())?.mean(1)?),
    })
}

/// Computes `W x + b` on the last axis of `[B, T, ·]`.
fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (examples, places, _) = x.dims3()?;
    let y = x.flatten(0, 1)?.matmul(&weight.t()?)?.broadcast_add(bias)?;
    y.reshape((examples, places, ()))
}

fn layer_norm(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
    centred
        .broadcast_div(&deviation)?
        .broadcast_mul(scale)?
        .broadcast_add(shift)
}

/// Computes causal attention from queries, keys and values `[B, T, 3·WIDTH]`.
fn attention(x: &Tensor) -> Result<Tensor> {
    let (examples, places, _) = x.dims3()?;
    let size = WIDTH / HEADS;
    // [3, B, heads, T, size]
    let parts = x
        .reshape((examples, places, 3, HEADS, size))?
        .permute((2, 0, 3, 1, 4))?;
    let part = |index: usize| parts.get(index)?.contiguous();
    let (query, key, value) = (part(0)?, part(1)?, part(2)?);
    let scores = (query.matmul(&key.t()?)? / (size as f64).sqrt())?;
    // No position looks ahead.
    let ahead =
        (0..places).flat_map(|i| (0..places).map(move |j| if j > i { -1e9_f32 } else { 0.0 }));
    let ahead = Tensor::from_iter(ahead, x.device())?.reshape((places, places))?;
    let scores = scores.broadcast_add(&ahead.to_dtype(x.dtype())?)?;
    let largest = scores.detach().max_keepdim(D::Minus1)?;
    let shares = scores.broadcast_sub(&largest)?.exp()?;
    let shares = shares.broadcast_div(&shares.sum_keepdim(D::Minus1)?)?;
    shares
        .matmul(&value)?
        .transpose(1, 2)?
        .reshape((examples, places, WIDTH))
}

/// Draws normal weights with standard deviation `1 / √inputs` (0.1 for embeddings), zero biases, scales 1.
fn initial_weights(layout: &ParamLayout, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut params = vec![0.0; layout.params()];
    for tensor in &layout.tensors {
        let values = &mut params[tensor.range.clone()];
        match tensor.kind {
            TensorKind::Scale => values.fill(1.0),
            TensorKind::Weight => {
                let deviation = match layout.layers[tensor.layer].kind.as_str() {
                    "embedding" => 0.1,
                    _ => 1.0 / (tensor.shape[1] as f64).sqrt(),
                };
                for value in values {
                    let normal: f64 = StandardNormal.sample(&mut rng);
                    *value = (normal * deviation) as f32;
                }
            }
            TensorKind::Bias | TensorKind::Shift => {}
        }
    }
    params
}

// ---- the text ----

/// Cuts windows from the text, and the same windows one character later: `[N, CONTEXT]` each.
fn examples(text: &str, characters: &[char]) -> Result<CustomExamples> {
    let index = |c: char| characters.iter().position(|&known| known == c);
    let numbers: Vec<u32> = text.chars().filter_map(index).map(|i| i as u32).collect();
    let windows: Vec<_> = numbers.windows(CONTEXT + 1).step_by(STRIDE).collect();
    let side = |from: usize| {
        let values: Vec<u32> = (windows.iter())
            .flat_map(|window| window[from..from + CONTEXT].to_vec())
            .collect();
        Tensor::from_vec(values, (windows.len(), CONTEXT), &CandleDevice::Cpu)
    };
    Ok(CustomExamples::new(side(0)?, side(1)?))
}

// ---- the training ----

/// Keeps every step, and passes it to the recorder if there is one.
struct Log {
    start: Option<StartRecord>,
    steps: Vec<StepRecord>,
    recorder: Option<Recorder>,
}

impl Sink for Log {
    fn start(&mut self, record: StartRecord) -> std::result::Result<(), SinkClosed> {
        self.start = Some(record.clone());
        match &mut self.recorder {
            Some(recorder) => recorder.start(record).map_err(|_| SinkClosed),
            None => Ok(()),
        }
    }

    fn step(&mut self, record: StepRecord) -> std::result::Result<(), SinkClosed> {
        self.steps.push(record.clone());
        match &mut self.recorder {
            Some(recorder) => recorder.step(record).map_err(|_| SinkClosed),
            None => Ok(()),
        }
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let characters: BTreeSet<char> = TEXT.chars().collect();
    let characters: Vec<char> = characters.into_iter().collect();
    // The last two lines are held out.
    let held_out = TEXT
        .trim_end()
        .rmatch_indices('\n')
        .nth(1)
        .map_or(0, |(at, _)| at + 1);
    let (train, test) = TEXT.split_at(held_out);
    let data = CustomData {
        train: examples(train, &characters)?,
        test: Some(examples(test, &characters)?),
        validation: None,
    };
    let [train_examples, test_examples] =
        [train, test].map(|text| (text.chars().count() - CONTEXT - 1) as u32 / STRIDE as u32 + 1);

    let layout = layout(characters.len());
    let (slice_size, batch_size) = (64, 16);
    let engine = CustomEngine::new(
        layout.clone(),
        data,
        1,
        slice_size,
        Device::Cpu,
        Precision::Single,
        transformer,
    )?;
    let batches = Batches::new(train_examples as usize, batch_size, args.seed)?;
    let integration = IntegratorSettings::default();
    let traced = choose_traced(&layout, 64, args.seed);
    let header = RunHeader {
        producer: concat!("lcascope ", env!("CARGO_PKG_VERSION"), ", custom model").to_owned(),
        seed: args.seed,
        device: engine.describe(),
        dataset: "three sonnets".to_owned(),
        integrator: integration.method.to_string(),
        slice_size: slice_size as u64,
        network: "transformer".to_owned(),
        planned_steps: args.steps,
        steps_per_epoch: batches.batches_per_epoch() as u64,
        tolerance: integration.tolerance,
        layout: layout.clone(),
        classes: vec!["text".to_owned()],
        train_index: (0..train_examples).collect(),
        test_index: (0..test_examples).collect(),
        traced: traced.clone(),
        histogram_edges: histogram_edges(),
        ..RunHeader::default()
    };
    let settings = TrainSettings {
        seed: args.seed,
        steps: args.steps,
        optimizer: OptimizerChoice::Adam,
        learning_rate: 0.005,
        weight_decay: 0.0,
        schedule: Schedule::default(),
        integration,
        held_out_lca: false,
        layers: Vec::new(),
        class_every: 0,
        every: 1,
        test_every: 10,
        record_weights: 0,
        record_params: 0,
        snapshots: 8,
        traced,
        threads: 1,
    };
    let theta = initial_weights(&layout, args.seed);
    let engine = Box::new(engine);
    let mut trainer = Trainer::new(settings, &layout, engine, batches, false, theta, Vec::new());
    let recorder = match &args.run_file {
        Some(path) => Some(Recorder::spawn(path, &header, WriteOptions::default())?),
        None => None,
    };
    let mut log = Log {
        start: None,
        steps: Vec::new(),
        recorder,
    };
    println!(
        "{} characters, {train_examples} examples, {} parameters, {} steps on {}",
        TEXT.chars().count(),
        layout.params(),
        args.steps,
        header.device
    );
    let (_controls, orders) = train::controls();
    let end = train::run(&mut trainer, &orders, &mut log)?;
    if let Some(recorder) = log.recorder.take() {
        recorder.finish(end.clone())?;
    }
    report(&layout, &log);
    if end.status == Status::Failed {
        return Err(end.message.into());
    }
    if let Some(path) = &args.run_file {
        println!("\nlcascope open {}", path.display());
    }
    Ok(())
}

/// Prints each layer's LCA and share, and compares their sum with the change of the loss.
fn report(layout: &ParamLayout, log: &Log) {
    let (Some(start), Some(last)) = (&log.start, log.steps.last()) else {
        return;
    };
    let steps = log.steps.len() as f64;
    let total: f64 = log.steps.iter().map(|step| step.lca.total).sum();
    let residual: f64 = log.steps.iter().map(|step| step.lca.residual).sum();
    println!(
        "\n{:<18} {:>7} {:>10} {:>8} {:>8}",
        "layer", "params", "LCA", "share", "helping"
    );
    for (index, layer) in layout.layers.iter().enumerate() {
        let lca: f64 = log.steps.iter().map(|step| step.lca.layer[index]).sum();
        let helped: u64 = log.steps.iter().map(|step| step.lca.helped[index]).sum();
        let params = layer.range.len();
        println!(
            "{:<18} {params:>7} {lca:>+10.4} {:>7.1}% {:>7.1}%",
            layer.name,
            100.0 * lca / total,
            100.0 * helped as f64 / (params as f64 * steps)
        );
    }
    let (before, after) = (start.losses.train, last.after.train);
    println!(
        "\nloss {before:.4} to {after:.4}: change {:+.6}, sum {total:+.6}, residual {residual:+.1e}",
        after - before
    );
    println!(
        "characters right: training {:.1}%, held out {:.1}%",
        100.0 * last.after.train_accuracy,
        100.0 * last.after.test_accuracy
    );
}

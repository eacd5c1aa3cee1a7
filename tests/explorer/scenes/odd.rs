//! Runs whose numbers are anything: no number, infinite, tiny, huge, and names as odd.

use std::path::Path;

use lcascope::layout::{ParamLayout, TensorKind};
use lcascope::record::{
    Allocation, HeldOutAllocation, LayerSummary, Losses, Motion, ParamTotals, RunEnd, RunHeader,
    StartRecord, Status, StepRecord, StepSummary, Trace,
};
use lcascope::store::{RunWriter, WriteOptions};

/// Numbers from a seed.
pub struct Dice {
    state: u64,
    /// Whether what is no finite number may come.
    pub wild: bool,
}

impl Dice {
    pub fn new(seed: u64, wild: bool) -> Self {
        Self {
            state: seed | 1,
            wild,
        }
    }

    /// 0 .. n
    pub fn below(&mut self, n: u64) -> u64 {
        // xorshift64
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % n.max(1)
    }

    #[expect(clippy::cast_precision_loss, reason = "any number will do")]
    pub fn number(&mut self) -> f64 {
        let unit = self.below(1 << 40) as f64 / (1_u64 << 39) as f64 - 1.0;
        let wild = if self.wild { 12 } else { 5 };
        match self.below(wild) {
            0 => 0.0,
            1 => unit * 1e-9,
            2..=4 => unit,
            5 => f64::NAN,
            6 => f64::INFINITY,
            7 => f64::NEG_INFINITY,
            8 => unit * 1e300,
            9 => f64::MAX,
            10 => f64::MIN_POSITIVE / 2.0,
            _ => unit * 1e6,
        }
    }

    fn numbers(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.number()).collect()
    }

    #[expect(clippy::cast_possible_truncation, reason = "any number will do")]
    fn singles(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.number() as f32).collect()
    }

    fn counts(&mut self, n: usize) -> Vec<u64> {
        let most = if self.wild { u64::MAX } else { 12 };
        (0..n).map(|_| self.below(most)).collect()
    }

    fn losses(&mut self, classes: usize) -> Losses {
        Losses {
            train: self.number(),
            train_accuracy: self.number(),
            test: self.number(),
            test_accuracy: self.number(),
            validation: self.number(),
            validation_accuracy: self.number(),
            train_class: self.numbers(classes),
        }
    }
}

/// A layer's name: usual, long, with control characters, wide, or empty.
fn name(dice: &mut Dice, index: usize) -> String {
    match dice.below(6) {
        0 => format!("block{index}.{}", "very-long-name-".repeat(9)),
        1 => format!("\u{1b}[31m\u{7}\r\n\tred{index}"),
        2 => format!("層の名前{index}"),
        3 => String::new(),
        _ => format!("fc{index}"),
    }
}

/// A run of so many layers, with up to three classes.
pub fn header(dice: &mut Dice, layers: usize, steps: u64) -> RunHeader {
    let mut layout = ParamLayout::default();
    for layer in 0..layers {
        let units = 1 + usize::try_from(dice.below(5)).unwrap();
        let tensors = match dice.below(3) {
            0 => vec![(TensorKind::Weight, vec![units, 2, 3, 3])],
            1 => vec![
                (TensorKind::Weight, vec![units, 7]),
                (TensorKind::Bias, vec![units]),
            ],
            _ => vec![(TensorKind::Scale, vec![units])],
        };
        layout.push_layer(&name(dice, layer), "linear", units, &tensors);
    }
    let params = layout.params() as u64;
    let classes = 0..dice.below(4);
    RunHeader {
        producer: "odd".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        device: name(dice, 0),
        dataset: name(dice, 1),
        network: name(dice, 2),
        integrator: "adaptive".to_owned(),
        slice_size: 1,
        planned_steps: steps,
        steps_per_epoch: dice.below(10),
        tolerance: 1e-3,
        classes: classes.map(|class| format!("class{class}")).collect(),
        traced: (0..params).step_by(5).collect(),
        histogram_edges: vec![f64::NEG_INFINITY, -1e-3, 0.0, 1e-3, f64::INFINITY],
        held_out_lca: dice.below(2) == 0,
        record_params: dice.below(3),
        record_weights: dice.below(3),
        layout,
        ..RunHeader::default()
    }
}

/// Steps together, with sums that close where no number is wild.
pub fn summary(
    dice: &mut Dice,
    layers: usize,
    steps: std::ops::Range<u64>,
    loss: f64,
) -> StepSummary {
    let layer = |dice: &mut Dice| {
        let (a, b) = (dice.number(), dice.number());
        LayerSummary {
            lca: a,
            lca_min: a.min(b),
            lca_max: a.max(b),
            lca_error: dice.number().abs(),
            helped: dice.counts(1)[0],
            hurt: dice.counts(1)[0],
            update_flips: dice.counts(1)[0],
            gradient_flips: dice.counts(1)[0],
            held_out_lca: dice.number(),
        }
    };
    let layers: Vec<LayerSummary> = (0..layers).map(|_| layer(dice)).collect();
    let total: f64 = layers.iter().map(|layer| layer.lca).sum();
    let residual = dice.number() / 100.0;
    let after = loss + total + residual;
    StepSummary {
        first: steps.start,
        end: steps.end,
        epoch: dice.number(),
        learning_rate: dice.number(),
        batch_loss: dice.number(),
        seconds: dice.number(),
        gradient_evals: dice.counts(1)[0],
        segments: dice.counts(1)[0],
        loss_before: loss,
        loss_after: after,
        train_accuracy: dice.number(),
        test_loss: dice.number(),
        test_accuracy: dice.number(),
        loss_min: loss.min(after),
        loss_max: loss.max(after),
        test_min: dice.number(),
        test_max: dice.number(),
        total,
        residual,
        worst_residual: residual.abs(),
        above_tolerance: dice.below(3),
        layers,
    }
}

/// Writes a run to a file: every dataset has something, and little of it makes sense.
pub fn write(path: &Path, header: &RunHeader, steps: u64, dice: &mut Dice) {
    let (params, classes) = (header.layout.params(), header.classes.len());
    let mut writer = RunWriter::create(path, header, WriteOptions::default()).unwrap();
    let start = StartRecord {
        losses: dice.losses(classes),
        weights: (header.record_weights > 0).then(|| dice.singles(params)),
    };
    writer.start(&start).unwrap();
    for step in 0..steps {
        writer.step(&record(dice, header, step)).unwrap();
    }
    let end = RunEnd {
        status: Status::Failed,
        message: "\u{1b}[2J the loss is\u{7} NaN".to_owned(),
        totals: None,
    };
    writer.finish(&end).unwrap();
}

fn record(dice: &mut Dice, header: &RunHeader, step: u64) -> StepRecord {
    let layout = &header.layout;
    let (layers, tensors, units) = (layout.layers.len(), layout.tensors.len(), layout.units());
    let (params, traced) = (layout.params(), header.traced.len());
    let classes = header.classes.len();
    let halves = layout
        .layers
        .iter()
        .map(|layer| layer.range.len() as u64 / 2);
    let halves: Vec<u64> = halves.collect();
    // More than there are parameters make a damaged file, which is not drawn.
    let few = |dice: &mut Dice| halves.iter().map(|&half| dice.below(half + 1)).collect();
    let every = |n: u64| n > 0 && step.is_multiple_of(n);
    let lca = Allocation {
        total: dice.number(),
        residual: dice.number(),
        layer: dice.numbers(layers),
        layer_error: dice.numbers(layers),
        tensor: dice.numbers(tensors),
        unit: dice.singles(units),
        class_layer: dice.singles(classes * layers),
        helped: few(dice),
        hurt: few(dice),
        histogram: dice.counts(layers * 4).into_iter().map(small).collect(),
    };
    StepRecord {
        step,
        epoch: dice.number(),
        batch_loss: dice.number(),
        learning_rate: dice.number(),
        seconds: dice.number(),
        gradient_evals: dice.below(80),
        segments: dice.below(40),
        loss_before: dice.number(),
        after: dice.losses(classes),
        lca,
        lca_held_out: header.held_out_lca.then(|| HeldOutAllocation {
            total: dice.number(),
            residual: dice.number(),
            layer: dice.numbers(layers),
            tensor: dice.numbers(tensors),
            unit: dice.singles(units),
        }),
        motion: Motion {
            update_norm: dice.numbers(layers),
            gradient_norm: dice.numbers(layers),
            cosine: dice.numbers(layers),
            update_flips: few(dice),
            gradient_flips: few(dice),
            gradient_turns: few(dice),
            lca_turns: few(dice),
        },
        trace: Trace {
            value: dice.singles(traced),
            gradient: dice.singles(traced),
            lca: dice.singles(traced),
        },
        lca_param: every(header.record_params).then(|| dice.singles(params)),
        weights: every(header.record_weights).then(|| dice.singles(params)),
        totals: (step % 3 == 1).then(|| {
            Box::new(ParamTotals {
                steps: step + 1,
                lca_sum: dice.numbers(params),
                helped: dice.counts(params).into_iter().map(small).collect(),
                update_flips: dice.counts(params).into_iter().map(small).collect(),
                gradient_flips: dice.counts(params).into_iter().map(small).collect(),
            })
        }),
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count & 0xffff_ffff).unwrap_or(u32::MAX)
}

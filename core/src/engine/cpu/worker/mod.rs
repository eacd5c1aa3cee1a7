//! One thread's work: a slice of examples forward and backward through the network.

mod backward;
mod forward;

use std::ops::Range;
use std::sync::Arc;

use pulp::Arch;

use super::conv::{Packed, WeightSums};
use super::lanes::{Buffer, GROUP, Lanes};
use super::loss;
use super::norm::Statistics;
use super::plan::{Plan, StepKind};
use crate::data::Examples;
use crate::engine::Evaluation;
use crate::model::{Dense, Shape, values};

/// A gradient `[P]` accumulated over slices.
#[derive(Default)]
pub struct Gradient {
    values: Vec<f32>,
    /// Whether a slice has been added, so that the next one must add rather than overwrite.
    begun: bool,
}

impl Gradient {
    /// Resets the gradient; the vector then has `params` entries.
    pub fn begin(&mut self, params: usize) {
        self.values.resize(params, 0.0);
        self.begun = false;
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Returns the vector, to be exchanged with another.
    pub fn memory(&mut self) -> &mut Vec<f32> {
        &mut self.values
    }
}

/// Sums of losses and counts, by class.
#[derive(Default)]
pub struct Tally {
    loss: Vec<f64>,
    examples: Vec<u64>,
    correct: u64,
    /// `[Q]`: means and variances of a mini-batch.
    pub statistics: Vec<f32>,
}

impl Tally {
    pub fn clear(&mut self, classes: usize) {
        self.loss.clear();
        self.loss.resize(classes, 0.0);
        self.examples.clear();
        self.examples.resize(classes, 0);
        self.correct = 0;
        self.statistics.clear();
    }

    pub fn add(&mut self, other: &Self) {
        for (sum, x) in self.loss.iter_mut().zip(&other.loss) {
            *sum += x;
        }
        for (sum, x) in self.examples.iter_mut().zip(&other.examples) {
            *sum += x;
        }
        self.correct += other.correct;
        // A mini-batch of a network with batch norms is a single slice: no other shard has statistics.
        self.statistics.extend_from_slice(&other.statistics);
    }

    /// Writes the means over `examples` examples.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn write(&self, examples: usize, out: &mut Evaluation) {
        out.loss = self.loss.iter().sum::<f64>() / examples as f64;
        out.accuracy = self.correct as f64 / examples as f64;
        out.class_loss.clear();
        let means = self.loss.iter().zip(&self.examples);
        out.class_loss.extend(means.map(|(sum, &n)| sum / n as f64));
        out.statistics.clone_from(&self.statistics);
    }
}

/// Factors of one dropout layer for a mini-batch.
pub struct Mask {
    pub node: usize,
    /// `[rows, features]`
    pub factors: Vec<f32>,
}

/// Behaviour of dropout and batch norms.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// Measuring the loss: no dropout; statistics of the slice.
    Measure,
    /// A mini-batch: dropout is active, and the statistics are reported.
    Batch(&'a [Mask]),
    /// No dropout, and running averages `[Q]` instead of statistics.
    Running(&'a [f32]),
}

/// A slice to work on.
pub struct SliceTask<'a> {
    pub params: &'a [f32],
    pub examples: &'a Examples,
    pub range: Range<usize>,
    pub mode: Mode<'a>,
}

impl SliceTask<'_> {
    fn rows(&self) -> usize {
        self.range.len()
    }
}

/// One thread's memory. Buffers grow to the largest slice seen and are reused.
pub struct Worker {
    arch: Arch,
    plan: Arc<Plan>,
    /// Output of each step.
    values: Vec<Buffer>,
    /// Gradient buffers of the backward pass.
    deltas: Vec<Buffer>,
    /// Gradient of the scores, `[B, C]`.
    score_delta: Vec<f32>,
    packed: Vec<Packed>,
    sums: Vec<WeightSums>,
    norms: Vec<Statistics>,
    /// Dropout factors by step, where they are needed as groups.
    masks: Vec<Buffer>,
}

impl Worker {
    pub fn new(arch: Arch, plan: &Arc<Plan>) -> Self {
        fn defaults<T: Default>(count: usize) -> Vec<T> {
            (0..count).map(|_| T::default()).collect()
        }
        Self {
            arch,
            values: defaults(plan.values.len()),
            deltas: defaults(plan.slots.len()),
            score_delta: Vec::new(),
            packed: defaults(plan.convs),
            sums: defaults(plan.convs),
            norms: defaults(plan.norms.len()),
            masks: defaults(plan.steps.len()),
            plan: Arc::clone(plan),
        }
    }

    /// Loads new parameters. Must be called before [`run`](Self::run).
    pub fn prepare(&mut self, params: &[f32], with_gradient: bool) {
        for step in &self.plan.steps {
            if let StepKind::Conv { kernel, index, .. } = &step.kind {
                kernel.pack(params, with_gradient, &mut self.packed[*index]);
            }
        }
    }

    /// Runs a slice: adds its losses to `tally` and, if `gradient` is given, adds to it the slice's share of the
    /// gradient of the mean loss over all examples.
    pub fn run(
        &mut self,
        task: &SliceTask<'_>,
        gradient: Option<&mut Gradient>,
        tally: &mut Tally,
    ) {
        self.forward(task);
        self.loss(task, tally);
        if let Some(gradient) = gradient {
            self.backward(task, gradient);
        }
    }

    /// Like [`run`](Self::run), with a gradient for every class: that of its examples' losses alone. All examples go
    /// through the batch norms together.
    pub fn run_by_class(
        &mut self,
        task: &SliceTask<'_>,
        gradients: &mut [Gradient],
        tally: &mut Tally,
    ) {
        self.forward(task);
        self.loss(task, tally);
        let labels = &task.examples.labels[task.range.clone()];
        let classes = gradients.len();
        let all = std::mem::take(&mut self.score_delta);
        for (class, gradient) in gradients.iter_mut().enumerate() {
            self.score_delta.clear();
            for (delta, &label) in all.chunks_exact(classes).zip(labels) {
                let keep = if usize::from(label) == class {
                    1.0
                } else {
                    0.0
                };
                self.score_delta.extend(delta.iter().map(|d| d * keep));
            }
            self.backward(task, gradient);
        }
        self.score_delta = all;
    }

    /// Computes the losses of the slice and the gradient of the scores.
    fn loss(&mut self, task: &SliceTask<'_>, tally: &mut Tally) {
        let scores = self.plan.scores;
        let classes = self.plan.values[scores].len();
        self.score_delta.clear();
        let rows = task.rows() * classes;
        self.score_delta.extend_from_slice(match scores {
            0 => task.examples.rows(task.range.clone()),
            _ => self.values[scores].rows(rows),
        });
        let scale = 1.0 / count(task.examples.len());
        let labels = &task.examples.labels[task.range.clone()];
        for (z, &label) in self.score_delta.chunks_exact_mut(classes).zip(labels) {
            let label = usize::from(label);
            let (loss, correct) = loss::softmax_cross_entropy(z, label, scale);
            tally.loss[label] += loss;
            tally.examples[label] += 1;
            tally.correct += u64::from(correct);
        }
        if let Mode::Batch(_) = task.mode {
            let running = self.plan.norms.last().map_or(0, |norm| norm.running.end);
            tally.statistics.resize(running, 0.0);
            for (norm, statistics) in self.plan.norms.iter().zip(&self.norms) {
                statistics.report(&mut tally.statistics[norm.running.clone()]);
            }
        }
    }
}

/// Location of a group of a value.
struct GroupLocation {
    value: usize,
    group: usize,
    len: usize,
}

impl GroupLocation {
    fn locate(plan: &Plan, value: usize, group: usize) -> Self {
        let info = &plan.values[value];
        Self {
            value,
            group: if info.fleeting { 0 } else { group },
            len: info.len(),
        }
    }

    fn read<'a>(&self, values: &'a [Buffer]) -> &'a [Lanes] {
        values[self.value].group(self.group, self.len)
    }

    fn write<'a>(&self, buffer: &'a mut Buffer) -> &'a mut [Lanes] {
        buffer.group_mut(self.group, self.len)
    }
}

/// Returns the rows of a group's examples.
fn rows_of_group(buffer: &mut Buffer, shape: Shape, group: usize, examples: usize) -> &mut [f32] {
    let len = values(shape);
    let first = group * GROUP;
    &mut buffer.rows_mut((first + examples) * len)[first * len..]
}

/// Lane ranges of an image's rows, and of the same rows in the padded image.
fn padded_rows(
    [channels, height, width]: Shape,
    [_, _, wide]: Shape,
    [above, left]: [usize; 2],
) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
    let len = width * channels;
    (0..height).map(move |row| {
        let outer = ((above + row) * wide + left) * channels;
        (row * len..(row + 1) * len, outer..outer + len)
    })
}

/// Passes a gradient on unchanged.
fn pass_on(dy: &[Lanes], add: bool, dx: &mut [Lanes]) {
    if add {
        add_lanes(dx, dy);
    } else {
        dx.copy_from_slice(dy);
    }
}

fn add_lanes(to: &mut [Lanes], from: &[Lanes]) {
    for (to, from) in to.iter_mut().zip(from) {
        for (to, from) in to.0.iter_mut().zip(&from.0) {
            *to += from;
        }
    }
}

fn multiply_lanes(to: &mut [Lanes], factors: &[Lanes]) {
    for (to, factors) in to.iter_mut().zip(factors) {
        multiply(&mut to.0, &factors.0);
    }
}

fn multiply(to: &mut [f32], factors: &[f32]) {
    for (to, factor) in to.iter_mut().zip(factors) {
        *to *= factor;
    }
}

/// Returns the dropout factors of the task's rows, if any are dropped.
fn mask<'a>(task: &SliceTask<'a>, node: usize) -> Option<&'a [f32]> {
    let Mode::Batch(masks) = task.mode else {
        return None;
    };
    let mask = masks.iter().find(|mask| mask.node == node)?;
    let len = mask.factors.len() / task.examples.len();
    Some(&mask.factors[task.range.start * len..task.range.end * len])
}

fn bias<'a>(dense: &Dense, params: &'a [f32]) -> &'a [f32] {
    (dense.bias.as_ref()).map_or(&[], |bias| &params[bias.clone()])
}

/// Splits off the weight's and the bias's part of a gradient; the bias follows the weight, or is empty.
fn weight_and_bias<'a>(values: &'a mut [f32], dense: &Dense) -> (&'a mut [f32], &'a mut [f32]) {
    let end = dense
        .bias
        .as_ref()
        .map_or(dense.weight.end, |bias| bias.end);
    values[dense.weight.start..end].split_at_mut(dense.weight.len())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a data set has far fewer than 2^24 · 2^7 rows"
)]
fn count(examples: usize) -> f32 {
    examples as f32
}

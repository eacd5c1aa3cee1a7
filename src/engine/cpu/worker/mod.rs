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
use super::plan::{Kind, Plan};
use crate::data::Examples;
use crate::engine::Evaluation;
use crate::model::{Dense, Shape, values};

/// A gradient `[P]` that slices are added to.
#[derive(Default)]
pub struct Gradient {
    values: Vec<f32>,
    /// Whether a slice has been added, so that the next must add and not overwrite.
    begun: bool,
}

impl Gradient {
    /// Forgets what was added; the vector then has `params` entries.
    pub fn begin(&mut self, params: usize) {
        self.values.resize(params, 0.0);
        self.begun = false;
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Sums of losses and counts by class.
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
        // A mini-batch of a network with batch norms is one slice: nobody else has any.
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

/// What dropout and batch norms do.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// Measuring the loss: no dropout, statistics of the slice.
    Measure,
    /// A mini-batch: dropout, and the statistics are reported.
    Batch(&'a [Mask]),
    /// No dropout, and running averages `[Q]`.
    Running(&'a [f32]),
}

/// A slice to work on.
pub struct Task<'a> {
    pub params: &'a [f32],
    pub examples: &'a Examples,
    pub range: Range<usize>,
    pub mode: Mode<'a>,
}

impl Task<'_> {
    fn rows(&self) -> usize {
        self.range.len()
    }
}

/// One thread's memory. Buffers grow to the largest slice seen and are then reused.
pub struct Worker {
    arch: Arch,
    plan: Arc<Plan>,
    /// What each step puts out.
    values: Vec<Buffer>,
    /// Gradients on their way back.
    deltas: Vec<Buffer>,
    /// Gradient of the scores, `[B, C]`.
    score_delta: Vec<f32>,
    packed: Vec<Packed>,
    sums: Vec<WeightSums>,
    norms: Vec<Statistics>,
    /// Dropout's factors where they are needed by group, by step.
    masks: Vec<Buffer>,
}

impl Worker {
    pub fn new(arch: Arch, plan: &Arc<Plan>) -> Self {
        fn some<T: Default>(count: usize) -> Vec<T> {
            (0..count).map(|_| T::default()).collect()
        }
        Self {
            arch,
            values: some(plan.values.len()),
            deltas: some(plan.slots.len()),
            score_delta: Vec::new(),
            packed: some(plan.convs),
            sums: some(plan.convs),
            norms: some(plan.norms.len()),
            masks: some(plan.steps.len()),
            plan: Arc::clone(plan),
        }
    }

    /// Reads new parameters. Call it before [`run`](Self::run).
    pub fn prepare(&mut self, params: &[f32], with_gradient: bool) {
        for step in &self.plan.steps {
            if let Kind::Conv { kernel, index, .. } = &step.kind {
                kernel.pack(params, with_gradient, &mut self.packed[*index]);
            }
        }
    }

    /// Runs a slice forward: adds its losses to `tally` and, where asked, the gradient of its share
    /// of the mean loss over all of the examples to `gradient`.
    pub fn run(&mut self, task: &Task<'_>, gradient: Option<&mut Gradient>, tally: &mut Tally) {
        self.forward(task);
        self.loss(task, tally);
        if let Some(gradient) = gradient {
            self.backward(task, gradient);
        }
    }

    /// [`run`](Self::run) with a gradient for every class: of its examples' losses alone. All
    /// examples go through the batch norms together.
    pub fn run_by_class(&mut self, task: &Task<'_>, gradients: &mut [Gradient], tally: &mut Tally) {
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

    /// Losses of the slice, and the gradient of the scores.
    fn loss(&mut self, task: &Task<'_>, tally: &mut Tally) {
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

/// Where a group of a value is.
struct Place {
    value: usize,
    group: usize,
    len: usize,
}

impl Place {
    fn of(plan: &Plan, value: usize, group: usize) -> Self {
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

/// The rows of a group's examples.
fn rows_of_group(buffer: &mut Buffer, shape: Shape, group: usize, examples: usize) -> &mut [f32] {
    let len = values(shape);
    let first = group * GROUP;
    &mut buffer.rows_mut((first + examples) * len)[first * len..]
}

/// Rows of an image and where they stand in the padded one, in lanes.
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

/// Hands a gradient on as it is.
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

/// Dropout's factors for the task's rows, if it drops anything.
fn mask<'a>(task: &Task<'a>, node: usize) -> Option<&'a [f32]> {
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

/// The weight's and the bias's part of a gradient; the bias follows the weight, or is empty.
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

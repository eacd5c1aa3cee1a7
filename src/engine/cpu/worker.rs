//! One thread's work: a slice of examples forward and backward through the network.

use std::ops::Range;

use super::{dense, loss};
use crate::data::Examples;
use crate::engine::Evaluation;
use crate::model::{Dense, Network, Op};

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
}

impl Tally {
    pub fn clear(&mut self, classes: usize) {
        self.loss.clear();
        self.loss.resize(classes, 0.0);
        self.examples.clear();
        self.examples.resize(classes, 0);
        self.correct = 0;
    }

    pub fn add(&mut self, other: &Self) {
        for (sum, x) in self.loss.iter_mut().zip(&other.loss) {
            *sum += x;
        }
        for (sum, x) in self.examples.iter_mut().zip(&other.examples) {
            *sum += x;
        }
        self.correct += other.correct;
    }

    /// Writes the means over `examples` examples.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn write(&self, examples: usize, out: &mut Evaluation) {
        out.loss = self.loss.iter().sum::<f64>() / examples as f64;
        out.accuracy = self.correct as f64 / examples as f64;
        out.class_loss.clear();
        let means = self.loss.iter().zip(&self.examples);
        out.class_loss.extend(means.map(|(sum, &n)| sum / n as f64));
    }
}

/// A stretch of the network that is computed in one go.
struct Stage {
    kind: StageKind,
    /// Values of one example that leave the stage.
    outputs: usize,
}

enum StageKind {
    /// A linear layer, with the `ReLU` behind it if `relu`.
    Dense { dense: Dense, relu: bool },
    /// A `ReLU` with no linear layer before it.
    Relu,
}

/// One thread's plan and memory. Buffers grow to the largest slice seen and are then reused.
pub struct Worker {
    stages: Vec<Stage>,
    /// Output of each stage, `[B, outputs]`.
    activations: Vec<Vec<f32>>,
    /// Gradient that comes back into the current stage and the one it passes on.
    deltas: [Vec<f32>; 2],
}

impl Worker {
    pub fn new(network: &Network) -> Self {
        let mut stages = Vec::new();
        let mut ops = network.nodes.iter().map(|node| &node.op).peekable();
        while let Some(op) = ops.next() {
            stages.push(match op {
                Op::Dense(dense) => Stage {
                    outputs: dense.outputs,
                    kind: StageKind::Dense {
                        dense: dense.clone(),
                        relu: ops.next_if(|op| matches!(op, Op::Relu)).is_some(),
                    },
                },
                Op::Relu => Stage {
                    outputs: stages
                        .last()
                        .map_or(network.features(), |s: &Stage| s.outputs),
                    kind: StageKind::Relu,
                },
                Op::Flatten => continue,
                other => todo!("{other:?}"),
            });
        }
        Self {
            activations: stages.iter().map(|_| Vec::new()).collect(),
            stages,
            deltas: [Vec::new(), Vec::new()],
        }
    }

    /// Runs the examples of `range`: adds their losses to `tally` and, where asked, the gradient of
    /// their share of the mean loss over all of `examples` to `gradient`.
    pub fn run(
        &mut self,
        params: &[f32],
        examples: &Examples,
        range: Range<usize>,
        gradient: Option<&mut Gradient>,
        tally: &mut Tally,
    ) {
        let input = examples.rows(range.clone());
        self.forward(params, input, range.len());
        let scale = 1.0 / count(examples.len());
        self.loss(&examples.labels[range.clone()], scale, tally);
        if let Some(gradient) = gradient {
            self.backward(params, input, range.len(), gradient);
        }
    }

    fn forward(&mut self, params: &[f32], input: &[f32], rows: usize) {
        for (index, stage) in self.stages.iter().enumerate() {
            let (before, after) = self.activations.split_at_mut(index);
            let x = before.last().map_or(input, Vec::as_slice);
            let y = &mut after[0];
            y.resize(rows * stage.outputs, 0.0);
            match &stage.kind {
                StageKind::Dense { dense, relu } => {
                    let (w, b) = (
                        &params[dense.weight.clone()],
                        &params[dense.bias.clone().unwrap()],
                    );
                    dense::forward(x, w, b, *relu, y);
                }
                StageKind::Relu => {
                    for (y, &x) in y.iter_mut().zip(x) {
                        *y = if x < 0.0 { 0.0 } else { x };
                    }
                }
            }
        }
    }

    /// Losses of the slice, and the gradient of the scores as the first delta.
    fn loss(&mut self, labels: &[u8], scale: f32, tally: &mut Tally) {
        let (Some(scores), Some(stage)) = (self.activations.last(), self.stages.last()) else {
            return;
        };
        let delta = &mut self.deltas[0];
        delta.clear();
        delta.extend_from_slice(scores);
        for (z, &label) in delta.chunks_exact_mut(stage.outputs).zip(labels) {
            let label = usize::from(label);
            let (loss, correct) = loss::softmax_cross_entropy(z, label, scale);
            tally.loss[label] += loss;
            tally.examples[label] += 1;
            tally.correct += u64::from(correct);
        }
    }

    fn backward(&mut self, params: &[f32], input: &[f32], rows: usize, gradient: &mut Gradient) {
        let [delta, passed] = &mut self.deltas;
        for (index, stage) in self.stages.iter().enumerate().rev() {
            let y = &self.activations[index];
            let x = match index {
                0 => input,
                _ => &self.activations[index - 1],
            };
            match &stage.kind {
                StageKind::Dense { dense, relu } => {
                    if *relu {
                        dense::backward_relu(y, delta);
                    }
                    let (dw, db) = two_ranges(&mut gradient.values, dense);
                    dense::backward_params(x, delta, gradient.begun, dw, db);
                    // Nobody asks for the gradient of the input.
                    if index > 0 {
                        passed.resize(rows * dense.inputs, 0.0);
                        let w = &params[dense.weight.clone()];
                        dense::backward_input(delta, w, dense.outputs, passed);
                        std::mem::swap(delta, passed);
                    }
                }
                StageKind::Relu => dense::backward_relu(y, delta),
            }
        }
        gradient.begun = true;
    }
}

/// The weight's and the bias's part of a gradient; the bias follows the weight.
fn two_ranges<'a>(values: &'a mut [f32], dense: &Dense) -> (&'a mut [f32], &'a mut [f32]) {
    values[dense.weight.start..dense.bias.clone().unwrap().end].split_at_mut(dense.weight.len())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a data set has far fewer than 2^24 · 2^7 rows"
)]
fn count(examples: usize) -> f32 {
    examples as f32
}

//! Loss and gradient of a data set at any flat parameter vector.
//!
//! A [`GradientEngine`] holds the examples and computes the mean cross-entropy, the accuracy and the gradient at given
//! parameters. Two engines for networks of layers implement the trait: [`cpu`], hand-written and fast, and [`candle`],
//! autograd on any device and the oracle that the first is tested against. A third, [`candle::CustomEngine`], is for
//! any other model. [`ranks::RankEngine`] divides the examples among the engines of several processes.

pub mod candle;
pub mod cpu;
pub mod ranks;
mod slices;

use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use slices::{NORM_SLICE_SIZE, Slice, SlicePlan};

use crate::data::Examples;
use crate::model::Network;

/// A part of the data that is evaluated as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subset {
    /// The training examples whose loss is allocated.
    Train,
    /// The `M` held-out examples.
    Test,
    /// The examples set aside; may be empty.
    Validation,
}

/// The examples of a run.
#[derive(Clone, Debug)]
pub struct RunData {
    /// Examples whose loss is allocated.
    pub train: Examples,
    /// Examples that mini-batches are drawn from, if `train` is only some of them.
    pub drawn_from: Option<Examples>,
    pub test: Examples,
    pub validation: Examples,
}

impl RunData {
    #[must_use]
    pub fn part(&self, part: Subset) -> &Examples {
        match part {
            Subset::Train => &self.train,
            Subset::Test => &self.test,
            Subset::Validation => &self.validation,
        }
    }

    /// Returns the position of each row that mini-batches are drawn by: in `drawn_from`, or in `train` as ordered by
    /// `plan`.
    fn positions(&self, plan: &SlicePlan) -> Vec<u32> {
        match &self.drawn_from {
            Some(examples) => (0..).take(examples.len()).collect(),
            None => plan.positions(),
        }
    }
}

/// Extent of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// Loss and accuracy only.
    Loss,
    /// Loss, accuracy and gradient.
    Gradient,
    /// Also the gradient split by class (training loss only, and only if the engine was built for it).
    ClassGradient,
}

/// Results for a part of the data at one parameter vector.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Mean cross-entropy over the examples, in nats.
    pub loss: f64,
    /// Fraction of the examples whose highest score is their label's, 0 to 1.
    pub accuracy: f64,
    /// `[C]`: mean cross-entropy of each class's examples, in nats; NaN for a class without any.
    pub class_loss: Vec<f64>,
    /// `[P]`: gradient of `loss`; empty if not requested.
    pub gradient: Vec<f32>,
    /// `[C, P]`: gradient of `(n_c / N) · class_loss[c]`, which sums over c to `gradient`; empty if not requested.
    pub class_gradient: Vec<f32>,
    /// `[Q]`: for a mini-batch, the mean and the unbiased variance of the values that each batch norm received, laid
    /// out like the network's running averages; empty otherwise.
    pub statistics: Vec<f32>,
}

/// An engine's failure.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("candle: {}", first_line(.0))]
    Candle(#[from] candle_core::Error),
    #[error("candle cannot start its threads (`--engine cpu` needs fewer): {0}")]
    Threads(std::io::Error),
    /// Error in a user-defined model.
    #[error("the model: {0}")]
    Model(String),
    #[error("no CUDA device {ordinal}: {reason}")]
    NoCuda { ordinal: usize, reason: String },
    /// Failure of the engine in one of several processes.
    #[error("rank {rank} on {host}: {reason}")]
    Rank {
        rank: usize,
        host: String,
        reason: String,
    },
    /// Several processes can no longer communicate.
    #[error("the ranks cannot communicate: {0}")]
    Link(String),
}

/// Returns the message's first line: candle appends a backtrace if `RUST_BACKTRACE` is set.
fn first_line(error: &candle_core::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// A point on the segment of a step, `θ_t + α (θ_{t+1} − θ_t)`, computed in double precision and rounded to single. An
/// engine that makes the point itself never asks for the parameters, and they are not computed.
pub struct SegmentPoint<'a> {
    from: &'a [f32],
    to: &'a [f32],
    alpha: f64,
    /// The parameters, once they are computed: memory that the caller reuses.
    made: &'a mut Vec<f32>,
    is_made: bool,
}

impl<'a> SegmentPoint<'a> {
    /// The point at `alpha`, 0 to 1, between `from` and `to` (`[P]` each).
    #[must_use]
    pub fn new(from: &'a [f32], to: &'a [f32], alpha: f64, memory: &'a mut Vec<f32>) -> Self {
        Self {
            from,
            to,
            alpha,
            made: memory,
            is_made: false,
        }
    }

    /// α: the point's place on the segment, 0 to 1.
    #[must_use]
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// `[P]`: the parameters at the point; at an end of the segment, the end's own bits.
    pub fn params(&mut self) -> &[f32] {
        match self.alpha {
            0.0 => return self.from,
            1.0 => return self.to,
            _ => {}
        }
        if !self.is_made {
            let alpha = self.alpha;
            let along = |(&from, &to): (&f32, &f32)| {
                let (from, to) = (f64::from(from), f64::from(to));
                #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
                let value = (from + alpha * (to - from)) as f32;
                value
            };
            self.made.clear();
            self.made.extend(self.from.iter().zip(self.to).map(along));
            self.is_made = true;
        }
        self.made
    }
}

/// Returns true if engines evaluate the training set in slices of one class each: a slice of one class has other
/// statistics than a mixed one, so not with batch norms.
#[must_use]
pub fn is_sorted_by_class(network: &Network, by_class: bool) -> bool {
    by_class && !network.has_norm()
}

/// Evaluates the network's loss, accuracy and gradient over fixed slices of the examples.
pub trait GradientEngine: Send {
    /// Describes what runs where, for display.
    fn describe(&self) -> String;

    /// Evaluates one part of the data at `params` (`[P]`) and writes the results to `out`, whose buffers are reused.
    ///
    /// The results do not depend on the number of threads, and every call uses the same slices.
    ///
    /// # Errors
    /// Errors reported by the device, such as running out of memory.
    fn evaluate(
        &mut self,
        part: Subset,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError>;

    /// Evaluates one part of the data at a point of a step's segment, like [`evaluate`](Self::evaluate).
    ///
    /// # Errors
    /// As for [`evaluate`](Self::evaluate).
    fn evaluate_on_segment(
        &mut self,
        part: Subset,
        point: &mut SegmentPoint<'_>,
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        self.evaluate(part, point.params(), want, out)
    }

    /// Evaluates loss and gradient of a mini-batch, as one slice: `rows` index the examples that are drawn from.
    /// Dropout is active only here; `noise` seeds it.
    ///
    /// # Errors
    /// Errors reported by the device.
    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError>;

    /// Returns the fraction of the part's examples whose highest score is their label's; batch norms use the running
    /// averages `[Q]` instead of a slice's statistics.
    ///
    /// # Errors
    /// Errors reported by the device.
    fn accuracy(
        &mut self,
        part: Subset,
        params: &[f32],
        running: &[f32],
    ) -> Result<f64, EngineError>;
}

/// Factors of a dropout layer for a mini-batch, `[rows, features]`: 0 or `1 / (1 − rate)`.
///
/// `node` is the layer's index in the network: layers drop independently. The factors are the same for every engine and
/// number of threads.
#[must_use]
pub fn dropout_mask(noise: u64, node: usize, rate: f64, values: usize) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(noise);
    rng.set_stream(node as u64);
    #[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
    let keep = (1.0 / (1.0 - rate)) as f32;
    (0..values)
        .map(|_| if rng.random_bool(rate) { 0.0 } else { keep })
        .collect()
}

/// The device an engine computes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    Cpu,
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

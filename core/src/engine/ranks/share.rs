//! A rank's share of the data, and sums over all shares.

use super::{BLOCK, Link, LinkError, first_failure};
use crate::data::Examples;
use crate::engine::{EngineError, Evaluation, GradientEngine, RunData, SlicePlan, Subset, Want};

/// The numbers of examples of a rank and of all ranks, in each part of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExampleCounts {
    parts: [PartCounts; 3],
    busy_ranks: usize,
}

/// The numbers of examples in one part of the data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct PartCounts {
    /// `[C]`: this rank's examples of each class.
    own: Vec<u64>,
    /// `[C]`: all examples of each class.
    all: Vec<u64>,
}

impl ExampleCounts {
    fn of(&self, part: Subset) -> &PartCounts {
        match part {
            Subset::Train => &self.parts[0],
            Subset::Test => &self.parts[1],
            Subset::Validation => &self.parts[2],
        }
    }
}

/// Reduces each part of the data to the slices of one rank: contiguous ones, in the order of evaluation.
///
/// `sorted` says whether the engine sorts the training examples by class. The mini-batches of rank 0 are drawn from all
/// examples, if `draws` is set; the others draw none.
///
/// # Panics
/// If `slice_size` is 0, or a label is not below `classes`.
#[must_use]
pub fn divide(
    data: RunData,
    (slice_size, sorted): (usize, bool),
    classes: usize,
    draws: bool,
    (rank, ranks): (usize, usize),
) -> (RunData, ExampleCounts) {
    let counts = |labels: &[u8]| {
        let mut counts = vec![0; classes];
        for &label in labels {
            counts[usize::from(label)] += 1;
        }
        counts
    };
    let mut examples = ExampleCounts::default();
    let mut share = |part: usize, all: &Examples| {
        let plan = SlicePlan::new(&all.labels, slice_size, sorted && part == 0);
        let slices = plan.slices.len();
        let first = rank * slices / ranks..(rank + 1) * slices / ranks;
        let own = &plan.slices[first];
        let rows = match own {
            [] => &[],
            [first, ..] => &plan.order[first.range.start..own[own.len() - 1].range.end],
        };
        let own = all.select(rows);
        examples.parts[part] = PartCounts {
            own: counts(&own.labels),
            all: counts(&all.labels),
        };
        if part == 0 {
            examples.busy_ranks = slices.min(ranks);
        }
        own
    };
    let (train, test) = (share(0, &data.train), share(1, &data.test));
    let validation = share(2, &data.validation);
    let drawn_from = data.drawn_from.or(Some(data.train));
    let data = RunData {
        train,
        drawn_from: drawn_from.filter(|_| draws && rank == 0),
        test,
        validation,
    };
    (data, examples)
}

/// A rank's engine, for its share of the data.
pub struct Share {
    pub(super) engine: Box<dyn GradientEngine>,
    examples: ExampleCounts,
    /// P
    pub(super) params: usize,
    /// Q
    pub(super) buffers: usize,
}

impl Share {
    /// Creates a share: `engine` evaluates `params` parameters and `buffers` running averages on the data that came from
    /// [`divide`] together with `examples`.
    #[must_use]
    pub fn new(
        engine: Box<dyn GradientEngine>,
        examples: ExampleCounts,
        params: usize,
        buffers: usize,
    ) -> Self {
        Self {
            engine,
            examples,
            params,
            buffers,
        }
    }

    /// The number of ranks that have training examples: all, unless there are fewer slices.
    pub(super) fn busy_ranks(&self) -> usize {
        self.examples.busy_ranks
    }

    /// Evaluates the own share and adds up those of all ranks. On rank 0, `out` then has the results for all examples;
    /// on the others, its gradients are undefined.
    pub(super) fn evaluate(
        &mut self,
        link: &dyn Link,
        part: Subset,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let PartCounts { own, all } = self.examples.of(part);
        let (n, total) = (count(own.iter().sum()), count(all.iter().sum()));
        let evaluated = if n > 0.0 {
            self.engine.evaluate(part, params, want, out)
        } else {
            nothing(params.len(), want, all.len(), out);
            Ok(())
        };
        let fault = evaluated.as_ref().err();
        // Failures, loss, hits, and the loss of each class.
        let mut sums = vec![
            f64::from(u8::from(fault.is_some())),
            out.loss * n,
            out.accuracy * n,
        ];
        let of_classes = own.iter().zip(&out.class_loss);
        let sum_of = |(&own, &loss): (&u64, &f64)| if own > 0 { loss * count(own) } else { 0.0 };
        sums.extend(of_classes.map(sum_of));
        // After a failure, the engine may not have written all of them.
        sums.resize(3 + all.len(), 0.0);
        link.sum_on_all(&mut sums)?;
        if sums[0] > 0.0 {
            return Err(first_failure(link, fault)?);
        }
        out.loss = sums[1] / total;
        out.accuracy = whole(sums[2]) / total;
        out.class_loss.clear();
        let means = sums[3..].iter().zip(all);
        out.class_loss.extend(means.map(|(sum, &n)| sum / count(n)));
        out.statistics.clear();
        let weight = n / total;
        sum_of_shares(link, weight, &mut out.gradient)?;
        sum_of_shares(link, weight, &mut out.class_gradient)?;
        Ok(())
    }

    /// Returns the accuracy over all examples, from the hits of all ranks.
    pub(super) fn accuracy(
        &mut self,
        link: &dyn Link,
        part: Subset,
        params: &[f32],
        running: &[f32],
    ) -> Result<f64, EngineError> {
        let PartCounts { own, all } = self.examples.of(part);
        let (n, total) = (count(own.iter().sum()), count(all.iter().sum()));
        let accuracy = if n > 0.0 {
            self.engine.accuracy(part, params, running)
        } else {
            Ok(0.0)
        };
        let fault = accuracy.as_ref().err();
        let hits = accuracy.as_ref().map_or(0.0, |share| share * n);
        let mut sums = [f64::from(u8::from(fault.is_some())), hits];
        link.sum_on_all(&mut sums)?;
        if sums[0] > 0.0 {
            return Err(first_failure(link, fault)?);
        }
        Ok(whole(sums[1]) / total)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn count(examples: u64) -> f64 {
    examples as f64
}

/// Undoes the rounding of shares of hits, which are whole numbers. (A model in code may count parts of hits.)
fn whole(hits: f64) -> f64 {
    let nearest = hits.round();
    if (hits - nearest).abs() < 1e-6 {
        nearest
    } else {
        hits
    }
}

/// Writes the sums over no examples.
fn nothing(params: usize, want: Want, classes: usize, out: &mut Evaluation) {
    let zeros = |values: &mut Vec<f32>, len| {
        values.clear();
        values.resize(len, 0.0);
    };
    let gradient = if want >= Want::Gradient { params } else { 0 };
    let by_class = if want == Want::ClassGradient {
        params * classes
    } else {
        0
    };
    (out.loss, out.accuracy) = (0.0, 0.0);
    out.class_loss.clear();
    zeros(&mut out.gradient, gradient);
    zeros(&mut out.class_gradient, by_class);
}

/// Replaces rank 0's `values` by `Σ_r weight_r · values_r`, in double precision.
fn sum_of_shares(link: &dyn Link, weight: f64, values: &mut [f32]) -> Result<(), LinkError> {
    let mut sums = Vec::with_capacity(BLOCK.min(values.len()));
    for block in values.chunks_mut(BLOCK) {
        sums.clear();
        sums.extend(block.iter().map(|&value| weight * f64::from(value)));
        link.sum_on_first(&mut sums)?;
        if link.rank() == 0 {
            for (value, &sum) in block.iter_mut().zip(&sums) {
                #[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
                {
                    *value = sum as f32;
                }
            }
        }
    }
    Ok(())
}

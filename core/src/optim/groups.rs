//! Parameter groups with different training settings, each with its own optimizer.

use std::collections::VecDeque;
use std::ops::Range;

use super::{Adam, Freeze, Optimizer, OptimizerMemory, Overrides, RmsProp, Sgd};

/// The kind of optimizer and its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum OptimizerChoice {
    Sgd { momentum: f64 },
    Adam,
    AdamW,
    RmsProp { momentum: f64 },
}

impl OptimizerChoice {
    /// Creates an optimizer for `params` parameters. `momentum`, if given, replaces the choice's own.
    #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
    fn build(self, momentum: Option<f64>, weight_decay: f64, params: usize) -> Box<dyn Optimizer> {
        let coupled = weight_decay as f32;
        let or = |own: f64| momentum.unwrap_or(own) as f32;
        match self {
            Self::Sgd { momentum } => Box::new(Sgd::new(or(momentum), coupled, params)),
            Self::Adam => Box::new(Adam::new(coupled, params)),
            Self::AdamW => Box::new(Adam::decoupled(weight_decay, params)),
            Self::RmsProp { momentum } => Box::new(RmsProp::new(or(momentum), coupled, params)),
        }
    }
}

/// All parameters of a network, in groups with equal training settings.
///
/// Neighbouring layers with the same settings form one group, so a run without rules has a single group of all
/// parameters. A group has its own optimizer with its own memory:
///
/// - *Frozen* from step n: from step n on nothing moves it, neither momentum nor weight decay.
/// - *Delayed* by d: in step t it receives the gradient of step t − d, with the learning rate of step t and the current
///   weights. In steps 0 … d − 1 there is none yet, and it does not move. Its optimizer starts at step d: Adam's bias
///   correction counts the steps taken, as `PyTorch` does for a parameter whose gradient was `None` before.
///
/// A delay of d keeps d gradients of the group's size in memory.
pub struct Groups {
    groups: Vec<OptimizerGroup>,
}

impl Groups {
    /// `layers` are ranges of the flat vector, ascending and without gaps, each with its overrides of `optimizer`,
    /// `learning_rate` and `weight_decay`.
    #[must_use]
    pub fn new(
        optimizer: OptimizerChoice,
        learning_rate: f64,
        weight_decay: f64,
        layers: impl IntoIterator<Item = (Range<usize>, Overrides)>,
    ) -> Self {
        let mut alike: Vec<(Range<usize>, Overrides)> = Vec::new();
        for (range, overrides) in layers {
            match alike.last_mut() {
                Some((last, of_last)) if *of_last == overrides => last.end = range.end,
                _ => alike.push((range, overrides)),
            }
        }
        let group = |(range, overrides): (Range<usize>, Overrides)| OptimizerGroup {
            optimizer: optimizer.build(
                overrides.momentum,
                overrides.weight_decay.unwrap_or(weight_decay),
                range.len(),
            ),
            learning_rate: overrides.learning_rate.unwrap_or(learning_rate),
            freeze: overrides.freeze.unwrap_or(Freeze::Never),
            delay: overrides.delay.unwrap_or(0),
            waiting: VecDeque::new(),
            range,
        };
        Self {
            groups: alike.into_iter().map(group).collect(),
        }
    }

    /// Takes step `step` from `params` (`[P]`) given the mini-batch gradient (`[P]`). Every group's learning rate is
    /// multiplied by `factor`.
    pub fn step(&mut self, params: &mut [f32], gradient: &[f32], step: u64, factor: f64) {
        for group in &mut self.groups {
            let range = group.range.clone();
            group.step(&mut params[range.clone()], &gradient[range], step, factor);
        }
    }

    /// Returns the groups' memory, in order, to be saved and restored.
    pub fn memory(&mut self) -> Vec<GroupMemory<'_>> {
        let groups = self.groups.iter_mut();
        groups
            .map(|group| GroupMemory {
                range: group.range.clone(),
                optimizer: group.optimizer.memory(),
                delay: group.delay,
                waiting: &mut group.waiting,
            })
            .collect()
    }
}

/// A group's memory from step to step.
pub struct GroupMemory<'a> {
    /// The group's `p` parameters in the flat vector.
    pub range: Range<usize>,
    pub optimizer: OptimizerMemory<'a>,
    /// Number of steps by which gradients are delayed.
    pub delay: usize,
    /// `[p]` each: the gradients of the last steps that have not been used yet, oldest first; at most `delay` of them.
    pub waiting: &'a mut VecDeque<Vec<f32>>,
}

struct OptimizerGroup {
    range: Range<usize>,
    optimizer: Box<dyn Optimizer>,
    learning_rate: f64,
    freeze: Freeze,
    delay: usize,
    waiting: VecDeque<Vec<f32>>,
}

impl OptimizerGroup {
    /// Takes a step; `params` and `gradient` are the group's own, `[p]`.
    fn step(&mut self, params: &mut [f32], gradient: &[f32], step: u64, factor: f64) {
        if self.freeze.holds(step) {
            return;
        }
        let rate = self.learning_rate * factor;
        if self.delay == 0 {
            self.optimizer.step(params, gradient, rate);
        } else if self.waiting.len() < self.delay {
            self.waiting.push_back(gradient.to_vec());
        } else if let Some(mut oldest) = self.waiting.pop_front() {
            self.optimizer.step(params, &oldest, rate);
            oldest.copy_from_slice(gradient);
            self.waiting.push_back(oldest);
        }
    }
}

//! A network as the steps that a worker takes, ordered and laid out in memory for the cache.
//!
//! Linear layers work on *rows* `[B, features]`, everything with an image on *groups* ([`lanes`](super::lanes)); the
//! plan inserts conversions between them. Neighbours are fused: a `ReLU` into the layer before it, and a sum into the
//! batch norm before it.
//!
//! Steps on groups are taken group by group, so that each step finds its input still in the cache. Such a *run* of
//! steps ends where a step needs the whole slice: at a linear layer, and between computing the statistics of a batch
//! norm and using them.

mod lower;

use std::ops::Range;

use pulp::Arch;

use super::conv::Kernel;
use super::pool::PoolWindow;
use crate::model::{self, Dense, Network, Norm, Shape};

/// Memory layout of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Rows,
    Groups,
}

/// The output of a step. Value 0 is the input.
pub struct PlannedValue {
    pub shape: Shape,
    pub form: Form,
    /// Kept for one group at a time: the next step consumes it, and the backward pass recomputes it.
    pub fleeting: bool,
    /// Whether the value depends on parameters.
    pub trained: bool,
    /// The step that computes it; meaningless for the input.
    pub made_by: usize,
}

impl PlannedValue {
    /// Lanes in a group, or numbers in a row.
    pub fn len(&self) -> usize {
        model::values(self.shape)
    }
}

pub enum StepKind {
    Dense {
        dense: Dense,
        relu: bool,
    },
    Conv {
        kernel: Kernel,
        /// Index among the convolutions.
        index: usize,
        relu: bool,
        /// Whether a max-pool after it backpropagates through the `ReLU`.
        relu_is_undone: bool,
    },
    /// Collects the statistics that a batch norm needs; has no output.
    Statistics {
        index: usize,
    },
    Norm {
        norm: Norm,
        /// Index among the norms.
        index: usize,
        relu: bool,
    },
    Relu,
    MaxPool {
        window: PoolWindow,
        /// Whether to backpropagate through the input's `ReLU` here, because it was fused into the step before.
        relu: bool,
    },
    MeanPool(PoolWindow),
    Dropout {
        node: usize,
    },
    Add,
    /// Zero padding around an image: rows above and columns to the left, the rest below and to the right.
    Pad([usize; 2]),
    ToGroups,
    ToRows,
}

/// Destination of a step's gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GradientTarget {
    /// The gradient's buffer.
    pub slot: usize,
    /// Whether to add to the buffer instead of overwriting it.
    pub add: bool,
}

pub struct Step {
    pub kind: StepKind,
    pub input: usize,
    /// The other term of a sum.
    pub other: Option<usize>,
    pub output: usize,
    /// Buffers of the gradients: of the output, and of the inputs where needed. An input may take over the output's
    /// buffer.
    pub delta: usize,
    pub input_delta: Option<GradientTarget>,
    pub other_delta: Option<GradientTarget>,
}

/// A part of a backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackwardPart {
    /// Sums what a batch norm needs of its output's gradient.
    Reduce(usize),
    Step(usize),
}

/// Steps that are taken together: group by group, or on the whole slice if `whole`.
pub struct StepRun<T> {
    pub steps: T,
    pub whole: bool,
}

pub struct Plan {
    pub values: Vec<PlannedValue>,
    /// The value that holds the class scores, as rows.
    pub scores: usize,
    pub steps: Vec<Step>,
    pub forward: Vec<StepRun<Range<usize>>>,
    pub backward: Vec<StepRun<Vec<BackwardPart>>>,
    /// Lanes per group of every gradient buffer.
    pub slots: Vec<usize>,
    pub convs: usize,
    pub norms: Vec<Norm>,
}

impl Plan {
    pub fn new(arch: Arch, network: &Network) -> Self {
        let mut plan = Self {
            values: vec![PlannedValue {
                shape: network.input,
                form: Form::Rows,
                fleeting: false,
                trained: false,
                made_by: 0,
            }],
            scores: 0,
            steps: Vec::new(),
            forward: Vec::new(),
            backward: Vec::new(),
            slots: Vec::new(),
            convs: 0,
            norms: Vec::new(),
        };
        lower::lower(arch, network, &mut plan);
        plan.mark_fleeting();
        plan.schedule_forward();
        plan.schedule_backward();
        plan
    }

    /// Marks a norm's output as fleeting if its only use is the convolution right after it.
    fn mark_fleeting(&mut self) {
        for at in 1..self.steps.len() {
            let [first, second] = &self.steps[at - 1..=at] else {
                continue;
            };
            let value = first.output;
            let only_use = (self.steps.iter())
                .filter(|step| step.input == value || step.other == Some(value))
                .count()
                == 1;
            self.values[value].fleeting = only_use
                && second.input == value
                && matches!(first.kind, StepKind::Norm { .. })
                && first.other.is_none()
                && matches!(second.kind, StepKind::Conv { .. });
        }
    }

    /// Whether a step works on the whole slice at once.
    fn is_whole(&self, step: &Step) -> bool {
        match step.kind {
            StepKind::ToGroups | StepKind::ToRows => false,
            _ => self.values[step.output].form == Form::Rows,
        }
    }

    fn schedule_forward(&mut self) {
        let mut measured = Vec::new();
        let mut start = 0;
        for (at, step) in self.steps.iter().enumerate() {
            let whole = self.is_whole(step);
            let barrier = match step.kind {
                StepKind::Norm { index, .. } => measured.contains(&index),
                _ => false,
            };
            if start < at && (whole || barrier) {
                self.forward.push(StepRun {
                    steps: start..at,
                    whole: false,
                });
                start = at;
                measured.clear();
            }
            if whole {
                self.forward.push(StepRun {
                    steps: at..at + 1,
                    whole,
                });
                start = at + 1;
            }
            if let StepKind::Statistics { index } = step.kind {
                measured.push(index);
            }
        }
        if start < self.steps.len() {
            let steps = start..self.steps.len();
            self.forward.push(StepRun {
                steps,
                whole: false,
            });
        }
    }

    /// Arranges the backward steps in runs and assigns the buffers of their gradients.
    fn schedule_backward(&mut self) {
        let mut slots = GradientBuffers {
            of: vec![None; self.values.len()],
            free: Vec::new(),
            ended: Vec::new(),
            sizes: Vec::new(),
        };
        let scores = self.scores;
        slots.allocate(scores, self.values[scores].len());
        let mut run = Vec::new();
        for at in (0..self.steps.len()).rev() {
            let step = &self.steps[at];
            if !self.values[step.output].trained || matches!(step.kind, StepKind::Statistics { .. })
            {
                continue;
            }
            let whole = self.is_whole(step);
            let is_norm = matches!(step.kind, StepKind::Norm { .. });
            if is_norm {
                run.push(BackwardPart::Reduce(at));
            }
            if (whole || is_norm) && !run.is_empty() {
                let steps = std::mem::take(&mut run);
                self.backward.push(StepRun {
                    steps,
                    whole: false,
                });
                slots.end_run();
            }
            self.assign(at, &mut slots);
            run.push(BackwardPart::Step(at));
            if whole {
                let steps = std::mem::take(&mut run);
                self.backward.push(StepRun { steps, whole });
                slots.end_run();
            }
        }
        if !run.is_empty() {
            self.backward.push(StepRun {
                steps: run,
                whole: false,
            });
        }
        self.slots = slots.sizes;
    }

    /// Assigns the buffers of a step's gradients.
    fn assign(&mut self, at: usize, slots: &mut GradientBuffers) {
        let step = &self.steps[at];
        let wanted = |value: &usize| self.values[*value].trained;
        let (output, input, other) = (
            step.output,
            Some(step.input).filter(wanted),
            step.other.filter(wanted),
        );
        let delta = slots.of[output].expect("every trained value is used");
        // The input that may take over the output's gradient as it is, or be computed in place.
        let heir = match step.kind {
            StepKind::Norm { .. } if step.other.is_some() => other,
            StepKind::Norm { .. } | StepKind::Add | StepKind::Relu | StepKind::Dropout { .. } => {
                input
            }
            _ => None,
        };
        let mut inherited = false;
        let mut outlet = |value: usize| {
            if let Some(slot) = slots.of[value] {
                return GradientTarget { slot, add: true };
            }
            let slot = if heir == Some(value) && !inherited {
                inherited = true;
                slots.of[value] = Some(delta);
                delta
            } else {
                slots.allocate(value, self.values[value].len())
            };
            GradientTarget { slot, add: false }
        };
        let input_delta = input.map(&mut outlet);
        let other_delta = other.map(&mut outlet);
        if !inherited {
            slots.ended.push(delta);
        }
        let step = &mut self.steps[at];
        step.delta = delta;
        step.input_delta = input_delta;
        step.other_delta = other_delta;
    }
}

/// Buffers that gradients share over time.
struct GradientBuffers {
    /// Buffer of each value's gradient.
    of: Vec<Option<usize>>,
    free: Vec<usize>,
    /// No longer needed once the run ends: within it, other groups still need them.
    ended: Vec<usize>,
    sizes: Vec<usize>,
}

impl GradientBuffers {
    fn allocate(&mut self, value: usize, len: usize) -> usize {
        // The free buffer whose size fits best.
        let best = (0..self.free.len()).min_by_key(|&i| self.sizes[self.free[i]].abs_diff(len));
        let slot = match best {
            Some(best) => self.free.swap_remove(best),
            None => {
                self.sizes.push(0);
                self.sizes.len() - 1
            }
        };
        self.sizes[slot] = self.sizes[slot].max(len);
        self.of[value] = Some(slot);
        slot
    }

    fn end_run(&mut self) {
        self.free.append(&mut self.ended);
    }
}

//! A network as the steps that a worker takes, in the order and with the memory that suit a cache.
//!
//! Linear layers work on *rows* `[B, features]`, everything with an image on *groups*
//! ([`lanes`](super::lanes)); the plan puts conversions between them where they meet. Neighbours are
//! fused: a `ReLU` goes into the layer before it, and a sum into the batch norm before it.
//!
//! Steps on groups are taken group by group, so that what one step leaves in the cache the next finds
//! there. Such a *run* of steps ends where a step needs the whole slice: at a linear layer, and
//! between the statistics of a batch norm and their use.

mod lower;

use std::ops::Range;

use pulp::Arch;

use super::conv::Kernel;
use super::pool::Window;
use crate::model::{self, Dense, Network, Norm, Shape};

/// How a value lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Rows,
    Groups,
}

/// Something that a step puts out. Value 0 is the input.
pub struct Value {
    pub shape: Shape,
    pub form: Form,
    /// Kept for one group at a time: the next step uses it up, and going back it is made again.
    pub fleeting: bool,
    /// Whether parameters have a part in it.
    pub trained: bool,
    /// The step that makes it; of no meaning for the input.
    pub made_by: usize,
}

impl Value {
    /// Lanes of a group, or numbers of a row.
    pub fn len(&self) -> usize {
        model::values(self.shape)
    }
}

pub enum Kind {
    Dense {
        dense: Dense,
        relu: bool,
    },
    Conv {
        kernel: Kernel,
        /// Its place among the convolutions.
        index: usize,
        relu: bool,
        /// Whether a max-pool behind it undoes the `ReLU`.
        relu_is_undone: bool,
    },
    /// Takes in what a batch norm is going to need; puts nothing out.
    Statistics {
        index: usize,
    },
    Norm {
        norm: Norm,
        /// Its place among the norms.
        index: usize,
        relu: bool,
    },
    Relu,
    MaxPool {
        window: Window,
        /// Whether the input's `ReLU` is undone here, because it was fused into the step before.
        relu: bool,
    },
    MeanPool(Window),
    Dropout {
        node: usize,
    },
    Add,
    /// Zeros around an image: so many rows above and columns to the left, the rest behind.
    Pad([usize; 2]),
    ToGroups,
    ToRows,
}

/// Where a step's gradient goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outlet {
    /// The gradient's buffer.
    pub slot: usize,
    /// Added to what is there, not written over it.
    pub add: bool,
}

pub struct Step {
    pub kind: Kind,
    pub input: usize,
    /// The other term of a sum.
    pub other: Option<usize>,
    pub output: usize,
    /// Buffers of the gradients: of the output, and of the inputs where they are wanted. An input
    /// may take over the output's.
    pub delta: usize,
    pub input_delta: Option<Outlet>,
    pub other_delta: Option<Outlet>,
}

/// A part of a pass backward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// Sums up what a batch norm needs of its output's gradient.
    Reduce(usize),
    Step(usize),
}

/// Steps that are taken together: group by group, or, if `whole`, on the slice.
pub struct Run<T> {
    pub steps: T,
    pub whole: bool,
}

pub struct Plan {
    pub values: Vec<Value>,
    /// The value that holds the class scores, as rows.
    pub scores: usize,
    pub steps: Vec<Step>,
    pub forward: Vec<Run<Range<usize>>>,
    pub backward: Vec<Run<Vec<Back>>>,
    /// Lanes a group of every gradient buffer.
    pub slots: Vec<usize>,
    pub convs: usize,
    pub norms: Vec<Norm>,
}

impl Plan {
    pub fn new(arch: Arch, network: &Network) -> Self {
        let mut plan = Self {
            values: vec![Value {
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

    /// A norm's output is fleeting if a convolution right behind it is all that needs it.
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
                && matches!(first.kind, Kind::Norm { .. })
                && first.other.is_none()
                && matches!(second.kind, Kind::Conv { .. });
        }
    }

    /// Whether a step works on the whole slice at once.
    fn is_whole(&self, step: &Step) -> bool {
        match step.kind {
            Kind::ToGroups | Kind::ToRows => false,
            _ => self.values[step.output].form == Form::Rows,
        }
    }

    fn schedule_forward(&mut self) {
        let mut measured = Vec::new();
        let mut start = 0;
        for (at, step) in self.steps.iter().enumerate() {
            let whole = self.is_whole(step);
            let barrier = match step.kind {
                Kind::Norm { index, .. } => measured.contains(&index),
                _ => false,
            };
            if start < at && (whole || barrier) {
                self.forward.push(Run {
                    steps: start..at,
                    whole: false,
                });
                start = at;
                measured.clear();
            }
            if whole {
                self.forward.push(Run {
                    steps: at..at + 1,
                    whole,
                });
                start = at + 1;
            }
            if let Kind::Statistics { index } = step.kind {
                measured.push(index);
            }
        }
        if start < self.steps.len() {
            let steps = start..self.steps.len();
            self.forward.push(Run {
                steps,
                whole: false,
            });
        }
    }

    /// Which steps are taken backward in which runs, and in which buffers their gradients are.
    fn schedule_backward(&mut self) {
        let mut slots = Slots {
            of: vec![None; self.values.len()],
            free: Vec::new(),
            ended: Vec::new(),
            sizes: Vec::new(),
        };
        let scores = self.scores;
        slots.take(scores, self.values[scores].len());
        let mut run = Vec::new();
        for at in (0..self.steps.len()).rev() {
            let step = &self.steps[at];
            if !self.values[step.output].trained || matches!(step.kind, Kind::Statistics { .. }) {
                continue;
            }
            let whole = self.is_whole(step);
            let is_norm = matches!(step.kind, Kind::Norm { .. });
            if is_norm {
                run.push(Back::Reduce(at));
            }
            if (whole || is_norm) && !run.is_empty() {
                let steps = std::mem::take(&mut run);
                self.backward.push(Run {
                    steps,
                    whole: false,
                });
                slots.end_run();
            }
            self.assign(at, &mut slots);
            run.push(Back::Step(at));
            if whole {
                let steps = std::mem::take(&mut run);
                self.backward.push(Run { steps, whole });
                slots.end_run();
            }
        }
        if !run.is_empty() {
            self.backward.push(Run {
                steps: run,
                whole: false,
            });
        }
        self.slots = slots.sizes;
    }

    /// Gives a step's gradients their buffers.
    fn assign(&mut self, at: usize, slots: &mut Slots) {
        let step = &self.steps[at];
        let wanted = |value: &usize| self.values[*value].trained;
        let (output, input, other) = (
            step.output,
            Some(step.input).filter(wanted),
            step.other.filter(wanted),
        );
        let delta = slots.of[output].expect("every trained value is used");
        // What may take over the output's gradient as it stands, or be computed where it stands.
        let heir = match step.kind {
            Kind::Norm { .. } if step.other.is_some() => other,
            Kind::Norm { .. } | Kind::Add | Kind::Relu | Kind::Dropout { .. } => input,
            _ => None,
        };
        let mut inherited = false;
        let mut outlet = |value: usize| {
            if let Some(slot) = slots.of[value] {
                return Outlet { slot, add: true };
            }
            let slot = if heir == Some(value) && !inherited {
                inherited = true;
                slots.of[value] = Some(delta);
                delta
            } else {
                slots.take(value, self.values[value].len())
            };
            Outlet { slot, add: false }
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

/// Buffers that gradients share, one after another.
struct Slots {
    /// Of every value's gradient.
    of: Vec<Option<usize>>,
    free: Vec<usize>,
    /// No longer needed once the run is over: within it, other groups still need them.
    ended: Vec<usize>,
    sizes: Vec<usize>,
}

impl Slots {
    fn take(&mut self, value: usize, len: usize) -> usize {
        // The one whose size fits best.
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

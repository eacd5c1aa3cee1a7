//! A network as the steps that a worker takes, in the order and with the memory that suit a cache.
//!
//! Linear layers work on *rows* `[B, features]`, everything with an image on *groups*
//! ([`lanes`](super::lanes)); the plan puts conversions between them where they meet. Neighbours are
//! fused: a `ReLU` goes into the layer before it, and a sum into the batch norm before it.
//!
//! Steps on groups are taken group by group, so that what one step leaves in the cache the next finds
//! there. Such a *run* of steps ends where a step needs the whole slice: at a linear layer, and
//! between the statistics of a batch norm and their use.

use std::ops::Range;

use pulp::Arch;

use super::conv::Kernel;
use super::pool::Window;
use crate::model::{self, Conv, Dense, Network, Norm, Op, Shape};

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
        let mut builder = Builder {
            arch,
            network,
            uses: count_uses(network),
            plan: Self {
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
            },
            places: vec![Place::At([Some(0), None])],
        };
        for node in 0..network.nodes.len() {
            let place = builder.lower(node);
            builder.places.push(place);
        }
        // Scores are read as rows.
        builder.plan.scores = builder.rows(network.nodes.len());
        let mut plan = builder.plan;
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

/// Nodes that take each of the network's values; whoever reads the scores counts too.
fn count_uses(network: &Network) -> Vec<usize> {
    let mut uses = vec![0; network.nodes.len() + 1];
    for node in &network.nodes {
        uses[node.input] += 1;
        if let Op::Add(other) = node.op {
            uses[other] += 1;
        }
    }
    uses[network.nodes.len()] += 1;
    uses
}

/// Where the plan has a value of the network.
#[derive(Clone, Copy)]
enum Place {
    /// As rows, as groups.
    At([Option<usize>; 2]),
    /// It is computed together with what comes behind: the norm of this node.
    Held(usize),
}

struct Builder<'a> {
    arch: Arch,
    network: &'a Network,
    uses: Vec<usize>,
    plan: Plan,
    /// Of the network's values so far.
    places: Vec<Place>,
}

/// Input channels up to which a convolution reads a padded copy of its input: with so few, the
/// weight gradient is worth computing for a whole row of the kernel at once.
const FEW_CHANNELS: usize = 5;

impl Builder<'_> {
    /// Plans one node; says where its output is.
    fn lower(&mut self, at: usize) -> Place {
        let node = &self.network.nodes[at];
        let (input, shape) = (node.input, node.shape);
        match &node.op {
            Op::Dense(dense) => {
                let (dense, relu) = (dense.clone(), self.relu_follows(at));
                let input = self.rows(input);
                self.step(Kind::Dense { dense, relu }, input, None, shape, Form::Rows)
            }
            Op::Conv(conv) => self.conv(at, conv),
            Op::Norm(norm) => self.norm(at, norm),
            Op::Relu if self.is_fused(at) => self.places[input],
            Op::Relu => {
                let (input, form) = self.any(input);
                self.step(Kind::Relu, input, None, shape, form)
            }
            Op::MaxPool(pool) => {
                let window = Window::new(pool, self.network.shape(input), shape);
                let relu = self.undoes_relu(at);
                let input = self.groups(input);
                self.step(
                    Kind::MaxPool { window, relu },
                    input,
                    None,
                    shape,
                    Form::Groups,
                )
            }
            Op::AvgPool(pool) => {
                let window = Window::new(pool, self.network.shape(input), shape);
                let input = self.groups(input);
                self.step(Kind::MeanPool(window), input, None, shape, Form::Groups)
            }
            Op::Flatten => {
                let rows = self.rows(input);
                Place::At([Some(rows), None])
            }
            Op::Dropout { .. } => {
                let (input, form) = self.any(input);
                let kind = Kind::Dropout { node: at };
                self.step(kind, input, None, shape, form)
            }
            Op::Add(other) => self.add(at, *other),
        }
    }

    fn conv(&mut self, at: usize, conv: &Conv) -> Place {
        let node = &self.network.nodes[at];
        let relu = self.relu_follows(at);
        let mut input = self.groups(node.input);
        let mut conv = conv.clone();
        let mut from = self.network.shape(node.input);
        let size = |axis: usize| (node.shape[axis + 1] - 1) * conv.stride[axis] + conv.kernel[axis];
        let padded = [
            from[0],
            size(0).max(from[1] + conv.before[0]),
            size(1).max(from[2] + conv.before[1]),
        ];
        if padded != from && conv.inputs <= FEW_CHANNELS {
            let kind = Kind::Pad(conv.before);
            let place = self.step(kind, input, None, padded, Form::Groups);
            let Place::At([_, Some(value)]) = place else {
                unreachable!("it puts out groups")
            };
            conv.before = [0, 0];
            (input, from) = (value, padded);
        }
        let kernel = Kernel::new(self.arch, &conv, from, node.shape);
        let index = self.plan.convs;
        self.plan.convs += 1;
        let relu_is_undone = relu && self.pool_follows_relu(at);
        let kind = Kind::Conv {
            kernel,
            index,
            relu,
            relu_is_undone,
        };
        self.step(kind, input, None, node.shape, Form::Groups)
    }

    /// A norm is held back if all that follows is a sum, to be computed with it.
    fn norm(&mut self, at: usize, norm: &Norm) -> Place {
        let node = &self.network.nodes[at];
        let input = self.groups(node.input);
        let index = self.plan.norms.len();
        self.plan.norms.push(norm.clone());
        self.plan.steps.push(Step {
            kind: Kind::Statistics { index },
            input,
            other: None,
            output: input,
            delta: 0,
            input_delta: None,
            other_delta: None,
        });
        let into_sum = (self.network.nodes.iter()).any(
            |later| matches!(later.op, Op::Add(other) if later.input == at + 1 && other != at + 1),
        );
        if into_sum && self.uses[at + 1] == 1 {
            return Place::Held(at);
        }
        let relu = self.relu_follows(at);
        let norm = norm.clone();
        self.step(
            Kind::Norm { norm, index, relu },
            input,
            None,
            node.shape,
            Form::Groups,
        )
    }

    fn add(&mut self, at: usize, other: model::Value) -> Place {
        let node = &self.network.nodes[at];
        let relu = self.relu_follows(at);
        if let Place::Held(held) = self.places[node.input] {
            let other = self.groups(other);
            return self.release(held, Some(other), relu, node.shape);
        }
        let (input, other) = (self.groups(node.input), self.groups(other));
        let place = self.step(Kind::Add, input, Some(other), node.shape, Form::Groups);
        match place {
            Place::At([_, Some(sum)]) if relu => {
                self.step(Kind::Relu, sum, None, node.shape, Form::Groups)
            }
            place => place,
        }
    }

    /// Plans a norm that was held back.
    fn release(&mut self, held: usize, other: Option<usize>, relu: bool, shape: Shape) -> Place {
        let node = &self.network.nodes[held];
        let Op::Norm(norm) = &node.op else {
            unreachable!("norms are held")
        };
        let index = self
            .plan
            .norms
            .iter()
            .position(|n| n.running == norm.running);
        let kind = Kind::Norm {
            norm: norm.clone(),
            index: index.expect("it was measured"),
            relu,
        };
        let input = self.groups(node.input);
        self.step(kind, input, other, shape, Form::Groups)
    }

    fn step(
        &mut self,
        kind: Kind,
        input: usize,
        other: Option<usize>,
        shape: Shape,
        form: Form,
    ) -> Place {
        let output = self.plan.values.len();
        let trains = matches!(
            kind,
            Kind::Dense { .. } | Kind::Conv { .. } | Kind::Norm { .. }
        );
        let trained = |value: usize| self.plan.values[value].trained;
        let trained = trains || trained(input) || other.is_some_and(trained);
        self.plan.values.push(Value {
            shape,
            form,
            fleeting: false,
            trained,
            made_by: self.plan.steps.len(),
        });
        self.plan.steps.push(Step {
            kind,
            input,
            other,
            output,
            delta: 0,
            input_delta: None,
            other_delta: None,
        });
        Place::At(match form {
            Form::Rows => [Some(output), None],
            Form::Groups => [None, Some(output)],
        })
    }

    /// A value of the network as rows, converted if need be.
    fn rows(&mut self, value: model::Value) -> usize {
        self.in_form(value, Form::Rows)
    }

    fn groups(&mut self, value: model::Value) -> usize {
        self.in_form(value, Form::Groups)
    }

    fn any(&mut self, value: model::Value) -> (usize, Form) {
        match self.places[value] {
            Place::At([Some(rows), _]) => (rows, Form::Rows),
            _ => (self.groups(value), Form::Groups),
        }
    }

    fn in_form(&mut self, value: model::Value, form: Form) -> usize {
        let shape = self.network.shape(value);
        if let Place::Held(held) = self.places[value] {
            self.places[value] = self.release(held, None, false, shape);
        }
        let Place::At(places) = self.places[value] else {
            unreachable!("released above")
        };
        let [rows, groups] = places;
        let (kind, from, there) = match form {
            Form::Rows => (Kind::ToRows, groups, rows),
            Form::Groups => (Kind::ToGroups, rows, groups),
        };
        if let Some(there) = there {
            return there;
        }
        let from = from.expect("a value is somewhere");
        let made = self.step(kind, from, None, shape, form);
        let Place::At(made) = made else {
            unreachable!("a step puts out a value")
        };
        let merged = [rows.or(made[0]), groups.or(made[1])];
        self.places[value] = Place::At(merged);
        merged[form as usize].expect("it was made")
    }

    /// Whether a `ReLU` is all that follows a node.
    fn relu_follows(&self, at: usize) -> bool {
        let follows = |node: &model::Node| node.input == at + 1 && node.op == Op::Relu;
        self.uses[at + 1] == 1 && self.network.nodes.iter().any(follows)
    }

    /// Whether a `ReLU` is part of the step before it.
    fn is_fused(&self, at: usize) -> bool {
        let Some(before) = self.network.nodes[at].input.checked_sub(1) else {
            return false;
        };
        let op = &self.network.nodes[before].op;
        let fuses = matches!(op, Op::Dense(_) | Op::Conv(_) | Op::Norm(_) | Op::Add(_));
        fuses && self.relu_follows(before)
    }

    /// Whether a max-pool is all that follows the `ReLU` behind a node.
    fn pool_follows_relu(&self, at: usize) -> bool {
        let nodes = &self.network.nodes;
        let relu = nodes.iter().position(|node| node.input == at + 1);
        relu.is_some_and(|relu| {
            let pools =
                |node: &model::Node| node.input == relu + 1 && matches!(node.op, Op::MaxPool(_));
            self.uses[relu + 1] == 1 && nodes.iter().any(pools)
        })
    }

    /// Whether a pool's input is a convolution's `ReLU`, which nothing else uses.
    fn undoes_relu(&self, at: usize) -> bool {
        let nodes = &self.network.nodes;
        let before = |at: usize| nodes[at].input.checked_sub(1);
        let conv = before(at)
            .filter(|&relu| nodes[relu].op == Op::Relu)
            .and_then(before);
        conv.is_some_and(|conv| {
            matches!(nodes[conv].op, Op::Conv(_))
                && self.relu_follows(conv)
                && self.pool_follows_relu(conv)
        })
    }
}

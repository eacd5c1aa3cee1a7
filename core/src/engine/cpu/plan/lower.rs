//! Lowering of a network's nodes to steps: conversions between rows and groups, and fusion.

use pulp::Arch;

use super::{Form, Plan, PlannedValue, Step, StepKind};
use crate::engine::cpu::conv::Kernel;
use crate::engine::cpu::pool::PoolWindow;
use crate::model::{self, Conv, Network, Norm, Op, Shape};

/// Writes the steps of `network` into `plan`, which must hold only the input.
pub fn lower(arch: Arch, network: &Network, plan: &mut Plan) {
    let mut builder = PlanBuilder {
        arch,
        network,
        uses: count_uses(network),
        plan,
        places: vec![ValueLocation::At([Some(0), None])],
    };
    for node in 0..network.nodes.len() {
        let place = builder.lower(node);
        builder.places.push(place);
    }
    // Scores are read as rows.
    builder.plan.scores = builder.rows(network.nodes.len());
}

/// Counts the nodes that read each of the network's values; reading the scores counts as one more.
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

/// Location of one of the network's values in the plan.
#[derive(Clone, Copy)]
enum ValueLocation {
    /// Value indices as rows and as groups.
    At([Option<usize>; 2]),
    /// Deferred, to be computed together with the next step: the output of the norm at this node.
    Held(usize),
}

struct PlanBuilder<'a> {
    arch: Arch,
    network: &'a Network,
    uses: Vec<usize>,
    plan: &'a mut Plan,
    /// Locations of the network's values so far.
    places: Vec<ValueLocation>,
}

/// Input channels up to which a convolution reads a padded copy of its input: with so few, the
/// weight gradient is worth computing for a whole row of the kernel at once.
const FEW_CHANNELS: usize = 5;

impl PlanBuilder<'_> {
    /// Plans one node; returns the location of its output.
    fn lower(&mut self, at: usize) -> ValueLocation {
        let node = &self.network.nodes[at];
        let (input, shape) = (node.input, node.shape);
        match &node.op {
            Op::Dense(dense) => {
                let (dense, relu) = (dense.clone(), self.relu_follows(at));
                let input = self.rows(input);
                self.step(
                    StepKind::Dense { dense, relu },
                    input,
                    None,
                    shape,
                    Form::Rows,
                )
            }
            Op::Conv(conv) => self.conv(at, conv),
            Op::Norm(norm) => self.norm(at, norm),
            Op::Relu if self.is_fused(at) => self.places[input],
            Op::Relu => {
                let (input, form) = self.any(input);
                self.step(StepKind::Relu, input, None, shape, form)
            }
            Op::MaxPool(pool) => {
                let window = PoolWindow::new(pool, self.network.shape(input), shape);
                let relu = self.undoes_relu(at);
                let input = self.groups(input);
                self.step(
                    StepKind::MaxPool { window, relu },
                    input,
                    None,
                    shape,
                    Form::Groups,
                )
            }
            Op::AvgPool(pool) => {
                let window = PoolWindow::new(pool, self.network.shape(input), shape);
                let input = self.groups(input);
                self.step(StepKind::MeanPool(window), input, None, shape, Form::Groups)
            }
            Op::Flatten => {
                let rows = self.rows(input);
                ValueLocation::At([Some(rows), None])
            }
            Op::Dropout { .. } => {
                let (input, form) = self.any(input);
                let kind = StepKind::Dropout { node: at };
                self.step(kind, input, None, shape, form)
            }
            Op::Add(other) => self.add(at, *other),
        }
    }

    fn conv(&mut self, at: usize, conv: &Conv) -> ValueLocation {
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
            let kind = StepKind::Pad(conv.before);
            let place = self.step(kind, input, None, padded, Form::Groups);
            let ValueLocation::At([_, Some(value)]) = place else {
                unreachable!("it puts out groups")
            };
            conv.before = [0, 0];
            (input, from) = (value, padded);
        }
        let kernel = Kernel::new(self.arch, &conv, from, node.shape);
        let index = self.plan.convs;
        self.plan.convs += 1;
        let relu_is_undone = relu && self.pool_follows_relu(at);
        let kind = StepKind::Conv {
            kernel,
            index,
            relu,
            relu_is_undone,
        };
        self.step(kind, input, None, node.shape, Form::Groups)
    }

    /// Defers a norm if its only use is a sum, to compute both together.
    fn norm(&mut self, at: usize, norm: &Norm) -> ValueLocation {
        let node = &self.network.nodes[at];
        let input = self.groups(node.input);
        let index = self.plan.norms.len();
        self.plan.norms.push(norm.clone());
        self.plan.steps.push(Step {
            kind: StepKind::Statistics { index },
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
            return ValueLocation::Held(at);
        }
        let relu = self.relu_follows(at);
        let norm = norm.clone();
        self.step(
            StepKind::Norm { norm, index, relu },
            input,
            None,
            node.shape,
            Form::Groups,
        )
    }

    fn add(&mut self, at: usize, other: model::ValueId) -> ValueLocation {
        let node = &self.network.nodes[at];
        let relu = self.relu_follows(at);
        if let ValueLocation::Held(held) = self.places[node.input] {
            let other = self.groups(other);
            return self.release(held, Some(other), relu, node.shape);
        }
        let (input, other) = (self.groups(node.input), self.groups(other));
        let place = self.step(StepKind::Add, input, Some(other), node.shape, Form::Groups);
        match place {
            ValueLocation::At([_, Some(sum)]) if relu => {
                self.step(StepKind::Relu, sum, None, node.shape, Form::Groups)
            }
            place => place,
        }
    }

    /// Plans a deferred norm.
    fn release(
        &mut self,
        held: usize,
        other: Option<usize>,
        relu: bool,
        shape: Shape,
    ) -> ValueLocation {
        let node = &self.network.nodes[held];
        let Op::Norm(norm) = &node.op else {
            unreachable!("norms are held")
        };
        let index = self
            .plan
            .norms
            .iter()
            .position(|n| n.running == norm.running);
        let kind = StepKind::Norm {
            norm: norm.clone(),
            index: index.expect("it was measured"),
            relu,
        };
        let input = self.groups(node.input);
        self.step(kind, input, other, shape, Form::Groups)
    }

    fn step(
        &mut self,
        kind: StepKind,
        input: usize,
        other: Option<usize>,
        shape: Shape,
        form: Form,
    ) -> ValueLocation {
        let output = self.plan.values.len();
        let trains = matches!(
            kind,
            StepKind::Dense { .. } | StepKind::Conv { .. } | StepKind::Norm { .. }
        );
        let trained = |value: usize| self.plan.values[value].trained;
        let trained = trains || trained(input) || other.is_some_and(trained);
        self.plan.values.push(PlannedValue {
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
        ValueLocation::At(match form {
            Form::Rows => [Some(output), None],
            Form::Groups => [None, Some(output)],
        })
    }

    /// Returns a value of the network as rows, converted if necessary.
    fn rows(&mut self, value: model::ValueId) -> usize {
        self.in_form(value, Form::Rows)
    }

    fn groups(&mut self, value: model::ValueId) -> usize {
        self.in_form(value, Form::Groups)
    }

    fn any(&mut self, value: model::ValueId) -> (usize, Form) {
        match self.places[value] {
            ValueLocation::At([Some(rows), _]) => (rows, Form::Rows),
            _ => (self.groups(value), Form::Groups),
        }
    }

    fn in_form(&mut self, value: model::ValueId, form: Form) -> usize {
        let shape = self.network.shape(value);
        if let ValueLocation::Held(held) = self.places[value] {
            self.places[value] = self.release(held, None, false, shape);
        }
        let ValueLocation::At(places) = self.places[value] else {
            unreachable!("released above")
        };
        let [rows, groups] = places;
        let (kind, from, there) = match form {
            Form::Rows => (StepKind::ToRows, groups, rows),
            Form::Groups => (StepKind::ToGroups, rows, groups),
        };
        if let Some(there) = there {
            return there;
        }
        let from = from.expect("a value is somewhere");
        let made = self.step(kind, from, None, shape, form);
        let ValueLocation::At(made) = made else {
            unreachable!("a step puts out a value")
        };
        let merged = [rows.or(made[0]), groups.or(made[1])];
        self.places[value] = ValueLocation::At(merged);
        merged[form as usize].expect("it was made")
    }

    /// Whether a `ReLU` is the only use of a node.
    fn relu_follows(&self, at: usize) -> bool {
        let follows = |node: &model::Node| node.input == at + 1 && node.op == Op::Relu;
        self.uses[at + 1] == 1 && self.network.nodes.iter().any(follows)
    }

    /// Whether a `ReLU` is fused into the step before it.
    fn is_fused(&self, at: usize) -> bool {
        let Some(before) = self.network.nodes[at].input.checked_sub(1) else {
            return false;
        };
        let op = &self.network.nodes[before].op;
        let fuses = matches!(op, Op::Dense(_) | Op::Conv(_) | Op::Norm(_) | Op::Add(_));
        fuses && self.relu_follows(before)
    }

    /// Whether a max-pool is the only use of the `ReLU` after a node.
    fn pool_follows_relu(&self, at: usize) -> bool {
        let nodes = &self.network.nodes;
        let relu = nodes.iter().position(|node| node.input == at + 1);
        relu.is_some_and(|relu| {
            let pools =
                |node: &model::Node| node.input == relu + 1 && matches!(node.op, Op::MaxPool(_));
            self.uses[relu + 1] == 1 && nodes.iter().any(pools)
        })
    }

    /// Whether a pool's input is the `ReLU` of a convolution, with no other use.
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

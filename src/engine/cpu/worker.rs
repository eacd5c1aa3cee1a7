//! One thread's work: a slice of examples forward and backward through the network.

use std::ops::Range;
use std::sync::Arc;

use pulp::Arch;

use super::conv::{Packed, WeightSums};
use super::lanes::{Buffer, Lanes, group_to_rows, groups, in_group, rows_to_group};
use super::norm::Statistics;
use super::plan::{Back, Kind, Outlet, Plan, Step};
use super::{dense, loss, relu};
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

    fn forward(&mut self, task: &Task<'_>) {
        let plan = Arc::clone(&self.plan);
        let rows = task.rows();
        for (value, buffer) in plan.values.iter().zip(&mut self.values).skip(1) {
            let groups = if value.fleeting { 1 } else { groups(rows) };
            buffer.reserve(groups * value.len());
        }
        for (norm, statistics) in plan.norms.iter().zip(&mut self.norms) {
            match task.mode {
                Mode::Running(running) => {
                    let (mean, variance) = running[norm.running.clone()].split_at(norm.channels);
                    statistics.set(mean, variance);
                }
                _ => statistics.begin(norm.channels),
            }
        }
        for run in &plan.forward {
            if run.whole {
                self.forward_rows(&plan.steps[run.steps.start], run.steps.start, task);
                continue;
            }
            for group in 0..groups(rows) {
                for at in run.steps.clone() {
                    self.forward_group(&plan.steps[at], at, group, task);
                }
            }
            for step in &plan.steps[run.steps.clone()] {
                if let (Kind::Statistics { index }, false) =
                    (&step.kind, matches!(task.mode, Mode::Running(_)))
                {
                    self.norms[*index].finish();
                }
            }
        }
    }

    /// A step on the whole slice.
    fn forward_rows(&mut self, step: &Step, at: usize, task: &Task<'_>) {
        let plan = Arc::clone(&self.plan);
        let rows = task.rows();
        let mut out = std::mem::take(&mut self.values[step.output]);
        let x = match step.input {
            0 => task.examples.rows(task.range.clone()),
            input => self.values[input].rows(rows * plan.values[input].len()),
        };
        let y = out.rows_mut(rows * plan.values[step.output].len());
        match &step.kind {
            Kind::Dense { dense, relu } => {
                let w = &task.params[dense.weight.clone()];
                let b = bias(dense, task.params);
                dense::forward(x, w, b, dense.outputs, *relu, y);
            }
            Kind::Relu => {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = if x < 0.0 { 0.0 } else { x };
                }
            }
            Kind::Dropout { node, .. } => {
                y.copy_from_slice(x);
                if let Some(mask) = mask(task, *node) {
                    multiply(y, mask);
                }
            }
            _ => unreachable!("step {at} works on groups"),
        }
        self.values[step.output] = out;
    }

    /// A step on one group.
    fn forward_group(&mut self, step: &Step, at: usize, group: usize, task: &Task<'_>) {
        let plan = Arc::clone(&self.plan);
        let arch = self.arch;
        let examples = in_group(task.rows(), group);
        let here = |value: usize| Place::of(&plan, value, group);
        if let Kind::Statistics { index } = step.kind {
            if !matches!(task.mode, Mode::Running(_)) {
                let x = here(step.input).read(&self.values);
                self.norms[index].add(arch, x, examples);
            }
            return;
        }
        let mut out = std::mem::take(&mut self.values[step.output]);
        let to = here(step.output);
        match &step.kind {
            Kind::ToRows => {
                let shape = plan.values[step.input].shape;
                let x = here(step.input).read(&self.values);
                group_to_rows(x, shape, rows_of_group(&mut out, shape, group, examples));
            }
            Kind::ToGroups => {
                let shape = plan.values[step.output].shape;
                let first = group * super::lanes::GROUP;
                let len = values(shape);
                let rows = match step.input {
                    0 => {
                        let start = task.range.start + first;
                        task.examples.rows(start..start + examples)
                    }
                    input => &self.values[input].rows((first + examples) * len)[first * len..],
                };
                rows_to_group(rows, shape, to.write(&mut out));
            }
            Kind::Conv {
                kernel,
                index,
                relu,
                ..
            } => {
                let x = here(step.input).read(&self.values);
                kernel.forward(arch, &mut self.packed[*index], x, *relu, to.write(&mut out));
            }
            Kind::Norm { norm, index, relu } => {
                let affine = (
                    &task.params[norm.scale.clone()],
                    &task.params[norm.shift.clone()],
                );
                let x = here(step.input).read(&self.values);
                let other = step.other.map(|other| here(other).read(&self.values));
                self.norms[*index].forward(arch, affine, x, other, *relu, to.write(&mut out));
            }
            Kind::Relu => {
                let x = here(step.input).read(&self.values);
                for (y, x) in to.write(&mut out).iter_mut().zip(x) {
                    for (y, &x) in y.0.iter_mut().zip(&x.0) {
                        *y = if x < 0.0 { 0.0 } else { x };
                    }
                }
            }
            Kind::MaxPool { window, .. } => {
                let x = here(step.input).read(&self.values);
                window.forward_max(arch, x, to.write(&mut out));
            }
            Kind::MeanPool(window) => {
                let x = here(step.input).read(&self.values);
                window.forward_mean(x, to.write(&mut out));
            }
            Kind::Add => {
                let x = here(step.input).read(&self.values);
                let other = here(step.other.unwrap_or(step.input)).read(&self.values);
                for ((y, x), other) in to.write(&mut out).iter_mut().zip(x).zip(other) {
                    for ((y, x), other) in y.0.iter_mut().zip(&x.0).zip(&other.0) {
                        *y = x + other;
                    }
                }
            }
            Kind::Pad(before) => {
                let [from, padded] = [step.input, step.output].map(|v| plan.values[v].shape);
                let x = here(step.input).read(&self.values);
                let y = to.write(&mut out);
                y.fill(Lanes::ZERO);
                for (inner, outer) in padded_rows(from, padded, *before) {
                    y[outer].copy_from_slice(&x[inner]);
                }
            }
            Kind::Dropout { node, .. } => {
                let y = to.write(&mut out);
                y.copy_from_slice(here(step.input).read(&self.values));
                if let Some(mask) = mask(task, *node) {
                    let shape = plan.values[step.output].shape;
                    let len = values(shape);
                    let factors = &mut self.masks[at];
                    factors.reserve(groups(task.rows()) * len);
                    let factors = factors.group_mut(group, len);
                    let first = group * super::lanes::GROUP * len;
                    rows_to_group(&mask[first..first + examples * len], shape, factors);
                    multiply_lanes(y, factors);
                }
            }
            Kind::Dense { .. } | Kind::Statistics { .. } => unreachable!("planned otherwise"),
        }
        self.values[step.output] = out;
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

    fn backward(&mut self, task: &Task<'_>, gradient: &mut Gradient) {
        let plan = Arc::clone(&self.plan);
        let rows = task.rows();
        for (&len, delta) in plan.slots.iter().zip(&mut self.deltas) {
            delta.reserve(groups(rows) * len);
        }
        for step in &plan.steps {
            if let Kind::Conv { kernel, index, .. } = &step.kind {
                kernel.begin(&mut self.sums[*index]);
            }
        }
        for norm in &mut self.norms {
            norm.begin_backward();
        }
        // The scores' gradient has the first buffer.
        let scores = self.deltas[0].rows_mut(self.score_delta.len());
        scores.copy_from_slice(&self.score_delta);
        for run in &plan.backward {
            if run.whole {
                for &back in &run.steps {
                    if let Back::Step(at) = back {
                        self.backward_rows(&plan.steps[at], task, gradient);
                    }
                }
                continue;
            }
            for group in 0..groups(rows) {
                for &back in &run.steps {
                    match back {
                        Back::Reduce(at) => self.reduce(&plan.steps[at], group),
                        Back::Step(at) => self.backward_group(&plan.steps[at], at, group, task),
                    }
                }
            }
            for &back in &run.steps {
                if let Back::Reduce(at) = back
                    && let Kind::Norm { norm, index, .. } = &plan.steps[at].kind
                {
                    let (add, out) = (gradient.begun, &mut gradient.values);
                    self.norms[*index].finish_backward(norm, task.params, add, out);
                }
            }
        }
        for step in &plan.steps {
            if let Kind::Conv { kernel, index, .. } = &step.kind {
                kernel.finish(&self.sums[*index], gradient.begun, &mut gradient.values);
            }
        }
        gradient.begun = true;
    }

    fn backward_rows(&mut self, step: &Step, task: &Task<'_>, gradient: &mut Gradient) {
        let plan = Arc::clone(&self.plan);
        let rows = task.rows();
        let len = |value: usize| rows * plan.values[value].len();
        let mut delta = std::mem::take(&mut self.deltas[step.delta]);
        let dy = delta.rows_mut(len(step.output));
        match &step.kind {
            Kind::Dense { dense, relu } => {
                if *relu {
                    let y = self.values[step.output].rows(len(step.output));
                    dense::backward_relu(y, dy);
                }
                let x = match step.input {
                    0 => task.examples.rows(task.range.clone()),
                    input => self.values[input].rows(len(input)),
                };
                let (dw, db) = weight_and_bias(&mut gradient.values, dense);
                dense::backward_params(x, dy, dense.outputs, gradient.begun, dw, db);
                if let Some(Outlet { slot, add }) = step.input_delta {
                    let dx = self.deltas[slot].rows_mut(len(step.input));
                    let w = &task.params[dense.weight.clone()];
                    dense::backward_input(dy, w, dense.outputs, add, dx);
                }
            }
            kind => {
                match kind {
                    Kind::Relu => {
                        let y = self.values[step.output].rows(len(step.output));
                        dense::backward_relu(y, dy);
                    }
                    Kind::Dropout { node, .. } => {
                        if let Some(mask) = mask(task, *node) {
                            multiply(dy, mask);
                        }
                    }
                    _ => unreachable!("planned as a step on groups"),
                }
                if let Some(Outlet { slot, add }) = step.input_delta
                    && slot != step.delta
                {
                    let dx = self.deltas[slot].rows_mut(len(step.input));
                    for (dx, dy) in dx.iter_mut().zip(dy) {
                        *dx = if add { *dx } else { 0.0 } + *dy;
                    }
                }
            }
        }
        self.deltas[step.delta] = delta;
    }

    /// The part of a batch norm's way back that looks at the whole slice.
    fn reduce(&mut self, step: &Step, group: usize) {
        let Kind::Norm { index, relu, .. } = &step.kind else {
            return;
        };
        let x = Place::of(&self.plan, step.input, group).read(&self.values);
        let to = Place::of(&self.plan, step.output, group);
        let y = relu.then(|| to.read(&self.values));
        let dy = self.deltas[step.delta].group_mut(group, to.len);
        self.norms[*index].reduce(self.arch, x, y, dy);
    }

    fn backward_group(&mut self, step: &Step, at: usize, group: usize, task: &Task<'_>) {
        let plan = Arc::clone(&self.plan);
        let arch = self.arch;
        let examples = in_group(task.rows(), group);
        let here = |value: usize| Place::of(&plan, value, group);
        let mut delta = std::mem::take(&mut self.deltas[step.delta]);
        let len = plan.values[step.output].len();
        match &step.kind {
            Kind::ToRows => {
                let shape = plan.values[step.input].shape;
                if let Some(Outlet { slot, add }) = step.input_delta {
                    let dy = rows_of_group(&mut delta, shape, group, examples);
                    let dx = self.deltas[slot].group_mut(group, values(shape));
                    if add {
                        let mut lanes = vec![Lanes::ZERO; dx.len()];
                        rows_to_group(dy, shape, &mut lanes);
                        add_lanes(dx, &lanes);
                    } else {
                        rows_to_group(dy, shape, dx);
                    }
                }
            }
            Kind::ToGroups => {
                let shape = plan.values[step.output].shape;
                if let Some(Outlet { slot, add }) = step.input_delta {
                    let dy = delta.group(group, len);
                    let dx = rows_of_group(&mut self.deltas[slot], shape, group, examples);
                    if add {
                        let mut rows = vec![0.0; dx.len()];
                        group_to_rows(dy, shape, &mut rows);
                        for (dx, row) in dx.iter_mut().zip(rows) {
                            *dx += row;
                        }
                    } else {
                        group_to_rows(dy, shape, dx);
                    }
                }
            }
            Kind::Conv {
                kernel,
                index,
                relu,
                relu_is_undone,
            } => {
                let dy = delta.group_mut(group, len);
                if *relu && !relu_is_undone {
                    let y = here(step.output).read(&self.values);
                    relu::backward_group(arch, y, dy);
                }
                if plan.values[step.input].fleeting {
                    let maker = plan.values[step.input].made_by;
                    self.forward_group(&plan.steps[maker], maker, group, task);
                }
                let x = here(step.input).read(&self.values);
                kernel.backward_params(arch, x, dy, &mut self.sums[*index]);
                if let Some(Outlet { slot, add }) = step.input_delta {
                    let dx = self.deltas[slot].group_mut(group, plan.values[step.input].len());
                    kernel.backward_input(arch, &mut self.packed[*index], dy, add, dx);
                }
            }
            Kind::Norm { index, .. } => {
                let x = here(step.input).read(&self.values);
                let norm = &self.norms[*index];
                if let Some(Outlet { slot, add }) = step.other_delta
                    && slot != step.delta
                {
                    let other = self.deltas[slot].group_mut(group, len);
                    pass_on(delta.group(group, len), add, other);
                }
                match step.input_delta {
                    Some(Outlet { slot, .. }) if slot == step.delta => {
                        norm.backward_in_place(arch, x, delta.group_mut(group, len), examples);
                    }
                    Some(Outlet { slot, add }) => {
                        let dx = self.deltas[slot].group_mut(group, len);
                        norm.backward(arch, x, delta.group(group, len), examples, add, dx);
                    }
                    None => {}
                }
            }
            Kind::MaxPool { window, relu } => {
                if let Some(Outlet { slot, add }) = step.input_delta {
                    let [x, y] = [step.input, step.output].map(|v| here(v).read(&self.values));
                    let dx = self.deltas[slot].group_mut(group, x.len());
                    window.backward_max(arch, [x, y], delta.group(group, len), *relu, add, dx);
                }
            }
            Kind::MeanPool(window) => {
                if let Some(Outlet { slot, add }) = step.input_delta {
                    let input = plan.values[step.input].len();
                    let dx = self.deltas[slot].group_mut(group, input);
                    window.backward_mean(delta.group(group, len), add, dx);
                }
            }
            Kind::Relu | Kind::Dropout { .. } | Kind::Add => {
                let dy = delta.group_mut(group, len);
                match &step.kind {
                    Kind::Relu => {
                        let y = here(step.output).read(&self.values);
                        relu::backward_group(arch, y, dy);
                    }
                    Kind::Dropout { node, .. } if mask(task, *node).is_some() => {
                        multiply_lanes(dy, self.masks[at].group(group, len));
                    }
                    _ => {}
                }
                for Outlet { slot, add } in
                    [step.other_delta, step.input_delta].into_iter().flatten()
                {
                    if slot != step.delta {
                        pass_on(dy, add, self.deltas[slot].group_mut(group, len));
                    } else if add {
                        // Both terms of the sum are one value.
                        dy.iter_mut()
                            .for_each(|dy| dy.0.iter_mut().for_each(|dy| *dy *= 2.0));
                    }
                }
            }
            Kind::Pad(before) => {
                if let Some(Outlet { slot, add }) = step.input_delta {
                    let [from, padded] = [step.input, step.output].map(|v| plan.values[v].shape);
                    let dy = delta.group(group, len);
                    let dx = self.deltas[slot].group_mut(group, values(from));
                    for (inner, outer) in padded_rows(from, padded, *before) {
                        pass_on(&dy[outer], add, &mut dx[inner]);
                    }
                }
            }
            Kind::Dense { .. } | Kind::Statistics { .. } => unreachable!("planned otherwise"),
        }
        self.deltas[step.delta] = delta;
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
    let first = group * super::lanes::GROUP;
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

//! The backward pass of a slice.

use std::sync::Arc;

use super::{
    Gradient, GroupLocation, SliceTask, Worker, add_lanes, mask, multiply, multiply_lanes,
    padded_rows, pass_on, rows_of_group, weight_and_bias,
};
use crate::engine::cpu::lanes::{Buffer, Lanes, group_to_rows, groups, in_group, rows_to_group};
use crate::engine::cpu::plan::{BackwardPart, GradientTarget, Step, StepKind};
use crate::engine::cpu::{dense, relu};
use crate::model::values;

impl Worker {
    pub(super) fn backward(&mut self, task: &SliceTask<'_>, gradient: &mut Gradient) {
        let plan = Arc::clone(&self.plan);
        let rows = task.rows();
        for (&len, delta) in plan.slots.iter().zip(&mut self.deltas) {
            delta.reserve(groups(rows) * len);
        }
        for step in &plan.steps {
            if let StepKind::Conv { kernel, index, .. } = &step.kind {
                kernel.begin(&mut self.sums[*index]);
            }
        }
        for norm in &mut self.norms {
            norm.begin_backward();
        }
        // The gradient of the scores goes into the first buffer.
        let scores = self.deltas[0].rows_mut(self.score_delta.len());
        scores.copy_from_slice(&self.score_delta);
        for run in &plan.backward {
            if run.whole {
                for &back in &run.steps {
                    if let BackwardPart::Step(at) = back {
                        self.backward_rows(&plan.steps[at], task, gradient);
                    }
                }
                continue;
            }
            for group in 0..groups(rows) {
                for &back in &run.steps {
                    match back {
                        BackwardPart::Reduce(at) => self.reduce(&plan.steps[at], group),
                        BackwardPart::Step(at) => {
                            self.backward_group(&plan.steps[at], at, group, task);
                        }
                    }
                }
            }
            for &back in &run.steps {
                if let BackwardPart::Reduce(at) = back
                    && let StepKind::Norm { norm, index, .. } = &plan.steps[at].kind
                {
                    let (add, out) = (gradient.begun, &mut gradient.values);
                    self.norms[*index].finish_backward(norm, task.params, add, out);
                }
            }
        }
        for step in &plan.steps {
            if let StepKind::Conv { kernel, index, .. } = &step.kind {
                kernel.finish(&self.sums[*index], gradient.begun, &mut gradient.values);
            }
        }
        gradient.begun = true;
    }

    fn backward_rows(&mut self, step: &Step, task: &SliceTask<'_>, gradient: &mut Gradient) {
        let plan = Arc::clone(&self.plan);
        let rows = task.rows();
        let len = |value: usize| rows * plan.values[value].len();
        let mut delta = std::mem::take(&mut self.deltas[step.delta]);
        let dy = delta.rows_mut(len(step.output));
        match &step.kind {
            StepKind::Dense { dense, relu } => {
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
                if let Some(GradientTarget { slot, add }) = step.input_delta {
                    let dx = self.deltas[slot].rows_mut(len(step.input));
                    let w = &task.params[dense.weight.clone()];
                    dense::backward_input(dy, w, dense.outputs, add, dx);
                }
            }
            kind => {
                match kind {
                    StepKind::Relu => {
                        let y = self.values[step.output].rows(len(step.output));
                        dense::backward_relu(y, dy);
                    }
                    StepKind::Dropout { node, .. } => {
                        if let Some(mask) = mask(task, *node) {
                            multiply(dy, mask);
                        }
                    }
                    _ => unreachable!("planned as a step on groups"),
                }
                if let Some(GradientTarget { slot, add }) = step.input_delta
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

    /// Runs the part of a batch norm's backward pass that needs the whole slice.
    fn reduce(&mut self, step: &Step, group: usize) {
        let StepKind::Norm { index, relu, .. } = &step.kind else {
            return;
        };
        let x = GroupLocation::locate(&self.plan, step.input, group).read(&self.values);
        let to = GroupLocation::locate(&self.plan, step.output, group);
        let y = relu.then(|| to.read(&self.values));
        let dy = self.deltas[step.delta].group_mut(group, to.len);
        self.norms[*index].reduce(self.arch, x, y, dy);
    }

    fn backward_group(&mut self, step: &Step, at: usize, group: usize, task: &SliceTask<'_>) {
        let plan = Arc::clone(&self.plan);
        let arch = self.arch;
        let examples = in_group(task.rows(), group);
        let here = |value: usize| GroupLocation::locate(&plan, value, group);
        let mut delta = std::mem::take(&mut self.deltas[step.delta]);
        let len = plan.values[step.output].len();
        match &step.kind {
            StepKind::ToRows | StepKind::ToGroups => {
                self.convert_back(step, &mut delta, group, examples);
            }
            StepKind::Conv {
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
                if let Some(GradientTarget { slot, add }) = step.input_delta {
                    let dx = self.deltas[slot].group_mut(group, plan.values[step.input].len());
                    kernel.backward_input(arch, &mut self.packed[*index], dy, add, dx);
                }
            }
            StepKind::Norm { index, .. } => {
                let x = here(step.input).read(&self.values);
                let norm = &self.norms[*index];
                if let Some(GradientTarget { slot, add }) = step.other_delta
                    && slot != step.delta
                {
                    let other = self.deltas[slot].group_mut(group, len);
                    pass_on(delta.group(group, len), add, other);
                }
                match step.input_delta {
                    Some(GradientTarget { slot, .. }) if slot == step.delta => {
                        norm.backward_in_place(arch, x, delta.group_mut(group, len), examples);
                    }
                    Some(GradientTarget { slot, add }) => {
                        let dx = self.deltas[slot].group_mut(group, len);
                        norm.backward(arch, x, delta.group(group, len), examples, add, dx);
                    }
                    None => {}
                }
            }
            StepKind::MaxPool { window, relu } => {
                if let Some(GradientTarget { slot, add }) = step.input_delta {
                    let [x, y] = [step.input, step.output].map(|v| here(v).read(&self.values));
                    let dx = self.deltas[slot].group_mut(group, x.len());
                    window.backward_max(arch, [x, y], delta.group(group, len), *relu, add, dx);
                }
            }
            StepKind::MeanPool(window) => {
                if let Some(GradientTarget { slot, add }) = step.input_delta {
                    let input = plan.values[step.input].len();
                    let dx = self.deltas[slot].group_mut(group, input);
                    window.backward_mean(delta.group(group, len), add, dx);
                }
            }
            StepKind::Relu | StepKind::Dropout { .. } | StepKind::Add => {
                self.backward_elementwise(step, at, &mut delta, group, task);
            }
            StepKind::Pad(before) => {
                if let Some(GradientTarget { slot, add }) = step.input_delta {
                    let [from, padded] = [step.input, step.output].map(|v| plan.values[v].shape);
                    let dy = delta.group(group, len);
                    let dx = self.deltas[slot].group_mut(group, values(from));
                    for (inner, outer) in padded_rows(from, padded, *before) {
                        pass_on(&dy[outer], add, &mut dx[inner]);
                    }
                }
            }
            StepKind::Dense { .. } | StepKind::Statistics { .. } => {
                unreachable!("planned otherwise")
            }
        }
        self.deltas[step.delta] = delta;
    }

    /// Converts a gradient between rows and groups.
    fn convert_back(&mut self, step: &Step, delta: &mut Buffer, group: usize, examples: usize) {
        let Some(GradientTarget { slot, add }) = step.input_delta else {
            return;
        };
        // The groups' shape: rows may have been flattened.
        let to_rows = matches!(step.kind, StepKind::ToRows);
        let groups = if to_rows { step.input } else { step.output };
        let shape = self.plan.values[groups].shape;
        let to = &mut self.deltas[slot];
        if to_rows {
            let dy = rows_of_group(delta, shape, group, examples);
            let dx = to.group_mut(group, values(shape));
            if add {
                let mut lanes = vec![Lanes::ZERO; dx.len()];
                rows_to_group(dy, shape, &mut lanes);
                add_lanes(dx, &lanes);
            } else {
                rows_to_group(dy, shape, dx);
            }
        } else {
            let dy = delta.group(group, values(shape));
            let dx = rows_of_group(to, shape, group, examples);
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

    /// Runs the backward pass of an elementwise step.
    fn backward_elementwise(
        &mut self,
        step: &Step,
        at: usize,
        delta: &mut Buffer,
        group: usize,
        task: &SliceTask<'_>,
    ) {
        let to = GroupLocation::locate(&self.plan, step.output, group);
        let dy = delta.group_mut(group, to.len);
        match &step.kind {
            StepKind::Relu => relu::backward_group(self.arch, to.read(&self.values), dy),
            StepKind::Dropout { node, .. } if mask(task, *node).is_some() => {
                multiply_lanes(dy, self.masks[at].group(group, to.len));
            }
            _ => {}
        }
        for GradientTarget { slot, add } in
            [step.other_delta, step.input_delta].into_iter().flatten()
        {
            if slot != step.delta {
                pass_on(dy, add, self.deltas[slot].group_mut(group, to.len));
            } else if add {
                // Both terms of the sum are one value.
                for dy in bytemuck::cast_slice_mut::<Lanes, f32>(dy) {
                    *dy *= 2.0;
                }
            }
        }
    }
}

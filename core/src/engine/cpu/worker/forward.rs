//! The forward pass of a slice.

use std::sync::Arc;

use super::{
    GroupLocation, Mode, SliceTask, Worker, bias, mask, multiply, multiply_lanes, padded_rows,
    rows_of_group,
};
use crate::engine::cpu::dense;
use crate::engine::cpu::lanes::{GROUP, Lanes, group_to_rows, groups, in_group, rows_to_group};
use crate::engine::cpu::plan::{Step, StepKind};
use crate::model::values;

impl Worker {
    pub(super) fn forward(&mut self, task: &SliceTask<'_>) {
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
                if let (StepKind::Statistics { index }, false) =
                    (&step.kind, matches!(task.mode, Mode::Running(_)))
                {
                    self.norms[*index].finish();
                }
            }
        }
    }

    /// Runs a step on the whole slice.
    fn forward_rows(&mut self, step: &Step, at: usize, task: &SliceTask<'_>) {
        let plan = Arc::clone(&self.plan);
        let rows = task.rows();
        let mut out = std::mem::take(&mut self.values[step.output]);
        let x = match step.input {
            0 => task.examples.rows(task.range.clone()),
            input => self.values[input].rows(rows * plan.values[input].len()),
        };
        let y = out.rows_mut(rows * plan.values[step.output].len());
        match &step.kind {
            StepKind::Dense { dense, relu } => {
                let w = &task.params[dense.weight.clone()];
                let b = bias(dense, task.params);
                dense::forward(x, w, b, dense.outputs, *relu, y);
            }
            StepKind::Relu => {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = if x < 0.0 { 0.0 } else { x };
                }
            }
            StepKind::Dropout { node, .. } => {
                y.copy_from_slice(x);
                if let Some(mask) = mask(task, *node) {
                    multiply(y, mask);
                }
            }
            _ => unreachable!("step {at} works on groups"),
        }
        self.values[step.output] = out;
    }

    /// Runs a step on one group.
    pub(super) fn forward_group(
        &mut self,
        step: &Step,
        at: usize,
        group: usize,
        task: &SliceTask<'_>,
    ) {
        let plan = Arc::clone(&self.plan);
        let arch = self.arch;
        let examples = in_group(task.rows(), group);
        let here = |value: usize| GroupLocation::locate(&plan, value, group);
        if let StepKind::Statistics { index } = step.kind {
            if !matches!(task.mode, Mode::Running(_)) {
                let x = here(step.input).read(&self.values);
                self.norms[index].add(arch, x, examples);
            }
            return;
        }
        let mut out = std::mem::take(&mut self.values[step.output]);
        let to = here(step.output);
        match &step.kind {
            StepKind::ToRows => {
                let shape = plan.values[step.input].shape;
                let x = here(step.input).read(&self.values);
                group_to_rows(x, shape, rows_of_group(&mut out, shape, group, examples));
            }
            StepKind::ToGroups => {
                let shape = plan.values[step.output].shape;
                let (first, len) = (group * GROUP, values(shape));
                let rows = match step.input {
                    0 => {
                        let start = task.range.start + first;
                        task.examples.rows(start..start + examples)
                    }
                    input => &self.values[input].rows((first + examples) * len)[first * len..],
                };
                rows_to_group(rows, shape, to.write(&mut out));
            }
            StepKind::Conv {
                kernel,
                index,
                relu,
                ..
            } => {
                let x = here(step.input).read(&self.values);
                kernel.forward(arch, &mut self.packed[*index], x, *relu, to.write(&mut out));
            }
            StepKind::Norm { norm, index, relu } => {
                let affine = (
                    &task.params[norm.scale.clone()],
                    &task.params[norm.shift.clone()],
                );
                let x = here(step.input).read(&self.values);
                let other = step.other.map(|other| here(other).read(&self.values));
                self.norms[*index].forward(arch, affine, x, other, *relu, to.write(&mut out));
            }
            StepKind::Relu => {
                let x = here(step.input).read(&self.values);
                for (y, x) in to.write(&mut out).iter_mut().zip(x) {
                    for (y, &x) in y.0.iter_mut().zip(&x.0) {
                        *y = if x < 0.0 { 0.0 } else { x };
                    }
                }
            }
            StepKind::MaxPool { window, .. } => {
                let x = here(step.input).read(&self.values);
                window.forward_max(arch, x, to.write(&mut out));
            }
            StepKind::MeanPool(window) => {
                window.forward_mean(here(step.input).read(&self.values), to.write(&mut out));
            }
            StepKind::Add => {
                let x = here(step.input).read(&self.values);
                let other = here(step.other.unwrap_or(step.input)).read(&self.values);
                for ((y, x), other) in to.write(&mut out).iter_mut().zip(x).zip(other) {
                    for ((y, x), other) in y.0.iter_mut().zip(&x.0).zip(&other.0) {
                        *y = x + other;
                    }
                }
            }
            StepKind::Pad(before) => {
                let [from, padded] = [step.input, step.output].map(|v| plan.values[v].shape);
                let x = here(step.input).read(&self.values);
                let y = to.write(&mut out);
                y.fill(Lanes::ZERO);
                for (inner, outer) in padded_rows(from, padded, *before) {
                    y[outer].copy_from_slice(&x[inner]);
                }
            }
            StepKind::Dropout { node, .. } => {
                let y = to.write(&mut out);
                y.copy_from_slice(here(step.input).read(&self.values));
                if let Some(mask) = mask(task, *node) {
                    let shape = plan.values[step.output].shape;
                    let factors = &mut self.masks[at];
                    factors.reserve(groups(task.rows()) * y.len());
                    let factors = factors.group_mut(group, y.len());
                    let first = group * GROUP * y.len();
                    rows_to_group(&mask[first..first + examples * y.len()], shape, factors);
                    multiply_lanes(y, factors);
                }
            }
            StepKind::Dense { .. } | StepKind::Statistics { .. } => {
                unreachable!("planned otherwise")
            }
        }
        self.values[step.output] = out;
    }
}

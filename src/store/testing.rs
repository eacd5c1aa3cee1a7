//! Records of a synthetic run in which every allocation is known, for tests.

mod recorded;

pub use recorded::RecordedRun;

use crate::layout::{ParamLayout, TensorKind};
use crate::lca::histogram_edges;
use crate::record::{
    Allocation, HeldOutAllocation, Losses, Motion, ParamTotals, RunEnd, RunHeader, StartRecord,
    Status, StepRecord, Trace,
};

/// The size of a run and what it records.
#[derive(Clone, Copy, Debug)]
pub struct RunShape {
    pub steps: u64,
    pub layers: usize,
    /// Per layer; each has 4 weights and a bias.
    pub units: usize,
    /// 0 for a run without allocations by class.
    pub classes: usize,
    pub held_out: bool,
    /// The number of steps between snapshots of the totals.
    pub snapshots: u64,
}

impl Default for RunShape {
    fn default() -> Self {
        Self {
            steps: 40,
            layers: 3,
            units: 4,
            classes: 3,
            held_out: true,
            snapshots: 10,
        }
    }
}

/// Deterministic pseudo-random numbers between −1 and 1.
#[expect(clippy::cast_precision_loss, reason = "noise")]
fn noise(places: [usize; 3]) -> f64 {
    let mut mixed = 0x9e37_79b9_7f4a_7c15_u64;
    for place in places {
        mixed = (mixed ^ place as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^= mixed >> 29;
    }
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn header(shape: RunShape) -> RunHeader {
    let mut layout = ParamLayout::default();
    for layer in 0..shape.layers {
        let tensors = [
            (TensorKind::Weight, vec![shape.units, 4]),
            (TensorKind::Bias, vec![shape.units]),
        ];
        layout.push_layer(&format!("fc{layer}"), "linear", shape.units, &tensors);
    }
    RunHeader {
        layout,
        classes: (0..shape.classes).map(|c| format!("class {c}")).collect(),
        histogram_edges: histogram_edges(),
        held_out_lca: shape.held_out,
        planned_steps: shape.steps,
        traced: vec![0, 1],
        record_params: 1,
        record_weights: 1,
        ..RunHeader::of_a_test()
    }
}

/// Generates records of known allocations.
pub struct RecordMaker {
    shape: RunShape,
    pub header: RunHeader,
    /// `[T][P]`: every allocation, in nats.
    pub lca: Vec<Vec<f64>>,
    loss: f64,
    totals: ParamTotals,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "few steps; arrays over all parameters are f32"
)]
impl RecordMaker {
    pub fn new(shape: RunShape) -> Self {
        let header = header(shape);
        let params = header.layout.params();
        let size = |p: usize| 1e-3 * [1.0, 0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015_625][p % 7];
        let lca = (0..shape.steps as usize).map(|t| {
            let a = |p: usize| f64::from((size(p) * (noise([t, p, 0]) - 0.05)) as f32);
            (0..params).map(a).collect()
        });
        Self {
            lca: lca.collect(),
            loss: 2.5,
            totals: ParamTotals::new(params),
            shape,
            header,
        }
    }

    pub fn start(&self) -> StartRecord {
        StartRecord {
            losses: self.losses(0),
            weights: Some(vec![0.5; self.header.layout.params()]),
        }
    }

    /// The end of a finished run.
    pub fn end(&self) -> RunEnd {
        RunEnd {
            status: Status::Finished,
            message: String::new(),
            totals: Some(Box::new(self.totals.clone())),
        }
    }

    /// The losses after `steps` steps.
    fn losses(&self, steps: usize) -> Losses {
        let class = |c: usize| self.loss + 0.1 * noise([steps, c, 1]);
        Losses {
            train: self.loss,
            train_accuracy: 0.9,
            test: self.loss + 0.1,
            test_accuracy: 0.8,
            validation: f64::NAN,
            validation_accuracy: f64::NAN,
            train_class: (0..self.shape.classes).map(class).collect(),
        }
    }

    /// The record of a step; call it for the steps in order.
    pub fn step(&mut self, step: u64) -> StepRecord {
        let t = step as usize;
        let lca = self.allocation(t);
        let (before, layers) = (self.loss, self.shape.layers);
        self.loss += lca.total + lca.residual;
        for (p, a) in self.lca[t].iter().enumerate() {
            self.totals.lca_sum[p] += a;
            self.totals.helped[p] += u32::from(*a < 0.0);
        }
        for layer in &self.header.layout.layers {
            for p in layer.range.clone().take(2) {
                self.totals.update_flips[p] += 1;
            }
            for p in layer.range.clone().take(1) {
                self.totals.gradient_flips[p] += 1;
            }
        }
        self.totals.steps = step + 1;
        let held_out = HeldOutAllocation {
            total: lca.layer.iter().map(|a| a / 2.0).sum(),
            residual: 1e-6,
            layer: (lca.layer.iter().enumerate())
                .map(|(l, a)| a / 2.0 + 1e-3 * noise([t, l, 2]))
                .collect(),
            tensor: lca.tensor.clone(),
            unit: lca.unit.clone(),
        };
        let params: Vec<f32> = self.lca[t].iter().map(|&a| a as f32).collect();
        StepRecord {
            step,
            epoch: step as f64 / 24.0,
            batch_loss: before,
            learning_rate: 0.05,
            seconds: (step + 1) as f64,
            gradient_evals: 2,
            segments: 2,
            loss_before: before,
            after: self.losses(t + 1),
            lca_held_out: self.shape.held_out.then_some(held_out),
            motion: Motion {
                update_flips: vec![2; layers],
                gradient_flips: vec![1; layers],
                ..Motion::zeros(layers)
            },
            trace: Trace {
                value: vec![0.5; 2],
                gradient: vec![-0.1; 2],
                lca: params[..2].to_vec(),
            },
            weights: Some(vec![0.5; params.len()]),
            lca_param: Some(params),
            totals: (step + 1)
                .is_multiple_of(self.shape.snapshots)
                .then(|| Box::new(self.totals.clone())),
            lca,
        }
    }

    fn allocation(&self, t: usize) -> Allocation {
        let layout = &self.header.layout;
        let edges = &self.header.histogram_edges;
        let bins = self.header.histogram_bins();
        let mut lca = Allocation {
            residual: 1e-6,
            layer_error: vec![1e-7; layout.layers.len()],
            unit: vec![0.0; layout.units()],
            tensor: vec![0.0; layout.tensors.len()],
            ..Allocation::default()
        };
        for layer in &layout.layers {
            let own = &self.lca[t][layer.range.clone()];
            let count = |holds: fn(f64) -> bool| own.iter().filter(|a| holds(**a)).count() as u64;
            lca.layer.push(own.iter().sum());
            lca.helped.push(count(|a| a < 0.0));
            lca.hurt.push(count(|a| a > 0.0));
            let mut counts = vec![0; bins];
            for a in own {
                counts[edges.partition_point(|edge| edge <= a) - 1] += 1;
            }
            lca.histogram.extend(counts);
        }
        layout.for_each_row(|row| {
            let sum: f64 = self.lca[t][row.range.clone()].iter().sum();
            lca.tensor[row.tensor] += sum;
            lca.unit[row.unit] += sum as f32;
        });
        lca.total = lca.layer.iter().sum();
        // The first class gets the remainder.
        let share = |c: usize, l: usize| noise([t, c, 3 + l]) + 0.2;
        for c in 0..self.shape.classes {
            lca.class_layer
                .extend((lca.layer.iter().enumerate()).map(|(l, a)| {
                    let others: f64 = (1..self.shape.classes).map(|c| share(c, l)).sum();
                    (a * if c == 0 { 1.0 - others } else { share(c, l) }) as f32
                }));
        }
        lca
    }
}

//! The complete record of one step, as it goes to the run file.
//!
//! Symbols: L layers, K tensors, U units, C classes, B histogram bins, P parameters, R traced
//! parameters. Losses and allocations are in nats.

use serde::{Deserialize, Serialize};

use super::header::Status;

/// Losses at one parameter vector. Those not evaluated are NaN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Losses {
    /// Mean cross-entropy of the examples whose loss is allocated.
    pub train: f64,
    /// Fraction from 0 to 1.
    pub train_accuracy: f64,
    pub test: f64,
    pub test_accuracy: f64,
    pub validation: f64,
    pub validation_accuracy: f64,
    /// `[C]`: mean training cross-entropy of each class's examples.
    pub train_class: Vec<f64>,
}

/// The run's first row: the losses at `θ_0`, and `θ_0` itself if weights are recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct StartRecord {
    pub losses: Losses,
    /// `[P]`
    pub weights: Option<Vec<f32>>,
}

/// One step's allocation of the training loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allocation {
    /// `Σ_i A_i`
    pub total: f64,
    /// Actual change of the loss minus `total`.
    pub residual: f64,
    /// `[L]`
    pub layer: Vec<f64>,
    /// `[L]`: estimated integration error.
    pub layer_error: Vec<f64>,
    /// `[K]`
    pub tensor: Vec<f64>,
    /// `[U]`
    pub unit: Vec<f32>,
    /// `[C, L]`, or empty if not measured.
    pub class_layer: Vec<f32>,
    /// `[L]`: parameters with A < 0.
    pub helped: Vec<u64>,
    /// `[L]`: parameters with A > 0.
    pub hurt: Vec<u64>,
    /// `[L, B]`: counts of non-zero allocations.
    pub histogram: Vec<u32>,
}

/// One step's allocation of the held-out loss, along the same path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeldOutAllocation {
    pub total: f64,
    pub residual: f64,
    /// `[L]`
    pub layer: Vec<f64>,
    /// `[K]`
    pub tensor: Vec<f64>,
    /// `[U]`
    pub unit: Vec<f32>,
}

/// The movement of each layer's parameters; all `[L]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Motion {
    /// L2 norm of Δ.
    pub update_norm: Vec<f64>,
    /// L2 norm of the full gradient at the start of the step.
    pub gradient_norm: Vec<f64>,
    /// Between Δ and the negative full gradient; NaN if one of them is 0.
    pub cosine: Vec<f64>,
    /// Parameters whose Δ has the opposite sign of the last step's.
    pub update_flips: Vec<u64>,
    /// Parameters whose full gradient changed sign over the step.
    pub gradient_flips: Vec<u64>,
    /// Parameters whose full gradient rose over this step and fell over the last, or vice versa.
    pub gradient_turns: Vec<u64>,
    /// Parameters whose A rose in this step and fell in the last, or vice versa.
    pub lca_turns: Vec<u64>,
}

impl Motion {
    #[must_use]
    pub fn zeros(layers: usize) -> Self {
        Self {
            update_norm: vec![0.0; layers],
            gradient_norm: vec![0.0; layers],
            cosine: vec![0.0; layers],
            update_flips: vec![0; layers],
            gradient_flips: vec![0; layers],
            gradient_turns: vec![0; layers],
            lca_turns: vec![0; layers],
        }
    }
}

/// The traced parameters, all `[R]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Parameter values at the start of the step.
    pub value: Vec<f32>,
    /// Full training gradient at the start of the step.
    pub gradient: Vec<f32>,
    pub lca: Vec<f32>,
}

/// Running totals of all or some parameters, up to and including a step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ParamTotals {
    /// Number of steps that the totals cover.
    pub steps: u64,
    /// `[P]`: Σ A.
    pub lca_sum: Vec<f64>,
    /// `[P]`: steps with A < 0.
    pub helped: Vec<u32>,
    /// `[P]`: steps whose Δ had the opposite sign of the step before.
    pub update_flips: Vec<u32>,
    /// `[P]`: steps over which the full gradient changed sign.
    pub gradient_flips: Vec<u32>,
}

impl ParamTotals {
    /// Bytes of a parameter's totals.
    pub const EACH: usize = size_of::<f64>() + 3 * size_of::<u32>();

    #[must_use]
    pub fn new(params: usize) -> Self {
        Self {
            steps: 0,
            lca_sum: vec![0.0; params],
            helped: vec![0; params],
            update_flips: vec![0; params],
            gradient_flips: vec![0; params],
        }
    }
}

/// The step from `θ_t` to `θ_{t+1}`.
#[derive(Clone, Debug, PartialEq)]
pub struct StepRecord {
    /// t, from 0.
    pub step: u64,
    /// Passes over the training set before the step, as a fraction.
    pub epoch: f64,
    /// Mean cross-entropy of the mini-batch at `θ_t`.
    pub batch_loss: f64,
    pub learning_rate: f64,
    /// Time from the start of the run to the end of the step.
    pub seconds: f64,
    /// Number of full gradients evaluated.
    pub gradient_evals: u64,
    /// S of the accepted rule.
    pub segments: u64,
    /// Training loss at `θ_t`.
    pub loss_before: f64,
    /// Losses at `θ_{t+1}`.
    pub after: Losses,
    pub lca: Allocation,
    pub lca_held_out: Option<HeldOutAllocation>,
    pub motion: Motion,
    pub trace: Trace,
    /// `[P]`: every allocation, if this step is recorded in full.
    pub lca_param: Option<Vec<f32>>,
    /// `[P]`: `θ_{t+1}`, if it is recorded.
    pub weights: Option<Vec<f32>>,
    /// Running totals including this step, if a snapshot of them is recorded.
    pub totals: Option<Box<ParamTotals>>,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunEnd {
    pub status: Status,
    /// Reason for a failure; empty otherwise.
    pub message: String,
    /// Running totals at the end, unless the last step already contained them.
    pub totals: Option<Box<ParamTotals>>,
}

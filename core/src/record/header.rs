//! Description of a run, known before its first step.

use serde::{Deserialize, Serialize};

use super::checkpoint::SavedShape;
use crate::layout::ParamLayout;

/// The run's description. Everything here is in the run file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// For example `lcascope 0.1.0`.
    pub producer: String,
    /// Start of the run: RFC 3339, UTC.
    pub created: String,
    /// The resolved configuration as TOML: enough to repeat the run.
    pub config: String,
    pub seed: u64,
    /// Description of the engine and the hardware, for display.
    pub device: String,
    /// Name of the data set.
    pub dataset: String,
    /// Hex SHA-256 of the data set's bytes.
    pub dataset_sha256: String,
    /// Name of the integrator.
    pub integrator: String,
    /// Examples evaluated together.
    pub slice_size: u64,
    /// Processes among which the evaluations were divided; 0 is 1.
    #[serde(default)]
    pub ranks: u64,
    /// Name of the network.
    pub network: String,
    /// Planned number of steps; 0 if it is unknown, as in a training in another program.
    pub planned_steps: u64,
    /// Optimizer steps in an epoch; 0 if unknown.
    pub steps_per_epoch: u64,
    /// Optimizer steps that a step covers, along their chord; 0 is 1.
    #[serde(default)]
    pub lca_every: u64,
    /// Snapshots of every parameter's running totals.
    #[serde(default)]
    pub snapshots: u64,
    /// Largest accepted residual of a step, in nats.
    pub tolerance: f64,
    pub layout: ParamLayout,
    /// Axes of one example as the network receives it, for images channels, height and width; empty if unknown.
    pub input_shape: Vec<usize>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// `None` if unknown.
    pub data: Option<DataFacts>,
    /// Rows of the source data set used for training; `test_index` are those held out, `validation_index` those set
    /// aside.
    pub train_index: Vec<u32>,
    /// The rows of `train_index` whose loss is allocated; empty if all are.
    pub lca_index: Vec<u32>,
    pub test_index: Vec<u32>,
    pub validation_index: Vec<u32>,
    /// Flat indices of the parameters traced at every step, ascending.
    pub traced: Vec<u64>,
    /// `[B + 1]`: edges of the histogram of allocations, in nats.
    pub histogram_edges: Vec<f64>,
    /// Names of the files with the points of a given path, in order; for a straight line, those of its ends. Empty if
    /// the run was trained.
    #[serde(default)]
    pub trajectory_files: Vec<String>,
    /// Whether the held-out loss is allocated too.
    pub held_out_lca: bool,
    /// Interval in steps at which all weights are recorded; 0 for never.
    pub record_weights: u64,
    /// Interval in steps at which all allocations are recorded; 0 for never.
    pub record_params: u64,
    /// Layout of a checkpoint; empty if none is made, and in a header read from a file.
    #[serde(skip)]
    pub checkpoint: Vec<SavedShape>,
}

impl RunHeader {
    /// The header of a run of a test, without layers.
    #[must_use]
    pub fn of_a_test() -> Self {
        Self {
            producer: "lcascope test".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            device: "cpu".to_owned(),
            dataset: "MNIST sample".to_owned(),
            integrator: "adaptive".to_owned(),
            slice_size: 1,
            network: "mnist-fc".to_owned(),
            steps_per_epoch: 24,
            tolerance: 1e-3,
            ..Self::default()
        }
    }

    /// Optimizer steps that a step covers, if it covers several.
    #[must_use]
    pub fn chord(&self) -> Option<u64> {
        Some(self.lca_every).filter(|&every| every > 1)
    }

    /// `B`: number of bins of the histogram of allocations.
    #[must_use]
    pub fn histogram_bins(&self) -> usize {
        self.histogram_edges.len().saturating_sub(1)
    }

    /// Number of training examples whose loss is allocated; `None` if it is all of them.
    #[must_use]
    pub fn allocated_examples(&self) -> Option<usize> {
        Some(self.lca_index.len()).filter(|&n| n > 0)
    }
}

/// Statistics of the examples that a run uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataFacts {
    /// Least, greatest and root mean square of the training examples' inputs.
    pub inputs: [f64; 3],
    /// `[C]`: training examples of each class.
    pub train: Vec<u64>,
    /// `[C]`: held-out examples of each class.
    pub held_out: Vec<u64>,
}

/// The state of a run, with its number in the run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    Running,
    Finished,
    /// Stopped by the user before its last step.
    Stopped,
    Failed,
}

impl Status {
    const ALL: [Self; 4] = [Self::Running, Self::Finished, Self::Stopped, Self::Failed];

    /// Returns the number stored in `state/status`.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Running => 0,
            Self::Finished => 1,
            Self::Stopped => 2,
            Self::Failed => 3,
        }
    }

    /// Returns the status with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Returns a one-word name for display.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

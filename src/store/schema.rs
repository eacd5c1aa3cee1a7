//! The names of the run format, version 1, as tables: one row for each dataset.
//!
//! `docs/run-format.md` is the same for people. A new per-step number is one row here and one field of [`StepRecord`];
//! for the timeline and the pyramid it also needs a row in `summary_fields!`.

use std::slice::from_ref;

use crate::record::{HeldOutAllocation, Losses, RunHeader, StepRecord};

/// Root attribute `format`.
pub const FORMAT: &str = "lcascope.run";
/// Root attribute `version`. It stays the same when a dataset is added, and is raised when one is renamed.
pub const VERSION: u64 = 1;
/// Root attribute `units`.
pub const UNITS: &str = "losses and loss change allocations are in nats (mean cross-entropy; \
    of the training loss over data/train_index or, where it is there, data/lca_index); times in \
    seconds; counts in parameters";

/// The dataset with the names of the files that hold the points of a path from elsewhere.
pub const TRAJECTORY_FILES: &str = "course/file";

/// The axes of a row after the step axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    None,
    Layers,
    Tensors,
    Units,
    Classes,
    ClassLayers,
    LayerBins,
    Traced,
}

impl Axes {
    /// The lengths of the axes in a run.
    pub fn lengths(self, header: &RunHeader) -> Vec<usize> {
        let layout = &header.layout;
        let layers = layout.layers.len();
        match self {
            Self::None => vec![],
            Self::Layers => vec![layers],
            Self::Tensors => vec![layout.tensors.len()],
            Self::Units => vec![layout.units()],
            Self::Classes => vec![header.classes.len()],
            Self::ClassLayers => vec![header.classes.len(), layers],
            Self::LayerBins => vec![layers, header.histogram_bins()],
            Self::Traced => vec![header.traced.len()],
        }
    }
}

/// The position of a dataset's row in a record. A row that is empty although its axes are not was not measured, and is
/// written as NaN.
pub enum RowGetter<R> {
    F64(fn(&R) -> &[f64]),
    F32(fn(&R) -> &[f32]),
    U64(fn(&R) -> &[u64]),
    U32(fn(&R) -> &[u32]),
}

/// A dataset with one row for each record.
pub struct DatasetColumn<R> {
    pub path: &'static str,
    pub axes: Axes,
    pub row: RowGetter<R>,
    pub unit: &'static str,
    pub description: &'static str,
}

impl<R> DatasetColumn<R> {
    /// Bytes of a row.
    fn row_bytes(&self, header: &RunHeader) -> u64 {
        let width = match self.row {
            RowGetter::F64(_) | RowGetter::U64(_) => 8,
            RowGetter::F32(_) | RowGetter::U32(_) => 4,
        };
        let numbers: usize = self.axes.lengths(header).iter().product();
        numbers as u64 * width
    }
}

/// Returns the bytes of a step's rows, apart from arrays over all parameters and from the pyramid.
#[must_use]
pub fn bytes_per_step(header: &RunHeader) -> u64 {
    fn sum<R>(columns: &[DatasetColumn<R>], header: &RunHeader) -> u64 {
        columns.iter().map(|column| column.row_bytes(header)).sum()
    }
    let held_out = if header.held_out_lca {
        sum(HELD_OUT, header)
    } else {
        0
    };
    sum(LOSSES, header) + sum(STEPS, header) + held_out
}

const fn column<R>(
    path: &'static str,
    axes: Axes,
    row: RowGetter<R>,
    unit: &'static str,
    description: &'static str,
) -> DatasetColumn<R> {
    DatasetColumn {
        path,
        axes,
        row,
        unit,
        description,
    }
}

/// Rows 0 … T: the losses at `θ_t`.
pub const LOSSES: &[DatasetColumn<Losses>] = &[
    column(
        "loss/train",
        Axes::None,
        RowGetter::F64(|l| from_ref(&l.train)),
        "nats",
        "mean cross-entropy of the examples whose loss is allocated at step t's start; row T is the end",
    ),
    column(
        "loss/test",
        Axes::None,
        RowGetter::F64(|l| from_ref(&l.test)),
        "nats",
        "the same of the held-out set; NaN where not evaluated",
    ),
    column(
        "loss/validation",
        Axes::None,
        RowGetter::F64(|l| from_ref(&l.validation)),
        "nats",
        "the same of the examples set aside, at the ends of epochs; NaN elsewhere",
    ),
    column(
        "loss/train_accuracy",
        Axes::None,
        RowGetter::F64(|l| from_ref(&l.train_accuracy)),
        "1",
        "share of the examples whose loss is allocated that are classified right",
    ),
    column(
        "loss/test_accuracy",
        Axes::None,
        RowGetter::F64(|l| from_ref(&l.test_accuracy)),
        "1",
        "the same of the held-out set, batch norms using running averages; NaN where not evaluated",
    ),
    column(
        "loss/validation_accuracy",
        Axes::None,
        RowGetter::F64(|l| from_ref(&l.validation_accuracy)),
        "1",
        "the same of the examples set aside, batch norms using running averages; NaN where not evaluated",
    ),
    column(
        "loss/train_class",
        Axes::Classes,
        RowGetter::F64(|l| &l.train_class),
        "nats",
        "mean cross-entropy of each class's examples whose loss is allocated",
    ),
];

/// Rows 0 … T−1: the step from `θ_t` to `θ_{t+1}`.
pub const STEPS: &[DatasetColumn<StepRecord>] = &[
    column(
        "step/epoch",
        Axes::None,
        RowGetter::F64(|r| from_ref(&r.epoch)),
        "epochs",
        "passes over the training set before the step",
    ),
    column(
        "step/batch_loss",
        Axes::None,
        RowGetter::F64(|r| from_ref(&r.batch_loss)),
        "nats",
        "mean cross-entropy of the mini-batch",
    ),
    column(
        "step/learning_rate",
        Axes::None,
        RowGetter::F64(|r| from_ref(&r.learning_rate)),
        "1",
        "learning rate after the schedule",
    ),
    column(
        "step/seconds",
        Axes::None,
        RowGetter::F64(|r| from_ref(&r.seconds)),
        "seconds",
        "since the run began, when the step was done; monotonic",
    ),
    column(
        "step/gradient_evals",
        Axes::None,
        RowGetter::U64(|r| from_ref(&r.gradient_evals)),
        "gradients",
        "gradients of the whole training loss spent; the one at the first step's start is not counted",
    ),
    column(
        "step/segments",
        Axes::None,
        RowGetter::U64(|r| from_ref(&r.segments)),
        "segments",
        "S of the accepted rule: 0 first-order, 1 trapezoid, 2 Simpson, 4 and more composite",
    ),
    column(
        "lca/total",
        Axes::None,
        RowGetter::F64(|r| from_ref(&r.lca.total)),
        "nats",
        "sum of all parameters' allocations",
    ),
    column(
        "lca/residual",
        Axes::None,
        RowGetter::F64(|r| from_ref(&r.lca.residual)),
        "nats",
        "(loss[t+1] - loss[t]) - total",
    ),
    column(
        "lca/layer",
        Axes::Layers,
        RowGetter::F64(|r| &r.lca.layer),
        "nats",
        "allocation by layer: negative helps, positive hurts",
    ),
    column(
        "lca/layer_error",
        Axes::Layers,
        RowGetter::F64(|r| &r.lca.layer_error),
        "nats",
        "estimated integration error by layer",
    ),
    column(
        "lca/tensor",
        Axes::Tensors,
        RowGetter::F64(|r| &r.lca.tensor),
        "nats",
        "allocation by tensor",
    ),
    column(
        "lca/unit",
        Axes::Units,
        RowGetter::F32(|r| &r.lca.unit),
        "nats",
        "allocation by neuron or channel: its incoming weights and its bias",
    ),
    column(
        "lca/class_layer",
        Axes::ClassLayers,
        RowGetter::F32(|r| &r.lca.class_layer),
        "nats",
        "allocation of (n_c/N) L_c by class and layer: sums over classes to lca/layer; NaN where not measured (--by-class, --class-every)",
    ),
    column(
        "lca/helped",
        Axes::Layers,
        RowGetter::U64(|r| &r.lca.helped),
        "parameters",
        "parameters with A < 0",
    ),
    column(
        "lca/hurt",
        Axes::Layers,
        RowGetter::U64(|r| &r.lca.hurt),
        "parameters",
        "parameters with A > 0",
    ),
    column(
        "lca/histogram",
        Axes::LayerBins,
        RowGetter::U32(|r| &r.lca.histogram),
        "parameters",
        "counts of non-zero allocations between lca/histogram_edges",
    ),
    column(
        "motion/update_norm",
        Axes::Layers,
        RowGetter::F64(|r| &r.motion.update_norm),
        "1",
        "L2 norm of the step's movement",
    ),
    column(
        "motion/gradient_norm",
        Axes::Layers,
        RowGetter::F64(|r| &r.motion.gradient_norm),
        "nats",
        "L2 norm of the full gradient at the step's start, per unit of parameter",
    ),
    column(
        "motion/cosine",
        Axes::Layers,
        RowGetter::F64(|r| &r.motion.cosine),
        "1",
        "cosine of the movement with the negative full gradient; NaN where one is 0",
    ),
    column(
        "motion/update_flips",
        Axes::Layers,
        RowGetter::U64(|r| &r.motion.update_flips),
        "parameters",
        "parameters whose movement has the opposite sign of the last step's",
    ),
    column(
        "motion/gradient_flips",
        Axes::Layers,
        RowGetter::U64(|r| &r.motion.gradient_flips),
        "parameters",
        "parameters whose full gradient changed sign over the step",
    ),
    column(
        "motion/gradient_turns",
        Axes::Layers,
        RowGetter::U64(|r| &r.motion.gradient_turns),
        "parameters",
        "parameters whose full gradient rose over this step and fell over the last, or the other way round",
    ),
    column(
        "motion/lca_turns",
        Axes::Layers,
        RowGetter::U64(|r| &r.motion.lca_turns),
        "parameters",
        "parameters whose A rose in this step and fell in the last, or the other way round",
    ),
    column(
        "trace/value",
        Axes::Traced,
        RowGetter::F32(|r| &r.trace.value),
        "1",
        "traced parameters at the step's start",
    ),
    column(
        "trace/gradient",
        Axes::Traced,
        RowGetter::F32(|r| &r.trace.gradient),
        "nats",
        "their full gradient at the step's start, per unit of parameter",
    ),
    column(
        "trace/lca",
        Axes::Traced,
        RowGetter::F32(|r| &r.trace.lca),
        "nats",
        "their allocation in the step",
    ),
];

/// Rows 0 … T−1 for the held-out loss, if it is allocated.
pub const HELD_OUT: &[DatasetColumn<HeldOutAllocation>] = &[
    column(
        "lca_test/total",
        Axes::None,
        RowGetter::F64(|a| from_ref(&a.total)),
        "nats",
        "as lca/total, of the held-out loss",
    ),
    column(
        "lca_test/residual",
        Axes::None,
        RowGetter::F64(|a| from_ref(&a.residual)),
        "nats",
        "as lca/residual, of the held-out loss",
    ),
    column(
        "lca_test/layer",
        Axes::Layers,
        RowGetter::F64(|a| &a.layer),
        "nats",
        "as lca/layer, of the held-out loss",
    ),
    column(
        "lca_test/tensor",
        Axes::Tensors,
        RowGetter::F64(|a| &a.tensor),
        "nats",
        "as lca/tensor, of the held-out loss",
    ),
    column(
        "lca_test/unit",
        Axes::Units,
        RowGetter::F32(|a| &a.unit),
        "nats",
        "as lca/unit, of the held-out loss",
    ),
];

/// Per-step datasets missing in files from older programs, which are read, checked and repaired without them.
const ADDED: &[&str] = &["motion/gradient_turns"];

/// The per-step datasets that a file must have; `has` tells which exist.
pub fn steps_of(
    has: impl Fn(&str) -> bool,
) -> impl Iterator<Item = &'static DatasetColumn<StepRecord>> {
    let missing = move |path| ADDED.contains(&path) && !has(path);
    STEPS.iter().filter(move |column| !missing(column.path))
}

/// The axes of a per-step dataset after the first.
pub fn axes(path: &str) -> Option<Axes> {
    let losses = LOSSES.iter().map(|column| (column.path, column.axes));
    let steps = STEPS.iter().map(|column| (column.path, column.axes));
    let held_out = HELD_OUT.iter().map(|column| (column.path, column.axes));
    (losses.chain(steps).chain(held_out))
        .find(|(name, _)| *name == path)
        .map(|(_, axes)| axes)
}

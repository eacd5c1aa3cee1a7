//! Synthetic runs of any length, without a network: every step closes, and the numbers mean nothing else. Shared by
//! `examples/long_run.rs`, the benchmarks and the tests of long runs.

use std::path::Path;

use lcascope::layout::{ParamLayout, TensorKind};
use lcascope::record::{
    Allocation, Losses, Motion, RunEnd, RunHeader, StartRecord, Status, StepRecord, Trace,
};
use lcascope::store::{RunWriter, StoreError, WriteOptions};

/// Size and contents of a synthetic run.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub steps: u64,
    pub layers: usize,
    /// Parameters of each layer.
    pub layer_params: usize,
    /// Records every parameter's allocation, or weight, in every step.
    pub params: bool,
    pub weights: bool,
}

/// Steps between two commits.
const COMMIT: u64 = 512;

pub fn header(shape: Shape) -> RunHeader {
    let mut layout = ParamLayout::default();
    for layer in 0..shape.layers {
        let tensors = [(TensorKind::Weight, vec![2, shape.layer_params / 2])];
        layout.push_layer(&format!("layer{layer}"), "linear", 2, &tensors);
    }
    RunHeader {
        producer: "synthetic".to_owned(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        device: "none".to_owned(),
        dataset: "nothing".to_owned(),
        integrator: "adaptive".to_owned(),
        slice_size: 1,
        network: "synthetic".to_owned(),
        planned_steps: shape.steps,
        steps_per_epoch: 1000,
        tolerance: 1e-3,
        layout,
        // One bin per side: otherwise the histogram would be most of the file.
        histogram_edges: vec![f64::NEG_INFINITY, 0.0, f64::INFINITY],
        record_params: shape.params.into(),
        record_weights: shape.weights.into(),
        ..RunHeader::default()
    }
}

/// A stream of numbers around 0, similar to real allocations in size and noise.
struct Noise(u64);

impl Noise {
    #[expect(clippy::cast_precision_loss, reason = "noise")]
    fn next(&mut self) -> f64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let size = 2.0_f64.powi(-20 - i32::from((self.0 & 7) as u8));
        ((self.0 >> 11) as f64 / (1_u64 << 53) as f64 - 0.5) * size
    }
}

/// Generates the steps of a run one after another.
pub struct Steps {
    header: RunHeader,
    noise: Noise,
    loss: f64,
    next: u64,
}

impl Steps {
    pub fn new(header: &RunHeader) -> Self {
        Self {
            header: header.clone(),
            noise: Noise(0x9e37_79b9_7f4a_7c15),
            loss: 2.5,
            next: 0,
        }
    }

    pub fn start(&mut self) -> StartRecord {
        StartRecord {
            losses: losses(self.loss),
            weights: (self.header.record_weights > 0).then(|| self.params()),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "arrays over all parameters are f32"
    )]
    fn params(&mut self) -> Vec<f32> {
        let params = 0..self.header.layout.params();
        params.map(|_| self.noise.next() as f32).collect()
    }

    /// Returns the next step: allocations by layer add up to the change of the loss, except for the residual.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
    #[expect(clippy::cast_possible_truncation, reason = "units are f32")]
    pub fn step(&mut self) -> StepRecord {
        let (step, layers) = (self.next, self.header.layout.layers.len());
        let layer: Vec<f64> = (0..layers)
            .map(|l| self.noise.next() - 2e-8 * (1 + l % 3) as f64)
            .collect();
        let total: f64 = layer.iter().sum();
        // An occasional spike, which no zoomed-out chart may hide.
        let residual = if step % 50_021 == 50_020 { 2e-3 } else { 1e-9 };
        let before = self.loss;
        self.loss += total + residual;
        self.next += 1;
        StepRecord {
            step,
            epoch: step as f64 / 1000.0,
            batch_loss: before,
            learning_rate: 0.1,
            seconds: (step + 1) as f64 * 1e-3,
            gradient_evals: 2,
            segments: 2,
            loss_before: before,
            after: losses(self.loss),
            lca: Allocation {
                total,
                residual: (self.loss - before) - total,
                unit: layer.iter().flat_map(|&a| [a as f32, 0.0]).collect(),
                tensor: layer.clone(),
                layer,
                layer_error: vec![1e-10; layers],
                class_layer: Vec::new(),
                helped: vec![1; layers],
                hurt: vec![1; layers],
                histogram: vec![1; 2 * layers],
            },
            lca_held_out: None,
            motion: Motion::zeros(layers),
            trace: Trace::default(),
            lca_param: (self.header.record_params > 0).then(|| self.params()),
            weights: (self.header.record_weights > 0).then(|| self.params()),
            totals: None,
        }
    }
}

fn losses(loss: f64) -> Losses {
    Losses {
        train: loss,
        train_accuracy: 0.5,
        test: f64::NAN,
        test_accuracy: f64::NAN,
        validation: f64::NAN,
        validation_accuracy: f64::NAN,
        train_class: Vec::new(),
    }
}

/// Writes a complete run of this shape.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, shape: Shape, options: WriteOptions) -> Result<(), StoreError> {
    let header = header(shape);
    let mut steps = Steps::new(&header);
    let mut writer = RunWriter::create(path, &header, options)?;
    writer.start(&steps.start())?;
    for step in 0..shape.steps {
        writer.step(&steps.step())?;
        if step % COMMIT == COMMIT - 1 {
            writer.commit()?;
        }
    }
    writer.finish(&RunEnd {
        status: Status::Finished,
        message: String::new(),
        totals: None,
    })
}

//! An engine for any model that candle can differentiate.
//!
//! A model is a function from parameters and a batch of examples to losses. Its parameters are described by a
//! [`ParamLayout`]; its examples are two tensors of the user's choice. With this engine a
//! [`Trainer`](crate::train::Trainer) allocates the model's loss change as it does for networks of layers.
//! `examples/custom_model.rs` does so for a small transformer.
//!
//! ```
//! use candle_core::{Device as CandleDevice, Tensor};
//! use lcascope_core::engine::candle::{Batch, CustomData, CustomEngine, CustomExamples, Precision};
//! use lcascope_core::engine::{Device, Evaluation, GradientEngine, Subset, Want};
//! use lcascope_core::layout::{ParamLayout, TensorKind};
//!
//! // y = w x, with the squared error as the loss.
//! let mut layout = ParamLayout::default();
//! layout.push_layer("line", "linear", 1, &[(TensorKind::Weight, vec![1, 1])]);
//! let x = Tensor::new(&[[1.0_f32], [2.0]], &CandleDevice::Cpu)?;
//! let y = Tensor::new(&[3.0_f32, 5.0], &CandleDevice::Cpu)?;
//! let data = CustomData { train: CustomExamples::new(x, y), test: None, validation: None };
//! let mut line = CustomEngine::new(layout, data, 1, 256, Device::Cpu, Precision::Single, |w, batch| {
//!     Ok((batch.inputs.matmul(&w[0])?.squeeze(1)? - &batch.targets)?.sqr()?.into())
//! })?;
//!
//! let mut out = Evaluation::default();
//! line.evaluate(Subset::Train, &[2.0], Want::Gradient, &mut out)?;
//! assert_eq!(out.loss, 1.0); // (1² + 1²) / 2
//! assert_eq!(out.gradient, [-3.0]); // 2 · (−1 · 1 − 1 · 2) / 2
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! candle 0.11's fused `softmax_last_dim`, `layer_norm` and `rms_norm` have no gradient, and those of its `relu` and
//! `max_pool2d` are unreliable: build the model from basic operations.

use candle_core::{DType, Device as CandleDevice, Tensor};

use super::accumulator::{DeviceExamples, Evaluator, ModelOutput};
use super::open_device;
use crate::engine::{
    Device, EngineError, Evaluation, GradientEngine, SlicePlan, Subset, Want, candle::Precision,
};
use crate::layout::ParamLayout;

/// A model's examples, one target per input.
pub struct CustomExamples {
    /// `[N, ..]`, of any type.
    inputs: Tensor,
    /// `[N, ..]`, of any type.
    targets: Tensor,
    /// `[N]`, or empty if the loss is not split by class.
    classes: Vec<u8>,
}

impl CustomExamples {
    /// Creates examples from `inputs` and `targets`, each `[N, ..]` and of any type, as the model expects them.
    #[must_use]
    pub fn new(inputs: Tensor, targets: Tensor) -> Self {
        Self {
            inputs,
            targets,
            classes: Vec::new(),
        }
    }

    /// Sets the class of each example, `[N]`. The model does not see it.
    #[must_use]
    pub fn in_classes(mut self, classes: Vec<u8>) -> Self {
        self.classes = classes;
        self
    }
}

/// The examples of a run.
pub struct CustomData {
    /// Examples whose loss is allocated.
    pub train: CustomExamples,
    pub test: Option<CustomExamples>,
    pub validation: Option<CustomExamples>,
}

/// Examples to evaluate the model on.
pub struct Batch {
    /// `[B, ..]`
    pub inputs: Tensor,
    /// `[B, ..]`
    pub targets: Tensor,
    /// Seed for anything random in training; set for mini-batches only.
    pub noise: Option<u64>,
}

/// An outcome with losses only.
impl From<Tensor> for ModelOutput {
    fn from(loss: Tensor) -> Self {
        Self { loss, hits: None }
    }
}

type ModelFn = dyn Fn(&[Tensor], &Batch) -> candle_core::Result<ModelOutput> + Send;

/// An engine for a user-defined model.
pub struct CustomEngine {
    layout: ParamLayout,
    model: Box<ModelFn>,
    classes: usize,
    device: CandleDevice,
    dtype: DType,
    description: String,
    train: DeviceExamples,
    test: DeviceExamples,
    validation: DeviceExamples,
}

impl CustomEngine {
    /// Creates an engine for `model`, which receives one tensor per entry of `layout`, in its order and shapes.
    ///
    /// The examples are moved to `device`, floating-point ones in `precision`, and evaluated in slices of `slice_size`
    /// in the order given. If `classes` is greater than 1, [`Want::ClassGradient`] takes one backward pass per class;
    /// if it is 1, the only class is the whole. Apart from [`Batch::noise`], the model must be deterministic: equal
    /// parameters give equal losses.
    ///
    /// # Errors
    /// No such device or not enough memory on it, tensors with different numbers of examples, or a class out of range.
    ///
    /// # Panics
    /// If `slice_size` is 0.
    pub fn new(
        layout: ParamLayout,
        data: CustomData,
        classes: usize,
        slice_size: usize,
        device: Device,
        precision: Precision,
        model: impl Fn(&[Tensor], &Batch) -> candle_core::Result<ModelOutput> + Send + 'static,
    ) -> Result<Self, EngineError> {
        let dtype = precision.dtype();
        let candle = open_device(device)?;
        let subset = |part: &str, examples: CustomExamples| {
            let len = check(part, &examples, classes)?;
            let moved = |tensor: &Tensor| -> Result<Tensor, EngineError> {
                let tensor = tensor.detach().to_device(&candle)?.contiguous()?;
                Ok(if tensor.dtype().is_float() {
                    tensor.to_dtype(dtype)?
                } else {
                    tensor
                })
            };
            Ok::<_, EngineError>(DeviceExamples {
                inputs: moved(&examples.inputs)?,
                targets: moved(&examples.targets)?,
                labels: if examples.classes.is_empty() {
                    vec![0; len]
                } else {
                    examples.classes
                },
                slices: SlicePlan::in_order(len, slice_size).slices,
            })
        };
        let none = || -> Result<CustomExamples, EngineError> {
            let nothing = Tensor::zeros(0, dtype, &CandleDevice::Cpu)?;
            Ok(CustomExamples::new(nothing.clone(), nothing))
        };
        Ok(Self {
            train: subset("training", data.train)?,
            test: subset("test", data.test.map_or_else(none, Ok)?)?,
            validation: subset("validation", data.validation.map_or_else(none, Ok)?)?,
            layout,
            model: Box::new(model),
            classes,
            device: candle,
            dtype,
            description: format!("candle on {device}, {}, own model", dtype.as_str()),
        })
    }

    fn run(
        &self,
        subset: &DeviceExamples,
        params: &[f32],
        want: Want,
        noise: Option<u64>,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let evaluator = Evaluator {
            layout: &self.layout,
            classes: self.classes,
            device: &self.device,
            dtype: self.dtype,
        };
        evaluator.run(subset, params, want, out, |params, inputs, targets| {
            let batch = Batch {
                inputs: inputs.clone(),
                targets: targets.clone(),
                noise,
            };
            Ok((self.model)(params, &batch)?)
        })
    }

    fn subset(&self, part: Subset) -> &DeviceExamples {
        match part {
            Subset::Train => &self.train,
            Subset::Test => &self.test,
            Subset::Validation => &self.validation,
        }
    }
}

/// Returns the number of examples, or an error if inputs, targets and classes do not match.
fn check(part: &str, examples: &CustomExamples, classes: usize) -> Result<usize, EngineError> {
    let len = examples.inputs.dim(0)?;
    let targets = examples.targets.dim(0)?;
    let labels = examples.classes.len();
    if targets != len || (labels != len && labels != 0) {
        return Err(EngineError::Model(format!(
            "it has {len} {part} inputs, but {targets} targets and {labels} classes: give one of each per \
             input, or no classes"
        )));
    }
    let class = examples.classes.iter().copied().max().unwrap_or(0);
    if usize::from(class) >= classes {
        return Err(EngineError::Model(format!(
            "a {part} example has class {class}, but there are {classes} classes, counted from 0"
        )));
    }
    Ok(len)
}

impl GradientEngine for CustomEngine {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn evaluate(
        &mut self,
        part: Subset,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        self.run(self.subset(part), params, want, None, out)
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let batch = self.train.select(rows.to_vec(), &self.device)?;
        self.run(&batch, params, Want::Gradient, Some(noise), out)
    }

    /// A user-defined model has no running averages: the accuracy is that of [`evaluate`](Self::evaluate).
    fn accuracy(&mut self, part: Subset, params: &[f32], _: &[f32]) -> Result<f64, EngineError> {
        let mut out = Evaluation::default();
        self.evaluate(part, params, Want::Loss, &mut out)?;
        Ok(out.accuracy)
    }
}

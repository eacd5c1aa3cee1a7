//! The engine on candle's autograd, for any device that candle supports.
//!
//! It is the fast engine on a GPU; on the CPU, in double precision, it is the oracle that the hand-written engine is
//! tested against. The examples stay on the device; each evaluation uploads the parameters and downloads one gradient.
//! [`CustomEngine`] does the same for a model that is any function of candle tensors rather than a list of layers.

mod accumulator;
mod conv;
mod custom;
mod forward;
mod gradient;
mod memory;
mod norm;
mod pool;
mod threads;

use candle_core::{D, DType, Device as CandleDevice, Tensor};
use candle_nn::ops::log_softmax;

/// The tensor library for user-defined models, in the matching version.
pub use candle_core;

pub use self::accumulator::ModelOutput;
pub use self::custom::{Batch, CustomData, CustomEngine, CustomExamples};
pub use self::memory::slice_size;

use self::accumulator::{DeviceExamples, Evaluator};
use self::forward::{ForwardMode, Pass, Received};
use super::{
    Device, EngineError, Evaluation, GradientEngine, RunData, Slice, SlicePlan, Subset, Want,
    is_sorted_by_class,
};
use crate::data::Examples;
use crate::model::Network;

/// Precision of the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Single,
    Double,
}

impl Precision {
    fn dtype(self) -> DType {
        match self {
            Self::Single => DType::F32,
            Self::Double => DType::F64,
        }
    }
}

/// The candle engine for networks of layers.
pub struct CandleEngine {
    network: Network,
    device: CandleDevice,
    dtype: DType,
    description: String,
    train: DeviceExamples,
    test: DeviceExamples,
    validation: DeviceExamples,
    /// Examples that mini-batches are drawn from, if not from `train`.
    drawn_from: Option<DeviceExamples>,
    /// Position of each row in the examples that mini-batches are drawn from; `train` may be sorted by class.
    position: Vec<u32>,
}

/// Opens a candle device.
///
/// # Errors
/// CUDA is requested but not built in, or the machine has no such GPU.
pub fn open_device(device: Device) -> Result<CandleDevice, EngineError> {
    let Device::Cuda(ordinal) = device else {
        threads::start().map_err(EngineError::Threads)?;
        return Ok(CandleDevice::Cpu);
    };
    if !cfg!(feature = "cuda") {
        return Err(EngineError::NoCuda {
            ordinal,
            reason: "this program was built without CUDA: build it with `--features cuda`, or \
                     use `--device cpu`"
                .to_owned(),
        });
    }
    CandleDevice::new_cuda(ordinal).map_err(|error| EngineError::NoCuda {
        ordinal,
        reason: format!(
            "{}. `nvidia-smi` shows the GPUs of this machine",
            super::first_line(&error)
        ),
    })
}

/// Returns the UUID of the GPU with CUDA ordinal `ordinal`, which identifies it however the GPUs are numbered. `None`
/// without CUDA, or if the driver does not report it.
#[must_use]
pub fn gpu_uuid(ordinal: u32) -> Option<[u8; 16]> {
    uuid_of(ordinal)
}

/// Returns the number of GPUs that this process can use; 0 without CUDA.
#[must_use]
pub fn gpu_count() -> usize {
    count_gpus().unwrap_or(0)
}

#[cfg(feature = "cuda")]
fn count_gpus() -> Option<usize> {
    use candle_core::cuda_backend::cudarc::driver::result;
    result::init().ok()?;
    usize::try_from(result::device::get_count().ok()?).ok()
}

#[cfg(not(feature = "cuda"))]
fn count_gpus() -> Option<usize> {
    None
}

#[cfg(feature = "cuda")]
fn uuid_of(ordinal: u32) -> Option<[u8; 16]> {
    use candle_core::cuda_backend::cudarc::driver::result;
    result::init().ok()?;
    let device = result::device::get(i32::try_from(ordinal).ok()?).ok()?;
    let uuid = result::device::get_uuid(device).ok()?;
    Some(uuid.bytes.map(|byte| byte.to_ne_bytes()[0]))
}

#[cfg(not(feature = "cuda"))]
fn uuid_of(_: u32) -> Option<[u8; 16]> {
    None
}

impl CandleEngine {
    /// Creates an engine for `network` on `data`; the examples are moved to `device` at once.
    ///
    /// With `by_class`, [`Want::ClassGradient`] is available: the training set is evaluated in class-sorted slices, or,
    /// with batch norms, which need mixed ones, in one backward pass per class.
    ///
    /// # Errors
    /// No such device, or not enough memory on it.
    ///
    /// # Panics
    /// If `slice_size` is 0.
    pub fn new(
        network: &Network,
        data: &RunData,
        slice_size: usize,
        device: Device,
        precision: Precision,
        by_class: bool,
    ) -> Result<Self, EngineError> {
        let candle = open_device(device)?;
        let dtype = precision.dtype();
        let sorted = is_sorted_by_class(network, by_class);
        let plan = SlicePlan::new(&data.train.labels, slice_size, sorted);
        let position = data.positions(&plan);
        let subset = |examples: &Examples, slices: Vec<Slice>| -> Result<_, EngineError> {
            let shape = (examples.len(), examples.features());
            let labels: Vec<u32> = examples.labels.iter().map(|&l| u32::from(l)).collect();
            Ok(DeviceExamples {
                inputs: Tensor::from_slice(&examples.inputs, shape, &candle)?.to_dtype(dtype)?,
                targets: Tensor::new(labels, &candle)?,
                labels: examples.labels.clone(),
                slices,
            })
        };
        let in_order = |examples: &Examples| {
            let slices = SlicePlan::in_order(examples.len(), slice_size).slices;
            subset(examples, slices)
        };
        Ok(Self {
            network: network.clone(),
            train: subset(&data.train.select(&plan.order), plan.slices)?,
            test: in_order(&data.test)?,
            validation: in_order(&data.validation)?,
            drawn_from: data.drawn_from.as_ref().map(in_order).transpose()?,
            position,
            dtype,
            description: format!("candle on {device}, {}", dtype.as_str()),
            device: candle,
        })
    }

    /// Evaluates the slices of a subset; the mean is over all of them. Returns the statistics that the batch norms
    /// received in the last slice.
    fn evaluate_subset(
        &self,
        subset: &DeviceExamples,
        params: &[f32],
        want: Want,
        mode: ForwardMode,
        out: &mut Evaluation,
    ) -> Result<Vec<Received>, EngineError> {
        let mut received = Vec::new();
        let evaluator = Evaluator {
            layout: &self.network.layout,
            classes: self.network.classes,
            device: &self.device,
            dtype: self.dtype,
        };
        evaluator.run(subset, params, want, out, |params, x, labels| {
            let pass = Pass::new(&self.network, params, mode);
            let (scores, of_slice) = pass.scores(x)?;
            received = of_slice;
            let log_p = log_softmax(&scores, D::Minus1)?;
            Ok(ModelOutput {
                loss: log_p.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?,
                hits: Some(log_p.argmax(D::Minus1)?.eq(labels)?),
            })
        })?;
        Ok(received)
    }

    fn subset(&self, part: Subset) -> &DeviceExamples {
        match part {
            Subset::Train => &self.train,
            Subset::Test => &self.test,
            Subset::Validation => &self.validation,
        }
    }
}

impl GradientEngine for CandleEngine {
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
        self.evaluate_subset(self.subset(part), params, want, ForwardMode::Slice, out)?;
        Ok(())
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let positions = rows.iter().map(|&row| self.position[row as usize]);
        let source = self.drawn_from.as_ref().unwrap_or(&self.train);
        let batch = source.select(positions.collect(), &self.device)?;
        let mode = ForwardMode::Batch { noise };
        let received = self.evaluate_subset(&batch, params, Want::Gradient, mode, out)?;
        out.statistics.resize(self.network.buffers, 0.0);
        for Received {
            running,
            statistics,
        } in received
        {
            let values: Vec<f32> = statistics.to_dtype(DType::F32)?.to_vec1()?;
            out.statistics[running].copy_from_slice(&values);
        }
        Ok(())
    }

    fn accuracy(
        &mut self,
        part: Subset,
        params: &[f32],
        running: &[f32],
    ) -> Result<f64, EngineError> {
        let running = Tensor::from_slice(running, running.len(), &self.device)?;
        let running = running.to_dtype(self.dtype)?;
        let mut out = Evaluation::default();
        let mode = ForwardMode::Running(&running);
        self.evaluate_subset(self.subset(part), params, Want::Loss, mode, &mut out)?;
        Ok(out.accuracy)
    }
}

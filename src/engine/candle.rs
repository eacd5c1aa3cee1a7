//! The engine on candle's autograd: any device that candle knows.
//!
//! On a GPU it is the fast one; on the CPU, in double precision, it is the oracle that the
//! hand-written engine is tested against. The examples stay on the device; parameters go up and one
//! gradient comes down for every evaluation.

use std::ops::Range;

use candle_core::{D, DType, Device as CandleDevice, Tensor, Var};
use candle_nn::ops::log_softmax;

use super::{
    Device, EngineError, Evaluation, GradientEngine, Part, RunData, Slice, SlicePlan, Want,
};
use crate::data::Examples;
use crate::layout::Tensor as TensorLayout;
use crate::model::{Network, Op};

/// Examples in a slice when nobody says otherwise.
pub const SLICE_SIZE: usize = 2048;

/// Precision of the arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    Single,
    Double,
}

/// The engine itself.
pub struct CandleEngine {
    network: Network,
    device: CandleDevice,
    dtype: DType,
    description: String,
    train: Shelf,
    test: Shelf,
    validation: Shelf,
    /// Where training row r stands in the (perhaps class-sorted) `train` shelf.
    position: Vec<u32>,
}

/// A part of the data on the device, in the order in which it is evaluated.
struct Shelf {
    /// `[N, features]`
    inputs: Tensor,
    /// `[N]`, u32
    labels: Tensor,
    /// The same labels, here.
    host_labels: Vec<u8>,
    slices: Vec<Slice>,
}

impl Shelf {
    fn new(
        examples: &Examples,
        slices: Vec<Slice>,
        dtype: DType,
        device: &CandleDevice,
    ) -> Result<Self, EngineError> {
        let shape = (examples.len(), examples.features());
        let labels: Vec<u32> = examples.labels.iter().map(|&l| u32::from(l)).collect();
        Ok(Self {
            inputs: Tensor::from_slice(&examples.inputs, shape, device)?.to_dtype(dtype)?,
            labels: Tensor::new(labels, device)?,
            host_labels: examples.labels.clone(),
            slices,
        })
    }
}

/// Opens a candle device.
///
/// # Errors
/// CUDA was asked for and this build has no CUDA, or the machine no such GPU.
pub fn open_device(device: Device) -> Result<CandleDevice, EngineError> {
    let Device::Cuda(ordinal) = device else {
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

impl CandleEngine {
    /// An engine for `network` on `data`; the examples are moved to `device` at once.
    ///
    /// With `by_class` the training set is evaluated in class-sorted slices, and
    /// [`Want::ClassGradient`] can be asked for.
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
        let dtype = match precision {
            Precision::Single => DType::F32,
            Precision::Double => DType::F64,
        };
        let plan = SlicePlan::new(&data.train.labels, slice_size, by_class);
        let position = plan.positions();
        let train = Shelf::new(&data.train.select(&plan.order), plan.slices, dtype, &candle)?;
        let held_out = |examples: &Examples| {
            let slices = SlicePlan::in_order(examples.len(), slice_size).slices;
            Shelf::new(examples, slices, dtype, &candle)
        };
        Ok(Self {
            network: network.clone(),
            train,
            test: held_out(&data.test)?,
            validation: held_out(&data.validation)?,
            position,
            dtype,
            description: format!("candle on {device}, {}", dtype.as_str()),
            device: candle,
        })
    }

    /// One variable a tensor of the network, filled from the flat vector `params`.
    fn variables(&self, params: &[f32]) -> Result<Vec<Var>, EngineError> {
        let flat = Tensor::from_slice(params, params.len(), &self.device)?.to_dtype(self.dtype)?;
        let tensors = self.network.layout.tensors.iter();
        tensors
            .map(|t| {
                let part = flat.narrow(0, t.range.start, t.range.len())?;
                Ok(Var::from_tensor(&part.reshape(t.shape.as_slice())?)?)
            })
            .collect()
    }

    /// Class scores `[B, C]` of inputs `[B, features]`.
    fn scores(&self, x: &Tensor, params: &[Tensor]) -> candle_core::Result<Tensor> {
        let mut values = vec![x.clone()];
        let tensor = |range: &Range<usize>| {
            let layout = &self.network.layout.tensors;
            let index = layout.iter().position(|t| t.range == *range);
            &params[index.expect("a tensor of the layout")]
        };
        for node in &self.network.nodes {
            let x = &values[node.input];
            let y = match &node.op {
                Op::Dense(dense) => {
                    let y = x.matmul(&tensor(&dense.weight).t()?)?;
                    match &dense.bias {
                        Some(bias) => y.broadcast_add(tensor(bias))?,
                        None => y,
                    }
                }
                Op::Relu => relu(x)?,
                Op::Flatten => x.flatten_from(1)?,
                other => candle_core::bail!("{other:?}"),
            };
            values.push(y);
        }
        Ok(values.pop().unwrap_or_else(|| x.clone()))
    }

    /// Evaluates slices of a shelf; the mean is over all of them together.
    fn evaluate_shelf(
        &self,
        shelf: &Shelf,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let classes = self.network.classes;
        let variables = self.variables(params)?;
        let with_gradient = want >= Want::Gradient;
        let tensors: Vec<Tensor> = variables
            .iter()
            .map(|v| match with_gradient {
                true => v.as_tensor().clone(),
                false => v.as_detached_tensor(),
            })
            .collect();
        let by_class = want == Want::ClassGradient;
        let groups = if by_class { classes } else { 1 };
        let mut sums: Vec<Vec<Option<Tensor>>> = vec![vec![None; tensors.len()]; groups];
        let mut losses = Vec::new();
        let mut hits = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let scale = 1.0 / shelf.host_labels.len() as f64;

        for slice in &shelf.slices {
            let (start, len) = (slice.range.start, slice.range.len());
            let x = shelf.inputs.narrow(0, start, len)?;
            let labels = shelf.labels.narrow(0, start, len)?;
            let log_p = log_softmax(&self.scores(&x, &tensors)?, D::Minus1)?;
            let loss = log_p.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?;
            hits.push(log_p.argmax(D::Minus1)?.eq(&labels)?);
            losses.push(loss.detach());
            if !with_gradient {
                continue;
            }
            let gradients = (loss.sum_all()? * scale)?.backward()?;
            let group = match slice.class {
                Some(class) if by_class => class,
                _ => 0,
            };
            for (sum, variable) in sums[group].iter_mut().zip(&variables) {
                if let Some(gradient) = gradients.get(variable) {
                    *sum = Some(match sum.take() {
                        Some(sum) => (sum + gradient)?,
                        None => gradient.clone(),
                    });
                }
            }
        }

        let losses = download(&losses)?;
        let hits = download(&hits)?;
        write_losses(&losses, &hits, &shelf.host_labels, classes, out);

        let layout = &self.network.layout.tensors;
        let len = if with_gradient { params.len() } else { 0 };
        out.gradient.resize(len, 0.0);
        out.class_gradient
            .resize(if by_class { groups * len } else { 0 }, 0.0);
        if by_class {
            for (sums, out) in sums.iter().zip(out.class_gradient.chunks_exact_mut(len)) {
                write_gradient(sums, layout, out)?;
            }
            let mut total = vec![0.0_f64; len];
            for class in out.class_gradient.chunks_exact(len) {
                for (sum, &g) in total.iter_mut().zip(class) {
                    *sum += f64::from(g);
                }
            }
            for (g, sum) in out.gradient.iter_mut().zip(total) {
                *g = single(sum);
            }
        } else if with_gradient {
            write_gradient(&sums[0], layout, &mut out.gradient)?;
        }
        Ok(())
    }
}

impl GradientEngine for CandleEngine {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn evaluate(
        &mut self,
        part: Part,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let shelf = match part {
            Part::Train => &self.train,
            Part::Test => &self.test,
            Part::Validation => &self.validation,
        };
        self.evaluate_shelf(shelf, params, want, out)
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        _noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let at: Vec<u32> = rows.iter().map(|&r| self.position[r as usize]).collect();
        let host_labels = at
            .iter()
            .map(|&p| self.train.host_labels[p as usize])
            .collect();
        let at = Tensor::new(at, &self.device)?;
        let batch = Shelf {
            inputs: self.train.inputs.index_select(&at, 0)?,
            labels: self.train.labels.index_select(&at, 0)?,
            host_labels,
            slices: SlicePlan::in_order(rows.len(), rows.len().max(1)).slices,
        };
        self.evaluate_shelf(&batch, params, Want::Gradient, out)
    }

    fn accuracy(
        &mut self,
        part: Part,
        params: &[f32],
        _running: &[f32],
    ) -> Result<f64, EngineError> {
        let mut out = Evaluation::default();
        self.evaluate(part, params, Want::Loss, &mut out)?;
        Ok(out.accuracy)
    }
}

/// `max(x, 0)` whose slope at 0 is 0, as in `PyTorch`; candle's own has slope 1 there.
fn relu(x: &Tensor) -> candle_core::Result<Tensor> {
    let positive = x.detach().gt(0.0)?.to_dtype(x.dtype())?;
    x * positive
}

/// The values of several vectors, one after another.
fn download(parts: &[Tensor]) -> Result<Vec<f64>, EngineError> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Tensor::cat(parts, 0)?.to_dtype(DType::F64)?.to_vec1()?)
}

/// Means of the losses and hits of all examples, by class too.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn write_losses(losses: &[f64], hits: &[f64], labels: &[u8], classes: usize, out: &mut Evaluation) {
    let mut sums = vec![(0.0, 0_u32); classes];
    for (loss, &label) in losses.iter().zip(labels) {
        let (sum, n) = &mut sums[usize::from(label)];
        *sum += loss;
        *n += 1;
    }
    out.loss = sums.iter().map(|(sum, _)| sum).sum::<f64>() / labels.len() as f64;
    out.accuracy = hits.iter().sum::<f64>() / labels.len() as f64;
    out.class_loss.clear();
    let means = sums.iter().map(|&(sum, n)| sum / f64::from(n));
    out.class_loss.extend(means);
}

/// Downloads one gradient into the flat vector `out`.
fn write_gradient(
    sums: &[Option<Tensor>],
    layout: &[TensorLayout],
    out: &mut [f32],
) -> Result<(), EngineError> {
    for (sum, tensor) in sums.iter().zip(layout) {
        let out = &mut out[tensor.range.clone()];
        match sum {
            Some(sum) => {
                let values: Vec<f32> = sum.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
                out.copy_from_slice(&values);
            }
            None => out.fill(0.0),
        }
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

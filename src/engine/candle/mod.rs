//! The engine on candle's autograd: any device that candle knows.
//!
//! On a GPU it is the fast one; on the CPU, in double precision, it is the oracle that the
//! hand-written engine is tested against. The examples stay on the device; parameters go up and one
//! gradient comes down for every evaluation.

mod conv;
mod forward;
mod gradient;
mod memory;
mod norm;
mod pool;

use candle_core::{D, DType, Device as CandleDevice, Tensor, Var};
use candle_nn::ops::log_softmax;

pub use self::memory::{NORM_SLICE_SIZE, slice_size};

use self::forward::{Mode, Pass, Received};
use super::{
    Device, EngineError, Evaluation, GradientEngine, Part, RunData, Slice, SlicePlan, Want,
};
use crate::data::Examples;
use crate::layout::Tensor as TensorLayout;
use crate::model::Network;

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

/// What is known of a slice's examples.
struct Losses {
    /// `[B]`, in nats.
    loss: Tensor,
    /// `[B]`: 1 where the highest score is the label's.
    hits: Tensor,
    /// `[B]`, u32
    labels: Tensor,
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

    /// What the network says of the examples of a slice.
    fn losses(&self, slice: &Slice, pass: &mut Pass) -> Result<Losses, EngineError> {
        let (start, len) = (slice.range.start, slice.range.len());
        let x = self.inputs.narrow(0, start, len)?;
        let labels = self.labels.narrow(0, start, len)?;
        let log_p = log_softmax(&pass.scores(&x)?, D::Minus1)?;
        Ok(Losses {
            loss: log_p.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?,
            hits: log_p.argmax(D::Minus1)?.eq(&labels)?,
            labels,
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
    /// With `by_class`, [`Want::ClassGradient`] can be asked for: the training set is evaluated in
    /// class-sorted slices, or, where a batch norm forbids that, goes back once for every class.
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
        // A slice of one class would have other statistics than a mixed one, hence another loss.
        let sorted = by_class && !network.has_norm();
        let plan = SlicePlan::new(&data.train.labels, slice_size, sorted);
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

    /// Evaluates slices of a shelf; the mean is over all of them together. Returns what the batch
    /// norms received in the last slice.
    fn evaluate_shelf(
        &self,
        shelf: &Shelf,
        params: &[f32],
        want: Want,
        mode: Mode,
        out: &mut Evaluation,
    ) -> Result<Vec<Received>, EngineError> {
        let with_gradient = want >= Want::Gradient;
        let by_class = want == Want::ClassGradient;
        let variables = self.variables(params)?;
        let tensors: Vec<Tensor> = variables
            .iter()
            .map(|v| match with_gradient {
                true => v.as_tensor().clone(),
                false => v.as_detached_tensor(),
            })
            .collect();
        let mut pass = Pass {
            network: &self.network,
            params: &tensors,
            mode,
            received: Vec::new(),
        };
        let groups = if by_class { self.network.classes } else { 1 };
        let mut sums = vec![Sums::new(&variables); groups];
        let mut losses = Vec::new();
        let mut hits = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let share = 1.0 / shelf.host_labels.len() as f64;

        for slice in &shelf.slices {
            let of_slice = shelf.losses(slice, &mut pass)?;
            losses.push(of_slice.loss.detach());
            hits.push(of_slice.hits);
            if !with_gradient {
                continue;
            }
            let loss = (of_slice.loss * share)?;
            match slice.class {
                _ if !by_class => sums[0].add(&loss.sum_all()?)?,
                Some(class) => sums[class].add(&loss.sum_all()?)?,
                // Mixed: one pass back for each class that is there.
                None => {
                    let labels = &shelf.host_labels[slice.range.clone()];
                    for (class, sums) in (0_u8..).zip(&mut sums) {
                        if labels.contains(&class) {
                            let of_class = of_slice.labels.eq(u32::from(class))?;
                            let of_class = (&loss * of_class.to_dtype(self.dtype)?)?;
                            sums.add(&of_class.sum_all()?)?;
                        }
                    }
                }
            }
        }

        let losses = download(&losses)?;
        let hits = download(&hits)?;
        write_losses(
            &losses,
            &hits,
            &shelf.host_labels,
            self.network.classes,
            out,
        );

        let layout = &self.network.layout.tensors;
        let len = if with_gradient { params.len() } else { 0 };
        out.gradient.resize(len, 0.0);
        out.class_gradient
            .resize(if by_class { groups * len } else { 0 }, 0.0);
        out.statistics.clear();
        if by_class {
            for (sums, out) in sums.iter().zip(out.class_gradient.chunks_exact_mut(len)) {
                sums.write(layout, out)?;
            }
            sum_classes(&out.class_gradient, &mut out.gradient);
        } else if with_gradient {
            sums[0].write(layout, &mut out.gradient)?;
        }
        Ok(pass.received)
    }

    fn shelf(&self, part: Part) -> &Shelf {
        match part {
            Part::Train => &self.train,
            Part::Test => &self.test,
            Part::Validation => &self.validation,
        }
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
        self.evaluate_shelf(self.shelf(part), params, want, Mode::Slice, out)?;
        Ok(())
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        noise: u64,
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
        let mode = Mode::Batch { noise };
        let received = self.evaluate_shelf(&batch, params, Want::Gradient, mode, out)?;
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
        part: Part,
        params: &[f32],
        running: &[f32],
    ) -> Result<f64, EngineError> {
        let running = Tensor::from_slice(running, running.len(), &self.device)?;
        let running = running.to_dtype(self.dtype)?;
        let mut out = Evaluation::default();
        let mode = Mode::Running(&running);
        self.evaluate_shelf(self.shelf(part), params, Want::Loss, mode, &mut out)?;
        Ok(out.accuracy)
    }
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

/// A gradient that adds up on the device, one tensor of the layout after another.
#[derive(Clone)]
struct Sums<'a> {
    variables: &'a [Var],
    sums: Vec<Option<Tensor>>,
}

impl<'a> Sums<'a> {
    fn new(variables: &'a [Var]) -> Self {
        Self {
            variables,
            sums: vec![None; variables.len()],
        }
    }

    /// Adds the gradient of a loss.
    fn add(&mut self, loss: &Tensor) -> Result<(), EngineError> {
        let gradients = loss.backward()?;
        for (sum, variable) in self.sums.iter_mut().zip(self.variables) {
            if let Some(gradient) = gradients.get(variable) {
                *sum = Some(match sum.take() {
                    Some(sum) => (sum + gradient)?,
                    None => gradient.clone(),
                });
            }
        }
        Ok(())
    }

    /// Downloads the sums into the flat vector `out`.
    fn write(&self, layout: &[TensorLayout], out: &mut [f32]) -> Result<(), EngineError> {
        for (sum, tensor) in self.sums.iter().zip(layout) {
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
}

/// `out[i] = Σ_c classes[c][i]`, added up in double precision.
fn sum_classes(classes: &[f32], out: &mut [f32]) {
    let mut total = vec![0.0_f64; out.len()];
    for class in classes.chunks_exact(out.len()) {
        for (sum, &g) in total.iter_mut().zip(class) {
            *sum += f64::from(g);
        }
    }
    for (g, sum) in out.iter_mut().zip(total) {
        #[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
        {
            *g = sum as f32;
        }
    }
}

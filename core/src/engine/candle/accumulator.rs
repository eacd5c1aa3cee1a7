//! Losses of many examples, slice by slice, and their gradient, for any model.

use candle_core::{DType, Device, Tensor, Var};

use crate::engine::{EngineError, Evaluation, Slice, SlicePlan, Want};
use crate::layout::{ParamLayout, Tensor as TensorLayout};

/// A part of the data on the device, in evaluation order.
pub(super) struct DeviceExamples {
    /// `[N, ..]`
    pub inputs: Tensor,
    /// `[N, ..]`
    pub targets: Tensor,
    /// `[N]`: classes, in host memory.
    pub labels: Vec<u8>,
    pub slices: Vec<Slice>,
}

impl DeviceExamples {
    /// Returns the examples at these positions, as one slice.
    pub fn select(&self, positions: Vec<u32>, device: &Device) -> Result<Self, EngineError> {
        let labels = positions.iter().map(|&at| self.labels[at as usize]);
        let labels: Vec<u8> = labels.collect();
        let at = Tensor::new(positions, device)?;
        Ok(Self {
            inputs: self.inputs.index_select(&at, 0)?,
            targets: self.targets.index_select(&at, 0)?,
            slices: SlicePlan::in_order(labels.len(), labels.len().max(1)).slices,
            labels,
        })
    }
}

/// A model's output for the examples of a slice.
pub struct ModelOutput {
    /// `[B]`: the loss of each example; or a scalar, their mean, which cannot be split by class.
    pub loss: Tensor,
    /// `[B]`: 1 if the model is right and 0 if not, or the fraction of an example that is right. If absent, the
    /// accuracy is NaN.
    pub hits: Option<Tensor>,
}

/// Settings for evaluating a model.
pub(super) struct Evaluator<'a> {
    pub layout: &'a ParamLayout,
    pub classes: usize,
    pub device: &'a Device,
    pub dtype: DType,
}

impl Evaluator<'_> {
    /// Evaluates the slices of a subset; the mean is over all of them. `model` receives one tensor per entry of the
    /// layout, and the inputs and targets of a slice.
    pub fn run(
        &self,
        subset: &DeviceExamples,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
        mut model: impl FnMut(&[Tensor], &Tensor, &Tensor) -> Result<ModelOutput, EngineError>,
    ) -> Result<(), EngineError> {
        let with_gradient = want >= Want::Gradient;
        let by_class = want == Want::ClassGradient;
        let variables = self.variables(params)?;
        let tensors: Vec<Tensor> = variables
            .iter()
            .map(|v| {
                if with_gradient {
                    v.as_tensor().clone()
                } else {
                    v.as_detached_tensor()
                }
            })
            .collect();
        let groups = if by_class { self.classes } else { 1 };
        let mut sums = vec![GradientSums::new(&variables); groups];
        let mut losses = Vec::new();
        let mut hits = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let examples = subset.labels.len() as f64;

        for slice in &subset.slices {
            let (start, len) = (slice.range.start, slice.range.len());
            let inputs = subset.inputs.narrow(0, start, len)?;
            let targets = subset.targets.narrow(0, start, len)?;
            let of_slice = model(&tensors, &inputs, &targets)?;
            let loss = self.by_example(&of_slice.loss, len)?;
            losses.push(loss.detach());
            hits.extend(of_slice.hits);
            if !with_gradient {
                continue;
            }
            let loss = (loss / examples)?;
            match slice.class {
                _ if groups == 1 => sums[0].add(&loss.sum_all()?)?,
                Some(class) => sums[class].add(&loss.sum_all()?)?,
                // Mixed: one backward pass per class present.
                None => {
                    let labels = &subset.labels[slice.range.clone()];
                    for (class, sums) in sums.iter_mut().enumerate() {
                        if let Some(mask) = self.mask(labels, class)? {
                            sums.add(&(&loss * mask)?.sum_all()?)?;
                        }
                    }
                }
            }
        }

        write_losses(&download(&losses)?, &subset.labels, self.classes, out);
        out.accuracy = if hits.len() == subset.slices.len() {
            download(&hits)?.iter().sum::<f64>() / examples
        } else {
            f64::NAN
        };
        let len = if with_gradient { params.len() } else { 0 };
        out.gradient.resize(len, 0.0);
        out.class_gradient
            .resize(if by_class { groups * len } else { 0 }, 0.0);
        out.statistics.clear();
        let layout = &self.layout.tensors;
        if by_class {
            for (sums, out) in sums.iter().zip(out.class_gradient.chunks_exact_mut(len)) {
                sums.write(layout, out)?;
            }
            sum_classes(&out.class_gradient, &mut out.gradient);
        } else if with_gradient {
            sums[0].write(layout, &mut out.gradient)?;
        }
        Ok(())
    }

    /// Creates one variable per tensor of the layout, filled from the flat vector `params`.
    fn variables(&self, params: &[f32]) -> Result<Vec<Var>, EngineError> {
        let flat = Tensor::from_slice(params, params.len(), self.device)?.to_dtype(self.dtype)?;
        let tensors = self.layout.tensors.iter();
        tensors
            .map(|t| {
                let part = flat.narrow(0, t.range.start, t.range.len())?;
                Ok(Var::from_tensor(&part.reshape(t.shape.as_slice())?)?)
            })
            .collect()
    }

    /// Returns losses `[B]`; a scalar mean is repeated for every example.
    fn by_example(&self, loss: &Tensor, examples: usize) -> Result<Tensor, EngineError> {
        match loss.dims() {
            [] if self.classes == 1 => Ok(loss.broadcast_as(examples)?),
            [len] if *len == examples => Ok(loss.clone()),
            shape => Err(EngineError::Model(format!(
                "its loss of {examples} examples in {} classes has the shape {shape:?}: it must be \
                 [{examples}], one number per example{}",
                self.classes,
                if self.classes == 1 {
                    ", or a scalar, their mean"
                } else {
                    ""
                }
            ))),
        }
    }

    /// Returns `[B]`: 1 for the examples of a class and 0 for the others; `None` if the class has none.
    fn mask(&self, labels: &[u8], class: usize) -> Result<Option<Tensor>, EngineError> {
        let is_of_class = |&label: &u8| usize::from(label) == class;
        if !labels.iter().any(is_of_class) {
            return Ok(None);
        }
        let mask: Vec<u8> = labels.iter().map(|l| u8::from(is_of_class(l))).collect();
        Ok(Some(Tensor::new(mask, self.device)?.to_dtype(self.dtype)?))
    }
}

/// Downloads several vectors and concatenates their values.
fn download(parts: &[Tensor]) -> Result<Vec<f64>, EngineError> {
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Tensor::cat(parts, 0)?.to_dtype(DType::F64)?.to_vec1()?)
}

/// Writes the mean loss over all examples, and over each class.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn write_losses(losses: &[f64], labels: &[u8], classes: usize, out: &mut Evaluation) {
    let mut sums = vec![(0.0, 0_u32); classes];
    for (loss, &label) in losses.iter().zip(labels) {
        let (sum, n) = &mut sums[usize::from(label)];
        *sum += loss;
        *n += 1;
    }
    out.loss = sums.iter().map(|(sum, _)| sum).sum::<f64>() / labels.len() as f64;
    out.class_loss.clear();
    let means = sums.iter().map(|&(sum, n)| sum / f64::from(n));
    out.class_loss.extend(means);
}

/// A gradient accumulated on the device, per tensor of the layout.
#[derive(Clone)]
struct GradientSums<'a> {
    variables: &'a [Var],
    sums: Vec<Option<Tensor>>,
}

impl<'a> GradientSums<'a> {
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

/// Sets `out[i] = Σ_c classes[c][i]`, summed in double precision.
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

//! The forward pass from inputs to class scores, one match arm per operation.
//!
//! Values are `[B, C, H, W]` for images, and `[B, n]` where height and width are 1.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::conv::{Windows, convolve};
use super::{gradient, norm, pool};
use crate::engine::dropout_mask;
use crate::model::{Conv, Dense, Network, Norm, Op, Shape};

/// Purpose of a forward pass.
#[derive(Clone, Copy)]
pub(super) enum ForwardMode<'a> {
    /// Loss of a slice: batch norms use the slice's statistics.
    Slice,
    /// A mini-batch: dropout is active too.
    Batch { noise: u64 },
    /// Batch norms use these running averages, `[Q]`.
    Running(&'a Tensor),
}

/// Statistics of the values that a batch norm received.
pub(super) struct Received {
    /// Position in the vector of buffers.
    pub running: Range<usize>,
    /// `[2C]`: means, then unbiased variances.
    pub statistics: Tensor,
}

/// One pass of a network, with its parameters on the device.
pub(super) struct Pass<'a> {
    network: &'a Network,
    /// One per tensor of the layout.
    params: &'a [Tensor],
    mode: ForwardMode<'a>,
    received: Vec<Received>,
}

impl<'a> Pass<'a> {
    pub fn new(network: &'a Network, params: &'a [Tensor], mode: ForwardMode<'a>) -> Self {
        Self {
            network,
            params,
            mode,
            received: Vec::new(),
        }
    }

    /// Returns the class scores `[B, C]` of inputs `[B, features]`, and the statistics that the batch norms received.
    pub fn scores(mut self, x: &Tensor) -> Result<(Tensor, Vec<Received>)> {
        let network = self.network;
        let mut values = vec![shaped(x, network.input)?];
        for (index, node) in network.nodes.iter().enumerate() {
            let x = &values[node.input];
            let [_, height, width] = node.shape;
            let y = match &node.op {
                Op::Dense(dense) => self.dense(x, dense)?,
                Op::Conv(conv) => {
                    let x = image(x, network.shape(node.input))?;
                    self.conv(&x, conv, [height, width])?
                }
                Op::Norm(norm) => self.norm(x, norm)?,
                Op::Relu => relu(x)?,
                Op::MaxPool(pool) => {
                    let x = image(x, network.shape(node.input))?;
                    pool::max(&x, pool, [height, width])?
                }
                Op::AvgPool(pool) => {
                    let x = image(x, network.shape(node.input))?;
                    pool::average(&x, pool, [height, width])?
                }
                Op::Flatten => x.flatten_from(1)?,
                Op::Dropout { rate } => self.dropout(x, index, *rate)?,
                Op::Add(other) => (x + &values[*other])?,
            };
            values.push(shaped(&y, node.shape)?);
        }
        Ok((values.swap_remove(network.nodes.len()), self.received))
    }

    fn param(&self, range: &Range<usize>) -> &Tensor {
        let layout = &self.network.layout.tensors;
        let index = layout.iter().position(|t| t.range == *range);
        &self.params[index.expect("a tensor of the layout")]
    }

    fn dense(&self, x: &Tensor, dense: &Dense) -> Result<Tensor> {
        let y = x.matmul(&self.param(&dense.weight).t()?)?;
        match &dense.bias {
            Some(bias) => norm::shift(&y, self.param(bias)),
            None => Ok(y),
        }
    }

    fn conv(&self, x: &Tensor, conv: &Conv, out: [usize; 2]) -> Result<Tensor> {
        let windows = Windows {
            kernel: conv.kernel,
            stride: conv.stride,
            before: conv.before,
            out,
        };
        let y = convolve(x, self.param(&conv.weight), windows)?;
        match &conv.bias {
            Some(bias) => norm::shift(&y, self.param(bias)),
            None => Ok(y),
        }
    }

    fn norm(&mut self, x: &Tensor, norm: &Norm) -> Result<Tensor> {
        let y = if let ForwardMode::Running(averages) = self.mode {
            let averages = averages.narrow(0, norm.running.start, norm.running.len())?;
            let [mean, variance] =
                [0, norm.channels].map(|start| averages.narrow(0, start, norm.channels));
            norm::normalise_by(x, &mean?, &variance?)?
        } else {
            let (y, [mean, variance]) = norm::normalise(x)?;
            let statistics = Tensor::cat(&[&mean, &unbiased(&variance, x)?], 0)?;
            self.received.push(Received {
                running: norm.running.clone(),
                statistics,
            });
            y
        };
        let y = norm::scale(&y, self.param(&norm.scale))?;
        norm::shift(&y, self.param(&norm.shift))
    }

    fn dropout(&self, x: &Tensor, node: usize, rate: f64) -> Result<Tensor> {
        let ForwardMode::Batch { noise } = self.mode else {
            return Ok(x.clone());
        };
        let mask = dropout_mask(noise, node, rate, x.elem_count());
        let mask = Tensor::from_vec(mask, x.dims(), x.device())?.to_dtype(x.dtype())?;
        let y = (x.detach() * &mask)?;
        gradient::unary(x, y, move |_, _, g| g * &mask)
    }
}

/// Converts the biased variance of values `x` to the unbiased one; that of a single value stays as it is.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn unbiased(variance: &Tensor, x: &Tensor) -> Result<Tensor> {
    let count = x.elem_count() / variance.elem_count();
    match count {
        0 | 1 => Ok(variance.clone()),
        _ => variance * (count as f64 / (count - 1) as f64),
    }
}

/// `max(x, 0)` with slope 0 at 0, as in `PyTorch`; candle's own has slope 1 there and hides NaN.
fn relu(x: &Tensor) -> Result<Tensor> {
    let values = x.detach();
    let zeros = Tensor::zeros((), x.dtype(), x.device())?.broadcast_as(x.dims())?;
    let y = values.le(&zeros)?.where_cond(&zeros, &values)?;
    gradient::unary(x, y, |_, y, g| g * y.gt(0.0)?.to_dtype(g.dtype())?)
}

/// Reshapes a value as this module's convention requires.
fn shaped(x: &Tensor, shape: Shape) -> Result<Tensor> {
    match shape {
        [len, 1, 1] if x.rank() != 2 => x.reshape(((), len)),
        [_, 1, 1] => Ok(x.clone()),
        shape => image(x, shape),
    }
}

/// Reshapes a value to `[B, C, H, W]`, for operations that need images.
fn image(x: &Tensor, [channels, height, width]: Shape) -> Result<Tensor> {
    match x.rank() {
        4 => Ok(x.clone()),
        _ => x.reshape(((), channels, height, width)),
    }
}

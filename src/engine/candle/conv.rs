//! Convolutions of any kernel, stride and padding, and their gradients.
//!
//! candle convolves with one stride and one padding for both axes, and its own gradient fails where
//! the padding is uneven or the stride leaves a rest. Here the input is brought to the exact size
//! that the output needs; the gradients are convolutions and matrix products again:
//!
//! - of the input: the gradient, spread out by the stride, convolved with the kernel turned round;
//! - of the kernel: the gradient `[O, B·P]` times all windows of the input `[B·P, kh·kw·C]`.

use candle_core::{Result, Tensor};

use super::gradient;

/// Where a convolution's windows are, for height and width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Zeros above and to the left.
    pub before: [usize; 2],
    /// Places in the output.
    pub out: [usize; 2],
}

impl Windows {
    /// What the windows cover, padding included.
    fn covered(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.out[axis] - 1) * self.stride[axis] + self.kernel[axis])
    }
}

/// `[B, C, H, W]` convolved with `[O, C, kh, kw]`: `[B, O, OH, OW]`.
pub(super) fn convolve(x: &Tensor, weight: &Tensor, windows: Windows) -> Result<Tensor> {
    let y = forward(&x.detach(), &weight.detach(), windows)?;
    gradient::binary(x, weight, y, move |x, weight, g| {
        let of_input = (x.track_op())
            .then(|| input_gradient(x.dims(), &weight.detach(), g, windows))
            .transpose()?;
        let of_weight = (weight.track_op())
            .then(|| weight_gradient(&x.detach(), g, windows))
            .transpose()?;
        Ok((of_input, of_weight))
    })
}

fn forward(x: &Tensor, weight: &Tensor, windows: Windows) -> Result<Tensor> {
    let covered = windows.covered();
    let [stride, across] = windows.stride;
    if stride == across {
        return correlate(x, weight, windows.before, covered, stride);
    }
    // candle has one stride for both axes: compute every place, and take those that are wanted.
    let y = correlate(x, weight, windows.before, covered, 1)?;
    let y = every(&y, 2, stride, windows.out[0])?;
    every(&y, 3, across, windows.out[1])
}

/// Correlates the input, brought to `size` with `before` zeros in front, with a kernel.
fn correlate(
    x: &Tensor,
    weight: &Tensor,
    before: [usize; 2],
    size: [usize; 2],
    stride: usize,
) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let [top, left] = before;
    // The same on all four sides needs no copy of the input.
    if top == left && size == [height + 2 * top, width + 2 * top] {
        return x.conv2d(weight, top, stride, 1, 1);
    }
    let x = fit(&fit(x, 2, top, size[0])?, 3, left, size[1])?;
    x.contiguous()?.conv2d(weight, 0, stride, 1, 1)
}

/// Puts `before` zeros in front of an axis, and cuts or fills its end to `size`.
pub(super) fn fit(x: &Tensor, axis: usize, before: usize, size: usize) -> Result<Tensor> {
    let len = x.dim(axis)?;
    let kept = len.min(size - before);
    let x = if kept < len {
        x.narrow(axis, 0, kept)?
    } else {
        x.clone()
    };
    x.pad_with_zeros(axis, before, size - before - kept)
}

/// `len` entries of an axis, `stride` apart.
fn every(x: &Tensor, axis: usize, stride: usize, len: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let places: Vec<u32> = (0..).step_by(stride).take(len).collect();
    x.contiguous()?
        .index_select(&Tensor::new(places, x.device())?, axis)
}

/// Puts `stride − 1` zeros behind every entry of an axis.
pub(super) fn spread(x: &Tensor, axis: usize, stride: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let mut dims = x.dims().to_vec();
    dims[axis] *= stride;
    x.unsqueeze(axis + 1)?
        .pad_with_zeros(axis + 1, 0, stride - 1)?
        .reshape(dims)
}

/// `[B, C, H, W]` from the output's gradient `[B, O, OH, OW]`.
fn input_gradient(
    shape: &[usize],
    weight: &Tensor,
    g: &Tensor,
    windows: Windows,
) -> Result<Tensor> {
    let Windows {
        kernel,
        stride,
        before,
        ..
    } = windows;
    let g = spread(&spread(g, 2, stride[0])?, 3, stride[1])?;
    let turned = weight.flip(&[2, 3])?.transpose(0, 1)?.contiguous()?;
    // Input place i hears output place (i + before − u) / stride through kernel place u.
    let zeros = [0, 1].map(|axis| kernel[axis] - 1 - before[axis]);
    let size = [0, 1].map(|axis| shape[axis + 2] + kernel[axis] - 1);
    correlate(&g, &turned, zeros, size, 1)
}

/// `[O, C, kh, kw]` from the output's gradient `[B, O, OH, OW]`.
fn weight_gradient(x: &Tensor, g: &Tensor, windows: Windows) -> Result<Tensor> {
    let (batch, outputs, height, width) = g.dims4()?;
    let inputs = x.dim(1)?;
    let [kh, kw] = windows.kernel;
    let places = batch * height * width;
    let g = g.transpose(0, 1)?.reshape((outputs, places))?;
    // [kh·kw·C, B·P]: entry (u, v, c) of every window.
    let x = x.transpose(0, 1)?;
    let entries = views(&x, windows)?
        .into_iter()
        .map(|view| view.reshape((inputs, places)))
        .collect::<Result<Vec<_>>>()?;
    let product = g.matmul(&Tensor::cat(&entries, 0)?.t()?)?;
    product
        .reshape((outputs, kh, kw, inputs))?
        .permute((0, 3, 1, 2))
}

/// For every place of a window, in row order, what all windows have there: `[.., .., OH, OW]`.
pub(super) fn views(x: &Tensor, windows: Windows) -> Result<Vec<Tensor>> {
    let Windows {
        kernel,
        stride,
        before,
        out,
    } = windows;
    let (first, second, ..) = x.dims4()?;
    // Room for whole strides behind the last place of a window.
    let size = [0, 1].map(|axis| kernel[axis] - 1 + out[axis] * stride[axis]);
    let x = fit(&fit(x, 2, before[0], size[0])?, 3, before[1], size[1])?;
    let mut views = Vec::with_capacity(kernel[0] * kernel[1]);
    for u in 0..kernel[0] {
        let rows = x.narrow(2, u, out[0] * stride[0])?;
        for v in 0..kernel[1] {
            let view = rows.narrow(3, v, out[1] * stride[1])?;
            views.push(if stride == [1, 1] {
                view
            } else {
                view.reshape((first, second, out[0], stride[0], out[1], stride[1]))?
                    .narrow(3, 0, 1)?
                    .narrow(5, 0, 1)?
                    .reshape((first, second, out[0], out[1]))?
            });
        }
    }
    Ok(views)
}

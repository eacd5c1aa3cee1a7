//! Convolutions of any kernel size, stride and padding, and their gradients.
//!
//! candle's convolution has a single stride and padding for both axes, and its gradient fails if the padding is uneven
//! or the stride leaves a remainder. Here the input is first padded or cropped to the exact size that the output needs.
//! The gradients are again convolutions and matrix products:
//!
//! - of the input: the output gradient, spread out by the stride, convolved with the flipped kernel;
//! - of the kernel: the output gradient `[O, B·P]` times all windows of the input `[B·P, kh·kw·C]`.

use candle_core::{Result, Tensor};

use super::gradient;

/// Geometry of a convolution's windows, as `[height, width]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Windows {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Rows of zeros above and columns of zeros to the left.
    pub before: [usize; 2],
    /// Height and width of the output.
    pub out: [usize; 2],
}

impl Windows {
    /// Extent covered by the windows, padding included.
    fn covered(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.out[axis] - 1) * self.stride[axis] + self.kernel[axis])
    }
}

/// Convolves `[B, C, H, W]` with `[O, C, kh, kw]` into `[B, O, OH, OW]`.
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
    // candle has one stride for both axes: compute every position and keep the wanted ones.
    let y = correlate(x, weight, windows.before, covered, 1)?;
    let y = every(&y, 2, stride, windows.out[0])?;
    every(&y, 3, across, windows.out[1])
}

/// Correlates a kernel with the input, brought to `size` with `before` zeros in front.
fn correlate(
    x: &Tensor,
    weight: &Tensor,
    before: [usize; 2],
    size: [usize; 2],
    stride: usize,
) -> Result<Tensor> {
    let (_, _, height, width) = x.dims4()?;
    let [top, left] = before;
    // Equal padding on all four sides needs no copy of the input.
    if top == left && size == [height + 2 * top, width + 2 * top] {
        return x.conv2d(weight, top, stride, 1, 1);
    }
    let x = fit(&fit(x, 2, top, size[0])?, 3, left, size[1])?;
    x.contiguous()?.conv2d(weight, 0, stride, 1, 1)
}

/// Puts `before` zeros in front of an axis, then crops or zero-fills its end to `size`.
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

/// Selects `len` entries of an axis, `stride` apart.
fn every(x: &Tensor, axis: usize, stride: usize, len: usize) -> Result<Tensor> {
    if stride == 1 {
        return Ok(x.clone());
    }
    let places: Vec<u32> = (0..).step_by(stride).take(len).collect();
    x.contiguous()?
        .index_select(&Tensor::new(places, x.device())?, axis)
}

/// Puts `stride − 1` zeros after every entry of an axis.
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

/// Computes the input's gradient `[B, C, H, W]` from the output's `[B, O, OH, OW]`.
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
    // Input position i receives output position (i + before − u) / stride through kernel position u.
    let zeros = [0, 1].map(|axis| kernel[axis] - 1 - before[axis]);
    let size = [0, 1].map(|axis| shape[axis + 2] + kernel[axis] - 1);
    correlate(&g, &turned, zeros, size, 1)
}

/// Computes the kernel's gradient `[O, C, kh, kw]` from the output's `[B, O, OH, OW]`.
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

/// For every position in a window, in row order, the values of all windows there: `[.., .., OH, OW]`.
pub(super) fn views(x: &Tensor, windows: Windows) -> Result<Vec<Tensor>> {
    let Windows {
        kernel,
        stride,
        before,
        out,
    } = windows;
    let (first, second, ..) = x.dims4()?;
    // Room for whole strides after the last position of a window.
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

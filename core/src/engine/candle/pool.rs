//! Pooling over windows of any size and stride.

use candle_core::{Result, Tensor};

use super::conv::{Windows, fit, spread, views};
use super::gradient;
use crate::model::Pool;

fn windows(pool: &Pool, out: [usize; 2]) -> Windows {
    Windows {
        kernel: pool.size,
        stride: pool.stride,
        before: [0, 0],
        out,
    }
}

/// Returns the largest value of each window, `[B, C, OH, OW]`. In a tie, the gradient goes to the first in row order.
pub(super) fn max(x: &Tensor, pool: &Pool, out: [usize; 2]) -> Result<Tensor> {
    let windows = windows(pool, out);
    let mut views = (0_u32..).zip(views(&x.detach(), windows)?);
    let (_, first) = views.next().expect("a window has a place");
    let mut largest = first.contiguous()?;
    let mut at = Tensor::zeros(largest.dims(), candle_core::DType::U32, x.device())?;
    for (place, view) in views {
        let view = view.contiguous()?;
        let larger = view.gt(&largest)?;
        largest = larger.where_cond(&view, &largest)?;
        let place = Tensor::new(place, x.device())?.broadcast_as(at.dims())?;
        at = larger.where_cond(&place, &at)?;
    }
    gradient::unary(x, largest, move |x, _, g| {
        max_gradient(x.dims(), &at, g, windows)
    })
}

/// Routes every window's gradient to the position `at`, `[B, C, OH, OW]`, of its largest value.
fn max_gradient(shape: &[usize], at: &Tensor, g: &Tensor, windows: Windows) -> Result<Tensor> {
    let [height, width] = [shape[2], shape[3]];
    let Windows { kernel, stride, .. } = windows;
    let mut sum: Option<Tensor> = None;
    for u in 0..kernel[0] {
        for v in 0..kernel[1] {
            let place = u32::try_from(u * kernel[1] + v).map_err(candle_core::Error::wrap)?;
            let share = (g * at.eq(place)?.to_dtype(g.dtype())?)?;
            let share = fit(&spread(&share, 2, stride[0])?, 2, u, height)?;
            let share = fit(&spread(&share, 3, stride[1])?, 3, v, width)?;
            sum = Some(match sum {
                Some(sum) => (sum + share)?,
                None => share,
            });
        }
    }
    sum.map_or_else(|| Tensor::zeros(shape, g.dtype(), g.device()), Ok)
}

/// Returns the mean of each window, `[B, C, OH, OW]`.
pub(super) fn average(x: &Tensor, pool: &Pool, out: [usize; 2]) -> Result<Tensor> {
    let (batch, channels, ..) = x.dims4()?;
    let [size, stride] = [pool.size, pool.stride];
    #[expect(
        clippy::cast_precision_loss,
        reason = "windows are far smaller than 2^52"
    )]
    let share = 1.0 / (size[0] * size[1]) as f64;
    let sum = if size == stride {
        // Windows that tile the image: reshape, then sum over two axes.
        let x = x.narrow(2, 0, out[0] * size[0])?;
        x.narrow(3, 0, out[1] * size[1])?
            .reshape((batch, channels, out[0], size[0], out[1], size[1]))?
            .sum(5)?
            .sum(3)?
    } else {
        let views = views(x, windows(pool, out))?;
        let (first, rest) = views.split_first().expect("a window has a place");
        rest.iter()
            .try_fold(first.clone(), |sum, view| sum + view)?
    };
    sum * share
}

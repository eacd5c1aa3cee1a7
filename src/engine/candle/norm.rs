//! Batch norm and other operations channel by channel, on `[B, C]` or `[B, C, H, W]`.

use candle_core::{Result, Tensor};

use super::gradient;
use crate::model::Norm;

/// `(x − mean) / √(var + ε)` with the slice's own mean and biased variance, and the two, `[C]`.
///
/// With `x̂` the result and `⟨·⟩` the mean over a channel, the gradient by x is
/// `(g − ⟨g⟩ − x̂ ⟨g x̂⟩) / √(var + ε)` (Ioffe and Szegedy, section 3).
pub(super) fn normalise(x: &Tensor) -> Result<(Tensor, [Tensor; 2])> {
    let values = x.detach();
    let mean = channel_means(&values)?;
    let centred = values.broadcast_sub(&along(&mean, x)?)?;
    let variance = channel_means(&centred.sqr()?)?;
    let factor = deviation(&variance)?.recip()?;
    let y = centred.broadcast_mul(&along(&factor, x)?)?;
    let y = gradient::unary(x, y, move |x, y, g| {
        let mean = along(&channel_means(g)?, x)?;
        let slope = along(&channel_means(&(g * y)?)?, x)?;
        g.broadcast_sub(&mean)?
            .sub(&y.broadcast_mul(&slope)?)?
            .broadcast_mul(&along(&factor, x)?)
    })?;
    Ok((y, [mean, variance]))
}

/// `(x − mean) / √(var + ε)` with a mean and variance of long standing, `[C]`; without a gradient.
pub(super) fn normalise_by(x: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Tensor> {
    x.broadcast_sub(&along(mean, x)?)?
        .broadcast_div(&along(&deviation(variance)?, x)?)
}

fn deviation(variance: &Tensor) -> Result<Tensor> {
    (variance + Norm::EPSILON)?.sqrt()
}

/// `x + b`, b one number a channel.
pub(super) fn shift(x: &Tensor, by: &Tensor) -> Result<Tensor> {
    let y = x.detach().broadcast_add(&along(&by.detach(), x)?)?;
    gradient::binary(x, by, y, |x, _, g| {
        Ok((x.track_op().then(|| g.clone()), Some(channel_sums(g)?)))
    })
}

/// `s · x`, s one number a channel.
pub(super) fn scale(x: &Tensor, by: &Tensor) -> Result<Tensor> {
    let y = x.detach().broadcast_mul(&along(&by.detach(), x)?)?;
    gradient::binary(x, by, y, |x, by, g| {
        let of_x = g.broadcast_mul(&along(&by.detach(), x)?)?;
        Ok((Some(of_x), Some(channel_sums(&(g * x.detach())?)?)))
    })
}

/// One number a channel, shaped to be spread over the values of `like`.
fn along(channels: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[1] = channels.elem_count();
    channels.reshape(shape)
}

/// `[C]`. Place by place first and then example by example: short sums round less.
fn channel_sums(x: &Tensor) -> Result<Tensor> {
    let x = match x.rank() {
        2 => x.clone(),
        _ => x.flatten_from(2)?.sum(2)?,
    };
    x.sum(0)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn channel_means(x: &Tensor) -> Result<Tensor> {
    let count = x.elem_count() / x.dim(1)?;
    channel_sums(x)? / count as f64
}

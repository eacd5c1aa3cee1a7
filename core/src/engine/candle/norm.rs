//! Batch norm and other per-channel operations, on `[B, C]` or `[B, C, H, W]`.

use candle_core::{Result, Tensor};

use super::gradient;
use crate::model::Norm;

/// Returns `(x − mean) / √(var + ε)` with the slice's own mean and biased variance, and these two, `[C]`.
///
/// With `x̂` the result and `⟨·⟩` the mean over a channel, the gradient with respect to x is
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

/// Returns `(x − mean) / √(var + ε)` with running averages of mean and variance, `[C]`; not differentiable.
pub(super) fn normalise_by(x: &Tensor, mean: &Tensor, variance: &Tensor) -> Result<Tensor> {
    x.broadcast_sub(&along(mean, x)?)?
        .broadcast_div(&along(&deviation(variance)?, x)?)
}

fn deviation(variance: &Tensor) -> Result<Tensor> {
    (variance + Norm::EPSILON)?.sqrt()
}

/// Returns `x + b`, with one b per channel.
pub(super) fn shift(x: &Tensor, by: &Tensor) -> Result<Tensor> {
    let y = x.detach().broadcast_add(&along(&by.detach(), x)?)?;
    gradient::binary(x, by, y, |x, _, g| {
        Ok((x.track_op().then(|| g.clone()), Some(channel_sums(g)?)))
    })
}

/// Returns `s · x`, with one s per channel.
pub(super) fn scale(x: &Tensor, by: &Tensor) -> Result<Tensor> {
    let y = x.detach().broadcast_mul(&along(&by.detach(), x)?)?;
    gradient::binary(x, by, y, |x, by, g| {
        let of_x = g.broadcast_mul(&along(&by.detach(), x)?)?;
        Ok((Some(of_x), Some(channel_sums(&(g * x.detach())?)?)))
    })
}

/// Reshapes one number per channel so that it broadcasts over the values of `like`.
fn along(channels: &Tensor, like: &Tensor) -> Result<Tensor> {
    let mut shape = vec![1; like.rank()];
    shape[1] = channels.elem_count();
    channels.reshape(shape)
}

/// Sums over each channel, `[C]`: first over pixels, then over examples, as short sums round less.
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

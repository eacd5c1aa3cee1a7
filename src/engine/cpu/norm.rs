//! Batch norm of groups of images.
//!
//! With n values of a channel in a slice, `x̂ = (x − mean) / √(var + ε)` and `y = γ x̂ + β`
//! (Ioffe and Szegedy, *Batch Normalization*, ICML 2015):
//!
//! ```text
//! dβ = Σ dy      dγ = Σ dy · x̂      dx = γ / √(var + ε) · (dy − dβ / n − x̂ · dγ / n)
//! ```
//!
//! Mean and variance of a channel are put together from those of small chunks (Chan et al.,
//! *Algorithms for Computing the Sample Variance*, 1983, eq. 2.1), each about its own mean: so
//! neither a large mean nor many values cost digits.

use pulp::Arch;

use super::lanes::{GROUP, Lanes};
use crate::model::Norm;

/// Lanes of a chunk: half of a first-level cache.
const CHUNK: usize = 128;

/// Mean and variance of every channel over a slice, and what follows from them.
#[derive(Clone, Default)]
pub struct Statistics {
    /// Values of a channel so far.
    count: f64,
    /// `[C]`
    mean: Vec<f64>,
    /// `[C]`: sum of the squared distances to the mean.
    spread: Vec<f64>,
    /// `[C]`: the mean, and `1 / √(var + ε)`.
    center: Vec<f32>,
    inverse: Vec<f32>,
    /// `[C]`: Σ dy and Σ dy · x̂.
    dy: Vec<f64>,
    dy_x: Vec<f64>,
    /// `[C]`: `dx = a · dy + b · (x − mean) + c`
    back: [Vec<f32>; 3],
    sums: Vec<Lanes>,
}

impl Statistics {
    /// Forgets everything, before the first group of a slice.
    pub fn begin(&mut self, channels: usize) {
        self.count = 0.0;
        for vector in [&mut self.mean, &mut self.spread] {
            vector.clear();
            vector.resize(channels, 0.0);
        }
    }

    /// Takes in the first `examples` examples of a group.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn add(&mut self, arch: Arch, x: &[Lanes], examples: usize) {
        let channels = self.mean.len();
        for chunk in x.chunks(channels * CHUNK.div_ceil(channels)) {
            let count = (chunk.len() / channels * examples) as f64;
            self.sums.clear();
            self.sums.resize(2 * channels, Lanes::ZERO);
            let (sums, squares) = self.sums.split_at_mut(channels);
            let center = &mut self.center;
            arch.dispatch(|| {
                for pixel in chunk.chunks_exact(channels) {
                    for (sum, x) in sums.iter_mut().zip(pixel) {
                        for (sum, x) in sum.0.iter_mut().zip(&x.0) {
                            *sum += x;
                        }
                    }
                }
                center.clear();
                center.extend(sums.iter().map(|sum| single(sum.sum(examples) / count)));
                for pixel in chunk.chunks_exact(channels) {
                    for ((square, x), &mean) in squares.iter_mut().zip(pixel).zip(&*center) {
                        for (square, x) in square.0.iter_mut().zip(&x.0) {
                            let d = x - mean;
                            *square += d * d;
                        }
                    }
                }
            });
            let total = self.count + count;
            for c in 0..channels {
                // About the rounded center, then moved to the chunk's own mean.
                let mean = sums[c].sum(examples) / count;
                let off = mean - f64::from(center[c]);
                let spread = squares[c].sum(examples) - count * off * off;
                let distance = mean - self.mean[c];
                self.mean[c] += distance * count / total;
                self.spread[c] += spread + distance * distance * self.count * count / total;
            }
            self.count = total;
        }
    }

    /// Settles mean and variance, after the last group.
    pub fn finish(&mut self) {
        self.center.clear();
        self.center
            .extend(self.mean.iter().map(|&mean| single(mean)));
        self.inverse.clear();
        let variances = self.spread.iter().map(|&spread| spread / self.count);
        self.inverse
            .extend(variances.map(|var| single(1.0 / (var + Norm::EPSILON).sqrt())));
    }

    /// Takes mean and variance from running averages instead.
    pub fn set(&mut self, mean: &[f32], variance: &[f32]) {
        self.center.clear();
        self.center.extend_from_slice(mean);
        self.inverse.clear();
        self.inverse.extend(
            variance
                .iter()
                .map(|&var| single(1.0 / (f64::from(var) + Norm::EPSILON).sqrt())),
        );
    }

    /// `[2 C]`: the means, then the unbiased variances; the biased one of a single value.
    pub fn report(&self, out: &mut [f32]) {
        let (means, variances) = out.split_at_mut(self.mean.len());
        for (out, &mean) in means.iter_mut().zip(&self.mean) {
            *out = single(mean);
        }
        for (out, &spread) in variances.iter_mut().zip(&self.spread) {
            *out = single(spread / (self.count - 1.0).max(1.0));
        }
    }

    /// `y = γ x̂ + β`, plus `other` if there is one, then `max(·, 0)` if `relu`; one group.
    pub fn forward(
        &self,
        arch: Arch,
        (scale, shift): (&[f32], &[f32]),
        x: &[Lanes],
        other: Option<&[Lanes]>,
        relu: bool,
        y: &mut [Lanes],
    ) {
        let channels = scale.len();
        arch.dispatch(|| {
            for (pixel, (x, y)) in (x.chunks_exact(channels))
                .zip(y.chunks_exact_mut(channels))
                .enumerate()
            {
                let other = other.map(|other| &other[pixel * channels..][..channels]);
                for c in 0..channels {
                    let factor = scale[c] * self.inverse[c];
                    let (x, y) = (&x[c].0, &mut y[c].0);
                    for (y, x) in y.iter_mut().zip(x) {
                        *y = (x - self.center[c]) * factor + shift[c];
                    }
                    if let Some(other) = other {
                        for (y, x) in y.iter_mut().zip(&other[c].0) {
                            *y += x;
                        }
                    }
                    if relu {
                        for y in y {
                            *y = if *y < 0.0 { 0.0 } else { *y };
                        }
                    }
                }
            }
        });
    }

    /// Forgets the gradients of γ and β, before the first group of a backward pass.
    pub fn begin_backward(&mut self) {
        for vector in [&mut self.dy, &mut self.dy_x] {
            vector.clear();
            vector.resize(self.center.len(), 0.0);
        }
    }

    /// Takes in the gradient of a group's output. If `y` is given, the `max(·, 0)` behind the norm
    /// is undone first: `dy` is cleared where `y` is 0.
    pub fn reduce(&mut self, arch: Arch, x: &[Lanes], y: Option<&[Lanes]>, dy: &mut [Lanes]) {
        let channels = self.center.len();
        let lanes = channels * CHUNK.div_ceil(channels);
        for (index, dy) in dy.chunks_mut(lanes).enumerate() {
            let from = index * lanes;
            let x = &x[from..from + dy.len()];
            let y = y.map(|y| &y[from..from + dy.len()]);
            self.sums.clear();
            self.sums.resize(2 * channels, Lanes::ZERO);
            let (sums, products) = self.sums.split_at_mut(channels);
            let (center, inverse) = (&self.center, &self.inverse);
            arch.dispatch(|| {
                for (pixel, (x, dy)) in (x.chunks_exact(channels))
                    .zip(dy.chunks_exact_mut(channels))
                    .enumerate()
                {
                    if let Some(y) = y {
                        clear_where_zero(&y[pixel * channels..][..channels], dy);
                    }
                    for c in 0..channels {
                        let (x, dy) = (&x[c].0, &dy[c].0);
                        let (sum, product) = (&mut sums[c].0, &mut products[c].0);
                        for lane in 0..GROUP {
                            sum[lane] += dy[lane];
                            product[lane] += dy[lane] * (x[lane] - center[c]);
                        }
                    }
                }
            });
            for c in 0..channels {
                self.dy[c] += sums[c].sum(GROUP);
                self.dy_x[c] += products[c].sum(GROUP) * f64::from(inverse[c]);
            }
        }
    }

    /// Settles the gradients of γ and β, after the last group: adds them to the flat `gradient`, or
    /// writes them over it.
    pub fn finish_backward(
        &mut self,
        norm: &Norm,
        params: &[f32],
        add: bool,
        gradient: &mut [f32],
    ) {
        for (range, sums) in [(&norm.shift, &self.dy), (&norm.scale, &self.dy_x)] {
            for (out, &sum) in gradient[range.clone()].iter_mut().zip(sums) {
                *out = if add { *out } else { 0.0 } + single(sum);
            }
        }
        for vector in &mut self.back {
            vector.clear();
        }
        for (c, &scale) in params[norm.scale.clone()].iter().enumerate() {
            let inverse = f64::from(self.inverse[c]);
            let a = f64::from(scale) * inverse;
            let [first, second, third] = &mut self.back;
            first.push(single(a));
            second.push(single(-a * inverse * self.dy_x[c] / self.count));
            third.push(single(-a * self.dy[c] / self.count));
        }
    }

    /// `dx` of the first `examples` examples of a group, 0 in the other lanes.
    pub fn backward(
        &self,
        arch: Arch,
        x: &[Lanes],
        dy: &[Lanes],
        examples: usize,
        add: bool,
        dx: &mut [Lanes],
    ) {
        let channels = self.center.len();
        let [a, b, c] = &self.back;
        arch.dispatch(|| {
            for ((x, dy), dx) in (x.chunks_exact(channels))
                .zip(dy.chunks_exact(channels))
                .zip(dx.chunks_exact_mut(channels))
            {
                for i in 0..channels {
                    let (x, dy, dx) = (&x[i].0, &dy[i].0, &mut dx[i].0);
                    let mut value = [0.0; GROUP];
                    for lane in 0..GROUP {
                        value[lane] = a[i] * dy[lane] + b[i] * (x[lane] - self.center[i]) + c[i];
                    }
                    value[examples..].fill(0.0);
                    if add {
                        for (dx, value) in dx.iter_mut().zip(&value) {
                            *dx += value;
                        }
                    } else {
                        *dx = value;
                    }
                }
            }
        });
    }

    /// [`backward`](Self::backward) that turns `dy` into `dx` where it stands.
    pub fn backward_in_place(&self, arch: Arch, x: &[Lanes], dy: &mut [Lanes], examples: usize) {
        let channels = self.center.len();
        let [a, b, c] = &self.back;
        arch.dispatch(|| {
            for (x, dy) in x.chunks_exact(channels).zip(dy.chunks_exact_mut(channels)) {
                for i in 0..channels {
                    let (x, dy) = (&x[i].0, &mut dy[i].0);
                    for lane in 0..GROUP {
                        dy[lane] = a[i] * dy[lane] + b[i] * (x[lane] - self.center[i]) + c[i];
                    }
                    dy[examples..].fill(0.0);
                }
            }
        });
    }
}

/// Gradient through `y = max(x, 0)`: slope 0 at 0.
#[inline(always)]
pub fn clear_where_zero(y: &[Lanes], dy: &mut [Lanes]) {
    for (y, dy) in y.iter().zip(dy) {
        for (y, dy) in y.0.iter().zip(&mut dy.0) {
            *dy = if *y <= 0.0 { 0.0 } else { *dy };
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

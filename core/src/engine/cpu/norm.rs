//! Batch norm of groups of images.
//!
//! With n values of a channel in a slice, `x̂ = (x − mean) / √(var + ε)` and `y = γ x̂ + β`
//! (Ioffe and Szegedy, *Batch Normalization*, ICML 2015):
//!
//! ```text
//! dβ = Σ dy      dγ = Σ dy · x̂      dx = γ / √(var + ε) · (dy − dβ / n − x̂ · dγ / n)
//! ```
//!
//! Mean and variance of a channel are combined from those of small chunks (Chan et al., *Algorithms for Computing the
//! Sample Variance*, 1983, eq. 2.1), each computed about its own mean, so that neither a large mean nor many values
//! lose precision.

use pulp::{Arch, Simd, WithSimd};

use super::lanes::{GROUP, Lanes};
use super::relu;
use crate::model::Norm;

/// Lanes in a chunk: half of a first-level cache.
const CHUNK: usize = 128;

/// Mean and variance of every channel over a slice, and the factors derived from them.
#[derive(Clone, Default)]
pub struct Statistics {
    /// Values per channel so far.
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
    /// `[C]`
    back: Vec<InputGradient>,
    sums: Vec<Lanes>,
}

impl Statistics {
    /// Resets the statistics before the first group of a slice.
    pub fn begin(&mut self, channels: usize) {
        self.count = 0.0;
        for vector in [&mut self.mean, &mut self.spread] {
            vector.clear();
            vector.resize(channels, 0.0);
        }
    }

    /// Adds the first `examples` examples of a group.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn add(&mut self, arch: Arch, x: &[Lanes], examples: usize) {
        let channels = self.mean.len();
        for chunk in x.chunks(channels * CHUNK.div_ceil(channels)) {
            let count = (chunk.len() / channels * examples) as f64;
            self.sums.clear();
            self.sums.resize(2 * channels, Lanes::ZERO);
            let (sums, squares) = self.sums.split_at_mut(channels);
            arch.dispatch(Add { x: chunk, sums });
            self.center.clear();
            let means = sums.iter().map(|sum| single(sum.sum(examples) / count));
            self.center.extend(means);
            arch.dispatch(AddSquares {
                x: chunk,
                center: &self.center,
                squares,
            });
            let total = self.count + count;
            for c in 0..channels {
                // About the rounded centre, then shifted to the chunk's own mean.
                let mean = sums[c].sum(examples) / count;
                let off = mean - f64::from(self.center[c]);
                let spread = squares[c].sum(examples) - count * off * off;
                let distance = mean - self.mean[c];
                self.mean[c] += distance * count / total;
                self.spread[c] += spread + distance * distance * self.count * count / total;
            }
            self.count = total;
        }
    }

    /// Finalises mean and variance after the last group.
    pub fn finish(&mut self) {
        self.center.clear();
        self.center
            .extend(self.mean.iter().map(|&mean| single(mean)));
        self.inverse.clear();
        let variances = self.spread.iter().map(|&spread| spread / self.count);
        self.inverse
            .extend(variances.map(|var| single(1.0 / (var + Norm::EPSILON).sqrt())));
    }

    /// Uses running averages as mean and variance instead.
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

    /// Writes `[2 C]`: the means, then the unbiased variances (for a single value, the biased one).
    pub fn report(&self, out: &mut [f32]) {
        let (means, variances) = out.split_at_mut(self.mean.len());
        for (out, &mean) in means.iter_mut().zip(&self.mean) {
            *out = single(mean);
        }
        for (out, &spread) in variances.iter_mut().zip(&self.spread) {
            *out = single(spread / (self.count - 1.0).max(1.0));
        }
    }

    /// Computes `y = γ x̂ + β`, plus `other` if given, then `max(·, 0)` if `relu`, for one group.
    pub fn forward(
        &self,
        arch: Arch,
        (scale, shift): (&[f32], &[f32]),
        x: &[Lanes],
        other: Option<&[Lanes]>,
        relu: bool,
        y: &mut [Lanes],
    ) {
        arch.dispatch(Forward {
            statistics: self,
            scale,
            shift,
            x,
            other,
            relu,
            y,
        });
    }

    /// Resets the gradients of γ and β before the first group of a backward pass.
    pub fn begin_backward(&mut self) {
        for vector in [&mut self.dy, &mut self.dy_x] {
            vector.clear();
            vector.resize(self.center.len(), 0.0);
        }
    }

    /// Accumulates the gradient of a group's output. If `y` is given, the `max(·, 0)` after the norm is backpropagated
    /// first: `dy` is set to 0 where `y` is 0.
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
            arch.dispatch(Reduce {
                x,
                y,
                dy,
                center: &self.center,
                sums,
                products,
            });
            let inverse = &self.inverse;
            for c in 0..channels {
                self.dy[c] += sums[c].sum(GROUP);
                self.dy_x[c] += products[c].sum(GROUP) * f64::from(inverse[c]);
            }
        }
    }

    /// Finalises the gradients of γ and β after the last group: adds them to the flat `gradient` if `add`, or
    /// overwrites it.
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
        self.back.clear();
        for (c, &scale) in params[norm.scale.clone()].iter().enumerate() {
            let inverse = f64::from(self.inverse[c]);
            let slope = f64::from(scale) * inverse;
            self.back.push(InputGradient {
                slope: single(slope),
                lean: single(-slope * inverse * self.dy_x[c] / self.count),
                center: self.center[c],
                offset: single(-slope * self.dy[c] / self.count),
            });
        }
    }

    /// Computes `dx` of the first `examples` examples of a group; the other lanes are 0.
    pub fn backward(
        &self,
        arch: Arch,
        x: &[Lanes],
        dy: &[Lanes],
        examples: usize,
        add: bool,
        dx: &mut [Lanes],
    ) {
        let back = &self.back;
        arch.dispatch(Backward {
            back,
            x,
            dy,
            add,
            dx,
        });
        clear_unused(dx, examples);
    }

    /// Like [`backward`](Self::backward), but turns `dy` into `dx` in place.
    pub fn backward_in_place(&self, arch: Arch, x: &[Lanes], dy: &mut [Lanes], examples: usize) {
        let back = &self.back;
        arch.dispatch(BackwardInPlace { back, x, dy });
        clear_unused(dy, examples);
    }
}

/// Sums of every channel over pixels.
struct Add<'a> {
    x: &'a [Lanes],
    sums: &'a mut [Lanes],
}

impl WithSimd for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for pixel in self.x.chunks_exact(self.sums.len()) {
            for (sum, x) in self.sums.iter_mut().zip(pixel) {
                for (sum, &x) in sum.vectors_mut::<S>().iter_mut().zip(x.vectors::<S>()) {
                    *sum = simd.add_f32s(*sum, x);
                }
            }
        }
    }
}

/// Sums of the squared distances to `center`.
struct AddSquares<'a> {
    x: &'a [Lanes],
    center: &'a [f32],
    squares: &'a mut [Lanes],
}

impl WithSimd for AddSquares<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for pixel in self.x.chunks_exact(self.center.len()) {
            for ((square, x), &center) in self.squares.iter_mut().zip(pixel).zip(self.center) {
                let center = simd.splat_f32s(center);
                let squares = square.vectors_mut::<S>().iter_mut();
                for (square, &x) in squares.zip(x.vectors::<S>()) {
                    let distance = simd.sub_f32s(x, center);
                    *square = simd.mul_add_e_f32s(distance, distance, *square);
                }
            }
        }
    }
}

struct Forward<'a> {
    statistics: &'a Statistics,
    scale: &'a [f32],
    shift: &'a [f32],
    x: &'a [Lanes],
    other: Option<&'a [Lanes]>,
    relu: bool,
    y: &'a mut [Lanes],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.scale.len();
        let center = &self.statistics.center[..channels];
        let inverse = &self.statistics.inverse[..channels];
        let pixels = self
            .x
            .chunks_exact(channels)
            .zip(self.y.chunks_exact_mut(channels));
        for (pixel, (x, y)) in pixels.enumerate() {
            let other = self
                .other
                .map(|other| &other[pixel * channels..][..channels]);
            for c in 0..channels {
                let factor = simd.splat_f32s(self.scale[c] * inverse[c]);
                let (center, shift) = (simd.splat_f32s(center[c]), simd.splat_f32s(self.shift[c]));
                let other = other.map(|other| other[c].vectors::<S>());
                let vectors = x[c].vectors::<S>().iter().zip(y[c].vectors_mut::<S>());
                for (v, (&x, y)) in vectors.enumerate() {
                    let mut sum = simd.mul_add_e_f32s(simd.sub_f32s(x, center), factor, shift);
                    if let Some(other) = other {
                        sum = simd.add_f32s(sum, other[v]);
                    }
                    *y = if self.relu {
                        relu::forward(simd, sum)
                    } else {
                        sum
                    };
                }
            }
        }
    }
}

/// Sums of the gradient, and of its product with the distance to `center`, by channel.
struct Reduce<'a> {
    x: &'a [Lanes],
    y: Option<&'a [Lanes]>,
    dy: &'a mut [Lanes],
    center: &'a [f32],
    sums: &'a mut [Lanes],
    products: &'a mut [Lanes],
}

impl WithSimd for Reduce<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.center.len();
        let (sums, products) = (&mut self.sums[..channels], &mut self.products[..channels]);
        let pixels = self
            .x
            .chunks_exact(channels)
            .zip(self.dy.chunks_exact_mut(channels));
        for (pixel, (x, dy)) in pixels.enumerate() {
            let y = self.y.map(|y| &y[pixel * channels..][..channels]);
            for c in 0..channels {
                let center = simd.splat_f32s(self.center[c]);
                let y = y.map(|y| y[c].vectors::<S>());
                let (sums, products) = (sums[c].vectors_mut::<S>(), products[c].vectors_mut::<S>());
                let vectors = x[c].vectors::<S>().iter().zip(dy[c].vectors_mut::<S>());
                for (v, (&x, dy)) in vectors.enumerate() {
                    let slope = match y {
                        Some(y) => relu::backward(simd, y[v], *dy),
                        None => *dy,
                    };
                    *dy = slope;
                    sums[v] = simd.add_f32s(sums[v], slope);
                    let distance = simd.sub_f32s(x, center);
                    products[v] = simd.mul_add_e_f32s(slope, distance, products[v]);
                }
            }
        }
    }
}

struct Backward<'a> {
    back: &'a [InputGradient],
    x: &'a [Lanes],
    dy: &'a [Lanes],
    add: bool,
    dx: &'a mut [Lanes],
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.back.len();
        for ((x, dy), dx) in (self.x.chunks_exact(channels))
            .zip(self.dy.chunks_exact(channels))
            .zip(self.dx.chunks_exact_mut(channels))
        {
            for (((x, dy), dx), back) in x.iter().zip(dy).zip(dx).zip(self.back) {
                let vectors = x.vectors::<S>().iter().zip(dy.vectors::<S>());
                for ((&x, &dy), dx) in vectors.zip(dx.vectors_mut::<S>()) {
                    let value = back.apply(simd, x, dy);
                    *dx = if self.add {
                        simd.add_f32s(*dx, value)
                    } else {
                        value
                    };
                }
            }
        }
    }
}

struct BackwardInPlace<'a> {
    back: &'a [InputGradient],
    x: &'a [Lanes],
    dy: &'a mut [Lanes],
}

impl WithSimd for BackwardInPlace<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let channels = self.back.len();
        let pixels = self
            .x
            .chunks_exact(channels)
            .zip(self.dy.chunks_exact_mut(channels));
        for (x, dy) in pixels {
            for ((x, dy), back) in x.iter().zip(dy).zip(self.back) {
                for (&x, dy) in x.vectors::<S>().iter().zip(dy.vectors_mut::<S>()) {
                    *dy = back.apply(simd, x, *dy);
                }
            }
        }
    }
}

/// `dx = slope · dy + lean · (x − center) + offset` of one channel.
#[derive(Clone, Copy)]
struct InputGradient {
    slope: f32,
    lean: f32,
    center: f32,
    offset: f32,
}

impl InputGradient {
    #[inline(always)]
    fn apply<S: Simd>(&self, simd: S, x: S::f32s, dy: S::f32s) -> S::f32s {
        let distance = simd.sub_f32s(x, simd.splat_f32s(self.center));
        let lean = simd.splat_f32s(self.lean);
        let rest = simd.mul_add_e_f32s(lean, distance, simd.splat_f32s(self.offset));
        simd.mul_add_e_f32s(simd.splat_f32s(self.slope), dy, rest)
    }
}

/// Zeroes the lanes without an example, so that they pass no gradient on.
fn clear_unused(lanes: &mut [Lanes], examples: usize) {
    if examples < GROUP {
        for lanes in lanes {
            lanes.0[examples..].fill(0.0);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "activations are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

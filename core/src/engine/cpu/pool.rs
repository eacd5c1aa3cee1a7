//! Pooling of a group of images.

use pulp::{Arch, Simd, WithSimd};

use super::lanes::Lanes;
use super::relu;
use crate::model::{Pool, Shape};

/// Pooling of images of a given shape.
pub struct PoolWindow {
    pool: Pool,
    channels: usize,
    /// Height and width of the input and of the output.
    input: [usize; 2],
    output: [usize; 2],
}

/// The input pixels under one output pixel.
struct InputPixels {
    corner: usize,
    across: usize,
    row: usize,
    column: usize,
}

impl InputPixels {
    /// First lane of the pixel at `place` of the window, in reading order.
    #[inline(always)]
    fn lane_at(&self, place: usize) -> usize {
        let (u, v) = (place / self.across, place % self.across);
        self.corner + u * self.row + v * self.column
    }
}

impl PoolWindow {
    pub fn new(pool: &Pool, input: Shape, output: Shape) -> Self {
        Self {
            pool: pool.clone(),
            channels: input[0],
            input: [input[1], input[2]],
            output: [output[1], output[2]],
        }
    }

    /// Calls `visit` for every output pixel, with its first lane and the location of its window.
    #[inline(always)]
    fn walk(&self, mut visit: impl FnMut(usize, InputPixels)) {
        let [height, width] = self.output;
        for i in 0..height {
            for j in 0..width {
                let [down, across] = self.pool.stride;
                let under = InputPixels {
                    corner: (i * down * self.input[1] + j * across) * self.channels,
                    across: self.pool.size[1],
                    row: self.input[1] * self.channels,
                    column: self.channels,
                };
                visit((i * width + j) * self.channels, under);
            }
        }
    }

    fn kernel_size(&self) -> usize {
        self.pool.size[0] * self.pool.size[1]
    }

    /// Computes the largest value in each window; NaN if it contains one.
    pub fn forward_max(&self, arch: Arch, x: &[Lanes], y: &mut [Lanes]) {
        arch.dispatch(ForwardMax { window: self, x, y });
    }

    /// Routes each window's gradient to the first of its largest values; adds to `dx` if `add`, otherwise overwrites
    /// it. With `relu`, `x` is the output of a `max(·, 0)`, which is backpropagated too: a 0 receives nothing.
    pub fn backward_max(
        &self,
        arch: Arch,
        [x, y]: [&[Lanes]; 2],
        dy: &[Lanes],
        relu: bool,
        add: bool,
        dx: &mut [Lanes],
    ) {
        if !add {
            dx.fill(Lanes::ZERO);
        }
        arch.dispatch(BackwardMax {
            window: self,
            x,
            y,
            dy,
            relu,
            dx,
        });
    }

    /// Computes the mean of each window.
    pub fn forward_mean(&self, x: &[Lanes], y: &mut [Lanes]) {
        let share = self.share();
        self.walk(|out, under| {
            let y = &mut y[out..][..self.channels];
            y.fill(Lanes::ZERO);
            for place in 0..self.kernel_size() {
                for (y, x) in y.iter_mut().zip(&x[under.lane_at(place)..]) {
                    for (y, x) in y.0.iter_mut().zip(&x.0) {
                        *y += x;
                    }
                }
            }
            for y in y {
                for y in &mut y.0 {
                    *y *= share;
                }
            }
        });
    }

    /// Distributes each window's gradient evenly; adds to `dx` if `add`, otherwise overwrites it.
    pub fn backward_mean(&self, dy: &[Lanes], add: bool, dx: &mut [Lanes]) {
        let share = self.share();
        if !add {
            dx.fill(Lanes::ZERO);
        }
        self.walk(|out, under| {
            for place in 0..self.kernel_size() {
                let dy = &dy[out..][..self.channels];
                for (dx, dy) in dx[under.lane_at(place)..].iter_mut().zip(dy) {
                    for (dx, dy) in dx.0.iter_mut().zip(&dy.0) {
                        *dx += share * dy;
                    }
                }
            }
        });
    }

    #[expect(clippy::cast_precision_loss, reason = "windows are small")]
    fn share(&self) -> f32 {
        1.0 / self.kernel_size() as f32
    }
}

struct ForwardMax<'a> {
    window: &'a PoolWindow,
    x: &'a [Lanes],
    y: &'a mut [Lanes],
}

impl WithSimd for ForwardMax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { window, x, y } = self;
        window.walk(
            #[inline(always)]
            |out, under| {
                for c in 0..window.channels {
                    let y = y[out + c].vectors_mut::<S>();
                    y.copy_from_slice(x[under.lane_at(0) + c].vectors::<S>());
                    for place in 1..window.kernel_size() {
                        let x = x[under.lane_at(place) + c].vectors::<S>();
                        for (y, &x) in y.iter_mut().zip(x) {
                            // NaN is never less than or equal to anything, and nothing to NaN: both cases keep the NaN.
                            let keeps = simd.less_than_or_equal_f32s(x, *y);
                            let is_number = simd.equal_f32s(*y, *y);
                            let larger = simd.select_f32s(keeps, *y, x);
                            *y = simd.select_f32s(is_number, larger, *y);
                        }
                    }
                }
            },
        );
    }
}

struct BackwardMax<'a> {
    window: &'a PoolWindow,
    x: &'a [Lanes],
    y: &'a [Lanes],
    dy: &'a [Lanes],
    relu: bool,
    dx: &'a mut [Lanes],
}

impl WithSimd for BackwardMax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            window,
            x,
            y,
            dy,
            relu,
            dx,
        } = self;
        let zero = simd.splat_f32s(0.0);
        window.walk(
            #[inline(always)]
            |out, under| {
                for c in 0..window.channels {
                    let (y, dy) = (y[out + c].vectors::<S>(), dy[out + c].vectors::<S>());
                    for (v, (&y, &dy)) in y.iter().zip(dy).enumerate() {
                        let mut left = if relu {
                            relu::backward(simd, y, dy)
                        } else {
                            dy
                        };
                        for place in 0..window.kernel_size() {
                            let at = under.lane_at(place) + c;
                            let here = simd.equal_f32s(x[at].vectors::<S>()[v], y);
                            let dx = &mut dx[at].vectors_mut::<S>()[v];
                            *dx = simd.add_f32s(*dx, simd.select_f32s(here, left, zero));
                            left = simd.select_f32s(here, zero, left);
                        }
                    }
                }
            },
        );
    }
}

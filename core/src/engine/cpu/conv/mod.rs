//! Convolution of a group of examples: forward, and the gradients of its input and its weights.
//!
//! All three are sums of products over a window, kept in registers: a tile of M output channels by two vectors of
//! examples (forward and input gradient), or of M inputs by two vectors of output channels (weight gradient). Nothing
//! is copied into columns first; a window that extends beyond the edge of the image is cut off there.
//!
//! With `x[c, i, j]`, `y[o, i, j]` and their gradients, stride s and p zeros of padding before:
//!
//! ```text
//! y[o, i, j]     = b[o] + Σ_{c,u,v} W[o, c, u, v] · x[c, i·s + u − p, j·s + v − p]
//! dx[c, i, j]    =        Σ_{o,u,v} W[o, c, u, v] · dy[o, (i + p − u) / s, (j + p − v) / s]
//! dW[o, c, u, v] =        Σ_{i,j}   dy[o, i, j]   · x[c, i·s + u − p, j·s + v − p]
//! ```

/// Calls a kernel with its tile size as a constant.
macro_rules! with_size {
    ($size:expr, $name:ident::<$simd:ident>($($argument:expr),*)) => {
        match $size {
            12 => $name::<$simd, 12>($($argument),*),
            10 => $name::<$simd, 10>($($argument),*),
            8 => $name::<$simd, 8>($($argument),*),
            6 => $name::<$simd, 6>($($argument),*),
            5 => $name::<$simd, 5>($($argument),*),
            4 => $name::<$simd, 4>($($argument),*),
            3 => $name::<$simd, 3>($($argument),*),
            2 => $name::<$simd, 2>($($argument),*),
            _ => $name::<$simd, 1>($($argument),*),
        }
    };
}

mod products;
mod sums;

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use self::products::WeightGradient;
use self::sums::{ImageSums, PixelSums, Segment, Start};
use super::lanes::{GROUP, Lanes};
use crate::model::{Conv, Shape};

/// A convolution of images of a given shape, ready to run.
pub struct Kernel {
    conv: Conv,
    /// Height and width of the input and of the output.
    input: [usize; 2],
    output: [usize; 2],
    /// Tiles of output channels (forward) and of input channels (input gradient).
    out_tiles: Vec<Tile>,
    in_tiles: Vec<Tile>,
    /// Tiles of adjacent inputs under a row of the kernel: of channels, or of columns and channels together where no
    /// window extends beyond the edge.
    row_tiles: Vec<Tile>,
    /// Output channels, rounded up to whole vectors.
    padded_outputs: usize,
}

/// Neighbouring channels that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tile {
    first: usize,
    /// One of [`SIZES`].
    size: usize,
}

/// Tile sizes that have compiled code.
const SIZES: [usize; 9] = [12, 10, 8, 6, 5, 4, 3, 2, 1];

/// Cuts `channels` into tiles. Two vectors per channel must stay in registers, of which there are 32 or 16: tiles take
/// as many channels as fit, evenly if possible.
fn tiles(arch: Arch, channels: usize) -> Vec<Tile> {
    let largest = if has_32_registers(arch) { 12 } else { 6 };
    let fitting = SIZES.into_iter().filter(|&size| size <= largest);
    let even = fitting
        .clone()
        .find(|size| size * 2 >= largest && channels.is_multiple_of(*size));
    let mut tiles = Vec::new();
    let mut first = 0;
    while first < channels {
        let left = channels - first;
        let whole =
            |size: &usize| *size <= left && (size.is_multiple_of(4) || *size == left || *size < 4);
        let size = even.or_else(|| fitting.clone().find(whole)).unwrap_or(1);
        tiles.push(Tile { first, size });
        first += size;
    }
    tiles
}

fn has_32_registers(arch: Arch) -> bool {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => true,
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(_) => true,
        _ => false,
    }
}

/// Weights in the order in which the kernels read them.
#[derive(Default)]
pub struct Packed {
    /// `[tile of o][u][v][c][o in the tile]`
    forward: Vec<f32>,
    /// `[tile of c][u][v from last to first][o][c in the tile]`
    backward: Vec<f32>,
    /// `[outputs]`: zeros if there is no bias.
    bias: Vec<f32>,
    terms: Vec<Segment>,
}

/// Accumulators for the weight gradient of a slice.
#[derive(Default)]
pub struct WeightSums {
    /// `[u][v][c][padded outputs]`
    weight: Vec<f32>,
    /// `[outputs]`
    bias: Vec<Lanes>,
    /// Output gradients of some rows, `[pixel][example][padded outputs]`.
    transposed: Vec<f32>,
}

impl Kernel {
    pub fn new(arch: Arch, conv: &Conv, input: Shape, output: Shape) -> Self {
        let lanes = vector_lanes(arch);
        let mut kernel = Self {
            input: [input[1], input[2]],
            output: [output[1], output[2]],
            out_tiles: tiles(arch, conv.outputs),
            in_tiles: tiles(arch, conv.inputs),
            row_tiles: Vec::new(),
            padded_outputs: conv.outputs.next_multiple_of(lanes),
            conv: conv.clone(),
        };
        kernel.row_tiles = if kernel.stays_inside() {
            tiles(arch, conv.kernel[1] * conv.inputs)
        } else {
            kernel.in_tiles.clone()
        };
        kernel
    }

    /// Number of [`Lanes`] in one group of the input.
    pub fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.conv.inputs
    }

    pub fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.conv.outputs
    }

    /// Whether all windows lie within the left and right edges.
    fn stays_inside(&self) -> bool {
        let [_, width] = self.output;
        self.conv.before[1] == 0
            && (width - 1) * self.conv.stride[1] + self.conv.kernel[1] <= self.input[1]
    }

    /// Returns the kernel's rows, or columns, that lie inside the image at output `at` along `axis`.
    fn inside(&self, axis: usize, at: usize) -> Range<usize> {
        let start = at * self.conv.stride[axis];
        let before = self.conv.before[axis];
        let from = before.saturating_sub(start);
        let to = (self.input[axis] + before).saturating_sub(start);
        from..to.min(self.conv.kernel[axis])
    }

    /// Returns the outputs along `axis` at which the kernel's row, or column, `at` lies inside the image.
    fn reached(&self, axis: usize, at: usize) -> Range<usize> {
        let (stride, before) = (self.conv.stride[axis], self.conv.before[axis]);
        let from = before.saturating_sub(at).div_ceil(stride);
        let to = (self.input[axis] + before)
            .saturating_sub(at)
            .div_ceil(stride);
        from..to.min(self.output[axis]).max(from)
    }

    /// Reads the weights from the flat vector `params`.
    pub fn pack(&self, params: &[f32], with_gradient: bool, packed: &mut Packed) {
        let conv = &self.conv;
        let [height, width] = conv.kernel;
        let weight = &params[conv.weight.clone()];
        let at = |o: usize, c: usize, u: usize, v: usize| {
            weight[((o * conv.inputs + c) * height + u) * width + v]
        };
        packed.bias.clear();
        match &conv.bias {
            Some(bias) => packed.bias.extend_from_slice(&params[bias.clone()]),
            None => packed.bias.resize(conv.outputs, 0.0),
        }
        packed.forward.clear();
        for tile in &self.out_tiles {
            for (u, v) in pairs(height, width) {
                for c in 0..conv.inputs {
                    let tile = tile.first..tile.first + tile.size;
                    packed.forward.extend(tile.map(|o| at(o, c, u, v)));
                }
            }
        }
        packed.backward.clear();
        if !with_gradient {
            return;
        }
        for tile in &self.in_tiles {
            for (u, v) in pairs(height, width) {
                for o in 0..conv.outputs {
                    let tile = tile.first..tile.first + tile.size;
                    packed
                        .backward
                        .extend(tile.map(|c| at(o, c, u, width - 1 - v)));
                }
            }
        }
    }

    /// Computes `y = conv(x) + b`, then `max(·, 0)` if `relu`, for one group.
    pub fn forward(
        &self,
        arch: Arch,
        packed: &mut Packed,
        x: &[Lanes],
        relu: bool,
        y: &mut [Lanes],
    ) {
        let conv = &self.conv;
        let Packed {
            forward,
            bias,
            terms,
            ..
        } = packed;
        let start = Start::Bias(bias);
        let sums = PixelSums {
            tiles: &self.out_tiles,
            channels: conv.outputs,
            depth: conv.fan_in(),
            weights: forward,
            from: x,
            start,
            relu,
            to: y,
        };
        let segments = |[i, j]: [usize; 2], segments: &mut Vec<Segment>| {
            let columns = self.inside(1, j);
            if columns.is_empty() {
                return;
            }
            let left = j * conv.stride[1] + columns.start - conv.before[1];
            for u in self.inside(0, i) {
                let row = i * conv.stride[0] + u - conv.before[0];
                segments.push(Segment {
                    from: (row * self.input[1] + left) * conv.inputs,
                    weight: (u * conv.kernel[1] + columns.start) * conv.inputs,
                    len: columns.len() * conv.inputs,
                });
            }
        };
        arch.dispatch(ImageSums {
            sums,
            size: self.output,
            segments,
            terms,
        });
    }

    /// Computes `dx = convᵀ(dy)`, added to `dx` if `add`, for one group.
    pub fn backward_input(
        &self,
        arch: Arch,
        packed: &mut Packed,
        dy: &[Lanes],
        add: bool,
        dx: &mut [Lanes],
    ) {
        let conv = &self.conv;
        let Packed {
            backward, terms, ..
        } = packed;
        let sums = PixelSums {
            tiles: &self.in_tiles,
            channels: conv.inputs,
            depth: conv.outputs * conv.kernel[0] * conv.kernel[1],
            weights: backward,
            from: dy,
            start: if add { Start::Before } else { Start::Zero },
            relu: false,
            to: dx,
        };
        let [height, width] = conv.kernel;
        let [rows, columns] = self.output;
        // The output that reads input `at` through the kernel's `tap`, if there is one.
        let reader = |axis: usize, at: usize, tap: usize, count: usize| {
            let ahead = (at + conv.before[axis]).checked_sub(tap)?;
            let stride = conv.stride[axis];
            (ahead.is_multiple_of(stride) && ahead / stride < count).then_some(ahead / stride)
        };
        let segments = |[i, j]: [usize; 2], segments: &mut Vec<Segment>| {
            for u in 0..height {
                let Some(row) = reader(0, i, u, rows) else {
                    continue;
                };
                // Walking the kernel from its last column to its first visits the outputs in ascending order.
                let mut open: Option<(usize, Segment)> = None;
                for v in 0..width {
                    let Some(column) = reader(1, j, width - 1 - v, columns) else {
                        continue;
                    };
                    let segment = Segment {
                        from: (row * columns + column) * conv.outputs,
                        weight: (u * width + v) * conv.outputs,
                        len: conv.outputs,
                    };
                    open = match open {
                        Some((last, grown)) if last + 1 == v => Some((
                            v,
                            Segment {
                                len: grown.len + segment.len,
                                ..grown
                            },
                        )),
                        other => {
                            segments.extend(other.map(|(_, segment)| segment));
                            Some((v, segment))
                        }
                    };
                }
                segments.extend(open.map(|(_, segment)| segment));
            }
        };
        arch.dispatch(ImageSums {
            sums,
            size: self.input,
            segments,
            terms,
        });
    }

    /// Clears the sums of the weight gradient, before the first group of a slice.
    pub fn begin(&self, sums: &mut WeightSums) {
        sums.weight.clear();
        let taps = self.conv.kernel[0] * self.conv.kernel[1];
        sums.weight
            .resize(taps * self.conv.inputs * self.padded_outputs, 0.0);
        sums.bias.clear();
        sums.bias.resize(self.conv.outputs, Lanes::ZERO);
    }

    /// Adds a group's share of the gradients of weights and bias.
    pub fn backward_params(&self, arch: Arch, x: &[Lanes], dy: &[Lanes], sums: &mut WeightSums) {
        assert_eq!((x.len(), dy.len()), (self.input_len(), self.output_len()));
        let taps = self.conv.kernel[0] * self.conv.kernel[1];
        assert_eq!(
            sums.weight.len(),
            taps * self.conv.inputs * self.padded_outputs
        );
        arch.dispatch(WeightGradient {
            kernel: self,
            x,
            dy,
            sums,
        });
    }

    /// Adds the sums of a slice to the flat gradient if `add`, or overwrites it.
    pub fn finish(&self, sums: &WeightSums, add: bool, gradient: &mut [f32]) {
        let conv = &self.conv;
        let [height, width] = conv.kernel;
        let weight = &mut gradient[conv.weight.clone()];
        if !add {
            weight.fill(0.0);
        }
        let padded = self.padded_outputs;
        for (tap, (u, v)) in pairs(height, width).enumerate() {
            for c in 0..conv.inputs {
                let row = &sums.weight[(tap * conv.inputs + c) * padded..][..conv.outputs];
                for (o, sum) in row.iter().enumerate() {
                    weight[((o * conv.inputs + c) * height + u) * width + v] += sum;
                }
            }
        }
        if let Some(bias) = &conv.bias {
            for (db, sum) in gradient[bias.clone()].iter_mut().zip(&sums.bias) {
                let before = if add { *db } else { 0.0 };
                *db = before + single(sum.sum(GROUP));
            }
        }
    }
}

fn pairs(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |u| (0..width).map(move |v| (u, v)))
}

#[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

/// Number of `f32` values in a vector.
fn vector_lanes(arch: Arch) -> usize {
    struct Count;
    impl WithSimd for Count {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch.dispatch(Count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every instruction set that has compiled code and that this machine supports.
    fn archs() -> Vec<Arch> {
        let mut archs = vec![Arch::Scalar, Arch::new()];
        #[cfg(target_arch = "x86_64")]
        archs.extend(pulp::x86::V3::try_new().map(Arch::V3));
        archs
    }

    /// Returns multiples of a quarter, so that sums are exact in any order.
    fn quarters(len: usize, seed: usize) -> Vec<f32> {
        let value = |i: usize| (i * 7919 + seed * 104_729 + i * i) % 9;
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        (0..len).map(|i| value(i) as f32 / 4.0 - 1.0).collect()
    }

    fn group(len: usize, seed: usize) -> Vec<Lanes> {
        let values = quarters(len * GROUP, seed);
        let (chunks, _) = values.as_chunks::<GROUP>();
        chunks.iter().map(|&chunk| Lanes(chunk)).collect()
    }

    /// Calls `visit(y, x, weight)` with the indices of every product that contributes to the output: of `y` and `x` in
    /// a group, and of the weight in its tensor.
    fn products(kernel: &Kernel, mut visit: impl FnMut(usize, usize, usize)) {
        let conv = &kernel.conv;
        let [height, width] = conv.kernel;
        for (i, j) in pairs(kernel.output[0], kernel.output[1]) {
            for (u, v) in pairs(height, width) {
                let row = (i * conv.stride[0] + u).checked_sub(conv.before[0]);
                let column = (j * conv.stride[1] + v).checked_sub(conv.before[1]);
                let (Some(row), Some(column)) = (row, column) else {
                    continue;
                };
                if row >= kernel.input[0] || column >= kernel.input[1] {
                    continue;
                }
                for (o, c) in pairs(conv.outputs, conv.inputs) {
                    visit(
                        (i * kernel.output[1] + j) * conv.outputs + o,
                        (row * kernel.input[1] + column) * conv.inputs + c,
                        ((o * conv.inputs + c) * height + u) * width + v,
                    );
                }
            }
        }
    }

    fn add_product(to: &mut Lanes, by: f32, from: &Lanes) {
        for (to, from) in to.0.iter_mut().zip(&from.0) {
            *to += by * from;
        }
    }

    fn check(kernel: &Kernel, arch: Arch) -> Result<(), TestCaseError> {
        let conv = &kernel.conv;
        let params = quarters(conv.bias.clone().unwrap_or(0..conv.weight.end).end, 1);
        let (x, dy) = (group(kernel.input_len(), 2), group(kernel.output_len(), 3));
        let mut packed = Packed::default();
        kernel.pack(&params, true, &mut packed);

        let mut y = vec![Lanes([7.0; GROUP]); dy.len()];
        let mut expected: Vec<Lanes> = (0..y.len())
            .map(|at| Lanes([packed.bias[at % conv.outputs]; GROUP]))
            .collect();
        products(kernel, |y, from, w| {
            add_product(&mut expected[y], params[w], &x[from]);
        });
        kernel.forward(arch, &mut packed, &x, false, &mut y);
        prop_assert_eq!(&y, &expected);
        kernel.forward(arch, &mut packed, &x, true, &mut y);
        let positive = |lanes: &Lanes| Lanes(lanes.0.map(|x| x.max(0.0)));
        prop_assert_eq!(&y, &expected.iter().map(positive).collect::<Vec<_>>());

        let mut dx = vec![Lanes([7.0; GROUP]); x.len()];
        let mut expected = vec![Lanes::ZERO; x.len()];
        products(kernel, |y, x, w| {
            add_product(&mut expected[x], params[w], &dy[y]);
        });
        kernel.backward_input(arch, &mut packed, &dy, false, &mut dx);
        prop_assert_eq!(&dx, &expected);
        kernel.backward_input(arch, &mut packed, &dy, true, &mut dx);
        let twice = |lanes: &Lanes| Lanes(lanes.0.map(|x| 2.0 * x));
        prop_assert_eq!(&dx, &expected.iter().map(twice).collect::<Vec<_>>());

        let mut gradient = vec![7.0; params.len()];
        let mut expected = vec![0.0; params.len()];
        products(kernel, |y, from, w| {
            let dot: f32 = dy[y].0.iter().zip(&x[from].0).map(|(dy, x)| dy * x).sum();
            expected[w] += 2.0 * dot;
        });
        if let Some(bias) = &conv.bias {
            for (at, dy) in dy.iter().enumerate() {
                expected[bias.start + at % conv.outputs] += 2.0 * dy.0.iter().sum::<f32>();
            }
        }
        let mut sums = WeightSums::default();
        for add in [false, true] {
            kernel.begin(&mut sums);
            kernel.backward_params(arch, &x, &dy, &mut sums);
            kernel.finish(&sums, add, &mut gradient);
        }
        prop_assert_eq!(gradient, expected);
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn kernels_are_sums_of_products_on_every_instruction_set(
            (inputs, outputs) in (1usize..27, 1usize..27),
            kernel in prop::array::uniform2(1usize..5),
            stride in prop::array::uniform2(1usize..4),
            extra in prop::array::uniform2(0usize..6),
            padding in prop::array::uniform2((0usize..4, 0usize..4)),
            bias: bool,
        ) {
            // Zeros before and after, fewer than the kernel is wide, around an image large enough for a window.
            let pad = [0, 1].map(|axis| {
                let (before, behind) = padding[axis];
                [before.min(kernel[axis] - 1), behind.min(kernel[axis] - 1)]
            });
            let size = [0, 1].map(|axis| {
                let [before, behind] = pad[axis];
                (kernel[axis] + extra[axis]).saturating_sub(before + behind).max(1)
            });
            let output = [0, 1].map(|axis| {
                let [before, behind] = pad[axis];
                (size[axis] + before + behind).saturating_sub(kernel[axis]) / stride[axis] + 1
            });
            let weights = inputs * outputs * kernel[0] * kernel[1];
            let conv = Conv {
                inputs,
                outputs,
                kernel,
                stride,
                before: [pad[0][0], pad[1][0]],
                weight: 0..weights,
                bias: bias.then_some(weights..weights + outputs),
            };
            for arch in archs() {
                let input = [inputs, size[0], size[1]];
                let kernel = Kernel::new(arch, &conv, input, [outputs, output[0], output[1]]);
                check(&kernel, arch)?;
            }
        }
    }
}

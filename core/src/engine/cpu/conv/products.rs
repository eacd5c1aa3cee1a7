//! Products of output gradients and inputs, summed over pixels and examples: the gradient of the weights.

#![allow(
    unsafe_code,
    reason = "the kernels read by pointers; each range is asserted before it is walked"
)]

use pulp::{Simd, WithSimd};

use super::{Kernel, WeightSums};
use crate::engine::cpu::lanes::{GROUP, Lanes};

/// Accumulates `dW` and `db` of one group.
pub struct WeightGradient<'a> {
    pub kernel: &'a Kernel,
    pub x: &'a [Lanes],
    pub dy: &'a [Lanes],
    pub sums: &'a mut WeightSums,
}

/// Bytes of output gradients that are transposed at once: with the input rows that they are multiplied by, they fit
/// into a core's second-level cache.
const BLOCK_BYTES: usize = 256 << 10;

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            kernel,
            x,
            dy,
            sums,
        } = self;
        let conv = &kernel.conv;
        let [rows, columns] = kernel.output;
        let padded = kernel.padded_outputs;
        let pixel_len = GROUP * padded;
        let block = (BLOCK_BYTES / (4 * columns * pixel_len)).clamp(1, rows);
        sums.transposed.resize(block * columns * pixel_len, 0.0);
        // Where no window extends beyond an edge, the columns of the kernel and their channels are contiguous.
        let inside = kernel.stays_inside();
        let stretches = if inside { 1 } else { conv.kernel[1] };
        let stretch = conv.inputs * conv.kernel[1] / stretches;
        let mut first = 0;
        while first < rows {
            let some = first..(first + block).min(rows);
            let pixels = some.len() * columns;
            let dy = &dy[first * columns * conv.outputs..][..pixels * conv.outputs];
            transpose(
                dy,
                conv.outputs,
                padded,
                &mut sums.transposed,
                &mut sums.bias,
            );
            for u in 0..conv.kernel[0] {
                let reached = kernel.reached(0, u);
                let reached = reached.start.max(some.start)..reached.end.min(some.end);
                for v in 0..stretches {
                    let along = if inside {
                        0..columns
                    } else {
                        kernel.reached(1, v)
                    };
                    if reached.is_empty() || along.is_empty() {
                        continue;
                    }
                    let top = reached.start * conv.stride[0] + u - conv.before[0];
                    let left = along.start * conv.stride[1] + v - conv.before[1];
                    let weight = ((u * stretches + v) * stretch) * padded;
                    let walk = PixelWalk {
                        rows: reached.len(),
                        columns: along.len(),
                        x: (top * kernel.input[1] + left) * conv.inputs,
                        x_row: conv.stride[0] * kernel.input[1] * conv.inputs,
                        x_column: conv.stride[1] * conv.inputs,
                        dy: ((reached.start - first) * columns + along.start) * pixel_len,
                        dy_row: columns * pixel_len,
                        padded,
                    };
                    // The last element that the walk reads.
                    let (down, across) = (walk.rows - 1, walk.columns - 1);
                    assert!(
                        walk.x + down * walk.x_row + across * walk.x_column + stretch <= x.len()
                            && walk.dy + down * walk.dy_row + (across + 1) * pixel_len
                                <= sums.transposed.len()
                    );
                    let weights = &mut sums.weight[weight..][..stretch * padded];
                    for tile in &kernel.row_tiles {
                        let weights = &mut weights[tile.first * padded..][..tile.size * padded];
                        let x = &x[tile.first..];
                        // SAFETY: the walk was checked above for the whole stretch, of which the
                        // tile is a part; `weights` has `padded` numbers for each of its inputs.
                        unsafe {
                            with_size!(
                                tile.size,
                                product_tile::<S>(simd, &walk, x, &sums.transposed, weights)
                            );
                        }
                    }
                }
            }
            first = some.end;
        }
    }
}

/// The pixels of a block that are multiplied at one position of the kernel. Distances are in lanes of `x` and in
/// elements of the transposed `dy`.
struct PixelWalk {
    rows: usize,
    columns: usize,
    x: usize,
    x_row: usize,
    x_column: usize,
    dy: usize,
    dy_row: usize,
    padded: usize,
}

/// Transposes `[pixel][channel][example]` to `[pixel][example][padded channel]`; adds the pixels to `sums`.
#[inline(always)]
fn transpose(from: &[Lanes], channels: usize, padded: usize, to: &mut [f32], sums: &mut [Lanes]) {
    for (from, to) in from
        .chunks_exact(channels)
        .zip(to.chunks_exact_mut(GROUP * padded))
    {
        for (channel, (lanes, sum)) in from.iter().zip(&mut *sums).enumerate() {
            for (sum, x) in sum.0.iter_mut().zip(&lanes.0) {
                *sum += x;
            }
            for (example, &x) in lanes.0.iter().enumerate() {
                to[example * padded + channel] = x;
            }
        }
    }
}

/// `weights[m, o] += Σ_{pixel, example} x[m] · dy[o]` for M inputs and all output channels.
///
/// # Safety
/// Every position of `walk` must lie within `x` (M lanes) and `dy`; `weights` holds M × `padded`.
#[inline(always)]
unsafe fn product_tile<S: Simd, const M: usize>(
    simd: S,
    walk: &PixelWalk,
    x: &[Lanes],
    dy: &[f32],
    weights: &mut [f32],
) {
    let lanes = S::F32_LANES;
    let mut o = 0;
    while o + 2 * lanes <= walk.padded {
        // SAFETY: both vectors lie within the padded channels.
        unsafe { product_columns::<S, M, 2>(simd, walk, x, dy, weights, o) };
        o += 2 * lanes;
    }
    if o < walk.padded {
        // SAFETY: `padded` is a multiple of a vector's length, so this one lies within it.
        unsafe { product_columns::<S, M, 1>(simd, walk, x, dy, weights, o) };
    }
}

/// [`product_tile`] for N vectors of output channels from `o` on.
///
/// # Safety
/// As for [`product_tile`], and the N vectors must lie within `padded`.
#[inline(always)]
unsafe fn product_columns<S: Simd, const M: usize, const N: usize>(
    simd: S,
    walk: &PixelWalk,
    x: &[Lanes],
    dy: &[f32],
    weights: &mut [f32],
    o: usize,
) {
    let lanes = S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); N]; M];
    // SAFETY: all positions are within what the caller has checked.
    unsafe {
        for row in 0..walk.rows {
            let mut x = x.as_ptr().add(walk.x + row * walk.x_row).cast::<f32>();
            let mut dy = dy.as_ptr().add(walk.dy + row * walk.dy_row + o);
            for _ in 0..walk.columns {
                for example in 0..GROUP {
                    let mut vectors = [simd.splat_f32s(0.0); N];
                    for (n, vector) in vectors.iter_mut().enumerate() {
                        *vector = dy.add(n * lanes).cast::<S::f32s>().read_unaligned();
                    }
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let x = simd.splat_f32s(*x.add(m * GROUP + example));
                        for (sum, vector) in sum.iter_mut().zip(vectors) {
                            *sum = simd.mul_add_e_f32s(x, vector, *sum);
                        }
                    }
                    dy = dy.add(walk.padded);
                }
                x = x.add(walk.x_column * GROUP);
            }
        }
        for (m, sum) in sums.iter().enumerate() {
            for (n, &sum) in sum.iter().enumerate() {
                let at = weights.as_mut_ptr().add(m * walk.padded + o + n * lanes);
                let at = at.cast::<S::f32s>();
                at.write_unaligned(simd.add_f32s(at.read_unaligned(), sum));
            }
        }
    }
}

//! Sums of products over a window: the forward pass and the gradient of the input.

#![allow(
    unsafe_code,
    reason = "the kernels read by pointers; each range is asserted before it is walked"
)]

use pulp::{Simd, WithSimd};

use super::{Tile, pairs};
use crate::engine::cpu::lanes::{GROUP, Lanes};
use crate::engine::cpu::relu;

/// Initial value of a sum of products.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// `[channels]`
    Bias(&'a [f32]),
    Zero,
    /// The value already in the output.
    Before,
}

/// Neighbouring terms of a sum: `len` lanes starting at `from`, with weights starting at `weight`, which is counted in
/// tiles.
#[derive(Clone, Copy)]
pub struct Segment {
    pub from: usize,
    pub weight: usize,
    pub len: usize,
}

/// Computes `to[pixel, m] = start[m] + Σ_k w[k, m] · from[k]` for every pixel and channel m.
pub struct PixelSums<'a> {
    pub tiles: &'a [Tile],
    pub channels: usize,
    /// Number of terms in a whole sum.
    pub depth: usize,
    /// `[tile][depth][size of the tile]`
    pub weights: &'a [f32],
    pub from: &'a [Lanes],
    pub start: Start<'a>,
    pub relu: bool,
    pub to: &'a mut [Lanes],
}

/// [`PixelSums`] for all pixels of an image of `size`; `segments` lists the terms of a pixel.
pub struct ImageSums<'a, F> {
    pub sums: PixelSums<'a>,
    pub size: [usize; 2],
    pub segments: F,
    /// Reusable memory for the terms of one pixel.
    pub terms: &'a mut Vec<Segment>,
}

impl<F: Fn([usize; 2], &mut Vec<Segment>)> WithSimd for ImageSums<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            sums,
            size,
            segments,
            terms,
        } = self;
        let PixelSums {
            tiles,
            channels,
            depth,
            weights,
            from,
            start,
            relu,
            to,
        } = sums;
        assert_eq!(to.len(), size[0] * size[1] * channels);
        assert_eq!(weights.len(), depth * channels);
        if let Start::Bias(bias) = start {
            assert_eq!(bias.len(), channels);
        }
        for (pixel, (i, j)) in pairs(size[0], size[1]).enumerate() {
            terms.clear();
            segments([i, j], terms);
            for term in &*terms {
                assert!(term.from + term.len <= from.len() && term.weight + term.len <= depth);
            }
            let out = &mut to[pixel * channels..][..channels];
            for tile in tiles {
                let start = match start {
                    Start::Bias(bias) => Start::Bias(&bias[tile.first..][..tile.size]),
                    other => other,
                };
                let weights = &weights[tile.first * depth..][..tile.size * depth];
                let out = &mut out[tile.first..][..tile.size];
                // SAFETY: the terms were checked against `from` and `depth` above, `weights` holds
                // `size` numbers for each of `depth` terms, `out` and a bias hold `size` entries.
                unsafe {
                    with_size!(
                        tile.size,
                        sum_tile::<S>(simd, terms, from, weights, start, relu, out)
                    );
                }
            }
        }
    }
}

/// Computes M channels of one pixel.
///
/// # Safety
/// `terms` must lie within `from`, and within `weights` (M numbers per term); `out` and the bias, if there is one, have
/// M entries.
#[inline(always)]
unsafe fn sum_tile<S: Simd, const M: usize>(
    simd: S,
    terms: &[Segment],
    from: &[Lanes],
    weights: &[f32],
    start: Start<'_>,
    relu: bool,
    out: &mut [Lanes],
) {
    let lanes = S::F32_LANES;
    let zero = simd.splat_f32s(0.0);
    let mut lane = 0;
    while lane < GROUP {
        let mut sums = [[zero; 2]; M];
        match start {
            Start::Zero => {}
            Start::Bias(bias) => {
                for (sum, &bias) in sums.iter_mut().zip(bias) {
                    *sum = [simd.splat_f32s(bias); 2];
                }
            }
            Start::Before => {
                for (sum, out) in sums.iter_mut().zip(&*out) {
                    let at = out.0.as_ptr().wrapping_add(lane).cast::<S::f32s>();
                    // SAFETY: two vectors from `lane` on lie within the lanes.
                    *sum = unsafe { [at.read_unaligned(), at.add(1).read_unaligned()] };
                }
            }
        }
        for term in terms {
            // SAFETY: the caller has checked the segment.
            unsafe {
                let mut x = from.as_ptr().add(term.from).cast::<f32>().add(lane);
                let mut w = weights.as_ptr().add(term.weight * M);
                for _ in 0..term.len {
                    let first = x.cast::<S::f32s>().read_unaligned();
                    let second = x.add(lanes).cast::<S::f32s>().read_unaligned();
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let weight = simd.splat_f32s(*w.add(m));
                        sum[0] = simd.mul_add_e_f32s(weight, first, sum[0]);
                        sum[1] = simd.mul_add_e_f32s(weight, second, sum[1]);
                    }
                    x = x.add(GROUP);
                    w = w.add(M);
                }
            }
        }
        for (mut sum, out) in sums.into_iter().zip(&mut *out) {
            if relu {
                sum = sum.map(
                    #[inline(always)]
                    |half| relu::forward(simd, half),
                );
            }
            let at = out.0.as_mut_ptr().wrapping_add(lane).cast::<S::f32s>();
            // SAFETY: as above.
            unsafe {
                at.write_unaligned(sum[0]);
                at.add(1).write_unaligned(sum[1]);
            }
        }
        lane += 2 * lanes;
    }
}

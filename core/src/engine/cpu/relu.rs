//! `y = max(x, 0)` of vectors and of groups.

use pulp::{Arch, Simd, WithSimd};

use super::lanes::Lanes;

/// Computes `x < 0 ? 0 : x`, which lets NaN through: a diverged loss must not be hidden.
#[inline(always)]
pub fn forward<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_f32s(x, zero), zero, x)
}

/// Backpropagates through it: `dy` is set to 0 where `y` is 0, so the slope at 0 is 0.
#[inline(always)]
pub fn backward<S: Simd>(simd: S, y: S::f32s, dy: S::f32s) -> S::f32s {
    let zero = simd.splat_f32s(0.0);
    simd.select_f32s(simd.less_than_or_equal_f32s(y, zero), zero, dy)
}

/// [`backward`] for a group, in place on `dy`.
pub fn backward_group(arch: Arch, y: &[Lanes], dy: &mut [Lanes]) {
    struct BackwardGroup<'a>(&'a [Lanes], &'a mut [Lanes]);
    impl WithSimd for BackwardGroup<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            for (y, dy) in self.0.iter().zip(self.1) {
                for (&y, dy) in y.vectors::<S>().iter().zip(dy.vectors_mut::<S>()) {
                    *dy = backward(simd, y, *dy);
                }
            }
        }
    }
    arch.dispatch(BackwardGroup(y, dy));
}

//! Multiplies movement and gradient into allocations, and sums them over all recorded groups: units, tensors, layers,
//! the network; counts the parameters that helped, hurt, flipped and turned.

use super::integrator::Integral;
use crate::layout::ParamLayout;
use crate::record::{Allocation, HeldOutAllocation, Motion, ParamTotals};

/// The histogram has one bin for each power of two from `2^MIN_EXPONENT` to 1 on either side of zero, one below them
/// and one above. The exponent bits of a number give its bin, so no logarithm is taken and no rounding decides about a
/// value on an edge.
const MIN_EXPONENT: i32 = -40;

/// Number of bins on one side of zero.
const SIDE: usize = (-MIN_EXPONENT) as usize + 2;

/// `B`: number of bins of the histogram of allocations.
pub const HISTOGRAM_BINS: usize = 2 * SIDE;

/// Returns `[B + 1]`: edges of the histogram's bins in nats, ascending, symmetric, with an edge at 0. A bin holds
/// `[lower, upper)` above zero and `(lower, upper]` below; zeros are in none. The outermost edges are infinite.
#[must_use]
pub fn histogram_edges() -> Vec<f64> {
    let mut above = vec![0.0];
    above.extend((MIN_EXPONENT..=0).map(|e| 2.0_f64.powi(e)));
    above.push(f64::INFINITY);
    let below = above[1..].iter().rev().map(|edge| -edge);
    below.chain(above.iter().copied()).collect()
}

/// Returns the bin of an allocation; zero, which is not counted, shares a bin with the smallest.
fn bin(a: f64) -> usize {
    // Biased exponent: 1023 for [1, 2). Subnormal numbers have 0.
    let exponent = i32::try_from(a.to_bits() >> 52 & 0x7ff).unwrap_or(0) - 1023;
    let distance = exponent.clamp(MIN_EXPONENT - 1, 0) - (MIN_EXPONENT - 1);
    let distance = usize::try_from(distance).unwrap_or(0);
    if a < 0.0 {
        SIDE - 1 - distance
    } else {
        SIDE + distance
    }
}

/// The allocation of one step, and the parameters' motion.
pub struct Allocated {
    pub allocation: Allocation,
    pub held_out: Option<HeldOutAllocation>,
    pub motion: Motion,
}

/// Losses at both ends of a step.
#[derive(Clone, Copy, Debug)]
pub struct EndLosses {
    pub before: f64,
    pub after: f64,
}

impl EndLosses {
    fn change(self) -> f64 {
        self.after - self.before
    }
}

/// An allocator's memory of the last step, all `[P]`.
pub struct AllocatorMemory<'a> {
    /// A, in nats.
    pub lca: &'a mut [f64],
    /// Change of A from the step before, in nats.
    pub change: &'a mut [f64],
    /// Δ.
    pub delta: &'a mut [f64],
    /// Change of the full gradient over the step.
    pub gradient_change: &'a mut [f32],
}

/// Allocates one step after another; remembers what is needed to count turns and flips.
pub struct Allocator {
    layout: ParamLayout,
    totals: ParamTotals,
    /// `[P]`: A of this step, A of the last step, and the last change of A.
    lca: Vec<f64>,
    last_lca: Vec<f64>,
    last_change: Vec<f64>,
    /// `[P]`: Δ of the last step.
    last_delta: Vec<f64>,
    /// `[P]`: change of the full gradient over the last step.
    last_gradient_change: Vec<f32>,
}

impl Allocator {
    #[must_use]
    pub fn new(layout: &ParamLayout) -> Self {
        let params = layout.params();
        Self {
            layout: layout.clone(),
            totals: ParamTotals::new(params),
            lca: vec![0.0; params],
            last_lca: vec![0.0; params],
            last_change: vec![0.0; params],
            last_delta: vec![0.0; params],
            last_gradient_change: vec![0.0; params],
        }
    }

    /// Running totals of every parameter, including the last step.
    #[must_use]
    pub fn totals(&self) -> &ParamTotals {
        &self.totals
    }

    /// `[P]`: allocations of the last step, in nats.
    #[must_use]
    pub fn lca(&self) -> &[f64] {
        &self.lca
    }

    /// Returns the memory of earlier steps, to be saved and restored along with the totals.
    pub fn memory(&mut self) -> AllocatorMemory<'_> {
        AllocatorMemory {
            lca: &mut self.lca,
            change: &mut self.last_change,
            delta: &mut self.last_delta,
            gradient_change: &mut self.last_gradient_change,
        }
    }

    /// Restores saved totals.
    pub fn set_totals(&mut self, totals: ParamTotals) {
        self.totals = totals;
    }

    /// Allocates one step. `start` and `end` are the full gradients (`[P]`) at its two ends.
    pub fn allocate(
        &mut self,
        integral: &Integral,
        start: &[f32],
        end: &[f32],
        train: EndLosses,
        held_out: Option<EndLosses>,
    ) -> Allocated {
        std::mem::swap(&mut self.lca, &mut self.last_lca);
        for ((a, delta), gradient) in self
            .lca
            .iter_mut()
            .zip(&integral.delta)
            .zip(&integral.gradient)
        {
            *a = delta * gradient;
        }
        let sums = LayoutSums::compute(&self.layout, |i| self.lca[i]);
        let total: f64 = sums.layer.iter().sum();

        let layers = self.layout.layers.len();
        let mut allocation = Allocation {
            total,
            residual: train.change() - total,
            layer: sums.layer,
            layer_error: integral.layer_error.clone(),
            tensor: sums.tensor,
            unit: sums.unit,
            class_layer: integral.class_layer.iter().map(|&a| single(a)).collect(),
            helped: vec![0; layers],
            hurt: vec![0; layers],
            histogram: vec![0; layers * HISTOGRAM_BINS],
        };
        let motion = self.count(&mut allocation, &integral.delta, start, end);
        self.last_delta.copy_from_slice(&integral.delta);

        let held_out = held_out.map(|ends| self.held_out(integral, ends));
        Allocated {
            allocation,
            held_out,
            motion,
        }
    }

    /// Counts over the parameters of each layer, for this step and in the running totals.
    fn count(
        &mut self,
        allocation: &mut Allocation,
        delta: &[f64],
        start: &[f32],
        end: &[f32],
    ) -> Motion {
        let mut motion = Motion::zeros(self.layout.layers.len());
        let first = self.totals.steps == 0;
        self.totals.steps += 1;
        for (index, layer) in self.layout.layers.iter().enumerate() {
            let histogram = &mut allocation.histogram[index * HISTOGRAM_BINS..][..HISTOGRAM_BINS];
            let (mut update_sq, mut gradient_sq, mut dot) = (0.0, 0.0, 0.0);
            let (mut helped, mut hurt) = (0, 0);
            let (mut update_flips, mut gradient_flips) = (0, 0);
            let (mut gradient_turns, mut lca_turns) = (0, 0);
            for i in layer.range.clone() {
                let a = self.lca[i];
                let delta = delta[i];
                let gradient = f64::from(start[i]);
                update_sq += delta * delta;
                gradient_sq += gradient * gradient;
                dot -= delta * gradient;
                // Sums of comparisons rather than branches: half of all parameters help, unpredictably.
                let helps = a < 0.0;
                let update_flip = opposite(delta, self.last_delta[i]);
                let gradient_flip = opposite(gradient, f64::from(end[i]));
                // A difference of two single-precision numbers is 0 only if they are equal. The first step's change has
                // no predecessor to turn against.
                let gradient_change = end[i] - start[i];
                let gradient_turn = opposite(
                    f64::from(gradient_change),
                    f64::from(self.last_gradient_change[i]),
                );
                // There is no change before the second step, so no turn before the third.
                let change = if first { 0.0 } else { a - self.last_lca[i] };
                self.totals.lca_sum[i] += a;
                self.totals.helped[i] += u32::from(helps);
                self.totals.update_flips[i] += u32::from(update_flip);
                self.totals.gradient_flips[i] += u32::from(gradient_flip);
                histogram[bin(a)] += u32::from(a != 0.0);
                helped += u64::from(helps);
                hurt += u64::from(a > 0.0);
                update_flips += u64::from(update_flip);
                gradient_flips += u64::from(gradient_flip);
                gradient_turns += u64::from(gradient_turn);
                lca_turns += u64::from(opposite(change, self.last_change[i]));
                self.last_change[i] = change;
                self.last_gradient_change[i] = gradient_change;
            }
            allocation.helped[index] = helped;
            allocation.hurt[index] = hurt;
            motion.update_norm[index] = update_sq.sqrt();
            motion.gradient_norm[index] = gradient_sq.sqrt();
            // NaN if a layer did not move or has no gradient: there is no angle then.
            motion.cosine[index] = dot / (update_sq * gradient_sq).sqrt();
            motion.update_flips[index] = update_flips;
            motion.gradient_flips[index] = gradient_flips;
            motion.gradient_turns[index] = gradient_turns;
            motion.lca_turns[index] = lca_turns;
        }
        motion
    }

    fn held_out(&self, integral: &Integral, ends: EndLosses) -> HeldOutAllocation {
        let sums = LayoutSums::compute(&self.layout, |i| {
            integral.delta[i] * integral.held_out_gradient[i]
        });
        let total: f64 = sums.layer.iter().sum();
        HeldOutAllocation {
            total,
            residual: ends.change() - total,
            layer: sums.layer,
            tensor: sums.tensor,
            unit: sums.unit,
        }
    }
}

/// Whether two numbers have opposite signs. The product of tiny ones would underflow to 0.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "a branch here would be mispredicted half the time"
)]
fn opposite(a: f64, b: f64) -> bool {
    ((a < 0.0) & (b > 0.0)) | ((a > 0.0) & (b < 0.0))
}

/// Sums over groups, each made of the sums below it: units into tensors, tensors into layers.
struct LayoutSums {
    layer: Vec<f64>,
    tensor: Vec<f64>,
    unit: Vec<f32>,
}

impl LayoutSums {
    fn compute(layout: &ParamLayout, value: impl Fn(usize) -> f64) -> Self {
        let mut layer = vec![0.0; layout.layers.len()];
        let mut tensor = vec![0.0; layout.tensors.len()];
        let mut unit = vec![0.0_f64; layout.units()];
        layout.for_each_row(|row| {
            let sum: f64 = row.range.clone().map(&value).sum();
            tensor[row.tensor] += sum;
            unit[row.unit] += sum;
        });
        for (t, sum) in layout.tensors.iter().zip(&tensor) {
            layer[t.layer] += sum;
        }
        Self {
            layer,
            tensor,
            unit: unit.into_iter().map(single).collect(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the run file stores these in f32"
)]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout::TensorKind;

    fn layout() -> ParamLayout {
        let mut layout = ParamLayout::default();
        for (name, units, inputs) in [("a", 3, 4), ("b", 2, 3)] {
            let shapes = [
                (TensorKind::Weight, vec![units, inputs]),
                (TensorKind::Bias, vec![units]),
            ];
            layout.push_layer(name, "linear", units, &shapes);
        }
        layout
    }

    proptest! {
        #[test]
        fn a_value_is_counted_between_its_bin_edges(a in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            let edges = histogram_edges();
            prop_assert_eq!(edges.len(), HISTOGRAM_BINS + 1);
            let b = bin(a);
            if a > 0.0 {
                prop_assert!(edges[b] <= a && a < edges[b + 1]);
            } else {
                prop_assert!(edges[b] < a && a <= edges[b + 1]);
            }
        }

        #[test]
        fn sums_close_on_every_level(deltas in prop::collection::vec(-1.0f64..1.0, 23), gradients in prop::collection::vec(-1.0f64..1.0, 23)) {
            let layout = layout();
            let mut allocator = Allocator::new(&layout);
            let integral = Integral {
                delta: deltas.clone(),
                gradient: gradients.clone(),
                layer_error: vec![0.0; 2],
                ..Integral::default()
            };
            let zeros = vec![0.0; 23];
            let ends = EndLosses { before: 1.0, after: 0.5 };
            let Allocated { allocation: a, .. } = allocator.allocate(&integral, &zeros, &zeros, ends, None);
            let naive: f64 = deltas.iter().zip(&gradients).map(|(d, g)| d * g).sum();
            let close = |x: f64, y: f64| (x - y).abs() < 1e-12;
            prop_assert!(close(a.total, naive));
            prop_assert!(close(a.total + a.residual, -0.5));
            prop_assert!(close(a.layer.iter().sum(), naive));
            prop_assert!(close(a.tensor.iter().sum(), naive));
            let units: f64 = a.unit.iter().map(|&u| f64::from(u)).sum();
            prop_assert!((units - naive).abs() < 1e-5);
            // Unit 1 of layer a: its row of the weight and its bias.
            let unit: f64 = (4..8).chain([13]).map(|i| deltas[i] * gradients[i]).sum();
            prop_assert!((f64::from(a.unit[1]) - unit).abs() < 1e-6);
            let counted: u64 = a.helped.iter().chain(&a.hurt).sum();
            let binned: u32 = a.histogram.iter().sum();
            prop_assert_eq!(counted, u64::from(binned));
        }
    }

    /// Feeds the allocator given allocations (Δ = sign, ḡ = A · sign).
    #[test]
    fn flips_and_turns_are_counted_as_defined() {
        let mut layout = ParamLayout::default();
        layout.push_layer("a", "linear", 1, &[(TensorKind::Weight, vec![1, 1])]);
        let mut allocator = Allocator::new(&layout);
        // (Δ, A, gradient at start, gradient at end)
        let steps = [
            (1.0, -1.0, 1.0, 2.0),
            (1.0, 2.0, 2.0, -1.0), // gradient flips; it rose, then fell: a turn
            (-1.0, 1.0, -1.0, -1.0), // update flips; A rose, then fell: a turn
            (0.0, 0.0, -1.0, 0.0), // no movement: no flip
            (1.0, 3.0, 0.0, 1.0),  // A fell, then rose: a turn; Δ after 0 is no flip
        ];
        let mut seen = Vec::new();
        for (delta, a, start, end) in steps {
            let integral = Integral {
                delta: vec![delta],
                gradient: vec![if delta == 0.0 { 0.0 } else { a / delta }],
                layer_error: vec![0.0],
                ..Integral::default()
            };
            let ends = EndLosses {
                before: 0.0,
                after: a,
            };
            let m = allocator
                .allocate(&integral, &[start], &[end], ends, None)
                .motion;
            seen.push([
                m.update_flips[0],
                m.gradient_flips[0],
                m.gradient_turns[0],
                m.lca_turns[0],
            ]);
        }
        assert_eq!(
            seen,
            [
                [0, 0, 0, 0],
                [0, 1, 1, 0],
                [1, 0, 0, 1],
                [0, 0, 0, 0],
                [0, 0, 0, 1]
            ]
        );
        let totals = allocator.totals();
        assert_eq!(totals.steps, 5);
        assert_eq!(
            (
                totals.helped[0],
                totals.update_flips[0],
                totals.gradient_flips[0]
            ),
            (1, 1, 1)
        );
        assert_eq!(totals.lca_sum[0], 5.0);
    }
}

//! Multiplies movement and gradient into allocations, and sums them over all recorded groups: units, tensors, layers,
//! the network; counts the parameters that helped, hurt, flipped and turned.

use pulp::Arch;

use super::blocks::{Block, CHUNK, Rest, Sum, blocks, useful_threads};
use super::integrator::Integral;
use super::path::{MeanGradient, StepPath, movement, widen};
use crate::layout::ParamLayout;
use crate::record::{Allocation, HeldOutAllocation, Motion, ParamTotals};
use crate::threads::for_each;

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
    /// Signs of three quantities of the step, two bits each, from the lowest: of Δ, of the change of the full gradient
    /// over the step, and of the change of A from the step before. 1 is positive, 2 negative, 0 zero.
    pub signs: &'a mut [u8],
}

/// Allocates one step after another; remembers what is needed to count turns and flips.
pub struct Allocator {
    layout: ParamLayout,
    blocks: Vec<Block>,
    threads: usize,
    arch: Arch,
    totals: ParamTotals,
    /// `[P]`: A of the last step.
    lca: Vec<f64>,
    /// `[P]`: as in [`AllocatorMemory::signs`].
    signs: Vec<u8>,
    /// Sums of A over the rows of all tensors, in order.
    rows: Vec<f64>,
    /// Sums and counts of each block.
    sums: Vec<BlockSums>,
}

impl Allocator {
    /// Creates an allocator that works on at most `threads` threads. Results do not depend on their number.
    #[must_use]
    pub fn new(layout: &ParamLayout, threads: usize) -> Self {
        let params = layout.params();
        let blocks = blocks(layout);
        Self {
            threads: useful_threads(threads, params),
            arch: Arch::new(),
            totals: ParamTotals::new(params),
            lca: vec![0.0; params],
            signs: vec![0; params],
            rows: vec![0.0; blocks.iter().map(|block| block.units.len()).sum()],
            sums: vec![BlockSums::ZERO; blocks.len()],
            blocks,
            layout: layout.clone(),
        }
    }

    /// Running totals of every parameter, including the last step.
    #[must_use]
    pub fn totals(&self) -> &ParamTotals {
        &self.totals
    }

    /// Takes the running totals. No further step may be allocated.
    pub fn take_totals(&mut self) -> ParamTotals {
        std::mem::take(&mut self.totals)
    }

    /// `[P]`: allocations of the last step, in nats.
    #[must_use]
    pub fn lca(&self) -> &[f64] {
        &self.lca
    }

    /// `[P]`: as in [`AllocatorMemory::signs`].
    #[must_use]
    pub fn signs(&self) -> &[u8] {
        &self.signs
    }

    /// Returns the memory of the last step, to be saved and restored along with the totals.
    pub fn memory(&mut self) -> AllocatorMemory<'_> {
        AllocatorMemory {
            lca: &mut self.lca,
            signs: &mut self.signs,
        }
    }

    /// Restores saved totals.
    pub fn set_totals(&mut self, totals: ParamTotals) {
        self.totals = totals;
    }

    /// Allocates one step.
    pub fn allocate(
        &mut self,
        path: &StepPath<'_>,
        integral: &Integral,
        train: EndLosses,
        held_out: Option<EndLosses>,
    ) -> Allocated {
        self.allocate_blocks(path);
        self.totals.steps += 1;
        let sums = LayoutSums::of_rows(&self.layout, &self.blocks, &self.rows);
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
        let motion = self.add_up(&mut allocation);
        let held_out = path
            .held_out
            .zip(held_out)
            .map(|(gradient, ends)| self.held_out(path, gradient, ends));
        Allocated {
            allocation,
            held_out,
            motion,
        }
    }

    /// Allocates all blocks: sets A, the signs and the sums of rows and blocks, and adds to the totals.
    fn allocate_blocks(&mut self, path: &StepPath<'_>) {
        // There is no change before the second step, so no turn before the third.
        let is_first = self.totals.steps == 0;
        let Self {
            blocks,
            totals,
            lca,
            signs,
            rows,
            sums,
            arch,
            ..
        } = self;
        let mut lca = Rest(&mut lca[..]);
        let mut signs = Rest(&mut signs[..]);
        let mut rows = Rest(&mut rows[..]);
        let mut lca_sum = Rest(&mut totals.lca_sum[..]);
        let mut helped = Rest(&mut totals.helped[..]);
        let mut update_flips = Rest(&mut totals.update_flips[..]);
        let mut gradient_flips = Rest(&mut totals.gradient_flips[..]);
        let parts = blocks.iter().zip(sums).map(move |(block, sums)| {
            let len = block.range.len();
            let part = BlockPart {
                block,
                lca: lca.take(len),
                signs: signs.take(len),
                lca_sum: lca_sum.take(len),
                helped: helped.take(len),
                update_flips: update_flips.take(len),
                gradient_flips: gradient_flips.take(len),
                rows: rows.take(block.units.len()),
            };
            (part, sums)
        });
        for_each(self.threads, parts, |(part, sums)| {
            *sums = arch.dispatch(
                #[inline(always)]
                || part.allocate(path, is_first),
            );
        });
    }

    /// Adds the sums and counts of all blocks to those of their layers.
    fn add_up(&self, allocation: &mut Allocation) -> Motion {
        let layers = self.layout.layers.len();
        let mut motion = Motion::zeros(layers);
        let mut squares = vec![(0.0, 0.0, 0.0); layers];
        for (block, sums) in self.blocks.iter().zip(&self.sums) {
            let layer = block.layer;
            let (update, gradient, dot) = &mut squares[layer];
            *update += sums.update_sq;
            *gradient += sums.gradient_sq;
            *dot -= sums.dot;
            allocation.helped[layer] += u64::from(sums.helped);
            allocation.hurt[layer] += u64::from(sums.hurt);
            motion.update_flips[layer] += u64::from(sums.update_flips);
            motion.gradient_flips[layer] += u64::from(sums.gradient_flips);
            motion.gradient_turns[layer] += u64::from(sums.gradient_turns);
            motion.lca_turns[layer] += u64::from(sums.lca_turns);
            let histogram = &mut allocation.histogram[layer * HISTOGRAM_BINS..][..HISTOGRAM_BINS];
            for (bin, count) in histogram.iter_mut().zip(&sums.histogram) {
                *bin += count;
            }
        }
        for (layer, (update_sq, gradient_sq, dot)) in squares.into_iter().enumerate() {
            motion.update_norm[layer] = f64::sqrt(update_sq);
            motion.gradient_norm[layer] = f64::sqrt(gradient_sq);
            // NaN if a layer did not move or has no gradient: there is no angle then.
            motion.cosine[layer] = dot / f64::sqrt(update_sq * gradient_sq);
        }
        motion
    }

    fn held_out(
        &mut self,
        path: &StepPath<'_>,
        gradient: MeanGradient<'_>,
        ends: EndLosses,
    ) -> HeldOutAllocation {
        let mut rows = Rest(&mut self.rows[..]);
        let parts = self
            .blocks
            .iter()
            .map(move |block| (block, rows.take(block.units.len())));
        for_each(self.threads, parts, |(block, rows)| {
            self.arch.dispatch(
                #[inline(always)]
                || sum_rows(path, gradient, block, rows),
            );
        });
        let sums = LayoutSums::of_rows(&self.layout, &self.blocks, &self.rows);
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

/// A block's part of every vector.
struct BlockPart<'a> {
    block: &'a Block,
    lca: &'a mut [f64],
    signs: &'a mut [u8],
    lca_sum: &'a mut [f64],
    helped: &'a mut [u32],
    update_flips: &'a mut [u32],
    gradient_flips: &'a mut [u32],
    rows: &'a mut [f64],
}

/// Sums and counts over the parameters of a block.
#[derive(Clone)]
struct BlockSums {
    /// `‖Δ‖²`, `‖g‖²` at the start, and `⟨Δ, g⟩`.
    update_sq: f64,
    gradient_sq: f64,
    dot: f64,
    helped: u32,
    hurt: u32,
    update_flips: u32,
    gradient_flips: u32,
    gradient_turns: u32,
    lca_turns: u32,
    histogram: [u32; HISTOGRAM_BINS],
}

impl BlockSums {
    const ZERO: Self = Self {
        update_sq: 0.0,
        gradient_sq: 0.0,
        dot: 0.0,
        helped: 0,
        hurt: 0,
        update_flips: 0,
        gradient_flips: 0,
        gradient_turns: 0,
        lca_turns: 0,
        histogram: [0; HISTOGRAM_BINS],
    };
}

/// Marks of a parameter in a step. Those of flips and turns are the bits that [`opposite`] returns for the three pairs
/// of signs; the others use the bits in between.
const UPDATE_FLIP: u8 = 1;
const HELPED: u8 = 1 << 1;
const GRADIENT_TURN: u8 = 1 << 2;
const GRADIENT_FLIP: u8 = 1 << 3;
const LCA_TURN: u8 = 1 << 4;
const HURT: u8 = 1 << 5;

impl BlockPart<'_> {
    /// Allocates the block, chunk by chunk. Each loop does one thing, so that it compiles to vector instructions.
    #[inline(always)]
    fn allocate(self, path: &StepPath<'_>, is_first: bool) -> BlockSums {
        let mut sums = BlockSums::ZERO;
        let [mut update_sq, mut gradient_sq, mut dot] = [Sum::default(); 3];
        let (mut delta, mut gradient) = ([0.0; CHUNK], [0.0; CHUNK]);
        let (mut change, mut marks) = ([0.0; CHUNK], [0_u8; CHUNK]);
        let count = |marks: &[u8], mark: u8| -> u32 {
            marks.iter().map(|marks| u32::from(marks & mark != 0)).sum()
        };
        for first in (0..self.lca.len()).step_by(CHUNK) {
            let range = first..(first + CHUNK).min(self.lca.len());
            let (len, at) = (range.len(), self.block.range.start + first);
            let (delta, gradient) = (&mut delta[..len], &mut gradient[..len]);
            let (change, marks) = (&mut change[..len], &mut marks[..len]);
            let (start, end) = (
                &path.train.start[at..at + len],
                &path.train.end[at..at + len],
            );

            movement(path.from, path.to, at, delta);
            path.train.fill(at, gradient);
            let lca = &mut self.lca[range.clone()];
            for i in 0..len {
                let a = delta[i] * gradient[i];
                change[i] = if is_first { 0.0 } else { a - lca[i] };
                lca[i] = a;
            }
            let lca = &*lca;
            widen(start, 0, gradient);
            update_sq.add_products(delta, delta);
            gradient_sq.add_products(gradient, gradient);
            dot.add_products(delta, gradient);

            let signs = &mut self.signs[range.clone()];
            for i in 0..len {
                // A difference of two single-precision numbers is 0 only if they are equal.
                let gradient_change = f64::from(end[i] - start[i]);
                let now = sign(delta[i]) | sign(gradient_change) << 2 | sign(change[i]) << 4;
                let turned = opposite(now, std::mem::replace(&mut signs[i], now));
                let ends = opposite(sign(f64::from(start[i])), sign(f64::from(end[i])));
                let helped = u8::from(lca[i] < 0.0);
                let hurt = u8::from(lca[i] > 0.0);
                marks[i] = turned | ends << 3 | helped << 1 | hurt << 5;
            }
            for (total, a) in self.lca_sum[range.clone()].iter_mut().zip(lca) {
                *total += a;
            }
            for (totals, mark) in [
                (&mut *self.helped, HELPED),
                (&mut *self.update_flips, UPDATE_FLIP),
                (&mut *self.gradient_flips, GRADIENT_FLIP),
            ] {
                for (total, marks) in totals[range.clone()].iter_mut().zip(&*marks) {
                    *total += u32::from(marks & mark != 0);
                }
            }
            sums.helped += count(marks, HELPED);
            sums.hurt += count(marks, HURT);
            sums.update_flips += count(marks, UPDATE_FLIP);
            sums.gradient_flips += count(marks, GRADIENT_FLIP);
            sums.gradient_turns += count(marks, GRADIENT_TURN);
            sums.lca_turns += count(marks, LCA_TURN);
            for &a in lca {
                sums.histogram[bin(a)] += u32::from(a != 0.0);
            }
        }
        (sums.update_sq, sums.gradient_sq) = (update_sq.total(), gradient_sq.total());
        sums.dot = dot.total();
        for (row, lca) in self
            .rows
            .iter_mut()
            .zip(self.lca.chunks(self.block.row_len.max(1)))
        {
            let mut sum = Sum::default();
            sum.add(lca);
            *row = sum.total();
        }
        sums
    }
}

/// Sets `rows` to the sums of `Δ · ḡ` over the rows of a block.
#[inline(always)]
fn sum_rows(path: &StepPath<'_>, gradient: MeanGradient<'_>, block: &Block, rows: &mut [f64]) {
    let (mut delta, mut mean) = ([0.0; CHUNK], [0.0; CHUNK]);
    for (row, sum) in rows.iter_mut().enumerate() {
        let start = block.range.start + row * block.row_len;
        let mut products = Sum::default();
        for at in (0..block.row_len).step_by(CHUNK) {
            let len = CHUNK.min(block.row_len - at);
            movement(path.from, path.to, start + at, &mut delta[..len]);
            gradient.fill(start + at, &mut mean[..len]);
            products.add_products(&delta[..len], &mean[..len]);
        }
        *sum = products.total();
    }
}

/// The sign of a number in two bits: 1 positive, 2 negative, 0 zero or not a number.
#[inline(always)]
fn sign(value: f64) -> u8 {
    u8::from(value > 0.0) | u8::from(value < 0.0) << 1
}

/// Compares three pairs of signs. The lower bit of a pair is set if one sign is positive and the other negative.
#[inline(always)]
fn opposite(a: u8, b: u8) -> u8 {
    const LOWER: u8 = 0b01_01_01;
    let both = a & (b >> 1 & LOWER | b << 1 & LOWER << 1);
    (both | both >> 1) & LOWER
}

/// Sums over groups, each made of the sums below it: units into tensors, tensors into layers.
struct LayoutSums {
    layer: Vec<f64>,
    tensor: Vec<f64>,
    unit: Vec<f32>,
}

impl LayoutSums {
    /// Adds up the sums of rows.
    fn of_rows(layout: &ParamLayout, blocks: &[Block], rows: &[f64]) -> Self {
        let mut layer = vec![0.0; layout.layers.len()];
        let mut tensor = vec![0.0; layout.tensors.len()];
        let mut unit = vec![0.0_f64; layout.units()];
        let places = blocks
            .iter()
            .flat_map(|block| block.units.clone().map(|unit| (block.tensor, unit)));
        for ((of_tensor, of_unit), sum) in places.zip(rows) {
            tensor[of_tensor] += sum;
            unit[of_unit] += sum;
        }
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

    use super::super::path::InnerSums;
    use super::super::quadrature::Rule;
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
        fn sums_close_on_every_level(deltas in prop::collection::vec(-1.0f32..1.0, 23), gradients in prop::collection::vec(-1.0f32..1.0, 23)) {
            let layout = layout();
            let mut allocator = Allocator::new(&layout, 1);
            let path = StepPath {
                from: &[0.0; 23],
                to: &deltas,
                train: MeanGradient::first_order(&gradients, &[0.0; 23]),
                held_out: None,
            };
            let ends = EndLosses { before: 1.0, after: 0.5 };
            let Allocated { allocation: a, .. } = allocator.allocate(&path, &integral(2), ends, None);
            let product = |i: usize| f64::from(deltas[i]) * f64::from(gradients[i]);
            let naive: f64 = (0..23).map(product).sum();
            let close = |x: f64, y: f64| (x - y).abs() < 1e-12;
            prop_assert!(close(a.total, naive));
            prop_assert!(close(a.total + a.residual, -0.5));
            prop_assert!(close(a.layer.iter().sum(), naive));
            prop_assert!(close(a.tensor.iter().sum(), naive));
            let units: f64 = a.unit.iter().map(|&u| f64::from(u)).sum();
            prop_assert!((units - naive).abs() < 1e-5);
            // Unit 1 of layer a: its row of the weight and its bias.
            let unit: f64 = (4..8).chain([13]).map(product).sum();
            prop_assert!((f64::from(a.unit[1]) - unit).abs() < 1e-6);
            let counted: u64 = a.helped.iter().chain(&a.hurt).sum();
            let binned: u32 = a.histogram.iter().sum();
            prop_assert_eq!(counted, u64::from(binned));
        }
    }

    fn integral(layers: usize) -> Integral {
        Integral {
            rule: Rule::FirstOrder,
            total: 0.0,
            class_layer: Vec::new(),
            layer_error: vec![0.0; layers],
            segments: 0,
            gradient_evals: 1,
        }
    }

    /// Feeds the allocator given allocations.
    #[test]
    fn flips_and_turns_are_counted_as_defined() {
        let mut layout = ParamLayout::default();
        layout.push_layer("a", "linear", 1, &[(TensorKind::Weight, vec![1, 1])]);
        let mut allocator = Allocator::new(&layout, 1);
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
            // Simpson's rule gives A / Δ with this gradient in the middle.
            let mean = if delta == 0.0 {
                0.0
            } else {
                a / f64::from(delta)
            };
            let middle = (6.0 * mean - f64::from(start) - f64::from(end)) / 4.0;
            let inner = InnerSums::with_one(vec![single(middle)]);
            let (at_start, at_end) = ([start], [end]);
            let path = StepPath {
                from: &[0.0],
                to: &[delta],
                train: inner.average(Rule::Simpson(2), &at_start, &at_end),
                held_out: None,
            };
            let ends = EndLosses {
                before: 0.0,
                after: a,
            };
            let m = allocator.allocate(&path, &integral(1), ends, None).motion;
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
        assert!((totals.lca_sum[0] - 5.0).abs() < 1e-12);
    }

    /// Allocates one parameter after another, by the definitions.
    struct Naive {
        totals: ParamTotals,
        lca: Vec<f64>,
        change: Vec<f64>,
        delta: Vec<f64>,
        gradient_change: Vec<f64>,
    }

    impl Naive {
        fn new(params: usize) -> Self {
            let zeros = || vec![0.0; params];
            Self {
                totals: ParamTotals::new(params),
                lca: zeros(),
                change: zeros(),
                delta: zeros(),
                gradient_change: zeros(),
            }
        }

        /// Allocates a step, given Δ, ḡ and the gradients at both ends; compares all sums and counts.
        fn check(&mut self, layout: &ParamLayout, step: &NaiveStep, allocated: &Allocated) {
            let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * (1.0 + b.abs());
            let first = self.totals.steps == 0;
            self.totals.steps += 1;
            let (a, motion) = (&allocated.allocation, &allocated.motion);
            let mut units = vec![0.0; layout.units()];
            let mut total = 0.0;
            for (l, layer) in layout.layers.iter().enumerate() {
                let (mut sum, mut sizes) = (0.0, [0.0; 3]);
                let mut counts = [0_u64; 6];
                let mut bins = vec![0_u32; HISTOGRAM_BINS];
                for i in layer.range.clone() {
                    let (delta, start, end) = (step.delta[i], step.start[i], step.end[i]);
                    let lca = delta * step.mean[i];
                    let change = if first { 0.0 } else { lca - self.lca[i] };
                    let turned = |a: f64, b: f64| {
                        u64::from(a.signum() * b.signum() < 0.0 && a != 0.0 && b != 0.0)
                    };
                    let flips = [
                        u64::from(lca < 0.0),
                        u64::from(lca > 0.0),
                        turned(delta, self.delta[i]),
                        turned(start, end),
                        turned(end - start, self.gradient_change[i]),
                        turned(change, self.change[i]),
                    ];
                    for (count, flip) in counts.iter_mut().zip(flips) {
                        *count += flip;
                    }
                    sum += lca;
                    units[layout.location_of(i).unwrap().unit + layer.units.start] += lca;
                    sizes = [
                        sizes[0] + delta * delta,
                        sizes[1] + start * start,
                        sizes[2] - delta * start,
                    ];
                    if lca != 0.0 {
                        bins[bin(lca)] += 1;
                    }
                    self.totals.lca_sum[i] += lca;
                    self.totals.helped[i] += u32::from(lca < 0.0);
                    self.totals.update_flips[i] += u32::try_from(flips[2]).unwrap();
                    self.totals.gradient_flips[i] += u32::try_from(flips[3]).unwrap();
                    (self.lca[i], self.change[i], self.delta[i]) = (lca, change, delta);
                    self.gradient_change[i] = end - start;
                }
                assert!(close(a.layer[l], sum));
                total += sum;
                let seen = [
                    a.helped[l],
                    a.hurt[l],
                    motion.update_flips[l],
                    motion.gradient_flips[l],
                    motion.gradient_turns[l],
                    motion.lca_turns[l],
                ];
                assert_eq!(seen, counts);
                assert_eq!(a.histogram[l * HISTOGRAM_BINS..][..HISTOGRAM_BINS], bins);
                assert!(close(motion.update_norm[l], sizes[0].sqrt()));
                assert!(close(motion.gradient_norm[l], sizes[1].sqrt()));
                assert!(close(
                    motion.cosine[l],
                    sizes[2] / (sizes[0] * sizes[1]).sqrt()
                ));
            }
            assert!(close(a.total, total));
            for (unit, sum) in a.unit.iter().zip(units) {
                assert!((f64::from(*unit) - sum).abs() <= 1e-6 * (1.0 + sum.abs()));
            }
        }
    }

    /// A step with all numbers at hand, `[P]` each.
    struct NaiveStep {
        delta: Vec<f64>,
        mean: Vec<f64>,
        start: Vec<f64>,
        end: Vec<f64>,
    }

    #[test]
    fn blocks_on_any_number_of_threads_give_what_the_definitions_say() {
        use rand::{RngExt, SeedableRng};
        let mut layout = ParamLayout::default();
        for (name, units, inputs) in [("a", 70, 300), ("b", 2, 20_000), ("c", 10, 3)] {
            let shapes = [
                (TensorKind::Weight, vec![units, inputs]),
                (TensorKind::Bias, vec![units]),
            ];
            layout.push_layer(name, "linear", units, &shapes);
        }
        let params = layout.params();
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        // Small whole numbers: zeros, and values that repeat, occur often.
        let mut vector = || -> Vec<f32> {
            (0..params)
                .map(|_| f32::from(rng.random_range(-3_i8..4)))
                .collect()
        };
        let mut naive = Naive::new(params);
        let mut allocators = [1, 2, 3].map(|threads| Allocator {
            threads,
            ..Allocator::new(&layout, 1)
        });
        let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&v| f64::from(v)).collect() };
        for step in 0..4 {
            let (from, to, start, middle, end) = (vector(), vector(), vector(), vector(), vector());
            let inner = InnerSums::with_one(middle.clone());
            let path = StepPath {
                from: &from,
                to: &to,
                train: inner.average(Rule::Simpson(2), &start, &end),
                held_out: Some(MeanGradient::first_order(&middle, &end)),
            };
            let ends = EndLosses {
                before: f64::from(step),
                after: 0.0,
            };
            let [one, two, three] = allocators
                .each_mut()
                .map(|allocator| allocator.allocate(&path, &integral(3), ends, Some(ends)));
            for other in [&two, &three] {
                assert_eq!(one.allocation, other.allocation);
                assert_eq!(one.held_out, other.held_out);
                assert_eq!(one.motion.gradient_turns, other.motion.gradient_turns);
                assert_eq!(one.motion.cosine, other.motion.cosine);
            }
            let (start, end, middle) = (wide(&start), wide(&end), wide(&middle));
            let delta: Vec<f64> = wide(&to)
                .iter()
                .zip(wide(&from))
                .map(|(to, from)| to - from)
                .collect();
            let mean = (0..params).map(|i| {
                let sixth = 1.0 / 6.0;
                sixth * start[i] + sixth * end[i] + 4.0 * sixth * middle[i]
            });
            let naive_step = NaiveStep {
                mean: mean.collect(),
                start,
                end,
                delta,
            };
            naive.check(&layout, &naive_step, &one);
            let held_out: f64 = naive_step
                .delta
                .iter()
                .zip(&middle)
                .map(|(d, g)| d * g)
                .sum();
            assert!((one.held_out.unwrap().total - held_out).abs() < 1e-9);
        }
        assert_eq!(allocators[0].totals(), &naive.totals);
        assert_eq!(allocators[1].totals(), &naive.totals);
        assert_eq!(allocators[0].lca(), naive.lca);
    }
}

//! Null models: are moments of learning shared more often than by chance?
//!
//! The count of [`pairs`](super::moments::Shared::pairs) is compared with the counts after the moments are moved at
//! random, many times:
//!
//! ```text
//! jitter     each moment separately by −2, −1, +1 or +2 steps, with equal probability for those that stay
//!            in the run: is exactly this step shared?
//! circular   all moments of a layer together by 0 … T − 1 steps, wrapping round the run's end: are the
//!            layers' moments independent of each other?
//! p          (1 + #{draws with at least as many pairs}) / (1 + draws)
//!
//! observed 40; 10,000 draws, none with 40 or more: p = 1/10,001 = 0.0001
//! ```
//!
//! Sources: the jitter is that of Lan, Liu, Zhou and Yosinski, *LCA*, `NeurIPS` 2019; p as in Phipson and
//! Smyth, *Permutation p-values should never be zero*, 2010: the run itself counts as one draw.
//!
//! Two moments of a layer that meet after a move still count as two, so that no move loses one. Circular shifts have a
//! known mean, which the tests compare with: each of the `n_l` moments of layer l is shared with probability
//! `1 − Π_{m ≠ l} (1 − n_m/T)`.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::moments::shared;

/// The way in which moments are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullModel {
    Jitter,
    Circular,
}

/// The number of draws and their random seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draws {
    pub draws: u32,
    pub seed: u64,
}

impl Default for Draws {
    fn default() -> Self {
        Self {
            draws: 10_000,
            seed: 0,
        }
    }
}

/// The observed count, and its distribution by chance.
#[derive(Clone, Debug, PartialEq)]
pub struct Null {
    /// Number of pairs in the run.
    pub observed: usize,
    pub draws: u32,
    /// Mean and standard deviation of the draws' counts; NaN without draws.
    pub mean: f64,
    pub deviation: f64,
    /// Smallest count that at least 95 % of the draws do not exceed.
    pub point_95: usize,
    /// The p-value, above 0 and at most 1; 1 without draws.
    pub p: f64,
    /// Histogram of the draws' counts, ascending and without gaps; all bars but the last have the same width.
    pub histogram: Vec<CountBar>,
}

/// Number of draws whose count is in `counts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountBar {
    pub counts: Range<usize>,
    pub draws: u32,
}

/// Most bars in a histogram.
const BARS: usize = 24;

/// Compares the layers' moments (`[L]`, sets of steps) with moments moved at random within the steps of the run.
/// Ignores moments outside the run.
///
/// Determined by the seed. 64 layers with 20 moments and 10,000 draws take about a tenth of a second.
#[must_use]
pub fn null(sets: &[Vec<u64>], run: &Range<u64>, model: NullModel, draws: Draws) -> Null {
    let sets: Vec<Vec<u64>> = sets.iter().map(|set| steps_within(set, run)).collect();
    let steps = run.end.saturating_sub(run.start);
    let moments: usize = sets.iter().map(Vec::len).sum();
    let mut random = RandomBits::new(draws.seed);
    let mut tally = SharedStepCounter::new(moments);
    // `[moments + 1]`: number of draws by their count of pairs.
    let mut counts = vec![0_u32; moments + 1];
    let moves: Vec<Vec<JitterTargets>> = (sets.iter())
        .map(|set| {
            set.iter()
                .map(|step| JitterTargets::around(*step, steps))
                .collect()
        })
        .collect();
    for _ in 0..draws.draws {
        tally.clear();
        for (layer, set) in (0..).zip(&sets) {
            match model {
                NullModel::Jitter => {
                    for moves in &moves[layer as usize] {
                        tally.add(moves.draw(&mut random), layer);
                    }
                }
                NullModel::Circular if steps > 0 => {
                    let by = random.rng.random_range(0..steps);
                    for step in set {
                        let room = steps - step;
                        tally.add(if by < room { step + by } else { by - room }, layer);
                    }
                }
                NullModel::Circular => {}
            }
        }
        counts[tally.pairs] += 1;
    }
    summary(shared(&sets).pairs, &counts)
}

/// Returns the steps within the run, sorted, without duplicates, counted from its first step.
fn steps_within(set: &[u64], run: &Range<u64>) -> Vec<u64> {
    let inside = set.iter().filter(|step| run.contains(step));
    let mut inside: Vec<u64> = inside.map(|step| step - run.start).collect();
    inside.sort_unstable();
    inside.dedup();
    inside
}

#[expect(clippy::cast_precision_loss, reason = "counts of pairs and of draws")]
fn summary(observed: usize, counts: &[u32]) -> Null {
    let draws: u32 = counts.iter().sum();
    let n = f64::from(draws);
    let mean_of = |f: &dyn Fn(f64) -> f64| {
        let sum = counts
            .iter()
            .enumerate()
            .map(|(c, draws)| f(c as f64) * f64::from(*draws));
        sum.sum::<f64>() / n
    };
    let mean = mean_of(&|c| c);
    let mut reached = 0;
    let enough = u64::from(draws) * 95;
    let point_95 = counts.iter().position(|draws| {
        reached += 100 * u64::from(*draws);
        reached >= enough
    });
    let at_least: u32 = counts.get(observed..).unwrap_or_default().iter().sum();
    Null {
        observed,
        draws,
        mean,
        deviation: mean_of(&|c| (c - mean) * (c - mean)).sqrt(),
        point_95: point_95.unwrap_or(0),
        p: (1.0 + f64::from(at_least)) / (1.0 + n),
        histogram: bars(counts),
    }
}

fn bars(counts: &[u32]) -> Vec<CountBar> {
    let drawn = |draws: &u32| *draws > 0;
    let ends = counts
        .iter()
        .position(drawn)
        .zip(counts.iter().rposition(drawn));
    let Some((first, last)) = ends else {
        return Vec::new();
    };
    let width = (last + 1 - first).div_ceil(BARS);
    let starts = (first..=last).step_by(width);
    starts
        .map(|start| start..(start + width).min(last + 1))
        .map(|range| CountBar {
            draws: counts[range.clone()].iter().sum(),
            counts: range,
        })
        .collect()
}

/// The steps to which a moment may move.
struct JitterTargets {
    to: [u64; 4],
    count: u32,
}

impl JitterTargets {
    /// Steps up to two away, within the run; the step itself if there are no others.
    fn around(step: u64, steps: u64) -> Self {
        let mut moves = Self {
            to: [step; 4],
            count: 0,
        };
        let (below, above) = (
            step.saturating_sub(2)..step,
            step + 1..steps.min(step.saturating_add(3)),
        );
        for to in below.chain(above) {
            moves.to[moves.count as usize] = to;
            moves.count += 1;
        }
        moves.count = moves.count.max(1);
        moves
    }

    fn draw(&self, random: &mut RandomBits) -> u64 {
        let index = match self.count {
            4 => random.below_4(),
            count => random.rng.random_range(0..count),
        };
        self.to[index as usize]
    }
}

/// Random numbers: nearly every draw needs two bits, so 32 draws share a 64-bit number.
struct RandomBits {
    rng: ChaCha8Rng,
    bits: u64,
    /// Number of unused bits in `bits`.
    left: u32,
}

impl RandomBits {
    fn new(seed: u64) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            bits: 0,
            left: 0,
        }
    }

    fn below_4(&mut self) -> u32 {
        if self.left == 0 {
            (self.bits, self.left) = (self.rng.random(), u64::BITS);
        }
        let two = self.bits & 3;
        self.bits >>= 2;
        self.left -= 2;
        u32::try_from(two).unwrap_or(0)
    }
}

/// Counts the moments whose step another layer has too: a hash table of steps that is cleared by numbering the draws.
struct SharedStepCounter {
    cells: Vec<StepCell>,
    /// Bits of a hash that are not part of the index.
    shift: u32,
    draw: u32,
    pairs: usize,
}

#[derive(Clone, Copy, Default)]
struct StepCell {
    step: u64,
    /// The draw that filled the cell; 0 if none.
    draw: u32,
    layer: u32,
    /// Number of moments at the step while all are of one layer; 0 from the second layer on.
    alone: u32,
}

impl SharedStepCounter {
    fn new(moments: usize) -> Self {
        // At most a quarter full, so that a free cell is near.
        let cells = (moments.max(1) * 4).next_power_of_two();
        Self {
            cells: vec![StepCell::default(); cells],
            shift: 64 - cells.trailing_zeros(),
            draw: 0,
            pairs: 0,
        }
    }

    fn clear(&mut self) {
        self.draw = self.draw.wrapping_add(1);
        self.pairs = 0;
    }

    fn add(&mut self, step: u64, layer: u32) {
        // Knuth's multiplicative hash, with 2^64 / golden ratio.
        let hash = step.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift;
        let mask = self.cells.len() - 1;
        let mut index = usize::try_from(hash).unwrap_or(0) & mask;
        loop {
            let cell = &mut self.cells[index];
            if cell.draw != self.draw {
                *cell = StepCell {
                    step,
                    draw: self.draw,
                    layer,
                    alone: 1,
                };
                return;
            }
            if cell.step == step {
                match (cell.alone, cell.layer == layer) {
                    (0, _) => self.pairs += 1,
                    (_, true) => cell.alone += 1,
                    (alone, false) => {
                        self.pairs += alone as usize + 1;
                        cell.alone = 0;
                    }
                }
                return;
            }
            index = (index + 1) & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::moments::{KEEP, Moments};
    use proptest::prelude::*;

    const MODELS: [NullModel; 2] = [NullModel::Jitter, NullModel::Circular];

    fn few(draws: u32, seed: u64) -> Draws {
        Draws { draws, seed }
    }

    /// Moments of layers of noise; in `together` of every hundred steps all layers dip.
    fn moments(layers: usize, steps: u64, together: u64, seed: u64) -> Vec<Vec<u64>> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut moments = Moments::new(layers, KEEP);
        for step in 0..steps {
            let dip = if step * 37 % 100 < together {
                -1.0
            } else {
                0.0
            };
            let row: Vec<f64> = (0..layers).map(|_| dip - rng.random::<f64>()).collect();
            moments.push(step, &row);
        }
        moments.sets()
    }

    /// `Σ_l n_l (1 − Π_{m ≠ l} (1 − n_m/T))`
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    fn circular_mean(sets: &[Vec<u64>], steps: u64) -> f64 {
        let n = |l: usize| sets[l].len() as f64;
        let alone = |l: usize| -> f64 {
            let others = (0..sets.len()).filter(|m| *m != l);
            others.map(|m| 1.0 - n(m) / steps as f64).product()
        };
        (0..sets.len()).map(|l| n(l) * (1.0 - alone(l))).sum()
    }

    #[test]
    fn circular_shifts_have_their_known_mean() {
        for (layers, steps) in [(2, 200), (5, 400), (12, 1000)] {
            let sets = moments(layers, steps, 2, 9);
            let null = null(&sets, &(0..steps), NullModel::Circular, few(20_000, 4));
            let error = null.deviation / f64::from(null.draws).sqrt();
            let expected = circular_mean(&sets, steps);
            assert!(
                (null.mean - expected).abs() < 4.0 * error,
                "{} {expected}",
                null.mean
            );
        }
    }

    #[test]
    fn jitter_matches_probabilities_counted_by_hand() {
        // Each anywhere of four steps: together in 4 of 16 cases. Two steps apart (−2 … 2 and 0 … 4, without 0 and 2):
        // together only at 1. At the ends of the run there are only two and three possible steps.
        let cases = [
            ([50, 50], 100, 4.0 / 16.0),
            ([50, 52], 100, 1.0 / 16.0),
            ([0, 0], 100, 1.0 / 2.0),
            ([1, 1], 100, 1.0 / 3.0),
            ([0, 3], 4, 2.0 / 4.0),
            ([0, 1], 2, 0.0),
            ([0, 0], 1, 1.0),
        ];
        for (steps, run, share) in cases {
            let sets = steps.map(|step| vec![step + 1000]);
            let null = null(
                &sets,
                &(1000..1000 + run),
                NullModel::Jitter,
                few(20_000, 5),
            );
            assert!(
                (null.mean - 2.0 * share).abs() < 0.03,
                "{steps:?}: {}",
                null.mean
            );
            assert_eq!(null.observed, if steps[0] == steps[1] { 2 } else { 0 });
        }
    }

    #[test]
    fn synchronised_moments_are_detected() {
        for seed in 0..5 {
            let sets = moments(8, 1000, 2, seed);
            for model in MODELS {
                let null = null(&sets, &(0..1000), model, few(2000, seed));
                assert!(null.p < 0.001, "{model:?}: {null:?}");
                assert!(null.observed > 100 && null.point_95 < null.observed);
            }
        }
    }

    #[test]
    fn p_values_by_chance_are_uniform() {
        for model in MODELS {
            let mut p: Vec<f64> = (0..200)
                .map(|seed| {
                    let sets = moments(6, 600, 0, seed);
                    null(&sets, &(0..600), model, few(200, seed)).p
                })
                .collect();
            p.sort_by(f64::total_cmp);
            // As quantiles of 200 uniform numbers, within four standard errors; counts are whole numbers, so p tends to
            // be larger.
            for (index, quantile) in [(20, 0.1), (100, 0.5), (180, 0.9)] {
                let off = p[index] - quantile;
                assert!(
                    off > -0.14 && off < 0.2,
                    "{model:?}: {quantile} is {}",
                    p[index]
                );
            }
        }
    }

    #[test]
    fn without_shared_moments_nothing_is_detected() {
        for model in MODELS {
            for (sets, run) in [
                (vec![], 0..0),
                (vec![vec![], vec![]], 0..9),
                (vec![vec![7], vec![7]], 10..20),
                (vec![vec![7], vec![7]], Range { start: 9, end: 3 }),
            ] {
                let null = null(&sets, &run, model, few(10, 0));
                assert_eq!((null.observed, null.mean, null.p), (0, 0.0, 1.0));
                assert_eq!(
                    null.histogram,
                    [CountBar {
                        counts: 0..1,
                        draws: 10
                    }]
                );
            }
            let sets = [vec![0, u64::MAX - 1], vec![u64::MAX - 1, u64::MAX - 1]];
            let whole = null(&sets, &(0..u64::MAX), model, few(100, 0));
            assert_eq!((whole.observed, whole.draws), (2, 100));
            let none = null(&sets, &(0..u64::MAX), model, few(0, 0));
            assert_eq!(
                (none.p, none.mean.is_nan(), none.histogram.len()),
                (1.0, true, 0)
            );
        }
    }

    #[test]
    fn statistics_of_a_null_follow_from_its_counts() {
        let mut counts = vec![0; 60];
        (counts[3], counts[10], counts[52]) = (90, 5, 5);
        let null = summary(10, &counts);
        assert_eq!((null.mean, null.point_95, null.p), (5.8, 10, 11.0 / 101.0));
        let variance = 0.9 * 2.8_f64.powi(2) + 0.05 * (4.2_f64.powi(2) + 46.2_f64.powi(2));
        assert!((null.deviation - variance.sqrt()).abs() < 1e-12);
        // 50 counts, 3 to a bar.
        assert_eq!(null.histogram.len(), 17);
        assert_eq!(
            null.histogram[0],
            CountBar {
                counts: 3..6,
                draws: 90
            }
        );
        assert_eq!(
            null.histogram[16],
            CountBar {
                counts: 51..53,
                draws: 5
            }
        );
        assert_eq!(null.histogram.iter().map(|bar| bar.draws).sum::<u32>(), 100);
    }

    proptest! {
        #[test]
        fn the_hash_table_counts_like_a_plain_search(
            layers in prop::collection::vec(prop::collection::vec(0_u64..40, 0..10), 0..6),
            far in any::<bool>(),
        ) {
            let step = |t: u64| if far { t.wrapping_mul(u64::MAX / 39) } else { t };
            let mut tally = SharedStepCounter::new(layers.iter().map(Vec::len).sum());
            // The second draw must not see the first one's entries.
            for _ in 0..2 {
                tally.clear();
                for (layer, steps) in (0..).zip(&layers) {
                    for t in steps {
                        tally.add(step(*t), layer);
                    }
                }
                let shared = |l: usize, t: &u64| {
                    layers.iter().enumerate().any(|(m, other)| m != l && other.contains(t))
                };
                let expected: usize = layers.iter().enumerate()
                    .map(|(l, steps)| steps.iter().filter(|t| shared(l, t)).count())
                    .sum();
                prop_assert_eq!(tally.pairs, expected);
            }
        }
    }
}

//! Statistics of the run file's histogram of allocations: who helps, how heavy the tails are.
//!
//! Its bins are octaves on both sides of zero; zeros are in none of them:
//!
//! ```text
//!  −∞ … −2e −e    0    e   2e   4e … 1   ∞      e = 2^−40 nats
//!   |bin| … |bin |bin |bin |bin |bin | … |bin|
//!    '---- A < 0 -----'   [e, 2e)
//! ```
//!
//! **Share above x**: exact at every edge, `S(x) = #{|A| >= x} / #{A ≠ 0}`. A power law is a straight line on
//! logarithmic axes.
//!
//! **Tail index**: the largest octaves hold `n_0`, `n_1`, … values from the lowest of them upwards. If the share above
//! x falls like x^−α there, each octave holds 2^−α times as many values as the one below, and the maximum-likelihood α
//! is `log2(1 + Σ n_m / Σ m n_m)`. The tail is the fewest whole octaves, at least two, that hold the [`tail_size`]
//! largest values.
//!
//! ```text
//! n = 8 4 2 1      Σ n_m = 15, Σ m n_m = 4 + 4 + 3 = 11, α = log2(1 + 15/11) = 1.24
//! ```
//!
//! Source: Y. Virkar and A. Clauset, *Power-law distributions in binned empirical data*, Annals of Applied Statistics
//! 8, 2014, equation for logarithmic bins. Octaves are coarse: the tail may begin well within the body of the
//! distribution, which falls more slowly, so that α tends to be too small.
//!
//! **Excess kurtosis** `m4 / m2² − 3`, of non-zero allocations. Within an octave the density is modelled as a power of
//! x, whose exponent comes from the two octaves beside it. For a hundred thousand values with light tails, `g + 3` is
//! right to about 10 %; with heavy tails the few largest values dominate, and an octave fixes x⁴ only to a factor of
//! 16: then `g + 3` may be off by a factor of two to three. It tells 10 from 1000, not 10 from 12. With values of 1 nat
//! or more, which the last bin holds whatever their size, it is too small.

use super::help::Help;
use super::tails::{LEAST_TAIL, tail_size};

/// The sign of the allocations to include.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// A < 0.
    Helping,
    /// A > 0.
    Hurting,
    Both,
}

/// The largest values, whose share above x falls like `share · (x/from)^−index`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tail {
    /// The tail index α.
    pub index: f64,
    /// Start of the tail, in nats.
    pub from: f64,
    /// Share of the non-zero magnitudes of this sign that are at least `from`, 0 to 1.
    pub share: f64,
}

/// Counts of non-zero allocations by octave and sign.
#[derive(Clone, Debug, PartialEq)]
pub struct Octaves {
    /// e, the edge next to zero, in nats.
    least: f64,
    /// `[B/2]`, from zero outwards: `(0, e)`, `[e, 2e)`, … , and everything from the last finite edge on.
    below: Vec<u64>,
    above: Vec<u64>,
}

impl Octaves {
    /// An empty histogram with the edges of a run file (`[B + 1]`). `None` if these are not octaves as above, as in a
    /// damaged file.
    #[must_use]
    pub fn new(edges: &[f64]) -> Option<Self> {
        let side = edges.len() / 2;
        let (below, above) = (edges.get(..side)?, edges.get(side + 1..)?);
        let least = *above.first()?;
        let (last, inner) = above.split_last()?;
        let octaves = inner.windows(2).all(|pair| pair[1] == 2.0 * pair[0]);
        let mirrored = below
            .iter()
            .rev()
            .zip(above)
            .all(|(low, high)| -low == *high);
        let ends = least.is_normal() && least > 0.0 && *last == f64::INFINITY;
        let whole = edges.len() % 2 == 1 && edges[side] == 0.0;
        let finite = inner.last()?.is_finite();
        (octaves && mirrored && ends && whole && finite).then(|| Self {
            least,
            below: vec![0; side],
            above: vec![0; side],
        })
    }

    /// Adds the counts of one or more layers and steps (`[B]` each, concatenated). Ignores an incomplete remainder.
    pub fn add<T: Copy + Into<u64>>(&mut self, counts: &[T]) {
        let side = self.above.len();
        for counts in counts.chunks_exact(2 * side) {
            let (below, above) = counts.split_at(side);
            let below = self.below.iter_mut().zip(below.iter().rev());
            for (sum, count) in below.chain(self.above.iter_mut().zip(above)) {
                *sum = sum.saturating_add((*count).into());
            }
        }
    }

    /// Adds another histogram; returns false and does nothing if its edges differ.
    #[must_use]
    pub fn merge(&mut self, other: &Self) -> bool {
        let same = self.least == other.least && self.above.len() == other.above.len();
        if same {
            let below = self.below.iter_mut().zip(&other.below);
            for (sum, count) in below.chain(self.above.iter_mut().zip(&other.above)) {
                *sum = sum.saturating_add(*count);
            }
        }
        same
    }

    /// Returns how many helped and hurt; `zero` is 0, since zeros are not in the histogram.
    #[must_use]
    pub fn help(&self) -> Help {
        Help {
            helped: sum(&self.below),
            zero: 0,
            hurt: sum(&self.above),
        }
    }

    /// Returns the counts of this sign, `[B/2]`, from zero outwards.
    #[must_use]
    pub fn counts(&self, sign: Sign) -> Vec<u64> {
        match sign {
            Sign::Helping => self.below.clone(),
            Sign::Hurting => self.above.clone(),
            Sign::Both => (self.below.iter().zip(&self.above))
                .map(|(below, above)| below.saturating_add(*above))
                .collect(),
        }
    }

    /// Returns the points of the log–log chart, ascending: an edge in nats, and the share of the non-zero magnitudes of
    /// this sign that are at least that large. Edges that no value reaches are left out.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "shares of counts")]
    pub fn survival(&self, sign: Sign) -> Vec<(f64, f64)> {
        let counts = self.counts(sign);
        let all = sum(&counts);
        let mut reached = all;
        let mut edge = self.least;
        let mut points = Vec::new();
        for count in counts {
            reached = reached.saturating_sub(count);
            if reached == 0 {
                break;
            }
            points.push((edge, reached as f64 / all as f64));
            edge *= 2.0;
        }
        points
    }

    /// Returns α; `None` if the tail would have fewer than [`LEAST_TAIL`] values, or they do not span two octaves.
    #[must_use]
    pub fn tail_index(&self, sign: Sign) -> Option<f64> {
        self.tail(sign).map(|tail| tail.index)
    }

    /// Returns the tail index, where the tail begins, and its share.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts, and octaves")]
    pub fn tail(&self, sign: Sign) -> Option<Tail> {
        let counts = self.counts(sign);
        let all = sum(&counts);
        let wanted = tail_size(all);
        let (mut tail, mut octaves) = (0_u64, 0.0);
        // The bin next to zero is not an octave.
        for (below, &count) in counts[1..].iter().enumerate().rev() {
            // With the tail's start one octave lower, every value is one octave further up.
            octaves += tail as f64;
            tail = tail.saturating_add(count);
            if tail >= wanted.max(LEAST_TAIL) && octaves > 0.0 && count > 0 {
                return Some(Tail {
                    index: (tail as f64 / octaves).ln_1p() / std::f64::consts::LN_2,
                    from: self.least * (below as f64).exp2(),
                    share: tail as f64 / all as f64,
                });
            }
        }
        None
    }

    /// Returns the approximate excess kurtosis; `None` if there are no values.
    #[must_use]
    pub fn excess_kurtosis(&self) -> Option<f64> {
        let occupied = |count: &u64| *count > 0;
        let top =
            (self.below.iter().rposition(occupied)).max(self.above.iter().rposition(occupied))?;
        let below = raw_moments(&self.below, top);
        let above = raw_moments(&self.above, top);
        let sign = |k: usize| if k.is_multiple_of(2) { 1.0 } else { -1.0 };
        let n = below[0] + above[0];
        let m = |k: usize| (above[k] + sign(k) * below[k]) / n;
        let mean = m(1);
        let squares = m(2) - mean * mean;
        let fourths =
            m(4) - 4.0 * mean * m(3) + 6.0 * mean * mean * m(2) - 3.0 * mean * mean * mean * mean;
        let g = fourths / squares / squares - 3.0;
        g.is_finite().then_some(g)
    }
}

fn sum(counts: &[u64]) -> u64 {
    counts
        .iter()
        .fold(0, |sum, count| sum.saturating_add(*count))
}

/// Returns `Σ x^k` for k = 0..4 of one side, with x in units of the lower edge of octave `top`.
#[expect(clippy::cast_precision_loss, reason = "counts, and few bins")]
fn raw_moments(counts: &[u64], top: usize) -> [f64; 5] {
    let at = |j: Option<usize>| {
        j.and_then(|j| counts.get(j))
            .map_or(0.0, |count| *count as f64)
    };
    let mut moments = [0.0; 5];
    for (j, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        // Half a count is added, so that an empty neighbour has a logarithm.
        let (inner, outer) = (at(j.checked_sub(1)) + 0.5, at(j.checked_add(1)) + 0.5);
        let slope = (0.5 * (outer / inner).log2()).clamp(-8.0, 8.0);
        let lower = (j as f64 - top as f64).exp2();
        for (k, moment) in (0_u8..).zip(&mut moments) {
            let power = f64::from(k);
            let mean = match j {
                // Spread evenly between 0 and the first edge.
                0 => (2.0 * lower).powi(i32::from(k)) / (power + 1.0),
                _ => lower.powi(i32::from(k)) * integral(power + slope) / integral(slope),
            };
            *moment += *count as f64 * mean;
        }
    }
    moments
}

/// `∫₁² x^(p − 1) dx`
fn integral(p: f64) -> f64 {
    if p.abs() < 1e-9 {
        std::f64::consts::LN_2
    } else {
        (p * std::f64::consts::LN_2).exp_m1() / p
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::tails;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, Normal, StandardNormal, StudentT};

    /// The edges of the run file.
    fn edges() -> Vec<f64> {
        let mut above: Vec<f64> = (-40..=0).map(|e| 2_f64.powi(e)).collect();
        above.push(f64::INFINITY);
        let below = above.iter().rev().map(|edge| -edge);
        below.chain([0.0]).chain(above.iter().copied()).collect()
    }

    /// Counts by comparing with every edge.
    fn histogram(values: &[f64]) -> Octaves {
        let edges = edges();
        let mut counts = vec![0; edges.len() - 1];
        for a in values {
            for (count, pair) in counts.iter_mut().zip(edges.windows(2)) {
                let above = *a > 0.0 && pair[0] <= *a && *a < pair[1];
                let below = *a < 0.0 && pair[0] < *a && *a <= pair[1];
                *count += u32::from(above || below);
            }
        }
        let mut octaves = Octaves::new(&edges).unwrap();
        octaves.add(&counts);
        octaves
    }

    fn samples<D: Distribution<f64>>(distribution: D, n: usize, seed: u64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Deliberately far from a power of two.
        (0..n)
            .map(|_| 1.3e-6 * distribution.sample(&mut rng))
            .collect()
    }

    #[test]
    fn the_example_in_the_module_docs_holds() {
        let mut octaves = Octaves::new(&edges()).unwrap();
        octaves.above[20..24].copy_from_slice(&[8, 4, 2, 1]);
        let alpha = octaves.tail_index(Sign::Hurting).unwrap();
        // The 5 largest of 15 need the octaves with 4, 2 and 1.
        assert!(
            (alpha - (1.0 + 7.0 / 4.0_f64).log2()).abs() < 1e-12,
            "{alpha}"
        );
        octaves.above[20..24].copy_from_slice(&[0, 8, 2, 1]);
        let alpha = octaves.tail_index(Sign::Both).unwrap();
        assert!(
            (alpha - (1.0 + 11.0 / 4.0_f64).log2()).abs() < 1e-12,
            "{alpha}"
        );
    }

    #[test]
    fn edges_that_are_not_octaves_are_refused() {
        assert!(Octaves::new(&[]).is_none());
        assert!(Octaves::new(&[0.0]).is_none());
        assert!(Octaves::new(&[f64::NEG_INFINITY, 0.0, f64::INFINITY]).is_none());
        assert!(Octaves::new(&[f64::NEG_INFINITY, -1.0, 0.0, 1.0, f64::INFINITY]).is_some());
        for at in 0..edges().len() {
            for wrong in [f64::NAN, 0.3, -0.3, f64::INFINITY, f64::NEG_INFINITY, 0.0] {
                let mut edges = edges();
                let right = std::mem::replace(&mut edges[at], wrong);
                assert_eq!(
                    Octaves::new(&edges).is_some(),
                    wrong == right,
                    "{at} {wrong}"
                );
            }
        }
    }

    #[test]
    fn undefined_results_are_none() {
        let mut octaves = Octaves::new(&edges()).unwrap();
        for sign in [Sign::Helping, Sign::Hurting, Sign::Both] {
            assert_eq!(
                (octaves.tail_index(sign), octaves.survival(sign)),
                (None, vec![])
            );
        }
        assert_eq!(octaves.excess_kurtosis(), None);
        // A row that is too short is ignored; huge counts saturate.
        octaves.add(&[1_u32; 83]);
        assert_eq!(octaves.help(), Help::default());
        octaves.add(&[u32::MAX; 84]);
        octaves.above.fill(u64::MAX);
        octaves.below.fill(u64::MAX);
        assert!(octaves.tail_index(Sign::Both).is_some() && octaves.excess_kurtosis().is_some());
        let other = Octaves::new(&[f64::NEG_INFINITY, -1.0, 0.0, 1.0, f64::INFINITY]).unwrap();
        assert!(!octaves.merge(&other));
        let one = histogram(&[1e-5]);
        assert_eq!(one.tail_index(Sign::Both), None);
        assert!(one.excess_kurtosis().is_some());
    }

    #[test]
    fn kurtosis_is_within_the_documented_error() {
        let normal = samples(StandardNormal, 100_000, 1);
        let shifted = samples(Normal::new(-0.5, 1.0).unwrap(), 100_000, 2);
        let laplace: Vec<f64> = {
            let mut rng = ChaCha8Rng::seed_from_u64(3);
            let size = |u: f64| 1e-7 * -(1.0 - u).ln();
            let sign = |u: f64| if u < 0.5 { -1.0 } else { 1.0 };
            (0..100_000)
                .map(|_| sign(rng.random()) * size(rng.random()))
                .collect()
        };
        for (values, within) in [
            (normal, 1.12),
            (shifted, 1.12),
            (laplace, 1.12),
            (samples(StudentT::new(5.0).unwrap(), 100_000, 4), 2.0),
            (samples(StudentT::new(2.0).unwrap(), 100_000, 5), 3.0),
            (samples(StudentT::new(3.0).unwrap(), 1000, 6), 3.0),
        ] {
            let exact = tails::excess_kurtosis(&values) + 3.0;
            let found = histogram(&values).excess_kurtosis().unwrap() + 3.0;
            let ratio = found / exact;
            assert!(
                ratio < within && ratio > 1.0 / within,
                "{found} for {exact}"
            );
        }
    }

    #[test]
    fn the_index_of_a_power_law_is_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for alpha in [0.7, 1.5, 3.0] {
            let values: Vec<f64> = (0..50_000)
                .map(|_| -1e-9 * (1.0 - rng.random::<f64>()).powf(-1.0 / alpha))
                .collect();
            let octaves = histogram(&values);
            let found = octaves.tail_index(Sign::Helping).unwrap();
            assert!((found / alpha - 1.0).abs() < 0.2, "{alpha}: {found}");
            assert_eq!(octaves.tail_index(Sign::Hurting), None);
        }
    }

    proptest! {
        #[test]
        fn shares_above_the_edges_are_exact(
            values in prop::collection::vec((-45.0..3.0_f64, any::<bool>()), 1..200),
        ) {
            let value = |(e, helps): &(f64, bool)| if *helps { -e.exp2() } else { e.exp2() };
            let values: Vec<f64> = values.iter().map(value).collect();
            let octaves = histogram(&values);
            prop_assert_eq!(octaves.help(), Help::count(values.iter().copied()));
            for (sign, own) in [
                (Sign::Helping, values.iter().copied().filter(|a| *a < 0.0).collect::<Vec<_>>()),
                (Sign::Hurting, values.iter().copied().filter(|a| *a > 0.0).collect()),
                (Sign::Both, values.clone()),
            ] {
                let points = octaves.survival(sign);
                let reached = |edge: f64| own.iter().filter(|a| a.abs() >= edge).count();
                for (edge, share) in &points {
                    #[expect(clippy::cast_precision_loss, reason = "few values")]
                    let expected = reached(*edge) as f64 / own.len() as f64;
                    prop_assert_eq!(*share, expected);
                }
                let next = points.last().map_or(edges()[43], |point| 2.0 * point.0);
                prop_assert!(reached(next) == 0 || next > 1.0);
            }
        }

        #[test]
        fn merging_is_adding(counts in prop::collection::vec(0_u32..5, 168)) {
            let mut whole = Octaves::new(&edges()).unwrap();
            whole.add(&counts);
            let mut parts = Octaves::new(&edges()).unwrap();
            for row in counts.chunks(84) {
                let mut part = Octaves::new(&edges()).unwrap();
                part.add(row);
                prop_assert!(parts.merge(&part));
            }
            prop_assert_eq!(parts, whole);
        }
    }
}

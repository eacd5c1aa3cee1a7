//! Moments of learning: the steps at which a layer learns most, and those that layers share.
//!
//! ```text
//! moment   A_{t−1} > A_t < A_{t+1}, A_t the layer's allocation of step t
//! kept     each layer's 20 with the lowest A_t
//! shared   steps at which two or more layers have a kept moment
//! pairs    #{(layer, t) : t is shared}
//!
//! step      0  1  2  3  4  5  6
//! A of a    0 −3  0 −1  0 −2  0      moments 1 3 5; the two deepest 1 5
//! A of b    0  0  0  0 −1 −2  0      moment  5
//! shared: 5; pairs 2
//! ```
//!
//! Source: Lan, Liu, Zhou and Yosinski, *LCA: Loss Change Allocation for Neural Network Training*, `NeurIPS` 2019,
//! section on synchronised learning. [`super::nulls`] has what chance would give.
//!
//! A step that is missing, or is NaN or infinite for the layer, is neither a moment nor a neighbour of one. The first
//! and the last step are never moments.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Number of moments kept for each layer, as in the paper.
pub const KEEP: usize = 20;

/// Finds moments step by step, and keeps each layer's deepest ones.
#[derive(Clone, Debug)]
pub struct Moments {
    keep: usize,
    newest: Option<u64>,
    /// `[L]`
    layers: Vec<LayerMoments>,
}

#[derive(Clone, Debug)]
struct LayerMoments {
    /// A of the step before the newest, and of the newest; NaN if there is none.
    before: f64,
    newest: f64,
    /// The shallowest moment on top.
    kept: BinaryHeap<Moment>,
}

/// A step at which a layer's A has a local minimum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    pub step: u64,
    /// A there, in nats.
    pub lca: f64,
}

impl Eq for Moment {}

/// Ordered by A; of equal ones the earlier counts as deeper.
impl Ord for Moment {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.lca.total_cmp(&other.lca)).then(self.step.cmp(&other.step))
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Moments {
    /// For this many layers; keeps the `keep` deepest moments of each, usually [`KEEP`].
    #[must_use]
    pub fn new(layers: usize, keep: usize) -> Self {
        let layer = LayerMoments {
            before: f64::NAN,
            newest: f64::NAN,
            kept: BinaryHeap::new(),
        };
        Self {
            keep,
            newest: None,
            layers: vec![layer; layers],
        }
    }

    /// Takes in the next step's allocations by layer (`[L]`, in nats); missing ones count as NaN. Ignores a step that
    /// is not later than all before it.
    ///
    /// O(L log keep).
    pub fn push(&mut self, step: u64, lca: &[f64]) {
        let follows = match self.newest {
            Some(newest) if step <= newest => return,
            Some(newest) => step - newest == 1,
            None => false,
        };
        self.newest = Some(step);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            if !follows {
                (layer.before, layer.newest) = (f64::NAN, f64::NAN);
            }
            let now = lca.get(index).copied().unwrap_or(f64::NAN);
            // An infinity is a failure of numbers, not a deep minimum. −0 is 0.
            let now = if now.is_finite() { now + 0.0 } else { f64::NAN };
            if layer.before > layer.newest && layer.newest < now {
                layer.keep_deepest(
                    self.keep,
                    Moment {
                        step: step - 1,
                        lca: layer.newest,
                    },
                );
            }
            (layer.before, layer.newest) = (layer.newest, now);
        }
    }

    /// Returns L, the number of layers.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.layers.len()
    }

    /// Returns the steps of a layer's deepest moments, ascending; empty for a layer that does not exist.
    #[must_use]
    pub fn deepest(&self, layer: usize) -> Vec<u64> {
        self.moments(layer)
            .iter()
            .map(|moment| moment.step)
            .collect()
    }

    /// Returns a layer's deepest moments, by step.
    #[must_use]
    pub fn moments(&self, layer: usize) -> Vec<Moment> {
        let kept = self.layers.get(layer).map(|layer| &layer.kept);
        let mut kept: Vec<Moment> = kept.into_iter().flatten().copied().collect();
        kept.sort_unstable_by_key(|moment| moment.step);
        kept
    }

    /// Returns the steps of every layer's deepest moments (`[L]`), for [`shared`] and the null models.
    #[must_use]
    pub fn sets(&self) -> Vec<Vec<u64>> {
        (0..self.layers())
            .map(|layer| self.deepest(layer))
            .collect()
    }
}

impl LayerMoments {
    fn keep_deepest(&mut self, most: usize, moment: Moment) {
        if self.kept.len() < most {
            self.kept.push(moment);
        } else if let Some(mut shallowest) = self.kept.peek_mut()
            && moment < *shallowest
        {
            *shallowest = moment;
        }
    }
}

/// Moments that layers have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shared {
    /// In ascending order.
    pub steps: Vec<SharedStep>,
    /// #{(layer, t) : t is shared}
    pub pairs: usize,
    /// #{(layer, t)}
    pub moments: usize,
}

/// A step at which two or more layers have a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedStep {
    pub step: u64,
    pub layers: usize,
}

/// Finds the steps that two or more of the layers' sets contain.
#[must_use]
pub fn shared(sets: &[Vec<u64>]) -> Shared {
    let pairs = sets.iter().enumerate();
    let mut pairs: Vec<(u64, usize)> = pairs
        .flat_map(|(layer, steps)| steps.iter().map(move |step| (*step, layer)))
        .collect();
    pairs.sort_unstable();
    // A step that appears twice in a set is one moment.
    pairs.dedup();
    let same_step = pairs
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|chunk| chunk.len() > 1);
    let steps: Vec<SharedStep> = same_step
        .map(|chunk| SharedStep {
            step: chunk[0].0,
            layers: chunk.len(),
        })
        .collect();
    Shared {
        pairs: steps.iter().map(|step| step.layers).sum(),
        moments: pairs.len(),
        steps,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn moments_of(rows: &[[f64; 2]]) -> Moments {
        let mut moments = Moments::new(2, 2);
        for (step, row) in (0..).zip(rows) {
            moments.push(step, row);
        }
        moments
    }

    #[test]
    fn the_example_in_the_module_docs_holds() {
        let a = [0.0, -3.0, 0.0, -1.0, 0.0, -2.0, 0.0];
        let b = [0.0, 0.0, 0.0, 0.0, -1.0, -2.0, 0.0];
        let rows: Vec<[f64; 2]> = a.into_iter().zip(b).map(|(a, b)| [a, b]).collect();
        let sets = moments_of(&rows).sets();
        assert_eq!(sets, [vec![1, 5], vec![5]]);
        let shared = shared(&sets);
        assert_eq!(shared.steps, [SharedStep { step: 5, layers: 2 }]);
        assert_eq!((shared.pairs, shared.moments), (2, 3));
    }

    #[test]
    fn gaps_and_nan_are_not_moments() {
        let nan = f64::NAN;
        let rows = [
            [0.0, 0.0],
            [f64::NEG_INFINITY, nan],
            [0.0, -1.0],
            [-1.0, nan],
            [f64::INFINITY, 0.0],
            [-1.0, -1.0],
            [0.0, -1.0],
            [0.0, 0.0],
        ];
        assert_eq!(moments_of(&rows).sets(), [vec![], Vec::<u64>::new()]);
        let mut moments = Moments::new(1, 5);
        for (step, a) in [
            (0, 0.0),
            (1, -1.0),
            (3, 0.0),
            (4, -1.0),
            (4, 9.0),
            (2, 9.0),
            (5, 0.0),
        ] {
            moments.push(step, &[a]);
        }
        assert_eq!(moments.deepest(0), [4]);
        assert_eq!(moments.moments(0), [Moment { step: 4, lca: -1.0 }]);
        assert_eq!(moments.deepest(7), [0; 0]);
        // Rows that are too short or too long, and the last possible step.
        let mut moments = Moments::new(2, 5);
        moments.push(u64::MAX - 1, &[]);
        moments.push(u64::MAX, &[1.0, 2.0, 3.0]);
        moments.push(0, &[1.0]);
        assert_eq!(moments.sets(), [vec![], Vec::<u64>::new()]);
        assert_eq!(shared(&[]), Shared::default());
    }

    proptest! {
        #[test]
        fn only_the_deepest_moments_are_kept(
            a in prop::collection::vec(-6_i8..6, 0..120), keep in 0_usize..8,
        ) {
            let a: Vec<f64> = a.into_iter().map(f64::from).collect();
            let mut moments = Moments::new(1, keep);
            for (step, a) in (0..).zip(&a) {
                moments.push(step, &[*a]);
            }
            let is_moment = |t: &usize| a[t - 1] > a[*t] && a[*t] < a[t + 1];
            let mut all: Vec<usize> = (1..a.len().saturating_sub(1)).filter(is_moment).collect();
            // Stable: equal values stay in step order.
            all.sort_by(|s, t| a[*s].total_cmp(&a[*t]));
            all.truncate(keep);
            let mut expected: Vec<u64> = all.iter().map(|t| *t as u64).collect();
            expected.sort_unstable();
            prop_assert_eq!(moments.deepest(0), expected);
        }

        #[test]
        fn shared_steps_are_those_of_two_layers(
            sets in prop::collection::vec(prop::collection::vec(0_u64..30, 0..12), 0..6),
        ) {
            let layers = |t: u64| sets.iter().filter(|set| set.contains(&t)).count();
            let expected: Vec<SharedStep> = (0..30)
                .map(|step| SharedStep { step, layers: layers(step) })
                .filter(|shared| shared.layers > 1)
                .collect();
            let found = shared(&sets);
            prop_assert_eq!(found.pairs, expected.iter().map(|s| s.layers).sum::<usize>());
            prop_assert_eq!(found.moments, (0..30).map(layers).sum::<usize>());
            prop_assert_eq!(found.steps, expected);
        }
    }
}

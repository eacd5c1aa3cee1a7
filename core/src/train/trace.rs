//! Selection of the parameters traced at every step.

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use crate::layout::ParamLayout;

/// The `ChaCha8` stream of this draw.
const STREAM: u64 = 4;

/// Draws `count` parameters, ascending: every tensor contributes an equal share, or all it has if it is small, so that
/// biases and narrow layers are represented beside wide ones.
#[must_use]
pub fn choose_traced(layout: &ParamLayout, count: usize, seed: u64) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let mut left = count.min(layout.params());
    let mut tensors: Vec<_> = layout.tensors.iter().map(|t| t.range.clone()).collect();
    tensors.sort_by_key(ExactSizeIterator::len);
    let mut chosen = Vec::with_capacity(left);
    let total = tensors.len();
    for (done, range) in tensors.into_iter().enumerate() {
        let share = left.div_ceil(total - done).min(range.len());
        let picks = index::sample(&mut rng, range.len(), share);
        chosen.extend(picks.into_iter().map(|i| (range.start + i) as u64));
        left -= share;
    }
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout::TensorKind;

    proptest! {
        #[test]
        fn the_requested_number_is_traced_without_duplicates(count in 0usize..300, seed in 0u64..9) {
            let mut layout = ParamLayout::default();
            for (name, units, inputs) in [("a", 10, 20), ("b", 2, 10)] {
                let shapes = [(TensorKind::Weight, vec![units, inputs]), (TensorKind::Bias, vec![units])];
                layout.push_layer(name, "linear", units, &shapes);
            }
            let chosen = choose_traced(&layout, count, seed);
            prop_assert_eq!(chosen.len(), count.min(layout.params()));
            prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(chosen.iter().all(|&i| i < layout.params() as u64));
            if count >= 8 {
                for tensor in &layout.tensors {
                    let range = tensor.range.start as u64..tensor.range.end as u64;
                    let inside = chosen.iter().filter(|i| range.contains(i));
                    prop_assert!(inside.count() >= (count / 4).min(tensor.range.len()));
                }
            }
        }
    }
}

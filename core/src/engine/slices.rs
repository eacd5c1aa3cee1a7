//! The fixed slices in which a data set is evaluated.

use std::ops::Range;

/// Default number of examples in a slice of a network with batch norms: a typical mini-batch. The allocated loss
/// depends on it, so it is the same on every engine and machine, provided that it fits into memory.
pub const NORM_SLICE_SIZE: usize = 250;

/// Examples that are evaluated together: a range of positions in [`SlicePlan::order`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    pub range: Range<usize>,
    /// The class of all its examples, if slices are sorted by class.
    pub class: Option<usize>,
}

/// Which examples are evaluated together, and in which order.
///
/// Slices are contiguous and tile the examples: each example is counted once, and the last slice (of a class, if
/// sorted) may be smaller. Sorted by class, no slice holds two classes, so a gradient by class costs no more than the
/// whole one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePlan {
    /// Row of the data set at each position.
    pub order: Vec<u32>,
    pub slices: Vec<Slice>,
}

impl SlicePlan {
    /// Creates slices of at most `size` examples: sorted by class, or in the order of the data set.
    ///
    /// # Panics
    /// If `size` is 0.
    #[must_use]
    pub fn new(labels: &[u8], size: usize, by_class: bool) -> Self {
        if by_class {
            Self::by_class(labels, size)
        } else {
            Self::in_order(labels.len(), size)
        }
    }

    /// Returns the position of each row of the data set in [`order`](Self::order).
    #[must_use]
    pub fn positions(&self) -> Vec<u32> {
        let mut positions = vec![0; self.order.len()];
        for (at, &row) in (0..).zip(&self.order) {
            positions[row as usize] = at;
        }
        positions
    }

    /// Creates slices of at most `size` examples, in the order of the data set.
    ///
    /// # Panics
    /// If `size` is 0.
    #[must_use]
    pub fn in_order(examples: usize, size: usize) -> Self {
        Self {
            order: (0..examples).map(row_index).collect(),
            slices: cut(0..examples, size, None).collect(),
        }
    }

    /// Creates slices of at most `size` examples of one class each, classes in ascending order.
    ///
    /// # Panics
    /// If `size` is 0.
    #[must_use]
    pub fn by_class(labels: &[u8], size: usize) -> Self {
        let mut order: Vec<u32> = (0..labels.len()).map(row_index).collect();
        order.sort_by_key(|&row| labels[row as usize]); // stable: rows ascend within a class
        let mut slices = Vec::new();
        let mut start = 0;
        for class in order.chunk_by(|&a, &b| labels[a as usize] == labels[b as usize]) {
            let label = usize::from(labels[class[0] as usize]);
            let range = start..start + class.len();
            start = range.end;
            slices.extend(cut(range, size, Some(label)));
        }
        Self { order, slices }
    }
}

fn row_index(row: usize) -> u32 {
    u32::try_from(row).expect("readers refuse data sets of 2^32 rows and more")
}

fn cut(range: Range<usize>, size: usize, class: Option<usize>) -> impl Iterator<Item = Slice> {
    let end = range.end;
    range.step_by(size).map(move |start| Slice {
        range: start..start.saturating_add(size).min(end),
        class,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_example_is_counted_once(labels in prop::collection::vec(0u8..5, 0..200), size in 1usize..50) {
            for plan in [SlicePlan::in_order(labels.len(), size), SlicePlan::by_class(&labels, size)] {
                let mut seen = plan.order.clone();
                seen.sort_unstable();
                prop_assert!(seen.iter().enumerate().all(|(i, &row)| i == row as usize));
                let mut end = 0;
                for slice in &plan.slices {
                    prop_assert_eq!(slice.range.start, end);
                    prop_assert!((1..=size).contains(&slice.range.len()));
                    end = slice.range.end;
                    if let Some(class) = slice.class {
                        let rows = &plan.order[slice.range.clone()];
                        prop_assert!(rows.iter().all(|&r| usize::from(labels[r as usize]) == class));
                    }
                }
                prop_assert_eq!(end, labels.len());
            }
        }
    }
}

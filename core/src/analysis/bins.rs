//! Bins many values into few columns without losing an extreme or part of a sum.
//!
//! ```text
//! values    0 1 2 3 4 5 6 7 8 9       n = 10, columns = 4
//! columns   |0  |1    |2  |3    |     column c covers c*n/columns .. (c+1)*n/columns
//!
//! values    0   1   2                 n = 3, columns = 8
//! columns   0 1 2 3 4 5 6 7           value i is repeated over its columns: a step plot
//!           `-0-' `-1-' `2'
//! ```
//!
//! Charts, ticks, cursors and mouse clicks all go through the same three functions
//! ([`indices_at`], [`index_at`], [`column_of`]), so that they agree to the column.

use std::ops::Range;

/// The smallest and largest finite value of a column. From [`Extent::of`], both are finite and `min <= max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    pub min: f32,
    pub max: f32,
}

impl Extent {
    /// Returns the extent of the finite values; `None` if there are none.
    #[must_use]
    pub fn of(values: &[f32]) -> Option<Self> {
        let finite = values.iter().copied().filter(|value| value.is_finite());
        finite.fold(None, |extent, value| {
            let point = Self {
                min: value,
                max: value,
            };
            Some(extent.map_or(point, |extent: Self| extent.merge(point)))
        })
    }

    /// Returns the extent that covers both.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            min: self.min.min(other.min),
            max: self.max.max(other.max),
        }
    }
}

/// Returns each column's minimum and maximum; `None` for a column without finite values (a visible gap).
#[must_use]
pub fn extents(values: &[f32], columns: usize) -> Vec<Option<Extent>> {
    (0..columns)
        .map(|column| Extent::of(&values[indices_at(column, values.len(), columns)]))
        .collect()
}

/// Returns each column's sum, accumulated in `f64`.
///
/// With at least as many values as columns, the column sums add up to the sum of all values; with fewer, each value is
/// repeated over its columns, not divided among them. A NaN makes its column NaN: a sum with an unknown part is
/// unknown.
#[must_use]
pub fn sums(values: &[f32], columns: usize) -> Vec<f64> {
    (0..columns)
        .map(|column| {
            let values = &values[indices_at(column, values.len(), columns)];
            values.iter().copied().map(f64::from).sum()
        })
        .collect()
}

/// Returns the indices of the values that `column` covers: at least one, or none if there are no values or no such
/// column.
#[must_use]
pub fn indices_at(column: usize, n: usize, columns: usize) -> Range<usize> {
    if n == 0 || column >= columns {
        return 0..0;
    }
    let start = scaled(column, n, columns);
    start..scaled(column + 1, n, columns).max(start + 1)
}

/// Returns the index of the first value that `column` covers.
#[must_use]
pub fn index_at(column: usize, n: usize, columns: usize) -> Option<usize> {
    let indices = indices_at(column, n, columns);
    (!indices.is_empty()).then_some(indices.start)
}

/// Returns the columns that show value `index` of `n`: one if there are at least as many values as columns, else all
/// columns over which the value is repeated. Empty if there is no such value or no column.
#[must_use]
pub fn column_of(index: usize, n: usize, columns: usize) -> Range<usize> {
    if index >= n || columns == 0 {
        return 0..0;
    }
    if n >= columns {
        // The last column that starts at or before the value.
        let column = last_start(index, n, columns);
        return column..column + 1;
    }
    let start = match index {
        0 => 0,
        _ => last_start(index - 1, n, columns) + 1,
    };
    start..last_start(index, n, columns) + 1
}

/// Returns the last column `c` with `c*n/columns <= index`, that is `c*n < (index+1)*columns`.
fn last_start(index: usize, n: usize, columns: usize) -> usize {
    let below = (index as u128 + 1) * columns as u128 - 1;
    clip(below / n as u128).min(columns - 1)
}

/// Returns `a * b / c`, rounded down, without intermediate overflow.
fn scaled(a: usize, b: usize, c: usize) -> usize {
    clip(a as u128 * b as u128 / c as u128)
}

fn clip(wide: u128) -> usize {
    usize::try_from(wide).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[expect(clippy::unnecessary_wraps, reason = "columns are options")]
    fn extent(min: f32, max: f32) -> Option<Extent> {
        Some(Extent { min, max })
    }

    #[test]
    fn columns_show_both_extremes_and_gaps() {
        let values = [1.0, -2.0, f32::NAN, f32::INFINITY, 3.0, f32::NAN];
        let expected = [extent(-2.0, 1.0), None, extent(3.0, 3.0)];
        assert_eq!(extents(&values, 3), expected);
        assert_eq!(extents(&[], 2), [None, None]);
        assert_eq!(extents(&values, 0), []);
    }

    #[test]
    fn few_values_become_steps() {
        let (one, two) = (extent(1.0, 1.0), extent(2.0, 2.0));
        assert_eq!(extents(&[1.0, 2.0], 5), [one, one, one, two, two]);
        assert_eq!(sums(&[1.0, 2.0], 5), [1.0, 1.0, 1.0, 2.0, 2.0]);
    }

    #[test]
    fn the_two_directions_agree() {
        for n in 0..=500 {
            for columns in 1..=300 {
                let mut next = 0;
                for column in 0..columns {
                    let indices = indices_at(column, n, columns);
                    assert_eq!(indices.is_empty(), n == 0);
                    assert_eq!(index_at(column, n, columns).is_none(), n == 0);
                    if n >= columns {
                        assert_eq!(indices.start, next, "columns tile the values");
                        next = indices.end;
                    }
                    for index in indices {
                        assert!(column_of(index, n, columns).contains(&column));
                    }
                }
                let mut next = 0;
                for index in 0..n {
                    let shown = column_of(index, n, columns);
                    assert!(!shown.is_empty());
                    if n < columns {
                        assert_eq!(shown.start, next, "values tile the columns");
                        next = shown.end;
                    }
                    for column in shown {
                        assert!(indices_at(column, n, columns).contains(&index));
                    }
                }
                if n > 0 {
                    assert_eq!(next, if n < columns { columns } else { 0 });
                }
                assert!(column_of(n, n, columns).is_empty());
                assert!(indices_at(columns, n, columns).is_empty());
            }
        }
    }

    #[test]
    fn huge_counts_do_not_overflow() {
        let n = usize::MAX;
        assert_eq!(column_of(n - 1, n, 300), 299..300);
        assert_eq!(indices_at(299, n, 300).end, n);
        assert_eq!(column_of(0, n, 0), 0..0);
    }

    proptest! {
        #[test]
        fn no_extreme_is_lost(
            values in prop::collection::vec(prop::num::f32::ANY, 0..400),
            columns in 1usize..300,
        ) {
            let merged = extents(&values, columns).into_iter().flatten().reduce(Extent::merge);
            prop_assert_eq!(merged, Extent::of(&values));
        }

        #[test]
        fn no_part_of_a_sum_is_lost(
            values in prop::collection::vec(-1000i16..1000, 1..400),
            columns in 1usize..300,
        ) {
            // Whole numbers, so that the sum does not depend on the order of addition.
            let values: Vec<f32> = values.into_iter().map(f32::from).collect();
            let sums = sums(&values, columns);
            prop_assert_eq!(sums.len(), columns);
            if values.len() >= columns {
                let total: f64 = values.iter().copied().map(f64::from).sum();
                prop_assert_eq!(sums.iter().sum::<f64>().to_bits(), (total + 0.0).to_bits());
            }
        }
    }
}

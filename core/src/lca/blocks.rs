//! Blocks of parameters that are processed together. The results do not depend on the threads that process them.

use std::ops::Range;

use crate::layout::ParamLayout;

/// Maximum number of parameters in a block, unless a single row has more. A block's numbers fit into a core's
/// second-level cache.
const LONGEST: usize = 1 << 13;

/// Number of parameters processed at a time: their intermediate results stay in the first-level cache.
pub const CHUNK: usize = 256;

/// Minimum number of parameters per thread: starting a thread for fewer takes longer than the work.
const WORTH_A_THREAD: usize = 1 << 16;

/// Consecutive rows of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    pub layer: usize,
    pub tensor: usize,
    /// Indices in the network's list of units.
    pub units: Range<usize>,
    /// Parameters in a row.
    pub row_len: usize,
    /// Range in the flat parameter vector.
    pub range: Range<usize>,
}

/// Returns the blocks that tile the parameters, in order.
pub fn blocks(layout: &ParamLayout) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (index, tensor) in layout.tensors.iter().enumerate() {
        let units = layout.layers[tensor.layer].units.clone();
        let row_len = tensor.row_len();
        let rows = (LONGEST / row_len.max(1)).max(1);
        for first in units.clone().step_by(rows) {
            let units = first..(first + rows).min(units.end);
            let start =
                tensor.range.start + (first - layout.layers[tensor.layer].units.start) * row_len;
            blocks.push(Block {
                layer: tensor.layer,
                tensor: index,
                row_len,
                range: start..start + units.len() * row_len,
                units,
            });
        }
    }
    blocks
}

/// Returns how many of `threads` threads are worth starting.
pub fn useful_threads(threads: usize, params: usize) -> usize {
    threads.min(params / WORTH_A_THREAD).max(1)
}

/// The rest of a vector from which blocks are taken one after another.
pub struct Rest<'a, T>(pub &'a mut [T]);

impl<'a, T> Rest<'a, T> {
    /// Takes the next `n` elements.
    pub fn take(&mut self, n: usize) -> &'a mut [T] {
        let (first, others) = std::mem::take(&mut self.0).split_at_mut(n);
        self.0 = others;
        first
    }
}

/// A sum in eight interleaved parts, whose bits are the same with any width of vector instructions.
#[derive(Clone, Copy, Default)]
pub struct Sum([f64; 8]);

impl Sum {
    #[inline(always)]
    pub fn add(&mut self, values: &[f64]) {
        let (eights, rest) = values.as_chunks::<8>();
        for values in eights {
            for (part, value) in self.0.iter_mut().zip(values) {
                *part += value;
            }
        }
        for (part, value) in self.0.iter_mut().zip(rest) {
            *part += value;
        }
    }

    #[inline(always)]
    pub fn add_products(&mut self, a: &[f64], b: &[f64]) {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
        for (a, b) in a.iter().zip(b) {
            for ((part, a), b) in self.0.iter_mut().zip(a).zip(b) {
                *part += a * b;
            }
        }
        for ((part, a), b) in self.0.iter_mut().zip(a_rest).zip(b_rest) {
            *part += a * b;
        }
    }

    #[inline(always)]
    pub fn total(self) -> f64 {
        let half = |part: usize| self.0[part] + self.0[part + 4];
        (half(0) + half(2)) + (half(1) + half(3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TensorKind;

    #[test]
    fn blocks_are_whole_rows_and_tile_the_parameters() {
        let mut layout = ParamLayout::default();
        for (name, units, inputs) in [("a", 1000, 30), ("b", 3, 10_000), ("c", 1, 1)] {
            let shapes = [
                (TensorKind::Weight, vec![units, inputs]),
                (TensorKind::Bias, vec![units]),
            ];
            layout.push_layer(name, "linear", units, &shapes);
        }
        let blocks = blocks(&layout);
        let mut end = 0;
        let mut rows = Vec::new();
        for block in &blocks {
            assert_eq!(block.range.start, end);
            assert!(block.range.len() <= LONGEST || block.units.len() == 1);
            end = block.range.end;
            for (row, unit) in block.units.clone().enumerate() {
                let start = block.range.start + row * block.row_len;
                rows.push((
                    block.layer,
                    block.tensor,
                    unit,
                    start..start + block.row_len,
                ));
            }
        }
        assert_eq!(end, layout.params());
        let mut expected = Vec::new();
        layout.for_each_row(|row| expected.push((row.layer, row.tensor, row.unit, row.range)));
        assert_eq!(rows, expected);
    }

    #[test]
    fn sums_are_those_of_all_values() {
        for len in [0, 1, 7, 8, 9, 100] {
            let values: Vec<f64> = (1..=len).map(f64::from).collect();
            let mut sum = Sum::default();
            sum.add(&values);
            let mut squares = Sum::default();
            squares.add_products(&values, &values);
            let n = f64::from(len);
            assert!((sum.total() - n * (n + 1.0) / 2.0).abs() < 1e-9);
            assert!((squares.total() - n * (n + 1.0) * (2.0 * n + 1.0) / 6.0).abs() < 1e-9);
        }
    }
}

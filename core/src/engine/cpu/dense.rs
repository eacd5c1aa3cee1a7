//! The dense layer's three matrix products, on the `gemm` crate, and the operations fused with them.
//!
//! Activations are row-major `[B, features]`. With `X: [B, I]`, `W: [O, I]` and `Y: [B, O]`:
//! forward `Y = X Wᵀ + b`; backward `dW = dYᵀ X`, `db = Σ_rows dY`, `dX = dY W`
//! (<https://en.wikipedia.org/wiki/Backpropagation>, matrix form).

#![allow(
    unsafe_code,
    reason = "`gemm` takes pointers; their bounds are checked here"
)]

use gemm::Parallelism;

/// A matrix in memory: element (r, c) is at `r * row_stride + c * col_stride`.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// Rows of `cols` contiguous values.
    fn row_major(values: &'a [f32], cols: usize) -> Self {
        Self {
            values,
            row_stride: cols,
            col_stride: 1,
        }
    }

    fn transposed(self) -> Self {
        Self {
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    /// Whether all `rows * cols` elements lie inside `values`.
    fn holds(&self, rows: usize, cols: usize) -> bool {
        rows == 0
            || cols == 0
            || (rows - 1) * self.row_stride + (cols - 1) * self.col_stride < self.values.len()
    }
}

/// Computes `dst = lhs · rhs`, or `dst += lhs · rhs` if `add`; `dst: [rows, cols]` row-major, `lhs: [rows, depth]`,
/// `rhs: [depth, cols]`.
fn product(
    dst: &mut [f32],
    add: bool,
    [rows, cols, depth]: [usize; 3],
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
) {
    assert!(dst.len() >= rows * cols && lhs.holds(rows, depth) && rhs.holds(depth, cols));
    let stride = |stride: usize| isize::try_from(stride).expect("strides are within a slice");
    // SAFETY: the assertion above keeps every element that gemm touches inside the three slices,
    // and `dst` is borrowed uniquely.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            depth,
            dst.as_mut_ptr(),
            1,
            stride(cols),
            add,
            lhs.values.as_ptr(),
            stride(lhs.col_stride),
            stride(lhs.row_stride),
            rhs.values.as_ptr(),
            stride(rhs.col_stride),
            stride(rhs.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// Computes `y = x wᵀ + b`, then `max(·, 0)` if `relu`; `x: [B, inputs]`, `w: [outputs, inputs]`, `b: [outputs]` or
/// empty, `y: [B, outputs]`.
pub fn forward(x: &[f32], w: &[f32], b: &[f32], outputs: usize, relu: bool, y: &mut [f32]) {
    let inputs = w.len() / outputs;
    let rows = y.len() / outputs;
    let shape = [rows, outputs, inputs];
    let w = Matrix::row_major(w, inputs).transposed();
    product(y, false, shape, Matrix::row_major(x, inputs), w);
    // Selects, not branches: the signs are effectively random, and the loops vectorise.
    let positive = |x: f32| if x < 0.0 { 0.0 } else { x };
    for row in y.chunks_exact_mut(outputs) {
        if b.is_empty() {
            if relu {
                for y in row {
                    *y = positive(*y);
                }
            }
            continue;
        }
        let row = row.iter_mut().zip(b);
        if relu {
            // Not `max`, which would turn NaN into 0 and hide a diverged loss.
            row.for_each(|(y, b)| *y = positive(*y + b));
        } else {
            row.for_each(|(y, b)| *y += b);
        }
    }
}

/// Computes the gradients of the weights and the bias (which may be empty): `dw (+)= dyᵀ x`, `db (+)= Σ_rows dy`; added
/// if `add`.
pub fn backward_params(
    x: &[f32],
    dy: &[f32],
    outputs: usize,
    add: bool,
    dw: &mut [f32],
    db: &mut [f32],
) {
    let inputs = dw.len() / outputs;
    let rows = dy.len() / outputs;
    let shape = [outputs, inputs, rows];
    let dy_t = Matrix::row_major(dy, outputs).transposed();
    product(dw, add, shape, dy_t, Matrix::row_major(x, inputs));
    if !add {
        db.fill(0.0);
    }
    for row in dy.chunks_exact(outputs) {
        for (db, &dy) in db.iter_mut().zip(row) {
            *db += dy;
        }
    }
}

/// Computes the gradient of the input: `dx (+)= dy w`; `dy: [B, outputs]`, `w: [outputs, inputs]`.
pub fn backward_input(dy: &[f32], w: &[f32], outputs: usize, add: bool, dx: &mut [f32]) {
    let inputs = w.len() / outputs;
    let rows = dy.len() / outputs;
    let w = Matrix::row_major(w, inputs);
    let dy = Matrix::row_major(dy, outputs);
    product(dx, add, [rows, inputs, outputs], dy, w);
}

/// Backpropagates through `y = max(x, 0)`: `dy` is set to 0 where `y` is 0, so the slope at 0 is 0.
pub fn backward_relu(y: &[f32], dy: &mut [f32]) {
    for (dy, &y) in dy.iter_mut().zip(y) {
        *dy = if y <= 0.0 { 0.0 } else { *dy };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The forward product as a plain loop.
    fn naive_forward(x: &[f32], w: &[f32], b: &[f32], rows: usize) -> Vec<f32> {
        let inputs = x.len() / rows;
        let mut y = Vec::new();
        for x in x.chunks(inputs) {
            for (w, b) in w.chunks(inputs).zip(b) {
                y.push(x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>() + b);
            }
        }
        y
    }

    fn close(a: &[f32], b: &[f32]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
    }

    fn ramp(len: usize, seed: f32) -> Vec<f32> {
        #[expect(clippy::cast_precision_loss, reason = "small test sizes")]
        (0..len).map(|i| (i as f32 * 1.7 + seed).sin()).collect()
    }

    proptest! {
        #[test]
        fn products_agree_with_naive_loops(rows in 1usize..20, inputs in 1usize..40, outputs in 1usize..40) {
            let (x, w, b) = (ramp(rows * inputs, 1.0), ramp(outputs * inputs, 2.0), ramp(outputs, 3.0));
            let mut y = vec![9.0; rows * outputs];
            forward(&x, &w, &b, outputs, false, &mut y);
            let naive = naive_forward(&x, &w, &b, rows);
            prop_assert!(close(&y, &naive));
            forward(&x, &w, &b, outputs, true, &mut y);
            let positive: Vec<f32> = naive.iter().map(|y| y.max(0.0)).collect();
            prop_assert!(close(&y, &positive));

            let dy = ramp(rows * outputs, 4.0);
            let (mut dw, mut db) = (vec![1.0; w.len()], vec![1.0; outputs]);
            for add in [false, true] {
                backward_params(&x, &dy, outputs, add, &mut dw, &mut db);
            }
            for o in 0..outputs {
                let rows = || (0..rows).map(|r| dy[r * outputs + o]);
                prop_assert!((db[o] - 2.0 * rows().sum::<f32>()).abs() < 1e-3);
                for i in 0..inputs {
                    let sum: f32 = rows().enumerate().map(|(r, dy)| dy * x[r * inputs + i]).sum();
                    prop_assert!((dw[o * inputs + i] - 2.0 * sum).abs() < 1e-3);
                }
            }
            let mut dx = vec![9.0; x.len()];
            for times in [1.0, 2.0] {
                backward_input(&dy, &w, outputs, times > 1.0, &mut dx);
                for (r, dx) in dx.chunks(inputs).enumerate() {
                    for (i, dx) in dx.iter().enumerate() {
                        let sum: f32 = (0..outputs).map(|o| dy[r * outputs + o] * w[o * inputs + i]).sum();
                        prop_assert!((dx - times * sum).abs() < 1e-4);
                    }
                }
            }
            // Without a bias.
            forward(&x, &w, &[], outputs, true, &mut y);
            let naive = naive_forward(&x, &w, &vec![0.0; outputs], rows);
            let positive: Vec<f32> = naive.iter().map(|y| y.max(0.0)).collect();
            prop_assert!(close(&y, &positive));
        }
    }

    #[test]
    fn relu_keeps_nan_and_has_slope_zero_at_zero() {
        let mut y = [0.0; 3];
        forward(&[1.0], &[f32::NAN, -1.0, 1.0], &[0.0; 3], 3, true, &mut y);
        assert!(y[0].is_nan() && y[1] == 0.0 && y[2] > 0.0);
        let mut dy = [1.0; 3];
        backward_relu(&[0.0, 2.0, -0.0], &mut dy);
        assert_eq!(dy, [0.0, 1.0, 0.0]);
    }
}

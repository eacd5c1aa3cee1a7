//! Softmax and cross-entropy of one example.

/// Turns the class scores `z` (`[C]`) into the gradient of `scale · loss`, which is
/// `scale · (softmax(z) − onehot(label))`, and returns the loss
/// `log Σ_c exp(z_c) − z_label` in nats and whether the highest score (the first, in a tie) is the
/// label's.
///
/// Scores are shifted by their maximum first, so that nothing overflows.
pub fn softmax_cross_entropy(z: &mut [f32], label: usize, scale: f32) -> (f64, bool) {
    let mut top = 0;
    for (class, &score) in z.iter().enumerate() {
        if score > z[top] {
            top = class;
        }
    }
    let highest = z[top];
    let shifted = f64::from(z[label] - highest);
    // The other classes are summed separately: where the network is sure of the label, the loss and the label's
    // gradient are tiny and would be lost as a difference from 1.
    let mut others = 0.0_f64;
    for (class, score) in z.iter_mut().enumerate() {
        *score = (*score - highest).exp();
        if class != label {
            others += f64::from(*score);
        }
    }
    let sum = others + f64::from(z[label]);
    let share = f64::from(scale) / sum;
    for p in z.iter_mut() {
        *p *= single(share);
    }
    z[label] = single(-share * others);
    let log_sum = if top == label {
        others.ln_1p()
    } else {
        sum.ln()
    };
    (log_sum - shifted, top == label)
}

#[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_gradient_of_a_known_case() {
        // softmax(ln 1, ln 2, ln 5) = 1/8, 2/8, 5/8
        let mut z = [0.0, 2.0_f32.ln(), 5.0_f32.ln()];
        let (loss, correct) = softmax_cross_entropy(&mut z, 1, 2.0);
        assert!((loss - 4.0_f64.ln()).abs() < 1e-6 && !correct);
        for (g, expected) in z.iter().zip([0.25, -1.5, 1.25]) {
            assert!((g - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let scores = [0.3_f32, -1.2, 2.5, 0.0];
        let loss = |z: [f32; 4]| softmax_cross_entropy(&mut z.clone(), 3, 1.0).0;
        let mut gradient = scores;
        softmax_cross_entropy(&mut gradient, 3, 1.0);
        for i in 0..4 {
            let h = 1e-2;
            let (mut up, mut down) = (scores, scores);
            up[i] += h;
            down[i] -= h;
            let slope = (loss(up) - loss(down)) / f64::from(up[i] - down[i]);
            assert!((slope - f64::from(gradient[i])).abs() < 1e-4);
        }
    }

    #[test]
    fn a_confident_network_loses_no_precision() {
        for score in [10.0_f32, 20.0, 40.0] {
            let other = f64::from(-score).exp();
            let mut z = [0.0, score, 0.0];
            let (loss, correct) = softmax_cross_entropy(&mut z, 1, 1.0);
            assert!(correct && (loss / (2.0 * other).ln_1p() - 1.0).abs() < 1e-6);
            let p = other / (1.0 + 2.0 * other);
            for (g, expected) in z.iter().zip([p, -2.0 * p, p]) {
                assert!((f64::from(*g) / expected - 1.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn extreme_scores_are_safe_and_nan_stays_nan() {
        let (loss, correct) = softmax_cross_entropy(&mut [1e30, -1e30], 0, 1.0);
        assert!(loss == 0.0 && correct);
        let (loss, _) = softmax_cross_entropy(&mut [1e4, 0.0], 1, 1.0);
        assert!((loss - 1e4).abs() < 1e-6);
        for z in [[0.0, f32::NAN], [f32::NAN, 0.0], [f32::INFINITY, 0.0]] {
            for label in 0..2 {
                let (loss, _) = softmax_cross_entropy(&mut z.clone(), label, 1.0);
                assert!(!loss.is_finite());
            }
        }
    }
}

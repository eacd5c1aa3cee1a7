//! Adam and `AdamW`.

use super::{Optimizer, OptimizerMemory};

/// Kingma and Ba, *Adam: A Method for Stochastic Optimization*, ICLR 2015, algorithm 1:
///
/// `m ← β₁ m + (1−β₁) g`, `v ← β₂ v + (1−β₂) g²`,
/// `θ ← θ − η / (1−β₁ᵗ) · m / (√v / √(1−β₂ᵗ) + ε)`.
///
/// L2 is either added to the gradient, `g + λ θ`, as in `torch.optim.Adam`, or shrinks the weights directly,
/// `θ ← (1 − η λ) θ` before the step, as in `torch.optim.AdamW` (Loshchilov and Hutter, *Decoupled Weight Decay
/// Regularization*, ICLR 2019, algorithm 2).
///
/// The first step moves every parameter with a gradient by η, whatever the gradient's size.
pub struct Adam {
    /// λ added to the gradient.
    coupled: f32,
    /// λ applied to the weights directly.
    decoupled: f64,
    first: Vec<f32>,
    second: Vec<f32>,
    steps: i32,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

impl Adam {
    #[must_use]
    pub fn new(weight_decay: f32, params: usize) -> Self {
        Self {
            coupled: weight_decay,
            decoupled: 0.0,
            first: vec![0.0; params],
            second: vec![0.0; params],
            steps: 0,
        }
    }

    /// `AdamW`: weight decay decoupled from the gradient.
    #[must_use]
    pub fn decoupled(weight_decay: f64, params: usize) -> Self {
        Self {
            decoupled: weight_decay,
            ..Self::new(0.0, params)
        }
    }
}

impl Optimizer for Adam {
    #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
    fn step(&mut self, params: &mut [f32], gradient: &[f32], learning_rate: f64) {
        self.steps = self.steps.saturating_add(1);
        let rate = (learning_rate / (1.0 - BETA1.powi(self.steps))) as f32;
        let root = (1.0 - BETA2.powi(self.steps)).sqrt() as f32;
        let (keep1, take1) = (BETA1 as f32, (1.0 - BETA1) as f32);
        let (keep2, take2) = (BETA2 as f32, (1.0 - BETA2) as f32);
        let shrink = (1.0 - learning_rate * self.decoupled) as f32;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((p, (m, v)), &g) in params.iter_mut().zip(moments).zip(gradient) {
            *p *= shrink;
            let g = g + self.coupled * *p;
            *m = keep1 * *m + take1 * g;
            *v = keep2 * *v + take2 * g * g;
            *p -= rate * *m / (v.sqrt() / root + EPSILON);
        }
    }

    fn memory(&mut self) -> OptimizerMemory<'_> {
        OptimizerMemory {
            steps: Some(&mut self.steps),
            averages: vec![&mut self.first, &mut self.second],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_has_the_size_of_the_learning_rate() {
        let mut adam = Adam::new(0.0, 3);
        let mut p = [0.0, 0.0, 0.0];
        adam.step(&mut p, &[1e-3, -20.0, 0.0], 0.01);
        assert!((p[0] + 0.01).abs() < 1e-6 && (p[1] - 0.01).abs() < 1e-6);
        assert_eq!(p[2], 0.0);
    }
}

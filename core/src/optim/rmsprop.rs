//! `RMSProp`.

use super::{Optimizer, OptimizerMemory};

/// Tieleman and Hinton, lecture 6.5 (2012), as in `torch.optim.RMSprop`:
///
/// `v ← α v + (1−α) g²`, `b ← μ b + g / (√v + ε)`, `θ ← θ − η b`, `g` including `λ θ`, α = 0.99.
///
/// With μ = 0 the first step moves every parameter with a gradient by 10 η, since `v` then holds a
/// hundredth of `g²`.
pub struct RmsProp {
    momentum: f32,
    weight_decay: f32,
    square: Vec<f32>,
    velocity: Vec<f32>,
}

const ALPHA: f64 = 0.99;
const EPSILON: f32 = 1e-8;

impl RmsProp {
    #[must_use]
    pub fn new(momentum: f32, weight_decay: f32, params: usize) -> Self {
        Self {
            momentum,
            weight_decay,
            square: vec![0.0; params],
            velocity: vec![0.0; params],
        }
    }
}

impl Optimizer for RmsProp {
    #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
    fn step(&mut self, params: &mut [f32], gradient: &[f32], learning_rate: f64) {
        let rate = learning_rate as f32;
        let (keep, take) = (ALPHA as f32, (1.0 - ALPHA) as f32);
        let state = self.square.iter_mut().zip(&mut self.velocity);
        for ((p, (v, b)), &g) in params.iter_mut().zip(state).zip(gradient) {
            let g = g + self.weight_decay * *p;
            *v = keep * *v + take * g * g;
            *b = self.momentum * *b + g / (v.sqrt() + EPSILON);
            *p -= rate * *b;
        }
    }

    fn memory(&mut self) -> OptimizerMemory<'_> {
        OptimizerMemory {
            steps: None,
            averages: vec![&mut self.square, &mut self.velocity],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_is_ten_learning_rates() {
        let mut rmsprop = RmsProp::new(0.0, 0.0, 2);
        let mut p = [0.0, 0.0];
        rmsprop.step(&mut p, &[3.0, -1e-2], 0.01);
        assert!((p[0] + 0.1).abs() < 1e-5 && (p[1] - 0.1).abs() < 1e-5);
    }
}

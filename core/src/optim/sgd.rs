//! Stochastic gradient descent with momentum and L2.

use super::{Optimizer, OptimizerMemory};

/// `v ← μ v + (g + λ θ)`, `θ ← θ − η v`, with `v = g + λ θ` on the first step: the update of
/// `torch.optim.SGD` without dampening (Sutskever et al., ICML 2013, in `PyTorch`'s form).
///
/// With μ = 0.9, λ = 0, η = 0.1 and gradients 1, 1 the parameter moves by −0.1, then by −0.19.
pub struct Sgd {
    momentum: f32,
    weight_decay: f32,
    velocity: Vec<f32>,
}

impl Sgd {
    #[must_use]
    pub fn new(momentum: f32, weight_decay: f32, params: usize) -> Self {
        Self {
            momentum,
            weight_decay,
            velocity: vec![0.0; params],
        }
    }
}

impl Optimizer for Sgd {
    fn step(&mut self, params: &mut [f32], gradient: &[f32], learning_rate: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
        let rate = learning_rate as f32;
        for ((p, v), &g) in params.iter_mut().zip(&mut self.velocity).zip(gradient) {
            *v = self.momentum * *v + (g + self.weight_decay * *p);
            *p -= rate * *v;
        }
    }

    fn memory(&mut self) -> OptimizerMemory<'_> {
        OptimizerMemory {
            steps: None,
            averages: vec![&mut self.velocity],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_documentation() {
        let mut sgd = Sgd::new(0.9, 0.0, 1);
        let mut p = [0.0];
        sgd.step(&mut p, &[1.0], 0.1);
        assert!((p[0] + 0.1).abs() < 1e-7);
        sgd.step(&mut p, &[1.0], 0.1);
        assert!((p[0] + 0.29).abs() < 1e-7);
    }

    #[test]
    fn weight_decay_pulls_to_zero() {
        let mut sgd = Sgd::new(0.0, 0.5, 1);
        let mut p = [2.0];
        sgd.step(&mut p, &[0.0], 0.1);
        assert!((p[0] - 1.9).abs() < 1e-7);
    }
}

//! Initial weights.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::network::{Network, Op};

/// The `ChaCha8` stream that weights are drawn from; data has its own.
const STREAM: u64 = 3;

/// Draws He-normal weights, `N(0, 2 / fan_in)`, with zero biases and batch norms that scale by 1 and shift by 0, in the
/// order of the flat parameter vector (He et al., *Delving Deep into Rectifiers*, ICCV 2015, eq. 10).
///
/// The same seed gives the same weights on every machine.
#[must_use]
pub fn he_normal(network: &Network, seed: u64) -> Vec<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(STREAM);
    let mut params = vec![0.0; network.params()];
    for node in &network.nodes {
        let (weight, fan_in) = match &node.op {
            Op::Dense(dense) => (&dense.weight, dense.inputs),
            Op::Conv(conv) => (&conv.weight, conv.fan_in()),
            Op::Norm(norm) => {
                params[norm.scale.clone()].fill(1.0);
                continue;
            }
            _ => continue,
        };
        #[expect(clippy::cast_precision_loss, reason = "fan-in is far below 2^52")]
        let std = (2.0 / fan_in as f64).sqrt();
        for weight in &mut params[weight.clone()] {
            let normal: f64 = StandardNormal.sample(&mut rng);
            #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
            {
                *weight = (normal * std) as f32;
            }
        }
    }
    params
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "small counts")]
mod tests {
    use super::super::spec::preset;
    use super::*;
    use crate::layout::TensorKind;

    #[test]
    fn weights_have_the_variance_of_the_formula_and_follow_the_seed() {
        let network = Network::build(&preset("mnist-fc").unwrap(), [1, 28, 28], 10).unwrap();
        let params = he_normal(&network, 7);
        assert_eq!(params, he_normal(&network, 7));
        assert_ne!(params, he_normal(&network, 8));

        let weights = &params[..784 * 100];
        let n = 784.0 * 100.0;
        let mean = weights.iter().map(|&w| f64::from(w)).sum::<f64>() / n;
        let var = weights.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / n - mean * mean;
        // Five standard errors: of the mean, σ/√n; of the variance, σ²·√(2/n).
        let expected = 2.0 / 784.0;
        assert!(mean.abs() < 5.0 * (expected / n).sqrt());
        assert!((var - expected).abs() < 5.0 * expected * (2.0 / n).sqrt());
        assert!(params[784 * 100..784 * 100 + 100].iter().all(|&b| b == 0.0));
    }

    #[test]
    fn convolutions_use_their_window_as_fan_in_and_norms_start_as_identity() {
        let network = Network::build(&preset("cifar-allcnn").unwrap(), [3, 32, 32], 10).unwrap();
        let params = he_normal(&network, 7);
        for tensor in &network.layout.tensors {
            let values = &params[tensor.range.clone()];
            let expected = match tensor.kind {
                TensorKind::Weight => {
                    let fan_in: usize = tensor.shape[1..].iter().product();
                    let n = values.len() as f64;
                    let square = values.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / n;
                    let expected = 2.0 / fan_in as f64;
                    assert!((square - expected).abs() < 5.0 * expected * (2.0 / n).sqrt());
                    continue;
                }
                TensorKind::Scale => 1.0,
                TensorKind::Bias | TensorKind::Shift => 0.0,
            };
            assert!(values.iter().all(|&v| v == expected), "{}", tensor.name);
        }
    }
}

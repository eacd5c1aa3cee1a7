//! The number of examples that fit into a slice.
//!
//! A slice's values stay in memory until the backward pass is done. The size of a slice affects only speed and
//! rounding, unless a batch norm makes the loss depend on it.

use candle_core::Device;

use crate::engine::{EngineError, NORM_SLICE_SIZE, RunData};
use crate::model::{Network, Op, values};

/// Minimum and maximum number of examples in a slice sized by memory on the CPU. More are no faster; fewer leave
/// threads idle.
const ON_CPU: (usize, usize) = (16, 2048);

/// Minimum and maximum number of examples in a slice sized by memory on a GPU, which small slices leave idle.
const ON_GPU: (usize, usize) = (1, 16_384);

/// Memory that a slice may take on the CPU, in bytes.
const CPU_BYTES: usize = 64 << 20;

/// Assumed free memory of a GPU that does not report it, in bytes: that of a small one.
const UNKNOWN_GPU_BYTES: usize = 2 << 30;

/// Maximum number of entries of one tensor that candle's kernels and cuBLAS can index.
const MAX_ENTRIES: usize = i32::MAX as usize;

/// Returns the default number of examples in a slice, for single precision on this device.
///
/// # Errors
/// The GPU does not respond.
pub fn slice_size(
    network: &Network,
    data: &RunData,
    device: crate::engine::Device,
) -> Result<usize, EngineError> {
    let need = MemoryNeed::of(network);
    let crate::engine::Device::Cuda(_) = device else {
        return Ok(if network.has_norm() {
            NORM_SLICE_SIZE
        } else {
            need.examples_in(CPU_BYTES).clamp(ON_CPU.0, ON_CPU.1)
        });
    };
    let free = free_bytes(&super::open_device(device)?)?.unwrap_or(UNKNOWN_GPU_BYTES);
    let parts = [&data.train, &data.test, &data.validation];
    let examples = parts.into_iter().chain(&data.drawn_from);
    let inputs: usize = examples.map(|part| part.inputs.len()).sum();
    // Parameters, their gradients and the sums of those: at most one set per class.
    let params = network.params() * (network.classes + 4);
    // The rest is for what the estimate leaves out: fragmentation, workspaces, other programs.
    let budget = free.saturating_sub(4 * (inputs + params)) / 2;
    let most = if network.has_norm() {
        NORM_SLICE_SIZE
    } else {
        ON_GPU.1
    };
    Ok(need.examples_in(budget).clamp(ON_GPU.0, most))
}

/// Entries needed for the gradient of one example.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MemoryNeed {
    /// Entries in memory at the peak.
    entries: usize,
    /// Entries of the largest tensor.
    largest: usize,
}

impl MemoryNeed {
    /// Counts the values that [`forward`](super::forward) keeps for the backward pass, and the largest scratch space of
    /// any operation on top of them.
    fn of(network: &Network) -> Self {
        let mut kept = network.features();
        let mut scratch = 0;
        let mut largest = network.features();
        for node in &network.nodes {
            let (input, output) = (values(network.shape(node.input)), values(node.shape));
            let window = |size: [usize; 2]| size[0] * size[1];
            let (copies, of_operation) = match &node.op {
                // Before and after the bias.
                Op::Dense(dense) => (1 + usize::from(dense.bias.is_some()), 0),
                Op::Conv(conv) => {
                    // Windows of the input, twice while they are concatenated; and windows of the spread-out gradient,
                    // for the gradient of the input.
                    let of_weight = conv.fan_in() * window([node.shape[1], node.shape[2]]);
                    let of_input = window(conv.kernel) * conv.outputs * input / conv.inputs;
                    largest = largest.max(of_weight).max(of_input);
                    let copies = 1 + usize::from(conv.bias.is_some());
                    (copies, (2 * of_weight).max(of_input))
                }
                // Normalised, scaled, shifted.
                Op::Norm(_) => (3, 2 * input),
                Op::Relu | Op::Add(_) => (1, input),
                // The maximum and its position; the gradient of the input, and the next position's share.
                Op::MaxPool(_) => (2, 3 * input),
                Op::AvgPool(pool) if pool.size == pool.stride => (2, input),
                // Every position of the window is a value of its own.
                Op::AvgPool(pool) => (2 * window(pool.size), 3 * input),
                Op::Flatten => (0, input),
                Op::Dropout { .. } => (2, input),
            };
            kept += copies * output;
            largest = largest.max(output);
            // Gradients of the output and the input, one of which is being summed.
            scratch = scratch.max(of_operation + input + 2 * output);
        }
        Self {
            entries: kept + scratch,
            largest,
        }
    }

    /// Returns how many examples' single-precision values fit into `bytes`.
    fn examples_in(self, bytes: usize) -> usize {
        let by_memory = bytes / (4 * self.entries.max(1));
        by_memory.min(MAX_ENTRIES / self.largest.max(1))
    }
}

/// Returns the free memory of a GPU in bytes, or `None` if it cannot be determined.
#[cfg(feature = "cuda")]
fn free_bytes(device: &Device) -> Result<Option<usize>, EngineError> {
    let Device::Cuda(device) = device else {
        return Ok(None);
    };
    let (free, _) = (device.cuda_stream().context())
        .mem_get_info()
        .map_err(candle_core::Error::wrap)?;
    Ok(Some(free))
}

/// Returns the free memory of a GPU in bytes, or `None` if it cannot be determined.
#[cfg(not(feature = "cuda"))]
#[expect(clippy::unnecessary_wraps, reason = "as in a build with CUDA")]
fn free_bytes(_: &Device) -> Result<Option<usize>, EngineError> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Examples;
    use crate::model::{NetworkSpec, preset};

    fn built(name: &str, input: [usize; 3]) -> Network {
        Network::build(&preset(name).unwrap(), input, 10).unwrap()
    }

    #[test]
    fn the_memory_for_an_example_matches_a_count_by_hand() {
        let spec: NetworkSpec = toml::from_str(
            "name = 'test'\nlayer = [{kind = 'conv', channels = 4, kernel = 3}, {kind = 'relu'}, \
             {kind = 'linear', units = 2}]",
        )
        .unwrap();
        let network = Network::build(&spec, [3, 6, 5], 2).unwrap();
        // 90 inputs; twice 120 of the convolution, 120 of the ReLU, twice 2 scores.
        let kept = 90 + 2 * 120 + 120 + 2 * 2;
        // The convolution's windows are 27 × 30, concatenated from a copy; gradients are 90 and twice 120.
        let scratch = 2 * 27 * 30 + 90 + 2 * 120;
        let need = MemoryNeed {
            entries: kept + scratch,
            // Windows of the output's gradient.
            largest: 9 * 4 * 30,
        };
        assert_eq!(MemoryNeed::of(&network), need);
        assert_eq!(need.examples_in(4 * (kept + scratch) * 7 + 3), 7);
        assert_eq!(need.examples_in(usize::MAX), MAX_ENTRIES / need.largest);
    }

    #[test]
    fn slices_on_the_cpu_follow_the_network() {
        let none = Examples::new(Vec::new(), Vec::new(), 1).unwrap();
        let data = RunData {
            train: none.clone(),
            drawn_from: None,
            test: none.clone(),
            validation: none,
        };
        let size = |name, input| {
            let device = crate::engine::Device::Cpu;
            slice_size(&built(name, input), &data, device).unwrap()
        };
        assert_eq!(size("mnist-fc", [1, 28, 28]), 2048);
        let lenet = size("mnist-lenet", [1, 28, 28]);
        assert!((16..256).contains(&lenet), "{lenet}");
        for name in ["cifar-allcnn", "cifar-resnet20"] {
            assert_eq!(size(name, [3, 32, 32]), NORM_SLICE_SIZE, "{name}");
        }
    }
}

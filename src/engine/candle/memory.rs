//! How many examples fit into a slice.
//!
//! A slice's values stay in memory until its gradient has gone back through them. How large a slice
//! is changes nothing but speed and rounding, unless a batch norm makes the loss depend on it.

use candle_core::Device;

use crate::engine::{EngineError, NORM_SLICE_SIZE, RunData};
use crate::model::{Network, Op, values};

/// Most and fewest examples in a slice that is chosen by memory on the CPU. More do not make it
/// faster, fewer leave its threads idle.
const ON_CPU: (usize, usize) = (16, 2048);

/// The same on a GPU, which small slices keep waiting.
const ON_GPU: (usize, usize) = (1, 16_384);

/// What a slice may take on the CPU.
const CPU_BYTES: usize = 64 << 20;

/// Free memory of a GPU that does not say: that of a small one.
const UNKNOWN_GPU_BYTES: usize = 2 << 30;

/// Entries of one tensor that candle's kernels and cuBLAS can count.
const MAX_ENTRIES: usize = i32::MAX as usize;

/// Examples in a slice when nobody says otherwise, for single precision on this device.
///
/// # Errors
/// The GPU does not answer.
pub fn slice_size(
    network: &Network,
    data: &RunData,
    device: crate::engine::Device,
) -> Result<usize, EngineError> {
    let need = Need::of(network);
    let crate::engine::Device::Cuda(_) = device else {
        return Ok(match network.has_norm() {
            true => NORM_SLICE_SIZE,
            false => need.examples_in(CPU_BYTES).clamp(ON_CPU.0, ON_CPU.1),
        });
    };
    let free = free_bytes(&super::open_device(device)?)?.unwrap_or(UNKNOWN_GPU_BYTES);
    let parts = [&data.train, &data.test, &data.validation];
    let examples = parts.into_iter().chain(&data.drawn_from);
    let inputs: usize = examples.map(|part| part.inputs.len()).sum();
    // Parameters, their gradients, and sums of those: of every class, at most.
    let params = network.params() * (network.classes + 4);
    // The rest is for what the estimate does not know: fragments, workspaces, other programs.
    let budget = free.saturating_sub(4 * (inputs + params)) / 2;
    let most = if network.has_norm() {
        NORM_SLICE_SIZE
    } else {
        ON_GPU.1
    };
    Ok(need.examples_in(budget).clamp(ON_GPU.0, most))
}

/// Entries that the gradient of one example needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Need {
    /// All that is in memory at the worst moment.
    entries: usize,
    /// The largest tensor among it.
    largest: usize,
}

impl Need {
    /// Counts what [`forward`](super::forward) keeps for the way back, and beside that the largest
    /// scratch of an operation.
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
                    // Windows of the input, twice while they are put together; and windows of the
                    // spread-out gradient, for the gradient of the input.
                    let of_weight = conv.fan_in() * window([node.shape[1], node.shape[2]]);
                    let of_input = window(conv.kernel) * conv.outputs * input / conv.inputs;
                    largest = largest.max(of_weight).max(of_input);
                    let copies = 1 + usize::from(conv.bias.is_some());
                    (copies, (2 * of_weight).max(of_input))
                }
                // Normalised, scaled, shifted.
                Op::Norm(_) => (3, 2 * input),
                Op::Relu | Op::Add(_) => (1, input),
                // The maximum and its place; the gradient of the input, and the next place's share.
                Op::MaxPool(_) => (2, 3 * input),
                Op::AvgPool(pool) if pool.size == pool.stride => (2, input),
                // Every place of the window is a value of its own.
                Op::AvgPool(pool) => (2 * window(pool.size), 3 * input),
                Op::Flatten => (0, input),
                Op::Dropout { .. } => (2, input),
            };
            kept += copies * output;
            largest = largest.max(output);
            // Gradients of the output and the input, one of which is being added up.
            scratch = scratch.max(of_operation + input + 2 * output);
        }
        Self {
            entries: kept + scratch,
            largest,
        }
    }

    /// Examples whose single-precision numbers fit into so many bytes.
    fn examples_in(self, bytes: usize) -> usize {
        let by_memory = bytes / (4 * self.entries.max(1));
        by_memory.min(MAX_ENTRIES / self.largest.max(1))
    }
}

/// Memory of a GPU that nobody uses yet; none if it cannot be known.
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

/// Memory of a GPU that nobody uses yet; none if it cannot be known.
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
    fn what_an_example_needs_is_counted_by_hand() {
        let spec: NetworkSpec = toml::from_str(
            "name = 'test'\nlayer = [{kind = 'conv', channels = 4, kernel = 3}, {kind = 'relu'}, \
             {kind = 'linear', units = 2}]",
        )
        .unwrap();
        let network = Network::build(&spec, [3, 6, 5], 2).unwrap();
        // 90 inputs; twice 120 of the convolution, 120 of the ReLU, twice 2 scores.
        let kept = 90 + 2 * 120 + 120 + 2 * 2;
        // Its windows are 27 × 30, put together from a copy; gradients are 90 and twice 120.
        let scratch = 2 * 27 * 30 + 90 + 2 * 120;
        let need = Need {
            entries: kept + scratch,
            // Windows of the output's gradient.
            largest: 9 * 4 * 30,
        };
        assert_eq!(Need::of(&network), need);
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

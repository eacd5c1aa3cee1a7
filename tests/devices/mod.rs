//! What several test files share.

#[path = "../common/skip.rs"]
mod skip;

use lcascope::engine::Device;
use lcascope::engine::candle::open_device;

/// Where candle can be tested here: on the CPU, and on a GPU where this build and this machine have
/// one.
pub fn devices() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    match open_device(Device::Cuda(0)) {
        Ok(_) => devices.push(Device::Cuda(0)),
        Err(error) => skip::skipped(&format!("no CUDA device ({error})")),
    }
    devices
}

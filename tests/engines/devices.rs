//! The devices on which candle is tested, shared by several test files.

use lcascope::engine::Device;
use lcascope::engine::candle::open_device;

use crate::common::skip::skipped;

/// The devices on which candle can be tested here: the CPU, and a GPU if this build and this machine support one.
pub fn devices() -> Vec<Device> {
    let mut devices = vec![Device::Cpu];
    match open_device(Device::Cuda(0)) {
        Ok(_) => devices.push(Device::Cuda(0)),
        Err(error) => skipped(&format!("no CUDA device ({error})")),
    }
    devices
}

//! The use of the GPU that a training runs on, queried every two seconds from NVIDIA's management library (NVML).
//!
//! The library is loaded when a training on CUDA begins. If it is missing or does not answer, no use is reported, and
//! that is not an error.

use std::fmt::Write;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::{Device, Nvml};

use crate::engine::candle::gpu_uuid;
use crate::feed::{GpuSender, GpuUse};

/// Time between two queries.
const EVERY: Duration = Duration::from_secs(2);

/// A thread that monitors a GPU until this is dropped.
pub struct Gpu {
    quit: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gpu {
    /// Starts the thread if the device is a GPU. `device` is the device's name in the run's header.
    pub fn watch(device: &str, to: GpuSender) -> Option<Self> {
        let ordinal = ordinal(device)?;
        let (quit, quitting) = bounded::<()>(0);
        let watch = move || {
            let Ok(nvml) = Nvml::init() else { return };
            let Some(device) = find(&nvml, ordinal) else {
                return;
            };
            loop {
                to.send(read_usage(&device));
                // Closing the channel ends the thread.
                if quitting.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        // Without the thread, nothing is reported.
        let thread = thread::Builder::new().name("gpu".to_owned()).spawn(watch);
        Some(Self {
            quit: Some(quit),
            thread: Some(thread.ok()?),
        })
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        drop(self.quit.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// N in `… cuda:N …`, the CUDA ordinal among the devices visible to this process.
fn ordinal(device: &str) -> Option<u32> {
    let words = device.split([' ', ',']);
    words
        .filter_map(|word| word.strip_prefix("cuda:"))
        .find_map(|n| n.parse().ok())
}

/// Finds the device with CUDA's number `ordinal`. CUDA respects the environment (`CUDA_VISIBLE_DEVICES`,
/// `CUDA_DEVICE_ORDER`) and by default counts by speed; NVML counts differently. They agree only on a device's UUID.
fn find(nvml: &Nvml, ordinal: u32) -> Option<Device<'_>> {
    let uuid = uuid(gpu_uuid(ordinal)?);
    // The UUID of a partition of a GPU (MIG) has another prefix.
    let mut names = ["GPU", "MIG"].into_iter();
    names.find_map(|kind| nvml.device_by_uuid(format!("{kind}-{uuid}")).ok())
}

/// Formats a UUID as NVML does: `1a2b3c4d-...`, hexadecimal, in groups of 4-2-2-2-6 bytes.
fn uuid(bytes: [u8; 16]) -> String {
    let mut out = String::new();
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn read_usage(device: &Device) -> GpuUse {
    let memory = device.memory_info().ok();
    let busy = device.utilization_rates().ok();
    GpuUse {
        name: device.name().unwrap_or_else(|_| "GPU".to_owned()),
        busy: busy.map(|rates| f64::from(rates.gpu) / 100.0),
        memory: memory.map(|memory| (memory.used, memory.total)),
        celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        watts: device
            .power_usage()
            .ok()
            .map(|milliwatts| f64::from(milliwatts) / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cuda_devices_are_monitored() {
        assert_eq!(ordinal("candle on cuda:1, f32"), Some(1));
        assert_eq!(ordinal("2 ranks, each candle on cuda:0, f32"), Some(0));
        assert_eq!(ordinal("cpu, 2 threads, AVX-512"), None);
        assert_eq!(ordinal("candle on cpu, f32"), None);
        assert_eq!(ordinal("cuda:x"), None);
    }

    #[test]
    fn identities_are_written_as_the_library_writes_them() {
        let bytes: [u8; 16] = std::array::from_fn(|i| u8::try_from(0xf8 + i).unwrap_or(0x0a));
        assert_eq!(uuid(bytes), "f8f9fafb-fcfd-feff-0a0a-0a0a0a0a0a0a");
    }

    #[test]
    fn without_cuda_there_is_no_identity() {
        assert_eq!(gpu_uuid(4096), None);
    }
}

//! What the GPU does that a training runs on: asked of NVIDIA's management library every two seconds.
//!
//! The library is looked for when a training on CUDA begins. Where it is missing, or does not answer,
//! there is nothing to say, and that is no error.

use std::fmt::Write;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::{Device, Nvml};

use crate::engine::candle::gpu_uuid;
use crate::feed::{GpuSender, GpuUse};

/// Time between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// A thread that looks at a GPU until this is dropped.
pub struct Gpu {
    quit: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gpu {
    /// Starts the thread, if the device is a GPU. `device` is what the run's header calls it.
    pub fn watch(device: &str, to: GpuSender) -> Option<Self> {
        let ordinal = ordinal(device)?;
        let (quit, quitting) = bounded::<()>(0);
        let watch = move || {
            let Ok(nvml) = Nvml::init() else { return };
            let Some(device) = find(&nvml, ordinal) else {
                return;
            };
            loop {
                to.send(look(&device));
                // The closed channel is the order to end.
                if quitting.recv_timeout(EVERY) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        };
        // Without the thread nothing is said.
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

/// N of `… cuda:N …`, as CUDA counts the devices that this process sees.
fn ordinal(device: &str) -> Option<u32> {
    let words = device.split([' ', ',']);
    words
        .filter_map(|word| word.strip_prefix("cuda:"))
        .find_map(|n| n.parse().ok())
}

/// The device that is number `ordinal` to CUDA, which knows the environment (`CUDA_VISIBLE_DEVICES`,
/// `CUDA_DEVICE_ORDER`) and counts by speed as a rule. The management library counts otherwise: the two agree
/// on a device's identity alone.
fn find(nvml: &Nvml, ordinal: u32) -> Option<Device<'_>> {
    let uuid = uuid(gpu_uuid(ordinal)?);
    // Of a part of a GPU that is divided (MIG) the name begins otherwise.
    let mut names = ["GPU", "MIG"].into_iter();
    names.find_map(|kind| nvml.device_by_uuid(format!("{kind}-{uuid}")).ok())
}

/// As the library writes it: `1a2b3c4d-...`, hexadecimal, 4-2-2-2-6 bytes.
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

fn look(device: &Device) -> GpuUse {
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
    fn only_cuda_devices_are_looked_at() {
        assert_eq!(ordinal("candle on cuda:1, f32"), Some(1));
        assert_eq!(ordinal("cuda:0"), Some(0));
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

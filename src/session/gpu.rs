//! What the GPU does that a training runs on: asked of NVIDIA's management library every two seconds.
//!
//! The library is looked for when a training on CUDA begins. Where it is missing, or does not answer,
//! there is nothing to say, and that is no error.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::{Device, Nvml};

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
            let Some(device) = find(&nvml, ordinal, visible().as_deref()) else {
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

/// The devices that CUDA shows to this process; none for all.
fn visible() -> Option<String> {
    std::env::var("CUDA_VISIBLE_DEVICES").ok()
}

/// What the library calls the device that is number `ordinal` to CUDA: the list of visible ones has
/// numbers or the beginnings of names (`GPU-…`).
#[derive(Debug, PartialEq, Eq)]
enum Called<'a> {
    Number(u32),
    Name(&'a str),
}

fn called(ordinal: u32, visible: Option<&str>) -> Option<Called<'_>> {
    let Some(visible) = visible else {
        return Some(Called::Number(ordinal));
    };
    let word = visible.split(',').nth(ordinal as usize)?.trim();
    match word.parse() {
        Ok(number) => Some(Called::Number(number)),
        Err(_) if word.is_empty() => None,
        Err(_) => Some(Called::Name(word)),
    }
}

fn find<'a>(nvml: &'a Nvml, ordinal: u32, visible: Option<&str>) -> Option<Device<'a>> {
    match called(ordinal, visible)? {
        Called::Number(number) => nvml.device_by_index(number).ok(),
        Called::Name(name) => {
            let all = (0..nvml.device_count().ok()?).filter_map(|n| nvml.device_by_index(n).ok());
            let has = |device: &Device| device.uuid().is_ok_and(|uuid| uuid.starts_with(name));
            all.into_iter().find(has)
        }
    }
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
    fn cuda_counts_the_devices_that_it_shows() {
        assert_eq!(called(1, None), Some(Called::Number(1)));
        assert_eq!(called(1, Some("3, 5")), Some(Called::Number(5)));
        assert_eq!(called(0, Some("GPU-1a2b")), Some(Called::Name("GPU-1a2b")));
        assert_eq!(called(2, Some("0,1")), None);
        assert_eq!(called(0, Some("")), None);
    }
}

//! Networks with data, and the engines that evaluate them.

use crate::devices::devices;
use lcascope::engine::candle::{CandleEngine, Precision};
use lcascope::engine::cpu::CpuEngine;
use lcascope::engine::{Device, GradientEngine, RunData};
use lcascope::model::Network;

/// Reproducible numbers.
#[derive(Clone)]
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        // Knuth's MMIX constants; the high bits are good enough here.
        self.0 = (self.0.wrapping_mul(6_364_136_223_846_793_005))
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }
}

/// A test case: a network, data and parameters for it, and a mini-batch.
#[derive(Clone, Debug)]
pub struct Case {
    pub network: Network,
    pub data: RunData,
    pub params: Vec<f32>,
    pub rows: Vec<u32>,
    pub slice_size: usize,
}

impl Case {
    pub fn cpu(&self, threads: usize, by_class: bool) -> CpuEngine {
        let (network, data) = (&self.network, self.data.clone());
        CpuEngine::new(network, data, self.slice_size, threads, by_class)
    }

    pub fn candle(&self, device: Device, precision: Precision, by_class: bool) -> CandleEngine {
        let (network, data) = (&self.network, &self.data);
        CandleEngine::new(network, data, self.slice_size, device, precision, by_class).unwrap()
    }

    /// Autograd in double precision.
    pub fn oracle(&self, by_class: bool) -> CandleEngine {
        self.candle(Device::Cpu, Precision::Double, by_class)
    }

    /// The CPU engine, and the candle engine with these precisions on every device.
    pub fn engines(
        &self,
        by_class: bool,
        precisions: &[Precision],
    ) -> Vec<Box<dyn GradientEngine>> {
        let mut engines: Vec<Box<dyn GradientEngine>> = vec![Box::new(self.cpu(2, by_class))];
        for device in devices() {
            for &precision in precisions {
                engines.push(Box::new(self.candle(device, precision, by_class)));
            }
        }
        engines
    }
}

//! Memory layout of images during convolution: groups of 32 examples.
//!
//! A group holds `[pixel][channel][example]`, so that 32 examples are neighbours and one vector instruction handles 16
//! of them (or 8, or 4): every kernel then works on whole vectors, whatever the number of channels and the size of the
//! image, and needs no copies of shifted windows. The last group of a slice may be short; its unused lanes hold values
//! that are never read, and gradients of 0.

use bytemuck::{Pod, Zeroable};
use pulp::Simd;

use crate::model::{Shape, values};

/// Examples in a group.
pub const GROUP: usize = 32;

/// One value of each of a group's examples.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C, align(64))]
pub struct Lanes(pub [f32; GROUP]);

impl Lanes {
    pub const ZERO: Self = Self([0.0; GROUP]);

    /// Views the values as the machine's vectors.
    #[inline(always)]
    pub fn vectors<S: Simd>(&self) -> &[S::f32s] {
        bytemuck::cast_slice(&self.0)
    }

    #[inline(always)]
    pub fn vectors_mut<S: Simd>(&mut self) -> &mut [S::f32s] {
        bytemuck::cast_slice_mut(&mut self.0)
    }

    /// Returns the sum over the first `count` examples.
    pub fn sum(&self, count: usize) -> f64 {
        self.0[..count].iter().map(|&x| f64::from(x)).sum()
    }
}

/// Number of groups that hold `examples` examples.
pub fn groups(examples: usize) -> usize {
    examples.div_ceil(GROUP)
}

/// Number of examples in group `group` of `examples`.
pub fn in_group(examples: usize, group: usize) -> usize {
    (examples - group * GROUP).min(GROUP)
}

/// Memory for rows of single numbers or for groups of lanes.
#[derive(Default)]
pub struct Buffer(Vec<Lanes>);

impl Buffer {
    /// Makes room for `len` lanes. Existing contents are kept.
    pub fn reserve(&mut self, len: usize) {
        if self.0.len() < len {
            self.0.resize(len, Lanes::ZERO);
        }
    }

    /// Returns group `group`, which has `len` lanes.
    pub fn group(&self, group: usize, len: usize) -> &[Lanes] {
        &self.0[group * len..][..len]
    }

    pub fn group_mut(&mut self, group: usize, len: usize) -> &mut [Lanes] {
        &mut self.0[group * len..][..len]
    }

    /// Returns the first `len` numbers.
    pub fn rows(&self, len: usize) -> &[f32] {
        &bytemuck::cast_slice(&self.0)[..len]
    }

    pub fn rows_mut(&mut self, len: usize) -> &mut [f32] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..len]
    }
}

/// Copies rows `[B, C·H·W]`, channel-major, into a group; lanes beyond the rows become 0.
pub fn rows_to_group(rows: &[f32], shape: Shape, group: &mut [Lanes]) {
    let features = values(shape);
    let [channels, height, width] = shape;
    let pixels = height * width;
    let count = rows.len() / features;
    for channel in 0..channels {
        for pixel in 0..pixels {
            let lanes = &mut group[pixel * channels + channel].0;
            let from = &rows[channel * pixels + pixel..];
            for (lane, value) in lanes.iter_mut().zip(from.iter().step_by(features)) {
                *lane = *value;
            }
            lanes[count..].fill(0.0);
        }
    }
}

/// Copies a group's examples back into as many rows `[B, C·H·W]`.
pub fn group_to_rows(group: &[Lanes], shape: Shape, rows: &mut [f32]) {
    let features = values(shape);
    let [channels, height, width] = shape;
    let pixels = height * width;
    for channel in 0..channels {
        for pixel in 0..pixels {
            let lanes = &group[pixel * channels + channel].0;
            let to = &mut rows[channel * pixels + pixel..];
            for (lane, value) in lanes.iter().zip(to.iter_mut().step_by(features)) {
                *value = *lane;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_a_group_and_unused_lanes_are_clear() {
        let shape = [3, 2, 5];
        for count in [1, 7, GROUP] {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let rows: Vec<f32> = (0..count * 30).map(|i| i as f32 + 1.0).collect();
            let mut group = vec![Lanes([9.0; GROUP]); 30];
            rows_to_group(&rows, shape, &mut group);
            // Example 0, channel 2, pixel 4.
            assert_eq!(group[4 * 3 + 2].0[0], rows[2 * 10 + 4]);
            assert!(
                group
                    .iter()
                    .all(|lanes| lanes.0[count..].iter().all(|&x| x == 0.0))
            );
            let mut back = vec![0.0; rows.len()];
            group_to_rows(&group, shape, &mut back);
            assert_eq!(back, rows);
        }
    }

    #[test]
    fn groups_hold_all_examples() {
        for examples in 1..100 {
            let all: usize = (0..groups(examples)).map(|g| in_group(examples, g)).sum();
            assert_eq!(all, examples);
        }
    }
}

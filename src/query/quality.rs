//! The residuals of steps, and their cost.
//!
//! Residuals are counted by decade: bin d has `10^d <= |residual| < 10^(d+1)` nats, with d from −12 to 1. The first bin
//! also has smaller ones (and 0), the last also larger ones; non-finite residuals are counted separately.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::count_above;

/// The first decade, and the number of decades.
pub const FIRST_DECADE: i32 = -12;
pub const DECADES: usize = 14;

/// The most different numbers of segments counted separately: a sound run has at most seven.
const MOST_KINDS: usize = 32;

/// The residuals and the cost of steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub steps: u64,
    /// Full-gradient evaluations.
    pub gradients: u64,
    /// Number of steps by the segments S of the accepted rule, ascending.
    pub segments: BTreeMap<u64, u64>,
    /// Steps with further numbers of segments, if a file has more than 32 different ones.
    pub other_segments: u64,
    /// `[14]`: steps by decade of the residual's magnitude.
    pub decades: [u64; DECADES],
    /// Steps with a NaN or infinite residual.
    pub not_finite: u64,
    /// Steps whose residual exceeds the run's tolerance.
    pub above: u64,
    /// Σ |residual| and the largest |residual|, in nats.
    pub sum: f64,
    pub worst: f64,
}

impl Quality {
    /// Adds the next step; its residual and the tolerance are in nats.
    pub fn push(&mut self, residual: f64, segments: u64, gradients: u64, tolerance: f64) {
        self.steps += 1;
        self.gradients = self.gradients.saturating_add(gradients);
        let known = self.segments.contains_key(&segments);
        if known || self.segments.len() < MOST_KINDS {
            *self.segments.entry(segments).or_default() += 1;
        } else {
            self.other_segments += 1;
        }
        self.above += count_above(residual, tolerance);
        let size = residual.abs();
        if !size.is_finite() {
            self.not_finite += 1;
            return;
        }
        self.decades[decade(size)] += 1;
        self.sum += size;
        self.worst = self.worst.max(size);
    }

    /// Mean magnitude of the finite residuals, in nats; NaN if there are none.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a mean over steps")]
    pub fn mean(&self) -> f64 {
        self.sum / (self.steps - self.not_finite) as f64
    }
}

/// The bin of a finite magnitude.
fn decade(size: f64) -> usize {
    let edges = (FIRST_DECADE + 1..).take(DECADES - 1);
    edges.filter(|&edge| size >= 10_f64.powi(edge)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residuals_are_counted_by_decades_and_nothing_is_lost() {
        let mut quality = Quality::default();
        let residuals = [
            0.0,
            1e-13,
            1e-12,
            -5e-4,
            1e-3,
            0.5,
            -1.0,
            99.0,
            1e300,
            f64::NAN,
        ];
        for residual in residuals {
            quality.push(residual, 2, 3, 1e-3);
        }
        let mut expected = [0; DECADES];
        // 0, 1e-13 and 1e-12 | 5e-4 | 1e-3 | 0.5 | 1 | 99 and 1e300
        for (decade, count) in [(-12, 3), (-4, 1), (-3, 1), (-1, 1), (0, 1), (1, 2)] {
            expected[usize::try_from(decade - FIRST_DECADE).unwrap()] = count;
        }
        assert_eq!(quality.decades, expected);
        assert_eq!((quality.not_finite, quality.above), (1, 5));
        assert_eq!((quality.steps, quality.gradients), (10, 30));
        assert_eq!(quality.segments, BTreeMap::from([(2, 10)]));
        assert!(quality.worst == 1e300 && quality.mean() > 1e298);
        assert!(Quality::default().mean().is_nan());
    }

    #[test]
    fn a_damaged_file_has_any_number_of_segments() {
        let mut quality = Quality::default();
        for segments in 0..1000 {
            quality.push(1e-4, segments, u64::MAX, 1e-3);
        }
        assert_eq!(quality.segments.len(), MOST_KINDS);
        let told: u64 = quality.segments.values().sum();
        assert_eq!(
            told + quality.other_segments,
            1000,
            "every step is in a row"
        );
        assert_eq!(quality.gradients, u64::MAX);
    }
}

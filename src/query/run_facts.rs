//! What a run has cost, how well it closes, and its file.
//!
//! Residuals are counted by decades: bin d has those with `10^d <= |residual| < 10^(d+1)` nats, d from
//! −12 to 1; smaller ones (and 0) are in the first, larger ones in the last; what is not finite is
//! counted apart.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::analyst::Source;
use super::watch::{Look, Watch};
use crate::record::above;
use crate::store::StoreError;

/// The first decade, and how many there are.
pub const FIRST_DECADE: i32 = -12;
pub const DECADES: usize = 14;

/// Different numbers of segments that are told apart: a sound run has at most seven.
const MOST_KINDS: usize = 32;

/// How well the steps close, and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub steps: u64,
    /// Full gradients.
    pub gradients: u64,
    /// Segments S of the accepted rule, ascending, and how many steps had so many.
    pub segments: BTreeMap<u64, u64>,
    /// Steps with yet other numbers of segments, where a file has more than 32 different ones.
    pub other_segments: u64,
    /// `[14]`: steps by the decade of their residual's magnitude.
    pub decades: [u64; DECADES],
    /// Steps whose residual is NaN or infinite.
    pub not_finite: u64,
    /// Steps above the run's tolerance.
    pub above: u64,
    /// Σ |residual| and the largest, in nats.
    pub sum: f64,
    pub worst: f64,
}

impl Quality {
    /// Takes the next step in: its residual and the tolerance in nats.
    pub fn push(&mut self, residual: f64, segments: u64, gradients: u64, tolerance: f64) {
        self.steps += 1;
        self.gradients = self.gradients.saturating_add(gradients);
        let known = self.segments.contains_key(&segments);
        if known || self.segments.len() < MOST_KINDS {
            *self.segments.entry(segments).or_default() += 1;
        } else {
            self.other_segments += 1;
        }
        self.above += above(residual, tolerance);
        let size = residual.abs();
        if !size.is_finite() {
            self.not_finite += 1;
            return;
        }
        self.decades[decade(size)] += 1;
        self.sum += size;
        self.worst = self.worst.max(size);
    }

    /// Mean magnitude of the residual, in nats; NaN without steps.
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

/// A run's file as it is now, and the quality of its steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub quality: Quality,
    /// Bytes of the file.
    pub bytes: u64,
    /// Whole steps that are in it.
    pub committed: u64,
    /// Steps done at the newest checkpoint in it, and the run's seconds then.
    pub checkpoint: Option<(u64, f64)>,
}

/// Of the steps that are asked about.
pub(super) fn of(source: &Source, watch: &mut Watch) -> Result<Answer, StoreError> {
    if watch.catch_up(source)? == Look::Interrupted {
        return Ok(Answer::Interrupted);
    }
    let reader = source.reader;
    let committed = reader.refresh()?.committed;
    let checkpoint = match reader.checkpoint_step(committed)? {
        Some(step) if step > 0 => {
            let seconds = match reader.table("step/seconds")? {
                Some(table) => table.reals(step - 1..step)?.first().copied(),
                None => None,
            };
            Some((step, seconds.unwrap_or(f64::NAN)))
        }
        _ => None,
    };
    Ok(Answer::Run(Box::new(RunFacts {
        quality: watch.quality.clone(),
        bytes: reader.bytes()?,
        committed,
        checkpoint,
    })))
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
        assert_eq!((quality.not_finite, quality.above), (1, 4));
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

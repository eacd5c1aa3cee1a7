//! Overfitting: the held-out loss rises while the training loss falls.
//!
//! ```text
//! m     evaluation with the least held-out loss H_m
//! s     √(π/2) / √6 · mean |H_{i+1} − 2 H_i + H_{i−1}|       noise of one evaluation
//! rise  the last 5 evaluations have H > H_m + 3 s and H > 1.01 H_m, and the latest training loss is below that of m
//! ```
//!
//! Second differences take away slopes; those of independent normal noise have √6 times its standard deviation, and
//! the mean magnitude of a normal variable is √(2/π) of its.

use super::{Lint, LintKind};
use crate::analysis::numbers::decimals;

/// Latest evaluations that must all be above the least.
const RISEN: u64 = 5;
/// Standard deviations of the noise, and share of the least loss, by which they must be above.
const SURE: f64 = 3.0;
const SHARE: f64 = 0.01;

/// Losses at an evaluation, in nats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EvaluationLosses {
    pub step: u64,
    pub train: f64,
    pub held_out: f64,
}

/// A rise of the held-out loss while the training loss fell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overfitting {
    /// The evaluation with the least held-out loss, and the latest one.
    pub least: EvaluationLosses,
    pub latest: EvaluationLosses,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Evaluations {
    least: Option<EvaluationLosses>,
    latest: Option<EvaluationLosses>,
    /// Step of the latest evaluation, finite or not.
    step: Option<u64>,
    /// The latest change of the held-out loss; Σ |second differences|, and their number.
    change: Option<f64>,
    roughness: f64,
    differences: u32,
    /// Latest evaluations in a row that are clearly above the least.
    risen: u64,
}

impl Evaluations {
    pub(super) fn push(&mut self, step: u64, train: f64, held_out: f64) {
        if self.step.is_some_and(|newest| step <= newest) {
            return;
        }
        self.step = Some(step);
        if !train.is_finite() || !held_out.is_finite() {
            *self = Self {
                step: self.step,
                ..Self::default()
            };
            return;
        }
        let losses = EvaluationLosses {
            step,
            train,
            held_out,
        };
        let change = self.latest.map(|latest| held_out - latest.held_out);
        if let (Some(change), Some(before)) = (change, self.change) {
            self.roughness += (change - before).abs();
            self.differences += 1;
        }
        (self.change, self.latest) = (change, Some(losses));
        match self.least {
            Some(least) if held_out >= least.held_out => {
                let above = held_out - least.held_out;
                let clear = above > SURE * self.noise() && above > SHARE * least.held_out.abs();
                self.risen = if clear { self.risen + 1 } else { 0 };
            }
            _ => (self.least, self.risen) = (Some(losses), 0),
        }
    }

    fn noise(&self) -> f64 {
        if self.differences == 0 {
            return 0.0;
        }
        (std::f64::consts::PI / 12.0).sqrt() * self.roughness / f64::from(self.differences)
    }

    pub(super) fn overfitting(&self) -> Option<Overfitting> {
        let (least, latest) = (self.least?, self.latest?);
        let so = self.risen >= RISEN && latest.train < least.train;
        so.then_some(Overfitting { least, latest })
    }

    pub(super) fn lint(&self) -> Option<Lint> {
        let Overfitting { least, latest } = self.overfitting()?;
        let nats = |loss| decimals(loss, 4);
        let text = format!(
            "the held-out loss has risen since step {} ({} to {} nats), the training loss fell ({} to {})",
            least.step,
            nats(least.held_out),
            nats(latest.held_out),
            nats(least.train),
            nats(latest.train)
        );
        Some(Lint::new(LintKind::Overfitting, text, None, least.step))
    }
}

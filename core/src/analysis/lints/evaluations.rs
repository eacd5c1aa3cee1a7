//! Overfitting: the held-out loss rises while the training loss falls.

use super::{Lint, LintKind};
use crate::analysis::numbers::decimals;

/// Rises in a row that are unlikely by chance: one in 720 orders of six numbers.
const RISES: u64 = 5;

/// Losses at an evaluation, in nats.
#[derive(Clone, Copy, Debug)]
struct EvaluationLosses {
    train: f64,
    held_out: f64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Evaluations {
    /// At the evaluation before the held-out loss began to rise, and at the latest.
    first: Option<EvaluationLosses>,
    latest: Option<EvaluationLosses>,
    /// Step of the latest evaluation.
    step: Option<u64>,
    rises: u64,
}

impl Evaluations {
    pub(super) fn push(&mut self, step: u64, train: f64, held_out: f64) {
        if self.step.is_some_and(|newest| step <= newest) {
            return;
        }
        self.step = Some(step);
        let losses = EvaluationLosses { train, held_out };
        if !train.is_finite() || !held_out.is_finite() {
            (self.first, self.latest, self.rises) = (None, None, 0);
            return;
        }
        let rises = self.latest.is_some_and(|latest| held_out > latest.held_out);
        if rises {
            self.rises = self.rises.saturating_add(1);
        } else {
            self.rises = 0;
            self.first = Some(losses);
        }
        self.latest = Some(losses);
    }

    pub(super) fn lint(&self) -> Option<Lint> {
        let (first, latest) = (self.first?, self.latest?);
        if self.rises < RISES || latest.train >= first.train {
            return None;
        }
        let rises = self.rises;
        let nats = |loss| decimals(loss, 4);
        let text = format!(
            "held-out loss rose {rises} times in a row ({} to {} nats), training loss fell ({} to {})",
            nats(first.held_out),
            nats(latest.held_out),
            nats(first.train),
            nats(latest.train)
        );
        Some(Lint::new(LintKind::Overfitting, text, None, self.step?))
    }
}

//! Lints: what looks wrong with a training, in plain words with the number behind them.
//!
//! | lint | condition, over the whole run so far |
//! |---|---|
//! | inputs | not scaled ([`data`]) |
//! | first loss | far above that of a uniform guess ([`data`]) |
//! | labels, classes | classes without examples ([`data`]) |
//! | loss not finite | NaN or infinite in one step or more |
//! | allocation not finite | a layer's, in one step or more |
//! | residual | above the tolerance in one step or more |
//! | overfitting | the held-out loss has risen since its least value, while the training loss fell ([`evaluations`]) |
//! | still | a layer's update was 0 for 50 steps in a row or more, and it was not frozen |
//! | vanishing | the norm of a layer's full gradient stayed below 1e-8, or a millionth of the largest layer's |
//! | hurts | a layer's A is above 0 in 60 % of the steps or more |
//! | held-out hurt | a layer's ΣA is below −3 √ΣA² of the training loss, and above 3 √ΣA² of the held-out loss |
//! | not recorded | the run lacks a quantity that a lint above needs, so its result is unknown |
//!
//! Vanishing (in a row), hurts and held-out hurt need 50 steps. By chance alone, a layer that hurts in half of the steps
//! reaches 60 % of 200 once in 350 times; and a sum exceeds three times `√ΣA²`, the typical drift of a sum of
//! independent steps of either sign, once in 700 times on either side.
//!
//! ```text
//! fc3 hurt in 122 of 200 steps, ΣA = 0.0042      "fc3 hurt in 61 % of 200 steps (sum +4.2e-3 nats)"
//! ```
//!
//! The thresholds are this program's own choice. A step that is not recorded does not count; NaN is left out of
//! everything but "loss not finite" and "allocation not finite".

pub mod data;
pub mod evaluations;
mod rules;
mod tally;

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use evaluations::Evaluations;
use tally::{LayerTally, Occurrences, Streak};

/// The severity of a lint, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// The run, or its numbers, are broken.
    Error,
    /// Numbers cannot be trusted, or training is going wrong.
    Warning,
    /// Worth a look.
    Notice,
}

impl Severity {
    /// Returns the word shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Notice => "note",
        }
    }
}

/// The kinds of lints, in the order in which lints of the same severity are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum LintKind {
    LossNotFinite,
    AllocationNotFinite,
    Inputs,
    FirstLoss,
    Labels,
    Residual,
    Overfitting,
    Still,
    Vanishing,
    Hurts,
    HeldOutHurt,
    Classes,
    NotRecorded,
}

impl LintKind {
    fn severity(self) -> Severity {
        match self {
            Self::LossNotFinite | Self::AllocationNotFinite => Severity::Error,
            Self::Inputs
            | Self::FirstLoss
            | Self::Labels
            | Self::Residual
            | Self::Overfitting
            | Self::Still
            | Self::Vanishing => Severity::Warning,
            Self::Hurts | Self::HeldOutHurt | Self::Classes | Self::NotRecorded => Severity::Notice,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lint {
    pub severity: Severity,
    pub kind: LintKind,
    /// One line, with layer names as the caller gave them.
    pub text: String,
    pub layer: Option<usize>,
    /// The step to look at: the last one that shows it, or the first if it has continued since then.
    pub step: u64,
}

/// The constant facts about a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LintedRun {
    /// `[L]`: names of the layers.
    pub layers: Vec<String>,
    /// Tolerance for the residual of a step, in nats.
    pub tolerance: f64,
    /// The most segments that the adaptive integrator may take; `None` if the integrator is not adaptive.
    pub max_segments: Option<u64>,
}

/// The measurements of a step. All slices are `[L]`; those not measured may be empty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LintStep<'a> {
    pub step: u64,
    /// Training loss after the step, in nats.
    pub loss: f64,
    /// Residual, in nats.
    pub residual: f64,
    pub segments: u64,
    /// A of the training loss, in nats.
    pub lca: &'a [f64],
    /// A of the held-out loss, in nats.
    pub held_out: &'a [f64],
    /// L2 norm of Δ.
    pub update_norm: &'a [f64],
    /// L2 norm of the full gradient.
    pub gradient_norm: &'a [f64],
    /// Layers that are not meant to move in this step: frozen, or waiting for a delayed gradient.
    pub frozen: &'a [bool],
}

/// Checks the steps of a run, in memory that does not grow with it.
#[derive(Clone, Debug)]
pub struct Linter {
    run: LintedRun,
    newest: Option<u64>,
    steps: u64,
    /// Steps whose loss was not finite, and the first one of the current streak.
    broken: Occurrences,
    broken_since: Option<u64>,
    /// Steps whose residual is above the tolerance, and whether one of them had the most segments.
    above: Occurrences,
    at_most_segments: bool,
    /// `[L]`
    layers: Vec<LayerTally>,
    /// Steps in which the gradients of all layers vanish.
    vanished: Streak,
    evaluations: Evaluations,
}

/// Thresholds for the L2 norm of a layer's gradient: absolute, and as a share of the largest layer's.
const VANISHING: f64 = 1e-8;
const VANISHING_SHARE: f64 = 1e-6;

impl Linter {
    #[must_use]
    pub fn new(run: LintedRun) -> Self {
        let layers = run.layers.len();
        Self {
            run,
            newest: None,
            steps: 0,
            broken: Occurrences::default(),
            broken_since: None,
            above: Occurrences::default(),
            at_most_segments: false,
            layers: vec![LayerTally::default(); layers],
            vanished: Streak::default(),
            evaluations: Evaluations::default(),
        }
    }

    /// Takes in the next step. Ignores a step that is not later than all before it.
    pub fn push(&mut self, row: &LintStep) {
        let step = row.step;
        if self.newest.is_some_and(|newest| step <= newest) {
            return;
        }
        self.newest = Some(step);
        self.steps += 1;
        let finite = row.loss.is_finite();
        self.broken.count(!finite, step);
        self.broken_since = match self.broken_since {
            _ if finite => None,
            Some(since) => Some(since),
            None => Some(step),
        };
        let above = row.residual.abs() > self.run.tolerance || (finite && row.residual.is_nan());
        self.above.count(above, step);
        let most = self.run.max_segments;
        self.at_most_segments |= above && most.is_some_and(|most| row.segments >= most);
        let norms = row.gradient_norm.iter().copied();
        let largest = norms.filter(|norm| norm.is_finite()).fold(0.0, f64::max);
        let least = VANISHING.max(VANISHING_SHARE * largest);
        let at = |of: &[f64], layer: usize| of.get(layer).copied().unwrap_or(f64::NAN);
        let mut all = self.layers.len() > 1;
        for (layer, tally) in self.layers.iter_mut().enumerate() {
            let frozen = row.frozen.get(layer).copied().unwrap_or(false);
            let gradient = at(row.gradient_norm, layer);
            all &= gradient < least;
            tally
                .still
                .push(step, !frozen && at(row.update_norm, layer) == 0.0);
            tally.push_gradient(step, gradient, !frozen && gradient < least);
            let broken = row.lca.get(layer).is_some_and(|a| !a.is_finite());
            tally.broken.count(broken, step);
            tally.push_lca(at(row.lca, layer), at(row.held_out, layer));
        }
        self.vanished.push(step, all);
    }

    /// Returns since when the held-out loss has risen while the training loss fell.
    #[must_use]
    pub fn overfitting(&self) -> Option<evaluations::Overfitting> {
        self.evaluations.overfitting()
    }

    /// Returns the steps in a row in which a layer did not move although it was not frozen, the longest such streak.
    #[must_use]
    pub fn stillness(&self, layer: usize) -> Range<u64> {
        self.layers
            .get(layer)
            .map_or(0..0, |tally| tally.still.longest())
    }

    /// Takes in an evaluation of both losses, in nats, after `step`. Ignores one that is not later than all before it.
    pub fn evaluation(&mut self, step: u64, train: f64, held_out: f64) {
        self.evaluations.push(step, train, held_out);
    }
}

/// Shows the severity and the text in one line.
impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}: {}", self.severity.name(), self.text)
    }
}

impl Lint {
    /// The lint that the run up to `step` lacks the quantity `what`, which other lints need.
    #[must_use]
    pub fn not_recorded(what: &str, step: u64) -> Self {
        let unknown = match what {
            "motion/update_norm" => "whether layers have moved",
            "motion/gradient_norm" => "whether gradients vanish",
            _ => "what depends on it",
        };
        let text = format!("this run has no {what}: {unknown} is unknown");
        Self::new(LintKind::NotRecorded, text, None, step)
    }

    fn new(kind: LintKind, text: String, layer: Option<usize>, step: u64) -> Self {
        Self {
            severity: kind.severity(),
            kind,
            text,
            layer,
            step,
        }
    }
}

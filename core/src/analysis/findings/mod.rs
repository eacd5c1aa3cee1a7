//! Findings: what happened in a run, in sentences with numbers, each with the place where it can be seen.
//!
//! ```text
//! learning   Σ_t A of a layer / Σ_t A of all
//! done by    first step after which the loss is below L_0 − 0.9 (L_0 − L_end)
//! worst      a layer's steps with the largest A > 0
//! spikes     a layer's Σ A over the steps with a loss spike / Σ A of all layers over them
//! halved     first step after which a class's mean loss is at most half of that at the start
//! period     of the 256 consecutive steps with the smallest p ([`period`](super::period)), p times layers times windows
//! ```
//!
//! [`Observer`] takes in a step at a cost of O(layers + classes), and every 256 steps the periods of all layers; its
//! memory does not grow with the run. `sentences` turns it into findings.

mod curve;
mod oscillations;
mod sentences;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::sum::Sum;
use curve::LossCurve;
use oscillations::Oscillations;
pub use sentences::{Context, Peaks, findings};

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingKind {
    /// A warning about the run ([`lints`](super::lints)).
    Warning,
    Trust,
    Learning,
    Hurting,
    DoneBy,
    Peaks,
    Spikes,
    Overfitting,
    Oscillation,
    LastClass,
    Still,
    DeadUnits,
}

/// The screen that shows a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FindingView {
    Overview,
    Decomposition,
    Oscillation,
    Synchronisation,
    Classes,
    HeldOut,
    Layer,
    Run,
}

/// The screen, layer, class and steps that show a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub view: FindingView,
    pub layer: Option<usize>,
    pub class: Option<usize>,
    /// The steps to show; `None` for the whole run.
    pub steps: Option<Range<u64>>,
    pub cursor: Option<u64>,
}

impl Evidence {
    fn at(view: FindingView, cursor: Option<u64>) -> Self {
        Self {
            view,
            layer: None,
            class: None,
            steps: None,
            cursor,
        }
    }

    fn of_layer(view: FindingView, layer: usize, cursor: Option<u64>) -> Self {
        Self {
            layer: Some(layer),
            ..Self::at(view, cursor)
        }
    }
}

/// A sentence about a run, with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    /// Needs attention: numbers that cannot be trusted, or a training that went wrong.
    pub is_trouble: bool,
    /// A sentence or two, with names of layers and classes as the caller gave them.
    pub text: String,
    pub evidence: Evidence,
}

/// The measurements of a step that the observer reads. Slices that were not measured may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct ObservedStep<'a> {
    pub step: u64,
    /// Training loss before and after it, and held-out loss after it (NaN where not evaluated), in nats.
    pub loss_before: f64,
    pub loss_after: f64,
    pub held_out_loss: f64,
    pub residual: f64,
    /// `[L]`: A of the training loss, its estimated error, and A of the held-out loss, in nats.
    pub lca: &'a [f64],
    pub error: &'a [f64],
    pub held_out: &'a [f64],
    /// `[C]`: mean training loss of each class after the step, in nats.
    pub class_losses: &'a [f64],
    /// Whether the step is a loss spike ([`events`](super::events)).
    pub is_spike: bool,
}

/// Worst steps that are kept of each layer.
pub const WORST: usize = 20;

/// Observes a run step by step.
#[derive(Clone, Debug)]
pub struct Observer {
    newest: Option<u64>,
    steps: u64,
    residual: Sum,
    curve: LossCurve,
    layers: Vec<LayerStory>,
    classes: Vec<ClassStory>,
    spikes: Spikes,
    least_held_out: f64,
    oscillations: Oscillations,
}

/// One layer so far. Steps whose A is not finite are left out.
#[derive(Clone, Debug, Default)]
struct LayerStory {
    lca: Sum,
    error: Sum,
    measured: u64,
    hurt: u64,
    /// The steps with the largest A > 0, the mildest on top.
    worst: BinaryHeap<Reverse<HurtingStep>>,
    /// Σ A over the spikes.
    spikes: Sum,
    /// Σ A of both losses since the held-out loss was least.
    since_least: [Sum; 2],
}

/// A step in which a layer hurt.
#[derive(Clone, Copy, Debug)]
struct HurtingStep {
    lca: f64,
    step: u64,
}

impl Ord for HurtingStep {
    /// By A; of equal ones the earlier is the worse.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.lca.total_cmp(&other.lca)).then(other.step.cmp(&self.step))
    }
}

impl PartialOrd for HurtingStep {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for HurtingStep {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == std::cmp::Ordering::Equal
    }
}

impl Eq for HurtingStep {}

/// A class so far.
#[derive(Clone, Copy, Debug)]
struct ClassStory {
    /// Mean loss at the start, and after the newest step, in nats.
    first: f64,
    newest: f64,
    /// The first step after which its loss was at most half of the first.
    halved: Option<u64>,
}

/// The loss spikes so far.
#[derive(Clone, Copy, Debug, Default)]
struct Spikes {
    count: u64,
    /// Step of the largest one, and the losses before and after it.
    largest: Option<(u64, f64, f64)>,
}

impl Observer {
    #[must_use]
    pub fn new(layers: usize) -> Self {
        Self {
            newest: None,
            steps: 0,
            residual: Sum::default(),
            curve: LossCurve::default(),
            layers: vec![LayerStory::default(); layers],
            classes: Vec::new(),
            spikes: Spikes::default(),
            least_held_out: f64::INFINITY,
            oscillations: Oscillations::new(layers),
        }
    }

    /// Takes in the mean losses of the classes before the first step (`[C]`, in nats).
    pub fn start(&mut self, class_losses: &[f64]) {
        let story = |&first: &f64| ClassStory {
            first,
            newest: first,
            halved: None,
        };
        self.classes = class_losses.iter().map(story).collect();
    }

    /// Takes in the next step. Ignores a step that is not later than all before it.
    pub fn push(&mut self, row: &ObservedStep) {
        if self.newest.is_some_and(|newest| row.step <= newest) {
            return;
        }
        self.newest = Some(row.step);
        self.steps += 1;
        if row.residual.is_finite() {
            self.residual.add(row.residual);
        }
        self.curve.push(row.step, row.loss_before, row.loss_after);
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let at = |of: &[f64]| of.get(index).copied().unwrap_or(f64::NAN);
            layer.push(row, at(row.lca), at(row.error), at(row.held_out));
        }
        if row.held_out_loss < self.least_held_out {
            self.least_held_out = row.held_out_loss;
            for layer in &mut self.layers {
                layer.since_least = [Sum::default(); 2];
            }
        }
        for (class, &loss) in self.classes.iter_mut().zip(row.class_losses) {
            class.newest = loss;
            if class.halved.is_none() && loss <= 0.5 * class.first {
                class.halved = Some(row.step);
            }
        }
        if row.is_spike {
            self.spikes.count += 1;
            let rise = |(_, before, after): &(u64, f64, f64)| after - before;
            let spike = (row.step, row.loss_before, row.loss_after);
            let larger = |largest: &(u64, f64, f64)| rise(largest) < rise(&spike);
            if self.spikes.largest.as_ref().is_none_or(larger) {
                self.spikes.largest = Some(spike);
            }
        }
        self.oscillations.push(row.step, row.lca);
    }

    /// Returns a layer's worst steps with A in nats, the worst first: at most [`WORST`], those with the largest A above
    /// 0.
    #[must_use]
    pub fn worst(&self, layer: usize) -> Vec<(u64, f64)> {
        let worst = self.layers.get(layer).map(LayerStory::worst_first);
        let worst = worst.into_iter().flatten();
        worst.map(|worst| (worst.step, worst.lca)).collect()
    }
}

impl LayerStory {
    fn push(&mut self, row: &ObservedStep, lca: f64, error: f64, held_out: f64) {
        if error.is_finite() {
            self.error.add(error.abs());
        }
        if !lca.is_finite() {
            return;
        }
        self.measured += 1;
        self.lca.add(lca);
        if lca > 0.0 {
            self.hurt += 1;
            let step = row.step;
            self.worst.push(Reverse(HurtingStep { lca, step }));
            if self.worst.len() > WORST {
                self.worst.pop();
            }
        }
        if row.is_spike {
            self.spikes.add(lca);
        }
        if held_out.is_finite() {
            self.since_least[0].add(lca);
            self.since_least[1].add(held_out);
        }
    }

    fn worst_first(&self) -> Vec<HurtingStep> {
        let mut worst: Vec<HurtingStep> = self.worst.iter().map(|Reverse(step)| *step).collect();
        worst.sort_by(|a, b| b.cmp(a));
        worst
    }
}

//! Events of a run, for the marks on its timeline: detected step by step, in bounded memory.
//!
//! | kind | when | number |
//! |---|---|---|
//! | residual | the residual's magnitude is above the tolerance | the magnitude, in nats |
//! | not finite | first step of a stretch with a NaN or infinite loss, residual or layer's A | number of such layers |
//! | loss spike | the loss rises far more than usual | the rise, in nats |
//! | synchronised | many layers have one of their deepest moments of learning | number of these layers |
//!
//! **Loss spike.** `d_t = L_{t+1} − L_t`; m is the median of the last 64 d before it, and s is 1.4826 times their
//! median distance from m (the standard deviation if they are normal, but robust to outliers). A step is a spike if
//!
//! ```text
//! d − m > 12 s,        d > L_t / 100     if 16 steps or more are known
//! d > 2 max |d before|, d > L_t / 10     in the first 16 steps
//!
//! d = ±0.01 for 64 steps: m = 0, s = 0.015. Then d = 0.15 is no spike, and d = 0.2 at L = 2 is one.
//! d = −0.2, −0.3, then 0.7 at L = 1.8: a spike in step 2, larger than twice 0.3.
//! ```
//!
//! A median of fewer than 16 says little, so the first steps are compared with the largest change before them.
//! Normal noise does not reach 12 s; nor does a smooth curve, whose d hardly changes from one step to the next, while s
//! spans its change over 64 steps.
//!
//! **Synchronised.** A step at which at least three layers, and at least a quarter of all layers, have one of their 20
//! deepest moments ([`super::moments`]) of the run so far. As the run goes on, deeper moments push out shallower ones,
//! and such a step may no longer count.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use serde::{Deserialize, Serialize};

use super::moments::{KEEP, Moments, shared};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EventKind {
    Residual,
    NotFinite,
    LossSpike,
    Synchronised,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub step: u64,
    pub kind: EventKind,
    /// The number in the module's table; always finite.
    pub value: f64,
}

/// The measurements of a step that the detector reads.
#[derive(Clone, Copy, Debug)]
pub struct EventStep<'a> {
    pub step: u64,
    /// Training loss before and after it, in nats.
    pub loss_before: f64,
    pub loss_after: f64,
    /// Residual, in nats.
    pub residual: f64,
    /// `[L]`: A by layer, in nats.
    pub lca: &'a [f64],
}

/// Thresholds for events.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The run's tolerance for the residual of a step, in nats.
    pub tolerance: f64,
    /// Standard deviations above the median that make a spike.
    pub spike: f64,
    /// Least rise of a spike, as a share of the loss.
    pub spike_share: f64,
    /// Least share of the layers in a synchronised step.
    pub layers_share: f64,
    /// Events kept of each kind: the strongest (for not finite, the first). All are counted.
    pub keep: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            tolerance: 1e-3,
            spike: 12.0,
            spike_share: 0.01,
            layers_share: 0.25,
            keep: 256,
        }
    }
}

/// Fewest layers in a synchronised step.
const LEAST_LAYERS: usize = 3;

/// Latest changes of the loss that define what is usual.
const WINDOW: usize = 64;

/// With fewer changes, a spike is more than twice the largest of them, and a tenth of the loss.
const LEAST_WINDOW: usize = 16;
const EARLY_TIMES: f64 = 2.0;
const EARLY_SHARE: f64 = 0.1;

/// Detects a run's events step by step.
#[derive(Clone, Debug)]
pub struct Detector {
    rules: Rules,
    newest: Option<u64>,
    moments: Moments,
    /// The latest changes of the loss, in nats, all finite.
    changes: VecDeque<f64>,
    /// True if the last step was not finite.
    broken: bool,
    residuals: Strongest,
    not_finite: Strongest,
    spikes: Strongest,
}

impl Detector {
    #[must_use]
    pub fn new(layers: usize, rules: Rules) -> Self {
        Self {
            rules,
            newest: None,
            moments: Moments::new(layers, KEEP),
            changes: VecDeque::with_capacity(WINDOW),
            broken: false,
            residuals: Strongest::default(),
            not_finite: Strongest::default(),
            spikes: Strongest::default(),
        }
    }

    /// Takes in the next step. Ignores a step that is not later than all before it.
    ///
    /// O(L), plus two medians of 64.
    pub fn push(&mut self, step: &EventStep) {
        if self.newest.is_some_and(|newest| step.step <= newest) {
            return;
        }
        self.newest = Some(step.step);
        self.moments.push(step.step, step.lca);
        self.finite(step);
        let residual = step.residual.abs();
        if residual > self.rules.tolerance && residual.is_finite() {
            let event = event(step, EventKind::Residual, residual);
            self.residuals.add(event, self.rules.keep);
        }
        self.spike(step);
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of layers")]
    fn finite(&mut self, step: &EventStep) {
        let layers = step.lca.iter().filter(|a| !a.is_finite()).count();
        let finite = step.loss_after.is_finite() && step.residual.is_finite() && layers == 0;
        if !finite && !self.broken {
            let event = event(step, EventKind::NotFinite, layers as f64);
            self.not_finite.add(event, self.rules.keep);
        }
        self.broken = !finite;
    }

    fn spike(&mut self, step: &EventStep) {
        let rise = step.loss_after - step.loss_before;
        if !rise.is_finite() {
            return;
        }
        if self.is_spike(rise, step.loss_before.abs()) {
            let event = event(step, EventKind::LossSpike, rise);
            self.spikes.add(event, self.rules.keep);
        }
        if self.changes.len() == WINDOW {
            self.changes.pop_front();
        }
        self.changes.push_back(rise);
    }

    fn is_spike(&self, rise: f64, loss: f64) -> bool {
        if self.changes.len() < LEAST_WINDOW {
            let sizes = self.changes.iter().map(|change| change.abs());
            let largest = sizes.fold(0.0, f64::max);
            return rise > EARLY_SHARE * loss && rise > EARLY_TIMES * largest;
        }
        if rise <= self.rules.spike_share * loss || rise <= 0.0 {
            return false;
        }
        let (median, deviation) = median_and_spread(&self.changes);
        rise - median > self.rules.spike * deviation
    }

    /// The layers' moments of learning.
    #[must_use]
    pub fn moments(&self) -> &Moments {
        &self.moments
    }

    /// Returns the number of events of this kind so far, including those not kept.
    #[must_use]
    pub fn count(&self, kind: EventKind) -> u64 {
        match kind {
            EventKind::Residual => self.residuals.count,
            EventKind::NotFinite => self.not_finite.count,
            EventKind::LossSpike => self.spikes.count,
            EventKind::Synchronised => self.synchronised().count() as u64,
        }
    }

    /// Returns the kept events, by step and then by kind.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let kept = [&self.residuals, &self.not_finite, &self.spikes];
        let kept = kept.into_iter().flat_map(Strongest::in_order);
        let mut together = Strongest::default();
        self.synchronised()
            .for_each(|event| together.add(event, self.rules.keep));
        let mut events: Vec<Event> = kept.chain(together.in_order()).collect();
        events.sort_unstable_by_key(|event| (event.step, event.kind));
        events
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of layers")]
    fn synchronised(&self) -> impl Iterator<Item = Event> {
        let share = self.rules.layers_share * self.moments.layers() as f64;
        let shared = shared(&self.moments.sets()).steps.into_iter();
        shared
            .filter(move |at| at.layers >= LEAST_LAYERS && at.layers as f64 >= share)
            .map(|at| Event {
                step: at.step,
                kind: EventKind::Synchronised,
                value: at.layers as f64,
            })
    }
}

fn event(step: &EventStep, kind: EventKind, value: f64) -> Event {
    Event {
        step: step.step,
        kind,
        value,
    }
}

/// Returns the median of finite numbers and their median distance from it, scaled to a standard deviation. Needs at
/// least one number.
fn median_and_spread(changes: &VecDeque<f64>) -> (f64, f64) {
    let mut values: Vec<f64> = changes.iter().copied().collect();
    let middle = median(&mut values);
    for value in &mut values {
        *value = (*value - middle).abs();
    }
    (middle, 1.4826 * median(&mut values))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    0.5 * below + 0.5 * above
}

/// The strongest events of one kind, and the count of all.
#[derive(Clone, Debug, Default)]
struct Strongest {
    count: u64,
    /// The weakest on top.
    kept: BinaryHeap<Reverse<Ranked>>,
}

impl Strongest {
    fn add(&mut self, event: Event, keep: usize) {
        self.count = self.count.saturating_add(1);
        self.kept.push(Reverse(Ranked(event)));
        if self.kept.len() > keep {
            self.kept.pop();
        }
    }

    fn in_order(&self) -> impl Iterator<Item = Event> {
        self.kept.iter().map(|Reverse(Ranked(event))| *event)
    }
}

/// Ordered by strength; of equal events the earlier is the stronger. For not finite only the order of steps counts.
#[derive(Clone, Copy, Debug)]
struct Ranked(Event);

impl Ranked {
    fn strength(&self) -> f64 {
        match self.0.kind {
            EventKind::NotFinite => 0.0,
            _ => self.0.value,
        }
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let strength = self.strength().total_cmp(&other.strength());
        strength.then(other.0.step.cmp(&self.0.step))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    /// Watches a run with these losses and no residual.
    fn watch(losses: &[f64]) -> Detector {
        let mut detector = Detector::new(1, Rules::default());
        for (step, pair) in (0..).zip(losses.windows(2)) {
            detector.push(&EventStep {
                step,
                loss_before: pair[0],
                loss_after: pair[1],
                residual: 0.0,
                lca: &[pair[1] - pair[0]],
            });
        }
        detector
    }

    fn steps_of(detector: &Detector, kind: EventKind) -> Vec<u64> {
        let events = detector.events().into_iter();
        events
            .filter(|event| event.kind == kind)
            .map(|event| event.step)
            .collect()
    }

    #[test]
    fn the_example_in_the_module_docs_holds() {
        let mut losses: Vec<f64> = (0..65)
            .map(|t| if t % 2 == 0 { 2.0 } else { 2.01 })
            .collect();
        losses.push(2.15);
        assert_eq!(watch(&losses).count(EventKind::LossSpike), 0);
        losses[65] = 2.2;
        let detector = watch(&losses);
        let [
            Event {
                step: 64,
                kind: EventKind::LossSpike,
                value,
            },
        ] = detector.events()[..]
        else {
            panic!("{:?}", detector.events());
        };
        assert!((value - 0.2).abs() < 1e-12);
    }

    #[test]
    fn smooth_and_noisy_curves_have_no_spikes() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        let mut noise = |size: f64| -> f64 {
            let normal: f64 = StandardNormal.sample(&mut rng);
            size * normal
        };
        let t = || (0..20_000).map(f64::from);
        let curves: [Vec<f64>; 6] = [
            t().map(|t| 2.3 * (-t / 500.0).exp()).collect(),
            t().map(|t| 1.0 + 0.5 * (t / 30.0).sin()).collect(),
            t().map(|t| 1.0 + (t - 10_000.0).powi(2) / 1e8).collect(),
            t().map(|_| 1.0).collect(),
            t().map(|t| 2.0 * (-t / 5000.0).exp() + noise(0.05))
                .collect(),
            // A random walk, whose changes are independent.
            t().scan(500.0, |l, _| {
                *l += noise(3.0);
                Some(*l)
            })
            .collect(),
        ];
        for (index, losses) in curves.iter().enumerate() {
            assert_eq!(
                watch(losses).count(EventKind::LossSpike),
                0,
                "curve {index}"
            );
        }
    }

    #[test]
    fn planted_spikes_are_found() {
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let mut losses: Vec<f64> = (0..3000)
            .map(|t| 2.0 * (-f64::from(t) / 800.0).exp() + 0.1 + 0.01 * rng.random::<f64>())
            .collect();
        for t in [500, 1200, 2900] {
            losses[t] += 0.5;
        }
        let detector = watch(&losses);
        assert_eq!(steps_of(&detector, EventKind::LossSpike), [499, 1199, 2899]);
        assert_eq!(detector.count(EventKind::LossSpike), 3);
    }

    #[test]
    fn spikes_of_the_first_steps_are_found() {
        // As recorded with 500 examples at learning rates 0.4 and 30.
        let early = [2.68, 2.24, 2.0, 1.72, 1.36, 1.05, 1.8, 4.34, 3.73, 1.9, 1.8];
        assert_eq!(steps_of(&watch(&early), EventKind::LossSpike), [6]);
        let wild = [2.68, 499.7, 5.05e6, 510.0, 185.7];
        assert_eq!(steps_of(&watch(&wild), EventKind::LossSpike), [0, 1]);
        assert_eq!(watch(&[2.0, 2.19, 2.0, 1.9]).count(EventKind::LossSpike), 0);
    }

    #[test]
    fn a_stretch_of_non_finite_values_is_one_event() {
        let mut losses = vec![1.0; 40];
        losses[10..13].fill(f64::NAN);
        losses[30] = f64::INFINITY;
        let detector = watch(&losses);
        // In a stretch, steps that end at such a loss come first, then steps that begin at one and have no A.
        assert_eq!(steps_of(&detector, EventKind::NotFinite), [9, 29]);
        assert_eq!(detector.count(EventKind::NotFinite), 2);
        assert!(detector.events().iter().all(|event| event.value == 1.0));
    }

    #[test]
    fn the_strongest_residuals_are_kept_and_all_are_counted() {
        let rules = Rules {
            keep: 3,
            ..Rules::default()
        };
        let mut detector = Detector::new(0, rules);
        for (step, residual) in (0..).zip([0.002, 1e-4, -0.5, 0.001, 0.1, 0.002, f64::NAN, 0.002]) {
            let step = EventStep {
                step,
                loss_before: 1.0,
                loss_after: 1.0,
                residual,
                lca: &[],
            };
            detector.push(&step);
            // Pushed twice.
            detector.push(&step);
        }
        assert_eq!(steps_of(&detector, EventKind::Residual), [0, 2, 4]);
        assert_eq!(detector.count(EventKind::Residual), 5);
        assert_eq!(steps_of(&detector, EventKind::NotFinite), [6]);
    }

    #[test]
    fn layers_that_dip_together_are_an_event() {
        let mut rng = ChaCha8Rng::seed_from_u64(10);
        let mut detector = Detector::new(8, Rules::default());
        for step in 0..500_u64 {
            // At step 100 seven layers dip, at 200 two.
            let dips = match step {
                100 => 7,
                200 => 2,
                _ => 0,
            };
            let lca: Vec<f64> = (0..8)
                .map(|layer| -rng.random::<f64>() - if layer < dips { 2.0 } else { 0.0 })
                .collect();
            detector.push(&EventStep {
                step,
                loss_before: 1.0,
                loss_after: 1.0,
                residual: 0.0,
                lca: &lca,
            });
        }
        let events = detector.events();
        let at = events.iter().find(|event| event.step == 100).unwrap();
        assert_eq!((at.kind, at.value), (EventKind::Synchronised, 7.0));
        assert!(
            events
                .iter()
                .all(|event| event.value >= 3.0 && event.step != 200),
            "{events:?}"
        );
        assert_eq!(detector.count(EventKind::Synchronised), events.len() as u64);
        assert_eq!(detector.moments().layers(), 8);
    }

    proptest! {
        #[test]
        fn arbitrary_input_does_not_panic_and_memory_stays_small(
            steps in prop::collection::vec(
                (any::<u8>(), prop::array::uniform6(prop::num::f64::ANY)), 0..80),
            keep in 0_usize..4,
        ) {
            let rules = Rules { keep, tolerance: 0.0, ..Rules::default() };
            let mut detector = Detector::new(3, rules);
            for (step, [loss_before, loss_after, residual, a, b, c]) in steps {
                let lca = [a, b, c];
                let lca = &lca[..usize::from(step % 4)];
                detector.push(&EventStep { step: step.into(), loss_before, loss_after, residual, lca });
            }
            let events = detector.events();
            prop_assert!(events.len() <= 4 * keep);
            prop_assert!(events.iter().all(|event| event.value.is_finite()));
            prop_assert!(events.is_sorted_by_key(|event| (event.step, event.kind)));
        }
    }
}

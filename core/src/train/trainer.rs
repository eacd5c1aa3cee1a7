//! Trains and allocates one step at a time.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, never};

use super::inquiry::Inquiry;
use crate::analysis::numbers::chosen;
use crate::data::Batches;
use crate::engine::{EngineError, Evaluation, GradientEngine, SegmentPoint, Subset, Want};
use crate::layout::ParamLayout;
use crate::lca::allocation::{Allocated, EndLosses};
use crate::lca::{Allocator, Integrator, IntegratorSettings, PointEvaluation};
use crate::optim::{Groups, OptimizerChoice, Overrides, Schedule};
use crate::record::{Losses, ParamTotals, StartRecord, StepRecord, Trace};
use crate::trajectory::{NextPoint, StepFacts, Trajectory, TrajectoryError};

/// Maximum size in bytes of the snapshots of the running totals in a run file, by default.
const SNAPSHOT_BYTES: usize = 1 << 28;

/// The default number of snapshots, if that many fit.
const MOST_SNAPSHOTS: u64 = 8;

/// Weight of a mini-batch's statistics in the running averages of batch norms, as in `PyTorch`.
const RUNNING_SHARE: f32 = 0.1;

/// Settings of a training, apart from its network and data.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSettings {
    /// Seeds dropout.
    pub seed: u64,
    /// Planned number of optimizer steps; 0 if it is unknown.
    pub steps: u64,
    /// Number of optimizer steps that are allocated as one, along their chord; at least 1. The last step may cover
    /// fewer.
    pub every: u64,
    pub optimizer: OptimizerChoice,
    pub learning_rate: f64,
    pub weight_decay: f64,
    /// `[L]`: overrides of each layer; empty if there are none.
    pub layers: Vec<Overrides>,
    pub schedule: Schedule,
    pub integration: IntegratorSettings,
    /// Whether to allocate the held-out loss too.
    pub held_out_lca: bool,
    /// Interval in steps at which the allocation is split by class, including the first step; 0 for never. The engine's
    /// training set must be sliced for it.
    pub class_every: u64,
    /// Interval in steps at which the held-out loss is evaluated, and always at the last step; at least 1.
    pub test_every: u64,
    /// Intervals in steps at which all weights, or all allocations, are recorded; 0 for never.
    pub record_weights: u64,
    pub record_params: u64,
    /// Number of snapshots of every parameter's running totals, spread evenly over the steps; the last is at the end.
    pub snapshots: u64,
    /// Flat indices of the parameters to trace at every step.
    pub traced: Vec<u64>,
    /// Threads that integrate and allocate; results do not depend on their number.
    pub threads: usize,
}

/// A reason why a training cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error(
        "the training diverged in step {step}: {what} is {value} at learning rate {}. Try a smaller --learning-rate",
        chosen(*rate)
    )]
    Diverged {
        step: u64,
        what: &'static str,
        value: f64,
        rate: f64,
    },
    #[error("step {step} along the given weights: {what} is {value}")]
    NotFinite {
        step: u64,
        what: &'static str,
        value: f64,
    },
    #[error(transparent)]
    Course(#[from] TrajectoryError),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A training in progress.
pub struct Trainer {
    settings: TrainSettings,
    engine: Box<dyn GradientEngine>,
    pub(super) groups: Groups,
    integrator: Integrator,
    pub(super) allocator: Allocator,
    pub(super) batches: Batches,
    has_validation: bool,
    began: Instant,
    /// Time that the run took before it was resumed.
    pub(super) earlier: Duration,
    pub(super) step: u64,
    /// `[Q]`: running averages of batch norms, used only for held-out accuracies.
    pub(super) running: Vec<f32>,
    /// `θ_t` and `θ_{t+1}`, `[P]`.
    pub(super) theta: Vec<f32>,
    pub(super) next: Vec<f32>,
    /// Evaluations at `θ_t` and `θ_{t+1}`.
    start: PointEvaluation,
    end: PointEvaluation,
    /// Losses at `θ_t`.
    losses: Losses,
    /// Memory for evaluations of the held-out and validation sets.
    scratch: Evaluation,
    /// `[P]`: memory for the parameters at inner nodes.
    node: Vec<f32>,
    /// Source of the weights, if not an optimizer.
    trajectory: Option<Box<dyn Trajectory>>,
    /// Inquiries to answer between two steps.
    inquiries: Receiver<Inquiry>,
}

impl Trainer {
    /// Creates a training from `theta` (`[P]`, laid out as in `layout`) and `running` (`[Q]`, empty without batch
    /// norms), which has not started.
    ///
    /// # Panics
    /// If there are settings for some layers but not for others: a mistake in the program.
    #[must_use]
    pub fn new(
        settings: TrainSettings,
        layout: &ParamLayout,
        engine: Box<dyn GradientEngine>,
        batches: Batches,
        has_validation: bool,
        theta: Vec<f32>,
        running: Vec<f32>,
    ) -> Self {
        let layers = layout.layers.iter().map(|layer| layer.range.clone());
        let plain = vec![Overrides::default(); layers.len()];
        let overrides = match settings.layers.as_slice() {
            [] => &plain,
            overrides => overrides,
        };
        assert_eq!(overrides.len(), layers.len(), "settings for every layer");
        let groups = Groups::new(
            settings.optimizer,
            settings.learning_rate,
            settings.weight_decay,
            layers.zip(overrides.iter().copied()),
        );
        Self {
            groups,
            integrator: Integrator::new(settings.integration, layout, settings.threads),
            allocator: Allocator::new(layout, settings.threads),
            engine,
            batches,
            has_validation,
            began: Instant::now(),
            earlier: Duration::ZERO,
            step: 0,
            running,
            next: theta.clone(),
            theta,
            start: PointEvaluation::default(),
            end: PointEvaluation::default(),
            losses: Losses::default(),
            scratch: Evaluation::default(),
            node: Vec::new(),
            trajectory: None,
            inquiries: never::<Inquiry>(),
            settings,
        }
    }

    /// Follows a given trajectory instead of training: its points are the weights. Must be called before
    /// [`start`](Trainer::start). Sets the number of steps to the trajectory's.
    ///
    /// # Errors
    /// The trajectory's first point cannot be read.
    pub fn follow(&mut self, mut trajectory: Box<dyn Trajectory>) -> Result<(), TrajectoryError> {
        trajectory.point(self.step, &mut self.theta)?;
        self.next.copy_from_slice(&self.theta);
        (self.settings.steps, self.settings.every) = (trajectory.steps(), 1);
        self.trajectory = Some(trajectory);
        Ok(())
    }

    /// Sets the inquiries to answer between two steps.
    pub fn take_inquiries(&mut self, inquiries: Receiver<Inquiry>) {
        self.inquiries = inquiries;
    }

    pub(super) fn inquiries(&self) -> &Receiver<Inquiry> {
        &self.inquiries
    }

    /// Running totals of every parameter after the steps done.
    #[must_use]
    pub fn totals(&self) -> &ParamTotals {
        self.allocator.totals()
    }

    #[must_use]
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Planned number of steps; 0 if it is unknown.
    #[must_use]
    pub fn steps_planned(&self) -> u64 {
        self.settings.steps.div_ceil(self.settings.every)
    }

    /// Returns true if the planned steps are done. Only a given path may have an unknown number of them.
    #[must_use]
    pub fn has_all_steps(&self) -> bool {
        let planned = self.steps_planned();
        (planned > 0 || self.trajectory.is_none()) && self.step >= planned
    }

    /// Waits until the next step can be taken: without a given path, it always can.
    ///
    /// # Errors
    /// The path cannot be continued.
    pub(super) fn next_point(&mut self, wakeups: &Receiver<()>) -> Result<NextPoint, TrainError> {
        match &mut self.trajectory {
            Some(trajectory) => Ok(trajectory.next(self.step, wakeups)?),
            None => Ok(NextPoint::Ready),
        }
    }

    /// `[P]`: the parameters after the steps done.
    #[must_use]
    pub fn params(&self) -> &[f32] {
        &self.theta
    }

    /// Evaluates the initial parameters. Must be called once, before the first step.
    ///
    /// # Errors
    /// The engine fails, or the initial loss is not finite.
    pub fn start(&mut self) -> Result<StartRecord, TrainError> {
        self.began = Instant::now();
        self.check_trajectory()?;
        // As at the end of the previous step, if there was one, so that a resumed training gets the same bits.
        let split = |step: u64| self.class_split_is_due(step);
        let want = wanted(split(self.step) || self.step.checked_sub(1).is_some_and(split));
        let mut probe = NodeEvaluator {
            engine: self.engine.as_mut(),
            held_out: self.settings.held_out_lca,
        };
        let mut here = SegmentPoint::new(&self.theta, &self.theta, 0.0, &mut self.node);
        probe.evaluate(&mut here, want, &mut self.start)?;
        self.check_finite("the loss", self.start.train.loss)?;
        self.losses = self.losses_at(StepEnd::Start)?;
        Ok(StartRecord {
            losses: self.losses.clone(),
            weights: (self.settings.record_weights > 0).then(|| self.theta.clone()),
        })
    }

    /// Evaluates the loss and its gradient over all examples, for a measurement of the time that this takes.
    ///
    /// # Errors
    /// The engine fails.
    pub fn evaluate_once(&mut self) -> Result<(), TrainError> {
        let want = wanted(self.class_split_is_due(0));
        let mut probe = NodeEvaluator {
            engine: self.engine.as_mut(),
            held_out: self.settings.held_out_lca,
        };
        let mut here = SegmentPoint::new(&self.theta, &self.theta, 0.0, &mut self.node);
        Ok(probe.evaluate(&mut here, want, &mut self.start)?)
    }

    /// Replaces the losses at the start of the next step by those recorded at the end of the last: if a device computes
    /// slightly different values than before, the difference goes into the next residual, and the run still closes.
    pub fn continue_from(&mut self, recorded: &Losses) {
        self.start.train.loss = recorded.train;
        if let Some(held_out) = &mut self.start.held_out {
            held_out.loss = recorded.test;
        }
        self.losses.train = recorded.train;
    }

    /// Takes a step and allocates it.
    ///
    /// # Errors
    /// The engine fails, or the loss or a parameter is no longer finite; the step is then not done.
    pub fn step(&mut self) -> Result<StepRecord, TrainError> {
        let step = self.step;
        let StepFacts {
            epoch,
            learning_rate,
            batch_loss,
        } = match &mut self.trajectory {
            Some(trajectory) => {
                trajectory.point(step + 1, &mut self.next)?;
                trajectory.facts()
            }
            None => self.train()?,
        };
        if let Some(&bad) = self.next.iter().find(|p| !p.is_finite()) {
            self.check_finite("a parameter", f64::from(bad))?;
        }

        // A step is split by class at every node or at none. Its end is also the next step's start.
        let split = self.class_split_is_due(step);
        if !split {
            self.start.train.class_gradient.clear();
        }
        let inside = wanted(split);
        let mut want = wanted(split || self.class_split_is_due(step + 1));
        let mut probe = NodeEvaluator {
            engine: self.engine.as_mut(),
            held_out: self.settings.held_out_lca,
        };
        let (theta, next, node) = (&self.theta, &self.next, &mut self.node);
        let integral = self.integrator.integrate(
            theta,
            next,
            &self.start,
            &mut self.end,
            |alpha, evaluation| {
                let mut point = SegmentPoint::new(theta, next, alpha, node);
                // The first node requested is the end.
                let want = std::mem::replace(&mut want, inside);
                probe.evaluate(&mut point, want, evaluation)
            },
        )?;
        self.check_finite("the loss", self.end.train.loss)?;
        self.check_finite("the gradient", integral.total)?;

        let after = self.losses_at(StepEnd::End)?;
        let before = std::mem::replace(&mut self.losses, after);
        let held_out = self.start.held_out.as_ref().zip(self.end.held_out.as_ref());
        let Allocated {
            allocation,
            held_out,
            motion,
        } = self.allocator.allocate(
            &(self.integrator).path(&integral, &self.theta, &self.next, &self.start, &self.end),
            &integral,
            EndLosses {
                before: self.start.train.loss,
                after: self.end.train.loss,
            },
            held_out.map(|(start, end)| EndLosses {
                before: start.loss,
                after: end.loss,
            }),
        );

        let settings = &self.settings;
        let done = step + 1;
        let at = |values: &[f32]| traced_values(&settings.traced, |i| values[i]);
        let due = |every: u64| every > 0 && done.is_multiple_of(every);
        let lca = self.allocator.lca();
        let record = StepRecord {
            step,
            epoch,
            batch_loss,
            learning_rate,
            seconds: (self.earlier + self.began.elapsed()).as_secs_f64(),
            gradient_evals: integral.gradient_evals,
            segments: u64::from(integral.segments),
            loss_before: before.train,
            after: self.losses.clone(),
            lca: allocation,
            lca_held_out: held_out,
            motion,
            trace: Trace {
                value: at(&self.theta),
                gradient: at(&self.start.train.gradient),
                lca: traced_values(&settings.traced, |i| single(lca[i])),
            },
            lca_param: due(settings.record_params)
                .then(|| lca.iter().map(|&a| single(a)).collect()),
            weights: due(settings.record_weights).then(|| self.next.clone()),
            totals: self
                .snapshot_is_due(done)
                .then(|| Box::new(self.allocator.totals().clone())),
        };
        std::mem::swap(&mut self.theta, &mut self.next);
        std::mem::swap(&mut self.start, &mut self.end);
        self.step = done;
        Ok(record)
    }

    /// Evaluates mini-batches and lets the optimizer step from `theta` to `next`. Returns the facts of the first step.
    fn train(&mut self) -> Result<StepFacts, TrainError> {
        self.next.copy_from_slice(&self.theta);
        let first = self.optimizer_steps(self.step);
        let facts = self.optimizer_step(first)?;
        for step in first + 1..self.optimizer_steps(self.step + 1) {
            self.optimizer_step(step)?;
        }
        Ok(facts)
    }

    /// Evaluates a mini-batch at `next` and moves it by one step of the optimizer.
    fn optimizer_step(&mut self, step: u64) -> Result<StepFacts, TrainError> {
        let settings = &self.settings;
        let factor = settings.schedule.factor(step, settings.steps);
        let rows = self.batches.next_batch();
        let noise = settings.seed.rotate_left(32) ^ (step + 1);
        // Borrows the memory for the evaluation at the end of the step, which comes later.
        let batch = &mut self.end.train;
        self.engine.evaluate_batch(&self.next, rows, noise, batch)?;
        let batch_loss = batch.loss;
        for (running, &of_batch) in self.running.iter_mut().zip(&batch.statistics) {
            *running += RUNNING_SHARE * (of_batch - *running);
        }
        self.check_finite("the mini-batch loss", batch_loss)?;
        let batch = &self.end.train;
        self.groups
            .step(&mut self.next, &batch.gradient, step, factor);
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let epoch = step as f64 / self.batches.batches_per_epoch() as f64;
        Ok(StepFacts {
            epoch,
            learning_rate: self.settings.learning_rate * factor,
            batch_loss,
        })
    }

    /// The number of optimizer steps in the first `done` steps.
    pub(super) fn optimizer_steps(&self, done: u64) -> u64 {
        let TrainSettings { steps, every, .. } = self.settings;
        let all = done.saturating_mul(every);
        if steps == 0 { all } else { all.min(steps) }
    }

    /// Checks that a resumed trajectory passes through the point where the run stopped.
    fn check_trajectory(&mut self) -> Result<(), TrajectoryError> {
        let Some(trajectory) = &mut self.trajectory else {
            return Ok(());
        };
        trajectory.point(self.step, &mut self.next)?;
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
        if self.theta.iter().zip(&self.next).all(same) {
            return Ok(());
        }
        Err(TrajectoryError(format!(
            "the weights after step {} are not those of the run: they have changed since",
            self.step
        )))
    }

    /// Takes every parameter's running totals at the end of the training, unless the last record had them or none are
    /// recorded.
    pub(super) fn take_unrecorded_totals(&mut self) -> Option<ParamTotals> {
        let recorded = self.step == 0 || self.snapshot_is_due(self.step);
        (!recorded && self.settings.snapshots > 0).then(|| self.allocator.take_totals())
    }

    fn snapshot_is_due(&self, done: u64) -> bool {
        snapshot_is_due(done, self.steps_planned(), self.settings.snapshots)
    }

    /// Whether the allocation of a step, which may lie beyond the last, is split by class.
    fn class_split_is_due(&self, step: u64) -> bool {
        let (class_every, planned) = (self.settings.class_every, self.steps_planned());
        class_every > 0 && step.is_multiple_of(class_every) && (step < planned || planned == 0)
    }

    /// Returns true if an epoch ends within the last of the first `done` steps, and before the first step.
    fn epoch_ends(&self, done: u64) -> bool {
        let epoch = (self.batches.batches_per_epoch() as u64).max(1);
        let epochs = |done| self.optimizer_steps(done) / epoch;
        done.checked_sub(1)
            .is_none_or(|before| epochs(done) > epochs(before))
    }

    fn check_finite(&self, what: &'static str, value: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        if self.trajectory.is_some() {
            let step = self.step;
            return Err(TrainError::NotFinite { step, what, value });
        }
        Err(TrainError::Diverged {
            step: self.step,
            what,
            value,
            rate: self.settings.learning_rate
                * (self.settings.schedule)
                    .factor(self.optimizer_steps(self.step), self.settings.steps),
        })
    }

    /// Returns the losses at one end of the step. The held-out ones are evaluated if that is due and has not happened
    /// on the way.
    fn losses_at(&mut self, place: StepEnd) -> Result<Losses, TrainError> {
        let (evaluation, params, done) = match place {
            StepEnd::Start => (&self.start, &self.theta, self.step),
            StepEnd::End => (&self.end, &self.next, self.step + 1),
        };
        let last = done == self.steps_planned();
        let epoch_ends = self.epoch_ends(done);
        let alpha = match place {
            StepEnd::Start => 0.0,
            StepEnd::End => 1.0,
        };
        let mut point = SegmentPoint::new(&self.theta, params, alpha, &mut self.node);
        let mut losses = Losses {
            train: evaluation.train.loss,
            train_accuracy: evaluation.train.accuracy,
            test: f64::NAN,
            test_accuracy: f64::NAN,
            validation: f64::NAN,
            validation_accuracy: f64::NAN,
            train_class: evaluation.train.class_loss.clone(),
        };
        if let Some(test) = &evaluation.held_out {
            (losses.test, losses.test_accuracy) = (test.loss, test.accuracy);
        } else if last || done % self.settings.test_every == 0 {
            let test = &mut self.scratch;
            self.engine
                .evaluate_on_segment(Subset::Test, &mut point, Want::Loss, test)?;
            (losses.test, losses.test_accuracy) = (test.loss, test.accuracy);
        }
        if self.has_validation && (last || epoch_ends) {
            let set = &mut self.scratch;
            self.engine
                .evaluate_on_segment(Subset::Validation, &mut point, Want::Loss, set)?;
            (losses.validation, losses.validation_accuracy) = (set.loss, set.accuracy);
        }
        // A slice's statistics in batch norms are part of the allocated loss. Accuracies on unseen examples, however,
        // are measured as the network would be used, with running averages. On a given trajectory there are none; then
        // the slice's own statistics are used.
        if !self.running.is_empty() && self.trajectory.is_none() {
            for (part, accuracy) in [
                (Subset::Test, &mut losses.test_accuracy),
                (Subset::Validation, &mut losses.validation_accuracy),
            ] {
                if !accuracy.is_nan() {
                    *accuracy = self.engine.accuracy(part, params, &self.running)?;
                }
            }
        }
        Ok(losses)
    }
}

/// Returns true if a snapshot of the running totals is due after `done` of the `planned` steps. The `snapshots` are
/// spread evenly over the steps; the last one, at the end of the run, is not due here. If the number of steps is
/// unknown (0) and there are at least eight snapshots, one is due after 1, 2, 4, 8 … steps.
#[must_use]
pub fn snapshot_is_due(done: u64, planned: u64, snapshots: u64) -> bool {
    if planned == 0 {
        return snapshots >= MOST_SNAPSHOTS && done.is_power_of_two();
    }
    let part = |done: u64| u128::from(done) * u128::from(snapshots) / u128::from(planned);
    done > 0 && done < planned && part(done) > part(done - 1)
}

/// Returns the default number of snapshots: eight or, if the network is large, as many as fit into 256 MiB, but at
/// least the one at the end.
#[must_use]
pub fn affordable_snapshots(params: usize) -> u64 {
    let bytes = params.saturating_mul(ParamTotals::EACH);
    let affordable = SNAPSHOT_BYTES / bytes.max(1);
    (affordable as u64).clamp(1, MOST_SNAPSHOTS)
}

/// An end of the step.
#[derive(Clone, Copy)]
enum StepEnd {
    Start,
    End,
}

/// Evaluates the nodes that the integrator requests.
struct NodeEvaluator<'a> {
    engine: &'a mut dyn GradientEngine,
    held_out: bool,
}

impl NodeEvaluator<'_> {
    /// Evaluates a node; `want` applies to the training loss.
    fn evaluate(
        &mut self,
        point: &mut SegmentPoint<'_>,
        want: Want,
        out: &mut PointEvaluation,
    ) -> Result<(), EngineError> {
        self.engine
            .evaluate_on_segment(Subset::Train, point, want, &mut out.train)?;
        if self.held_out {
            let held_out = out.held_out.get_or_insert_default();
            self.engine
                .evaluate_on_segment(Subset::Test, point, Want::Gradient, held_out)?;
        }
        Ok(())
    }
}

/// Returns what to evaluate of the training loss at a node, with its gradient split by class or not.
fn wanted(split: bool) -> Want {
    if split {
        Want::ClassGradient
    } else {
        Want::Gradient
    }
}

/// Returns the values of the traced parameters.
fn traced_values(traced: &[u64], value: impl Fn(usize) -> f32) -> Vec<f32> {
    let index = |&i: &u64| usize::try_from(i).expect("an index into a vector in memory");
    traced.iter().map(|i| value(index(i))).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the run file stores these in f32"
)]
fn single(value: f64) -> f32 {
    value as f32
}

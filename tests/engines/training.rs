//! Whole trainings through [`Trainer`] and [`train::run`]: the same numbers whatever computes them, records that add
//! up, and every way to end.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::float_cmp,
    reason = "small counts, and numbers that must be the same to the bit"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::sum;
use crossbeam_channel::unbounded;
use lcascope::data::{self, Batches, DataSource, Split, SplitSizes};
use lcascope::engine::cpu::CpuEngine;
use lcascope::engine::{EngineError, Evaluation, GradientEngine, RunData, Subset, Want};
use lcascope::lca::{HISTOGRAM_BINS, IntegratorSettings, Method};
use lcascope::model::{LayerSpec, Network, NetworkSpec, he_normal};
use lcascope::optim::{Freeze, Overrides};
use lcascope::record::{ParamTotals, RunEnd, StartRecord, Status, StepRecord};
use lcascope::train::{
    self, Control, Controls, OptimizerChoice, Orders, Sink, SinkClosed, TrainError, TrainSettings,
    Trainer, choose_traced,
};
use lcascope::trajectory::{Trajectory, TrajectoryError};

const TRAIN: usize = 400;
const BATCH: usize = 80;
/// Mini-batches per epoch.
const EPOCH: u64 = 5;
const STEPS: u64 = 12;

// ---- trainings ----

/// 784-24-10, large enough that all threads share in summing its gradients.
fn network() -> Network {
    let linear = |units| LayerSpec::Linear {
        name: None,
        units,
        bias: true,
    };
    let spec = NetworkSpec {
        name: "small".to_owned(),
        layers: vec![linear(24), LayerSpec::Relu {}, linear(10)],
    };
    Network::build(&spec, [1, 28, 28], 10).unwrap()
}

struct Setup {
    threads: usize,
    seed: u64,
    settings: TrainSettings,
}

/// A training that records everything possible.
fn setup() -> Setup {
    Setup {
        threads: 2,
        seed: 1,
        settings: TrainSettings {
            seed: 0,
            steps: STEPS,
            optimizer: OptimizerChoice::Sgd { momentum: 0.9 },
            learning_rate: 0.1,
            weight_decay: 1e-3,
            layers: Vec::new(),
            schedule: "step:5:0.5".parse().unwrap(),
            integration: IntegratorSettings {
                tolerance: 3e-4,
                ..IntegratorSettings::default()
            },
            held_out_lca: true,
            class_every: 1,
            every: 1,
            test_every: 1,
            record_weights: 4,
            record_params: 1,
            traced: choose_traced(&network().layout, 40, 1),
        },
    }
}

impl Setup {
    fn trainer(self) -> Trainer {
        let theta = he_normal(&network(), self.seed);
        self.trainer_from(theta)
    }

    fn trainer_from(self, theta: Vec<f32>) -> Trainer {
        self.trainer_on(|engine| Box::new(engine), theta)
    }

    /// The engine with which the run computes.
    fn engine(&self) -> CpuEngine {
        let dataset = data::load(&DataSource::Embedded).unwrap();
        let sizes = SplitSizes {
            lca: None,
            train: Some(TRAIN),
            validation: 60,
            test: Some(90),
        };
        let split = Split::draw(&dataset, &sizes, self.seed).unwrap();
        let data = RunData {
            drawn_from: None,
            train: dataset.train.select(&split.train),
            test: dataset.test.select(&split.test),
            validation: dataset.train.select(&split.validation),
        };
        let (network, by_class) = (network(), self.settings.class_every > 0);
        CpuEngine::new(&network, data, 30, self.threads, by_class)
    }

    fn batches(&self) -> Batches {
        Batches::new(TRAIN, BATCH, self.seed).unwrap()
    }

    fn trainer_on(
        self,
        wrapped: impl FnOnce(CpuEngine) -> Box<dyn GradientEngine>,
        theta: Vec<f32>,
    ) -> Trainer {
        let (engine, batches) = (wrapped(self.engine()), self.batches());
        Trainer::new(
            self.settings,
            &network().layout,
            engine,
            batches,
            true,
            theta,
            Vec::new(),
        )
    }
}

/// Keeps all records, and calls a function after each step.
struct Log<F> {
    start: Option<StartRecord>,
    steps: Vec<StepRecord>,
    after_step: F,
}

impl<F: FnMut(u64) -> Result<(), SinkClosed>> Sink for Log<F> {
    fn start(&mut self, record: StartRecord) -> Result<(), SinkClosed> {
        assert!(self.start.replace(record).is_none(), "a run starts once");
        Ok(())
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        assert_eq!(record.step, self.steps.len() as u64, "steps come in order");
        self.steps.push(record);
        (self.after_step)(self.steps.len() as u64)
    }
}

struct Run {
    start: Option<StartRecord>,
    steps: Vec<StepRecord>,
    /// None if the sink closed.
    end: Option<RunEnd>,
}

impl Run {
    fn end(&self) -> &RunEnd {
        self.end.as_ref().expect("the sink did not close")
    }
}

fn run(
    trainer: &mut Trainer,
    orders: &Orders,
    after_step: impl FnMut(u64) -> Result<(), SinkClosed>,
) -> Run {
    let mut log = Log {
        start: None,
        steps: Vec::new(),
        after_step,
    };
    let end = train::run(trainer, orders, &mut log).ok();
    Run {
        start: log.start,
        steps: log.steps,
        end,
    }
}

/// Runs a training without any orders.
fn run_alone(setup: Setup) -> Run {
    let (_controls, orders) = train::controls();
    run(&mut setup.trainer(), &orders, |_| Ok(()))
}

// ---- the same numbers ----

/// One line per record; two numbers are equal if their bits are (and NaN equals NaN). Times are left out.
fn lines(run: &Run) -> Vec<String> {
    let mut lines = vec![format!("{:?}", run.start)];
    for record in &run.steps {
        let timeless = StepRecord {
            seconds: 0.0,
            ..record.clone()
        };
        lines.push(format!("{timeless:?}"));
    }
    lines.push(format!("{:?}", run.end));
    lines
}

/// The first difference between two runs, for people.
fn first_difference(a: &Run, b: &Run) -> Option<String> {
    let (a, b) = (lines(a), lines(b));
    if a.len() != b.len() {
        return Some(format!("{} records and {}", a.len(), b.len()));
    }
    let index = a.iter().zip(&b).position(|(a, b)| a != b)?;
    let words = a[index].split(' ').zip(b[index].split(' '));
    let (a, b) = words.clone().find(|(a, b)| a != b)?;
    let field = words.take_while(|(a, b)| a == b).map(|(a, _)| a);
    let field = field.filter(|word| word.ends_with(':')).last();
    let field = field.unwrap_or("the record");
    Some(format!("record {index}, {field} {a} and {b}"))
}

#[test]
fn a_run_is_the_same_on_any_number_of_threads() {
    for optimizer in [
        OptimizerChoice::Sgd { momentum: 0.9 },
        OptimizerChoice::Adam,
    ] {
        let with = |threads| {
            let mut setup = setup();
            setup.threads = threads;
            setup.settings.optimizer = optimizer;
            if optimizer == OptimizerChoice::Adam {
                setup.settings.learning_rate = 2e-3;
            }
            run_alone(setup)
        };
        let one = with(1);
        assert_eq!(one.end().status, Status::Finished);
        assert_eq!(one.steps.len() as u64, STEPS);
        for threads in [1, 2, 4] {
            let difference = first_difference(&one, &with(threads));
            assert_eq!(difference, None, "{optimizer:?} with {threads} threads");
        }
    }
}

/// Points in memory.
struct Points(Vec<Vec<f32>>);

impl Trajectory for Points {
    fn steps(&self) -> u64 {
        self.0.len() as u64 - 1
    }

    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
        params.copy_from_slice(&self.0[done as usize]);
        Ok(())
    }
}

#[test]
fn a_stopped_trajectory_resumes_only_through_its_last_point() {
    let mut settings = setup();
    settings.settings.record_weights = 1;
    let trained = run_alone(settings);
    let start = trained.start.as_ref().unwrap();
    let weights = trained.steps.iter().map(|step| step.weights.clone());
    let mut points: Vec<_> = std::iter::once(start.weights.clone())
        .chain(weights)
        .map(Option::unwrap)
        .collect();
    let following = |points: &[Vec<f32>]| {
        let mut trainer = setup().trainer();
        trainer.follow(Box::new(Points(points.to_vec()))).unwrap();
        trainer
    };
    let mut first = following(&points);
    first.start().unwrap();
    for step in &trained.steps[..5] {
        let again = first.step().unwrap();
        assert_eq!(again.lca, step.lca, "step {}", step.step);
        assert_eq!(again.lca_held_out, step.lca_held_out);
        assert_eq!(again.after.train, step.after.train);
        assert!(again.learning_rate.is_nan() && again.batch_loss.is_nan());
    }
    let saved = first.checkpoint();
    let mut second = following(&points);
    second.restore(&saved).unwrap();
    second.start().unwrap();
    for step in &trained.steps[5..] {
        let again = second.step().unwrap();
        assert_eq!(again.lca, step.lca, "step {}", step.step);
        assert_eq!(again.totals.is_some(), step.totals.is_some());
        if let (Some(again), Some(totals)) = (again.totals, &step.totals) {
            assert_eq!(again.lca_sum, totals.lca_sum);
        }
    }
    assert_eq!(second.steps_done(), second.steps_planned());

    // A path that has changed in the meantime is another one.
    points[5][0] += 1.0;
    let mut changed = following(&points);
    changed.restore(&saved).unwrap();
    let error = changed.start().unwrap_err().to_string();
    assert!(error.contains("after step 5"), "{error}");
    points[3][7] = f32::NAN;
    let mut broken = following(&points);
    broken.start().unwrap();
    let error = (0..3).find_map(|_| broken.step().err()).unwrap();
    assert!(
        error.to_string().contains("along the given weights"),
        "{error}"
    );
}

#[test]
fn another_seed_is_another_run() {
    let of_seed = |seed| run_alone(Setup { seed, ..setup() });
    let (a, b) = (of_seed(1), of_seed(2));
    assert!(first_difference(&a, &b).is_some());
    for (a, b) in a.steps.iter().zip(&b.steps) {
        assert_ne!(a.batch_loss, b.batch_loss);
        assert_ne!(a.after.train, b.after.train);
    }
}

// ---- records that add up ----

#[track_caller]
fn assert_near(what: &str, got: f64, want: f64, limit: f64) {
    assert!((got - want).abs() <= limit, "{what}: {got:e} and {want:e}");
}

#[test]
fn every_step_closes() {
    let run = run_alone(setup());
    let mut before = &run.start.as_ref().unwrap().losses;
    let mut segments = Vec::new();
    for record in &run.steps {
        let what = format!("step {}", record.step);
        let lca = &record.lca;
        let change = record.after.train - record.loss_before;
        assert_eq!(record.loss_before, before.train, "{what}");
        assert_near(&what, lca.total + lca.residual, change, 1e-12);
        assert!(
            lca.residual.abs() <= 3e-4 || record.segments == 32,
            "{what}"
        );
        assert_eq!(record.gradient_evals, record.segments, "{what}");
        segments.push(record.segments);
        assert_near(&what, lca.layer.iter().sum(), lca.total, 1e-12);
        assert_near(&what, lca.tensor.iter().sum(), lca.total, 1e-12);
        assert_near(&what, sum(&lca.unit), lca.total, 1e-6);
        for (layer, want) in lca.layer.iter().enumerate() {
            let classes = lca.class_layer.iter().skip(layer).step_by(2);
            let got = classes.map(|&a| f64::from(a)).sum();
            assert_near(
                &format!("{what}, classes of layer {layer}"),
                got,
                *want,
                1e-6,
            );
            let bins = &lca.histogram[layer * HISTOGRAM_BINS..][..HISTOGRAM_BINS];
            let binned: u64 = bins.iter().map(|&n| u64::from(n)).sum();
            assert_eq!(binned, lca.helped[layer] + lca.hurt[layer], "{what}");
        }
        let held_out = record.lca_held_out.as_ref().unwrap();
        let change = record.after.test - before.test;
        assert_near(&what, held_out.total + held_out.residual, change, 1e-12);
        assert_near(&what, held_out.layer.iter().sum(), held_out.total, 1e-12);

        let every = record.lca_param.as_ref().unwrap();
        assert_near(&what, sum(every), lca.total, 1e-6);
        let traced = setup().settings.traced;
        let of_traced: Vec<f32> = traced.iter().map(|&i| every[i as usize]).collect();
        assert_eq!(record.trace.lca, of_traced, "{what}");
        before = &record.after;
    }
    assert!(segments.iter().any(|&s| s != segments[0]), "{segments:?}");
}

#[test]
fn only_due_records_are_made() {
    let mut setup = setup();
    setup.settings.held_out_lca = false;
    setup.settings.test_every = 5;
    setup.settings.record_params = 3;
    let (_controls, orders) = train::controls();
    let mut trainer = setup.trainer();
    let run = run(&mut trainer, &orders, |_| Ok(()));
    let start = run.start.unwrap();
    assert!(start.losses.test.is_finite() && start.losses.validation.is_finite());
    assert_eq!(start.weights, Some(he_normal(&network(), 1)));
    for record in &run.steps {
        let what = format!("step {}", record.step);
        let done = record.step + 1;
        let last = done == STEPS;
        let (test, validation) = (record.after.test, record.after.validation);
        assert_eq!(test.is_finite(), done % 5 == 0 || last, "{what}");
        assert_eq!(validation.is_finite(), done % EPOCH == 0 || last, "{what}");
        assert_eq!(record.weights.is_some(), done % 4 == 0, "{what}");
        assert_eq!(record.lca_param.is_some(), done % 3 == 0, "{what}");
        assert!(record.lca_held_out.is_none(), "{what}");
        assert_near(
            &what,
            record.epoch,
            record.step as f64 / EPOCH as f64,
            1e-12,
        );
        let rate = [0.1, 0.05, 0.025][(record.step / 5) as usize];
        assert_near(&what, record.learning_rate, rate, 1e-12);
    }
    let last = run.steps.last().unwrap();
    assert_eq!(last.weights.as_deref(), Some(trainer.params()));
}

/// Every snapshot of the running totals is the sum of the steps before it.
#[test]
fn totals_are_the_sums_of_the_steps() {
    let run = run_alone(setup());
    let mut snapshots = 0;
    for (index, record) in run.steps.iter().enumerate() {
        if let Some(totals) = &record.totals {
            assert_totals(totals, &run.steps[..=index]);
            snapshots += 1;
        }
    }
    assert_eq!(snapshots, 8);
    assert!(run.steps.last().unwrap().totals.is_some());
    assert!(run.end().totals.is_none(), "they were recorded");
}

fn assert_totals(totals: &ParamTotals, steps: &[StepRecord]) {
    assert_eq!(totals.steps, steps.len() as u64);
    let total: f64 = totals.lca_sum.iter().sum();
    let want: f64 = steps.iter().map(|step| step.lca.total).sum();
    assert_near("Σ of all allocations", total, want, 1e-9 * want.abs());

    let mut lca = vec![0.0; totals.lca_sum.len()];
    let mut helped = vec![0; lca.len()];
    for step in steps {
        for (i, &a) in step.lca_param.as_ref().unwrap().iter().enumerate() {
            lca[i] += f64::from(a);
            helped[i] += u32::from(a < 0.0);
        }
    }
    // Recorded in single precision.
    let size = lca.iter().fold(0.0_f64, |max, a| max.max(a.abs()));
    for (got, want) in totals.lca_sum.iter().zip(&lca) {
        assert_near("Σ of one parameter's allocations", *got, *want, 1e-6 * size);
    }
    assert_eq!(totals.helped, helped);

    let count = |counts: &[u32]| counts.iter().map(|&n| u64::from(n)).sum::<u64>();
    let of_layers = |get: fn(&StepRecord) -> &Vec<u64>| steps.iter().flat_map(get).sum::<u64>();
    assert_eq!(count(&totals.helped), of_layers(|s| &s.lca.helped));
    assert_eq!(
        count(&totals.update_flips),
        of_layers(|s| &s.motion.update_flips)
    );
    assert_eq!(
        count(&totals.gradient_flips),
        of_layers(|s| &s.motion.gradient_flips)
    );
}

// ---- layers with overrides ----

/// The run of [`setup`] with overrides for its two layers.
fn run_with_layers(layers: [Overrides; 2]) -> Run {
    let mut setup = setup();
    setup.settings.layers = layers.to_vec();
    setup.settings.record_weights = 1;
    run_alone(setup)
}

fn plain() -> Overrides {
    Overrides::default()
}

/// Checks that nothing in the second layer moved, so that nothing is allocated to it: zeros, not small numbers.
#[track_caller]
fn assert_stands_still(record: &StepRecord) {
    let what = format!("step {}", record.step);
    let range = network().layout.layers[1].range.clone();
    let (lca, held_out) = (&record.lca, record.lca_held_out.as_ref().unwrap());
    assert_eq!((lca.layer[1], held_out.layer[1]), (0.0, 0.0), "{what}");
    assert_eq!((lca.helped[1], lca.hurt[1]), (0, 0), "{what}");
    assert_eq!(record.motion.update_norm[1], 0.0, "{what}");
    assert!(record.motion.gradient_norm[1] > 0.0, "{what}");
    assert!(record.motion.cosine[1].is_nan(), "{what}");
    let every = record.lca_param.as_ref().unwrap();
    assert!(every[range].iter().all(|&a| a == 0.0), "{what}");
    let mut classes = lca.class_layer.iter().skip(1).step_by(2);
    assert!(classes.all(|&a| a == 0.0), "{what}");
    // The rest still closes.
    assert!(lca.layer[0] != 0.0, "{what}");
    let change = record.after.train - record.loss_before;
    assert_near(&what, lca.total + lca.residual, change, 1e-12);
    assert!(
        lca.residual.abs() <= 3e-4 || record.segments == 32,
        "{what}"
    );
}

#[test]
fn a_frozen_layer_is_allocated_nothing() {
    let frozen = Overrides {
        freeze: Some(Freeze::From(0)),
        ..plain()
    };
    let run = run_with_layers([plain(), frozen]);
    assert_eq!(run.steps.len() as u64, STEPS);
    run.steps.iter().for_each(assert_stands_still);
    let range = network().layout.layers[1].range.clone();
    let start = &he_normal(&network(), 1)[range.clone()];
    for record in &run.steps {
        assert_eq!(&record.weights.as_ref().unwrap()[range.clone()], start);
    }
}

#[test]
fn a_layer_moves_until_frozen() {
    let later = Overrides {
        freeze: Some(Freeze::From(5)),
        ..plain()
    };
    let (free, frozen) = (
        run_with_layers([plain(), plain()]),
        run_with_layers([plain(), later]),
    );
    let (free, frozen_lines) = (lines(&free), lines(&frozen));
    // One line for the start, then one per step.
    assert_eq!(free[..=5], frozen_lines[..=5]);
    assert_ne!(free[6], frozen_lines[6]);
    for record in &frozen.steps[..5] {
        assert!(record.lca.layer[1] != 0.0);
    }
    frozen.steps[5..].iter().for_each(assert_stands_still);
}

/// Plain SGD, recomputed from the recorded weights and the mini-batches.
#[test]
fn a_delayed_layer_moves_by_an_earlier_gradient() {
    const DELAY: usize = 3;
    let with_layers = || {
        let mut setup = setup();
        setup.settings.optimizer = OptimizerChoice::Sgd { momentum: 0.5 };
        setup.settings.weight_decay = 0.0;
        setup.settings.record_weights = 1;
        setup.settings.layers = vec![
            Overrides {
                learning_rate: Some(0.02),
                momentum: Some(0.0),
                ..plain()
            },
            Overrides {
                momentum: Some(0.0),
                delay: Some(DELAY),
                ..plain()
            },
        ];
        setup
    };
    let run = run_alone(with_layers());
    run.steps[..DELAY].iter().for_each(assert_stands_still);

    let (mut engine, mut batches) = (with_layers().engine(), with_layers().batches());
    let start = run.start.as_ref().unwrap().weights.clone();
    let mut theta = start.unwrap();
    let mut gradients = Vec::new();
    let layers = network().layout.layers;
    for (t, record) in run.steps.iter().enumerate() {
        let mut batch = Evaluation::default();
        let rows = batches.next_batch();
        engine.evaluate_batch(&theta, rows, 0, &mut batch).unwrap();
        gradients.push(batch.gradient);
        let factor = [1.0, 0.5, 0.25][t / 5];
        for (layer, (base, delay)) in layers.iter().zip([(0.02, 0), (0.1, DELAY)]) {
            let Some(gradient) = t.checked_sub(delay).map(|of| &gradients[of]) else {
                continue;
            };
            for i in layer.range.clone() {
                theta[i] -= (base * factor) as f32 * gradient[i];
            }
        }
        assert!(record.weights.as_ref() == Some(&theta), "step {t}");
    }
    assert!(run.steps[DELAY..].iter().all(|s| s.lca.layer[1] != 0.0));
}

// ---- classes every n-th step ----

#[test]
fn splitting_by_class_when_due_changes_nothing_else() {
    let with = |every| {
        let mut setup = setup();
        setup.settings.class_every = every;
        run_alone(setup)
    };
    let all = with(1);
    for every in [2, 3, 5, STEPS, 100] {
        let some = with(every);
        let without_classes = |run: &Run| {
            let mut run = Run {
                start: run.start.clone(),
                steps: run.steps.clone(),
                end: run.end.clone(),
            };
            for record in &mut run.steps {
                record.lca.class_layer.clear();
            }
            lines(&run)
        };
        assert!(without_classes(&some) == without_classes(&all), "{every}");
        for (some, all) in some.steps.iter().zip(&all.steps) {
            let what = format!("every {every}, step {}", some.step);
            if some.step % every == 0 {
                assert_eq!(some.lca.class_layer.len(), 20, "{what}");
                assert_eq!(some.lca.class_layer, all.lca.class_layer, "{what}");
            } else {
                assert!(some.lca.class_layer.is_empty(), "{what}");
            }
            assert_eq!(some.after.train_class.len(), 10, "{what}");
        }
    }
}

/// Notes what is asked of the training set.
struct Asked {
    engine: CpuEngine,
    wants: Arc<Mutex<Vec<Want>>>,
}

impl GradientEngine for Asked {
    fn describe(&self) -> String {
        self.engine.describe()
    }

    fn evaluate(
        &mut self,
        part: Subset,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        if part == Subset::Train {
            self.wants.lock().unwrap().push(want);
        }
        self.engine.evaluate(part, params, want, out)
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        self.engine.evaluate_batch(params, rows, noise, out)
    }

    fn accuracy(
        &mut self,
        part: Subset,
        params: &[f32],
        running: &[f32],
    ) -> Result<f64, EngineError> {
        self.engine.accuracy(part, params, running)
    }
}

#[test]
fn class_gradients_are_evaluated_only_at_due_steps() {
    use Want::{ClassGradient as Split, Gradient as Whole};
    let mut setup = setup();
    setup.settings.class_every = 3;
    setup.settings.steps = 6;
    setup.settings.integration.method = Method::Simpson;
    let wants = Arc::new(Mutex::new(Vec::new()));
    let theta = he_normal(&network(), 1);
    let asked = wants.clone();
    let wrapped = |engine| -> Box<dyn GradientEngine> {
        Box::new(Asked {
            engine,
            wants: asked,
        })
    };
    let mut trainer = setup.trainer_on(wrapped, theta);
    let (_controls, orders) = train::controls();
    run(&mut trainer, &orders, |_| Ok(()));
    // The start, then the end and the middle of every step; steps 0 and 3 are due.
    let want = [
        &[Split][..],
        &[Split, Split],
        &[Whole, Whole],
        &[Split, Whole],
        &[Split, Split],
        &[Whole, Whole],
        &[Whole, Whole],
    ];
    assert_eq!(*wants.lock().unwrap(), want.concat());
}

// ---- ways to end ----

#[test]
fn a_learning_rate_that_is_too_high_fails_and_keeps_the_steps_before() {
    let mut setup = setup();
    setup.settings.learning_rate = 1e6;
    setup.settings.steps = 50;
    let (_controls, orders) = train::controls();
    let mut trainer = setup.trainer();
    let run = run(&mut trainer, &orders, |_| Ok(()));
    let end = run.end();
    assert_eq!(end.status, Status::Failed);
    assert!(!run.steps.is_empty(), "the first steps are finite");
    let step = format!("diverged in step {}:", run.steps.len());
    assert!(end.message.contains(&step), "{}", end.message);
    assert!(
        end.message.contains("smaller --learning-rate"),
        "{}",
        end.message
    );
    assert_eq!(trainer.steps_done(), run.steps.len() as u64);
    let totals = end.totals.as_ref().unwrap();
    assert_eq!(totals.steps, run.steps.len() as u64);
    assert!(run.steps.iter().all(|s| s.after.train.is_finite()));
    assert!(trainer.params().iter().all(|p| p.is_finite()));
    assert!(matches!(trainer.step(), Err(TrainError::Diverged { .. })));
}

#[test]
fn a_start_without_a_loss_fails() {
    let setup = setup();
    let mut theta = he_normal(&network(), 1);
    theta[3] = f32::NAN;
    let (_controls, orders) = train::controls();
    let run = run(&mut setup.trainer_from(theta), &orders, |_| Ok(()));
    assert!(run.start.is_none() && run.steps.is_empty());
    assert_eq!(run.end().status, Status::Failed);
    assert!(run.end().message.contains("step 0: the loss is NaN"));
    assert!(run.end().totals.is_none());
}

#[test]
fn a_run_may_have_no_steps() {
    let mut setup = setup();
    setup.settings.steps = 0;
    let run = run_alone(setup);
    assert!(run.start.is_some() && run.steps.is_empty());
    assert_eq!(run.end().status, Status::Finished);
    assert!(run.end().totals.is_none());
}

/// An order, and the number of steps after which it is given.
type Order = (u64, Control);

#[test]
fn orders_are_obeyed() {
    use Control::{Pause, Resume, Stop};
    let cases: [(&[Order], Status, u64); 6] = [
        (&[(0, Stop)], Status::Stopped, 0),
        // A snapshot of the totals is due after step 5, none after step 4.
        (&[(4, Stop)], Status::Stopped, 4),
        (&[(5, Stop)], Status::Stopped, 5),
        (&[(2, Pause), (2, Resume)], Status::Finished, STEPS),
        (&[(0, Resume), (2, Pause), (2, Stop)], Status::Stopped, 2),
        // Too late: no step is left.
        (&[(STEPS, Stop)], Status::Finished, STEPS),
    ];
    for (given, status, steps) in cases {
        let (controls, orders) = train::controls();
        let give = |done: u64| {
            for (_, order) in given.iter().filter(|(after, _)| *after == done) {
                controls.send(*order).unwrap();
            }
            Ok(())
        };
        give(0).unwrap();
        let mut trainer = setup().trainer();
        let run = run(&mut trainer, &orders, give);
        let what = format!("{given:?}");
        assert_eq!(run.end().status, status, "{what}");
        assert_eq!(run.end().message, "", "{what}");
        assert_eq!(run.steps.len() as u64, steps, "{what}");
        assert_eq!(trainer.steps_done(), steps, "{what}");
        // The totals of the last step are given once: in its record, or at the end.
        let recorded = run.steps.last().and_then(|step| step.totals.as_ref());
        let left = run.end().totals.as_ref();
        assert!(recorded.is_none() || left.is_none(), "{what}");
        match recorded.or(left) {
            Some(totals) => assert_totals(totals, &run.steps),
            None => assert_eq!(steps, 0, "{what}"),
        }
    }
}

#[test]
fn a_pause_lasts_until_resumed_and_changes_nothing() {
    let undisturbed = run_alone(setup());
    // The run continues when told to, and when nobody is left to tell it.
    for resume in [true, false] {
        let (controls, orders) = train::controls();
        let (paused, wait_for_pause) = unbounded();
        let done = AtomicU64::new(0);
        let run = thread::scope(|scope| {
            scope.spawn(|| {
                let controls: Controls = wait_for_pause.recv().unwrap();
                thread::sleep(Duration::from_millis(100));
                assert_eq!(done.load(Ordering::SeqCst), 3, "no step during the pause");
                if resume {
                    controls.send(Control::Resume).unwrap();
                }
            });
            let mut controls = Some(controls);
            run(&mut setup().trainer(), &orders, |steps| {
                done.store(steps, Ordering::SeqCst);
                if steps == 3 {
                    let controls = controls.take().unwrap();
                    controls.send(Control::Pause).unwrap();
                    paused.send(controls).unwrap();
                }
                Ok(())
            })
        });
        assert_eq!(
            first_difference(&undisturbed, &run),
            None,
            "resume: {resume}"
        );
    }
}

#[test]
fn a_run_ends_when_its_records_cannot_be_kept() {
    let (_controls, orders) = train::controls();
    let run = run(&mut setup().trainer(), &orders, |done| match done {
        3 => Err(SinkClosed),
        _ => Ok(()),
    });
    assert!(run.end.is_none());
    assert_eq!(run.steps.len(), 3);
}

//! The engine of several ranks against that of one process. The ranks are threads here, whose link is shared memory;
//! `tests/cli/mpi.rs` has real ones.

#![allow(
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "small counts, and numbers that must be the same to the bit"
)]

use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::evaluate;
use lcascope::data::{self, Batches, DataSource, Dataset, Split, SplitSizes};
use lcascope::engine::candle::{CandleEngine, Precision};
use lcascope::engine::cpu::CpuEngine;
use lcascope::engine::ranks::{
    ExampleCounts, Link, LinkError, RankEngine, Share, dismiss, divide, serve,
};
use lcascope::engine::{
    Device, EngineError, Evaluation, GradientEngine, RunData, Subset, Want, is_sorted_by_class,
};
use lcascope::lca::IntegratorSettings;
use lcascope::model::{Network, NetworkSpec, he_normal};
use lcascope::optim::{OptimizerChoice, Schedule};
use lcascope::record::{StartRecord, Status, StepRecord};
use lcascope::train::{self, Sink, SinkClosed, TrainSettings, Trainer};

const PARTS: [Subset; 3] = [Subset::Train, Subset::Test, Subset::Validation];

// ---- ranks that are threads ----

/// The memory that the ranks share: the bytes of each, and a meeting point before and after they are read.
struct Meeting {
    bytes: Mutex<Vec<Vec<u8>>>,
    barrier: Barrier,
}

struct ThreadLink {
    rank: usize,
    host: String,
    size: usize,
    meeting: Arc<Meeting>,
}

/// Links of `size` ranks.
fn links(size: usize) -> Vec<ThreadLink> {
    let meeting = Arc::new(Meeting {
        bytes: Mutex::new(vec![Vec::new(); size]),
        barrier: Barrier::new(size),
    });
    let link = |rank| ThreadLink {
        rank,
        host: format!("host{rank}"),
        size,
        meeting: meeting.clone(),
    };
    (0..size).map(link).collect()
}

impl ThreadLink {
    /// Returns the bytes of all ranks.
    fn exchange(&self, own: &[u8]) -> Vec<Vec<u8>> {
        self.meeting.bytes.lock().unwrap()[self.rank] = own.to_vec();
        self.meeting.barrier.wait();
        let all = self.meeting.bytes.lock().unwrap().clone();
        self.meeting.barrier.wait();
        let lengths = all.iter().map(Vec::len);
        assert!(lengths.max() == Some(own.len()), "all make the same call");
        all
    }

    fn sum(&self, values: &mut [f64]) {
        let own: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        values.fill(0.0);
        for of_rank in self.exchange(&own) {
            for (sum, bytes) in values.iter_mut().zip(of_rank.chunks_exact(8)) {
                *sum += f64::from_le_bytes(bytes.try_into().unwrap());
            }
        }
    }
}

impl Link for ThreadLink {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn host(&self) -> &str {
        &self.host
    }

    fn tell(&self, bytes: &mut [u8]) -> Result<(), LinkError> {
        let all = self.exchange(bytes);
        bytes.copy_from_slice(&all[0]);
        Ok(())
    }

    fn broadcast(&self, values: &mut [f32]) -> Result<(), LinkError> {
        let own: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let all = self.exchange(&own);
        for (value, bytes) in values.iter_mut().zip(all[0].chunks_exact(4)) {
            *value = f32::from_le_bytes(bytes.try_into().unwrap());
        }
        Ok(())
    }

    fn sum_on_all(&self, values: &mut [f64]) -> Result<(), LinkError> {
        self.sum(values);
        Ok(())
    }

    fn sum_on_first(&self, values: &mut [f64]) -> Result<(), LinkError> {
        self.sum(values);
        if self.rank > 0 {
            values.fill(f64::NAN);
        }
        Ok(())
    }

    fn gather(&self, own: &[u8], all: &mut [u8]) -> Result<(), LinkError> {
        all.copy_from_slice(&self.exchange(own).concat());
        Ok(())
    }

    fn give_up(&self) {}
}

/// Runs `first` with the engine of `size` ranks. `share` builds the share of a rank.
fn with_ranks<T>(
    size: usize,
    share: &(impl Fn(usize) -> Result<Share, EngineError> + Sync),
    first: impl FnOnce(Result<RankEngine, EngineError>) -> T,
) -> T {
    let mut links = links(size).into_iter();
    let link = Arc::new(links.next().unwrap());
    thread::scope(|scope| {
        for link in links {
            scope.spawn(move || {
                let prepare = |task: &[u8]| {
                    assert_eq!(task, b"the task");
                    share(link.rank).map_err(|error| error.to_string())
                };
                serve(&link, prepare).unwrap();
            });
        }
        let engine = RankEngine::begin(link.clone(), b"the task", || share(0));
        let result = first(engine);
        dismiss(&*link).unwrap();
        result
    })
}

// ---- networks and data ----

struct Case {
    network: Network,
    data: RunData,
    slice_size: usize,
    by_class: bool,
}

const DENSE: &str = "name = 'dense'\n[[layer]]\nkind = 'linear'\nunits = 170\n[[layer]]\nkind = 'relu'\n\
                     [[layer]]\nkind = 'linear'\nunits = 10\n";
const NORMED: &str = "name = 'normed'\n[[layer]]\nkind = 'conv'\nchannels = 4\nkernel = 3\n\
                      [[layer]]\nkind = 'batch-norm'\n[[layer]]\nkind = 'relu'\n\
                      [[layer]]\nkind = 'max-pool'\nsize = 4\n[[layer]]\nkind = 'flatten'\n\
                      [[layer]]\nkind = 'linear'\nunits = 10\n";

fn dataset() -> Dataset {
    data::load(&DataSource::Embedded).unwrap()
}

/// A network on part of the embedded sample; `drawn_from` more examples than are allocated, if set.
fn case(spec: &str, slice_size: usize, by_class: bool, drawn_from: bool) -> Case {
    let dataset = dataset();
    let sizes = SplitSizes {
        train: Some(500),
        lca: drawn_from.then_some(260),
        validation: 45,
        test: Some(70),
    };
    let split = Split::draw(&dataset, &sizes, 3).unwrap();
    let rows = if drawn_from { &split.lca } else { &split.train };
    let spec: NetworkSpec = toml::from_str(spec).unwrap();
    Case {
        network: Network::build(&spec, [1, 28, 28], 10).unwrap(),
        data: RunData {
            train: dataset.train.select(rows),
            drawn_from: drawn_from.then(|| dataset.train.select(&split.train)),
            test: dataset.test.select(&split.test),
            validation: dataset.train.select(&split.validation),
        },
        slice_size,
        by_class,
    }
}

impl Case {
    fn engine(&self, data: RunData) -> CpuEngine {
        CpuEngine::new(&self.network, data, self.slice_size, 2, self.by_class)
    }

    fn divided(&self, rank: usize, size: usize) -> (RunData, ExampleCounts) {
        let sorted = is_sorted_by_class(&self.network, self.by_class);
        let slicing = (self.slice_size, sorted);
        let classes = self.network.classes;
        divide(self.data.clone(), slicing, classes, true, (rank, size))
    }

    fn share(&self, rank: usize, size: usize) -> Share {
        let (data, examples) = self.divided(rank, size);
        let engine = Box::new(self.engine(data));
        Share::new(
            engine,
            examples,
            self.network.params(),
            self.network.buffers,
        )
    }

    fn want(&self, part: Subset) -> Want {
        match part {
            Subset::Train if self.by_class => Want::ClassGradient,
            _ => Want::Gradient,
        }
    }
}

fn cases() -> Vec<Case> {
    vec![
        // More parameters than are added at once; 20 slices, and 3 of validation.
        case(DENSE, 25, false, false),
        case(DENSE, 25, true, true),
        case(NORMED, 50, false, true),
        case(NORMED, 50, true, false),
        // Fewer slices than ranks.
        case(DENSE, 250, false, false),
    ]
}

/// The largest difference of the entries, as a share of the largest entry.
fn error(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want
        .iter()
        .fold(0.0_f64, |most, &x| most.max(f64::from(x).abs()));
    let differences = got.iter().zip(want).map(|(&a, &b)| {
        let difference = (f64::from(a) - f64::from(b)).abs();
        assert!(difference.is_finite());
        difference
    });
    differences.fold(0.0, f64::max) / largest.max(f64::MIN_POSITIVE)
}

#[track_caller]
fn assert_close(got: f64, want: f64) {
    let same = got.is_nan() && want.is_nan();
    assert!(
        same || (got - want).abs() <= 1e-14 * want.abs(),
        "{got} and {want}"
    );
}

// ---- the tests ----

#[test]
fn shares_are_whole_slices_and_make_up_the_data() {
    for case in cases() {
        for size in [1, 2, 3, 7] {
            let shares: Vec<RunData> = (0..size).map(|rank| case.divided(rank, size).0).collect();
            for part in PARTS {
                let mut all: Vec<Vec<u32>> = Vec::new();
                for share in &shares {
                    let examples = share.part(part);
                    let rows = examples.inputs.chunks_exact(examples.features());
                    all.extend(rows.map(|row| row.iter().map(|x| x.to_bits()).collect()));
                }
                let whole = case.data.part(part);
                let rows = whole.inputs.chunks_exact(whole.features());
                let mut want: Vec<Vec<u32>> = rows
                    .map(|row| row.iter().map(|x| x.to_bits()).collect())
                    .collect();
                all.sort();
                want.sort();
                assert!(all == want, "every example once");
            }
            let drawn = shares.iter().map(|share| share.drawn_from.is_some());
            let drawn: Vec<bool> = drawn.collect();
            assert!(drawn[0] && !drawn[1..].contains(&true), "rank 0 draws");
        }
    }
}

#[test]
fn several_ranks_give_the_numbers_of_one_process() {
    for case in cases() {
        let network = &case.network;
        let (mut from_plain, mut from_exact) = (0.0_f64, 0.0_f64);
        let params = he_normal(network, 5);
        let running = network.initial_buffers();
        let mut alone = case.engine(case.data.clone());
        let oracle = CandleEngine::new(
            network,
            &case.data,
            case.slice_size,
            Device::Cpu,
            Precision::Double,
            case.by_class,
        );
        let mut oracle = oracle.unwrap();
        for size in [2, 3, 4, 7] {
            let share = |rank| Ok(case.share(rank, size));
            with_ranks(size, &share, |engine| {
                let mut engine = engine.unwrap();
                for part in PARTS {
                    let want = case.want(part);
                    // Twice, so that nothing is left from the first time; losses alone between.
                    evaluate(&mut engine, part, &params, want);
                    evaluate(&mut engine, part, &params, Want::Loss);
                    let got = evaluate(&mut engine, part, &params, want);
                    let plain = evaluate(&mut alone, part, &params, want);
                    let exact = evaluate(&mut oracle, part, &params, want);
                    assert_close(got.loss, plain.loss);
                    assert_eq!(got.accuracy, plain.accuracy);
                    for (&got, &want) in got.class_loss.iter().zip(&plain.class_loss) {
                        assert_close(got, want);
                    }
                    assert_eq!(got.class_loss.len(), plain.class_loss.len());
                    from_plain = from_plain.max(error(&got.gradient, &plain.gradient));
                    from_exact = from_exact.max(error(&got.gradient, &exact.gradient));
                    if want == Want::ClassGradient {
                        let error = error(&got.class_gradient, &plain.class_gradient);
                        from_plain = from_plain.max(error);
                    } else {
                        assert!(got.class_gradient.is_empty());
                    }
                    let got = engine.accuracy(part, &params, &running).unwrap();
                    assert_eq!(got, alone.accuracy(part, &params, &running).unwrap());
                }
                let rows: Vec<u32> = (0..260).step_by(3).collect();
                let batch = |engine: &mut dyn GradientEngine| {
                    let mut out = Evaluation::default();
                    engine.evaluate_batch(&params, &rows, 9, &mut out).unwrap();
                    out
                };
                assert!(batch(&mut engine) == batch(&mut alone), "to the bit");
            });
        }
        println!("{}: {from_plain:.1e} and {from_exact:.1e}", network.name);
        // In double precision, one process is off by up to 2e-7 and, with the batch norm, 1.1e-5.
        let limit = if network.has_norm() { 3e-5 } else { 1e-6 };
        let largest = from_plain.max(from_exact);
        assert!(largest < limit, "{}: {largest:.1e}", network.name);
    }
}

#[test]
fn idle_ranks_are_counted() {
    let case = case(DENSE, 250, false, false);
    let share = |rank| Ok(case.share(rank, 7));
    let said = with_ranks(7, &share, |engine| engine.unwrap().describe());
    assert!(
        said.starts_with("7 ranks (5 idle), each cpu, 2 threads"),
        "{said}"
    );
}

// ---- trainings ----

/// Keeps every step.
#[derive(Default)]
struct Kept(Vec<StepRecord>);

impl Sink for Kept {
    fn start(&mut self, _: StartRecord) -> Result<(), SinkClosed> {
        Ok(())
    }

    fn step(&mut self, record: StepRecord) -> Result<(), SinkClosed> {
        self.0.push(record);
        Ok(())
    }
}

fn trainer(case: &Case, engine: Box<dyn GradientEngine>) -> Trainer {
    let settings = TrainSettings {
        seed: 0,
        steps: 8,
        optimizer: OptimizerChoice::Sgd { momentum: 0.9 },
        learning_rate: 0.05,
        weight_decay: 0.0,
        layers: Vec::new(),
        schedule: Schedule::default(),
        integration: IntegratorSettings::default(),
        held_out_lca: true,
        class_every: u64::from(case.by_class),
        every: 1,
        test_every: 1,
        record_weights: 1,
        record_params: 0,
        snapshots: 0,
        traced: Vec::new(),
        threads: 1,
    };
    let drawn = case.data.drawn_from.as_ref().unwrap_or(&case.data.train);
    let batches = Batches::new(drawn.len(), 60, 1).unwrap();
    let network = &case.network;
    let theta = he_normal(network, 5);
    let running = network.initial_buffers();
    Trainer::new(
        settings,
        &network.layout,
        engine,
        batches,
        true,
        theta,
        running,
    )
}

fn steps(case: &Case, engine: Box<dyn GradientEngine>) -> Vec<StepRecord> {
    let (_controls, orders) = train::controls();
    let mut kept = Kept::default();
    let end = train::run(&mut trainer(case, engine), &orders, &mut kept).unwrap();
    assert_eq!((end.status, end.message.as_str()), (Status::Finished, ""));
    kept.0
}

#[test]
fn the_path_is_the_same_to_the_bit_and_allocations_to_rounding() {
    let mut worst = 0.0_f64;
    for case in cases() {
        let alone = steps(&case, Box::new(case.engine(case.data.clone())));
        for size in [2, 4] {
            let share = |rank| Ok(case.share(rank, size));
            let together = with_ranks(size, &share, |engine| {
                steps(&case, Box::new(engine.unwrap()))
            });
            assert_eq!(together.len(), alone.len());
            for (a, b) in together.iter().zip(&alone) {
                assert!(a.weights == b.weights, "weights after step {}", a.step);
                assert_eq!(a.batch_loss, b.batch_loss);
                assert_eq!(a.after.test_accuracy, b.after.test_accuracy);
                assert_close(a.after.train, b.after.train);
                assert_close(a.after.test, b.after.test);
                let held_out = a.lca_held_out.iter().zip(&b.lca_held_out);
                let held_out = held_out.flat_map(|(a, b)| a.layer.iter().zip(&b.layer));
                let scale: f64 = b.lca.layer.iter().map(|x| x.abs()).sum();
                for (a, b) in a.lca.layer.iter().zip(&b.lca.layer).chain(held_out) {
                    worst = worst.max((a - b).abs() / scale);
                }
            }
        }
    }
    println!("allocations by layer: {worst:.1e} of the sum of their magnitudes");
    assert!(worst < 1e-6, "{worst:.1e}");
}

/// An engine that fails at its third evaluation.
struct Failing {
    engine: CpuEngine,
    left: usize,
}

impl GradientEngine for Failing {
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
        if self.left == 0 {
            return Err(EngineError::Model("out of memory".to_owned()));
        }
        self.left -= 1;
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
fn the_failure_of_any_rank_ends_the_run_with_its_reason() {
    let case = case(DENSE, 25, false, false);
    for (failing, left) in [(0, 3), (2, 5), (2, 0)] {
        let share = |rank| {
            if rank != failing {
                return Ok(case.share(rank, 3));
            }
            let (data, examples) = case.divided(rank, 3);
            let engine = Box::new(Failing {
                engine: case.engine(data),
                left,
            });
            Ok(Share::new(engine, examples, case.network.params(), 0))
        };
        let end = with_ranks(3, &share, |engine| {
            let (_controls, orders) = train::controls();
            let mut trainer = trainer(&case, Box::new(engine.unwrap()));
            train::run(&mut trainer, &orders, &mut Kept::default()).unwrap()
        });
        let reason = format!("rank {failing} on host{failing}: the model: out of memory");
        assert_eq!((end.status, end.message), (Status::Failed, reason));
    }
}

#[test]
fn a_share_that_cannot_be_built_is_reported_by_its_rank() {
    let case = case(DENSE, 25, false, false);
    // Longer than a reason may be.
    let long = "x".repeat(5000);
    for failing in [0, 1, 2] {
        let share = |rank| {
            if rank == failing {
                return Err(EngineError::Model(format!("no data {long}")));
            }
            Ok(case.share(rank, 3))
        };
        let error = with_ranks(3, &share, |engine| engine.err().unwrap().to_string());
        let start = format!("rank {failing} on host{failing}: the model: no data xxx");
        assert!(error.starts_with(&start) && error.len() < 1200, "{error}");
    }
}

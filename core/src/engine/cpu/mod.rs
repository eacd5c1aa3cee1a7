//! The fast engine: hand-written forward and backward passes on the CPU.
//!
//! The examples are cut into slices, and the slices are divided among a fixed number of *shards*. One thread processes
//! a shard from its first slice to its last and accumulates its gradient in single precision; the shards are then
//! summed in double precision, always in the same order. Threads only decide who works on which shard, so the result is
//! bit-identical for any number of threads.

mod conv;
mod dense;
mod lanes;
mod loss;
mod norm;
mod plan;
mod pool;
mod relu;
mod worker;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use pulp::Arch;

use self::plan::Plan;
use self::worker::{Gradient, Mask, Mode, SliceTask, Tally, Worker};
use super::{
    EngineError, Evaluation, GradientEngine, NORM_SLICE_SIZE, RunData, Slice, SlicePlan, Subset,
    Want, dropout_mask, is_sorted_by_class,
};
use crate::data::Examples;
use crate::model::{Network, Op};
use crate::threads::for_each;

/// Maximum number of shards of a data set, if it has that many slices. More would balance more threads but cost memory
/// and a longer sum: each holds a whole gradient.
const SHARDS: usize = 16;

/// The most bytes that the gradients of all shards may take; but there are at least two.
const SHARD_BYTES: usize = 1 << 28;

/// Returns the maximum number of shards for a network of so many parameters.
fn most_shards(params: usize) -> usize {
    (SHARD_BYTES / (size_of::<f32>() * params.max(1))).clamp(2, SHARDS)
}

/// Maximum number of shards if every shard holds a gradient of each class.
const CLASS_SHARDS: usize = 4;

/// Default number of examples in a slice: a small dense network's activations for this many fit into a core's
/// second-level cache.
pub const SLICE_SIZE: usize = 256;

/// Returns the default number of examples in a slice of `network`.
#[must_use]
pub fn slice_size(network: &Network) -> usize {
    if network.has_norm() {
        NORM_SLICE_SIZE
    } else {
        SLICE_SIZE
    }
}

/// Examples in a slice of a mini-batch: small enough that several threads get some.
const BATCH_SLICE: usize = 64;

/// The hand-written CPU engine for networks of layers.
pub struct CpuEngine {
    arch: Arch,
    network: Network,
    train: ShardedExamples,
    test: ShardedExamples,
    validation: ShardedExamples,
    batch: ShardedExamples,
    /// Examples that mini-batches are drawn from, if not from `train`.
    drawn_from: Option<Examples>,
    /// Position of each row in the examples that mini-batches are drawn from; `train` may be sorted by class.
    position: Vec<u32>,
    workers: Vec<Worker>,
    shards: Vec<Shard>,
    /// Whether a split by class takes one backward pass per class.
    split_backward: bool,
}

/// Sums over the slices of a shard.
#[derive(Default)]
struct Shard {
    /// One, or one per class.
    gradients: Vec<Gradient>,
    tally: Tally,
}

/// A part of the data, in evaluation order.
struct ShardedExamples {
    examples: Examples,
    slices: Vec<Slice>,
    shards: Vec<Range<usize>>,
}

impl ShardedExamples {
    fn new(examples: Examples, slices: Vec<Slice>, most: usize) -> Self {
        let shards = divide_into_shards(&slices, most);
        Self {
            examples,
            slices,
            shards,
        }
    }

    fn in_order(examples: Examples, slice_size: usize, most: usize) -> Self {
        let plan = SlicePlan::in_order(examples.len(), slice_size);
        Self::new(examples, plan.slices, most)
    }
}

/// Divides slices into at most about `most` shards (or one per class, if there are more classes): contiguous slices,
/// shards of about equal length, none with two classes.
fn divide_into_shards(slices: &[Slice], most: usize) -> Vec<Range<usize>> {
    let groups: Vec<&[Slice]> = slices.chunk_by(|a, b| a.class == b.class).collect();
    let each = most.div_ceil(groups.len().max(1));
    let mut shards = Vec::new();
    let mut start = 0;
    for group in groups {
        let parts = each.min(group.len());
        for part in 0..parts {
            let from = part * group.len() / parts;
            let to = (part + 1) * group.len() / parts;
            shards.push(start + from..start + to);
        }
        start += group.len();
    }
    shards
}

impl CpuEngine {
    /// Creates an engine for `network` on `data`, with `threads` worker threads.
    ///
    /// With `by_class`, [`Want::ClassGradient`] is available. The training set is then evaluated in class-sorted
    /// slices, or, with batch norms, which need mixed ones, in one backward pass per class.
    ///
    /// # Panics
    /// If `threads` or `slice_size` is 0.
    #[must_use]
    pub fn new(
        network: &Network,
        data: RunData,
        slice_size: usize,
        threads: usize,
        by_class: bool,
    ) -> Self {
        assert!(threads > 0, "at least one thread works");
        let split_backward = by_class && network.has_norm();
        let sorted = is_sorted_by_class(network, by_class);
        let slices = SlicePlan::new(&data.train.labels, slice_size, sorted);
        let position = data.positions(&slices);
        let empty = data.train.select(&[]);
        let arch = Arch::new();
        let plan = Arc::new(Plan::new(arch, network));
        let most = most_shards(network.params());
        let most_of_train = if split_backward {
            CLASS_SHARDS.min(most)
        } else {
            most
        };
        let train = data.train.into_selected(&slices.order);
        Self {
            arch,
            network: network.clone(),
            train: ShardedExamples::new(train, slices.slices, most_of_train),
            test: ShardedExamples::in_order(data.test, slice_size, most),
            validation: ShardedExamples::in_order(data.validation, slice_size, most),
            batch: ShardedExamples::new(empty, Vec::new(), most),
            drawn_from: data.drawn_from,
            position,
            workers: (0..threads).map(|_| Worker::new(arch, &plan)).collect(),
            shards: Vec::new(),
            split_backward,
        }
    }

    fn run(
        &mut self,
        part: Option<Subset>,
        params: &[f32],
        want: Want,
        mode: Mode<'_>,
        out: &mut Evaluation,
    ) {
        let subset = match part {
            Some(Subset::Train) => &self.train,
            Some(Subset::Test) => &self.test,
            Some(Subset::Validation) => &self.validation,
            None => &self.batch,
        };
        let team = Team {
            network: &self.network,
            workers: &mut self.workers,
            shards: &mut self.shards,
            split_backward: self.split_backward,
        };
        team.evaluate(subset, params, want, mode, out);
    }
}

impl GradientEngine for CpuEngine {
    fn describe(&self) -> String {
        let threads = self.workers.len();
        let plural = if threads == 1 { "" } else { "s" };
        format!(
            "cpu, {threads} thread{plural}, {}",
            instruction_set(self.arch)
        )
    }

    fn evaluate(
        &mut self,
        part: Subset,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        self.run(Some(part), params, want, Mode::Measure, out);
        Ok(())
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let batch = &mut self.batch;
        let positions = rows.iter().map(|&row| self.position[row as usize]);
        let source = self.drawn_from.as_ref().unwrap_or(&self.train.examples);
        batch.examples.copy_from(source, positions);
        if batch.slices.last().map_or(0, |slice| slice.range.end) != rows.len() {
            // A mini-batch is normalised as a whole.
            let size = if self.network.has_norm() {
                rows.len().max(1)
            } else {
                BATCH_SLICE
            };
            batch.slices = SlicePlan::in_order(rows.len(), size).slices;
            let most = most_shards(self.network.params());
            batch.shards = divide_into_shards(&batch.slices, most);
        }
        let nodes = self.network.nodes.iter().enumerate();
        let masks: Vec<Mask> = nodes
            .filter_map(|(node, operation)| match operation.op {
                Op::Dropout { rate } => {
                    let len = rows.len() * crate::model::values(operation.shape);
                    let factors = dropout_mask(noise, node, rate, len);
                    Some(Mask { node, factors })
                }
                _ => None,
            })
            .collect();
        self.run(None, params, Want::Gradient, Mode::Batch(&masks), out);
        Ok(())
    }

    fn accuracy(
        &mut self,
        part: Subset,
        params: &[f32],
        running: &[f32],
    ) -> Result<f64, EngineError> {
        let mut out = Evaluation::default();
        self.run(
            Some(part),
            params,
            Want::Loss,
            Mode::Running(running),
            &mut out,
        );
        Ok(out.accuracy)
    }
}

/// Names the vector instructions that the kernels use; the matrix products of `gemm`, which is built on the same
/// library, use them too.
fn instruction_set(arch: Arch) -> &'static str {
    match arch {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => "AVX-512",
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => "AVX2",
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(_) => "NEON",
        _ => "portable",
    }
}

/// An engine's workers, borrowed for one evaluation.
struct Team<'a> {
    network: &'a Network,
    workers: &'a mut [Worker],
    shards: &'a mut Vec<Shard>,
    split_backward: bool,
}

impl Team<'_> {
    fn evaluate(
        self,
        subset: &ShardedExamples,
        params: &[f32],
        want: Want,
        mode: Mode<'_>,
        out: &mut Evaluation,
    ) {
        let Self {
            network,
            workers,
            shards,
            split_backward,
        } = self;
        let count = subset.shards.len();
        let classes = network.classes;
        if shards.len() < count {
            shards.resize_with(count, Shard::default);
        }
        let shards = &mut shards[..count];
        let with_gradient = want >= Want::Gradient;
        let by_class = want == Want::ClassGradient;
        let split_backward = split_backward && by_class;
        let gradients = match (with_gradient, split_backward) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => classes,
        };

        // The first shard works in the memory of the result.
        if let (true, Some(first)) = (gradients > 0, shards.first_mut()) {
            first.reserve(gradients);
            std::mem::swap(first.gradients[0].memory(), &mut out.gradient);
        }
        run_shards(
            subset,
            params,
            mode,
            (&mut *workers, &mut *shards),
            classes,
            gradients,
        );

        let mut tally = Tally::default();
        tally.clear(classes);
        for shard in &*shards {
            tally.add(&shard.tally);
        }
        tally.write(subset.examples.len(), out);

        out.class_gradient.clear();
        if by_class {
            out.class_gradient.resize(classes * params.len(), 0.0);
            let all = all_gradients(shards, gradients);
            // The class of each entry of `all`.
            let classes_of: Vec<Option<usize>> = if split_backward {
                (0..count).flat_map(|_| (0..classes).map(Some)).collect()
            } else {
                let class_of = |shard: &Range<usize>| subset.slices[shard.start].class;
                subset.shards.iter().map(class_of).collect()
            };
            let sums = out.class_gradient.chunks_exact_mut(params.len());
            for (class, sum) in sums.enumerate() {
                let of_class: Vec<&[f32]> = (classes_of.iter().zip(&all))
                    .filter(|(of, _)| **of == Some(class))
                    .map(|(_, gradient)| *gradient)
                    .collect();
                add_in_order(workers.len(), sum, &of_class);
            }
        }
        if let (true, Some(first)) = (gradients > 0, shards.first_mut()) {
            std::mem::swap(first.gradients[0].memory(), &mut out.gradient);
            let rest = &all_gradients(shards, gradients)[1..];
            add_in_order(workers.len(), &mut out.gradient, rest);
        } else {
            out.gradient.clear();
            out.gradient
                .resize(if with_gradient { params.len() } else { 0 }, 0.0);
        }
    }
}

impl Shard {
    /// Makes room for so many gradients.
    fn reserve(&mut self, gradients: usize) {
        if self.gradients.len() < gradients {
            self.gradients.resize_with(gradients, Gradient::default);
        }
    }
}

/// Returns the gradients of all shards, so many of each, in the order in which they are summed.
fn all_gradients(shards: &[Shard], each: usize) -> Vec<&[f32]> {
    let all = shards.iter().flat_map(|shard| &shard.gradients[..each]);
    all.map(Gradient::values).collect()
}

/// Evaluates all shards, each with this many gradients.
fn run_shards(
    subset: &ShardedExamples,
    params: &[f32],
    mode: Mode<'_>,
    (workers, shards): (&mut [Worker], &mut [Shard]),
    classes: usize,
    gradients: usize,
) {
    // Every shard has one slot; a thread takes the next free one until none is left.
    let next = AtomicUsize::new(0);
    let slots: Vec<_> = shards.iter_mut().map(std::sync::Mutex::new).collect();
    run_on_all(workers, |worker| {
        worker.prepare(params, gradients > 0);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(slot) = slots.get(index) else { break };
            let mut slot = slot.try_lock().expect("each shard is taken once");
            let shard = &mut **slot;
            shard.tally.clear(classes);
            shard.reserve(gradients);
            for gradient in &mut shard.gradients[..gradients] {
                gradient.begin(params.len());
            }
            for slice in &subset.slices[subset.shards[index].clone()] {
                let task = SliceTask {
                    params,
                    examples: &subset.examples,
                    range: slice.range.clone(),
                    mode,
                };
                let tally = &mut shard.tally;
                match &mut shard.gradients[..gradients] {
                    [] => worker.run(&task, None, tally),
                    [gradient] => worker.run(&task, Some(gradient), tally),
                    gradients => worker.run_by_class(&task, gradients, tally),
                }
            }
        }
    });
}

/// Calls `work` once for every worker, each on its own thread, the first on this one. If the system has no more
/// threads, the others do the work of those that cannot start.
fn run_on_all(workers: &mut [Worker], work: impl Fn(&mut Worker) + Sync) {
    let Some((first, others)) = workers.split_first_mut() else {
        return;
    };
    thread::scope(|scope| {
        for worker in others {
            let started = thread::Builder::new().spawn_scoped(scope, || work(worker));
            if started.is_err() {
                break;
            }
        }
        work(first);
    });
}

/// Adds `Σ_k parts[k][i]` to `out[i]`, in double precision and in the order of `parts`, whatever the number of threads.
fn add_in_order(threads: usize, out: &mut [f32], parts: &[&[f32]]) {
    const BLOCK: usize = 512; // the running sums of a block stay in registers and L1
    let add = |start: usize, out: &mut [f32]| {
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let from = start + block * BLOCK;
            let mut sums = [0.0_f64; BLOCK];
            for (sum, &x) in sums.iter_mut().zip(&*out) {
                *sum += f64::from(x);
            }
            for part in parts {
                for (sum, &x) in sums.iter_mut().zip(&part[from..from + out.len()]) {
                    *sum += f64::from(x);
                }
            }
            for (out, &sum) in out.iter_mut().zip(&sums) {
                #[expect(clippy::cast_possible_truncation, reason = "gradients are f32")]
                {
                    *out = sum as f32;
                }
            }
        }
    };
    // Below this many additions, another thread costs more than it saves.
    if threads < 2 || parts.len() * out.len() < 1 << 18 {
        return add(0, out);
    }
    let share = out.len().div_ceil(threads);
    for_each(
        threads,
        out.chunks_mut(share).enumerate(),
        |(index, out)| {
            add(index * share, out);
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_tile_the_slices_and_keep_classes_apart() {
        let labels: Vec<u8> = (0..997_u32).map(|i| u8::try_from(i % 7).unwrap()).collect();
        for plan in [
            SlicePlan::in_order(labels.len(), 10),
            SlicePlan::by_class(&labels, 10),
        ] {
            let shards = divide_into_shards(&plan.slices, SHARDS);
            assert!(shards.len() >= SHARDS && shards.len() <= SHARDS + 7);
            let mut end = 0;
            for shard in shards {
                assert_eq!(shard.start, end);
                end = shard.end;
                let slices = &plan.slices[shard];
                assert!(slices.iter().all(|slice| slice.class == slices[0].class));
            }
            assert_eq!(end, plan.slices.len());
        }
        assert!(divide_into_shards(&[], SHARDS).is_empty());
    }

    #[test]
    fn the_sum_does_not_depend_on_threads() {
        let parts: Vec<Vec<f32>> = (0..16_u16)
            .map(|k| {
                (0..20_000_u16)
                    .map(|i| (f32::from(i) * 0.37 + f32::from(k)).sin())
                    .collect()
            })
            .collect();
        let parts: Vec<&[f32]> = parts.iter().map(Vec::as_slice).collect();
        let mut one = vec![0.0; 20_000];
        add_in_order(1, &mut one, &parts);
        for threads in 2..5 {
            let mut many = vec![0.0; 20_000];
            add_in_order(threads, &mut many, &parts);
            assert_eq!(one, many);
        }
        let naive: f64 = parts.iter().map(|part| f64::from(part[123])).sum();
        assert!((f64::from(one[123]) - naive).abs() < 1e-6);
    }
}

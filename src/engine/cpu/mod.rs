//! The fast engine: hand-written forward and backward passes on the CPU.
//!
//! The examples are cut into slices that fit the cache, and the slices are dealt to a fixed number
//! of *shards*. A shard is worked through from its first slice to its last by one thread and adds
//! its gradient up in single precision; the shards are then summed in double precision, always in
//! the same order. Threads only decide who works on which shard, so the answer is the same, bit for
//! bit, at any number of them.

mod dense;
mod loss;
mod worker;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use self::worker::{Gradient, Tally, Worker};
use super::{EngineError, Evaluation, GradientEngine, Part, RunData, Slice, SlicePlan, Want};
use crate::data::Examples;
use crate::model::Network;

/// Shards that a data set is dealt to, as long as it has that many slices. More would balance more
/// threads, and cost memory and a longer sum: each holds a whole gradient.
const SHARDS: usize = 16;

/// Examples in a slice when nobody says otherwise: activations of a small dense network for this
/// many examples stay in a core's second-level cache.
pub const SLICE_SIZE: usize = 256;

/// Examples in a slice of a mini-batch: small enough that several threads get some.
const BATCH_SLICE: usize = 64;

/// The engine itself.
pub struct CpuEngine {
    network: Network,
    train: Shelf,
    test: Shelf,
    validation: Shelf,
    batch: Shelf,
    /// Where training row r stands in the (perhaps class-sorted) `train` shelf.
    position: Vec<u32>,
    workers: Vec<Worker>,
    /// Gradients and tallies of the shards, `[shard][P]`.
    shards: Vec<(Gradient, Tally)>,
}

/// A part of the data in the order in which it is evaluated.
struct Shelf {
    examples: Examples,
    slices: Vec<Slice>,
    shards: Vec<Range<usize>>,
}

impl Shelf {
    fn new(examples: Examples, slices: Vec<Slice>) -> Self {
        let shards = deal(&slices);
        Self {
            examples,
            slices,
            shards,
        }
    }

    fn in_order(examples: Examples, slice_size: usize) -> Self {
        let plan = SlicePlan::in_order(examples.len(), slice_size);
        Self::new(examples, plan.slices)
    }
}

/// Deals slices to at most [`SHARDS`] shards (or one a class, if there are more classes): runs of
/// slices of about equal length, none of which holds two classes.
fn deal(slices: &[Slice]) -> Vec<Range<usize>> {
    let groups: Vec<&[Slice]> = slices.chunk_by(|a, b| a.class == b.class).collect();
    let each = SHARDS.div_ceil(groups.len().max(1));
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
    /// An engine for `network` on `data`, with `threads` worker threads.
    ///
    /// With `by_class` the training set is evaluated in class-sorted slices, and
    /// [`Want::ClassGradient`] can be asked for.
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
        let plan = SlicePlan::new(&data.train.labels, slice_size, by_class);
        let position = plan.positions();
        let empty = data.train.select(&[]);
        Self {
            network: network.clone(),
            train: Shelf::new(data.train.into_selected(&plan.order), plan.slices),
            test: Shelf::in_order(data.test, slice_size),
            validation: Shelf::in_order(data.validation, slice_size),
            batch: Shelf::new(empty, Vec::new()),
            position,
            workers: (0..threads).map(|_| Worker::new(network)).collect(),
            shards: Vec::new(),
        }
    }
}

impl GradientEngine for CpuEngine {
    fn describe(&self) -> String {
        let threads = self.workers.len();
        let plural = if threads == 1 { "" } else { "s" };
        format!(
            "cpu, {threads} thread{plural}, {}",
            dense::instruction_set()
        )
    }

    fn evaluate(
        &mut self,
        part: Part,
        params: &[f32],
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let shelf = match part {
            Part::Train => &self.train,
            Part::Test => &self.test,
            Part::Validation => &self.validation,
        };
        let team = Team {
            network: &self.network,
            workers: &mut self.workers,
            shards: &mut self.shards,
        };
        team.evaluate(shelf, params, want, out);
        Ok(())
    }

    fn evaluate_batch(
        &mut self,
        params: &[f32],
        rows: &[u32],
        _noise: u64,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        let batch = &mut self.batch;
        let positions = rows.iter().map(|&row| self.position[row as usize]);
        batch.examples.copy_from(&self.train.examples, positions);
        if batch.slices.last().map_or(0, |slice| slice.range.end) != rows.len() {
            batch.slices = SlicePlan::in_order(rows.len(), BATCH_SLICE).slices;
            batch.shards = deal(&batch.slices);
        }
        let team = Team {
            network: &self.network,
            workers: &mut self.workers,
            shards: &mut self.shards,
        };
        team.evaluate(&self.batch, params, Want::Gradient, out);
        Ok(())
    }

    fn accuracy(
        &mut self,
        part: Part,
        params: &[f32],
        _running: &[f32],
    ) -> Result<f64, EngineError> {
        let mut out = Evaluation::default();
        self.evaluate(part, params, Want::Loss, &mut out)?;
        Ok(out.accuracy)
    }
}

/// The workers of an engine, borrowed for one evaluation.
struct Team<'a> {
    network: &'a Network,
    workers: &'a mut [Worker],
    shards: &'a mut Vec<(Gradient, Tally)>,
}

impl Team<'_> {
    fn evaluate(self, shelf: &Shelf, params: &[f32], want: Want, out: &mut Evaluation) {
        let Self {
            network,
            workers,
            shards,
        } = self;
        let count = shelf.shards.len();
        let classes = network.classes;
        if shards.len() < count {
            shards.resize_with(count, || (Gradient::default(), Tally::default()));
        }
        let shards = &mut shards[..count];
        let with_gradient = want >= Want::Gradient;

        // Every shard has one slot; a thread takes the next free one until none is left.
        let next = AtomicUsize::new(0);
        let slots: Vec<_> = shards.iter_mut().map(std::sync::Mutex::new).collect();
        run_on_all(workers, |worker| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(slot) = slots.get(index) else { break };
                let mut slot = slot.try_lock().expect("each shard is taken once");
                let (gradient, tally) = &mut **slot;
                tally.clear(classes);
                if with_gradient {
                    gradient.begin(params.len());
                }
                for slice in &shelf.slices[shelf.shards[index].clone()] {
                    let gradient = with_gradient.then_some(&mut *gradient);
                    worker.run(
                        params,
                        &shelf.examples,
                        slice.range.clone(),
                        gradient,
                        tally,
                    );
                }
            }
        });
        drop(slots);

        let mut tally = Tally::default();
        tally.clear(classes);
        for (_, part) in &*shards {
            tally.add(part);
        }
        tally.write(shelf.examples.len(), out);

        out.gradient
            .resize(if with_gradient { params.len() } else { 0 }, 0.0);
        let by_class = want == Want::ClassGradient;
        out.class_gradient
            .resize(if by_class { classes * params.len() } else { 0 }, 0.0);
        if !with_gradient {
            return;
        }
        let all: Vec<&[f32]> = shards.iter().map(|(g, _)| g.values()).collect();
        sum_in_order(workers.len(), &all, &mut out.gradient);
        if by_class {
            let class_of = |shard: &Range<usize>| shelf.slices[shard.start].class;
            for (class, sum) in out
                .class_gradient
                .chunks_exact_mut(params.len())
                .enumerate()
            {
                let of_class: Vec<&[f32]> = (shelf.shards.iter().zip(&all))
                    .filter(|(shard, _)| class_of(shard) == Some(class))
                    .map(|(_, gradient)| *gradient)
                    .collect();
                sum_in_order(workers.len(), &of_class, sum);
            }
        }
    }
}

/// Calls `work` once for every worker, each on its own thread, the first on this one.
fn run_on_all(workers: &mut [Worker], work: impl Fn(&mut Worker) + Sync) {
    let Some((first, others)) = workers.split_first_mut() else {
        return;
    };
    thread::scope(|scope| {
        for worker in others {
            scope.spawn(|| work(worker));
        }
        work(first);
    });
}

/// `out[i] = Σ_k parts[k][i]`, added up in double precision in the order of `parts`, whatever the
/// number of threads.
fn sum_in_order(threads: usize, parts: &[&[f32]], out: &mut [f32]) {
    const BLOCK: usize = 512; // the running sums of a block stay in registers and L1
    let sum = |start: usize, out: &mut [f32]| {
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let from = start + block * BLOCK;
            let mut sums = [0.0_f64; BLOCK];
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
    // Below this many additions a thread costs more than it saves.
    if threads < 2 || parts.len() * out.len() < 1 << 18 {
        return sum(0, out);
    }
    let share = out.len().div_ceil(threads);
    thread::scope(|scope| {
        for (index, out) in out.chunks_mut(share).enumerate() {
            scope.spawn(move || sum(index * share, out));
        }
    });
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
            let shards = deal(&plan.slices);
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
        assert!(deal(&[]).is_empty());
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
        sum_in_order(1, &parts, &mut one);
        for threads in 2..5 {
            let mut many = vec![0.0; 20_000];
            sum_in_order(threads, &parts, &mut many);
            assert_eq!(one, many);
        }
        let naive: f64 = parts.iter().map(|part| f64::from(part[123])).sum();
        assert!((f64::from(one[123]) - naive).abs() < 1e-6);
    }
}

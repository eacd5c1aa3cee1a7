//! Rows of a data set that a run uses, and the order in which it sees them.
//!
//! Everything is drawn from the run's seed, each purpose from a separate `ChaCha8` stream (see [`super`]): asking for
//! fewer test rows changes no training row and no mini-batch.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{BATCH_STREAM, DataError, Dataset, SPLIT_STREAM, TEST_STREAM, row_count};

/// Numbers of examples that a run asks for; the default is all of them and no validation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SplitSizes {
    /// Training examples; `None` for all that validation leaves.
    pub train: Option<usize>,
    /// Training examples whose loss is allocated; `None` for all.
    pub lca: Option<usize>,
    /// Examples set aside from the training examples.
    pub validation: usize,
    /// Test examples; `None` for all.
    pub test: Option<usize>,
}

/// Rows of the source data set that a run uses, each list ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows of [`Dataset::train`] to train on.
    pub train: Vec<u32>,
    /// Rows in `train` whose loss is allocated; empty for all of them.
    pub lca: Vec<u32>,
    /// Rows of [`Dataset::train`] set aside; none of them is in `train`.
    pub validation: Vec<u32>,
    /// Rows of [`Dataset::test`].
    pub test: Vec<u32>,
}

impl Split {
    /// Draws the rows of a run. The validation rows depend only on the seed and their number, so runs with less
    /// training data are judged on the same examples. The allocated examples are those that a training size of their
    /// number would draw.
    ///
    /// # Errors
    /// [`DataError`] if a required size is 0, or there are fewer examples than asked for.
    pub fn draw(dataset: &Dataset, sizes: &SplitSizes, seed: u64) -> Result<Self, DataError> {
        let order = permutation(row_count(dataset.train.len())?, seed, SPLIT_STREAM);
        let train = train_size(sizes, order.len())?;
        let (validation, rest) = order.split_at(sizes.validation);
        let lca = lca_size(sizes, train)?;

        let test_order = permutation(row_count(dataset.test.len())?, seed, TEST_STREAM);
        let test = test_size(sizes, test_order.len())?;
        Ok(Self {
            train: ascending(&rest[..train]),
            lca: ascending(&rest[..lca]),
            validation: ascending(validation),
            test: ascending(&test_order[..test]),
        })
    }
}

/// Returns the training size, checked to fit into `available` with the validation size.
fn train_size(sizes: &SplitSizes, available: usize) -> Result<usize, DataError> {
    let validation = sizes.validation;
    match sizes.train {
        Some(0) => Err(DataError::ZeroSize { part: "train" }),
        Some(train) if train.saturating_add(validation) > available => {
            Err(DataError::TrainTooLarge {
                train,
                validation,
                available,
            })
        }
        Some(train) => Ok(train),
        None if validation >= available => Err(DataError::ValidationTooLarge {
            validation,
            available,
        }),
        None => Ok(available - validation),
    }
}

/// Returns how many training examples have their loss allocated; 0 for all.
fn lca_size(sizes: &SplitSizes, train: usize) -> Result<usize, DataError> {
    match sizes.lca.unwrap_or(train) {
        0 => Err(DataError::ZeroSize { part: "LCA" }),
        lca if lca > train => Err(DataError::LcaTooLarge { lca, train }),
        lca if lca == train => Ok(0),
        lca => Ok(lca),
    }
}

fn test_size(sizes: &SplitSizes, available: usize) -> Result<usize, DataError> {
    match sizes.test.unwrap_or(available) {
        0 => Err(DataError::ZeroSize { part: "test" }),
        test if test > available => Err(DataError::TestTooLarge { test, available }),
        test => Ok(test),
    }
}

fn ascending(rows: &[u32]) -> Vec<u32> {
    let mut rows = rows.to_vec();
    rows.sort_unstable();
    rows
}

fn permutation(n: u32, seed: u64, stream: u64) -> Vec<u32> {
    let mut rows: Vec<u32> = (0..n).collect();
    shuffle(&mut rows, seed, stream);
    rows
}

fn shuffle(rows: &mut [u32], seed: u64, stream: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    rows.shuffle(&mut rng);
}

/// Endless seeded mini-batches of the rows `0..n`.
///
/// Every epoch is a fresh permutation; its last batch may be smaller (`PyTorch`'s
/// `drop_last = false`). An epoch's order depends on the seed and the epoch alone, so a
/// resumed run needs no generator state: [`Batches::seek`] to its step.
#[derive(Debug, Clone)]
pub struct Batches {
    /// The epoch's permutation of `0..n`: `[n]`.
    order: Vec<u32>,
    batch_size: usize,
    seed: u64,
    next: BatchPosition,
}

/// Position of a mini-batch among the epochs, both counted from 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchPosition {
    pub epoch: u64,
    pub batch: usize,
}

impl Batches {
    /// Batches of `batch_size` from the rows `0..n`; a size above `n` is reduced to `n`.
    ///
    /// # Errors
    /// [`DataError::ZeroSize`] if `n` is 0, [`DataError::ZeroBatch`] if `batch_size` is, [`DataError::TooManyRows`] if
    /// a `u32` cannot number the rows.
    pub fn new(n: usize, batch_size: usize, seed: u64) -> Result<Self, DataError> {
        let rows = row_count(n)?;
        if rows == 0 {
            return Err(DataError::ZeroSize { part: "train" });
        }
        if batch_size == 0 {
            return Err(DataError::ZeroBatch);
        }
        let mut batches = Self {
            order: (0..rows).collect(),
            batch_size: batch_size.min(n),
            seed,
            next: BatchPosition::default(),
        };
        batches.start_epoch();
        Ok(batches)
    }

    /// Returns the next mini-batch: distinct rows, in the order drawn.
    pub fn next_batch(&mut self) -> &[u32] {
        if self.next.batch == self.batches_per_epoch() {
            self.next = BatchPosition {
                epoch: self.next.epoch.wrapping_add(1),
                batch: 0,
            };
            self.start_epoch();
        }
        let start = self.next.batch * self.batch_size;
        let end = self.order.len().min(start + self.batch_size);
        self.next.batch += 1;
        &self.order[start..end]
    }

    /// Returns the number of mini-batches in an epoch, including a smaller last one.
    #[must_use]
    pub fn batches_per_epoch(&self) -> usize {
        self.order.len().div_ceil(self.batch_size)
    }

    /// Returns the position of the batch of `step`; step 0 is the first.
    #[must_use]
    pub fn position(&self, step: u64) -> BatchPosition {
        let per_epoch = self.batches_per_epoch() as u64;
        BatchPosition {
            epoch: step / per_epoch,
            #[expect(clippy::cast_possible_truncation, reason = "below a usize")]
            batch: (step % per_epoch) as usize,
        }
    }

    /// Moves to `step`, forward or back: the next batch is the one after `step` calls of [`Batches::next_batch`] from
    /// the start.
    pub fn seek(&mut self, step: u64) {
        self.next = self.position(step);
        self.start_epoch();
    }

    /// Shuffles from the rows' original order, not from the last epoch's, so that epochs are seekable.
    fn start_epoch(&mut self) {
        for (row, place) in (0..).zip(&mut self.order) {
            *place = row;
        }
        let stream = BATCH_STREAM.wrapping_add(self.next.epoch);
        shuffle(&mut self.order, self.seed, stream);
    }
}

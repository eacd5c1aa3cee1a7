//! Arrays over all parameters, which are large and written in whole compressed chunks.

use hdf5::{Dataset, Group};

use super::compression::{Compression, WriteOptions};
use super::growing_dataset::{append, create_series, index_bytes, rows_of};
use super::header::describe;
use crate::record::{ParamTotals, RunHeader};

/// The shape of a chunk of per-parameter arrays: steps × parameters. Chunks are appended whole, because under SWMR
/// rewriting a compressed chunk leaks its old space. They are narrow, because one parameter over 10,000 steps touches
/// 313 of them: with 256 parameters per chunk that takes 9 ms, with 2048 it took 37 (from the disk, 50 and more). One
/// step over 84,060 parameters takes 6 ms either way.
const BLOCK_STEPS: usize = 32;
const BLOCK_PARAMS: usize = 256;

/// The most bytes of rows that wait until a chunk is full. Of a network with so many parameters that 32 rows are more,
/// chunks have fewer rows and more parameters.
const WAITING_BYTES: usize = 1 << 26;

/// Returns the steps and parameters of a chunk.
fn chunk_shape(params: usize) -> (usize, usize) {
    let affordable = WAITING_BYTES / (params * size_of::<f32>()).max(1);
    let steps = affordable.clamp(1, BLOCK_STEPS);
    (steps, (BLOCK_STEPS * BLOCK_PARAMS / steps).min(params))
}

/// Parameters in a chunk of the running totals' snapshots; such a chunk has one row.
const SNAPSHOT_PARAMS: usize = 65_536;

/// Arrays over all parameters, appended in whole compressed chunks.
pub struct Blocks {
    values: Dataset,
    index: Dataset,
    params: usize,
    /// Steps and parameters of a chunk.
    chunk: (usize, usize),
    written: usize,
    /// The newest step with a row: rows of this and earlier steps are not written again.
    newest: Option<u64>,
    mantissa_bits: u32,
    compressed: bool,
    waiting: Vec<f32>,
    waiting_index: Vec<u64>,
    /// The number of waiting rows for which room on the disk is reserved.
    safe: usize,
}

impl Blocks {
    pub fn create(
        file: &Group,
        [index, values]: [&str; 2],
        [unit, what]: [&str; 2],
        header: &RunHeader,
        options: WriteOptions,
    ) -> hdf5::Result<Self> {
        let params = header.layout.params();
        let chunk = chunk_shape(params);
        let builder = file.new_dataset::<f32>().shape((0.., params)).chunk(chunk);
        let compression = options.compression.of_steps();
        let values = compression.apply(builder).create(values)?;
        describe(&values, unit, what)?;
        let bits = u64::from(options.mantissa_bits);
        values
            .new_attr::<u64>()
            .create("mantissa_bits")?
            .write_scalar(&bits)?;
        let index = create_series(index, file.new_dataset::<u64>(), &[], 1024)?;
        describe(&index, "steps", "steps of the rows beside it")?;
        Ok(Self {
            values,
            index,
            params,
            chunk,
            written: 0,
            newest: None,
            mantissa_bits: options.mantissa_bits,
            compressed: compression != Compression::None,
            waiting: Vec::new(),
            waiting_index: Vec::new(),
            safe: 0,
        })
    }

    /// Opens them for writing after the rows of steps below `end`; rows that follow are overwritten.
    pub fn open(
        file: &Group,
        [index, values]: [&str; 2],
        header: &RunHeader,
        end: u64,
    ) -> hdf5::Result<Self> {
        let params = header.layout.params();
        let (index, values) = (file.dataset(index)?, file.dataset(values)?);
        let steps = index.read_raw::<u64>()?;
        let rows = rows_before(&steps, end).min(rows_of(&values, &[params])?);
        let bits: u64 = values.attr("mantissa_bits")?.read_scalar()?;
        Ok(Self {
            compressed: !values.filters().is_empty(),
            // As created: another version may use other chunks.
            chunk: match values.chunk().as_deref() {
                Some(&[steps, params]) => (steps.max(1), params),
                _ => (BLOCK_STEPS, params),
            },
            values,
            index,
            params,
            written: rows,
            newest: rows.checked_sub(1).map(|row| steps[row]),
            mantissa_bits: u32::try_from(bits).unwrap_or(24),
            waiting: Vec::new(),
            waiting_index: Vec::new(),
            safe: 0,
        })
    }

    /// An upper bound on the bytes that writing the waiting rows, and `more` rows, adds to the file.
    pub fn bytes_needed(&self, more: usize) -> u64 {
        let rows = self.waiting_index.len() + more;
        if rows == 0 {
            return 0;
        }
        // A chunk that is not full is compressed together with its padding of zeros.
        let (steps, params) = self.chunk;
        let rows = if self.compressed {
            rows
        } else {
            rows.next_multiple_of(steps)
        };
        let chunks = self.params.div_ceil(params.max(1));
        let values = chunks * (params * size_of::<f32>() * rows + 1024);
        let written = self.written.div_ceil(steps) * chunks;
        values as u64 + 2 * index_bytes(written) + 64 * chunks as u64
    }

    /// Whether the next row completes a block, which is then written.
    pub fn is_nearly_full(&self) -> bool {
        (self.written + self.waiting_index.len() + 1).is_multiple_of(self.chunk.0)
    }

    /// Records that room is reserved for the waiting rows.
    pub fn rows_are_safe(&mut self) {
        self.safe = self.waiting_index.len();
    }

    /// Drops the waiting rows for which there may be no room.
    pub fn keep_safe_rows(&mut self) {
        self.waiting_index.truncate(self.safe);
        self.waiting.truncate(self.safe * self.params);
    }

    pub fn push(&mut self, step: u64, values: &[f32]) -> hdf5::Result<()> {
        if self.newest.is_some_and(|newest| step <= newest) {
            return Ok(());
        }
        self.newest = Some(step);
        let bits = self.mantissa_bits;
        self.waiting
            .extend(values.iter().map(|&value| round_mantissa(value, bits)));
        self.waiting_index.push(step);
        // At the end of a chunk, even if an earlier chunk was left unfinished.
        if (self.written + self.waiting_index.len()).is_multiple_of(self.chunk.0) {
            self.write()?;
        }
        Ok(())
    }

    pub fn write(&mut self) -> hdf5::Result<()> {
        if self.waiting_index.is_empty() {
            return Ok(());
        }
        let rows = self.written..self.written + self.waiting_index.len();
        append(&self.values, &[self.params], rows.clone(), &self.waiting)?;
        append(&self.index, &[], rows.clone(), &self.waiting_index)?;
        self.written = rows.end;
        self.waiting.clear();
        self.waiting_index.clear();
        self.safe = 0;
        Ok(())
    }
}

/// The number of rows of an array over all parameters that belong to steps below `end`, by its index. Rows that a
/// killed writer did not commit may be partly there, or be zeros.
pub fn rows_before(index: &[u64], end: u64) -> usize {
    let ascending = index
        .windows(2)
        .take_while(|pair| pair[0] < pair[1])
        .count()
        + 1;
    let rows = &index[..ascending.min(index.len())];
    rows.partition_point(|&step| step < end)
}

/// Rounds to `bits` bits of precision (including the leading one), to nearest, ties to even.
fn round_mantissa(value: f32, bits: u32) -> f32 {
    let drop = 24_u32.saturating_sub(bits);
    if drop == 0 || !value.is_finite() {
        return value;
    }
    let raw = value.to_bits();
    let half = (1 << (drop - 1)) - 1 + (raw >> drop & 1);
    let rounded = f32::from_bits((raw + half) >> drop << drop);
    // The largest numbers may round up to infinity.
    if rounded.is_finite() { rounded } else { value }
}

/// Snapshots of every parameter's running totals.
pub struct Totals {
    step: Dataset,
    lca_sum: Dataset,
    counts: [Dataset; 3],
    params: usize,
    written: usize,
    /// Steps done at the newest snapshot: this and earlier ones are not written again.
    newest: Option<u64>,
}

impl Totals {
    pub fn create(file: &Group, header: &RunHeader, options: WriteOptions) -> hdf5::Result<Self> {
        let params = header.layout.params();
        // One row per chunk: a snapshot fills whole chunks.
        let chunk = (1, params.clamp(1, SNAPSHOT_PARAMS));
        let lca_sum = file.new_dataset::<f64>().shape((0.., params)).chunk(chunk);
        let compression = options.compression.of_snapshots();
        let lca_sum = compression.apply(lca_sum).create("param/lca_sum")?;
        describe(
            &lca_sum,
            "nats",
            "sum of a parameter's allocations in the steps before param/step",
        )?;
        let count = |name: &str, what| {
            let builder = file.new_dataset::<u32>().shape((0.., params)).chunk(chunk);
            let dataset = compression
                .apply(builder)
                .create(&*format!("param/{name}"))?;
            describe(&dataset, "steps", what)?;
            Ok::<_, hdf5::Error>(dataset)
        };
        let step = create_series("param/step", file.new_dataset::<u64>(), &[], 64)?;
        describe(
            &step,
            "steps",
            "steps done at each snapshot of the running totals",
        )?;
        Ok(Self {
            step,
            lca_sum,
            counts: [
                count("helped", "steps in which the parameter helped")?,
                count(
                    "update_flips",
                    "steps whose movement had the opposite sign of the step before",
                )?,
                count(
                    "gradient_flips",
                    "steps over which the full gradient changed sign",
                )?,
            ],
            params,
            written: 0,
            newest: None,
        })
    }

    /// Opens them for writing after the snapshots of up to `end` steps; one at `end` itself is kept only if
    /// `keep_last`.
    pub fn open(file: &Group, header: &RunHeader, end: u64, keep_last: bool) -> hdf5::Result<Self> {
        let params = header.layout.params();
        let dataset = |name: &str| file.dataset(&format!("param/{name}"));
        let (step, lca_sum) = (dataset("step")?, dataset("lca_sum")?);
        let counts = [
            dataset("helped")?,
            dataset("update_flips")?,
            dataset("gradient_flips")?,
        ];
        let steps = step.read_raw::<u64>()?;
        let mut rows = rows_before(&steps, end.saturating_add(u64::from(keep_last)));
        for dataset in counts.iter().chain([&lca_sum]) {
            rows = rows.min(rows_of(dataset, &[params])?);
        }
        Ok(Self {
            step,
            lca_sum,
            counts,
            params,
            written: rows,
            newest: rows.checked_sub(1).map(|row| steps[row]),
        })
    }

    /// An upper bound on the bytes that a snapshot adds to the file.
    pub fn bytes_needed(&self) -> u64 {
        let chunk = self.params.clamp(1, SNAPSHOT_PARAMS);
        let values = self.params.next_multiple_of(chunk);
        let chunks = self.params.div_ceil(chunk);
        let of_dataset = index_bytes(self.written * chunks) + 1088 * chunks as u64;
        (values * ParamTotals::EACH) as u64 + 5 * of_dataset
    }

    pub fn push(&mut self, totals: &ParamTotals) -> hdf5::Result<()> {
        if self.newest.is_some_and(|newest| totals.steps <= newest) {
            return Ok(());
        }
        self.newest = Some(totals.steps);
        let ParamTotals {
            steps,
            lca_sum,
            helped,
            update_flips,
            gradient_flips,
        } = totals;
        let row = self.written..self.written + 1;
        append(&self.lca_sum, &[self.params], row.clone(), lca_sum)?;
        for (dataset, values) in self
            .counts
            .iter()
            .zip([helped, update_flips, gradient_flips])
        {
            append(dataset, &[self.params], row.clone(), values)?;
        }
        append(&self.step, &[], row, &[*steps])?;
        self.written += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounding_keeps_the_asked_precision(value in prop::num::f32::NORMAL, bits in 1u32..=24) {
            let rounded = round_mantissa(value, bits);
            let error = ((f64::from(rounded) - f64::from(value)) / f64::from(value)).abs();
            prop_assert!(error <= 2.0_f64.powi(-i32::try_from(bits).unwrap()) || rounded == value);
            prop_assert_eq!(round_mantissa(rounded, bits), rounded);
            if bits == 24 {
                prop_assert_eq!(rounded, value);
            }
        }
    }
}

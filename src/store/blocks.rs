//! Arrays over all parameters, which are large: whole compressed chunks at a time.

use hdf5::{Dataset, Group};

use super::header::describe;
use super::series::{append, create_series};
use super::writer::WriteOptions;
use crate::record::{ParamTotals, RunHeader};

/// A chunk of per-parameter arrays: steps × parameters. Appended whole, because under SWMR a
/// compressed chunk that is rewritten leaks its old space. Narrow, because one parameter over 10,000
/// steps touches 313 of them: with 256 parameters that takes 9 ms, with 2048 it took 37 (from the disk
/// 50 and more); one step over 84,060 parameters takes 6 ms either way.
const BLOCK_STEPS: usize = 32;
const BLOCK_PARAMS: usize = 256;

/// Parameters in a chunk of a snapshot of the running totals, which has one row.
const SNAPSHOT_PARAMS: usize = 65_536;

/// Arrays over all parameters, appended in whole compressed chunks.
pub struct Blocks {
    values: Dataset,
    index: Dataset,
    params: usize,
    written: usize,
    mantissa_bits: u32,
    waiting: Vec<f32>,
    waiting_index: Vec<u64>,
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
        let builder = file
            .new_dataset::<f32>()
            .shape((0.., params))
            .chunk((BLOCK_STEPS, BLOCK_PARAMS.min(params)));
        let values = options.compression.apply(builder).create(values)?;
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
            written: 0,
            mantissa_bits: options.mantissa_bits,
            waiting: Vec::new(),
            waiting_index: Vec::new(),
        })
    }

    pub fn push(&mut self, step: u64, values: &[f32]) -> hdf5::Result<()> {
        let bits = self.mantissa_bits;
        self.waiting
            .extend(values.iter().map(|&value| round_mantissa(value, bits)));
        self.waiting_index.push(step);
        if self.waiting_index.len() == BLOCK_STEPS {
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
        Ok(())
    }
}

/// Rounds to `bits` bits of precision (the leading one included), to nearest, ties to even.
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
}

impl Totals {
    pub fn create(file: &Group, header: &RunHeader, options: WriteOptions) -> hdf5::Result<Self> {
        let params = header.layout.params();
        // One row a chunk: a snapshot fills whole chunks.
        let chunk = (1, params.clamp(1, SNAPSHOT_PARAMS));
        let lca_sum = file.new_dataset::<f64>().shape((0.., params)).chunk(chunk);
        let lca_sum = options.compression.apply(lca_sum).create("param/lca_sum")?;
        describe(
            &lca_sum,
            "nats",
            "sum of a parameter's allocations in the steps before param/step",
        )?;
        let count = |name: &str, what| {
            let builder = file.new_dataset::<u32>().shape((0.., params)).chunk(chunk);
            let dataset = options
                .compression
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
        })
    }

    pub fn push(&mut self, totals: &ParamTotals) -> hdf5::Result<()> {
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

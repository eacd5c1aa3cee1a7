//! Checks a run file: its datasets, their lengths, and that everything in it adds up.

mod pyramid;

use std::ops::Range;
use std::path::Path;

use hdf5::{Dataset, H5Type};

use super::blocks::rows_before;
use super::checkpoint;
use super::error::{Context, StoreError};
use super::growing_dataset::rows_of;
use super::reader::RunReader;
use super::schema::{DatasetColumn, HELD_OUT, LOSSES, RowGetter, steps_of};
use crate::layout::ParamLayout;
use crate::record::{RunHeader, larger};

/// The most faults listed for one check; the rest are only counted.
const TOLD: usize = 3;

/// Numbers read at once.
const BLOCK_VALUES: usize = 1 << 20;

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    pub name: &'static str,
    /// A description of the data checked.
    pub looked_at: String,
    /// The first few faults, with their locations.
    pub faults: Vec<String>,
    /// The number of faults.
    pub count: u64,
}

impl CheckResult {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            looked_at: String::new(),
            faults: Vec::new(),
            count: 0,
        }
    }

    fn fault(&mut self, what: impl FnOnce() -> String) {
        self.count += 1;
        if self.faults.len() < TOLD {
            self.faults.push(what());
        }
    }

    /// Checks that `found` equals `expected` to within `slack`; two NaN are equal.
    fn close(
        &mut self,
        [found, expected]: [f64; 2],
        slack: f64,
        what: impl FnOnce() -> (String, String),
    ) {
        let same = found.to_bits() == expected.to_bits()
            || (found - expected).abs() <= slack
            || (found.is_nan() && expected.is_nan());
        if !same {
            self.fault(|| {
                let (sum, whole) = what();
                format!("{sum} {found:+.9e}, {whole} {expected:+.9e}")
            });
        }
    }

    #[must_use]
    pub fn passed(&self) -> bool {
        self.count == 0
    }
}

/// Checks everything that a run file contains about its committed steps.
///
/// 64-bit numbers must add up to their last few digits (1e-12 of the sum of their magnitudes), 32-bit numbers to 1e-6
/// of it, and rounded ones to the precision that was kept.
///
/// # Errors
/// The file is not a run, or cannot be read.
pub fn verify(path: &Path) -> Result<Vec<CheckResult>, StoreError> {
    let reader = RunReader::open(path)?;
    let steps = reader.refresh()?.committed;
    let run = VerifiedRun {
        reader: &reader,
        header: reader.header(),
        steps: usize::try_from(steps).unwrap_or(usize::MAX),
    };
    let mut checks = vec![run.structure()];
    if checks[0].passed() {
        let all = [
            run.losses(),
            run.allocation("lca/"),
            run.counts(),
            run.totals(),
            run.params(),
            run.weights(),
        ];
        for check in all {
            checks.push(check?);
        }
        if run.header.held_out_lca {
            checks.push(run.allocation("lca_test/")?);
        }
    }
    checks.push(pyramid::check(&reader, steps)?);
    checks.push(run.checkpoints());
    Ok(checks)
}

struct VerifiedRun<'a> {
    reader: &'a RunReader,
    header: &'a RunHeader,
    /// Committed steps.
    steps: usize,
}

/// Rows of a matrix in memory.
struct MatrixRows<T> {
    values: Vec<T>,
    width: usize,
}

impl<T> MatrixRows<T> {
    fn row(&self, index: usize) -> &[T] {
        &self.values[index * self.width..][..self.width]
    }
}

impl VerifiedRun<'_> {
    fn layout(&self) -> &ParamLayout {
        &self.header.layout
    }

    fn layer_name(&self, layer: usize) -> &str {
        &self.layout().layers[layer].name
    }

    /// Reads rows of a dataset as `[rows, width]`, whatever its axes.
    fn read<T: H5Type>(&self, path: &str, rows: Range<usize>) -> Result<MatrixRows<T>, StoreError> {
        let dataset = self.reader.dataset(path)?;
        let width = dataset.shape().iter().skip(1).product();
        let values = self.reader.rows(&dataset, rows)?;
        Ok(MatrixRows { values, width })
    }

    /// All steps, in blocks that fit into memory at this width.
    fn blocks(&self, width: usize) -> impl Iterator<Item = Range<usize>> + use<> {
        let (steps, size) = (self.steps, (BLOCK_VALUES / width.max(1)).max(1));
        (0..steps)
            .step_by(size)
            .map(move |from| from..steps.min(from + size))
    }

    /// Checks that every dataset exists with its type and shape, and is long enough.
    fn structure(&self) -> CheckResult {
        let mut check = CheckResult::new("structure");
        let mut datasets = 0;
        // A run killed before its first commit does not even have the losses at θ_0.
        let start = usize::from(self.steps > 0);
        let mut look =
            |path: &str, fits: &dyn Fn(&Dataset) -> hdf5::Result<bool>, axes: &[usize], rows| {
                datasets += 1;
                let looked = || -> hdf5::Result<Option<String>> {
                    let dataset = self.reader.open_dataset(path)?;
                    let there = rows_of(&dataset, axes)?;
                    Ok(if !fits(&dataset)? {
                        Some(format!("{path} has the wrong type"))
                    } else if there < rows {
                        Some(format!("{path} has {there} rows instead of {rows}"))
                    } else {
                        None
                    })
                };
                match looked() {
                    Ok(None) => {}
                    Ok(Some(what)) => check.fault(|| what),
                    Err(error) => check.fault(|| format!("{path}: {error}")),
                }
            };
        for column in LOSSES {
            let axes = column.axes.lengths(self.header);
            look(
                column.path,
                &|d| has_type(column, d),
                &axes,
                self.steps + start,
            );
        }
        for column in steps_of(|path| self.reader.has_object(path)) {
            let axes = column.axes.lengths(self.header);
            look(column.path, &|d| has_type(column, d), &axes, self.steps);
        }
        for column in HELD_OUT.iter().filter(|_| self.header.held_out_lca) {
            let axes = column.axes.lengths(self.header);
            look(column.path, &|d| has_type(column, d), &axes, self.steps);
        }
        let params = [self.layout().params()];
        look("param/lca_sum", &|d| Ok(d.dtype()?.is::<f64>()), &params, 0);
        for path in ["param/helped", "param/update_flips", "param/gradient_flips"] {
            look(path, &|d| Ok(d.dtype()?.is::<u32>()), &params, 0);
        }
        for (there, path) in [
            (self.header.record_params > 0, "lca/param"),
            (self.header.record_weights > 0, "weight/value"),
        ] {
            if there {
                look(path, &|d| Ok(d.dtype()?.is::<f32>()), &params, 0);
            }
        }
        check.looked_at = format!("{datasets} datasets of {} steps", self.steps);
        check
    }

    /// Checks that total and residual add up to the change of the loss, and that time does not run backwards.
    fn losses(&self) -> Result<CheckResult, StoreError> {
        let mut check = CheckResult::new("loss");
        let mut worst: f64 = 0.0;
        let mut last = f64::NEG_INFINITY;
        for steps in self.blocks(1) {
            let train = self
                .read::<f64>("loss/train", steps.start..steps.end + 1)?
                .values;
            let total = self.read::<f64>("lca/total", steps.clone())?.values;
            let residual = self.read::<f64>("lca/residual", steps.clone())?.values;
            let seconds = self.read::<f64>("step/seconds", steps.clone())?.values;
            for (i, t) in steps.enumerate() {
                let change = train[i + 1] - train[i];
                let slack = 1e-12 * (train[i + 1].abs() + train[i].abs() + total[i].abs());
                check.close([total[i] + residual[i], change], slack, || {
                    (
                        format!("step {t}: lca/total and lca/residual are"),
                        "the loss changed by".to_owned(),
                    )
                });
                worst = larger(worst, residual[i].abs());
                if residual[i].is_nan() {
                    check.fault(|| format!("step {t}: lca/residual is not a number"));
                }
                if seconds[i] < last {
                    check.fault(|| format!("step {t}: step/seconds goes back to {}", seconds[i]));
                }
                last = seconds[i];
            }
        }
        check.looked_at =
            format!("total + residual = change in loss; largest residual {worst:.2e} nats");
        Ok(check)
    }

    /// Checks that units, tensors, layers and classes add up, for the training or the held-out loss.
    fn allocation(&self, group: &'static str) -> Result<CheckResult, StoreError> {
        let name = if group == "lca/" {
            "sums"
        } else {
            "held-out sums"
        };
        let mut check = CheckResult::new(name);
        let layout = self.layout();
        let layers = layout.layers.len();
        let classes = self.header.classes.len();
        // A run recorded by a library may have no classes.
        let by_class = group == "lca/" && classes > 0;
        let width = layout.units() + layout.tensors.len() + layers * (1 + classes);
        for steps in self.blocks(width) {
            let path = |name: &str| format!("{group}{name}");
            let total = self.read::<f64>(&path("total"), steps.clone())?.values;
            let layer = self.read::<f64>(&path("layer"), steps.clone())?;
            let tensor = self.read::<f64>(&path("tensor"), steps.clone())?;
            let unit = self.read::<f32>(&path("unit"), steps.clone())?;
            let class = if by_class {
                Some(self.read::<f32>("lca/class_layer", steps.clone())?)
            } else {
                None
            };
            for (i, t) in steps.enumerate() {
                let of_layers = layer.row(i);
                let sum = SumWithMagnitude::of_terms(of_layers.iter().copied());
                check.close([sum.value, total[i]], 1e-12 * sum.size, || {
                    (
                        format!("step {t}: layers add up to"),
                        format!("{group}total is"),
                    )
                });
                for (l, place) in layout.layers.iter().enumerate() {
                    let expected = of_layers[l];
                    let mut compare = |sum: &SumWithMagnitude, slack: f64, what: &str| {
                        check.close([sum.value, expected], slack * sum.size, || {
                            let layer = self.layer_name(l);
                            (
                                format!("step {t}, {layer}: {what} add up to"),
                                format!("{group}layer is"),
                            )
                        });
                    };
                    let tensors = &tensor.row(i)[place.tensors.clone()];
                    compare(
                        &SumWithMagnitude::of_terms(tensors.iter().copied()),
                        1e-12,
                        "tensors",
                    );
                    let units = &unit.row(i)[place.units.clone()];
                    compare(
                        &SumWithMagnitude::of_terms(units.iter().map(|&a| a.into())),
                        1e-6,
                        "units",
                    );
                    let Some(class) = &class else { continue };
                    let of_class = |c: usize| f64::from(class.row(i)[c * layers + l]);
                    let sum = SumWithMagnitude::of_terms((0..classes).map(of_class));
                    if !sum.value.is_nan() {
                        compare(&sum, 1e-6, "classes");
                    }
                }
            }
        }
        check.looked_at = format!("units, tensors, layers and {group}total");
        Ok(check)
    }

    /// Checks that counts of parameters fit the layers and each other.
    fn counts(&self) -> Result<CheckResult, StoreError> {
        let mut check = CheckResult::new("counts");
        let layers = &self.layout().layers;
        let bins = self.header.histogram_bins();
        for steps in self.blocks(layers.len() * bins) {
            let helped = self.read::<u64>("lca/helped", steps.clone())?;
            let hurt = self.read::<u64>("lca/hurt", steps.clone())?;
            let histogram = self.read::<u32>("lca/histogram", steps.clone())?;
            for (i, t) in steps.enumerate() {
                for (l, layer) in layers.iter().enumerate() {
                    let moved = helped.row(i)[l].saturating_add(hurt.row(i)[l]);
                    let counts = &histogram.row(i)[l * bins..][..bins];
                    let counted: u64 = counts.iter().map(|&n| u64::from(n)).sum();
                    if counted != moved || moved > layer.range.len() as u64 {
                        check.fault(|| {
                            format!(
                                "step {t}, {}: {moved} parameters helped or hurt, {counted} are in \
                                 lca/histogram, the layer has {}",
                                layer.name,
                                layer.range.len()
                            )
                        });
                    }
                }
            }
        }
        "lca/helped, lca/hurt and lca/histogram".clone_into(&mut check.looked_at);
        Ok(check)
    }

    /// Checks that snapshots of running totals are the sums of the steps before them.
    fn totals(&self) -> Result<CheckResult, StoreError> {
        let mut check = CheckResult::new("running totals");
        let layers = &self.layout().layers;
        let mut snapshots = self.reader.values::<u64>("param/step")?;
        snapshots.truncate(rows_before(&snapshots, self.steps as u64 + 1));
        let mut lca = vec![SumWithMagnitude::default(); layers.len()];
        let mut counts = vec![[0_u64; 3]; layers.len()];
        let mut done = 0;
        let mut compared = 0;
        for (row, &snapshot) in snapshots.iter().enumerate() {
            let Some(end) = usize::try_from(snapshot)
                .ok()
                .filter(|&end| end <= self.steps)
            else {
                continue;
            };
            let before = VerifiedRun {
                steps: end,
                ..*self
            };
            for steps in before.blocks(4 * layers.len()) {
                let steps = steps.start.max(done)..steps.end.max(done);
                if steps.is_empty() {
                    continue;
                }
                let values = self.read::<f64>("lca/layer", steps.clone())?;
                let helped = self.read::<u64>("lca/helped", steps.clone())?;
                let updates = self.read::<u64>("motion/update_flips", steps.clone())?;
                let gradients = self.read::<u64>("motion/gradient_flips", steps.clone())?;
                for i in 0..steps.len() {
                    for l in 0..layers.len() {
                        lca[l].add(values.row(i)[l]);
                        for (count, rows) in
                            counts[l].iter_mut().zip([&helped, &updates, &gradients])
                        {
                            *count += rows.row(i)[l];
                        }
                    }
                }
            }
            done = done.max(end);
            let sums = self.read::<f64>("param/lca_sum", row..row + 1)?.values;
            for (l, layer) in layers.iter().enumerate() {
                let sum = SumWithMagnitude::of_terms(sums[layer.range.clone()].iter().copied());
                let slack = 1e-10 * (sum.size + lca[l].size);
                check.close([sum.value, lca[l].value], slack, || {
                    (
                        format!(
                            "after {snapshot} steps, {}: param/lca_sum adds up to",
                            layer.name
                        ),
                        "lca/layer to".to_owned(),
                    )
                });
            }
            for (index, name) in ["helped", "update_flips", "gradient_flips"]
                .iter()
                .enumerate()
            {
                let rows = self
                    .read::<u32>(&format!("param/{name}"), row..row + 1)?
                    .values;
                for (l, layer) in layers.iter().enumerate() {
                    let sum: u64 = rows[layer.range.clone()]
                        .iter()
                        .map(|&n| u64::from(n))
                        .sum();
                    if sum != counts[l][index] {
                        check.fault(|| {
                            format!(
                                "after {snapshot} steps, {}: param/{name} adds up to {sum}, the steps \
                                 to {}",
                                layer.name, counts[l][index]
                            )
                        });
                    }
                }
            }
            compared += 1;
        }
        check.looked_at = format!("{compared} snapshots of every parameter's totals");
        Ok(check)
    }

    /// Checks that the allocations of all parameters add up to those of their layers.
    fn params(&self) -> Result<CheckResult, StoreError> {
        let mut check = CheckResult::new("parameters");
        if self.header.record_params == 0 {
            "none recorded (--record-params)".clone_into(&mut check.looked_at);
            return Ok(check);
        }
        let bits = self.mantissa_bits("lca/param")?;
        let rounding = 2.0_f64.powi(-bits).max(1e-6);
        let mut compared = 0;
        for (row, step) in self.recorded("lca/param_step", "lca/param", self.steps)? {
            let values = self.read::<f32>("lca/param", row..row + 1)?.values;
            let expected = self.read::<f64>("lca/layer", step..step + 1)?.values;
            for (l, layer) in self.layout().layers.iter().enumerate() {
                let sum = SumWithMagnitude::of_terms(
                    values[layer.range.clone()].iter().map(|&a| a.into()),
                );
                check.close([sum.value, expected[l]], rounding * sum.size, || {
                    (
                        format!("step {step}, {}: lca/param adds up to", layer.name),
                        "lca/layer is".to_owned(),
                    )
                });
            }
            compared += 1;
        }
        check.looked_at = format!("lca/param of {compared} steps against lca/layer");
        Ok(check)
    }

    /// Checks that recorded weights equal the traced ones.
    fn weights(&self) -> Result<CheckResult, StoreError> {
        let mut check = CheckResult::new("weights");
        if self.header.record_weights == 0 {
            "none recorded (--record-weights)".clone_into(&mut check.looked_at);
            return Ok(check);
        }
        let bits = self.mantissa_bits("weight/value")?;
        let rounding = if bits >= 24 { 0.0 } else { 2.0_f64.powi(-bits) };
        let mut compared = 0;
        for (row, step) in self.recorded("weight/step", "weight/value", self.steps)? {
            let values = self.read::<f32>("weight/value", row..row + 1)?.values;
            let traced = self.read::<f32>("trace/value", step..step + 1)?.values;
            for (&index, &expected) in self.header.traced.iter().zip(&traced) {
                let found = usize::try_from(index).map_or(f32::NAN, |index| values[index]);
                let (found, expected) = (f64::from(found), f64::from(expected));
                check.close([found, expected], rounding * expected.abs(), || {
                    (
                        format!("before step {step}, parameter {index}: weight/value is"),
                        "trace/value".to_owned(),
                    )
                });
            }
            compared += 1;
        }
        check.looked_at = format!("weight/value of {compared} steps against trace/value");
        Ok(check)
    }

    fn checkpoints(&self) -> CheckResult {
        let mut check = CheckResult::new("checkpoints");
        if !self.reader.has_object("checkpoint") {
            "none kept".clone_into(&mut check.looked_at);
            return check;
        }
        let mut steps = Vec::new();
        for (slot, result) in checkpoint::check(self.reader).into_iter().enumerate() {
            match result {
                Ok(Some(step)) if step > self.steps as u64 => check.fault(|| {
                    format!(
                        "slot {slot} is for step {step}, beyond the {} committed",
                        self.steps
                    )
                }),
                Ok(step) => steps.extend(step),
                Err(error) => check.fault(|| format!("slot {slot}: {error}")),
            }
        }
        check.looked_at = match steps.iter().max() {
            Some(step) => format!("newest after step {step}"),
            None => "both slots empty".to_owned(),
        };
        check
    }

    fn mantissa_bits(&self, path: &str) -> Result<i32, StoreError> {
        let dataset = self.reader.dataset(path)?;
        let bits = dataset.attr("mantissa_bits");
        let bits: u64 = bits
            .and_then(|bits| bits.read_scalar())
            .doing(self.reader.path(), || {
                format!("read the rounding of {path}")
            })?;
        Ok(i32::try_from(bits.clamp(1, 24)).unwrap_or(24))
    }

    /// Rows of an array over all parameters, with their steps, below `end`.
    fn recorded(
        &self,
        index: &str,
        values: &str,
        end: usize,
    ) -> Result<Vec<(usize, usize)>, StoreError> {
        let shape = self.reader.dataset(values)?.shape();
        let rows = shape.first().copied().unwrap_or(0);
        let steps = self.reader.values::<u64>(index)?;
        let rows = rows.min(rows_before(&steps, end as u64));
        let step = |(row, step): (usize, u64)| Some((row, usize::try_from(step).ok()?));
        Ok(steps
            .into_iter()
            .take(rows)
            .enumerate()
            .filter_map(step)
            .collect())
    }
}

/// A sum, and the sum of the magnitudes of its terms, against which its rounding is measured.
#[derive(Clone, Copy, Debug, Default)]
struct SumWithMagnitude {
    value: f64,
    size: f64,
}

impl SumWithMagnitude {
    fn of_terms(values: impl Iterator<Item = f64>) -> Self {
        let mut sum = Self::default();
        values.for_each(|value| sum.add(value));
        sum
    }

    fn add(&mut self, value: f64) {
        self.value += value;
        self.size += value.abs();
    }
}

fn has_type<R>(column: &DatasetColumn<R>, dataset: &Dataset) -> hdf5::Result<bool> {
    let is = dataset.dtype()?;
    Ok(match column.row {
        RowGetter::F64(_) => is.is::<f64>(),
        RowGetter::F32(_) => is.is::<f32>(),
        RowGetter::U64(_) => is.is::<u64>(),
        RowGetter::U32(_) => is.is::<u32>(),
    })
}

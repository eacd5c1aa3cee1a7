//! LCA of tensors, units and classes by step, from datasets of their own.

use std::ops::Range;

use super::SheetError;
use super::overview::NATS;
use super::source::{Source, number};
use crate::export::{Axis, Chart, Column, Merge, Series, Sheet, Steps};

pub fn tensors(source: &Source) -> Result<Sheet, SheetError> {
    let layout = &source.header().layout;
    let tensors = match source.layer() {
        Some(layer) => layer.tensors.clone(),
        None => 0..layout.tensors.len(),
    };
    let there = layout.tensors.get(tensors.clone()).unwrap_or_default();
    let group = Group {
        dataset: "lca/tensor",
        names: there.iter().map(|tensor| tensor.name.clone()).collect(),
        parts: tensors.map(one).collect(),
        everywhere: true,
    };
    group.sheet(source, "Loss Change Allocation (LCA) by tensor")
}

pub fn units(source: &Source) -> Result<Sheet, SheetError> {
    let first = source.layer().map_or(0, |layer| layer.units.start);
    let units = match source.unit()? {
        Some(unit) => one(unit),
        None => 0..source.layer().map_or(0, |layer| layer.units.len()),
    };
    let group = Group {
        dataset: "lca/unit",
        names: units.clone().map(|unit| format!("unit {unit}")).collect(),
        parts: units.map(|unit| one(first + unit)).collect(),
        everywhere: true,
    };
    group.sheet(source, "Loss Change Allocation (LCA) by unit")
}

/// LCA of each class: of one layer, or summed over all layers.
pub fn classes(source: &Source) -> Result<Sheet, SheetError> {
    let header = source.header();
    let layers = header.layout.layers.len();
    let chosen = match source.request.layer {
        Some(layer) => one(layer),
        None => 0..layers,
    };
    let part = |class: usize| class * layers + chosen.start..class * layers + chosen.end;
    let group = Group {
        dataset: "lca/class_layer",
        names: header.classes.clone(),
        parts: (0..header.classes.len()).map(part).collect(),
        everywhere: false,
    };
    group.sheet(source, "Loss Change Allocation (LCA) by class")
}

fn one(column: usize) -> Range<usize> {
    column..column + 1
}

/// A sheet's groups of columns of a dataset.
struct Group {
    dataset: &'static str,
    names: Vec<String>,
    /// The columns added up for each name.
    parts: Vec<Range<usize>>,
    /// Whether every step has values.
    everywhere: bool,
}

/// The sums of the groups.
struct Sums {
    /// `[names][rows]`: sums over the steps of a row that have values; NaN if none has.
    values: Vec<Vec<f64>>,
    /// `[rows]`: the number of steps that have values.
    measured: Vec<u64>,
}

impl Group {
    fn sheet(self, source: &Source, title: &str) -> Result<Sheet, SheetError> {
        let Sums { values, measured } = self.read(source)?;
        if !self.everywhere && measured.iter().all(|steps| *steps == 0) {
            return Err(SheetError::Unknown(
                "no LCA by class in these steps (see --by-class and --class-every)".to_owned(),
            ));
        }
        let gaps = source.rows().zip(&measured);
        let gaps = gaps
            .filter(|(row, steps)| row.end - row.start != **steps)
            .count()
            > 0;
        // Sums over unequal numbers of steps cannot be compared by eye; means can.
        let (merge, unit) = if gaps {
            (Merge::Mean, Some("nats per measured step"))
        } else {
            (Merge::Sum, NATS)
        };
        let drawn = |values: &Vec<f64>| match merge {
            Merge::Sum => values.clone(),
            Merge::Mean => {
                let means = values.iter().zip(&measured);
                means.map(|(sum, steps)| sum / number(*steps)).collect()
            }
        };
        let named = || self.names.iter().zip(&values);
        let series = named().map(|(name, values)| Series::new(name, drawn(values)));
        let steps = Steps {
            first: source.request.steps.start,
            every: source.request.every.max(1),
            series: series.collect(),
        };
        let mut columns = source.index();
        if !self.everywhere {
            columns.push(Column::u64("steps_measured", None, measured.clone()));
        }
        let lca = |(name, values): (&String, &Vec<f64>)| {
            Column::f64(format!("lca/{name}"), NATS, values.clone())
        };
        columns.extend(named().map(lca));
        let chart = Chart::HeatMap { steps, merge };
        let axes = (Axis::steps(), Axis::new("", unit), chart);
        source.sheet(source.of_layer(title), columns, axes)
    }

    fn read(&self, source: &Source) -> Result<Sums, SheetError> {
        source.check_size(self.names.len() + 3)?;
        let table = source.table(self.dataset)?;
        let row_len = table.row_len();
        let fits = self.parts.len() == self.names.len()
            && self.parts.iter().all(|part| part.end <= row_len);
        if !fits {
            let what = format!("{} does not fit the layout", self.dataset);
            return Err(SheetError::Unknown(what));
        }
        let mut values = vec![Vec::new(); self.parts.len()];
        let mut measured = Vec::new();
        let mut sums = vec![0.0; self.parts.len()];
        let mut there = 0_u64;
        let mut rows = source.rows();
        let mut row = rows.next();
        source.each_row(&table, |step, numbers| {
            if self.everywhere || numbers.iter().any(|number| !number.is_nan()) {
                there += 1;
                for (sum, part) in sums.iter_mut().zip(&self.parts) {
                    *sum += numbers[part.clone()].iter().sum::<f64>();
                }
            }
            if row.as_ref().is_some_and(|row| step + 1 == row.end) {
                for (values, sum) in values.iter_mut().zip(&mut sums) {
                    let sum = std::mem::take(sum);
                    values.push(if there > 0 { sum } else { f64::NAN });
                }
                measured.push(std::mem::take(&mut there));
                row = rows.next();
            }
        })?;
        Ok(Sums { values, measured })
    }
}

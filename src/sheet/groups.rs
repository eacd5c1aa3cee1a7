//! LCA of tensors, units and classes by step, from datasets of their own.

use std::ops::Range;

use super::SheetError;
use super::input::{SheetInput, number};
use super::overview::NATS;
use crate::export::{Axis, Chart, Column, Exhibit, Merge, Series, Steps};
use crate::query::no_lca_by_class;

pub fn tensors(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let layout = &input.header().layout;
    let tensors = match input.layer() {
        Some(layer) => layer.tensors.clone(),
        None => 0..layout.tensors.len(),
    };
    let there = layout.tensors.get(tensors.clone()).unwrap_or_default();
    let group = ColumnGroup {
        dataset: "lca/tensor",
        names: there.iter().map(|tensor| tensor.name.clone()).collect(),
        parts: tensors.map(single_column).collect(),
        everywhere: true,
    };
    group.exhibit(input, "Loss Change Allocation (LCA) by tensor")
}

pub fn units(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let first = input.layer().map_or(0, |layer| layer.units.start);
    let units = match input.unit()? {
        Some(unit) => single_column(unit),
        None => 0..input.layer().map_or(0, |layer| layer.units.len()),
    };
    let group = ColumnGroup {
        dataset: "lca/unit",
        names: units.clone().map(|unit| format!("unit {unit}")).collect(),
        parts: units.map(|unit| single_column(first + unit)).collect(),
        everywhere: true,
    };
    group.exhibit(input, "Loss Change Allocation (LCA) by unit")
}

/// LCA of each class: of one layer, or summed over all layers.
pub fn classes(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let header = input.header();
    let layers = header.layout.layers.len();
    let chosen = match input.request.layer {
        Some(layer) => single_column(layer),
        None => 0..layers,
    };
    let part = |class: usize| class * layers + chosen.start..class * layers + chosen.end;
    let group = ColumnGroup {
        dataset: "lca/class_layer",
        names: header.classes.clone(),
        parts: (0..header.classes.len()).map(part).collect(),
        everywhere: false,
    };
    group.exhibit(input, "Loss Change Allocation (LCA) by class")
}

fn single_column(column: usize) -> Range<usize> {
    column..column + 1
}

/// An exhibit's groups of columns of a dataset.
struct ColumnGroup {
    dataset: &'static str,
    names: Vec<String>,
    /// The columns added up for each name.
    parts: Vec<Range<usize>>,
    /// Whether every step has values.
    everywhere: bool,
}

/// The sums of the groups.
struct ColumnSums {
    /// `[names][rows]`: sums over the steps of a row that have values; NaN if none has.
    values: Vec<Vec<f64>>,
    /// `[rows]`: the number of steps that have values.
    measured: Vec<u64>,
}

impl ColumnGroup {
    fn exhibit(self, input: &SheetInput, title: &str) -> Result<Exhibit, SheetError> {
        let ColumnSums { values, measured } = self.read(input)?;
        if !self.everywhere && measured.iter().all(|steps| *steps == 0) {
            let why = no_lca_by_class(&input.request.steps);
            return Err(SheetError::Unknown(why));
        }
        let gaps = input.rows().zip(&measured);
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
            first: input.request.steps.start,
            every: input.request.every.max(1),
            series: series.collect(),
        };
        let mut columns = input.index();
        if !self.everywhere {
            columns.push(Column::u64("steps_measured", None, measured.clone()));
        }
        let lca = |(name, values): (&String, &Vec<f64>)| {
            Column::f64(format!("lca/{name}"), NATS, values.clone())
        };
        columns.extend(named().map(lca));
        let chart = Chart::HeatMap { steps, merge };
        let axes = (Axis::steps(), Axis::new("", unit), chart);
        input.exhibit(input.of_layer(title), columns, axes)
    }

    fn read(&self, input: &SheetInput) -> Result<ColumnSums, SheetError> {
        input.check_size(self.names.len() + 3)?;
        let table = input.table(self.dataset)?;
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
        let mut rows = input.rows();
        let mut row = rows.next();
        input.each_row(&table, |step, numbers| {
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
        Ok(ColumnSums { values, measured })
    }
}

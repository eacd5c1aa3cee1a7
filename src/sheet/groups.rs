//! LCA of tensors, units and classes by step, from the datasets that hold nothing else.

use std::ops::Range;

use super::SheetError;
use super::overview::NATS;
use super::source::Source;
use crate::export::{Axis, Chart, Column, Merge, Series, Sheet, Steps};

pub fn tensors(source: &Source) -> Result<Sheet, SheetError> {
    let layout = &source.header().layout;
    let tensors = match source.layers().first() {
        Some((_, layer)) if source.request.layer.is_some() => layer.tensors.clone(),
        _ => 0..layout.tensors.len(),
    };
    let names: Vec<String> = layout
        .tensors
        .get(tensors.clone())
        .map_or_else(Vec::new, |some| {
            some.iter().map(|tensor| tensor.name.clone()).collect()
        });
    let group = Group {
        dataset: "lca/tensor",
        names,
        parts: vec![tensors],
    };
    group.sheet(source, "LCA by tensor")
}

pub fn units(source: &Source) -> Result<Sheet, SheetError> {
    let layers = source.layers();
    let (Some((_, layer)), Some(_)) = (layers.first(), source.request.layer) else {
        return Err(SheetError::Unknown(
            "the view `units` is of one layer: give --layer NAME".to_owned(),
        ));
    };
    let group = Group {
        dataset: "lca/unit",
        names: (0..layer.units.len())
            .map(|unit| format!("unit {unit}"))
            .collect(),
        parts: vec![layer.units.clone()],
    };
    group.sheet(source, "LCA by neuron or channel")
}

/// Of each class: the sum over the layers, or one of them.
pub fn classes(source: &Source) -> Result<Sheet, SheetError> {
    let header = source.header();
    let layers = header.layout.layers.len();
    let chosen = match source.request.layer {
        Some(layer) => layer..layer + 1,
        None => 0..layers,
    };
    let part = |class: usize| class * layers + chosen.start..class * layers + chosen.end;
    let group = Group {
        dataset: "lca/class_layer",
        names: header.classes.clone(),
        parts: (0..header.classes.len()).map(part).collect(),
    };
    let sheet = group.sheet(source, "LCA by class")?;
    let measured = sheet.table.columns().iter().skip(2).any(|column| {
        super::source::reals(column)
            .iter()
            .any(|value| !value.is_nan())
    });
    match measured {
        true => Ok(sheet),
        false => Err(SheetError::Unknown(
            "no allocations by class in these steps; train with --by-class to have them \
             (--class-every says in how many steps)"
                .to_owned(),
        )),
    }
}

/// Columns of a dataset.
struct Group {
    dataset: &'static str,
    names: Vec<String>,
    /// What is added up for each name; or a single part with a column for each.
    parts: Vec<Range<usize>>,
}

impl Group {
    fn sheet(self, source: &Source, title: &str) -> Result<Sheet, SheetError> {
        let values = self.read(source)?;
        let mut columns = source.index();
        let series = self.names.iter().zip(&values).map(|(name, values)| Series {
            name: name.clone(),
            values: values.clone(),
        });
        let steps = Steps {
            first: source.request.steps.start,
            every: source.request.every.max(1),
            series: series.collect(),
        };
        let columned = self.names.iter().zip(values);
        columns.extend(
            columned.map(|(name, values)| Column::f64(format!("lca/{name}"), NATS, values)),
        );
        let chart = Chart::HeatMap {
            steps,
            merge: Merge::Sum,
        };
        let axes = (Axis::steps(), Axis::new("", NATS), chart);
        source.sheet(title, columns, axes)
    }

    /// `[names, rows]`
    fn read(&self, source: &Source) -> Result<Vec<Vec<f64>>, SheetError> {
        source.check_size(self.names.len() + 2)?;
        let name = self.dataset;
        let table = source.reader.table(name)?;
        let table =
            table.ok_or_else(|| SheetError::Unknown(format!("this run file has no {name}")))?;
        let row_len = table.row_len();
        let parts: Vec<Range<usize>> = match &self.parts[..] {
            [all] => all.clone().map(|column| column..column + 1).collect(),
            parts => parts.to_vec(),
        };
        let fits = parts.len() == self.names.len() && parts.iter().all(|part| part.end <= row_len);
        if !fits {
            return Err(SheetError::Unknown(format!(
                "{name} does not fit the layout"
            )));
        }
        let mut values = vec![Vec::new(); parts.len()];
        let mut rows = source.rows();
        let mut sums = vec![0.0; parts.len()];
        let mut row = rows.next();
        for block in table.blocks(&source.request.steps) {
            let first = block.start;
            for (step, numbers) in (first..).zip(table.reals(block)?.chunks(row_len.max(1))) {
                for (sum, part) in sums.iter_mut().zip(&parts) {
                    *sum += numbers[part.clone()].iter().sum::<f64>();
                }
                if row.as_ref().is_some_and(|row| step + 1 == row.end) {
                    for (values, sum) in values.iter_mut().zip(&mut sums) {
                        values.push(std::mem::take(sum));
                    }
                    row = rows.next();
                }
            }
        }
        Ok(values)
    }
}

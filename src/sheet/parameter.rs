//! One parameter: its weight, gradient and LCA if it was traced, else its LCA in the steps where all were recorded.

use std::ops::Range;

use super::SheetError;
use super::input::{SheetInput, number, reals};
use super::overview::NATS;
use crate::export::{Axis, Chart, Column, Exhibit, Series};

/// The unit of a gradient: the rise in loss per unit rise of the parameter.
const SLOPE: Option<&str> = Some("nats per unit of the parameter");

pub fn parameter(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let header = input.header();
    let params = header.layout.params();
    let wanted = input.request.parameter;
    let index = wanted.filter(|&index| index < params).ok_or_else(|| {
        let wanted = wanted.map_or_else(String::new, |index| index.to_string());
        let what = format!("no parameter {wanted}: the run has {params}, counted from 0");
        SheetError::Request(what)
    })?;
    let name = parameter_name(input, index);
    let columns = match header.traced.binary_search(&(index as u64)) {
        Ok(at) => traced(input, at)?,
        Err(_) => recorded(input, index, &name)?,
    };
    let lca = columns.last().map_or_else(Vec::new, reals);
    let x = match &columns[0].values {
        crate::export::Values::U64(steps) => steps.iter().map(|step| number(*step)).collect(),
        _ => Vec::new(),
    };
    let series = vec![Series::new("LCA", lca)];
    let y = Axis::new("LCA", NATS).symlog();
    let axes = (Axis::steps(), y, Chart::Lines { x, series });
    input.exhibit(format!("Parameter {index}, {name}"), columns, axes)
}

/// The parameter's name, such as `fc1.weight[3, 17]`.
fn parameter_name(input: &SheetInput, index: usize) -> String {
    let layout = &input.header().layout;
    let tensor = layout
        .tensors
        .iter()
        .find(|tensor| tensor.range.contains(&index));
    let Some(tensor) = tensor else {
        return String::new();
    };
    let mut rest = index - tensor.range.start;
    let mut place: Vec<String> = Vec::new();
    for &size in tensor.shape.iter().rev() {
        place.push((rest % size.max(1)).to_string());
        rest /= size.max(1);
    }
    place.reverse();
    format!("{}[{}]", tensor.name, place.join(", "))
}

/// Weight and gradient at the start of each row, and LCA over all its steps.
fn traced(input: &SheetInput, at: usize) -> Result<Vec<Column>, SheetError> {
    let read = |name: &'static str| -> Result<Vec<f64>, SheetError> {
        let mut values = Vec::new();
        input.each_row(&input.table(name)?, |_, row| values.extend(row.get(at)))?;
        Ok(values)
    };
    let start = input.request.steps.start;
    let range = |row: &Range<u64>, values: &[f64]| {
        let place = |step: u64| usize::try_from(step - start).unwrap_or(usize::MAX);
        place(row.start).min(values.len())..place(row.end).min(values.len())
    };
    let first = |values: Vec<f64>| -> Vec<f64> {
        let at_start = |row| values.get(range(&row, &values).start).copied();
        input
            .rows()
            .map(|row| at_start(row).unwrap_or(f64::NAN))
            .collect()
    };
    let summed = |values: Vec<f64>| -> Vec<f64> {
        input
            .rows()
            .map(|row| values[range(&row, &values)].iter().sum())
            .collect()
    };
    let mut columns = input.index();
    columns.push(Column::f64("weight", None, first(read("trace/value")?)));
    columns.push(Column::f64(
        "gradient",
        SLOPE,
        first(read("trace/gradient")?),
    ));
    columns.push(Column::f64("lca", NATS, summed(read("trace/lca")?)));
    Ok(columns)
}

/// LCA in the steps in which the allocations of all parameters were recorded.
fn recorded(input: &SheetInput, index: usize, name: &str) -> Result<Vec<Column>, SheetError> {
    let history = input.reader.param_history(index)?;
    if history.steps.is_empty() {
        return Err(SheetError::Unknown(format!(
            "parameter {index} ({name}) was not traced; train with a larger --trace N to trace more parameters, \
             or with --record-params N to record the LCA of all parameters every N steps"
        )));
    }
    if input.request.every > 1 {
        return Err(SheetError::Request(format!(
            "parameter {index} ({name}) was recorded only in some steps, which cannot be summed with --every"
        )));
    }
    let rows = history.steps.into_iter().zip(history.values);
    let rows = rows.filter(|(step, _)| input.request.steps.contains(step));
    let (steps, values): (Vec<u64>, Vec<f64>) = rows.map(|(step, a)| (step, f64::from(a))).unzip();
    Ok(vec![
        Column::u64("step", None, steps),
        Column::f64("lca", NATS, values),
    ])
}

//! Every layer's LCA and counts by step.

use super::SheetError;
use super::input::{Field, SheetInput, number, reals};
use super::overview::NATS;
use crate::analysis::sum::Sum;
use crate::export::{Axis, Chart, Column, Exhibit, Merge, Series, Steps, Values};
use crate::record::StepSummary;

/// The unit of shares.
const PERCENT: Option<&str> = Some("%");

/// Δloss, ΣLCA, the residual, and every layer's LCA.
fn columns(input: &SheetInput) -> Result<Vec<Column>, SheetError> {
    let mut fields = vec![
        Field::real("loss_change", NATS, |s| s.loss_after - s.loss_before),
        Field::real("lca", NATS, |s| s.total),
        Field::real("residual", NATS, |s| s.residual),
    ];
    for (index, layer) in input.layers() {
        let name = format!("lca/{}", layer.name);
        fields.push(Field::real(name, NATS, move |s| s.layers[index].lca));
    }
    input.columns(&fields)
}

/// All columns after the first `skip` as series, named by the part after the slash.
fn series(columns: &[Column], skip: usize) -> Vec<Series> {
    let series = |column: &Column| Series::new(short(&column.name), reals(column));
    columns.iter().skip(skip).map(series).collect()
}

/// The part after the slash: `fc1` for `lca/fc1`.
fn short(name: &str) -> &str {
    name.split_once('/').map_or(name, |(_, short)| short)
}

fn in_steps(input: &SheetInput, series: Vec<Series>) -> Steps {
    Steps {
        first: input.request.steps.start,
        every: input.request.every.max(1),
        series,
    }
}

pub fn decomposition(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let columns = columns(input)?;
    let chart = Chart::StackedBars(in_steps(input, series(&columns, 5)));
    let axes = (Axis::steps(), Axis::new("LCA", NATS), chart);
    input.exhibit(
        input.by_layer("Loss Change Allocation (LCA)"),
        columns,
        axes,
    )
}

pub fn heat_map(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let columns = columns(input)?;
    let chart = Chart::HeatMap {
        steps: in_steps(input, series(&columns, 5)),
        merge: Merge::Sum,
    };
    let axes = (Axis::steps(), Axis::new("", NATS), chart);
    input.exhibit(
        input.by_layer("Loss Change Allocation (LCA)"),
        columns,
        axes,
    )
}

/// Sums from the first of the steps to the end of each row.
pub fn cumulative(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let mut columns = columns(input)?;
    for column in columns.iter_mut().skip(2) {
        if let Values::F64(values) = &mut column.values {
            let mut sum = Sum::default();
            for value in values {
                sum.add(*value);
                *value = sum.value();
            }
        }
        column.name = format!("cumulative_{}", column.name);
    }
    let mut x = vec![number(input.request.steps.start)];
    x.extend(input.rows().map(|row| number(row.end)));
    let mut series = series(&columns, 5);
    for series in &mut series {
        series.values.insert(0, 0.0);
    }
    let axis = Axis::new("cumulative LCA", NATS);
    let axes = (Axis::steps(), axis, Chart::Lines { x, series });
    input.exhibit(
        input.by_layer("Cumulative Loss Change Allocation (LCA)"),
        columns,
        axes,
    )
}

/// Counts of sign changes; the figure shows them as a share of the layer's parameters.
pub fn oscillation(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let mut fields = Vec::new();
    let mut names = Vec::new();
    for (index, layer) in input.layers() {
        let count = |what: &str| format!("{what}/{}", layer.name);
        fields.push(Field::count(count("update_flips"), move |s| {
            s.layers[index].update_flips
        }));
        fields.push(Field::count(count("gradient_flips"), move |s| {
            s.layers[index].gradient_flips
        }));
        names.push((layer.name.clone(), layer.range.len() as u64));
    }
    let columns = input.columns(&fields)?;
    let shares = names.into_iter().enumerate().map(|(at, (name, params))| {
        let counts = match &columns[2 + 2 * at].values {
            Values::U64(counts) => counts.as_slice(),
            _ => &[],
        };
        let rows = counts.iter().zip(input.rows());
        let share = |(count, row): (&u64, std::ops::Range<u64>)| {
            100.0 * number(*count) / (number(params) * number(row.end - row.start))
        };
        Series::new(name, rows.map(share).collect())
    });
    let chart = Chart::Lines {
        x: input.rows().map(|row| number(row.start)).collect(),
        series: shares.collect(),
    };
    let axis = Axis::new("parameters whose update changed sign", PERCENT);
    let title = input.of_layer("Oscillation");
    input.exhibit(title, columns, (Axis::steps(), axis, chart))
}

/// Percentage of parameters with A < 0, A > 0 and A = 0: of the whole network (or the requested layer) first, then of
/// each layer.
pub fn helping(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let layers = input.layers();
    let all: Vec<usize> = layers.iter().map(|(index, _)| *index).collect();
    let params: u64 = layers
        .iter()
        .map(|(_, layer)| layer.range.len() as u64)
        .sum();
    let share = move |count: u64, params: u64, s: &StepSummary| {
        100.0 * number(count) / (number(params) * number(s.steps()))
    };
    let sum = |s: &StepSummary, of: fn(&crate::record::LayerSummary) -> u64| {
        let counts = all.iter().map(|&index| of(&s.layers[index]));
        counts.fold(0, u64::saturating_add)
    };
    let mut fields = vec![
        Field::real("help", PERCENT, |s| share(sum(s, |l| l.helped), params, s)),
        Field::real("hurt", PERCENT, |s| share(sum(s, |l| l.hurt), params, s)),
        Field::real("idle", PERCENT, |s| {
            let moved = sum(s, |l| l.helped.saturating_add(l.hurt));
            100.0 - share(moved, params, s)
        }),
    ];
    for (index, layer) in &layers {
        let (index, params) = (*index, layer.range.len() as u64);
        let name = |what: &str| format!("{what}/{}", layer.name);
        fields.push(Field::real(name("help"), PERCENT, move |s| {
            share(s.layers[index].helped, params, s)
        }));
        fields.push(Field::real(name("hurt"), PERCENT, move |s| {
            share(s.layers[index].hurt, params, s)
        }));
    }
    let columns = input.columns(&fields)?;
    let x: Vec<f64> = input.rows().map(|row| number(row.start)).collect();
    let mut series = series(&columns[..5], 2);
    // Half of the parameters: a reference line.
    series.push(Series::new("50 %", vec![50.0; x.len()]));
    let axis = Axis::new("parameters", PERCENT);
    let axes = (Axis::steps(), axis, Chart::Lines { x, series });
    let title = input.of_layer("Parameters that help, hurt and are idle");
    input.exhibit(title, columns, axes)
}

//! Section on the neurons and channels that helped and hurt most.

use super::{asked, index};
use crate::export::{Axis, Chart, Column, Figure};
use crate::query::Topic;
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, note_of, series};
use crate::report::repeats::real;
use crate::report::runs::ReportedRun;

/// Number of units shown at either end.
const ENDS: usize = 8;
/// Number of units at either end with curves.
const CURVES: usize = 3;
/// Number of points of a curve.
const POINTS: u32 = 600;

/// A unit and its totals.
struct UnitTotals {
    layer: usize,
    /// The layer's name.
    name: String,
    index: usize,
    lca: f64,
    helped: f64,
    turns: f64,
}

fn columns(units: &[&UnitTotals]) -> Vec<Column> {
    let reals = |value: fn(&UnitTotals) -> f64| units.iter().map(|unit| value(unit)).collect();
    let names = units.iter().map(|unit| unit.name.clone());
    let indices = units.iter().map(|unit| unit.index as u64);
    vec![
        Column::text("layer", names.collect()),
        Column::u64("unit", None, indices.collect()),
        Column::f64("LCA", NATS, reals(|unit| unit.lca)),
        Column::f64(
            "steps in which it helped",
            PERCENT,
            reals(|unit| unit.helped),
        ),
        Column::f64(
            "turning point of LCA every",
            Some("steps"),
            reals(|unit| unit.turns),
        ),
    ]
}

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    if page.has_repeats() {
        page.text(format!(
            "Units of runs with different seeds cannot be compared: these are of {}.",
            first.run.name
        ));
    }
    let mut units = all(first)?;
    units.sort_by(|a, b| a.lca.total_cmp(&b.lca));
    let label = |unit: &UnitTotals| format!("{} {}", unit.name, unit.index);
    let hurt = units.iter().filter(|unit| unit.lca > 0.0).count();
    page.text(format!(
        "{hurt} of {} units hurt overall. A unit’s LCA is the sum over its incoming weights and its bias.",
        units.len()
    ));
    let ends = ENDS.min(units.len().div_ceil(2));
    let worst = units.len() - ends.min(units.len() / 2);
    let shown: Vec<&UnitTotals> = units[..ends].iter().chain(&units[worst..]).collect();
    let chart = Chart::Bars {
        names: shown.iter().map(|unit| label(unit)).collect(),
        series: vec![series("LCA", shown.iter().map(|unit| unit.lca).collect())],
        errors: Vec::new(),
    };
    let figure = Figure {
        title: "Units that help most and hurt most".to_owned(),
        note: note_of(first),
        x: Axis::new("LCA", NATS),
        y: Axis::default(),
        chart,
    };
    let rows = shown.len();
    page.figure_and_table(
        "units",
        "The units that lowered the loss most, and those that raised it most or lowered it least.",
        columns(&shown),
        figure,
        rows,
    )?;
    let all: Vec<&UnitTotals> = units.iter().collect();
    page.table(
        "units-all",
        "All units, those that help most first.",
        columns(&all),
        0,
    )?;
    let curved: Vec<&UnitTotals> = (units.iter().take(CURVES.min(ends)))
        .chain(units[worst..].iter().rev().take(CURVES).rev())
        .collect();
    curves(page, first, &curved, &label)
}

/// Queries the units of all layers.
fn all(run: &ReportedRun) -> Result<Vec<UnitTotals>, ReportError> {
    let mut units = Vec::new();
    for (layer, named) in run.header().layout.layers.iter().enumerate() {
        let topic = Topic::Units {
            layer: index(layer),
        };
        let binned = asked!(run, topic, 1, Binned);
        let groups = binned.groups.iter().enumerate();
        units.extend(groups.map(|(index, group)| UnitTotals {
            layer,
            name: named.name.clone(),
            index,
            lca: group.total,
            helped: 100.0 * real(group.helped) / real(group.steps),
            turns: match group.turns {
                0 => f64::NAN,
                turns => crate::analysis::oscillation::every(group.steps, turns),
            },
        }));
    }
    Ok(units)
}

fn curves(
    page: &mut Page,
    run: &ReportedRun,
    units: &[&UnitTotals],
    label: &dyn Fn(&UnitTotals) -> String,
) -> Result<(), ReportError> {
    let mut x = Vec::new();
    let mut lines = Vec::new();
    for unit in units {
        let topic = Topic::Units {
            layer: index(unit.layer),
        };
        let binned = asked!(run, topic, POINTS, Binned);
        x = binned.edges.iter().map(|edge| real(*edge)).collect();
        let mut sum = 0.0;
        let sums = binned.row(unit.index).iter().map(|a| {
            sum += a;
            sum
        });
        let values: Vec<f64> = std::iter::once(0.0).chain(sums).collect();
        lines.push(series(label(unit), values));
    }
    let mut columns = vec![Column::f64("steps done", None, x.clone())];
    let named = lines
        .iter()
        .map(|line| Column::f64(line.name.clone(), NATS, line.values.clone()));
    columns.extend(named);
    let y = Axis::new("cumulative LCA", NATS);
    let chart = Chart::Lines { x, series: lines };
    let figure = Figure {
        title: "Cumulative LCA of the units that help most and hurt most".to_owned(),
        note: note_of(run),
        x: Axis::steps(),
        y,
        chart,
    };
    page.figure(
        "units-cumulative",
        "A falling curve helps.",
        columns,
        figure,
    )
}

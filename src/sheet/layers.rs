//! Totals of layers over all the steps, and the held-out LCA beside the training LCA.

use super::SheetError;
use super::input::{Field, SheetInput, number, reals, signed, unexpected};
use super::overview::NATS;
use crate::analysis::sum::sum;
use crate::export::{Axis, Chart, Column, Exhibit, Series};
use crate::query::{Answer, Topic};
use crate::record::{LayerSummary, StepSummary};

/// Makes one row for each layer, with every count and sum over all the steps.
pub fn totals(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let whole = input.reader.total(&input.request.steps, input.alive)?;
    let steps = whole.as_ref().map_or(0, StepSummary::steps);
    let total = whole.as_ref().map_or(f64::NAN, |whole| whole.total);
    let layers = input.layers();
    let of = |value: &dyn Fn(&LayerSummary, f64) -> f64| -> Vec<f64> {
        let value = |(index, layer): &(usize, &crate::layout::Layer)| {
            let summary = whole.as_ref().and_then(|whole| whole.layers.get(*index));
            let chances = number(layer.range.len() as u64) * number(steps);
            summary.map_or(f64::NAN, |summary| value(summary, chances))
        };
        layers.iter().map(value).collect()
    };
    let words = |word: fn(&crate::layout::Layer) -> &str| {
        layers
            .iter()
            .map(|(_, layer)| word(layer).to_owned())
            .collect()
    };
    let counts = |count: fn(&crate::layout::Layer) -> usize| {
        layers
            .iter()
            .map(|(_, layer)| count(layer) as u64)
            .collect()
    };
    let lca = of(&|layer, _| layer.lca);
    let columns = vec![
        Column::text("layer", words(|layer| &layer.name)),
        Column::text("kind", words(|layer| &layer.kind)),
        Column::u64("parameters", None, counts(|layer| layer.range.len())),
        Column::u64("units", None, counts(|layer| layer.units.len())),
        Column::f64("lca", NATS, lca.clone()),
        Column::f64(
            "share",
            Some("%"),
            of(&|layer, _| 100.0 * layer.lca / total),
        ),
        Column::f64("lca_error", NATS, of(&|layer, _| layer.lca_error)),
        Column::f64(
            "help",
            Some("%"),
            of(&|layer, n| 100.0 * number(layer.helped) / n),
        ),
        Column::f64(
            "hurt",
            Some("%"),
            of(&|layer, n| 100.0 * number(layer.hurt) / n),
        ),
        // Mean number of steps between sign changes of a parameter.
        Column::f64(
            "flip",
            Some("steps"),
            of(&|layer, n| n / number(layer.update_flips)),
        ),
        Column::f64(
            "gradient_flip",
            Some("steps"),
            of(&|layer, n| n / number(layer.gradient_flips)),
        ),
        Column::f64("held_out_lca", NATS, of(&|layer, _| layer.held_out_lca)),
    ];
    let chart = Chart::Bars {
        names: words(|layer| &layer.name),
        series: vec![Series::new("LCA", lca)],
        errors: Vec::new(),
    };
    let axes = (Axis::new("LCA", NATS), Axis::default(), chart);
    input.exhibit(
        input.by_layer("Total Loss Change Allocation (LCA)"),
        columns,
        axes,
    )
}

/// Both losses' allocations by step; the figure shows their totals.
pub fn held_out(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let whole = match input.ask(Topic::HeldOut)? {
        Answer::HeldOut(whole) => whole,
        other => return Err(unexpected(&other)),
    };
    let layers = input.layers();
    let mut fields = Vec::new();
    for &(index, layer) in &layers {
        let name = |what: &str| format!("{what}/{}", layer.name);
        fields.push(Field::real(name("lca"), NATS, move |s| s.layers[index].lca));
        fields.push(Field::real(name("held_out_lca"), NATS, move |s| {
            s.layers[index].held_out_lca
        }));
    }
    let columns = input.columns(&fields)?;
    let sums: Vec<f64> = (columns.iter().skip(2))
        .map(|column| sum(reals(column)))
        .collect();
    let every_other = |start: usize| sums.iter().skip(start).step_by(2).copied().collect();
    let chart = Chart::Bars {
        names: layers.iter().map(|(_, layer)| layer.name.clone()).collect(),
        series: vec![
            Series::new("training", every_other(0)),
            Series::new("held out", every_other(1)),
        ],
        errors: Vec::new(),
    };
    let axes = (Axis::new("LCA", NATS), Axis::default(), chart);
    let title =
        input.of_layer("Loss Change Allocation (LCA) of the training and the held-out loss");
    let mut exhibit = input.exhibit(title, columns, axes)?;
    let (total, residual) = (signed(whole.total), signed(whole.residual));
    let note = format!("; held out: ΣLCA {total}, residual {residual} nats");
    exhibit.figure.note.push_str(&note);
    Ok(exhibit)
}

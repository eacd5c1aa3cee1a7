//! Section on the totals of layers and tensors, with their standard errors over repeats.

use super::asked;
use crate::analysis::ttest::Mean;
use crate::export::{Axis, Column};
use crate::query::Topic;
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, bars};
use crate::report::repeats::{Means, column_named, real};
use crate::report::words::{p_value, with_error};
use crate::sheet::View;

/// Significance level below which a mean is said to differ from 0.
const LEVEL: f64 = 0.05;

/// Maximum number of rows shown of a table.
const SHOWN: usize = 60;

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let totals = layers(page)?;
    hurting(page, &totals);
    tensors(page)
}

/// A layer's total over all steps.
struct Total {
    name: String,
    /// Mean LCA over the runs, in nats.
    lca: Mean,
    /// Number of runs in which it is above 0.
    hurt_in: usize,
}

fn layers(page: &mut Page) -> Result<Vec<Total>, ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(Vec::new());
    };
    let layers = &first.header().layout.layers;
    let tables = page.group.runs.iter().map(|run| run.table(View::Layers, 1));
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    let all = |name: &str| -> Vec<Vec<f64>> {
        let runs = tables.iter().map(|table| column_named(table, name));
        runs.collect()
    };
    let means = |name: &str| Means::of(&all(name));
    let runs = all("lca");
    let lca = Means::of(&runs);
    let names: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
    let sizes: Vec<u64> = layers
        .iter()
        .map(|layer| layer.range.len() as u64)
        .collect();
    let each = lca.values().into_iter().zip(&sizes);
    let each = each.map(|(sum, size)| sum / real(*size)).collect();
    let mut columns = vec![
        Column::text("layer", names.clone()),
        Column::text(
            "kind",
            layers.iter().map(|layer| layer.kind.clone()).collect(),
        ),
        Column::u64("parameters", None, sizes),
    ];
    columns.extend(lca.columns("LCA", NATS));
    columns.extend(means("share").columns("share", PERCENT));
    columns.push(Column::f64("LCA per parameter", NATS, each));
    columns.extend(means("lca_error").columns("integration error", NATS));
    columns.extend(lca.test());
    let totals = (names.iter().zip(lca.rows()).enumerate())
        .map(|(at, (name, lca))| Total {
            name: name.clone(),
            lca: *lca,
            hurt_in: runs.iter().filter(|run| run[at] > 0.0).count(),
        })
        .collect();
    let chart = bars(names, vec![("LCA", lca)]);
    let figure = page.figure_of(
        "LCA by layer",
        Axis::new("LCA", NATS),
        Axis::default(),
        chart,
    );
    let caption = format!(
        "Sums over all steps. The share is that of ΣLCA; the integration error is an estimate, summed over the \
         steps as absolute values.{}",
        errors(page)
    );
    page.figure_and_table("layers", &caption, columns, figure, SHOWN)?;
    Ok(totals)
}

fn errors(page: &Page) -> &'static str {
    if page.has_repeats() {
        " Whiskers and ±: standard errors over the runs; p: two-sided t test that the mean is 0."
    } else {
        " A single run has no standard error: give several runs with different seeds."
    }
}

/// Names the layers that raised the loss.
fn hurting(page: &mut Page, totals: &[Total]) {
    let several = page.has_repeats();
    let runs = |total: &Total| {
        if several {
            format!(" in {} of {} runs", total.hurt_in, total.lca.n)
        } else {
            String::new()
        }
    };
    let hurt: Vec<String> = (totals.iter())
        .filter(|total| total.lca.mean > 0.0)
        .map(|total| {
            let sure = match total.lca.p {
                p if p.is_nan() => String::new(),
                p if p < LEVEL => format!(", p = {}", p_value(p)),
                p => format!(", p = {}: not significant", p_value(p)),
            };
            format!(
                "{}{} ({} nats{sure})",
                total.name,
                runs(total),
                with_error(total.lca.mean, total.lca.error)
            )
        })
        .collect();
    let now_and_then: Vec<String> = (totals.iter())
        .filter(|total| total.lca.mean <= 0.0 && total.hurt_in > 0)
        .map(|total| format!("{}{}", total.name, runs(total)))
        .collect();
    let mut text = match (hurt.is_empty(), now_and_then.is_empty()) {
        (true, true) => "Every layer helped overall: no sum is above 0.".to_owned(),
        (true, false) => "No layer hurt on average.".to_owned(),
        (false, _) => format!(
            "These layers hurt overall, that is, raised the loss: {}.",
            hurt.join("; ")
        ),
    };
    if !now_and_then.is_empty() {
        text.push_str(" These helped on average, but hurt in single runs: ");
        text.push_str(&now_and_then.join("; "));
        text.push('.');
    }
    page.text(text);
}

fn tensors(page: &mut Page) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let tensors = &first.header().layout.tensors;
    let mut runs: Vec<Vec<f64>> = Vec::new();
    for run in &page.group.runs {
        let binned = asked!(run, Topic::Tensors, 1, Binned);
        runs.push(binned.groups.iter().map(|group| group.total).collect());
    }
    let lca = Means::of(&runs);
    let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
    let sizes = tensors.iter().map(|tensor| tensor.range.len() as u64);
    let mut columns = vec![
        Column::text("tensor", names.clone()),
        Column::u64("parameters", None, sizes.collect()),
    ];
    columns.extend(lca.columns("LCA", NATS));
    columns.extend(lca.test());
    let chart = bars(names, vec![("LCA", lca)]);
    let figure = page.figure_of(
        "LCA by tensor",
        Axis::new("LCA", NATS),
        Axis::default(),
        chart,
    );
    let caption = format!(
        "The same by tensor: weights, biases, scales and shifts.{}",
        errors(page)
    );
    page.figure_and_table("tensors", &caption, columns, figure, SHOWN)
}

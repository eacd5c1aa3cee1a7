//! Section on the effect of the same steps on the held-out loss.

use super::asked;
use crate::export::{Axis, Column, Table};
use crate::query::{HeldOutSums, Topic};
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, bars, mean_with_error};
use crate::report::repeats::{Means, column_named, real};
use crate::report::runs::ReportedRun;
use crate::sheet::View;

/// A run, the facts of its held-out loss, and its totals by layer.
type RunHeldOut<'a> = (&'a ReportedRun<'a>, HeldOutSums, Table);

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let mut runs: Vec<RunHeldOut> = Vec::new();
    for run in &page.group.runs {
        let found = asked!(run, Topic::HeldOut, 1, HeldOut);
        runs.push((run, found, run.table(View::Layers, 1)?));
    }
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let layers = &first.header().layout.layers;
    let of = |value: &dyn Fn(&HeldOutSums) -> f64| {
        Means::of_number(runs.iter().map(|(_, found, _)| value(found)))
    };
    page.text(format!(
        "The held-out loss is allocated along the same steps: {} in total, with a residual of {}.",
        mean_with_error(of(&|found| found.total), "nats"),
        mean_with_error(of(&|found| found.residual), "nats"),
    ));
    let columned = |value: &dyn Fn(&RunHeldOut) -> Vec<f64>| {
        let runs: Vec<Vec<f64>> = runs.iter().map(value).collect();
        Means::of(&runs)
    };
    let train = columned(&|(.., table)| column_named(table, "lca"));
    let held_out = columned(&|(.., table)| column_named(table, "held_out_lca"));
    let difference = columned(&|(.., table)| {
        let pairs = column_named(table, "held_out_lca")
            .into_iter()
            .zip(column_named(table, "lca"));
        pairs.map(|(held_out, train)| held_out - train).collect()
    });
    let split = |count: fn(&crate::query::SignConflicts) -> u64| {
        columned(&|(run, found, _)| {
            let share = |split| 100.0 * real(count(split)) / real(run.steps);
            found.layers.iter().map(share).collect()
        })
    };
    let names: Vec<String> = layers.iter().map(|layer| layer.name.clone()).collect();
    let mut columns = vec![Column::text("layer", names.clone())];
    columns.extend(train.columns("training LCA", NATS));
    columns.extend(held_out.columns("held-out LCA", NATS));
    columns.extend(difference.columns("held-out − training", NATS));
    columns
        .extend(split(|split| split.only_train).columns("helped training, hurt held-out", PERCENT));
    columns.extend(
        split(|split| split.only_held_out).columns("hurt training, helped held-out", PERCENT),
    );
    columns.extend(difference.test());
    let chart = bars(names, vec![("training", train), ("held out", held_out)]);
    let title = "LCA of the training and of the held-out loss";
    let figure = page.figure_of(title, Axis::new("LCA", NATS), Axis::default(), chart);
    let test = if page.has_repeats() {
        " p: t test that the difference is 0."
    } else {
        ""
    };
    let caption = format!(
        "Sums over all steps, and the share of steps in which a layer helped one loss and hurt the other.{}{test}",
        page.errors()
    );
    let rows = layers.len();
    page.figure_and_table("held-out", &caption, columns, figure, rows)
}

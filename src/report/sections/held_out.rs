//! Section on the effect of the same steps on the held-out loss.

use super::asked;
use crate::export::{Axis, Column, Table};
use crate::query::{HeldOut, Topic};
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, bars, said};
use crate::report::repeats::{Means, named, real};
use crate::report::runs::Shown;
use crate::sheet::View;

/// A run, the facts of its held-out loss, and its totals by layer.
type Known<'a> = (&'a Shown<'a>, HeldOut, Table);

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let mut runs: Vec<Known> = Vec::new();
    for run in &page.group.runs {
        let found = asked!(run, Topic::HeldOut, 1, HeldOut);
        runs.push((run, found, run.table(View::Layers, 1)?));
    }
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let layers = &first.header().layout.layers;
    let of =
        |value: &dyn Fn(&HeldOut) -> f64| Means::one(runs.iter().map(|(_, found, _)| value(found)));
    page.text(format!(
        "The held-out loss is allocated along the same steps: {} in total, with a residual of {}.",
        said(of(&|found| found.total), "nats"),
        said(of(&|found| found.residual), "nats"),
    ));
    let columned = |value: &dyn Fn(&Known) -> Vec<f64>| {
        let runs: Vec<Vec<f64>> = runs.iter().map(value).collect();
        Means::of(&runs)
    };
    let train = columned(&|(.., table)| named(table, "lca"));
    let held_out = columned(&|(.., table)| named(table, "held_out_lca"));
    let difference = columned(&|(.., table)| {
        let pairs = named(table, "held_out_lca")
            .into_iter()
            .zip(named(table, "lca"));
        pairs.map(|(held_out, train)| held_out - train).collect()
    });
    let split = |count: fn(&crate::query::Split) -> u64| {
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
    let test = if page.several() {
        " p: t test that the difference is 0."
    } else {
        ""
    };
    let caption = format!(
        "Sums over all steps, and the share of steps in which a layer helped one loss and hurt the other.{}{test}",
        page.errors()
    );
    let rows = layers.len();
    page.both("held-out", &caption, columns, figure, rows)
}

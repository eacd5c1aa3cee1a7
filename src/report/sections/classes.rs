//! Section on the allocation of each class's loss.

use super::asked;
use crate::export::{Axis, Column};
use crate::query::{Answer, Binned, Topic};
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, bars};
use crate::report::repeats::{Means, real};
use crate::report::words::count;

/// Maximum number of layers in the table of classes and layers.
const LAYERS: usize = 8;
const ROWS: usize = 40;

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let header = first.header();
    let classes = header.classes.len();
    let (mut totals, mut shares, mut cells, mut losses) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut measured = 0;
    for run in &page.group.runs {
        let binned = asked!(run, Topic::Classes { layer: None }, 1, Binned);
        measured = binned
            .groups
            .iter()
            .map(|group| group.steps)
            .max()
            .unwrap_or(0);
        totals.push(group_totals(&binned));
        let helped = binned
            .groups
            .iter()
            .map(|g| 100.0 * real(g.helped) / real(g.steps));
        shares.push(helped.collect::<Vec<f64>>());
        let binned = asked!(run, Topic::ClassLayers, 1, Binned);
        cells.push(group_totals(&binned));
        let mut after = Vec::new();
        for class in 0..classes {
            let topic = Topic::ClassLoss {
                class: super::index(class),
            };
            let last = run.steps.saturating_sub(1)..run.steps;
            after.push(match run.ask_of(last, topic, 1)? {
                Answer::Binned(binned) => binned.row(0).first().copied().unwrap_or(f64::NAN),
                _ => f64::NAN,
            });
        }
        losses.push(after);
    }
    if measured < page.group.steps {
        page.text(format!(
            "LCA was split by class in {} of {} steps (--class-every); sums are over these.",
            count(measured),
            count(page.group.steps)
        ));
    }
    let (totals, shares, cells) = (Means::of(&totals), Means::of(&shares), Means::of(&cells));
    let mut columns = vec![Column::text("class", header.classes.clone())];
    columns.extend(totals.columns("LCA", NATS));
    columns.extend(shares.columns("steps in which it helped", PERCENT));
    columns.extend(Means::of(&losses).columns("loss after", NATS));
    columns.extend(totals.test());
    let chart = bars(header.classes.clone(), vec![("LCA", totals)]);
    let figure = page.figure_of(
        "LCA by class",
        Axis::new("LCA", NATS),
        Axis::default(),
        chart,
    );
    let caption = format!(
        "The training loss is the sum of the losses of the classes, each weighted by its share of the examples; \
         the LCA of a class is what all layers did to its term. “Loss after” is the mean over the examples of \
         the class.{}",
        page.errors()
    );
    page.figure_and_table("classes", &caption, columns, figure, ROWS)?;
    by_layer(page, &cells)
}

fn group_totals(binned: &Binned) -> Vec<f64> {
    binned.groups.iter().map(|group| group.total).collect()
}

/// Writes the table of classes and layers. `cells`: LCA, class by class.
fn by_layer(page: &mut Page, cells: &Means) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let header = first.header();
    let layers = &header.layout.layers;
    let mut columns = vec![Column::text("class", header.classes.clone())];
    for (at, layer) in layers.iter().enumerate() {
        let of_layer: Vec<usize> = (0..header.classes.len())
            .map(|class| class * layers.len() + at)
            .collect();
        let pick = |values: Vec<f64>| -> Vec<f64> {
            let value = |cell: &usize| values.get(*cell).copied().unwrap_or(f64::NAN);
            of_layer.iter().map(value).collect()
        };
        columns.push(Column::f64(layer.name.clone(), NATS, pick(cells.values())));
        if page.has_repeats() {
            let name = crate::report::document::error_of(&layer.name);
            columns.push(Column::f64(name, NATS, pick(cells.errors())));
        }
    }
    let rows = if layers.len() <= LAYERS { ROWS } else { 0 };
    let caption = format!("LCA by class and layer.{}", page.errors());
    page.table("classes-by-layer", &caption, columns, rows)
}

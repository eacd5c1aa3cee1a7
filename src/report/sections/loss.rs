//! Section on the losses over the steps, and the layers' cumulative LCA.

use crate::export::{Axis, Column, Table};
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, curves};
use crate::report::repeats::{Means, column_named, numbers, real};
use crate::sheet::View;

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    losses(page)?;
    cumulative(page)
}

/// Ends of the rows, in steps done, preceded by the start.
fn ends(table: &Table) -> Vec<f64> {
    let (steps, lengths) = (column_named(table, "step"), column_named(table, "steps"));
    let ends = steps
        .iter()
        .zip(lengths)
        .map(|(step, length)| step + length);
    std::iter::once(0.0).chain(ends).collect()
}

fn losses(page: &mut Page) -> Result<(), ReportError> {
    let every = page.every();
    let mut of = [const { Vec::new() }; 4];
    let mut x = Vec::new();
    for run in &page.group.runs {
        let table = run.table(View::Overview, every)?;
        x = ends(&table);
        let start = run.start.as_ref();
        let first = [
            start.map_or(run.whole.loss_before, |losses| losses.train),
            start.map_or(f64::NAN, |losses| losses.test),
            start.map_or(f64::NAN, |losses| losses.train_accuracy),
            start.map_or(f64::NAN, |losses| losses.test_accuracy),
        ];
        let names = [
            "loss_after",
            "held_out_loss",
            "train_accuracy",
            "held_out_accuracy",
        ];
        for (at, (name, first)) in names.into_iter().zip(first).enumerate() {
            let scale = if at < 2 { 1.0 } else { 100.0 };
            let values = std::iter::once(first).chain(column_named(&table, name));
            of[at].push(values.map(|value| scale * value).collect::<Vec<f64>>());
        }
    }
    let [train, held_out, accuracy, held_out_accuracy] = of.map(|runs| Means::of(&runs));
    let mut columns = vec![Column::f64("steps done", None, x.clone())];
    columns.extend(train.columns("training loss", NATS));
    columns.extend(held_out.columns("held-out loss", NATS));
    columns.extend(accuracy.columns("training accuracy", PERCENT));
    columns.extend(held_out_accuracy.columns("held-out accuracy", PERCENT));
    let lines = vec![
        ("training".to_owned(), train),
        ("held out".to_owned(), held_out),
    ];
    let axes = (Axis::steps(), Axis::new("loss", NATS));
    let figure = page.figure_of("Loss", axes.0, axes.1, curves(x, lines));
    let caption = format!(
        "Mean cross-entropy of the training and the held-out examples after each step.{}",
        page.errors()
    );
    page.figure("loss", &caption, columns, figure)
}

fn cumulative(page: &mut Page) -> Result<(), ReportError> {
    let every = page.every();
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let layers = &first.header().layout.layers;
    let mut of = vec![Vec::new(); layers.len()];
    let mut x = Vec::new();
    for run in &page.group.runs {
        let table = run.table(View::Cumulative, every)?;
        x = ends(&table);
        // After `step`, `steps`, and the sums of Δloss, ΣLCA and residual.
        for (layer, of) in of.iter_mut().enumerate() {
            let values = std::iter::once(0.0).chain(numbers(&table, 5 + layer));
            of.push(values.collect::<Vec<f64>>());
        }
    }
    let mut columns = vec![Column::f64("steps done", None, x.clone())];
    let mut lines = Vec::new();
    for (layer, runs) in layers.iter().zip(&of) {
        let means = Means::of(runs);
        columns.extend(means.columns(&layer.name, NATS));
        lines.push((layer.name.clone(), means));
    }
    let axes = (Axis::steps(), Axis::new("cumulative LCA", NATS));
    let figure = page.figure_of("Cumulative LCA by layer", axes.0, axes.1, curves(x, lines));
    let row = match every {
        1 => String::new(),
        every => format!(" Points are {} steps apart.", real(every)),
    };
    let caption = format!(
        "What each layer did to the training loss up to each step. A falling line helps; together they fall as \
         far as the loss, up to the residual.{row}{}",
        page.errors()
    );
    page.figure("cumulative", &caption, columns, figure)
}

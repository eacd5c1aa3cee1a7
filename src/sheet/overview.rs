//! Losses, accuracies, residuals and costs.

use super::SheetError;
use super::input::{Field, SheetInput, number, reals};
use crate::export::{Axis, Chart, Exhibit, Series};

/// The unit of losses and allocations.
pub const NATS: Option<&str> = Some("nats");

pub fn overview(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let fields = [
        Field::real("epoch", None, |s| s.epoch),
        Field::real("learning_rate", None, |s| s.learning_rate),
        Field::real("batch_loss", NATS, |s| s.batch_loss),
        Field::real("seconds", Some("s"), |s| s.seconds),
        Field::count("gradient_evals", |s| s.gradient_evals),
        Field::count("segments", |s| s.segments),
        Field::real("loss_before", NATS, |s| s.loss_before),
        Field::real("loss_after", NATS, |s| s.loss_after),
        Field::real("train_accuracy", None, |s| s.train_accuracy),
        // For a row of many steps, the latest evaluation within it.
        Field::real("held_out_loss", NATS, |s| s.held_out.loss),
        Field::real("held_out_accuracy", None, |s| s.held_out.accuracy),
        Field::real("held_out_step", None, |s| s.held_out.step),
        Field::count("held_out_evaluations", |s| s.held_out.evaluations),
        Field::real("loss_change", NATS, |s| s.loss_after - s.loss_before),
        Field::real("lca", NATS, |s| s.total),
        Field::real("residual", NATS, |s| s.residual),
        Field::real("worst_residual", NATS, |s| s.worst_residual),
        Field::count("above_tolerance", |s| s.above_tolerance),
    ];
    let columns = input.columns(&fields)?;
    let column = |name: &str| columns.iter().find(|column| column.name == name);
    let values = |name: &str| column(name).map_or_else(Vec::new, reals);
    // Losses after each row, and one before the first.
    let start = input.reader.losses(input.request.steps.start)?;
    let with_start = |first: f64, name: &str| {
        let mut all = vec![first];
        all.extend(values(name));
        all
    };
    let mut x = vec![number(input.request.steps.start)];
    x.extend(input.rows().map(|row| number(row.end)));
    let first = |value: fn(&crate::record::Losses) -> f64| start.as_ref().map_or(f64::NAN, value);
    let chart = Chart::Lines {
        x,
        series: vec![
            Series::new("training", with_start(first(|l| l.train), "loss_after")),
            Series::new("held out", with_start(first(|l| l.test), "held_out_loss")),
        ],
    };
    let axes = (Axis::steps(), Axis::new("loss", NATS), chart);
    input.exhibit("Loss", columns, axes)
}

//! Summary section: what ran, how it ended, and whether it closes.

use super::asked;
use crate::export::Column;
use crate::query::Topic;
use crate::record::Status;
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, mean_with_error, sentence};
use crate::report::repeats::{Means, real};
use crate::report::runs::ReportedRun;
use crate::report::words::{count, counted, number};

/// Maximum number of warnings reported per run.
const LINTS: usize = 6;

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let header = first.header();
    let layout = &header.layout;
    page.text(format!(
        "{} with the network {}: {} with {}. Data: {}, {} for training and {} held out. {} reported{}.",
        if page.has_repeats() { format!("{} runs with different seeds", page.group.runs.len()) } else { "One run".to_owned() },
        header.network,
        counted(layout.layers.len() as u64, "layer"),
        counted(layout.params() as u64, "parameter"),
        header.dataset,
        counted(header.train_index.len() as u64, "example"),
        count(header.test_index.len() as u64),
        counted(page.group.steps, "step"),
        match header.planned_steps {
            0 => String::new(),
            planned => format!(" of {} planned", count(planned)),
        },
    ));
    if let Some(every) = header.chord() {
        page.text(format!(
            "Each step covers {every} optimizer steps: the loss change is allocated along the chord between their ends."
        ));
    }
    // Other rules use a fixed number of points, however large the residual.
    let aim = if header.integrator == "adaptive" {
        format!(
            ", with a tolerance of {} nats for the residual",
            number(header.tolerance)
        )
    } else {
        String::new()
    };
    // Its effect on the shares has been measured: docs/findings.md.
    let (whose, fewer) = match header.allocated_examples() {
        Some(n) => (
            format!(
                "{} of the training examples, drawn by the seed,",
                count(n as u64)
            ),
            " With fewer examples, more parameters are idle, and the helping share of the active ones tends to \
             be closer to one half.",
        ),
        None => ("all training examples,".to_owned(), ""),
    };
    page.text(format!(
        "The training loss is the mean cross-entropy over {whose} evaluated in slices of {} \
         examples; its gradient was integrated along each step with the integrator “{}”{aim}.{fewer}",
        count(header.slice_size),
        header.integrator,
    ));
    outcomes(page)?;
    closure(page)?;
    let of =
        |value: &dyn Fn(&ReportedRun) -> f64| Means::of_number(page.group.runs.iter().map(value));
    let change = |run: &ReportedRun| run.whole.loss_after - run.whole.loss_before;
    let share = |run: &ReportedRun| 100.0 * (run.whole.residual / change(run)).abs();
    let text = format!(
        "The training loss changed by {}. The allocations add up to {}, and the residual is {}: {} of the change.",
        mean_with_error(of(&change), "nats"),
        mean_with_error(of(&|run| run.whole.total), "nats"),
        mean_with_error(of(&|run| run.whole.residual), "nats"),
        mean_with_error(of(&share), "%"),
    );
    page.text(text);
    lints(page)?;
    let config = first.header().config.clone();
    if !config.is_empty() {
        let name = &first.run.name;
        let caption =
            format!("Configuration of {name} (repeat the run: lcascope train --config {name})");
        page.document.code(caption, config);
    }
    Ok(())
}

fn outcomes(page: &mut Page) -> Result<(), ReportError> {
    let runs = &page.group.runs;
    let words = |word: &dyn Fn(&ReportedRun) -> String| runs.iter().map(word).collect::<Vec<_>>();
    let counts = |count: &dyn Fn(&ReportedRun) -> u64| runs.iter().map(count).collect::<Vec<_>>();
    let reals = |real: &dyn Fn(&ReportedRun) -> f64| runs.iter().map(real).collect::<Vec<_>>();
    let status = |run: &ReportedRun| match run.run.state.status {
        Status::Running if run.run.state.writer_is_lost() => "crashed".to_owned(),
        status => status.name().to_owned(),
    };
    let columns = vec![
        Column::text("run", words(&|run| run.run.name.clone())),
        Column::text("status", words(&status)),
        Column::u64("seed", None, counts(&|run| run.header().seed)),
        Column::u64("steps", None, counts(&|run| run.steps)),
        Column::f64("loss before", NATS, reals(&|run| run.whole.loss_before)),
        Column::f64("loss after", NATS, reals(&|run| run.whole.loss_after)),
        Column::f64(
            "held-out loss after",
            NATS,
            reals(&|run| run.whole.test_loss),
        ),
        Column::f64(
            "accuracy",
            PERCENT,
            reals(&|run| 100.0 * run.whole.train_accuracy),
        ),
        Column::f64(
            "held-out accuracy",
            PERCENT,
            reals(&|run| 100.0 * run.whole.test_accuracy),
        ),
        Column::text("device", words(&|run| run.header().device.clone())),
    ];
    let rows = runs.len();
    page.table("runs", "The runs and their final state.", columns, rows)
}

fn closure(page: &mut Page) -> Result<(), ReportError> {
    let runs = &page.group.runs;
    let reals = |real: &dyn Fn(&ReportedRun) -> f64| runs.iter().map(real).collect::<Vec<_>>();
    let columns = vec![
        Column::text("run", runs.iter().map(|run| run.run.name.clone()).collect()),
        Column::f64("ΣLCA", NATS, reals(&|run| run.whole.total)),
        Column::f64(
            "actual Δloss",
            NATS,
            reals(&|run| run.whole.loss_after - run.whole.loss_before),
        ),
        Column::f64("residual", NATS, reals(&|run| run.whole.residual)),
        Column::f64(
            "largest residual of a step",
            NATS,
            reals(&|run| run.whole.worst_residual),
        ),
        Column::f64(
            "steps above the tolerance",
            PERCENT,
            reals(&|run| 100.0 * real(run.whole.above_tolerance) / real(run.steps)),
        ),
    ];
    let caption = "Do the sums close? ΣLCA + residual = Δloss by the definition of the residual, which is \
                   measured and never added to an allocation.";
    let rows = runs.len();
    page.table("closure", caption, columns, rows)
}

fn lints(page: &mut Page) -> Result<(), ReportError> {
    for run in &page.group.runs {
        let happened = asked!(run, Topic::Events, 1, Happened);
        for lint in happened.lints.iter().take(LINTS) {
            let text = format!("Warning for {}: {}", run.run.name, sentence(&lint.text));
            page.document.text(text);
        }
    }
    Ok(())
}

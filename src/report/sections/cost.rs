//! Section on how well single steps close, and on the cost of the allocation.

use super::asked;
use crate::export::{Axis, Chart, Column};
use crate::query::{DECADES, FIRST_DECADE, RunFacts, Topic};
use crate::report::ReportError;
use crate::report::page::curves;
use crate::report::page::{NATS, PERCENT, Page};
use crate::report::repeats::{Means, column_named, real};
use crate::report::runs::ReportedRun;
use crate::sheet::View;

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let mut facts: Vec<(&ReportedRun, RunFacts)> = Vec::new();
    for run in &page.group.runs {
        facts.push((run, *asked!(run, Topic::Run, 1, Run)));
    }
    costs(page, &facts)?;
    residuals(page, &facts)?;
    over_steps(page)
}

fn costs(page: &mut Page, facts: &[(&ReportedRun, RunFacts)]) -> Result<(), ReportError> {
    let reals = |value: &dyn Fn(&ReportedRun, &RunFacts) -> f64| -> Vec<f64> {
        facts.iter().map(|(run, facts)| value(run, facts)).collect()
    };
    let segments = |facts: &RunFacts| {
        let kinds = facts.quality.segments.iter();
        let kinds = kinds.map(|(segments, steps)| format!("{segments}: {steps}"));
        kinds.collect::<Vec<_>>().join(", ")
    };
    let columns = vec![
        Column::text(
            "run",
            facts.iter().map(|(run, _)| run.run.name.clone()).collect(),
        ),
        Column::f64(
            "full gradients per step",
            None,
            reals(&|_, facts| real(facts.quality.gradients) / real(facts.quality.steps)),
        ),
        Column::f64("time", Some("s"), reals(&|run, _| run.whole.seconds)),
        Column::f64(
            "time per step",
            Some("s"),
            reals(&|run, _| run.whole.seconds / real(run.steps)),
        ),
        Column::f64(
            "file",
            Some("MB"),
            reals(&|_, facts| real(facts.bytes) / 1e6),
        ),
        Column::f64(
            "mean |residual|",
            NATS,
            reals(&|_, facts| facts.quality.mean()),
        ),
        Column::f64(
            "largest |residual|",
            NATS,
            reals(&|_, facts| facts.quality.worst),
        ),
        Column::f64(
            "steps above the tolerance",
            PERCENT,
            reals(&|_, facts| 100.0 * real(facts.quality.above) / real(facts.quality.steps)),
        ),
        Column::text(
            "steps by segments",
            facts.iter().map(|(_, facts)| segments(facts)).collect(),
        ),
    ];
    let caption = "A full gradient is one pass over all examples whose loss is allocated. Times include \
                   training, allocation and recording. Segments, with the number of steps that used them: 0 \
                   first order, 1 trapezoid, 2 Simpson, more: composite Simpson.";
    let rows = facts.len();
    page.table("cost", caption, columns, rows)
}

fn residuals(page: &mut Page, facts: &[(&ReportedRun, RunFacts)]) -> Result<(), ReportError> {
    let runs: Vec<Vec<f64>> = (facts.iter())
        .map(|(_, facts)| facts.quality.decades.map(real).to_vec())
        .collect();
    let steps = Means::of(&runs);
    let edges: Vec<f64> = (0..=DECADES)
        .zip(FIRST_DECADE..)
        .map(|(_, decade)| f64::from(decade))
        .collect();
    let mut columns = vec![
        Column::f64("from 10^", NATS, edges[..DECADES].to_vec()),
        Column::f64("to 10^", NATS, edges[1..].to_vec()),
    ];
    columns.extend(steps.columns("steps", None));
    let tolerance = page
        .group
        .runs
        .first()
        .map_or(f64::NAN, |run| run.header().tolerance);
    let mark = (tolerance > 0.0).then(|| (tolerance.log10(), "tolerance".to_owned()));
    let chart = Chart::Histogram {
        edges,
        counts: steps.values(),
        mark,
    };
    let x = Axis::new("power of ten of |residual|, in nats", None);
    let figure = page.figure_of(
        "Residuals of single steps",
        x,
        Axis::new("steps", None),
        chart,
    );
    let caption = "The difference between a step’s change in loss and its allocations. The first bin includes \
                   all below 10⁻¹² nats, the last all above 100 nats.";
    page.figure("residuals", caption, columns, figure)
}

fn over_steps(page: &mut Page) -> Result<(), ReportError> {
    let every = page.every();
    let (mut worst, mut gradients, mut x) = (Vec::new(), Vec::new(), Vec::new());
    for run in &page.group.runs {
        let table = run.table(View::Overview, every)?;
        x = column_named(&table, "step");
        worst.push(column_named(&table, "worst_residual"));
        let counts = column_named(&table, "gradient_evals")
            .into_iter()
            .zip(column_named(&table, "steps"));
        gradients.push(
            counts
                .map(|(count, steps)| count / steps)
                .collect::<Vec<f64>>(),
        );
    }
    let (worst, gradients) = (Means::of(&worst), Means::of(&gradients));
    let mut columns = vec![Column::f64("step", None, x.clone())];
    columns.extend(worst.columns("largest |residual|", NATS));
    columns.extend(gradients.columns("full gradients per step", None));
    let y = Axis::new("|residual|", NATS).log();
    let chart = curves(x, vec![("largest |residual|".to_owned(), worst)]);
    let figure = page.figure_of("Residuals over the steps", Axis::steps(), y, chart);
    let caption = format!(
        "Logarithmic; each point shows the largest residual of its steps.{}",
        page.errors()
    );
    page.figure("residuals-over-steps", &caption, columns, figure)
}

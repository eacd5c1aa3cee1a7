//! Section on concentration: how few parameters account for most of the change.

use super::asked;
use crate::analysis::concentration::Side;
use crate::export::Column;
use crate::query::{Snapshot, Topic};
use crate::report::ReportError;
use crate::report::page::{NATS, PERCENT, Page, mean_with_error};
use crate::report::repeats::{Means, real};

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let mut runs: Vec<Snapshot> = Vec::new();
    for run in &page.group.runs {
        runs.push(asked!(run, Topic::Snapshot { layer: None }, 1, Snapshot));
    }
    let of = |value: &dyn Fn(&Side) -> f64| {
        let both = |run: &Snapshot| vec![value(&run.helping), value(&run.hurting)];
        let runs: Vec<Vec<f64>> = runs.iter().map(both).collect();
        Means::of(&runs)
    };
    let top = of(&|side| 100.0 * side.top);
    let ninety = of(&|side| 100.0 * side.ninety);
    let sides = ["helped", "hurt"].map(str::to_owned).to_vec();
    let mut columns = vec![Column::text("parameters that", sides)];
    columns.extend(of(&|side| real(side.count as u64)).columns("parameters", None));
    columns.extend(of(&|side| side.total).columns("total", NATS));
    columns.extend(of(&|side| side.gini).columns("Gini coefficient", None));
    columns.extend(top.columns("given by the top 1 %", PERCENT));
    columns.extend(ninety.columns("share that gives 90 %", PERCENT));
    if let (Some(&top), Some(&ninety)) = (top.rows().first(), ninety.rows().first()) {
        page.text(format!(
            "Of the parameters that helped overall, the top 1 % give {} of the help, and {} of them give 90 %.",
            mean_with_error(top, "%"),
            mean_with_error(ninety, "%"),
        ));
    }
    let caption = format!(
        "By each parameter’s total over the steps. A Gini coefficient of 0 means that all contribute equally, \
         of 1 that one contributes everything.{}",
        page.errors()
    );
    page.table("concentration", &caption, columns, 2)
}

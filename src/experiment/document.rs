//! An experiment's own sections of its report: arms, and differences within pairs.

use super::numbers::QuantityGroup;
use super::outcome::ExperimentOutcome;
use super::plan::ExperimentPlan;
use super::preset::SizeName;
use crate::analysis::paired::Paired;
use crate::analysis::ttest::Mean;
use crate::export::{Column, Table, Uneven};
use crate::report::Document;
use crate::report::document::error_of;
use crate::report::words::counted;

/// Headings of the groups of layers.
const LAYERS: [(QuantityGroup, &str, &str); 4] = [
    (
        QuantityGroup::Layer,
        "layers",
        "Total LCA of the training loss by layer: a layer helped if it is below 0, and hurt if above.",
    ),
    (
        QuantityGroup::HeldOutLayer,
        "held-out-layers",
        "Total LCA of the held-out loss by layer.",
    ),
    (
        QuantityGroup::Gap,
        "gap-layers",
        "Held-out minus training LCA: above 0, a layer helped the held-out loss less.",
    ),
    (
        QuantityGroup::LayerError,
        "error-layers",
        "Estimated integration errors of the layers' LCA: absolute values, summed over the steps of a run. The \
         estimate depends on the integrator; those of the trapezoid rule and of Simpson's rule with S = 2 are \
         pessimistic.",
    ),
];

/// Adds the question, the arms and the pairs. `missing` gives the reason for each missing run.
///
/// # Errors
/// Only on a bug: columns of different lengths.
pub fn write(
    document: &mut Document,
    plan: &ExperimentPlan,
    outcome: &ExperimentOutcome,
    missing: &[String],
) -> Result<(), Uneven> {
    introduction(document, plan, outcome, missing);
    arms(document, outcome)?;
    for (group, name, caption) in LAYERS {
        layers(document, outcome, group, name, caption)?;
    }
    pairs(document, outcome)?;
    every_number(document, outcome)
}

fn introduction(
    document: &mut Document,
    plan: &ExperimentPlan,
    outcome: &ExperimentOutcome,
    missing: &[String],
) {
    let preset = &plan.preset;
    document.section("The question");
    document.text(&preset.question);
    if !preset.finding.is_empty() {
        document.text(format!("Published finding: {}", preset.finding));
    }
    let size = match (preset.has_sizes(), plan.size) {
        (false, _) => "",
        (true, SizeName::Quick) => {
            " This is the quick size, a small network on little data: it shows how the question is answered, \
             not what holds in general."
        }
        (true, SizeName::Paper) => {
            " This is the full size, with the network and the data of the paper."
        }
    };
    document.text(format!(
        "{} with {}{}; {} of {} runs are complete and included below.{size}",
        counted(preset.arms.len() as u64, "arm"),
        counted(plan.seeds, "seed"),
        if preset.arms.len() > 1 { " each" } else { "" },
        outcome.runs.len(),
        plan.runs.len()
    ));
    for why in missing {
        document.text(format!("Incomplete: {why}"));
    }
}

/// Returns the names and units of a group's quantities.
fn of_group(outcome: &ExperimentOutcome, group: QuantityGroup) -> Vec<(String, &'static str)> {
    let all = outcome.quantities().into_iter();
    all.filter(|(of, _, _)| *of == group)
        .map(|(_, name, unit)| (name, unit))
        .collect()
}

/// Writes the arms, one row each.
fn arms(document: &mut Document, outcome: &ExperimentOutcome) -> Result<(), Uneven> {
    let mut columns = vec![Column::text("arm", outcome.arms.clone())];
    for (index, (name, unit)) in of_group(outcome, QuantityGroup::Run)
        .into_iter()
        .enumerate()
    {
        let means: Vec<Mean> = (0..outcome.arms.len())
            .map(|arm| outcome.arm(arm, QuantityGroup::Run, &name))
            .collect();
        if index == 0 {
            let runs = means.iter().map(|mean| mean.n as u64);
            columns.push(Column::u64("runs", None, runs.collect()));
        }
        columns.extend(with_errors(&name, axis_unit(unit), &means));
    }
    let rows = outcome.arms.len();
    document.section("Arms");
    let caption = "Means over the seeds ± standard errors, after the last step.";
    document.table("arms", caption, Table::new("arms", columns)?, rows);
    Ok(())
}

/// Writes the layers, one row each, with columns for every arm; a single arm also gets the test of its mean.
fn layers(
    document: &mut Document,
    outcome: &ExperimentOutcome,
    group: QuantityGroup,
    name: &str,
    caption: &str,
) -> Result<(), Uneven> {
    let layers = of_group(outcome, group);
    if layers.is_empty() {
        return Ok(());
    }
    // Testing an error against 0 would say nothing.
    let tested = outcome.arms.len() == 1 && group != QuantityGroup::LayerError;
    let names = layers.iter().map(|(layer, _)| layer.clone()).collect();
    let mut columns = vec![Column::text("layer", names)];
    for (index, arm) in outcome.arms.iter().enumerate() {
        let means: Vec<Mean> = layers
            .iter()
            .map(|(layer, _)| outcome.arm(index, group, layer))
            .collect();
        columns.extend(with_errors(arm, Some("nats"), &means));
        if tested {
            let t = means.iter().map(|mean| mean.t).collect();
            let p = means.iter().map(|mean| mean.p).collect();
            columns.extend([Column::f64("t", None, t), Column::f64("p", None, p)]);
        }
    }
    let test = if tested {
        " p: two-sided t test that the mean is 0."
    } else {
        ""
    };
    let rows = layers.len();
    let caption = format!("{caption} Means over the seeds ± standard errors.{test}");
    document.table(name, caption, Table::new(name, columns)?, rows);
    Ok(())
}

fn with_errors(name: &str, unit: Option<&'static str>, means: &[Mean]) -> [Column; 2] {
    let values = means.iter().map(|mean| mean.mean).collect();
    let errors = means.iter().map(|mean| mean.error).collect();
    [
        Column::f64(name, unit, values),
        Column::f64(error_of(name), unit, errors),
    ]
}

fn axis_unit(unit: &'static str) -> Option<&'static str> {
    (!unit.is_empty()).then_some(unit)
}

/// Writes a table for every arm except the baseline.
fn pairs(document: &mut Document, outcome: &ExperimentOutcome) -> Result<(), Uneven> {
    let Some(baseline) = outcome.baseline else {
        return Ok(());
    };
    let base = &outcome.arms[baseline];
    document.section("Differences within pairs");
    document.text(format!(
        "Each run is paired with the run of “{base}” with the same seed: the same initial weights, examples and \
         mini-batches. Differences are the arm's value minus that of “{base}”, given as means with standard \
         errors. The t test assumes a normal distribution; the sign test counts the differences below and above \
         0, and its p is at least 2^(1 − pairs). Both are two-sided and for single rows: among many rows, some \
         p are small by chance."
    ));
    let mut quantities = outcome.quantities();
    // An error estimate means different things in arms with different integrators.
    quantities.retain(|(group, _, _)| *group != QuantityGroup::LayerError);
    let compared: Vec<_> = (quantities.iter())
        .map(|(group, name, _)| outcome.pairs(*group, name))
        .collect();
    let others = (0..outcome.arms.len()).filter(|&arm| arm != baseline);
    for arm in others {
        let mut rows: Vec<(String, String, Paired)> = Vec::new();
        for ((group, name, unit), pairs) in quantities.iter().zip(&compared) {
            let pair = pairs.iter().find(|pair| pair.arm == arm);
            // A quantity that only one of the two has gives no difference.
            if let Some(pair) = pair.filter(|pair| pair.paired.difference.n > 0) {
                rows.push((words(*group, name), (*unit).to_owned(), pair.paired));
            }
        }
        let number = |of: fn(&Paired) -> f64| rows.iter().map(|row| of(&row.2)).collect();
        let count = |of: fn(&Paired) -> usize| rows.iter().map(|row| of(&row.2) as u64).collect();
        let columns = vec![
            Column::text("quantity", rows.iter().map(|row| row.0.clone()).collect()),
            Column::text("unit", rows.iter().map(|row| row.1.clone()).collect()),
            Column::f64("difference", None, number(|p| p.difference.mean)),
            Column::f64(error_of("difference"), None, number(|p| p.difference.error)),
            Column::u64("pairs", None, count(|p| p.difference.n)),
            Column::f64("t", None, number(|p| p.difference.t)),
            Column::f64("t test p", None, number(|p| p.difference.p)),
            Column::u64("below 0", None, count(|p| p.below)),
            Column::u64("above 0", None, count(|p| p.above)),
            Column::f64("sign test p", None, number(|p| p.sign_p)),
        ];
        let name = &outcome.arms[arm];
        let shown = rows.len();
        document.part(format!("{name} − {base}"));
        let table = Table::new(format!("{name} minus {base}"), columns)?;
        document.table(&format!("paired-{name}"), "", table, shown);
    }
    Ok(())
}

/// Returns a quantity's name with the group that it belongs to.
fn words(group: QuantityGroup, name: &str) -> String {
    match group {
        QuantityGroup::Run => name.to_owned(),
        QuantityGroup::Layer => format!("LCA {name}"),
        QuantityGroup::HeldOutLayer => format!("held-out LCA {name}"),
        QuantityGroup::Gap => format!("held-out − training LCA {name}"),
        QuantityGroup::LayerError => format!("estimated error {name}"),
    }
}

/// Writes every number of every run, for other programs.
fn every_number(document: &mut Document, outcome: &ExperimentOutcome) -> Result<(), Uneven> {
    let (mut arms, mut seeds, mut names, mut units, mut values) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (arm, seed, numbers) in &outcome.runs {
        for quantity in numbers {
            arms.push(outcome.arms[*arm].clone());
            seeds.push(*seed);
            names.push(words(quantity.group, &quantity.name));
            units.push(quantity.unit.to_owned());
            values.push(quantity.value);
        }
    }
    let columns = vec![
        Column::text("arm", arms),
        Column::u64("seed", None, seeds),
        Column::text("quantity", names),
        Column::text("unit", units),
        Column::f64("value", None, values),
    ];
    document.section("Numbers of every run");
    let caption = "The numbers behind the means above: one row for each number of each run.";
    document.table("runs", caption, Table::new("runs", columns)?, 0);
    Ok(())
}

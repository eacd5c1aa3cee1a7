//! Section on the sizes of single allocations: histograms and the weight of their tails.

use super::{asked, index};
use crate::analysis::octaves::{Octaves, Sign};
use crate::analysis::ttest::Mean;
use crate::export::{Axis, Chart, Column, Figure};
use crate::query::{AllocationHistogram, Topic};
use crate::report::ReportError;
use crate::report::page::{NATS, Page, mean_with_error, series};
use crate::report::repeats::{Means, real};

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let mut runs = Vec::new();
    for run in &page.group.runs {
        runs.push(asked!(run, Topic::Histogram { layer: None }, 1, Histogram));
    }
    let all = added(&runs);
    let octaves: Vec<Octaves> = runs.iter().filter_map(octaves_of).collect();
    tails(page, &octaves)?;
    histograms(page, &all)?;
    if let Some(merged) = octaves_of(&all) {
        survival(page, &merged)?;
    }
    Ok(())
}

fn octaves_of(histogram: &AllocationHistogram) -> Option<Octaves> {
    let mut octaves = Octaves::new(&histogram.edges)?;
    octaves.add(&histogram.counts);
    Some(octaves)
}

/// Sums the counts of all runs; repeats have the same edges.
fn added(runs: &[AllocationHistogram]) -> AllocationHistogram {
    let mut all = runs.first().cloned().unwrap_or_default();
    for run in runs.iter().skip(1) {
        for (sum, count) in all.counts.iter_mut().zip(&run.counts) {
            *sum = sum.saturating_add(*count);
        }
        all.param_steps = all.param_steps.saturating_add(run.param_steps);
    }
    all
}

fn number(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::NAN)
}

/// Writes tail index and kurtosis: of the network, then of its layers.
fn tails(page: &mut Page, octaves: &[Octaves]) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let layers = &first.header().layout.layers;
    let mut of: Vec<Vec<Octaves>> = vec![octaves.to_vec()];
    for layer in 0..layers.len() {
        let mut runs = Vec::new();
        for run in &page.group.runs {
            let topic = Topic::Histogram {
                layer: Some(index(layer)),
            };
            runs.extend(octaves_of(&asked!(run, topic, 1, Histogram)));
        }
        of.push(runs);
    }
    let column = |value: &dyn Fn(&Octaves) -> f64| -> Vec<Mean> {
        let mean = |runs: &Vec<Octaves>| Means::of_number(runs.iter().map(value));
        of.iter().map(mean).collect()
    };
    let names = layers.iter().map(|layer| layer.name.clone());
    let names = std::iter::once("all layers".to_owned()).chain(names);
    let mut columns = vec![Column::text("layer", names.collect())];
    let several = page.has_repeats();
    let index = column(&|o| number(o.tail_index(Sign::Both)));
    let kurtosis = column(&|o| number(o.excess_kurtosis()));
    if let (Some(&index), Some(&kurtosis)) = (index.first(), kurtosis.first()) {
        page.text(format!(
            "The tail index of all allocations is {}, their excess kurtosis about {}. A normal distribution has \
             an excess kurtosis of 0. The share of allocations larger than x falls as x to the power of minus \
             the index: below 4, the kurtosis grows without limit as steps are added; below 2, so does the variance.",
            mean_with_error(index, ""),
            mean_with_error(kurtosis, ""),
        ));
    }
    let all = [
        ("tail index", index),
        (
            "tail index (helping)",
            column(&|o| number(o.tail_index(Sign::Helping))),
        ),
        (
            "tail index (hurting)",
            column(&|o| number(o.tail_index(Sign::Hurting))),
        ),
        ("kurtosis (approx.)", kurtosis),
    ];
    for (name, means) in all {
        columns.push(Column::f64(
            name,
            None,
            means.iter().map(|mean| mean.mean).collect(),
        ));
        if several {
            let errors = means.iter().map(|mean| mean.error).collect();
            columns.push(Column::f64(
                crate::report::document::error_of(name),
                None,
                errors,
            ));
        }
    }
    let caption = format!(
        "From counts by powers of two, without zeros: the tail index of the largest octaves that contain √n of \
         n values; the excess kurtosis is accurate to a factor of two or three.{}",
        page.errors()
    );
    let rows = layers.len() + 1;
    page.table("tails", &caption, columns, rows)
}

fn histograms(page: &mut Page, all: &AllocationHistogram) -> Result<(), ReportError> {
    let counts: Vec<f64> = all.counts.iter().map(|count| real(*count)).collect();
    let bins = counts.len();
    let columns = || {
        vec![
            Column::f64("from", NATS, all.edges[..bins].to_vec()),
            Column::f64("to", NATS, all.edges[all.edges.len() - bins..].to_vec()),
            Column::u64("allocations", None, all.counts.clone()),
        ]
    };
    let chart = || Chart::Histogram {
        edges: all.edges.clone(),
        counts: counts.clone(),
        mark: None,
    };
    let x = || Axis::new("allocation of a parameter in a step", NATS).symlog();
    let y = Axis::new("allocations in a bin", None);
    let zeros = all
        .counts
        .iter()
        .fold(all.param_steps, |left, count| left.saturating_sub(*count));
    let title = "Sizes of allocations";
    let share = 100.0 * real(zeros) / real(all.param_steps);
    let caption = format!(
        "Helping allocations are on the left, hurting ones on the right; each bin is twice as wide as its \
         neighbour towards zero. {} % of the allocations were exactly 0 and are in no bin.",
        crate::report::words::number(share)
    );
    let linear = page.figure_of(title, x(), y.clone(), chart());
    page.figure("allocations-linear", &caption, columns(), linear)?;
    let log = page.figure_of(
        &format!("{title}, logarithmic counts"),
        x(),
        y.symlog(),
        chart(),
    );
    let caption = "The same with logarithmic counts, which show the few largest allocations.";
    page.figure("allocations-log", caption, columns(), log)
}

/// Writes the shares above x on logarithmic axes, with the fitted power laws.
fn survival(page: &mut Page, octaves: &Octaves) -> Result<(), ReportError> {
    let signs = [(Sign::Helping, "helping"), (Sign::Hurting, "hurting")];
    let points = signs.map(|(sign, _)| octaves.survival(sign));
    let longest = points.iter().max_by_key(|points| points.len());
    let x: Vec<f64> = longest.map_or_else(Vec::new, |points| points.iter().map(|p| p.0).collect());
    let mut columns = vec![Column::f64("size", NATS, x.clone())];
    let mut lines = Vec::new();
    for ((sign, name), points) in signs.into_iter().zip(points) {
        let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
        values.resize(x.len(), f64::NAN);
        columns.push(Column::f64(
            format!("share above, {name}"),
            None,
            values.clone(),
        ));
        lines.push(series(name, values));
        let Some(tail) = octaves.tail(sign) else {
            continue;
        };
        let fit = |x: &f64| {
            if *x >= tail.from {
                tail.share * (x / tail.from).powf(-tail.index)
            } else {
                f64::NAN
            }
        };
        let fitted: Vec<f64> = x.iter().map(fit).collect();
        columns.push(Column::f64(format!("fit, {name}"), None, fitted.clone()));
        lines.push(series(format!("{name}: index {:.2}", tail.index), fitted));
    }
    let figure = Figure {
        title: "Shares of allocations larger than x".to_owned(),
        note: page.note(),
        x: Axis::new("x", NATS).log(),
        y: Axis::new("share larger than x", None).log(),
        chart: Chart::Lines { x, series: lines },
    };
    let caption = "On logarithmic axes, a power law is a straight line; the fitted lines begin where the tails \
                   begin. All runs together.";
    page.figure("allocations-tail", caption, columns, figure)
}

//! The summary printed when a run is over: how it closed, and the totals by layer.

use std::fmt::Write;
use std::path::Path;

use crate::analysis::numbers::{self, loss};
use crate::app::{GroupSums, RunModel};
use crate::record::RunEnd;
use crate::store::RecorderStats;

/// The whole summary.
#[must_use]
pub fn table(model: &RunModel, end: &RunEnd, stats: RecorderStats, output: &Path) -> String {
    let timeline = &model.timeline;
    let all = timeline.whole();
    let mut out = String::new();
    let steps = timeline.end();
    let seconds = timeline.last().map_or(0.0, |entry| entry.seconds);
    let _ = write!(
        out,
        "{} after {steps} step{}",
        end.status.name(),
        if steps == 1 { "" } else { "s" }
    );
    let _ = write!(out, " in {seconds:.1} s on {}", model.header.device);
    if stats.waited.as_millis() > 0 {
        let _ = write!(
            out,
            " ({:.1} s of it waiting for the disk)",
            stats.waited.as_secs_f64()
        );
    }
    let _ = writeln!(out);
    if steps > 0 {
        layers(&mut out, model);
        let evals = all.gradient_evals();
        let _ = writeln!(
            out,
            "\n{} full gradients, {:.2} per step",
            evals,
            ratio(evals, steps)
        );
        losses(&mut out, model);
    }
    let _ = writeln!(out, "recorded in {}", output.display());
    out
}

fn losses(out: &mut String, model: &RunModel) {
    let Some(last) = model.timeline.last() else {
        return;
    };
    let initial = model.timeline.initial();
    let first = initial.map_or(f64::NAN, |losses| losses.train);
    let _ = write!(
        out,
        "training loss {} -> {} nats",
        loss(first),
        loss(last.loss_after)
    );
    if last.test_loss.is_finite() {
        let first = initial.map_or(f64::NAN, |losses| losses.test);
        let _ = write!(
            out,
            ", held-out {} -> {}",
            loss(first),
            loss(last.test_loss)
        );
    }
    let _ = write!(out, ", accuracy {:.2}%", last.train_accuracy * 100.0);
    if last.test_accuracy.is_finite() {
        let _ = write!(out, ", held-out {:.2}%", last.test_accuracy * 100.0);
    }
    let _ = writeln!(out);
    let header = &model.header;
    if let Some(n) = header.allocated_examples() {
        let all = header.train_index.len();
        let _ = writeln!(
            out,
            "training loss, accuracy and LCA on {n} of {all} training examples"
        );
    }
}

/// A share, or a dash if it is undefined, as for a frozen layer.
fn percent(share: f64, digits: usize) -> String {
    or_dash(share, |share| numbers::percent(share, digits))
}

fn or_dash(value: f64, text: impl Fn(f64) -> String) -> String {
    if value.is_finite() {
        text(value)
    } else {
        "-".to_owned()
    }
}

/// One row per layer, and the rows of totals that close them. `of active` is the helping share of active parameters,
/// those that help or hurt: many are idle, such as the weights of black pixels.
pub fn layers(out: &mut String, model: &RunModel) {
    let timeline = &model.timeline;
    let all = timeline.whole();
    let layers = &model.header.layout.layers;
    let name = layers
        .iter()
        .map(|layer| layer.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(8);
    let _ = writeln!(
        out,
        "\nLoss Change Allocation (LCA) over the whole run; flip N: sign flip of updates every N steps\n\
         {:name$} {:>10} {:>12} {:>8} {:>7} {:>7} {:>9} {:>9}",
        "layer", "parameters", "LCA (nats)", "share", "help", "hurt", "of active", "flip"
    );
    let total = all.total_sums();
    let mut row = |label: &str, params: usize, sums: &GroupSums| {
        let _ = writeln!(
            out,
            "{label:name$} {params:>10} {} {:>8} {:>7} {:>7} {:>9} {:>9}",
            nats(sums.lca),
            percent(sums.lca / total.lca, 2),
            percent(sums.help_share(), 2),
            percent(ratio(sums.hurt, sums.param_steps), 2),
            percent(ratio(sums.helped, sums.helped + sums.hurt), 2),
            or_dash(sums.steps_per_flip(), |steps| format!("{steps:.1}")),
        );
    };
    for (index, layer) in layers.iter().enumerate() {
        row(&layer.name, layer.range.len(), &all.layer_sums(index));
    }
    row("sum", model.header.layout.params(), &total);
    let change = all.loss_change();
    let residual = all.residual();
    let _ = writeln!(out, "{:name$} {:>10} {}", "Δloss", "", nats(change));
    let part = (residual / change).abs();
    let of_change = if !part.is_finite() {
        String::new()
    } else if part > numbers::BEYOND_REASON {
        format!(" {part:>8.1e} × Δloss")
    } else {
        format!(" {:>8} of Δloss", percent(part, 4))
    };
    let _ = writeln!(
        out,
        "{:name$} {:>10} {}{of_change}",
        "residual",
        "",
        nats(residual)
    );
    if !(change.is_finite() && residual.is_finite()) {
        let _ = writeln!(
            out,
            "\nwarning: not all losses are finite: the allocations do not explain the change in loss; the training has diverged"
        );
    } else if part > 1.0 {
        let _ = writeln!(
            out,
            "\nwarning: the residual exceeds the change in loss: the allocations do not explain it; the \
             training may have diverged"
        );
    }
    let tolerance = model.header.tolerance;
    let above = all.above_tolerance();
    let _ = writeln!(
        out,
        "\nlargest residual of a step: {:.2e} nats; {above} of {} steps above the tolerance {tolerance}",
        all.worst_residual(),
        timeline.end(),
    );
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count's first 15 digits are enough here"
)]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

/// A signed amount, twelve columns wide.
fn nats(value: f64) -> String {
    if value.abs() < 1e4 {
        format!("{value:>+12.6}")
    } else {
        format!("{value:>+12.4e}")
    }
}

//! `lcascope info --json`: what `info` says, as one JSON object. docs/json.md describes its fields.

use serde::Serialize;
use serde_json::{Map, Value, json};
use toml::Table as Toml;

use super::run_read::RunRead;
use crate::app::GroupSums;
use crate::query::data_lints;
use crate::record::{Losses, RunHeader, StepSummary};

/// Numbers that are not finite are null in JSON, as is what is not known.
pub(super) fn described(run: &RunRead, config: &Toml) -> Value {
    let RunRead {
        reader,
        state,
        model,
        ..
    } = run;
    let header = reader.header();
    let filters = reader.filters().into_iter();
    let filters: Vec<Value> = filters
        .map(|(name, built_in)| json!({"filters": name, "built_in": built_in}))
        .collect();
    let lints = data_lints(header, model.timeline.initial().map(|losses| losses.train));
    let lints: Vec<Value> = lints
        .iter()
        .map(|lint| json!({"severity": lint.severity.name(), "text": lint.text}))
        .collect();
    let is_lost = state.writer_is_lost();
    let is_running = state.status == crate::record::Status::Running;
    json!({
        "schema": 1,
        "file": run.path.display().to_string(),
        "bytes": std::fs::metadata(run.path).ok().map(|meta| meta.len()),
        "producer": header.producer,
        "created": header.created,
        "status": if is_lost { "crashed" } else { state.status.name() },
        "message": known(&state.message),
        "paused": state.paused,
        "silent_seconds": is_running.then_some(state.silent),
        "steps": steps(run, header),
        "network": {"name": header.network, "parameters": header.layout.params()},
        "data": data(header),
        "config": config,
        "trajectory_files": header.trajectory_files,
        "device": header.device,
        "ranks": header.ranks.max(1),
        "integrator": header.integrator,
        "tolerance": header.tolerance,
        "slice_size": some(header.slice_size),
        "seed": header.seed,
        "recorded": {
            "traced_parameters": header.traced.len(),
            "held_out_lca": header.held_out_lca,
            "parameters_every": some(header.record_params),
            "weights_every": some(header.record_weights),
        },
        "compression": filters,
        "first": model.timeline.initial().map(first),
        "last": model.timeline.last().map(last),
        "lca": (state.committed > 0).then(|| lca(run)),
        "warnings": lints,
        "findings": run.findings.iter().map(|it| finding(it, header)).collect::<Vec<_>>(),
    })
}

fn steps(run: &RunRead, header: &RunHeader) -> Value {
    let seconds = run.model.timeline.last().map(|last| last.seconds);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
    let speed = seconds
        .filter(|it| *it > 0.0)
        .map(|it| run.state.committed as f64 / it);
    json!({
        "done": run.state.committed,
        "planned": some(header.planned_steps),
        "per_epoch": some(header.steps_per_epoch),
        "optimizer_steps": header.lca_every.max(1),
        "seconds": seconds,
        "per_second": speed,
    })
}

fn data(header: &RunHeader) -> Value {
    json!({
        "name": header.dataset,
        "sha256": known(&header.dataset_sha256),
        "training": header.train_index.len(),
        "allocated": header.allocated_examples().unwrap_or(header.train_index.len()),
        "held_out": header.test_index.len(),
        "validation": header.validation_index.len(),
        "classes": header.classes,
    })
}

fn first(losses: &Losses) -> Value {
    json!({"loss": losses.train, "held_out_loss": losses.test})
}

fn last(step: &StepSummary) -> Value {
    json!({
        "loss": step.loss_after,
        "held_out_loss": step.test_loss,
        "accuracy": step.train_accuracy,
        "held_out_accuracy": step.test_accuracy,
    })
}

fn lca(run: &RunRead) -> Value {
    let all = run.model.timeline.whole();
    let layout = &run.model.header.layout;
    let total = all.total_sums();
    let layers = layout.layers.iter().enumerate().map(|(index, layer)| {
        let mut row = Map::new();
        row.insert("name".to_owned(), json!(layer.name));
        row.extend(sums(&all.layer_sums(index), layer.range.len(), total.lca));
        Value::Object(row)
    });
    json!({
        "layers": layers.collect::<Vec<_>>(),
        "sum": sums(&total, layout.params(), total.lca),
        "loss_change": all.loss_change(),
        "residual": all.residual(),
        "residual_share": (all.residual() / all.loss_change()).abs(),
        "largest_residual_of_a_step": all.worst_residual(),
        "steps_above_tolerance": all.above_tolerance(),
        "full_gradients": all.gradient_evals(),
    })
}

fn sums(sums: &GroupSums, parameters: usize, total: f64) -> Map<String, Value> {
    let active = GroupSums {
        param_steps: sums.helped.saturating_add(sums.hurt),
        ..*sums
    };
    let row = json!({
        "parameters": parameters,
        "lca": sums.lca,
        "share": sums.lca / total,
        "help": sums.help_share(),
        "hurt": sums.hurt_share(),
        "helping_share_of_active": active.help_share(),
        "sign_flip_every": sums.steps_per_flip(),
    });
    match row {
        Value::Object(row) => row,
        _ => Map::new(),
    }
}

fn finding(finding: &crate::analysis::findings::Finding, header: &RunHeader) -> Value {
    let evidence = &finding.evidence;
    let layer = evidence
        .layer
        .and_then(|layer| header.layout.layers.get(layer));
    json!({
        "kind": finding.kind,
        "text": finding.text,
        "is_trouble": finding.is_trouble,
        "layer": layer.map(|layer| &layer.name),
        "class": evidence.class.and_then(|class| header.classes.get(class)),
        "steps": evidence.steps.as_ref().map(|steps| [steps.start, steps.end]),
        "step": evidence.cursor,
    })
}

/// A text, if there is one.
fn known(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

/// A number, unless it is 0.
fn some<T: Serialize + Default + PartialEq>(number: T) -> Option<T> {
    Some(number).filter(|number| *number != T::default())
}

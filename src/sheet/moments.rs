//! Findings in single steps: moments of learning, the layers that share them, and events.

use std::collections::BTreeMap;

use super::SheetError;
use super::input::SheetInput;
use super::overview::NATS;
use crate::analysis::events::{Detector, EventKind, EventStep, Rules};
use crate::analysis::moments::{KEEP, Moments, shared};
use crate::analysis::nulls::{Draws, NullModel, null};
use crate::export::{Axis, Chart, Column, Exhibit};

/// The most events kept of each kind.
const EVENTS: usize = 1 << 20;

/// Each layer's deepest moments, and which of them are shared; the note compares with chance.
pub fn synchronisation(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let layers = &input.header().layout.layers;
    let mut moments = Moments::new(layers.len(), KEEP);
    input.each(|step| {
        let lca: Vec<f64> = step.layers.iter().map(|layer| layer.lca).collect();
        moments.push(step.first, &lca);
    })?;
    let sets = moments.sets();
    let shared = shared(&sets);
    let together: BTreeMap<u64, u64> = (shared.steps.iter())
        .map(|at| (at.step, at.layers as u64))
        .collect();
    let chance = null(
        &sets,
        &input.request.steps,
        NullModel::Jitter,
        Draws::default(),
    );
    let mut rows = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        rows.extend(
            moments
                .moments(index)
                .into_iter()
                .map(|it| (index, layer, it)),
        );
    }
    let columns = vec![
        Column::text(
            "layer",
            rows.iter()
                .map(|(_, layer, _)| layer.name.clone())
                .collect(),
        ),
        Column::u64("step", None, rows.iter().map(|(.., it)| it.step).collect()),
        Column::f64("lca", NATS, rows.iter().map(|(.., it)| it.lca).collect()),
        Column::u64(
            "layers_together",
            None,
            rows.iter()
                .map(|(.., it)| together.get(&it.step).copied().unwrap_or(1))
                .collect(),
        ),
    ];
    let chart = Chart::Marks {
        rows: layers.iter().map(|layer| layer.name.clone()).collect(),
        steps: input.request.steps.clone(),
        marks: rows
            .iter()
            .map(|(index, _, it)| (*index, it.step))
            .collect(),
        shared: together.into_keys().collect(),
    };
    let axes = (Axis::steps(), Axis::default(), chart);
    let mut exhibit = input.exhibit("Moments of learning", columns, axes)?;
    let p = if chance.p < 0.01 {
        format!("{:.1e}", chance.p)
    } else {
        format!("{:.2}", chance.p)
    };
    exhibit.figure.title = format!(
        "Moments of learning: {} of {} shared; by chance {:.1} ± {:.1} if jittered by 1–2 steps (p = {p}; {} draws)",
        shared.pairs, shared.moments, chance.mean, chance.deviation, chance.draws
    );
    Ok(exhibit)
}

/// All events, one row each.
pub fn events(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let header = input.header();
    let rules = Rules {
        tolerance: header.tolerance,
        keep: EVENTS,
        ..Rules::default()
    };
    let mut detector = Detector::new(header.layout.layers.len(), rules);
    input.each(|step| {
        let lca: Vec<f64> = step.layers.iter().map(|layer| layer.lca).collect();
        detector.push(&EventStep {
            step: step.first,
            loss_before: step.loss_before,
            loss_after: step.loss_after,
            residual: step.residual,
            lca: &lca,
        });
    })?;
    let events = detector.events();
    let kinds = [
        (EventKind::Residual, "residual", "nats"),
        (EventKind::NotFinite, "not finite", "layers"),
        (EventKind::LossSpike, "loss spike", "nats"),
        (EventKind::Synchronised, "synchronised", "layers"),
    ];
    let kind = |kind: EventKind| kinds.iter().position(|known| known.0 == kind).unwrap_or(0);
    let words = |word: fn(&(EventKind, &'static str, &'static str)) -> &'static str| {
        events
            .iter()
            .map(|event| word(&kinds[kind(event.kind)]).to_owned())
            .collect()
    };
    let columns = vec![
        Column::u64(
            "step",
            None,
            events.iter().map(|event| event.step).collect(),
        ),
        Column::text("kind", words(|known| known.1)),
        Column::f64(
            "value",
            None,
            events.iter().map(|event| event.value).collect(),
        ),
        // The unit differs from row to row.
        Column::text("unit", words(|known| known.2)),
    ];
    let chart = Chart::Marks {
        rows: kinds.map(|known| known.1.to_owned()).to_vec(),
        steps: input.request.steps.clone(),
        marks: events
            .iter()
            .map(|event| (kind(event.kind), event.step))
            .collect(),
        shared: Vec::new(),
    };
    let axes = (Axis::steps(), Axis::default(), chart);
    input.exhibit("Events", columns, axes)
}

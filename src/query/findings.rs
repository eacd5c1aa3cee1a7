//! The findings: sentences about what happened in the run so far.
//!
//! All but two facts are observed step by step ([`StepWatch`]). Synchronised moments are compared with chance as on
//! their screen, and dead units are those whose LCA is exactly 0 in each of the latest steps.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::QueryInput;
use super::synchronisation::{NullCache, Synchronisation, counted};
use super::watch::{ReadOutcome, StepWatch};
use crate::analysis::findings::{Context, Finding, Peaks, findings};
use crate::store::StoreError;

/// Latest steps in which a dead unit has no LCA.
const LATEST: u64 = 32;

/// The findings of the steps `0 .. steps`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFindings {
    pub steps: u64,
    /// The most important first.
    pub findings: Vec<Finding>,
}

/// Answers from all steps so far.
pub(super) fn answer(
    input: &QueryInput,
    watch: &mut StepWatch,
    nulls: &mut NullCache,
) -> Result<Answer, StoreError> {
    if watch.catch_up(input)? == ReadOutcome::Cancelled {
        return Ok(Answer::Cancelled);
    }
    let header = input.reader.header();
    let layers = header.layout.layers.iter();
    let names: Vec<String> = layers.map(|layer| layer.name.clone()).collect();
    let lints = watch.lints(header);
    let peaks = counted(watch.moments(), watch.steps(), nulls);
    let context = Context {
        layers: &names,
        classes: &header.classes,
        lints: &lints,
        overfitting: watch.linter.overfitting(),
        peaks: peaks_of(watch, &peaks),
        dead: &dead_units(input, watch.steps())?,
    };
    Ok(Answer::Findings(RunFindings {
        steps: watch.steps(),
        findings: findings(&watch.observer, &context),
    }))
}

/// Returns the shared moments with the LCA of the layers that share them.
#[expect(clippy::cast_possible_truncation, reason = "counts of moments")]
fn peaks_of(watch: &StepWatch, known: &Synchronisation) -> Option<Peaks> {
    let moments = watch.moments();
    let of_layers = (0..moments.layers()).flat_map(|layer| moments.moments(layer));
    let mut sums = vec![0.0; known.shared.len()];
    for moment in of_layers {
        let shared = known
            .shared
            .binary_search_by_key(&moment.step, |(step, _)| *step);
        if let Ok(at) = shared {
            sums[at] += moment.lca;
        }
    }
    let deepest = (0..sums.len()).min_by(|a, b| sums[*a].total_cmp(&sums[*b]))?;
    Some(Peaks {
        shared: known.pairs as usize,
        all: known.count as usize,
        by_chance: known.jitter.mean,
        p: known.jitter.p,
        lca: sums.iter().sum(),
        deepest: known.shared[deepest].0,
    })
}

/// Returns the layers with dead units, beside others that are not dead: `(layer, dead units, units)`.
fn dead_units(input: &QueryInput, steps: u64) -> Result<Vec<(usize, usize, usize)>, StoreError> {
    let layers = &input.reader.header().layout.layers;
    let table = input.reader.table("lca/unit")?;
    let Some(table) = table.filter(|table| steps >= LATEST && table.rows() >= steps) else {
        return Ok(Vec::new());
    };
    let mut alive = vec![false; table.row_len()];
    for rows in table.blocks(&(steps - LATEST..steps)) {
        for row in table.reals(rows)?.chunks(alive.len().max(1)) {
            let units = alive.iter_mut().zip(row);
            units.for_each(|(alive, a)| *alive |= *a != 0.0);
        }
    }
    let dead = layers.iter().enumerate().filter_map(|(layer, it)| {
        let units = alive.get(it.units.clone())?;
        let dead = units.iter().filter(|alive| !**alive).count();
        (dead > 0 && dead < units.len()).then_some((layer, dead, units.len()))
    });
    Ok(dead.collect())
}

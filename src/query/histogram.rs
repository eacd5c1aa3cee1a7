//! How often allocations of each size occurred.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::analyst::{Source, no_such};
use crate::store::StoreError;

/// Counts of non-zero allocations, single parameters in single steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    pub steps: Range<u64>,
    /// `[B + 1]`, ascending, in nats; the outermost are infinite.
    pub edges: Vec<f64>,
    /// `[B]`
    pub counts: Vec<u64>,
    /// Parameter-steps there were, with those whose allocation was 0.
    pub param_steps: u64,
}

pub(super) fn of(source: &Source, layer: Option<u32>) -> Result<Answer, StoreError> {
    let header = source.reader.header();
    let layers = &header.layout.layers;
    let bins = header.histogram_bins();
    let chosen = match layer {
        None => 0..layers.len(),
        Some(layer) if (layer as usize) < layers.len() => layer as usize..layer as usize + 1,
        Some(layer) => return Ok(no_such("layer", layer)),
    };
    let table = source.reader.table("lca/histogram")?;
    let Some(table) = table.filter(|_| bins > 0) else {
        return Ok(Answer::Unknown(
            "this run file has no histogram of allocations".to_owned(),
        ));
    };
    let steps = source.steps.start..source.steps.end.min(table.rows());
    let steps = steps.start.min(steps.end)..steps.end;
    let mut counts = vec![0_u64; bins];
    for rows in table.blocks(&steps) {
        if (source.interrupted)() {
            return Ok(Answer::Interrupted);
        }
        for row in table.counts(rows)?.chunks(table.row_len().max(1)) {
            for layer in row.chunks(bins).skip(chosen.start).take(chosen.len()) {
                for (sum, &count) in counts.iter_mut().zip(layer) {
                    *sum = sum.saturating_add(count.into());
                }
            }
        }
    }
    let params: usize = layers[chosen].iter().map(|layer| layer.range.len()).sum();
    Ok(Answer::Histogram(Histogram {
        edges: header.histogram_edges.clone(),
        counts,
        param_steps: (params as u64).saturating_mul(steps.end - steps.start),
        steps,
    }))
}

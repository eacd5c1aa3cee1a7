//! Histograms of the sizes of allocations.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::{QueryInput, no_such_index, put_cached, take_cached};
use crate::store::StoreError;

/// Counts of non-zero allocations of single parameters in single steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AllocationHistogram {
    pub steps: Range<u64>,
    /// `[B + 1]`, ascending, in nats; the outermost are infinite.
    pub edges: Vec<f64>,
    /// `[B]`: the count in each bin.
    pub counts: Vec<u64>,
    /// All parameter-steps, including those whose allocation was 0.
    pub param_steps: u64,
}

/// Counts of every layer over some steps, to which later steps can be added.
#[derive(Clone, Debug)]
pub struct CachedCounts {
    pub steps: Range<u64>,
    /// `[L, B]`: the counts of each layer.
    counts: Vec<u64>,
}

impl Default for CachedCounts {
    fn default() -> Self {
        Self {
            steps: 0..0,
            counts: Vec::new(),
        }
    }
}

pub(super) fn answer(
    input: &QueryInput,
    layer: Option<u32>,
    kept: &mut Vec<CachedCounts>,
) -> Result<Answer, StoreError> {
    let header = input.reader.header();
    let layers = &header.layout.layers;
    let bins = header.histogram_bins();
    let chosen = match layer {
        None => 0..layers.len(),
        Some(layer) if (layer as usize) < layers.len() => layer as usize..layer as usize + 1,
        Some(layer) => return Ok(no_such_index("layer", layer)),
    };
    let table = input.reader.table("lca/histogram")?;
    let Some(table) = table.filter(|_| bins > 0) else {
        return Ok(Answer::Unknown(
            "this run file has no histogram of allocations".to_owned(),
        ));
    };
    let end = input.steps.end.min(table.rows());
    let steps = input.steps.start.min(end)..end;
    let mut counts = take_cached(kept, &steps, |it: &CachedCounts| &it.steps);
    if counts.steps.is_empty() {
        counts.steps = steps.start..steps.start;
        // An existing row proves that the shape fits the file; without one, only the layout says so.
        counts.counts = if steps.is_empty() {
            Vec::new()
        } else {
            vec![0; table.row_len()]
        };
    }
    for rows in table.blocks(&(counts.steps.end..steps.end)) {
        if (input.cancelled)() {
            // Counts so far are kept.
            put_cached(kept, counts, |it| &it.steps);
            return Ok(Answer::Cancelled);
        }
        for row in table.counts(rows.clone())?.chunks(table.row_len().max(1)) {
            for (sum, &count) in counts.counts.iter_mut().zip(row) {
                *sum = sum.saturating_add(count);
            }
        }
        counts.steps.end = rows.end;
    }
    let mut sums = vec![0_u64; bins];
    for layer in counts
        .counts
        .chunks(bins)
        .skip(chosen.start)
        .take(chosen.len())
    {
        for (sum, &count) in sums.iter_mut().zip(layer) {
            *sum = sum.saturating_add(count);
        }
    }
    put_cached(kept, counts, |it| &it.steps);
    let params: usize = layers[chosen].iter().map(|layer| layer.range.len()).sum();
    Ok(Answer::Histogram(AllocationHistogram {
        edges: header.histogram_edges.clone(),
        counts: sums,
        param_steps: (params as u64).saturating_mul(steps.end - steps.start),
        steps,
    }))
}

//! Oscillation of a layer: its series over the steps, with their sign changes, period and lags.
//!
//! ```text
//! curves       least and most of the steps in each column: A, ‖Δ‖, ‖g‖, cos(Δ, −g)
//! every        parameters × steps / count of sign changes (update, gradient) or turns (gradient, A)
//! r_k          autocorrelation of the normal scores of the layer's A without their trend; period, if significant
//! norms        c_k = corr(‖g‖_t, ‖Δ‖_{t+k})                 how large they are
//! traced       c_k = mean over the layer's traced parameters i of corr(−g_{i,t}, Δ_{i,t+k})
//! others       c_k = corr(A of the other layer at t, A of this one at t + k)
//! ```
//!
//! `Δ_{i,t} = θ_{i,t+1} − θ_{i,t}` is the difference of two rows of `trace/value`, so the last step of the run has
//! none. The whole vectors `Δ_t` and `g_{t−k}` are not in the file, so the dependence of a layer's movement on earlier
//! gradients is known exactly only for traced parameters. For the layer as a whole there are only the norms, whose
//! correlation says when movements are large, not where they go. At k > 0 the second series lags the first by k steps.
//!
//! Curves and counts cover all steps asked for; autocorrelation and lags only the last [`TAIL`] of them.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::{QueryInput, no_such_index};
use super::settings::RunSettings;
use crate::analysis::bins;
use crate::analysis::lag::{CrossCorrelation, LAGS};
use crate::analysis::oscillation::{autocorrelation, crosses, is_turn};
use crate::analysis::period::{dominant_period, scores};
use crate::store::{StepDataset, StoreError};

/// The most steps over which correlations are computed.
pub const TAIL: u64 = 4096;

/// The most lags of the autocorrelation.
const MOST_LAGS: usize = 200;

/// The most traced parameters of a layer that are correlated: the first ones.
const MOST_TRACED: usize = 64;

/// The most columns of the last steps held in memory at once.
const MOST_COLUMNS: usize = 64;

/// A curve in N columns: minimum and maximum over each column's steps, NaN in a gap.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CurveExtremes {
    pub least: Vec<f32>,
    pub most: Vec<f32>,
}

impl CurveExtremes {
    fn new(columns: usize) -> Self {
        Self {
            least: vec![f32::NAN; columns],
            most: vec![f32::NAN; columns],
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "charts need no more than f32"
    )]
    fn push(&mut self, column: usize, value: f64) {
        if value.is_finite() {
            let value = value as f32;
            // `min` and `max` ignore NaN.
            self.least[column] = self.least[column].min(value);
            self.most[column] = self.most[column].max(value);
        }
    }
}

/// Correlations at the lags −10 to 10; NaN where there is none.
pub type Lags = [f64; 2 * LAGS + 1];

/// The lag in steps with the largest correlation, and that correlation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestLag {
    pub steps: i32,
    pub correlation: f64,
}

impl BestLag {
    fn of(lags: Lags) -> Option<Self> {
        let best = CrossCorrelation { values: lags }.best()?;
        Some(Self {
            steps: best.steps,
            correlation: best.correlation,
        })
    }
}

/// The oscillation of one layer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Oscillation {
    /// `[N + 1]`, ascending: column c covers the steps `edges[c] .. edges[c + 1]`.
    pub edges: Vec<u64>,
    /// A in nats; norms of the movement and of the gradient; cosine between the movement and the negative gradient.
    pub lca: CurveExtremes,
    pub movement: CurveExtremes,
    pub gradient: CurveExtremes,
    pub cosine: CurveExtremes,
    /// Parameters times steps.
    pub param_steps: u64,
    /// Sign changes of single parameters' movements and gradients, turns of their gradients and of A; none if not in
    /// the file.
    pub update_flips: Option<u64>,
    pub gradient_flips: Option<u64>,
    pub gradient_turns: Option<u64>,
    pub lca_turns: Option<u64>,
    /// Sign changes and turns of the layer's A, and the number of steps in which A was measured.
    pub crossings: u64,
    pub turns: u64,
    pub measured: u64,
    /// The steps over which everything below is computed.
    pub tail: Range<u64>,
    /// `r_0, r_1, …`; empty if A does not vary.
    pub autocorrelation: Vec<f64>,
    /// The dominant period in steps, and the autocorrelation at it.
    pub period: Option<(f64, f64)>,
    pub norms: Option<BestLag>,
    pub traced: Option<BestLag>,
    /// The layer's traced parameters that vary, and all of them.
    pub traced_used: u32,
    pub traced_there: u32,
    /// The average delay due to momentum alone, in steps.
    pub expected: Option<f64>,
    /// `[L]`: by how many steps this layer lags each other layer; none for itself.
    pub others: Vec<Option<BestLag>>,
}

pub(super) fn answer(input: &QueryInput, layer: u32) -> Result<Answer, StoreError> {
    let reader = input.reader;
    let layout = &reader.header().layout;
    let index = layer as usize;
    let Some(of) = layout.layers.get(index) else {
        return Ok(no_such_index("layer", layer));
    };
    let Some(lca) = reader.table("lca/layer")? else {
        return Ok(Answer::Unknown("this run file has no lca/layer".to_owned()));
    };
    let end = input.steps.end.min(lca.rows());
    let steps = input.steps.start.min(end)..end;
    let count = steps.end - steps.start;
    let n = usize::try_from(count.min(input.columns.max(1).into())).unwrap_or(1);
    let size = usize::try_from(count).unwrap_or(usize::MAX);
    let starts = (0..n).map(|c| steps.start + bins::indices_at(c, size, n).start as u64);
    let mut known = Oscillation {
        edges: starts.chain([steps.end]).collect(),
        lca: CurveExtremes::new(n),
        movement: CurveExtremes::new(n),
        gradient: CurveExtremes::new(n),
        cosine: CurveExtremes::new(n),
        param_steps: (of.range.len() as u64).saturating_mul(count),
        tail: steps.end.saturating_sub(TAIL).max(steps.start)..steps.end,
        expected: RunSettings::of(reader.header()).delay(index),
        ..Oscillation::default()
    };
    let layers = layout.layers.len();
    let read = LayerSteps {
        input,
        layer: index,
        layers,
        steps,
    };
    let Some(series) = curves(&read, &mut known)? else {
        return Ok(Answer::Cancelled);
    };
    known.crossings = series.crossings;
    known.turns = series.turns;
    if !lags(&read, &lca, &mut known)? {
        return Ok(Answer::Cancelled);
    }
    Ok(Answer::Oscillation(Box::new(known)))
}

/// The steps and layer to read.
struct LayerSteps<'a> {
    input: &'a QueryInput<'a>,
    layer: usize,
    layers: usize,
    steps: Range<u64>,
}

impl LayerSteps<'_> {
    /// The layer's column.
    fn column(&self) -> Range<usize> {
        self.layer..self.layer + 1
    }

    /// Passes the layer's value at every step of dataset `name` to `take`; returns false if interrupted.
    fn each(&self, name: &'static str, mut take: impl FnMut(u64, f64)) -> Result<bool, StoreError> {
        let Some(table) = self.input.reader.table(name)? else {
            return Ok(true);
        };
        for rows in table.blocks_of(&self.steps, 1) {
            if (self.input.cancelled)() {
                return Ok(false);
            }
            let values = table.reals_of(rows.clone(), &self.column())?;
            rows.zip(values).for_each(|(step, value)| take(step, value));
        }
        Ok(true)
    }

    /// Sums a count over the steps, or sets none if the file lacks it in some of them; returns false if interrupted.
    fn sum(&self, name: &'static str, sum: &mut Option<u64>) -> Result<bool, StoreError> {
        let table = self.input.reader.table(name)?;
        let Some(table) = table.filter(|table| table.rows() >= self.steps.end) else {
            *sum = None;
            return Ok(true);
        };
        let mut all = 0_u64;
        for rows in table.blocks_of(&self.steps, 1) {
            if (self.input.cancelled)() {
                return Ok(false);
            }
            let counts = table.counts_of(rows, &self.column())?;
            all = counts.into_iter().fold(all, u64::saturating_add);
        }
        *sum = Some(all);
        Ok(true)
    }
}

/// Counts sign changes and turns of a series read block by block.
struct SignChanges {
    /// The newest value, and the value before it.
    last: [f64; 2],
    crossings: u64,
    turns: u64,
}

impl Default for SignChanges {
    fn default() -> Self {
        Self {
            last: [f64::NAN; 2],
            crossings: 0,
            turns: 0,
        }
    }
}

impl SignChanges {
    fn push(&mut self, value: f64) {
        let [before, earlier] = self.last;
        self.crossings += u64::from(crosses([before, value]));
        self.turns += u64::from(is_turn([earlier, before, value]));
        self.last = [value, before];
    }
}

/// Fills in the curves and counts over all steps; none if interrupted.
fn curves(read: &LayerSteps, known: &mut Oscillation) -> Result<Option<SignChanges>, StoreError> {
    let edges = known.edges.clone();
    let column = |step: u64| {
        edges
            .partition_point(|&edge| edge <= step)
            .saturating_sub(1)
    };
    let mut changes = SignChanges::default();
    let Oscillation {
        lca,
        movement,
        gradient,
        cosine,
        measured,
        ..
    } = known;
    let done = read.each("lca/layer", |step, a| {
        lca.push(column(step), a);
        changes.push(a);
        *measured += u64::from(a.is_finite());
    })?;
    let done = done && read.each("motion/update_norm", |t, x| movement.push(column(t), x))?;
    let done = done && read.each("motion/gradient_norm", |t, x| gradient.push(column(t), x))?;
    let done = done && read.each("motion/cosine", |t, x| cosine.push(column(t), x))?;
    if !done {
        return Ok(None);
    }
    let done = read.sum("motion/update_flips", &mut known.update_flips)?
        && read.sum("motion/gradient_flips", &mut known.gradient_flips)?
        && read.sum("motion/gradient_turns", &mut known.gradient_turns)?
        && read.sum("motion/lca_turns", &mut known.lca_turns)?;
    Ok(done.then_some(changes))
}

/// Fills in the correlations of the last steps; returns false if interrupted.
fn lags(read: &LayerSteps, lca: &StepDataset, known: &mut Oscillation) -> Result<bool, StoreError> {
    let (reader, tail) = (read.input.reader, known.tail.clone());
    let own = columns(lca, &tail, read.column())?
        .pop()
        .unwrap_or_default();
    known.autocorrelation = autocorrelation(&scores(&own), MOST_LAGS.min(own.len() / 2));
    known.period = dominant_period(&own).map(|period| (period.steps, period.strength));
    for first in (0..read.layers).step_by(MOST_COLUMNS) {
        let some = first..read.layers.min(first + MOST_COLUMNS);
        for (layer, other) in some.clone().zip(columns(lca, &tail, some)?) {
            if (read.input.cancelled)() {
                return Ok(false);
            }
            let lag = (layer != read.layer)
                .then(|| BestLag::of(CrossCorrelation::between(&other, &own).values));
            known.others.push(lag.flatten());
        }
    }
    let norms = (
        reader.table("motion/gradient_norm")?,
        reader.table("motion/update_norm")?,
    );
    if let (Some(gradient), Some(movement)) = norms {
        let gradient = columns(&gradient, &tail, read.column())?;
        let movement = columns(&movement, &tail, read.column())?;
        if let ([gradient], [movement]) = (&gradient[..], &movement[..]) {
            known.norms = BestLag::of(CrossCorrelation::between(gradient, movement).values);
        }
    }
    traced(read, known)
}

/// Fills in the lag of single parameters' movements behind their negative gradients; returns false if interrupted.
fn traced(read: &LayerSteps, known: &mut Oscillation) -> Result<bool, StoreError> {
    let (reader, tail) = (read.input.reader, known.tail.clone());
    let header = reader.header();
    let Some(layer) = header.layout.layers.get(read.layer) else {
        return Ok(true);
    };
    let inside = |index: &u64| usize::try_from(*index).is_ok_and(|i| layer.range.contains(&i));
    let there = header.traced.iter().filter(|i| inside(i)).count();
    known.traced_there = u32::try_from(there).unwrap_or(u32::MAX);
    // Traced indices are ascending, so those of a layer are contiguous.
    let first = header.traced.iter().position(inside);
    let first = first.unwrap_or(header.traced.len());
    let side_by_side = (header.traced[first..].iter()).take_while(|i| inside(i));
    let places = first..first + side_by_side.take(MOST_TRACED).count();
    let tables = (
        reader.table("trace/value")?,
        reader.table("trace/gradient")?,
    );
    let (Some(value), Some(gradient)) = tables else {
        return Ok(true);
    };
    if places.is_empty() {
        return Ok(true);
    }
    let values = columns(&value, &tail, places.clone())?;
    let gradients = columns(&gradient, &tail, places)?;
    let mut sums = [0.0; 2 * LAGS + 1];
    let mut counts = [0_u32; 2 * LAGS + 1];
    for (values, gradients) in values.iter().zip(gradients) {
        if (read.input.cancelled)() {
            return Ok(false);
        }
        let movement: Vec<f64> = values.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let downhill: Vec<f64> = gradients.iter().map(|g| -g).collect();
        let c = CrossCorrelation::between(&downhill, &movement).values;
        known.traced_used += u32::from(c.iter().any(|c| c.is_finite()));
        for ((sum, count), c) in sums.iter_mut().zip(&mut counts).zip(c) {
            if c.is_finite() {
                *sum += c;
                *count += 1;
            }
        }
    }
    let mut mean = sums;
    for (mean, count) in mean.iter_mut().zip(counts) {
        *mean /= f64::from(count);
    }
    known.traced = BestLag::of(mean);
    Ok(true)
}

/// Reads columns of the last steps, each as one series.
fn columns(
    table: &StepDataset,
    steps: &Range<u64>,
    columns: Range<usize>,
) -> Result<Vec<Vec<f64>>, StoreError> {
    let mut series = vec![Vec::new(); columns.len()];
    for rows in table.blocks_of(steps, columns.len()) {
        let values = table.reals_of(rows, &columns)?;
        for row in values.chunks(columns.len().max(1)) {
            for (series, &value) in series.iter_mut().zip(row) {
                series.push(value);
            }
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::oscillation::{crossings, turns};
    use crate::query::{Analyst, Query, Topic};
    use crate::store::testing::{RecordedRun, RunShape};

    fn answered(run: &RecordedRun, layer: u32, steps: Range<u64>, columns: u32) -> Oscillation {
        let query = Query::about(Topic::Oscillation { layer }, steps, columns);
        match Analyst::new()
            .answer(&run.reader, &query, &|| false)
            .unwrap()
        {
            Answer::Oscillation(known) => *known,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn curves_counts_and_lags_are_those_of_the_series() {
        let run = RecordedRun::new(RunShape {
            steps: 90,
            ..RunShape::default()
        });
        let found = answered(&run, 1, 10..80, 7);
        let series = |layer| -> Vec<f64> { (10..80).map(|t| run.layer(t, layer)).collect() };
        let own = series(1);
        assert_eq!(found.edges, [10, 20, 30, 40, 50, 60, 70, 80]);
        for (c, ten) in own.chunks(10).enumerate() {
            let least = ten.iter().copied().fold(f64::INFINITY, f64::min);
            let most = ten.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            assert!((f64::from(found.lca.least[c]) - least).abs() < 1e-8);
            assert!((f64::from(found.lca.most[c]) - most).abs() < 1e-8);
        }
        assert_eq!(found.crossings, crossings(&own));
        assert_eq!(found.turns, turns(&own));
        assert_eq!((found.measured, found.tail), (70, 10..80));
        // Two sign changes of movements and one of gradients in each of 70 steps of 20 parameters.
        assert_eq!(
            (found.update_flips, found.gradient_flips),
            (Some(140), Some(70))
        );
        assert_eq!(found.param_steps, 1400);
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let expected = autocorrelation(&scores(&own), 35);
        assert_eq!(found.autocorrelation.len(), 36);
        assert!(
            found
                .autocorrelation
                .iter()
                .zip(expected)
                .all(|(a, b)| close(*a, b))
        );
        for (layer, lag) in found.others.iter().enumerate() {
            let expected = CrossCorrelation::between(&series(layer), &own)
                .best()
                .unwrap();
            match lag {
                None => assert_eq!(layer, 1),
                Some(lag) => {
                    assert_eq!(lag.steps, expected.steps);
                    assert!(close(lag.correlation, expected.correlation));
                }
            }
        }
    }

    #[test]
    fn counts_missing_from_the_file_are_unknown() {
        let run = RecordedRun::new(RunShape::default());
        let lacking = run.without(&["motion/lca_turns", "motion/gradient_turns", "motion/cosine"]);
        let found = answered(&lacking, 1, 0..40, 4);
        assert_eq!((found.lca_turns, found.gradient_turns), (None, None));
        assert_eq!(found.update_flips, answered(&run, 1, 0..40, 4).update_flips);
        assert!(found.cosine.least.iter().all(|least| least.is_nan()));
    }

    #[test]
    fn constant_series_have_no_lag_and_missing_ones_are_unknown() {
        let run = RecordedRun::new(RunShape::default());
        let found = answered(&run, 0, 0..40, 4);
        // The two traced parameters of the layer do not move.
        assert_eq!(
            (found.traced, found.traced_used, found.traced_there),
            (None, 0, 2)
        );
        assert_eq!(found.expected, None, "no configuration");
        let none = answered(&run, 0, 7..7, 4);
        assert_eq!((none.measured, none.autocorrelation.len()), (0, 0));
        let query = Query::about(Topic::Oscillation { layer: 99 }, 0..9, 3);
        let answer = Analyst::new()
            .answer(&run.reader, &query, &|| false)
            .unwrap();
        assert!(matches!(answer, Answer::Unknown(_)), "{answer:?}");
    }
}

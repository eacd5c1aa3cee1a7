//! Allocations of groups of parameters over the steps, binned into the columns of a chart.
//!
//! A column's sum covers exactly the steps between its edges. Counts are over single steps: sign changes and turns of a
//! group's allocation do not depend on the columns, and are defined as in
//! [`analysis::oscillation`](crate::analysis::oscillation).
//!
//! Steps that are not in the file yet have no columns; without steps, no group has a total.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::{NO_CLASSES, QueryInput, no_such_index};
use crate::analysis::bins;
use crate::analysis::oscillation::{crosses, is_turn};
use crate::store::{StepDataset, StoreError};

/// Allocations of R groups (units, tensors, classes, layers) over some steps, in N columns. In nats.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Binned {
    /// `[N + 1]`, ascending: column c covers the steps `edges[c] .. edges[c + 1]`.
    pub edges: Vec<u64>,
    /// `[R, N]`, group by group: Σ A. NaN where A was not measured in one of the steps.
    pub sums: Vec<f64>,
    /// `[R, N]`: minimum and maximum of a single step; NaN where A was measured in none.
    pub least: Vec<f32>,
    pub most: Vec<f32>,
    /// `[R]`, over all steps.
    pub groups: Vec<GroupTotals>,
}

/// A group's statistics over all steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupTotals {
    /// Σ A over the steps in which A was measured, in nats; NaN if there are none.
    pub total: f64,
    /// Steps in which A was measured; with A < 0; with A > 0.
    pub steps: u64,
    pub helped: u64,
    pub hurt: u64,
    /// Sign changes of A from one step to the next.
    pub crossings: u64,
    /// Turns of A: from rising to falling, or back.
    pub turns: u64,
    /// The last two allocations, newest first, from which counting continues.
    pub(crate) last: [f64; 2],
}

impl Default for GroupTotals {
    fn default() -> Self {
        Self {
            total: f64::NAN,
            steps: 0,
            helped: 0,
            hurt: 0,
            crossings: 0,
            turns: 0,
            last: [f64::NAN; 2],
        }
    }
}

impl GroupTotals {
    /// Adds the next step's A.
    fn push(&mut self, a: f64) {
        let [before, earlier] = self.last;
        self.crossings += u64::from(crosses([before, a]));
        self.turns += u64::from(is_turn([earlier, before, a]));
        self.last = [a, before];
        if a.is_nan() {
            return;
        }
        self.total = if self.steps == 0 { a } else { self.total + a };
        self.steps += 1;
        self.helped += u64::from(a < 0.0);
        self.hurt += u64::from(a > 0.0);
    }
}

impl Binned {
    pub(super) fn new(steps: &Range<u64>, columns: u32, groups: usize) -> Self {
        let count = steps.end - steps.start;
        let n = usize::try_from(count.min(columns.max(1).into())).unwrap_or(1);
        let size = usize::try_from(count).unwrap_or(usize::MAX);
        let starts = (0..n).map(|c| steps.start + bins::indices_at(c, size, n).start as u64);
        Self {
            edges: starts.chain([steps.end]).collect(),
            sums: vec![0.0; groups * n],
            least: vec![f32::NAN; groups * n],
            most: vec![f32::NAN; groups * n],
            groups: vec![GroupTotals::default(); groups],
        }
    }

    /// The number of columns, N.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.edges.len() - 1
    }

    /// The steps covered.
    #[must_use]
    pub fn steps(&self) -> Range<u64> {
        match (self.edges.first(), self.edges.last()) {
            (Some(&first), Some(&end)) => first..end,
            _ => 0..0,
        }
    }

    /// `[N]`: the sums of one group.
    #[must_use]
    pub fn row(&self, group: usize) -> &[f64] {
        let n = self.columns();
        self.sums.get(group * n..(group + 1) * n).unwrap_or(&[])
    }

    /// The column that contains a step.
    #[must_use]
    pub fn column_of(&self, step: u64) -> Option<usize> {
        let column = (self.edges.partition_point(|&edge| edge <= step)).checked_sub(1)?;
        (column < self.columns()).then_some(column)
    }

    /// Adds a step's A.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "charts need no more than f32"
    )]
    pub(super) fn push(&mut self, column: usize, group: usize, a: f64) {
        self.groups[group].push(a);
        let at = group * self.columns() + column;
        self.sums[at] += a;
        // `min` and `max` ignore NaN.
        self.least[at] = self.least[at].min(a as f32);
        self.most[at] = self.most[at].max(a as f32);
    }
}

/// Bins the `groups` columns of a per-step dataset.
pub(super) fn answer(
    input: &QueryInput,
    name: &'static str,
    groups: Range<usize>,
) -> Result<Answer, StoreError> {
    let Some(table) = input.reader.table(name)? else {
        return Ok(Answer::Unknown(format!("this run file has no {name}")));
    };
    let count = groups.len();
    bin(input, &table, count, |rows, out| {
        for row in 0..rows.len() {
            out.extend(rows.values(row, groups.clone()));
        }
    })
}

/// Bins allocations by class: of one layer, or summed over all layers.
pub(super) fn classes(input: &QueryInput, layer: Option<u32>) -> Result<Answer, StoreError> {
    let header = input.reader.header();
    let (classes, layers) = (header.classes.len(), header.layout.layers.len());
    let chosen = match layer {
        None => 0..layers,
        Some(layer) if (layer as usize) < layers => layer as usize..layer as usize + 1,
        Some(layer) => return Ok(no_such_index("layer", layer)),
    };
    by_class(input, classes, |rows, out| {
        for row in 0..rows.len() {
            for class in 0..classes {
                let at = |layer| class * layers + layer;
                out.extend([rows
                    .values(row, at(chosen.start)..at(chosen.end - 1) + 1)
                    .sum::<f64>()]);
            }
        }
    })
}

/// Bins the allocations of all layers within one class.
pub(super) fn layers_of_class(input: &QueryInput, class: u32) -> Result<Answer, StoreError> {
    let header = input.reader.header();
    let layers = header.layout.layers.len();
    if class as usize >= header.classes.len() {
        return Ok(no_such_index("class", class));
    }
    let start = class as usize * layers;
    by_class(input, layers, |rows, out| {
        for row in 0..rows.len() {
            out.extend(rows.values(row, start..start + layers));
        }
    })
}

/// Bins the allocations of all layers within every class.
pub(super) fn class_layers(input: &QueryInput) -> Result<Answer, StoreError> {
    let header = input.reader.header();
    let groups = header.classes.len() * header.layout.layers.len();
    by_class(input, groups, |rows, out| {
        for row in 0..rows.len() {
            out.extend(rows.values(row, 0..groups));
        }
    })
}

/// Bins the loss of a class after each step.
pub(super) fn class_loss(input: &QueryInput, class: u32) -> Result<Answer, StoreError> {
    if class as usize >= input.reader.header().classes.len() {
        return Ok(no_such_index("class", class));
    }
    let Some(table) = input.reader.table("loss/train_class")? else {
        return Ok(Answer::Unknown(
            "this run file has no losses by class".to_owned(),
        ));
    };
    // Row t + 1 is the loss after step t.
    let after = QueryInput {
        steps: input.steps.start + 1..input.steps.end + 1,
        ..*input
    };
    let at = class as usize;
    let answer = bin(&after, &table, 1, |rows, out| {
        for row in 0..rows.len() {
            out.extend(rows.values(row, at..at + 1));
        }
    })?;
    Ok(match answer {
        Answer::Binned(mut binned) => {
            for edge in &mut binned.edges {
                *edge = edge.saturating_sub(1);
            }
            Answer::Binned(binned)
        }
        other => other,
    })
}

fn by_class(
    input: &QueryInput,
    groups: usize,
    take: impl Fn(&RowBlock, &mut Vec<f64>),
) -> Result<Answer, StoreError> {
    let Some(table) = input.reader.table("lca/class_layer")? else {
        return Ok(Answer::Unknown(NO_CLASSES.to_owned()));
    };
    if groups == 0 || table.row_len() == 0 {
        return Ok(Answer::Unknown(NO_CLASSES.to_owned()));
    }
    let answer = bin(input, &table, groups, take)?;
    match &answer {
        // An empty range says nothing about the run.
        Answer::Binned(binned) if binned.steps().is_empty() => Ok(answer),
        Answer::Binned(binned) if binned.groups.iter().all(|group| group.steps == 0) => {
            Ok(Answer::Unknown(no_lca_by_class(&input.steps)))
        }
        _ => Ok(answer),
    }
}

/// Returns the message that there is no LCA by class in these steps, for a run that has some.
#[must_use]
pub fn no_lca_by_class(steps: &Range<u64>) -> String {
    let steps = match steps.end - steps.start {
        1 => "this step",
        _ => "these steps",
    };
    format!("no LCA by class in {steps} (see --by-class and --class-every)")
}

/// Whole rows of a dataset, as `f64`.
pub(super) struct RowBlock {
    row_len: usize,
    values: Vec<f64>,
}

impl RowBlock {
    fn len(&self) -> usize {
        self.values.len() / self.row_len.max(1)
    }

    fn values(&self, row: usize, columns: Range<usize>) -> impl Iterator<Item = f64> {
        let start = row * self.row_len;
        self.values[start + columns.start..start + columns.end]
            .iter()
            .copied()
    }
}

/// Reads the steps block by block; `take` appends the values of the groups, row by row.
fn bin(
    input: &QueryInput,
    table: &StepDataset,
    groups: usize,
    take: impl Fn(&RowBlock, &mut Vec<f64>),
) -> Result<Answer, StoreError> {
    let steps = input.steps.start..input.steps.end.min(table.rows());
    let steps = steps.start.min(steps.end)..steps.end;
    let mut binned = Binned::new(&steps, input.columns, groups);
    let whole = push_rows(input, table, (&steps, &mut binned), |_| {}, take)?;
    Ok(if whole {
        Answer::Binned(binned)
    } else {
        Answer::Cancelled
    })
}

/// Pushes the steps that the columns cover and reports after each block how far it has come; returns false if
/// interrupted.
fn push_rows(
    input: &QueryInput,
    table: &StepDataset,
    (steps, binned): (&Range<u64>, &mut Binned),
    mut done: impl FnMut(u64),
    take: impl Fn(&RowBlock, &mut Vec<f64>),
) -> Result<bool, StoreError> {
    let groups = binned.groups.len();
    let mut column = 0;
    let mut step = steps.start;
    let mut values = Vec::new();
    for rows in table.blocks(steps) {
        if (input.cancelled)() {
            return Ok(false);
        }
        let block = RowBlock {
            row_len: table.row_len(),
            values: table.reals(rows)?,
        };
        values.clear();
        take(&block, &mut values);
        for row in values.chunks(groups.max(1)) {
            while step >= binned.edges[column + 1] {
                column += 1;
            }
            for (group, &a) in row.iter().enumerate() {
                binned.push(column, group, a);
            }
            step += 1;
        }
        done(step);
    }
    Ok(true)
}

/// Caches sums from the first step on, so that nothing is read twice.
#[derive(Default)]
pub(super) struct RunningCache(Vec<RunningSums>);

struct RunningSums {
    name: &'static str,
    groups: Range<usize>,
    /// One column, up to the steps done.
    binned: Binned,
    done: u64,
}

/// Cached selections of groups: a screen asks for one or two.
const REMEMBERED: usize = 4;

impl RunningCache {
    pub fn answer(
        &mut self,
        input: &QueryInput,
        name: &'static str,
        groups: Range<usize>,
    ) -> Result<Answer, StoreError> {
        let Some(table) = input.reader.table(name)? else {
            return Ok(Answer::Unknown(format!("this run file has no {name}")));
        };
        let end = input.steps.end.min(table.rows());
        if end == 0 {
            return Ok(Answer::Binned(Binned::new(&(0..0), 1, groups.len())));
        }
        let known = (self.0.iter())
            .position(|it| it.name == name && it.groups == groups && it.done <= end)
            .map(|at| self.0.remove(at));
        let mut sums = known.unwrap_or_else(|| RunningSums {
            name,
            groups: groups.clone(),
            binned: Binned::new(&(0..1), 1, groups.len()),
            done: 0,
        });
        sums.binned.edges = vec![0, end];
        let RunningSums { binned, done, .. } = &mut sums;
        let steps = *done..end;
        let whole = push_rows(
            input,
            &table,
            (&steps, binned),
            |now| *done = now,
            |rows, out| {
                for row in 0..rows.len() {
                    out.extend(rows.values(row, groups.clone()));
                }
            },
        )?;
        let answer = if whole {
            Answer::Binned(sums.binned.clone())
        } else {
            Answer::Cancelled
        };
        self.0.truncate(REMEMBERED - 1);
        self.0.insert(0, sums);
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::analysis::oscillation::{crossings, turns};
    use crate::query::{Analyst, Query, StepScope, Topic};
    use crate::store::testing::{RecordedRun, RunShape};

    #[test]
    fn groups_have_no_total_without_steps() {
        let run = RecordedRun::new(RunShape::default());
        let topics = [
            Topic::Tensors,
            Topic::Units { layer: 1 },
            Topic::ClassLayers,
            Topic::Classes { layer: None },
            Topic::LayersOfClass { class: 1 },
            Topic::ClassLoss { class: 1 },
        ];
        for topic in topics {
            for (part, steps) in [
                (StepScope::Cursor, 40..41),
                (StepScope::Window, 60..90),
                (StepScope::All, 0..0),
            ] {
                let query = Query {
                    topic: topic.clone(),
                    part,
                    steps,
                    columns: 5,
                };
                let answer = Analyst::new().answer(&run.reader, &query, &|| false);
                let answer = answer.unwrap();
                assert_eq!(answer.is_about_all_of(&query), query.steps.is_empty());
                let Answer::Binned(binned) = answer else {
                    panic!("{query:?}: {answer:?}");
                };
                assert!(binned.columns() <= 1 && binned.sums.is_empty(), "{query:?}");
                assert!(!binned.groups.is_empty(), "{query:?}");
                let nothing = |group: &GroupTotals| group.total.is_nan() && group.steps == 0;
                assert!(binned.groups.iter().all(nothing), "{binned:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn group_statistics_match_their_definitions(
            a in prop::collection::vec(
                prop_oneof![
                    6 => -1.0..1.0_f64,
                    1 => Just(0.0),
                    1 => Just(f64::NAN),
                    1 => Just(f64::INFINITY),
                    // Products of these underflow to 0.
                    2 => prop_oneof![Just(1e-200), Just(-1e-200)],
                ],
                0..40,
            ),
        ) {
            let mut group = GroupTotals::default();
            for &a in &a {
                group.push(a);
            }
            prop_assert_eq!((group.crossings, group.turns), (crossings(&a), turns(&a)));
        }
    }
}

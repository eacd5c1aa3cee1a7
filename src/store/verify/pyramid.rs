//! Checks that the summaries of many steps match those steps.

use std::collections::VecDeque;

use super::CheckResult;
use crate::record::StepSummary;
use crate::store::error::StoreError;
use crate::store::pyramid::{COLUMNS, LevelRows, group_name};
use crate::store::reader::RunReader;
use crate::store::schema::RowGetter;

/// Steps and rows read at once.
const BLOCK: u64 = 512;

/// Columns that are sums of real numbers, whose last digits depend on the order of addition; everything else is
/// independent of it.
const SUMS: [&str; 5] = ["total", "residual", "lca", "lca_error", "held_out_lca"];

/// Checks that every row equals its merged steps.
pub fn check(reader: &RunReader, committed: u64) -> Result<CheckResult, StoreError> {
    let mut check = CheckResult::new("pyramid");
    let widths = reader.levels.widths();
    let mut levels: Vec<LevelCheck> = widths
        .map(|width| LevelCheck::new(width, committed))
        .collect();
    if levels.is_empty() {
        "none kept".clone_into(&mut check.looked_at);
        return Ok(check);
    }
    let mut from = 0;
    while from < committed {
        let to = committed.min(from + BLOCK);
        for step in reader.steps(from..to)? {
            let mut whole = MergedSteps::from_step(step);
            for level in &mut levels {
                match level.merge(whole) {
                    Some(group) => {
                        let row = group.merged.first / level.width;
                        match level.row(reader, row)? {
                            Some(found) => compare(&mut check, &found, &group),
                            None => check.fault(|| format!("{} has no row {row}", level.name())),
                        }
                        whole = group;
                    }
                    None => break,
                }
            }
        }
        from = to;
    }
    let rows = (levels.iter()).map(|level| format!("{} of {}", level.rows, level.width));
    check.looked_at = format!(
        "rows of these numbers of steps: {}",
        rows.collect::<Vec<_>>().join(", ")
    );
    Ok(check)
}

/// Merged steps, and the same with the magnitudes of their sums, against which rounding is measured.
struct MergedSteps {
    merged: StepSummary,
    sizes: StepSummary,
}

impl MergedSteps {
    fn from_step(step: StepSummary) -> Self {
        let mut sizes = step.clone();
        sizes.total = sizes.total.abs();
        sizes.residual = sizes.residual.abs();
        for layer in &mut sizes.layers {
            layer.lca = layer.lca.abs();
            layer.lca_error = layer.lca_error.abs();
            layer.held_out_lca = layer.held_out_lca.abs();
        }
        let merged = step;
        Self { merged, sizes }
    }

    fn merge(&mut self, later: &Self) {
        self.merged.merge(&later.merged);
        self.sizes.merge(&later.sizes);
    }
}

struct LevelCheck {
    width: u64,
    unfinished: Option<MergedSteps>,
    /// The number of rows required.
    rows: u64,
    /// The next rows read from the file.
    next: VecDeque<StepSummary>,
}

impl LevelCheck {
    fn new(width: u64, committed: u64) -> Self {
        Self {
            width,
            unfinished: None,
            rows: committed / width,
            next: VecDeque::new(),
        }
    }

    fn name(&self) -> String {
        group_name(self.width)
    }

    /// Adds the next part, and returns the group if it is complete.
    fn merge(&mut self, part: MergedSteps) -> Option<MergedSteps> {
        match &mut self.unfinished {
            Some(group) => group.merge(&part),
            None => self.unfinished = Some(part),
        }
        (self.unfinished).take_if(|group| group.merged.end.is_multiple_of(self.width))
    }

    /// The next row in the file.
    fn row(&mut self, reader: &RunReader, row: u64) -> Result<Option<StepSummary>, StoreError> {
        if self.next.is_empty() {
            let rows = row..self.rows.min(row + BLOCK);
            let read = reader.level_rows(self.width, rows)?;
            self.next = read.unwrap_or_default().into();
        }
        Ok(self.next.pop_front())
    }
}

/// Compares a row in the file with its merged steps.
fn compare(check: &mut CheckResult, found: &StepSummary, group: &MergedSteps) {
    let width = group.merged.steps();
    let place = || {
        let row = group.merged.first / width;
        format!("{}, row {row}", group_name(width))
    };
    let [found, expected, sizes] = [found, &group.merged, &group.sizes].map(LevelRows::of);
    for column in COLUMNS {
        let path = column.path;
        match &column.row {
            RowGetter::F64(of) => {
                let is_sum = SUMS.contains(&path);
                let numbers = of(&found).iter().zip(of(&expected)).zip(of(&sizes));
                for ((&found, &expected), &size) in numbers {
                    let slack = if is_sum { 1e-12 * size } else { 0.0 };
                    check.close([found, expected], slack, || {
                        let sum = format!("{}: {path} is", place());
                        (sum, "its steps make".to_owned())
                    });
                }
            }
            RowGetter::U64(of) => {
                let (found, expected) = (of(&found), of(&expected));
                if found != expected {
                    check.fault(|| {
                        let place = place();
                        format!("{place}: {path} is {found:?}, its steps make {expected:?}")
                    });
                }
            }
            RowGetter::F32(_) | RowGetter::U32(_) => {}
        }
    }
}

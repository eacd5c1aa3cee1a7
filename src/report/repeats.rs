//! Means and standard errors of the same numbers over several runs.

use super::document::error_of;
use crate::analysis::ttest::Mean;
use crate::export::{Column, Table, Values};

/// Means over the runs, one for each row of a table or point of a curve.
pub struct Means {
    means: Vec<Mean>,
    several: bool,
}

impl Means {
    /// Takes the means of `[runs][rows]`; the shortest run decides the number of rows.
    pub fn of(runs: &[Vec<f64>]) -> Self {
        let rows = runs.iter().map(Vec::len).min().unwrap_or(0);
        let row = |row: usize| -> Vec<f64> { runs.iter().map(|run| run[row]).collect() };
        Self {
            means: (0..rows).map(|at| Mean::of(&row(at))).collect(),
            several: runs.len() > 1,
        }
    }

    /// Takes the mean of one number per run.
    pub fn of_number(values: impl IntoIterator<Item = f64>) -> Mean {
        Mean::of(&values.into_iter().collect::<Vec<_>>())
    }

    pub fn values(&self) -> Vec<f64> {
        self.means.iter().map(|mean| mean.mean).collect()
    }

    pub fn errors(&self) -> Vec<f64> {
        self.means.iter().map(|mean| mean.error).collect()
    }

    pub fn rows(&self) -> &[Mean] {
        &self.means
    }

    /// Returns the column of means and, for several runs, that of their standard errors.
    pub fn columns(&self, name: &str, unit: Option<&'static str>) -> Vec<Column> {
        let mut columns = vec![Column::f64(name, unit, self.values())];
        if self.several {
            columns.push(Column::f64(error_of(name), unit, self.errors()));
        }
        columns
    }

    /// For several runs, returns the p-value of each mean against 0, and how many runs have a number.
    pub fn test(&self) -> Vec<Column> {
        if !self.several {
            return Vec::new();
        }
        let p = self.means.iter().map(|mean| mean.p).collect();
        let n = self.means.iter().map(|mean| mean.n as u64).collect();
        vec![Column::f64("p", None, p), Column::u64("runs", None, n)]
    }
}

/// Returns a table's column of numbers by index.
pub fn numbers(table: &Table, column: usize) -> Vec<f64> {
    table.columns().get(column).map_or_else(Vec::new, of_column)
}

/// Returns a table's column of numbers by name.
pub fn column_named(table: &Table, name: &str) -> Vec<f64> {
    let column = table.columns().iter().find(|column| column.name == name);
    column.map_or_else(Vec::new, of_column)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn of_column(column: &Column) -> Vec<f64> {
    match &column.values {
        Values::F64(values) => values.clone(),
        Values::U64(values) => values.iter().map(|value| *value as f64).collect(),
        Values::Text(_) => Vec::new(),
    }
}

/// Converts a count to a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_averaged_over_runs() {
        let means = Means::of(&[vec![1.0, 5.0, 9.0], vec![3.0, f64::NAN]]);
        assert_eq!(means.values(), [2.0, 5.0]);
        assert_eq!(means.errors()[0], 1.0);
        assert!(means.errors()[1].is_nan());
        let names: Vec<String> = means
            .columns("a", None)
            .into_iter()
            .map(|c| c.name)
            .collect();
        assert_eq!(names, ["a", "a ± error"]);
        assert_eq!(Means::of(&[vec![1.0]]).columns("a", None).len(), 1);
        assert!(Means::of(&[vec![1.0]]).test().is_empty());
    }
}

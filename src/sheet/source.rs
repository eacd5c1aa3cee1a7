//! Reads steps of a run row by row, and builds columns of them.

use std::ops::Range;

use super::{MOST_NUMBERS, Request, SheetError};
use crate::analysis::scale::format_signed;
use crate::export::{Axis, Chart, Column, Figure, Sheet, Table, Values};
use crate::layout::Layer;
use crate::record::{RunHeader, StepSummary};
use crate::store::RunReader;

/// Steps read at once.
const BLOCK: u64 = 4096;

/// A number of a row.
pub enum Cell {
    Real(f64),
    Count(u64),
}

/// A column that is made of summaries.
pub struct Field<'a> {
    name: String,
    unit: Option<&'static str>,
    get: Box<dyn Fn(&StepSummary) -> Cell + 'a>,
}

impl<'a> Field<'a> {
    pub fn real(
        name: impl Into<String>,
        unit: Option<&'static str>,
        get: impl Fn(&StepSummary) -> f64 + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            unit,
            get: Box::new(move |step| Cell::Real(get(step))),
        }
    }

    pub fn count(name: impl Into<String>, get: impl Fn(&StepSummary) -> u64 + 'a) -> Self {
        Self {
            name: name.into(),
            unit: None,
            get: Box::new(move |step| Cell::Count(get(step))),
        }
    }
}

/// The part of a run that is wanted.
pub struct Source<'a> {
    pub reader: &'a RunReader,
    pub request: &'a Request,
    name: &'a str,
}

impl<'a> Source<'a> {
    pub fn new(reader: &'a RunReader, name: &'a str, request: &'a Request) -> Self {
        Self {
            reader,
            request,
            name,
        }
    }

    pub fn header(&self) -> &'a RunHeader {
        self.reader.header()
    }

    /// The layers that are wanted, with their indices.
    pub fn layers(&self) -> Vec<(usize, &'a Layer)> {
        let layers = self.header().layout.layers.iter().enumerate();
        match self.request.layer {
            None => layers.collect(),
            Some(wanted) => layers.filter(|(index, _)| *index == wanted).collect(),
        }
    }

    /// The step ranges of the rows.
    pub fn rows(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let Range { start, end } = self.request.steps;
        let every = self.request.every.max(1);
        let mut at = start;
        std::iter::from_fn(move || {
            let row = at..at.saturating_add(every).min(end);
            at = row.end;
            (!row.is_empty()).then_some(row)
        })
    }

    fn row_count(&self) -> u64 {
        let steps = &self.request.steps;
        steps
            .end
            .saturating_sub(steps.start)
            .div_ceil(self.request.every.max(1))
    }

    /// Refuses what no memory would hold.
    pub fn check_size(&self, columns: usize) -> Result<(), SheetError> {
        let numbers = self.row_count().saturating_mul(columns as u64);
        if numbers <= MOST_NUMBERS {
            return Ok(());
        }
        Err(SheetError::Unknown(format!(
            "{} rows of {columns} numbers are too many at once: give --steps A..B, --layer NAME, or \
             --every N to add N steps up",
            self.row_count()
        )))
    }

    /// The summary of each row, in order.
    pub fn each(&self, mut visit: impl FnMut(&StepSummary)) -> Result<(), SheetError> {
        let Range { start, end } = self.request.steps;
        let every = self.request.every.max(1);
        let mut row: Option<StepSummary> = None;
        let mut from = start;
        while from < end {
            let to = end.min(from + BLOCK);
            for step in self.reader.steps(from..to)? {
                let summary = match row.take() {
                    None => step,
                    Some(mut summary) => {
                        summary.merge(&step);
                        summary
                    }
                };
                if summary.steps() == every {
                    visit(&summary);
                } else {
                    row = Some(summary);
                }
            }
            from = to;
        }
        if let Some(rest) = row {
            visit(&rest);
        }
        Ok(())
    }

    /// `step` and `steps` of every row.
    pub fn index(&self) -> Vec<Column> {
        let first = self.rows().map(|row| row.start).collect();
        let steps = self.rows().map(|row| row.end - row.start).collect();
        vec![
            Column::u64("step", None, first),
            Column::u64("steps", None, steps),
        ]
    }

    /// The columns `step` and `steps`, and those of the fields.
    pub fn columns(&self, fields: &[Field]) -> Result<Vec<Column>, SheetError> {
        self.check_size(fields.len() + 2)?;
        let mut columns = self.index();
        let mut values: Vec<Option<Values>> = fields.iter().map(|_| None).collect();
        self.each(|row| {
            for (field, values) in fields.iter().zip(&mut values) {
                match ((field.get)(row), values) {
                    (Cell::Real(value), Some(Values::F64(values))) => values.push(value),
                    (Cell::Count(count), Some(Values::U64(values))) => values.push(count),
                    (Cell::Real(value), values) => *values = Some(Values::F64(vec![value])),
                    (Cell::Count(count), values) => *values = Some(Values::U64(vec![count])),
                }
            }
        })?;
        columns.extend(fields.iter().zip(values).map(|(field, values)| Column {
            name: field.name.clone(),
            unit: field.unit,
            values: values.unwrap_or(Values::F64(Vec::new())),
        }));
        Ok(columns)
    }

    /// The line under a figure's title: which run and steps, and how they close.
    pub fn note(&self) -> Result<String, SheetError> {
        let (mut total, mut residual, mut change) = (0.0, 0.0, 0.0);
        self.each(|row| {
            total += row.total;
            residual += row.residual;
            change += row.loss_after - row.loss_before;
        })?;
        let number = |value| format_signed(value, 9).trim_start().to_owned();
        let steps = &self.request.steps;
        Ok(format!(
            "{}, steps {} to {}: ΣLCA {}, actual Δloss {}, residual {} nats",
            self.name,
            steps.start,
            steps.end.saturating_sub(1).max(steps.start),
            number(total),
            number(change),
            number(residual),
        ))
    }

    /// A sheet of columns and a chart.
    pub fn sheet(
        &self,
        title: impl Into<String>,
        columns: Vec<Column>,
        (x, y, chart): (Axis, Axis, Chart),
    ) -> Result<Sheet, SheetError> {
        let mut title = title.into();
        if let Some((_, layer)) = self
            .layers()
            .first()
            .filter(|_| self.request.layer.is_some())
        {
            title = format!("{title}, {}", layer.name);
        }
        Ok(Sheet {
            figure: Figure {
                title: title.clone(),
                note: self.note()?,
                x,
                y,
                chart,
            },
            table: Table::new(title, columns)?,
        })
    }
}

/// The values of a column of real numbers; of another, nothing.
pub fn reals(column: &Column) -> Vec<f64> {
    match &column.values {
        Values::F64(values) => values.clone(),
        _ => Vec::new(),
    }
}

/// A count as a number.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
pub fn number(count: u64) -> f64 {
    count as f64
}

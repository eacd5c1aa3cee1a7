//! Reads the steps of a run row by row, and builds columns from them.

use std::ops::{Deref, Range};

use super::{MOST_NUMBERS, SheetError, SheetRequest};
use crate::analysis::numbers::format_signed;
use crate::analysis::sum::Sum;
use crate::export::{Axis, Chart, Column, Exhibit, Figure, Table, Values};
use crate::layout::Layer;
use crate::query::{Analyst, Answer, Query, Topic};
use crate::record::{RunHeader, StepSummary};
use crate::store::{RunReader, StepDataset as Dataset};

/// Steps read at once.
const BLOCK: u64 = 4096;

/// A number in a row.
pub enum CellValue {
    Real(f64),
    Count(u64),
}

/// The data of a row: a summary of its steps, and the latest held-out evaluation.
pub struct StepsRow {
    summary: StepSummary,
    pub held_out: LatestHeldOut,
}

/// The latest evaluation of the held-out loss in a row. A summary has only that after its last step.
pub struct LatestHeldOut {
    pub evaluations: u64,
    /// The step after which it was made. This, the loss and the accuracy are NaN if there was none.
    pub step: f64,
    pub loss: f64,
    pub accuracy: f64,
}

impl Deref for StepsRow {
    type Target = StepSummary;

    fn deref(&self) -> &StepSummary {
        &self.summary
    }
}

impl StepsRow {
    fn of(step: StepSummary) -> Self {
        let mut held_out = LatestHeldOut {
            evaluations: 0,
            step: f64::NAN,
            loss: f64::NAN,
            accuracy: f64::NAN,
        };
        held_out.update(&step);
        Self {
            summary: step,
            held_out,
        }
    }

    fn push(&mut self, step: &StepSummary) {
        self.summary.merge(step);
        self.held_out.update(step);
    }
}

impl LatestHeldOut {
    fn update(&mut self, step: &StepSummary) {
        // A NaN loss may still be an evaluation: the accuracy tells.
        if step.test_loss.is_nan() && step.test_accuracy.is_nan() {
            return;
        }
        *self = Self {
            evaluations: self.evaluations + 1,
            step: number(step.first),
            loss: step.test_loss,
            accuracy: step.test_accuracy,
        };
    }
}

/// A column computed from rows.
pub struct Field<'a> {
    name: String,
    unit: Option<&'static str>,
    get: Box<dyn Fn(&StepsRow) -> CellValue + 'a>,
}

impl<'a> Field<'a> {
    pub fn real(
        name: impl Into<String>,
        unit: Option<&'static str>,
        get: impl Fn(&StepsRow) -> f64 + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            unit,
            get: Box::new(move |step| CellValue::Real(get(step))),
        }
    }

    pub fn count(name: impl Into<String>, get: impl Fn(&StepsRow) -> u64 + 'a) -> Self {
        Self {
            name: name.into(),
            unit: None,
            get: Box::new(move |step| CellValue::Count(get(step))),
        }
    }
}

/// The requested part of a run.
pub struct SheetInput<'a> {
    pub reader: &'a RunReader,
    pub request: &'a SheetRequest,
    name: &'a str,
    pub alive: &'a dyn Fn(),
}

impl<'a> SheetInput<'a> {
    pub fn new(
        reader: &'a RunReader,
        name: &'a str,
        request: &'a SheetRequest,
        alive: &'a dyn Fn(),
    ) -> Self {
        Self {
            reader,
            request,
            name,
            alive,
        }
    }

    /// Reports that another part of the file has been read.
    pub fn alive(&self) {
        (self.alive)();
    }

    pub fn header(&self) -> &'a RunHeader {
        self.reader.header()
    }

    /// The requested layers, with their indices.
    pub fn layers(&self) -> Vec<(usize, &'a Layer)> {
        let layers = self.header().layout.layers.iter().enumerate();
        match self.request.layer {
            None => layers.collect(),
            Some(wanted) => layers.filter(|(index, _)| *index == wanted).collect(),
        }
    }

    /// The requested layer, if only one was requested.
    pub fn layer(&self) -> Option<&'a Layer> {
        let index = self.request.layer?;
        self.header().layout.layers.get(index)
    }

    /// The requested unit, if any, counted within its layer.
    pub fn unit(&self) -> Result<Option<usize>, SheetError> {
        let (Some(unit), Some(layer)) = (self.request.unit, self.layer()) else {
            return Ok(None);
        };
        let (units, name) = (layer.units.len(), &layer.name);
        if unit < units {
            Ok(Some(unit))
        } else {
            Err(SheetError::Request(format!(
                "--unit {unit}: {name} has {units} units, counted from 0"
            )))
        }
    }

    /// The answer to a query about all the steps.
    pub fn ask(&self, topic: Topic) -> Result<Answer, SheetError> {
        // Never cancelled; the poll only reports progress.
        let cancelled = || {
            self.alive();
            false
        };
        let query = Query::about(topic, self.request.steps.clone(), 1);
        match Analyst::new().answer(self.reader, &query, &cancelled)? {
            Answer::Unknown(why) => Err(SheetError::Unknown(why)),
            answer => Ok(answer),
        }
    }

    /// The title of an exhibit with one column or row per layer.
    pub fn by_layer(&self, what: &str) -> String {
        match self.layer() {
            None => format!("{what} by layer"),
            Some(layer) => format!("{what} of {}", layer.name),
        }
    }

    /// The title of an exhibit about all layers, one layer or one unit.
    pub fn of_layer(&self, what: &str) -> String {
        match self.layer() {
            None => what.to_owned(),
            Some(layer) => match self.request.unit {
                None => format!("{what}, {}", layer.name),
                Some(unit) => format!("{what}, {} unit {unit}", layer.name),
            },
        }
    }

    /// A dataset with one row per step.
    pub fn table(&self, name: &'static str) -> Result<Dataset<'a>, SheetError> {
        let table = self.reader.table(name)?;
        table.ok_or_else(|| SheetError::Unknown(format!("this run file has no {name}")))
    }

    /// Visits the dataset's row of each step, in order.
    pub fn each_row(
        &self,
        table: &Dataset,
        mut visit: impl FnMut(u64, &[f64]),
    ) -> Result<(), SheetError> {
        for block in table.blocks(&self.request.steps) {
            let steps = block.start..;
            let numbers = table.reals(block)?;
            self.alive();
            for (step, row) in steps.zip(numbers.chunks(table.row_len().max(1))) {
                visit(step, row);
            }
        }
        Ok(())
    }

    /// The range of steps of each row.
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

    /// Refuses tables with more than `MOST_NUMBERS` numbers.
    pub fn check_size(&self, columns: usize) -> Result<(), SheetError> {
        let numbers = self.row_count().saturating_mul(columns as u64);
        if numbers <= MOST_NUMBERS {
            return Ok(());
        }
        Err(SheetError::Request(format!(
            "{} rows of {columns} numbers are too many: give --steps A..B, --layer NAME, or --every N to sum N \
             steps into a row",
            self.row_count()
        )))
    }

    /// Visits the data of each row, in order.
    pub fn each(&self, mut visit: impl FnMut(&StepsRow)) -> Result<(), SheetError> {
        let Range { start, end } = self.request.steps;
        let every = self.request.every.max(1);
        let mut unfinished: Option<StepsRow> = None;
        let mut from = start;
        while from < end {
            let to = end.min(from + BLOCK);
            for step in self.reader.steps(from..to)? {
                let row = match unfinished.take() {
                    None => StepsRow::of(step),
                    Some(mut row) => {
                        row.push(&step);
                        row
                    }
                };
                if row.steps() == every {
                    visit(&row);
                } else {
                    unfinished = Some(row);
                }
            }
            self.alive();
            from = to;
        }
        if let Some(rest) = unfinished {
            visit(&rest);
        }
        Ok(())
    }

    /// The columns `step` and `steps`: the first step of each row, and how many it has. If a step covers several
    /// optimizer steps, `optimizer_step` is the first of them.
    pub fn index(&self) -> Vec<Column> {
        let first: Vec<u64> = self.rows().map(|row| row.start).collect();
        let steps = self.rows().map(|row| row.end - row.start).collect();
        let chord = self.header().chord();
        let optimizer = chord.map(|every| {
            first
                .iter()
                .map(|step| step.saturating_mul(every))
                .collect()
        });
        let mut columns = vec![
            Column::u64("step", None, first),
            Column::u64("steps", None, steps),
        ];
        columns.extend(optimizer.map(|steps| Column::u64("optimizer_step", None, steps)));
        columns
    }

    /// The columns `step` and `steps`, followed by those of the fields.
    pub fn columns(&self, fields: &[Field]) -> Result<Vec<Column>, SheetError> {
        self.check_size(fields.len() + 2)?;
        let mut columns = self.index();
        let mut values: Vec<Option<Values>> = fields.iter().map(|_| None).collect();
        self.each(|row| {
            for (field, values) in fields.iter().zip(&mut values) {
                match ((field.get)(row), values) {
                    (CellValue::Real(value), Some(Values::F64(values))) => values.push(value),
                    (CellValue::Count(count), Some(Values::U64(values))) => values.push(count),
                    (CellValue::Real(value), values) => *values = Some(Values::F64(vec![value])),
                    (CellValue::Count(count), values) => *values = Some(Values::U64(vec![count])),
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

    /// The note under a figure's title: the run, the steps, and how they close. Only the whole network closes, so the
    /// LCA of a single layer is given after that.
    fn note(&self) -> Result<String, SheetError> {
        let [mut total, mut residual, mut part] = [Sum::default(); 3];
        let mut ends: Option<(f64, f64)> = None;
        self.each(|row| {
            total.add(row.total);
            residual.add(row.residual);
            let before = ends.map_or(row.loss_before, |(before, _)| before);
            ends = Some((before, row.loss_after));
            if let Some(layer) = self.request.layer {
                part.add(row.layers.get(layer).map_or(f64::NAN, |layer| layer.lca));
            }
        })?;
        let [total, residual, part] = [total, residual, part].map(Sum::value);
        let change = ends.map_or(0.0, |(before, after)| after - before);
        let Range { start, end } = self.request.steps;
        let last = end.saturating_sub(1).max(start);
        let (total, change, residual) = (signed(total), signed(change), signed(residual));
        let sums = format!("ΣLCA {total}, actual Δloss {change}, residual {residual} nats");
        let name = self.name;
        Ok(match self.layer() {
            None => format!("{name}, steps {start} to {last}: {sums}"),
            Some(layer) => format!(
                "{name}, steps {start} to {last}: {}'s ΣLCA {} nats; whole network: {sums}",
                layer.name,
                signed(part)
            ),
        })
    }

    /// An exhibit of the columns and a chart.
    pub fn exhibit(
        &self,
        title: impl Into<String>,
        columns: Vec<Column>,
        (x, y, chart): (Axis, Axis, Chart),
    ) -> Result<Exhibit, SheetError> {
        let title = title.into();
        Ok(Exhibit {
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

/// The error for an answer to another query.
pub fn unexpected(answer: &Answer) -> SheetError {
    SheetError::Unknown(format!("an answer to another query, a bug: {answer:?}"))
}

/// A number with its sign, formatted for people.
pub fn signed(value: f64) -> String {
    format_signed(value, 9).trim_start().to_owned()
}

/// The values of a column of real numbers; empty for other columns.
pub fn reals(column: &Column) -> Vec<f64> {
    match &column.values {
        Values::F64(values) => values.clone(),
        _ => Vec::new(),
    }
}

/// A count as a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^53")]
pub fn number(count: u64) -> f64 {
    count as f64
}

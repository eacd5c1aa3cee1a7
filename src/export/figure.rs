//! The content of a chart, independent of its rendering: data, names, units.
//!
//! One [`Figure`] is one picture, as SVG or PNG. Data come in full: a chart thins out what its width cannot show, and
//! keeps every extreme and every sum.

/// A picture with a title and a note: the source of the numbers, and their residual.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub title: String,
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    pub chart: Chart,
}

/// Quantity, unit and scale of an axis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// For example `loss`; empty for none.
    pub label: String,
    /// For example `nats`.
    pub unit: Option<&'static str>,
    pub spread: AxisScale,
}

/// Scale of an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AxisScale {
    #[default]
    Linear,
    /// Linear, with ticks at whole numbers only.
    Whole,
    /// Linear around zero, logarithmic far from it.
    SymLog,
    /// Logarithmic; values that are not positive are not drawn.
    Log,
}

impl Axis {
    /// Creates a linear axis.
    #[must_use]
    pub fn new(label: impl Into<String>, unit: Option<&'static str>) -> Self {
        Self {
            label: label.into(),
            unit,
            spread: AxisScale::Linear,
        }
    }

    /// Creates the axis of training steps.
    #[must_use]
    pub fn steps() -> Self {
        Self {
            label: "step".to_owned(),
            unit: None,
            spread: AxisScale::Whole,
        }
    }

    /// Returns label and unit: `loss (nats)`.
    #[must_use]
    pub fn title(&self) -> String {
        match self.unit {
            Some(unit) => format!("{} ({unit})", self.label),
            None => self.label.clone(),
        }
    }

    /// Makes the axis logarithmic.
    #[must_use]
    pub fn log(self) -> Self {
        Self {
            spread: AxisScale::Log,
            ..self
        }
    }

    /// Makes the axis logarithmic on both sides of zero.
    #[must_use]
    pub fn symlog(self) -> Self {
        Self {
            spread: AxisScale::SymLog,
            ..self
        }
    }
}

/// A named row of values; NaN is a gap.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub name: String,
    pub values: Vec<f64>,
}

impl Series {
    #[must_use]
    pub fn new(name: impl Into<String>, values: Vec<f64>) -> Self {
        Self {
            name: name.into(),
            values,
        }
    }
}

/// The rule by which steps that share a column of the picture are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// For quantities that add up, as allocations do.
    Sum,
    Mean,
}

/// Values of neighbouring steps: value `i` covers the steps from `first + i · every` up to the next value's first.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    pub first: u64,
    /// At least 1.
    pub every: u64,
    pub series: Vec<Series>,
}

impl Steps {
    /// Number of values in each series; the shortest series decides.
    #[must_use]
    pub fn len(&self) -> usize {
        let lengths = self.series.iter().map(|series| series.values.len());
        lengths.min().unwrap_or(0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Merges neighbouring series into at most `rows`; also returns how many each stands for, apart from the last,
    /// which may stand for fewer. A merged series is named after the first and the last of its group.
    #[must_use]
    pub fn in_rows(&self, rows: usize, merge: Merge) -> (Self, usize) {
        let together = self.series.len().div_ceil(rows.max(1)).max(1);
        let one = |group: &[Series]| {
            let name = match group {
                [first, .., last] => format!("{} … {}", first.name, last.name),
                [only] => only.name.clone(),
                [] => String::new(),
            };
            let at = |column: usize| merge.merge(group.iter().map(|series| series.values[column]));
            Series::new(name, (0..self.len()).map(at).collect())
        };
        let merged = Self {
            series: self.series.chunks(together).map(one).collect(),
            ..*self
        };
        (merged, together)
    }

    /// Merges neighbouring values into at most `columns`, equally many each, apart from the last, which may have fewer.
    #[must_use]
    pub fn merged(&self, columns: usize, merge: Merge) -> Self {
        let together = self.len().div_ceil(columns.max(1)).max(1);
        let one = |values: &[f64]| merge.merge(values.iter().copied());
        let series = |series: &Series| {
            let chunks = series.values[..self.len()].chunks(together);
            Series::new(series.name.clone(), chunks.map(one).collect())
        };
        Self {
            first: self.first,
            every: self.every.saturating_mul(together as u64),
            series: self.series.iter().map(series).collect(),
        }
    }
}

impl Merge {
    fn merge(self, values: impl Iterator<Item = f64> + Clone) -> f64 {
        match self {
            Self::Sum => values.sum(),
            Self::Mean => mean(values),
        }
    }
}

/// Mean of the values that are not NaN.
fn mean(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let there = values.filter(|value| !value.is_nan());
    #[expect(clippy::cast_precision_loss, reason = "a count of values in memory")]
    let count = there.clone().count() as f64;
    there.sum::<f64>() / count
}

/// The kinds of chart.
#[derive(Clone, Debug, PartialEq)]
pub enum Chart {
    /// A line for each series over `x`, which ascends.
    Lines { x: Vec<f64>, series: Vec<Series> },
    /// As `Lines`, each line in a band: `errors[s][i]` is half its width around value i of series s. Without an error,
    /// there is no band.
    Bands {
        x: Vec<f64>,
        series: Vec<Series>,
        errors: Vec<Vec<f64>>,
    },
    /// Contributions that add up: negative ones below zero, positive ones above, and a mark for their sum. Steps that
    /// share a bar are summed.
    StackedBars(Steps),
    /// Series × steps, blue for negative and orange for positive values.
    HeatMap { steps: Steps, merge: Merge },
    /// Counts between edges (one more edge than counts); the outermost edges may be infinite. A mark is a line at a
    /// value with a label.
    Histogram {
        edges: Vec<f64>,
        counts: Vec<f64>,
        mark: Option<(f64, String)>,
    },
    /// Moments: a dot for each `(row, step)`. Steps in `shared` have a mark along the top.
    Marks {
        rows: Vec<String>,
        steps: std::ops::Range<u64>,
        marks: Vec<(usize, u64)>,
        shared: Vec<u64>,
    },
    /// A bar to the left or right for each name and series. `errors[s][i]` is half the length of the whisker at the bar
    /// of name i and series s; without such a number there is no whisker.
    Bars {
        names: Vec<String>,
        series: Vec<Series>,
        errors: Vec<Vec<f64>>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(values: &[f64]) -> Steps {
        let series = Series {
            name: "fc1".to_owned(),
            values: values.to_vec(),
        };
        Steps {
            first: 10,
            every: 2,
            series: vec![series],
        }
    }

    #[test]
    fn neighbouring_steps_are_merged() {
        let five = steps(&[1.0, 2.0, f64::NAN, 4.0, 5.0]);
        let sums = five.merged(3, Merge::Sum);
        assert_eq!((sums.first, sums.every), (10, 4));
        let values = &sums.series[0].values;
        assert_eq!((values[0], values[2]), (3.0, 5.0));
        assert!(values[1].is_nan(), "a sum with an unknown part is unknown");
        assert_eq!(
            five.merged(3, Merge::Mean).series[0].values,
            [1.5, 4.0, 5.0]
        );
        assert_eq!(steps(&[]).merged(3, Merge::Mean).len(), 0);
        assert_eq!(five.merged(0, Merge::Mean).len(), 1);
        assert_eq!(five.merged(9, Merge::Mean).every, 2);
    }

    #[test]
    fn neighbouring_rows_are_merged() {
        let row = |name: &str, values: &[f64]| Series::new(name, values.to_vec());
        let three = Steps {
            first: 7,
            every: 1,
            series: vec![
                row("a", &[1.0, 2.0]),
                row("b", &[3.0, f64::NAN]),
                row("c", &[5.0, 6.0]),
            ],
        };
        let (sums, together) = three.in_rows(2, Merge::Sum);
        assert_eq!((together, sums.series[0].values[0]), (2, 4.0));
        assert!(sums.series[0].values[1].is_nan());
        assert_eq!(sums.series[0].name, "a … b");
        assert_eq!(sums.series[1], three.series[2]);
        let (means, _) = three.in_rows(2, Merge::Mean);
        assert_eq!(means.series[0].values, [2.0, 2.0]);
        assert_eq!(three.in_rows(3, Merge::Sum).1, 1);
        let none = Steps {
            series: Vec::new(),
            ..three
        };
        assert_eq!(none.in_rows(0, Merge::Sum).0.len(), 0);
    }
}

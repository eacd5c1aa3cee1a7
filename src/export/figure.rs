//! What a chart shows, without how it is drawn: data, names, units.
//!
//! One [`Figure`] is one picture, as SVG or PNG. Data come in full: a chart thins out what its width
//! cannot show, and keeps every extreme and every sum.

/// A picture with a title, and a line under it: where the numbers are from, and their residual.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    pub title: String,
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    pub chart: Chart,
}

/// What an axis measures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Axis {
    /// `loss`; empty for none.
    pub label: String,
    /// `nats`
    pub unit: Option<&'static str>,
    pub spread: Spread,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spread {
    #[default]
    Linear,
    /// Linear, with ticks at whole numbers alone.
    Whole,
    /// Straight around zero, decades far out.
    SymLog,
    /// Decades; what is not positive is not drawn.
    Log,
}

impl Axis {
    /// A linear axis.
    #[must_use]
    pub fn new(label: impl Into<String>, unit: Option<&'static str>) -> Self {
        Self {
            label: label.into(),
            unit,
            spread: Spread::Linear,
        }
    }

    /// The axis of training steps.
    #[must_use]
    pub fn steps() -> Self {
        Self {
            label: "step".to_owned(),
            unit: None,
            spread: Spread::Whole,
        }
    }

    /// `loss (nats)`
    #[must_use]
    pub fn title(&self) -> String {
        match self.unit {
            Some(unit) => format!("{} ({unit})", self.label),
            None => self.label.clone(),
        }
    }

    /// The same axis in decades.
    #[must_use]
    pub fn log(self) -> Self {
        Self {
            spread: Spread::Log,
            ..self
        }
    }

    /// The same axis with decades on both sides of zero.
    #[must_use]
    pub fn symlog(self) -> Self {
        Self {
            spread: Spread::SymLog,
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

/// How steps that share a column of the picture are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Of quantities that add up, as allocations do.
    Sum,
    Mean,
}

/// Values of neighbouring steps: value `i` is of the steps from `first + i · every` up to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Steps {
    pub first: u64,
    /// At least 1.
    pub every: u64,
    pub series: Vec<Series>,
}

impl Steps {
    /// Values of each series; the shortest decides.
    #[must_use]
    pub fn len(&self) -> usize {
        let lengths = self.series.iter().map(|series| series.values.len());
        lengths.min().unwrap_or(0)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same in at most `columns` values: as many neighbours put together in each, but for the last,
    /// which may have fewer.
    #[must_use]
    pub fn merged(&self, columns: usize, merge: Merge) -> Self {
        let together = self.len().div_ceil(columns.max(1)).max(1);
        let one = |values: &[f64]| match merge {
            Merge::Sum => values.iter().sum(),
            Merge::Mean => mean(values),
        };
        let series = |series: &Series| Series {
            name: series.name.clone(),
            values: series.values[..self.len()]
                .chunks(together)
                .map(one)
                .collect(),
        };
        Self {
            first: self.first,
            every: self.every.saturating_mul(together as u64),
            series: self.series.iter().map(series).collect(),
        }
    }
}

/// Of those that are there.
fn mean(values: &[f64]) -> f64 {
    let there = values.iter().filter(|value| !value.is_nan());
    #[expect(clippy::cast_precision_loss, reason = "a count of values in memory")]
    let count = there.clone().count() as f64;
    there.sum::<f64>() / count
}

/// The kinds of chart.
#[derive(Clone, Debug, PartialEq)]
pub enum Chart {
    /// A line for each series over `x`, which ascends.
    Lines { x: Vec<f64>, series: Vec<Series> },
    /// The same, each line in a band: `errors[s][i]` is half its width around value i of series s. Where
    /// there is no error, there is no band.
    Bands {
        x: Vec<f64>,
        series: Vec<Series>,
        errors: Vec<Vec<f64>>,
    },
    /// Contributions that add up: negative ones hang below zero, positive ones stand on it, a mark
    /// shows their sum. Steps that share a bar are added up.
    StackedBars(Steps),
    /// Series × steps, blue for negative and orange for positive values.
    HeatMap { steps: Steps, merge: Merge },
    /// Counts between edges (one more than counts); the outermost edges may be infinite. A mark is a line
    /// at a value with a word beside it.
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
    /// A bar to the left or right for each name and series. `errors[s][i]` is the half length of a whisker
    /// at the bar of name i and series s; none where there is no such number.
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
    fn neighbours_are_put_together() {
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
}

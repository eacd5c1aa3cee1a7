//! Heat maps: series × steps as colours, blue for negative, orange for positive and grey for no value, on a
//! symmetric-logarithmic scale with a colour bar.

use super::frame::{Canvas, ChartFrame, Margins};
use super::span::{Span, count, step};
use super::stacked::each;
use crate::analysis::scale::{Domain, Scale};
use crate::export::color::{self, INK};
use crate::export::figure::{Axis, Figure, Merge, Steps};
use crate::export::scene::{Anchor, Element, Raster, Rect, Scene};

/// Maximum number of columns that can be told apart.
const COLUMNS: usize = 700;
/// Height of a row, if there are few.
const ROW: f64 = 18.0;
const LEAST: f64 = 300.0;
const MOST: f64 = 1200.0;
/// Maximum number of rows that can be told apart: one pixel each at the greatest height.
const ROWS: usize = 1200;
/// Number of colours in the colour bar.
const SHADES: usize = 101;

pub fn draw(figure: &Figure, canvas: &Canvas, steps: &Steps, merge: Merge) -> Scene {
    let end = steps
        .first
        .saturating_add(steps.every.saturating_mul(steps.len() as u64));
    let (merged, together) = steps.merged(COLUMNS, merge).in_rows(ROWS, merge);
    let names: Vec<String> = merged.series.iter().map(|s| s.name.clone()).collect();
    let rows = count(names.len());
    let values = || merged.series.iter().flat_map(|s| s.values.iter().copied());
    let finite = values().filter(|value| value.is_finite());
    let largest = finite.fold(0.0, |most: f64, value| most.max(value.abs()));
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let shades = Shades::new(largest);
    let legend = ["-0.00001".to_owned()];
    let margins = Margins {
        height: (rows * ROW).clamp(LEAST, MOST),
        left: &names,
        labelled: !figure.y.label.is_empty(),
        legend: &legend,
        named: false,
    };
    let mut frame = ChartFrame::new(figure, canvas, &margins);
    let mut cells = Vec::with_capacity(names.len() * merged.len());
    for series in &merged.series {
        let row = series.values[..merged.len()].iter();
        cells.extend(row.map(|value| color::diverging(shades.position(*value))));
    }
    // The last column may stand for fewer steps than the others: the axis extends to its full width.
    let span = step(end) - step(steps.first);
    let drawn = step(merged.every) * count(merged.len());
    let along = Span::covering(
        &figure.x,
        [step(steps.first), step(steps.first) + drawn.max(span)],
    );
    let plot = frame.plot;
    frame.axis_along(&along, &figure.x.title());
    if cells.is_empty() {
        frame.no_values();
    } else {
        frame.scene.shapes.push(Element::Raster(Raster {
            place: plot,
            columns: merged.len(),
            cells,
        }));
    }
    frame.names_up(&names);
    if margins.labelled {
        frame.label_up(&figure.y.label);
    }
    frame.border();
    let mut unit = match merge {
        Merge::Sum => each(&value_axis(figure), merged.every),
        Merge::Mean => value_axis(figure).title(),
    };
    if together > 1 {
        unit = match merge {
            Merge::Sum => format!("{unit}, sum of {together} rows"),
            Merge::Mean => format!("{unit}, mean of {together} rows"),
        };
    }
    explain(&mut frame, &shades, &unit);
    frame.scene
}

/// Axis of the colour bar: the vertical axis has names, and its unit is that of the values.
fn value_axis(figure: &Figure) -> Axis {
    Axis::new("LCA", figure.y.unit)
}

/// Maps values to positions on the colour ramp.
struct Shades {
    scale: Scale,
    domain: Domain,
}

impl Shades {
    fn new(largest: f64) -> Self {
        Self {
            scale: Scale::SymLog {
                linear: largest * 1e-3,
            },
            domain: Domain::symmetric(largest),
        }
    }

    /// Position on the ramp, -1 to 1; NaN for NaN.
    fn position(&self, value: f64) -> f64 {
        let unit = self.scale.to_unit(self.domain, value);
        unit.map_or(f64::NAN, |unit| 2.0 * unit - 1.0)
    }
}

/// Draws the colour bar with its ticks.
fn explain(frame: &mut ChartFrame, shades: &Shades, unit: &str) {
    let plot = frame.plot;
    let bar = Rect {
        x: plot.right() + 14.0,
        y: plot.y,
        width: 14.0,
        height: plot.height.min(300.0),
    };
    let shade = |index: usize| {
        let top = 1.0 - 2.0 * count(index) / count(SHADES - 1);
        color::diverging(top)
    };
    frame.scene.shapes.push(Element::Raster(Raster {
        place: bar,
        columns: 1,
        cells: (0..SHADES).map(shade).collect(),
    }));
    let axis = Axis::new("", None);
    let ends = [shades.domain.min(), shades.domain.max()];
    let span = Span::covering(&axis.symlog(), ends);
    for tick in span.ticks_up(bar.height) {
        let y = bar.bottom() - tick.at * bar.height;
        frame
            .scene
            .stroke((bar.right(), y), (bar.right() + 4.0, y), INK, 1.0);
        frame.note((bar.right() + 7.0, y + 4.0), Anchor::Start, &tick.label);
    }
    let below = plot.bottom() + 40.0;
    frame.note((frame.scene.width - 16.0, below), Anchor::End, unit);
}

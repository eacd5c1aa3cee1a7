//! A numeric axis, which maps values to positions.

use crate::analysis::scale::{Domain, Scale};
use crate::analysis::ticks::{LabelSpace, Tick, step_ticks, ticks};
use crate::export::figure::{Axis, AxisScale};

/// Minimum pixels between ticks of a vertical axis.
const GAP: usize = 34;

/// Width of a label's character, in pixels.
const CHARACTER: f64 = 7.0;

/// The range of an axis, and its scale.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    scale: Scale,
    domain: Domain,
    whole: bool,
}

impl Span {
    /// Creates an axis that spans all of `values`.
    pub fn covering(axis: &Axis, values: impl IntoIterator<Item = f64>) -> Self {
        let domain = Domain::of(values);
        let largest = domain.min().abs().max(domain.max().abs());
        Self {
            scale: match axis.spread {
                AxisScale::Linear | AxisScale::Whole => Scale::Linear,
                AxisScale::Log => Scale::Log,
                AxisScale::SymLog => Scale::SymLog {
                    linear: largest * 1e-3,
                },
            },
            domain,
            whole: axis.spread == AxisScale::Whole,
        }
    }

    /// Makes the axis linear up to `linear` and logarithmic beyond.
    pub fn symlog(self, linear: f64) -> Self {
        Self {
            scale: Scale::SymLog { linear },
            ..self
        }
    }

    /// Adds a margin beyond the outermost values, if the axis is linear.
    pub fn with_margin(self) -> Self {
        let (min, max) = (self.domain.min(), self.domain.max());
        let air = match self.scale {
            Scale::Linear => (max - min) * 0.04,
            _ => 0.0,
        };
        Self {
            domain: Domain::new(min - air, max + air),
            ..self
        }
    }

    /// Returns the position of a value: 0 at the least, 1 at the greatest; `None` for NaN.
    pub fn position(&self, value: f64) -> Option<f64> {
        self.scale.to_unit(self.domain, value)
    }

    /// Returns the ticks of a vertical axis `height` pixels long.
    pub fn ticks_up(&self, height: f64) -> Vec<Tick> {
        let cells = pixels(height);
        ticks(
            self.scale,
            self.domain,
            LabelSpace::Rows { cells, gap: GAP },
        )
    }

    /// Returns the ticks of a horizontal axis `width` pixels long.
    pub fn ticks_along(&self, width: f64) -> Vec<Tick> {
        let cells = pixels(width / CHARACTER);
        if !self.whole {
            return ticks(self.scale, self.domain, LabelSpace::Columns { cells });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts of floats saturate"
        )]
        let (from, to) = (
            self.domain.min().ceil().max(0.0) as u64,
            self.domain.max().floor().max(0.0) as u64,
        );
        let mut ticks = step_ticks(from, to.saturating_add(1), cells);
        for tick in &mut ticks {
            // `step_ticks` places them in columns of characters.
            tick.at = self.position(tick.value).unwrap_or(0.0);
        }
        ticks
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats saturate"
)]
fn pixels(length: f64) -> usize {
    length.max(0.0) as usize
}

/// Converts a step to a number on an axis.
#[expect(clippy::cast_precision_loss, reason = "steps stay far below 2^53")]
pub fn step(step: u64) -> f64 {
    step as f64
}

/// Converts a count to a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "counts of things in memory")]
pub fn count(count: usize) -> f64 {
    count as f64
}

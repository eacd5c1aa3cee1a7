//! The most significant oscillation of each layer in windows of consecutive steps.

use std::ops::Range;

use crate::analysis::period::{Period, SIGNIFICANT, strongest_period};

/// Steps in a window, and the fewest in the last one.
const WINDOW: usize = 256;
const LEAST: usize = 32;

/// Fewest cycles in a window: slower waves are hard to tell from a wandering mean.
const CYCLES: f64 = 8.0;

/// A layer's oscillation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LayerOscillation {
    pub layer: usize,
    pub steps: Range<u64>,
    pub period: Period,
    /// The period's p times the number of layers and windows that were searched, at most 1.
    pub p: f64,
}

/// The windows so far.
#[derive(Clone, Debug)]
pub(super) struct Oscillations {
    start: u64,
    /// `[L]`: A in the current window.
    window: Vec<Vec<f64>>,
    windows: u32,
    /// `[L]`: the most significant period of the earlier windows.
    best: Vec<Option<(Range<u64>, Period)>>,
}

impl Oscillations {
    pub fn new(layers: usize) -> Self {
        Self {
            start: 0,
            window: vec![Vec::new(); layers],
            windows: 0,
            best: vec![None; layers],
        }
    }

    pub fn push(&mut self, step: u64, lca: &[f64]) {
        let length = self.length();
        // A window has no missing steps.
        if length == 0 || step != self.start + length as u64 {
            self.close();
            self.start = step;
        }
        for (layer, window) in self.window.iter_mut().enumerate() {
            window.push(lca.get(layer).copied().unwrap_or(f64::NAN));
        }
        if self.length() == WINDOW {
            self.close();
        }
    }

    fn length(&self) -> usize {
        self.window.first().map_or(0, Vec::len)
    }

    /// Ends the current window.
    fn close(&mut self) {
        let length = self.length();
        if length >= LEAST {
            self.windows = self.windows.saturating_add(1);
            let steps = self.start..self.start + length as u64;
            #[expect(clippy::cast_precision_loss, reason = "at most 256")]
            let longest = length as f64 / CYCLES;
            for (window, best) in self.window.iter().zip(&mut self.best) {
                let Some(period) = strongest_period(window).filter(|it| it.steps <= longest) else {
                    continue;
                };
                if best.as_ref().is_none_or(|(_, best)| period.p < best.p) {
                    *best = Some((steps.clone(), period));
                }
            }
        }
        self.window.iter_mut().for_each(Vec::clear);
    }

    /// Returns the significant oscillations, the most significant first.
    #[expect(clippy::cast_precision_loss, reason = "a count of layers")]
    pub fn significant(&self) -> Vec<LayerOscillation> {
        let mut all = self.clone();
        all.close();
        let searched = f64::from(all.windows) * all.best.len() as f64;
        let mut found: Vec<LayerOscillation> = (all.best.into_iter().enumerate())
            .filter_map(|(layer, best)| {
                let (steps, period) = best?;
                let p = (period.p * searched).min(1.0);
                Some(LayerOscillation {
                    layer,
                    steps,
                    period,
                    p,
                })
            })
            .filter(|oscillation| oscillation.p < SIGNIFICANT)
            .collect();
        found.sort_by(|a, b| a.p.total_cmp(&b.p));
        found
    }
}

//! The most significant oscillation of each layer in windows of consecutive steps.
//!
//! Of the first 64 windows each is searched, of the next 64 every other one, of the next 128 every fourth one, and so
//! on: the cost of a step falls as the run goes on, and a run of a million steps searches 256 windows.

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
    /// All windows so far, and those searched.
    windows: u64,
    searched: u32,
    /// `[L]`: the most significant period of the earlier windows.
    best: Vec<Option<(Range<u64>, Period)>>,
}

impl Oscillations {
    pub fn new(layers: usize) -> Self {
        Self {
            start: 0,
            window: vec![Vec::new(); layers],
            windows: 0,
            searched: 0,
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
    #[expect(clippy::cast_precision_loss, reason = "at most 256")]
    fn close(&mut self) {
        let length = self.length();
        if length >= LEAST {
            if is_searched(self.windows) {
                self.searched = self.searched.saturating_add(1);
                self.search(length as f64 / CYCLES);
            }
            self.windows += 1;
        }
        self.window.iter_mut().for_each(Vec::clear);
    }

    /// Searches the current window for periods of at most `longest` steps.
    fn search(&mut self, longest: f64) {
        let steps = self.start..self.start + self.length() as u64;
        for (window, best) in self.window.iter().zip(&mut self.best) {
            let Some(period) = strongest_period(window).filter(|it| it.steps <= longest) else {
                continue;
            };
            if best.as_ref().is_none_or(|(_, best)| period.p < best.p) {
                *best = Some((steps.clone(), period));
            }
        }
    }

    /// Returns the significant oscillations, the most significant first.
    #[expect(clippy::cast_precision_loss, reason = "a count of layers")]
    pub fn significant(&self) -> Vec<LayerOscillation> {
        let mut all = self.clone();
        all.close();
        let searched = f64::from(all.searched) * all.best.len() as f64;
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

/// Returns true if a window is searched, by its number.
fn is_searched(window: u64) -> bool {
    let doublings = window.max(1).ilog2().saturating_sub(5);
    window.is_multiple_of(1 << doublings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_searched_ever_more_sparsely() {
        let count = |windows| (0..windows).filter(|&window| is_searched(window)).count();
        assert_eq!(
            [count(64), count(128), count(256), count(4096)],
            [64, 96, 128, 256]
        );
    }

    #[test]
    fn only_the_window_that_oscillates_is_found() {
        let mut oscillations = Oscillations::new(1);
        for step in 0..1100_u32 {
            // The fractional parts of multiples of squares: noise.
            let noise = (f64::from(step) * f64::from(step) * 0.618_034).fract() - 0.5;
            let wave = (f64::from(step) * std::f64::consts::TAU / 9.3).sin();
            let planted = if (512..768).contains(&step) {
                wave
            } else {
                0.0
            };
            oscillations.push(step.into(), &[noise + planted]);
        }
        let found = oscillations.significant();
        assert_eq!((found.len(), &found[0].steps), (1, &(512..768)));
        assert!((found[0].period.steps - 9.3).abs() < 0.1, "{found:?}");
        assert!(
            (found[0].p / found[0].period.p - 5.0).abs() < 1e-9,
            "five windows"
        );
    }
}

//! Counts over all steps of a run.

use std::ops::Range;

use crate::analysis::sum::Sum;

/// The number of steps in which something occurred, and the last of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Occurrences {
    pub count: u64,
    pub last: u64,
}

impl Occurrences {
    pub fn count(&mut self, occurs: bool, step: u64) {
        if occurs {
            self.count += 1;
            self.last = step;
        }
    }
}

/// Steps in a row in which something occurs: those up to the newest step, and the longest such streak.
#[derive(Clone, Debug, Default)]
pub(super) struct Streak {
    current: Range<u64>,
    longest: Range<u64>,
}

impl Streak {
    /// Takes in the next step. Returns true if a streak begins.
    pub fn push(&mut self, step: u64, occurs: bool) -> bool {
        let begins = occurs && self.current.is_empty();
        if !occurs {
            self.current = 0..0;
            return false;
        }
        let start = if begins { step } else { self.current.start };
        self.current = start..step.saturating_add(1);
        if length(&self.current) > length(&self.longest) {
            self.longest = self.current.clone();
        }
        begins
    }

    pub fn longest(&self) -> Range<u64> {
        self.longest.clone()
    }

    /// Returns true if the longest streak goes on.
    pub fn goes_on(&self) -> bool {
        !self.longest.is_empty() && self.current == self.longest
    }
}

pub(super) fn length(steps: &Range<u64>) -> u64 {
    steps.end - steps.start
}

/// The counts of one layer.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerTally {
    pub broken: Occurrences,
    pub still: Streak,
    pub vanishing: Streak,
    /// The largest norm in the current streak of vanishing gradients, and in the longest.
    norm: f64,
    pub longest_norm: f64,
    /// Steps with a finite A, those of them with A > 0, and ΣA in nats.
    pub known: u64,
    pub hurt: u64,
    pub lca: Sum,
    /// Steps in which both losses were allocated; their sums, and sums of squares.
    pub both: u64,
    pub train: SumAndSquares,
    pub held_out: SumAndSquares,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SumAndSquares {
    sum: Sum,
    squares: f64,
}

impl SumAndSquares {
    fn push(&mut self, value: f64) {
        self.sum.add(value);
        self.squares += value * value;
    }

    /// Returns the sum, and how far one of independent steps of either sign would be from 0.
    pub fn with_drift(self) -> (f64, f64) {
        (self.sum.value(), self.squares.sqrt())
    }
}

impl LayerTally {
    pub fn push_gradient(&mut self, step: u64, norm: f64, vanishes: bool) {
        if self.vanishing.push(step, vanishes) {
            self.norm = 0.0;
        }
        if vanishes {
            self.norm = self.norm.max(norm);
            if self.vanishing.goes_on() {
                self.longest_norm = self.norm;
            }
        }
    }

    pub fn push_lca(&mut self, train: f64, held_out: f64) {
        if !train.is_finite() {
            return;
        }
        self.known += 1;
        self.hurt += u64::from(train > 0.0);
        self.lca.add(train);
        if held_out.is_finite() {
            self.both += 1;
            self.train.push(train);
            self.held_out.push(held_out);
        }
    }
}

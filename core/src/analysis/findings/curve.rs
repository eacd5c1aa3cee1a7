//! The loss over a run in bounded memory: its first value, its newest, and the least in each block of steps.

/// Most blocks: when there are more, two become one.
const MOST: usize = 1024;

#[derive(Clone, Debug)]
pub(super) struct LossCurve {
    /// Steps in a block, a power of two.
    width: u64,
    /// The least loss after a step of each block, and the first such step; NaN is left out.
    blocks: Vec<(u64, f64)>,
    pub first: f64,
    pub newest: f64,
}

impl Default for LossCurve {
    fn default() -> Self {
        Self {
            width: 1,
            blocks: Vec::new(),
            first: f64::NAN,
            newest: f64::NAN,
        }
    }
}

impl LossCurve {
    pub fn push(&mut self, step: u64, before: f64, after: f64) {
        if self.first.is_nan() {
            self.first = before;
        }
        self.newest = after;
        if !after.is_finite() {
            return;
        }
        self.add((step, after));
        while self.blocks.len() > MOST {
            self.width *= 2;
            for block in std::mem::take(&mut self.blocks) {
                self.add(block);
            }
        }
    }

    fn add(&mut self, (step, loss): (u64, f64)) {
        match self.blocks.last_mut() {
            Some(last) if last.0 / self.width == step / self.width => {
                if loss < last.1 {
                    *last = (step, loss);
                }
            }
            _ => self.blocks.push((step, loss)),
        }
    }

    /// Returns true if steps are known only to within a block of several.
    pub fn is_coarse(&self) -> bool {
        self.width > 1
    }

    /// Returns the first step after which the loss is at most `level`. In runs of more than [`MOST`] steps it may come
    /// up to 2 / [`MOST`] of the run too late.
    pub fn reached(&self, level: f64) -> Option<u64> {
        let found = self.blocks.iter().find(|(_, loss)| *loss <= level);
        found.map(|(step, _)| *step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn levels_are_reached_as_a_plain_search_finds(
            losses in prop::collection::vec(0.0_f64..1.0, 1..4000),
            level in 0.0_f64..1.0,
        ) {
            let mut curve = LossCurve::default();
            let mut before = 2.0;
            for (step, &loss) in (0..).zip(&losses) {
                curve.push(step, before, loss);
                before = loss;
            }
            let exact = losses.iter().position(|loss| *loss <= level);
            let found = curve.reached(level);
            prop_assert!(curve.blocks.len() <= MOST);
            prop_assert_eq!(exact.is_some(), found.is_some());
            if let (Some(exact), Some(found)) = (exact, found) {
                let late = found - exact as u64;
                prop_assert!(late < curve.width, "{exact} {found}");
                prop_assert!(curve.width == 1 || curve.width * 512 <= losses.len() as u64 * 2);
            }
        }
    }
}

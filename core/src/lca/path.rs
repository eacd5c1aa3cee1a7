//! The segment of a step, and the gradient averaged along it: computed where they are used, a few parameters at a time.

use super::quadrature::Rule;

/// Sums of the gradient at the inner nodes of a segment. The gradients at its ends are kept by their owner.
#[derive(Default)]
pub struct InnerSums {
    /// `[P]`: over the odd nodes of the current rule.
    odd: Vec<f64>,
    /// `[P]`: over the even ones.
    even: Vec<f64>,
    /// True once the step has had such nodes. Until then, the vector holds an earlier step's sum.
    has_odd: bool,
    has_even: bool,
}

impl InnerSums {
    /// Forgets all nodes.
    pub fn clear(&mut self) {
        (self.has_odd, self.has_even) = (false, false);
    }

    /// Returns the sum to which a new node is to be added (`[P]`), and whether it has to be overwritten instead.
    pub fn new_node(&mut self, params: usize) -> (&mut [f64], bool) {
        self.odd.resize(params, 0.0);
        let is_first = !std::mem::replace(&mut self.has_odd, true);
        (&mut self.odd, is_first)
    }

    /// Prepares for a finer rule: the odd nodes become even.
    pub fn refine(&mut self) {
        if !std::mem::take(&mut self.has_odd) {
            return;
        }
        if std::mem::replace(&mut self.has_even, true) {
            for (even, odd) in self.even.iter_mut().zip(&self.odd) {
                *even += odd;
            }
        } else {
            std::mem::swap(&mut self.odd, &mut self.even);
        }
    }

    /// Returns the average along the segment by `rule`, from these sums and the gradients at both ends (`[P]`).
    pub fn average<'a>(&'a self, rule: Rule, start: &'a [f32], end: &'a [f32]) -> MeanGradient<'a> {
        fn some(sum: &[f64], there_are: bool) -> &[f64] {
            if there_are { sum } else { &[] }
        }
        MeanGradient {
            weights: rule.weights(),
            start,
            end,
            odd: some(&self.odd, self.has_odd),
            even: some(&self.even, self.has_even),
        }
    }
}

/// ḡ: a gradient averaged along the segment, `[P]`.
#[derive(Clone, Copy)]
pub struct MeanGradient<'a> {
    /// Weights of the four vectors below.
    weights: [f64; 4],
    /// Gradient at the start of the segment.
    pub start: &'a [f32],
    /// Gradient at its end.
    pub end: &'a [f32],
    odd: &'a [f64],
    even: &'a [f64],
}

impl<'a> MeanGradient<'a> {
    /// The average by the first-order rule: the gradient at the start.
    #[must_use]
    pub fn first_order(start: &'a [f32], end: &'a [f32]) -> Self {
        Self {
            weights: Rule::FirstOrder.weights(),
            start,
            end,
            odd: &[],
            even: &[],
        }
    }

    /// Computes the average of the parameters from `at` on.
    #[inline(always)]
    pub(super) fn fill(&self, at: usize, out: &mut [f64]) {
        let [start, end, odd, even] = self.weights;
        let range = at..at + out.len();
        let ends = self.start[range.clone()]
            .iter()
            .zip(&self.end[range.clone()]);
        for (out, (&s, &e)) in out.iter_mut().zip(ends) {
            *out = start * f64::from(s) + end * f64::from(e);
        }
        for (weight, sum) in [(odd, self.odd), (even, self.even)] {
            if !sum.is_empty() {
                for (out, sum) in out.iter_mut().zip(&sum[range.clone()]) {
                    *out += weight * sum;
                }
            }
        }
    }
}

/// The segment from `from` to `to` (`[P]`) and the gradients averaged along it.
#[derive(Clone, Copy)]
pub struct StepPath<'a> {
    pub from: &'a [f32],
    pub to: &'a [f32],
    /// Mean gradient of the training loss.
    pub train: MeanGradient<'a>,
    /// Mean gradient of the held-out loss, if it is allocated.
    pub held_out: Option<MeanGradient<'a>>,
}

/// Computes Δ of the parameters from `at` on.
#[inline(always)]
pub fn movement(from: &[f32], to: &[f32], at: usize, out: &mut [f64]) {
    let range = at..at + out.len();
    let ends = from[range.clone()].iter().zip(&to[range]);
    for (out, (&from, &to)) in out.iter_mut().zip(ends) {
        *out = f64::from(to) - f64::from(from);
    }
}

/// Converts the values from `at` on to double precision.
#[inline(always)]
pub fn widen(values: &[f32], at: usize, out: &mut [f64]) {
    for (out, &value) in out.iter_mut().zip(&values[at..]) {
        *out = f64::from(value);
    }
}

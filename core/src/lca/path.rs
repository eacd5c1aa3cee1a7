//! The segment of a step, and the gradient averaged along it: computed where they are used, a few parameters at a time.

use super::quadrature::Rule;

/// Sums of the gradient at the inner nodes of a segment. The gradients at its ends are kept by their owner.
#[derive(Default)]
pub struct InnerSums {
    /// Over the odd nodes of the current rule.
    odd: NodeSum,
    /// Over the even ones.
    even: NodeSum,
}

/// The sum of the gradient at some nodes, `[P]`. The gradient at a single node is kept as it is, which takes half the
/// memory: most steps have only one inner node.
#[derive(Default)]
struct NodeSum {
    nodes: Nodes,
    one: Vec<f32>,
    many: Vec<f64>,
}

/// The vector that holds a sum; the others hold an earlier step's.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Nodes {
    #[default]
    None,
    One,
    Many,
}

/// The sum to which a node's gradient is to be added, `[P]`.
pub struct Addition<'a> {
    pub sum: &'a mut [f64],
    /// The gradient with which the sum begins, or empty if it has begun.
    pub first: &'a [f32],
}

impl InnerSums {
    /// Forgets all nodes. A gradient that was kept becomes the memory for the next one, `spare`, if there is none.
    pub fn clear(&mut self, spare: &mut Vec<f32>) {
        if spare.is_empty() && self.odd.nodes == Nodes::One {
            std::mem::swap(spare, &mut self.odd.one);
        }
        (self.odd.nodes, self.even.nodes) = (Nodes::None, Nodes::None);
    }

    /// Returns the sum to which the gradient at a new node is to be added. The first has none: it is to be
    /// [kept](Self::keep).
    pub fn new_node(&mut self, params: usize) -> Option<Addition<'_>> {
        self.odd.add(params)
    }

    /// Keeps the gradient at the node added last if it is the first one, in exchange for other memory.
    pub fn keep(&mut self, gradient: &mut Vec<f32>) {
        if self.odd.nodes == Nodes::One {
            std::mem::swap(&mut self.odd.one, gradient);
        }
    }

    /// Prepares for a finer rule: the odd nodes become even.
    pub fn refine(&mut self) {
        let Self { odd, even } = self;
        match (odd.nodes, even.nodes) {
            (Nodes::None, _) => return,
            (_, Nodes::None) => std::mem::swap(odd, even),
            _ => even.merge(odd),
        }
        self.odd.nodes = Nodes::None;
    }

    /// Returns the average along the segment by `rule`, from these sums and the gradients at both ends (`[P]`).
    pub fn average<'a>(&'a self, rule: Rule, start: &'a [f32], end: &'a [f32]) -> MeanGradient<'a> {
        MeanGradient {
            weights: rule.weights(),
            start,
            end,
            odd: self.odd.known(),
            even: self.even.known(),
        }
    }

    /// The sums with one node, that has this gradient.
    #[cfg(test)]
    pub fn with_one(mut gradient: Vec<f32>) -> Self {
        let mut sums = Self::default();
        assert!(sums.new_node(gradient.len()).is_none());
        sums.keep(&mut gradient);
        sums
    }
}

impl NodeSum {
    fn add(&mut self, params: usize) -> Option<Addition<'_>> {
        let before = self.nodes;
        self.nodes = match before {
            Nodes::None => Nodes::One,
            Nodes::One | Nodes::Many => Nodes::Many,
        };
        if before == Nodes::None {
            return None;
        }
        self.many.resize(params, 0.0);
        Some(Addition {
            sum: &mut self.many,
            first: if before == Nodes::One { &self.one } else { &[] },
        })
    }

    /// Adds another sum to this one; neither is empty.
    fn merge(&mut self, other: &Self) {
        if std::mem::replace(&mut self.nodes, Nodes::Many) == Nodes::One {
            self.many.clear();
            self.many.extend(self.one.iter().copied().map(f64::from));
        }
        match other.known() {
            KnownSum::Zero => {}
            KnownSum::One(values) => {
                for (sum, value) in self.many.iter_mut().zip(values) {
                    *sum += f64::from(*value);
                }
            }
            KnownSum::Many(values) => {
                for (sum, value) in self.many.iter_mut().zip(values) {
                    *sum += value;
                }
            }
        }
    }

    fn known(&self) -> KnownSum<'_> {
        match self.nodes {
            Nodes::None => KnownSum::Zero,
            Nodes::One => KnownSum::One(&self.one),
            Nodes::Many => KnownSum::Many(&self.many),
        }
    }
}

/// A sum of gradients.
#[derive(Clone, Copy)]
enum KnownSum<'a> {
    Zero,
    One(&'a [f32]),
    Many(&'a [f64]),
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
    odd: KnownSum<'a>,
    even: KnownSum<'a>,
}

impl<'a> MeanGradient<'a> {
    /// The average by the first-order rule: the gradient at the start.
    #[must_use]
    pub fn first_order(start: &'a [f32], end: &'a [f32]) -> Self {
        Self {
            weights: Rule::FirstOrder.weights(),
            start,
            end,
            odd: KnownSum::Zero,
            even: KnownSum::Zero,
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
            match sum {
                KnownSum::Zero => {}
                KnownSum::One(values) => {
                    for (out, &value) in out.iter_mut().zip(&values[range.clone()]) {
                        *out += weight * f64::from(value);
                    }
                }
                KnownSum::Many(values) => {
                    for (out, value) in out.iter_mut().zip(&values[range.clone()]) {
                        *out += weight * value;
                    }
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

//! Integration rules on [0, 1] and the sums over nodes that they are made from.
//!
//! With nodes at multiples of 1/S, composite Simpson is
//! `(f_0 + 4 f_{1/S} + 2 f_{2/S} + … + 4 f_{(S−1)/S} + f_1) / 3S`
//! (Abramowitz and Stegun, 25.4.6). Doubling S keeps every node: the odd ones become even, and only
//! the new odd ones must be evaluated. So three sums are enough: over the ends, the odd nodes and
//! the even inner nodes.

/// An integration rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The value at 0 only.
    FirstOrder,
    /// The mean of the values at both ends.
    Trapezoid,
    /// Composite Simpson over this many segments: an even number; 2 is plain Simpson.
    Simpson(u32),
}

impl Rule {
    /// Returns S as the run file records it: 0 first-order, 1 trapezoid, 2 Simpson, 4 … composite.
    #[must_use]
    pub fn segments(self) -> u32 {
        match self {
            Self::FirstOrder => 0,
            Self::Trapezoid => 1,
            Self::Simpson(segments) => segments,
        }
    }

    /// Returns the next finer rule, which uses every node of this one.
    #[must_use]
    pub fn refined(self) -> Self {
        match self {
            Self::FirstOrder => Self::Trapezoid,
            Self::Trapezoid => Self::Simpson(2),
            Self::Simpson(segments) => Self::Simpson(segments * 2),
        }
    }

    /// Returns the weights of the values at the start and at the end, and of the sums over the odd and the even inner
    /// nodes.
    #[must_use]
    pub fn weights(self) -> [f64; 4] {
        match self {
            Self::FirstOrder => [1.0, 0.0, 0.0, 0.0],
            Self::Trapezoid => [0.5, 0.5, 0.0, 0.0],
            Self::Simpson(segments) => {
                let third = 1.0 / (3.0 * f64::from(segments));
                [third, third, 4.0 * third, 2.0 * third]
            }
        }
    }

    /// Returns the inner nodes that the next coarser rule lacks.
    pub fn new_inner_nodes(self) -> impl Iterator<Item = f64> {
        let segments = match self {
            Self::FirstOrder | Self::Trapezoid => 0,
            Self::Simpson(segments) => segments,
        };
        (1..segments)
            .step_by(2)
            .map(move |k| f64::from(k) / f64::from(segments))
    }
}

/// Position of a node on the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePosition {
    /// α = 0
    Start,
    /// α = 1
    End,
    /// A new inner node of the current rule.
    Inner,
}

/// Sums of a vector-valued function over the nodes seen so far.
#[derive(Clone, Debug, Default)]
pub struct NodeSums {
    start: Vec<f64>,
    end: Vec<f64>,
    odd: Vec<f64>,
    even: Vec<f64>,
}

impl NodeSums {
    /// Clears the sums; the function then has `len` components.
    pub fn clear(&mut self, len: usize) {
        for sum in [
            &mut self.start,
            &mut self.end,
            &mut self.odd,
            &mut self.even,
        ] {
            sum.clear();
            sum.resize(len, 0.0);
        }
    }

    /// Number of components of the function.
    #[must_use]
    pub fn components(&self) -> usize {
        self.start.len()
    }

    /// Adds the function's values at a node.
    pub fn add_node(&mut self, place: NodePosition, values: impl Iterator<Item = f64>) {
        let (sums, add) = match place {
            NodePosition::Start => (&mut self.start, false),
            NodePosition::End => (&mut self.end, false),
            NodePosition::Inner => (&mut self.odd, true),
        };
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = if add { *sum + value } else { value };
        }
    }

    /// Prepares for a finer rule: the odd nodes become even.
    pub fn refine(&mut self) {
        for (even, odd) in self.even.iter_mut().zip(&mut self.odd) {
            *even += std::mem::take(odd);
        }
    }

    /// Returns the integral of every component by `rule`, which must be the current rule or one that needs only the
    /// ends (first-order or trapezoid).
    pub fn integral(&self, rule: Rule) -> impl Iterator<Item = f64> {
        let [start, end, odd, even] = rule.weights();
        let ends = self.start.iter().zip(&self.end);
        let inner = self.odd.iter().zip(&self.even);
        ends.zip(inner)
            .map(move |((s, e), (o, v))| start * s + end * e + odd * o + even * v)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integrates `f` by refining up to `rule`.
    fn integrate(f: impl Fn(f64) -> f64, rule: Rule) -> f64 {
        let mut sums = NodeSums::default();
        sums.clear(1);
        sums.add_node(NodePosition::Start, std::iter::once(f(0.0)));
        sums.add_node(NodePosition::End, std::iter::once(f(1.0)));
        let mut at = Rule::FirstOrder;
        while at != rule {
            at = at.refined();
            sums.refine();
            for node in at.new_inner_nodes() {
                sums.add_node(NodePosition::Inner, std::iter::once(f(node)));
            }
        }
        sums.integral(rule).next().unwrap()
    }

    #[test]
    fn rules_are_exact_to_their_degree() {
        let power = |n: i32| move |x: f64| x.powi(n);
        let exact = |n: i32| 1.0 / f64::from(n + 1);
        for (rule, degree) in [
            (Rule::FirstOrder, 0),
            (Rule::Trapezoid, 1),
            (Rule::Simpson(2), 3),
            (Rule::Simpson(8), 3),
        ] {
            for n in 0..=degree {
                assert!((integrate(power(n), rule) - exact(n)).abs() < 1e-14);
            }
            let next = degree + 1;
            assert!((integrate(power(next), rule) - exact(next)).abs() > 1e-6);
        }
    }

    #[test]
    fn doubling_the_segments_divides_the_error_by_sixteen() {
        let error = |s| (integrate(f64::exp, Rule::Simpson(s)) - (1.0_f64.exp() - 1.0)).abs();
        for s in [2, 4, 8, 16] {
            let ratio = error(s) / error(2 * s);
            assert!((14.0..18.0).contains(&ratio), "{s}: {ratio}");
        }
    }

    #[test]
    fn refinement_evaluates_no_node_twice() {
        let mut seen = std::collections::BTreeSet::new();
        let mut rule = Rule::Trapezoid;
        for _ in 0..5 {
            rule = rule.refined();
            for node in rule.new_inner_nodes() {
                assert!(seen.insert(node.to_bits()));
            }
        }
        assert_eq!(rule, Rule::Simpson(32));
        assert_eq!(seen.len(), 31);
    }
}

//! Integration along the segment of a step: evaluates the gradient at nodes and refines until the sum closes.

use std::fmt;
use std::str::FromStr;

use pulp::Arch;

use super::blocks::{Block, CHUNK, Rest, Sum, blocks, useful_threads};
use super::path::{Addition, InnerSums, StepPath, movement, widen};
use super::quadrature::{NodePosition, NodeSums, Rule};
use crate::engine::Evaluation;
use crate::layout::ParamLayout;
use crate::threads::for_each;

/// The integration rule, and whether to refine it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    FirstOrder,
    Trapezoid,
    Simpson,
    #[default]
    Adaptive,
}

const METHODS: [(Method, &str); 4] = [
    (Method::FirstOrder, "first-order"),
    (Method::Trapezoid, "trapezoid"),
    (Method::Simpson, "simpson"),
    (Method::Adaptive, "adaptive"),
];

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = METHODS.iter().find(|(m, _)| m == self).map_or("", |m| m.1);
        f.pad(name)
    }
}

/// Error for an unknown method name.
#[derive(Debug, thiserror::Error)]
#[error("unknown integrator `{0}` (adaptive, simpson, trapezoid, first-order)")]
pub struct MethodError(String);

impl FromStr for Method {
    type Err = MethodError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        (METHODS.iter().find(|(_, name)| *name == text))
            .map(|(method, _)| *method)
            .ok_or_else(|| MethodError(text.to_owned()))
    }
}

/// The method of integration and its stopping criteria.
///
/// `adaptive` starts with `min_segments` and doubles them while the residual exceeds
/// `max(tolerance, relative_tolerance · |ΔL|)`, or any layer's estimated error exceeds
/// `layer_tolerance`, up to `max_segments`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegratorSettings {
    pub method: Method,
    /// Absolute, per step, in nats.
    pub tolerance: f64,
    /// Relative to the step's loss change; 0 for none.
    pub relative_tolerance: f64,
    /// Absolute, per layer and step, in nats; `None` to leave layers unchecked.
    pub layer_tolerance: Option<f64>,
    /// 1 (the trapezoid will do if it closes) or a power of two from 2 up.
    pub min_segments: u32,
    /// A power of two, at least `min_segments`.
    pub max_segments: u32,
}

impl Default for IntegratorSettings {
    fn default() -> Self {
        Self {
            method: Method::Adaptive,
            tolerance: 1e-3,
            relative_tolerance: 0.0,
            layer_tolerance: None,
            min_segments: 2,
            max_segments: 32,
        }
    }
}

impl IntegratorSettings {
    /// Returns true if a step may take more gradients than the least.
    #[must_use]
    pub fn is_adaptive(&self) -> bool {
        self.method == Method::Adaptive
    }

    /// The least number of new gradients that a step needs: the one at its start is known from the step before.
    #[must_use]
    pub fn least_gradients(&self) -> u32 {
        self.first_rule().segments().max(1)
    }

    /// Returns the rule that a step starts with.
    fn first_rule(&self) -> Rule {
        match self.method {
            Method::FirstOrder => Rule::FirstOrder,
            Method::Trapezoid => Rule::Trapezoid,
            Method::Simpson => Rule::Simpson(2),
            Method::Adaptive if self.min_segments < 2 => Rule::Trapezoid,
            Method::Adaptive => Rule::Simpson(self.min_segments),
        }
    }

    /// Whether the step should be integrated with more segments.
    fn wants_more(&self, rule: Rule, residual: f64, loss_change: f64, layer_error: &[f64]) -> bool {
        if self.method != Method::Adaptive || rule.segments() >= self.max_segments {
            return false;
        }
        let limit = self
            .tolerance
            .max(self.relative_tolerance * loss_change.abs());
        // Written so that a NaN residual asks for no further work: no rule would fix it.
        residual.abs() > limit
            || (self.layer_tolerance)
                .is_some_and(|limit| layer_error.iter().any(|&error| error > limit))
    }
}

/// Evaluations at one parameter vector: the training loss and its gradient, and those of the held-out set if its loss
/// is allocated too.
#[derive(Clone, Debug, Default)]
pub struct PointEvaluation {
    pub train: Evaluation,
    pub held_out: Option<Evaluation>,
}

/// The integral over one step, except for the averaged gradient, which [`Integrator::path`] gives.
#[derive(Clone, Debug)]
pub struct Integral {
    /// The accepted rule.
    pub rule: Rule,
    /// Allocation of all parameters, in nats, from the sums by layer.
    pub total: f64,
    /// `[C, L]`: allocation by class and layer; empty if not requested.
    pub class_layer: Vec<f64>,
    /// `[L]`: estimated error of each layer's allocation, in nats. For composite Simpson
    /// `|A(S) − A(S/2)| / 15` (Richardson); for plain Simpson `|A − A_trapezoid|` and for the rest
    /// `|A_trapezoid − A_first-order|`, which are pessimistic.
    pub layer_error: Vec<f64>,
    /// S of the accepted rule.
    pub segments: u32,
    /// Number of full gradients evaluated, excluding the one carried over from the last step.
    pub gradient_evals: u64,
}

/// Integrates one step after another, reusing its memory.
pub struct Integrator {
    settings: IntegratorSettings,
    layers: usize,
    blocks: Vec<Block>,
    threads: usize,
    arch: Arch,
    train: InnerSums,
    held_out: InnerSums,
    /// `[L]`: `⟨Δ, g⟩` by layer, which gives residuals and errors before the full sum.
    layer_sums: NodeSums,
    /// `[C, L]`
    class_layer_sums: NodeSums,
    point: PointEvaluation,
    /// `⟨Δ, g⟩` by block.
    dots: Vec<f64>,
}

/// The two ends of a segment, `[P]` each.
type Ends<'a> = (&'a [f32], &'a [f32]);

impl Integrator {
    /// Creates an integrator that works on at most `threads` threads. Results do not depend on their number.
    #[must_use]
    pub fn new(settings: IntegratorSettings, layout: &ParamLayout, threads: usize) -> Self {
        let blocks = blocks(layout);
        Self {
            settings,
            layers: layout.layers.len(),
            threads: useful_threads(threads, layout.params()),
            arch: Arch::new(),
            train: InnerSums::default(),
            held_out: InnerSums::default(),
            layer_sums: NodeSums::default(),
            class_layer_sums: NodeSums::default(),
            point: PointEvaluation::default(),
            dots: vec![0.0; blocks.len()],
            blocks,
        }
    }

    /// Integrates from `theta` (with known `start`) to `next`. `evaluate` is called once at every new node, with its α:
    /// first at `next`, α = 1, whose evaluation is left in `end` as the start of the next step.
    ///
    /// The step is split by class if `start` has class gradients; then every node must have them. Otherwise those of
    /// other nodes are ignored.
    ///
    /// # Errors
    /// Errors of `evaluate`.
    ///
    /// # Panics
    /// If a node lacks the class gradients that `start` has: a mistake in the program.
    pub fn integrate<E>(
        &mut self,
        theta: &[f32],
        next: &[f32],
        start: &PointEvaluation,
        end: &mut PointEvaluation,
        mut evaluate: impl FnMut(f64, &mut PointEvaluation) -> Result<(), E>,
    ) -> Result<Integral, E> {
        evaluate(1.0, end)?;
        let mut evals = 1;
        let loss_change = end.train.loss - start.train.loss;

        let classes = start.train.class_gradient.len() / theta.len().max(1);
        self.layer_sums.clear(self.layers);
        self.class_layer_sums.clear(classes * self.layers);
        let mut point = std::mem::take(&mut self.point);
        self.train.clear(&mut point.train.gradient);
        if let Some(held_out) = &mut point.held_out {
            self.held_out.clear(&mut held_out.gradient);
        }
        self.add_node(start, (theta, next), NodePosition::Start);
        self.add_node(end, (theta, next), NodePosition::End);

        // Coarser rules come for free on the way; the last two give the error estimate.
        let mut rule = self.settings.first_rule();
        let mut at = Rule::Trapezoid;
        let mut coarse: Vec<f64> = self.layer_sums.integral(Rule::FirstOrder).collect();
        let mut fine: Vec<f64> = self.layer_sums.integral(Rule::Trapezoid).collect();
        let (layer_error, total) = loop {
            while at.segments() < rule.segments() {
                at = at.refined();
                self.refine();
                for alpha in at.new_inner_nodes() {
                    evaluate(alpha, &mut point)?;
                    self.add_node(&point, (theta, next), NodePosition::Inner);
                    self.train.keep(&mut point.train.gradient);
                    if let Some(held_out) = &mut point.held_out {
                        self.held_out.keep(&mut held_out.gradient);
                    }
                    evals += 1;
                }
                coarse = std::mem::replace(&mut fine, self.layer_sums.integral(at).collect());
            }
            let layer_error = estimate_error(at, &coarse, &fine);
            let total: f64 = match rule {
                Rule::FirstOrder => coarse.iter().sum(),
                _ => fine.iter().sum(),
            };
            let residual = loss_change - total;
            if !(self.settings).wants_more(rule, residual, loss_change, &layer_error) {
                break (layer_error, total);
            }
            rule = rule.refined();
        };
        self.point = point;
        Ok(Integral {
            rule,
            total,
            class_layer: self.class_layer_sums.integral(rule).collect(),
            layer_error,
            segments: rule.segments(),
            gradient_evals: evals,
        })
    }

    /// Returns the segment of the step that was integrated last, with its averaged gradients. Takes the same arguments
    /// as [`integrate`](Self::integrate).
    #[must_use]
    pub fn path<'a>(
        &'a self,
        integral: &Integral,
        theta: &'a [f32],
        next: &'a [f32],
        start: &'a PointEvaluation,
        end: &'a PointEvaluation,
    ) -> StepPath<'a> {
        let average = |sums: &'a InnerSums, start: &'a Evaluation, end: &'a Evaluation| {
            sums.average(integral.rule, &start.gradient, &end.gradient)
        };
        let held_out = start.held_out.as_ref().zip(end.held_out.as_ref());
        StepPath {
            from: theta,
            to: next,
            train: average(&self.train, &start.train, &end.train),
            held_out: held_out.map(|(start, end)| average(&self.held_out, start, end)),
        }
    }

    /// Adds the evaluations at one node to every sum.
    fn add_node(&mut self, point: &PointEvaluation, ends: Ends, place: NodePosition) {
        let params = ends.0.len();
        let is_inner = place == NodePosition::Inner;
        let Self {
            blocks,
            threads,
            arch,
            train,
            held_out,
            dots,
            ..
        } = self;
        let node = Node {
            blocks,
            threads: *threads,
            arch: *arch,
            ends,
        };
        let sum = if is_inner {
            train.new_node(params)
        } else {
            None
        };
        node.add(&point.train.gradient, sum, dots);
        let layers = by_layer(self.layers, blocks, dots);
        self.layer_sums.add_node(place, layers.into_iter());
        if let (true, Some(held_out_point)) = (is_inner, &point.held_out) {
            let sum = held_out.new_node(params);
            node.add(&held_out_point.gradient, sum, dots);
        }
        let sums = self.class_layer_sums.components();
        if sums > 0 {
            let classes = point.train.class_gradient.chunks_exact(params.max(1));
            let here = classes.len() * self.layers;
            assert_eq!(here, sums, "a step is split by class at every node");
            let layers = classes.flat_map(|gradient| {
                node.add(gradient, None, dots);
                by_layer(self.layers, blocks, dots)
            });
            self.class_layer_sums.add_node(place, layers);
        }
    }

    fn refine(&mut self) {
        self.train.refine();
        self.held_out.refine();
        self.layer_sums.refine();
        self.class_layer_sums.refine();
    }
}

/// The segment and the means to add a node to the sums.
struct Node<'a> {
    blocks: &'a [Block],
    threads: usize,
    arch: Arch,
    ends: Ends<'a>,
}

impl Node<'_> {
    /// Adds a gradient (`[P]`) to a sum, if there is one, and sets `dots` to `⟨Δ, g⟩` of each block.
    fn add(&self, gradient: &[f32], to: Option<Addition<'_>>, dots: &mut [f64]) {
        let (sum, first) = match to {
            Some(Addition { sum, first }) => (sum, first),
            None => (&mut [][..], &[][..]),
        };
        let has_sum = !sum.is_empty();
        let mut rest = Rest(sum);
        let parts = self.blocks.iter().zip(dots).map(move |(block, dot)| {
            let len = if has_sum { block.range.len() } else { 0 };
            (block, dot, rest.take(len))
        });
        for_each(self.threads, parts, |(block, dot, sum)| {
            let start = block.range.start;
            let gradient = &gradient[block.range.clone()];
            *dot = self.arch.dispatch(
                #[inline(always)]
                || add_block(self.ends, start, gradient, sum, first),
            );
        });
    }
}

/// Adds a block's gradient to its sum, if there is one, and returns `⟨Δ, g⟩`.
#[inline(always)]
fn add_block(
    (from, to): Ends,
    start: usize,
    gradient: &[f32],
    sum: &mut [f64],
    first: &[f32],
) -> f64 {
    let mut dot = Sum::default();
    let (mut delta, mut wide) = ([0.0; CHUNK], [0.0; CHUNK]);
    for at in (0..gradient.len()).step_by(CHUNK) {
        let len = CHUNK.min(gradient.len() - at);
        let (delta, wide) = (&mut delta[..len], &mut wide[..len]);
        movement(from, to, start + at, delta);
        widen(gradient, at, wide);
        dot.add_products(delta, wide);
        let Some(sum) = sum.get_mut(at..at + len) else {
            continue;
        };
        if !first.is_empty() {
            widen(first, start + at, sum);
        }
        for (sum, value) in sum.iter_mut().zip(wide) {
            *sum += *value;
        }
    }
    dot.total()
}

/// Returns the sums of blocks by layer, `[L]`.
fn by_layer(layers: usize, blocks: &[Block], dots: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; layers];
    for (block, dot) in blocks.iter().zip(dots) {
        sums[block.layer] += dot;
    }
    sums
}

/// `[L]`: the change by the last refinement, as an estimate of the remaining error. The first-order rule and the
/// trapezoid share one estimate: their difference.
fn estimate_error(rule: Rule, coarse: &[f64], fine: &[f64]) -> Vec<f64> {
    let divisor = if rule.segments() >= 4 { 15.0 } else { 1.0 };
    let pairs = coarse.iter().zip(fine);
    pairs
        .map(|(coarse, fine)| (fine - coarse).abs() / divisor)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::SegmentPoint;
    use crate::layout::TensorKind;

    /// Two layers of one parameter each.
    fn layout() -> ParamLayout {
        let mut layout = ParamLayout::default();
        for name in ["a", "b"] {
            layout.push_layer(name, "linear", 1, &[(TensorKind::Weight, vec![1, 1])]);
        }
        layout
    }

    #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
    fn single(value: f64) -> f32 {
        value as f32
    }

    /// L(x, y) = x⁴ + e^{ky}, which is a sum, so each layer's allocation is known exactly.
    fn quartic(k: f64) -> impl FnMut(&[f32], &mut PointEvaluation) -> Result<(), ()> {
        move |p, out| {
            let (x, y) = (f64::from(p[0]), k * f64::from(p[1]));
            out.train.loss = x.powi(4) + y.exp();
            out.train.gradient = vec![single(4.0 * x.powi(3)), single(k * y.exp())];
            Ok(())
        }
    }

    fn run(settings: IntegratorSettings, k: f64) -> (Integral, [f64; 2], f64, usize) {
        let mut calls = 0;
        let mut loss = quartic(k);
        let (from, to) = ([1.0, 0.0], [0.5, 1.0]);
        let (mut start, mut end) = (PointEvaluation::default(), PointEvaluation::default());
        loss(&from, &mut start).unwrap();
        let mut evaluate = |alpha: f64, out: &mut PointEvaluation| {
            calls += 1;
            loss(
                SegmentPoint::new(&from, &to, alpha, &mut Vec::new()).params(),
                out,
            )
        };
        let mut integrator = Integrator::new(settings, &layout(), 1);
        let integral = integrator
            .integrate(&from, &to, &start, &mut end, &mut evaluate)
            .unwrap();
        let path = integrator.path(&integral, &from, &to, &start, &end);
        let (mut delta, mut gradient) = ([0.0; 2], [0.0; 2]);
        movement(path.from, path.to, 0, &mut delta);
        path.train.fill(0, &mut gradient);
        let lca = [0, 1].map(|i| delta[i] * gradient[i]);
        assert!((integral.total - lca[0] - lca[1]).abs() < 1e-14);
        let residual = end.train.loss - start.train.loss - integral.total;
        (integral, lca, residual, calls)
    }

    #[test]
    fn adaptive_refines_until_it_closes_and_counts_gradients() {
        let settings = IntegratorSettings {
            tolerance: 1e-4,
            ..IntegratorSettings::default()
        };
        let (integral, lca, residual, calls) = run(settings, 3.0);
        assert!(integral.segments > 2 && residual.abs() < 1e-4, "{residual}");
        assert_eq!(integral.gradient_evals, u64::from(integral.segments));
        assert_eq!(calls, integral.segments as usize);
        // Each layer against the exact integral of its own term.
        let exact = [0.5_f64.powi(4) - 1.0, 3.0_f64.exp() - 1.0];
        for (layer, exact) in exact.into_iter().enumerate() {
            let error = (lca[layer] - exact).abs();
            assert!(error < 1e-4);
            assert!(error <= 3.0 * integral.layer_error[layer] + 1e-6, "{error}");
        }
    }

    #[test]
    fn the_gradient_budget_is_not_exceeded() {
        let settings = IntegratorSettings {
            tolerance: 0.0,
            max_segments: 8,
            ..IntegratorSettings::default()
        };
        let (integral, _, _, calls) = run(settings, 3.0);
        assert_eq!((integral.segments, calls), (8, 8));
    }

    #[test]
    fn one_segment_is_enough_where_it_closes() {
        let settings = IntegratorSettings {
            min_segments: 1,
            tolerance: 0.1,
            ..IntegratorSettings::default()
        };
        let (integral, _, _, calls) = run(settings, 0.1);
        assert_eq!(
            (integral.segments, calls),
            (2, 2),
            "the quartic needs Simpson"
        );
        let (integral, _, _, calls) = run(
            IntegratorSettings {
                tolerance: 1.0,
                ..settings
            },
            0.1,
        );
        assert_eq!((integral.segments, calls), (1, 1));
    }

    #[test]
    fn a_layer_error_can_force_refinement() {
        // The sum closes within the tolerance at once; a layer does not.
        let settings = IntegratorSettings {
            tolerance: 10.0,
            layer_tolerance: Some(1e-4),
            ..IntegratorSettings::default()
        };
        assert_eq!(
            run(
                IntegratorSettings {
                    layer_tolerance: None,
                    ..settings
                },
                3.0
            )
            .0
            .segments,
            2
        );
        let (integral, ..) = run(settings, 3.0);
        assert!(integral.segments > 2);
        assert!(integral.layer_error.iter().all(|&e| e <= 1e-4));
    }

    #[test]
    fn relative_tolerance_is_of_the_loss_change() {
        let settings = IntegratorSettings {
            tolerance: 0.0,
            relative_tolerance: 0.5,
            ..IntegratorSettings::default()
        };
        assert_eq!(run(settings, 3.0).0.segments, 2);
    }

    #[test]
    fn every_method_uses_its_stated_number_of_gradients() {
        for (method, segments, evals) in [
            (Method::FirstOrder, 0, 1),
            (Method::Trapezoid, 1, 1),
            (Method::Simpson, 2, 2),
        ] {
            let settings = IntegratorSettings {
                method,
                tolerance: 0.0,
                ..IntegratorSettings::default()
            };
            let (integral, _, _, calls) = run(settings, 3.0);
            assert_eq!(
                (integral.segments, integral.gradient_evals),
                (segments, evals)
            );
            assert_eq!(calls as u64, evals);
        }
    }
}

//! The program as an engine: losses and gradients are evaluated there.

use super::connection::{Client, ClientError, SharedMemory, SharedVector};
use super::message::{ClientMessage, Extent, Part, ServerMessage};
use crate::engine::{EngineError, Evaluation, GradientEngine, SegmentPoint, Subset, Want};

/// Largest accepted difference between two evaluations at the same parameters where the same bits cannot be expected,
/// relative to the largest value.
const TOLERANCE: f64 = 1e-5;

/// An engine in another program. It evaluates the points of the current step's segment, which only the program has.
pub struct ClientEngine {
    client: Client,
    memory: SharedMemory,
    description: String,
    params: usize,
    classes: usize,
    /// True if two evaluations must have the same bits.
    exact: bool,
    /// True if there are held-out examples.
    has_held_out: bool,
    /// True once the loss has been checked to be a function of the parameters alone.
    checked: bool,
}

impl ClientEngine {
    /// Returns the engine of a program that has opened a run with `params` parameters and `classes` classes.
    #[must_use]
    pub fn new(
        client: Client,
        memory: SharedMemory,
        description: String,
        (params, classes): (usize, usize),
        exact: bool,
        has_held_out: bool,
    ) -> Self {
        Self {
            client,
            memory,
            description,
            params,
            classes,
            exact,
            has_held_out,
            checked: false,
        }
    }

    fn ask(
        &self,
        part: Subset,
        alpha: f64,
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), ClientError> {
        self.client.send(&ServerMessage::Evaluate {
            part: match part {
                Subset::Train => Part::Train,
                Subset::Test | Subset::Validation => Part::Test,
            },
            want: match want {
                Want::Loss => Extent::Loss,
                Want::Gradient => Extent::Gradient,
                Want::ClassGradient => Extent::ClassGradient,
            },
            at: alpha,
        })?;
        let ClientMessage::Evaluated(evaluated) = self.client.receive()? else {
            return Err(ClientError::OutOfTurn(
                "an evaluation was asked for, and is not answered",
            ));
        };
        out.loss = evaluated.loss.0;
        out.accuracy = evaluated.accuracy.0;
        out.class_loss.clear();
        out.class_loss
            .extend(evaluated.class_loss.iter().map(|loss| loss.0));
        match out.class_loss.len() {
            0 if self.classes == 1 => out.class_loss.push(out.loss),
            0 => out.class_loss.resize(self.classes, f64::NAN),
            n if n == self.classes => {}
            n => {
                return Err(ClientError::Unclear(format!(
                    "class_loss has {n} numbers, for {} classes",
                    self.classes
                )));
            }
        }
        let gradient = if want >= Want::Gradient {
            self.params
        } else {
            0
        };
        out.gradient.resize(gradient, 0.0);
        self.memory
            .read(SharedVector::Gradient, &mut out.gradient)?;
        let class_gradient = if want == Want::ClassGradient {
            self.params * self.classes
        } else {
            0
        };
        out.class_gradient.resize(class_gradient, 0.0);
        self.memory
            .read(SharedVector::ClassGradient, &mut out.class_gradient)?;
        out.statistics.clear();
        Ok(())
    }

    /// Evaluates once more, and compares.
    fn check(
        &self,
        part: Subset,
        alpha: f64,
        want: Want,
        first: &Evaluation,
    ) -> Result<(), EngineError> {
        let mut second = Evaluation::default();
        self.ask(part, alpha, want, &mut second).map_err(failed)?;
        let numbers = [(first.loss, second.loss)].into_iter();
        let numbers = numbers.chain(
            (first.gradient.iter().zip(&second.gradient))
                .map(|(&a, &b)| (f64::from(a), f64::from(b))),
        );
        let largest = |numbers: &mut dyn Iterator<Item = f64>| numbers.fold(0.0, f64::max);
        let difference = largest(&mut numbers.map(|(a, b)| (a - b).abs()));
        let gradient = first.gradient.iter().map(|&g| f64::from(g).abs());
        let scale = largest(&mut [first.loss.abs()].into_iter().chain(gradient));
        let allowed = if self.exact { 0.0 } else { TOLERANCE * scale };
        // Values that are not finite pass here; the trainer refuses them.
        if difference > allowed {
            return Err(EngineError::Model(format!(
                "the loss is not a fixed function of the parameters: evaluated twice at the same parameters, it was {} \
                 and {}, and the largest difference of a value or of its gradient was {difference:.1e}. The usual \
                 causes: batches drawn in random order (evaluate the same batches each time), random augmentation of \
                 the evaluated data (remove it), dropout or another random layer (evaluate in eval mode)",
                first.loss, second.loss
            )));
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` calls it")]
fn failed(error: ClientError) -> EngineError {
    EngineError::Model(error.to_string())
}

impl GradientEngine for ClientEngine {
    fn describe(&self) -> String {
        self.description.clone()
    }

    /// Fails: the program evaluates only the points of its own path.
    fn evaluate(
        &mut self,
        _: Subset,
        _: &[f32],
        _: Want,
        _: &mut Evaluation,
    ) -> Result<(), EngineError> {
        Err(not_here("evaluated at given parameters"))
    }

    fn evaluate_on_segment(
        &mut self,
        part: Subset,
        point: &mut SegmentPoint<'_>,
        want: Want,
        out: &mut Evaluation,
    ) -> Result<(), EngineError> {
        if part != Subset::Train && !self.has_held_out {
            *out = Evaluation {
                loss: f64::NAN,
                accuracy: f64::NAN,
                ..Evaluation::default()
            };
            return Ok(());
        }
        let alpha = point.alpha();
        self.ask(part, alpha, want, out).map_err(failed)?;
        if !self.checked && part == Subset::Train {
            self.check(part, alpha, want, out)?;
            self.checked = true;
        }
        Ok(())
    }

    /// Fails: the program takes the steps.
    fn evaluate_batch(
        &mut self,
        _: &[f32],
        _: &[u32],
        _: u64,
        _: &mut Evaluation,
    ) -> Result<(), EngineError> {
        Err(not_here("trained"))
    }

    /// Fails: the program evaluates accuracies with the losses.
    fn accuracy(&mut self, _: Subset, _: &[f32], _: &[f32]) -> Result<f64, EngineError> {
        Err(not_here("evaluated with running averages"))
    }
}

fn not_here(what: &str) -> EngineError {
    EngineError::Model(format!("a model of another program cannot be {what} here"))
}

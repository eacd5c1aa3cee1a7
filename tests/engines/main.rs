//! The gradients and trainings of every engine, against independent computations.

#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod case;
mod custom_model;
mod devices;
mod golden;
mod layers;
mod optimizers;
mod presets;
mod ranks;
mod training;

use lcascope::engine::{Evaluation, GradientEngine, Subset, Want};

/// An engine's evaluation.
fn evaluate(
    engine: &mut dyn GradientEngine,
    part: Subset,
    params: &[f32],
    want: Want,
) -> Evaluation {
    let mut out = Evaluation::default();
    engine.evaluate(part, params, want, &mut out).unwrap();
    out
}

fn sum(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x)).sum()
}

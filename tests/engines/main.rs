//! The gradients and trainings of every engine, against independent computations.

#[path = "../common/mod.rs"]
mod common;

mod agreement;
mod custom_model;
mod devices;
mod golden;
mod layers;
mod optimizers;
mod presets;
mod training;

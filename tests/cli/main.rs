//! The commands from outside: arguments, inputs and outputs, series, and control of running trainings.

#[path = "../common/mod.rs"]
mod common;
#[path = "../../examples/synthetic/mod.rs"]
mod synthetic;

mod allocate;
mod architecture;
mod checkpoints;
mod circles;
mod control;
mod data;
mod experiment;
mod formats;
mod mpi;
mod outputs;
mod program;
mod programs;
mod runs;

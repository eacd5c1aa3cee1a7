//! Loss Change Allocation: how much each parameter changed the loss, step by step.
//!
//! A step moves the parameters from `θ_t` to `θ_{t+1}` along a straight segment. The change of the full training loss
//! `L` is the line integral of its gradient, which is a sum over parameters:
//!
//! ```text
//! L(θ_{t+1}) − L(θ_t) = Σ_i Δ_i · ḡ_i,   Δ = θ_{t+1} − θ_t,   ḡ_i = ∫₀¹ ∂_i L(θ_t + α Δ) dα
//! ```
//!
//! The term of parameter i is its allocation `A_i`: negative if it *helped* (lowered the loss), positive if it *hurt*.
//! The terms add up to the change of the loss, so they may be summed over any group of parameters and steps. The error
//! of the numerical integral is the *residual*; it is measured, since both losses are known.
//!
//! Source: J. Lan, R. Liu, H. Zhou, J. Yosinski, *LCA: Loss Change Allocation for Neural Network
//! Training*, `NeurIPS` 2019, <https://arxiv.org/abs/1909.01440>, section 3.
//!
//! [`quadrature`] has the integration rules, [`integrator`] integrates along the segment and refines, and
//! [`allocation`] multiplies, sums and counts. Both work block by block, on any number of threads; a thread holds Δ and
//! ḡ of at most a few hundred parameters at a time.

pub mod allocation;
mod blocks;
pub mod integrator;
mod path;
pub mod quadrature;

pub use allocation::{Allocator, AllocatorMemory, HISTOGRAM_BINS, histogram_edges};
pub use integrator::{Integral, Integrator, IntegratorSettings, Method, PointEvaluation};
pub use path::{MeanGradient, StepPath};
pub use quadrature::Rule;

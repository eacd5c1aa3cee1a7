//! Pure functions that reduce many steps to what a screen or a report shows. Numbers only.
//!
//! - Charts: [`bins`], [`scale`].
//! - Allocations of many parameters: [`help`], [`tails`], [`octaves`], [`concentration`].
//! - Series of many steps: [`oscillation`], [`period`], [`lag`], [`moments`], [`nulls`].
//! - Sums of them: [`sum`].
//! - Several runs: [`ttest`], [`paired`].
//! - What to look at: [`events`], [`lints`], [`findings`].
//!
//! Each module states its formulas and their sources at its head. All functions accept any numbers, and return NaN or
//! nothing where no answer exists.

pub mod bins;
pub mod concentration;
pub mod events;
pub mod findings;
pub mod help;
pub mod lag;
pub mod lints;
pub mod moments;
pub mod nulls;
pub mod numbers;
pub mod octaves;
pub mod oscillation;
pub mod paired;
pub mod period;
pub mod scale;
pub mod sum;
pub mod tails;
pub mod ticks;
pub mod ttest;

//! Pure functions from many steps to what a screen or a report shows of them. Numbers only.
//!
//! - Charts: [`bins`], [`scale`].
//! - Allocations of many parameters: [`help`], [`tails`], [`octaves`], [`concentration`].
//! - Series of many steps: [`oscillation`], [`lag`], [`moments`], [`nulls`].
//! - Sums of them: [`sum`].
//! - Several runs: [`ttest`], [`paired`].
//! - What to look at: [`events`], [`lints`].
//!
//! Each has its formulas and where they are from at its head. All of them take any numbers, and answer
//! with NaN or nothing where there is no answer.

pub mod bins;
pub mod concentration;
pub mod events;
pub mod help;
pub mod lag;
pub mod lints;
pub mod moments;
pub mod nulls;
pub mod numbers;
pub mod octaves;
pub mod oscillation;
pub mod paired;
pub mod scale;
pub mod sum;
pub mod tails;
pub mod ticks;
pub mod ttest;

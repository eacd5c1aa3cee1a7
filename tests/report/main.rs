//! Reports and exports, and the statistics in them.

#[path = "../common/mod.rs"]
mod common;

mod analysis;
mod export;
mod pages;
mod planted;
mod ttest;

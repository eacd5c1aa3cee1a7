//! Pure functions from many steps to what a screen or a report shows of them. Numbers only.

pub mod bins;
pub mod scale;

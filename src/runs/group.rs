//! Runs of one configuration, and the letters by which runs and groups of runs are called.

use super::settings::settings;
use crate::record::RunHeader;

/// Returns the letter of a run or group: `A`, `B` … `Z`, then `Z26` and so on.
#[must_use]
pub fn letter(index: usize) -> String {
    match u8::try_from(index).ok().filter(|index| *index < 26) {
        Some(index) => char::from(b'A' + index).to_string(),
        None => format!("Z{index}"),
    }
}

/// Returns true if two runs differ at most in their seeds, and in what does not affect the numbers.
#[must_use]
pub fn are_repeats(a: &RunHeader, b: &RunHeader) -> bool {
    (&a.network, &a.layout, &a.classes) == (&b.network, &b.layout, &b.classes)
        && (&a.dataset_sha256, a.train_index.len()) == (&b.dataset_sha256, b.train_index.len())
        && (&a.integrator, a.slice_size) == (&b.integrator, b.slice_size)
        && a.histogram_edges == b.histogram_edges
        && settings(&a.config) == settings(&b.config)
}

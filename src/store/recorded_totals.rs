//! Recorded steps, with which recomputed ones are compared.

use std::path::Path;

use super::error::StoreError;
use crate::record::StepRecord;

/// Recorded sums of the steps that are recomputed.
#[derive(Default)]
pub struct RecordedTotals {
    pub first: u64,
    /// Σ A of each step, in nats.
    pub total: Vec<f64>,
}

impl RecordedTotals {
    /// Checks that a recomputed step equals the recorded one.
    pub fn compare(&self, path: &Path, record: &StepRecord) -> Result<(), StoreError> {
        let index = record.step.checked_sub(self.first);
        let index = index.and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.total.get(index)) {
            Some(total) if total.to_bits() == record.lca.total.to_bits() => Ok(()),
            _ => Err(StoreError::Diverged {
                path: path.to_owned(),
                step: record.step,
            }),
        }
    }
}

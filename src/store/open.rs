//! The datasets of a file that are open, each of them once.
//!
//! A dataset that is opened twice in a process and refreshed through one of the two is read wrong:
//! HDF5 1.10.8 then takes values from another dataset, or says `can't insert duplicate key`, in all chunks
//! but the first. So whoever wants a dataset gets the one that is open already.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use hdf5::{Dataset, File};

/// By name. A handle is shared, not cloned: refreshing makes the library forget clones.
#[derive(Default)]
pub struct OpenDatasets(RefCell<HashMap<&'static str, Arc<Dataset>>>);

impl OpenDatasets {
    pub fn insert(&self, name: &'static str, dataset: &Arc<Dataset>) {
        self.0.borrow_mut().insert(name, dataset.clone());
    }

    /// Opens it if it is not open.
    pub fn get(&self, file: &File, name: &'static str) -> hdf5::Result<Arc<Dataset>> {
        if let Some(dataset) = self.0.borrow().get(name) {
            return Ok(dataset.clone());
        }
        let dataset = Arc::new(file.dataset(name)?);
        self.insert(name, &dataset);
        Ok(dataset)
    }
}

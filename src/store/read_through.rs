//! Reads everything that resuming a run reads, so that a disposable process finds out whether it is readable.

use std::path::Path;

use super::checkpoint;
use super::error::StoreError;
use super::reader::RunReader;
use super::schema::{HELD_OUT, LOSSES, STEPS};

/// Steps read at once.
const BLOCK: u64 = 4096;

/// Arrays over all parameters, and the lists of their steps.
const BLOCKS: [&str; 9] = [
    "lca/param",
    "lca/param_step",
    "weight/value",
    "weight/step",
    "param/lca_sum",
    "param/helped",
    "param/update_flips",
    "param/gradient_flips",
    "param/step",
];

/// Reads all steps and checkpoints of a run, and where every dataset that a writer continues stores its values. `renew`
/// is called after every part.
///
/// # Errors
/// The file is not a run, or cannot be read.
pub fn read_through(path: &Path, renew: &dyn Fn()) -> Result<(), StoreError> {
    let reader = RunReader::open(path)?;
    let steps = reader.refresh()?.committed;
    reader.start()?;
    reader.check_lists()?;
    let mut from = 0;
    while from < steps {
        let to = steps.min(from + BLOCK);
        reader.steps(from..to)?;
        from = to;
        renew();
    }
    let columns = (LOSSES.iter().map(|column| column.path))
        .chain(STEPS.iter().map(|column| column.path))
        .chain(HELD_OUT.iter().map(|column| column.path));
    for name in columns.chain(BLOCKS).filter(|name| reader.has_object(name)) {
        // Counting the chunks walks the whole index of where they are.
        let _ = reader.dataset(name)?.num_chunks();
        renew();
    }
    // A damaged checkpoint is not used for resuming.
    let _ = checkpoint::check(&reader);
    Ok(())
}

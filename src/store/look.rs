//! Reads a run as those do that go on with it, so that a process that may be lost finds out whether it can be read.

use std::path::Path;

use super::checkpoint;
use super::error::StoreError;
use super::reader::RunReader;
use super::schema::{HELD_OUT, LOSSES, STEPS};

/// Steps read at once.
const BLOCK: u64 = 4096;

/// Arrays over all parameters, and what says where in them a step is.
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

/// Reads all steps and checkpoints of a run, and where every dataset that a writer writes on has its values. `renew` is
/// called when a part has been read.
///
/// # Errors
/// It is no run, or cannot be read.
pub fn look_through(path: &Path, renew: &dyn Fn()) -> Result<(), StoreError> {
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
    for name in columns.chain(BLOCKS).filter(|name| reader.has(name)) {
        // Counting them goes through all that says where they are.
        let _ = reader.dataset(name)?.num_chunks();
        renew();
    }
    // One that is damaged is not gone on from.
    let _ = checkpoint::check(&reader);
    Ok(())
}

//! What a resume needs: the training's state, in two slots that are written in turn, so that one of
//! them is always whole.

use std::path::Path;

use hdf5::{Dataset, File, Group, H5Type};
use sha2::{Digest, Sha256};

use super::error::{Context, StoreError};
use super::header::{describe, write_fixed};
use crate::record::{Checkpoint, SavedArray, SavedKind, SavedShape, SavedValues};

/// A SHA-256 of what a slot holds: what was written only half does not have it.
type Sum = [u8; 32];

/// The two slots of a file that is being written.
pub struct Slots {
    slots: [Slot; 2],
    /// The one to write next.
    next: usize,
}

struct Slot {
    step: Dataset,
    digest: Dataset,
    arrays: Vec<Dataset>,
}

impl Slots {
    /// Creates empty slots, which take no space before they are written.
    pub fn create(file: &Group, shape: &[SavedShape]) -> hdf5::Result<Self> {
        let slot = |number: usize| -> hdf5::Result<Slot> {
            let path = |name: &str| format!("checkpoint/{number}/{name}");
            let arrays = shape.iter().map(|saved| {
                let builder = match saved.kind {
                    SavedKind::F32 => file.new_dataset::<f32>(),
                    SavedKind::F64 => file.new_dataset::<f64>(),
                    SavedKind::U32 => file.new_dataset::<u32>(),
                    SavedKind::U64 => file.new_dataset::<u64>(),
                };
                let dataset = builder.shape(saved.len).create(&*path(saved.name))?;
                describe(&dataset, "", saved.description)?;
                Ok(dataset)
            });
            Ok(Slot {
                arrays: arrays.collect::<hdf5::Result<_>>()?,
                step: write_fixed(file, &path("step"), &[0_u64], "steps", "steps done")?,
                digest: write_fixed(
                    file,
                    &path("digest"),
                    &Sum::default(),
                    "",
                    "SHA-256 of the step and the arrays, in the order of their names' creation; \
                     zeros in an empty slot",
                )?,
            })
        };
        Ok(Self {
            slots: [slot(0)?, slot(1)?],
            next: 0,
        })
    }

    /// The slots of a file that is written on. The first one written is not the one that was used.
    pub fn open(file: &Group, shape: &[SavedShape], used: Option<Found>) -> hdf5::Result<Self> {
        let slot = |number: usize| -> hdf5::Result<Slot> {
            let dataset = |name: &str| file.dataset(&format!("checkpoint/{number}/{name}"));
            let arrays = shape.iter().map(|saved| dataset(saved.name));
            Ok(Slot {
                arrays: arrays.collect::<hdf5::Result<_>>()?,
                step: dataset("step")?,
                digest: dataset("digest")?,
            })
        };
        Ok(Self {
            slots: [slot(0)?, slot(1)?],
            next: used.map_or(0, |found| 1 - found.slot),
        })
    }

    /// Overwrites the older slot. `flush` is called between its parts, so that the file never holds
    /// the sum of something else.
    pub fn write(
        &mut self,
        checkpoint: &Checkpoint,
        flush: impl Fn() -> hdf5::Result<()>,
    ) -> hdf5::Result<()> {
        let slot = &self.slots[self.next];
        slot.digest.write_raw(&Sum::default())?;
        flush()?;
        slot.step.write_raw(&[checkpoint.step])?;
        for (dataset, array) in slot.arrays.iter().zip(&checkpoint.arrays) {
            match &array.values {
                SavedValues::F32(values) => dataset.write_raw(values)?,
                SavedValues::F64(values) => dataset.write_raw(values)?,
                SavedValues::U32(values) => dataset.write_raw(values)?,
                SavedValues::U64(values) => dataset.write_raw(values)?,
            }
        }
        flush()?;
        slot.digest.write_raw(&digest(checkpoint))?;
        flush()?;
        self.next = 1 - self.next;
        Ok(())
    }
}

/// A whole checkpoint in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    slot: usize,
    /// Steps done.
    pub step: u64,
}

/// The newest whole checkpoint with no more than `committed` steps, if the file has one of this shape.
///
/// # Errors
/// The file cannot be read. A slot that is damaged, or of another shape, does not count.
pub fn newest(
    path: &Path,
    file: &File,
    shape: &[SavedShape],
    committed: u64,
) -> Result<Option<(Found, Checkpoint)>, StoreError> {
    let mut found = None;
    for slot in 0..2 {
        let group = format!("checkpoint/{slot}");
        if !file.link_exists("checkpoint") || !file.link_exists(&group) {
            continue;
        }
        let group = file
            .group(&group)
            .doing(path, || format!("open the checkpoint in slot {slot}"))?;
        let Some(checkpoint) = read(&group, shape) else {
            continue;
        };
        let newer = |(best, _): &(Found, _)| best.step < checkpoint.step;
        if checkpoint.step <= committed && found.as_ref().is_none_or(newer) {
            let step = checkpoint.step;
            found = Some((Found { slot, step }, checkpoint));
        }
    }
    Ok(found)
}

/// The steps of each slot's checkpoint: none for a slot that is empty, an error for one that is
/// damaged or was written only half.
pub fn check(file: &File, shape: &[SavedShape]) -> [Result<Option<u64>, String>; 2] {
    [0, 1].map(|slot| {
        let group = file
            .group(&format!("checkpoint/{slot}"))
            .map_err(|_| "is missing".to_owned())?;
        let sum = values::<u8>(&group, "digest", size_of::<Sum>());
        match (sum, read(&group, shape)) {
            (Some(sum), _) if sum.iter().all(|&byte| byte == 0) => Ok(None),
            (Some(_), Some(checkpoint)) => Ok(Some(checkpoint.step)),
            _ => Err("does not have the SHA-256 that it should have".to_owned()),
        }
    })
}

fn read(group: &Group, shape: &[SavedShape]) -> Option<Checkpoint> {
    let array = |saved: &SavedShape| {
        let values = match saved.kind {
            SavedKind::F32 => SavedValues::F32(values(group, saved.name, saved.len)?),
            SavedKind::F64 => SavedValues::F64(values(group, saved.name, saved.len)?),
            SavedKind::U32 => SavedValues::U32(values(group, saved.name, saved.len)?),
            SavedKind::U64 => SavedValues::U64(values(group, saved.name, saved.len)?),
        };
        Some(SavedArray {
            name: saved.name,
            description: saved.description,
            values,
        })
    };
    let sum = values::<u8>(group, "digest", size_of::<Sum>())?;
    let checkpoint = Checkpoint {
        step: values(group, "step", 1)?[0],
        arrays: shape.iter().map(array).collect::<Option<_>>()?,
    };
    (sum == digest(&checkpoint)).then_some(checkpoint)
}

/// All of a dataset, if it is of this type and length.
fn values<T: H5Type>(group: &Group, name: &str, len: usize) -> Option<Vec<T>> {
    let dataset = group.dataset(name).ok()?;
    let fits = dataset.shape() == [len] && dataset.dtype().ok()?.is::<T>();
    fits.then(|| dataset.read_raw().ok())?
}

fn digest(checkpoint: &Checkpoint) -> Sum {
    let mut sum = Sha256::new();
    sum.update(checkpoint.step.to_le_bytes());
    for array in &checkpoint.arrays {
        // In the machine's order, as HDF5 keeps them here.
        match &array.values {
            SavedValues::F32(values) => sum.update(bytemuck::cast_slice::<_, u8>(values)),
            SavedValues::F64(values) => sum.update(bytemuck::cast_slice::<_, u8>(values)),
            SavedValues::U32(values) => sum.update(bytemuck::cast_slice::<_, u8>(values)),
            SavedValues::U64(values) => sum.update(bytemuck::cast_slice::<_, u8>(values)),
        }
    }
    sum.finalize().into()
}

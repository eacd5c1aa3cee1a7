//! Checkpoints: the state needed to resume, in two slots written alternately, so that one of them is always complete.

use std::path::Path;

use hdf5::{Dataset, File, Group, H5Type};
use sha2::{Digest, Sha256};

use super::error::{Context, StoreError};
use super::header::{describe, write_fixed};
use super::reader::RunReader;
use crate::record::{Checkpoint, SavedArray, SavedKind, SavedShape, SavedValues};

/// The SHA-256 of a slot's content: a half-written slot does not match it.
type Checksum = [u8; 32];

/// The two slots of a file being written.
pub struct Slots {
    slots: [Slot; 2],
    /// The index of the slot to write next.
    next: usize,
}

struct Slot {
    step: Dataset,
    digest: Dataset,
    arrays: Vec<Dataset>,
}

impl Slots {
    /// Creates empty slots, which take no space until written.
    pub fn create(file: &Group, shape: &[SavedShape]) -> hdf5::Result<Self> {
        let slot = |number: usize| -> hdf5::Result<Slot> {
            let path = |name: &str| format!("checkpoint/{number}/{name}");
            let arrays = shape.iter().map(|saved| {
                let builder = match saved.kind {
                    SavedKind::U8 => file.new_dataset::<u8>(),
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
                    &Checksum::default(),
                    "",
                    "SHA-256 of the step (8 bytes, little-endian) and the arrays, in alphabetical \
                     order; zeros in an empty slot",
                )?,
            })
        };
        Ok(Self {
            slots: [slot(0)?, slot(1)?],
            next: 0,
        })
    }

    /// Opens the slots of a file that is continued. The slot in use is not the first to be overwritten.
    pub fn open(
        file: &Group,
        shape: &[SavedShape],
        used: Option<CheckpointSlot>,
    ) -> hdf5::Result<Self> {
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

    /// Bytes that the next checkpoint adds to the file: 0 if its slot has been used before.
    pub fn bytes_needed(&self) -> u64 {
        let arrays = self.slots[self.next].arrays.iter();
        let unwritten = arrays.filter(|array| array.offset().is_none());
        unwritten
            .map(|array| (array.size() * array.dtype().map_or(8, |kind| kind.size())) as u64 + 512)
            .sum()
    }

    /// Overwrites the older slot. `flush` is called between its parts, so that the file never has the checksum of other
    /// content.
    pub fn write(
        &mut self,
        checkpoint: &Checkpoint,
        flush: impl Fn() -> hdf5::Result<()>,
    ) -> hdf5::Result<()> {
        let slot = &self.slots[self.next];
        slot.digest.write_raw(&Checksum::default())?;
        flush()?;
        slot.step.write_raw(&[checkpoint.step])?;
        for (dataset, array) in slot.arrays.iter().zip(&checkpoint.arrays) {
            match &array.values {
                SavedValues::U8(values) => dataset.write_raw(values)?,
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

/// A complete checkpoint in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointSlot {
    slot: usize,
    /// Steps done.
    pub step: u64,
}

/// Reads the newest complete checkpoint with at most `committed` steps, among those that fit if any does; none if the
/// file has none of this shape.
///
/// # Errors
/// The file cannot be read. Slots that are damaged or of another shape are skipped.
pub fn newest(
    path: &Path,
    file: &File,
    shape: &[SavedShape],
    committed: u64,
    fits: impl Fn(&Checkpoint) -> bool,
) -> Result<Option<(CheckpointSlot, Checkpoint)>, StoreError> {
    let mut found: Option<((bool, u64), CheckpointSlot, Checkpoint)> = None;
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
        let step = checkpoint.step;
        let rank = (fits(&checkpoint), step);
        if step <= committed && found.as_ref().is_none_or(|(best, ..)| *best < rank) {
            found = Some((rank, CheckpointSlot { slot, step }, checkpoint));
        }
    }
    Ok(found.map(|(_, slot, checkpoint)| (slot, checkpoint)))
}

/// The steps of each slot's checkpoint: none for an empty or half-written slot, an error for one that has changed
/// since.
pub fn check(reader: &RunReader) -> [Result<Option<u64>, String>; 2] {
    [0, 1].map(|slot| {
        let checked = || -> Result<Option<u64>, String> {
            let words = |error: hdf5::Error| error.to_string();
            let path = format!("checkpoint/{slot}");
            let group = reader.file().group(&path).map_err(words)?;
            let there = |name: &String| *name != "step" && *name != "digest";
            let names = group.member_names().map_err(words)?;
            let mut names: Vec<String> = names.into_iter().filter(there).collect();
            names.sort_unstable();
            let path = |name: &str| format!("{path}/{name}");
            let expected: Vec<u8> = all(reader, &path("digest"))?;
            if expected.iter().all(|&byte| byte == 0) {
                return Ok(None);
            }
            let step: Vec<u64> = all(reader, &path("step"))?;
            let step = *step.first().ok_or("the step is missing")?;
            let mut sum = Sha256::new();
            sum.update(step.to_le_bytes());
            for name in names {
                let name = path(&name);
                let dataset = reader.open_dataset(&name).map_err(words)?;
                match kind(&dataset).map_err(words)? {
                    SavedKind::U8 => add(&mut sum, &all::<u8>(reader, &name)?),
                    SavedKind::F32 => add(&mut sum, &all::<f32>(reader, &name)?),
                    SavedKind::F64 => add(&mut sum, &all::<f64>(reader, &name)?),
                    SavedKind::U32 => add(&mut sum, &all::<u32>(reader, &name)?),
                    SavedKind::U64 => add(&mut sum, &all::<u64>(reader, &name)?),
                }
            }
            if sum.finalize().as_slice() == expected {
                Ok(Some(step))
            } else {
                Err("its SHA-256 does not match".into())
            }
        };
        checked()
    })
}

fn all<T: H5Type>(reader: &RunReader, name: &str) -> Result<Vec<T>, String> {
    reader.values(name).map_err(|error| error.to_string())
}

fn kind(dataset: &Dataset) -> hdf5::Result<SavedKind> {
    let is = dataset.dtype()?;
    [
        (is.is::<u8>(), SavedKind::U8),
        (is.is::<f32>(), SavedKind::F32),
        (is.is::<f64>(), SavedKind::F64),
        (is.is::<u32>(), SavedKind::U32),
        (is.is::<u64>(), SavedKind::U64),
    ]
    .into_iter()
    .find_map(|(fits, kind)| fits.then_some(kind))
    .ok_or_else(|| format!("{} has the wrong type", dataset.name()).into())
}

fn read(group: &Group, shape: &[SavedShape]) -> Option<Checkpoint> {
    let array = |saved: &SavedShape| {
        let values = match saved.kind {
            SavedKind::U8 => SavedValues::U8(values(group, saved.name, saved.len)?),
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
    let sum = values::<u8>(group, "digest", size_of::<Checksum>())?;
    let checkpoint = Checkpoint {
        step: values(group, "step", 1)?[0],
        arrays: shape.iter().map(array).collect::<Option<_>>()?,
    };
    (sum == digest(&checkpoint)).then_some(checkpoint)
}

/// All values of a dataset, if it has this type and length.
fn values<T: H5Type>(group: &Group, name: &str, len: usize) -> Option<Vec<T>> {
    let dataset = group.dataset(name).ok()?;
    let fits = dataset.shape() == [len] && dataset.dtype().ok()?.is::<T>();
    fits.then(|| dataset.read_raw().ok())?
}

fn digest(checkpoint: &Checkpoint) -> Checksum {
    let mut sum = Sha256::new();
    sum.update(checkpoint.step.to_le_bytes());
    let mut arrays: Vec<&SavedArray> = checkpoint.arrays.iter().collect();
    arrays.sort_unstable_by_key(|array| array.name);
    for array in arrays {
        match &array.values {
            SavedValues::U8(values) => add(&mut sum, values),
            SavedValues::F32(values) => add(&mut sum, values),
            SavedValues::F64(values) => add(&mut sum, values),
            SavedValues::U32(values) => add(&mut sum, values),
            SavedValues::U64(values) => add(&mut sum, values),
        }
    }
    sum.finalize().into()
}

/// Adds values in this machine's byte order, in which HDF5 stores them here.
fn add<T: bytemuck::NoUninit>(sum: &mut Sha256, values: &[T]) {
    sum.update(bytemuck::cast_slice::<T, u8>(values));
}

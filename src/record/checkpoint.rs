//! What a training must remember to go on where it was, bit for bit.

/// The state of a training between two steps. Whatever follows from the configuration and the step
/// number alone is not in it: the order of the data, what dropout drops, the learning rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Steps done.
    pub step: u64,
    /// Always the same arrays in the same order in one run, of the same lengths.
    pub arrays: Vec<SavedArray>,
}

/// A part of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedArray {
    /// Below `checkpoint/0/` and `checkpoint/1/` in the run file.
    pub name: &'static str,
    pub description: &'static str,
    pub values: SavedValues,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SavedValues {
    F32(Vec<f32>),
    F64(Vec<f64>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

impl SavedValues {
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn kind(&self) -> SavedKind {
        match self {
            Self::F32(_) => SavedKind::F32,
            Self::F64(_) => SavedKind::F64,
            Self::U32(_) => SavedKind::U32,
            Self::U64(_) => SavedKind::U64,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedKind {
    F32,
    F64,
    U32,
    U64,
}

/// A [`SavedArray`] without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedShape {
    pub name: &'static str,
    pub description: &'static str,
    pub kind: SavedKind,
    pub len: usize,
}

impl Checkpoint {
    /// What every checkpoint of the run holds.
    #[must_use]
    pub fn shape(&self) -> Vec<SavedShape> {
        let shape = |array: &SavedArray| SavedShape {
            name: array.name,
            description: array.description,
            kind: array.values.kind(),
            len: array.values.len(),
        };
        self.arrays.iter().map(shape).collect()
    }
}

//! The state that a training needs to resume bit-identically.

/// The state of a training between two steps. It leaves out what follows from the configuration and the step number:
/// the order of the data, the dropout masks, the learning rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Number of steps done.
    pub step: u64,
    /// Within a run, always the same arrays in the same order and of the same lengths.
    pub arrays: Vec<SavedArray>,
}

/// A part of the state.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedArray {
    /// Name below `checkpoint/0/` and `checkpoint/1/` in the run file.
    pub name: &'static str,
    pub description: &'static str,
    pub values: SavedValues,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SavedValues {
    U8(Vec<u8>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    U32(Vec<u32>),
    U64(Vec<u64>),
}

impl SavedValues {
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
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
            Self::U8(_) => SavedKind::U8,
            Self::F32(_) => SavedKind::F32,
            Self::F64(_) => SavedKind::F64,
            Self::U32(_) => SavedKind::U32,
            Self::U64(_) => SavedKind::U64,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedKind {
    U8,
    F32,
    F64,
    U32,
    U64,
}

impl SavedKind {
    /// Bytes of a value.
    #[must_use]
    pub fn width(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::F32 | Self::U32 => 4,
            Self::F64 | Self::U64 => 8,
        }
    }
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
    /// Returns the layout that all checkpoints of the run share.
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

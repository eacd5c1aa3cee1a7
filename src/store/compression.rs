//! How per-parameter arrays are compressed.

use std::fmt;
use std::str::FromStr;

use hdf5::DatasetBuilderEmptyShape;
use hdf5::filters::BloscShuffle;

/// How per-parameter arrays are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// blosc-lz4 with bit-shuffle: the fastest.
    #[default]
    Lz4,
    /// blosc-zstd with bit-shuffle: smaller.
    Zstd,
    /// shuffle and deflate: readable by any HDF5 without a plug-in.
    Deflate,
    None,
}

const COMPRESSIONS: [(Compression, &str); 4] = [
    (Compression::Lz4, "lz4"),
    (Compression::Zstd, "zstd"),
    (Compression::Deflate, "deflate"),
    (Compression::None, "none"),
];

/// Why a compression cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no compression: use lz4, zstd, deflate or none")]
pub struct CompressionError(String);

impl FromStr for Compression {
    type Err = CompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        (COMPRESSIONS.iter().find(|(_, name)| *name == text))
            .map(|(compression, _)| *compression)
            .ok_or_else(|| CompressionError(text.to_owned()))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = COMPRESSIONS.iter().find(|(c, _)| c == self);
        f.pad(entry.map_or("", |(_, name)| name))
    }
}

impl Compression {
    pub(super) fn apply(self, builder: DatasetBuilderEmptyShape) -> DatasetBuilderEmptyShape {
        match self {
            Self::Lz4 => builder.blosc_lz4(5, BloscShuffle::Bit),
            Self::Zstd => builder.blosc_zstd(3, BloscShuffle::Bit),
            Self::Deflate => builder.shuffle().deflate(1),
            Self::None => builder,
        }
    }
}

//! Compression of per-parameter arrays.

use std::fmt;
use std::str::FromStr;

use hdf5::filters::{Blosc, BloscShuffle, Filter};
use hdf5::{Dataset, DatasetBuilderEmptyShape};

/// The compression of per-parameter arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Readable by every HDF5 without a plug-in: arrays of every step are uncompressed, and snapshots of totals, which
    /// are rare and compress well, use shuffle and deflate.
    #[default]
    Auto,
    /// blosc-lz4 with bit-shuffle: the fastest.
    Lz4,
    /// blosc-zstd with bit-shuffle: smaller.
    Zstd,
    /// Shuffle and deflate: readable by every HDF5 without a plug-in.
    Deflate,
    None,
}

/// Options for writing a run file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Replace an existing file.
    pub force: bool,
    pub compression: Compression,
    /// Bits of precision kept in recorded allocations and weights, 1 to 24 (24 is all of f32's).
    pub mantissa_bits: u32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            force: false,
            compression: Compression::default(),
            mantissa_bits: 24,
        }
    }
}

const COMPRESSIONS: [(Compression, &str); 5] = [
    (Compression::Auto, "auto"),
    (Compression::Lz4, "lz4"),
    (Compression::Zstd, "zstd"),
    (Compression::Deflate, "deflate"),
    (Compression::None, "none"),
];

/// The error for an unknown compression.
#[derive(Debug, thiserror::Error)]
#[error("unknown compression `{0}` (auto, lz4, zstd, deflate or none)")]
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

/// The filters applied to a dataset, in words, and whether all of them are part of HDF5 itself: other programs need
/// plug-ins for the rest.
pub(super) fn filters_of(dataset: &Dataset) -> (String, bool) {
    /// The first number of a registered filter.
    const REGISTERED: i32 = 256;
    let filters = dataset.filters();
    let names: Vec<String> = filters.iter().map(filter_name).collect();
    let built_in = filters.iter().all(|filter| filter.id() < REGISTERED);
    (names.join(", "), built_in)
}

fn filter_name(filter: &Filter) -> String {
    let name = match filter {
        Filter::Deflate(_) => "deflate",
        Filter::Shuffle => "shuffle",
        Filter::Fletcher32 => "fletcher32",
        Filter::SZip(..) => "szip",
        Filter::NBit => "nbit",
        Filter::ScaleOffset(_) => "scaleoffset",
        Filter::Blosc(Blosc::LZ4 | Blosc::LZ4HC, ..) => "blosc (lz4)",
        Filter::Blosc(Blosc::ZStd, ..) => "blosc (zstd)",
        Filter::Blosc(..) => "blosc",
        // From the HDF Group's list of registered filters.
        Filter::User(..) => match filter.id() {
            32000 => "lzf",
            32004 => "lz4",
            32008 => "bitshuffle",
            32013 => "zfp",
            32015 => "zstd",
            32026 => "blosc2",
            id => return format!("filter {id}"),
        },
    };
    name.to_owned()
}

impl Compression {
    /// The compression of arrays that grow in every step.
    pub(super) fn of_steps(self) -> Self {
        if self == Self::Auto { Self::None } else { self }
    }

    /// The compression of snapshots.
    pub(super) fn of_snapshots(self) -> Self {
        if self == Self::Auto {
            Self::Deflate
        } else {
            self
        }
    }

    pub(super) fn apply(self, builder: DatasetBuilderEmptyShape) -> DatasetBuilderEmptyShape {
        match self {
            Self::Lz4 => builder.blosc_lz4(5, BloscShuffle::Bit),
            Self::Zstd => builder.blosc_zstd(3, BloscShuffle::Bit),
            Self::Deflate => builder.shuffle().deflate(1),
            Self::Auto | Self::None => builder,
        }
    }
}

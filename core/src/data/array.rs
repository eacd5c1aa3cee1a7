//! The arrays of a data set saved by `NumPy`: images, labels and texts, from the types and axes that they may have.

use std::path::PathBuf;

use super::DataError;
use super::file::{MAX_PIXELS, UnpackedFile, no_memory};
use super::npy::{self, NpyFault, NpyHeader};
use super::part::{self, Pixels};

/// Most channels of an image if the channel axis is not specified.
const MAX_CHANNELS: u64 = 4;
/// Most values in an image.
const MAX_FEATURES: u64 = MAX_CHANNELS * MAX_PIXELS;
/// Most classes that one-byte labels can distinguish.
const MAX_CLASSES: u64 = 256;

/// Which axis of four holds the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channels {
    First,
    Last,
}

/// An array of images.
pub(super) struct Images {
    pub file: PathBuf,
    pub count: usize,
    /// Channels, height and width.
    pub shape: [usize; 3],
    /// `[N, channels, height, width]`
    pub pixels: Pixels,
}

impl Images {
    pub fn is_bytes(&self) -> bool {
        matches!(self.pixels, Pixels::Bytes(_))
    }

    pub fn read(mut input: UnpackedFile, channels: Option<Channels>) -> Result<Self, DataError> {
        let file = input.path.clone();
        let header = NpyHeader::read(&mut input)?;
        let fail = |fault| DataError::Npy {
            file: file.clone(),
            fault,
        };
        let axes = image_axes(&header.shape, channels).map_err(fail)?;
        let pixels = match (header.value.kind, header.value.size) {
            ('u', 1) => Pixels::Bytes(header.convert_values(&mut input, |bytes, _, values| {
                values.extend_from_slice(bytes);
            })?),
            ('u' | 'i', 1 | 2 | 4 | 8) => Pixels::Bytes(read_integers(&header, &mut input)?),
            ('f', 4 | 8) => Pixels::Floats(header.convert_values(&mut input, npy::floats)?),
            ('b', 1) => {
                let one = |&byte: &u8| f32::from(u8::from(byte != 0));
                Pixels::Floats(header.convert_values(&mut input, |bytes, _, values| {
                    values.extend(bytes.iter().map(one));
                })?)
            }
            _ => {
                return Err(fail(NpyFault::Type {
                    found: header.value.to_string(),
                    expected: "uint8, float32 or float64",
                    remedy: "as .astype(\"float32\")",
                }));
            }
        };
        // The values have been read, so their number and every axis length fit into `usize`.
        let size = |axis: Option<usize>| {
            let size = axis.map_or(1, |axis| header.shape[axis]);
            usize::try_from(size).unwrap_or(usize::MAX)
        };
        let sizes = axes.map(size);
        let strides = strides(&header);
        let strides = axes.map(|axis| axis.map_or(0, |axis| strides[axis]));
        let [count, shape @ ..] = sizes;
        let pixels = match pixels {
            Pixels::Bytes(bytes) => to_row_major(bytes, sizes, strides).map(Pixels::Bytes),
            Pixels::Floats(values) => to_row_major(values, sizes, strides).map(Pixels::Floats),
        };
        let pixels = pixels.map_err(|values| no_memory(&file, values as u64))?;
        if let Pixels::Floats(values) = &pixels
            && let Some(place) = values.iter().position(|value| !value.is_finite())
        {
            return Err(fail(NpyFault::NotFinite {
                row: place / shape.iter().product::<usize>(),
                value: values[place].into(),
            }));
        }
        Ok(Self {
            file,
            count,
            shape,
            pixels,
        })
    }
}

/// Reads integers of any type whose values fit into bytes.
fn read_integers(header: &NpyHeader, input: &mut UnpackedFile) -> Result<Vec<u8>, DataError> {
    let (mut least, mut greatest) = (i128::MAX, i128::MIN);
    let bytes = header.convert_values(input, |bytes, value, to| {
        for integer in npy::integers(bytes, value) {
            (least, greatest) = (least.min(integer), greatest.max(integer));
            to.push(u8::try_from(integer).unwrap_or(0));
        }
    })?;
    if (0..=255).contains(&least) && (0..=255).contains(&greatest) {
        return Ok(bytes);
    }
    let remedy = match least {
        0.. => {
            // The full range of 16 bits, even if the values do not reach it.
            let scale = if (0x8000..0xffff).contains(&greatest) {
                0xffff
            } else {
                greatest
            };
            format!("(x / {scale}).astype(\"float32\")")
        }
        _ => "((x - x_train.mean()) / x_train.std()).astype(\"float32\")".to_owned(),
    };
    Err(DataError::Npy {
        file: input.path.clone(),
        fault: NpyFault::Integers {
            least,
            greatest,
            remedy,
        },
    })
}

/// Returns the axes of the examples, the channels, the height and the width in an array of images.
fn image_axes(shape: &[u64], channels: Option<Channels>) -> Result<[Option<usize>; 4], NpyFault> {
    let fault = |expected| NpyFault::Shape {
        found: shape.to_vec(),
        expected,
    };
    let axes = match *shape {
        // A vector counts as channels of a single pixel.
        [_, _] => [Some(0), Some(1), None, None],
        [_, _, _] => [Some(0), None, Some(1), Some(2)],
        [_, first, _, last] => {
            let few = |size| (1..=MAX_CHANNELS).contains(&size);
            let channels = match channels {
                Some(channels) => channels,
                None if few(first) && (!few(last) || first < last) => Channels::First,
                None if few(last) && (!few(first) || last < first) => Channels::Last,
                None => return Err(NpyFault::Channels(shape.to_vec())),
            };
            match channels {
                Channels::First => [Some(0), Some(1), Some(2), Some(3)],
                Channels::Last => [Some(0), Some(3), Some(1), Some(2)],
            }
        }
        _ => {
            return Err(fault(
                "[N, height, width], with an optional axis for channels, or [N, features]",
            ));
        }
    };
    let features = shape[1..].iter().copied().fold(1, u64::saturating_mul);
    if shape[0] == 0 || !(1..=MAX_FEATURES).contains(&features) {
        return Err(fault("at least one image, of 1 to 262144 values"));
    }
    Ok(axes)
}

/// Returns the distance between neighbours along each axis in the file.
fn strides(header: &NpyHeader) -> Vec<usize> {
    let mut strides = vec![0; header.shape.len()];
    let mut next = 1_usize;
    let mut step = |(stride, &size): (&mut usize, &u64)| {
        *stride = next;
        next = next.saturating_mul(usize::try_from(size).unwrap_or(usize::MAX));
    };
    let axes = strides.iter_mut().zip(&header.shape);
    if header.is_fortran {
        axes.for_each(&mut step);
    } else {
        axes.rev().for_each(&mut step);
    }
    strides
}

/// Returns the values in row-major order, given their strides.
///
/// # Errors
/// There is no memory for so many.
fn to_row_major<T: Copy>(
    values: Vec<T>,
    sizes: [usize; 4],
    strides: [usize; 4],
) -> Result<Vec<T>, usize> {
    let [a, b, c, d] = sizes;
    let row_by_row = [b * c * d, c * d, d, 1];
    if (0..4).all(|axis| sizes[axis] == 1 || strides[axis] == row_by_row[axis]) {
        return Ok(values);
    }
    let mut arranged = Vec::new();
    (arranged.try_reserve_exact(values.len())).map_err(|_| values.len())?;
    for i in 0..a {
        for j in 0..b {
            for k in 0..c {
                let start = i * strides[0] + j * strides[1] + k * strides[2];
                arranged.extend((0..d).map(|l| values[start + l * strides[3]]));
            }
        }
    }
    Ok(arranged)
}

/// An array of labels.
pub(super) struct Labels {
    pub file: PathBuf,
    pub values: Vec<u8>,
}

impl Labels {
    pub fn read(mut input: UnpackedFile) -> Result<Self, DataError> {
        let file = input.path.clone();
        let header = NpyHeader::read(&mut input)?;
        let fault = if !matches!(*header.shape, [_] | [_, 1]) || header.shape[0] == 0 {
            Some(NpyFault::Shape {
                found: header.shape.clone(),
                expected: "[N] or [N, 1], one class per image (for one-hot rows, save y.argmax(1))",
            })
        } else if !matches!(header.value.kind, 'i' | 'u')
            || !matches!(header.value.size, 1 | 2 | 4 | 8)
        {
            Some(NpyFault::Type {
                found: header.value.to_string(),
                expected: "integers",
                remedy: "as .astype(\"int64\")",
            })
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(DataError::Npy { file, fault });
        }
        let bytes = header.read_values(&mut input)?;
        let mut values = Vec::new();
        for (row, label) in npy::integers(&bytes, &header.value).enumerate() {
            match u8::try_from(label) {
                Ok(label) => values.push(label),
                Err(_) => {
                    return Err(DataError::Label {
                        file,
                        row,
                        label,
                        highest: usize::from(u8::MAX),
                    });
                }
            }
        }
        Ok(Self { file, values })
    }
}

/// Reads a few texts.
fn read_texts(input: &mut UnpackedFile) -> Result<Vec<String>, DataError> {
    let header = NpyHeader::read(input)?;
    let file = input.path.clone();
    let count = header.shape.iter().copied().fold(1, u64::saturating_mul);
    let fault = if !matches!(header.value.kind, 'U' | 'S') || header.value.size == 0 {
        Some(NpyFault::Type {
            found: header.value.to_string(),
            expected: "text",
            remedy: "as numpy.array([\"first\", \"second\"])",
        })
    } else if !(1..=MAX_CLASSES).contains(&count) {
        Some(NpyFault::ClassCount(count))
    } else {
        None
    };
    if let Some(fault) = fault {
        return Err(DataError::Npy { file, fault });
    }
    let bytes = header.read_values(input)?;
    Ok(npy::texts(&bytes, &header.value))
}

pub(super) fn read_class_names(mut input: UnpackedFile) -> Result<Vec<String>, DataError> {
    let names = read_texts(&mut input)?;
    part::check_class_names(&input.path, &names)?;
    Ok(names)
}

pub(super) fn read_channels(mut input: UnpackedFile) -> Result<Channels, DataError> {
    let words = read_texts(&mut input)?;
    match words.as_slice() {
        [word] if word == "first" => Ok(Channels::First),
        [word] if word == "last" => Ok(Channels::Last),
        words => Err(DataError::Npy {
            file: input.path,
            fault: NpyFault::ChannelsWord(words.join(", ")),
        }),
    }
}

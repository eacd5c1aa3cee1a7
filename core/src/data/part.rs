//! Training part and test part, as read, and the data set that they form.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::file;
use super::{DataError, Dataset, Examples};

/// Most bytes of a class name, limited by the run file.
const MAX_CLASS_NAME: usize = 64;

/// The values of all images of a part, `[N, channels, height, width]`.
pub(super) enum Pixels {
    /// Divided by 255 later.
    Bytes(Vec<u8>),
    /// Used as they are.
    Floats(Vec<f32>),
}

impl Pixels {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(pixels) => pixels.len(),
            Self::Floats(values) => values.len(),
        }
    }
}

/// The training part or the test part.
pub(super) struct DataPart {
    /// The images' file, for errors.
    pub file: PathBuf,
    /// Channels, height and width.
    pub shape: [usize; 3],
    pub pixels: Pixels,
    /// `[N]`, each below the number of classes.
    pub labels: Vec<u8>,
}

/// Combines the two parts if their images have the same shape.
pub(super) fn dataset(
    name: String,
    classes: Vec<String>,
    train: DataPart,
    test: DataPart,
) -> Result<Dataset, DataError> {
    if train.shape != test.shape {
        return Err(DataError::SizesDiffer {
            train: train.file,
            train_size: size(train.shape),
            test: test.file,
            test_size: size(test.shape),
        });
    }
    let values = train.pixels.len() as u64 + test.pixels.len() as u64;
    file::check_memory(&train.file, values)?;
    let mut hash = Sha256::new();
    for part in [&train, &test] {
        match &part.pixels {
            Pixels::Bytes(pixels) => hash.update(pixels),
            Pixels::Floats(values) => {
                for value in values {
                    hash.update(value.to_le_bytes());
                }
            }
        }
        hash.update(&part.labels);
    }
    Ok(Dataset {
        name,
        shape: train.shape,
        classes,
        train: train.examples()?,
        test: test.examples()?,
        sha256: hex(&hash.finalize()),
    })
}

impl DataPart {
    fn examples(self) -> Result<Examples, DataError> {
        let features = self.shape.iter().product();
        match self.pixels {
            Pixels::Bytes(pixels) => {
                let mut values = Vec::new();
                if values.try_reserve_exact(pixels.len()).is_err() {
                    return Err(file::no_memory(&self.file, pixels.len() as u64));
                }
                values.extend(pixels.iter().map(|&pixel| f32::from(pixel) / 255.0));
                Examples::new(values, self.labels, features)
            }
            Pixels::Floats(values) => Examples::new(values, self.labels, features),
        }
    }
}

/// Checks that there is a label for every image.
pub(super) fn check_counts(
    images: (&Path, usize),
    labels: (&Path, usize),
) -> Result<(), DataError> {
    if images.1 == labels.1 {
        return Ok(());
    }
    Err(DataError::CountsDiffer {
        images: images.0.to_owned(),
        image_count: images.1,
        labels: labels.0.to_owned(),
        label_count: labels.1,
    })
}

/// Checks that every label is below `classes`.
pub(super) fn check_labels(file: &Path, labels: &[u8], classes: usize) -> Result<(), DataError> {
    match labels
        .iter()
        .position(|&label| usize::from(label) >= classes)
    {
        None => Ok(()),
        Some(row) => Err(DataError::Label {
            file: file.to_owned(),
            row,
            label: labels[row].into(),
            highest: classes.saturating_sub(1),
        }),
    }
}

/// Checks that names from outside can be shown and recorded.
pub(super) fn check_class_names(file: &Path, names: &[String]) -> Result<(), DataError> {
    let fits = |name: &&String| {
        (1..=MAX_CLASS_NAME).contains(&name.len()) && !name.chars().any(char::is_control)
    };
    match names.iter().find(|name| !fits(name)) {
        None => Ok(()),
        Some(name) => Err(DataError::ClassName {
            file: file.to_owned(),
            name: name.chars().take(MAX_CLASS_NAME).collect(),
        }),
    }
}

/// Returns numbers as names for classes without names.
pub(super) fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// Formats an image size: `28x28` or, with several channels, `3x32x32`.
fn size(shape: [usize; 3]) -> String {
    match shape {
        [1, height, width] => format!("{height}x{width}"),
        [channels, height, width] => format!("{channels}x{height}x{width}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .filter_map(|nibble| char::from_digit(nibble.into(), 16))
        .collect()
}

//! The embedded data set: a class-balanced sample of MNIST, so that a first run needs neither a download nor a path.

use std::path::PathBuf;

use super::file::UnpackedFile;
use super::{DataError, Dataset, idx};

macro_rules! asset {
    ($name:literal) => {{
        let bytes: &[u8] = include_bytes!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../assets/mnist/",
            $name
        ));
        (PathBuf::from(concat!("embedded ", $name)), bytes)
    }};
}

/// Reads the embedded sample: 6,000 training and 1,000 test images `[1, 28, 28]`, 10 classes.
///
/// # Errors
/// None, unless the program was built from damaged assets.
pub fn load() -> Result<Dataset, DataError> {
    let [a, b, c, d] = [
        asset!("train-images-idx3-ubyte.gz"),
        asset!("train-labels-idx1-ubyte.gz"),
        asset!("t10k-images-idx3-ubyte.gz"),
        asset!("t10k-labels-idx1-ubyte.gz"),
    ]
    .map(|(path, bytes)| UnpackedFile::new(path, bytes));
    idx::dataset("MNIST sample".to_owned(), [a?, b?, c?, d?])
}

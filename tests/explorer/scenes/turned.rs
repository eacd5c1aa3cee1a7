//! A run in which everything that helped hurts, and the other way round.

use std::fs;
use std::path::Path;

use hdf5::{Dataset, File, OpenMode};

/// Datasets of allocations, in nats.
const NEGATED: &[&str] = &[
    "lca/total",
    "lca/layer",
    "lca/tensor",
    "lca/unit",
    "lca/class_layer",
    "lca/param",
    "lca_test/total",
    "lca_test/layer",
    "lca_test/tensor",
    "lca_test/unit",
    "trace/lca",
    "param/lca_sum",
];

/// Copies a recorded run and turns the signs of its allocations.
pub fn turn(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
    let file = File::open_as(to, OpenMode::ReadWrite).unwrap();
    let dataset = |path: &str| -> Dataset {
        let dataset = file.dataset(path);
        dataset.unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    for path in NEGATED {
        let dataset = dataset(path);
        let values = dataset.read_dyn::<f64>().unwrap();
        dataset.write(&values.mapv(|a| -a)).unwrap();
    }
    let (helped, hurt) = (dataset("lca/helped"), dataset("lca/hurt"));
    let counts = [&helped, &hurt].map(|dataset| dataset.read_dyn::<u64>().unwrap());
    hurt.write(&counts[0]).unwrap();
    helped.write(&counts[1]).unwrap();
    let histogram = dataset("lca/histogram");
    let mut counts = histogram.read_dyn::<u32>().unwrap();
    let bins = ndarray::Axis(2);
    counts.invert_axis(bins);
    histogram.write(&counts.as_standard_layout()).unwrap();
}

//! Writes the parts of a run file that precede the first step: attributes, layout, rows of the data.

use hdf5::{Dataset, File, Group, H5Type};
use ndarray::ArrayView;

use super::schema::{FORMAT, TRAJECTORY_FILES, UNITS, VERSION};
use super::text::{self, FileNameString, NameString};
use crate::layout::{Layer, Tensor};
use crate::record::{DataFacts, RunHeader};

/// Writes the root attributes.
pub fn write_attributes(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    for (name, value) in [
        ("format", FORMAT),
        ("producer", &header.producer),
        ("created", &header.created),
        ("config", &header.config),
        ("device", &header.device),
        ("dataset", &header.dataset),
        ("dataset_sha256", &header.dataset_sha256),
        ("integrator", &header.integrator),
        ("network", &header.network),
        ("units", UNITS),
    ] {
        text::write_attribute(file, name, value)?;
    }
    if !header.input_shape.is_empty() {
        let axes: Vec<String> = header.input_shape.iter().map(usize::to_string).collect();
        text::write_attribute(file, "input_shape", &axes.join("x"))?;
    }
    for (name, value) in [
        ("version", VERSION),
        ("seed", header.seed),
        ("slice_size", header.slice_size),
        ("ranks", header.ranks.max(1)),
        ("planned_steps", header.planned_steps),
        ("steps_per_epoch", header.steps_per_epoch),
        ("lca_every", header.lca_every.max(1)),
        ("snapshots", header.snapshots),
    ] {
        file.new_attr::<u64>().create(name)?.write_scalar(&value)?;
    }
    file.new_attr::<f64>()
        .create("tolerance")?
        .write_scalar(&header.tolerance)
}

/// Writes which rows of the source data set the run uses.
pub fn write_rows(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    let allocated = (!header.lca_index.is_empty()).then_some((
        "lca_index",
        &header.lca_index,
        "those of train_index that the training loss, its accuracy and its allocation are of",
    ));
    let always = [
        (
            "train_index",
            &header.train_index,
            "rows of the source data set that are trained on",
        ),
        (
            "test_index",
            &header.test_index,
            "rows of the source's held-out part that are used",
        ),
        (
            "validation_index",
            &header.validation_index,
            "training rows that are set aside",
        ),
    ];
    for (name, rows, what) in always.into_iter().chain(allocated) {
        let rows: Vec<u64> = rows.iter().map(|&row| u64::from(row)).collect();
        write_fixed(file, &format!("data/{name}"), &rows, "rows", what)?;
    }
    if let Some(facts) = &header.data {
        write_data_facts(file, facts)?;
    }
    Ok(())
}

fn write_data_facts(file: &File, facts: &DataFacts) -> hdf5::Result<()> {
    let what = "least, greatest and root mean square of the training examples' inputs";
    write_fixed(file, "data/input_range", &facts.inputs, "", what)?;
    for (name, counts, what) in [
        ("train", &facts.train, "training examples of each class"),
        ("test", &facts.held_out, "held-out examples of each class"),
    ] {
        let path = format!("data/{name}_class_examples");
        write_fixed(file, &path, counts, "examples", what)?;
    }
    Ok(())
}

/// Writes the names of the files with the points of a path from elsewhere, if they have names.
pub fn write_trajectory(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    let names: Vec<FileNameString> = header
        .trajectory_files
        .iter()
        .map(|name| text::fixed(name))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let what = "files that hold the points of the path, in its order; of a straight line those of its ends";
    write_fixed(file, TRAJECTORY_FILES, &names, "", what).map(|_| ())
}

/// Writes layers, tensors, units and classes.
pub fn write_layout(file: &File, header: &RunHeader) -> hdf5::Result<()> {
    write_layers(file, &header.layout.layers)?;
    write_tensors(file, &header.layout.tensors)?;
    write_units(file, &header.layout.layers)?;
    let classes = header.classes.iter().map(String::as_str);
    write_names(file, "layout/class/name", classes, "classes")
}

fn write_layers(file: &File, layers: &[Layer]) -> hdf5::Result<()> {
    let names = layers.iter().map(|l| l.name.as_str());
    write_names(file, "layout/layer/name", names, "layers in network order")?;
    let kinds = layers.iter().map(|l| l.kind.as_str());
    write_names(file, "layout/layer/kind", kinds, "kind of layer")?;
    write_counts(
        file,
        "layout/layer/units",
        layers.iter().map(|l| l.units.len()),
        ("units", "output neurons or channels"),
    )?;
    write_counts(
        file,
        "layout/layer/params",
        layers.iter().map(|l| l.range.len()),
        ("parameters", "trainable parameters"),
    )
}

fn write_tensors(file: &File, tensors: &[Tensor]) -> hdf5::Result<()> {
    write_names(
        file,
        "layout/tensor/name",
        tensors.iter().map(|t| t.name.as_str()),
        "tensors in the order of the flat parameter vector",
    )?;
    write_names(
        file,
        "layout/tensor/kind",
        tensors.iter().map(|t| t.kind.name()),
        "weight, bias, scale or shift",
    )?;
    write_counts(
        file,
        "layout/tensor/layer",
        tensors.iter().map(|t| t.layer),
        ("", "owning layer"),
    )?;
    write_counts(
        file,
        "layout/tensor/offset",
        tensors.iter().map(|t| t.range.start),
        ("parameters", "first index in the flat parameter vector"),
    )?;
    write_counts(
        file,
        "layout/tensor/size",
        tensors.iter().map(|t| t.range.len()),
        ("parameters", "parameters"),
    )?;
    let shapes = tensors.iter().flat_map(|t| {
        let shape = t.four_axes();
        (0..4).map(move |axis| shape.get(axis).copied().unwrap_or(0) as u64)
    });
    let shapes = ndarray::Array2::from_shape_vec((tensors.len(), 4), shapes.collect());
    let shapes = shapes.map_err(|error| hdf5::Error::Internal(error.to_string()))?;
    let dataset = file
        .new_dataset_builder()
        .with_data(&shapes)
        .create("layout/tensor/shape")?;
    text::write_attribute(
        &dataset,
        "description",
        "axes, zero-padded to four, the fourth standing for all behind it; axis 0 is the unit (output) axis",
    )
}

/// Writes the layer of each unit, and its index there.
fn write_units(file: &File, layers: &[Layer]) -> hdf5::Result<()> {
    let units = || {
        let layers = layers.iter().enumerate();
        layers.flat_map(|(l, layer)| (0..layer.units.len()).map(move |u| (l, u)))
    };
    write_counts(
        file,
        "layout/unit/layer",
        units().map(|(layer, _)| layer),
        ("", "owning layer"),
    )?;
    write_counts(
        file,
        "layout/unit/index",
        units().map(|(_, index)| index),
        ("", "which neuron or channel of its layer"),
    )
}

fn write_names<'a>(
    file: &File,
    path: &str,
    names: impl Iterator<Item = &'a str>,
    what: &str,
) -> hdf5::Result<()> {
    let names: Vec<NameString> = names.map(text::fixed).collect();
    write_fixed(file, path, &names, "", what).map(|_| ())
}

fn write_counts(
    file: &File,
    path: &str,
    counts: impl Iterator<Item = usize>,
    (unit, what): (&str, &str),
) -> hdf5::Result<()> {
    let counts: Vec<u64> = counts.map(|count| count as u64).collect();
    write_fixed(file, path, &counts, unit, what).map(|_| ())
}

/// Writes a dataset of fixed size, with its attributes.
pub fn write_fixed<T: H5Type>(
    file: &Group,
    path: &str,
    values: &[T],
    unit: &str,
    what: &str,
) -> hdf5::Result<Dataset> {
    let builder = file.new_dataset_builder();
    let dataset = builder.with_data(ArrayView::from(values)).create(path)?;
    describe(&dataset, unit, what)?;
    Ok(dataset)
}

/// Gives a dataset its description and its unit.
pub fn describe(dataset: &Dataset, unit: &str, what: &str) -> hdf5::Result<()> {
    text::write_attribute(dataset, "description", what)?;
    if !unit.is_empty() {
        text::write_attribute(dataset, "unit", unit)?;
    }
    Ok(())
}

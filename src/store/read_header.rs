//! Reads and checks the parts of a run file that precede the first step.

use std::fs;
use std::io::{Error, ErrorKind};
use std::iter;
use std::os::unix::fs::FileExt;
use std::path::Path;

use hdf5::{File, H5Type};

use super::bounds::{Bounds, LONGEST, damaged};
use super::error::{Context, StoreError};
use super::journal::AbandonedJournal;
use super::schema::TRAJECTORY_FILES;
use super::text;
use crate::layout::{Layer, ParamLayout, Tensor, TensorKind};
use crate::record::{DataFacts, RunHeader};

/// The signature at the start of an HDF5 file's content.
const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// Opens an HDF5 file. Other files are refused with a plain message before the library sees them.
pub fn open_hdf5(path: &Path) -> Result<fs::File, StoreError> {
    let io = StoreError::io(path);
    if path.to_str().is_none() {
        return Err(io(Error::other("the name is not valid UTF-8")));
    }
    let file = fs::File::open(path).map_err(io)?;
    let is_there = |at| {
        let mut bytes = [0; SIGNATURE.len()];
        match file.read_exact_at(&mut bytes, at) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            read => read.map(|()| bytes == *SIGNATURE),
        }
    };
    if is_there(0).map_err(io)? {
        return Ok(file);
    }
    let length = file.metadata().map_err(io)?.len();
    if length == 0 {
        return Err(StoreError::Empty {
            path: path.to_owned(),
        });
    }
    // The journal of such a file contains signatures too.
    if AbandonedJournal::find(&file)
        .map_err(io)?
        .is_some_and(|left| left.was_never_synced())
    {
        return Err(StoreError::Unborn {
            path: path.to_owned(),
        });
    }
    // A user block, as written by MATLAB, has 512 bytes times a power of two.
    let behind_block = iter::successors(Some(512_u64), |at| at.checked_mul(2));
    let mut places = behind_block.take_while(|&at| at < length);
    if !places.any(|at| is_there(at).unwrap_or(false)) {
        return Err(StoreError::NotHdf5 {
            path: path.to_owned(),
        });
    }
    Ok(file)
}

pub fn number<T: H5Type>(path: &Path, file: &File, name: &str) -> Result<T, StoreError> {
    file.attr(name)
        .and_then(|attribute| attribute.read_scalar())
        .doing(path, || format!("read the attribute {name}"))
}

/// Reads everything known about a run before its first step.
pub fn read_header(path: &Path, file: &File, bounds: &Bounds) -> Result<RunHeader, StoreError> {
    let string = |name: &str| {
        text::read_line(file, name).doing(path, || format!("read the attribute {name}"))
    };
    let rows = |name: &str| -> Result<Vec<u32>, StoreError> {
        let rows: Vec<u64> = bounds.vector(file, name)?;
        let small = |row: u64| u32::try_from(row).ok();
        (rows.into_iter().map(small).collect::<Option<_>>()).ok_or_else(|| StoreError::Damaged {
            path: path.to_owned(),
            what: format!("{name} has a row above 2^32"),
        })
    };
    let layout = read_layout(path, file, bounds)?;
    let traced: Vec<u64> = bounds.vector(file, "trace/parameter")?;
    if let Some(index) = traced.iter().find(|&&i| i >= layout.params() as u64) {
        let what = format!("trace/parameter has {index}, beyond the last parameter");
        return Err(damaged(path, what));
    }
    let train_index = rows("data/train_index")?;
    let mut lca_index = Vec::new();
    if file.link_exists("data/lca_index") {
        lca_index = rows("data/lca_index")?;
        // An empty list would be taken for all rows.
        if lca_index.is_empty() || !is_part_of(&lca_index, &train_index) {
            let what = "data/lca_index is not a subset of data/train_index".to_owned();
            return Err(damaged(path, what));
        }
    }
    let mut trajectory_files = Vec::new();
    if file.link_exists("course") && file.link_exists(TRAJECTORY_FILES) {
        trajectory_files = bounds.names(file, TRAJECTORY_FILES)?;
    }
    let classes = bounds.names(file, "layout/class/name")?;
    Ok(RunHeader {
        producer: string("producer")?,
        created: string("created")?,
        config: text::read_attribute(file, "config")
            .doing(path, || "read the attribute config".to_owned())?,
        seed: number(path, file, "seed")?,
        device: string("device")?,
        dataset: string("dataset")?,
        dataset_sha256: string("dataset_sha256")?,
        integrator: string("integrator")?,
        slice_size: number(path, file, "slice_size")?,
        // Not in files of older programs.
        ranks: number(path, file, "ranks").unwrap_or(1),
        network: string("network")?,
        planned_steps: number(path, file, "planned_steps")?,
        steps_per_epoch: number(path, file, "steps_per_epoch")?,
        lca_every: number(path, file, "lca_every").unwrap_or(1),
        snapshots: number(path, file, "snapshots").unwrap_or(8),
        tolerance: number(path, file, "tolerance")?,
        layout,
        input_shape: input_shape(path, file)?,
        data: data_facts(path, file, bounds, classes.len())?,
        classes,
        train_index,
        lca_index,
        test_index: rows("data/test_index")?,
        validation_index: rows("data/validation_index")?,
        traced,
        histogram_edges: bounds.vector(file, "lca/histogram_edges")?,
        trajectory_files,
        held_out_lca: file.link_exists("lca_test"),
        record_weights: u64::from(file.link_exists("weight")),
        record_params: u64::from(file.link_exists("lca/param")),
        checkpoint: Vec::new(),
    })
}

/// Whether all rows are among others, each once and in order.
fn is_part_of(rows: &[u32], others: &[u32]) -> bool {
    let mut others = others.iter();
    rows.iter().all(|row| others.any(|other| other == row))
}

/// Facts about the examples; none in files from older programs.
fn data_facts(
    path: &Path,
    file: &File,
    bounds: &Bounds,
    classes: usize,
) -> Result<Option<DataFacts>, StoreError> {
    let [inputs, train, held_out] = [
        "data/input_range",
        "data/train_class_examples",
        "data/test_class_examples",
    ];
    if ![inputs, train, held_out]
        .iter()
        .all(|name| file.link_exists(name))
    {
        return Ok(None);
    }
    let range: Vec<f64> = bounds.vector(file, inputs)?;
    let counts = |name: &str| -> Result<Vec<u64>, StoreError> {
        let counts: Vec<u64> = bounds.vector(file, name)?;
        if counts.len() == classes {
            Ok(counts)
        } else {
            Err(damaged(
                path,
                format!("{name} does not have {classes} classes"),
            ))
        }
    };
    let inputs =
        (range.try_into()).map_err(|_| damaged(path, format!("{inputs} is not a range")))?;
    Ok(Some(DataFacts {
        inputs,
        train: counts(train)?,
        held_out: counts(held_out)?,
    }))
}

/// The axes of one example, such as `3x32x32`; empty in files from older programs.
fn input_shape(path: &Path, file: &File) -> Result<Vec<usize>, StoreError> {
    let name = "input_shape";
    let names = (file.attr_names()).doing(path, || "read the attributes".to_owned())?;
    if !names.iter().any(|it| it == name) {
        return Ok(Vec::new());
    }
    let text = text::read_line(file, name).doing(path, || format!("read the attribute {name}"))?;
    let axes: Option<Vec<usize>> = text.split('x').map(|axis| axis.parse().ok()).collect();
    let is_small = |axes: &Vec<usize>| {
        let size = axes
            .iter()
            .try_fold(1_usize, |size, &n| size.checked_mul(n));
        size.is_some_and(|size| size > 0 && size <= LONGEST.params)
    };
    axes.filter(is_small)
        .ok_or_else(|| damaged(path, format!("the attribute {name} is '{text}'")))
}

/// Rebuilds the layout and checks that it is consistent.
fn read_layout(path: &Path, file: &File, bounds: &Bounds) -> Result<ParamLayout, StoreError> {
    let damaged = |what: &str| {
        let what = format!("the layout of the parameters is damaged: {what}");
        damaged(path, what)
    };
    let names = |name: &str| bounds.names(file, name);
    let sizes = |name: &str| -> Result<Vec<usize>, StoreError> {
        let values: Vec<u64> = bounds.vector(file, name)?;
        let size = |v: u64| usize::try_from(v).ok().filter(|&v| v <= LONGEST.params);
        (values.into_iter().map(size).collect::<Option<_>>()).ok_or_else(|| damaged(name))
    };
    let layer_names = names("layout/layer/name")?;
    let layer_kinds = names("layout/layer/kind")?;
    let layer_units = sizes("layout/layer/units")?;
    let layer_params = sizes("layout/layer/params")?;
    let tensor_names = names("layout/tensor/name")?;
    let tensor_kinds = names("layout/tensor/kind")?;
    let tensor_layer = sizes("layout/tensor/layer")?;
    let offsets = sizes("layout/tensor/offset")?;
    let lengths = sizes("layout/tensor/size")?;
    let shapes = sizes("layout/tensor/shape")?;
    let (layers, tensors) = (layer_names.len(), tensor_names.len());
    let tensor_lists = [
        tensor_kinds.len(),
        tensor_layer.len(),
        offsets.len(),
        lengths.len(),
        shapes.len() / 4,
    ];
    let layer_lists = [layer_kinds.len(), layer_units.len(), layer_params.len()];
    if layer_lists != [layers; 3] || tensor_lists != [tensors; 5] {
        return Err(damaged("lists of different lengths"));
    }
    if layers > LONGEST.layers || tensors > LONGEST.tensors {
        let lists = format!("too many layers ({layers}) or tensors ({tensors})");
        return Err(damaged(&lists));
    }

    // Arrays with a number for each unit are allocated before any is read, so the units are counted in the file's list
    // of them, not taken from the number it claims.
    let units = (layer_units.iter()).try_fold(0_usize, |sum, &units| sum.checked_add(units));
    if units != Some(sizes("layout/unit/layer")?.len()) {
        return Err(damaged("a different number of units than listed"));
    }

    let mut layout = ParamLayout::default();
    let mut next = 0;
    for k in 0..tensors {
        let shape: Vec<usize> = shapes[4 * k..4 * k + 4]
            .iter()
            .copied()
            .take_while(|&n| n > 0)
            .collect();
        let units = layer_units.get(tensor_layer[k]);
        let product = shape.iter().try_fold(1_usize, |p, &n| p.checked_mul(n));
        if offsets[k] != next || product != Some(lengths[k]) || shape.first() != units {
            return Err(damaged(&format!("tensor {k}")));
        }
        next += lengths[k];
        if next > LONGEST.params {
            return Err(damaged("too many parameters"));
        }
        layout.tensors.push(Tensor {
            name: tensor_names[k].clone(),
            kind: TensorKind::from_name(&tensor_kinds[k])
                .ok_or_else(|| damaged("a tensor's kind"))?,
            layer: tensor_layer[k],
            range: offsets[k]..next,
            shape,
        });
    }
    let mut unit = 0;
    let mut tensor = 0;
    for l in 0..layers {
        let first = tensor;
        while layout.tensors.get(tensor).is_some_and(|t| t.layer == l) {
            tensor += 1;
        }
        let range = match layout.tensors[first..tensor] {
            [] => return Err(damaged(&format!("layer {l} has no tensors"))),
            [ref a, .., ref z] => a.range.start..z.range.end,
            [ref only] => only.range.clone(),
        };
        if range.len() != layer_params[l] {
            return Err(damaged(&format!("the parameters of layer {l}")));
        }
        layout.layers.push(Layer {
            name: layer_names[l].clone(),
            kind: layer_kinds[l].clone(),
            range,
            tensors: first..tensor,
            units: unit..unit + layer_units[l],
        });
        unit += layer_units[l];
    }
    if tensor != tensors {
        return Err(damaged("tensors not in the order of the layers"));
    }
    Ok(layout)
}

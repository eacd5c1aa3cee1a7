//! The description of a model and its data by its program, checked and turned into a layout.

use super::connection::{Client, ClientError};
use super::message::{ClientMessage, Open, OpenData, OpenLayer, VERSION};
use crate::config::{ConfigError, Options};
use crate::layout::{Layer, MAX_NAME, ParamLayout, Tensor};
use crate::record::DataFacts;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// A program's request to record a training.
pub struct RecordRequest {
    pub model: OpenedModel,
    pub options: Options,
    /// Number of optimizer steps that a step covers.
    pub every: u64,
    /// Path of the run to continue.
    pub resume: Option<PathBuf>,
    /// True if evaluations at the same parameters give the same bits.
    pub exact: bool,
}

/// A model and its data, as a program describes them.
pub struct OpenedModel {
    pub producer: String,
    pub network: String,
    pub device: String,
    pub layout: ParamLayout,
    pub dataset: String,
    pub train: u32,
    pub held_out: u32,
    /// At least one.
    pub classes: Vec<String>,
    pub facts: Option<DataFacts>,
    pub input_shape: Vec<usize>,
    pub slice_size: u64,
}

impl RecordRequest {
    /// Waits for the program's first message.
    ///
    /// # Errors
    /// It is not a valid `open`.
    pub fn receive(client: &Client) -> Result<Self, ConfigError> {
        let message = client.receive();
        let open = match message {
            Ok(ClientMessage::Open(open)) => open,
            Ok(_) => return Err(refused("the first message is `open`")),
            Err(error @ ClientError::Gone) => return Err(refused(&error.to_string())),
            Err(error) => return Err(refused(&format!("open: {error}"))),
        };
        let Open {
            protocol,
            producer,
            network,
            device,
            layers,
            data,
            exact,
            options,
            every,
            resume,
        } = *open;
        if protocol != VERSION {
            return Err(refused(&format!(
                "the client speaks version {protocol} of the protocol, and this program version {VERSION}: install \
                 the same version of both"
            )));
        }
        if every == 0 {
            return Err(refused("every is at least 1"));
        }
        let layout = layout(layers)?;
        let (classes, facts) = classes(&data)?;
        Ok(Self {
            model: OpenedModel {
                producer,
                network,
                device,
                layout,
                dataset: data.name,
                train: data.train,
                held_out: data.held_out,
                classes,
                facts,
                input_shape: data.input_shape,
                slice_size: data.slice_size,
            },
            options,
            every,
            resume,
            exact,
        })
    }
}

/// Returns the names of the classes, at least one, and the statistics of the examples.
fn classes(data: &OpenData) -> Result<(Vec<String>, Option<DataFacts>), ConfigError> {
    if data.train == 0 {
        return Err(refused("data.train: there are no examples"));
    }
    let classes = match data.classes.as_slice() {
        [] => vec!["all".to_owned()],
        names => names.iter().map(|name| fitting(name)).collect(),
    };
    for (key, counts) in [
        ("train_classes", &data.train_classes),
        ("held_out_classes", &data.held_out_classes),
    ] {
        if !counts.is_empty() && counts.len() != classes.len() {
            return Err(refused(&format!(
                "data.{key} has {} numbers, for {} classes",
                counts.len(),
                classes.len()
            )));
        }
    }
    let inputs = data.inputs.map(|numbers| numbers.map(|number| number.0));
    let facts = (!data.train_classes.is_empty()).then(|| DataFacts {
        inputs: inputs.unwrap_or([f64::NAN; 3]),
        held_out: match data.held_out_classes.as_slice() {
            [] => vec![0; classes.len()],
            counts => counts.to_vec(),
        },
        train: data.train_classes.clone(),
    });
    Ok((classes, facts))
}

fn refused(what: &str) -> ConfigError {
    ConfigError(what.to_owned())
}

/// Returns the layout of a model's layers. Names that are too long for the run file lose their middle.
fn layout(layers: Vec<OpenLayer>) -> Result<ParamLayout, ConfigError> {
    let mut layout = ParamLayout::default();
    let mut names = [BTreeSet::new(), BTreeSet::new()];
    let mut unique = |which: usize, name: &str| {
        let fitted = fitting(name);
        if names[which].insert(fitted.clone()) {
            return Ok(fitted);
        }
        Err(refused(&format!(
            "layers: there are two of the name {fitted}"
        )))
    };
    for layer in layers {
        let name = unique(0, &layer.name)?;
        let index = layout.layers.len();
        let (start, first_unit) = (layout.params(), layout.units());
        let first_tensor = layout.tensors.len();
        let mut end = start;
        let mut units = None;
        for tensor in layer.tensors {
            let size =
                (tensor.shape.iter()).try_fold(1_usize, |size, &axis| size.checked_mul(axis));
            let size = size
                .and_then(|size| end.checked_add(size))
                .map(|sum| sum - end);
            let rows = tensor.shape.first().copied();
            let (Some(size @ 1..), Some(rows)) = (size, rows) else {
                return Err(refused(&format!(
                    "layers: {} has the shape {:?}: every tensor has at least one axis and one number",
                    tensor.name, tensor.shape
                )));
            };
            if *units.get_or_insert(rows) != rows {
                return Err(refused(&format!(
                    "layers: the tensors of {name} differ in their first axis, which counts the units: give them as \
                     layers of their own"
                )));
            }
            layout.tensors.push(Tensor {
                name: unique(1, &tensor.name)?,
                kind: tensor.kind,
                layer: index,
                range: end..end + size,
                shape: tensor.shape,
            });
            end += size;
        }
        let Some(units) = units else {
            return Err(refused(&format!("layers: {name} has no tensors")));
        };
        layout.layers.push(Layer {
            name,
            kind: fitting(&layer.kind),
            range: start..end,
            tensors: first_tensor..layout.tensors.len(),
            units: first_unit..first_unit + units,
        });
    }
    if layout.layers.is_empty() {
        return Err(refused(
            "layers: there are none: the model has no trainable parameters",
        ));
    }
    Ok(layout)
}

/// Returns the name or, if it is too long for the run file, its beginning and its end.
fn fitting(name: &str) -> String {
    const GAP: &str = "…";
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let left = MAX_NAME / 4;
    let right = MAX_NAME - GAP.len() - left;
    let boundaries = || name.char_indices().map(|(at, _)| at);
    let head = boundaries().take_while(|&at| at <= left).last();
    let tail = boundaries().find(|&at| at >= name.len() - right);
    let (head, tail) = (head.unwrap_or(0), tail.unwrap_or(name.len()));
    format!("{}{GAP}{}", &name[..head], &name[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TensorKind;
    use crate::protocol::message::OpenTensor;

    fn layer(name: &str, tensors: &[(&str, &[usize])]) -> OpenLayer {
        let tensor = |(name, shape): &(&str, &[usize])| OpenTensor {
            name: (*name).to_owned(),
            kind: TensorKind::Weight,
            shape: shape.to_vec(),
        };
        OpenLayer {
            name: name.to_owned(),
            kind: "Any".to_owned(),
            tensors: tensors.iter().map(tensor).collect(),
        }
    }

    #[test]
    fn layers_become_ranges_of_the_flat_vector() {
        let layout = layout(vec![
            layer("a", &[("a.weight", &[3, 2]), ("a.bias", &[3])]),
            layer("b", &[("b.weight", &[2, 3, 1, 1])]),
        ])
        .unwrap();
        assert_eq!((layout.params(), layout.units()), (15, 5));
        assert_eq!(layout.tensors[2].range, 9..15);
        assert_eq!(layout.layers[1].units, 3..5);
        let mut end = 0;
        layout.for_each_row(|row| {
            assert_eq!(row.range.start, end);
            end = row.range.end;
        });
        assert_eq!(end, 15);
    }

    #[test]
    fn a_layout_that_cannot_be_is_refused() {
        let max = usize::MAX;
        for (layers, said) in [
            (vec![], "no trainable parameters"),
            (vec![layer("a", &[])], "a has no tensors"),
            (vec![layer("a", &[("w", &[])])], "at least one axis"),
            (vec![layer("a", &[("w", &[3, 0])])], "one number"),
            (
                vec![layer("a", &[("w", &[max, 2])])],
                "[18446744073709551615, 2]",
            ),
            (
                vec![layer("a", &[("w", &[max]), ("v", &[max])])],
                "one number",
            ),
            (
                vec![layer("a", &[("w", &[3, 2]), ("b", &[2])])],
                "differ in their first axis",
            ),
            (
                vec![layer("a", &[("w", &[1])]), layer("a", &[("v", &[1])])],
                "two of the name a",
            ),
            (
                vec![layer("a", &[("w", &[1])]), layer("b", &[("w", &[1])])],
                "two of the name w",
            ),
        ] {
            let error = layout(layers).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_ends() {
        let long = format!("base_model.{}.q_proj.lora_A.weight", "é.model".repeat(20));
        let short = fitting(&long);
        assert!(
            short.len() <= MAX_NAME && short.len() > MAX_NAME - 4,
            "{short}"
        );
        assert!(short.starts_with("base_model.") && short.ends_with(".q_proj.lora_A.weight"));
        assert_eq!(fitting("fc1.weight"), "fc1.weight");
    }
}

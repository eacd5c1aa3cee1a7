//! The layout of all parameters: layers, tensors and units as ranges of one flat vector.
//!
//! All parameters of a network are one vector of `P` numbers. A *tensor* (such as a weight or a bias) is a contiguous
//! range of it, a *layer* is the range of its tensors, and a *unit* (an output neuron or channel) owns row `u` of each
//! of its layer's tensors, because axis 0 of every tensor is the unit axis. Sums over any of these groups are therefore
//! sums over ranges.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Longest name of a layer or tensor, in bytes: the run file stores names in fixed strings.
pub const MAX_NAME: usize = 64;

/// The role of a tensor in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TensorKind {
    Weight,
    Bias,
    /// γ of a batch norm.
    Scale,
    /// β of a batch norm.
    Shift,
}

impl TensorKind {
    /// The name in the run file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Scale => "scale",
            Self::Shift => "shift",
        }
    }

    /// The kind called `name` in the run file.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Weight, Self::Bias, Self::Scale, Self::Shift]
            .into_iter()
            .find(|kind| kind.name() == name)
    }
}

/// One trainable tensor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// The full name, such as `fc1.weight`.
    pub name: String,
    pub kind: TensorKind,
    /// Index of the owning layer.
    pub layer: usize,
    /// Range in the flat parameter vector.
    pub range: Range<usize>,
    /// Axis 0 is the unit axis: linear weights are `[out, in]`, kernels `[out, in, kh, kw]`, the others `[out]`.
    pub shape: Vec<usize>,
}

impl Tensor {
    /// The number of the tensor's parameters that belong to one unit.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.range.len() / self.shape.first().copied().unwrap_or(1).max(1)
    }

    /// The tensor's parameters that belong to a unit, which is counted within the layer, as a range of the flat vector;
    /// empty if the tensor has no such row.
    #[must_use]
    pub fn row(&self, unit: usize) -> Range<usize> {
        let start = unit.saturating_mul(self.row_len());
        let start = self.range.start.saturating_add(start).min(self.range.end);
        start..(start + self.row_len()).min(self.range.end)
    }

    /// The shape in at most four axes, as the run file stores it and people read it: the fourth is the product of all
    /// axes from there on.
    #[must_use]
    pub fn four_axes(&self) -> Vec<usize> {
        match self.shape.split_at_checked(3) {
            Some((first, rest)) if !rest.is_empty() => {
                let last = rest.iter().product();
                first.iter().copied().chain([last]).collect()
            }
            _ => self.shape.clone(),
        }
    }
}

/// One layer with trainable parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// The name, such as `fc1`.
    pub name: String,
    /// The kind, such as `linear`.
    pub kind: String,
    /// Its parameters in the flat vector.
    pub range: Range<usize>,
    /// Its tensors: indices into [`ParamLayout::tensors`].
    pub tensors: Range<usize>,
    /// Its units: indices into the network's list of units.
    pub units: Range<usize>,
}

/// The layout of all of a network's parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamLayout {
    pub layers: Vec<Layer>,
    pub tensors: Vec<Tensor>,
}

impl ParamLayout {
    /// Appends a layer of `units` output units with the given tensors `(kind, shape)`; returns its
    /// index. Every shape starts with `units`.
    ///
    /// # Panics
    /// If a shape does not start with `units`: a mistake in the program, not in its input.
    pub fn push_layer(
        &mut self,
        name: &str,
        kind: &str,
        units: usize,
        tensors: &[(TensorKind, Vec<usize>)],
    ) -> usize {
        let layer = self.layers.len();
        let first_tensor = self.tensors.len();
        let first_unit = self.units();
        let start = self.params();
        let mut end = start;
        for (kind, shape) in tensors {
            assert_eq!(shape.first(), Some(&units), "axis 0 is the unit axis");
            let size: usize = shape.iter().product();
            self.tensors.push(Tensor {
                name: format!("{name}.{}", kind.name()),
                kind: *kind,
                layer,
                range: end..end + size,
                shape: shape.clone(),
            });
            end += size;
        }
        self.layers.push(Layer {
            name: name.to_owned(),
            kind: kind.to_owned(),
            range: start..end,
            tensors: first_tensor..self.tensors.len(),
            units: first_unit..first_unit + units,
        });
        layer
    }

    /// `P`: the number of trainable parameters.
    #[must_use]
    pub fn params(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.range.end)
    }

    /// `U`: the number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.units.end)
    }

    /// The parameters of a unit, which is counted within its layer: one range for each of the layer's tensors. Empty if
    /// there is no such unit.
    #[must_use]
    pub fn unit_rows(&self, layer: usize, unit: usize) -> Vec<Range<usize>> {
        let Some(layer) = self.layers.get(layer).filter(|it| unit < it.units.len()) else {
            return Vec::new();
        };
        let tensors = self.tensors[layer.tensors.clone()].iter();
        tensors.map(|tensor| tensor.row(unit)).collect()
    }

    /// The parameters of a unit, tensor by tensor, as indices in the flat vector.
    #[must_use]
    pub fn unit_parameters(&self, layer: usize, unit: usize) -> Vec<usize> {
        self.unit_rows(layer, unit).into_iter().flatten().collect()
    }

    /// The location of a parameter: its layer, tensor and unit, which is counted within the layer.
    #[must_use]
    pub fn location_of(&self, parameter: usize) -> Option<ParamLocation> {
        let tensor = (self.tensors).partition_point(|it| it.range.end <= parameter);
        let found = self.tensors.get(tensor)?;
        let inside = parameter.checked_sub(found.range.start)?;
        Some(ParamLocation {
            layer: found.layer,
            tensor,
            unit: inside / found.row_len().max(1),
        })
    }

    /// Calls `visit` for every unit's row of every tensor, in the order of the flat vector.
    pub fn for_each_row(&self, mut visit: impl FnMut(UnitRow)) {
        for (index, tensor) in self.tensors.iter().enumerate() {
            let units = self.layers[tensor.layer].units.clone();
            let row_len = tensor.row_len();
            for (row, unit) in units.enumerate() {
                let start = tensor.range.start + row * row_len;
                visit(UnitRow {
                    layer: tensor.layer,
                    tensor: index,
                    unit,
                    range: start..start + row_len,
                });
            }
        }
    }
}

/// The location of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParamLocation {
    pub layer: usize,
    /// Index into [`ParamLayout::tensors`].
    pub tensor: usize,
    /// Counted within the layer.
    pub unit: usize,
}

/// One unit's row of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitRow {
    pub layer: usize,
    pub tensor: usize,
    pub unit: usize,
    pub range: Range<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_layers() -> ParamLayout {
        let mut layout = ParamLayout::default();
        for (name, units, inputs) in [("fc1", 3, 4), ("fc2", 2, 3)] {
            layout.push_layer(
                name,
                "linear",
                units,
                &[
                    (TensorKind::Weight, vec![units, inputs]),
                    (TensorKind::Bias, vec![units]),
                ],
            );
        }
        layout
    }

    #[test]
    fn ranges_tile_the_flat_vector() {
        let layout = two_layers();
        assert_eq!(layout.params(), 3 * 4 + 3 + 2 * 3 + 2);
        assert_eq!(layout.units(), 5);
        let mut end = 0;
        for tensor in &layout.tensors {
            assert_eq!(tensor.range.start, end);
            end = tensor.range.end;
        }
        assert_eq!(end, layout.params());
        assert_eq!(layout.layers[1].range, 15..23);
        assert_eq!(layout.layers[1].units, 3..5);
        assert_eq!(layout.tensors[3].name, "fc2.bias");
    }

    #[test]
    fn locations_and_unit_rows_agree() {
        let layout = two_layers();
        for layer in 0..2 {
            for unit in 0..layout.layers[layer].units.len() {
                let rows = layout.unit_rows(layer, unit);
                assert_eq!(rows.len(), 2);
                for parameter in rows.into_iter().flatten() {
                    let place = layout.location_of(parameter).unwrap();
                    assert_eq!((place.layer, place.unit), (layer, unit));
                    assert!(layout.tensors[place.tensor].range.contains(&parameter));
                }
            }
        }
        assert!(layout.unit_rows(0, 3).is_empty() && layout.unit_rows(2, 0).is_empty());
        assert_eq!(layout.location_of(layout.params()), None);
    }

    #[test]
    fn axes_beyond_the_fourth_are_folded_into_it() {
        let mut layout = ParamLayout::default();
        let shapes = [vec![2], vec![2, 3, 4], vec![2, 3, 4, 5, 6]];
        for shape in shapes {
            layout.push_layer("any", "own", 2, &[(TensorKind::Weight, shape)]);
        }
        let axes: Vec<_> = layout.tensors.iter().map(Tensor::four_axes).collect();
        assert_eq!(axes, [vec![2], vec![2, 3, 4], vec![2, 3, 4, 30]]);
    }

    #[test]
    fn rows_visit_every_parameter_once_in_order() {
        let layout = two_layers();
        let mut next = 0;
        layout.for_each_row(|row| {
            assert_eq!(row.range.start, next);
            next = row.range.end;
            assert!(layout.layers[row.layer].units.contains(&row.unit));
        });
        assert_eq!(next, layout.params());
    }
}

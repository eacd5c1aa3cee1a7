//! Pictures of the weights that go into a unit.
//!
//! ```text
//! [out, 784] of the first layer, inputs 1×28×28      one tile of 28×28
//! [out, 20, 5, 5]                                    20 tiles of 5×5
//! [out, 1960] after 40 channels                      40 tiles of 7×7
//! [out, 100] after 100 units                         one tile of 10×10, in the units' order
//! [out, 97] of unknown origin                        one tile of 10×10, the last three left blank
//! ```

use std::ops::Range;

use crate::layout::{ParamLayout, Tensor};
use crate::record::RunHeader;

/// Layout of a unit's weights as tiles of pixels; pixel i of the image is parameter `parameters.start + i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Index of the tensor in the layout.
    pub tensor: usize,
    /// The unit's row of the tensor, in the flat vector.
    pub parameters: Range<usize>,
    pub tiles: usize,
    pub rows: usize,
    pub columns: usize,
    /// A description of the tiles and pixels, which says if the shape is a guess.
    pub note: String,
}

impl Picture {
    /// The picture of a unit's row in the tensor that contains the parameter, or if that is a single number such as a
    /// bias, in the tensor with the longest row. `None` if there is no such unit.
    #[must_use]
    pub fn of(header: &RunHeader, layer: usize, unit: usize, parameter: usize) -> Option<Self> {
        let layout = &header.layout;
        let found = layout.layers.get(layer)?;
        let rows = || {
            found
                .tensors
                .clone()
                .map(|k| (k, layout.tensors[k].row(unit)))
        };
        let own = rows().find(|(_, row)| row.len() > 1 && row.contains(&parameter));
        // The first of equally long ones.
        let longest = || rows().rev().max_by_key(|(_, row)| row.len());
        let (tensor, parameters) = own.or_else(longest)?;
        if unit >= found.units.len() || parameters.is_empty() {
            return None;
        }
        let (tiles, [rows, columns], note) = shape(header, layer, &layout.tensors[tensor]);
        Some(Self {
            tensor,
            parameters,
            tiles,
            rows,
            columns,
            note,
        })
    }
}

/// Returns the number of tiles, their rows and columns, and a description.
fn shape(header: &RunHeader, layer: usize, tensor: &Tensor) -> (usize, [usize; 2], String) {
    let axes = tensor.four_axes();
    match axes.get(1..).unwrap_or(&[]) {
        [] => (1, [1, 1], "one parameter".to_owned()),
        [tiles, 1, 1] => {
            let (rows, columns) = grid(*tiles);
            (
                1,
                [rows, columns],
                format!("{tiles} input channels of a 1×1 kernel, {columns} per row"),
            )
        }
        [1, rows, columns] => (1, [*rows, *columns], format!("kernel {rows}×{columns}")),
        [tiles, rows, columns] => {
            let note = format!("{tiles} input channels × kernel {rows}×{columns}");
            (*tiles, [*rows, *columns], note)
        }
        [rows, columns] => (
            1,
            [*rows, *columns],
            format!("axes 1 and 2: {rows}×{columns}"),
        ),
        [inputs, ..] => of_inputs(header, layer, *inputs),
    }
}

/// Arranges the inputs of a linear layer.
fn of_inputs(header: &RunHeader, layer: usize, inputs: usize) -> (usize, [usize; 2], String) {
    let layout = &header.layout;
    if let ([tiles, rows, columns], 0) = (header.input_shape.as_slice(), layer)
        && [tiles, rows, columns].into_iter().product::<usize>() == inputs
    {
        let note = format!("input, {tiles}×{rows}×{columns}");
        return (*tiles, [*rows, *columns], note);
    }
    if let Some((name, units)) = before(layout, layer) {
        if units == inputs {
            let (rows, columns) = grid(inputs);
            let note = format!("{units} units of {name}, {columns} per row");
            return (1, [rows, columns], note);
        }
        if units > 0 && inputs.is_multiple_of(units) {
            let pixels = inputs / units;
            let (rows, columns) = factors(pixels).unwrap_or((1, pixels));
            let note = format!("{units} channels of {name} × {rows}×{columns} pixels");
            return (units, [rows, columns], note);
        }
    }
    let (tiles, rows, columns) = match (square(inputs), inputs.is_multiple_of(3)) {
        (Some(side), _) => (1, side, side),
        (None, true) if square(inputs / 3).is_some() => {
            let side = square(inputs / 3).unwrap_or(1);
            (3, side, side)
        }
        _ => {
            let (rows, columns) = factors(inputs).unwrap_or_else(|| grid(inputs));
            (1, rows, columns)
        }
    };
    let note = format!("{inputs} inputs of unknown shape, drawn as {tiles}×{rows}×{columns}");
    (tiles, [rows, columns], note)
}

/// Returns the name of the layer before, and its number of units.
fn before(layout: &ParamLayout, layer: usize) -> Option<(&str, usize)> {
    let before = layout.layers.get(layer.checked_sub(1)?)?;
    Some((&before.name, before.units.len()))
}

fn square(n: usize) -> Option<usize> {
    let side = n.isqrt();
    (n > 0 && side * side == n).then_some(side)
}

/// Returns the two factors closest to each other, the smaller first, if they are close enough for an image.
fn factors(n: usize) -> Option<(usize, usize)> {
    let rows = (1..=n.isqrt()).rev().find(|&rows| n.is_multiple_of(rows))?;
    (n / rows <= 4 * rows).then_some((rows, n / rows))
}

/// Returns the rows and columns of a nearly square grid for n; the last row may not be full.
fn grid(n: usize) -> (usize, usize) {
    if let Some(exact) = factors(n) {
        return exact;
    }
    let side = n.isqrt();
    let columns = (side + usize::from(side * side < n)).max(1);
    (n.div_ceil(columns).max(1), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TensorKind;

    fn header(input: &[usize], layers: &[(&str, usize, &[usize])]) -> RunHeader {
        let mut layout = ParamLayout::default();
        for (name, units, rest) in layers {
            let shape = [&[*units], *rest].concat();
            let tensors = [
                (TensorKind::Weight, shape),
                (TensorKind::Bias, vec![*units]),
            ];
            layout.push_layer(name, "any", *units, &tensors);
        }
        RunHeader {
            layout,
            input_shape: input.to_vec(),
            ..RunHeader::default()
        }
    }

    fn tiles(header: &RunHeader, layer: usize) -> [usize; 3] {
        let picture = Picture::of(header, layer, 0, 0).unwrap();
        assert!(picture.tiles * picture.rows * picture.columns >= picture.parameters.len());
        [picture.tiles, picture.rows, picture.columns]
    }

    #[test]
    fn image_shapes_are_inferred_from_the_layers() {
        let net = header(
            &[3, 32, 32],
            &[
                ("fc", 4, &[3072]),
                ("conv", 8, &[3, 5, 5]),
                ("point", 8, &[12, 1, 1]),
                ("flat", 6, &[8 * 49]),
                ("fc2", 10, &[6]),
                ("odd", 2, &[97]),
                ("sequence", 2, &[7, 9]),
                ("deep", 2, &[2, 3, 4, 5]),
                ("line", 2, &[]),
            ],
        );
        let expected = [
            [3, 32, 32],
            [3, 5, 5],
            [1, 3, 4],
            [8, 7, 7],
            [1, 2, 3],
            [1, 10, 10],
            [1, 7, 9],
            [2, 3, 20],
            [1, 1, 1],
        ];
        for (layer, expected) in expected.into_iter().enumerate() {
            assert_eq!(tiles(&net, layer), expected, "layer {layer}");
        }
    }

    #[test]
    fn unknown_shapes_are_guessed_and_marked_as_guesses() {
        for (inputs, expected) in [(784, [1, 28, 28]), (3072, [3, 32, 32]), (200, [1, 10, 20])] {
            let net = header(&[], &[("fc", 2, &[inputs])]);
            assert_eq!(tiles(&net, 0), expected);
            let note = Picture::of(&net, 0, 0, 0).unwrap().note;
            assert!(note.contains("unknown"), "{note}");
        }
    }

    #[test]
    fn the_picture_shows_the_selected_tensor() {
        let net = header(&[], &[("fc", 2, &[4])]);
        let picture = Picture::of(&net, 0, 1, 9).unwrap();
        assert_eq!(picture.parameters, 4..8, "a bias has no picture");
        assert_eq!(Picture::of(&net, 0, 2, 0), None);
        assert_eq!(Picture::of(&net, 1, 0, 0), None);
    }

    #[test]
    fn grids_hold_all_their_tiles() {
        for n in 0..2000 {
            let (rows, columns) = grid(n);
            assert!(
                rows * columns >= n && (n == 0 || (rows - 1) * columns < n),
                "{n}"
            );
        }
    }
}

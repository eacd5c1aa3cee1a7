//! A folder of snapshots in safetensors files, as training scripts in Python write them.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{Course, CourseError};
use crate::layout::{ParamLayout, Tensor};

/// The `.safetensors` files of a folder in the order of their names, where numbers in a name count by
/// their value. Each holds all parameters, by the names and shapes that the network gives its tensors;
/// what else it holds (running averages, an optimizer's state) is left alone.
#[derive(Debug)]
pub struct Snapshots {
    files: Vec<PathBuf>,
    layout: ParamLayout,
}

impl Snapshots {
    /// # Errors
    /// The folder cannot be read, or has fewer than two snapshots.
    pub fn open(folder: &Path, layout: &ParamLayout) -> Result<Self, CourseError> {
        let cannot = |error| CourseError(format!("cannot read {}: {error}", folder.display()));
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(cannot)? {
            let path = entry.map_err(cannot)?.path();
            if path.extension().is_some_and(|end| end == "safetensors") && path.is_file() {
                files.push(path);
            }
        }
        let name = |path: &PathBuf| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        files.sort_by(|a, b| by_number(&name(a), &name(b)));
        if files.len() < 2 {
            return Err(CourseError(format!(
                "{} has {} files *.safetensors: a path needs at least two points",
                folder.display(),
                files.len()
            )));
        }
        Ok(Self {
            files,
            layout: layout.clone(),
        })
    }
}

impl Course for Snapshots {
    fn steps(&self) -> u64 {
        self.files.len() as u64 - 1
    }

    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), CourseError> {
        let path = usize::try_from(done)
            .ok()
            .and_then(|done| self.files.get(done));
        let path = path.ok_or_else(|| CourseError(format!("there is no snapshot {done}")))?;
        let fault = |what: String| CourseError(format!("{}: {what}", path.display()));
        let bytes = fs::read(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| fault(format!("is no safetensors file: {error}")))?;
        for tensor in &self.layout.tensors {
            let view = file.tensor(&tensor.name).map_err(|_| {
                let has: BTreeSet<&str> = file.names().into_iter().collect();
                fault(missing(tensor, &has))
            })?;
            read(tensor, &view, &mut params[tensor.range.clone()]).map_err(fault)?;
        }
        Ok(())
    }
}

fn missing(tensor: &Tensor, has: &BTreeSet<&str>) -> String {
    const SHOWN: usize = 8;
    let mut names: Vec<String> = (has.iter().take(SHOWN))
        .map(|name| name.escape_debug().to_string())
        .collect();
    if has.len() > SHOWN {
        names.push(format!("… ({} tensors)", has.len()));
    }
    format!(
        "has no tensor `{}` of shape {:?}; it has {}. Save the tensors under the names of the network \
         (`lcascope info RUN.h5` lists its layers)",
        tensor.name,
        tensor.shape,
        names.join(", ")
    )
}

fn read(tensor: &Tensor, view: &TensorView, into: &mut [f32]) -> Result<(), String> {
    if view.shape() != tensor.shape {
        return Err(format!(
            "the tensor `{}` has shape {:?}; the network's has {:?}",
            tensor.name,
            view.shape(),
            tensor.shape
        ));
    }
    let bytes = view.data();
    match view.dtype() {
        Dtype::F32 => fill(into, bytes, f32::from_le_bytes),
        #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
        Dtype::F64 => fill(into, bytes, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => fill(into, bytes, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => fill(into, bytes, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        other => {
            return Err(format!(
                "the tensor `{}` is of type {other:?}; use F64, F32, F16 or BF16",
                tensor.name
            ));
        }
    }
    Ok(())
}

fn fill<const N: usize>(into: &mut [f32], bytes: &[u8], number: impl Fn([u8; N]) -> f32) {
    let (numbers, _) = bytes.as_chunks::<N>();
    for (value, &bytes) in into.iter_mut().zip(numbers) {
        *value = number(bytes);
    }
}

/// Names as people order them: `step-9` before `step-10`.
fn by_number(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (a_digits, b_digits) = (leading_digits(a_rest), leading_digits(b_rest));
        let order = if !a_digits.is_empty() && !b_digits.is_empty() {
            let value = |digits: &str| digits.trim_start_matches('0').to_owned();
            let (x, y) = (value(a_digits), value(b_digits));
            a_rest = &a_rest[a_digits.len()..];
            b_rest = &b_rest[b_digits.len()..];
            x.len().cmp(&y.len()).then(x.cmp(&y))
        } else {
            let (x, y) = (a_rest.chars().next(), b_rest.chars().next());
            if x.is_none() && y.is_none() {
                // `1` and `01`: any order that is always the same.
                return a.cmp(b);
            }
            a_rest = &a_rest[x.map_or(0, char::len_utf8)..];
            b_rest = &b_rest[y.map_or(0, char::len_utf8)..];
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn leading_digits(text: &str) -> &str {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::TensorKind;

    fn layout() -> ParamLayout {
        let mut layout = ParamLayout::default();
        let tensors = [
            (TensorKind::Weight, vec![2, 3]),
            (TensorKind::Bias, vec![2]),
        ];
        layout.push_layer("fc1", "linear", 2, &tensors);
        layout
    }

    fn write(path: &Path, tensors: &[(&str, Dtype, Vec<usize>, Vec<u8>)]) {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (
                *name,
                TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
            )
        });
        fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }

    fn bytes<const N: usize>(values: &[f32], to: impl Fn(f32) -> [u8; N]) -> Vec<u8> {
        values.iter().flat_map(|&value| to(value)).collect()
    }

    #[test]
    fn snapshots_are_read_in_the_order_of_their_numbers_whatever_their_type() {
        let folder = tempfile::tempdir().unwrap();
        let weights = [1.0, -2.0, 0.5, 4.0, 8.0, 0.25];
        let le = |values: &[f32]| bytes(values, f32::to_le_bytes);
        for (name, dtype, data) in [
            (
                "s-10.safetensors",
                Dtype::F64,
                bytes(&weights, |v| f64::from(v).to_le_bytes()),
            ),
            (
                "s-9.safetensors",
                Dtype::F16,
                bytes(&weights, |v| f16::from_f32(v).to_le_bytes()),
            ),
            (
                "s-1.safetensors",
                Dtype::BF16,
                bytes(&weights, |v| bf16::from_f32(v).to_le_bytes()),
            ),
        ] {
            let bias = if name == "s-10.safetensors" {
                [10.0, 0.0]
            } else {
                [9.0, 0.0]
            };
            write(
                &folder.path().join(name),
                &[
                    ("fc1.bias", Dtype::F32, vec![2], le(&bias)),
                    ("fc1.weight", dtype, vec![2, 3], data),
                    ("bn.running_mean", Dtype::F32, vec![1], le(&[3.0])),
                ],
            );
        }
        fs::write(folder.path().join("notes.txt"), "").unwrap();
        let mut course = Snapshots::open(folder.path(), &layout()).unwrap();
        assert_eq!(course.steps(), 2);
        for (done, bias) in [(0, 9.0), (1, 9.0), (2, 10.0)] {
            let mut params = [f32::NAN; 8];
            course.point(done, &mut params).unwrap();
            assert_eq!((&params[..6], params[6]), (weights.as_slice(), bias));
        }
        assert!(course.point(3, &mut [0.0; 8]).is_err());
    }

    #[test]
    fn snapshots_that_do_not_fit_say_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let error = Snapshots::open(folder.path(), &layout()).unwrap_err();
        assert!(error.to_string().contains("at least two"), "{error}");
        let zeros = |count: usize| vec![0; 4 * count];
        for (tensors, needle) in [
            (
                vec![("other", Dtype::F32, vec![2], zeros(2))],
                "no tensor `fc1.weight`",
            ),
            (
                vec![("fc1.weight", Dtype::F32, vec![3, 2], zeros(6))],
                "[3, 2]",
            ),
            (
                vec![("fc1.weight", Dtype::I32, vec![2, 3], zeros(6))],
                "I32",
            ),
        ] {
            for name in ["a.safetensors", "b.safetensors"] {
                write(&folder.path().join(name), &tensors);
            }
            let mut course = Snapshots::open(folder.path(), &layout()).unwrap();
            let error = course.point(0, &mut [0.0; 8]).unwrap_err().to_string();
            assert!(
                error.contains(needle) && error.contains("a.safetensors"),
                "{error}"
            );
        }
        fs::write(folder.path().join("a.safetensors"), "nonsense").unwrap();
        let mut course = Snapshots::open(folder.path(), &layout()).unwrap();
        let error = course.point(0, &mut [0.0; 8]).unwrap_err().to_string();
        assert!(error.contains("no safetensors file"), "{error}");
    }

    #[test]
    fn numbers_in_names_count_by_value() {
        let mut names = ["s10", "s9", "s009b", "s1", "t", "s9a", "", "s09"];
        names.sort_by(|a, b| by_number(a, b));
        assert_eq!(names, ["", "s1", "s09", "s9", "s9a", "s009b", "s10", "t"]);
    }
}

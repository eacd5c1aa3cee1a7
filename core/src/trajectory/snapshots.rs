//! Folders of snapshots, as training scripts in Python write them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::folder::{self, FoundPoint};
use super::point::Point;
use super::renames::Rename;
use super::{Trajectory, TrajectoryError, name, order};
use crate::layout::ParamLayout;

/// The snapshots in a folder, ordered by the numbers in their names: files of safetensors or `torch.save`, or folders
/// with the file or files of a model. Each holds all parameters under the network's tensor names and shapes, with at
/// most one common prefix; other contents (running averages, an optimizer's state) are ignored.
#[derive(Debug)]
pub struct SnapshotFolder {
    folder: PathBuf,
    /// In order.
    points: Vec<FoundPoint>,
    renames: Vec<Rename>,
    layout: ParamLayout,
}

impl SnapshotFolder {
    /// Opens a folder whose tensors, after `renames`, have the network's names. Checks the header of every file, and
    /// every number of the first and the last point.
    ///
    /// # Errors
    /// The folder cannot be read, has fewer than two snapshots, their order cannot be determined, one of them is
    /// something else or belongs to another network, or a renaming has no effect.
    pub fn open(
        folder: &Path,
        layout: &ParamLayout,
        renames: &[Rename],
    ) -> Result<Self, TrajectoryError> {
        let fault = |what: String| TrajectoryError(format!("{}: {what}", folder.display()));
        let mut points = folder::points(folder).map_err(fault)?;
        // Foreign files are reported first: their names may be odd too.
        let mut prefix: Option<(String, &str)> = None;
        let mut renamed = vec![false; renames.len()];
        for FoundPoint { name, file } in &points {
            let point = Point::open(&folder.join(file), layout, renames)?;
            renamed
                .iter_mut()
                .zip(&point.renamed)
                .for_each(|(all, own)| *all |= own);
            let own = point.own_prefix();
            match &prefix {
                Some((first, of)) if *first != own => {
                    return Err(fault(format!(
                        "the tensors are named `{}NAME` in {of} but `{}NAME` in {name}: save the same tensors \
                         in all files",
                        name::escaped(first),
                        name::escaped(&own)
                    )));
                }
                Some(_) => {}
                None => prefix = Some((own, name)),
            }
        }
        if let Some((rename, _)) = renames.iter().zip(&renamed).find(|(_, changed)| !**changed) {
            let rename = name::escaped(&rename.to_string());
            return Err(fault(format!(
                "--rename {rename} has no effect: no tensor in the files has such a name; leave it out, or correct it"
            )));
        }
        let mut names: Vec<String> = points.iter().map(|point| point.name.clone()).collect();
        order::sort(&mut names).map_err(fault)?;
        let places: BTreeMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        points.sort_by_key(|point| places.get(point.name.as_str()));
        let snapshots = Self {
            folder: folder.to_owned(),
            points,
            renames: renames.to_vec(),
            layout: layout.clone(),
        };
        // A training that diverged ends with NaNs.
        let mut params = vec![0.0; layout.params()];
        for point in [
            &snapshots.points[0],
            &snapshots.points[snapshots.points.len() - 1],
        ] {
            snapshots.read(point, &mut params)?;
        }
        Ok(snapshots)
    }

    fn read(&self, point: &FoundPoint, params: &mut [f32]) -> Result<(), TrajectoryError> {
        let file = self.folder.join(&point.file);
        Point::open(&file, &self.layout, &self.renames)?.read(&self.layout, params)
    }
}

impl Trajectory for SnapshotFolder {
    fn steps(&self) -> u64 {
        self.points.len() as u64 - 1
    }

    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
        let point = usize::try_from(done)
            .ok()
            .and_then(|done| self.points.get(done));
        let point = point.ok_or_else(|| TrajectoryError(format!("snapshot {done} is missing")))?;
        self.read(point, params)
    }

    fn files(&self) -> Vec<String> {
        self.points.iter().map(|point| point.name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use half::{bf16, f16};
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

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

    type Tensors<'a> = [(&'a str, Dtype, Vec<usize>, Vec<u8>)];

    fn safetensors(tensors: &Tensors) -> Vec<u8> {
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            (
                *name,
                TensorView::new(*dtype, shape.clone(), bytes).unwrap(),
            )
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn write(path: &Path, tensors: &Tensors) {
        fs::write(path, safetensors(tensors)).unwrap();
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
        let mut trajectory = SnapshotFolder::open(folder.path(), &layout(), &[]).unwrap();
        assert_eq!(trajectory.steps(), 2);
        for (done, bias) in [(0, 9.0), (1, 9.0), (2, 10.0)] {
            let mut params = [f32::NAN; 8];
            trajectory.point(done, &mut params).unwrap();
            assert_eq!((&params[..6], params[6]), (weights.as_slice(), bias));
        }
        assert!(trajectory.point(3, &mut [0.0; 8]).is_err());
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of files and messages")]
    fn snapshots_that_do_not_fit_say_what_is_wrong_before_the_first_step() {
        let zeros = |count: usize| vec![0; 4 * count];
        let fits = || {
            vec![
                ("fc1.weight", Dtype::F32, vec![2, 3], zeros(6)),
                ("fc1.bias", Dtype::F32, vec![2], zeros(2)),
            ]
        };
        let right = safetensors(&fits());
        let mut nan = fits();
        nan[1].3[4..].copy_from_slice(&f32::NAN.to_le_bytes());
        let mut too_large = fits();
        too_large[0] = (
            "fc1.weight",
            Dtype::F64,
            vec![2, 3],
            [[0; 8], 1e300_f64.to_le_bytes()].concat().repeat(3),
        );
        let renamed = |from: &str, to: &str| -> Vec<u8> {
            let mut bytes = right.clone();
            let at = bytes
                .windows(from.len())
                .position(|it| it == from.as_bytes())
                .unwrap();
            bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
            bytes
        };
        let twice = [
            ("a.fc1.weight", "b.fc1.weight"),
            ("a.fc1.bias", "b.fc1.bias"),
        ];
        let twice = twice
            .iter()
            .zip(fits())
            .flat_map(|((a, b), (_, dtype, shape, data))| {
                [
                    (*a, dtype, shape.clone(), data.clone()),
                    (*b, dtype, shape, data),
                ]
            });
        for (last, needles) in [
            (
                safetensors(&[("other", Dtype::F32, vec![2], zeros(2))]),
                ["no tensor `fc1.weight`", "it has other"],
            ),
            (
                safetensors(&[
                    ("fc1.weight", Dtype::F32, vec![3, 2], zeros(6)),
                    fits().remove(1),
                ]),
                ["[3, 2]", "[2, 3]"],
            ),
            (
                safetensors(&[
                    ("fc1.weight", Dtype::I32, vec![2, 3], zeros(6)),
                    fits().remove(1),
                ]),
                ["I32", "`fc1.weight`"],
            ),
            (
                safetensors(&fits()[..1]),
                ["no tensor `fc1.bias`", "--rename FROM=TO"],
            ),
            (
                safetensors(&twice.collect::<Vec<_>>()),
                ["more than once", "a., b."],
            ),
            (safetensors(&nan), ["`fc1.bias`", "NaN"]),
            (safetensors(&too_large), ["`fc1.weight`", "inf"]),
            (
                right[..right.len() - 1].to_vec(),
                ["truncated", "copy or download"],
            ),
            (right[..40].to_vec(), ["truncated", "(40 of"]),
            ([&right[..], b"x"].concat(), ["damaged", "by its header"]),
            (
                renamed("\"F32\"", "\"F99\""),
                ["not a safetensors file", "F99"],
            ),
            (renamed("[0,", "[1,"), ["not a safetensors file", "offset"]),
            (
                b"version https://git-lfs.github.com/spec/v1\n".to_vec(),
                ["Git LFS pointer", "git lfs pull"],
            ),
            (
                b"<!DOCTYPE html>".to_vec(),
                ["HTML", "download the weights again"],
            ),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff{}".to_vec(),
                ["not a safetensors file", "no header"],
            ),
            (
                b"\x02\0\0\0\0\0\0\0{}".to_vec(),
                ["no named tensors", "save the state dict"],
            ),
            (
                b"\x01\x02".to_vec(),
                ["not a safetensors file", "shorter than a header"],
            ),
            (Vec::new(), ["is empty", "download"]),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (name, bytes) in [("s-1", &right), ("s-2", &right), ("s-10", &last)] {
                fs::write(folder.path().join(format!("{name}.safetensors")), bytes).unwrap();
            }
            let error = SnapshotFolder::open(folder.path(), &layout(), &[])
                .unwrap_err()
                .to_string();
            for needle in needles.into_iter().chain(["s-10.safetensors: "]) {
                assert!(error.contains(needle), "{needle}: {error}");
            }
        }
    }

    #[test]
    fn a_nan_in_the_middle_is_found_when_its_snapshot_is_read() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("1", 0.5), ("2", f32::INFINITY), ("3", 0.5)] {
            write(
                &folder.path().join(format!("{name}.safetensors")),
                &[
                    (
                        "fc1.weight",
                        Dtype::F32,
                        vec![2, 3],
                        bytes(&[0.5, value, 0.5, 0.5, 0.5, 0.5], f32::to_le_bytes),
                    ),
                    (
                        "fc1.bias",
                        Dtype::F32,
                        vec![2],
                        bytes(&[0.5; 2], f32::to_le_bytes),
                    ),
                ],
            );
        }
        let mut trajectory = SnapshotFolder::open(folder.path(), &layout(), &[]).unwrap();
        trajectory.point(0, &mut [0.0; 8]).unwrap();
        let error = trajectory.point(1, &mut [0.0; 8]).unwrap_err().to_string();
        for needle in ["2.safetensors", "`fc1.weight`", "inf"] {
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn a_common_tensor_prefix_is_removed() {
        let open = |prefixes: &[&str]| {
            let folder = tempfile::tempdir().unwrap();
            for (k, prefix) in prefixes.iter().enumerate() {
                let names = ["fc1.weight", "fc1.bias"].map(|name| format!("{prefix}{name}"));
                write(
                    &folder.path().join(format!("s{k}.safetensors")),
                    &[
                        (
                            &names[0],
                            Dtype::F32,
                            vec![2, 3],
                            bytes(&[0.5; 6], f32::to_le_bytes),
                        ),
                        (
                            &names[1],
                            Dtype::F32,
                            vec![2],
                            bytes(&[0.25; 2], f32::to_le_bytes),
                        ),
                        (
                            "optimizer.fc1.bias",
                            Dtype::F32,
                            vec![2],
                            bytes(&[9.0; 2], f32::to_le_bytes),
                        ),
                    ],
                );
            }
            let mut params = [0.0; 8];
            let mut trajectory = SnapshotFolder::open(folder.path(), &layout(), &[])
                .map_err(|error| error.to_string())?;
            trajectory
                .point(1, &mut params)
                .map_err(|error| error.to_string())?;
            Ok::<_, String>((params[0], params[7]))
        };
        for prefix in [
            "",
            "module.",
            "_orig_mod.",
            "model.",
            "module._orig_mod.",
            "model.net.",
            "encoder.",
        ] {
            assert_eq!(open(&[prefix, prefix]), Ok((0.5, 0.25)), "{prefix}");
        }
        // The same tensors with and without wrapper prefixes are accepted, different tensors are not.
        assert_eq!(open(&["", "module._orig_mod."]), Ok((0.5, 0.25)));
        let error = open(&["model.", "ema."]).unwrap_err();
        assert!(
            error.contains("`ema.NAME`") && error.contains("s1.safetensors"),
            "{error}"
        );
        let error = open(&["module", "module"]).unwrap_err();
        assert!(error.contains("no tensor `fc1.weight`"), "{error}");
    }

    #[test]
    fn only_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("s2.safetensors")).unwrap();
        std::os::unix::fs::symlink("nowhere", at("s3.safetensors")).unwrap();
        for (name, needle) in [
            ("s2.safetensors", "not a regular file"),
            ("s3.safetensors", "cannot be read"),
        ] {
            let opened = Point::open(&at(name), &layout(), &[]);
            let error = opened.err().unwrap().to_string();
            assert!(error.contains(name) && error.contains(needle), "{error}");
        }
    }
}

//! A point of a path in files: their headers are checked on opening, their numbers on reading.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::folder::is_index;
use super::renames::Rename;
use super::stored::{Contents, StoredTensor};
use super::{TrajectoryError, archive, foreign, header, name, torch};
use crate::layout::{ParamLayout, Tensor};
use crate::small_file;

/// Longest index of shards in bytes.
const LONGEST_INDEX: u64 = 1 << 25;

/// Prefixes that wrappers add to the names of tensors: `DataParallel`, torch.compile, and programs that save the model
/// as part of a larger object.
const WRAPPERS: [&str; 6] = [
    "module",
    "_orig_mod",
    "model",
    "net",
    "state_dict",
    "model_state_dict",
];

/// All tensors of a network, in one file or in several.
pub struct Point {
    /// The file, or the index of several.
    path: PathBuf,
    files: Vec<(PathBuf, File)>,
    /// Tensors by name, each with the index of its file and, if it cannot be read, the reason.
    tensors: BTreeMap<String, (usize, Result<StoredTensor, String>)>,
    /// Prefix of all names in the files, before the network's own names.
    prefix: String,
    /// For each renaming, true if it applied to any name.
    pub renamed: Vec<bool>,
}

impl Point {
    /// Opens a file or an index of shards, and checks the headers against the network and the lengths of the files.
    ///
    /// # Errors
    /// A file cannot be read, is something else, or belongs to another network.
    pub fn open(
        path: &Path,
        layout: &ParamLayout,
        renames: &[Rename],
    ) -> Result<Self, TrajectoryError> {
        let mut point = Self {
            path: path.to_owned(),
            files: Vec::new(),
            tensors: BTreeMap::new(),
            prefix: String::new(),
            renamed: vec![false; renames.len()],
        };
        if is_index(path) {
            point.read_shards()?;
        } else {
            let contents = point.read_header(path)?.into_iter();
            point.tensors = contents.map(|(name, tensor)| (name, (0, tensor))).collect();
        }
        for (rename, changed) in renames.iter().zip(&mut point.renamed) {
            *changed = apply(rename, &mut point.tensors).map_err(|what| fault(path, &what))?;
        }
        let names: BTreeSet<&str> = point.tensors.keys().map(String::as_str).collect();
        let prefix = prefix(&names, layout);
        point.prefix = prefix.map_err(|what| {
            let mut unused = renames
                .iter()
                .zip(&point.renamed)
                .filter(|(_, changed)| !**changed);
            let unused = unused.next().map(|(rename, _)| {
                let rename = name::escaped(&rename.to_string());
                format!("; --rename {rename} changes no name here")
            });
            fault(path, &(what + &unused.unwrap_or_default()))
        })?;
        for tensor in &layout.tensors {
            point.check(tensor)?;
        }
        Ok(point)
    }

    /// Reads the index of several files, and the header of each.
    fn read_shards(&mut self) -> Result<(), TrajectoryError> {
        #[derive(Deserialize)]
        struct Index {
            /// File by tensor.
            weight_map: BTreeMap<String, String>,
        }
        let path = self.path.clone();
        let text = small_file::text(&path, LONGEST_INDEX)
            .map_err(|error| fault(&path, &format!("cannot be read: {error}")))?;
        let index: Index = serde_json::from_str(&text).map_err(|error| {
            let error = name::escaped(&error.to_string());
            fault(
                &path,
                &format!("is not the index of a model in several files: {error}"),
            )
        })?;
        let mut shards: BTreeMap<String, (usize, Contents)> = BTreeMap::new();
        for (tensor, file) in index.weight_map {
            if !shards.contains_key(&file) {
                // An index must not lead out of its folder.
                if Path::new(&file).file_name() != Some(file.as_ref()) {
                    let (tensor, file) = (name::escaped(&tensor), name::escaped(&file));
                    return Err(fault(
                        &path,
                        &format!(
                            "has `{tensor}` in `{file}`, which is not the name of a file beside it"
                        ),
                    ));
                }
                let contents = self.read_header(&path.with_file_name(&file))?;
                shards.insert(file.clone(), (self.files.len() - 1, contents));
            }
            let (at, contents) = shards.entry(file).or_default();
            let Some(stored) = contents.remove(&tensor) else {
                let tensor = name::escaped(&tensor);
                return Err(fault(
                    &self.files[*at].0,
                    &format!(
                        "has no tensor `{tensor}`, against {}: copy or download both again",
                        path.display()
                    ),
                ));
            };
            self.tensors.insert(tensor, (*at, stored));
        }
        Ok(())
    }

    /// Opens a file and finds its tensors.
    fn read_header(&mut self, path: &Path) -> Result<Contents, TrajectoryError> {
        let unread = |error: io::Error| fault(path, &format!("cannot be read: {error}"));
        let file = small_file::open(path).map_err(unread)?;
        let length = file.metadata().map_err(unread)?.len();
        let mut start = Vec::new();
        (&file)
            .take(foreign::LOOKED_AT as u64)
            .read_to_end(&mut start)
            .map_err(unread)?;
        let contents = if start.starts_with(archive::START) {
            torch::contents(&file, length)
        } else {
            header::contents(&file, &start, length)
        };
        let contents = contents
            .map_err(unread)?
            .map_err(|what| fault(path, &what))?;
        self.files.push((path.to_owned(), file));
        Ok(contents)
    }

    /// Returns the prefix of the tensors' names without wrapper prefixes.
    pub fn own_prefix(&self) -> String {
        let parts = self.prefix.split('.');
        let own: Vec<&str> = parts.filter(|part| !WRAPPERS.contains(part)).collect();
        own.join(".")
    }

    /// Reads all parameters (`[P]`, in the order of the layout).
    ///
    /// # Errors
    /// A file cannot be read, or a number is not finite.
    pub fn read(&self, layout: &ParamLayout, params: &mut [f32]) -> Result<(), TrajectoryError> {
        for tensor in &layout.tensors {
            let (path, file, stored) = self.stored(tensor)?;
            let into = &mut params[tensor.range.clone()];
            (stored.read(file, into))
                .map_err(|error| fault(path, &format!("cannot be read: {error}")))?;
            if let Some(value) = into.iter().find(|value| !value.is_finite()) {
                let what = format!(
                    "the tensor `{}` has a weight that is {value}; no loss can be allocated along such a path: remove \
                     this point and all later ones",
                    tensor.name
                );
                return Err(fault(path, &what));
            }
        }
        Ok(())
    }

    /// Finds a tensor of the network in the files; returns the path, the file and the stored tensor.
    fn stored(&self, tensor: &Tensor) -> Result<(&Path, &File, &StoredTensor), TrajectoryError> {
        let name = format!("{}{}", self.prefix, tensor.name);
        let Some((at, stored)) = self.tensors.get(&name) else {
            let name = name::escaped(&name);
            return Err(fault(&self.path, &format!("has no tensor `{name}`")));
        };
        let (path, file) = &self.files[*at];
        match stored {
            Ok(stored) => Ok((path, file, stored)),
            Err(what) => Err(fault(
                path,
                &format!("the tensor `{}` {what}", name::escaped(&name)),
            )),
        }
    }

    fn check(&self, tensor: &Tensor) -> Result<(), TrajectoryError> {
        let (path, _, stored) = self.stored(tensor)?;
        let name = &tensor.name;
        if stored.shape != tensor.shape {
            let (got, want) = (&stored.shape, &tensor.shape);
            let what = format!("the tensor `{name}` has shape {got:?}; the network's has {want:?}");
            return Err(fault(path, &what));
        }
        match stored.fault() {
            Some(what) => Err(fault(path, &format!("the tensor `{name}` {what}"))),
            None => Ok(()),
        }
    }
}

fn fault(path: &Path, what: &str) -> TrajectoryError {
    TrajectoryError(format!("{}: {what}", path.display()))
}

/// Renames tensors; returns whether the renaming applied to any.
fn apply<T>(rename: &Rename, tensors: &mut BTreeMap<String, T>) -> Result<bool, String> {
    let names = tensors
        .keys()
        .filter_map(|name| Some((name.clone(), rename.apply(name)?)));
    let changes: Vec<(String, String)> = names.collect();
    let moved: Vec<Option<T>> = changes.iter().map(|(old, _)| tensors.remove(old)).collect();
    for ((old, new), tensor) in changes.iter().zip(moved) {
        let there = tensor.and_then(|tensor| tensors.insert(new.clone(), tensor));
        if there.is_some() {
            return Err(format!(
                "--rename {} gives `{}` the name of another tensor, `{}`",
                name::escaped(&rename.to_string()),
                name::escaped(old),
                name::escaped(new)
            ));
        }
    }
    Ok(!changes.is_empty())
}

/// Returns the prefixes before a tensor's name among these names.
fn prefixes<'a>(names: &BTreeSet<&'a str>, tensor: &Tensor) -> impl Iterator<Item = &'a str> {
    let before = names
        .iter()
        .filter_map(|name| name.strip_suffix(tensor.name.as_str()));
    before.filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// Returns the prefix before the network's names of all tensors: empty, or the same for all.
fn prefix(names: &BTreeSet<&str>, layout: &ParamLayout) -> Result<String, String> {
    let Some(first) = layout.tensors.first() else {
        return Ok(String::new());
    };
    let fits = |prefix: &&str| {
        let mut tensors = layout.tensors.iter();
        tensors.all(|tensor| names.contains(format!("{prefix}{}", tensor.name).as_str()))
    };
    let fitting: Vec<&str> = prefixes(names, first).filter(fits).collect();
    match fitting.as_slice() {
        ["", ..] => Ok(String::new()),
        [one] => Ok((*one).to_owned()),
        [] if names.is_empty() => {
            Err("has no named tensors: save the state dict of the network".to_owned())
        }
        [] => Err(missing(names, layout, first)),
        [one, ..] => Err(format!(
            "contains the tensors of the network more than once, under {}: save only one of them, or choose one, such \
             as the first with --rename {}=",
            name::list(fitting.iter().copied()),
            name::escaped(one)
        )),
    }
}

/// Says which tensor of the network is missing: the first one without the prefix that most of the others have.
fn missing(names: &BTreeSet<&str>, layout: &ParamLayout, first: &Tensor) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for prefix in layout
        .tensors
        .iter()
        .flat_map(|tensor| prefixes(names, tensor))
    {
        *counts.entry(prefix).or_default() += 1;
    }
    // A single tensor says little: an unrelated one may have such a name.
    let most = counts
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .max_by_key(|(prefix, count)| (*count, Reverse(prefix.len())));
    let prefix = most.map_or("", |(prefix, _)| prefix);
    let is_missing =
        |tensor: &&Tensor| !names.contains(format!("{prefix}{}", tensor.name).as_str());
    let tensor = layout.tensors.iter().find(is_missing).unwrap_or(first);
    format!(
        "has no tensor `{}{}` of shape {:?}; it has {}. Save all tensors under the names of the network \
         (`lcascope info RUN.h5` lists its layers), or translate the names with --rename FROM=TO",
        name::escaped(prefix),
        tensor.name,
        tensor.shape,
        name::list(names.iter().copied())
    )
}

//! Finds the points in a folder: its files, or its sub-folders with the files of a model each.

use std::fs;
use std::path::{Path, PathBuf};

use super::name::{self, NamePart};

const INDEX_ENDINGS: [&str; 2] = [".safetensors.index.json", ".bin.index.json"];

/// The model's file in a folder that Hugging Face's libraries write, in the order in which they look for it.
const MODEL_FILES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// A point of a path.
#[derive(Debug, PartialEq, Eq)]
pub struct FoundPoint {
    /// Name of a file or folder, with the number that says when it was saved.
    pub name: String,
    /// The file with its tensors, or the index of several; from the folder of the path.
    pub file: PathBuf,
}

/// Whether a file lists the files of a model that is saved in several.
pub fn is_index(path: &Path) -> bool {
    let path = path.to_string_lossy();
    INDEX_ENDINGS.iter().any(|ending| path.ends_with(ending))
}

/// The model in a folder.
enum Model {
    One(PathBuf),
    None,
    /// It may be in any of these files.
    Unclear(Vec<String>),
}

/// Returns the points in a folder, unsorted. Hidden files are skipped: macOS leaves some beside every file.
pub fn points(folder: &Path) -> Result<Vec<FoundPoint>, String> {
    let (mut files, mut folders, mut others, mut unclear) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for name in names(folder)? {
        if name::is_snapshot(&name) {
            files.push(name);
        } else if !folder.join(&name).is_dir() {
            others.push(name);
        } else {
            match model_in(&folder.join(&name))? {
                Model::One(file) => folders.push(FoundPoint {
                    file: Path::new(&name).join(file),
                    name,
                }),
                Model::None => others.push(name),
                Model::Unclear(files) => unclear.push((name, files)),
            }
        }
    }
    match folders.first() {
        None => refuse_single(&files, &others)?,
        Some(first) => {
            if !files.is_empty() {
                return Err(mixed(&files, &folders));
            }
            let like = |name: &&String| same_words(name, &first.name);
            let unclear = unclear.iter().map(|(name, _)| name);
            if let Some(name) = others.iter().chain(unclear).find(like) {
                return Err(format!(
                    "{} has no file, or more than one, that is the model, unlike {}: complete or remove it",
                    name::escaped(name),
                    name::escaped(&first.name)
                ));
            }
        }
    }
    let files = files.into_iter().map(|name| FoundPoint {
        file: PathBuf::from(&name),
        name,
    });
    let points: Vec<FoundPoint> = folders.into_iter().chain(files).collect();
    match (points.len(), unclear.first()) {
        (0, Some((name, files))) => Err(format!(
            "{} has several files that may be the model ({}): keep one",
            name::escaped(name),
            name::list(files.iter().map(String::as_str))
        )),
        (0 | 1, _) => Err(too_few(&points, &others)),
        _ => Ok(points),
    }
}

/// Refuses a folder that is itself a point.
fn refuse_single(files: &[String], others: &[String]) -> Result<(), String> {
    let is_model =
        |name: &&String| MODEL_FILES.contains(&name.as_str()) || is_index(Path::new(name));
    match others.iter().chain(files).find(is_model) {
        Some(name) => Err(format!(
            "has {}, the model of a single point: give the folder above, with a folder like this for each point",
            name::escaped(name)
        )),
        None => Ok(()),
    }
}

fn mixed(files: &[String], folders: &[FoundPoint]) -> String {
    format!(
        "has points as files ({}) and as folders ({}), so it is unclear which are meant: move one kind away, or give a \
         folder of links (ln -s)",
        name::list(files.iter().map(String::as_str)),
        name::list(folders.iter().map(|point| point.name.as_str()))
    )
}

fn too_few(points: &[FoundPoint], others: &[String]) -> String {
    let mut what = format!(
        "has {} point{}: a path needs at least two, as files ({}) or as folders with the file of a model each",
        points.len(),
        if points.len() == 1 { "" } else { "s" },
        name::ENDINGS.map(|ending| format!("*{ending}")).join(", ")
    );
    if !others.is_empty() {
        let others = name::list(others.iter().map(String::as_str));
        what = format!("{what}; not read: {others}");
    }
    what
}

/// Returns the names in a folder except those of hidden files.
fn names(folder: &Path) -> Result<Vec<String>, String> {
    let cannot = |error| format!("cannot be read: {error}");
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let name = entry.map_err(cannot)?.file_name();
        let name = name.into_string().map_err(|name| {
            let name = name::escaped(&name.to_string_lossy());
            format!("the name {name} is not valid UTF-8")
        })?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    // The system lists files in any order; sorting makes messages reproducible.
    names.sort();
    Ok(names)
}

fn model_in(folder: &Path) -> Result<Model, String> {
    let names = names(folder).map_err(|what| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        format!("its folder {}: {what}", name::escaped(&name))
    })?;
    if let Some(name) = MODEL_FILES
        .iter()
        .find(|&&name| names.iter().any(|it| it == name))
    {
        return Ok(Model::One(PathBuf::from(name)));
    }
    let indices = || names.iter().filter(|name| is_index(Path::new(name)));
    let files = || names.iter().filter(|name| name::is_snapshot(name));
    Ok(match (indices().count(), files().count()) {
        (1, _) => indices()
            .next()
            .map_or(Model::None, |name| Model::One(PathBuf::from(name))),
        (0, 0) => Model::None,
        (0, 1) => files()
            .next()
            .map_or(Model::None, |name| Model::One(PathBuf::from(name))),
        _ => Model::Unclear(indices().chain(files()).cloned().collect()),
    })
}

fn same_words(a: &str, b: &str) -> bool {
    let is_number =
        |parts: &[NamePart]| parts.iter().any(|part| matches!(part, NamePart::Number(_)));
    let (a, b) = (name::parts(a), name::parts(b));
    is_number(&a) && name::words(&a).eq(name::words(&b))
}

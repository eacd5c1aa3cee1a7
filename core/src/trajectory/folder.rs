//! Finds the points in a folder: its files, or its sub-folders with the files of a model each.

use std::fs;
use std::path::{Path, PathBuf};

use super::name::{self, NamePart};

const INDEX_ENDINGS: [&str; 2] = [".safetensors.index.json", ".bin.index.json"];

/// Names of the model's file in a folder written by Hugging Face's libraries, in the order in which these look for it.
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
    /// The file with its tensors, or the index of several, relative to the folder of the path.
    pub file: PathBuf,
}

/// Returns true if a file is the index of a model that is saved in several files.
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
            let like = |name: &str| same_words(name, &first.name);
            let what = if let Some((name, files)) = unclear.iter().find(|(name, _)| like(name)) {
                Some(several(name, files))
            } else {
                let name = others.iter().find(|name| like(name));
                name.map(|name| {
                    let (name, first) = (name::escaped(name), name::escaped(&first.name));
                    format!("{name} has no file of a model, unlike {first}: complete or remove it")
                })
            };
            if let Some(what) = what {
                return Err(what);
            }
        }
    }
    let files = files.into_iter().map(|name| FoundPoint {
        file: PathBuf::from(&name),
        name,
    });
    let points: Vec<FoundPoint> = folders.into_iter().chain(files).collect();
    match (points.len(), unclear.first()) {
        (0, Some((name, files))) => Err(several(name, files)),
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

fn several(name: &str, files: &[String]) -> String {
    format!(
        "{} has several files that may be the model ({}): leave only one of them there",
        name::escaped(name),
        name::list(files.iter().map(String::as_str))
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The points in a folder with these files, which are separated by spaces.
    fn found(files: &str) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        for file in files.split(' ') {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let points = points(folder.path())?.into_iter();
        Ok(points
            .map(|point| format!("{} {}", point.name, point.file.display()))
            .collect())
    }

    #[test]
    fn points_are_files_or_the_folders_of_a_model() {
        for (files, points) in [
            (
                "s1.safetensors s2.pt",
                &["s1.safetensors s1.safetensors", "s2.pt s2.pt"][..],
            ),
            (
                "._s1.pt .s3.pt s1.pt s2.pt notes.txt",
                &["s1.pt s1.pt", "s2.pt s2.pt"],
            ),
            (
                "c-1/model.safetensors c-1/optimizer.pt c-1/training_args.bin c-2/pytorch_model.bin c-2/rng_state.pth \
                 trainer_state.json runs/events",
                &["c-1 c-1/model.safetensors", "c-2 c-2/pytorch_model.bin"],
            ),
            (
                "1/model.safetensors.index.json 1/model-00001-of-00001.safetensors 2/x.bin.index.json 2/x-1-of-1.bin",
                &["1 1/model.safetensors.index.json", "2 2/x.bin.index.json"],
            ),
            (
                "1/weights.ckpt 2/last.ckpt",
                &["1 1/weights.ckpt", "2 2/last.ckpt"],
            ),
        ] {
            assert_eq!(found(files).unwrap(), points, "{files}");
        }
    }

    #[test]
    fn folders_whose_points_are_unclear_are_refused() {
        for (files, needles) in [
            ("a.txt", ["has 0 points", "not read: a.txt"]),
            (
                "s1.pt s2.h5 s3.npz",
                ["has 1 point:", "not read: s2.h5, s3.npz"],
            ),
            (
                "model.safetensors optimizer.pt",
                ["model.safetensors", "the folder above"],
            ),
            (
                "model.safetensors.index.json model-00001-of-00001.safetensors",
                ["model.safetensors.index.json", "the folder above"],
            ),
            (
                "1.pt 2.pt c-1/model.safetensors",
                ["files (1.pt, 2.pt)", "folders (c-1)"],
            ),
            (
                "c-1/model.safetensors c-2/model.safetensors c-3/optimizer.txt",
                ["c-3 has no file", "unlike c-1"],
            ),
            (
                "c-1/model.safetensors c-2/model.safetensors c-3/a.pt c-3/b.pt",
                ["c-3 has", "a.pt, b.pt"],
            ),
            (
                "c-1/a.pt c-1/b.pt c-2/a.pt c-2/b.pt",
                ["c-1 has several", "a.pt, b.pt"],
            ),
        ] {
            let said = found(files).unwrap_err();
            for needle in needles {
                assert!(said.contains(needle), "{files}: {needle}: {said}");
            }
        }
    }
}

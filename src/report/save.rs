//! A document as a folder: the two texts, and a file for each table and figure. The whole folder is there,
//! or nothing of it.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::document::Document;
use super::{html, markdown};
use crate::export::{csv, draw, svg};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("{} is no folder: choose another --output", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is not empty: choose another --output, or replace an older report with --force", .0.display())]
    NotEmpty(PathBuf),
    #[error(
        "{} holds `{}`, which is of no report: choose another --output",
        .folder.display(),
        super::words::plain(.found)
    )]
    NoReport { folder: PathBuf, found: String },
    #[error("{} is the folder this program was started in: choose another --output", .0.display())]
    Here(PathBuf),
    #[error("cannot write {}: {error}", .folder.display())]
    Io { folder: PathBuf, error: io::Error },
}

/// Says whether a report can be written to a folder: before the work, for only the end of it is certain.
///
/// # Errors
/// There is something else, or an older report and no `force`.
pub fn check(folder: &Path, force: bool) -> Result<(), SaveError> {
    let io = |error| failed(folder, error);
    let there = match fs::metadata(folder) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
    };
    if !there.is_dir() {
        return Err(SaveError::NoFolder(folder.to_owned()));
    }
    let whole = folder.canonicalize().map_err(io)?;
    if std::env::current_dir().is_ok_and(|here| here.starts_with(&whole)) {
        return Err(SaveError::Here(folder.to_owned()));
    }
    for entry in fs::read_dir(folder).map_err(io)? {
        if !force {
            return Err(SaveError::NotEmpty(folder.to_owned()));
        }
        let entry = entry.map_err(io)?;
        if let Some(found) = foreign(&entry).map_err(io)? {
            return Err(SaveError::NoReport {
                folder: folder.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

/// What in an entry of the folder is of no report: nobody's work is deleted.
fn foreign(entry: &fs::DirEntry) -> io::Result<Option<String>> {
    let name = entry.file_name().to_string_lossy().into_owned();
    let is_dir = entry.file_type()?.is_dir();
    let end = match (name.as_str(), is_dir) {
        ("report.md" | "report.html", false) => return Ok(None),
        ("data", true) => "csv",
        ("figures", true) => "svg",
        _ => return Ok(Some(name)),
    };
    for inner in fs::read_dir(entry.path())? {
        let inner = inner?;
        let ours = Path::new(&inner.file_name())
            .extension()
            .is_some_and(|it| it == end);
        if !ours || inner.file_type()?.is_dir() {
            let inner = inner.file_name();
            return Ok(Some(format!("{name}/{}", inner.to_string_lossy())));
        }
    }
    Ok(None)
}

fn failed(folder: &Path, error: io::Error) -> SaveError {
    SaveError::Io {
        folder: folder.to_owned(),
        error,
    }
}

impl Document {
    /// Writes the report into `folder`, which is made, or replaced if it holds an older report and `force`
    /// says so.
    ///
    /// # Errors
    /// The folder holds something else, or it cannot be written.
    pub fn save(&self, folder: &Path, force: bool) -> Result<(), SaveError> {
        check(folder, force)?;
        let io = |error| failed(folder, error);
        // A link to a folder is followed.
        let target = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(io)?;
        let scratch = tempfile::Builder::new()
            .prefix(".lcascope-report-")
            .tempdir_in(parent)
            .map_err(io)?;
        let fresh = scratch.path().join("new");
        self.write(&fresh).map_err(io)?;
        let old = scratch.path().join("old");
        let replaced = match fs::rename(&target, &old) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(io(error)),
        };
        fs::rename(&fresh, &target).map_err(|error| {
            if replaced {
                // The older report is better than none.
                let _ = fs::rename(&old, &target);
            }
            failed(folder, error)
        })
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        for folder in [folder, &folder.join("data"), &folder.join("figures")] {
            fs::create_dir(folder)?;
        }
        for exhibit in self.exhibits() {
            let name = &exhibit.name;
            let out = File::create_new(folder.join("data").join(format!("{name}.csv")))?;
            csv::write(&exhibit.table, BufWriter::new(out))?;
            if let Some(figure) = &exhibit.figure {
                let out = File::create_new(folder.join("figures").join(format!("{name}.svg")))?;
                svg::write(&draw(figure)?, BufWriter::new(out))?;
            }
        }
        let texts = [
            ("report.md", markdown::text(self)),
            ("report.html", html::text(self)?),
        ];
        for (name, text) in texts {
            File::create_new(folder.join(name))?.write_all(text.as_bytes())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::export::{Column, Table};

    fn document(title: &str) -> Document {
        let mut document = Document::new(title);
        let columns = vec![Column::f64("a", None, vec![0.1, f64::NAN])];
        document.table("t", "", Table::new("t", columns).unwrap(), 2);
        document
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_report_is_a_folder() {
        let scratch = TempDir::new().unwrap();
        let folder = scratch.path().join("a/b");
        document("one").save(&folder, false).unwrap();
        assert_eq!(
            names(&folder),
            ["data", "figures", "report.html", "report.md"]
        );
        let numbers = fs::read_to_string(folder.join("data/t.csv")).unwrap();
        assert_eq!(numbers, "a\n0.1\nNaN\n");
        // Nothing is left of the way there.
        assert_eq!(names(&scratch.path().join("a")), ["b"]);
    }

    #[test]
    fn an_older_report_is_replaced_on_request_and_nothing_else() {
        let scratch = TempDir::new().unwrap();
        let folder = scratch.path().join("r");
        fs::create_dir(&folder).unwrap();
        document("one").save(&folder, false).unwrap();
        let error = document("two")
            .save(&folder, false)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--force"), "{error}");
        document("two").save(&folder, true).unwrap();
        let text = fs::read_to_string(folder.join("report.md")).unwrap();
        assert!(text.starts_with("# two\n"));
        assert_eq!(names(scratch.path()), ["r"]);
        for other in ["thesis.tex", "data/run.h5"] {
            fs::write(folder.join(other), "x").unwrap();
            let error = document("three").save(&folder, true).unwrap_err();
            assert!(error.to_string().contains(other), "{error}");
            fs::remove_file(folder.join(other)).unwrap();
        }
        assert!(fs::read_to_string(folder.join("report.md")).unwrap() == text);
        let file = folder.join("report.md");
        let error = document("four").save(&file, true).unwrap_err().to_string();
        assert!(error.contains("no folder"), "{error}");
    }
}

//! Saving a document as a folder: the two texts, and a file for each table and figure. The folder is written as a whole
//! or not at all: it is written under a temporary name, and swapped with an older report atomically if the system
//! supports that (Linux and macOS, on most file systems).

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::document::Document;
use super::{html, markdown};
use crate::export::{csv, draw, svg};
use crate::rename::exchange;
use crate::store::why_not_written;

/// A reason why a report cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    #[error("{} is not a folder: choose another --output", .0.display())]
    NoFolder(PathBuf),
    #[error("{} is not empty: choose another --output, or replace an existing report with --force", .0.display())]
    NotEmpty(PathBuf),
    #[error(
        "{} contains `{}`, which is not part of a report: choose another --output",
        .folder.display(),
        crate::text::harmless(.found)
    )]
    NoReport { folder: PathBuf, found: String },
    #[error("{} is the current folder: choose another --output", .0.display())]
    Here(PathBuf),
    #[error("cannot write {}: {}", .folder.display(), why_not_written(.error))]
    Io { folder: PathBuf, error: io::Error },
}

/// Checks whether a report can be written to a folder: early, though only the write itself can tell for certain.
///
/// # Errors
/// The folder holds something else, or an older report without `force`.
pub fn check(folder: &Path, force: bool) -> Result<(), SaveError> {
    let io = |error| failed(folder, error);
    let there = match fs::metadata(folder) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A dangling link cannot become a folder.
            return match fs::symlink_metadata(folder) {
                Ok(_) => Err(SaveError::NoFolder(folder.to_owned())),
                Err(_) => Ok(()),
            };
        }
        // In a circle.
        Err(_) if folder.is_symlink() => return Err(SaveError::NoFolder(folder.to_owned())),
        Err(error) => return Err(io(error)),
    };
    if !there.is_dir() {
        return Err(SaveError::NoFolder(folder.to_owned()));
    }
    let whole = folder.canonicalize().map_err(io)?;
    if std::env::current_dir().is_ok_and(|here| here.starts_with(&whole)) {
        return Err(SaveError::Here(folder.to_owned()));
    }
    if !force && fs::read_dir(folder).map_err(io)?.next().is_some() {
        return Err(SaveError::NotEmpty(folder.to_owned()));
    }
    holds_only_a_report(folder, folder)
}

/// Refuses a folder that contains anything that does not belong to a report, so that no other file is deleted. `named`
/// is its name in errors.
fn holds_only_a_report(folder: &Path, named: &Path) -> Result<(), SaveError> {
    let io = |error| failed(named, error);
    for entry in fs::read_dir(folder).map_err(io)? {
        if let Some(found) = foreign(&entry.map_err(io)?).map_err(io)? {
            return Err(SaveError::NoReport {
                folder: named.to_owned(),
                found,
            });
        }
    }
    Ok(())
}

/// Returns the name of an entry, or of a file in it, that does not belong to a report. A report has only files and
/// folders, no links or pipes.
fn foreign(entry: &fs::DirEntry) -> io::Result<Option<String>> {
    let name = entry.file_name().to_string_lossy().into_owned();
    let kind = entry.file_type()?;
    let end = match name.as_str() {
        "report.md" | "report.html" if kind.is_file() => return Ok(None),
        "data" if kind.is_dir() => "csv",
        "figures" if kind.is_dir() => "svg",
        _ => return Ok(Some(name)),
    };
    for inner in fs::read_dir(entry.path())? {
        let inner = inner?;
        let ours = Path::new(&inner.file_name())
            .extension()
            .is_some_and(|it| it == end);
        if !ours || !inner.file_type()?.is_file() {
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
    /// Writes the report into `folder`, which is created, or replaced if it holds an older report and `force` is set.
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
        if !swap_folders(&fresh, &target, &old, exchange).map_err(io)? {
            return Ok(());
        }
        // Anything added to the older report since the check is not deleted with it.
        let intact = holds_only_a_report(&old, folder);
        if intact.is_err() && swap_folders(&old, &target, &fresh, exchange).is_err() {
            // At least it is kept where it is.
            let _ = scratch.keep();
        }
        intact
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

/// Renames the folder `fresh` to `target`, and any folder there before to `old`. Returns whether there was one.
fn swap_folders(
    fresh: &Path,
    target: &Path,
    old: &Path,
    swap: impl Fn(&Path, &Path) -> io::Result<()>,
) -> io::Result<bool> {
    match swap(fresh, target) {
        Ok(()) => return fs::rename(fresh, old).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fs::rename(fresh, target).map(|()| false);
        }
        // The file system cannot swap. A kill between the two steps leaves the older report under its other name.
        Err(_) => {}
    }
    fs::rename(target, old)?;
    fs::rename(fresh, target).inspect_err(|_| {
        // The older report is better than none.
        let _ = fs::rename(old, target);
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

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
        // No intermediate files are left.
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
        // A link may be the user's own, whatever its name.
        let link = folder.join("data/more.csv");
        symlink("t.csv", &link).unwrap();
        let error = document("three").save(&folder, true).unwrap_err();
        assert!(error.to_string().contains("data/more.csv"), "{error}");
        fs::remove_file(&link).unwrap();
        assert!(fs::read_to_string(folder.join("report.md")).unwrap() == text);
        let file = folder.join("report.md");
        let error = document("four").save(&file, true).unwrap_err().to_string();
        assert!(error.contains("not a folder"), "{error}");
    }

    #[test]
    fn folders_trade_names_where_the_file_system_cannot_swap_them_too() {
        let unable = |_: &Path, other: &Path| {
            other.symlink_metadata()?;
            Err(io::Error::from(io::ErrorKind::Unsupported))
        };
        let scratch = TempDir::new().unwrap();
        let [fresh, target, old] = ["fresh", "target", "old"].map(|it| scratch.path().join(it));
        for step in 0..2 {
            for (folder, file) in [(&fresh, "new"), (&target, "older")] {
                fs::create_dir(folder).unwrap();
                fs::write(folder.join(file), "x").unwrap();
            }
            let traded = match step {
                0 => swap_folders(&fresh, &target, &old, unable),
                _ => swap_folders(&fresh, &target, &old, exchange),
            };
            assert!(traded.unwrap());
            assert_eq!(
                (names(&target), names(&old)),
                (vec!["new".into()], vec!["older".into()])
            );
            assert!(!fresh.exists());
            fs::remove_dir_all(&target).unwrap();
            // If there is no older report, nothing is put aside.
            fs::rename(&old, &fresh).unwrap();
            assert!(!swap_folders(&fresh, &target, &old, unable).unwrap());
            assert_eq!(names(&target), ["older"]);
            assert!(!old.exists());
            fs::remove_dir_all(&target).unwrap();
        }
        // The older report is restored if the new one cannot take its place.
        fs::create_dir(&target).unwrap();
        assert!(swap_folders(&fresh, &target, &old, unable).is_err());
        assert!(target.exists() && !old.exists());
    }
}

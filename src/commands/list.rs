//! `lcascope list`: the runs in a folder, one per row.
//!
//! ```text
//! file                         status         steps         loss  network   updated     time left
//! mnist-fc-20260101-120000.h5  running      123/400   31%  0.07817  mnist-fc  1 s ago       2 min
//! old.h5                       finished     960/960  100%  0.00712  mnist-fc  3 days ago
//! torn.h5                      is not an HDF5 file
//! ```
//!
//! Below them a line for each file that a killed `--force` run has left.

use std::cmp::Ordering;
use std::fmt::Write;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use crate::analysis::numbers;
use crate::store;
use crate::supervise::status::RunStatus;
use crate::supervise::{Failure, print, sandbox};
use crate::text::{duration, harmless};

/// The most characters shown of a file's error.
const LONGEST_TROUBLE: usize = 120;

/// Prints the table, newest first.
///
/// # Errors
/// The folder cannot be read. An error in a single file is shown in its row.
pub fn list(folder: Option<&Path>) -> Result<ExitCode, Failure> {
    let folder = match folder {
        Some(folder) => folder,
        None if Path::new("runs").is_dir() => Path::new("runs"),
        None => Path::new("."),
    };
    let name = harmless(&folder.display().to_string());
    if folder.is_file() {
        return Err(Failure::Other(format!(
            "{name} is a file, not a folder: use `lcascope info`"
        )));
    }
    let error =
        |error: io::Error| Failure::Other(format!("cannot list the folder {name}: {error}"));
    let mut rows = Vec::new();
    let mut left = String::new();
    for entry in fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.extension().is_some_and(|e| e == "h5") && !path.is_dir() {
            rows.push(ListedRun::of(&path));
        } else if let Some(run) = store::left_to_replace(&path) {
            let [file, run] = [&path, &run].map(|path| file_name(path));
            let _ = writeln!(
                left,
                "{file}: left by a killed `--force` run that was to replace {run}; it can be \
                 deleted"
            );
        }
    }
    if rows.is_empty() {
        let text = format!("no run files (*.h5) in {name}\n{left}");
        return print(text.as_bytes());
    }
    rows.sort_by(|a, b| {
        let by_age = a.age.partial_cmp(&b.age).unwrap_or(Ordering::Equal);
        by_age.then_with(|| a.file.cmp(&b.file))
    });
    print((table(&rows) + &left).as_bytes())
}

/// A file's name, as it is printed.
fn file_name(path: &Path) -> String {
    harmless(&path.file_name().unwrap_or_default().to_string_lossy())
}

struct ListedRun {
    file: String,
    /// Seconds since the run's last sign of life or, if that cannot be read, since the file's last change.
    age: f64,
    status: Result<RunStatus, String>,
}

impl ListedRun {
    fn of(path: &Path) -> Self {
        let metadata = fs::metadata(path);
        let status = run_status(path, &metadata);
        let age = match (&status, &metadata) {
            (Ok(status), _) => status.silent,
            (Err(_), Ok(metadata)) => age(metadata),
            (Err(_), Err(_)) => f64::INFINITY,
        };
        Self {
            file: file_name(path),
            age,
            status,
        }
    }
}

/// The state of one file, or its error.
fn run_status(path: &Path, metadata: &io::Result<Metadata>) -> Result<RunStatus, String> {
    match metadata {
        Err(error) => return Err(error.to_string()),
        // Opening a pipe would wait for its other end.
        Ok(metadata) if !metadata.is_file() => return Err("not a regular file".to_owned()),
        Ok(_) => {}
    }
    sandbox::status(path).map_err(|error| {
        // Every message names the file, which the row does already.
        let text = error.to_string();
        let path = path.display().to_string();
        let text = text.strip_prefix(&path).unwrap_or(&text);
        let text = harmless(text.trim_start_matches([':', ' ']));
        match text.char_indices().nth(LONGEST_TROUBLE) {
            Some((end, _)) => format!("{}...", &text[..end]),
            None => text,
        }
    })
}

fn age(metadata: &Metadata) -> f64 {
    let since = |time| SystemTime::now().duration_since(time).ok();
    let age = metadata.modified().ok().and_then(since);
    age.map_or(0.0, |age| age.as_secs_f64())
}

fn table(rows: &[ListedRun]) -> String {
    let head = [
        "file",
        "status",
        "steps",
        "",
        "loss",
        "network",
        "updated",
        "time left",
    ];
    let lines: Vec<[String; 8]> = std::iter::once(head.map(str::to_owned))
        .chain(rows.iter().map(cells))
        .collect();
    let runs = |index: usize| index == 0 || rows[index - 1].status.is_ok();
    let width = |column: usize| {
        let whole = lines.iter().enumerate();
        whole
            .filter(|(index, _)| column == 0 || runs(*index))
            .map(|(_, cells)| cells[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let mut out = String::new();
    for (index, cells) in lines.iter().enumerate() {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            // Numbers are aligned right, words left.
            let _ = match column {
                2..=4 => write!(line, "{cell:>width$}  "),
                _ => write!(line, "{cell:width$}  "),
            };
            if column == 1 && !runs(index) {
                break;
            }
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn cells(row: &ListedRun) -> [String; 8] {
    let empty = String::new;
    let status = match &row.status {
        Ok(status) => status,
        Err(trouble) => {
            let mut cells: [String; 8] = std::array::from_fn(|_| empty());
            cells[0].clone_from(&row.file);
            cells[1].clone_from(trouble);
            return cells;
        }
    };
    let (done, planned) = (status.committed, status.planned);
    let loss = match status.loss {
        loss if loss.is_nan() => "-".to_owned(),
        loss => numbers::loss(loss),
    };
    [
        row.file.clone(),
        status.word().to_owned(),
        match planned {
            0 => done.to_string(),
            _ => format!("{done}/{planned}"),
        },
        match planned {
            0 => empty(),
            // Rounded down, so that 100 % means all steps.
            _ => format!("{}%", u128::from(done) * 100 / u128::from(planned)),
        },
        loss,
        harmless(&status.network),
        format!("{} ago", duration(status.silent)),
        status.seconds_left().map_or_else(empty, duration),
    ]
}

//! `lcascope list`: the runs in folders, one per row.
//!
//! ```text
//! file                         status         steps  done     loss  held-out  network   updated     time left
//! mnist-fc-20260101-120000.h5  running      123/400   31%  0.07817   0.09120  mnist-fc  1 s ago       2 min
//! old.h5                       finished     960/960  100%  0.00712   0.05123  mnist-fc  3 days ago
//! torn.h5                      is not an HDF5 file
//! ```
//!
//! Below them a line for each file that a killed `--force` run has left.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::runs::{Column, Content, RunCache, RunEntry, RunFacts};
use crate::supervise::run_list::RunList;
use crate::supervise::{Failure, print};
use crate::text::harmless;

/// The columns of the table.
const COLUMNS: [Column; 10] = [
    Column::File,
    Column::Status,
    Column::Steps,
    Column::Progress,
    Column::Loss,
    Column::HeldOut,
    Column::Accuracy,
    Column::Network,
    Column::Updated,
    Column::TimeLeft,
];

/// Prints the table, newest first.
///
/// # Errors
/// A folder cannot be read. An error in a single file is shown in its row.
pub fn list(places: &[PathBuf], as_json: bool) -> Result<ExitCode, Failure> {
    let places = match places {
        [] => vec![default_folder()],
        places => places.to_vec(),
    };
    let names: Vec<String> = (places.iter())
        .map(|place| harmless(&place.display().to_string()))
        .collect();
    let mut list = RunList::new(places, RunCache::of_user());
    let mut rows = list.read_all()?;
    rows.sort_by(|a, b| {
        let by_age = b.updated().total_cmp(&a.updated());
        by_age.then_with(|| a.name.cmp(&b.name))
    });
    if as_json {
        let lines: Vec<String> = (rows.iter())
            .map(|row| format!("{}\n", row_as_json(row)))
            .collect();
        return print(lines.concat().as_bytes());
    }
    let mut left = String::new();
    for (file, run) in &list.left {
        let [file, run] = [file, run].map(|path| file_name(path));
        let _ = writeln!(
            left,
            "{file}: left by a killed `--force` run that was to replace {run}; it can be \
             deleted"
        );
    }
    if rows.is_empty() {
        let text = format!("no run files (*.h5) in {}\n{left}", names.join(", "));
        return print(text.as_bytes());
    }
    print((table(&rows) + &left).as_bytes())
}

/// The folder whose runs are listed if none is given.
pub fn default_folder() -> PathBuf {
    let runs = Path::new("runs");
    let here = Path::new(".");
    if runs.is_dir() { runs } else { here }.to_owned()
}

/// A file's name, as it is printed.
fn file_name(path: &Path) -> String {
    harmless(&path.file_name().unwrap_or_default().to_string_lossy())
}

/// A row as JSON, as docs/json.md describes it.
fn row_as_json(entry: &RunEntry) -> Value {
    let mut row = Map::new();
    row.insert("schema".to_owned(), json!(1));
    row.insert("file".to_owned(), json!(entry.path.to_string_lossy()));
    match &entry.content {
        Content::Run(facts) => row.extend(facts_as_json(facts)),
        Content::Unreadable(error) => drop(row.insert("error".to_owned(), json!(error))),
        Content::Reading => drop(row.insert("error".to_owned(), json!("not read"))),
    }
    Value::Object(row)
}

fn facts_as_json(facts: &RunFacts) -> Map<String, Value> {
    let status = &facts.status;
    let settings = facts.settings.iter();
    let settings: Map<String, Value> = settings
        .map(|(key, value)| (key.clone(), setting_as_json(value)))
        .collect();
    let value = json!({
        "status": status.word(),
        "message": status.message,
        "steps": status.committed,
        "planned_steps": (status.planned > 0).then_some(status.planned),
        "network": status.network,
        "dataset": facts.dataset,
        "seed": facts.seed,
        "loss": status.loss,
        "held_out_loss": facts.held_out,
        "accuracy": facts.accuracy,
        "held_out_accuracy": facts.held_out_accuracy,
        "created": facts.created,
        "seconds": facts.seconds,
        "seconds_since_update": status.silent(),
        "seconds_left": status.seconds_left(),
        "settings": settings,
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A setting's value in TOML as JSON; a configuration in another language as text.
fn setting_as_json(value: &str) -> Value {
    let parsed = format!("value = {value}").parse::<toml::Table>();
    let value_of = |table: toml::Table| serde_json::to_value(table.get("value")?).ok();
    (parsed.ok().and_then(value_of)).unwrap_or_else(|| json!(value))
}

fn table(rows: &[RunEntry]) -> String {
    let head = COLUMNS.map(|column| column.title().to_owned());
    let cells = rows
        .iter()
        .map(|row| COLUMNS.map(|column| column.text(row)));
    let lines: Vec<[String; COLUMNS.len()]> = std::iter::once(head).chain(cells).collect();
    let runs = |index: usize| index == 0 || rows[index - 1].facts().is_some();
    let width = |column: usize| {
        let whole = lines.iter().enumerate();
        whole
            .filter(|(index, _)| column == 0 || runs(*index))
            .map(|(_, cells)| cells[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; COLUMNS.len()] = std::array::from_fn(width);
    let mut out = String::new();
    for (index, cells) in lines.iter().enumerate() {
        let mut line = String::new();
        for (place, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let _ = if (2..7).contains(&place) {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:width$}  ")
            };
            if place == 1 && !runs(index) {
                break;
            }
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

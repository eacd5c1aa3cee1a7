//! Makes a view of a run, for `lcascope export` and for the explorer.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::limits::{ReadTimeout, unbounded};
use super::whole_file;
use crate::export::{Exhibit, Format};
use crate::record::{RunHeader, Status};
use crate::rename::Identity;
use crate::sheet::{self, SheetRequest};
use crate::store::{self, RunReader, StoreError};
use crate::text::harmless;

/// A request of the explorer to a process that reads a run file.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExportRequest {
    pub sheet: SheetRequest,
    pub format: Format,
    /// The file to write, which must not exist yet. If none, the content is returned.
    pub output: Option<OsString>,
}

impl ExportRequest {
    /// Makes the view in this process, and returns its content if that is not written to a file.
    ///
    /// # Errors
    /// The request does not fit the run, the run cannot be read, or the file cannot be written.
    pub fn run(self, file: &Path) -> Result<Vec<u8>, Failure> {
        let exhibit = make_exhibit(file, Some(self.sheet.steps.end), |header, committed| {
            let layers = header.layout.layers.len();
            if self.sheet.steps.end > committed {
                let what = format!("the run file has only {committed} steps");
                return Err(Failure::Other(what));
            }
            if self.sheet.layer.is_some_and(|layer| layer >= layers) {
                let what = format!("the run file has only {layers} layers");
                return Err(Failure::Other(what));
            }
            Ok(self.sheet)
        })?;
        match &self.output {
            None => content(&exhibit, self.format),
            Some(output) => {
                save(&exhibit, self.format, Path::new(output), None).map(|()| Vec::new())
            }
        }
    }
}

/// Makes the view that `request` asks for, given the run's header and its committed steps; waits for those up to
/// `wanted` if they may still arrive. Afterwards this process may take as long as it likes.
///
/// # Errors
/// The request does not fit the run, or the run cannot be read.
pub fn make_exhibit(
    file: &Path,
    wanted: Option<u64>,
    request: impl FnOnce(&RunHeader, u64) -> Result<SheetRequest, Failure>,
) -> Result<Exhibit, Failure> {
    let patience = ReadTimeout::new();
    let reader = RunReader::open(file)?;
    let request = request(reader.header(), committed(&reader, wanted)?)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let exhibit = sheet::make_exhibit(&reader, &harmless(&name), &request, &|| patience.renew())?;
    drop(reader);
    unbounded();
    Ok(exhibit)
}

/// The lag that the file of a running training may have behind its screen: steps are committed twice a second.
const BEHIND: Duration = Duration::from_secs(3);

/// The number of committed steps. Waits for those up to `wanted` if they may still arrive.
fn committed(reader: &RunReader, wanted: Option<u64>) -> Result<u64, StoreError> {
    let begun = Instant::now();
    loop {
        let state = reader.refresh()?;
        let there = wanted.is_none_or(|to| to <= state.committed);
        let written = state.status == Status::Running && state.held != Some(false);
        if there || !written || begun.elapsed() > BEHIND {
            return Ok(state.committed);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// The content of an exhibit's file.
///
/// # Errors
/// The exhibit cannot have this format.
pub fn content(exhibit: &Exhibit, format: Format) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    match exhibit.write(format, &mut content) {
        Ok(()) => Ok(content),
        Err(error) => Err(Failure::Other(error.to_string())),
    }
}

/// Writes the file completely or not at all. Only the file `old` is replaced.
///
/// # Errors
/// It cannot be written.
pub fn save(
    exhibit: &Exhibit,
    format: Format,
    output: &Path,
    old: Option<Identity>,
) -> Result<(), Failure> {
    let written = whole_file::write(output, old, |out| exhibit.write(format, out));
    written.map_err(|error| cannot_write(output, &error))
}

/// The failure to write a file.
#[must_use]
pub fn cannot_write(output: &Path, error: &io::Error) -> Failure {
    let shown = harmless(&output.display().to_string());
    let why = store::why_not_written(error);
    Failure::Other(format!("cannot write {shown}: {why}"))
}

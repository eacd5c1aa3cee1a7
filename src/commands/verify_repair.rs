//! `lcascope verify` and `lcascope repair`.

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;

use super::resume::how_to_resume;
use crate::store::{self, CheckResult, Repaired, RunReader};
use crate::supervise::{Failure, print, print_message};

/// Checks a run file and prints each fault with its location, as text or as one line of JSON.
///
/// # Errors
/// The file is not a run, cannot be read, or has faults.
pub fn verify(path: &Path, json: bool) -> Result<ExitCode, Failure> {
    let checks = store::verify(path)?;
    let faults: u64 = checks.iter().map(|check| check.count).sum();
    if json {
        print(format!("{}\n", in_json(path, faults, &checks)).as_bytes())?;
        return outcome(path, faults).or_else(|error| {
            print_message(&format!("error: {error}"));
            Ok(ExitCode::FAILURE)
        });
    }
    let mut out = String::new();
    for check in &checks {
        let word = if check.passed() { "ok" } else { "FAULT" };
        let _ = writeln!(out, "{word:<6} {:<14}  {}", check.name, check.looked_at);
        for fault in &check.faults {
            let _ = writeln!(out, "       {fault}");
        }
        let untold = check.count - check.faults.len() as u64;
        if untold > 0 {
            let _ = writeln!(out, "       … and {untold} more");
        }
    }
    print(out.as_bytes())?;
    outcome(path, faults)
}

/// The checks as one JSON object, which docs/json.md describes.
fn in_json(path: &Path, faults: u64, checks: &[CheckResult]) -> serde_json::Value {
    let checks = checks.iter().map(|check| {
        json!({
            "name": check.name,
            "ok": check.passed(),
            "looked_at": check.looked_at,
            "faults": check.count,
            "first_faults": check.faults,
        })
    });
    json!({
        "schema": 1,
        "file": path.display().to_string(),
        "ok": faults == 0,
        "faults": faults,
        "checks": checks.collect::<Vec<_>>(),
    })
}

fn outcome(path: &Path, faults: u64) -> Result<ExitCode, Failure> {
    match faults {
        0 => Ok(ExitCode::SUCCESS),
        _ => Err(Failure::Other(format!(
            "{} has {faults} fault{}",
            path.display(),
            if faults == 1 { "" } else { "s" }
        ))),
    }
}

/// Repairs a file whose writer was killed, so that every HDF5 tool can read it.
///
/// # Errors
/// The file is not a run, is being written, or cannot be written.
pub fn repair(path: &Path) -> Result<ExitCode, Failure> {
    let Repaired { steps, was_whole } = store::repair(path)?;
    let how = how_to_resume(&RunReader::open(path)?.header().config, path);
    let path = path.display();
    let steps = match steps {
        1 => "1 step".to_owned(),
        n => format!("{n} steps"),
    };
    let text = if was_whole {
        format!("{path} is intact, with {steps}: nothing to repair\n")
    } else {
        format!(
            "{path} is repaired: every HDF5 tool can read its {steps}\n\
             resume the run{how}\n"
        )
    };
    print(text.as_bytes())
}

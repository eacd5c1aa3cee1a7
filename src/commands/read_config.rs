//! Reads the configuration that `--config` names.

use std::io::{self, Read};
use std::path::Path;

use crate::config::{ConfigError, Options, parse, stored_options};
use crate::small_file;
use crate::supervise::{Failure, sandbox};

/// Reads options from a TOML file, or from the configuration stored in a run file.
pub fn read_config(path: &Path) -> Result<Options, Failure> {
    let origin = path.display().to_string();
    let text = if path == Path::new("-") {
        let text = small_file::text_of(io::stdin(), small_file::LONGEST);
        // The process that was to write it has been killed; the defaults are not what was meant.
        if text.as_ref().is_ok_and(|text| text.trim().is_empty()) {
            let what = "--config -: standard input is empty";
            return Err(Failure::Usage(ConfigError(what.to_owned())));
        }
        text
    } else {
        let mut start = Vec::new();
        let opened = small_file::open(path);
        let read = opened.and_then(|file| file.take(4).read_to_end(&mut start));
        if read.is_ok() && start == b"\x89HDF" {
            return Ok(stored_options(
                &sandbox::peek(path)?.header.config,
                &origin,
            )?);
        }
        read.and_then(|_| small_file::text(path, small_file::LONGEST))
    };
    let text = text.map_err(|error| {
        ConfigError(match error.kind() {
            io::ErrorKind::InvalidData => {
                format!("{origin} is neither a TOML file nor a run file")
            }
            _ => format!("cannot read the configuration {origin}: {error}"),
        })
    })?;
    Ok(parse(&text, &origin)?)
}

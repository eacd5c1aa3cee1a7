//! `lcascope info`: what is in a run file, and does it close?

use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;

use super::{Failure, summary};
use crate::app::App;
use crate::feed::{FeedEvent, Origin};
use crate::record::{RunHeader, Status};
use crate::store::{RunReader, RunState};

/// Steps read at once.
const BLOCK: u64 = 4096;

/// Prints the header, the state, the totals by layer and how well they close.
///
/// # Errors
/// The file is no run, or cannot be read.
pub fn info(path: &Path) -> Result<ExitCode, Failure> {
    let reader = RunReader::open(path)?;
    let state = reader.refresh()?;
    let mut app = App::new(reader.header().clone().into(), Origin::Replay);
    if let Some(losses) = reader.start()? {
        app.event(FeedEvent::Start(losses));
    }
    let mut from = 0;
    while from < state.committed {
        let to = state.committed.min(from + BLOCK);
        app.event(FeedEvent::Steps(reader.steps(from..to)?));
        from = to;
    }
    let mut out = String::new();
    describe(&mut out, path, reader.header(), &state);
    if state.committed > 0 {
        summary::layers(&mut out, &app);
    }
    super::print(out.as_bytes())
}

fn describe(out: &mut String, path: &Path, header: &RunHeader, state: &RunState) {
    let size = std::fs::metadata(path).map_or(0, |meta| meta.len());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<12} {value}");
    };
    line("file", format!("{} ({size} bytes)", path.display()));
    line(
        "written by",
        format!("{}, {}", header.producer, header.created),
    );
    let mut status = state.status.name().to_owned();
    if state.status == Status::Running {
        if state.writer_is_lost() {
            "writer lost".clone_into(&mut status);
        } else if state.paused {
            status.push_str(", paused");
        }
        let _ = write!(status, ", last sign of life {:.0} s ago", state.silent);
        if state.writer_is_lost() {
            let path = path.display();
            let _ = write!(status, "; `lcascope train --resume {path}` goes on with it");
        }
    }
    if !state.message.is_empty() {
        let _ = write!(status, ": {}", state.message);
    }
    line("status", status);
    line(
        "steps",
        format!("{} of {}", state.committed, header.planned_steps),
    );
    line(
        "network",
        format!("{}, {} parameters", header.network, header.layout.params()),
    );
    let aside = match header.validation_index.len() {
        0 => String::new(),
        n => format!(", {n} set aside"),
    };
    let allocated = (header.allocated_examples())
        .map_or(String::new(), |n| format!(", {n} of them to allocate"));
    line(
        "data",
        format!(
            "{}: {} to train{allocated}, {} held out{aside}",
            header.dataset,
            header.train_index.len(),
            header.test_index.len()
        ),
    );
    line("sha256", header.dataset_sha256.clone());
    line("device", header.device.clone());
    line(
        "integrator",
        format!(
            "{}, tolerance {} nats a step",
            header.integrator, header.tolerance
        ),
    );
    line("slices", format!("{} examples", header.slice_size));
    line("seed", header.seed.to_string());
    let mut extras = vec![format!("{} traced parameters", header.traced.len())];
    for (there, what) in [
        (header.held_out_lca, "held-out LCA"),
        (header.record_params > 0, "LCA of all parameters"),
        (header.record_weights > 0, "weights"),
    ] {
        if there {
            extras.push(what.to_owned());
        }
    }
    line("recorded", extras.join(", "));
}

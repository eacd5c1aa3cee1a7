//! `--dry-run`: estimates the memory, the disk space and the time that a run would take. Nothing is written.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Instant;

use crate::memory::{available, size};
use crate::record::RunHeader;
use crate::supervise::cost::RunCost;
use crate::supervise::{Failure, print};
use crate::train::{TrainError, Trainer};

/// Prints the estimates, after two evaluations at the initial parameters.
///
/// # Errors
/// The engine fails, or standard output cannot be written.
pub fn dry_run(
    cost: &RunCost,
    header: &RunHeader,
    mut trainer: Trainer,
) -> Result<ExitCode, Failure> {
    let failed = |error: TrainError| Failure::Run(error.to_string());
    // Only the second evaluation is timed: the first also allocates its memory.
    trainer.start().map_err(failed)?;
    let began = Instant::now();
    trainer.evaluate_once().map_err(failed)?;
    let gradient = began.elapsed();

    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<12} {value}");
    };
    let params = header.layout.params();
    line(
        "network",
        format!("{}, {params} parameters", header.network),
    );
    let examples = header.allocated_examples();
    let examples = examples.unwrap_or(header.train_index.len());
    let steps = header.planned_steps;
    line("steps", format!("{steps}, over {examples} examples each"));
    let of_all = available().map_or(String::new(), |all| format!(" of {}", size(all)));
    let each = cost.memory() / (params as u64).max(1);
    line(
        "memory",
        format!(
            "at least {}{of_all}: {each} bytes per parameter",
            size(cost.memory())
        ),
    );
    line(
        "file",
        format!(
            "about {} before compression: {}",
            size(cost.file()),
            cost.file_parts()
        ),
    );
    line("time", cost.time(gradient));
    print(out.as_bytes())
}

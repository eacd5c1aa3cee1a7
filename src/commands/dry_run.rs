//! `--dry-run`: estimates the memory, the disk space and the time that a run would take. Nothing is written.

use std::fmt::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::config::{CheckpointEvery, RunConfig};
use crate::lca::Method;
use crate::memory::{available, size};
use crate::record::{ParamTotals, RunHeader};
use crate::store;
use crate::supervise::run::MANY_PARAMETERS;
use crate::supervise::{Failure, memory, print};
use crate::text::duration;
use crate::train::{TrainError, Trainer};

/// Prints the estimates, after two evaluations at the initial parameters.
///
/// # Errors
/// The engine fails, or standard output cannot be written.
pub fn dry_run(
    config: &RunConfig,
    header: &RunHeader,
    mut trainer: Trainer,
) -> Result<ExitCode, Failure> {
    let failed = |error: TrainError| Failure::Run(error.to_string());
    // Only the second evaluation is timed: the first also allocates its memory.
    trainer.start().map_err(failed)?;
    let began = Instant::now();
    trainer.evaluate_once().map_err(failed)?;
    let text = describe(config, header, began.elapsed());
    print(text.as_bytes())
}

fn describe(config: &RunConfig, header: &RunHeader, gradient: Duration) -> String {
    let params = header.layout.params();
    let steps = header.planned_steps;
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<12} {value}");
    };
    line(
        "network",
        format!("{}, {params} parameters", header.network),
    );
    let examples = header.allocated_examples();
    let examples = examples.unwrap_or(header.train_index.len());
    line("steps", format!("{steps}, over {examples} examples each"));

    let need = memory::least(config, header);
    let of_all = available().map_or(String::new(), |all| format!(" of {}", size(all)));
    let each = need / (params as u64).max(1);
    line(
        "memory",
        format!(
            "at least {}{of_all}: {each} bytes per parameter",
            size(need)
        ),
    );

    let file = FileCost::of(header, config);
    line(
        "file",
        format!(
            "about {} before compression: {}",
            size(file.total()),
            file.parts()
        ),
    );

    let gradients = config.integration.least_gradients();
    let more = match config.integration.method {
        Method::Adaptive => " or more",
        _ => "",
    };
    let step = gradient * gradients;
    line(
        "time",
        format!(
            "{gradients}{more} gradients per step, {} each: at least {} per step, {} in all",
            seconds(gradient),
            seconds(step),
            duration(step.as_secs_f64() * count(steps)),
        ),
    );
    out
}

/// The bytes that a run adds to its file.
struct FileCost {
    step: u64,
    steps: u64,
    /// Name, count and size in bytes of each.
    arrays: Vec<(&'static str, u64, u64)>,
}

impl FileCost {
    fn of(header: &RunHeader, config: &RunConfig) -> Self {
        let params = header.layout.params() as u64;
        let steps = header.planned_steps;
        let rows = |every: u64| steps.checked_div(every).unwrap_or(0);
        let checkpoint = header.checkpoint.iter();
        let checkpoint = checkpoint.map(|array| (array.kind.width() * array.len) as u64);
        let checkpoints = match config.checkpoint_every {
            CheckpointEvery::Stop => 0,
            CheckpointEvery::Auto if header.layout.params() > MANY_PARAMETERS => 0,
            _ => 2,
        };
        let weights = rows(config.record_weights) + u64::from(config.record_weights > 0);
        let arrays = vec![
            (
                "totals snapshot",
                header.snapshots,
                ParamTotals::EACH as u64 * params,
            ),
            ("checkpoint", checkpoints, checkpoint.sum()),
            ("allocation row", rows(config.record_params), 4 * params),
            ("weights row", weights, 4 * params),
        ];
        Self {
            step: store::bytes_per_step(header),
            steps,
            arrays,
        }
    }

    fn total(&self) -> u64 {
        let arrays = self.arrays.iter();
        let arrays = arrays.map(|(_, count, bytes)| count.saturating_mul(*bytes));
        arrays.fold(self.steps.saturating_mul(self.step), u64::saturating_add)
    }

    fn parts(&self) -> String {
        let mut parts = vec![format!("{} per step", size(self.step))];
        for (name, count, bytes) in &self.arrays {
            if *count > 0 {
                let plural = if *count == 1 { "" } else { "s" };
                parts.push(format!("{count} {name}{plural} of {}", size(*bytes)));
            }
        }
        parts.join(", ")
    }
}

fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn count(steps: u64) -> f64 {
    steps as f64
}

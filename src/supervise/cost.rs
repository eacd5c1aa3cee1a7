//! The memory, disk space and time of a run, estimated before its first step.

use std::path::Path;
use std::time::Duration;

use super::Failure;
use super::memory::MemoryUse;
use crate::config::{CheckpointEvery, ConfigError, RunConfig};
use crate::memory::{available, size};
use crate::record::{ParamTotals, RunHeader};
use crate::store::{self, Compression};
use crate::text::duration;

/// Compression makes an array smaller by at most about this factor: allocations and weights are floating-point numbers
/// whose last bits are noise.
const MOST_COMPRESSION: u64 = 4;

/// The memory, disk space and gradients that a run takes.
#[derive(Clone, Debug)]
pub struct RunCost {
    params: usize,
    memory: MemoryUse,
    step: u64,
    /// The steps planned; 0 if that is unknown.
    steps: u64,
    arrays: Vec<FileArray>,
    gradients: u32,
    /// Whether a step may take more gradients.
    adaptive: bool,
}

/// Arrays with a value per parameter that a run adds to its file.
#[derive(Clone, Debug)]
struct FileArray {
    name: &'static str,
    /// The flag by which there are fewer of them.
    flag: &'static str,
    count: u64,
    /// The size of each in bytes, before compression.
    bytes: u64,
    compressed: bool,
    /// Whether there are more of them the more steps there are.
    grows: bool,
}

impl RunCost {
    /// Estimates what a run takes. `memory` has the least memory that it needs.
    #[must_use]
    pub fn of(header: &RunHeader, config: &RunConfig, memory: MemoryUse) -> Self {
        let params = header.layout.params() as u64;
        let steps = header.planned_steps;
        let rows = |every: u64| steps.checked_div(every).unwrap_or(0);
        let checkpoint = header.checkpoint.iter();
        let checkpoint = checkpoint.map(|array| (array.kind.width() * array.len) as u64);
        let checkpoints = match config.checkpoint_every.for_params(header.layout.params()) {
            CheckpointEvery::Stop | CheckpointEvery::Never => 0,
            _ => 2,
        };
        let weights = rows(config.record_weights) + u64::from(config.record_weights > 0);
        let (compressed, rows_compressed) = match config.compression {
            Compression::None => (false, false),
            Compression::Auto => (true, false),
            Compression::Lz4 | Compression::Zstd | Compression::Deflate => (true, true),
        };
        let arrays = vec![
            FileArray {
                name: "totals snapshot",
                flag: "--snapshots 1",
                count: header.snapshots,
                bytes: ParamTotals::EACH as u64 * params,
                compressed,
                grows: false,
            },
            FileArray {
                name: "checkpoint",
                flag: "--checkpoint-every stop",
                count: checkpoints,
                bytes: checkpoint.sum(),
                compressed: false,
                grows: false,
            },
            FileArray {
                name: "allocation row",
                flag: "a larger --record-params",
                count: rows(config.record_params),
                bytes: 4 * params,
                compressed: rows_compressed,
                grows: true,
            },
            FileArray {
                name: "weights row",
                flag: "a larger --record-weights",
                count: weights,
                bytes: 4 * params,
                compressed: rows_compressed,
                grows: true,
            },
        ];
        Self {
            params: header.layout.params(),
            memory,
            step: store::bytes_per_step(header),
            steps,
            arrays,
            gradients: config.integration.least_gradients(),
            adaptive: config.integration.is_adaptive(),
        }
    }

    /// Returns the least memory in bytes. Examples and activations come on top.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory.bytes()
    }

    /// Returns the size of the file in bytes, before compression.
    #[must_use]
    pub fn file(&self) -> u64 {
        let arrays = self.arrays.iter().map(FileArray::total);
        arrays.fold(self.steps.saturating_mul(self.step), u64::saturating_add)
    }

    /// Describes the parts of the file.
    #[must_use]
    pub fn file_parts(&self) -> String {
        let mut parts = vec![format!("{} per step", size(self.step))];
        for array in self.arrays.iter().filter(|array| array.count > 0) {
            let plural = if array.count == 1 { "" } else { "s" };
            let (name, count) = (array.name, array.count);
            parts.push(format!("{count} {name}{plural} of {}", size(array.bytes)));
        }
        parts.join(", ")
    }

    /// Describes the run's cost in one line, without its time.
    #[must_use]
    pub fn line(&self) -> String {
        let whole = match self.steps {
            0 => String::new(),
            steps => format!("about {} for {steps} steps, ", size(self.file())),
        };
        format!(
            "{} parameters; memory: at least {}; file: {whole}{} per step; {} per step",
            self.params,
            size(self.memory()),
            size(self.step),
            self.gradients_of_step()
        )
    }

    /// Describes the time of a step and of the run, given that of a gradient.
    #[must_use]
    pub fn time(&self, gradient: Duration) -> String {
        let step = gradient * self.gradients;
        let all = match self.steps {
            0 => String::new(),
            steps => {
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                let all = step.as_secs_f64() * steps as f64;
                format!(", {} in all", duration(all))
            }
        };
        format!(
            "{} per step, {} each: at least {} per step{all}",
            self.gradients_of_step(),
            seconds(gradient),
            seconds(step),
        )
    }

    fn gradients_of_step(&self) -> String {
        let more = if self.adaptive { " or more" } else { "" };
        let plural = if self.gradients == 1 && !self.adaptive {
            ""
        } else {
            "s"
        };
        format!("{}{more} gradient{plural}", self.gradients)
    }

    /// Refuses a run that does not fit into memory.
    ///
    /// # Errors
    /// It does not fit. The message names the flag that helps most.
    pub fn check_memory(&self) -> Result<(), ConfigError> {
        available().map_or(Ok(()), |there| self.memory.check(self.params, there))
    }

    /// Refuses a run whose file has no room on its disk for what does not depend on the number of steps. Returns a
    /// warning if there is no room for all planned steps: the training may be stopped before.
    ///
    /// # Errors
    /// There is no room. The message names the flag that helps most.
    pub fn check_disk(&self, output: &Path) -> Result<Option<String>, Failure> {
        let checked = store::free_space(output).map_or(Ok(None), |free| self.check_room(free));
        checked
            .map_err(|fault| Failure::Other(format!("no space for {}: {fault}", output.display())))
    }

    fn check_room(&self, free: u64) -> Result<Option<String>, String> {
        let steps = FileArray {
            name: "step",
            flag: "fewer --steps, or --lca-every,",
            count: self.steps,
            bytes: self.step,
            compressed: false,
            grows: true,
        };
        let arrays: Vec<&FileArray> = self.arrays.iter().chain([&steps]).collect();
        let least = |arrays: &[&FileArray]| {
            arrays
                .iter()
                .fold(0_u64, |sum, array| sum.saturating_add(array.least()))
        };
        let too_large = |arrays: &[&FileArray]| {
            let need = least(arrays);
            let largest = arrays.iter().max_by_key(|array| array.least())?;
            (need > free).then(|| {
                format!(
                    "at least {}, but the disk has {} free: {} makes it smaller",
                    size(need),
                    size(free),
                    largest.flag
                )
            })
        };
        let fixed: Vec<&FileArray> = arrays
            .iter()
            .copied()
            .filter(|array| !array.grows)
            .collect();
        if let Some(fault) = too_large(&fixed) {
            return Err(format!("the run file needs {fault}"));
        }
        let fault = too_large(&arrays);
        Ok(fault.map(|fault| {
            format!(
                "warning: for all {} steps, the run file needs {fault}",
                self.steps
            )
        }))
    }
}

impl FileArray {
    fn total(&self) -> u64 {
        self.count.saturating_mul(self.bytes)
    }

    fn least(&self) -> u64 {
        if self.compressed {
            self.total() / MOST_COMPRESSION
        } else {
            self.total()
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_the_disk_is_refused_or_warned_about_with_the_flag_that_helps_most() {
        let array = |flag, count, bytes, grows| FileArray {
            name: "",
            flag,
            count,
            bytes,
            compressed: false,
            grows,
        };
        let mut cost = RunCost {
            params: 1 << 20,
            memory: MemoryUse::default(),
            step: 1 << 10,
            steps: 1 << 10,
            arrays: vec![
                array("--one", 2, 1 << 20, false),
                array("--other", 1, 1 << 20, false),
                array("--rows", 3, 1 << 20, true),
            ],
            gradients: 2,
            adaptive: true,
        };
        let refused = |cost: &RunCost, free| cost.check_room(free).err();
        let warned = |cost: &RunCost, free| cost.check_room(free).ok().flatten();
        assert_eq!(cost.file(), 7 << 20);
        assert_eq!(
            (refused(&cost, 7 << 20), warned(&cost, 7 << 20)),
            (None, None)
        );
        assert_eq!(
            warned(&cost, 6 << 20).unwrap(),
            "warning: for all 1024 steps, the run file needs at least 7.0 MiB, but the disk has 6.0 MiB free: --rows \
             makes it smaller"
        );
        assert_eq!(refused(&cost, 3 << 20), None);
        assert_eq!(
            refused(&cost, 2 << 20).unwrap(),
            "the run file needs at least 3.0 MiB, but the disk has 2.0 MiB free: --one makes it smaller"
        );
        cost.arrays[0].compressed = true;
        assert_eq!(refused(&cost, 3 << 19), None);
        assert!(
            refused(&cost, (3 << 19) - 1)
                .unwrap()
                .contains("free: --other")
        );
        cost.steps = u64::MAX;
        assert!(
            warned(&cost, 1 << 60)
                .unwrap()
                .contains("free: fewer --steps")
        );
    }
}

//! Reads a run file: its header, and summaries of its committed steps.

use std::cell::Cell;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use hdf5::{Dataset, File, H5Type};

use super::bounds::{Bounds, RowBound};
use super::compression::filters_of;
use super::error::{Context, StoreError};
use super::foreign::refuse_foreign;
use super::growing_dataset::read_rows;
use super::levels::Levels;
use super::lock;
use super::open::{self, OpenDatasets, open_dataset};
use super::read_header::{number, open_hdf5, read_header};
use super::run_state::{RunState, unix_seconds};
use super::schema::{self, FORMAT, VERSION};
use super::text;
use crate::record::{LayerSummary, Losses, RunHeader, Status, StepSummary};

/// The most gradients that a step can take: a larger number is damage.
const MOST_GRADIENTS: u64 = 1 << 32;

/// Arrays that are compressed, and two that another program may have compressed.
const PARAM_ARRAYS: [&str; 8] = [
    "lca/param",
    "weight/value",
    "param/lca_sum",
    "param/helped",
    "param/update_flips",
    "param/gradient_flips",
    "loss/train",
    "lca/layer",
];

/// A run file open for reading. Only the thread that owns it may use it.
pub struct RunReader {
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// Whether a writer has it open, or was killed.
    marked: bool,
    /// The system's handle of the file, for its length and its lock.
    disk: fs::File,
    /// The stamp of the file when it was opened.
    stamp: FileStamp,
    header: RunHeader,
    /// False for runs of older programs, which lack `state/paused`.
    tells_pauses: bool,
    held_out: Option<Arc<Dataset>>,
    columns: SummaryDatasets,
    /// All datasets that are open.
    open: OpenDatasets,
    /// In the order of [`SummaryDatasets::lengths`], with the held-out dataset last.
    row_bounds: Vec<RowBound>,
    heartbeat: Cell<Option<Heartbeat>>,
    /// Summaries of many steps; missing in some files.
    pub(super) levels: Levels,
    /// From the last [`refresh`](Self::refresh): the committed length it read, and the steps it found.
    seen: Cell<(u64, u64)>,
}

/// A heartbeat as first seen.
#[derive(Clone, Copy)]
struct Heartbeat {
    value: f64,
    seen: Instant,
    /// Its age in seconds at that time, by the two clocks involved.
    age_then: f64,
}

/// The datasets from which a summary is read.
struct SummaryDatasets {
    train: Arc<Dataset>,
    train_accuracy: Arc<Dataset>,
    test: Arc<Dataset>,
    test_accuracy: Arc<Dataset>,
    epoch: Arc<Dataset>,
    learning_rate: Arc<Dataset>,
    batch_loss: Arc<Dataset>,
    seconds: Arc<Dataset>,
    gradient_evals: Arc<Dataset>,
    segments: Arc<Dataset>,
    total: Arc<Dataset>,
    residual: Arc<Dataset>,
    layer: Arc<Dataset>,
    layer_error: Arc<Dataset>,
    helped: Arc<Dataset>,
    hurt: Arc<Dataset>,
    update_flips: Arc<Dataset>,
    gradient_flips: Arc<Dataset>,
}

impl RunReader {
    /// Opens a run, finished or being written.
    ///
    /// # Errors
    /// The file is not a run or is damaged; the error says what it is, or what is wrong.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let disk = open_hdf5(path)?;
        let stamp = stamp(&disk).map_err(StoreError::io(path))?;
        let (file, marked) = open::read(path, &disk)?;
        // Unreadable is not absent: a truncated run is not a foreign file.
        file.attr_names()
            .doing(path, || "read the attributes".to_owned())?;
        if text::read_line(&file, "format").ok().as_deref() != Some(FORMAT) {
            return Err(StoreError::Foreign {
                path: path.to_owned(),
            });
        }
        let version: u64 = number(path, &file, "version")?;
        if version > VERSION {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                version,
            });
        }
        refuse_foreign(path, &file)?;
        let header = read_header(path, &file, &Bounds::measure(path, &disk)?)?;
        let open = OpenDatasets::default();
        let dataset = |name: &'static str| {
            let axes = schema::axes(name);
            let dataset = Arc::new(open_dataset(path, &file, name, axes, &header)?);
            open.insert(name, &dataset);
            Ok::<_, StoreError>(dataset)
        };
        let held_out = header
            .held_out_lca
            .then(|| dataset("lca_test/layer"))
            .transpose()?;
        let columns = SummaryDatasets {
            train: dataset("loss/train")?,
            train_accuracy: dataset("loss/train_accuracy")?,
            test: dataset("loss/test")?,
            test_accuracy: dataset("loss/test_accuracy")?,
            epoch: dataset("step/epoch")?,
            learning_rate: dataset("step/learning_rate")?,
            batch_loss: dataset("step/batch_loss")?,
            seconds: dataset("step/seconds")?,
            gradient_evals: dataset("step/gradient_evals")?,
            segments: dataset("step/segments")?,
            total: dataset("lca/total")?,
            residual: dataset("lca/residual")?,
            layer: dataset("lca/layer")?,
            layer_error: dataset("lca/layer_error")?,
            helped: dataset("lca/helped")?,
            hurt: dataset("lca/hurt")?,
            update_flips: dataset("motion/update_flips")?,
            gradient_flips: dataset("motion/gradient_flips")?,
        };
        let row_bounds = columns
            .each_with(held_out.as_deref())
            .map(|(dataset, _)| {
                let axes = dataset.shape();
                RowBound::for_dataset(dataset, axes.iter().skip(1).product())
            })
            .collect::<hdf5::Result<_>>()
            .doing(path, || "read the types of the datasets".to_owned())?;
        Ok(Self {
            tells_pauses: file.link_exists("state/paused"),
            held_out,
            columns,
            open,
            row_bounds,
            heartbeat: Cell::new(None),
            levels: Levels::open(path, &file, &header)?,
            seen: Cell::new((0, 0)),
            path: path.to_owned(),
            file,
            marked,
            disk,
            stamp,
            header,
        })
    }

    /// Whether a writer had the file open when this reader opened it, or was killed while it had.
    #[must_use]
    pub fn is_marked(&self) -> bool {
        self.marked
    }

    /// Whether there is anything after the committed steps.
    pub(super) fn has_more(&self) -> Result<bool, StoreError> {
        let committed = self.latest::<u64>("state/committed")?;
        let rows = |dataset: &Dataset| dataset.shape().first().copied().unwrap_or(0) as u64;
        let mut lengths = self.columns.lengths();
        let beyond = lengths.any(|(dataset, extra)| rows(dataset) > committed + extra);
        Ok(beyond || self.levels.have_more(committed))
    }

    /// Checks that nobody has written the file since it was opened, once it is locked (`disk`). HDF5 would not see it: it
    /// keeps what it knows of a file without a writer.
    pub(super) fn check_unchanged(&self, disk: &fs::File) -> Result<(), StoreError> {
        if stamp(disk).map_err(StoreError::io(&self.path))? == self.stamp {
            Ok(())
        } else {
            Err(StoreError::Changed {
                path: self.path.clone(),
            })
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The storage of arrays over all parameters: each distinct combination of filters, in words, and whether HDF5
    /// itself has them. Empty if none is filtered.
    #[must_use]
    pub fn filters(&self) -> Vec<(String, bool)> {
        let there = |name: &str| {
            let group = name.split('/').next().unwrap_or_default();
            self.file.link_exists(group) && self.file.link_exists(name)
        };
        let mut kinds = Vec::new();
        for name in PARAM_ARRAYS.into_iter().filter(|name| there(name)) {
            let Ok(dataset) = self.open.get(&self.file, name) else {
                continue;
            };
            let kind = filters_of(&dataset);
            if !kind.0.is_empty() && !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        kinds
    }

    #[must_use]
    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    /// The open file, for the other parts of the store.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// A dataset with all its current rows.
    pub(super) fn dataset(&self, name: &str) -> Result<Arc<Dataset>, StoreError> {
        let opened = self.open_dataset(name);
        opened.doing(&self.path, || format!("open {name}"))
    }

    /// Opens a dataset like [`dataset`](Self::dataset), but returns the library's own error.
    pub(super) fn open_dataset(&self, name: &str) -> hdf5::Result<Arc<Dataset>> {
        let dataset = self.open.get(&self.file, name)?;
        if self.marked {
            dataset.refresh()?;
        }
        Ok(dataset)
    }

    /// Makes new rows of a dataset readable. A file that had no writer when it was opened has none: if the run goes on,
    /// it must be opened again, in another process than its writer's (HDF5 shares a file that is open in one process).
    pub(super) fn renew(&self, dataset: &Dataset) -> Result<(), StoreError> {
        if self.marked {
            (dataset.refresh()).doing(&self.path, || "refresh".to_owned())
        } else {
            Ok(())
        }
    }

    /// Σ A of each step in `range`, in nats. The steps must be committed.
    pub(super) fn totals(&self, range: Range<u64>) -> Result<Vec<f64>, StoreError> {
        let index =
            |step: u64| usize::try_from(step).map_err(|_| self.damaged(format!("step {step}")));
        self.rows(&self.columns.total, index(range.start)?..index(range.end)?)
    }

    /// The losses after `done` committed steps; none if not even the first row has been written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn losses(&self, done: u64) -> Result<Option<Losses>, StoreError> {
        let c = &self.columns;
        let row = usize::try_from(done).ok().filter(|&row| {
            let columns = [&c.train, &c.train_accuracy, &c.test, &c.test_accuracy];
            columns
                .iter()
                .all(|dataset| dataset.shape().first().is_some_and(|&rows| row < rows))
        });
        let Some(row) = row else { return Ok(None) };
        let at = |dataset| Ok::<f64, StoreError>(self.rows::<f64>(dataset, row..row + 1)?[0]);
        Ok(Some(Losses {
            train: at(&c.train)?,
            train_accuracy: at(&c.train_accuracy)?,
            test: at(&c.test)?,
            test_accuracy: at(&c.test_accuracy)?,
            validation: f64::NAN,
            validation_accuracy: f64::NAN,
            train_class: Vec::new(),
        }))
    }

    /// Checks how far the run has come, and makes its new steps readable.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub fn refresh(&self) -> Result<RunState, StoreError> {
        // Status before committed length: a run seen as finished is then seen with all its steps.
        let status: u8 = self.latest("state/status")?;
        let bounds = self.bounds()?;
        let message = bounds.names(&self.file, "state/message")?;
        let heartbeat: f64 = self.latest("state/heartbeat")?;
        let paused = self.tells_pauses && self.latest::<u8>("state/paused")? != 0;
        let committed: u64 = self.latest("state/committed")?;
        let steps = self.readable(committed, &bounds)?;
        let status = Status::from_code(status)
            .ok_or_else(|| self.damaged(format!("state/status is {status}")))?;
        let (host, process) = self.writer(&bounds)?;
        let held = match status {
            Status::Running => lock::is_held_by(&self.disk, &host, process),
            _ => Some(false),
        };
        // Between the two reads it may have ended normally.
        if status == Status::Running
            && held == Some(false)
            && self.latest::<u8>("state/status")? != status.code()
        {
            return self.refresh();
        }
        Ok(RunState {
            status,
            marked: self.marked,
            message: message.concat(),
            committed: steps,
            paused: paused && status == Status::Running,
            silent: self.silent(heartbeat),
            held,
            host,
            process,
        })
    }

    /// The number of committed steps that all datasets have. Making new rows readable costs time for every dataset, so
    /// it is done only when there are any.
    fn readable(&self, committed: u64, bounds: &Bounds) -> Result<u64, StoreError> {
        let (seen, steps) = self.seen.get();
        if committed == seen && steps == seen {
            return Ok(steps);
        }
        let mut steps = committed;
        let columns = self.columns.each_with(self.held_out.as_deref());
        for ((dataset, extra), bound) in columns.zip(&self.row_bounds) {
            self.renew(dataset)?;
            let rows = dataset.shape().first().copied().unwrap_or(0) as u64;
            // Ignore rows that the file cannot hold, whatever the dataset claims.
            let rows = rows.min(bound.rows(bounds));
            steps = steps.min(rows.saturating_sub(extra));
        }
        self.seen.set((committed, steps));
        Ok(steps)
    }

    /// The writer's host and its process id there; empty and 0 in older files.
    fn writer(&self, bounds: &Bounds) -> Result<(String, u64), StoreError> {
        if !self.file.link_exists("state/host") || !self.file.link_exists("state/process") {
            return Ok((String::new(), 0));
        }
        let host = bounds.names(&self.file, "state/host")?.concat();
        Ok((host, self.latest("state/process")?))
    }

    /// Seconds since the writer's last sign of life. The two clocks may differ and jump, so they are compared only
    /// once; afterwards, the time since the heartbeat last changed counts.
    fn silent(&self, heartbeat: f64) -> f64 {
        match self.heartbeat.get() {
            Some(last) if last.value.to_bits() == heartbeat.to_bits() => {
                last.age_then + last.seen.elapsed().as_secs_f64()
            }
            last => {
                let age = match last {
                    None => (unix_seconds() - heartbeat).max(0.0),
                    Some(_) => 0.0,
                };
                self.heartbeat.set(Some(Heartbeat {
                    value: heartbeat,
                    seen: Instant::now(),
                    age_then: age,
                }));
                age
            }
        }
    }

    /// The losses at `θ_0`, if they have been committed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn start(&self) -> Result<Option<Losses>, StoreError> {
        let c = &self.columns;
        for dataset in [&c.train, &c.train_accuracy, &c.test, &c.test_accuracy] {
            self.renew(dataset)?;
        }
        self.losses(0)
    }

    /// Summaries of the steps in `range`, which must be committed.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn steps(&self, range: Range<u64>) -> Result<Vec<StepSummary>, StoreError> {
        let index =
            |step: u64| usize::try_from(step).map_err(|_| self.damaged(format!("step {step}")));
        let (from, to) = (index(range.start)?, index(range.end)?);
        let c = &self.columns;
        let reals = |dataset, rows| self.rows::<f64>(dataset, rows);
        let counts = |dataset, rows| self.rows::<u64>(dataset, rows);
        let train = reals(&c.train, from..to + 1)?;
        let train_accuracy = reals(&c.train_accuracy, from + 1..to + 1)?;
        let test = reals(&c.test, from + 1..to + 1)?;
        let test_accuracy = reals(&c.test_accuracy, from + 1..to + 1)?;
        let epoch = reals(&c.epoch, from..to)?;
        let learning_rate = reals(&c.learning_rate, from..to)?;
        let batch_loss = reals(&c.batch_loss, from..to)?;
        let seconds = reals(&c.seconds, from..to)?;
        let gradient_evals = counts(&c.gradient_evals, from..to)?;
        let segments = counts(&c.segments, from..to)?;
        let total = reals(&c.total, from..to)?;
        let residual = reals(&c.residual, from..to)?;
        let layer = reals(&c.layer, from..to)?;
        let layer_error = reals(&c.layer_error, from..to)?;
        let helped = counts(&c.helped, from..to)?;
        let hurt = counts(&c.hurt, from..to)?;
        let update_flips = counts(&c.update_flips, from..to)?;
        let gradient_flips = counts(&c.gradient_flips, from..to)?;
        let held_out = self
            .held_out
            .as_ref()
            .map(|d| reals(d, from..to))
            .transpose()?;

        let by_layer = [
            ("lca/helped", &helped),
            ("lca/hurt", &hurt),
            ("motion/update_flips", &update_flips),
            ("motion/gradient_flips", &gradient_flips),
        ];
        for (name, counts) in by_layer {
            self.check_counts(name, counts)?;
        }
        for (name, counts) in [
            ("step/gradient_evals", &gradient_evals),
            ("step/segments", &segments),
        ] {
            if let Some(count) = counts.iter().find(|&&count| count > MOST_GRADIENTS) {
                return Err(self.damaged(format!("{name} has {count} for a single step")));
            }
        }

        let layers = self.header.layout.layers.len();
        let summary = |(t, step): (usize, u64)| {
            let of_layer = |at: usize| LayerSummary {
                lca_error: layer_error[at],
                helped: helped[at],
                hurt: hurt[at],
                update_flips: update_flips[at],
                gradient_flips: gradient_flips[at],
                held_out_lca: held_out.as_ref().map_or(f64::NAN, |a| a[at]),
                ..LayerSummary::of_step(layer[at])
            };
            let after = Losses {
                train: train[t + 1],
                train_accuracy: train_accuracy[t],
                test: test[t],
                test_accuracy: test_accuracy[t],
                ..Losses::default()
            };
            StepSummary {
                epoch: epoch[t],
                learning_rate: learning_rate[t],
                batch_loss: batch_loss[t],
                seconds: seconds[t],
                gradient_evals: gradient_evals[t],
                segments: segments[t],
                loss_before: train[t],
                total: total[t],
                layers: (t * layers..(t + 1) * layers).map(of_layer).collect(),
                ..StepSummary::default()
            }
            .at_step(step, &after, residual[t], self.header.tolerance)
        };
        Ok((0..to - from).zip(range).map(summary).collect())
    }

    /// Checks that no layer counts more parameters than it has: sums of counts must not overflow.
    fn check_counts(&self, name: &str, counts: &[u64]) -> Result<(), StoreError> {
        let layers = self.header.layout.layers.iter().cycle();
        let wrong = counts
            .iter()
            .zip(layers)
            .find(|(count, layer)| **count > layer.range.len() as u64);
        match wrong {
            None => Ok(()),
            Some((count, layer)) => Err(self.damaged(format!(
                "{name} counts {count} parameters in layer {}, which has {}",
                layer.name,
                layer.range.len()
            ))),
        }
    }

    /// All values of some rows of a dataset, row by row.
    pub(super) fn rows<T: H5Type>(
        &self,
        dataset: &Dataset,
        rows: Range<usize>,
    ) -> Result<Vec<T>, StoreError> {
        let row_values: usize = dataset.shape().iter().skip(1).product();
        self.check_room(dataset, rows.len(), row_values)?;
        read_rows(dataset, rows).doing(&self.path, || format!("read {}", dataset.name()))
    }

    /// All values of a dataset.
    pub(super) fn values<T: H5Type>(&self, name: &str) -> Result<Vec<T>, StoreError> {
        let dataset = self.dataset(name)?;
        self.bounds()?.check(&dataset, name)?;
        (dataset.read_raw()).doing(&self.path, || format!("read {name}"))
    }

    /// Checks that the file can hold the lists of steps, which a writer reads completely.
    pub(super) fn check_lists(&self) -> Result<(), StoreError> {
        for name in ["lca/param_step", "weight/step", "param/step"] {
            if self.has_object(name) {
                self.bounds()?.check(&*self.dataset(name)?, name)?;
            }
        }
        Ok(())
    }

    /// Whether there is an object of this name; HDF5 requires checking every group on the path.
    pub(super) fn has_object(&self, name: &str) -> bool {
        let ends = name.match_indices('/').map(|(end, _)| end);
        ends.chain([name.len()])
            .all(|end| self.file.link_exists(&name[..end]))
    }

    /// Checks that the file can hold this many rows of a dataset with `row_values` values each, before memory is
    /// allocated for them.
    pub(super) fn check_room(
        &self,
        dataset: &Dataset,
        rows: usize,
        row_values: usize,
    ) -> Result<(), StoreError> {
        let bounds = self.bounds()?;
        let bound = RowBound::for_dataset(dataset, row_values);
        let bound = bound.doing(&self.path, || {
            format!("read the type of {}", dataset.name())
        })?;
        if rows as u64 <= bound.rows(&bounds) {
            return Ok(());
        }
        let name = dataset.name();
        let name = name.trim_start_matches('/');
        Err(self.damaged(format!(
            "{name} claims {rows} rows of {row_values} values, too many for the {} bytes of the file",
            bounds.len()
        )))
    }

    /// The bounds given by the current length of the file.
    pub(super) fn bounds(&self) -> Result<Bounds<'_>, StoreError> {
        Bounds::measure(&self.path, &self.disk)
    }

    /// The current value of a single-value dataset in `state/`.
    pub(super) fn latest<T: H5Type + Copy>(&self, name: &str) -> Result<T, StoreError> {
        let values: Vec<T> = self.bounds()?.vector(&self.file, name)?;
        values
            .first()
            .copied()
            .ok_or_else(|| self.damaged(format!("{name} is empty")))
    }

    pub(super) fn damaged(&self, what: String) -> StoreError {
        StoreError::Damaged {
            path: self.path.clone(),
            what,
        }
    }
}

/// Device, inode, length and time of the last change of a file.
type FileStamp = (u64, u64, u64, SystemTime);

fn stamp(disk: &fs::File) -> io::Result<FileStamp> {
    let there = disk.metadata()?;
    Ok((there.dev(), there.ino(), there.len(), there.modified()?))
}

impl SummaryDatasets {
    /// Every dataset as in [`lengths`](Self::lengths), and the held-out one if there is one.
    fn each_with<'a>(
        &'a self,
        held_out: Option<&'a Dataset>,
    ) -> impl Iterator<Item = (&'a Dataset, u64)> {
        self.lengths().chain(held_out.map(|d| (d, 0)))
    }

    /// Every dataset, with the number of rows it has beyond one per step.
    fn lengths(&self) -> impl Iterator<Item = (&Dataset, u64)> {
        let losses: [&Dataset; 4] = [
            &self.train,
            &self.train_accuracy,
            &self.test,
            &self.test_accuracy,
        ];
        let steps: [&Dataset; 14] = [
            &self.epoch,
            &self.learning_rate,
            &self.batch_loss,
            &self.seconds,
            &self.gradient_evals,
            &self.segments,
            &self.total,
            &self.residual,
            &self.layer,
            &self.layer_error,
            &self.helped,
            &self.hurt,
            &self.update_flips,
            &self.gradient_flips,
        ];
        losses
            .into_iter()
            .map(|d| (d, 1))
            .chain(steps.into_iter().map(|d| (d, 0)))
    }
}

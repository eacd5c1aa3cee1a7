//! Shared helpers for tests of whole runs: running the program, watching a file that it writes, and reading a run file
//! with the HDF5 library alone.

#![allow(dead_code, reason = "every test binary uses its own part of this")]

pub mod kills;
pub mod skip;
pub mod sshd;
pub mod terminal;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hdf5::types::{FixedUnicode, FloatSize, IntSize, TypeDescriptor, VarLenUnicode};
use hdf5::{Dataset, Group, OpenMode};
use lcascope::record::StepSummary;
use lcascope::store::{RunReader, RunState};
use tempfile::TempDir;

/// Flags of a small run, without `--steps` or `--epochs`.
pub const SMALL: &[&str] = &["--quiet", "--train-size", "600", "--test-size", "100"];

/// A network of two layers.
pub const TINY: &str = "name = 'tiny'\n[[layer]]\nkind = 'linear'\nunits = 5\n\
                        [[layer]]\nkind = 'linear'\nunits = 10\n";

/// The wait for something that must happen, after which the test fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program, without a terminal.
pub fn lcascope() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcascope"));
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache");
    command.stdin(Stdio::null()).env_remove("NO_COLOR");
    command.env("XDG_CACHE_HOME", cache);
    command
}

/// `lcascope train` with [`SMALL`] flags, into `folder/name`.
pub fn train_command(folder: &Path, name: &str, flags: &[&str]) -> (Command, PathBuf) {
    let path = folder.join(name);
    let mut command = lcascope();
    command
        .current_dir(folder)
        .arg("train")
        .args(SMALL)
        .args(flags)
        .arg("-o")
        .arg(&path);
    (command, path)
}

/// Trains a small run to its end; returns its file.
pub fn train(folder: &Path, name: &str, flags: &[&str]) -> PathBuf {
    let (command, path) = train_command(folder, name, flags);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, Some(0), "{flags:?}: {}", outcome.stderr);
    path
}

/// Trains the network [`TINY`] as the flags say; returns `whole.h5`, to be damaged.
pub fn train_tiny(folder: &Path, flags: &[&str]) -> PathBuf {
    std::fs::write(folder.join("tiny.toml"), TINY).unwrap();
    let flags = [&["tiny.toml", "--trace=8"], flags].concat();
    train(folder, "whole.h5", &flags)
}

/// The program as a process that reads a file for others.
pub fn reader(path: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lcascope"));
    command.arg("reader").args(flags).arg("--").arg(path);
    command
}

/// A temporary folder.
pub fn folder() -> TempDir {
    TempDir::new().unwrap()
}

/// Whether a dataset may differ: it depends on the clock or the process, or exists only in runs that were stopped.
fn may_differ(path: &str) -> bool {
    let clock = ["state/heartbeat", "state/process"];
    clock.contains(&path) || path.ends_with("/seconds") || path.starts_with("checkpoint/")
}

/// Checks that two runs have the same arrays, with identical bits in all that follow from their configuration.
#[track_caller]
pub fn assert_same_numbers(first: &Path, second: &Path) {
    let (first, second) = (RunFile::open(first), RunFile::open(second));
    let paths = first.paths();
    assert!(paths.len() > 60);
    assert_eq!(paths, second.paths());
    for path in paths.iter().filter(|path| !may_differ(path)) {
        // Not `assert_eq`: nobody wants to read a million numbers.
        assert!(first.bits(path) == second.bits(path), "{path} differs");
    }
}

/// Numeric columns of a CSV; text, which is not tested, becomes NaN.
pub fn columns(text: &[u8]) -> HashMap<String, Vec<f64>> {
    let mut reader = ::csv::Reader::from_reader(text);
    let names: Vec<String> = reader
        .headers()
        .unwrap()
        .iter()
        .map(str::to_owned)
        .collect();
    let mut columns: HashMap<String, Vec<f64>> = HashMap::new();
    for record in reader.records() {
        for (name, text) in names.iter().zip(&record.unwrap()) {
            let value = text.parse().unwrap_or(f64::NAN);
            columns.entry(name.clone()).or_default().push(value);
        }
    }
    columns
}

/// The outcome of a program that has ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Runs a command to its end. It must not panic.
    pub fn of(mut command: Command) -> Self {
        let output = command.output().unwrap();
        let outcome = Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(!outcome.stderr.contains("panicked"), "{outcome:?}");
        outcome
    }

    /// Checks the exit code and what standard error must contain.
    #[track_caller]
    pub fn fails(&self, code: i32, needles: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        for needle in needles {
            assert!(self.stderr.contains(needle), "no `{needle}` in {self:?}");
        }
    }
}

/// A training in progress, which does not outlive the test.
pub struct Training {
    pub child: Child,
    pub path: PathBuf,
}

impl Training {
    /// Starts a small run that ends only when told to.
    pub fn endless(folder: &Path, name: &str, flags: &[&str]) -> Self {
        let endless = ["--steps", "100000000"];
        let (command, path) = train_command(folder, name, &[flags, &endless].concat());
        Self::start(command, path)
    }

    pub fn start(mut command: Command, path: PathBuf) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        Self { child, path }
    }

    /// Waits until the file can be opened, that is, until its header has been written.
    pub fn reader(&mut self) -> RunReader {
        patiently("the file to open", || {
            let ended = self.child.try_wait().unwrap();
            let reader = RunReader::open(&self.path);
            assert!(
                reader.is_ok() || ended.is_none(),
                "no run file, but {ended:?}"
            );
            reader.ok()
        })
    }

    /// Waits until more than `steps` steps are committed.
    pub fn grown(&mut self, reader: &RunReader, steps: u64) -> RunState {
        patiently("more steps", || {
            let ended = self.child.try_wait().unwrap();
            let state = reader.refresh().unwrap();
            let grown = state.committed > steps;
            assert!(grown || ended.is_none(), "{steps} steps and {ended:?}");
            grown.then_some(state)
        })
    }

    /// Sends a signal by its name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the end; returns the outcome.
    pub fn end(mut self) -> Outcome {
        let mut said = [String::new(), String::new()];
        if let Some(mut stdout) = self.child.stdout.take() {
            std::io::Read::read_to_string(&mut stdout, &mut said[0]).unwrap();
        }
        if let Some(mut stderr) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut said[1]).unwrap();
        }
        let [stdout, stderr] = said;
        Outcome {
            code: self.child.wait().unwrap().code(),
            stdout,
            stderr,
        }
    }

    /// Kills it with `SIGKILL`, so that none of its own code runs any more.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls until there is an answer.
pub fn patiently<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        sleep(Duration::from_millis(20));
    }
}

/// Checks that a summary of one step is complete: it is at its step, and its sums close.
#[track_caller]
pub fn assert_closes(summary: &StepSummary, step: u64, loss_before: Option<f64>) {
    assert_eq!((summary.first, summary.end), (step, step + 1));
    if let Some(loss) = loss_before {
        assert_eq!(summary.loss_before.to_bits(), loss.to_bits(), "step {step}");
    }
    let layers: f64 = summary.layers.iter().map(|layer| layer.lca).sum();
    assert_close(layers, summary.total, 1e-12, &format!("step {step}"));
    let change = summary.loss_after - summary.loss_before;
    let closed = summary.total + summary.residual;
    assert_close(closed, change, 1e-12, &format!("step {step}"));
    assert!(summary.loss_after > 0.0 && summary.gradient_evals > 0);
}

#[track_caller]
pub fn assert_close(a: f64, b: f64, tolerance: f64, what: &str) {
    let error = (a - b).abs();
    assert!(
        error <= tolerance,
        "{what}: {a} and {b} differ by {error:e}"
    );
}

/// Opens a file without the library's own lock, which a child started meanwhile by another test would inherit and hold
/// after the file is closed.
pub fn open_as(path: &Path, mode: OpenMode) -> hdf5::Result<hdf5::File> {
    hdf5::File::with_options()
        .with_fapl(|access| access.file_locking(false))
        .open_as(path, mode)
}

/// Opens a file for writing, as [`open_as`] does.
pub fn open_rw(path: &Path) -> hdf5::Result<hdf5::File> {
    open_as(path, OpenMode::ReadWrite)
}

/// A run file as seen by any HDF5 program.
pub struct RunFile(pub hdf5::File);

impl RunFile {
    pub fn open(path: &Path) -> Self {
        Self(open_as(path, OpenMode::Read).unwrap())
    }

    /// Opens a run whose writer may have been killed.
    pub fn open_any(path: &Path) -> Self {
        let plain = open_as(path, OpenMode::Read);
        Self(plain.unwrap_or_else(|_| open_as(path, OpenMode::ReadSWMR).unwrap()))
    }

    /// Paths of all datasets, sorted.
    pub fn paths(&self) -> Vec<String> {
        fn walk(group: &Group, paths: &mut Vec<String>) {
            for dataset in group.datasets().unwrap() {
                paths.push(dataset.name().trim_start_matches('/').to_owned());
            }
            for group in group.groups().unwrap() {
                walk(&group, paths);
            }
        }
        let mut paths = Vec::new();
        walk(&self.0, &mut paths);
        paths.sort();
        paths
    }

    #[track_caller]
    pub fn dataset(&self, path: &str) -> Dataset {
        let dataset = self.0.dataset(path);
        dataset.unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// A dataset of floating-point numbers.
    #[track_caller]
    pub fn reals(&self, path: &str) -> Table<f64> {
        self.table(path)
    }

    /// A dataset of counts.
    #[track_caller]
    pub fn counts(&self, path: &str) -> Table<u64> {
        self.table(path)
    }

    /// A dataset of 32-bit floating-point numbers, unconverted.
    #[track_caller]
    pub fn singles(&self, path: &str) -> Table<f32> {
        self.table(path)
    }

    #[track_caller]
    fn table<T: hdf5::H5Type>(&self, path: &str) -> Table<T> {
        let dataset = self.dataset(path);
        Table {
            shape: dataset.shape(),
            values: dataset.read_raw().unwrap(),
        }
    }

    /// A dataset of names.
    #[track_caller]
    pub fn names(&self, path: &str) -> Vec<String> {
        let names: Vec<FixedUnicode<1024>> = self.dataset(path).read_raw().unwrap();
        names.iter().map(|name| name.as_str().to_owned()).collect()
    }

    /// A root attribute with text.
    #[track_caller]
    pub fn text(&self, attribute: &str) -> String {
        let attribute = self.0.attr(attribute).unwrap();
        attribute
            .read_scalar::<VarLenUnicode>()
            .unwrap()
            .to_string()
    }

    /// A root attribute with a whole number.
    #[track_caller]
    pub fn number(&self, attribute: &str) -> u64 {
        self.0.attr(attribute).unwrap().read_scalar().unwrap()
    }

    /// A dataset's values as bits, for any type: `NaN` equals `NaN`, but `0.0` differs from `-0.0`.
    pub fn bits(&self, path: &str) -> (Vec<usize>, String, Vec<u64>) {
        let dataset = self.dataset(path);
        let kind = type_name(&dataset);
        let bits = match kind.as_str() {
            "f64" => (dataset.read_raw::<f64>().unwrap().iter())
                .map(|x| x.to_bits())
                .collect(),
            "f32" => (dataset.read_raw::<f32>().unwrap().iter())
                .map(|x| u64::from(x.to_bits()))
                .collect(),
            "text" => (self.names(path).iter())
                .flat_map(|name| name.bytes().map(u64::from).chain([0]))
                .collect(),
            _ => dataset.read_raw::<u64>().unwrap(),
        };
        (dataset.shape(), kind, bits)
    }
}

/// Writes the same run in the oldest format that the library can write, which uses other structures for everything.
pub fn old_format(whole: &Path, path: &Path) {
    let from = RunFile::open(whole);
    let to = hdf5::File::create(path).unwrap();
    for name in from.0.attr_names().unwrap() {
        let kind = from.0.attr(&name).unwrap();
        if let Ok(text) = kind.read_scalar::<VarLenUnicode>() {
            let attribute = to.new_attr::<VarLenUnicode>().create(&*name).unwrap();
            attribute.write_scalar(&text).unwrap();
        } else if name == "tolerance" {
            let value: f64 = kind.read_scalar().unwrap();
            let attribute = to.new_attr::<f64>().create(&*name).unwrap();
            attribute.write_scalar(&value).unwrap();
        } else {
            let attribute = to.new_attr::<u64>().create(&*name).unwrap();
            attribute.write_scalar(&from.number(&name)).unwrap();
        }
    }
    for path in from.paths() {
        let dataset = from.dataset(&path);
        match type_name(&dataset).as_str() {
            "f64" => copy_dataset::<f64>(&dataset, &to, &path),
            "f32" => copy_dataset::<f32>(&dataset, &to, &path),
            "u64" => copy_dataset::<u64>(&dataset, &to, &path),
            "u32" => copy_dataset::<u32>(&dataset, &to, &path),
            "u8" => copy_dataset::<u8>(&dataset, &to, &path),
            "text" if path == "state/message" => {
                copy_dataset::<FixedUnicode<1024>>(&dataset, &to, &path);
            }
            _ => copy_dataset::<FixedUnicode<64>>(&dataset, &to, &path),
        }
    }
    to.close().unwrap();
}

fn copy_dataset<T: hdf5::H5Type>(dataset: &hdf5::Dataset, to: &hdf5::File, path: &str) {
    let values = dataset.read_dyn::<T>().unwrap();
    let builder = to.new_dataset_builder().with_data(&values);
    match dataset.chunk() {
        Some(chunk) if !values.is_empty() => {
            let fitting = chunk.iter().zip(values.shape()).map(|(&c, &n)| c.min(n));
            let chunk: Vec<usize> = fitting.collect();
            builder.chunk(chunk).deflate(1).create(path).unwrap();
        }
        _ => {
            builder.create(path).unwrap();
        }
    }
}

/// The run format's name for a dataset's type.
pub fn type_name(dataset: &Dataset) -> String {
    match dataset.dtype().unwrap().to_descriptor().unwrap() {
        TypeDescriptor::Float(FloatSize::U8) => "f64".to_owned(),
        TypeDescriptor::Float(FloatSize::U4) => "f32".to_owned(),
        TypeDescriptor::Unsigned(IntSize::U8) => "u64".to_owned(),
        TypeDescriptor::Unsigned(IntSize::U4) => "u32".to_owned(),
        TypeDescriptor::Unsigned(IntSize::U1) => "u8".to_owned(),
        TypeDescriptor::FixedUnicode(_) | TypeDescriptor::FixedAscii(_) => "text".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A dataset in memory, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Table<T> {
    pub shape: Vec<usize>,
    pub values: Vec<T>,
}

impl<T> Table<T> {
    pub fn rows(&self) -> usize {
        self.shape[0]
    }

    /// All values at index `t` of the first axis.
    pub fn row(&self, t: usize) -> &[T] {
        let len: usize = self.shape[1..].iter().product();
        &self.values[t * len..][..len]
    }
}

/// The layout of the parameters in the file.
pub struct Layout {
    pub layers: usize,
    pub params: usize,
    /// Layer, first parameter and size of every tensor.
    pub tensors: Vec<(usize, usize, usize)>,
    /// The layer of every unit.
    pub unit_layer: Vec<usize>,
}

impl Layout {
    pub fn of(file: &RunFile) -> Self {
        let sizes = |path: &str| -> Vec<usize> {
            let counts = file.counts(path).values;
            counts.into_iter().map(|n| n.try_into().unwrap()).collect()
        };
        let layer = sizes("layout/tensor/layer");
        let (offset, size) = (sizes("layout/tensor/offset"), sizes("layout/tensor/size"));
        Self {
            layers: file.names("layout/layer/name").len(),
            params: sizes("layout/layer/params").iter().sum(),
            tensors: (0..layer.len())
                .map(|k| (layer[k], offset[k], size[k]))
                .collect(),
            unit_layer: sizes("layout/unit/layer"),
        }
    }

    /// The layer of every parameter.
    pub fn layer_of_params(&self) -> Vec<usize> {
        let tensors = self.tensors.iter();
        tensors.flat_map(|&(l, _, size)| vec![l; size]).collect()
    }
}

/// Sums `values` by group, together with the sums of their magnitudes, which bound rounding errors.
pub fn sums_by(groups: usize, values: impl Iterator<Item = (usize, f64)>) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); groups];
    for (group, value) in values {
        sums[group].0 += value;
        sums[group].1 += value.abs();
    }
    sums
}

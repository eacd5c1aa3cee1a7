//! Exports from the screen: tables and pictures of its contents, made in a child process ([`sandbox::export`]), which may
//! crash on a damaged file and can read the file of a training in this process.
//!
//! Files are named after the run, the view, the layer and unit (if only one is shown) and the steps, for example
//! `run-parameters-conv1-unit4-0-400.csv`. They are written beside the run or, if that folder is read-only or on
//! another machine, in the working directory. Runs that are compared have a file each; on the clipboard they are one
//! table, whose first column names the run.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::fs::{Access, access};

use super::export::{ExportRequest, cannot_write};
use super::remote::RemoteRun;
use super::{sandbox, whole_file};
use crate::app::{Depth, Effect, Screen, Shown};
use crate::export::{Format, UnknownFormat};
use crate::sheet::{RequestChoice, SheetRequest, View};
use crate::text::harmless;
use crate::tui::{Outcome, Outside};

/// A run that can be exported.
#[derive(Clone, Debug)]
pub struct ExportedRun {
    /// Its file; of one on another machine, only the name.
    pub file: PathBuf,
    pub there: Option<RemoteRun>,
    /// The names of its layers.
    pub layers: Vec<String>,
}

/// Runs the exports that the screen asks for, each in a thread.
pub struct ExportJobs {
    sources: Vec<ExportedRun>,
    said: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    threads: Vec<JoinHandle<()>>,
}

impl ExportJobs {
    /// Creates one for the run that is shown, followed by those compared with it, if any.
    #[must_use]
    pub fn new(sources: Vec<ExportedRun>) -> Self {
        let (said, outcomes) = unbounded();
        Self {
            sources,
            said,
            outcomes,
            threads: Vec::new(),
        }
    }

    /// The export jobs for the runs shown.
    fn jobs(&self, shown: &Shown) -> Vec<ExportJob> {
        let compares = !shown.compared.is_empty();
        let view = if compares {
            View::Layers
        } else {
            view_of(shown)
        };
        let ranges = std::iter::once(&shown.steps).chain(&shown.compared);
        let each = self.sources.iter().zip(ranges);
        let (unit, parameter) = match shown.depth {
            Depth::Unit { unit, .. } => (Some(unit), None),
            Depth::Parameter { parameter, .. } => (None, Some(parameter)),
            _ => (None, None),
        };
        // Runs are always compared by all of their layers.
        let layer = shown.layer.filter(|_| !compares);
        let layer = layer.filter(|_| view.refuses(RequestChoice::Layer).is_none());
        let job = |(source, steps): (&ExportedRun, &Range<u64>)| ExportJob {
            file: source.file.clone(),
            there: source.there.clone(),
            layer: layer.and_then(|layer| source.layers.get(layer).cloned()),
            request: SheetRequest {
                view,
                steps: steps.clone(),
                every: 1,
                layer,
                unit: unit.filter(|_| view.refuses(RequestChoice::Unit).is_none()),
                parameter,
            },
        };
        let jobs = each.map(job);
        jobs.filter(|job| !job.request.steps.is_empty()).collect()
    }
}

impl Drop for ExportJobs {
    /// Finishes requested exports before the program ends.
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Outside for ExportJobs {
    fn begin(&mut self, effect: Effect) -> String {
        type RunExports = Box<dyn Fn(&[ExportJob]) -> Outcome + Send>;
        let (shown, work): (Shown, RunExports) = match effect {
            Effect::Copy(shown) => (shown, Box::new(copy_tables)),
            Effect::Export(shown, format) => {
                let formats = match format.as_deref().map(str::parse) {
                    Some(Ok(format)) => vec![format],
                    Some(Err(unknown)) => return UnknownFormat::to_string(&unknown),
                    None => vec![Format::Csv, Format::Svg],
                };
                (shown, Box::new(move |jobs| write_exports(jobs, &formats)))
            }
        };
        let jobs = self.jobs(&shown);
        if jobs.is_empty() {
            return "there are no steps yet".to_owned();
        }
        self.threads.retain(|thread| !thread.is_finished());
        let said = self.said.clone();
        let thread = thread::Builder::new().name("export".to_owned());
        match thread.spawn(move || drop(said.send(work(&jobs)))) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => return format!("cannot start a thread: {error}"),
        }
        "reading file ...".to_owned()
    }

    fn outcomes(&self) -> Receiver<Outcome> {
        self.outcomes.clone()
    }
}

/// The view with the numbers of a screen.
fn view_of(shown: &Shown) -> View {
    match (shown.depth, shown.screen) {
        (Depth::Layer(_), _) => View::Units,
        (Depth::Unit { .. }, _) => View::Parameters,
        (Depth::Parameter { .. }, _) => View::Parameter,
        (_, Screen::Overview) => View::Layers,
        (_, Screen::Decomposition) => View::Decomposition,
        (_, Screen::Oscillation) => View::Oscillation,
        (_, Screen::Synchronisation) => View::Synchronisation,
        (_, Screen::Classes) => View::Classes,
        (_, Screen::Distribution) => View::Distribution,
        (_, Screen::HeldOut) => View::HeldOut,
        (_, Screen::Run) => View::Overview,
    }
}

/// The export of one view of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ExportJob {
    file: PathBuf,
    there: Option<RemoteRun>,
    request: SheetRequest,
    /// The name of the requested layer.
    layer: Option<String>,
}

impl ExportJob {
    /// Writes the view to `output`, or returns its content.
    fn run(&self, format: Format, output: Option<&Path>) -> Result<Vec<u8>, String> {
        let written_there = output.filter(|_| self.there.is_none());
        let request = ExportRequest {
            sheet: self.request.clone(),
            format,
            output: written_there.map(|path| path.as_os_str().to_owned()),
        };
        let content = sandbox::export(&self.file, self.there.as_ref(), request)
            .map_err(|error| harmless(&error.to_string()))?;
        if let (Some(output), Some(_)) = (output, &self.there) {
            whole_file::write(output, None, |out| out.write_all(&content))
                .map_err(|error| cannot_write(output, &error).to_string())?;
        }
        Ok(content)
    }

    /// Unused file names that differ only in their format, in a folder that can be written.
    fn outputs(&self, formats: &[Format]) -> Vec<PathBuf> {
        let beside = self.file.parent().unwrap_or(Path::new(""));
        let there = if beside.as_os_str().is_empty() {
            Path::new(".")
        } else {
            beside
        };
        let folder = match access(there, Access::WRITE_OK) {
            Ok(()) => beside,
            Err(_) => Path::new(""),
        };
        let run = stem(&self.file).to_string_lossy();
        let of = match (&self.layer, self.request.parameter) {
            (Some(layer), _) => match self.request.unit {
                None => format!("-{}", plain(layer)),
                Some(unit) => format!("-{}-unit{unit}", plain(layer)),
            },
            (None, Some(parameter)) => format!("-{parameter}"),
            (None, None) => String::new(),
        };
        let (view, Range { start, end }) = (self.request.view, &self.request.steps);
        let names = |more: &str| -> Vec<PathBuf> {
            let name =
                |format| folder.join(format!("{run}-{view}{of}-{start}-{end}{more}.{format}"));
            formats.iter().map(name).collect()
        };
        let more = (2..).map(|n| names(&format!("-{n}")));
        let mut more = std::iter::once(names("")).chain(more);
        let free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
        let free = more.find(|paths| paths.iter().all(free));
        free.unwrap_or_else(|| names(""))
    }
}

/// A layer's name, made safe for a file name.
fn plain(layer: &str) -> String {
    const LONGEST: usize = 60;
    let plain = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    layer.chars().take(LONGEST).map(plain).collect()
}

fn copy_tables(jobs: &[ExportJob]) -> Outcome {
    let mut tables = Vec::new();
    for job in jobs {
        match job.run(Format::Csv, None) {
            Ok(bytes) => tables.push(bytes),
            Err(why) => return Outcome::Said(why),
        }
    }
    let names = names(jobs);
    let of = |(job, name): (&ExportJob, &String)| {
        let Range { start, end } = job.request.steps;
        let last = end.saturating_sub(1);
        match jobs.len() {
            1 => format!("steps {start}-{last}"),
            _ => format!("steps {start}-{last} of {name}"),
        }
    };
    let of: Vec<String> = jobs.iter().zip(&names).map(of).collect();
    let text = match &tables[..] {
        [only] => Ok(String::from_utf8_lossy(only).into_owned()),
        _ => join_tables(&names, &tables),
    };
    match (text, jobs.first()) {
        (Ok(text), Some(job)) => Outcome::Text {
            text,
            what: format!("{} table ({}, CSV)", job.request.view, of.join(" and ")),
        },
        (Err(error), _) => Outcome::Said(error.to_string()),
        (_, None) => Outcome::Said("there are no steps yet".to_owned()),
    }
}

/// The names of the runs: file names, with folders if the names are equal.
fn names(jobs: &[ExportJob]) -> Vec<String> {
    let name = |job: &ExportJob| job.file.file_name().unwrap_or_default().to_owned();
    let short: Vec<_> = jobs.iter().map(name).collect();
    let differ = short.windows(2).all(|pair| pair[0] != pair[1]);
    let shown = |(job, name): (&ExportJob, &std::ffi::OsString)| {
        if differ {
            harmless(&name.to_string_lossy())
        } else {
            harmless(&job.file.display().to_string())
        }
    };
    jobs.iter().zip(&short).map(shown).collect()
}

/// Joins tables with the same columns into one, with the run's name as the first column.
fn join_tables(names: &[String], tables: &[Vec<u8>]) -> Result<String, csv::Error> {
    let mut out = csv::Writer::from_writer(Vec::new());
    for (index, (name, table)) in names.iter().zip(tables).enumerate() {
        let mut reader = csv::Reader::from_reader(&table[..]);
        if index == 0 {
            out.write_record(std::iter::once("run").chain(reader.headers()?.iter()))?;
        }
        for row in reader.records() {
            out.write_record(std::iter::once(name.as_str()).chain(row?.iter()))?;
        }
    }
    let bytes = out.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn write_exports(jobs: &[ExportJob], formats: &[Format]) -> Outcome {
    let mut written = Vec::new();
    for job in jobs {
        for (format, output) in formats.iter().zip(job.outputs(formats)) {
            match job.run(*format, Some(&output)) {
                Ok(_) => written.push(harmless(&output.display().to_string())),
                Err(why) => {
                    written.push(why);
                    return Outcome::Said(written.join("; "));
                }
            }
        }
    }
    Outcome::Said(format!("written: {}", written.join(", ")))
}

/// A run file's name without its extension, if that is one of HDF5's.
#[must_use]
pub fn stem(run: &Path) -> &OsStr {
    let hdf5 = |end: &OsStr| {
        ["h5", "hdf5"]
            .iter()
            .any(|known| end.eq_ignore_ascii_case(known))
    };
    let name = if run.extension().is_some_and(hdf5) {
        run.file_stem()
    } else {
        run.file_name()
    };
    name.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(screen: Screen, depth: Depth) -> Shown {
        Shown {
            screen,
            depth,
            layer: depth.layer(),
            steps: 3..9,
            compared: Vec::new(),
        }
    }

    fn desktop(folder: &Path) -> ExportJobs {
        let source = |name: &str| ExportedRun {
            file: folder.join(name),
            there: None,
            layers: vec!["a".to_owned(), "b".to_owned()],
        };
        ExportJobs::new(vec![source("one.h5"), source("two.h5")])
    }

    #[test]
    fn exports_have_the_view_on_the_screen() {
        let desktop = desktop(Path::new("/runs"));
        let jobs = desktop.jobs(&shown(Screen::Decomposition, Depth::Network));
        assert_eq!(jobs.len(), 1, "the other run is not in view");
        assert_eq!(
            (jobs[0].request.view, jobs[0].layer.as_deref()),
            (View::Decomposition, None)
        );
        let parameter = Depth::Parameter {
            layer: 1,
            unit: 0,
            parameter: 7,
        };
        let jobs = desktop.jobs(&shown(Screen::Overview, parameter));
        assert_eq!(
            (jobs[0].request.view, jobs[0].request.parameter),
            (View::Parameter, Some(7))
        );
        let unit = Depth::Unit { layer: 1, unit: 0 };
        let jobs = desktop.jobs(&shown(Screen::Overview, unit));
        assert_eq!(
            (
                jobs[0].request.view,
                jobs[0].layer.as_deref(),
                jobs[0].request.unit
            ),
            (View::Parameters, Some("b"), Some(0))
        );
        let mut both = shown(Screen::Classes, Depth::Network);
        both.compared.push(3..5);
        let jobs = desktop.jobs(&both);
        let steps: Vec<_> = jobs
            .iter()
            .map(|job| (job.request.view, job.request.steps.clone()))
            .collect();
        assert_eq!(steps, [(View::Layers, 3..9), (View::Layers, 3..5)]);
    }

    #[test]
    fn exports_replace_no_file_and_share_a_stem() {
        let folder = tempfile::tempdir().unwrap();
        let desktop = desktop(folder.path());
        let jobs = desktop.jobs(&shown(Screen::Overview, Depth::Network));
        let formats = [Format::Csv, Format::Svg];
        let names = |names: [&str; 2]| names.map(|name| folder.path().join(name)).to_vec();
        let first = jobs[0].outputs(&formats);
        assert_eq!(first, names(["one-layers-3-9.csv", "one-layers-3-9.svg"]));
        fs::write(&first[1], "mine").unwrap();
        let second = names(["one-layers-3-9-2.csv", "one-layers-3-9-2.svg"]);
        assert_eq!(jobs[0].outputs(&formats), second);
        let mut job = jobs[0].clone();
        job.layer = Some("a/b c".to_owned());
        job.file = folder.path().join("run.of.today");
        let named = folder.path().join("run.of.today-layers-a_b_c-3-9.csv");
        assert_eq!(job.outputs(&formats[..1]), [named]);
        (job.request.view, job.request.unit) = (View::Parameters, Some(4));
        let named = (folder.path()).join("run.of.today-parameters-a_b_c-unit4-3-9.csv");
        assert_eq!(job.outputs(&formats[..1]), [named]);
    }

    #[test]
    fn rows_of_two_runs_name_their_run() {
        let tables = [
            &b"layer,lca (nats)\n\"a,b\",-1\n"[..],
            b"layer,lca (nats)\nc,2\n",
        ];
        let tables = tables.map(<[u8]>::to_vec);
        let both = desktop(Path::new("/runs"));
        let mut shown = shown(Screen::Overview, Depth::Network);
        shown.compared.push(0..2);
        let mut jobs = both.jobs(&shown);
        assert_eq!(
            join_tables(&names(&jobs), &tables).unwrap(),
            "run,layer,lca (nats)\none.h5,\"a,b\",-1\ntwo.h5,c,2\n"
        );
        jobs[1].file = PathBuf::from("/others/one.h5");
        assert_eq!(names(&jobs), ["/runs/one.h5", "/others/one.h5"]);
        shown.compared[0] = 0..0;
        assert_eq!(both.jobs(&shown).len(), 1, "one has no steps yet");
    }

    #[test]
    fn requests_have_no_refused_choices() {
        let desktop = desktop(Path::new("/runs"));
        let (layer, unit, parameter) = (0, 0, 7);
        let depths = [
            Depth::Network,
            Depth::Layer(layer),
            Depth::Unit { layer, unit },
            Depth::Parameter {
                layer,
                unit,
                parameter,
            },
        ];
        for (screen, depth) in Screen::ALL.into_iter().flat_map(|s| depths.map(|d| (s, d))) {
            let job = &desktop.jobs(&shown(screen, depth))[0].request;
            let refused = |choice| job.view.refuses(choice).is_some();
            assert!(
                job.layer.is_none() || !refused(RequestChoice::Layer),
                "{job:?}"
            );
            assert!(
                job.unit.is_none() || !refused(RequestChoice::Unit),
                "{job:?}"
            );
            assert!(
                job.parameter.is_none() || !refused(RequestChoice::Parameter),
                "{job:?}"
            );
            let has = match job.view.required_choice() {
                Some((RequestChoice::Layer, _)) => job.layer.is_some(),
                Some((RequestChoice::Parameter, _)) => job.parameter.is_some(),
                _ => true,
            };
            assert!(has, "{job:?}");
        }
    }
}

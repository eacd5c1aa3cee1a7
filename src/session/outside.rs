//! What the screen has done by others: tables and pictures of what it shows, by `lcascope export` in a
//! process of its own, which may crash on a damaged file and reads that of a training in this process.
//!
//! Files are called after the run, the view and its steps, `run-layers-0-400.csv`, and lie beside the run
//! or, where nothing can be written there, in the working directory.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustix::fs::{Access, access};

use super::standing::harmless;
use crate::app::{Depth, Effect, Screen, Shown};
use crate::sheet::View;
use crate::tui::{Outcome, Outside};

/// A run whose numbers can be written.
#[derive(Clone, Debug)]
pub struct Source {
    pub file: PathBuf,
    /// Names of its layers.
    pub layers: Vec<String>,
}

/// Does what the screen asks for, a thread each.
pub struct Desktop {
    sources: Vec<Source>,
    said: Sender<Outcome>,
    outcomes: Receiver<Outcome>,
    threads: Vec<JoinHandle<()>>,
}

impl Desktop {
    /// For the run that is shown and, behind it, one that is compared with it.
    pub fn new(sources: Vec<Source>) -> Self {
        let (said, outcomes) = unbounded();
        Self {
            sources,
            said,
            outcomes,
            threads: Vec::new(),
        }
    }

    /// What to write of each run that is shown.
    fn jobs(&self, shown: &Shown) -> Vec<Job> {
        let view = match shown.compared {
            Some(_) => View::Layers,
            None => view_of(shown),
        };
        let ranges = [Some(shown.steps.clone()), shown.compared.clone()];
        let each = self.sources.iter().zip(ranges);
        let job = |(source, steps): (&Source, Option<Range<u64>>)| {
            // Two runs are compared by all of their layers.
            let layer = shown.layer.filter(|_| shown.compared.is_none());
            Some(Job {
                file: source.file.clone(),
                view,
                steps: steps?,
                layer: layer.and_then(|layer| source.layers.get(layer).cloned()),
                parameter: match shown.depth {
                    Depth::Parameter { parameter, .. } => Some(parameter),
                    _ => None,
                },
            })
        };
        each.filter_map(job).collect()
    }
}

impl Drop for Desktop {
    /// What has been asked for is done before the program ends.
    fn drop(&mut self) {
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Outside for Desktop {
    fn begin(&mut self, effect: Effect) -> String {
        type Work = Box<dyn Fn(&[Job]) -> Outcome + Send>;
        let (shown, work): (Shown, Work) = match effect {
            Effect::Copy(shown) => (shown, Box::new(copied)),
            Effect::Export(shown, format) => {
                let formats = match format {
                    Some(format) => vec![format],
                    None => vec!["csv".to_owned(), "svg".to_owned()],
                };
                (shown, Box::new(move |jobs| exported(jobs, &formats)))
            }
        };
        let jobs = self.jobs(&shown);
        if jobs.iter().all(|job| job.steps.is_empty()) {
            return "there are no steps yet".to_owned();
        }
        self.threads.retain(|thread| !thread.is_finished());
        let said = self.said.clone();
        let thread = thread::Builder::new().name("export".to_owned());
        match thread.spawn(move || drop(said.send(work(&jobs)))) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => return format!("cannot start a thread: {error}"),
        }
        "reading the file ...".to_owned()
    }

    fn outcomes(&self) -> Receiver<Outcome> {
        self.outcomes.clone()
    }
}

/// The table with the numbers of a screen.
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

/// One view of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Job {
    file: PathBuf,
    view: View,
    steps: Range<u64>,
    layer: Option<String>,
    parameter: Option<usize>,
}

impl Job {
    /// `lcascope export` of it.
    fn command(&self, format: &str, output: &Path) -> Result<Command, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        let (from, to) = (self.steps.start, self.steps.end);
        command
            .arg("export")
            .args(["--view", &self.view.to_string()]);
        command.args(["--format", format, "--steps", &format!("{from}..{to}")]);
        if let Some(layer) = &self.layer {
            command.arg(format!("--layer={layer}"));
        }
        if let Some(parameter) = self.parameter {
            command.arg(format!("--parameter={parameter}"));
        }
        command
            .arg("--output")
            .arg(output)
            .arg("--")
            .arg(&self.file);
        command.stdin(Stdio::null());
        Ok(command)
    }

    /// What it prints; or the first line of why it does not.
    fn run(&self, format: &str, output: &Path) -> Result<Vec<u8>, String> {
        let done = self.command(format, output)?.output();
        let done = done.map_err(|error| format!("cannot start the export: {error}"))?;
        if done.status.success() {
            return Ok(done.stdout);
        }
        let why = String::from_utf8_lossy(&done.stderr);
        let why = why.lines().next().unwrap_or("the export failed");
        Err(harmless(why.trim_start_matches("error: ")))
    }

    /// A file that does not exist yet, where one can be written.
    fn output(&self, format: &str) -> PathBuf {
        let beside = self.file.parent().unwrap_or(Path::new(""));
        let there = match beside.as_os_str().is_empty() {
            true => Path::new("."),
            false => beside,
        };
        let folder = match access(there, Access::WRITE_OK) {
            Ok(()) => beside,
            Err(_) => Path::new(""),
        };
        let run = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let (view, from, to) = (self.view, self.steps.start, self.steps.end);
        let name = |more: &str| folder.join(format!("{run}-{view}-{from}-{to}{more}.{format}"));
        let names = (2..).map(|n| name(&format!("-{n}")));
        let mut names = std::iter::once(name("")).chain(names);
        let free = names.find(|path| fs::symlink_metadata(path).is_err());
        free.unwrap_or_else(|| name(""))
    }
}

fn copied(jobs: &[Job]) -> Outcome {
    let mut text = String::new();
    let mut views = Vec::new();
    for job in jobs.iter().filter(|job| !job.steps.is_empty()) {
        match job.run("csv", Path::new("-")) {
            Ok(bytes) => text += &String::from_utf8_lossy(&bytes),
            Err(why) => return Outcome::Said(why),
        }
        views.push(job.view.to_string());
    }
    let (from, to) = jobs
        .first()
        .map_or((0, 0), |job| (job.steps.start, job.steps.end));
    views.dedup();
    let of = match jobs.len() {
        1 => format!("of steps {from}..{to}"),
        _ => "of both runs".to_owned(),
    };
    let what = format!("{} {of} as CSV", views.join(" and "));
    Outcome::Text { text, what }
}

fn exported(jobs: &[Job], formats: &[String]) -> Outcome {
    let mut written = Vec::new();
    for job in jobs.iter().filter(|job| !job.steps.is_empty()) {
        for format in formats {
            let output = job.output(format);
            match job.run(format, &output) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(screen: Screen, depth: Depth) -> Shown {
        Shown {
            screen,
            depth,
            layer: depth.layer(),
            steps: 3..9,
            compared: None,
        }
    }

    fn desktop(folder: &Path) -> Desktop {
        let source = |name: &str| Source {
            file: folder.join(name),
            layers: vec!["a".to_owned(), "b".to_owned()],
        };
        Desktop::new(vec![source("one.h5"), source("two.h5")])
    }

    #[test]
    fn what_is_looked_at_is_what_is_written() {
        let desktop = desktop(Path::new("/runs"));
        let jobs = desktop.jobs(&shown(Screen::Decomposition, Depth::Network));
        assert_eq!(jobs.len(), 1, "the other run is not in view");
        assert_eq!(
            (jobs[0].view, jobs[0].layer.as_deref()),
            (View::Decomposition, None)
        );
        let parameter = Depth::Parameter {
            layer: 1,
            unit: 0,
            parameter: 7,
        };
        let jobs = desktop.jobs(&shown(Screen::Overview, parameter));
        assert_eq!(
            (jobs[0].view, jobs[0].parameter),
            (View::Parameter, Some(7))
        );
        let unit = Depth::Unit { layer: 1, unit: 0 };
        let jobs = desktop.jobs(&shown(Screen::Overview, unit));
        assert_eq!(
            (jobs[0].view, jobs[0].layer.as_deref()),
            (View::Parameters, Some("b"))
        );
        let mut both = shown(Screen::Classes, Depth::Network);
        both.compared = Some(3..5);
        let jobs = desktop.jobs(&both);
        let steps: Vec<_> = jobs
            .iter()
            .map(|job| (job.view, job.steps.clone()))
            .collect();
        assert_eq!(steps, [(View::Layers, 3..9), (View::Layers, 3..5)]);
    }

    #[test]
    fn no_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let desktop = desktop(folder.path());
        let jobs = desktop.jobs(&shown(Screen::Overview, Depth::Network));
        let first = jobs[0].output("csv");
        assert_eq!(first, folder.path().join("one-layers-3-9.csv"));
        fs::write(&first, "mine").unwrap();
        assert_eq!(
            jobs[0].output("csv"),
            folder.path().join("one-layers-3-9-2.csv")
        );
    }
}

//! The run files in a report, and which of them are repeats of one another.
//!
//! Runs are repeats if they differ only in the seed, and in what is recorded or the resources used: their network, data
//! and configuration are the same. A run with the seed of another is a copy: it would make the errors look smaller than
//! they are, and is left out of the means.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use super::ReportError;
use crate::export::{Exhibit, Table};
use crate::query::{Analyst, Answer, Query, Topic};
use crate::record::{Losses, RunHeader, StepSummary};
use crate::runs::are_repeats;
use crate::sheet::{self, SheetRequest, View};
use crate::store::{RunReader, RunState};
use crate::text::harmless;

/// An open run file.
pub struct RunFile {
    /// The file's name.
    pub name: String,
    pub state: RunState,
    reader: RunReader,
}

impl RunFile {
    /// Opens a run file.
    ///
    /// # Errors
    /// The file is not a run, or cannot be read.
    pub fn open(path: &Path) -> Result<Self, ReportError> {
        let reader = RunReader::open(path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Self {
            name: harmless(&name),
            state: reader.refresh()?,
            reader,
        })
    }

    #[must_use]
    pub fn header(&self) -> &RunHeader {
        self.reader.header()
    }
}

/// Runs of one configuration.
pub struct RunGroup<'a> {
    /// Runs with different seeds; the first one is shown where only one can be.
    pub runs: Vec<ReportedRun<'a>>,
    /// Runs with a seed that another one has.
    pub copies: Vec<&'a RunFile>,
    /// Number of steps that all of them have, which are the reported ones.
    pub steps: u64,
}

/// The reported steps of a run.
pub struct ReportedRun<'a> {
    pub run: &'a RunFile,
    pub steps: u64,
    /// Summary of all reported steps.
    pub whole: StepSummary,
    /// Losses before the first step.
    pub start: Option<Losses>,
    analyst: RefCell<Analyst>,
}

/// Groups runs by configuration, in order of appearance. Also returns the runs without steps.
///
/// # Errors
/// A run cannot be read.
pub fn grouped(runs: &[RunFile]) -> Result<(Vec<RunGroup<'_>>, Vec<&RunFile>), ReportError> {
    let (runs, empty): (Vec<&RunFile>, Vec<&RunFile>) =
        runs.iter().partition(|run| run.state.committed > 0);
    let mut kinds: Vec<(Vec<&RunFile>, Vec<&RunFile>)> = Vec::new();
    for run in runs {
        let same = kinds.iter_mut().find(|(known, _)| {
            let first = known.first();
            first.is_some_and(|first| are_repeats(first.header(), run.header()))
        });
        let Some((known, copies)) = same else {
            kinds.push((vec![run], Vec::new()));
            continue;
        };
        let seed = run.header().seed;
        if known.iter().any(|other| other.header().seed == seed) {
            copies.push(run);
        } else {
            known.push(run);
        }
    }
    let mut groups = Vec::new();
    for (runs, copies) in kinds {
        let steps = runs
            .iter()
            .map(|run| run.state.committed)
            .min()
            .unwrap_or(0);
        let shown = runs.into_iter().map(|run| ReportedRun::read(run, steps));
        groups.push(RunGroup {
            runs: shown.collect::<Result<_, _>>()?,
            copies,
            steps,
        });
    }
    Ok((groups, empty))
}

impl<'a> ReportedRun<'a> {
    fn read(run: &'a RunFile, steps: u64) -> Result<Self, ReportError> {
        let whole = run.reader.total(&(0..steps), &|| ())?;
        let nothing = || ReportError::Unknown(format!("{} has no steps", run.name));
        Ok(Self {
            run,
            steps,
            whole: whole.ok_or_else(nothing)?,
            start: run.reader.losses(0)?,
            analyst: RefCell::default(),
        })
    }

    #[must_use]
    pub fn header(&self) -> &'a RunHeader {
        self.run.reader.header()
    }

    /// Queries all reported steps, in this many columns. If the run lacks the data, the error says what to record.
    ///
    /// # Errors
    /// The file cannot be read, or lacks the data.
    pub fn query_all_steps(&self, topic: Topic, columns: u32) -> Result<Answer, ReportError> {
        self.ask_of(0..self.steps, topic, columns)
    }

    /// Like [`ask`](Self::query_all_steps), for some of the steps.
    ///
    /// # Errors
    /// As for [`ask`](Self::query_all_steps).
    pub fn ask_of(
        &self,
        steps: Range<u64>,
        topic: Topic,
        columns: u32,
    ) -> Result<Answer, ReportError> {
        let query = Query::about(topic, steps, columns);
        let answer = self
            .analyst
            .borrow_mut()
            .answer(&self.run.reader, &query, &|| false)?;
        match answer {
            Answer::Unknown(why) => Err(ReportError::Unknown(why)),
            answer => Ok(answer),
        }
    }

    /// Returns a view of all reported steps, `every` of them summed in a row.
    ///
    /// # Errors
    /// As for [`ask`](Self::query_all_steps).
    pub fn exhibit(&self, view: View, every: u64) -> Result<Exhibit, ReportError> {
        let request = SheetRequest {
            view,
            steps: 0..self.steps,
            every: every.max(1),
            layer: None,
            unit: None,
            parameter: None,
        };
        Ok(sheet::make_exhibit(
            &self.run.reader,
            &self.run.name,
            &request,
            &|| (),
        )?)
    }

    /// Returns the numbers of a view.
    ///
    /// # Errors
    /// As for [`ask`](Self::query_all_steps).
    pub fn table(&self, view: View, every: u64) -> Result<Table, ReportError> {
        Ok(self.exhibit(view, every)?.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(config: &str, seed: u64) -> RunHeader {
        RunHeader {
            config: config.to_owned(),
            seed,
            ..RunHeader::default()
        }
    }

    #[test]
    fn repeats_differ_in_the_seed_and_in_what_is_recorded() {
        let of = |config: &str| header(config, 0);
        let first = of("seed = 1\nlearning_rate = 0.1\nthreads = 1\n[network]\nname = \"a\"");
        let alike =
            of("seed = 2\ndata = \"b\"\nlearning_rate = 0.1\nthreads = 8\n[network]\nname = \"a\"");
        let other = of("seed = 2\nlearning_rate = 0.2\nthreads = 8\n[network]\nname = \"a\"");
        let network = of("seed = 2\nlearning_rate = 0.1\n[network]\nname = \"b\"");
        assert!(are_repeats(&first, &alike));
        assert!(!are_repeats(&first, &other) && !are_repeats(&first, &network));
        // Invalid TOML is compared as text.
        assert!(are_repeats(&of("= 1"), &of("= 1")) && !are_repeats(&of("= 1"), &of("= 2")));
    }
}

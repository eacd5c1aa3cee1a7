//! `lcascope experiment`: runs a plan, one run after another, and reports the outcome.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::check::{check, load};
use crate::analysis::numbers;
use crate::cli::ExperimentArgs;
use crate::cluster;
use crate::config::{Options, RunConfig};
use crate::experiment::{
    ExperimentOutcome, ExperimentPlan, PRESETS, PlanOverrides, Preset, QuantityGroup, SizeName,
    document, find, numbers_of, plan,
};
use crate::report::{self, Document, RunFile};
use crate::store::RunReader;
use crate::supervise::series::{self, AtFailure, RunFileState, RunTask, SeriesEnd, SeriesOutcome};
use crate::supervise::{Failure, print, sandbox, signal_code};
use crate::text::harmless;
use crate::tui;

/// The report's folder, beside the run files.
const REPORT: &str = "report";

/// Plans all runs, trains those that are incomplete, and writes the report.
///
/// # Errors
/// The experiment, its data or a run's configuration cannot be used; the folder holds other runs; or runs failed.
pub fn experiment(args: &ExperimentArgs) -> Result<ExitCode, Failure> {
    tui::keep_running_in_background();
    let Some(name) = &args.name else {
        return print(presets()?.as_bytes());
    };
    cluster::refuse("experiment")?;
    let preset = find(name)?;
    let size = if args.quick {
        SizeName::Quick
    } else {
        SizeName::Paper
    };
    let overrides = PlanOverrides {
        data: args.data.clone(),
        seeds: args.seeds,
    };
    let folder = args.output.clone().unwrap_or_else(|| {
        let ending = if args.quick { "-quick" } else { "" };
        PathBuf::from(format!("experiments/{}{ending}", preset.name))
    });
    let (plan, tasks) = planned(preset, size, &overrides, &folder)?;
    let found = tasks
        .iter()
        .map(RunTask::file_state)
        .collect::<Result<Vec<_>, _>>()?;
    if args.list {
        return print(runs(&plan, &tasks, &found).as_bytes());
    }
    // Check before the work: the report is written only at the end.
    report::check(&folder.join(REPORT), true)?;
    fs::create_dir_all(&folder).map_err(|error| {
        let folder = harmless(&folder.display().to_string());
        Failure::Other(format!("cannot create the folder {folder}: {error}"))
    })?;
    let _ = writeln!(io::stderr(), "{}", headline(&plan, &tasks, &found));
    let ended = series::run(&tasks, &found, AtFailure::GoOn, false, false)?;
    finish(&plan, &tasks, &ended, &folder)
}

/// The experiments, one line each.
fn presets() -> Result<String, Failure> {
    let mut out = String::new();
    for (name, _) in PRESETS {
        let preset = find(name)?;
        let _ = writeln!(out, "{name:20} {}", preset.description);
    }
    let _ = writeln!(
        out,
        "\n`lcascope experiment NAME --quick` trains the runs of one and reports on them; with --list it lists them"
    );
    Ok(out)
}

/// Reads the data, and plans and checks every run.
fn planned(
    preset: Preset,
    size: SizeName,
    overrides: &PlanOverrides,
    folder: &Path,
) -> Result<(ExperimentPlan, Vec<RunTask>), Failure> {
    let (_, options) = plan::base(&preset, size, overrides)?;
    let dataset = load(&RunConfig::resolve(&Options {
        data: options.data,
        ..Options::default()
    })?)?;
    let plan = ExperimentPlan::new(preset, size, overrides, &dataset)?;
    let tasks = plan.runs.iter().map(|run| {
        let checked = check(&run.config, &dataset).map_err(|failure| {
            let arm = &plan.preset.arms[run.arm];
            Failure::Usage(plan.preset.fault_of(arm, &failure.to_string()))
        })?;
        Ok::<_, Failure>(RunTask {
            name: run.name.clone(),
            file: folder.join(format!("{}.h5", run.name)),
            config: run.config.clone(),
            steps: checked.steps,
            warnings: checked.warnings(&run.config, &dataset),
            sha256: dataset.sha256.clone(),
        })
    });
    let tasks = tasks.collect::<Result<Vec<_>, _>>()?;
    Ok((plan, tasks))
}

/// A line such as `freeze-last (quick): 2 arms × 5 seeds = 10 runs; 3 complete, 1 incomplete`.
fn headline(plan: &ExperimentPlan, tasks: &[RunTask], found: &[RunFileState]) -> String {
    let (arms, seeds) = (plan.preset.arms.len(), plan.seeds);
    let size = if plan.preset.has_sizes() {
        format!(" ({})", plan.size)
    } else {
        String::new()
    };
    let mut out = format!(
        "{}{size}: {}, {} × {} = {}",
        harmless(&plan.preset.name),
        harmless(&plan.preset.description),
        counted(arms as u64, "arm"),
        counted(seeds, "seed"),
        counted(tasks.len() as u64, "run")
    );
    let complete = found
        .iter()
        .filter(|&&f| f == RunFileState::Complete)
        .count();
    let begun = found
        .iter()
        .filter(|f| matches!(f, RunFileState::Begun(_)))
        .count();
    if complete + begun > 0 {
        let _ = write!(out, "; {complete} complete, {begun} incomplete");
    }
    out
}

fn counted(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// A description of the experiment, and every run.
fn runs(plan: &ExperimentPlan, tasks: &[RunTask], found: &[RunFileState]) -> String {
    let preset = &plan.preset;
    let mut out = headline(plan, tasks, found);
    let _ = writeln!(out, "\n\n{}", harmless(&preset.question));
    if !preset.finding.is_empty() {
        let _ = writeln!(out, "Published finding: {}", harmless(&preset.finding));
    }
    out.push('\n');
    for (task, found) in tasks.iter().zip(found) {
        let state = match found {
            RunFileState::Nothing | RunFileState::Reserved => String::new(),
            RunFileState::Begun(done) => format!("  {done} done"),
            RunFileState::Complete => "  complete".to_owned(),
        };
        let file = harmless(&task.file.display().to_string());
        let steps = counted(task.steps, "step");
        let _ = writeln!(out, "{file}  {steps}{state}");
    }
    out
}

/// Reports the complete runs, and how to continue if some are incomplete.
fn finish(
    plan: &ExperimentPlan,
    tasks: &[RunTask],
    ended: &SeriesOutcome,
    folder: &Path,
) -> Result<ExitCode, Failure> {
    let complete = ended.complete.iter().filter(|&&complete| complete).count();
    let so_far = format!("{complete} of {} runs are complete", tasks.len());
    let onward = "run the same command again to continue";
    match ended.why {
        SeriesEnd::Signal(signal) => {
            let _ = writeln!(io::stderr(), "{so_far}; {onward}");
            return Ok(signal_code(signal));
        }
        SeriesEnd::Stopped(index) => {
            let name = &tasks[index].name;
            let _ = writeln!(io::stderr(), "{name} was stopped; {so_far}; {onward}");
            return Ok(ExitCode::SUCCESS);
        }
        SeriesEnd::Through | SeriesEnd::Failed(_) => {}
    }
    if complete > 0 {
        let outcome = outcome(plan, tasks, &ended.complete)?;
        let mut out = summary(&outcome);
        let missing: Vec<String> = (ended.failed.iter())
            .map(|(index, why)| format!("{}: {why}", tasks[*index].name))
            .collect();
        let place = write_report(plan, tasks, &outcome, &missing, folder)?;
        let _ = writeln!(out, "\nreport: {}", harmless(&place.display().to_string()));
        print(out.as_bytes())?;
    }
    match ended.failed.as_slice() {
        [] => Ok(ExitCode::SUCCESS),
        [(first, why), rest @ ..] => {
            let name = &tasks[*first].name;
            let more = match rest.len() {
                0 => String::new(),
                n => format!(" (and {n} more failed)"),
            };
            Err(Failure::Run(format!(
                "{name}: {why}{more}; {so_far}; {onward}"
            )))
        }
    }
}

/// Collects the numbers of every complete run.
fn outcome(
    plan: &ExperimentPlan,
    tasks: &[RunTask],
    complete: &[bool],
) -> Result<ExperimentOutcome, Failure> {
    let mut outcome = ExperimentOutcome {
        arms: plan
            .preset
            .arms
            .iter()
            .map(|arm| arm.name.clone())
            .collect(),
        baseline: plan.preset.baseline,
        runs: Vec::new(),
    };
    for ((run, task), complete) in plan.runs.iter().zip(tasks).zip(complete) {
        if *complete {
            // May be too damaged to be read in this process.
            sandbox::read_through(&task.file)?;
            let numbers = numbers_of(&RunReader::open(&task.file)?)?;
            outcome.runs.push((run.arm, run.seed, numbers));
        }
    }
    Ok(outcome)
}

/// Writes the report into `folder/report`, over an older one; returns the path of its first page.
fn write_report(
    plan: &ExperimentPlan,
    tasks: &[RunTask],
    outcome: &ExperimentOutcome,
    missing: &[String],
    folder: &Path,
) -> Result<PathBuf, Failure> {
    let mut document = Document::new(plan.preset.description.clone());
    document.note = format!(
        "{}, lcascope {}, {}",
        headline(plan, tasks, &[]),
        env!("CARGO_PKG_VERSION"),
        jiff::ZonedDateTime::now().strftime("%Y-%m-%d %H:%M")
    );
    document::write(&mut document, plan, outcome, missing)
        .map_err(|error| Failure::Other(error.to_string()))?;
    for (arm, name) in outcome.arms.iter().enumerate() {
        let complete = outcome.runs.iter().filter(|(of, _, _)| *of == arm);
        let files = complete.filter_map(|(_, seed, _)| {
            let mut runs = plan.runs.iter().zip(tasks);
            runs.find(|(run, _)| (run.arm, run.seed) == (arm, *seed))
        });
        let runs = files.map(|(_, task)| RunFile::open(&task.file));
        let runs = runs.collect::<Result<Vec<_>, _>>()?;
        if !runs.is_empty() {
            document.section(format!("Arm {name}"));
            report::add(&mut document, &runs, name)?;
        }
    }
    let place = folder.join(REPORT);
    document.save(&place, true)?;
    Ok(place.join("report.html"))
}

/// One line for each arm: the losses, and their differences from the baseline.
fn summary(outcome: &ExperimentOutcome) -> String {
    let mut out = String::new();
    let width = outcome
        .arms
        .iter()
        .map(String::len)
        .max()
        .unwrap_or(0)
        .max(3);
    let _ = writeln!(
        out,
        "{:width$} {:>4} {:>22} {:>22} {:>8}",
        "arm", "runs", "training loss", "held-out loss", "help"
    );
    for (arm, name) in outcome.arms.iter().enumerate() {
        let value = |name| outcome.arm(arm, QuantityGroup::Run, name);
        let loss = value("training loss");
        let with_error = |name| {
            let value = value(name);
            if value.error.is_nan() {
                // A single run has no standard error.
                numbers::loss(value.mean)
            } else {
                format!(
                    "{} ± {}",
                    numbers::loss(value.mean),
                    numbers::loss(value.error)
                )
            }
        };
        let _ = writeln!(
            out,
            "{name:width$} {:>4} {:>22} {:>22} {:>7.2}%",
            loss.n,
            with_error("training loss"),
            with_error("held-out loss"),
            value("parameters that helped").mean
        );
    }
    out
}

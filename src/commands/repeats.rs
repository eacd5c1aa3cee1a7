//! `train --repeats N`: trains the same run with N seeds.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::check::{check, load};
use super::output::{self, CommandInputs};
use super::resume::only_harmless;
use crate::config::{ConfigError, Options, RunConfig, merge, stored_options};
use crate::data::Split;
use crate::store::{NewFile, StoreError};
use crate::supervise::series::{self, AtFailure, RunFileState, RunTask, SeriesEnd, SeriesOutcome};
use crate::supervise::{Failure, print, sandbox, signal_code};
use crate::text::{harmless, quoted};

/// The most repeats: more are a mistake.
const MOST: u64 = 10_000;

/// Starts a series.
///
/// # Errors
/// Anything wrong with the flags or the data, a file that already exists, or a run that fails.
pub fn begin(options: &Options, read: &[&Path], repeats: u64) -> Result<ExitCode, Failure> {
    let config = RunConfig::resolve(options)?;
    let network = &config.network.name;
    let given = options.output.clone();
    let mut output = given.unwrap_or_else(|| output::default_name(network));
    let force = options.force.unwrap_or(false);
    let mut tasks = checked_tasks(&config, &output, repeats)?;
    let inputs = CommandInputs::from_options(options, read);
    // A default name is claimed when its first file is created.
    let named = tasks.iter().filter(|_| options.output.is_some());
    for task in named {
        output::check(&task.file, force, &inputs).map_err(|error| match error {
            Failure::Store(error @ StoreError::Exists { .. }) => {
                let output = quoted(&harmless(&output.display().to_string()));
                Failure::Usage(ConfigError(format!(
                    "{error}. To resume a series: lcascope train --resume {output} --repeats {repeats}"
                )))
            }
            error => error,
        })?;
    }
    let mut found = vec![RunFileState::Nothing; tasks.len()];
    let mut reserved = None;
    if options.output.is_none() {
        // The other names are derived from the first, so nobody else can have them.
        let name = output::default_names(network).find_map(|name| {
            let first = NewFile::create(&file(&name, 1)).ok()?;
            Some((name, first))
        });
        if let Some((name, first)) = name {
            output = name;
            for (n, task) in (1..).zip(&mut tasks) {
                task.set_file(file(&output, n));
            }
            reserved = Some(first.release_to_child()?);
            found[0] = RunFileState::Reserved;
        }
    }
    let ended = run(&tasks, &found, force, &output, options);
    drop(reserved);
    ended
}

/// Continues or extends a series: complete runs are left alone, started ones are continued, and the others are made
/// like the first.
///
/// # Errors
/// There is no first run, the flags would change it, a file belongs to another run, or a run fails.
pub fn resume(output: &Path, flags: &Options, repeats: u64) -> Result<ExitCode, Failure> {
    let flags = Options {
        repeats: None,
        ..flags.clone()
    };
    only_harmless(&flags)?;
    let first = file(output, 1);
    if !first.exists() {
        let (first, output) = (first.display(), output.display());
        return Err(ConfigError(format!(
            "--resume {output} --repeats {repeats}: the first file of the series, {first}, does not exist"
        ))
        .into());
    }
    let origin = harmless(&first.display().to_string());
    let stored = stored_options(&sandbox::peek(&first)?.header.config, &origin)?;
    let config = RunConfig::resolve(&merge(&stored, &flags)?)?;
    let tasks = checked_tasks(&config, output, repeats)?;
    let found = tasks
        .iter()
        .map(RunTask::file_state)
        .collect::<Result<Vec<_>, _>>()?;
    run(&tasks, &found, false, output, &flags)
}

/// All runs, checked.
fn checked_tasks(config: &RunConfig, output: &Path, repeats: u64) -> Result<Vec<RunTask>, Failure> {
    if !(1..=MOST).contains(&repeats) {
        let what = format!("--repeats {repeats}: must be from 1 to {MOST}");
        return Err(ConfigError(what).into());
    }
    if output.to_str().is_none() {
        let output = output.display();
        return Err(ConfigError(format!("--output {output}: the name is not valid UTF-8")).into());
    }
    let last = config.seed.checked_add(repeats - 1);
    if last.is_none_or(|last| last >= 1 << 63) {
        let what = format!(
            "--seed {}: the seed of the last run would exceed 2^63 - 1",
            config.seed
        );
        return Err(ConfigError(what).into());
    }
    let dataset = load(config)?;
    let mut seen: Option<(Split, Vec<String>)> = None;
    (0..repeats)
        .map(|index| {
            let config = RunConfig {
                seed: config.seed + index,
                ..config.clone()
            };
            let checked = check(&config, &dataset)?;
            // Most often all runs have the same examples.
            let warnings = match seen.take() {
                Some((split, warnings)) if split == checked.split => warnings,
                _ => checked.warnings(&config, &dataset),
            };
            seen = Some((checked.split, warnings.clone()));
            let mut task = RunTask {
                name: String::new(),
                file: PathBuf::new(),
                config,
                steps: checked.steps,
                warnings,
                sha256: dataset.sha256.clone(),
            };
            task.set_file(file(output, index + 1));
            Ok(task)
        })
        .collect()
}

/// The n-th file, from 1: the number replaces `{}` in the name, or goes before the extension.
fn file(output: &Path, n: u64) -> PathBuf {
    let name = output.file_name().unwrap_or_default().to_string_lossy();
    if name.contains("{}") {
        return output.with_file_name(name.replace("{}", &n.to_string()));
    }
    let mut numbered: OsString = output.file_stem().unwrap_or_default().to_owned();
    numbered.push(format!("-{n}"));
    if let Some(ending) = output.extension() {
        numbered.push(".");
        numbered.push(ending);
    }
    output.with_file_name(numbered)
}

fn run(
    tasks: &[RunTask],
    found: &[RunFileState],
    force: bool,
    output: &Path,
    options: &Options,
) -> Result<ExitCode, Failure> {
    let quiet = options.quiet.unwrap_or(false);
    let ended = series::run(tasks, found, AtFailure::End, force, quiet)?;
    let output = quoted(&harmless(&output.display().to_string()));
    let onward = format!(
        "resume: lcascope train --resume {output} --repeats {}",
        tasks.len()
    );
    let complete = ended.complete.iter().filter(|&&complete| complete).count();
    let so_far = format!("{complete} of {} runs are complete", tasks.len());
    if let (SeriesEnd::Failed(index), Some((_, why))) = (ended.why, ended.failed.first()) {
        let name = &tasks[index].name;
        return Err(Failure::Run(format!("{name}: {why}; {so_far}; {onward}")));
    }
    if !quiet {
        print(summary(tasks, &ended, &so_far, &onward).as_bytes())?;
    }
    Ok(match ended.why {
        SeriesEnd::Signal(signal) => signal_code(signal),
        _ => ExitCode::SUCCESS,
    })
}

fn summary(tasks: &[RunTask], ended: &SeriesOutcome, so_far: &str, onward: &str) -> String {
    let mut out = format!("{so_far}\n");
    for (task, complete) in tasks.iter().zip(&ended.complete) {
        if *complete {
            let _ = writeln!(out, "  {}", harmless(&task.file.display().to_string()));
        }
    }
    if ended.why != SeriesEnd::Through {
        let _ = writeln!(out, "{onward}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeat_numbers_precede_the_extension_or_fill_the_placeholder() {
        for (output, name) in [
            ("runs/a.h5", "runs/a-3.h5"),
            ("runs/a.b.h5", "runs/a.b-3.h5"),
            ("a", "a-3"),
            ("x/seed{}of5.h5", "x/seed3of5.h5"),
            ("{}/{}.h5", "{}/3.h5"),
        ] {
            assert_eq!(file(Path::new(output), 3), Path::new(name), "{output}");
        }
    }
}

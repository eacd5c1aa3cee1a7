//! Command line: parses arguments into a command.

mod tips;

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{ColorChoice, GlyphsChoice, Options};
use crate::export::Format;
use crate::sheet::{UnknownView, View};

/// See which parameters of a network are doing the learning.
///
/// lcascope trains a network, splits every step's change of the training loss among all parameters
/// (Loss Change Allocation), records it in an HDF5 file, and shows it live. Without a command it
/// runs the demo: a small network on a sample of MNIST that is part of the program.
#[derive(Debug, Parser)]
#[command(name = "lcascope", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Parses the command line.
///
/// # Errors
/// The error from clap: help, the version, or a usage error with advice.
pub fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse().map_err(|mut error| {
        let mut all = Cli::command();
        all.build();
        let name = env::args_os().nth(1).unwrap_or_default();
        if let Some(command) = all.find_subcommand_mut(name) {
            tips::advise(&mut error, command);
        }
        error
    })
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train a network and allocate every step
    Train(Box<TrainArgs>),
    /// Allocate the loss along weights that come from elsewhere
    Allocate(Box<AllocateArgs>),
    /// Replay a run file, or follow one that is being written; of two, show the difference
    Open(OpenArgs),
    /// Summarise run files, and check that their sums add up
    Info {
        /// Run files
        #[arg(value_name = "RUN.h5", required = true)]
        files: Vec<PathBuf>,
    },
    /// Show the run files in a folder, and how each stands
    List {
        /// Folder [default: runs, or where there is none, this one]
        #[arg(value_name = "DIR")]
        folder: Option<PathBuf>,
    },
    /// End a running training after the step under way, and wait until its file is closed
    Stop {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Make a running training wait after the step under way
    Pause {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Make a paused training go on; one that has ended goes on with `train --resume`
    Resume {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Check run files: structure, lengths, and that everything in them adds up
    Verify {
        /// Run files
        #[arg(value_name = "RUN.h5", required = true)]
        files: Vec<PathBuf>,
    },
    /// Make the file of a run that was killed readable by every HDF5 tool
    Repair {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Make a set of runs that differ in one thing, and report what it changes
    Experiment(ExperimentArgs),
    /// Write the numbers of a view to a file, as a table or as a picture
    Export(ExportArgs),
    /// Write what runs have shown as a report, in Markdown and as a page of HTML
    Report(ReportArgs),
    /// Say where the configuration of the explorer is, and whether it can be used
    Config {
        /// Print the default file instead
        #[arg(long)]
        print_default: bool,
        /// Print a network that is known by name as a file to change: mnist-fc, …
        #[arg(long, value_name = "NAME", conflicts_with = "print_default")]
        print_network: Option<String>,
    },
    /// Read a run file for the process that has started this one
    #[command(hide = true)]
    Reader {
        /// Read only what is asked for
        #[arg(long)]
        details: bool,
        /// Say one thing of it, and end
        #[arg(long, conflicts_with = "details")]
        answer: Option<String>,
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Print completions for a shell
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
}

// So that a negative number is a bad value for its flag, not an unknown flag.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct TrainArgs {
    /// TOML file with flags as keys, `-` for standard input, or a run file whose run is to be
    /// repeated; flags win over it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Go on with a run that was stopped, has failed or was killed, with its own configuration
    #[arg(long, value_name = "RUN.h5", conflicts_with = "config")]
    pub resume: Option<PathBuf>,
    /// Return as soon as the training has begun, and leave it running without a terminal; not a key
    /// of --config. What it has to say goes to FILE.log beside the run file; `lcascope open` shows
    /// it, `lcascope stop` ends it
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct AllocateArgs {
    /// Run file with weights (`train --record-weights`), another HDF5 file with `weight/value`, or a
    /// folder of .safetensors files, a file a point
    #[arg(value_name = "WEIGHTS")]
    pub weights: PathBuf,
    /// Leave the path: take N equal steps on the straight line from its first point to its last
    #[arg(long, value_name = "N")]
    pub straight: Option<u64>,
    /// TOML file with flags as keys, or a run file, that says network, data and how to integrate [default: WEIGHTS,
    /// if it is a run file]; what it says about training means nothing here
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    // Training flags are rejected if given.
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct OpenArgs {
    /// Run file
    #[arg(value_name = "RUN.h5")]
    pub file: PathBuf,
    /// Another run to compare it with
    #[arg(value_name = "OTHER.h5")]
    pub other: Option<PathBuf>,
    /// auto, truecolor, 256, 16 or never [default: the configuration's, or auto]
    #[arg(long, value_name = "WHEN")]
    pub color: Option<ColorChoice>,
    /// auto (ascii unless the locale is UTF-8), braille, blocks or ascii [default: the configuration's, or auto]
    #[arg(long, value_name = "NAME")]
    pub glyphs: Option<GlyphsChoice>,
    /// Frames a second at most, 1 to 120 [default: the configuration's, or 15]
    #[arg(long, value_name = "N")]
    pub fps: Option<u32>,
}

#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// One of those that --list prints, or a TOML file
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub name: Option<String>,
    /// A size that two cores finish in about a quarter of an hour, on the embedded sample of MNIST
    #[arg(long)]
    pub quick: bool,
    /// Folder for run files and report [default: experiments/NAME, or experiments/NAME-quick]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Data set, as for `train`
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Runs of each arm [default: what the experiment says]
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// Print the experiments there are, or the runs of the one that is named
    #[arg(long)]
    pub list: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Run file
    #[arg(value_name = "RUN.h5")]
    pub file: PathBuf,
    /// View to write; `list` prints all views
    #[arg(long, value_name = "NAME")]
    pub view: ViewChoice,
    /// csv, json, parquet, svg or png [default: what the name of --output ends with, or csv]
    #[arg(long, value_name = "NAME")]
    pub format: Option<Format>,
    /// File to write; `-` for standard output [default: RUN-VIEW.FORMAT in this folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite the file if it exists; of a link, the file behind it
    #[arg(long)]
    pub force: bool,
    /// Only this layer [default: all]
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Only this neuron or channel of `--layer`, counted from 0, in the views `units` and `parameters`
    #[arg(long, value_name = "INDEX")]
    pub unit: Option<usize>,
    /// The parameter of the view `parameter`, which needs one: its place in the flat vector, counted
    /// from 0
    #[arg(long, value_name = "INDEX")]
    pub parameter: Option<usize>,
    /// Only the steps from A up to and without B; either may be left out [default: all]
    #[arg(long, value_name = "A..B")]
    pub steps: Option<StepRange>,
    /// Add every N steps up to one row
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run files. Of those that differ in their seeds alone, means and standard errors are given
    #[arg(value_name = "RUN.h5", required = true)]
    pub files: Vec<PathBuf>,
    /// Folder to write: report.md, report.html, the figures, and all numbers as CSV
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Replace an older report in the folder
    #[arg(long)]
    pub force: bool,
}

/// A view, or a request for the list of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewChoice {
    List,
    View(View),
}

impl FromStr for ViewChoice {
    type Err = UnknownView;

    fn from_str(word: &str) -> Result<Self, UnknownView> {
        match word {
            "list" => Ok(Self::List),
            view => view.parse().map(Self::View),
        }
    }
}

/// A range of steps: `A..B`, `A..`, `..B` or `..`, from A up to but not including B.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepRange {
    pub from: Option<u64>,
    pub to: Option<u64>,
}

impl FromStr for StepRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("invalid range of steps `{text}`: use A..B, A.. or ..B, with A before B");
        let (from, to) = text.split_once("..").ok_or_else(bad)?;
        let end = |text: &str| match text.trim() {
            "" => Ok(None),
            number => number.parse().map(Some).map_err(|_| bad()),
        };
        let range = Self {
            from: end(from)?,
            to: end(to)?,
        };
        match (range.from, range.to) {
            (from, Some(to)) if from.unwrap_or(0) >= to => Err(bad()),
            _ => Ok(range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn ranges_of_steps_may_be_open() {
        let range = |from, to| Ok(StepRange { from, to });
        assert_eq!("3..7".parse(), range(Some(3), Some(7)));
        assert_eq!("3..".parse(), range(Some(3), None));
        assert_eq!("..7".parse(), range(None, Some(7)));
        assert_eq!("..".parse(), range(None, None));
        for bad in [
            "", "3", "7..3", "3..3", "..0", "-1..3", "a..b", "1..2..3", "3...7",
        ] {
            let error = bad.parse::<StepRange>().unwrap_err();
            assert!(error.contains("A..B"), "{bad}: {error}");
        }
    }
}

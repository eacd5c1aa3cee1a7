//! Command line: parses arguments into a command.

mod tips;

mod generate;

use std::env;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use generate::{completions, man};

use crate::config::{ColorChoice, DeviceChoice, GlyphsChoice, Options};
use crate::export::Format;
use crate::sheet::{UnknownView, View};
use crate::trajectory::Rename;

/// See which parameters of a network are doing the learning.
///
/// lcascope trains a network, divides the change in training loss of every step among all parameters
/// (Loss Change Allocation, LCA), records it in an HDF5 file and shows it live. Without a command it
/// lists the runs in this folder or, if there are none, runs a demo: a small network on the embedded
/// sample of MNIST.
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
    /// Allocate the loss along a given path of weights, without training
    Allocate(Box<AllocateArgs>),
    /// Replay run files, follow those that are being written, compare them, or pick from a folder
    Open(OpenArgs),
    /// Summarise run files and check that their sums add up
    Info {
        /// Run files, here or on another machine (HOST:RUN.h5)
        #[arg(value_name = "RUN.h5", required = true)]
        files: Vec<PathBuf>,
        /// Print one line of JSON for each file
        #[arg(long)]
        json: bool,
    },
    /// List run files with their status
    List {
        /// Folders, or run files [default: runs if it exists, otherwise the current folder]
        #[arg(value_name = "DIR")]
        places: Vec<PathBuf>,
        /// Print one line of JSON for each file
        #[arg(long)]
        json: bool,
    },
    /// Stop a running training after the current step and wait until its file is closed
    Stop {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Pause a running training after the current step
    Pause {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Resume a paused training (one that has ended: `train --resume`)
    Resume {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Verify run files: structure, lengths and sums
    Verify {
        /// Run files, here or on another machine (HOST:RUN.h5)
        #[arg(value_name = "RUN.h5", required = true)]
        files: Vec<PathBuf>,
        /// Print one line of JSON for each file
        #[arg(long)]
        json: bool,
    },
    /// Make the file of a killed run readable by every HDF5 tool
    Repair {
        /// Run file
        #[arg(value_name = "RUN.h5")]
        file: PathBuf,
    },
    /// Train runs that differ in one setting and report its effect
    Experiment(ExperimentArgs),
    /// Write a view to a file, as a table or a picture
    Export(ExportArgs),
    /// Write a report on runs, in Markdown and HTML
    Report(ReportArgs),
    /// Show where the explorer's configuration file is and check it
    Config {
        /// Print the default configuration instead
        #[arg(long)]
        print_default: bool,
        /// Print a preset network, such as mnist-fc, as a TOML file to edit
        #[arg(long, value_name = "NAME", conflicts_with = "print_default")]
        print_network: Option<String>,
    },
    /// Compare the numbers of a device with those of another engine, and exit with 1 if they differ
    Selftest {
        /// auto, cpu or cuda:N; auto is the first GPU if there is one
        #[arg(long, value_name = "NAME", default_value = "auto")]
        device: DeviceChoice,
        /// Threads of the hand-written engine [default: all cores]
        #[arg(long, value_name = "N")]
        threads: Option<usize>,
    },
    /// Record a training in another program, which starts this command (docs/protocol.md)
    #[command(hide = true)]
    Record(RecordArgs),
    /// Read a run file for the parent process
    #[command(hide = true)]
    Reader {
        /// Read only what is requested
        #[arg(long)]
        details: bool,
        /// Answer the question on standard input and exit
        #[arg(long, conflicts_with = "details")]
        answer: bool,
        /// Read the facts of each run whose path arrives on standard input
        #[arg(long, exclusive = true)]
        many: bool,
        /// Do what lcascope on another machine asks on standard input
        #[arg(long, exclusive = true)]
        remote: bool,
        /// Pass orders on, and leave out the first N steps
        #[arg(long, value_name = "N", conflicts_with_all = ["details", "answer"])]
        from: Option<u64>,
        #[arg(value_name = "RUN.h5", required_unless_present_any = ["many", "remote"])]
        file: Option<PathBuf>,
    },
    /// Print shell completions
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
    /// Print a manual page, for `man -l -`
    Man {
        /// Command to describe, such as train [default: lcascope itself]
        #[arg(value_name = "COMMAND")]
        command: Option<String>,
    },
}

// So that a negative number is a bad value for its flag, not an unknown flag.
#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct TrainArgs {
    /// TOML file with flags as keys (`-`: standard input), or a run file whose run to repeat; flags
    /// take precedence
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Resume a run that was stopped, failed or was killed, with its own configuration
    #[arg(long, value_name = "RUN.h5", conflicts_with = "config")]
    pub resume: Option<PathBuf>,
    /// Train in the background and return as soon as the training has started; not a key of --config.
    /// Messages go to FILE.log beside the run file; `lcascope open` shows the run, `lcascope stop`
    /// stops it
    #[arg(long)]
    pub detach: bool,
    /// Print the memory, the disk space and the time that the run would take, and write nothing
    #[arg(long, conflicts_with_all = ["resume", "detach"])]
    pub dry_run: bool,
    /// Shell command to run when the run has finished, stopped or failed and when there is a warning, with the event as
    /// JSON on its standard input; not a key of --config [default: `$LCASCOPE_NOTIFY`]
    #[arg(long, value_name = "COMMAND")]
    pub notify: Option<String>,
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct AllocateArgs {
    /// Run file with weights (`train --record-weights`), another HDF5 file with `weight/value`, or a
    /// folder with one file per point (.safetensors, or .pt, .pth, .bin, .ckpt of torch.save) or one
    /// folder per point (such as Hugging Face's checkpoint-N)
    #[arg(value_name = "WEIGHTS")]
    pub weights: PathBuf,
    /// Print the memory, the disk space and the time that the run would take, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Shell command to run when the run has finished, stopped or failed and when there is a warning, with the event as
    /// JSON on its standard input; not a key of --config [default: `$LCASCOPE_NOTIFY`]
    #[arg(long, value_name = "COMMAND")]
    pub notify: Option<String>,
    /// Instead of the path, take N equal steps on the straight line from its first to its last point
    #[arg(long, value_name = "N")]
    pub straight: Option<u64>,
    /// Replace FROM by TO in the names of the tensors in the files, such as encoder.= or
    /// bn1.weight=bn1.scale. FROM does not match within a word or number. Repeatable; applied in order
    #[arg(long, value_name = "FROM=TO")]
    pub rename: Vec<Rename>,
    /// TOML file with flags as keys, or a run file, for the network, the data and the integration; its training
    /// settings are ignored [default: WEIGHTS, if it is a run file]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    // Training flags are rejected if given.
    #[command(flatten)]
    pub options: Options,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub struct OpenArgs {
    /// Run files, to compare if there are several, or a folder with runs to pick from. HOST:RUN.h5 is a file on a machine
    /// that ssh reaches and that has lcascope; HOST is a name, USER@NAME or an alias of ~/.ssh/config. A file here whose
    /// name has a colon is opened here, and so is ./HOST:RUN.h5
    #[arg(value_name = "RUN.h5", required = true)]
    pub files: Vec<PathBuf>,
    /// Print one frame to standard output, with everything it shows, and exit; in colour only on a terminal or with
    /// --color
    #[arg(long)]
    pub once: bool,
    /// Size of that frame, in columns and rows [default: the terminal's, or 120x40]
    #[arg(long, value_name = "WxH", requires = "once")]
    pub size: Option<FrameSize>,
    /// Screen to begin with: overview, decomposition, oscillation, synchronisation, classes, distribution, held-out or run
    #[arg(long, value_name = "NAME")]
    pub screen: Option<String>,
    /// Command that reaches other machines, such as 'ssh -p 2222' [default: `$LCASCOPE_SSH`, or ssh]
    #[arg(long, value_name = "COMMAND")]
    pub ssh: Option<String>,
    /// lcascope on the other machine [default: `$LCASCOPE_REMOTE_PROGRAM`, or lcascope]
    #[arg(long, value_name = "COMMAND")]
    pub remote_program: Option<String>,
    /// auto, truecolor, 256, 16 or never [default: the configuration's, or auto]
    #[arg(long, value_name = "WHEN")]
    pub color: Option<ColorChoice>,
    /// auto (ascii unless the locale is UTF-8), braille, blocks or ascii [default: the configuration's, or auto]
    #[arg(long, value_name = "NAME")]
    pub glyphs: Option<GlyphsChoice>,
    /// Maximum frames per second, 1 to 120 [default: the configuration's, or 15]
    #[arg(long, value_name = "N")]
    pub fps: Option<u32>,
}

#[derive(Debug, Args)]
pub struct ExperimentArgs {
    /// An experiment that --list prints, or a TOML file
    #[arg(value_name = "NAME", required_unless_present = "list")]
    pub name: Option<String>,
    /// Use the small size: the embedded sample of MNIST, about 15 minutes on two cores
    #[arg(long)]
    pub quick: bool,
    /// Folder for the run files and the report [default: experiments/NAME, or experiments/NAME-quick]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Data set, as for `train`
    #[arg(long, value_name = "PATH")]
    pub data: Option<PathBuf>,
    /// Runs per arm [default: as the experiment specifies]
    #[arg(long, value_name = "N")]
    pub seeds: Option<u64>,
    /// List all experiments, or the runs of the given one
    #[arg(long)]
    pub list: bool,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Run file
    #[arg(value_name = "RUN.h5")]
    pub file: PathBuf,
    /// View to write; `list` lists all views
    #[arg(long, value_name = "NAME")]
    pub view: ViewChoice,
    /// csv, json, parquet, svg or png [default: from the extension of --output, or csv]
    #[arg(long, value_name = "NAME")]
    pub format: Option<Format>,
    /// File to write (`-`: standard output) [default: RUN-VIEW.FORMAT in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Overwrite the file if it exists; for a link, its target
    #[arg(long)]
    pub force: bool,
    /// Only this layer [default: all]
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    /// Only this unit (neuron or channel) of `--layer`, counted from 0, in the views `units` and `parameters`
    #[arg(long, value_name = "INDEX")]
    pub unit: Option<usize>,
    /// Parameter of the view `parameter` (required there): its index in the flat vector, counted
    /// from 0
    #[arg(long, value_name = "INDEX")]
    pub parameter: Option<usize>,
    /// Only steps A to B-1; either end may be omitted [default: all]
    #[arg(long, value_name = "A..B")]
    pub steps: Option<StepRange>,
    /// Sum every N steps into one row
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run files; those that differ only in their seed are reported as mean and standard error
    #[arg(value_name = "RUN.h5", required = true)]
    pub files: Vec<PathBuf>,
    /// Folder to write: report.md, report.html, the figures and all numbers as CSV
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Replace an existing report in the folder
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, Args)]
pub struct RecordArgs {
    /// Inherited descriptor of the memory shared with the program
    #[arg(long, value_name = "FD")]
    pub memory: u32,
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

/// The size of a frame, in columns and rows: `120x40`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize(pub u16, pub u16);

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let side = |text: &str| text.parse().ok().filter(|side| (1..=1000).contains(side));
        text.split_once(['x', '×'])
            .and_then(|(width, height)| Some(Self(side(width)?, side(height)?)))
            .ok_or_else(|| {
                format!(
                    "invalid size `{text}`: use columns x rows, such as 120x40, at most 1000x1000"
                )
            })
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
        let bad = || format!("invalid range of steps `{text}`: use A..B, A.. or ..B, with A < B");
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

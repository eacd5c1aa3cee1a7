//! lcascope: see which parameters of a network are doing the learning.
//!
//! The program trains a network, splits every step's change of the training loss among all parameters (Loss Change
//! Allocation), records it in an HDF5 file and shows it in the terminal. The modules, in reading order;
//! `docs/ARCHITECTURE.md` says how they fit together.
//!
//! | module | what it is |
//! |---|---|
//! | [`layout`] | layers, tensors and units as ranges of one flat parameter vector |
//! | [`model`] | a network as a list of layers and blocks; presets; initial weights |
//! | [`data`] | data sets, splits, seeded mini-batches |
//! | [`engine`] | loss and gradient of a whole set of examples, at any parameters; models in code |
//! | [`optim`] | optimizers and schedules on the flat vector, by groups of layers |
//! | [`trajectory`] | paths through parameter space that another program has taken |
//! | [`lca`] | the method: integrate along a step, allocate, count |
//! | [`record`] | the record of a step, and how records merge |
//! | [`train`] | the loop: step, allocate, emit |
//! | [`control`] | orders to a training in another process, by a socket beside its run file |
//! | [`protocol`] | trainings in another program, by messages and shared memory |
//! | [`store`] | the run file: the only code that knows HDF5 |
//! | [`query`] | queries about a run, answered from its file |
//! | [`feed`] | one stream of events, live, followed or replayed |
//! | [`analysis`] | pure functions from steps to what a chart shows |
//! | [`app`] | the explorer's state, without a terminal |
//! | [`tui`] | the explorer on a terminal |
//! | [`export`] | tables as CSV, JSON, Parquet; charts as SVG, PNG |
//! | [`sheet`] | the views of a run as tables and figures |
//! | [`report`] | the results of runs as a document with figures |
//! | [`runs`] | rows of lists of runs: facts, columns, filters, a cache |
//! | [`key_name`] | keys by name, as people write them |
//! | [`memory`] | the memory that this process can have |
//! | [`rename`] | giving a file a name that others may take meanwhile |
//! | [`small_file`] | reading small files that may turn out to be anything |
//! | [`text`] | text from outside, made harmless to terminals and pages |
//! | [`view_files`] | the user's view of a run, kept between sessions |
//! | [`experiment`] | sets of runs that differ in one thing, and their outcomes |
//! | [`config`], [`cli`] | flags over a TOML file over defaults |
//! | [`supervise`] | runs and the processes around them: trainings, series, the screen, signals, the sandbox |
//! | [`cluster`] | the processes of one training, started by `mpirun` or `srun` |
//! | [`commands`] | the commands, one file each |

pub use lcascope_core::{
    analysis, data, engine, layout, lca, memory, model, optim, record, small_file, summary_fields,
    train, trajectory,
};

pub mod app;
pub mod cli;
pub mod cluster;
pub mod commands;
pub mod config;
pub mod control;
pub mod experiment;
pub mod export;
pub mod feed;
pub mod key_name;
pub mod protocol;
pub mod query;
pub mod rename;
pub mod report;
pub mod runs;
pub mod sheet;
pub mod store;
pub mod supervise;
pub mod text;
pub mod tui;
pub mod view_files;

#[cfg(test)]
mod vision;

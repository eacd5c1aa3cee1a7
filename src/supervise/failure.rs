//! Why a command failed, and its exit code.

use std::io;

use rustix::io::Errno;

use crate::config::ConfigError;
use crate::data::DataError;
use crate::engine::EngineError;
use crate::feed::OpenError;
use crate::model::ModelError;
use crate::report::{ReportError, SaveError};
use crate::sheet::SheetError;
use crate::store::StoreError;

/// Why a command failed. The message says what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command is not understood, or asks for something impossible.
    #[error(transparent)]
    Usage(#[from] ConfigError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("{}", with_source(.0))]
    Data(#[from] DataError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Sheet(#[from] SheetError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Save(#[from] SaveError),
    #[error("the terminal: {0}")]
    Terminal(io::Error),
    #[error("{0}")]
    Other(String),
    /// The run failed; its file is complete and says why.
    #[error("the run failed: {0}")]
    Run(String),
}

impl Failure {
    /// The exit code: 2 for usage errors, 1 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Save(SaveError::Io { .. }) => 1,
            Self::Usage(_)
            | Self::Store(StoreError::NotRegular { .. } | StoreError::Exists { .. })
            | Self::Model(_)
            | Self::Save(_)
            | Self::Sheet(SheetError::Request(_)) => 2,
            _ => 1,
        }
    }
}

/// Adds to the system's words for a shortage of threads or processes, whatever wanted them, what to do.
#[must_use]
pub fn with_remedy(message: &str) -> String {
    // The last words of a child process have it already.
    if message.contains("ulimit -u") {
        return message.to_owned();
    }
    let shortage = io::Error::from(Errno::AGAIN).to_string();
    let remedy = "end other programs, or raise the limit on threads and processes (`ulimit -u`)";
    message.replacen(&shortage, &format!("{shortage}; {remedy}"), 1)
}

/// An error and its causes, on one line.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_source(source)),
        None => error.to_string(),
    }
}

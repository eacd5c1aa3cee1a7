//! A whole run file in memory, as far as `info` needs it.

use std::path::Path;

use crate::analysis::findings::Finding;
use crate::app::RunModel;
use crate::feed::{FeedEvent, Origin};
use crate::query::{Analyst, Answer, Query, Topic};
use crate::store::{RunReader, RunState};
use crate::supervise::Failure;

/// Steps read at once.
const BLOCK: u64 = 4096;

/// A run file that has been read to its end.
pub(super) struct RunRead<'a> {
    pub path: &'a Path,
    pub reader: RunReader,
    pub state: RunState,
    /// All steps, and nothing else.
    pub model: RunModel,
    pub findings: Vec<Finding>,
}

impl<'a> RunRead<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// The file is not a run, or cannot be read.
    pub fn of(path: &'a Path) -> Result<Self, Failure> {
        let reader = RunReader::open(path)?;
        let state = reader.refresh()?;
        let mut model = RunModel::new(reader.header().clone().into(), Origin::Replay);
        if let Some(losses) = reader.start()? {
            model.event(FeedEvent::Start(losses));
        }
        let mut from = 0;
        while from < state.committed {
            let to = state.committed.min(from + BLOCK);
            model.event(FeedEvent::Steps(reader.steps(from..to)?));
            from = to;
        }
        let query = Query::about(Topic::Findings, 0..state.committed, 1);
        let findings = match Analyst::new().answer(&reader, &query, &|| false)? {
            Answer::Findings(known) => known.findings,
            _ => Vec::new(),
        };
        Ok(Self {
            path,
            reader,
            state,
            model,
            findings,
        })
    }
}

//! The answers that the [distribution](super::distribution) and its numbers show.

use crate::analysis::octaves::Octaves;
use crate::query::{self, Answer, Query, Snapshot, StepScope, Topic};
use crate::tui::frame::Frame;

/// The answers about all layers together and about the selected layer, or why there are none.
pub struct Known<'a> {
    /// LCA over the steps in view or, until these have arrived, over those of an earlier query: a histogram carries the
    /// steps that it covers.
    pub histograms: [Result<&'a query::AllocationHistogram, &'a str>; 2],
    /// The parameters' totals at the cursor or before it.
    pub snapshots: [Result<&'a Snapshot, &'a str>; 2],
}

impl<'a> Known<'a> {
    pub fn ask(frame: &mut Frame<'a>) -> Self {
        let app = frame.app;
        let both = [None, Some(u32::try_from(app.nav.layer).unwrap_or(u32::MAX))];
        let histograms = both.map(|layer| {
            let query = app.about_window(Topic::Histogram { layer }, 1);
            match frame.ask(0, query) {
                Some((_, Answer::Histogram(found))) => Ok(found),
                Some((_, Answer::Unknown(why))) => Err(why.as_str()),
                _ => Err("reading …"),
            }
        });
        let until = app.cursor().map_or(0, |at| at + 1);
        let snapshots = both.map(|layer| {
            let query = Query {
                topic: Topic::Snapshot { layer },
                part: StepScope::Cursor,
                steps: 0..until,
                columns: 1,
            };
            match frame.ask(1, query) {
                Some((_, Answer::Snapshot(found))) if found.steps <= until => Ok(found),
                Some((_, Answer::Unknown(why))) => Err(why.as_str()),
                _ => Err("reading …"),
            }
        });
        Self {
            histograms,
            snapshots,
        }
    }
}

/// The histogram's bins as octaves, if that is what they are.
pub fn octaves(found: &query::AllocationHistogram) -> Option<Octaves> {
    let mut octaves = Octaves::new(&found.edges)?;
    octaves.add(&found.counts);
    Some(octaves)
}

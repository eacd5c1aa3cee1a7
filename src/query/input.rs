//! The input of answers, and the results that they continue from.

use std::ops::Range;

use super::Answer;
use crate::store::RunReader;

/// The answer for a run that was trained without `--by-class`.
pub const NO_CLASSES: &str = "this run has no LCA by class; train with --by-class to record it";

/// Polled to check for cancellation.
pub type Cancelled<'a> = &'a dyn Fn() -> bool;

/// The input of an answer.
pub(super) struct QueryInput<'a> {
    pub reader: &'a RunReader,
    /// The steps asked for that are committed.
    pub steps: Range<u64>,
    pub columns: u32,
    pub cancelled: Cancelled<'a>,
}

/// Takes out of `cached` the longest result from which `steps` can be continued: it starts where they do and ends no
/// later. An empty result where there is none.
pub(super) fn take_cached<T: Default>(
    cached: &mut Vec<T>,
    steps: &Range<u64>,
    of: impl Fn(&T) -> &Range<u64>,
) -> T {
    let usable =
        |it: &T| of(it).start == steps.start && of(it).end <= steps.end && !of(it).is_empty();
    let known = cached.iter().enumerate().filter(|(_, it)| usable(it));
    let at = known.max_by_key(|(_, it)| of(it).end).map(|(at, _)| at);
    at.map_or_else(T::default, |at| cached.remove(at))
}

/// Results cached: one for each of a screen's ranges.
pub(super) const CACHED: usize = 3;

/// Keeps a partial or whole result, in place of the oldest one if there are too many; an empty result is dropped.
pub(super) fn put_cached<T>(cached: &mut Vec<T>, result: T, of: impl Fn(&T) -> &Range<u64>) {
    if !of(&result).is_empty() {
        cached.insert(0, result);
        cached.truncate(CACHED);
    }
}

pub(super) fn no_such_index(what: &str, index: u32) -> Answer {
    Answer::Unknown(format!("this run has no {what} {index}"))
}

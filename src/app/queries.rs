//! Queries about the run and their answers.
//!
//! Each time a screen is drawn, it lists what it needs to know. What is not known yet is queried, one query at a time,
//! and the previous answer is shown until the new one arrives. If a query changes because the run goes on, it is
//! renewed not at every step but a few times a second.
//!
//! The screen knows steps that the file does not have yet. An answer that lacks some of the steps is shown as it is,
//! renewed while the file grows, and renewed once more when the file is complete.

use std::time::{Duration, Instant};

use crate::query::{Answer, Query, StepScope};

/// Number of latest answers that are kept.
const KEPT: usize = 24;

/// An answer whose query differs only in its steps is renewed no sooner than this after it arrived, and no sooner than
/// [`REST`] times as long as it took.
const RENEWAL: Duration = Duration::from_millis(300);
const REST: u32 = 3;

/// Renewal delay for an answer that the run so far does not have.
const UNKNOWN_RENEWAL: Duration = Duration::from_secs(3);

struct Known {
    query: Query,
    answer: Answer,
    /// True if the file had everything asked for, or will have no more.
    whole: bool,
    /// When it arrived, and how long it took.
    at: Instant,
    took: Duration,
}

struct Asked {
    query: Query,
    at: Instant,
    /// True if the file was complete when the query was made.
    ended: bool,
}

/// A cache of answers, with the query in flight.
#[derive(Default)]
pub struct QueryCache {
    known: Vec<Known>,
    asked: Option<Asked>,
    /// True if the file is complete.
    ended: bool,
    /// The earliest time at which a wanted query may be renewed, if it is not yet due.
    due: Option<Instant>,
}

impl QueryCache {
    /// Returns the latest answer to a query of the same topic, perhaps about other steps, and the query that it
    /// answers.
    #[must_use]
    pub fn answer(&self, like: &Query) -> Option<(&Query, &Answer)> {
        let known = self.known.iter().find(|known| known.query.is_like(like))?;
        Some((&known.query, &known.answer))
    }

    /// Stores an answer.
    pub fn take(&mut self, query: Query, answer: Answer) {
        let now = Instant::now();
        let asked = self.asked.take_if(|asked| asked.query == query);
        if matches!(answer, Answer::Cancelled) {
            return;
        }
        self.known.retain(|known| !known.query.is_like(&query));
        self.known.truncate(KEPT - 1);
        let known = Known {
            whole: answer.is_about_all_of(&query) || asked.as_ref().is_some_and(|it| it.ended),
            query,
            answer,
            at: now,
            took: asked.map_or(Duration::ZERO, |asked| now - asked.at),
        };
        self.known.insert(0, known);
    }

    /// Returns the next query to make, given what is wanted, most important first. `stands` tells which steps do not
    /// change by themselves, so that a renewal need not wait.
    pub fn next(&mut self, wanted: &[Query], stands: impl Fn(StepScope) -> bool) -> Option<Query> {
        self.due = None;
        let mut wanted = wanted;
        if let Some(Asked { query: asked, .. }) = &self.asked {
            match wanted.iter().position(|query| query.is_like(asked)) {
                // Long work is suspended for what matters more, and resumed later.
                Some(place) if asked.topic.resumes() => wanted = &wanted[..place],
                Some(_) => return None,
                // No longer wanted: the next query cancels it.
                None => {}
            }
        }
        let now = Instant::now();
        for query in wanted {
            let known = self.known.iter().find(|known| known.query.is_like(query));
            match known {
                Some(known) if known.query == *query && known.whole => continue,
                Some(known) if !stands(query.part) || (known.query == *query && !self.ended) => {
                    let least = match known.answer {
                        Answer::Unknown(_) if known.query == *query => UNKNOWN_RENEWAL,
                        _ => RENEWAL,
                    };
                    let due = known.at + least.max(known.took * REST);
                    if due > now {
                        self.due = Some(self.due.map_or(due, |other| other.min(due)));
                        continue;
                    }
                }
                _ => {}
            }
            self.asked = Some(Asked {
                query: query.clone(),
                at: now,
                ended: self.ended,
            });
            return Some(query.clone());
        }
        None
    }

    /// The query could not be sent: allows it to be made again.
    pub fn not_asked(&mut self) {
        self.asked = None;
    }

    /// Returns the time until a wanted query may be made.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// The file is complete: lets answers that lacked something be renewed once more. They stay on screen until then.
    pub fn retry(&mut self) {
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{RunEvents, Topic};

    fn query(layer: u32, end: u64) -> Query {
        Query::about(Topic::Units { layer }, 0..end, 10)
    }

    fn answer(text: &str) -> Answer {
        Answer::Unknown(text.to_owned())
    }

    /// A cache for a run that has ended.
    fn ended() -> QueryCache {
        let mut cache = QueryCache::default();
        cache.retry();
        cache
    }

    /// An answer about the first `end` steps.
    fn steps(end: u64) -> Answer {
        Answer::Happened(RunEvents {
            steps: end,
            ..RunEvents::default()
        })
    }

    #[test]
    fn incomplete_answers_are_shown_and_requested_again() {
        let mut cache = QueryCache::default();
        let wanted = [query(0, 9)];
        assert_eq!(cache.next(&wanted, |_| true), Some(query(0, 9)));
        cache.take(query(0, 9), steps(4));
        // Not at once, although the view does not change.
        assert_eq!(cache.next(&wanted, |_| true), None);
        assert!(cache.patience().is_some());
        cache.known[0].at = Instant::now().checked_sub(RENEWAL).unwrap();
        assert_eq!(cache.next(&wanted, |_| true), Some(query(0, 9)));
        assert_eq!(cache.answer(&wanted[0]).unwrap().1, &steps(4), "stands in");
        // It arrives after the run has ended, but was queried before.
        cache.retry();
        cache.take(query(0, 9), steps(6));
        assert_eq!(cache.next(&wanted, |_| true), Some(query(0, 9)));
        assert_eq!(cache.answer(&wanted[0]).unwrap().1, &steps(6), "stands in");
        cache.take(query(0, 9), steps(7));
        assert_eq!(cache.next(&wanted, |_| true), None, "no more");
    }

    #[test]
    fn a_complete_answer_is_requested_once() {
        let mut cache = QueryCache::default();
        assert!(cache.next(&[query(0, 9)], |_| true).is_some());
        cache.take(query(0, 9), steps(9));
        assert_eq!(cache.next(&[query(0, 9)], |_| true), None);
        assert_eq!(cache.patience(), None);
        cache.retry();
        assert_eq!(cache.next(&[query(0, 9)], |_| true), None);
    }

    #[test]
    fn queries_are_sent_one_at_a_time_and_never_twice() {
        let mut cache = ended();
        let wanted = [query(0, 9), query(1, 9)];
        assert_eq!(cache.next(&wanted, |_| true), Some(query(0, 9)));
        assert_eq!(cache.next(&wanted, |_| true), None, "it is on its way");
        cache.take(query(0, 9), answer("a"));
        assert_eq!(cache.next(&wanted, |_| true), Some(query(1, 9)));
        cache.take(query(1, 9), answer("b"));
        assert_eq!(cache.next(&wanted, |_| true), None);
        let (of, known) = cache.answer(&query(1, 400)).unwrap();
        assert_eq!((of, known), (&query(1, 9), &answer("b")), "stands in");
    }

    #[test]
    fn obsolete_queries_do_not_block_new_ones() {
        let mut cache = ended();
        assert!(cache.next(&[query(0, 9)], |_| true).is_some());
        assert_eq!(cache.next(&[query(1, 9)], |_| true), Some(query(1, 9)));
        cache.take(query(0, 9), Answer::Cancelled);
        assert!(cache.answer(&query(0, 9)).is_none());
        cache.take(query(1, 9), answer("b"));
        assert_eq!(cache.next(&[query(1, 9)], |_| true), None);
    }

    #[test]
    fn long_queries_yield_to_more_urgent_ones() {
        let mut cache = ended();
        let events = Query {
            topic: Topic::Events,
            ..query(0, 9)
        };
        let wanted = [query(0, 9), events.clone()];
        assert_eq!(cache.next(&wanted[1..], |_| true), Some(events.clone()));
        assert_eq!(cache.next(&wanted[1..], |_| true), None, "it is on its way");
        assert_eq!(cache.next(&wanted, |_| true), Some(query(0, 9)));
        cache.take(events.clone(), Answer::Cancelled);
        assert_eq!(cache.next(&wanted, |_| true), None, "it is not asked twice");
        cache.take(query(0, 9), answer("a"));
        assert_eq!(cache.next(&wanted, |_| true), Some(events));
    }

    #[test]
    fn an_answer_is_renewed_at_once_only_if_the_run_has_stopped() {
        let mut cache = QueryCache::default();
        cache.take(query(0, 9), answer("a"));
        assert_eq!(cache.next(&[query(0, 10)], |_| false), None);
        assert!(cache.patience().is_some());
        assert_eq!(cache.next(&[query(0, 10)], |_| true), Some(query(0, 10)));
    }
}

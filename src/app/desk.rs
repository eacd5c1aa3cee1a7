//! What has been asked about the run, and what was answered.
//!
//! A screen says what it wants to know each time it is drawn. What is not known yet is asked for, one
//! question at a time, and what was known before stands in until the answer comes. Where a question changes
//! because the run goes on, it is not asked anew with every step, but a few times a second.

use std::time::{Duration, Instant};

use crate::query::{Answer, Part, Query};

/// Answers that are kept, the latest ones.
const KEPT: usize = 24;

/// An answer of which only the steps have changed is renewed no sooner than after this time, and not
/// before it has been at rest for so many times as long as it took.
const RENEWAL: Duration = Duration::from_millis(300);
const REST: u32 = 3;

struct Known {
    query: Query,
    answer: Answer,
    /// When it came, and how long that took.
    at: Instant,
    took: Duration,
}

/// Answers, and the question on its way.
#[derive(Default)]
pub struct Desk {
    known: Vec<Known>,
    asked: Option<(Query, Instant)>,
    /// When what is wanted may be asked for, where that is not yet.
    due: Option<Instant>,
}

impl Desk {
    /// The latest answer to a question like this one, and the question that it answers: of the same
    /// topic, perhaps of other steps.
    #[must_use]
    pub fn answer(&self, like: &Query) -> Option<(&Query, &Answer)> {
        let known = self.known.iter().find(|known| known.query.is_like(like))?;
        Some((&known.query, &known.answer))
    }

    /// Takes an answer in.
    pub fn take(&mut self, query: Query, answer: Answer) {
        let now = Instant::now();
        let asked = self.asked.take_if(|(asked, _)| *asked == query);
        if matches!(answer, Answer::Interrupted) {
            return;
        }
        self.known.retain(|known| !known.query.is_like(&query));
        self.known.truncate(KEPT - 1);
        let known = Known {
            query,
            answer,
            at: now,
            took: asked.map_or(Duration::ZERO, |(_, at)| now - at),
        };
        self.known.insert(0, known);
    }

    /// What to ask next, of what is wanted, the most important first. `stands` says of which steps that they
    /// do not change by themselves, so that there is no need to wait.
    pub fn next(&mut self, wanted: &[Query], stands: impl Fn(Part) -> bool) -> Option<Query> {
        self.due = None;
        let mut wanted = wanted;
        if let Some((asked, _)) = &self.asked {
            match wanted.iter().position(|query| query.is_like(asked)) {
                // Long work goes on later for what matters more.
                Some(place) if asked.topic.resumes() => wanted = &wanted[..place],
                Some(_) => return None,
                // Nobody wants it any more: what is asked next ends it.
                None => {}
            }
        }
        let now = Instant::now();
        for query in wanted {
            let known = self.known.iter().find(|known| known.query.is_like(query));
            match known {
                Some(known) if known.query == *query => continue,
                Some(known) if !stands(query.part) => {
                    let due = known.at + RENEWAL.max(known.took * REST);
                    if due > now {
                        self.due = Some(self.due.map_or(due, |other| other.min(due)));
                        continue;
                    }
                }
                _ => {}
            }
            self.asked = Some((query.clone(), now));
            return Some(query.clone());
        }
        None
    }

    /// The question could not be passed on: it is asked again.
    pub fn not_asked(&mut self) {
        self.asked = None;
    }

    /// How long until something may be asked that is wanted now.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        self.due
            .map(|due| due.saturating_duration_since(Instant::now()))
    }

    /// The file has more than when an answer was [`Answer::Unknown`]: forgets these.
    pub fn retry(&mut self) {
        self.known
            .retain(|known| !matches!(known.answer, Answer::Unknown(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Topic;

    fn query(layer: u32, end: u64) -> Query {
        Query {
            topic: Topic::Units { layer },
            part: Part::Window,
            steps: 0..end,
            columns: 10,
        }
    }

    fn answer(text: &str) -> Answer {
        Answer::Unknown(text.to_owned())
    }

    #[test]
    fn one_question_at_a_time_and_none_twice() {
        let mut desk = Desk::default();
        let wanted = [query(0, 9), query(1, 9)];
        assert_eq!(desk.next(&wanted, |_| true), Some(query(0, 9)));
        assert_eq!(desk.next(&wanted, |_| true), None, "it is on its way");
        desk.take(query(0, 9), answer("a"));
        assert_eq!(desk.next(&wanted, |_| true), Some(query(1, 9)));
        desk.take(query(1, 9), answer("b"));
        assert_eq!(desk.next(&wanted, |_| true), None);
        let (of, known) = desk.answer(&query(1, 400)).unwrap();
        assert_eq!((of, known), (&query(1, 9), &answer("b")), "stands in");
    }

    #[test]
    fn what_nobody_wants_any_more_does_not_stand_in_the_way() {
        let mut desk = Desk::default();
        assert!(desk.next(&[query(0, 9)], |_| true).is_some());
        assert_eq!(desk.next(&[query(1, 9)], |_| true), Some(query(1, 9)));
        desk.take(query(0, 9), Answer::Interrupted);
        assert!(desk.answer(&query(0, 9)).is_none());
        desk.take(query(1, 9), answer("b"));
        assert_eq!(desk.next(&[query(1, 9)], |_| true), None);
    }

    #[test]
    fn long_work_that_goes_on_later_makes_way_for_what_matters_more() {
        let mut desk = Desk::default();
        let events = Query {
            topic: Topic::Events,
            ..query(0, 9)
        };
        let wanted = [query(0, 9), events.clone()];
        assert_eq!(desk.next(&wanted[1..], |_| true), Some(events.clone()));
        assert_eq!(desk.next(&wanted[1..], |_| true), None, "it is on its way");
        assert_eq!(desk.next(&wanted, |_| true), Some(query(0, 9)));
        desk.take(events.clone(), Answer::Interrupted);
        assert_eq!(desk.next(&wanted, |_| true), None, "it is not asked twice");
        desk.take(query(0, 9), answer("a"));
        assert_eq!(desk.next(&wanted, |_| true), Some(events));
    }

    #[test]
    fn an_answer_is_renewed_at_once_only_in_a_run_that_stands() {
        let mut desk = Desk::default();
        desk.take(query(0, 9), answer("a"));
        assert_eq!(desk.next(&[query(0, 10)], |_| false), None);
        assert!(desk.patience().is_some());
        assert_eq!(desk.next(&[query(0, 10)], |_| true), Some(query(0, 10)));
    }
}

//! What has been asked about the run, and what was answered.
//!
//! A screen says what it wants to know each time it is drawn. What is not known yet is asked for, one
//! question at a time, and what was known before stands in until the answer comes. Where a question changes
//! because the run goes on, it is not asked anew with every step, but a few times a second.
//!
//! The screen knows steps that the file does not have yet. An answer that lacks some of what was asked is
//! shown as it is, and asked for again as long as the file grows, and once more when it is whole.

use std::time::{Duration, Instant};

use crate::query::{Answer, Part, Query};

/// Answers that are kept, the latest ones.
const KEPT: usize = 24;

/// An answer of which only the steps have changed is renewed no sooner than after this time, and not
/// before it has been at rest for so many times as long as it took.
const RENEWAL: Duration = Duration::from_millis(300);
const REST: u32 = 3;

/// The same of what the run does not say, as far as it is written.
const UNKNOWN_RENEWAL: Duration = Duration::from_secs(3);

struct Known {
    query: Query,
    answer: Answer,
    /// Whether the file had all that was asked for, or will have no more.
    whole: bool,
    /// When it came, and how long that took.
    at: Instant,
    took: Duration,
}

struct Asked {
    query: Query,
    at: Instant,
    /// Whether the file had all that it will have.
    ended: bool,
}

/// Answers, and the question on its way.
#[derive(Default)]
pub struct Desk {
    known: Vec<Known>,
    asked: Option<Asked>,
    /// The file has all that it will have.
    ended: bool,
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
        let asked = self.asked.take_if(|asked| asked.query == query);
        if matches!(answer, Answer::Interrupted) {
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

    /// What to ask next, of what is wanted, the most important first. `stands` says of which steps that they
    /// do not change by themselves, so that there is no need to wait.
    pub fn next(&mut self, wanted: &[Query], stands: impl Fn(Part) -> bool) -> Option<Query> {
        self.due = None;
        let mut wanted = wanted;
        if let Some(Asked { query: asked, .. }) = &self.asked {
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

    /// The file has all that it will have: what it lacked before is asked for once more, and shown until
    /// the answer comes.
    pub fn retry(&mut self) {
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Happened, Part, Topic};

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

    /// Of a run that has ended.
    fn ended() -> Desk {
        let mut desk = Desk::default();
        desk.retry();
        desk
    }

    /// About the first `end` steps.
    fn steps(end: u64) -> Answer {
        Answer::Happened(Happened {
            steps: end,
            ..Happened::default()
        })
    }

    #[test]
    fn what_the_file_lacked_is_shown_and_asked_for_again() {
        let mut desk = Desk::default();
        let wanted = [query(0, 9)];
        assert_eq!(desk.next(&wanted, |_| true), Some(query(0, 9)));
        desk.take(query(0, 9), steps(4));
        // Not at once, though the view stands.
        assert_eq!(desk.next(&wanted, |_| true), None);
        assert!(desk.patience().is_some());
        desk.known[0].at = Instant::now().checked_sub(RENEWAL).unwrap();
        assert_eq!(desk.next(&wanted, |_| true), Some(query(0, 9)));
        assert_eq!(desk.answer(&wanted[0]).unwrap().1, &steps(4), "stands in");
        // It comes when the run has ended, but was asked before.
        desk.retry();
        desk.take(query(0, 9), steps(6));
        assert_eq!(desk.next(&wanted, |_| true), Some(query(0, 9)));
        assert_eq!(desk.answer(&wanted[0]).unwrap().1, &steps(6), "stands in");
        desk.take(query(0, 9), steps(7));
        assert_eq!(desk.next(&wanted, |_| true), None, "there is no more");
    }

    #[test]
    fn a_whole_answer_is_asked_for_once() {
        let mut desk = Desk::default();
        assert!(desk.next(&[query(0, 9)], |_| true).is_some());
        desk.take(query(0, 9), steps(9));
        assert_eq!(desk.next(&[query(0, 9)], |_| true), None);
        assert_eq!(desk.patience(), None);
        desk.retry();
        assert_eq!(desk.next(&[query(0, 9)], |_| true), None);
    }

    #[test]
    fn one_question_at_a_time_and_none_twice() {
        let mut desk = ended();
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
        let mut desk = ended();
        assert!(desk.next(&[query(0, 9)], |_| true).is_some());
        assert_eq!(desk.next(&[query(1, 9)], |_| true), Some(query(1, 9)));
        desk.take(query(0, 9), Answer::Interrupted);
        assert!(desk.answer(&query(0, 9)).is_none());
        desk.take(query(1, 9), answer("b"));
        assert_eq!(desk.next(&[query(1, 9)], |_| true), None);
    }

    #[test]
    fn long_work_that_goes_on_later_makes_way_for_what_matters_more() {
        let mut desk = ended();
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

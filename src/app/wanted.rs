//! Queries about what is in view, and the answers known to them.

use std::ops::Range;

use super::state::App;
use crate::query::{Answer, Query, StepScope, Topic};

impl App {
    /// Returns the cursor's step; `None` before the first step.
    #[must_use]
    pub fn cursor(&self) -> Option<u64> {
        self.nav.window.cursor(self.model.timeline.end())
    }

    /// Returns the steps in view.
    #[must_use]
    pub fn visible(&self) -> Range<u64> {
        self.nav.window.visible(self.model.timeline.end())
    }

    /// Returns all steps up to the newest one shown.
    #[must_use]
    pub fn shown_steps(&self) -> Range<u64> {
        0..self.nav.window.shown(self.model.timeline.end())
    }

    /// Returns a query for finer steps, if the view needs them.
    pub fn wanted_detail(&mut self) -> Option<Query> {
        // A comparison sums up to the last step that both runs have.
        let shown = match self.compared() {
            Some(comparison) => comparison.common_steps(),
            None => self.shown_steps(),
        };
        let (visible, cursor) = (self.visible(), self.cursor());
        self.model.wanted_detail(&visible, cursor, shown.end)
    }

    /// Returns a query for finer steps of another run's file, if the comparison needs them.
    pub fn wanted_of_other(&mut self, other: usize) -> Option<Query> {
        let comparison = self.compared()?;
        let (steps, common) = (comparison.steps(), comparison.common_steps());
        let end = comparison.runs.get(other + 1)?.timeline.end();
        let visible = steps.start.min(end)..steps.end.min(end);
        let cursor = comparison.cursor().filter(|step| *step < end);
        let other = self.others.runs.get_mut(other)?;
        other.model.wanted_detail(&visible, cursor, common.end)
    }

    /// Returns the next query to make, given what the screen needs.
    pub fn wanted_answer(&mut self, wanted: &[Query]) -> Option<Query> {
        let (goes_on, end) = (self.model.is_running(), self.model.timeline.end());
        let window = self.nav.window;
        self.model
            .queries
            .next(wanted, |part| !goes_on || window.stands(part, end))
    }

    /// Returns the known answer to a query, and the steps that it covers. These are the query's own steps, unless they
    /// change by themselves, as in a running training or a playing replay: then a slightly older answer stands in, and
    /// the caller must say so.
    #[must_use]
    pub fn known(&self, query: &Query) -> Option<(&Range<u64>, &Answer)> {
        let (asked, answer) = self.model.queries.answer(query)?;
        let end = self.model.timeline.end();
        let stands = !self.model.is_running() || self.nav.window.stands(query.part, end);
        let own = asked.steps == query.steps || matches!(answer, Answer::Unknown(_));
        (own || !stands || self.playback.rate().is_some()).then_some((&asked.steps, answer))
    }

    /// Returns a query about the steps in view, in this many columns.
    #[must_use]
    pub fn about_window(&self, topic: Topic, columns: usize) -> Query {
        let columns = u32::try_from(columns).unwrap_or(u32::MAX).max(1);
        Query::about(topic, self.visible(), columns)
    }

    /// Returns a query about all steps up to the newest one shown, together.
    #[must_use]
    pub fn about_all(&self, topic: Topic) -> Query {
        Query {
            topic,
            part: StepScope::All,
            steps: self.shown_steps(),
            columns: 1,
        }
    }

    /// Returns a query about the step at the cursor; `None` before the first step.
    #[must_use]
    pub fn about_cursor(&self, topic: Topic) -> Option<Query> {
        let step = self.cursor()?;
        Some(Query {
            topic,
            part: StepScope::Cursor,
            steps: step..step + 1,
            columns: 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::Action;
    use super::super::state::tests::app;
    use super::super::timeline::tests::step;
    use super::*;
    use crate::feed::{FeedEvent, Origin};

    /// Counts the queries made, each answered at once, while a live run takes 20 more steps.
    fn asked_meanwhile(app: &mut App, wanted: impl Fn(&App) -> Vec<Query>) -> usize {
        let mut asked = 0;
        for t in app.model.timeline.end()..app.model.timeline.end() + 20 {
            while let Some(query) = app.wanted_answer(&wanted(app)) {
                asked += 1;
                let answer = Box::new(Answer::Unknown(String::new()));
                app.event(FeedEvent::Answer { query, answer });
            }
            app.event(FeedEvent::Steps(vec![step(t, [-1.0, 0.5])]));
        }
        asked
    }

    #[test]
    fn a_live_run_with_its_cursor_moved_back_is_not_asked_about_at_every_step() {
        let whole = |app: &App| {
            vec![
                app.about_window(Topic::Tensors, 10),
                app.about_all(Topic::Events),
            ]
        };
        let mut app = app(Origin::Live);
        app.act(Action::Move(-15));
        // Without throttling there would be 40.
        assert!(asked_meanwhile(&mut app, whole) < 20);
        let at = |app: &App| app.about_cursor(Topic::Tensors).into_iter().collect();
        assert_eq!(asked_meanwhile(&mut app, at), 1, "it does not change");
        app.act(Action::Move(-1));
        assert_eq!(asked_meanwhile(&mut app, at), 1, "asked at once");
    }
}

//! A run file in which every LCA value is known, and an app that shows it.

use std::ops::Deref;
use std::sync::Arc;

use super::{queries, text};
use crate::app::{Action, App};
use crate::feed::{FeedEvent, Origin};
use crate::query::Analyst;
use crate::record::Status;
use crate::store::testing::RecordedRun;
pub use crate::store::testing::RunShape;
use crate::tui::theme::Theme;

/// A finished run in a file, and an app that shows it.
pub struct Run {
    pub app: App,
    recorded: RecordedRun,
    analyst: Analyst,
}

impl Deref for Run {
    type Target = RecordedRun;

    fn deref(&self) -> &RecordedRun {
        &self.recorded
    }
}

impl Run {
    /// Writes a complete run and opens it.
    pub fn new(shape: RunShape) -> Self {
        let recorded = RecordedRun::new(shape);
        let reader = &recorded.reader;
        let mut app = App::new(Arc::new(reader.header().clone()), Origin::Replay);
        app.event(FeedEvent::Start(reader.start().unwrap().unwrap()));
        app.event(FeedEvent::Steps(reader.steps(0..shape.steps).unwrap()));
        app.event(FeedEvent::Status {
            status: Status::Finished,
            message: String::new(),
        });
        Self {
            app,
            recorded,
            analyst: Analyst::new(),
        }
    }

    pub fn act(&mut self, actions: &[Action]) {
        for &action in actions {
            self.app.act(action);
        }
    }

    /// Answers the screen's queries until none is left.
    pub fn settle(&mut self, width: u16, height: u16, theme: &Theme) {
        for _ in 0..100 {
            let wanted = queries(&self.app, (width, height), theme);
            let Some(query) = self.app.wanted_answer(&wanted) else {
                return;
            };
            let answer = self
                .analyst
                .answer(&self.recorded.reader, &query, &|| false);
            let answer = Box::new(answer.unwrap());
            self.app.event(FeedEvent::Answer { query, answer });
        }
        panic!("it asks and asks");
    }

    /// The text of the screen once all queries are answered.
    pub fn text(&mut self, width: u16, height: u16, theme: &Theme) -> String {
        self.settle(width, height, theme);
        text(&self.app, width, height, theme)
    }
}

#[test]
fn a_recorded_run_equals_its_file() {
    let run = Run::new(RunShape::default());
    let whole = run.app.model.timeline.whole();
    let layers = 0..run.shape.layers;
    for layer in layers.clone() {
        let sum: f64 = (0..40).map(|t| run.layer(t, layer)).sum();
        assert!((whole.layer_sums(layer).lca - sum).abs() < 1e-12);
    }
    for t in 0..40 {
        for layer in layers.clone() {
            let classes = run.by_class[t].iter().map(|class| class[layer]);
            assert!((classes.sum::<f64>() - run.layer(t, layer)).abs() < 1e-8);
        }
    }
    let change = whole.loss_change() - whole.total_sums().lca;
    assert!((change - 40.0 * 1e-6).abs() < 1e-12);
}

#[test]
fn steps_that_are_not_written_yet_have_no_sums() {
    let mut run = Run::new(RunShape::default());
    let theme = crate::tui::view::testing::plain();
    run.act(&[Action::Enter]);
    let cursor = |text: &str| {
        let tensors = text.lines().filter(|line| line.starts_with(" fc0.weight"));
        let cells: Vec<String> = tensors
            .flat_map(|line| line.split_whitespace().map(str::to_owned))
            .collect();
        // The last four are at the cursor, in view, of all steps, and the share of the layer.
        cells[cells.len() - 4].clone()
    };
    let written = run.text(120, 40, &theme);
    assert!(cursor(&written).parse::<f64>().is_ok(), "{written}");
    // The training is ten steps ahead of its file.
    let mut ahead = run.reader.steps(30..40).unwrap();
    for step in &mut ahead {
        step.first += 10;
        step.end += 10;
    }
    run.app.event(FeedEvent::Steps(ahead));
    let text = run.text(120, 40, &theme);
    assert_eq!(cursor(&text), "-", "{text}");
}
